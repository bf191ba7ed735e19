//! EVAL and its kin, SCRIPT. How a script runs is `script`'s business.

use protocol::Args;

use super::args::is;
use super::functions::mode_of_flush;
use super::help;
use super::pubsub::container;
use crate::Engine;
use crate::clients::client::Debugging;
use crate::command::key_spec::{Access, KeySpec, Keys};
use crate::command::{Acl, CommandSpec, Flags, Handler, row};
use crate::door::ctx::Ctx;
use crate::error::CommandError;
use crate::script::run::{self, Plan};
use crate::script::{cache, debugger, flags};

/// Of all commands that run scripts.
pub(crate) const RUNS: Flags =
    Flags::NOSCRIPT.or(Flags::SKIP_MONITOR).or(Flags::NO_MANDATORY_KEYS).or(Flags::STALE);
const KEYS: Keys = &[KeySpec::counted(2, Access::READS_UPDATES)];
pub(crate) const NOTED_KEYS: Keys = &[KeySpec::counted(2, Access::READS_UPDATES)
    .noted("We cannot tell how the keys will be used so we assume the worst, RW and UPDATE")];
const KEYS_RO: Keys = &[KeySpec::counted(2, Access::READS)];
pub(crate) const NOTED_KEYS_RO: Keys = &[KeySpec::counted(2, Access::READS)
    .noted("We cannot tell how the keys will be used so we assume the worst, RO and ACCESS")];

const fn runs(
    name: &'static str,
    handler: Handler,
    writes: bool,
    keys: Keys,
    since: &'static str,
    summary: &'static str,
) -> CommandSpec {
    let flags = RUNS.or(if writes { Flags::MAY_REPLICATE } else { Flags::READONLY });
    row(name, handler, -3, flags, keys, Acl::SCRIPTING, since, summary)
}

pub(crate) static ROWS: &[CommandSpec] = &[
    runs("eval", eval, true, NOTED_KEYS, "2.6.0", "Executes a server-side Lua script.")
        .flags_by(flags_of_eval),
    runs(
        "evalsha",
        evalsha,
        true,
        KEYS,
        "2.6.0",
        "Executes a server-side Lua script by SHA1 digest.",
    )
    .flags_by(flags_of_evalsha),
    runs(
        "eval_ro",
        eval,
        false,
        NOTED_KEYS_RO,
        "7.0.0",
        "Executes a read-only server-side Lua script.",
    )
    .flags_by(flags_of_eval),
    runs(
        "evalsha_ro",
        evalsha,
        false,
        KEYS_RO,
        "7.0.0",
        "Executes a read-only server-side Lua script by SHA1 digest.",
    )
    .flags_by(flags_of_evalsha),
    row(
        "script",
        container,
        -2,
        Flags::NONE,
        KeySpec::NONE,
        Acl::NONE,
        "2.6.0",
        "A container for Lua scripts management commands.",
    )
    .with(SCRIPT)
    .group("scripting"),
];

const fn sub(
    name: &'static str,
    handler: Handler,
    arity: i16,
    flags: Flags,
    since: &'static str,
    summary: &'static str,
) -> CommandSpec {
    let flags = Flags::NOSCRIPT.or(flags);
    row(name, handler, arity, flags, KeySpec::NONE, Acl::SCRIPTING, since, summary)
}

static SCRIPT: &[CommandSpec] = &[
    sub("debug", debug, 3, Flags::NONE, "3.2.0", "Sets the debug mode of server-side Lua scripts."),
    sub(
        "exists",
        exists,
        -3,
        Flags::NONE,
        "2.6.0",
        "Determines whether server-side Lua scripts exist in the script cache.",
    )
    .tips(&["request_policy:all_shards", "response_policy:agg_logical_and"]),
    sub(
        "flush",
        flush,
        -2,
        // Masters of older versions send these two.
        Flags::IN_STREAM,
        "2.6.0",
        "Removes all server-side Lua scripts from the script cache.",
    )
    .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"]),
    help::row_of("5.0.0", Acl::SCRIPTING),
    sub(
        "kill",
        kill,
        2,
        Flags::ALLOW_BUSY,
        "2.6.0",
        "Terminates a server-side Lua script during execution.",
    )
    .tips(&["request_policy:all_shards", "response_policy:one_succeeded"]),
    sub(
        "load",
        load,
        3,
        Flags::STALE.or(Flags::IN_STREAM),
        "2.6.0",
        "Loads a server-side Lua script to the script cache.",
    )
    .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"]),
];

