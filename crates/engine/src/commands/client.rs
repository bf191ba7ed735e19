//! CLIENT and its subcommands: who is connected, and what becomes of them.

use protocol::Args;

use super::args::{int, is, text, timeout_ms};
use super::client_filter::{Asks, ClientFilter};
use super::connection::valid_name;
use super::help;
use super::pubsub::container;
use super::tracking::{caching, getredir, tracking, trackinginfo};
use crate::Engine;
use crate::clients::client::{Client, Follows, Kind, ReplyMode};
use crate::clients::line::describe;
use crate::command::key_spec::KeySpec;
use crate::command::{Acl, CommandSpec, Flags, Handler, row};
use crate::door::ctx::Ctx;
use crate::door::pause::{Pause, PauseBy};
use crate::error::CommandError;
use crate::ids::ClientId;
use crate::world::{Action, World};

const ANYTIME: Flags = Flags::NOSCRIPT.or(Flags::LOADING).or(Flags::STALE);
const ADMIN: Flags = ANYTIME.or(Flags::ADMIN);

pub(crate) static ROWS: &[CommandSpec] = &[row(
    "client",
    container,
    -2,
    Flags::NONE,
    KeySpec::NONE,
    Acl::NONE,
    "2.4.0",
    "A container for client connection commands.",
)
.flagged(Flags::KEEPS_CACHING)
.group("connection")
.with(SUBCOMMANDS)];

/// A row of CLIENT: none has keys, all are of one category.
const fn sub(
    name: &'static str,
    handler: Handler,
    arity: i16,
    flags: Flags,
    since: &'static str,
    summary: &'static str,
) -> CommandSpec {
    row(name, handler, arity, flags, KeySpec::NONE, Acl::CONNECTION, since, summary)
}

static SUBCOMMANDS: &[CommandSpec] = &[
    sub(
        "caching",
        caching,
        3,
        ANYTIME,
        "6.0.0",
        "Instructs the server whether to track the keys in the next request.",
    ),
    sub("capa", capa, -3, ANYTIME, "8.0.0", "A client claims its capability."),
    sub("getname", getname, 2, ANYTIME, "2.6.9", "Returns the name of the connection."),
    sub(
        "getredir",
        getredir,
        2,
        ANYTIME,
        "6.0.0",
        "Returns the client ID to which the connection's tracking notifications are redirected.",
    ),
    help::row_of("5.0.0", Acl::CONNECTION),
    sub("id", id, 2, ANYTIME, "5.0.0", "Returns the unique client ID of the connection."),
    sub("info", info, 2, ANYTIME, "6.2.0", "Returns information about the connection.")
        .tips(&["nondeterministic_output"]),
    sub("kill", kill, -3, ADMIN, "2.4.0", "Terminates open connections."),
    sub("list", list, -2, ADMIN, "2.4.0", "Lists open connections.")
        .tips(&["nondeterministic_output"]),
    sub(
        "no-evict",
        no_evict,
        3,
        ADMIN,
        "7.0.0",
        "Sets the client eviction mode of the connection.",
    ),
    sub(
        "no-touch",
        no_touch,
        3,
        ANYTIME,
        "7.2.0",
        "Controls whether commands sent by the client affect the LRU/LFU of accessed keys.",
    ),
    sub("pause", pause, -3, ADMIN, "3.0.0", "Suspends commands processing."),
    sub("reply", reply, 3, ANYTIME, "3.2.0", "Instructs the server whether to reply to commands."),
    sub(
        "setinfo",
        setinfo,
        4,
        ANYTIME,
        "7.2.0",
        "Sets information specific to the client or connection.",
    ),
    sub("setname", setname, 3, ANYTIME, "2.6.9", "Sets the connection name."),
    sub(
        "tracking",
        tracking,
        -3,
        ANYTIME,
        "6.0.0",
        "Controls server-assisted client-side caching for the connection.",
    ),
    sub(
        "trackinginfo",
        trackinginfo,
        2,
        ANYTIME,
        "6.2.0",
        "Returns information about server-assisted client-side caching for the connection.",
    ),
    sub(
        "unblock",
        unblock,
        -3,
        ADMIN,
        "5.0.0",
        "Unblocks a client blocked by a blocking command from a different connection.",
    ),
    sub("unpause", unpause, 2, ADMIN, "6.2.0", "Resumes processing commands from paused clients.")
        .flagged(Flags::NEVER_PAUSED),
];

