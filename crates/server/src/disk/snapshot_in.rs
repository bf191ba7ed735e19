//! A snapshot that arrives from the master: into a temporary file, or straight to a loader thread.
//!
//! A file is checked as it comes, at the cost of a checksum, then rehearsed, so that the old data set
//! is given up only for one that is whole and can be loaded; it gets its name once it has been.

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;

use bytes::Bytes;
use persist::rdb::SnapshotVerifier;

use crate::disk::chunk_pipe::ChunkFeed;
use crate::disk::files;
use crate::disk::worker::DiskJob;
use crate::process::os_error::os_error;

/// The file is pushed out to the disk in such steps, so that its fsync does not take long.
const SYNC_STEP_BYTES: u64 = 8 << 20;

pub enum IncomingSnapshot {
    File(IncomingFile),
    /// A loader thread reads it as it comes; `None` once all of it is there.
    Stream {
        feed: Option<ChunkFeed>,
    },
}

pub struct IncomingFile {
    file: File,
    temp: PathBuf,
    verifier: SnapshotVerifier,
    written: u64,
    synced: u64,
    /// Tells this snapshot from those that were given up.
    pub serial: u32,
    /// The first thing that went wrong: told when the snapshot ends.
    failure: Option<String>,
}

impl IncomingSnapshot {
    /// Whether the loader has kept up with what came so far.
    pub fn has_room(&self) -> bool {
        match self {
            IncomingSnapshot::Stream { feed: Some(feed) } => feed.has_room(),
            _ => true,
        }
    }

    pub fn chunk(&mut self, bytes: Bytes) {
        match self {
            IncomingSnapshot::File(file) => file.chunk(&bytes),
            IncomingSnapshot::Stream { feed: Some(feed) } => feed.push(bytes),
            IncomingSnapshot::Stream { feed: None } => {}
        }
    }
}

impl IncomingFile {
    pub fn create(temp: PathBuf, serial: u32) -> io::Result<IncomingFile> {
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
    pub fn verify(&self) -> Result<File, String> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        self.verifier.finish().map_err(|error| error.to_string())?;
        self.file.try_clone().map_err(|error| sync_failure(&error))
    }

    /// The file from its beginning, and its length, for a loader.
    pub fn reader(&self) -> io::Result<(File, u64)> {
        Ok((File::open(&self.temp)?, self.written))
    }

    /// Gives the file the name of the RDB file: only what has been loaded may replace that.
    pub fn install(self, target: PathBuf) -> Vec<DiskJob> {
        vec![DiskJob::Rename { from: self.temp, to: target }, DiskJob::Close(self.file)]
    }

    pub fn discard(self) -> Vec<DiskJob> {
        vec![DiskJob::Unlink(self.temp), DiskJob::Close(self.file)]
    }
}

pub fn sync_failure(error: &io::Error) -> String {
    format!(
        "Failed trying to sync the temp DB to disk in MASTER <-> REPLICA synchronization: {}",
        os_error(error)
    )
}
