//! ACL: users and what they may do, told and changed; and what becomes of the clients of a user who is
//! removed or may hear less than before.

use protocol::{Args, ReplyBuf, parse_i64};

use super::args::{int, is, text};
use super::command_info::{categories, commands_in_category};
use super::help;
use super::pubsub::container;
use crate::Engine;
use crate::clients::client::Client;
use crate::clients::rules::has_spaces;
use crate::clients::selector::Selector;
use crate::clients::user::User;
use crate::clients::users::{Replaced, UserId, UserLines, parse_acl_file};
use crate::command::key_spec::KeySpec;
use crate::command::redact;
use crate::command::{self, Acl, CommandSpec, Flags, Handler, row};
use crate::door::ctx::Ctx;
use crate::error::{CommandError, shown};
use crate::ids::ClientId;
use crate::world::Action;

const ANYTIME: Flags = Flags::NOSCRIPT.or(Flags::LOADING).or(Flags::STALE);
const ADMIN: Flags = ANYTIME.or(Flags::ADMIN);
const EVERYWHERE: &[&str] = &["request_policy:all_nodes", "response_policy:all_succeeded"];
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
    .redacted_by(redact::user)
    .tips(EVERYWHERE),
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
    sub("load", load, 2, ADMIN, "6.0.0", "Reloads the rules from the configured ACL file."),
    sub("log", log, -2, ADMIN, "6.0.0", "Lists recent security events generated due to ACL rules."),
    sub(
        "save",
        save,
        2,
        ADMIN,
        "6.0.0",
        "Saves the effective ACL rules in the configured ACL file.",
    )
    .tips(EVERYWHERE),
    sub("setuser", setuser, -3, ADMIN, "6.0.0", "Creates and modifies an ACL user and its rules.")
        .redacted_by(redact::user)
        .tips(EVERYWHERE),
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
    ctx.client.out.bulk(&ctx.engine.users.of(ctx.client.user).name);
    Ok(())
}

fn users(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), CommandError> {
    let users = ctx.engine.users.iter();
    ctx.client.out.array(users.len());
    users.for_each(|user| ctx.client.out.bulk(&user.name));
    Ok(())
}

fn list(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), CommandError> {
    let lines = ctx.engine.user_lines();
    ctx.client.out.array(lines.len());
    lines.iter().for_each(|line| ctx.client.out.bulk(line));
    Ok(())
}

fn getuser(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let out = &mut ctx.client.out;
    let Some(id) = ctx.engine.users.find(args.at(2)) else {
        out.null();
        return Ok(());
    };
    let user = ctx.engine.users.of(id);
    out.map(6);
    out.bulk(b"flags");
    out.set(user.flags().count());
    user.flags().for_each(|flag| out.bulk(flag.as_bytes()));
    out.bulk(b"passwords");
    out.array(user.passwords.len());
    user.passwords.iter().for_each(|hash| out.bulk(hash.to_string().as_bytes()));
    reply_selector(out, &user.root);
    out.bulk(b"selectors");
    out.array(user.more.len());
    for selector in &user.more {
        out.map(3);
        reply_selector(out, selector);
    }
    Ok(())
}

fn reply_selector(out: &mut ReplyBuf, selector: &Selector) {
    let (keys, channels) = (selector.describe_keys(), selector.describe_channels());
    for (field, value) in [
        ("commands", selector.describe_commands()),
        ("keys", keys.join(&b' ')),
        ("channels", channels.join(&b' ')),
    ] {
        out.bulk(field.as_bytes());
        out.bulk(&value);
    }
}

fn cat(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let names = match args.get(2) {
        _ if args.len() > 3 => return Err(CommandError::subcommand_syntax(args.at(1), "acl")),
        None => categories().map(str::to_string).collect(),
        Some(category) => commands_in_category(category).ok_or_else(|| {
            CommandError::err(format_args!("Unknown category '{}'", shown(category)))
        })?,
    };
    ctx.client.out.array(names.len());
    names.iter().for_each(|name| ctx.client.out.bulk(name.as_bytes()));
    Ok(())
}

fn setuser(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let name = args.at(2);
    if has_spaces(name) {
        return Err(CommandError::err("Usernames can't contain spaces or null characters"));
    }
    let words: Vec<&[u8]> = args.iter().skip(3).collect();
    let all_channels = ctx.engine.settings.acl_all_channels;
    let user = ctx.engine.users.changed(name, &words, all_channels).map_err(CommandError::err)?;
    let known = ctx.engine.users.find(name);
    let hears_less = known.filter(|id| !user.keeps_channels_of(ctx.engine.users.of(*id)));
    ctx.engine.users.put(user);
    if let Some(id) = hears_less {
        close_eavesdroppers(ctx, id)?;
    }
    ctx.client.out.ok();
    Ok(())
}

fn deluser(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    if args.iter().skip(2).any(|user| user == b"default") {
        return Err(CommandError::err("The 'default' user cannot be removed"));
    }
    let mut removed = 0;
    for name in args.iter().skip(2) {
        if let Some(id) = ctx.engine.users.remove(name) {
            close_clients_of(ctx, id)?;
            removed += 1;
        }
    }
    ctx.client.out.int(removed);
    Ok(())
}

