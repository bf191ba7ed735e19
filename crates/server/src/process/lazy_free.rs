//! A thread for work that takes long and that nobody waits for: dropping large values, unlinking
//! and closing large files.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread;

use crate::process::memory;

type Work = Box<dyn FnOnce() + Send>;

static QUEUE: OnceLock<Sender<Work>> = OnceLock::new();
static PENDING: AtomicU64 = AtomicU64::new(0);
static DONE: AtomicU64 = AtomicU64::new(0);

/// Drops `garbage` in the helper thread.
pub fn free(garbage: Box<dyn Send>) {
    run(move || drop(garbage));
}

/// Runs `work` in the helper thread, in order. Where there can be no thread, at once.
pub fn run(work: impl FnOnce() + Send + 'static) {
    PENDING.fetch_add(1, Ordering::Relaxed);
    let queue = QUEUE.get_or_init(start);
    if let Err(refused) = queue.send(Box::new(work)) {
        (refused.0)();
        PENDING.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How many pieces of work wait, and how many are done: INFO's lazyfree figures.
pub fn counts() -> (u64, u64) {
    (PENDING.load(Ordering::Relaxed), DONE.load(Ordering::Relaxed))
}

fn start() -> Sender<Work> {
    let (tx, rx) = channel::<Work>();
    // When it cannot be started, `rx` is gone and `send` gives the work back.
    let _ = thread::Builder::new().name("lazy_free".into()).spawn(move || {
        memory::begin_helper_thread();
        for work in rx {
            work();
            memory::settle_thread();
            PENDING.fetch_sub(1, Ordering::Relaxed);
            DONE.fetch_add(1, Ordering::Relaxed);
        }
    });
    tx
}
