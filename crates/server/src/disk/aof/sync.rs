//! An fsync of the append-only file in the disk's thread, so that an fsync, however long it takes, keeps no
//! write waiting.
//!
//! Keeps the account of what is safe. It decides neither when an fsync is due nor what a failure means
//! to the data set.

use std::fs::File;
use std::io;
use std::sync::Arc;

use crate::disk::aof::writer::{Shared, State, WriterNews};
use crate::disk::files::Disk;
use crate::process::mailbox::Mailer;

/// An fsync of one file.
pub struct SyncJob {
    /// The account of the writer that has asked for it.
    pub(super) account: Arc<Shared>,
    pub(super) file: Arc<File>,
    /// The number of the file.
    pub(super) number: u64,
    /// What it makes safe, with those before it: offsets as in `WriterProgress`.
    pub(super) position: u64,
    pub(super) mailer: Mailer<WriterNews>,
}

impl SyncJob {
    pub fn run(self, disk: &dyn Disk) {
        let shared = &*self.account;
        shared.lock().progress.is_syncing = true;
        let result = disk.sync_data(&self.file);
        let mut state = shared.lock();
        state.progress.is_syncing = false;
        state.pending_syncs -= 1;
        let mut news = note(&mut state, &self, result);
        news.extend(state.take_drained());
        drop(state);
        shared.done.notify_all();
        // The next one may be due already.
        shared.work.notify_one();
        for news in news {
            self.mailer.send(news);
        }
        // Here the handle goes: closing a file that was replaced may take its time.
    }
}

fn note(state: &mut State, job: &SyncJob, result: io::Result<()>) -> Vec<WriterNews> {
    let mut news = Vec::new();
    match result {
        Ok(()) => {
            state.last_synced = state.last_synced.max(job.position);
            if state.progress.unsafe_file.is_none() {
                state.progress.synced = state.progress.synced.max(job.position);
                news.push(WriterNews::Synced);
            }
            if std::mem::take(&mut state.sync_failing) {
                news.push(WriterNews::SyncRecovered);
            }
        }
        Err(error) => {
            state.distrust(job.number);
            // Once per spell of trouble, as for writes.
            if !std::mem::replace(&mut state.sync_failing, true) {
                news.push(WriterNews::SyncFailed(error));
            }
        }
    }
    news
}
