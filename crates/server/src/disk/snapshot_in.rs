//! A snapshot that arrives from the master: into a temporary file, or straight to a loader thread.
//!
//! A file is checked as it comes, at the cost of a checksum, then rehearsed, so that the old data set
//! is given up only for one that is whole and can be loaded; it gets its name once it has been.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use persist::rdb::SnapshotVerifier;

use crate::disk::chunk_pipe::{ChunkFeed, ChunkReader, HasRoom, chunk_pipe};
use crate::disk::files;
use crate::disk::worker::{DiskJob, DiskWorker, Then};
use crate::process::mailbox::Mailer;
use crate::process::os_error::os_error;

/// The file is pushed out to the disk in such steps, so that its fsync does not take long.
const SYNC_STEP_BYTES: u64 = 8 << 20;
pub const NOTHING: &str = "nothing was received";

/// The snapshot that is arriving, or has arrived and is not in use yet: one at a time.
pub struct Incoming {
    snapshot: Option<IncomingSnapshot>,
    /// Of the last file.
    serial: u32,
    worker: DiskWorker,
    /// How a loader's thread that takes a stream speaks to the loop.
    has_room: Mailer<HasRoom>,
}

enum IncomingSnapshot {
    File(IncomingFile),
    /// A loader thread reads it as it comes; `None` once all of it is there.
    Stream {
        feed: Option<ChunkFeed>,
    },
}

struct IncomingFile {
    file: File,
    temp: PathBuf,
    verifier: SnapshotVerifier,
    written: u64,
    synced: u64,
    /// Tells this snapshot from those that were given up.
    serial: u32,
    /// The first thing that went wrong: told when the snapshot ends.
    failure: Option<String>,
}

/// All of a snapshot is here.
pub enum Arrived {
    /// It is being put on the disk, which `Then::SnapshotSynced` tells of.
    File,
    /// Its loader has the end of it, and says whether it is whole.
    Stream,
    /// It is none, and why.
    Broken(String),
}

/// A snapshot that is to be the data set.
pub enum Ready {
    /// To be loaded. It is kept until it is: it gets its name then, or is given up.
    File(io::Result<(File, u64)>),
    /// It was loaded as it came.
    Stream,
    Nothing,
}

impl Incoming {
    pub fn new(worker: DiskWorker, has_room: Mailer<HasRoom>) -> Incoming {
        Incoming { snapshot: None, serial: 0, worker, has_room }
    }

    /// A snapshot begins to arrive, and goes to a file in `dir`.
    pub fn begin_file(&mut self, dir: &Path, unix_s: i64, pid: u32) -> io::Result<()> {
        self.serial += 1;
        let serial = self.serial;
        // Its own: one that was given up within this second may be unlinked at any moment.
        let temp = dir.join(format!("temp-{unix_s}.{pid}.{serial}.rdb"));
        self.snapshot = Some(IncomingSnapshot::File(IncomingFile::create(temp, serial)?));
        Ok(())
    }

    /// A snapshot begins to arrive, and goes to the loader that reads from what this gives.
    pub fn begin_stream(&mut self) -> ChunkReader {
        let (feed, reader) = chunk_pipe(self.has_room.clone());
        self.snapshot = Some(IncomingSnapshot::Stream { feed: Some(feed) });
        reader
    }

    /// Whether the loader has kept up with what came so far.
    pub fn has_room(&self) -> bool {
        match &self.snapshot {
            Some(IncomingSnapshot::Stream { feed: Some(feed) }) => feed.has_room(),
            _ => true,
        }
    }

    pub fn chunk(&mut self, bytes: Bytes) {
        match &mut self.snapshot {
            Some(IncomingSnapshot::File(file)) => file.chunk(&bytes),
            Some(IncomingSnapshot::Stream { feed: Some(feed) }) => feed.push(bytes),
            Some(IncomingSnapshot::Stream { feed: None }) | None => {}
        }
    }

