//! What a script may do: judged when it starts, by the flags that it declares, and again for each of its commands.

use protocol::Args;

use super::Running;
use super::flags::ScriptFlags;
use crate::command::{self, Flags, Found};
use crate::door::ctx::Ctx;
use crate::engine::Role;
use crate::error::CommandError;

/// Whether a script with these flags may run now. `read_only`: it was called by a command that promises so.
pub(super) fn check_start(
    ctx: &Ctx<'_>,
    flags: Option<ScriptFlags>,
    read_only: bool,
) -> Result<(), CommandError> {
    let engine = &*ctx.engine;
    let is_obeyed = ctx.call.is_applied();
    let is_stale = engine.role == (Role::Replica { link_up: false })
        && !engine.settings.replica_serve_stale_data;
    let Some(flags) = flags else {
        return if is_stale { Err(CommandError::MasterDown) } else { Ok(()) };
    };
    if is_stale && !flags.has(ScriptFlags::ALLOW_STALE) {
        return Err(CommandError::text(
            "MASTERDOWN Link with MASTER is down, replica-serve-stale-data is set to 'no' and \
             'allow-stale' flag is not set on the script.",
        ));
    }
    if !flags.has(ScriptFlags::NO_WRITES) {
        if engine.is_read_only_replica() && !is_obeyed {
            return Err(CommandError::text(
                "READONLY Can not run script with write flag on readonly replica",
            ));
        }
        if let Some(refusal) = disk_refusal(ctx)
            && !is_obeyed
        {
            return Err(blocked_by_disk(&refusal));
        }
        if read_only {
            return Err(CommandError::err(
                "Can not execute a script with write flag using *_ro command.",
            ));
        }
        if !is_obeyed && lacks_replicas(ctx) {
            return Err(CommandError::NoReplicas);
        }
    }
    let needs_no_room = flags.has(ScriptFlags::ALLOW_OOM.or(ScriptFlags::NO_WRITES));
    if engine.is_out_of_memory && !needs_no_room {
        return Err(CommandError::text(
            "OOM allow-oom flag is not set on the script, can not run it when used memory > 'maxmemory'",
        ));
    }
    Ok(())
}

/// Finds a command of the script that runs, unless it may not run. The error's text is counted already.
pub(super) fn check(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<Found, String> {
    let found = command::find(args).ok();
    let refusal = match found {
        None => Some("ERR Unknown Redis command called from script".into()),
        Some(found) => refusal(ctx, &found, args),
    };
    match (refusal, found) {
        (None, Some(found)) => {
            if found.spec.is_write()
                && let Some(running) = &mut ctx.engine.scripts.running
            {
                running.has_written = true;
            }
            Ok(found)
        }
        (refusal, found) => {
            let text = refusal.unwrap_or_default();
            ctx.engine.stats.record_error(text.split(' ').next().unwrap_or("ERR"));
            if let Some(found) = found {
                ctx.engine.stats.commands[found.stat as usize].rejected_calls += 1;
            }
            Err(text.into_owned())
        }
    }
}

type Text = std::borrow::Cow<'static, str>;

fn refusal(ctx: &mut Ctx<'_>, found: &Found, args: Args<'_>) -> Option<Text> {
    let flags = found.spec.flags;
    if !found.spec.arity_fits(args.len()) {
        return Some("ERR Wrong number of args calling Redis command from script".into());
    }
    if let Err(error) = crate::door::oversize::check(found.spec, args) {
        return Some(error.as_str().to_string().into());
    }
    if flags.has(Flags::NOSCRIPT) && !ctx.engine.scripts.allows_all {
        return Some("ERR This Redis command is not allowed from script".into());
    }
    if let Some(denial) = denial(ctx, found, args) {
        return Some(denial.into());
    }
    let is_stale = ctx.engine.role == (Role::Replica { link_up: false })
        && !ctx.engine.settings.replica_serve_stale_data;
    if is_stale && !flags.has(Flags::STALE) {
        return Some("ERR Can not execute the command on a stale replica".into());
    }
    let running = ctx.engine.scripts.running.as_ref()?;
    if running.is_read_only && flags.has(Flags::WRITE.or(Flags::MAY_REPLICATE)) {
        return Some("ERR Write commands are not allowed from read-only scripts.".into());
    }
    if flags.has(Flags::WRITE) && !running.has_written && !ctx.call.is_applied() {
        if ctx.engine.is_read_only_replica() {
            return Some(CommandError::ReadOnly.as_str().to_string().into());
        }
        if let Some(refusal) = disk_refusal(ctx) {
            return Some(refusal.as_str().to_string().into());
        }
        if lacks_replicas(ctx) {
            return Some(CommandError::NoReplicas.as_str().to_string().into());
        }
    }
    is_out_of_room(ctx, running, flags).then(|| CommandError::Oom.as_str().to_string().into())
}

/// Whether the caller's user may run a command, as `redis.acl_check_cmd` asks.
pub(super) fn is_permitted(ctx: &Ctx<'_>, found: &Found, args: Args<'_>) -> bool {
    ctx.client.is_internal() || ctx.engine.may_run(ctx.client.user, found, args).is_ok()
}

/// What a script is told that does what its caller may not.
fn denial(ctx: &mut Ctx<'_>, found: &Found, args: Args<'_>) -> Option<String> {
    if ctx.client.is_internal() {
        return None;
    }
    let decision = ctx.engine.check_permission(ctx.client, ctx.world, found, args, "lua");
    let error = ctx.engine.no_permission(ctx.client.user, found, decision.err()?);
    let reason = error.as_str().strip_prefix("NOPERM ").unwrap_or(error.as_str());
    Some(format!("ERR ACL failure in script: {reason}"))
}

/// Once it has written a script goes on: it cannot be stopped half-way.
fn is_out_of_room(ctx: &Ctx<'_>, running: &Running, flags: Flags) -> bool {
    running.began_without_memory
        && !running.allows_oom
        && !running.has_written
        && !ctx.call.is_applied()
        && flags.has(Flags::DENYOOM)
}

fn disk_refusal(ctx: &Ctx<'_>) -> Option<CommandError> {
    let is_master = ctx.engine.role == Role::Master;
    if is_master { ctx.world.write_refusal() } else { None }
}

fn blocked_by_disk(refusal: &CommandError) -> CommandError {
    const BLOCKED: &str = "but it's currently unable to persist to disk. Writable scripts are blocked. \
                           Use 'no-writes' flag for read only scripts.";
    let text = match refusal.as_str().strip_prefix("MISCONF Errors writing to the AOF file: ") {
        Some(why) => format!(
            "MISCONF Redis is configured to persist data to AOF, {BLOCKED} AOF error: {why}"
        ),
        None => format!("MISCONF Redis is configured to save RDB snapshots, {BLOCKED}"),
    };
    CommandError::text(text)
}

fn lacks_replicas(ctx: &Ctx<'_>) -> bool {
    let settings = &ctx.engine.settings;
    ctx.engine.role == Role::Master
        && settings.min_replicas_to_write > 0
        && settings.min_replicas_max_lag_s > 0
        && ctx.world.good_replicas() < settings.min_replicas_to_write
}