/// A script that declares flags is judged by them, from before it is queued.
fn flags_of_eval(_: &Engine, args: Args<'_>, of_row: Flags) -> Flags {
    match args.get(1).map(flags::of_script) {
        Some(Ok((Some(flags), _))) => flags.of_command(of_row),
        _ => of_row,
    }
}

fn flags_of_evalsha(engine: &Engine, args: Args<'_>, of_row: Flags) -> Flags {
    let sha = args.get(1).and_then(cache::sha_of);
    let script = sha.and_then(|sha| engine.scripts.cache.get(&sha));
    script.and_then(|script| script.flags).map_or(of_row, |flags| flags.of_command(of_row))
}

fn eval(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    ctx.show_monitors(args);
    match ctx.client.debugging {
        Debugging::Off => eval_text(ctx, args),
        _ => debugger::debug(ctx, args, eval_text),
    }
}

fn eval_text(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let keys = run::key_count(args, false)?;
    let sha = ctx.engine.scripts.cache.load(args.at(1), true)?;
    run_script(ctx, args, &sha, keys)
}

fn evalsha(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    ctx.show_monitors(args);
    let sha = cache::sha_of(args.at(1)).ok_or(CommandError::NoScript)?;
    if ctx.client.debugging != Debugging::Off {
        return Err(CommandError::err("Please use EVAL instead of EVALSHA for debugging"));
    }
    let keys = run::key_count(args, false)?;
    run_script(ctx, args, &sha, keys)
}

fn run_script(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    sha: &cache::Sha,
    keys: usize,
) -> Result<(), CommandError> {
    let script = ctx.engine.scripts.cache.take_up(sha).ok_or(CommandError::NoScript)?;
    let plan = Plan {
        function: script.function,
        name: script.name.clone(),
        flags: script.flags,
        is_function: false,
        keys,
        read_only: ctx.found.spec.flags.has(Flags::READONLY),
    };
    run::run(ctx, args, plan)
}

fn load(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let sha = ctx.engine.scripts.cache.load(args.at(2), false)?;
    ctx.client.out.bulk(&sha);
    Ok(())
}

fn exists(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let out = &mut ctx.client.out;
    out.array(args.len() - 2);
    for arg in args.iter().skip(2) {
        let is_known =
            cache::sha_of(arg).is_some_and(|sha| ctx.engine.scripts.cache.contains(&sha));
        out.int(is_known.into());
    }
    Ok(())
}

fn flush(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    mode_of_flush(args, "SCRIPT FLUSH only support SYNC|ASYNC option")?;
    ctx.engine.scripts.cache.flush();
    ctx.client.out.ok();
    Ok(())
}

fn kill(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), CommandError> {
    ctx.engine.scripts.kill(false)?;
    ctx.client.out.ok();
    Ok(())
}

fn debug(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    if !ctx.client.out.is_empty() {
        return Err(CommandError::err("SCRIPT DEBUG must be called outside a pipeline"));
    }
    ctx.client.debugging = match args.at(2) {
        mode if is(mode, "no") => Debugging::Off,
        mode if is(mode, "yes") => Debugging::Forked,
        mode if is(mode, "sync") => Debugging::Sync,
        _ => return Err(CommandError::err("Use SCRIPT DEBUG YES/SYNC/NO")),
    };
    ctx.client.out.ok();
    Ok(())
}

impl Ctx<'_> {
    /// Monitors see a script's command before those that it calls.
    pub(crate) fn show_monitors(&mut self, args: Args<'_>) {
        if !self.engine.monitors.is_empty() {
            self.engine.show_monitors(self.client, self.world, &self.found, args, self.call);
        }
    }
}