    /// That was all of it.
    pub fn end(&mut self) -> Arrived {
        match &mut self.snapshot {
            Some(IncomingSnapshot::File(file)) => match file.verify() {
                Ok(synced) => {
                    let then = Then::SnapshotSynced { serial: file.serial };
                    self.worker.order_then(vec![DiskJob::Fsync(synced)], then);
                    Arrived::File
                }
                Err(why) => Arrived::Broken(why),
            },
            Some(IncomingSnapshot::Stream { feed }) => {
                if let Some(feed) = feed.take() {
                    feed.finish();
                }
                Arrived::Stream
            }
            None => Arrived::Broken(NOTHING.to_owned()),
        }
    }

    /// It is on the disk, or why not; `None` if it was given up meanwhile. Gives it from its beginning, with its
    /// length.
    pub fn synced(
        &self,
        serial: u32,
        result: io::Result<()>,
    ) -> Option<Result<(File, u64), String>> {
        let Some(IncomingSnapshot::File(file)) = &self.snapshot else { return None };
        if file.serial != serial {
            return None;
        }
        Some(match result {
            Ok(()) => file.reader().map_err(|error| os_error(&error)),
            Err(error) => Err(sync_failure(&error)),
        })
    }

    /// It is to take the place of the data set.
    pub fn take_over(&mut self) -> Ready {
        match self.snapshot.take() {
            Some(IncomingSnapshot::File(file)) => {
                let reader = file.reader();
                self.snapshot = Some(IncomingSnapshot::File(file));
                Ready::File(reader)
            }
            Some(IncomingSnapshot::Stream { .. }) => Ready::Stream,
            None => Ready::Nothing,
        }
    }

    /// How a file that has been loaded gets the name of the RDB file: nothing else may replace that.
    pub fn install(&mut self, target: PathBuf) -> Option<Vec<DiskJob>> {
        let Some(IncomingSnapshot::File(file)) = self.snapshot.take() else { return None };
        Some(vec![DiskJob::Rename { from: file.temp, to: target }, DiskJob::Close(file.file)])
    }

    /// Nobody wants it any more.
    pub fn give_up(&mut self) {
        if let Some(IncomingSnapshot::File(file)) = self.snapshot.take() {
            self.worker.order(vec![DiskJob::Unlink(file.temp), DiskJob::Close(file.file)]);
        }
    }
}

impl IncomingFile {
    fn create(temp: PathBuf, serial: u32) -> io::Result<IncomingFile> {
        let file =
            File::options().read(true).write(true).create(true).truncate(true).open(&temp)?;
        Ok(IncomingFile {
            file,
            temp,
            verifier: SnapshotVerifier::new(),
            written: 0,
            synced: 0,
            serial,
            failure: None,
        })
    }

    fn chunk(&mut self, bytes: &[u8]) {
        if self.failure.is_some() {
            return;
        }
        let taken = match self.verifier.feed(bytes) {
            Err(error) => Err(error.to_string()),
            Ok(()) => self.write(bytes).map_err(|error| {
                format!(
                    "Write error or short write writing to the DB dump file needed for MASTER <-> \
                     REPLICA synchronization: {}",
                    os_error(&error)
                )
            }),
        };
        self.failure = taken.err();
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.written += bytes.len() as u64;
        if self.written - self.synced >= SYNC_STEP_BYTES {
            // Not an fsync: the loop only tells the kernel to begin.
            files::begin_writeback(&self.file, self.synced, self.written - self.synced);
            self.synced = self.written;
        }
        Ok(())
    }

    /// All of it is here: is it a whole snapshot? What is to be synced then.
    fn verify(&self) -> Result<File, String> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        self.verifier.finish().map_err(|error| error.to_string())?;
        self.file.try_clone().map_err(|error| sync_failure(&error))
    }

    /// The file from its beginning, and its length, for a loader.
    fn reader(&self) -> io::Result<(File, u64)> {
        Ok((File::open(&self.temp)?, self.written))
    }
}

fn sync_failure(error: &io::Error) -> String {
    format!(
        "Failed trying to sync the temp DB to disk in MASTER <-> REPLICA synchronization: {}",
        os_error(error)
    )
}
