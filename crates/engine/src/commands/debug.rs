//! DEBUG: what tests and operators ask of the inside. Guarded by `enable-debug-command`.

use protocol::{Args, ReplyBuf, Resp, parse_f64, parse_i64};
use store::digest::{self, Hash20, Spelling};
use store::{DbSlot, ValueRef, glob};

use super::args::{int, is, text};
use super::htstats::{htstats, htstats_key};
use crate::command::key_spec::KeySpec;
use crate::command::{Acl, CommandSpec, Flags, row};
use crate::door::ctx::Ctx;
use crate::door::propagate::Targets;
use crate::engine::Role;
use crate::error::CommandError;
use crate::world::{Action, Mallctl};

pub(crate) static ROWS: &[CommandSpec] = &[row(
    "debug",
    debug,
    -2,
    Flags::ADMIN.or(Flags::NOSCRIPT).or(Flags::LOADING).or(Flags::STALE).or(Flags::DEBUG_GUARDED),
    KeySpec::NONE,
    Acl::NONE,
    "1.0.0",
    "A container for debugging commands.",
)
.internal()];

/// As Redis 7.2, which we say that we are. Redis 7.0 spells scores with 17 digits.
const SPELLING: Spelling = Spelling::By(protocol::format_f64_digits);

/// What DEBUG PROTOCOL DOUBLE answers: clients' tests compare it.
#[allow(clippy::approx_constant)]
const TEST_DOUBLE: f64 = 3.141;

type Subcommand = fn(&mut Ctx<'_>, Args<'_>) -> Result<(), CommandError>;

/// Name, least and greatest count of arguments behind it, handler, and what HELP says.
const SUBCOMMANDS: &[(&str, usize, usize, Subcommand, &[&str])] = &[
    (
        "aof-flush-sleep",
        1,
        1,
        aof_flush_sleep,
        &[
            "AOF-FLUSH-SLEEP <microsec>",
            "    Server will sleep before flushing the AOF, this is used for testing.",
        ],
    ),
    (
        "change-repl-id",
        0,
        0,
        change_repl_id,
        &["CHANGE-REPL-ID", "    Change the replication IDs of the instance."],
    ),
    (
        "config-rewrite-force-all",
        0,
        0,
        config_rewrite_all,
        &[
            "CONFIG-REWRITE-FORCE-ALL",
            "    Like CONFIG REWRITE but writes all configuration options, including",
            "    keywords not listed in original configuration file or default values.",
        ],
    ),
    (
        "digest",
        0,
        0,
        digest_all,
        &["DIGEST", "    Output a hex signature representing the current DB content."],
    ),
    (
        "digest-value",
        1,
        usize::MAX,
        digest_value,
        &[
            "DIGEST-VALUE <key> [<key> ...]",
            "    Output a hex signature of the values of all the specified keys.",
        ],
    ),
    (
        "error",
        1,
        1,
        error,
        &["ERROR <string>", "    Return a Redis protocol error with <string> as message."],
    ),
    (
        "htstats",
        1,
        2,
        htstats,
        &[
            "HTSTATS <dbid> [full]",
            "    Return hash table statistics of the specified Redis database.",
        ],
    ),
    (
        "htstats-key",
        1,
        2,
        htstats_key,
        &[
            "HTSTATS-KEY <key> [full]",
            "    Like HTSTATS but for the hash table stored at <key>'s value.",
        ],
    ),
    ("jmap", 0, 0, jmap, &["JMAP", "    Show the allocator's map of the memory."]),
    (
        "listpack",
        1,
        1,
        listpack,
        &["LISTPACK <key>", "    Show low level info about the listpack encoding of <key>."],
    ),
    (
        "loadaof",
        0,
        0,
        loadaof,
        &["LOADAOF", "    Flush the AOF buffers on disk and reload the AOF in memory."],
    ),
    ("log", 1, usize::MAX, log, &["LOG <message>", "    Write <message> to the server log."]),
    (
        "mallctl",
        1,
        2,
        mallctl,
        &["MALLCTL <key> [<val>]", "    Get or set a malloc tuning integer."],
    ),
    (
        "mallctl-str",
        1,
        2,
        mallctl_str,
        &["MALLCTL-STR <key> [<val>]", "    Get or set a malloc tuning string."],
    ),
    (
        "object",
        1,
        2,
        object,
        &["OBJECT <key>", "    Show low level info about <key> and associated value."],
    ),
    ("panic", 0, 0, crash, &["PANIC", "    Crash the server simulating a panic."]),
    (
        "populate",
        1,
        3,
        populate,
        &[
            "POPULATE <count> [<prefix>] [<size>]",
            "    Create <count> string keys named key:<num>.",
        ],
    ),
    (
        "pause-cron",
        1,
        1,
        pause_cron,
        &["PAUSE-CRON <0|1>", "    Stop periodic cron job processing."],
    ),
    (
        "protocol",
        1,
        1,
        protocol_reply,
        &["PROTOCOL <type>", "    Reply with a test value of the specified type."],
    ),
    (
        "quicklist-packed-threshold",
        1,
        1,
        accepted,
        &[
            "QUICKLIST-PACKED-THRESHOLD <size>",
            "    Accepted and without effect: nodes for large elements follow list-max-listpack-size.",
        ],
    ),
    (
        "reload",
        0,
        3,
        reload,
        &[
            "RELOAD [option ...]",
            "    Save the RDB on disk and reload it back to memory. Valid <option> values: NOSAVE, NOFLUSH, MERGE.",
        ],
    ),
    (
        "replicate",
        1,
        usize::MAX,
        replicate,
        &[
            "REPLICATE <command> [<argument> ...]",
            "    Replicate the command to replicas without running it, so that data may diverge.",
        ],
    ),
    (
        "replybuffer",
        2,
        2,
        replybuffer,
        &[
            "REPLYBUFFER <subcommand> <arg>",
            "    Accepted and without effect: reply buffers grow as needed, and idle ones are freed.",
        ],
    ),
    (
        "restart",
        0,
        1,
        crash,
        &["RESTART [<milliseconds>]", "    Graceful restart: save config, db, restart."],
    ),
    ("segfault", 0, 0, crash, &["SEGFAULT", "    Crash the server with sigsegv."]),
    (
        "set-active-expire",
        1,
        1,
        set_active_expire,
        &[
            "SET-ACTIVE-EXPIRE <0|1>",
            "    Setting it to 0 disables expiring keys (and hash-fields) in background when they are not accessed.",
        ],
    ),
    (
        "set-disable-deny-scripts",
        1,
        1,
        set_disable_deny_scripts,
        &[
            "SET-DISABLE-DENY-SCRIPTS <0|1>",
            "    Setting it to 1 lets scripts call commands that are not for scripts.",
        ],
    ),
    (
        "set-skip-checksum-validation",
        1,
        1,
        set_skip_checksum_validation,
        &[
            "SET-SKIP-CHECKSUM-VALIDATION <0|1>",
            "    Enables or disables checksum checks for RDB files and RESTORE's payload.",
        ],
    ),
    (
        "sleep",
        1,
        1,
        stall,
        &["SLEEP <seconds>", "    Stop the server for <seconds>. Decimals allowed."],
    ),
    (
        "stringmatch-len",
        2,
        2,
        stringmatch,
        &[
            "STRINGMATCH-LEN <length> <pattern>",
            "    Run the glob matcher with <pattern> against a string of <length> bytes.",
        ],
    ),
];

