//! All that a process has of files and of what writes and reads them.

use crate::disk::aof::Aof;
use crate::disk::children::Children;
use crate::disk::chunk_pipe::HasRoom;
use crate::disk::loader::{LoadEnded, LoadPurpose, Loaded, Loader, LoadingInfo};
use crate::disk::rdb::Rdb;
use crate::disk::snapshot_in::IncomingSnapshot;
use crate::disk::worker::DiskWorker;
use crate::process::mailbox::Mailer;

pub struct DiskState {
    /// What keeps the order in which files change.
    pub worker: DiskWorker,
    pub aof: Aof,
    pub rdb: Rdb,
    pub children: Children,
    pub incoming: Option<IncomingSnapshot>,
    pub loading: LoadingInfo,
    pub loader: Option<Loader>,
    pub load_purpose: LoadPurpose,
    /// A data set that was streamed by the master and waits for its turn.
    pub loaded: Option<Box<Loaded>>,
    pub load_serial: u32,
    /// How the loader's thread speaks to the loop.
    pub load_ended: Mailer<LoadEnded>,
    pub has_room: Mailer<HasRoom>,
}

impl DiskState {
    pub fn new(
        aof: Aof,
        rdb: Rdb,
        worker: DiskWorker,
        load_ended: Mailer<LoadEnded>,
        has_room: Mailer<HasRoom>,
    ) -> DiskState {
        DiskState {
            worker,
            aof,
            rdb,
            children: Children::default(),
            incoming: None,
            loading: LoadingInfo::default(),
            loader: None,
            load_purpose: LoadPurpose::Start,
            loaded: None,
            load_serial: 0,
            load_ended,
            has_room,
        }
    }
}