fn id(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), CommandError> {
    ctx.client.out.int(ctx.client.id.id as i64);
    Ok(())
}

fn getname(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), CommandError> {
    let client = &mut *ctx.client;
    match client.name.is_empty() {
        true => client.out.null(),
        false => client.out.bulk(&client.name),
    }
    Ok(())
}

fn setname(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    ctx.client.name = valid_name(args.at(2))?.to_vec();
    ctx.client.out.ok();
    Ok(())
}

fn setinfo(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let (option, value) = (args.at(2), args.at(3));
    let field = if is(option, "lib-name") {
        &mut ctx.client.lib_name
    } else if is(option, "lib-ver") {
        &mut ctx.client.lib_ver
    } else {
        return Err(CommandError::err(format_args!("Unrecognized option '{}'", text(option))));
    };
    if valid_name(value).is_err() {
        let option = text(option);
        return Err(CommandError::err(format_args!(
            "{option} cannot contain spaces, newlines or special characters."
        )));
    }
    *field = value.to_vec();
    ctx.client.out.ok();
    Ok(())
}

/// Whoever knows more than we do says so without an error.
fn capa(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    if args.iter().skip(2).any(|word| is(word, "redirect"))
        && ctx.client.follows == Follows::Nowhere
    {
        ctx.client.follows = Follows::WithAll;
    }
    ctx.client.out.ok();
    Ok(())
}

fn info(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let mut line = String::new();
    describe(ctx.engine, ctx.world, ctx.client, Some(args), &mut line);
    ctx.client.out.verbatim("txt", line.as_bytes());
    Ok(())
}

fn list(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let filter = ClientFilter::parse(ctx.engine, args, Asks::ToList)?;
    let mut lines = String::new();
    let mut everybody = listed(ctx);
    if let Some(ids) = filter.ids() {
        // In the order in which they were asked for, and as often.
        everybody = ids
            .iter()
            .filter_map(|id| everybody.iter().copied().find(|client| client.id.id as i64 == *id))
            .collect();
    }
    for client in everybody {
        if filter.fits(ctx.engine, client, ctx.client.id) {
            let own = (client.id == ctx.client.id).then_some(args);
            describe(ctx.engine, ctx.world, client, own, &mut lines);
        }
    }
    ctx.client.out.verbatim("txt", lines.as_bytes());
    Ok(())
}

/// Everybody who is connected, oldest first, with the client whose command runs.
fn listed<'a>(ctx: &'a Ctx<'_>) -> Vec<&'a Client> {
    let mut clients: Vec<&Client> = ctx.engine.clients().chain([&*ctx.client]).collect();
    clients.retain(|client| client.kind != Kind::Loader);
    clients.sort_unstable_by_key(|client| client.id);
    clients
}

fn kill(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let filter = match args.len() {
        3 => ClientFilter::of_addr(args.at(2)),
        _ => ClientFilter::parse(ctx.engine, args, Asks::ToKill)?,
    };
    let caller = ctx.client.id;
    let doomed: Vec<ClientId> = listed(ctx)
        .into_iter()
        // Who leaves may still take its time to read its replies, but nobody is killed twice.
        .filter(|client| !client.is_killed && filter.fits(ctx.engine, client, caller))
        .map(|client| client.id)
        .collect();
    for &id in &doomed {
        if id == caller {
            // It still gets to know how that went.
            ctx.client.close_after_reply = true;
        } else {
            ctx.engine.doom(ctx.world, id)?;
        }
    }
    match (args.len(), doomed.len()) {
        (3, 0) => return Err(CommandError::err("No such client")),
        (3, _) => ctx.client.out.ok(),
        (_, killed) => ctx.client.out.int(killed as i64),
    }
    Ok(())
}

