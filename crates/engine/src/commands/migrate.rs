//! MIGRATE: keys go to another server by RESTORE, and are deleted here once that one has said that it has
//! them. Owns the words that are exchanged; the connection is the world's ([`Transfer`]).
//!
//! Nothing else runs meanwhile, as in Redis: so a key cannot change between its copy and its end, nor be
//! seen at both servers, and MIGRATE means the same inside of EXEC and of a script.

use persist::rdb;
use protocol::{Args, encode_command};

use super::args::{int, is};
use crate::command::key_spec::{Access, Find, KeySpec};
use crate::command::redact::{self, secrets_behind};
use crate::command::{Acl, CommandSpec, Flags, row};
use crate::door::ctx::Ctx;
use crate::error::CommandError;
use crate::world::{Action, Transfer};

/// Where the first option stands.
const OPTIONS_AT: usize = 6;
const DEFAULT_TIMEOUT_MS: u64 = 1000;

pub(crate) static ROWS: &[CommandSpec] = &[row(
    "migrate",
    migrate,
    -6,
    Flags::WRITE,
    &[
        KeySpec::found(Find::Unless { at: 3, find: keys_at }, Access::POPS),
        KeySpec::found(
            Find::Rest { word: "KEYS", from: -2, find: keys_if_unnamed_at },
            Access::POPS.or(Access::INCOMPLETE),
        ),
    ],
    Acl::KEYSPACE.or(Acl::DANGEROUS),
    "2.6.0",
    "Atomically transfers a key from one Redis instance to another.",
)
.group("generic")
.redacted_by(redact::migrate)
.tips(&["nondeterministic_output"])];

/// Where the word KEYS stands: it ends the options, and may itself be a password.
pub(crate) fn keys_at(args: Args<'_>) -> Option<usize> {
    let mut at = OPTIONS_AT;
    while let Some(word) = args.get(at) {
        if is(word, "keys") {
            return Some(at);
        }
        at += 1 + secrets_behind(word);
    }
    None
}

/// The same, unless a key is named besides, which is an error.
fn keys_if_unnamed_at(args: Args<'_>) -> Option<usize> {
    keys_at(args).filter(|_| args.at(3).is_empty())
}

struct Options<'a> {
    copy: bool,
    replace: bool,
    /// AUTH's arguments, none or one or two.
    credentials: Args<'a>,
    keys: Args<'a>,
}

fn options(args: Args<'_>) -> Result<Options<'_>, CommandError> {
    let mut options = Options {
        copy: false,
        replace: false,
        credentials: args.slice(0..0),
        keys: args.slice(3..4),
    };
    let mut at = OPTIONS_AT;
    while let Some(word) = args.get(at) {
        let secrets = secrets_behind(word);
        at += 1;
        if is(word, "copy") {
            options.copy = true;
        } else if is(word, "replace") {
            options.replace = true;
        } else if secrets > 0 && at + secrets <= args.len() {
            options.credentials = args.slice(at..at + secrets);
            at += secrets;
        } else if is(word, "keys") {
            if !args.at(3).is_empty() {
                return Err(CommandError::err(
                    "When using MIGRATE KEYS option, the key argument must be set to the empty string",
                ));
            }
            options.keys = args.slice(at..args.len());
            break;
        } else {
            return Err(CommandError::Syntax);
        }
    }
    Ok(options)
}

fn migrate(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let options = options(args)?;
    let timeout_ms = match int(args.at(5))? {
        ms @ 1.. => ms as u64,
        _ => DEFAULT_TIMEOUT_MS,
    };
    let db = int(args.at(4))?;
    let (keys, requests) = requests(ctx, &options);
    if keys.is_empty() {
        ctx.client.out.status("NOKEY");
        return Ok(());
    }
    let mut auth = Vec::new();
    if !options.credentials.is_empty() {
        let words: Vec<&[u8]> =
            std::iter::once(&b"AUTH"[..]).chain(options.credentials.iter()).collect();
        encode_command(&mut auth, words);
    }
    let transfer = Transfer {
        host: args.at(1),
        port: args.at(2),
        timeout_ms,
        db,
        auth: &auth,
        requests: &requests,
        expected: keys.len(),
    };
    let mut replies = Vec::new();
    let outcome = ctx.perform(Action::Migrate { transfer, replies: &mut replies });
    if !options.copy {
        let taken = keys.iter().zip(&replies).filter(|(_, reply)| !is_error(reply));
        delete_taken(ctx, taken.map(|(key, _)| *key));
    }
    match replies.iter().find(|reply| is_error(reply)) {
        Some(reply) => {
            let reason = String::from_utf8_lossy(&reply[1..]);
            Err(CommandError::err(format_args!("Target instance replied with error: {reason}")))
        }
        None => outcome.map(|_| ctx.client.out.ok()),
    }
}

/// The keys that are there, and a RESTORE of each.
fn requests<'a>(ctx: &mut Ctx<'_>, options: &Options<'a>) -> (Vec<&'a [u8]>, Vec<u8>) {
    let (db, now_ms) = (ctx.view, ctx.engine.now.unix_ms());
    let (mut keys, mut requests) = (Vec::new(), Vec::new());
    for key in options.keys.iter() {
        let Some(entry) = ctx.engine.read(db, key) else { continue };
        // What has no time left is still here: it does not get "for ever" there.
        let ttl_ms = entry.expire_ms().map_or(0, |at_ms| (at_ms - now_ms).max(1));
        let payload = rdb::dump_value(entry.value(), rdb::Version::V10);
        let ttl = ttl_ms.to_string();
        let words = [b"RESTORE".as_slice(), key, ttl.as_bytes(), &payload, b"REPLACE"];
        let sent = words.len() - usize::from(!options.replace);
        encode_command(&mut requests, words[..sent].iter().copied());
        keys.push(key);
    }
    (keys, requests)
}

fn is_error(reply: &[u8]) -> bool {
    reply.first() == Some(&b'-')
}

/// The others hear of a DEL: where keys have gone is nothing that they could repeat.
fn delete_taken<'k>(ctx: &mut Ctx<'_>, keys: impl Iterator<Item = &'k [u8]>) {
    let (db, lazy) = (ctx.view, ctx.engine.settings.lazyfree_lazy_server_del);
    let mut words: Vec<&[u8]> = vec![b"DEL"];
    words.extend(keys.filter(|key| ctx.engine.delete(db, key, lazy)));
    if words.len() > 1 {
        ctx.propagate(&words);
    }
}
