//! Performs what the replication core asks for, and tells it what came of it. Decides nothing.

use std::fs::File;

use engine::pause::PauseBy;
use engine::{ClientId, Kind, Peer, Role};
use log::{Level, info, log, warn};
use protocol::Limits;
use repl::{Action, FaultKind, LinkId, LoadTarget, StreamFault};

use crate::boot::LoadPurpose;
use crate::chunk_pipe::chunk_pipe;
use crate::config::{PropagationErrorBehavior, os_error};
use crate::daemon::OomClass;
use crate::event_loop::Server;
use crate::loader::What;
use crate::logging::{self, Speaker};
use crate::repl_driver::client_of;
use crate::snapshot_in::{IncomingFile, IncomingSnapshot};

/// Requests of the master's stream that are parsed ahead.
const REQUESTS_PER_BATCH: usize = 1024;

impl Server {
    /// Replication's part of `before_sleep`.
    pub fn drive_replication(&mut self) {
        let now_ms = self.host.now_ms();
        let repl = &mut self.host.repl;
        let is_due = repl.core.poll_timeout().is_some_and(|at| at <= now_ms);
        if is_due && !self.host.cron_paused {
            repl.core.set_dataset_is_empty(self.engine.keyspace.keys() == 0);
            repl.core.handle_timeout(now_ms);
        }
        // A request for acknowledgements moves the offset, which stands still while writes are paused.
        if repl.acks_wanted && !self.engine.is_paused() {
            repl.acks_wanted = false;
            repl.core.request_acks();
        }
        self.perform_repl_actions();
        if self.host.repl.core.is_stream_held() && !self.engine.is_paused() {
            self.host.repl.core.hold_stream(false);
            self.run_master_stream();
            self.perform_repl_actions();
        }
        if self.host.repl.link.as_ref().is_some_and(|link| link.more) && self.may_read_master() {
            self.read_master_link();
        }
        self.continue_snapshot_pipe();
        if std::mem::take(&mut self.host.repl.acks_changed) {
            self.engine.acks_changed(&mut self.host);
            self.requeue_unblocked();
        }
    }

    /// Tells how far the append-only file is: to those who wait for it here, and to our master.
    pub fn note_fsynced(&mut self) {
        let now_ms = self.host.now_ms();
        self.host.aof.update_fsynced();
        let fsynced = self.host.aof.fsynced_stream_offset();
        self.host.repl.core.set_fsynced_offset(now_ms, fsynced);
        if self.host.repl.noted_fsynced != fsynced {
            self.host.repl.noted_fsynced = fsynced;
            if self.engine.has_ack_waiters() {
                self.engine.acks_changed(&mut self.host);
                self.requeue_unblocked();
            }
        }
    }

    /// More of the master's stream or of a snapshot can be had without waiting for an event.
    pub fn replication_has_more(&self) -> bool {
        let repl = &self.host.repl;
        repl.link.as_ref().is_some_and(|link| link.more) && self.may_read_master()
            || self.host.children.pipe_paused && repl.core.snapshot_wants_data()
    }

    /// Until the core has nothing more to ask for.
    pub fn perform_repl_actions(&mut self) {
        while let Some(action) = self.host.repl.core.poll_action() {
            self.perform_repl_action(action);
        }
        self.follow_role();
    }

