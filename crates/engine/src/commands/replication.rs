//! What replicas, operators and Sentinel say of replication. The decisions are `repl`'s; here the
//! words are parsed and the replies shaped.

use protocol::Args;

use super::args::{int, is, positive, text, timeout_ms};
use crate::clients::client::Kind;
use crate::clients::line::describe;
use crate::command::key_spec::KeySpec;
use crate::command::{Acl, CommandSpec, Flags, row};
use crate::door::ctx::Ctx;
use crate::engine::Role;
use crate::error::CommandError;
use crate::events::blocking::{OnTimeout, Waiting};
use crate::world::{AckWait, Action, MasterAddress, Outcome};

const ADMIN: Flags = Flags::ADMIN.or(Flags::NOSCRIPT);

pub(crate) static ROWS: &[CommandSpec] = &[
    row(
        "replicaof",
        replicaof,
        3,
        ADMIN.or(Flags::STALE).or(Flags::NO_ASYNC_LOADING),
        KeySpec::NONE,
        Acl::NONE,
        "5.0.0",
        "Configures a server as replica of another, or promotes it to a master.",
    ),
    row(
        "slaveof",
        replicaof,
        3,
        ADMIN.or(Flags::STALE).or(Flags::NO_ASYNC_LOADING),
        KeySpec::NONE,
        Acl::NONE,
        "1.0.0",
        "Sets a Redis server as a replica of another, or promotes it to being a master.",
    ).deprecated("5.0.0", "`REPLICAOF`"),
    row(
        "failover",
        failover,
        -1,
        ADMIN.or(Flags::STALE),
        KeySpec::NONE,
        Acl::NONE,
        "6.2.0",
        "Starts a coordinated failover from a server to one of its replicas.",
    ),
    row(
        "role",
        role,
        1,
        Flags::NOSCRIPT.or(Flags::LOADING).or(Flags::STALE).or(Flags::FAST),
        KeySpec::NONE,
        Acl::ADMIN.or(Acl::DANGEROUS),
        "2.8.12",
        "Returns the replication role.",
    ),
    row(
        "psync",
        psync,
        -3,
        ADMIN.or(Flags::NO_ASYNC_LOADING).or(Flags::NO_MULTI_QUEUE),
        KeySpec::NONE,
        Acl::NONE,
        "2.8.0",
        "An internal command used in replication.",
    ),
    row(
        "sync",
        sync,
        1,
        ADMIN.or(Flags::NO_ASYNC_LOADING).or(Flags::NO_MULTI_QUEUE),
        KeySpec::NONE,
        Acl::NONE,
        "1.0.0",
        "An internal command used in replication.",
    ),
    row(
        "replconf",
        replconf,
        -1,
        ADMIN.or(Flags::LOADING).or(Flags::STALE).or(Flags::ALLOW_BUSY).or(Flags::IN_STREAM),
        KeySpec::NONE,
        Acl::NONE,
        "3.0.0",
        "An internal configuration command used in replication.",
    ).internal(),
    row(
        "wait",
        wait,
        3,
        Flags::BLOCKING,
        KeySpec::NONE,
        Acl::CONNECTION,
        "3.0.0",
        "Blocks until the asynchronous replication of all preceding write commands sent by the connection is completed.",
    ).tips(&["request_policy:all_shards", "response_policy:agg_min"]).group("generic"),
    row(
        "waitaof",
        waitaof,
        4,
        Flags::BLOCKING,
        KeySpec::NONE,
        Acl::CONNECTION,
        "7.2.0",
        "Blocks until all of the preceding write commands sent by the connection are written to the append-only file of the master and/or replicas.",
    ).tips(&["request_policy:all_shards", "response_policy:agg_min"]).group("generic"),
];

fn replicaof(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let target = if is(args.at(1), "no") && is(args.at(2), "one") {
        None
    } else {
        if ctx.client.kind == Kind::Replica {
            // It would lose its own connection on the way.
            return Err(CommandError::err("Command is not valid when client is a replica."));
        }
        let port = int(args.at(2)).ok().and_then(|port| u16::try_from(port).ok());
        let port = port.ok_or_else(|| CommandError::err("Invalid master port"))?;
        Some(MasterAddress { host: text(args.at(1)), port })
    };
    let by = line_of(ctx, args);
    // What a transaction has written before belongs to the history that ends here.
    ctx.engine.finish_unit(ctx.client, ctx.world);
    ctx.perform_and_reply(Action::ReplicaOf { target, by: &by })?;
    follow_role(ctx);
    Ok(())
}

/// What comes next in the same transaction is judged by the new role, and travels by it.
fn follow_role(ctx: &mut Ctx<'_>) {
    let info = ctx.world.replication();
    ctx.engine.role = match &info.master {
        None => Role::Master,
        Some(master) => Role::Replica { link_up: master.up },
    };
    ctx.engine.propagation.set_stream(info.master.is_none() && info.backlog_active);
}

/// The client's line of CLIENT LIST.
fn line_of(ctx: &Ctx<'_>, args: Args<'_>) -> String {
    let mut line = String::new();
    describe(ctx.engine, ctx.world, ctx.client, Some(args), &mut line);
    line.truncate(line.trim_end().len());
    line
}

