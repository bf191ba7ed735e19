//! The debugger of scripts (SCRIPT DEBUG): stops an EVAL at its lines and asks its client what next, over the
//! connection on which the EVAL came, until the script ends.
//!
//! - `session` is what is remembered of one: text, breakpoints, what is to be told. `request` reads what the client says.
//! - `frames` reads the stack of a script that is stopped, `show` prints what stands there.
//! - This file has the way between them: the session's beginning and end, the hook, the conversation.
//!
//! A session is either forked, in a process of its own with the data as they were, or holds this server: then others
//! are answered that it is busy, as with any script that takes long, and may end it.

mod frames;
mod help;
mod request;
mod session;
mod show;

use std::ffi::c_int;
use std::rc::Rc;

use mlua::debug::{Debug, DebugEvent};
use mlua::{Function, Lua, MultiValue, Result, Table, Value, VmState};
use protocol::{Args, OwnedArgs};

use super::interpreter::{end_script, look};
use super::slot::Frame;
use super::{Kill, Shared, raise, sandbox};
use crate::clients::client::Debugging;
use crate::door::ctx::Ctx;
use crate::error::CommandError;
use crate::world::{Action, Forked, Heard};
use request::Parsed;
use session::Next;
pub(crate) use session::Session;

/// A client that says more than this without saying a request has lost its way.
const INPUT_MAX: usize = 1 << 20;
/// After so long without a stop a script is taken for one that does not end, unless `busy-reply-threshold` says.
const LATE_DEFAULT_US: u64 = 5_000_000;
/// Name of the code that a client has run.
const EVAL_NAME: &str = "@ldb_eval";

type Eval = fn(&mut Ctx<'_>, Args<'_>) -> std::result::Result<(), CommandError>;

/// Runs EVAL in a session, as its client has asked for.
pub(crate) fn debug(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    eval: Eval,
) -> std::result::Result<(), CommandError> {
    // What is told leaves at once: it would overtake what waits to be sent, and whose time may not have come.
    if ctx.call.is_nested() || !ctx.client.out.is_empty() {
        return Err(CommandError::err(
            "EVAL must be called outside a pipeline and a transaction while scripts are debugged",
        ));
    }
    if ctx.client.debugging == Debugging::Sync {
        log(ctx, "Redis synchronous debugging eval session started");
        let result = hold_session(ctx, args, eval);
        log(ctx, "Redis synchronous debugging eval session ended");
        ctx.client.close_after_reply = true;
        return result;
    }
    match ctx.world.fork_session(ctx.client.id)? {
        Forked::Parent => {
            ctx.client.debugging = Debugging::Off;
            ctx.propagate_nothing();
            Ok(())
        }
        Forked::Child(mut world) => {
            let (found, call) = (ctx.found, ctx.call);
            let mut child = Ctx::new(ctx.engine, ctx.client, &mut *world, found, call);
            if let Err(error) = hold_session(&mut child, args, eval) {
                child.client.out.error(error.as_str());
            }
            let last_words = child.client.out.to_vec();
            world.exit(&last_words)
        }
    }
}

fn hold_session(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    eval: Eval,
) -> std::result::Result<(), CommandError> {
    ctx.engine.scripts.session = Some(Box::new(Session::new(args.at(1))));
    let result = eval(ctx, args);
    if let Some(mut session) = ctx.engine.scripts.session.take() {
        session.tell("<endsession>");
        ctx.world.say(ctx.client.id, &session.take_told());
    }
    result
}

fn log(ctx: &mut Ctx<'_>, message: &str) {
    // A world without a log has nobody to tell.
    let _ = ctx.perform(Action::Log { message });
}

/// What the hook does while there is a session: at each line, and every so many instructions.
pub(super) fn arrive(shared: &Rc<Shared>, lua: &Lua, debug: &Debug<'_>) -> Result<VmState> {
    let is_count = matches!(debug.event(), DebugEvent::Count);
    let is_script = frames::is_script(debug.source().short_src.as_deref());
    if !is_script {
        // Code of the client's, say: it is not stopped, but it may have to end.
        return if is_count { look(shared, lua) } else { Ok(VmState::Continue) };
    }
    let line = debug.current_line().unwrap_or(0);
    let stop = {
        let _unlimited = shared.lift_limit();
        shared.slot.with(|frame| stops(frame.ctx, line, is_count)).flatten()
    };
    match stop {
        Some(is_late) => converse(shared, lua, is_late),
        None => Ok(VmState::Continue),
    }
}

