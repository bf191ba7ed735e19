//! All that a process has of files and of what writes and reads them.

use crate::disk::aof::Aof;
use crate::disk::children::Children;
use crate::disk::chunk_pipe::HasRoom;
use crate::disk::loader::LoadEnded;
use crate::disk::loading::Loading;
use crate::disk::rdb::Rdb;
use crate::disk::snapshot_in::Incoming;
use crate::disk::worker::DiskWorker;
use crate::process::mailbox::Mailer;

pub struct DiskState {
    /// What keeps the order in which files change.
    pub worker: DiskWorker,
    pub aof: Aof,
    pub rdb: Rdb,
    pub children: Children,
    pub incoming: Incoming,
    pub loading: Loading,
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
            aof,
            rdb,
            children: Children::default(),
            incoming: Incoming::new(worker.clone(), has_room),
            loading: Loading::new(load_ended),
            worker,
        }
    }
}
