//! MULTI, EXEC, DISCARD, WATCH, UNWATCH.

use protocol::Args;

use crate::clients::client::Multi;
use crate::clients::selector::Denial;
use crate::command::key_spec::{Access, KeySpec};
use crate::command::{Acl, CommandSpec, Flags, Found, row};
use crate::door::call::Inside;
use crate::door::ctx::Ctx;
use crate::error::CommandError;
use crate::world::Action;

const ANYTIME: Flags = Flags::NOSCRIPT.or(Flags::LOADING).or(Flags::STALE).or(Flags::ALLOW_BUSY);

pub(crate) static ROWS: &[CommandSpec] = &[
    row(
        "multi",
        multi,
        1,
        ANYTIME.or(Flags::FAST).or(Flags::NO_MULTI).or(Flags::IN_STREAM),
        KeySpec::NONE,
        Acl::TRANSACTION,
        "1.2.0",
        "Starts a transaction.",
    ),
    row(
        "exec",
        exec,
        1,
        Flags::NOSCRIPT
            .or(Flags::LOADING)
            .or(Flags::STALE)
            .or(Flags::SKIP_SLOWLOG)
            .or(Flags::NO_MULTI)
            .or(Flags::IN_STREAM),
        KeySpec::NONE,
        Acl::TRANSACTION,
        "1.2.0",
        "Executes all commands in a transaction.",
    )
    .flagged(Flags::RUNS_QUEUE),
    row(
        "discard",
        discard,
        1,
        ANYTIME.or(Flags::FAST).or(Flags::NO_MULTI),
        KeySpec::NONE,
        Acl::TRANSACTION,
        "2.0.0",
        "Discards a transaction.",
    ),
    row(
        "watch",
        watch,
        -2,
        ANYTIME.or(Flags::FAST).or(Flags::NO_MULTI),
        &[KeySpec::range(1, -1, 1, Access::RO)],
        Acl::TRANSACTION,
        "2.2.0",
        "Monitors changes to keys to determine the execution of a transaction.",
    ),
    row(
        "unwatch",
        unwatch,
        1,
        ANYTIME.or(Flags::FAST),
        KeySpec::NONE,
        Acl::TRANSACTION,
        "2.2.0",
        "Forgets about watched keys of a transaction.",
    ),
];

fn multi(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), CommandError> {
    if ctx.client.multi.is_some() {
        return Err(CommandError::NestedMulti);
    }
    ctx.client.multi = Some(Box::<Multi>::default());
    ctx.client.out.ok();
    Ok(())
}

fn exec(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), CommandError> {
    let Some(multi) = ctx.client.multi.take() else {
        return Err(CommandError::ExecWithoutMulti);
    };
    let id = ctx.client.id;
    let dirty = ctx.engine.watches.is_dirty(id) || watched_key_expired(ctx);
    ctx.engine.watches.unwatch_all(id, &mut ctx.client.watched);
    if multi.aborted {
        return Err(CommandError::ExecAbort);
    }
    if dirty {
        ctx.client.out.null_array();
        return Ok(());
    }
    // Its effects travel command by command; the door wraps them when they are several.
    ctx.propagate_nothing();
    ctx.client.out.array(multi.queue.len());
    for (found, args) in &multi.queue {
        let (dirty, args) = (ctx.engine.dirty, args.as_args());
        if let Err(denial) = check_again(ctx, found, args) {
            drop(ctx.engine.error_reply(ctx.client, denial.changed_since_queued()));
            continue;
        }
        ctx.run_within(Inside::Exec, *found, args);
        let changed = found.flags.has(Flags::WRITE) && ctx.engine.dirty != dirty;
        // REPLICAOF stands before it in the queue, or it would have been refused there.
        if changed && !ctx.client.is_internal() && ctx.engine.is_read_only_replica() {
            // The transaction goes on, whoever hears of it.
            let _ = ctx.perform(Action::StrayWrite);
        }
    }
    Ok(())
}

/// The user's permissions may have changed since the command was queued, by one before it even.
fn check_again(ctx: &mut Ctx<'_>, found: &Found, args: Args<'_>) -> Result<(), Denial> {
    if ctx.client.is_internal() {
        return Ok(());
    }
    ctx.engine.check_permission(ctx.client, ctx.world, found, args, "multi")
}

/// A watched key whose time came after WATCH counts as touched, even if nobody deleted it yet.
fn watched_key_expired(ctx: &Ctx<'_>) -> bool {
    let (id, now_ms) = (ctx.client.id, ctx.engine.now.unix_ms());
    ctx.client.watched.iter().any(|watched| {
        let entry = ctx.engine.keyspace.db(watched.0).get(&*watched.1);
        entry.is_some_and(|entry| entry.is_expired(now_ms))
            && !ctx.engine.watches.was_stale(id, watched)
    })
}

fn discard(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), CommandError> {
    if ctx.client.multi.is_none() {
        return Err(CommandError::DiscardWithoutMulti);
    }
    ctx.engine.discard(ctx.client);
    ctx.client.out.ok();
    Ok(())
}

fn watch(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    if ctx.client.multi.is_some() {
        return Err(CommandError::WatchInMulti);
    }
    let db = ctx.view.index();
    for key in args.iter().skip(1) {
        let now_ms = ctx.engine.now.unix_ms();
        let entry = ctx.engine.keyspace.db(db).get(key);
        let stale = entry.is_some_and(|entry| entry.is_expired(now_ms));
        if ctx.engine.watches.watch(ctx.client.id, db, key, stale) {
            ctx.client.watched.push((db, key.into()));
        }
    }
    ctx.client.out.ok();
    Ok(())
}

fn unwatch(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), CommandError> {
    ctx.engine.watches.unwatch_all(ctx.client.id, &mut ctx.client.watched);
    ctx.client.out.ok();
    Ok(())
}
