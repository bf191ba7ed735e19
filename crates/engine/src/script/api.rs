//! The table `redis` of scripts, but for its two functions that call commands (`call.rs`).

use std::rc::Rc;

use mlua::{Function, Lua, LuaString, MultiValue, Result, Table, Value};
use protocol::Args;

use super::call;
use super::debugger::Session;
use super::libs::arguments::Arguments;
use super::raise::{self, Raise};
use super::rules;
use super::sandbox::Sandbox;
use super::slot::Frame;
use super::{Shared, library};
use crate::command;
use crate::door::propagate::Targets;
use crate::report::REDIS_VERSION;
use crate::world::Action;

type Outcome<T> = std::result::Result<T, Raise>;

const LOG_LEVELS: [&str; 4] = ["LOG_DEBUG", "LOG_VERBOSE", "LOG_NOTICE", "LOG_WARNING"];
const REPL_AOF: i64 = 1;
const REPL_REPLICA: i64 = 2;

/// All of it, for scripts and functions that run.
pub(super) fn for_scripts(lua: &Lua, shared: &Rc<Shared>) -> Result<Table> {
    let table = lua.create_table()?;
    add_log_and_version(lua, &table, shared)?;
    table.raw_set("call", call::function(lua, shared, true)?)?;
    table.raw_set("pcall", call::function(lua, shared, false)?)?;
    table.raw_set("sha1hex", raise::function(lua, sha1hex)?)?;
    table.raw_set("status_reply", raise::function(lua, status_reply)?)?;
    add_settings(lua, &table, shared)?;
    add_debugger(lua, &table, shared)?;
    // Of how scripts travelled once.
    table.raw_set("replicate_commands", lua.create_function(|_, ()| Ok(true))?)?;
    let constants = [
        ("REPL_NONE", 0),
        ("REPL_AOF", REPL_AOF),
        ("REPL_SLAVE", REPL_REPLICA),
        ("REPL_REPLICA", REPL_REPLICA),
        ("REPL_ALL", REPL_AOF | REPL_REPLICA),
    ];
    for (name, value) in constants {
        table.raw_set(name, value)?;
    }
    Ok(table)
}

fn add_debugger(lua: &Lua, table: &Table, shared: &Rc<Shared>) -> Result<()> {
    let weak = Rc::downgrade(shared);
    let breakpoint = lua.create_function(move |_, _: MultiValue| {
        let shared = weak.upgrade();
        Ok(shared.and_then(|shared| shared.with_session(Session::break_next)).is_some())
    })?;
    table.raw_set("breakpoint", breakpoint)?;
    // Errors of a script's are told, too.
    let weak = Rc::downgrade(shared);
    let reply = move |lua: &Lua, args: MultiValue| {
        if let (Some(text), Some(shared)) = (only_string(&args), weak.upgrade()) {
            shared.with_session(|session| session.tell_error_reply(&text.as_bytes()));
        }
        error_reply(lua, args)
    };
    table.raw_set("error_reply", raise::function(lua, reply)?)?;
    let weak = Rc::downgrade(shared);
    let debug = lua.create_function(move |_, values: MultiValue| {
        let values: Vec<Value> = values.into_iter().collect();
        if let Some(shared) = weak.upgrade() {
            shared.with_session(|session| session.tell_values(&values));
        }
        Ok(())
    })?;
    table.raw_set("debug", debug)
}

/// The globals of a library while it is loaded: a part of it, and nothing else.
pub(super) fn for_loading(sandbox: &Sandbox, shared: &Rc<Shared>) -> Result<Table> {
    let lua = &sandbox.lua;
    let table = lua.create_table()?;
    add_log_and_version(lua, &table, shared)?;
    table.raw_set("register_function", library::register_function(lua)?)?;
    sandbox.refuse_missing(&table)?;
    let (api, globals) = (sandbox.protect(table)?, lua.create_table()?);
    for name in ["redis", "server"] {
        globals.raw_set(name, &api)?;
    }
    sandbox.refuse_missing(&globals)?;
    Ok(globals)
}

