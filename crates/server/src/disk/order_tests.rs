//! The order in which a write, its fsync and its reply reach the outside, seen at two seams: the file's
//! at `disk::files::Disk`, the client's at `node::Os::send`.

use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use engine::world::{Configuration, EngineMemory, InfoLines, Persistence, ShutdownFlags};
use engine::{
    Action, Client, ClientId, CommandError, Engine, Kind, Outcome, Peer, Settings, StreamFault,
};
use mio::{Poll, Token};
use node::{Facts, LogProgress, Need, Node, Os, Point, ReplicaTraits, Scene, Sent, Wrote};
use protocol::Args;
use repl::{Filter, Level, LinkId, LoadTarget, MasterAddr, Repl, SnapshotId, SnapshotMode};

use crate::config::{AppendFsync, Config, repl_settings};
use crate::disk::aof::Aof;
use crate::disk::aof::writer::WriterNews;
use crate::disk::files::{Disk, RealDisk};
use crate::disk::worker::{DiskDone, DiskJob, DiskWorker, Then};
use crate::process::clock;
use crate::process::mailbox::Mailbox;

enum Mail {
    AofWriter(WriterNews),
    Disk(DiskDone),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Event {
    Write(String),
    Sync(String),
    Rename(String),
    Unlink(String),
    Reply,
}

/// What has happened, in its order, whichever thread did it.
#[derive(Default)]
struct Recorder {
    events: Mutex<Vec<Event>>,
    /// Whoever has it keeps the writer's thread from writing.
    gate: Mutex<()>,
}

impl Recorder {
    fn note(&self, event: Event) {
        self.events.lock().expect("nobody panics with it").push(event);
    }

    fn events(&self) -> Vec<Event> {
        self.events.lock().expect("nobody panics with it").clone()
    }

    fn clear(&self) {
        self.events.lock().expect("nobody panics with it").clear();
    }
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn name_of(file: &File) -> String {
    use std::os::fd::AsRawFd;
    let link = format!("/proc/self/fd/{}", file.as_raw_fd());
    name(&std::fs::read_link(link).unwrap_or_default())
}

/// Notes what the kernel has done, once it has.
impl Disk for Recorder {
    fn write(&self, file: &File, bytes: &[u8]) -> io::Result<usize> {
        let is_writer = std::thread::current().name() == Some("aof_writer");
        let _gate = is_writer.then(|| self.gate.lock().expect("nobody panics with it"));
        let n = RealDisk.write(file, bytes)?;
        self.note(Event::Write(name_of(file)));
        Ok(n)
    }

    fn sync_data(&self, file: &File) -> io::Result<()> {
        RealDisk.sync_data(file)?;
        self.note(Event::Sync(name_of(file)));
        Ok(())
    }

    fn sync_all(&self, file: &File) -> io::Result<()> {
        RealDisk.sync_all(file)?;
        self.note(Event::Sync(name_of(file)));
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename(from, to)?;
        self.note(Event::Rename(name(to)));
        Ok(())
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        RealDisk.unlink(path)?;
        self.note(Event::Unlink(name(path)));
        Ok(())
    }
}

/// The part of the world that a write and its reply pass; nothing else of it is asked for.
struct World {
    aof: Aof,
    seen: Arc<Recorder>,
}

/// A node over an append-only file, without sockets.
struct Rig {
    node: Node,
    world: World,
    mailbox: Mailbox<Mail>,
    client: ClientId,
    dir: tempfile::TempDir,
    _poll: Poll,
}

impl Rig {
    fn new(fsync: AppendFsync) -> Rig {
        let poll = Poll::new().unwrap();
        let mailbox = Mailbox::new(poll.registry(), Token(0)).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.persistence.appendfsync = fsync;
        config.persistence.dir = dir.path().to_owned();
        let mailer = mailbox.mailer();
        let seen = Arc::new(Recorder::default());
        let worker =
            DiskWorker::start(Arc::clone(&seen) as _, mailer.wrapping(Mail::Disk)).unwrap();
        let mut aof = Aof::new(&config, worker, mailer.wrapping(Mail::AofWriter)).unwrap();
        aof.create_dir().unwrap();
        let incr = dir.path().join("appendonlydir/incr");
        aof.begin_in(OpenOptions::new().append(true).create(true).open(incr).unwrap());
        let now = clock::now();
        let repl = Repl::new(now.mono_us / 1000, repl_settings(&config), Box::new(|| [7; 20]));
        let mut node = Node::new(Engine::new(Settings::default(), 1), repl);
        let mut world = World { aof, seen };
        node.begin_turn(now);
        node.boot(&mut world, None, None);
        node.engine.propagation.set_aof(true);
        let client = node.connect(Kind::Normal, Peer::default());
        node.settle(&mut world);
        Rig { node, world, mailbox, client, dir, _poll: poll }
    }