/// Some if it stops here: whether for having run too long.
fn stops(ctx: &mut Ctx<'_>, line: usize, is_count: bool) -> Option<bool> {
    let late_us = match ctx.engine.settings.busy_reply_threshold_ms {
        0 => LATE_DEFAULT_US,
        ms => ms.saturating_mul(1000),
    };
    let started_us = ctx.engine.scripts.running.as_ref()?.started_us;
    let is_late = is_count && ctx.world.mono_us().saturating_sub(started_us) >= late_us;
    let session = ctx.engine.scripts.session.as_mut()?;
    let stops = session.arrive(line, is_count, is_late);
    stops.then_some(is_late)
}

/// What is to be done next.
enum Said {
    Words(Vec<Vec<u8>>),
    Gone,
    /// The script ends.
    End(String),
}

/// Asks the client until it lets the script go on.
fn converse(shared: &Rc<Shared>, lua: &Lua, is_late: bool) -> Result<VmState> {
    shared.with_session(|session| session.is_talking = true);
    let verdict = loop {
        let said = {
            let _unlimited = shared.lift_limit();
            shared.slot.with(|frame| {
                tell(frame);
                listen(frame)
            })
        };
        match said.unwrap_or(Said::Gone) {
            Said::Words(words) => match perform(shared, lua, &words) {
                Ok(true) => {}
                Ok(false) => break Ok(()),
                Err(why) => break Err(why),
            },
            Said::Gone => {
                shared.with_session(Session::leave);
                // Nobody could end it otherwise.
                let why = "timeout during Lua debugging with client closing connection";
                break if is_late { Err(why.to_string()) } else { Ok(()) };
            }
            Said::End(why) => break Err(why),
        }
    };
    shared.slot.with(|frame| {
        let now_us = frame.ctx.world.mono_us();
        if let Some(running) = &mut frame.ctx.engine.scripts.running {
            (running.started_us, running.served_us) = (now_us, now_us);
        }
    });
    shared.with_session(|session| session.is_talking = false);
    match verdict {
        Ok(()) => Ok(VmState::Continue),
        Err(why) => Err(end_script(lua, &why)),
    }
}

impl Shared {
    /// The session of the script that runs, if it is debugged.
    pub(super) fn with_session<R>(&self, work: impl FnOnce(&mut Session) -> R) -> Option<R> {
        let session =
            |frame: &mut Frame<'_, '_>| frame.ctx.engine.scripts.session.as_deref_mut().map(work);
        self.slot.with(session).flatten()
    }
}

/// Sends what there is to tell.
fn tell(frame: &mut Frame<'_, '_>) {
    let ctx = &mut *frame.ctx;
    if let Some(session) = &mut ctx.engine.scripts.session {
        ctx.world.say(ctx.client.id, &session.take_told());
    }
}

/// The client's next request. While it says nothing the others are answered, one of whom may end the script.
fn listen(frame: &mut Frame<'_, '_>) -> Said {
    let (ctx, args) = (&mut *frame.ctx, frame.args);
    loop {
        if let Some(kill) = ctx.engine.scripts.running.as_ref().and_then(|running| running.kill) {
            if kill == Kill::Asked {
                ctx.log_from_script("Lua script killed by user with SCRIPT KILL.");
            }
            return Said::End(super::run::KILLED.to_string());
        }
        let Some(session) = &mut ctx.engine.scripts.session else { return Said::Gone };
        match request::parse(&session.input) {
            Parsed::Whole(words, len) => {
                session.input.drain(..len);
                return Said::Words(words);
            }
            Parsed::Broken => {
                session.input.clear();
                return Said::End("protocol error".to_string());
            }
            Parsed::Partial if session.input.len() > INPUT_MAX => {
                session.input.clear();
                return Said::End("max client buffer reached".to_string());
            }
            Parsed::Partial => {}
        }
        match ctx.world.hear(ctx.client.id, &mut session.input) {
            Heard::Bytes => {}
            Heard::Gone => return Said::Gone,
            Heard::Nothing => {
                if let Some(running) = &mut ctx.engine.scripts.running {
                    running.slow.get_or_insert_with(|| OwnedArgs::from(args));
                }
                ctx.engine.serve_sockets(ctx.world);
            }
        }
    }
}

