//! A snapshot of the master's on its way to being our data set: received, rehearsed, loaded, installed.
//! When each of these happens is the replication core's to say.

use std::fs::File;
use std::io;
use std::path::Path;

use log::{info, warn};
use node::Node;
use repl::LoadTarget;

use crate::disk::chunk_pipe::chunk_pipe;
use crate::disk::loader::{LoadPurpose, What};
use crate::disk::snapshot_in::{IncomingFile, IncomingSnapshot, sync_failure};
use crate::disk::worker::{DiskJob, Then};
use crate::os::host::Host;
use crate::process::os_error::os_error;

impl Host {
    pub fn snapshot_begins(&mut self, node: &mut Node, target: LoadTarget) {
        match target {
            LoadTarget::File => {
                self.disk.load_serial += 1;
                let (serial, pid) = (self.disk.load_serial, self.process.identity.pid);
                // Its own: one that was given up within this second may be unlinked at any moment.
                let name = format!("temp-{}.{pid}.{serial}.rdb", node.now().unix_s());
                let path = self.config.persistence.dir.join(name);
                match IncomingFile::create(path, serial) {
                    Ok(file) => self.disk.incoming = Some(IncomingSnapshot::File(file)),
                    Err(error) => {
                        let why = format!(
                            "Opening the temp file needed for MASTER <-> REPLICA synchronization: \
                             {}",
                            os_error(&error)
                        );
                        self.load_failed(node, &why);
                    }
                }
            }
            LoadTarget::Parser => self.begin_stream_load(node, false),
            LoadTarget::ParserSwap { same_history } => self.begin_stream_load(node, same_history),
        }
    }

    fn begin_stream_load(&mut self, node: &mut Node, asynchronous: bool) {
        let (feed, reader) = chunk_pipe(self.disk.has_room.clone());
        self.disk.incoming = Some(IncomingSnapshot::Stream { feed: Some(feed) });
        let started = self.start_loading(
            node,
            What::Stream(reader),
            LoadPurpose::ReplicaStream,
            asynchronous,
        );
        if let Err(error) = started {
            self.load_failed(node, &os_error(&error));
        }
    }

    pub fn snapshot_is_here(&mut self, node: &mut Node) {
        match &mut self.disk.incoming {
            Some(IncomingSnapshot::File(file)) => {
                let serial = file.serial;
                match file.verify() {
                    Ok(file) => {
                        let then = Then::SnapshotSynced { serial };
                        self.disk.worker.order_then(vec![DiskJob::Fsync(file)], then);
                    }
                    Err(why) => self.load_failed(node, &why),
                }
            }
            // The loader's result is the verification.
            Some(IncomingSnapshot::Stream { feed }) => {
                if let Some(feed) = feed.take() {
                    feed.finish();
                }
                // The loader knows the end of a snapshot by its last opcode, and may have said so before
                // the mark behind it came; the core did not listen then.
                if self.disk.loaded.is_some() {
                    let now_ms = node.now_ms();
                    node.repl.load_verified(now_ms);
                }
            }
            None => self.load_failed(node, "nothing was received"),
        }
    }

    /// It is on the disk, unless it was given up meanwhile.
    pub fn snapshot_synced(&mut self, node: &mut Node, serial: u32, result: io::Result<()>) {
        let Some(IncomingSnapshot::File(file)) = &self.disk.incoming else { return };
        if file.serial != serial {
            return;
        }
        let reader = match result {
            Ok(()) => file.reader().map_err(|error| os_error(&error)),
            Err(error) => Err(sync_failure(&error)),
        };
        match reader {
            Ok((file, len)) => self.rehearse_load(node, file, len),
            Err(why) => self.load_failed(node, &why),
        }
    }

