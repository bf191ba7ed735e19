//! ACL, as far as there is one user: `default`, who may do everything, with or without a password.
//!
//! Whatever would restrict somebody is refused, never accepted and ignored.

use std::fmt::Write;

use protocol::{Args, parse_i64};
use sha2::{Digest, Sha256};

use super::args::{int, is, text};
use super::command_info::{categories, commands_in_category};
use super::help;
use super::pubsub::container;
use crate::command::key_spec::KeySpec;
use crate::command::redact;
use crate::command::{self, Acl, CommandSpec, Flags, Handler, row};
use crate::door::ctx::Ctx;
use crate::error::CommandError;
use crate::world::Action;

const ANYTIME: Flags = Flags::NOSCRIPT.or(Flags::LOADING).or(Flags::STALE);
const ADMIN: Flags = ANYTIME.or(Flags::ADMIN);
/// Entries that ACL LOG shows by itself.
const DEFAULT_LOG_COUNT: usize = 10;

pub(crate) static ROWS: &[CommandSpec] = &[row(
    "acl",
    container,
    -2,
    Flags::NONE,
    KeySpec::NONE,
    Acl::NONE,
    "6.0.0",
    "A container for Access List Control commands.",
)
.with(SUBCOMMANDS)];

const fn sub(
    name: &'static str,
    handler: Handler,
    arity: i16,
    flags: Flags,
    since: &'static str,
    summary: &'static str,
) -> CommandSpec {
    row(name, handler, arity, flags, KeySpec::NONE, Acl::NONE, since, summary)
}

static SUBCOMMANDS: &[CommandSpec] = &[
    sub(
        "cat",
        cat,
        -2,
        ANYTIME,
        "6.0.0",
        "Lists the ACL categories, or the commands inside a category.",
    ),
    sub(
        "deluser",
        deluser,
        -3,
        ADMIN,
        "6.0.0",
        "Deletes ACL users, and terminates their connections.",
    )
    .redacted_by(redact::user),
    sub(
        "dryrun",
        dryrun,
        -4,
        ADMIN,
        "7.0.0",
        "Simulates the execution of a command by a user, without executing the command.",
    ),
    sub(
        "genpass",
        genpass,
        -2,
        ANYTIME,
        "6.0.0",
        "Generates a pseudorandom, secure password that can be used to identify ACL users.",
    ),
    sub("getuser", getuser, 3, ADMIN, "6.0.0", "Lists the ACL rules of a user.")
        .redacted_by(redact::user),
    help::row_of("6.0.0", Acl::NONE),
    sub("list", list, 2, ADMIN, "6.0.0", "Dumps the effective rules in ACL file format."),
    sub("load", no_file, 2, ADMIN, "6.0.0", "Reloads the rules from the configured ACL file."),
    sub("log", log, -2, ADMIN, "6.0.0", "Lists recent security events generated due to ACL rules."),
    sub(
        "save",
        no_file,
        2,
        ADMIN,
        "6.0.0",
        "Saves the effective ACL rules in the configured ACL file.",
    ),
    sub("setuser", setuser, -3, ADMIN, "6.0.0", "Creates and modifies an ACL user and its rules.")
        .redacted_by(redact::user),
    sub("users", users, 2, ADMIN, "6.0.0", "Lists all ACL users."),
    sub(
        "whoami",
        whoami,
        2,
        ANYTIME,
        "6.0.0",
        "Returns the authenticated username of the current connection.",
    ),
];

fn whoami(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), CommandError> {
    let client = &mut *ctx.client;
    client.out.bulk(&client.user);
    Ok(())
}

fn users(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), CommandError> {
    ctx.client.out.array(1);
    ctx.client.out.bulk(b"default");
    Ok(())
}

/// The password as ACL files have it, or none.
fn password_hash(ctx: &Ctx<'_>) -> Option<String> {
    let password = &ctx.engine.settings.requirepass;
    if password.is_empty() {
        return None;
    }
    let mut hex = String::new();
    for byte in Sha256::digest(password) {
        // Writing to a String does not fail.
        let _ = write!(hex, "{byte:02x}");
    }
    Some(hex)
}

fn list(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), CommandError> {
    let line = match password_hash(ctx) {
        None => "user default on nopass sanitize-payload ~* &* +@all".to_string(),
        Some(hash) => format!("user default on sanitize-payload #{hash} ~* &* +@all"),
    };
    ctx.client.out.array(1);
    ctx.client.out.bulk(line.as_bytes());
    Ok(())
}

fn getuser(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let hash = password_hash(ctx);
    let out = &mut ctx.client.out;
    if args.at(2) != b"default" {
        out.null();
        return Ok(());
    }
    let flags: &[&str] = match hash {
        None => &["on", "nopass", "sanitize-payload"],
        Some(_) => &["on", "sanitize-payload"],
    };
    out.map(6);
    out.bulk(b"flags");
    out.set(flags.len());
    flags.iter().for_each(|flag| out.bulk(flag.as_bytes()));
    out.bulk(b"passwords");
    out.array(hash.iter().len());
    hash.iter().for_each(|hash| out.bulk(hash.as_bytes()));
    for (field, value) in [("commands", "+@all"), ("keys", "~*"), ("channels", "&*")] {
        out.bulk(field.as_bytes());
        out.bulk(value.as_bytes());
    }
    out.bulk(b"selectors");
    out.array(0);
    Ok(())
}