fn debug(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let word = args.at(1);
    if is(word, "help") && args.len() == 2 {
        return help(ctx);
    }
    let given = args.len() - 2;
    match SUBCOMMANDS.iter().find(|(name, ..)| is(word, name)) {
        Some((_, least, most, handler, _)) if (*least..=*most).contains(&given) => {
            handler(ctx, args)
        }
        _ => Err(unknown_subcommand(word)),
    }
}

fn unknown_subcommand(word: &[u8]) -> CommandError {
    CommandError::err(format_args!(
        "unknown subcommand or wrong number of arguments for '{}'. Try DEBUG HELP.",
        text(&word[..word.len().min(128)])
    ))
}

fn help(ctx: &mut Ctx<'_>) -> Result<(), CommandError> {
    let head = "DEBUG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:";
    let rows = SUBCOMMANDS.iter().flat_map(|(.., lines)| lines.iter().copied());
    let lines: Vec<&str> =
        std::iter::once(head).chain(rows).chain(["HELP", "    Print this help."]).collect();
    ctx.client.out.array(lines.len());
    lines.iter().for_each(|line| ctx.client.out.status(line));
    Ok(())
}

fn hex(digest: &Hash20) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn digest_all(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), CommandError> {
    let digest = digest::of_keyspace(&ctx.engine.keyspace, SPELLING);
    ctx.client.out.status(&hex(&digest));
    Ok(())
}

fn digest_value(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    ctx.client.out.array(args.len() - 2);
    for key in args.iter().skip(2) {
        let digest = match ctx.db().get(key) {
            Some(entry) => digest::of_value(entry.value(), entry.expire_ms().is_some(), SPELLING),
            None => Hash20::default(),
        };
        ctx.client.out.status(&hex(&digest));
    }
    Ok(())
}

