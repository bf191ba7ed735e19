//! The append-only file by itself: what counts as written and as safe, whoever writes it.

use std::fs::OpenOptions;
use std::sync::Arc;

use mio::{Poll, Token};

use super::*;
use crate::disk::aof::account::MARKS_MAX;
use crate::disk::files::RealDisk;
use crate::process::mailbox::Mailbox;

fn aof(fsync: AppendFsync) -> (Aof, Mailbox<WriterNews>, Poll) {
    let poll = Poll::new().unwrap();
    let mailbox = Mailbox::new(poll.registry(), Token(0)).unwrap();
    let mut config = Config::default();
    config.persistence.appendfsync = fsync;
    let worker = DiskWorker::start(Arc::new(RealDisk), Mailer::unheard()).unwrap();
    let mut aof = Aof::new(&config, worker, mailbox.mailer()).unwrap();
    aof.state = AofState::On;
    (aof, mailbox, poll)
}

fn appendable(path: &std::path::Path) -> File {
    OpenOptions::new().append(true).create(true).open(path).unwrap()
}

fn at(n: u64) -> Point {
    Point { log: n, offset: n }
}

/// Hears what the threads have to say until `is_so`.
fn hear_until(aof: &mut Aof, mailbox: &Mailbox<WriterNews>, is_so: impl Fn(&Aof) -> bool) {
    while !is_so(aof) {
        if let Some(news) = mailbox.next() {
            aof.hear_writer(news);
        }
    }
}

/// Whether the replies to all that was appended may leave.
fn is_settled(aof: &mut Aof) -> bool {
    let needs_disk = aof.replies_need() == Need::one(Watermark::Fsynced);
    let progress = aof.progress().expect("it is on");
    let mark = if needs_disk { progress.fsynced } else { progress.written };
    mark >= aof.account.appended().log
}

#[test]
fn with_always_a_refusing_disk_holds_replies_until_it_takes_the_bytes() {
    let (mut aof, _mailbox, _poll) = aof(AppendFsync::Always);
    aof.switch_to(OpenOptions::new().append(true).open("/dev/full").unwrap()).unwrap();
    aof.append(b"one".to_vec(), at(3), 0);
    assert!(!is_settled(&mut aof));
    assert!(aof.write_refusal().is_some());
    aof.append(b"two".to_vec(), at(6), 1);
    assert!(!is_settled(&mut aof), "not asked again within a second");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("incr");
    aof.switch_to(appendable(&path)).unwrap();
    aof.append(Vec::new(), at(6), 2 * RETRY_INTERVAL_US);
    assert!(is_settled(&mut aof));
    assert!(aof.write_refusal().is_none());
    assert_eq!(std::fs::read(path).unwrap(), b"onetwo");
    aof.progress();
    assert_eq!(aof.fsynced_stream_offset(), Some(6));
}

#[test]
fn changing_to_always_and_back_keeps_the_order_of_the_bytes() {
    let (mut aof, mailbox, _poll) = aof(AppendFsync::Everysec);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("incr");
    aof.switch_to(appendable(&path)).unwrap();
    aof.append(b"a".to_vec(), at(1), 0);
    aof.set_fsync(AppendFsync::Always);
    aof.append(b"b".to_vec(), at(2), 0);
    assert!(!is_settled(&mut aof), "the writer has the file until it says so");
    hear_until(&mut aof, &mailbox, |aof| !aof.taking_over);
    aof.append(Vec::new(), at(2), 0);
    assert!(is_settled(&mut aof));
    aof.set_fsync(AppendFsync::No);
    aof.append(b"c".to_vec(), at(3), 0);
    assert!(aof.drain());
    assert_eq!(std::fs::read(path).unwrap(), b"abc");
}

/// What came while the writer was still busy goes to it, should `always` be taken back meanwhile.
#[test]
fn a_change_that_is_taken_back_loses_no_bytes() {
    let (mut aof, _mailbox, _poll) = aof(AppendFsync::Everysec);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("incr");
    aof.switch_to(appendable(&path)).unwrap();
    aof.append(b"a".to_vec(), at(1), 0);
    aof.set_fsync(AppendFsync::Always);
    aof.append(b"b".to_vec(), at(2), 0);
    aof.set_fsync(AppendFsync::Everysec);
    aof.append(b"c".to_vec(), at(3), 0);
    assert!(aof.drain());
    assert!(is_settled(&mut aof));
    assert_eq!(std::fs::read(path).unwrap(), b"abc");
}

