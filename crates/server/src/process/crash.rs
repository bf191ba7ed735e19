//! Owns what is left behind when a signal ends the process: a report in the log, with a stack trace. Must not
//! trust anything of the process that has crashed: what can be said without its locks and its memory is
//! said first, and an alarm ends a report that does not come to its end.

use std::backtrace::Backtrace;
use std::ffi::{CString, c_int, c_void};
use std::fmt::{self, Write};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

use crate::process::version::{REDIS_VERSION, TANDEM_VERSION, commit};

/// Signals that a crash raises. The standard library handles the first two, to tell of stack overflows.
const SIGNALS: [Signal; 5] =
    [Signal::SIGSEGV, Signal::SIGBUS, Signal::SIGFPE, Signal::SIGILL, Signal::SIGABRT];
/// Room to name the frames of a stack in; the alternate stack of the standard library has none.
const STACK_BYTES: usize = 1 << 20;
/// A report that takes longer waits for a lock of the process that has crashed.
const REPORT_MAX_S: libc::c_uint = 5;

/// The handlers that were there before ours, in the order of `SIGNALS`.
static BEFORE: [AtomicUsize; 5] = [const { AtomicUsize::new(0) }; 5];
/// The log's file, by its absolute name; none is standard output.
static LOG: OnceLock<Option<CString>> = OnceLock::new();
/// Whether there is a report already, or no log yet.
static IS_REPORTED: AtomicBool = AtomicBool::new(true);
/// `crash-log-enabled`.
static IS_WANTED: AtomicBool = AtomicBool::new(true);

/// A crash signal that somebody sends ends the process like one that a fault raises: the standard library
/// takes the first one for nothing. To be called by the main thread, before there are others.
pub fn handle_signals() -> io::Result<()> {
    for (signal, before) in SIGNALS.iter().zip(&BEFORE) {
        let flags = SaFlags::SA_SIGINFO | SaFlags::SA_ONSTACK;
        let action = SigAction::new(SigHandler::SigAction(on_crash), flags, SigSet::empty());
        // SAFETY: what the handler calls besides async-signal-safe functions, it calls when nothing is left to
        // be lost, with an alarm set.
        let old = unsafe { sigaction(*signal, &action) }?;
        if let SigHandler::SigAction(handler) = old.handler() {
            before.store(handler as usize, Ordering::Relaxed);
        }
    }
    Ok(())
}

/// From now on a crash is reported, to the file or, without one, to standard output.
pub fn report_to(log: Option<&Path>) -> io::Result<()> {
    let name = log.map(std::path::absolute).transpose()?;
    let name = name.map(|path| CString::new(path.as_os_str().as_bytes())).transpose()?;
    // The first one stands: a process has one log.
    let _ = LOG.set(name);
    lend_stack()?;
    IS_REPORTED.store(false, Ordering::Relaxed);
    Ok(())
}

/// Whether a crash is to be reported.
pub fn is_wanted() -> bool {
    IS_WANTED.load(Ordering::Relaxed)
}

pub fn set_wanted(is_wanted: bool) {
    IS_WANTED.store(is_wanted, Ordering::Relaxed);
}

/// Whoever ends the process has said why.
pub fn is_reported() {
    IS_REPORTED.store(true, Ordering::Relaxed);
}

