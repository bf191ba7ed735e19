//! One simulated server: performs the actions of its `Repl` against the network and its store, as
//! the real driver does, and decides nothing. Must not know of faults, other nodes or the plan.

use super::cluster::{Later, World};
use super::net::{End, NetEvent};
use super::store::{SnapshotHeader, Step, Store};
use bytes::Bytes;
use protocol::{Limits, RequestParser};
use repl::{
    Action, ConnId, FailoverRequest, LinkId, LoadTarget, MasterAddr, Outgoing, Repl, ReplSettings,
    ReplconfReply, SnapshotEvent, SnapshotId, SnapshotMode, SnapshotProgress, SyncRequest,
};
use std::collections::{BTreeMap, VecDeque};
use std::io::IoSlice;

/// A client connection: in this world only replicas connect.
struct Peer {
    end: End,
    /// Hosts are numbers here.
    ip: String,
    parser: RequestParser,
    replies: Vec<u8>,
}

struct Link {
    id: LinkId,
    end: End,
    out: Vec<u8>,
    /// The other side has closed; what was received before is still to be read.
    is_over: bool,
}

/// A snapshot on its way in.
struct Incoming {
    target: LoadTarget,
    bytes: Vec<u8>,
    load: u64,
    header: Option<SnapshotHeader>,
    is_committing: bool,
}

/// A forked child that writes a snapshot.
struct Child {
    id: SnapshotId,
    mode: SnapshotMode,
    data: Vec<u8>,
    written: usize,
}

/// One server.
pub struct Node<S> {
    pub id: usize,
    pub is_up: bool,
    /// Counts starts: what was scheduled for an earlier life is ignored.
    pub life: u64,
    pub repl: Repl,
    pub store: S,
    /// What survives a restart.
    pub dump: Option<Vec<u8>>,
    pub settings: ReplSettings,
    link: Option<Link>,
    peers: BTreeMap<ConnId, Peer>,
    incoming: Option<Incoming>,
    child: Option<Child>,
    files: BTreeMap<SnapshotId, Vec<u8>>,
    /// Bytes of the stream that are not applied yet, for the oracle.
    unapplied: VecDeque<u8>,
    /// Clients' writes wait, and nothing expires.
    is_paused: bool,
    last_conn: u64,
    last_load: u64,
    seen: (String, u64),
}

impl<S: Store> Node<S> {
    pub fn new(id: usize, now_ms: u64, settings: ReplSettings, seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let entropy = Box::new(move || std::array::from_fn(|_| rng.u8(..)));
        Self {
            id,
            is_up: true,
            life: 0,
            repl: Repl::new(now_ms, settings.clone(), entropy),
            store: S::new(seed),
            dump: None,
            settings,
            link: None,
            peers: BTreeMap::new(),
            incoming: None,
            child: None,
            files: BTreeMap::new(),
            unapplied: VecDeque::new(),
            is_paused: false,
            last_conn: 0,
            last_load: 0,
            seen: (String::new(), 0),
        }
    }

    /// Starts: loads the dump if there is one, and takes up the role.
    pub fn boot(&mut self, world: &mut World, master: Option<MasterAddr>) {
        let mut history = None;
        if let Some(dump) = &self.dump {
            let header = S::verify(dump).expect("our own dump is sound");
            self.store.load(dump);
            self.store.reset_stream(Some(header.stream_db));
            history = header.history;
        }
        self.repl.boot(world.now_ms, master, history);
        self.settle(world);
    }

    /// Another life with the same disk.
    pub fn restart(&mut self, world: &mut World, master: Option<MasterAddr>, seed: u64) {
        let mut next = Self::new(self.id, world.now_ms, self.settings.clone(), seed);
        next.dump = self.dump.take();
        next.life = self.life + 1;
        *self = next;
        self.boot(world, master);
    }

    /// Writes the dump, as SAVE does.
    pub fn save(&mut self) {
        self.dump = Some(self.store.snapshot(&self.header()));
    }

    /// A client writes, if this is a master.
    pub fn client_write(&mut self, world: &mut World, count: usize) {
        if !self.repl.is_master() || self.is_paused {
            return;
        }
        for _ in 0..count {
            let bytes = self.store.write(world.now_ms, &mut world.rng);
            self.propagate(world, &bytes);
        }
        self.settle(world);
    }