/// Does what was said. False if the script goes on; an error if it ends.
fn perform(shared: &Rc<Shared>, lua: &Lua, words: &[Vec<u8>]) -> std::result::Result<bool, String> {
    let next = shared.with_session(|session| session.command(words)).unwrap_or(Next::Go);
    match next {
        Next::Go => return Ok(false),
        Next::Told => {}
        Next::Abort => return Err("script aborted for user request".to_string()),
        Next::Eval(code) => {
            let value = evaluate(lua, &code);
            shared.with_session(|session| match &value {
                Ok(value) => session.tell_value("<retval> ", value),
                Err(why) => session.tell_error(why.as_bytes()),
            });
        }
        Next::Redis(words) => {
            // What commands do is told as if the script stepped over them.
            shared.with_session(|session| session.set_step(true));
            // What it is answered is told by the command itself, be it an error.
            let _ = call_command(lua, &words);
            shared.with_session(|session| session.set_step(false));
        }
        Next::Print(name) => {
            let told = match name {
                Some(name) => print(shared, lua, &name),
                None => print_all(shared, lua),
            };
            if let Err(error) = told {
                let why = raise::message(&error);
                shared.with_session(|session| session.tell_error(why.as_bytes()));
            }
        }
        Next::Trace => trace(shared, lua),
    }
    Ok(true)
}

/// Runs code of the client's: an expression, or else a statement.
fn evaluate(lua: &Lua, code: &[u8]) -> std::result::Result<Value, String> {
    let expression = [b"return ", code].concat();
    let function = sandbox::compile(lua, &expression, EVAL_NAME)
        .or_else(|_| sandbox::compile(lua, code, EVAL_NAME))?;
    run_aside(lua, function, MultiValue::new()).unwrap_or_else(|error| Err(raise::message(&error)))
}

fn call_command(lua: &Lua, words: &[Vec<u8>]) -> Result<()> {
    let redis: Table = lua.globals().get("redis")?;
    let words: Result<MultiValue> =
        words.iter().map(|word| lua.create_string(word).map(Value::String)).collect();
    run_aside(lua, redis.get("call")?, words?).map(drop)
}

/// Calls a function in a coroutine. Lua has no hook called within a hook; there it has, so that what a client runs can
/// be ended as any script can.
fn run_aside(
    lua: &Lua,
    function: Function,
    args: MultiValue,
) -> Result<std::result::Result<Value, String>> {
    let protected_call: Function = lua.globals().get("pcall")?;
    let thread = lua.create_thread(protected_call)?;
    let mut values = args;
    values.push_front(Value::Function(function));
    let (is_done, value): (bool, Value) = thread.resume(values)?;
    Ok(match (is_done, value) {
        (true, value) => Ok(value),
        (false, Value::String(why)) => Err(why.to_string_lossy()),
        (false, Value::Error(why)) => Err(raise::message(&why)),
        (false, _) => Err("(null)".to_string()),
    })
}

/// The innermost variable of that name.
fn print(shared: &Shared, lua: &Lua, name: &[u8]) -> Result<()> {
    for level in 0..c_int::MAX {
        let Some(locals) = frames::locals(lua, level)? else { break };
        if let Some((_, value)) = locals.iter().find(|(local, _)| local.as_bytes() == name) {
            shared.with_session(|session| session.tell_value("<value> ", value));
            return Ok(());
        }
    }
    let global = match name {
        b"KEYS" => lua.globals().get::<Value>("KEYS").ok(),
        b"ARGV" => lua.globals().get::<Value>("ARGV").ok(),
        _ => None,
    };
    shared.with_session(|session| match &global {
        Some(value) => session.tell_value("<value> ", value),
        None => session.tell("No such variable."),
    });
    Ok(())
}

/// All variables of the function that is stopped.
fn print_all(shared: &Shared, lua: &Lua) -> Result<()> {
    let locals = frames::locals(lua, 0)?.unwrap_or_default();
    let is_named = |name: &str| !name.contains("(*temporary)");
    shared.with_session(|session| {
        let mut told = 0;
        for (name, value) in &locals {
            let name = name.to_string_lossy();
            if is_named(&name) {
                session.tell_value(&format!("<value> {name} = "), value);
                told += 1;
            }
        }
        if told == 0 {
            session.tell("No local variables in the current context.");
        }
    });
    Ok(())
}

fn trace(shared: &Shared, lua: &Lua) {
    let frames = frames::frames(lua);
    shared.with_session(|session| {
        for (level, frame) in frames.iter().enumerate().filter(|(_, frame)| frame.is_script) {
            let whence = if level == 0 { "In" } else { "From" };
            let name = frame.name.as_deref().unwrap_or("top level");
            session.tell(format!("{whence} {name}:"));
            session.tell_line(frame.line);
        }
    });
}
