//! What the process's memory looks like: the allocator's counters and the kernel's.
//!
//! Where the binary does not use jemalloc (unit tests), the allocator's figures are 0.

use std::cell::RefCell;
use std::sync::atomic::{AtomicI64, Ordering};

use tikv_jemalloc_ctl::stats_print::Options;
use tikv_jemalloc_ctl::{background_thread, epoch, stats, thread};

/// Bytes that the helper threads hold: each adds its share when it has done a piece of work.
static OTHER_THREADS_BYTES: AtomicI64 = AtomicI64::new(0);
/// Beyond this, and an eighth, our own sum has missed something that the allocator knows of.
const DRIFT_MAX_BYTES: i64 = 4 << 20;

thread_local! {
    static HELPER: RefCell<Option<(ThreadCounters, i64)>> = const { RefCell::new(None) };
}

/// What one thread has allocated and freed since it began, to the byte.
struct ThreadCounters {
    allocated: thread::ThreadLocal<u64>,
    deallocated: thread::ThreadLocal<u64>,
}

impl ThreadCounters {
    /// Of the calling thread; none where the allocator is another.
    fn new() -> Option<ThreadCounters> {
        let allocated = thread::allocatedp::read().ok()?;
        let deallocated = thread::deallocatedp::read().ok()?;
        Some(ThreadCounters { allocated, deallocated })
    }

    /// Negative for a thread that frees what others have allocated.
    fn held_bytes(&self) -> i64 {
        self.allocated.get().wrapping_sub(self.deallocated.get()) as i64
    }
}

/// The calling thread is not the loop's: it will tell of its memory by [`settle_thread`].
pub fn begin_helper_thread() {
    HELPER.set(ThreadCounters::new().map(|counters| (counters, 0)));
}

/// Accounts for what the calling helper thread has allocated and freed since it last did. Does
/// nothing in the loop's own thread.
pub fn settle_thread() {
    HELPER.with_borrow_mut(|helper| {
        let Some((counters, settled)) = helper else { return };
        let held_bytes = counters.held_bytes();
        OTHER_THREADS_BYTES.fetch_add(held_bytes - *settled, Ordering::Relaxed);
        *settled = held_bytes;
    });
}

/// `used_memory` and its peak, exact and cheap enough to ask before every write.
///
/// It is the sum of what the threads have allocated and freed. jemalloc's global figure would count
/// the memory that its caches keep for each thread as used, up to some hundred kilobytes that come
/// and go; eviction would take keys for them, or leave keys that should go.
pub struct MemoryMeter {
    counters: Option<ThreadCounters>,
    /// What no thread of ours has told of.
    unknown_bytes: i64,
    peak_bytes: u64,
    startup_bytes: u64,
}

/// The allocator's own view, for INFO.
#[derive(Clone, Copy, Debug, Default)]
pub struct AllocatorFigures {
    pub allocated: u64,
    pub active: u64,
    pub resident: u64,
    /// Of the resident, pages that the kernel may take when it likes.
    pub muzzy: u64,
}

impl MemoryMeter {
    /// To be made in the loop's thread.
    pub fn new() -> MemoryMeter {
        let counters = ThreadCounters::new();
        let mut meter = MemoryMeter { counters, unknown_bytes: 0, peak_bytes: 0, startup_bytes: 0 };
        meter.refresh();
        meter.startup_bytes = meter.used_bytes();
        meter
    }

    /// Holds the sum against the global figure: from cron.
    pub fn refresh(&mut self) {
        let allocated = allocator_figures().allocated as i64;
        let drift = allocated - self.sum_bytes();
        if drift.abs() > DRIFT_MAX_BYTES.max(allocated / 8) {
            self.unknown_bytes += drift;
        }
        self.peak_bytes = self.peak_bytes.max(self.used_bytes());
    }

    /// The most that was in use at a `refresh`.
    pub fn peak_bytes(&self) -> u64 {
        self.peak_bytes
    }

    /// What was in use when the meter was made.
    pub fn startup_bytes(&self) -> u64 {
        self.startup_bytes
    }

    pub fn used_bytes(&self) -> u64 {
        self.sum_bytes().max(0) as u64
    }