    fn set(&mut self, key: &str) {
        self.node.begin_turn(clock::now());
        let words: [&[u8]; 3] = [b"SET", key.as_bytes(), b"v"];
        self.node.execute(&mut self.world, self.client, Args::new(&words));
        self.node.settle(&mut self.world);
    }

    /// Turns of the loop until a client was answered.
    fn run_until_reply(&mut self) {
        while !self.world.seen.events().contains(&Event::Reply) {
            self.hear_mail();
            self.node.settle(&mut self.world);
        }
    }

    fn hear_mail(&mut self) {
        while let Some(mail) = self.mailbox.next() {
            match mail {
                Mail::AofWriter(news) => self.world.aof.hear_writer(news),
                Mail::Disk(DiskDone { then: Then::IncrNamed(named), result, .. }) => {
                    self.world.aof.incr_named(*named, result);
                }
                _ => {}
            }
        }
    }

    fn events(&self) -> Vec<Event> {
        self.world.seen.events()
    }

    fn aof_path(&self, name: &str) -> PathBuf {
        self.dir.path().join("appendonlydir").join(name)
    }
}

fn write(name: &str) -> Event {
    Event::Write(name.into())
}

fn sync(name: &str) -> Event {
    Event::Sync(name.into())
}

/// kill -9 takes nothing from the kernel's cache: fifty of them under load went well without any fsync.
#[test]
fn with_always_a_reply_follows_the_fsync_of_its_write() {
    let mut rig = Rig::new(AppendFsync::Always);
    for key in ["a", "b"] {
        rig.world.seen.clear();
        rig.set(key);
        assert_eq!(rig.events(), [write("incr"), sync("incr"), Event::Reply]);
    }
}

/// The writer's thread may be slow, as a disk may: it is to be heard before anybody is answered.
#[test]
fn with_everysec_and_no_a_reply_follows_the_write() {
    for fsync in [AppendFsync::Everysec, AppendFsync::No] {
        let mut rig = Rig::new(fsync);
        for key in ["a", "b", "c"] {
            rig.world.seen.clear();
            rig.set(key);
            rig.run_until_reply();
            let mut events = rig.events();
            events.retain(|event| *event != sync("incr"));
            assert_eq!(events, [write("incr"), Event::Reply], "{fsync:?}");
        }
        // What was written is asked to the disk before the file is called safe.
        rig.world.seen.clear();
        rig.set("d");
        assert!(rig.world.aof.drain());
        let events = rig.events();
        let last = |event: &Event| events.iter().rposition(|e| e == event).expect("it happened");
        assert!(last(&write("incr")) < last(&sync("incr")), "{fsync:?}: {events:?}");
    }
}

/// The loop waited for the manifest that names a rewrite's increment. Now only the replies do whose writes
/// are in it.
#[test]
fn behind_the_start_of_a_rewrite_a_reply_follows_the_manifest() {
    for fsync in [AppendFsync::Everysec, AppendFsync::Always] {
        let mut rig = Rig::new(fsync);
        rig.world.seen.clear();
        rig.world.aof.begin_incr().unwrap();
        rig.set("a");
        rig.run_until_reply();
        let events = rig.events();
        let at = |event: &Event| events.iter().position(|e| e == event).expect("it happened");
        let manifest = "appendonly.aof.manifest";
        assert!(at(&write("appendonly.aof.1.incr.aof")) < at(&Event::Reply), "{events:?}");
        assert!(at(&sync(&format!("temp-{manifest}"))) < at(&Event::Rename(manifest.into())));
        assert!(at(&Event::Rename(manifest.into())) < at(&Event::Reply), "{events:?}");
    }
}

/// What went to an increment whose name no manifest took is in the file before it when its reply leaves.
#[test]
fn where_the_manifest_cannot_be_stored_no_write_is_lost() {
    for fsync in [AppendFsync::Everysec, AppendFsync::Always] {
        let mut rig = Rig::new(fsync);
        rig.set("before");
        rig.run_until_reply();
        let in_the_way = rig.aof_path("temp-appendonly.aof.manifest");
        std::fs::create_dir(&in_the_way).unwrap();
        rig.world.seen.clear();
        rig.world.aof.begin_incr().unwrap();
        rig.set("behind");
        rig.run_until_reply();
        let text = |rig: &Rig| std::fs::read_to_string(rig.aof_path("incr")).unwrap();
        assert_eq!(text(&rig).matches("behind").count(), 1, "{fsync:?}: {:?}", rig.events());
        let events = rig.events();
        let reply = events.iter().position(|event| *event == Event::Reply).expect("it was sent");
        assert!(events[..reply].contains(&write("incr")), "{fsync:?}: {events:?}");
        std::fs::remove_dir(&in_the_way).unwrap();
        rig.world.seen.clear();
        rig.set("later");
        rig.run_until_reply();
        let text = text(&rig);
        let at = |key: &str| text.find(key).expect("it is there");
        assert!(at("before") < at("behind") && at("behind") < at("later"), "{fsync:?}: {text}");
        // The next attempt has another number, and a name.
        rig.world.seen.clear();
        assert_eq!(rig.world.aof.begin_incr().unwrap(), "appendonly.aof.2.incr.aof");
        rig.set("next");
        rig.run_until_reply();
        assert!(rig.events().contains(&write("appendonly.aof.2.incr.aof")));
    }
}

/// The loop was about to take the file over from the writer when the manifest was refused: it wrote at once, in
/// front of what the writer still had.
#[test]
fn behind_a_refused_manifest_writes_keep_their_order() {
    let mut rig = Rig::new(AppendFsync::Everysec);
    std::fs::create_dir(rig.aof_path("temp-appendonly.aof.manifest")).unwrap();
    let seen = Arc::clone(&rig.world.seen);
    let gate = seen.gate.lock().unwrap();
    rig.set("first");
    rig.world.aof.begin_incr().unwrap();
    rig.world.aof.set_fsync(AppendFsync::Always);
    while rig.world.aof.is_settling() {
        rig.hear_mail();
    }
    rig.set("second");
    drop(gate);
    let text = |rig: &Rig| std::fs::read_to_string(rig.aof_path("incr")).unwrap();
    while !["first", "second"].iter().all(|key| text(&rig).contains(key)) {
        rig.hear_mail();
        rig.node.settle(&mut rig.world);
    }
    let text = text(&rig);
    assert!(text.find("first") < text.find("second"), "{text}");
    assert_eq!(text.matches("second").count(), 1, "{text}");
}

/// What is ordered later happens later, in whichever thread the orders are given.
#[test]
fn orders_are_worked_off_one_after_another() {
    let rig = Rig::new(AppendFsync::Everysec);
    let at = |name: &str| rig.dir.path().join(name);
    let temp = File::create(at("temp")).unwrap();
    rig.world.seen.clear();
    let worker = rig.world.aof.worker();
    worker.order(vec![DiskJob::Fsync(temp), DiskJob::Rename { from: at("temp"), to: at("file") }]);
    worker.order(vec![DiskJob::Unlink(at("file"))]);
    // A step that fails ends its order, and no other.
    worker.order(vec![
        DiskJob::Rename { from: at("nothing"), to: at("file") },
        DiskJob::Unlink(at("kept")),
    ]);
    std::fs::write(at("kept"), b"").unwrap();
    worker.wait();
    let unlink = Event::Unlink("file".into());
    assert_eq!(rig.events(), [sync("temp"), Event::Rename("file".into()), unlink]);
    assert!(at("kept").exists() && !at("file").exists());
}

impl Os for World {
    fn perform(&mut self, _: Action<'_>, _: Scene<'_>) -> Result<Outcome, CommandError> {
        Ok(Outcome::Done)
    }