fn cat(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let names = match args.get(2) {
        _ if args.len() > 3 => return Err(CommandError::subcommand_syntax(args.at(1), "acl")),
        None => categories().map(str::to_string).collect(),
        Some(category) => commands_in_category(category).ok_or_else(|| {
            CommandError::err(format_args!("Unknown category '{}'", text(category)))
        })?,
    };
    ctx.client.out.array(names.len());
    names.iter().for_each(|name| ctx.client.out.bulk(name.as_bytes()));
    Ok(())
}

/// The default user's password can be set; everything else about it stands fast.
fn setuser(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    if args.at(2) != b"default" {
        return Err(CommandError::err("Users other than 'default' are not supported yet"));
    }
    const HOLDS_ANYWAY: [&str; 8] =
        ["on", "allkeys", "~*", "allchannels", "&*", "allcommands", "+@all", "sanitize-payload"];
    let mut password: Option<&[u8]> = None;
    let mut without = None;
    for rule in args.iter().skip(3) {
        if let Some(given) = rule.strip_prefix(b">").filter(|given| !given.is_empty()) {
            password = Some(given);
            without = None;
        } else if is(rule, "nopass") {
            password = Some(b"");
            without = None;
        } else if is(rule, "resetpass") {
            // By itself it would lock everybody out, which `requirepass` cannot say.
            without = Some(rule);
        } else if !HOLDS_ANYWAY.iter().any(|word| is(rule, word)) {
            return Err(unsupported(rule));
        }
    }
    if let Some(rule) = without {
        return Err(unsupported(rule));
    }
    if let Some(password) = password {
        ctx.perform(Action::ConfigSet { pairs: &[(b"requirepass", password)], in_exec: true })?;
        let settings = ctx.world.settings();
        ctx.engine.apply_settings(settings);
    }
    ctx.client.out.ok();
    Ok(())
}

fn unsupported(rule: &[u8]) -> CommandError {
    let rule = text(rule);
    CommandError::err(format_args!("Error in ACL SETUSER modifier '{rule}': Not supported yet"))
}

fn deluser(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    if args.iter().skip(2).any(|user| user == b"default") {
        return Err(CommandError::err("The 'default' user cannot be removed"));
    }
    ctx.client.out.int(0);
    Ok(())
}

fn dryrun(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    if args.at(2) != b"default" {
        let user = text(args.at(2));
        return Err(CommandError::err(format_args!("User '{user}' not found")));
    }
    let inner = args.slice(3..args.len());
    let found = command::find(inner).map_err(|_| {
        CommandError::err(format_args!("Command '{}' not found", text(inner.at(0))))
    })?;
    if !found.spec.arity_fits(inner.len()) {
        return Err(CommandError::arity(&found.full_name()));
    }
    ctx.client.out.ok();
    Ok(())
}

fn genpass(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let bits = match args.get(2) {
        _ if args.len() > 3 => return Err(CommandError::subcommand_syntax(args.at(1), "acl")),
        None => 256,
        Some(arg) => int(arg)?,
    };
    if !(1..=4096).contains(&bits) {
        return Err(CommandError::err(
            "ACL GENPASS argument must be the number of bits for the output password, a positive number up to 4096",
        ));
    }
    let digits = (bits as usize).div_ceil(4);
    let Some(hex) = ctx.world.secret_hex(digits) else {
        return Err(CommandError::err("There is no source of randomness for passwords"));
    };
    ctx.client.out.bulk(hex.as_bytes());
    Ok(())
}

/// Wrong passwords: nothing else is ever denied to the only user.
fn log(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let count = match args.get(2) {
        _ if args.len() > 3 => return Err(CommandError::subcommand_syntax(args.at(1), "acl")),
        Some(word) if is(word, "reset") => {
            ctx.engine.acl_log.reset();
            ctx.client.out.ok();
            return Ok(());
        }
        Some(count) => parse_i64(count).ok_or(CommandError::NotAnInteger)?.max(0) as usize,
        None => DEFAULT_LOG_COUNT,
    };
    let now_ms = ctx.engine.now.unix_ms();
    let entries = ctx.engine.acl_log.iter();
    let out = &mut ctx.client.out;
    let count = count.min(entries.len());
    out.array(count);
    for entry in entries.take(count) {
        out.map(10);
        out.bulk(b"count");
        out.int(entry.count as i64);
        for (name, value) in [
            ("reason", b"auth".as_slice()),
            ("context", entry.context.as_bytes()),
            ("object", &entry.object),
            ("username", &entry.username),
        ] {
            out.bulk(name.as_bytes());
            out.bulk(value);
        }
        out.bulk(b"age-seconds");
        out.double((now_ms - entry.updated_unix_ms) as f64 / 1000.0);
        out.bulk(b"client-info");
        out.bulk(entry.client_info.as_bytes());
        for (name, value) in [
            ("entry-id", entry.id as i64),
            ("timestamp-created", entry.created_unix_ms),
            ("timestamp-last-updated", entry.updated_unix_ms),
        ] {
            out.bulk(name.as_bytes());
            out.int(value);
        }
    }
    Ok(())
}

fn no_file(_: &mut Ctx<'_>, _: Args<'_>) -> Result<(), CommandError> {
    Err(CommandError::err(
        "This Redis instance is not configured to use an ACL file. You may want to specify users via the ACL SETUSER command and then issue a CONFIG REWRITE (assuming you have a Redis configuration file set) in order to store users in the Redis configuration.",
    ))
}
