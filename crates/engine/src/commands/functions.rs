//! FUNCTION, FCALL. What a library is and how a function runs is `script`'s business.

use protocol::Args;

use super::args::{is, text};
use super::help;
use super::pubsub::container;
use super::scripting::{NOTED_KEYS, NOTED_KEYS_RO, RUNS};
use crate::Engine;
use crate::command::key_spec::KeySpec;
use crate::command::{Acl, CommandSpec, Flags, Handler, row};
use crate::door::ctx::Ctx;
use crate::error::CommandError;
use crate::script::library::{Library, Registered, Taken};
use crate::script::run::{self, Plan};

pub(crate) static ROWS: &[CommandSpec] = &[
    row(
        "fcall",
        fcall,
        -3,
        RUNS.or(Flags::MAY_REPLICATE),
        NOTED_KEYS,
        Acl::SCRIPTING,
        "7.0.0",
        "Invokes a function.",
    )
    .flags_by(flags_of_fcall),
    row(
        "fcall_ro",
        fcall,
        -3,
        RUNS.or(Flags::READONLY),
        NOTED_KEYS_RO,
        Acl::SCRIPTING,
        "7.0.0",
        "Invokes a read-only function.",
    )
    .flags_by(flags_of_fcall),
    row(
        "function",
        container,
        -2,
        Flags::NONE,
        KeySpec::NONE,
        Acl::NONE,
        "7.0.0",
        "A container for function commands.",
    )
    .with(FUNCTION)
    .group("scripting"),
];

const ALL_SHARDS: &[&str] = &["request_policy:all_shards", "response_policy:all_succeeded"];

const fn sub(
    name: &'static str,
    handler: Handler,
    arity: i16,
    flags: Flags,
    summary: &'static str,
) -> CommandSpec {
    let flags = Flags::NOSCRIPT.or(flags);
    row(name, handler, arity, flags, KeySpec::NONE, Acl::SCRIPTING, "7.0.0", summary)
}

static FUNCTION: &[CommandSpec] = &[
    sub("delete", delete, 3, Flags::WRITE, "Deletes a library and its functions.").tips(ALL_SHARDS),
    sub("dump", dump, 2, Flags::NONE, "Dumps all libraries into a serialized binary payload."),
    sub("flush", flush, -2, Flags::WRITE, "Deletes all libraries and functions.").tips(ALL_SHARDS),
    help::row_of("7.0.0", Acl::SCRIPTING),
    sub("kill", kill, 2, Flags::ALLOW_BUSY, "Terminates a function during execution.")
        .tips(&["request_policy:all_shards", "response_policy:one_succeeded"]),
    sub("list", list, -2, Flags::NONE, "Returns information about all libraries.")
        .tips(&["nondeterministic_output_order"]),
    sub("load", load, -3, Flags::WRITE.or(Flags::DENYOOM), "Creates a library.").tips(ALL_SHARDS),
    sub(
        "restore",
        restore,
        -3,
        Flags::WRITE.or(Flags::DENYOOM),
        "Restores all libraries from a payload.",
    )
    .tips(ALL_SHARDS),
    sub(
        "stats",
        stats,
        2,
        Flags::ALLOW_BUSY,
        "Returns information about a function during execution.",
    )
    .tips(&["nondeterministic_output", "request_policy:all_shards", "response_policy:special"]),
];

fn flags_of_fcall(engine: &Engine, args: Args<'_>, of_row: Flags) -> Flags {
    let function = args.get(1).and_then(|name| engine.scripts.libraries.function(name));
    function.map_or(of_row, |function| function.flags.of_command(of_row))
}

fn fcall(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    ctx.show_monitors(args);
    let function = ctx.engine.scripts.libraries.function(args.at(1));
    let Some(Registered { function, name, flags, .. }) = function else {
        return Err(CommandError::err("Function not found"));
    };
    let plan = Plan {
        function: *function,
        name: name.clone(),
        flags: Some(*flags),
        is_function: true,
        keys: run::key_count(args, true)?,
        read_only: ctx.found.spec.flags.has(Flags::READONLY),
    };
    run::run(ctx, args, plan)
}

/// Libraries belong to no database, and travel without one.
fn changed(ctx: &mut Ctx<'_>, args: Args<'_>) {
    ctx.engine.dirty += 1;
    ctx.propagate_nothing();
    ctx.engine.propagation.command_anywhere(args.iter());
}

fn load(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let last = args.len() - 1;
    let mut taken = Taken::Refused;
    for option in args.slice(2..last) {
        match is(option, "replace") {
            true => taken = Taken::Replaced,
            false => {
                let option = text(option);
                return Err(CommandError::err(format_args!("Unknown option given: {option}")));
            }
        }
    }
    let is_obeyed = ctx.call.is_applied();
    let name = ctx.engine.scripts.libraries.load(args.at(last), taken, is_obeyed)?;
    changed(ctx, args);
    ctx.client.out.bulk(name.as_bytes());
    Ok(())
}

fn delete(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    if !ctx.engine.scripts.libraries.delete(&text(args.at(2))) {
        return Err(CommandError::err("Library not found"));
    }
    changed(ctx, args);
    ctx.client.out.ok();
    Ok(())
}

fn flush(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    if args.len() > 3 {
        return Err(CommandError::subcommand_syntax(args.at(1), "function"));
    }
    mode_of_flush(args, "FUNCTION FLUSH only supports SYNC|ASYNC option")?;
    ctx.engine.scripts.libraries.flush();
    changed(ctx, args);
    ctx.client.out.ok();
    Ok(())
}

