//! INFO, CONFIG, TIME, DBSIZE, FLUSHALL, FLUSHDB, SWAPDB, MONITOR.

use protocol::{Args, parse_i64};
use store::Db;

use super::args::is;
use super::help;
use super::pubsub::container;
use crate::Engine;
use crate::clients::client::{Client, Kind};
use crate::command::key_spec::KeySpec;
use crate::command::redact;
use crate::command::{Acl, CommandSpec, Flags, Found, row};
use crate::door::call::{Call, Inside};
use crate::door::ctx::Ctx;
use crate::error::CommandError;
use crate::events::push::Push;
use crate::events::watch::Presence;
use crate::world::{Action, Garbage, Outcome, World};

const ADMIN: Flags = Flags::ADMIN.or(Flags::NOSCRIPT).or(Flags::LOADING).or(Flags::STALE);
const EVERYWHERE: &[&str] = &["request_policy:all_nodes", "response_policy:all_succeeded"];
const WRITES: Flags = Flags::WRITE;

pub(crate) static ROWS: &[CommandSpec] = &[
    row(
        "info",
        info,
        -1,
        Flags::LOADING.or(Flags::STALE),
        KeySpec::NONE,
        Acl::DANGEROUS,
        "1.0.0",
        "Returns information and statistics about the server.",
    )
    .tips(&["nondeterministic_output", "request_policy:all_shards", "response_policy:special"]),
    row(
        "config",
        container,
        -2,
        Flags::NONE,
        KeySpec::NONE,
        Acl::NONE,
        "2.0.0",
        "A container for server configuration commands.",
    )
    .with(CONFIG),
    row(
        "time",
        time,
        1,
        Flags::LOADING.or(Flags::STALE).or(Flags::FAST),
        KeySpec::NONE,
        Acl::NONE,
        "2.6.0",
        "Returns the server time.",
    )
    .tips(&["nondeterministic_output"]),
    row(
        "dbsize",
        dbsize,
        1,
        Flags::READONLY.or(Flags::FAST),
        KeySpec::NONE,
        Acl::KEYSPACE,
        "1.0.0",
        "Returns the number of keys in the database.",
    )
    .tips(&["request_policy:all_shards", "response_policy:agg_sum"])
    .group("server"),
    row(
        "flushall",
        flushall,
        -1,
        WRITES,
        KeySpec::NONE,
        Acl::KEYSPACE.or(Acl::DANGEROUS),
        "1.0.0",
        "Removes all keys from all databases.",
    )
    .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
    .group("server"),
    row(
        "flushdb",
        flushdb,
        -1,
        WRITES,
        KeySpec::NONE,
        Acl::KEYSPACE.or(Acl::DANGEROUS),
        "1.0.0",
        "Remove all keys from the current database.",
    )
    .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
    .group("server"),
    row(
        "swapdb",
        swapdb,
        3,
        WRITES.or(Flags::FAST),
        KeySpec::NONE,
        Acl::KEYSPACE.or(Acl::DANGEROUS),
        "4.0.0",
        "Swaps two Redis databases.",
    )
    .group("server"),
    row(
        "monitor",
        monitor,
        1,
        ADMIN,
        KeySpec::NONE,
        Acl::NONE,
        "1.0.0",
        "Listens for all requests received by the server in real-time.",
    ),
];

static CONFIG: &[CommandSpec] = &[
    help::row_of("5.0.0", Acl::NONE),
    row(
        "get",
        config_get,
        -3,
        ADMIN,
        KeySpec::NONE,
        Acl::NONE,
        "2.0.0",
        "Returns the effective values of configuration parameters.",
    ),
    row(
        "set",
        config_set,
        -4,
        ADMIN,
        KeySpec::NONE,
        Acl::NONE,
        "2.0.0",
        "Sets configuration parameters in-flight.",
    )
    .redacted_by(redact::directives)
    .tips(EVERYWHERE),
    row(
        "rewrite",
        config_rewrite,
        2,
        ADMIN,
        KeySpec::NONE,
        Acl::NONE,
        "2.8.0",
        "Persists the effective configuration to file.",
    )
    .tips(EVERYWHERE),
    row(
        "resetstat",
        config_resetstat,
        2,
        ADMIN,
        KeySpec::NONE,
        Acl::NONE,
        "2.0.0",
        "Resets the server's statistics.",
    )
    .tips(EVERYWHERE),
];

