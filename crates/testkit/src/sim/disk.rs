//! A machine's disk and the thread that writes to it: what the kernel has and what the disk has are two
//! things, and only the second survives a power cut. Must not know what the bytes mean.

use fastrand::Rng;
use node::{LogProgress, Need, Point, Watermark};
use std::collections::VecDeque;

/// How a process ends without being asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// kill -9: the kernel keeps what it has.
    Kill,
    /// The host goes dark: what was not fsynced is lost, or a part of it.
    PowerCut,
}

/// `appendfsync`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fsync {
    Always,
    Everysec,
    No,
}

/// A file that is appended to.
#[derive(Clone, Debug, Default)]
pub struct File {
    pub bytes: Vec<u8>,
    synced: usize,
}

impl File {
    /// Takes a tail off, as a loader does that finds half a command.
    pub fn cut(&mut self, len: usize) {
        self.bytes.truncate(len);
        self.synced = self.synced.min(len);
    }
}

/// What is on the disk. A snapshot and a manifest get there whole or not at all (rename), a file that is
/// appended to does not.
#[derive(Debug, Default)]
pub struct Disk {
    pub dump: Option<Vec<u8>>,
    /// Base and increments that the manifest names.
    pub aof: Option<(Vec<u8>, Vec<File>)>,
    /// An increment whose base is yet to be made: no manifest names it.
    pub temp_incr: File,
}

impl Disk {
    pub fn crash(&mut self, how: Crash, rng: &mut Rng) {
        let Some((_, incrs)) = self.aof.as_mut().filter(|_| how == Crash::PowerCut) else { return };
        for file in incrs {
            let kept = rng.usize(file.synced..=file.bytes.len());
            file.cut(kept);
            file.synced = kept;
        }
    }
}

/// The append-only file of a running process.
#[derive(Debug)]
pub struct Log {
    pub fsync: Fsync,
    /// The first base is yet to be made: until then there is no whole file.
    pub is_waiting: bool,
    /// Handed over, and not in the kernel yet.
    queue: VecDeque<(Vec<u8>, Point)>,
    written: Point,
    fsynced: Point,
    /// An fsync has failed: what was written before it is nowhere, until a rewrite has written it anew.
    is_poisoned: bool,
    pub error: Option<&'static str>,
}

impl Log {
    /// A file that begins at `from`.
    pub fn new(fsync: Fsync, is_waiting: bool, from: Point) -> Log {
        Log {
            fsync,
            is_waiting,
            queue: VecDeque::new(),
            written: from,
            fsynced: from,
            is_poisoned: false,
            error: None,
        }
    }

    pub fn need(&self) -> Need {
        Need::one(match self.fsync {
            Fsync::Always => Watermark::Fsynced,
            Fsync::Everysec | Fsync::No => Watermark::Written,
        })
    }

    pub fn progress(&self) -> LogProgress {
        LogProgress { written: self.written.log, fsynced: self.fsynced.log }
    }

    /// Offset of the stream up to which a whole file is on the disk.
    pub fn saved_offset(&self) -> u64 {
        if self.is_waiting { 0 } else { self.fsynced.offset }
    }

    pub fn push(&mut self, bytes: Vec<u8>, point: Point) {
        if bytes.is_empty() && self.queue.is_empty() {
            // What is not in the file, such as a heartbeat, is as safe as what stands before it.
            if self.fsynced == self.written && !self.is_poisoned {
                self.fsynced.offset = point.offset;
            }
            self.written.offset = point.offset;
            return;
        }
        self.queue.push_back((bytes, point));
    }

    pub fn has_queued(&self) -> bool {
        !self.queue.is_empty()
    }

    /// The kernel takes what is queued, or refuses the rest of it.
    pub fn write(&mut self, file: &mut File, refuses: bool) {
        if refuses && self.has_queued() {
            self.error = Some("No space left on device");
            return;
        }
        while let Some((bytes, point)) = self.queue.pop_front() {
            file.bytes.extend_from_slice(&bytes);
            self.written = point;
        }
        if !self.is_poisoned {
            self.error = None;
        }
    }

    /// The disk takes what the kernel has, or loses it.
    pub fn sync(&mut self, file: &mut File, fails: bool) {
        if fails {
            self.error = Some("Input/output error");
            self.is_poisoned = true;
        } else if !self.is_poisoned {
            file.synced = file.bytes.len();
            self.fsynced = self.written;
        }
    }

    /// A base that has all up to now is in place, and what followed it is synced.
    pub fn rewritten(&mut self, file: &mut File) {
        file.synced = file.bytes.len();
        (self.is_waiting, self.is_poisoned, self.error) = (false, false, None);
        self.fsynced = self.written;
    }

    pub fn needs_rewrite(&self) -> bool {
        self.is_waiting || self.is_poisoned
    }
}
