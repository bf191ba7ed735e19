//! The stream of our master: cut into commands and run by the same door as everybody's, with its place
//! reported at each boundary. Must not decide where the stream begins or ends: the core does.

use engine::{ClientId, KeysAhead, Kind, PREFETCH_BATCH, Peer};
use protocol::{Limits, RequestParser};
use repl::{FaultKind, Level, LinkId, StreamFault};

use crate::{Node, Os};

/// Requests that are parsed ahead.
const REQUESTS_PER_BATCH: usize = 1024;

#[derive(Default)]
pub(crate) struct MasterStream {
    /// The engine's client that runs the stream; made at the first.
    pub client: Option<ClientId>,
    /// Over which link it comes.
    link: Option<LinkId>,
    parser: RequestParser,
    /// Bytes that were run but do not end at a boundary: inside MULTI.
    unreported_bytes: u64,
    /// The database in which a stream goes on that was resumed or follows a snapshot.
    db: usize,
}

impl Node {
    // What the core has asked for before comes before what it is told now: bytes that it has handed over are
    // applied, and counted, before it hears that the link is gone.

    pub fn handle_connected<O: Os>(&mut self, os: &mut O, link: LinkId) {
        self.act(os);
        self.repl.handle_connected(self.now_ms(), link);
        self.act(os);
    }

    pub fn handle_connect_failed<O: Os>(&mut self, os: &mut O, link: LinkId, why: &str) {
        self.act(os);
        self.repl.handle_connect_failed(self.now_ms(), link, why);
        self.act(os);
    }

    pub fn handle_link_closed<O: Os>(&mut self, os: &mut O, link: LinkId, why: &str) {
        self.act(os);
        self.repl.handle_link_closed(self.now_ms(), link, why);
        self.act(os);
    }

    /// Bytes of the master's, as they come; only while [`Self::wants_master_bytes`].
    pub fn handle_master_bytes<O: Os>(&mut self, os: &mut O, link: LinkId, bytes: &[u8]) {
        self.act(os);
        self.state.stream.link = Some(link);
        self.repl.handle_bytes(self.now_ms(), link, bytes);
        self.act(os);
    }

    /// Whether there is room for more of the master's bytes.
    pub fn wants_master_bytes<O: Os>(&self, os: &O) -> bool {
        self.repl.wants_master_bytes() && os.has_room_for_snapshot()
    }

    /// The database in which the stream stands: our own, or the master's.
    pub fn stream_db(&self) -> usize {
        if self.repl.is_master() {
            return self.engine.propagation.stream_db().unwrap_or(0);
        }
        let client = self.state.stream.client.and_then(|id| self.engine.client(id));
        client.map_or(self.state.stream.db, |client| client.db)
    }

    /// A data set was loaded whose stream goes on in `db`.
    pub fn set_stream_db(&mut self, db: usize) {
        self.state.stream.db = db.min(self.engine.keyspace.len() - 1);
    }

    /// The engine's client that runs the master's stream.
    pub fn master_client(&self) -> Option<ClientId> {
        self.state.stream.client
    }

    pub(crate) fn stream_start(&mut self) {
        let id = self.make_master_client();
        let stream = &mut self.state.stream;
        let db = stream.db;
        stream.begin_anew();
        if let Some(client) = self.engine.client_mut(id) {
            client.db = db;
        }
    }

    pub(crate) fn stream_end(&mut self) {
        let Some(id) = self.state.stream.client.take() else { return };
        let stream = &mut self.state.stream;
        // Should the stream be resumed, it goes on in this database; what a transaction had queued
        // comes again.
        stream.db = self.engine.client(id).map_or(0, |client| client.db);
        stream.begin_anew();
        self.engine.disconnect(id);
    }

    fn make_master_client(&mut self) -> ClientId {
        if let Some(id) = self.state.stream.client {
            return id;
        }
        let addr = self.repl.master_addr();
        let addr = addr.map_or_else(String::new, |addr| format!("{}:{}", addr.host, addr.port));
        let id = self.connect(Kind::Master, Peer { addr, ..Peer::default() });
        self.state.stream.client = Some(id);
        id
    }

    pub(crate) fn apply<O: Os>(&mut self, os: &mut O, bytes: &[u8]) {
        self.state.stream.parser.feed(bytes);
        if !self.repl.is_stream_held() {
            self.run_stream(os);
        }
    }

    /// What a pause has held back, once it is over.
    pub(crate) fn go_on_with_stream<O: Os>(&mut self, os: &mut O) {
        if self.repl.is_stream_held() && !self.engine.is_paused() {
            self.repl.hold_stream(false);
            self.run_stream(os);
        }
    }

    fn run_stream<O: Os>(&mut self, os: &mut O) {
        let Some(id) = self.state.stream.client else { return };
        let (now, now_ms) = (self.now, self.now_ms());
        // The parser is lent out, because commands run with the state that holds it.
        let mut parser = std::mem::take(&mut self.state.stream.parser);
        let limits = Limits::master(self.engine.settings.proto_max_bulk_len as i64);
        let fault = 'stream: loop {
            let count = match parser.parse(&limits, REQUESTS_PER_BATCH) {
                Ok(0) => break None,
                Ok(count) => count,
                Err(error) => {
                    os.log(Level::Warning, &format!("Protocol error ({error}) from master"));
                    let (kind, why) = (FaultKind::DataDiffer, error.to_string());
                    break Some(StreamFault { kind, command: String::new(), why });
                }
            };
            let mut ahead = KeysAhead::default();
            let mut ran = 0;
            for i in 0..count {
                if i % PREFETCH_BATCH == 0 && count - i > 1 {
                    let batch = (i..count).map(|at| parser.request(at).args());
                    ahead = self.engine.prefetch(id, batch);
                }
                let request = parser.request(i);
                let key = ahead.next_key();
                if self.engine.must_hold(id, request.args()) {
                    break;
                }
                ran += 1;
                let (engine, mut border) = self.border(os);
                engine.execute_hashed(now, &mut border, id, request.args(), key);
                if let Some(found) = self.engine.take_stream_fault()
                    && os.stops_at(&found)
                {
                    break 'stream Some(fault_of(found));
                }
                self.state.stream.unreported_bytes += request.raw_len() as u64;
                // Inside a transaction is no point to resume from.
                let in_multi = self.engine.client(id).is_some_and(|client| client.multi.is_some());
                if !in_multi {
                    let n = std::mem::take(&mut self.state.stream.unreported_bytes);
                    self.repl.applied(now_ms, n);
                }
            }
            parser.consume(ran);
            if ran < count {
                self.repl.hold_stream(true);
                break None;
            }
        };
        self.state.stream.parser = parser;
        if let (Some(fault), Some(link)) = (fault, self.state.stream.link) {
            self.repl.handle_stream_fault(now_ms, link, fault);
        }
    }
}

fn fault_of(found: engine::StreamFault) -> StreamFault {
    let engine::StreamFault { command, error, data_differ } = found;
    let kind = if data_differ { FaultKind::DataDiffer } else { FaultKind::NotUnderstood };
    StreamFault { kind, command, why: error.to_string() }
}

impl MasterStream {
    fn begin_anew(&mut self) {
        self.parser = RequestParser::new();
        self.unreported_bytes = 0;
    }
}
