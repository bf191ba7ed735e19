//! A state that runs scripts: the sandbox with what speaks to the server, and how a function is called within
//! its bounds of time and memory.

use std::rc::Rc;

use mlua::{Function, HookTriggers, LightUserData, Lua, MultiValue, Result, Table, Value, VmState};
use protocol::Args;

use super::c_functions::Call;
use super::sandbox::Sandbox;
use super::slot::Frame;
use super::{Shared, api, c_functions, debugger, raise};
use crate::door::ctx::Ctx;

/// Instructions between two looks at the clock.
const HOOK_EVERY: u32 = 100_000;
/// Calls between two steps of the collector.
const COLLECT_EVERY: u32 = 50;
/// What a call may leave behind beyond twice what lasts before all of it is collected.
const GARBAGE_MAX: usize = 64 << 20;

/// Why a function has failed: what it raised, or what the library says of it.
pub(crate) enum Failure {
    Raised(Value),
    Broken(String),
}

pub(crate) struct Interpreter {
    pub lua: Lua,
    pub shared: Rc<Shared>,
    /// What globals really are: KEYS and ARGV are put there.
    pub globals: Table,
    /// Compiled functions by number: a table in the state has room for all of them.
    functions: Table,
    runner: Rc<Runner>,
    next_function: i64,
    calls: u32,
    /// What was still there when all was last collected.
    lasting_bytes: usize,
    /// All that a library finds while it is loaded.
    pub load_globals: Table,
    /// Of the table that is shown as the globals.
    shown_metatable: Table,
}

impl Drop for Interpreter {
    fn drop(&mut self) {
        self.shared.lua.take();
    }
}

impl Interpreter {
    pub(crate) fn new() -> Result<Interpreter> {
        let sandbox = Sandbox::new()?;
        let lua = sandbox.lua.clone();
        let shared = Rc::new(Shared::new());
        *shared.lua.borrow_mut() = Some(lua.clone());
        let run_api = sandbox.protect(api::for_scripts(&lua, &shared)?)?;
        let load_globals = api::for_loading(&sandbox, &shared)?;
        for name in ["redis", "server"] {
            sandbox.globals.raw_set(name, &run_api)?;
        }
        api::add_clock(&sandbox, &shared)?;
        let shown_metatable = sandbox.close()?;
        let handler = error_handler(&lua)?;
        let protected_call = c_functions::protected_call(&lua)?;
        let hooked = Rc::downgrade(&shared);
        set_hook(&lua, HOOK_EVERY, move |lua| match hooked.upgrade() {
            Some(shared) => look(&shared, lua),
            None => Ok(VmState::Continue),
        })?;
        let (globals, functions) = (sandbox.globals.clone(), lua.create_table()?);
        let numbered_call = c_functions::numbered_call(&lua, &handler, &functions, &globals)?;
        let runner = Runner {
            lua: lua.clone(),
            shared: Rc::clone(&shared),
            protected_call,
            numbered_call,
            handler,
        };
        Ok(Interpreter {
            lua,
            shared,
            globals,
            functions,
            runner: Rc::new(runner),
            next_function: 1,
            calls: 0,
            lasting_bytes: 0,
            load_globals,
            shown_metatable,
        })
    }

    /// Lets scripts see these globals from here on.
    pub(crate) fn show_globals(&self, globals: &Table) -> Result<()> {
        self.shown_metatable.raw_set("__index", globals)
    }

    /// Keeps a function; the number says which it is.
    pub(crate) fn keep(&mut self, function: &Function) -> Result<i64> {
        let id = self.next_function;
        self.functions.raw_set(id, function)?;
        self.next_function += 1;
        Ok(id)
    }

    pub(crate) fn forget(&mut self, id: i64) {
        // Taking away needs no memory.
        let _ = self.functions.raw_set(id, Value::Nil);
    }

    /// What of the state outlives a call that may replace it.
    pub(crate) fn runner(&self) -> Rc<Runner> {
        Rc::clone(&self.runner)
    }

    pub(crate) fn used_bytes(&self) -> u64 {
        self.lua.used_memory() as u64
    }

    /// After a call: garbage is collected in small steps, and at once where it is much. That which a script leaves
    /// behind that ran out of memory would be missed by the next ones.
    pub(crate) fn tidy(&mut self) {
        self.calls += 1;
        // Only what collecting runs could fail, and that is nothing of a script's.
        if self.lua.used_memory() > GARBAGE_MAX + 2 * self.lasting_bytes {
            let _ = self.lua.gc_collect();
            self.lasting_bytes = self.lua.used_memory();
        } else if self.calls.is_multiple_of(COLLECT_EVERY) {
            let _ = self.lua.gc_step();
        }
    }
}