fn object(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let engine = &*ctx.engine;
    let fill = ctx.engine.settings.limits.list_max_listpack_size;
    let Some(entry) = engine.keyspace.db(ctx.view.index()).get(args.at(2)) else {
        return Err(CommandError::NoSuchKey);
    };
    let clock = entry.clock();
    let serialized = persist::rdb::dump_value(entry.value(), persist::rdb::Version::V10);
    // Without the type byte and the footer that only DUMP has.
    let serialized_len = serialized.len().saturating_sub(1 + 10);
    let mut line = format!(
        "Value at:{:p} refcount:1 encoding:{} serializedlength:{serialized_len} lru:{clock} lru_seconds_idle:{}",
        entry,
        entry.encoding().name(),
        engine.idle_s(clock)
    );
    if let ValueRef::List(list) = entry.value()
        && entry.encoding() == store::Encoding::Quicklist
    {
        let nodes = list.nodes_len().max(1);
        line.push_str(&format!(
            " ql_nodes:{nodes} ql_avg_node:{:.2} ql_listpack_max:{fill} ql_compressed:0 ql_uncompressed_size:{serialized_len}",
            list.len() as f64 / nodes as f64
        ));
    }
    ctx.client.out.status(&line);
    Ok(())
}

fn listpack(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let Some(entry) = ctx.db().get(args.at(2)) else {
        return Err(CommandError::NoSuchKey);
    };
    if entry.encoding() != store::Encoding::Listpack {
        return Err(CommandError::err("Not a listpack encoded object."));
    }
    let elements = match entry.value() {
        ValueRef::List(list) => list.len(),
        ValueRef::Set(set) => set.len(),
        ValueRef::Hash(hash) => hash.len() * 2,
        ValueRef::ZSet(zset) => zset.len() * 2,
        _ => 0,
    };
    let line = format!("{} of {elements} elements", entry.value_type().name());
    ctx.client.out.status(&line);
    Ok(())
}

fn populate(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let count = int(args.at(2))?;
    let prefix = args.get(3).unwrap_or(b"key");
    let size = args.get(4).map(int).transpose()?.unwrap_or(0);
    if count < 0 || size < 0 {
        return Err(CommandError::MustBePositive);
    }
    let db = ctx.view;
    let mut value = Vec::new();
    for n in 0..count {
        let mut key = prefix.to_vec();
        key.extend_from_slice(format!(":{n}").as_bytes());
        let DbSlot::Vacant(vacant) = ctx.engine.slot(db, &key) else { continue };
        value.clear();
        value.extend_from_slice(format!("value:{n}").as_bytes());
        if size > 0 {
            value.resize(size as usize, 0);
        }
        vacant.insert(value.as_slice(), None);
        ctx.engine.dirty += 1;
    }
    // Debugging data: Redis does not send it to replicas either.
    ctx.propagate_nothing();
    ctx.client.out.ok();
    Ok(())
}

fn set_active_expire(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    ctx.engine.active_expire = args.at(2) != b"0";
    ctx.client.out.ok();
    Ok(())
}

fn stall(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let seconds = parse_f64(args.at(2)).unwrap_or(0.0).max(0.0);
    ctx.perform_and_reply(Action::DebugSleep { us: (seconds * 1e6) as u64 })
}

fn reload(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let (mut nosave, mut noflush, mut merge) = (false, false, false);
    for option in args.iter().skip(2) {
        match option {
            _ if is(option, "nosave") => nosave = true,
            _ if is(option, "noflush") => noflush = true,
            _ if is(option, "merge") => merge = true,
            _ => {
                return Err(CommandError::err(
                    "DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options.",
                ));
            }
        }
    }
    ctx.perform_and_reply(Action::DebugReload { nosave, noflush, merge })
}

fn loadaof(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), CommandError> {
    ctx.perform_and_reply(Action::DebugLoadAof)
}

fn aof_flush_sleep(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let us = u64::try_from(int(args.at(2))?).map_err(|_| CommandError::MustBePositive)?;
    ctx.perform_and_reply(Action::DebugAofFlushSleep { us })
}

fn config_rewrite_all(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), CommandError> {
    let users = ctx.engine.user_lines();
    ctx.perform_and_reply(Action::DebugConfigRewriteAll { users: &users })
}

fn set_skip_checksum_validation(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    ctx.engine.skip_checksum_validation = args.at(2) != b"0";
    ctx.client.out.ok();
    Ok(())
}

fn set_disable_deny_scripts(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    ctx.engine.scripts.allows_all = args.at(2) != b"0";
    ctx.client.out.ok();
    Ok(())
}