    /// A failover that has not come to its end is aborted first, as an operator has to.
    pub fn replicaof(&mut self, world: &mut World, master: Option<MasterAddr>) {
        self.abort_failover(world);
        match master {
            Some(addr) => drop(self.repl.replicaof(world.now_ms, addr, "sim")),
            None => drop(self.repl.replicaof_no_one(world.now_ms, "sim")),
        }
        self.settle(world);
    }

    pub fn failover(&mut self, world: &mut World, request: FailoverRequest) {
        if let Err(why) = self.repl.failover(world.now_ms, request) {
            world.trace(self.id, why);
        }
        self.settle(world);
    }

    pub fn abort_failover(&mut self, world: &mut World) {
        if self.repl.abort_failover(world.now_ms).is_ok() {
            self.settle(world);
        }
    }

    /// The connection to the master.
    pub fn link_end(&self) -> Option<End> {
        self.link.as_ref().map(|link| link.end)
    }

    pub fn tick(&mut self, world: &mut World) {
        if !self.is_paused {
            let bytes = self.store.cron(world.now_ms);
            self.propagate(world, &bytes);
        }
        self.repl.handle_timeout(world.now_ms);
        self.settle(world);
    }

    pub fn handle_net(&mut self, world: &mut World, event: NetEvent) {
        match event {
            NetEvent::Accepted(end) => {
                self.last_conn += 1;
                let ip = world.net.peer_node(end).to_string();
                let peer = Peer { end, ip, parser: RequestParser::new(), replies: Vec::new() };
                self.peers.insert(ConnId(self.last_conn), peer);
            }
            NetEvent::Connected(end) => {
                if let Some(id) = self.link_at(end) {
                    self.repl.handle_connected(world.now_ms, id);
                }
            }
            NetEvent::Refused(end) => {
                if let Some(id) = self.link_at(end) {
                    self.link = None;
                    self.repl.handle_connect_failed(world.now_ms, id, "Connection refused");
                }
            }
            NetEvent::Readable(end) => self.read(world, end),
            NetEvent::Writable(_) => {}
            NetEvent::Closed(end) => {
                self.read(world, end);
                self.closed(world, end);
            }
        }
        self.settle(world);
    }

    pub fn handle_later(&mut self, world: &mut World, later: &Later) {
        match *later {
            Later::Verified { load } => {
                let Some(incoming) = self.incoming.as_mut().filter(|i| i.load == load) else {
                    return;
                };
                match S::verify(&incoming.bytes) {
                    Ok(header) if world.rng.f64() >= world.faults.load_fails => {
                        incoming.header = Some(header);
                        self.repl.load_verified(world.now_ms);
                    }
                    other => {
                        let why = other.err().unwrap_or("disk is full".into());
                        self.repl.load_failed(world.now_ms, &why);
                    }
                }
            }
            Later::Loaded { load } => {
                let Some(incoming) = self.incoming.take_if(|i| i.load == load) else { return };
                if world.rng.f64() < world.faults.load_fails {
                    self.incoming = Some(incoming);
                    self.repl.load_failed(world.now_ms, "out of luck");
                } else {
                    self.store.load(&incoming.bytes);
                    let header = incoming.header.expect("it was verified");
                    self.store.reset_stream(Some(header.stream_db));
                    if self.dump.is_some() {
                        self.dump = Some(incoming.bytes);
                    }
                    self.repl.load_done(world.now_ms);
                    self.settle(world);
                    self.read_link(world);
                }
            }
            Later::ChildStep { id } => self.child_step(world, id),
        }
        self.settle(world);
    }

    /// Does everything that has become possible: actions, then output, until nothing is left.
    pub fn settle(&mut self, world: &mut World) {
        loop {
            let mut acted = false;
            while let Some(action) = self.repl.poll_action() {
                acted = true;
                self.perform(world, action);
            }
            let is_master = self.repl.is_master();
            self.store.set_role(is_master, is_master && self.repl.has_backlog());
            self.flush(world);
            if !acted {
                break;
            }
        }
        self.watch(world);
    }

