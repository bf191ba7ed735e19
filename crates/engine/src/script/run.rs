//! A script from its call to its reply: what is set up for it, what it may do meanwhile, how it ends.

use std::rc::Rc;

use mlua::Value;
use protocol::{Args, OwnedArgs, Resp};

use super::c_functions::Call;
use super::flags::ScriptFlags;
use super::interpreter::{Failure, Runner, restore_hook, set_debug_hook};
use super::reply::{self, ScriptError};
use super::{Kill, Running, cache, rules};
use crate::door::ctx::Ctx;
use crate::door::propagate::Targets;
use crate::error::CommandError;

/// Between two looks at the sockets.
const SERVE_EVERY_US: u64 = 5_000;

pub(super) const KILLED: &str = "Script killed by user with SCRIPT KILL...";

/// What is run, and for whom.
pub(crate) struct Plan {
    pub function: i64,
    pub name: Rc<str>,
    pub flags: Option<ScriptFlags>,
    pub is_function: bool,
    /// How many of the arguments are keys.
    pub keys: usize,
    /// The command promises that nothing is written.
    pub read_only: bool,
}

/// Runs a script with the keys and arguments of its command, and answers what it returns.
pub(crate) fn run(ctx: &mut Ctx<'_>, args: Args<'_>, plan: Plan) -> Result<(), CommandError> {
    rules::check_start(ctx, plan.flags, plan.read_only)?;
    if ctx.engine.scripts.running.is_some() {
        return Err(CommandError::err("This Redis command is not allowed from script"));
    }
    let (words, at) = (args.len(), 3 + plan.keys);
    let scripts = &ctx.engine.scripts;
    let interpreter = match plan.is_function {
        true => scripts.libraries.interpreter.as_ref(),
        false => scripts.cache.interpreter.as_ref(),
    };
    let interpreter = interpreter.ok_or(CommandError::NoScript)?;
    let runner = interpreter.runner();
    let call = Call {
        function: plan.function,
        keys: args.slice(3..at),
        argv: args.slice(at..words),
        as_globals: !plan.is_function,
    };
    let (db, started_us) = (ctx.client.db, ctx.engine.last_command_end_us);
    let name = Rc::clone(&plan.name);
    ctx.engine.scripts.running = Some(running(ctx, plan));
    if ctx.engine.scripts.session.is_some() {
        set_debug_hook(&runner).map_err(cache::broken)?;
    }
    // What it does travels command by command; the door makes one unit of them.
    ctx.propagate_nothing();
    let result = runner.call(ctx, args, &call);
    let running = ctx.engine.scripts.running.take();
    ctx.client.db = db;
    // Its commands were counted by themselves; all of it is this command's time.
    ctx.engine.last_command_end_us = started_us;
    let running = running.ok_or_else(|| CommandError::err("no script is running"))?;
    end(ctx, &runner, &running)?;
    answer(ctx, &runner, running.resp, &name, result)
}

/// How many of the arguments are keys. For scripts that is asked before they are looked for, for functions after.
pub(crate) fn key_count(args: Args<'_>, is_function: bool) -> Result<usize, CommandError> {
    let count = protocol::parse_i64(args.at(2)).ok_or(match is_function {
        true => CommandError::err("Bad number of keys provided"),
        false => CommandError::NotAnInteger,
    })?;
    if count > args.len() as i64 - 3 {
        return Err(CommandError::err("Number of keys can't be greater than number of args"));
    }
    usize::try_from(count).map_err(|_| CommandError::err("Number of keys can't be negative"))
}

fn running(ctx: &Ctx<'_>, plan: Plan) -> Running {
    let declares = |flag| plan.flags.is_some_and(|flags| flags.has(flag));
    Running {
        name: plan.name,
        is_function: plan.is_function,
        resp: Resp::V2,
        targets: Targets::default(),
        is_read_only: plan.read_only || declares(ScriptFlags::NO_WRITES),
        allows_oom: declares(ScriptFlags::ALLOW_OOM),
        began_without_memory: ctx.engine.is_out_of_memory,
        has_written: false,
        is_obeyed: ctx.call.is_applied(),
        started_us: ctx.engine.last_command_end_us,
        slow: None,
        served_us: 0,
        kill: None,
    }
}

