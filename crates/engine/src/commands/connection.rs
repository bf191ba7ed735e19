//! The connection itself: PING, ECHO, AUTH, HELLO, SELECT, QUIT, RESET.

use protocol::{Args, Resp, parse_i64};

use super::args::{db_index, is, text};
use crate::clients::client::{Follows, Kind, ReplyMode};
use crate::clients::users::UserId;
use crate::command::key_spec::KeySpec;
use crate::command::redact;
use crate::command::{Acl, CommandSpec, Flags, row};
use crate::door::ctx::Ctx;
use crate::door::permission::{Reason, Refused};
use crate::engine::Role;
use crate::error::CommandError;
use crate::report::REDIS_VERSION;

const ANYTIME: Flags =
    Flags::NOSCRIPT.or(Flags::LOADING).or(Flags::STALE).or(Flags::FAST).or(Flags::ALLOW_BUSY);

pub(crate) static ROWS: &[CommandSpec] = &[
    row(
        "ping",
        ping,
        -1,
        Flags::FAST.or(Flags::IN_STREAM),
        KeySpec::NONE,
        Acl::CONNECTION,
        "1.0.0",
        "Returns the server's liveliness response.",
    )
    .flagged(Flags::TELLS_HEALTH.or(Flags::IN_PUBSUB))
    .tips(&["request_policy:all_shards", "response_policy:all_succeeded"]),
    row(
        "echo",
        echo,
        2,
        Flags::LOADING.or(Flags::STALE).or(Flags::FAST),
        KeySpec::NONE,
        Acl::CONNECTION,
        "1.0.0",
        "Returns the given string.",
    ),
    row(
        "auth",
        auth,
        -2,
        ANYTIME.or(Flags::NO_AUTH),
        KeySpec::NONE,
        Acl::CONNECTION,
        "1.0.0",
        "Authenticates the connection.",
    )
    .redacted_by(redact::auth),
    row(
        "hello",
        hello,
        -1,
        ANYTIME.or(Flags::NO_AUTH),
        KeySpec::NONE,
        Acl::CONNECTION,
        "6.0.0",
        "Handshakes with the Redis server.",
    )
    .redacted_by(redact::hello),
    row(
        "select",
        select,
        2,
        Flags::LOADING.or(Flags::STALE).or(Flags::FAST).or(Flags::IN_STREAM),
        KeySpec::NONE,
        Acl::CONNECTION,
        "1.0.0",
        "Changes the selected database.",
    ),
    row(
        "quit",
        quit,
        -1,
        ANYTIME.or(Flags::NO_AUTH).or(Flags::NO_MULTI),
        KeySpec::NONE,
        Acl::CONNECTION,
        "1.0.0",
        "Closes the connection.",
    )
    .flagged(Flags::IN_PUBSUB),
    row(
        "reset",
        reset,
        1,
        ANYTIME.or(Flags::NO_AUTH).or(Flags::NO_MULTI),
        KeySpec::NONE,
        Acl::CONNECTION,
        "6.2.0",
        "Resets the connection.",
    )
    .flagged(Flags::IN_PUBSUB),
];

fn ping(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    if args.len() > 2 {
        return Err(CommandError::arity("ping"));
    }
    let in_pubsub_mode = ctx.client.in_pubsub_mode();
    let out = &mut ctx.client.out;
    if in_pubsub_mode {
        out.array(2);
        out.bulk(b"pong");
        out.bulk(args.get(1).unwrap_or(b""));
    } else if let Some(message) = args.get(1) {
        out.bulk(message);
    } else {
        out.status("PONG");
    }
    Ok(())
}

fn echo(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    ctx.client.out.bulk(args.at(1));
    Ok(())
}

fn auth(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    if args.len() > 3 {
        return Err(CommandError::Syntax);
    }
    let (user, password) = match args.get(2) {
        Some(password) => (args.at(1), password),
        None if ctx.engine.users.default_user().nopass => return Err(CommandError::AuthNotSet),
        None => (b"default".as_slice(), args.at(1)),
    };
    authenticate(ctx, args, user, password)?;
    ctx.client.out.ok();
    Ok(())
}