impl Engine {
    /// Has another client closed: from now on it is neither served nor heard.
    pub(crate) fn doom(&mut self, world: &mut dyn World, id: ClientId) -> Result<(), CommandError> {
        // The master's stream may be resumed: only its link goes.
        let outsider = |client: &&mut Client| client.kind != Kind::Master;
        if let Some(client) = self.client_mut(id).filter(outsider) {
            client.close_after_reply = true;
            client.is_killed = true;
            if let Some(blocked) = client.blocked.take() {
                self.blocked.remove(id, &blocked);
            }
        }
        world.perform(Action::CloseClient { client: id }, &mut self.keyspace).map(|_| ())
    }
}

fn pause(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let writes_only = match args.get(3) {
        _ if args.len() > 4 => return Err(CommandError::Syntax),
        None => false,
        Some(mode) if is(mode, "all") => false,
        Some(mode) if is(mode, "write") => true,
        Some(_) => return Err(CommandError::err("CLIENT PAUSE mode must be WRITE or ALL")),
    };
    let until_mono_us = ctx.engine.now.mono_us.saturating_add(timeout_ms(args.at(2))?);
    ctx.engine.pauses.extend(PauseBy::Client, Pause { until_mono_us, writes_only });
    ctx.client.out.ok();
    Ok(())
}

fn unpause(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), CommandError> {
    let now_us = ctx.engine.now.mono_us;
    // Those who waited go on when this command is done, as if the time were up.
    ctx.engine.pauses.end_at(PauseBy::Client, now_us);
    ctx.client.out.ok();
    Ok(())
}

fn unblock(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let error = match args.get(3) {
        _ if args.len() > 4 => return Err(CommandError::Syntax),
        None => None,
        Some(word) if is(word, "timeout") => None,
        Some(word) if is(word, "error") => {
            Some(CommandError::text("UNBLOCKED client unblocked via CLIENT UNBLOCK"))
        }
        Some(_) => {
            return Err(CommandError::err("CLIENT UNBLOCK reason should be TIMEOUT or ERROR"));
        }
    };
    let wanted = int(args.at(2))?;
    // Who waits for the server has no timeout that could be anticipated.
    let target = ctx.engine.clients().find(|client| {
        let waits = client.blocked.as_ref().is_some_and(|b| !b.waiting.is_for_server());
        waits && client.id.id as i64 == wanted
    });
    let target = target.map(|client| client.id);
    if let Some(id) = target {
        ctx.engine.end_wait(ctx.world, id, error);
    }
    ctx.client.out.int(target.is_some() as i64);
    Ok(())
}

fn reply(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let client = &mut *ctx.client;
    let word = args.at(2);
    if is(word, "on") {
        client.reply_mode = ReplyMode::On;
        client.out.unmute();
        client.out.ok();
    } else if is(word, "off") {
        client.reply_mode = ReplyMode::Off;
    } else if is(word, "skip") {
        if client.reply_mode != ReplyMode::Off {
            client.reply_mode = ReplyMode::SkipNext;
        }
    } else {
        return Err(CommandError::Syntax);
    }
    Ok(())
}

fn on_off(word: &[u8]) -> Result<bool, CommandError> {
    match word {
        word if is(word, "on") => Ok(true),
        word if is(word, "off") => Ok(false),
        _ => Err(CommandError::Syntax),
    }
}

fn no_evict(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    ctx.client.no_evict = on_off(args.at(2))?;
    ctx.client.out.ok();
    Ok(())
}

fn no_touch(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    ctx.client.no_touch = on_off(args.at(2))?;
    ctx.client.out.ok();
    Ok(())
}