/// Faults, as a stray pointer would.
pub fn fault() -> ! {
    // SAFETY: a mapping of its own that nobody may touch; the write does not come to pass.
    unsafe {
        let (none, flags) = (libc::PROT_NONE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        let page = libc::mmap(std::ptr::null_mut(), 4096, none, flags, -1, 0);
        page.cast::<u8>().write_volatile(1);
    }
    std::process::abort()
}

fn is_main_thread() -> bool {
    // SAFETY: both always succeed.
    unsafe { libc::gettid() == libc::getpid() }
}

/// Gives this thread a larger stack for its signal handlers, for as long as the process lives. It is none of
/// the memory that `maxmemory` goes by.
fn lend_stack() -> io::Result<()> {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_STACK;
    // SAFETY: a mapping of its own, which is never undone.
    let failed = unsafe {
        let stack = libc::mmap(std::ptr::null_mut(), STACK_BYTES, protection, flags, -1, 0);
        let lent = libc::stack_t { ss_sp: stack, ss_flags: 0, ss_size: STACK_BYTES };
        stack == libc::MAP_FAILED || libc::sigaltstack(&raw const lent, std::ptr::null_mut()) != 0
    };
    if failed { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Runs on whatever thread a fault or a `kill` interrupts.
extern "C" fn on_crash(number: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    if is_wanted() && !IS_REPORTED.swap(true, Ordering::Relaxed) {
        // SAFETY: the kernel passes both to a handler with SA_SIGINFO.
        unsafe { report(number, &*info, context) };
    }
    // SAFETY: the kernel passes a valid `siginfo_t` to a handler with SA_SIGINFO.
    let was_sent = unsafe { (*info).si_code } <= 0;
    let at = SIGNALS.iter().position(|signal| *signal as c_int == number);
    let before = at.map_or(0, |at| BEFORE[at].load(Ordering::Relaxed));
    if was_sent || before == 0 {
        // SAFETY: both are async-signal-safe. The signal is blocked until we return, then it ends us.
        unsafe {
            libc::signal(number, libc::SIG_DFL);
            libc::raise(number);
        }
        return;
    }
    // SAFETY: `before` is what `sigaction` gave for a handler of this signature.
    let before: extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) =
        unsafe { std::mem::transmute(before) };
    before(number, info, context);
}

/// # Safety
/// `context` is what the kernel has passed to the handler.
unsafe fn report(number: c_int, info: &libc::siginfo_t, context: *const c_void) {
    let mut out = RawLog::open();
    // SAFETY: the caller's word.
    let at = unsafe { instruction(context) };
    // Nothing that is written can fail: it goes as far as it can.
    let _ = write!(
        out,
        "\n\n=== TANDEM BUG REPORT START: Cut & paste starting from here ===\n\
         Redis {REDIS_VERSION} (Tandem {TANDEM_VERSION}, commit {}) crashed by signal: {number}, si_code: {}\n",
        commit(),
        info.si_code
    );
    if info.si_code <= 0 {
        // SAFETY: these fields are set for signals that a process has sent.
        let (pid, uid) = unsafe { (info.si_pid(), info.si_uid()) };
        let _ = writeln!(out, "Killed by PID: {pid}, UID: {uid}");
    } else if number != libc::SIGABRT {
        // SAFETY: this field is set for faults.
        let _ = writeln!(out, "Accessing address: {:p}", unsafe { info.si_addr() });
    }
    let _ =
        writeln!(out, "Crashed running the instruction at: {at:#x}\n\n------ STACK TRACE ------");
    if is_main_thread() {
        end_in_time();
        let _ = writeln!(out, "{}", Backtrace::force_capture());
        // SAFETY: async-signal-safe.
        unsafe { libc::alarm(0) };
    } else {
        let _ = writeln!(out, "(of a helper thread: not taken)");
    }
    let _ =
        writeln!(out, "\n=== TANDEM BUG REPORT END. Make sure to include from START to END. ===");
}

/// The default action of SIGALRM, which only the watchdog has another for, ends it.
fn end_in_time() {
    // SAFETY: all of them are async-signal-safe.
    unsafe {
        libc::signal(libc::SIGALRM, libc::SIG_DFL);
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGALRM);
        libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const set, std::ptr::null_mut());
        libc::alarm(REPORT_MAX_S);
    }
}

/// Where the signal has interrupted the thread; 0 where we do not know how to ask.
///
/// # Safety
/// `context` is what the kernel has passed to the handler.
pub(super) unsafe fn instruction(context: *const c_void) -> usize {
    // SAFETY: the caller's word.
    let context = unsafe { &*context.cast::<libc::ucontext_t>() };
    #[cfg(target_arch = "x86_64")]
    return context.uc_mcontext.gregs[libc::REG_RIP as usize] as usize;
    #[cfg(target_arch = "aarch64")]
    return context.uc_mcontext.pc as usize;
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    return {
        let _ = context;
        0
    };
}

/// The log past all that buffers it.
pub(super) struct RawLog(c_int);

impl RawLog {
    pub(super) fn open() -> RawLog {
        let Some(Some(name)) = LOG.get() else { return RawLog(libc::STDOUT_FILENO) };
        let flags = libc::O_WRONLY | libc::O_APPEND | libc::O_CREAT;
        // SAFETY: the name is a C string; `open` is async-signal-safe.
        RawLog(unsafe { libc::open(name.as_ptr(), flags, 0o644) })
    }

    /// A line for each frame of a stack.
    pub(super) fn write_frames(&mut self, stack: &[*mut c_void]) {
        // SAFETY: the pointer is to as many frames as are told; the function allocates nothing.
        #[cfg(target_env = "gnu")]
        unsafe {
            libc::backtrace_symbols_fd(stack.as_ptr(), stack.len() as c_int, self.0);
        }
        #[cfg(not(target_env = "gnu"))]
        let _ = stack;
    }

    /// For who writes more than once in the life of a process.
    pub(super) fn close(self) {
        if self.0 != libc::STDOUT_FILENO {
            // SAFETY: nobody else has this descriptor.
            unsafe { libc::close(self.0) };
        }
    }
}

impl Write for RawLog {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            // SAFETY: the bytes are ours; `write` is async-signal-safe.
            let written = unsafe { libc::write(self.0, rest.as_ptr().cast(), rest.len()) };
            match usize::try_from(written) {
                Ok(n) if n > 0 => rest = &rest[n..],
                _ => return Err(fmt::Error),
            }
        }
        Ok(())
    }
}