fn info(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let wanted: Vec<&[u8]> = args.iter().skip(1).collect();
    let text = ctx.engine.info(ctx.world, Some(ctx.client), &wanted);
    ctx.client.out.verbatim("txt", text.as_bytes());
    Ok(())
}

fn config_get(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let patterns: Vec<&[u8]> = args.iter().skip(2).collect();
    let found = ctx.world.config_get(&patterns);
    let out = &mut ctx.client.out;
    out.map(found.len());
    for (name, value) in found {
        out.bulk(name.as_bytes());
        out.bulk(&value);
    }
    Ok(())
}

fn config_set(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    if !args.len().is_multiple_of(2) {
        return Err(CommandError::arity("config|set"));
    }
    let pairs: Vec<(&[u8], &[u8])> =
        (2..args.len()).step_by(2).map(|at| (args.at(at), args.at(at + 1))).collect();
    let in_exec = ctx.call.is_nested();
    let outcome = ctx.perform(Action::ConfigSet { pairs: &pairs, in_exec })?;
    let settings = ctx.world.settings();
    ctx.engine.apply_settings(settings);
    if outcome != Outcome::Silent {
        ctx.client.out.ok();
    }
    Ok(())
}

fn config_rewrite(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), CommandError> {
    let users = ctx.engine.user_lines();
    ctx.perform_and_reply(Action::ConfigRewrite { users: &users })
}

fn config_resetstat(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), CommandError> {
    ctx.engine.stats.reset();
    ctx.engine.scripts.cache.evicted = 0;
    ctx.perform_and_reply(Action::ConfigResetStat)
}

impl Engine {
    /// Takes over changed settings: the caller has validated them.
    pub fn apply_settings(&mut self, settings: crate::settings::Settings) {
        let hash_seed = self.settings.limits.hash_seed;
        if settings.requirepass != self.settings.requirepass {
            self.users.set_default_password(&settings.requirepass);
        }
        self.settings = settings;
        self.settings.limits.hash_seed = hash_seed;
        let limits = self.settings.output_limits;
        for client in self.clients.iter_mut().filter_map(|(_, client)| client.as_deref_mut()) {
            client.out.set_limit(client.output_limit(&limits));
        }
    }
}

fn time(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), CommandError> {
    let unix_us = ctx.engine.now.unix_us;
    let out = &mut ctx.client.out;
    out.array(2);
    out.bulk_int((unix_us / 1_000_000) as i64);
    out.bulk_int((unix_us % 1_000_000) as i64);
    Ok(())
}

fn dbsize(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), CommandError> {
    let len = ctx.db().len();
    ctx.client.out.int(len as i64);
    Ok(())
}

/// Whether a flush frees away from the loop: its own word, else the setting.
fn flush_is_lazy(ctx: &Ctx<'_>, args: Args<'_>) -> Result<bool, CommandError> {
    match args.get(1) {
        _ if args.len() > 2 => Err(CommandError::Syntax),
        None => Ok(ctx.engine.settings.lazyfree_lazy_user_flush),
        Some(word) if is(word, "async") => Ok(true),
        Some(word) if is(word, "sync") => Ok(false),
        Some(_) => Err(CommandError::Syntax),
    }
}

fn flushall(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let lazy = flush_is_lazy(ctx, args)?;
    for db in 0..ctx.engine.keyspace.len() {
        ctx.engine.flush_db(db, lazy);
    }
    // Propagated even when there was nothing: a replica or file may hold what we do not.
    ctx.force_propagation();
    ctx.engine.invalidate_all();
    ctx.perform(Action::KeyspaceFlushed)?;
    ctx.client.out.ok();
    Ok(())
}

fn flushdb(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let lazy = flush_is_lazy(ctx, args)?;
    ctx.engine.flush_db(ctx.view.index(), lazy);
    ctx.engine.invalidate_all();
    ctx.force_propagation();
    ctx.client.out.ok();
    Ok(())
}