    fn perform(&mut self, world: &mut World, action: Action) {
        match action {
            Action::Log { text, .. } => world.trace(self.id, &text),
            Action::Connect { link, host, .. } => {
                let to: usize = host.parse().expect("hosts are numbers here");
                let end = world.connect(self.id, to);
                self.link = Some(Link { id: link, end, out: Vec::new(), is_over: false });
            }
            Action::CloseLink { link } => {
                if let Some(link) = self.link.take_if(|l| l.id == link) {
                    world.net.close(world.now_ms, link.end);
                }
            }
            Action::SendMaster { link, bytes } => {
                if let Some(link) = self.link.as_mut().filter(|l| l.id == link) {
                    link.out.extend_from_slice(&bytes);
                }
            }
            Action::CloseReplica { conn } => {
                if let Some(peer) = self.peers.remove(&conn) {
                    world.net.close(world.now_ms, peer.end);
                }
            }
            Action::StartSnapshot { id, mode, .. } => self.start_snapshot(world, id, mode),
            Action::SelectAgain => self.store.select_again(),
            Action::PauseWrites => self.is_paused = true,
            Action::ResumeWrites => self.is_paused = false,
            Action::CancelSnapshot { id } => drop(self.child.take_if(|c| c.id == id)),
            Action::ReleaseSnapshot { id } => drop(self.files.remove(&id)),
            load_or_stream => self.perform_load(world, load_or_stream),
        }
    }

    fn perform_load(&mut self, world: &mut World, action: Action) {
        match action {
            Action::LoadStart { target, .. } => {
                self.last_load += 1;
                self.incoming = Some(Incoming {
                    target,
                    bytes: Vec::new(),
                    load: self.last_load,
                    header: None,
                    is_committing: false,
                });
            }
            Action::LoadChunk(bytes) => {
                let incoming = self.incoming.as_mut().expect("a load has started");
                incoming.bytes.extend_from_slice(&bytes);
            }
            Action::LoadEnd { size_bytes } => {
                let incoming = self.incoming.as_ref().expect("a load has started");
                assert_eq!(incoming.bytes.len() as u64, size_bytes);
                world.later(self.id, self.life, 500, Later::Verified { load: incoming.load });
            }
            Action::LoadCommit => {
                let incoming = self.incoming.as_mut().expect("a load has started");
                incoming.is_committing = true;
                let load = incoming.load;
                if incoming.target == LoadTarget::File {
                    self.store.clear();
                }
                world.later(self.id, self.life, 500, Later::Loaded { load });
            }
            Action::LoadAbort => {
                if let Some(incoming) = self.incoming.take()
                    && incoming.is_committing
                {
                    self.store.clear();
                }
            }
            Action::StreamStart { .. } | Action::StreamEnd => {
                self.store.reset_stream(None);
                self.unapplied.clear();
            }
            Action::Apply(bytes) => self.apply(world, &bytes),
            other => unreachable!("{other:?} is performed elsewhere"),
        }
    }

    fn apply(&mut self, world: &mut World, bytes: &[u8]) {
        self.store.feed(bytes);
        self.unapplied.extend(bytes);
        loop {
            let (n, is_getack) = match self.store.step(world.now_ms) {
                Ok(Some(Step::Applied(n))) => (n, false),
                Ok(Some(Step::Getack(n))) => (n, true),
                Ok(None) => break,
                Err(why) => panic!("node {}: the stream is broken: {why}", self.id),
            };
            if is_getack {
                self.repl.handle_getack(world.now_ms);
            }
            let (replid, offset) = (self.repl.ids().replid, self.repl.offset());
            let applied: Vec<u8> = self.unapplied.drain(..n as usize).collect();
            world.ledger.check(replid.as_str(), offset + 1, &applied);
            self.repl.applied(world.now_ms, n);
        }
    }

    fn propagate(&mut self, world: &mut World, bytes: &[u8]) {
        let first = self.repl.offset() + 1;
        self.repl.handle_write(bytes);
        if self.repl.offset() >= first {
            world.ledger.check(self.repl.ids().replid.as_str(), first, bytes);
        }
    }

