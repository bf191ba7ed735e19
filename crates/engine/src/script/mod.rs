//! Scripts and functions: Lua, what it may do here, and what is kept of it between calls.
//!
//! - `sandbox` is a Lua state without what reaches the process, `libs` what scripts have beside Lua's own.
//! - `interpreter` adds what speaks to the server (`api`, `call`), and runs a function within its bounds.
//! - `cache` keeps what EVAL and SCRIPT LOAD have compiled, `library` what FUNCTION LOAD has.
//! - `debugger` stops a script at its lines.
//! - `rules` says what a script may do, `flags` what it declares, `reply` how its result is answered.
//!
//! Invariants:
//! - One script runs at a time, and is one unit: what it changes leaves by the door as one transaction, by one clock.
//! - Nothing that a script does to its state is seen by the next, but for what it keeps in a library's own variables.
//! - Every instruction of a script passes a hook within its count: no script can keep others from being answered.

mod api;
mod c_functions;
pub(crate) mod cache;
mod call;
pub(crate) mod debugger;
pub(crate) mod flags;
mod interpreter;
pub(crate) mod library;
mod libs;
mod raise;
mod reply;
mod rules;
pub(crate) mod run;
mod sandbox;
mod slot;
pub(crate) mod stored;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use mlua::Lua;
use protocol::{OwnedArgs, ReplyBuf, Resp};

use crate::door::propagate::Targets;
use crate::error::CommandError;

pub(crate) use cache::Cache;
pub(crate) use library::Libraries;
use slot::Slot;

/// What a state may take: more is an error of the script's.
const MEMORY_MAX: usize = 1 << 30;

/// All of the engine's scripts.
#[derive(Default)]
pub(crate) struct Scripts {
    pub cache: Cache,
    pub libraries: Libraries,
    /// The one that runs.
    pub running: Option<Running>,
    /// Output of the commands that scripts call, one after the other.
    scratch: ReplyBuf,
    /// The one that runs is debugged.
    pub session: Option<Box<debugger::Session>>,
    /// DEBUG SET-DISABLE-DENY-SCRIPTS: scripts may call what is not for scripts.
    pub allows_all: bool,
}

/// How the script that runs is to be ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kill {
    /// SCRIPT KILL, FUNCTION KILL.
    Asked,
    /// The server ends, without what the script has done.
    Shutdown,
}

/// A script or function while it runs.
pub(crate) struct Running {
    /// The digest of a script, the name of a function.
    pub name: Rc<str>,
    pub is_function: bool,
    /// The protocol in which it is answered by its commands.
    pub resp: Resp,
    /// Where its writes travel (`redis.set_repl`).
    pub targets: Targets,
    pub is_read_only: bool,
    pub allows_oom: bool,
    pub began_without_memory: bool,
    /// A writing command of its was let through.
    pub has_written: bool,
    /// A master's or a file's word is done.
    pub is_obeyed: bool,
    pub started_us: u64,
    /// Others are told that it takes long: its command, for them to see.
    pub slow: Option<OwnedArgs>,
    /// When others were answered last.
    pub served_us: u64,
    pub kill: Option<Kill>,
}

impl Scripts {
    /// What others are answered while it runs.
    pub fn busy_error(&self) -> CommandError {
        match &self.running {
            Some(running) if running.is_function => CommandError::BusyFunction,
            _ => CommandError::BusyScript,
        }
    }

    /// SCRIPT KILL and FUNCTION KILL.
    pub fn kill(&mut self, function: bool) -> Result<(), CommandError> {
        let busy = self.busy_error();
        let Some(running) = &mut self.running else { return Err(CommandError::NotBusy) };
        if running.is_obeyed {
            return Err(CommandError::text(
                "UNKILLABLE The busy script was sent by a master instance in the context of replication and \
                 cannot be killed.",
            ));
        }
        if running.has_written {
            return Err(CommandError::text(
                "UNKILLABLE Sorry the script already executed write commands against the dataset. You can either \
                 wait the script termination or kill the server in a hard way using the SHUTDOWN NOSAVE command.",
            ));
        }
        if running.is_function != function {
            return Err(busy);
        }
        running.kill = Some(Kill::Asked);
        Ok(())
    }

    /// The server ends now: the script has to.
    pub fn kill_for_shutdown(&mut self) {
        if let Some(running) = &mut self.running {
            running.kill = Some(Kill::Shutdown);
        }
    }
}

/// What a state and its functions share.
pub(crate) struct Shared {
    pub slot: Slot,
    /// The state itself, taken away when it ends: it would hold itself otherwise.
    lua: RefCell<Option<Lua>>,
    is_limited: Cell<bool>,
}

impl Shared {
    fn new() -> Shared {
        Shared { slot: Slot::default(), lua: RefCell::new(None), is_limited: Cell::new(false) }
    }

    /// Bounds the state's memory while `work` runs it.
    fn with_limit<R>(&self, work: impl FnOnce() -> R) -> R {
        self.set_limited(true);
        let result = work();
        self.set_limited(false);
        result
    }

    /// No bound until what is returned is dropped: what runs here is ours, and cannot be ended half-way.
    fn lift_limit(&self) -> Unlimited<'_> {
        let was_limited = self.is_limited.get();
        if was_limited {
            self.set_limited(false);
        }
        Unlimited { shared: self, was_limited }
    }

    fn set_limited(&self, limited: bool) {
        self.is_limited.set(limited);
        if let Some(lua) = &*self.lua.borrow() {
            // An error says that the allocator is not ours, and it is.
            let _ = lua.set_memory_limit(if limited { MEMORY_MAX } else { 0 });
        }
    }
}

struct Unlimited<'a> {
    shared: &'a Shared,
    was_limited: bool,
}

impl Drop for Unlimited<'_> {
    fn drop(&mut self) {
        if self.was_limited {
            self.shared.set_limited(true);
        }
    }
}