    /// A right checksum says that nothing was lost on the way, not that what was sent can be loaded.
    /// The old data set is given up for what can; where there is none, the load itself will show.
    fn rehearse_load(&mut self, node: &mut Node, file: File, len: u64) {
        let history = node.repl.history_point();
        let has_history = history.is_some_and(|point| point.offset > 0);
        let nothing_to_lose =
            node.engine.keyspace.keys() == 0 && !node.engine.has_libraries() && !has_history;
        if nothing_to_lose {
            let now_ms = node.now_ms();
            return node.repl.load_verified(now_ms);
        }
        let what = What::Rehearsal { file, len };
        if let Err(error) = self.start_loader(node, what, LoadPurpose::ReplicaRehearsal) {
            self.load_failed(node, &os_error(&error));
        }
    }

    pub fn take_snapshot_over(&mut self, node: &mut Node) {
        match self.disk.incoming.take() {
            Some(IncomingSnapshot::File(file)) => self.commit_file(node, file),
            Some(IncomingSnapshot::Stream { .. }) => match self.disk.loaded.take() {
                Some(loaded) => {
                    self.swap_in(node, *loaded);
                    self.replica_load_done(node);
                }
                None => self.load_failed(node, "the snapshot was not loaded"),
            },
            None => self.load_failed(node, "nothing was received"),
        }
    }

    fn commit_file(&mut self, node: &mut Node, file: IncomingFile) {
        if self.disk.children.is_saving_rdb() {
            let pid = self.disk.children.running.as_ref().map_or(0, |r| r.child.pid);
            info!(
                "Replica is about to load the RDB file received from the master, but there is a \
                 pending RDB child running. Killing process {pid} and removing its temp file to \
                 avoid any race"
            );
            self.kill_child(node);
        }
        let reader = file.reader();
        // Kept until it is loaded: it gets its name then, or goes with `load_abort`.
        self.disk.incoming = Some(IncomingSnapshot::File(file));
        let started = reader.and_then(|(file, len)| {
            self.empty_keyspace(node);
            self.start_loading(node, What::Rdb { file, len }, LoadPurpose::ReplicaFile, false)
        });
        if let Err(error) = started {
            self.load_failed(node, &os_error(&error));
        }
    }

    /// The snapshot that was received is the data set now, and is to be what a restart finds.
    pub fn install_snapshot(&mut self, node: &mut Node) {
        let Some(IncomingSnapshot::File(file)) = self.disk.incoming.take() else { return };
        let target = self.rdb_path();
        let mut jobs = file.install(target.clone());
        if self.must_delete_sync_files() {
            info!(
                "Removing the RDB file obtained from the master. This replica has persistence disabled"
            );
            // In one order with it: what a SAVE puts there after that stays.
            jobs.push(DiskJob::Unlink(target.clone()));
        }
        self.order_for_rdb(node, jobs, Then::SnapshotNamed { target });
    }

    pub fn snapshot_named(&mut self, node: &mut Node, target: &Path, result: io::Result<()>) {
        if let Err(error) = result {
            // The data is here, and the next save tries the same name again.
            warn!(
                "Failed trying to rename the temp DB into {} in MASTER <-> REPLICA \
                 synchronization: {}",
                target.display(),
                os_error(&error)
            );
        }
        self.rdb_settled(node);
    }

    pub fn give_snapshot_up(&mut self, node: &mut Node) {
        self.stop_loading(node);
        if let Some(IncomingSnapshot::File(file)) = self.disk.incoming.take() {
            self.disk.worker.order(file.discard());
        }
    }

    pub fn load_failed(&mut self, node: &mut Node, why: &str) {
        let now_ms = node.now_ms();
        node.repl.load_failed(now_ms, why);
    }

    /// The data set is the master's.
    pub fn replica_load_done(&mut self, node: &mut Node) {
        let now_ms = node.now_ms();
        node.repl.load_done(now_ms);
        if self.config.persistence.appendonly {
            self.restart_aof(node);
        }
    }

    fn empty_keyspace(&mut self, node: &mut Node) {
        let old = node.engine.keyspace.take();
        node.engine.dataset_replaced();
        crate::process::lazy_free::free(Box::new(old));
    }
}