/// The user is gone: its clients are closed, and are nobody until they are.
fn close_clients_of(ctx: &mut Ctx<'_>, user: UserId) -> Result<(), CommandError> {
    let is_meant = |client: &Client| client.user == user;
    for id in ctx.engine.clients_that(is_meant) {
        if let Some(client) = ctx.engine.client_mut(id) {
            forget_user(client);
        }
        ctx.engine.doom(ctx.world, id)?;
    }
    if is_meant(ctx.client) {
        forget_user(ctx.client);
        ctx.client.close_after_reply = true;
    }
    Ok(())
}

fn forget_user(client: &mut Client) {
    client.user = UserId::DEFAULT;
    client.authenticated = false;
}

/// The user may hear less than before: whoever listens to what it may not hear now is closed.
fn close_eavesdroppers(ctx: &mut Ctx<'_>, user: UserId) -> Result<(), CommandError> {
    let rules = ctx.engine.users.of(user).clone();
    let is_meant = |client: &Client| {
        client.user == user && !client.is_internal() && !rules.may_hear(&client.subscriptions)
    };
    for id in ctx.engine.clients_that(is_meant) {
        ctx.engine.doom(ctx.world, id)?;
    }
    if is_meant(ctx.client) {
        ctx.client.close_after_reply = true;
    }
    Ok(())
}

impl Engine {
    /// But for the one whose command runs.
    fn clients_that(&self, is_meant: impl Fn(&Client) -> bool) -> Vec<ClientId> {
        self.clients().filter(|client| is_meant(client)).map(|client| client.id).collect()
    }

    /// What ACL LIST and files have: a line for each user, by name.
    pub(crate) fn user_lines(&self) -> Vec<Vec<u8>> {
        self.users.iter().map(User::line).collect()
    }

    /// Whether whoever connects may do what the default user may.
    pub fn is_open(&self) -> bool {
        self.users.default_user().nopass
    }

    /// Whether the client has to log in first.
    pub fn needs_login(&self, client: &Client) -> bool {
        self.users.needs_login(client)
    }

    /// Takes over the users of a configuration file, before anybody is connected. Who is off is told,
    /// since that may be a mistake.
    pub fn load_user_lines(&mut self, lines: &UserLines) -> Vec<String> {
        let users = lines.users(self.settings.acl_all_channels);
        let off = users.iter().filter(|user| !user.is_on);
        let names = off.map(|user| String::from_utf8_lossy(&user.name).into_owned()).collect();
        users.into_iter().for_each(|user| self.users.put(user));
        names
    }

    /// The same for an ACL file; the error says all that is wrong with it.
    pub fn load_acl_file(&mut self, text: &[u8], path: &str) -> Result<(), String> {
        let users = parse_acl_file(text, path, self.settings.acl_all_channels)?;
        self.users.replace_all(users);
        Ok(())
    }
}

fn load(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), CommandError> {
    let Some(path) = ctx.world.acl_file() else { return Err(no_file()) };
    let text = ctx.world.read_acl_file().map_err(|why| {
        CommandError::err(format_args!("Error loading ACLs, opening file '{path}': {why}"))
    })?;
    let users = parse_acl_file(&text, &path, ctx.engine.settings.acl_all_channels);
    let users = users.map_err(|errors| CommandError::err(errors.replace(['\r', '\n'], " ")))?;
    for replaced in ctx.engine.users.replace_all(users) {
        match replaced {
            Replaced::Removed(id) => close_clients_of(ctx, id)?,
            Replaced::FewerChannels(id) => close_eavesdroppers(ctx, id)?,
        }
    }
    ctx.client.out.ok();
    Ok(())
}

fn save(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), CommandError> {
    if ctx.world.acl_file().is_none() {
        return Err(no_file());
    }
    let mut text = ctx.engine.user_lines().join(&b'\n');
    text.push(b'\n');
    ctx.perform_and_reply(Action::AclSave { text: &text })
}

fn no_file() -> CommandError {
    CommandError::err(
        "This Redis instance is not configured to use an ACL file. You may want to specify users via the ACL SETUSER command and then issue a CONFIG REWRITE (assuming you have a Redis configuration file set) in order to store users in the Redis configuration.",
    )
}

fn dryrun(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let Some(user) = ctx.engine.users.find(args.at(2)) else {
        let user = text(args.at(2));
        return Err(CommandError::err(format_args!("User '{user}' not found")));
    };
    let inner = args.slice(3..args.len());
    let found = command::find(inner).map_err(|_| {
        CommandError::err(format_args!("Command '{}' not found", text(inner.at(0))))
    })?;
    if !found.spec.arity_fits(inner.len()) {
        return Err(CommandError::arity(&found.full_name()));
    }
    match ctx.engine.may_run(user, &found, inner) {
        Ok(()) => ctx.client.out.ok(),
        Err(denial) => {
            let why = ctx.engine.denial_in_full(user, &found, inner, denial);
            ctx.client.out.bulk(&why);
        }
    }
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
            ("reason", entry.reason.as_bytes()),
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
