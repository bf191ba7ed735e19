//! The append-only file by itself: what counts as written and as safe, whoever writes it.

use std::fs::OpenOptions;
use std::path::Path;
use std::sync::Arc;

use mio::{Poll, Token};

use super::*;
use crate::disk::aof::account::MARKS_MAX;
use crate::disk::files::RealDisk;
use crate::process::mailbox::Mailbox;

/// A file that is on, and a folder for its increments.
struct Rig {
    aof: Aof,
    mailbox: Mailbox<WriterNews>,
    dir: tempfile::TempDir,
    _poll: Poll,
}

impl Rig {
    fn new(fsync: AppendFsync, incr: impl FnOnce(&Path) -> File) -> Rig {
        let poll = Poll::new().unwrap();
        let mailbox = Mailbox::new(poll.registry(), Token(0)).unwrap();
        let mut config = Config::default();
        config.persistence.appendfsync = fsync;
        let worker = DiskWorker::start(Arc::new(RealDisk), Mailer::unheard()).unwrap();
        let mut aof = Aof::new(&config, worker, mailbox.mailer()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        aof.begin_in(incr(dir.path()));
        Rig { aof, mailbox, dir, _poll: poll }
    }

    /// Writes to `incr`.
    fn writing(fsync: AppendFsync) -> Rig {
        Rig::new(fsync, |dir| appendable(&dir.join("incr")))
    }

    /// On a disk that is full.
    fn refused(fsync: AppendFsync) -> Rig {
        Rig::new(fsync, |_| OpenOptions::new().append(true).open("/dev/full").unwrap())
    }

    /// The disk takes writes again: they go to `incr`.
    fn recover(&mut self) {
        self.aof.switch_to(appendable(&self.dir.path().join("incr"))).unwrap();
    }

    fn written(&self) -> Vec<u8> {
        std::fs::read(self.dir.path().join("incr")).unwrap()
    }

    /// Hears what the threads have to say until `is_so`.
    fn hear_until(&mut self, is_so: impl Fn(&Aof) -> bool) {
        while !is_so(&self.aof) {
            if let Some(news) = self.mailbox.next() {
                self.aof.hear_writer(news);
            }
        }
    }

    /// Whether the replies to all that was appended may leave.
    fn is_settled(&mut self) -> bool {
        let needs_disk = self.aof.replies_need() == Need::one(Watermark::Fsynced);
        let progress = self.aof.progress().expect("it is on");
        let mark = if needs_disk { progress.fsynced } else { progress.written };
        mark >= self.aof.account.appended().log
    }
}

fn appendable(path: &Path) -> File {
    OpenOptions::new().append(true).create(true).open(path).unwrap()
}

fn at(n: u64) -> Point {
    Point { log: n, offset: n }
}

#[test]
fn with_always_a_refusing_disk_holds_replies_until_it_takes_the_bytes() {
    let mut rig = Rig::refused(AppendFsync::Always);
    rig.aof.append(b"one".to_vec(), at(3), 0);
    assert!(!rig.is_settled());
    assert!(rig.aof.write_refusal().is_some());
    rig.aof.append(b"two".to_vec(), at(6), 1);
    assert!(!rig.is_settled(), "not asked again within a second");
    rig.recover();
    rig.aof.append(Vec::new(), at(6), 2 * RETRY_INTERVAL_US);
    assert!(rig.is_settled());
    assert!(rig.aof.write_refusal().is_none());
    assert_eq!(rig.written(), b"onetwo");
    rig.aof.progress();
    assert_eq!(rig.aof.fsynced_stream_offset(), Some(6));
}

#[test]
fn changing_to_always_and_back_keeps_the_order_of_the_bytes() {
    let mut rig = Rig::writing(AppendFsync::Everysec);
    rig.aof.append(b"a".to_vec(), at(1), 0);
    rig.aof.set_fsync(AppendFsync::Always);
    rig.aof.append(b"b".to_vec(), at(2), 0);
    assert!(!rig.is_settled(), "the writer has the file until it says so");
    rig.hear_until(|aof| !aof.taking_over);
    rig.aof.append(Vec::new(), at(2), 0);
    assert!(rig.is_settled());
    rig.aof.set_fsync(AppendFsync::No);
    rig.aof.append(b"c".to_vec(), at(3), 0);
    assert!(rig.aof.drain());
    assert_eq!(rig.written(), b"abc");
}

/// What came while the writer was still busy goes to it, should `always` be taken back meanwhile.
#[test]
fn a_change_that_is_taken_back_loses_no_bytes() {
    let mut rig = Rig::writing(AppendFsync::Everysec);
    rig.aof.append(b"a".to_vec(), at(1), 0);
    rig.aof.set_fsync(AppendFsync::Always);
    rig.aof.append(b"b".to_vec(), at(2), 0);
    rig.aof.set_fsync(AppendFsync::Everysec);
    rig.aof.append(b"c".to_vec(), at(3), 0);
    assert!(rig.aof.drain());
    assert!(rig.is_settled());
    assert_eq!(rig.written(), b"abc");
}

#[test]
fn a_change_from_always_waits_for_what_the_disk_has_refused() {
    let mut rig = Rig::refused(AppendFsync::Always);
    rig.aof.append(b"one".to_vec(), at(3), 0);
    assert!(!rig.is_settled());
    rig.aof.set_fsync(AppendFsync::No);
    assert!(!rig.is_settled(), "its reply is still kept back");
    rig.recover();
    rig.aof.append(b"two".to_vec(), at(6), 2 * RETRY_INTERVAL_US);
    assert!(rig.is_settled());
    assert_eq!(rig.aof.fsync, AppendFsync::No);
    rig.aof.append(b"three".to_vec(), at(11), 0);
    assert!(rig.aof.drain());
    assert_eq!(rig.written(), b"onetwothree");
}

#[test]
fn the_fsynced_offset_follows_the_writer() {
    let mut rig = Rig::writing(AppendFsync::Everysec);
    rig.aof.append(b"abc".to_vec(), at(103), 0);
    assert!(rig.aof.drain());
    rig.aof.progress();
    assert_eq!(rig.aof.fsynced_stream_offset(), Some(103));
    // A heartbeat moves the stream and not the file.
    rig.aof.append(Vec::new(), at(117), 0);
    rig.aof.progress();
    assert_eq!(rig.aof.fsynced_stream_offset(), Some(117));
    rig.aof.close();
    assert_eq!(rig.aof.fsynced_stream_offset(), None, "whatever is still on its way");
    rig.hear_until(|aof| aof.state == AofState::Off);
    assert_eq!(rig.aof.fsynced_stream_offset(), None);
}

/// After a failed fsync the next one's success was taken for both, and a change to `always` did not
/// mind.
#[test]
fn after_a_failed_fsync_nothing_is_safe_until_a_rewrite_has_replaced_the_file() {
    for fsync in [AppendFsync::Everysec, AppendFsync::Always] {
        let mut rig = Rig::writing(fsync);
        rig.aof.append(b"abc".to_vec(), at(103), 0);
        assert!(rig.aof.drain());
        rig.aof.progress();
        rig.aof.fsync_failed(&io::Error::from_raw_os_error(libc::EIO));
        rig.aof.append(b"def".to_vec(), at(106), 0);
        assert!(!rig.aof.drain(), "{fsync:?}");
        rig.aof.progress();
        assert_eq!(rig.aof.fsynced_stream_offset(), Some(103));
        assert!(rig.aof.write_refusal().is_some() && !rig.aof.last_write_ok());
        let other = match fsync {
            AppendFsync::Always => AppendFsync::No,
            _ => AppendFsync::Always,
        };
        rig.aof.set_fsync(other);
        assert_eq!(rig.aof.fsync, fsync, "what is promised does not change in the midst of it");
        rig.aof.begin_rewrite(appendable(&rig.dir.path().join("two"))).unwrap();
        rig.aof.append(b"ghi".to_vec(), at(109), 0);
        assert!(!rig.aof.drain());
        rig.aof.progress();
        assert_eq!(rig.aof.fsynced_stream_offset(), Some(103));
        assert_eq!(rig.is_settled(), fsync != AppendFsync::Always);
        rig.aof.rewritten();
        assert_eq!(rig.aof.fsync, other);
        rig.aof.progress();
        assert_eq!(rig.aof.fsynced_stream_offset(), Some(109));
        assert!(rig.aof.write_refusal().is_none());
        assert!(rig.is_settled());
    }
}

#[test]
fn unsafe_bytes_hold_the_offset_back_however_many_there_are() {
    let mut rig = Rig::writing(AppendFsync::No);
    for i in 1..=10_000 {
        rig.aof.append(b"x".to_vec(), at(100 + i), 0);
    }
    assert!(rig.aof.account.marks() <= MARKS_MAX);
    rig.aof.progress();
    assert_eq!(rig.aof.fsynced_stream_offset(), Some(0));
    assert!(rig.aof.drain());
    rig.aof.progress();
    assert_eq!(rig.aof.fsynced_stream_offset(), Some(10_100));
}