/// SYNC and ASYNC are one here: a state is freed where it was used.
pub(crate) fn mode_of_flush(args: Args<'_>, otherwise: &str) -> Result<(), CommandError> {
    match args.get(2) {
        None => Ok(()),
        Some(mode) if args.len() == 3 && (is(mode, "sync") || is(mode, "async")) => Ok(()),
        Some(_) => Err(CommandError::err(otherwise)),
    }
}

fn list(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let (mut with_code, mut pattern) = (false, None);
    let mut at = 2;
    while at < args.len() {
        let option = args.at(at);
        if !with_code && is(option, "withcode") {
            with_code = true;
        } else if pattern.is_none() && is(option, "libraryname") {
            at += 1;
            pattern = Some(
                args.get(at)
                    .ok_or_else(|| CommandError::err("library name argument was not given"))?,
            );
        } else {
            return Err(CommandError::err(format_args!("Unknown argument {}", text(option))));
        }
        at += 1;
    }
    let matches = |name: &str| {
        pattern.is_none_or(|pattern| store::glob::matches_ignore_case(pattern, name.as_bytes()))
    };
    let libraries = &ctx.engine.scripts.libraries.all;
    let shown: Vec<_> = libraries.iter().filter(|(name, _)| matches(name)).collect();
    let out = &mut ctx.client.out;
    out.array(shown.len());
    for (name, library) in shown {
        reply_library(out, name, library, with_code);
    }
    Ok(())
}

fn reply_library(out: &mut protocol::ReplyBuf, name: &str, library: &Library, with_code: bool) {
    out.map(if with_code { 4 } else { 3 });
    out.bulk(b"library_name");
    out.bulk(name.as_bytes());
    out.bulk(b"engine");
    out.bulk(b"LUA");
    out.bulk(b"functions");
    out.array(library.functions.len());
    for (name, function) in &library.functions {
        out.map(3);
        out.bulk(b"name");
        out.bulk(name.as_bytes());
        out.bulk(b"description");
        match &function.description {
            Some(description) => out.bulk(description),
            None => out.null(),
        }
        out.bulk(b"flags");
        out.set(function.flags.names().count());
        function.flags.names().for_each(|flag| out.status(flag));
    }
    if with_code {
        out.bulk(b"library_code");
        out.bulk(&library.code);
    }
}

fn dump(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), CommandError> {
    let codes = ctx.engine.scripts.libraries.codes();
    let payload = persist::rdb::dump_functions(&codes, persist::rdb::Version::V10);
    ctx.client.out.bulk(&payload);
    Ok(())
}

fn restore(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    if args.len() > 4 {
        return Err(CommandError::subcommand_syntax(args.at(1), "function"));
    }
    let (flush, taken) = match args.get(3) {
        None => (false, Taken::Refused),
        Some(policy) if is(policy, "append") => (false, Taken::Refused),
        Some(policy) if is(policy, "replace") => (false, Taken::Replaced),
        Some(policy) if is(policy, "flush") => (true, Taken::Refused),
        Some(_) => {
            return Err(CommandError::err(
                "Wrong restore policy given, value should be either FLUSH, APPEND or REPLACE.",
            ));
        }
    };
    persist::rdb::check_footer(args.at(2)).map_err(|_| CommandError::BadDumpPayload)?;
    let codes = persist::rdb::restore_functions(args.at(2)).map_err(CommandError::err)?;
    let is_obeyed = ctx.call.is_applied();
    ctx.engine.scripts.libraries.restore(&codes, flush, taken, is_obeyed)?;
    // Libraries are told in the same way in every version, but older servers refuse what names a newer one.
    let payload = persist::rdb::dump_functions(&codes, persist::rdb::Version::V10);
    let mut words: Vec<&[u8]> = args.iter().collect();
    words[2] = &payload;
    changed(ctx, Args::new(&words));
    ctx.client.out.ok();
    Ok(())
}

fn kill(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), CommandError> {
    ctx.engine.scripts.kill(true)?;
    ctx.client.out.ok();
    Ok(())
}

fn stats(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), CommandError> {
    let now_us = ctx.world.mono_us();
    let scripts = &ctx.engine.scripts;
    if scripts.running.as_ref().is_some_and(|running| !running.is_function) {
        return Err(CommandError::BusyScript);
    }
    let out = &mut ctx.client.out;
    out.map(2);
    out.bulk(b"running_script");
    match &scripts.running {
        None => out.null(),
        Some(running) => {
            out.map(3);
            out.bulk(b"name");
            out.bulk(running.name.as_bytes());
            out.bulk(b"command");
            let command = running.slow.as_ref().map(|command| command.as_args());
            out.array(command.map_or(0, |command| command.len()));
            command.into_iter().flatten().for_each(|word| out.bulk(word));
            out.bulk(b"duration_ms");
            out.int((now_us.saturating_sub(running.started_us) / 1000) as i64);
        }
    }
    out.bulk(b"engines");
    out.map(1);
    out.bulk(b"LUA");
    out.map(2);
    out.bulk(b"libraries_count");
    out.int(scripts.libraries.all.len() as i64);
    out.bulk(b"functions_count");
    out.int(scripts.libraries.function_count() as i64);
    Ok(())
}