fn authenticate(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    user: &[u8],
    password: &[u8],
) -> Result<(), CommandError> {
    let known = ctx.engine.users.find(user);
    // Nobody is compared in the same time as somebody.
    let accepted = ctx.engine.users.of(known.unwrap_or_default()).accepts(password);
    let Some(id) = known.filter(|_| accepted) else {
        let context = if ctx.call.is_nested() { "multi" } else { "toplevel" };
        let refused = Refused { reason: Reason::Auth, object: args.at(0), username: user, context };
        ctx.engine.note_refused(ctx.client, ctx.world, args, &refused);
        return Err(CommandError::WrongPass);
    };
    ctx.client.authenticated = true;
    ctx.client.user = id;
    Ok(())
}

fn hello(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let mut resp = ctx.client.out.resp;
    if let Some(version) = args.get(1) {
        resp = match parse_i64(version) {
            Some(2) => Resp::V2,
            Some(3) => Resp::V3,
            Some(_) => return Err(CommandError::NoProto),
            None => {
                return Err(CommandError::err(
                    "Protocol version is not an integer or out of range",
                ));
            }
        };
    }
    let mut name = None;
    let mut credentials = None;
    let mut at = 2;
    while at < args.len() {
        let more = args.len() - at - 1;
        if is(args.at(at), "auth") && more >= 2 {
            credentials = Some((args.at(at + 1), args.at(at + 2)));
            at += 3;
        } else if is(args.at(at), "setname") && more >= 1 {
            name = Some(valid_name(args.at(at + 1))?);
            at += 2;
        } else {
            let option = text(args.at(at));
            return Err(CommandError::err(format_args!("Syntax error in HELLO option '{option}'")));
        }
    }
    if let Some((user, password)) = credentials {
        authenticate(ctx, args, user, password)?;
    }
    if !ctx.client.authenticated {
        return Err(CommandError::text(
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time",
        ));
    }
    if let Some(name) = name {
        ctx.client.name = name.to_vec();
    }
    ctx.client.out.resp = resp;
    reply_hello(ctx);
    Ok(())
}

fn reply_hello(ctx: &mut Ctx<'_>) {
    let role = match ctx.engine.role {
        Role::Master => "master",
        Role::Replica { .. } => "replica",
    };
    let id = ctx.client.id.id as i64;
    let out = &mut ctx.client.out;
    out.map(8);
    out.bulk(b"server");
    out.bulk(b"redis");
    out.bulk(b"version");
    out.bulk(REDIS_VERSION.as_bytes());
    out.bulk(b"proto");
    out.int(if out.resp == Resp::V3 { 3 } else { 2 });
    out.bulk(b"id");
    out.int(id);
    out.bulk(b"mode");
    out.bulk(b"standalone");
    out.bulk(b"role");
    out.bulk(role.as_bytes());
    out.bulk(b"modules");
    out.array(0);
    out.bulk(b"server_name");
    out.bulk(b"tandem");
}

/// A client's name has no spaces, line ends or other special bytes, so that CLIENT LIST stays readable.
pub(crate) fn valid_name(name: &[u8]) -> Result<&[u8], CommandError> {
    if name.iter().all(|byte| (b'!'..=b'~').contains(byte)) {
        Ok(name)
    } else {
        Err(CommandError::err(
            "Client names cannot contain spaces, newlines or special characters.",
        ))
    }
}

fn select(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    ctx.client.db = db_index(args.at(1), ctx.engine.keyspace.len())?;
    ctx.client.out.ok();
    Ok(())
}

fn quit(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), CommandError> {
    ctx.client.out.ok();
    ctx.client.close_after_reply = true;
    Ok(())
}

fn reset(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), CommandError> {
    if ctx.client.kind != Kind::Normal {
        return Err(CommandError::err("can only reset normal client connections"));
    }
    ctx.engine.discard(ctx.client);
    ctx.engine.unsubscribe_all(ctx.client);
    ctx.engine.monitors.remove(&ctx.client.id);
    ctx.engine.tracking.disable(ctx.client.id);
    let client = &mut *ctx.client;
    client.db = 0;
    client.out.resp = Resp::V2;
    client.name.clear();
    client.reply_mode = ReplyMode::On;
    client.out.unmute();
    client.no_evict = false;
    client.no_touch = false;
    client.follows = Follows::Nowhere;
    client.user = UserId::DEFAULT;
    client.authenticated = ctx.engine.users.is_open();
    client.out.status("RESET");
    Ok(())
}