    fn start_snapshot(&mut self, world: &mut World, id: SnapshotId, mode: SnapshotMode) {
        if world.rng.f64() < world.faults.fork_fails {
            let why = "Cannot allocate memory".to_string();
            return self.repl.handle_snapshot(world.now_ms, SnapshotEvent::Failed { id, why });
        }
        let data = self.store.snapshot(&self.header());
        self.child = Some(Child { id, mode, data, written: 0 });
        self.repl.handle_snapshot(world.now_ms, SnapshotEvent::Started { id });
        world.later(self.id, self.life, 300, Later::ChildStep { id });
    }

    fn child_step(&mut self, world: &mut World, id: SnapshotId) {
        let Some(child) = self.child.as_mut().filter(|c| c.id == id) else { return };
        if world.rng.f64() < world.faults.snapshot_fails {
            self.child = None;
            let why = "signal 9".to_string();
            return self.repl.handle_snapshot(world.now_ms, SnapshotEvent::Failed { id, why });
        }
        if child.mode == SnapshotMode::Socket && child.written < child.data.len() {
            if self.repl.snapshot_wants_data() {
                let n = world.rng.usize(1..=1000).min(child.data.len() - child.written);
                let bytes = Bytes::copy_from_slice(&child.data[child.written..][..n]);
                child.written += n;
                let (keys, keys_total) = (child.written as u64, child.data.len() as u64);
                let progress = SnapshotProgress { keys, keys_total, bytes: keys };
                self.repl.handle_snapshot(world.now_ms, SnapshotEvent::Progress { id, progress });
                self.repl.handle_snapshot(world.now_ms, SnapshotEvent::Chunk { id, bytes });
            }
            return world.later(self.id, self.life, 50, Later::ChildStep { id });
        }
        let child = self.child.take().expect("it was just seen");
        let size_bytes = child.data.len() as u64;
        if child.mode == SnapshotMode::Disk {
            self.files.insert(id, child.data);
        }
        self.repl.handle_snapshot(world.now_ms, SnapshotEvent::Ready { id, size_bytes });
    }

    fn header(&self) -> SnapshotHeader {
        let stream_db = self.store.stream_db();
        SnapshotHeader { history: self.repl.history_point(), stream_db }
    }

    fn link_at(&self, end: End) -> Option<LinkId> {
        self.link.as_ref().filter(|l| l.end == end).map(|l| l.id)
    }

    fn peer_at(&self, end: End) -> Option<ConnId> {
        self.peers.iter().find(|(_, p)| p.end == end).map(|(conn, _)| *conn)
    }

    fn read(&mut self, world: &mut World, end: End) {
        if self.link_at(end).is_some() {
            self.read_link(world);
        } else if let Some(conn) = self.peer_at(end) {
            self.read_peer(world, conn);
        }
    }

    fn read_link(&mut self, world: &mut World) {
        while let Some(link) = &self.link
            && self.repl.wants_master_bytes()
        {
            let (id, end) = (link.id, link.end);
            let bytes = world.net.read(end);
            if bytes.is_empty() {
                if link.is_over {
                    self.link = None;
                    self.repl.handle_link_closed(world.now_ms, id, "connection lost");
                    self.settle(world);
                }
                break;
            }
            self.repl.handle_bytes(world.now_ms, id, &bytes);
            self.settle(world);
        }
    }

    fn read_peer(&mut self, world: &mut World, conn: ConnId) {
        while let Some(peer) = self.peers.get_mut(&conn) {
            let bytes = world.net.read(peer.end);
            if bytes.is_empty() {
                break;
            }
            peer.parser.feed(&bytes);
            self.repl.handle_replica_alive(world.now_ms, conn);
            self.run_requests(world, conn);
        }
    }

    fn run_requests(&mut self, world: &mut World, conn: ConnId) {
        let limits = Limits::default();
        while let Some(peer) = self.peers.get_mut(&conn) {
            match peer.parser.parse(&limits, 1) {
                Ok(0) => break,
                Ok(_) => {}
                Err(why) => panic!("node {}: a replica sent nonsense: {why}", self.id),
            }
            let args: Vec<Vec<u8>> = peer.parser.request(0).args().iter().map(Vec::from).collect();
            peer.parser.consume(1);
            let words: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
            let reply = self.run_request(world, conn, &words);
            self.settle(world);
            if let Some(peer) = self.peers.get_mut(&conn) {
                peer.replies.extend_from_slice(reply.as_bytes());
            }
        }
    }