    fn sum_bytes(&self) -> i64 {
        let own = self.counters.as_ref().map_or(0, ThreadCounters::held_bytes);
        own + OTHER_THREADS_BYTES.load(Ordering::Relaxed) + self.unknown_bytes
    }
}

pub fn allocator_figures() -> AllocatorFigures {
    // Without the epoch the figures are old, not wrong.
    let _ = epoch::advance();
    AllocatorFigures {
        allocated: stats::allocated::read().unwrap_or(0) as u64,
        active: stats::active::read().unwrap_or(0) as u64,
        resident: stats::resident::read().unwrap_or(0) as u64,
        muzzy: muzzy_pages().unwrap_or(0) as u64 * page_bytes(),
    }
}

/// Of all arenas.
fn muzzy_pages() -> Option<usize> {
    // SAFETY: the value under this name is a size_t, by jemalloc's manual; 4096 stands for all arenas.
    unsafe { tikv_jemalloc_ctl::raw::read(b"stats.arenas.4096.pmuzzy\0").ok() }
}

/// What INFO calls the allocator.
pub const ALLOCATOR_NAME: &str = "jemalloc-5.3.1";

/// Has freed pages returned to the kernel by a thread of the allocator's own. Without it an idle
/// process keeps them, since they age only while memory is allocated and freed.
pub fn set_background_thread(on: bool) {
    // Where the allocator is another, there is none.
    let _ = background_thread::write(on);
}

/// Gives unused pages back to the kernel (MEMORY PURGE). Where the allocator is another, nothing.
pub fn purge() {
    // Unused pages may stay around for this long; none at all means that they go now.
    const DECAY: &[u8] = b"arena.0.dirty_decay_ms\0";
    // SAFETY: the value under this name is an ssize_t, by jemalloc's manual.
    unsafe {
        if let Ok(decay_ms) = tikv_jemalloc_ctl::raw::update::<isize>(DECAY, 0) {
            // Back as it was: it was accepted before.
            let _ = tikv_jemalloc_ctl::raw::write(DECAY, decay_ms);
        }
    }
}

/// The allocator's own report (MEMORY MALLOC-STATS).
pub fn report() -> String {
    let mut text = Vec::new();
    match tikv_jemalloc_ctl::stats_print::stats_print(&mut text, Options::default()) {
        Ok(()) => String::from_utf8_lossy(&text).into_owned(),
        Err(error) => format!("no report: {error}"),
    }
}

/// Resident set size in bytes, 0 if the kernel does not say.
pub fn resident_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = text.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0);
    pages * page_bytes()
}

/// All memory of the machine, or of the container's share that the kernel reports.
pub fn system_bytes() -> u64 {
    // SAFETY: asks the kernel for a number.
    let pages = unsafe { libc::sysconf(libc::_SC_PHYS_PAGES) };
    pages.max(0) as u64 * page_bytes()
}

fn page_bytes() -> u64 {
    // SAFETY: asks the kernel for a number.
    unsafe { libc::sysconf(libc::_SC_PAGESIZE) }.max(0) as u64
}

/// `1023B`, `1.00K`, `15.37M`: as INFO's `_human` fields have it.
pub fn human(bytes: u64) -> String {
    let n = bytes as f64;
    match bytes {
        0..0x400 => format!("{bytes}B"),
        0x400..0x10_0000 => format!("{:.2}K", n / 1024.0),
        0x10_0000..0x4000_0000 => format!("{:.2}M", n / (1024.0 * 1024.0)),
        0x4000_0000..0x100_0000_0000 => format!("{:.2}G", n / (1024.0 * 1024.0 * 1024.0)),
        _ => format!("{:.2}T", n / (1024.0 * 1024.0 * 1024.0 * 1024.0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn human_sizes_read_as_redis_prints_them() {
        assert_eq!(human(1023), "1023B");
        assert_eq!(human(1024), "1.00K");
        assert_eq!(human(16_113_664), "15.37M");
        assert_eq!(human(3 << 30), "3.00G");
    }

    #[test]
    fn the_kernel_tells_of_this_process() {
        assert!(resident_bytes() > 0);
        assert!(system_bytes() > resident_bytes());
    }
}