    fn perform_repl_action(&mut self, action: Action) {
        match action {
            Action::Log { level, text } => {
                log!(log_level(level), "{text}");
                self.host.supervisor.sync_line(&text);
            }
            Action::Connect { link, host, port } => self.connect_to_master(link, host, port),
            Action::CloseLink { link } => self.close_link(link),
            Action::SendMaster { link, bytes } => self.send_to_master(link, &bytes),
            Action::LoadStart { target, .. } => self.load_start(target),
            Action::LoadChunk(bytes) => {
                if let Some(incoming) = &mut self.host.repl.incoming {
                    incoming.chunk(bytes);
                }
            }
            Action::LoadEnd { .. } => self.load_end(),
            Action::LoadCommit => self.load_commit(),
            Action::LoadAbort => self.load_abort(),
            Action::StreamStart { .. } => self.stream_start(),
            Action::Apply(bytes) => {
                self.host.repl.parser.feed(&bytes);
                if !self.host.repl.core.is_stream_held() {
                    self.run_master_stream();
                }
            }
            Action::StreamEnd => self.stream_end(),
            Action::CloseReplica { conn } => self.host.doomed.push(client_of(conn)),
            Action::StartSnapshot { id, mode, filter } => {
                self.start_replication_snapshot(id, mode, filter);
            }
            Action::PauseWrites => self.engine.pause_writes(PauseBy::Failover, u64::MAX),
            Action::ResumeWrites => {
                // Those who waited are judged by the role that came of it.
                self.follow_role();
                let now = self.host.now;
                self.engine.resume_writes(now, PauseBy::Failover, &mut self.host);
                self.perform_deferred();
            }
            Action::SelectAgain => self.engine.propagation.reselect_stream(),
            Action::CancelSnapshot { id } => {
                let running = self.host.children.running.as_ref();
                if running.is_some_and(|running| running.job.snapshot() == Some(id)) {
                    self.kill_child();
                }
            }
            Action::ReleaseSnapshot { id } => {
                if let Some(file) = self.host.repl.files.remove(&id) {
                    // Closing the last handle of a large, replaced file frees its blocks.
                    crate::lazy_free::free(Box::new(file));
                }
            }
        }
    }

    /// The engine's rules go by the role, and its stream is only made where somebody reads it.
    fn follow_role(&mut self) {
        let core = &self.host.repl.core;
        let is_master = core.is_master();
        self.engine.role = match is_master {
            true => Role::Master,
            false => Role::Replica { link_up: core.is_link_up() },
        };
        self.engine.propagation.set_stream(is_master && core.has_backlog());
        let was_master = std::mem::replace(&mut self.host.repl.followed_master, is_master);
        if was_master == is_master {
            return;
        }
        logging::set_speaker(if is_master { Speaker::Master } else { Speaker::Replica });
        // What goes wrong is in the log, and no reason to stay in the old role.
        let _ = self.host.oom.apply(&self.host.config, OomClass::of_master(is_master));
        // A failover changes the role without REPLICAOF.
        self.host.note_master();
        if was_master {
            self.engine.unblock_for_demotion(&mut self.host);
        }
    }

    // ---- role ----

    /// PSYNC or SYNC was accepted: the connection carries the stream from here on.
    pub fn became_replica(&mut self, id: ClientId) {
        if let Some(client) = self.engine.client_mut(id) {
            client.kind = Kind::Replica;
        }
        if let Some(conn) = self.conns.get_mut(id) {
            let nodelay = !self.host.config.replication.repl_disable_tcp_nodelay;
            // The stream flows either way.
            let _ = conn.stream.set_nodelay(nodelay);
        }
        self.perform_repl_actions();
    }

    fn close_link(&mut self, id: LinkId) {
        if self.host.repl.link.as_ref().is_some_and(|link| link.id == id) {
            self.close_master_link();
        }
    }

    // ---- the stream ----

    fn stream_start(&mut self) {
        let db = self.host.repl.stream_db;
        let client = self.master_client();
        self.host.repl.parser = protocol::RequestParser::new();
        self.host.repl.unreported_bytes = 0;
        if let Some(client) = self.engine.client_mut(client) {
            client.db = db;
        }
    }

    fn stream_end(&mut self) {
        let Some(id) = self.host.repl.master_client.take() else { return };
        // Should the stream be resumed, it goes on in this database; what a transaction had queued
        // comes again.
        self.host.repl.stream_db = self.engine.client(id).map_or(0, |client| client.db);
        self.host.repl.parser = protocol::RequestParser::new();
        self.host.repl.unreported_bytes = 0;
        self.engine.disconnect(id);
    }

    fn master_client(&mut self) -> ClientId {
        if let Some(id) = self.host.repl.master_client {
            return id;
        }
        let addr = self.host.repl.core.master_addr();
        let addr = addr.map_or_else(String::new, |addr| format!("{}:{}", addr.host, addr.port));
        let peer = Peer { addr, ..Peer::default() };
        let id = self.engine.connect(self.host.now, Kind::Master, peer);
        self.host.repl.master_client = Some(id);
        id
    }

    /// The database in which the master's stream stands.
    pub fn master_stream_db(&self) -> usize {
        let client = self.host.repl.master_client.and_then(|id| self.engine.client(id));
        client.map_or(self.host.repl.stream_db, |client| client.db)
    }

