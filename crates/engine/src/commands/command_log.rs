//! SLOWLOG and COMMANDLOG: commands that stood out. The slow log is both's.

use protocol::Args;

use super::args::{int, is};
use super::help;
use super::pubsub::container;
use crate::command::key_spec::KeySpec;
use crate::command::{Acl, CommandSpec, Flags, Handler, row};
use crate::door::ctx::Ctx;
use crate::error::CommandError;
use crate::report::command_log::LogKind;

const ADMIN: Flags = Flags::ADMIN.or(Flags::LOADING).or(Flags::STALE);

pub(crate) static ROWS: &[CommandSpec] = &[
    of_container("slowlog", "2.2.12", "A container for slow log commands.").with(SLOWLOG),
    of_container("commandlog", "8.1.0", "A container for command log commands.").with(COMMANDLOG),
];

const fn of_container(
    name: &'static str,
    since: &'static str,
    summary: &'static str,
) -> CommandSpec {
    row(name, container, -2, Flags::NONE, KeySpec::NONE, Acl::NONE, since, summary)
}

const fn sub(
    name: &'static str,
    handler: Handler,
    arity: i16,
    since: &'static str,
    summary: &'static str,
    tips: &'static [&'static str],
) -> CommandSpec {
    row(name, handler, arity, ADMIN, KeySpec::NONE, Acl::NONE, since, summary).tips(tips)
}

const GET_TIPS: &[&str] = &["request_policy:all_nodes", "nondeterministic_output"];
const LEN_TIPS: &[&str] =
    &["request_policy:all_nodes", "response_policy:agg_sum", "nondeterministic_output"];
const RESET_TIPS: &[&str] = &["request_policy:all_nodes", "response_policy:all_succeeded"];

static SLOWLOG: &[CommandSpec] = &[
    help::row_of("6.2.0", Acl::NONE),
    sub("get", slowlog_get, -2, "2.2.12", "Returns the slow log's entries.", GET_TIPS),
    sub(
        "len",
        slowlog_len,
        2,
        "2.2.12",
        "Returns the number of entries in the slow log.",
        LEN_TIPS,
    ),
    sub("reset", slowlog_reset, 2, "2.2.12", "Clears all entries from the slow log.", RESET_TIPS),
];

static COMMANDLOG: &[CommandSpec] = &[
    help::row_of("8.1.0", Acl::NONE),
    sub("get", get, 4, "8.1.0", "Returns the specified command log's entries.", GET_TIPS),
    sub(
        "len",
        len,
        3,
        "8.1.0",
        "Returns the number of entries in the specified type of command log.",
        LEN_TIPS,
    ),
    sub(
        "reset",
        reset,
        3,
        "8.1.0",
        "Clears all entries from the specified type of command log.",
        RESET_TIPS,
    ),
];

fn kind(word: &[u8]) -> Result<LogKind, CommandError> {
    LogKind::ALL.into_iter().find(|kind| is(word, kind.as_str())).ok_or_else(|| {
        CommandError::err("type should be one of the following: slow, large-request, large-reply")
    })
}

/// How many entries are asked for; -1 is all.
fn count(word: &[u8]) -> Result<usize, CommandError> {
    match int(word) {
        Ok(-1) => Ok(usize::MAX),
        Ok(n) if n >= 0 => Ok(n as usize),
        _ => Err(CommandError::err("count should be greater than or equal to -1")),
    }
}

fn reply_entries(ctx: &mut Ctx<'_>, kind: LogKind, count: usize) {
    let log = ctx.engine.command_logs.of(kind);
    let out = &mut ctx.client.out;
    let shown = log.len().min(count);
    out.array(shown);
    for entry in log.iter().take(shown) {
        out.array(6);
        out.int(entry.id as i64);
        out.int(entry.unix_s);
        out.int(entry.figure as i64);
        out.array(entry.args.len());
        entry.args.iter().for_each(|arg| out.bulk(arg));
        out.bulk(entry.client_addr.as_bytes());
        out.bulk(&entry.client_name);
    }
}

fn reply_len(ctx: &mut Ctx<'_>, kind: LogKind) {
    let len = ctx.engine.command_logs.of(kind).len();
    ctx.client.out.int(len as i64);
}

fn reset_and_reply(ctx: &mut Ctx<'_>, kind: LogKind) {
    ctx.engine.command_logs.of(kind).reset();
    ctx.client.out.ok();
}

fn slowlog_get(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let count = match args.get(2) {
        _ if args.len() > 3 => return Err(CommandError::arity("slowlog|get")),
        None => 10,
        Some(word) => count(word)?,
    };
    reply_entries(ctx, LogKind::Slow, count);
    Ok(())
}

fn slowlog_len(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), CommandError> {
    reply_len(ctx, LogKind::Slow);
    Ok(())
}

fn slowlog_reset(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), CommandError> {
    reset_and_reply(ctx, LogKind::Slow);
    Ok(())
}

fn get(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let count = count(args.at(2))?;
    reply_entries(ctx, kind(args.at(3))?, count);
    Ok(())
}

fn len(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    reply_len(ctx, kind(args.at(2))?);
    Ok(())
}

fn reset(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    reset_and_reply(ctx, kind(args.at(2))?);
    Ok(())
}
