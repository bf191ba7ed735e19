//! A thread for what takes long and nobody waits for: dropping large values. Files are the business of
//! `disk/worker.rs`.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread;

use crate::process::memory;

type Garbage = Box<dyn Send>;

static QUEUE: OnceLock<Sender<Garbage>> = OnceLock::new();
static PENDING: AtomicU64 = AtomicU64::new(0);
static DONE: AtomicU64 = AtomicU64::new(0);

/// Drops `garbage` in the helper thread.
pub fn free(garbage: Box<dyn Send>) {
    PENDING.fetch_add(1, Ordering::Relaxed);
    // Where there can be no thread, it is dropped here, with the error that gives it back.
    if QUEUE.get_or_init(start).send(garbage).is_err() {
        PENDING.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How many pieces of work wait, and how many are done: INFO's lazyfree figures.
pub fn counts() -> (u64, u64) {
    (PENDING.load(Ordering::Relaxed), DONE.load(Ordering::Relaxed))
}

/// CONFIG RESETSTAT: what is done is counted anew.
pub fn reset_counts() {
    DONE.store(0, Ordering::Relaxed);
}

fn start() -> Sender<Garbage> {
    let (tx, rx) = channel::<Garbage>();
    // When it cannot be started, `rx` is gone and `send` gives the work back.
    let _ = thread::Builder::new().name("lazy_free".into()).spawn(move || {
        memory::begin_helper_thread();
        for garbage in rx {
            drop(garbage);
            memory::settle_thread();
            PENDING.fetch_sub(1, Ordering::Relaxed);
            DONE.fetch_add(1, Ordering::Relaxed);
        }
    });
    tx
}
