//! A snapshot of the master's on its way to being our data set: received, rehearsed, loaded, installed.
//! When each of these happens is the replication core's to say.

use std::fs::File;
use std::io;
use std::path::Path;

use log::{info, warn};
use node::Node;
use repl::LoadTarget;

use crate::disk::loader::What;
use crate::disk::loading::LoadPurpose;
use crate::disk::snapshot_in::{Arrived, NOTHING, Ready};
use crate::disk::worker::{DiskJob, Then};
use crate::os::host::Host;
use crate::process::os_error::os_error;

impl Host {
    pub fn snapshot_begins(&mut self, node: &mut Node, target: LoadTarget) {
        match target {
            LoadTarget::File => {
                let (unix_s, pid) = (node.now().unix_s(), self.process.identity.pid);
                let dir = &self.config.persistence.dir;
                if let Err(error) = self.disk.incoming.begin_file(dir, unix_s, pid) {
                    let why = format!(
                        "Opening the temp file needed for MASTER <-> REPLICA synchronization: {}",
                        os_error(&error)
                    );
                    self.load_failed(node, &why);
                }
            }
            LoadTarget::Parser => self.begin_stream_load(node, false),
            LoadTarget::ParserSwap { same_history } => self.begin_stream_load(node, same_history),
        }
    }

    fn begin_stream_load(&mut self, node: &mut Node, asynchronous: bool) {
        let reader = self.disk.incoming.begin_stream();
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
        match self.disk.incoming.end() {
            Arrived::File => {}
            // The loader's result is the verification. It knows the end of a snapshot by its last opcode, and
            // may have said so before the mark behind it came; the core did not listen then.
            Arrived::Stream => {
                if self.disk.loading.has_loaded() {
                    let now_ms = node.now_ms();
                    node.repl.load_verified(now_ms);
                }
            }
            Arrived::Broken(why) => self.load_failed(node, &why),
        }
    }

    /// It is on the disk, unless it was given up meanwhile.
    pub fn snapshot_synced(&mut self, node: &mut Node, serial: u32, result: io::Result<()>) {
        match self.disk.incoming.synced(serial, result) {
            None => {}
            Some(Ok((file, len))) => self.rehearse_load(node, file, len),
            Some(Err(why)) => self.load_failed(node, &why),
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
        match self.disk.incoming.take_over() {
            Ready::File(reader) => self.commit_file(node, reader),
            Ready::Stream => match self.disk.loading.take_loaded() {
                Some(loaded) => {
                    self.swap_in(node, *loaded);
                    self.replica_load_done(node);
                }
                None => self.load_failed(node, "the snapshot was not loaded"),
            },
            Ready::Nothing => self.load_failed(node, NOTHING),
        }
    }

    fn commit_file(&mut self, node: &mut Node, reader: io::Result<(File, u64)>) {
        if self.disk.children.is_saving_rdb() {
            let pid = self.disk.children.pid();
            info!(
                "Replica is about to load the RDB file received from the master, but there is a \
                 pending RDB child running. Killing process {pid} and removing its temp file to \
                 avoid any race"
            );
            self.kill_child(node);
        }
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
        let target = self.rdb_path();
        let Some(mut jobs) = self.disk.incoming.install(target.clone()) else { return };
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
        self.disk.incoming.give_up();
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