    fn has_wishes(&self) -> bool {
        false
    }

    fn fulfil(&mut self, _: &mut Node) {}

    fn mono_us(&self) -> u64 {
        clock::mono_us()
    }

    fn info(&self, _: &str, _: Facts<'_>) -> InfoLines {
        Vec::new()
    }

    fn memory_info(&self, _: EngineMemory, _: Facts<'_>) -> InfoLines {
        Vec::new()
    }

    fn memory_bytes(&self) -> (u64, u64) {
        (0, 0)
    }

    fn maxmemory_bytes(&self) -> u64 {
        0
    }

    fn traffic(&self, _: ClientId) -> [u64; 2] {
        [0, 0]
    }

    fn secret_hex(&self, _: usize) -> Option<String> {
        None
    }

    fn replica_traits(&self) -> ReplicaTraits {
        ReplicaTraits { priority: 100, read_only: true, announced: true }
    }

    fn log(&mut self, _: Level, _: &str) {}

    fn note_master(&mut self, _: Option<&MasterAddr>) {}

    fn follow_role(&mut self, _: bool) {}

    fn peer_ip(&self, _: ClientId) -> String {
        String::new()
    }

    fn resume(&mut self, _: ClientId) {}

    fn send(&mut self, client: &mut Client, n: usize) -> Sent {
        if n > 0 {
            self.seen.note(Event::Reply);
            client.out.advance(n);
        }
        Sent::All
    }

