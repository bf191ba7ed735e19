//! The thread that fsyncs the append-only file, so that an fsync, however long it takes, keeps no write
//! waiting.
//!
//! It works off what the writing thread asks for, in order, and keeps the account of what is safe. It
//! decides neither when an fsync is due nor what a failure means to the data set.

use std::fs::File;
use std::io;
use std::sync::Arc;

use crate::disk::aof::writer::{Shared, State, WriterNews};
use crate::process::mailbox::Mailer;
use crate::process::memory;

/// An fsync of one file.
pub struct SyncJob {
    pub file: Arc<File>,
    /// The number of the file.
    pub number: u64,
    /// What it makes safe, with those before it: offsets as in `WriterProgress`.
    pub position: u64,
}

/// Until `stop_syncs` is set and nothing is left to do.
pub fn run_syncs(shared: &Shared, mailer: &Mailer<WriterNews>) {
    memory::begin_helper_thread();
    let mut state = shared.lock();
    loop {
        if let Some(job) = state.syncs.pop_front() {
            state.progress.is_syncing = true;
            drop(state);
            let result = sync_data(&job.file);
            state = shared.lock();
            state.progress.is_syncing = false;
            let news = note(&mut state, &job, result);
            drop(state);
            shared.done.notify_all();
            // The next one may be due already.
            shared.work.notify_one();
            for news in news {
                mailer.send(news);
            }
            // Closing a file that was replaced may take its time.
            drop(job);
            memory::settle_thread();
            state = shared.lock();
        } else if state.stop_syncs {
            return;
        } else {
            state = shared.sync_work.wait(state).expect("nobody panics with the lock");
        }
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

/// fdatasync. What cannot be synced at all (a pipe, a device) has no cache that could lose anything.
pub fn sync_data(file: &File) -> io::Result<()> {
    match file.sync_data() {
        Err(e) if e.raw_os_error() == Some(libc::EINVAL) => Ok(()),
        result => result,
    }
}