#[test]
fn a_change_from_always_waits_for_what_the_disk_has_refused() {
    let (mut aof, _mailbox, _poll) = aof(AppendFsync::Always);
    aof.switch_to(OpenOptions::new().append(true).open("/dev/full").unwrap()).unwrap();
    aof.append(b"one".to_vec(), at(3), 0);
    assert!(!is_settled(&mut aof));
    aof.set_fsync(AppendFsync::No);
    assert!(!is_settled(&mut aof), "its reply is still kept back");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("incr");
    aof.switch_to(appendable(&path)).unwrap();
    aof.append(b"two".to_vec(), at(6), 2 * RETRY_INTERVAL_US);
    assert!(is_settled(&mut aof));
    assert_eq!(aof.fsync, AppendFsync::No);
    aof.append(b"three".to_vec(), at(11), 0);
    assert!(aof.drain());
    assert_eq!(std::fs::read(path).unwrap(), b"onetwothree");
}

#[test]
fn the_fsynced_offset_follows_the_writer() {
    let (mut aof, mailbox, _poll) = aof(AppendFsync::Everysec);
    let dir = tempfile::tempdir().unwrap();
    aof.switch_to(appendable(&dir.path().join("incr"))).unwrap();
    aof.append(b"abc".to_vec(), at(103), 0);
    assert!(aof.drain());
    aof.progress();
    assert_eq!(aof.fsynced_stream_offset(), Some(103));
    // A heartbeat moves the stream and not the file.
    aof.append(Vec::new(), at(117), 0);
    aof.progress();
    assert_eq!(aof.fsynced_stream_offset(), Some(117));
    aof.close();
    assert_eq!(aof.fsynced_stream_offset(), Some(117), "until the file is whole");
    hear_until(&mut aof, &mailbox, |aof| aof.state == AofState::Off);
    assert_eq!(aof.fsynced_stream_offset(), None);
}

/// After a failed fsync the next one's success was taken for both, and a change to `always` did not
/// mind.
#[test]
fn after_a_failed_fsync_nothing_is_safe_until_a_rewrite_has_replaced_the_file() {
    for fsync in [AppendFsync::Everysec, AppendFsync::Always] {
        let (mut aof, _mailbox, _poll) = aof(fsync);
        let dir = tempfile::tempdir().unwrap();
        aof.switch_to(appendable(&dir.path().join("one"))).unwrap();
        aof.append(b"abc".to_vec(), at(103), 0);
        assert!(aof.drain());
        aof.progress();
        aof.fsync_failed(&io::Error::from_raw_os_error(libc::EIO));
        aof.append(b"def".to_vec(), at(106), 0);
        assert!(!aof.drain(), "{fsync:?}");
        aof.progress();
        assert_eq!(aof.fsynced_stream_offset(), Some(103));
        assert!(aof.write_refusal().is_some() && !aof.last_write_ok());
        let other = match fsync {
            AppendFsync::Always => AppendFsync::No,
            _ => AppendFsync::Always,
        };
        aof.set_fsync(other);
        assert_eq!(aof.fsync, fsync, "what is promised does not change in the midst of it");
        aof.begin_rewrite(appendable(&dir.path().join("two"))).unwrap();
        aof.append(b"ghi".to_vec(), at(109), 0);
        assert!(!aof.drain());
        aof.progress();
        assert_eq!(aof.fsynced_stream_offset(), Some(103));
        assert_eq!(is_settled(&mut aof), fsync != AppendFsync::Always);
        aof.rewritten();
        assert_eq!(aof.fsync, other);
        aof.progress();
        assert_eq!(aof.fsynced_stream_offset(), Some(109));
        assert!(aof.write_refusal().is_none());
        assert!(is_settled(&mut aof));
    }
}

#[test]
fn unsafe_bytes_hold_the_offset_back_however_many_there_are() {
    let (mut aof, _mailbox, _poll) = aof(AppendFsync::No);
    let dir = tempfile::tempdir().unwrap();
    aof.switch_to(appendable(&dir.path().join("incr"))).unwrap();
    for i in 1..=10_000 {
        aof.append(b"x".to_vec(), at(100 + i), 0);
    }
    assert!(aof.account.marks() <= MARKS_MAX);
    aof.progress();
    assert_eq!(aof.fsynced_stream_offset(), Some(0));
    assert!(aof.drain());
    aof.progress();
    assert_eq!(aof.fsynced_stream_offset(), Some(10_100));
}