/// `os.clock`, by the clock of the command that runs.
pub(super) fn add_clock(sandbox: &Sandbox, shared: &Rc<Shared>) -> Result<()> {
    let shared = Rc::downgrade(shared);
    let clock = sandbox.lua.create_function(move |_, ()| {
        let now = shared.upgrade().and_then(|shared| {
            shared.slot.with(|frame| frame.ctx.world.mono_us() as f64 / 1_000_000.0)
        });
        Ok(now.unwrap_or(0.0))
    })?;
    let os = sandbox.lua.create_table()?;
    os.raw_set("clock", clock)?;
    sandbox.globals.raw_set("os", os)
}

fn add_log_and_version(lua: &Lua, table: &Table, shared: &Rc<Shared>) -> Result<()> {
    let weak = Rc::downgrade(shared);
    let log = move |lua: &Lua, args: MultiValue| {
        let (level, text) = log_line(lua, args)?;
        if let Some(shared) = weak.upgrade() {
            shared.slot.with(|frame| {
                // A world without a log has nobody to tell.
                let _ = frame.ctx.perform(Action::ScriptLog { level, text: &text });
            });
        }
        Ok(())
    };
    table.raw_set("log", raise::function(lua, log)?)?;
    for (level, name) in LOG_LEVELS.iter().enumerate() {
        table.raw_set(*name, level)?;
    }
    table.raw_set("REDIS_VERSION", REDIS_VERSION)?;
    let number = REDIS_VERSION
        .split('.')
        .fold(0_i64, |number, part| number << 8 | part.parse::<i64>().unwrap_or(0));
    table.raw_set("REDIS_VERSION_NUM", number)
}

fn log_line(lua: &Lua, args: MultiValue) -> Outcome<(u8, String)> {
    if args.len() < 2 {
        return Err(error(lua, "redis.log() requires two arguments or more.")?);
    }
    let args = Arguments::new(lua, "log", args);
    let Ok(level) = args.number(1) else {
        return Err(error(lua, "First argument must be a number (log level).")?);
    };
    if !(0.0..4.0).contains(&level) {
        return Err(error(lua, "Invalid log level.")?);
    }
    let words: Vec<String> = (2..=args.len())
        .filter_map(|at| args.string(at).ok())
        .map(|word| word.to_string_lossy())
        .collect();
    Ok((level as u8, words.join(" ")))
}

fn sha1hex(lua: &Lua, args: MultiValue) -> Outcome<String> {
    if args.len() != 1 {
        return Err(error(lua, "wrong number of arguments")?);
    }
    let text = Arguments::new(lua, "sha1hex", args).string(1);
    let digest = match &text {
        Ok(text) => super::cache::sha1_hex(&text.as_bytes()),
        Err(_) => super::cache::sha1_hex(b""),
    };
    Ok(String::from_utf8_lossy(&digest).into_owned())
}

/// A table with an error's text, which begins with a code word.
fn error_reply(lua: &Lua, args: MultiValue) -> Outcome<Table> {
    let Some(text) = only_string(&args) else {
        return Ok(error_table(lua, b"ERR wrong number or type of arguments")?);
    };
    let text = text.as_bytes();
    let text = text.strip_prefix(b"-").unwrap_or(&text);
    let (code, rest) = match memchr::memchr(b' ', text) {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (&b"ERR"[..], text),
    };
    let is_end = |byte: &u8| matches!(byte, b'\r' | b'\n');
    let start = rest.iter().position(|byte| !is_end(byte)).unwrap_or(rest.len());
    let end = rest.iter().rposition(|byte| !is_end(byte)).map_or(start, |at| at + 1);
    Ok(error_table(lua, &[code, b" ", &rest[start..end]].concat())?)
}