impl Engine {
    /// Empties a database; how many keys that were.
    pub fn flush_db(&mut self, db: usize, lazy: bool) -> usize {
        let keyspace = &self.keyspace;
        let now_ms = self.now.unix_ms();
        self.watches.touch_db(Some(db), |db, key| {
            (presence(keyspace.db(db), key, now_ms), Presence::Absent)
        });
        let removed = self.keyspace.db_mut(db).take();
        self.blocked.db_replaced(db);
        let keys = removed.len();
        self.dirty += keys as u64;
        if lazy && keys > 0 {
            self.garbage.push(Garbage(Box::new(removed)));
        }
        keys
    }
}

fn presence(db: &Db, key: &[u8], now_ms: i64) -> Presence {
    match db.get(key) {
        None => Presence::Absent,
        Some(entry) if entry.is_expired(now_ms) => Presence::Stale,
        Some(_) => Presence::Live,
    }
}

fn swapdb(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let number = |arg: &[u8], which: &str| {
        let n = parse_i64(arg).and_then(|n| i32::try_from(n).ok());
        n.ok_or_else(|| CommandError::err(format_args!("invalid {which} DB index")))
    };
    let index = |n: i32| match usize::try_from(n) {
        Ok(n) if n < ctx.engine.keyspace.len() => Ok(n),
        _ => Err(CommandError::DbIndexOutOfRange),
    };
    let (a, b) = (number(args.at(1), "first")?, number(args.at(2), "second")?);
    let (a, b) = (index(a)?, index(b)?);
    // One with itself is a change that travels, and touches nobody.
    if a != b {
        swap(ctx.engine, a, b);
    }
    ctx.engine.dirty += 1;
    ctx.client.out.ok();
    Ok(())
}

fn swap(engine: &mut Engine, a: usize, b: usize) {
    let (keyspace, now_ms) = (&engine.keyspace, engine.now.unix_ms());
    for (db, other) in [(a, b), (b, a)] {
        engine.watches.touch_db(Some(db), |db, key| {
            let (before, after) = (keyspace.db(db), keyspace.db(other));
            (presence(before, key, now_ms), presence(after, key, now_ms))
        });
    }
    engine.keyspace.swap(a, b);
    engine.blocked.db_replaced(a);
    engine.blocked.db_replaced(b);
}

fn monitor(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), CommandError> {
    if ctx.client.kind != Kind::Replica {
        ctx.engine.monitors.insert(ctx.client.id);
    }
    ctx.client.out.ok();
    Ok(())
}

impl Engine {
    /// The line that monitors see of a command that has run. What is administrative is not shown,
    /// what is secret is redacted.
    pub(crate) fn feed_monitors(
        &mut self,
        client: &Client,
        world: &dyn World,
        found: &Found,
        args: Args<'_>,
        call: Call,
    ) {
        if !found.spec.flags.has(Flags::SKIP_MONITOR.or(Flags::ADMIN)) {
            self.show_monitors(client, world, found, args, call);
        }
    }

    /// The same, whatever the command's row says.
    pub(crate) fn show_monitors(
        &mut self,
        client: &Client,
        world: &dyn World,
        found: &Found,
        args: Args<'_>,
        call: Call,
    ) {
        if client.kind == Kind::Loader {
            return;
        }
        let unix_us = self.now.unix_us;
        let mut text = format!("+{}.{:06} ", unix_us / 1_000_000, unix_us % 1_000_000).into_bytes();
        let addr = match client.peer.unix_socket {
            _ if call.inside == Inside::Script => "lua".to_string(),
            // The path that the client speaks to, without the port that stands behind it elsewhere.
            true => format!("unix:{}", client.peer.addr.trim_end_matches(":0")),
            false => client.peer.addr.clone(),
        };
        text.extend_from_slice(format!("[{} {addr}]", client.db).as_bytes());
        for arg in redact::shown(world, found.spec.redact, args) {
            text.push(b' ');
            text.extend_from_slice(&protocol::quote(arg));
        }
        text.extend_from_slice(b"\r\n");
        let mut line = Push::Line(text);
        for id in self.monitors.clone() {
            self.push(id, &mut line);
        }
    }
}