fn crash(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let how = text(args.at(1)).to_ascii_lowercase();
    ctx.perform_and_reply(Action::DebugCrash { how: &how })
}

fn jmap(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), CommandError> {
    ctx.perform_and_reply(Action::AllocatorReport)
}

fn mallctl(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let value = Mallctl::Number(args.get(3).map(int).transpose()?);
    ctx.perform_and_reply(Action::Mallctl { name: args.at(2), value })
}

fn mallctl_str(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let value = match args.get(3) {
        Some(b"VOID") => Mallctl::Deed,
        text => Mallctl::Text(text),
    };
    ctx.perform_and_reply(Action::Mallctl { name: args.at(2), value })
}

fn change_repl_id(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), CommandError> {
    ctx.perform_and_reply(Action::DebugReplication { words: &[b"change-repl-id"] })
}

fn replicate(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    if matches!(ctx.engine.role, Role::Master) {
        let command: Vec<&[u8]> = args.iter().skip(2).collect();
        ctx.propagate_nothing();
        ctx.engine.propagation.set_targets(Targets { aof: false, stream: true });
        ctx.engine.propagation.command_anywhere(command);
        ctx.engine.propagation.set_targets(Targets::default());
    }
    ctx.client.out.ok();
    Ok(())
}

fn pause_cron(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let paused = parse_i64(args.at(2)).is_some_and(|n| n != 0);
    ctx.perform_and_reply(Action::DebugPauseCron { paused })
}

fn log(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let words: Vec<&[u8]> = args.iter().skip(2).collect();
    let message = text(&words.join(&b' '));
    ctx.perform_and_reply(Action::DebugLog { message: &message })
}

fn accepted(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), CommandError> {
    ctx.client.out.ok();
    Ok(())
}

fn replybuffer(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let (word, value) = (args.at(2), args.at(3));
    if is(word, "peak-reset-time") {
        if !is(value, "never") && !is(value, "reset") {
            int(value)?;
        }
    } else if is(word, "resizing") {
        int(value)?;
    } else {
        return Err(unknown_subcommand(args.at(1)));
    }
    accepted(ctx, args)
}

fn error(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    ctx.propagate_nothing();
    Err(CommandError::text(text(args.at(2)).replace(['\r', '\n'], " ")))
}

fn stringmatch(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    const MAX_BYTES: i64 = 1 << 20;
    let len = int(args.at(2))?.clamp(0, MAX_BYTES);
    let subject = vec![b'a'; len as usize];
    ctx.client.out.int(glob::matches(args.at(3), &subject).into());
    Ok(())
}

fn protocol_reply(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let name = args.at(2);
    let out = &mut ctx.client.out;
    match name {
        _ if is(name, "string") => out.bulk(b"Hello World"),
        _ if is(name, "integer") => out.int(12345),
        _ if is(name, "double") => out.double(TEST_DOUBLE),
        _ if is(name, "null") => out.null(),
        _ if is(name, "array") => three(out, ReplyBuf::array, |out, n| out.int(n)),
        _ if is(name, "set") => three(out, ReplyBuf::set, |out, n| out.int(n)),
        _ if is(name, "map") => three(out, ReplyBuf::map, |out, n| {
            out.int(n);
            out.bool(n == 1);
        }),
        _ if is(name, "attrib") => {
            if out.attribute(1) {
                out.bulk(b"key-popularity");
                out.array(2);
                out.bulk(b"key:123");
                out.int(90);
            }
            out.bulk(b"Some real reply following the attribute");
        }
        _ if is(name, "push") => {
            if out.resp == Resp::V2 {
                return Err(CommandError::err("RESP2 is not supported by this command"));
            }
            out.push(2);
            out.bulk(b"server-cpu-usage");
            out.int(42);
            // The push stands beside the reply, it is not the reply.
            out.bulk(b"Some real reply following the push reply");
        }
        _ if is(name, "verbatim") => out.verbatim("txt", b"This is a verbatim\nstring"),
        _ if is(name, "true") => out.bool(true),
        _ if is(name, "false") => out.bool(false),
        _ if is(name, "bignum") => {
            out.big_number(b"1234567999999999999999999999999999999");
        }
        _ => {
            return Err(CommandError::err(
                "Wrong protocol type name. Please use one of the following: string|integer|double|null|array|set|map|attrib|push|verbatim|true|false",
            ));
        }
    }
    Ok(())
}

fn three(out: &mut ReplyBuf, head: fn(&mut ReplyBuf, usize), element: fn(&mut ReplyBuf, i64)) {
    head(out, 3);
    (0..3).for_each(|n| element(out, n));
}