fn status_reply(lua: &Lua, args: MultiValue) -> Outcome<Table> {
    let Some(text) = only_string(&args) else {
        return Ok(error_table(lua, b"ERR wrong number or type of arguments")?);
    };
    let table = lua.create_table()?;
    table.raw_set("ok", text)?;
    Ok(table)
}

fn only_string(args: &MultiValue) -> Option<&LuaString> {
    match args.front() {
        Some(Value::String(text)) if args.len() == 1 => Some(text),
        _ => None,
    }
}

fn error_table(lua: &Lua, text: &[u8]) -> Result<Table> {
    let table = lua.create_table()?;
    table.raw_set("err", lua.create_string(text)?)?;
    Ok(table)
}

/// An error that is raised as redis.call raises them.
pub(super) fn error(lua: &Lua, text: &str) -> Result<Raise> {
    error_table(lua, format!("ERR {text}").as_bytes()).map(Raise::Table)
}

fn add_settings(lua: &Lua, table: &Table, shared: &Rc<Shared>) -> Result<()> {
    let resp = setting(lua, shared, "setresp", |lua, frame, args| {
        if args.len() != 1 {
            return Err(error(lua, "redis.setresp() requires one argument.")?);
        }
        let version = args.number(1).unwrap_or(0.0) as i64;
        let Some(resp) = call::resp_of(version) else {
            return Err(error(lua, "RESP version must be 2 or 3.")?);
        };
        if let Some(running) = &mut frame.ctx.engine.scripts.running {
            running.resp = resp;
        }
        Ok(Value::Nil)
    })?;
    table.raw_set("setresp", resp)?;
    let repl = setting(lua, shared, "set_repl", |lua, frame, args| {
        if args.len() != 1 {
            return Err(error(lua, "redis.set_repl() requires one argument.")?);
        }
        let flags = args.number(1).unwrap_or(0.0) as i64;
        if flags & !(REPL_AOF | REPL_REPLICA) != 0 {
            let text =
                "Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or REPL_NONE.";
            return Err(error(lua, text)?);
        }
        if let Some(running) = &mut frame.ctx.engine.scripts.running {
            running.targets =
                Targets { aof: flags & REPL_AOF != 0, stream: flags & REPL_REPLICA != 0 };
        }
        Ok(Value::Nil)
    })?;
    table.raw_set("set_repl", repl)?;
    let check = setting(lua, shared, "acl_check_cmd", |lua, frame, args| {
        if args.len() == 0 {
            return Err(error(
                lua,
                "Please specify at least one argument for this redis lib call",
            )?);
        }
        let words: Outcome<Vec<LuaString>> = (1..=args.len()).map(|at| args.string(at)).collect();
        let Ok(words) = words else {
            return Err(error(lua, "Lua redis lib command arguments must be strings or integers")?);
        };
        let words: Vec<_> = words.iter().map(|word| word.as_bytes()).collect();
        let slices: Vec<&[u8]> = words.iter().map(|word| &**word).collect();
        let args = Args::new(&slices);
        match command::find(args) {
            Ok(found) => Ok(Value::Boolean(rules::is_permitted(frame.ctx, &found, args))),
            Err(_) => Err(error(lua, "Invalid command passed to redis.acl_check_cmd()")?),
        }
    })?;
    table.raw_set("acl_check_cmd", check)
}

/// A function that asks or changes something of the script that runs.
fn setting(
    lua: &Lua,
    shared: &Rc<Shared>,
    name: &'static str,
    work: impl Fn(&Lua, &mut Frame<'_, '_>, Arguments<'_>) -> Outcome<Value> + 'static,
) -> Result<Function> {
    let shared = Rc::downgrade(shared);
    raise::function(lua, move |lua, args: MultiValue| {
        let args = Arguments::new(lua, name, args);
        let done =
            shared.upgrade().and_then(|shared| shared.slot.with(|frame| work(lua, frame, args)));
        match done {
            Some(outcome) => outcome,
            None => {
                let text = format!("redis.{name} can only be called inside a script invocation");
                Err(error(lua, &text)?)
            }
        }
    })
}