/// Calls functions of a state.
pub(crate) struct Runner {
    pub lua: Lua,
    pub shared: Rc<Shared>,
    protected_call: Function,
    numbered_call: Function,
    handler: Function,
}

impl Runner {
    /// Makes a call for the command `args`, whose context is lent to it meanwhile.
    pub(crate) fn call(
        &self,
        ctx: &mut Ctx<'_>,
        args: Args<'_>,
        call: &Call<'_>,
    ) -> std::result::Result<Value, Failure> {
        let call = LightUserData(std::ptr::from_ref(call).cast_mut().cast());
        self.shared.slot.lend(Frame { ctx, args }, || {
            self.outcome(|| self.numbered_call.call::<(bool, Value)>(call))
        })
    }

    /// Calls a function, with nothing, where no command runs.
    pub(crate) fn call_plain(&self, function: Function) -> std::result::Result<Value, Failure> {
        self.outcome(|| self.protected_call.call::<(bool, Value)>((function, &self.handler)))
    }

    fn outcome(
        &self,
        call: impl FnOnce() -> Result<(bool, Value)>,
    ) -> std::result::Result<Value, Failure> {
        match self.shared.with_limit(call) {
            Ok((true, value)) => Ok(value),
            Ok((false, value)) => Err(Failure::Raised(value)),
            Err(error) => Err(Failure::Broken(raise::message(&error))),
        }
    }
}

/// Makes of what a script raises a table that says where.
fn error_handler(lua: &Lua) -> Result<Function> {
    lua.create_function(|lua, raised: MultiValue| {
        let raised = raised.into_iter().next().unwrap_or(Value::Nil);
        let table = match raised {
            Value::Table(table) => table,
            Value::Error(error) => text_table(lua, raise::message(&error).as_bytes())?,
            Value::String(text) => text_table(lua, &text.as_bytes())?,
            other => text_table(lua, other.to_string().unwrap_or_default().as_bytes())?,
        };
        // The first frame that is a script's.
        for level in 1..8 {
            let place = lua.inspect_stack(level, |frame| {
                let source = frame.source();
                let name = source.source.map(|name| name.into_owned());
                (source.what != "C").then(|| (name, frame.current_line()))
            });
            match place {
                None => break,
                Some(None) => continue,
                Some(Some((source, line))) => {
                    table.raw_set("source", source)?;
                    table.raw_set("line", line.map(|line| line as f64))?;
                    break;
                }
            }
        }
        Ok(table)
    })
}

fn text_table(lua: &Lua, text: &[u8]) -> Result<Table> {
    let table = lua.create_table()?;
    table.raw_set("err", lua.create_string([b"ERR ", text].concat())?)?;
    Ok(table)
}

fn set_hook(lua: &Lua, every: u32, hook: impl Fn(&Lua) -> Result<VmState> + 'static) -> Result<()> {
    let triggers = HookTriggers::new().every_nth_instruction(every);
    lua.set_global_hook(triggers, move |lua, _| hook(lua))
}

/// A look up from a script: who speaks is answered if it takes long, and it ends if somebody says so.
pub(super) fn look(shared: &Rc<Shared>, lua: &Lua) -> Result<VmState> {
    let unlimited = shared.lift_limit();
    let verdict = shared.slot.with(|frame| frame.ctx.look_up_from_script(frame.args));
    drop(unlimited);
    match verdict {
        Some(Some(why)) => Err(end_script(lua, &why)),
        _ => Ok(VmState::Continue),
    }
}

/// The error with which a script ends. From here on every instruction is an error, so that no `pcall` of the script's
/// goes on. It is set for the coroutine that runs; another that goes on comes past the hook in turn.
pub(super) fn end_script(lua: &Lua, why: &str) -> mlua::Error {
    let text = why.to_owned();
    let is_set = set_hook(lua, 1, move |_| Err(mlua::Error::runtime(&text)));
    is_set.err().unwrap_or_else(|| mlua::Error::runtime(why))
}

/// The script is debugged: it is looked at with every line.
pub(crate) fn set_debug_hook(runner: &Runner) -> Result<()> {
    let hooked = Rc::downgrade(&runner.shared);
    let triggers = HookTriggers::new().every_line().every_nth_instruction(HOOK_EVERY);
    runner.lua.set_global_hook(triggers, move |lua, debug| match hooked.upgrade() {
        Some(shared) => debugger::arrive(&shared, lua, debug),
        None => Ok(VmState::Continue),
    })
}

/// The script is over: the next one begins with the hook as it was.
pub(crate) fn restore_hook(runner: &Runner) -> Result<()> {
    let hooked = Rc::downgrade(&runner.shared);
    set_hook(&runner.lua, HOOK_EVERY, move |lua| match hooked.upgrade() {
        Some(shared) => look(&shared, lua),
        None => Ok(VmState::Continue),
    })
}