    fn run_request(&mut self, world: &mut World, conn: ConnId, words: &[&[u8]]) -> String {
        let now_ms = world.now_ms;
        let ip = self.peers.get(&conn).map_or_else(String::new, |peer| peer.ip.clone());
        let result = match words {
            [b"PING"] => return "+PONG\r\n".into(),
            [b"AUTH", ..] => return "+OK\r\n".into(),
            [b"REPLCONF", words @ ..] => {
                return match self.repl.replica_replconf(now_ms, conn, words) {
                    ReplconfReply::Ok => "+OK\r\n".into(),
                    ReplconfReply::Silent => String::new(),
                    ReplconfReply::Error(text) => format!("-{text}\r\n"),
                };
            }
            [b"PSYNC", replid, offset, option @ ..] => {
                if let [b"FAILOVER"] = option
                    && let Err(why) = self.repl.handle_failover_request(now_ms, replid, "sim")
                {
                    return format!("-{why}\r\n");
                }
                let peer_ip = ip.as_str();
                self.repl.replica_psync(now_ms, SyncRequest { conn, peer_ip, replid, offset })
            }
            [b"SYNC"] => self.repl.replica_sync(now_ms, conn, &ip),
            other => panic!("node {}: unexpected request {other:?}", self.id),
        };
        result.map_or_else(|refusal| format!("-{}\r\n", refusal.text()), |()| String::new())
    }

    fn closed(&mut self, world: &mut World, end: End) {
        if self.link_at(end).is_some() {
            if let Some(link) = &mut self.link {
                link.is_over = true;
            }
            self.read_link(world);
        } else if let Some(conn) = self.peer_at(end) {
            self.peers.remove(&conn);
            self.repl.handle_conn_closed(world.now_ms, conn);
        }
    }

    fn flush(&mut self, world: &mut World) {
        if let Some(link) = &mut self.link {
            let n = world.net.write(world.now_ms, link.end, &link.out);
            link.out.drain(..n);
        }
        for peer in self.peers.values_mut().filter(|p| !p.replies.is_empty()) {
            let n = world.net.write(world.now_ms, peer.end, &peer.replies);
            peer.replies.drain(..n);
        }
        let conns: Vec<ConnId> = self.repl.conns_with_output().collect();
        for conn in conns {
            self.flush_replica(world, conn);
        }
    }

    fn flush_replica(&mut self, world: &mut World, conn: ConnId) {
        let Some(peer) = self.peers.get(&conn) else { return };
        if !peer.replies.is_empty() {
            return;
        }
        loop {
            let mut slices = [IoSlice::new(&[]); 3];
            let (mut sent, mut offered) = (0, 0);
            match self.repl.outgoing(conn, &mut slices) {
                Outgoing::Nothing => return,
                Outgoing::Slices(n) => {
                    for slice in &slices[..n] {
                        offered += slice.len();
                        sent += world.net.write(world.now_ms, peer.end, slice);
                        if sent < offered {
                            break;
                        }
                    }
                }
                Outgoing::File { id, position, len } => {
                    let file = &self.files[&id][position as usize..];
                    assert_eq!(file.len() as u64, len);
                    offered = file.len();
                    sent = world.net.write(world.now_ms, peer.end, file);
                }
            }
            if sent > 0 {
                self.repl.sent(world.now_ms, conn, sent as u64);
            }
            if sent < offered {
                return;
            }
        }
    }

    /// The oracles that hold at every moment.
    fn watch(&mut self, world: &mut World) {
        let (replid, offset) = (self.repl.ids().replid, self.repl.offset());
        if self.seen.0 == replid.as_str() {
            assert!(offset >= self.seen.1, "node {}: the offset went back", self.id);
        } else {
            self.seen.0 = replid.to_string();
        }
        self.seen.1 = offset;
        world.watches += 1;
        if world.watches.is_multiple_of(64) {
            let view = self.repl.view(world.now_ms);
            let backlog = view.backlog;
            if backlog.is_active {
                assert_eq!(backlog.first_byte_offset + backlog.len_bytes, view.offset + 1);
                assert!(backlog.len_bytes <= backlog.size_bytes);
            }
            for replica in &view.replicas {
                assert!(replica.offset <= view.offset, "a replica acknowledged the future");
            }
        }
    }
}