/// What its end leaves to do, whatever it has come to.
fn end(ctx: &mut Ctx<'_>, runner: &Runner, running: &Running) -> Result<(), CommandError> {
    let scripts = &mut ctx.engine.scripts;
    let is_debugged = scripts.session.is_some();
    let interpreter = match running.is_function {
        true => &mut scripts.libraries.interpreter,
        false => &mut scripts.cache.interpreter,
    };
    if let Some(interpreter) = interpreter {
        interpreter.tidy();
    }
    if running.kill.is_some() || is_debugged {
        restore_hook(runner).map_err(cache::broken)?;
    }
    if running.kill == Some(Kill::Shutdown) {
        // The process ends without saving: half a script must not be in the file nor at a replica.
        ctx.engine.propagation.drop_unit();
    }
    Ok(())
}

fn answer(
    ctx: &mut Ctx<'_>,
    runner: &Runner,
    resp: Resp,
    name: &str,
    result: Result<Value, Failure>,
) -> Result<(), CommandError> {
    match result {
        Ok(value) => {
            let (stats, has_failed) = (&mut ctx.engine.stats, &mut ctx.has_failed);
            let mut failed = |error: &ScriptError| {
                *has_failed = true;
                if !error.is_counted {
                    stats.record_error(code_of(&error.text));
                }
            };
            let written = reply::write(&runner.lua, &mut ctx.client.out, resp, &value, &mut failed);
            drop(value);
            written.map_err(cache::broken)
        }
        Err(Failure::Broken(why)) => {
            Err(CommandError::err(format_args!("Error running script {name}, {}", first(&why))))
        }
        Err(Failure::Raised(Value::Table(table))) => {
            let error = ScriptError::of_raised(&runner.lua, &table).map_err(cache::broken)?;
            answer_error(ctx, name, error)
        }
        Err(Failure::Raised(Value::String(text))) => {
            let text = text.to_string_lossy();
            Err(CommandError::err(format_args!("Error running script {name}, {}", first(&text))))
        }
        Err(Failure::Raised(_)) => {
            Err(CommandError::err(format_args!("Error running script {name}, execution failure")))
        }
    }
}

fn first(text: &str) -> String {
    text.chars().take(100).collect()
}

/// An error that was raised and not caught: with the script and the line.
fn answer_error(ctx: &mut Ctx<'_>, name: &str, error: ScriptError) -> Result<(), CommandError> {
    let mut text = error.text;
    if let (Some(source), Some(line)) = (error.source, error.line) {
        text.extend_from_slice(format!(" script: {name}, on {source}:{line}.").as_bytes());
    }
    if error.is_counted {
        ctx.has_failed = true;
        ctx.client.out.error(&text);
        return Ok(());
    }
    match String::from_utf8(text) {
        Ok(text) => Err(CommandError::text(text)),
        Err(bytes) => {
            let bytes = bytes.into_bytes();
            ctx.engine.stats.record_error(code_of(&bytes));
            ctx.has_failed = true;
            ctx.client.out.error(&bytes);
            Ok(())
        }
    }
}

fn code_of(text: &[u8]) -> &str {
    let end = memchr::memchr(b' ', text).unwrap_or(text.len());
    std::str::from_utf8(&text[..end]).unwrap_or("ERR")
}

impl Ctx<'_> {
    /// A script has run for a while. Some if it has to end, and why.
    pub(crate) fn look_up_from_script(&mut self, args: Args<'_>) -> Option<String> {
        let threshold_us = self.engine.settings.busy_reply_threshold_ms.saturating_mul(1000);
        let now_us = self.world.mono_us();
        let running = self.engine.scripts.running.as_mut()?;
        let ran_us = now_us.saturating_sub(running.started_us);
        let is_due = now_us.saturating_sub(running.served_us) >= SERVE_EVERY_US;
        if threshold_us == 0 || ran_us < threshold_us || !is_due {
            return None;
        }
        running.served_us = now_us;
        if running.slow.is_none() {
            running.slow = Some(OwnedArgs::from(args));
            let how = if running.is_function { "FUNCTION KILL" } else { "SCRIPT KILL" };
            let text = format!(
                "Slow script detected: still in execution after {} milliseconds. You can try killing the script \
                 using the {how} command. Script name is: {}.",
                ran_us / 1000,
                running.name
            );
            self.log_from_script(&text);
        }
        self.engine.serve_sockets(self.world);
        let kill = self.engine.scripts.running.as_ref()?.kill?;
        if kill == Kill::Asked {
            self.log_from_script("Lua script killed by user with SCRIPT KILL.");
        }
        Some(KILLED.to_string())
    }

    pub(super) fn log_from_script(&mut self, text: &str) {
        // A world without a log has nobody to tell.
        let _ = self.perform(crate::world::Action::Log { message: text });
    }
}