    fn run_master_stream(&mut self) {
        let Some(id) = self.host.repl.master_client else { return };
        let now_ms = self.host.now_ms();
        // The parser is lent out, because commands run with the host that holds it.
        let mut parser = std::mem::take(&mut self.host.repl.parser);
        let limits = Limits::master(self.engine.settings.proto_max_bulk_len as i64);
        let fault = 'stream: loop {
            let count = match parser.parse(&limits, REQUESTS_PER_BATCH) {
                Ok(0) => break None,
                Ok(count) => count,
                Err(error) => {
                    warn!("Protocol error ({error}) from master");
                    let why = error.to_string();
                    break Some(StreamFault {
                        kind: FaultKind::DataDiffer,
                        command: String::new(),
                        why,
                    });
                }
            };
            let mut ran = 0;
            for i in 0..count {
                let request = parser.request(i);
                if self.engine.must_hold(id, request.args()) {
                    break;
                }
                ran += 1;
                self.engine.execute(self.host.now, &mut self.host, id, request.args());
                if let Some(found) = self.engine.take_stream_fault()
                    && let Some(fault) = self.judge_stream_fault(found)
                {
                    break 'stream Some(fault);
                }
                self.host.repl.unreported_bytes += request.raw_len() as u64;
                // Inside a transaction is no point to resume from.
                let in_multi = self.engine.client(id).is_some_and(|client| client.multi.is_some());
                if !in_multi {
                    let n = std::mem::take(&mut self.host.repl.unreported_bytes);
                    self.host.repl.core.applied(now_ms, n);
                }
            }
            parser.consume(ran);
            if ran < count {
                self.host.repl.core.hold_stream(true);
                break None;
            }
        };
        self.host.repl.parser = parser;
        if let (Some(fault), Some(link)) = (fault, &self.host.repl.link) {
            let link = link.id;
            self.host.repl.core.handle_stream_fault(now_ms, link, fault);
        }
    }

    /// What `propagation-error-behavior` makes of a command of the stream that failed: None goes on.
    fn judge_stream_fault(&self, found: engine::StreamFault) -> Option<StreamFault> {
        let engine::StreamFault { command, error, data_differ } = found;
        match self.host.config.replication.propagation_error_behavior {
            PropagationErrorBehavior::Ignore => None,
            PropagationErrorBehavior::Stop => Some(StreamFault {
                kind: if data_differ { FaultKind::DataDiffer } else { FaultKind::NotUnderstood },
                command,
                why: error.to_string(),
            }),
            PropagationErrorBehavior::Panic | PropagationErrorBehavior::PanicOnReplicas => {
                panic!("propagation-error-behavior: '{command}' of the master's stream: {error}")
            }
        }
    }

    // ---- an arriving snapshot ----

    fn load_start(&mut self, target: LoadTarget) {
        match target {
            LoadTarget::File => {
                let name =
                    format!("temp-{}.{}.rdb", self.host.now.unix_s(), self.host.identity.pid);
                let path = self.host.config.persistence.dir.join(name);
                match IncomingFile::create(path) {
                    Ok(file) => self.host.repl.incoming = Some(IncomingSnapshot::File(file)),
                    Err(error) => {
                        let why = format!(
                            "Opening the temp file needed for MASTER <-> REPLICA synchronization: \
                             {}",
                            os_error(&error)
                        );
                        self.load_failed(&why);
                    }
                }
            }
            LoadTarget::Parser => self.begin_stream_load(false),
            LoadTarget::ParserSwap { same_history } => self.begin_stream_load(same_history),
        }
    }

    fn begin_stream_load(&mut self, asynchronous: bool) {
        let (feed, reader) = chunk_pipe(self.host.mailer.clone());
        self.host.repl.incoming = Some(IncomingSnapshot::Stream { feed: Some(feed) });
        let started =
            self.start_loading(What::Stream(reader), LoadPurpose::ReplicaStream, asynchronous);
        if let Err(error) = started {
            self.load_failed(&os_error(&error));
        }
    }

    fn load_end(&mut self) {
        match &mut self.host.repl.incoming {
            Some(IncomingSnapshot::File(file)) => {
                let verified =
                    file.verify().and_then(|()| file.reader().map_err(|error| os_error(&error)));
                match verified {
                    Ok((file, len)) => self.rehearse_load(file, len),
                    Err(why) => self.load_failed(&why),
                }
            }
            // The loader's result is the verification.
            Some(IncomingSnapshot::Stream { feed }) => {
                if let Some(feed) = feed.take() {
                    feed.finish();
                }
                // The loader knows the end of a snapshot by its last opcode, and may have said so before
                // the mark behind it came; the core did not listen then.
                if self.host.loaded.is_some() {
                    let now_ms = self.host.now_ms();
                    self.host.repl.core.load_verified(now_ms);
                }
            }
            None => self.load_failed("nothing was received"),
        }
    }

    /// A right checksum says that nothing was lost on the way, not that what was sent can be loaded.
    /// The old data set is given up for what can; where there is none, the load itself will show.
    fn rehearse_load(&mut self, file: File, len: u64) {
        let history = self.host.repl.core.history_point();
        let has_history = history.is_some_and(|point| point.offset > 0);
        let nothing_to_lose =
            self.engine.keyspace.keys() == 0 && self.host.rdb.functions.is_empty() && !has_history;
        if nothing_to_lose {
            let now_ms = self.host.now_ms();
            return self.host.repl.core.load_verified(now_ms);
        }
        let what = What::Rehearsal { file, len };
        if let Err(error) = self.start_loader(what, LoadPurpose::ReplicaRehearsal) {
            self.load_failed(&os_error(&error));
        }
    }

    fn load_commit(&mut self) {
        match self.host.repl.incoming.take() {
            Some(IncomingSnapshot::File(file)) => self.commit_file(file),
            Some(IncomingSnapshot::Stream { .. }) => match self.host.loaded.take() {
                Some(loaded) => {
                    self.swap_in(*loaded);
                    self.replica_load_done();
                }
                None => self.load_failed("the snapshot was not loaded"),
            },
            None => self.load_failed("nothing was received"),
        }
    }

    fn commit_file(&mut self, file: IncomingFile) {
        if self.host.children.is_saving_rdb() {
            let pid = self.host.children.running.as_ref().map_or(0, |r| r.child.pid);
            info!(
                "Replica is about to load the RDB file received from the master, but there is a \
                 pending RDB child running. Killing process {pid} and removing its temp file to \
                 avoid any race"
            );
            self.kill_child();
        }
        let reader = file.reader();
        // Kept until it is loaded: it gets its name then, or goes with `load_abort`.
        self.host.repl.incoming = Some(IncomingSnapshot::File(file));
        let started = reader.and_then(|(file, len)| {
            self.empty_keyspace();
            self.start_loading(What::Rdb { file, len }, LoadPurpose::ReplicaFile, false)
        });
        if let Err(error) = started {
            self.load_failed(&os_error(&error));
        }
    }

    /// The snapshot that was received is the data set now, and is to be what a restart finds.
    pub fn install_snapshot(&mut self) {
        let Some(IncomingSnapshot::File(file)) = self.host.repl.incoming.take() else { return };
        let target = self.host.rdb_path();
        if let Err(error) = file.install(&target) {
            // The data is here, and the next save tries the same name again.
            warn!(
                "Failed trying to rename the temp DB into {} in MASTER <-> REPLICA \
                 synchronization: {}",
                target.display(),
                os_error(&error)
            );
        }
        if self.must_delete_sync_files() {
            info!(
                "Removing the RDB file obtained from the master. This replica has persistence disabled"
            );
            self.delete_rdb_file();
        }
    }

    fn load_abort(&mut self) {
        self.stop_loading();
        if let Some(IncomingSnapshot::File(file)) = self.host.repl.incoming.take() {
            file.discard();
        }
    }

    pub fn load_failed(&mut self, why: &str) {
        let now_ms = self.host.now_ms();
        self.host.repl.core.load_failed(now_ms, why);
    }

    /// The data set is the master's.
    pub fn replica_load_done(&mut self) {
        let now_ms = self.host.now_ms();
        self.host.repl.core.load_done(now_ms);
        if self.host.config.persistence.appendonly {
            self.restart_aof();
        }
    }

    fn empty_keyspace(&mut self) {
        let old = self.engine.keyspace.take();
        self.engine.dataset_replaced();
        crate::lazy_free::free(Box::new(old));
    }
}

fn log_level(level: repl::Level) -> Level {
    match level {
        repl::Level::Debug => Level::Trace,
        repl::Level::Verbose => Level::Debug,
        repl::Level::Notice => Level::Info,
        repl::Level::Warning => Level::Warn,
    }
}
