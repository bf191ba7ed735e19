//! SAVE, BGSAVE, BGREWRITEAOF, LASTSAVE, SHUTDOWN: the wish; the work is `server`'s.

use protocol::Args;

use super::args::is;
use crate::command::key_spec::KeySpec;
use crate::command::{Acl, CommandSpec, Flags, row};
use crate::door::ctx::Ctx;
use crate::error::CommandError;
use crate::world::{Action, ShutdownFlags};

const ADMIN: Flags = Flags::ADMIN.or(Flags::NOSCRIPT);

pub(crate) static ROWS: &[CommandSpec] = &[
    row(
        "save",
        save,
        1,
        ADMIN.or(Flags::NO_ASYNC_LOADING).or(Flags::NO_MULTI_QUEUE),
        KeySpec::NONE,
        Acl::NONE,
        "1.0.0",
        "Synchronously saves the database(s) to disk.",
    ),
    row(
        "bgsave",
        bgsave,
        -1,
        ADMIN.or(Flags::NO_ASYNC_LOADING),
        KeySpec::NONE,
        Acl::NONE,
        "1.0.0",
        "Asynchronously saves the database(s) to disk.",
    ),
    row(
        "bgrewriteaof",
        bgrewriteaof,
        1,
        ADMIN.or(Flags::NO_ASYNC_LOADING),
        KeySpec::NONE,
        Acl::NONE,
        "1.0.0",
        "Asynchronously rewrites the append-only file to disk.",
    ),
    row(
        "lastsave",
        lastsave,
        1,
        Flags::LOADING.or(Flags::STALE).or(Flags::FAST),
        KeySpec::NONE,
        Acl::ADMIN.or(Acl::DANGEROUS),
        "1.0.0",
        "Returns the Unix timestamp of the last successful save to disk.",
    )
    .tips(&["nondeterministic_output"]),
    row(
        "shutdown",
        shutdown,
        -1,
        ADMIN.or(Flags::LOADING).or(Flags::STALE).or(Flags::NO_MULTI_QUEUE).or(Flags::ALLOW_BUSY),
        KeySpec::NONE,
        Acl::NONE,
        "1.0.0",
        "Synchronously saves the database(s) to disk and shuts down the Redis server.",
    ),
];

fn save(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), CommandError> {
    ctx.perform_and_reply(Action::Save)
}

fn bgsave(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let schedule = match args.len() {
        1 => false,
        2 if is(args.at(1), "schedule") => true,
        // As Valkey 8.1 has it.
        2 if is(args.at(1), "cancel") => return ctx.perform_and_reply(Action::CancelBgSave),
        _ => return Err(CommandError::Syntax),
    };
    let in_exec = ctx.call.is_nested();
    ctx.perform_and_reply(Action::BgSave { schedule, in_exec })
}

fn bgrewriteaof(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), CommandError> {
    let in_exec = ctx.call.is_nested();
    ctx.perform_and_reply(Action::BgRewriteAof { in_exec })
}

fn lastsave(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), CommandError> {
    let at = ctx.world.last_save_unix_s();
    ctx.client.out.int(at);
    Ok(())
}

fn shutdown(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let mut flags = ShutdownFlags::default();
    for word in args.iter().skip(1) {
        if is(word, "save") && flags.save != Some(false) {
            flags.save = Some(true);
        } else if is(word, "nosave") && flags.save != Some(true) {
            flags.save = Some(false);
        } else if is(word, "now") {
            flags.now = true;
        } else if is(word, "force") {
            flags.force = true;
        } else if is(word, "abort") {
            flags.abort = true;
        } else {
            return Err(CommandError::Syntax);
        }
    }
    if flags.abort && args.len() > 2 {
        return Err(CommandError::Syntax);
    }
    if ctx.engine.busy && !flags.abort {
        return shutdown_amid_script(ctx, flags);
    }
    ctx.perform_and_reply(Action::Shutdown(flags))
}

/// A script that runs cannot be waited for, and half of one is not to be saved.
fn shutdown_amid_script(ctx: &mut Ctx<'_>, flags: ShutdownFlags) -> Result<(), CommandError> {
    if flags.save != Some(false) {
        return Err(ctx.engine.scripts.busy_error());
    }
    let flags = ShutdownFlags { now: true, force: true, ..flags };
    ctx.perform_and_reply(Action::Shutdown(flags))?;
    ctx.engine.scripts.kill_for_shutdown();
    Ok(())
}