    fn is_drained(&self, _: ClientId) -> bool {
        true
    }

    fn write(&mut self, _: ClientId, _: &[IoSlice<'_>]) -> Wrote {
        Wrote::Some(0)
    }

    fn write_file(&mut self, _: ClientId, _: SnapshotId, _: u64, _: u64) -> Wrote {
        Wrote::Some(0)
    }

    fn write_later(&mut self, _: ClientId) {}

    fn became_replica(&mut self, _: ClientId) {}

    fn judge_replica(&mut self, _: &mut Node, _: ClientId) {}

    fn close(&mut self, node: &mut Node, client: ClientId) {
        node.disconnected(client);
    }

    fn connect(&mut self, _: LinkId, _: &str, _: u16) {}

    fn close_link(&mut self, _: LinkId) {}

    fn send_master(&mut self, _: &mut Node, _: LinkId, _: &[u8]) {}

    fn stops_at(&self, _: &StreamFault) -> bool {
        true
    }

    fn load_start(&mut self, _: &mut Node, _: LoadTarget, _: Option<u64>) {}

    fn load_chunk(&mut self, _: Bytes) {}

    fn load_end(&mut self, _: &mut Node) {}

    fn load_commit(&mut self, _: &mut Node) {}

    fn load_abort(&mut self, _: &mut Node) {}

    fn has_room_for_snapshot(&self) -> bool {
        true
    }

    fn start_snapshot(&mut self, _: &mut Node, _: SnapshotId, _: SnapshotMode, _: Filter) {}

    fn cancel_snapshot(&mut self, _: &mut Node, _: SnapshotId) {}

    fn release_snapshot(&mut self, _: SnapshotId) {}

    fn replies_need(&self) -> Need {
        self.aof.replies_need()
    }

    fn append(&mut self, node: &mut Node, bytes: Vec<u8>, point: Point) -> Vec<u8> {
        self.aof.append(bytes, point, node.now().mono_us)
    }

    fn log_progress(&mut self) -> Option<LogProgress> {
        self.aof.progress()
    }

    fn end(&mut self, _: &mut Node, _: ShutdownFlags, _: u64) -> Result<(), CommandError> {
        Ok(())
    }
}

impl Persistence for World {
    fn fsynced_offset(&self) -> Option<u64> {
        self.aof.fsynced_stream_offset()
    }
}

impl Configuration for World {}