fn failover(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    if args.len() == 2 && is(args.at(1), "abort") {
        return ctx.perform_and_reply(Action::FailoverAbort);
    }
    let (mut target, mut timeout_ms, mut force) = (None, None, false);
    let mut at = 1;
    while let Some(option) = args.get(at) {
        if is(option, "timeout") && at + 1 < args.len() && timeout_ms.is_none() {
            let ms = int(args.at(at + 1))?;
            let ms = u64::try_from(ms).ok().filter(|ms| *ms > 0);
            let bad = || CommandError::err("FAILOVER timeout must be greater than 0");
            timeout_ms = Some(ms.ok_or_else(bad)?);
            at += 2;
        } else if is(option, "to") && at + 2 < args.len() && target.is_none() {
            target = Some((args.at(at + 1), int(args.at(at + 2))?));
            at += 3;
        } else if is(option, "force") && !force {
            force = true;
            at += 1;
        } else {
            return Err(CommandError::Syntax);
        }
    }
    ctx.perform_and_reply(Action::Failover { target, timeout_ms, force })
}

fn role(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), CommandError> {
    let info = ctx.world.replication();
    let out = &mut ctx.client.out;
    match info.master {
        None => {
            out.array(3);
            out.bulk(b"master");
            out.int(info.offset as i64);
            let online = info.replicas.iter().filter(|replica| replica.state == "online");
            out.array(online.clone().count());
            for replica in online {
                out.array(3);
                out.bulk(replica.ip.as_bytes());
                out.bulk(replica.port.to_string().as_bytes());
                out.bulk(replica.offset.to_string().as_bytes());
            }
        }
        Some(master) => {
            out.array(5);
            out.bulk(b"slave");
            out.bulk(master.host.as_bytes());
            out.int(master.port.into());
            match &master.stopped_before {
                Some((command, _)) => out.bulk(format!("stopped before '{command}'").as_bytes()),
                None => out.bulk(master.state.as_bytes()),
            }
            out.int(if master.up { master.offset as i64 } else { -1 });
        }
    }
    Ok(())
}

fn psync(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let failover_by = match args.get(3) {
        None => None,
        Some(word) if is(word, "failover") => Some(line_of(ctx, args)),
        Some(_) => return Err(CommandError::Syntax),
    };
    start_sync(ctx, Some(args.at(1)), args.at(2), failover_by.as_deref())
}

fn sync(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), CommandError> {
    start_sync(ctx, None, b"-1", None)
}

fn start_sync(
    ctx: &mut Ctx<'_>,
    replid: Option<&[u8]>,
    offset: &[u8],
    failover_by: Option<&str>,
) -> Result<(), CommandError> {
    let client = ctx.client.id;
    if !ctx.client.out.is_empty() && ctx.client.kind == Kind::Normal {
        // The stream begins right behind what was answered so far, and a pipeline that mixes both
        // would make the peer read replies as stream.
        return Err(CommandError::err("SYNC and PSYNC are invalid with pending output"));
    }
    ctx.perform(Action::Psync { client, replid, offset, failover_by }).map(|_| ())
}

fn replconf(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let words: Vec<&[u8]> = args.iter().skip(1).collect();
    let client = ctx.client.id;
    match ctx.perform(Action::Replconf { client, words: &words })? {
        Outcome::Done => ctx.client.out.ok(),
        Outcome::Status(status) => ctx.client.out.status(&status),
        _ => {}
    }
    Ok(())
}

fn wait(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    if matches!(ctx.engine.role, Role::Replica { .. }) {
        return Err(CommandError::err(
            "WAIT cannot be used with replica instances. Please also note that since Redis 4.0 if a replica is configured to be writable (which is not the default) writes to replicas are just local and are not propagated.",
        ));
    }
    let replicas = int(args.at(1))?.clamp(0, u32::MAX.into()) as u32;
    let timeout_us = timeout_ms(args.at(2))?;
    let wait = AckWait { offset: ctx.client.write_offset, replicas, local: None };
    if wait.is_over(ctx.world) || !ctx.may_block() {
        wait.reply(&mut ctx.client.out, ctx.world);
        return Ok(());
    }
    ctx.block(Waiting::Acks(wait), timeout_us, OnTimeout::AckCount);
    ctx.world.wait_for(ctx.client.id, wait);
    Ok(())
}

fn waitaof(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let local = int(args.at(1))?;
    if !(0..=1).contains(&local) {
        return Err(CommandError::err("value is out of range, value must between 0 and 1"));
    }
    let replicas = positive(args.at(2))?.min(u32::MAX as usize) as u32;
    let timeout_us = timeout_ms(args.at(3))?;
    if matches!(ctx.engine.role, Role::Replica { .. }) {
        return Err(CommandError::err(
            "WAITAOF cannot be used with replica instances. Please also note that writes to replicas are just local and are not propagated.",
        ));
    }
    if local > 0 && ctx.world.fsynced_offset().is_none() {
        return Err(CommandError::WaitaofWithoutAof);
    }
    let wait = AckWait { offset: ctx.client.write_offset, replicas, local: Some(local as u32) };
    if wait.is_over(ctx.world) || !ctx.may_block() {
        wait.reply(&mut ctx.client.out, ctx.world);
        return Ok(());
    }
    ctx.block(Waiting::Acks(wait), timeout_us, OnTimeout::AckCount);
    ctx.world.wait_for(ctx.client.id, wait);
    Ok(())
}
