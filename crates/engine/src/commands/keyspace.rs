//! Commands on keys of any type: existence, names, copies. Expiry is in `expiry.rs`, SCAN in
//! `scans.rs`.

use persist::rdb;
use protocol::{Args, parse_i64};
use store::str::Str;
use store::{Encoding, Entry, Limits, NewValue, Value, ValueRef, glob, lfu};

use super::args::{db_index, is};
use super::pubsub::container;
use super::scans::scan;
use crate::Engine;
use crate::command::key_spec::{Access, KeySpec};
use crate::command::{Acl, CommandSpec, Flags, row};
use crate::data::access;
use crate::data::view::View;
use crate::door::ctx::Ctx;
use crate::error::CommandError;
use crate::events::notify::Classes;
use crate::world::Action;

const READ: Flags = Flags::READONLY;
const WRITE: Flags = Flags::WRITE;

pub(crate) static ROWS: &[CommandSpec] = &[
    row("del", del, -2, WRITE, &[KeySpec::range(1, -1, 1, Access::REMOVES)], Acl::KEYSPACE, "1.0.0", "Deletes one or more keys.").tips(&["request_policy:multi_shard", "response_policy:agg_sum"]),
    row(
        "unlink",
        unlink,
        -2,
        WRITE.or(Flags::FAST),
        &[KeySpec::range(1, -1, 1, Access::REMOVES)],
        Acl::KEYSPACE,
        "4.0.0",
        "Asynchronously deletes one or more keys.",
    ).tips(&["request_policy:multi_shard", "response_policy:agg_sum"]),
    row(
        "exists",
        exists,
        -2,
        READ.or(Flags::FAST),
        &[KeySpec::range(1, -1, 1, Access::RO)],
        Acl::KEYSPACE,
        "1.0.0",
        "Determines whether one or more keys exist.",
    ).tips(&["request_policy:multi_shard", "response_policy:agg_sum"]),
    row(
        "touch",
        touch,
        -2,
        READ.or(Flags::FAST),
        &[KeySpec::range(1, -1, 1, Access::RO)],
        Acl::KEYSPACE,
        "3.2.1",
        "Returns the number of existing keys out of those specified after updating the time they were last accessed.",
    ).tips(&["request_policy:multi_shard", "response_policy:agg_sum"]),
    row(
        "type",
        type_,
        2,
        READ.or(Flags::FAST),
        &[KeySpec::at(1, Access::RO)],
        Acl::KEYSPACE,
        "1.0.0",
        "Determines the type of value stored at a key.",
    ),
    row(
        "keys",
        keys,
        2,
        READ,
        KeySpec::NONE,
        Acl::KEYSPACE.or(Acl::DANGEROUS),
        "1.0.0",
        "Returns all key names that match a pattern.",
    ).tips(&["request_policy:all_shards", "nondeterministic_output_order"]),
    row(
        "scan",
        scan,
        -2,
        READ,
        KeySpec::NONE,
        Acl::KEYSPACE,
        "2.8.0",
        "Iterates over the key names in the database.",
    ).tips(&["nondeterministic_output", "request_policy:special", "response_policy:special"]),
    row(
        "randomkey",
        randomkey,
        1,
        READ,
        KeySpec::NONE,
        Acl::KEYSPACE,
        "1.0.0",
        "Returns a random key name from the database.",
    ).tips(&["request_policy:all_shards", "response_policy:special", "nondeterministic_output"]),
    row(
        "rename",
        rename,
        3,
        WRITE,
        &[KeySpec::at(1, Access::POPS), KeySpec::at(2, Access::OVERWRITES)],
        Acl::KEYSPACE,
        "1.0.0",
        "Renames a key and overwrites the destination.",
    ),
    row(
        "renamenx",
        renamenx,
        3,
        WRITE.or(Flags::FAST),
        &[KeySpec::at(1, Access::POPS), KeySpec::at(2, Access::CREATES)],
        Acl::KEYSPACE,
        "1.0.0",
        "Renames a key only when the target key name doesn't exist.",
    ),
    row(
        "move",
        move_,
        3,
        WRITE.or(Flags::FAST),
        &[KeySpec::at(1, Access::READS_UPDATES)],
        Acl::KEYSPACE,
        "1.0.0",
        "Moves a key to another database.",
    ),
    row(
        "copy",
        copy,
        -3,
        WRITE.or(Flags::DENYOOM),
        &[KeySpec::at(1, Access::READS), KeySpec::at(2, Access::OVERWRITES)],
        Acl::KEYSPACE,
        "6.2.0",
        "Copies the value of a key to a new key.",
    ),
    row(
        "dump",
        dump,
        2,
        READ,
        &[KeySpec::at(1, Access::READS)],
        Acl::KEYSPACE,
        "2.6.0",
        "Returns a serialized representation of the value stored at a key.",
    ).tips(&["nondeterministic_output"]),
    row(
        "restore",
        restore,
        -4,
        WRITE.or(Flags::DENYOOM),
        &[KeySpec::at(1, Access::OVERWRITES)],
        Acl::KEYSPACE.or(Acl::DANGEROUS),
        "2.6.0",
        "Creates a key from the serialized representation of a value.",
    ),
    row(
        "restore-asking",
        restore,
        -4,
        WRITE.or(Flags::DENYOOM).or(Flags::ASKING),
        &[KeySpec::at(1, Access::OVERWRITES)],
        Acl::KEYSPACE.or(Acl::DANGEROUS),
        "3.0.0",
        "An internal command for migrating keys in a cluster.",
    ).internal().group("server"),
    row(
        "object",
        container,
        -2,
        Flags::NONE,
        KeySpec::NONE,
        Acl::NONE,
        "2.2.3",
        "A container for object introspection commands.",
    ).group("generic")
    .with(OBJECT),
];

static OBJECT: &[CommandSpec] = &[
    super::help::row_of("6.2.0", Acl::KEYSPACE),
    row(
        "encoding",
        object_encoding,
        3,
        READ,
        &[KeySpec::at(2, Access::RO)],
        Acl::KEYSPACE,
        "2.2.3",
        "Returns the internal encoding of a Redis object.",
    )
    .tips(&["nondeterministic_output"]),
    row(
        "refcount",
        object_refcount,
        3,
        READ,
        &[KeySpec::at(2, Access::RO)],
        Acl::KEYSPACE,
        "2.2.3",
        "Returns the reference count of a value of a key.",
    )
    .tips(&["nondeterministic_output"]),
    row(
        "idletime",
        object_idletime,
        3,
        READ,
        &[KeySpec::at(2, Access::RO)],
        Acl::KEYSPACE,
        "2.2.3",
        "Returns the time since the last access to a Redis object.",
    )
    .tips(&["nondeterministic_output"]),
    row(
        "freq",
        object_freq,
        3,
        READ,
        &[KeySpec::at(2, Access::RO)],
        Acl::KEYSPACE,
        "4.0.0",
        "Returns the logarithmic access frequency counter of a Redis object.",
    )
    .tips(&["nondeterministic_output"]),
];

fn del(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let lazy = ctx.engine.settings.lazyfree_lazy_user_del;
    delete_all(ctx, args, lazy)
}

fn unlink(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    delete_all(ctx, args, true)
}

fn delete_all(ctx: &mut Ctx<'_>, args: Args<'_>, lazy: bool) -> Result<(), CommandError> {
    let db = ctx.view;
    let mut deleted = 0;
    for key in args.iter().skip(1) {
        deleted += ctx.engine.delete(db, key, lazy) as i64;
    }
    ctx.client.out.int(deleted);
    Ok(())
}

impl Engine {
    /// Deletes a key as DEL does; whether it was there.
    pub(crate) fn delete(&mut self, db: View, key: &[u8], lazy: bool) -> bool {
        let Some(entry) = self.write(db, key) else { return false };
        let removed = entry.remove();
        self.drop_entry(removed, lazy);
        self.changed(db, key, Classes::GENERIC, "del");
        true
    }

    /// Makes room for another value under the same key: no signal, no event.
    pub(crate) fn delete_silently(&mut self, db: View, key: &[u8]) -> bool {
        let Some(entry) = self.write(db, key) else { return false };
        let removed = entry.remove();
        let lazy = self.settings.lazyfree_lazy_server_del;
        self.drop_entry(removed, lazy);
        true
    }

    /// Gives `key` what `entry` holds, in place of whatever it had.
    pub(crate) fn put_entry(&mut self, db: View, key: &[u8], entry: Entry) {
        let entry = entry.with_key(key);
        if let Some(old) = self.keyspace.db_mut(db.index()).insert_entry(entry) {
            let lazy = self.settings.lazyfree_lazy_server_del;
            self.drop_entry(old, lazy);
        } else if self.settings.notify_keyspace_events.intersects(Classes::NEW) {
            self.born = Some((db.index(), key.into()));
        }
    }
}

fn exists(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let db = ctx.view;
    let count = args.iter().skip(1).filter(|key| ctx.engine.ask(db, key).is_some()).count();
    ctx.client.out.int(count as i64);
    Ok(())
}

fn touch(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    // CLIENT NO-TOUCH is for reads: here the use is what is asked for, in a script too.
    let db = ctx.view.touching(!ctx.engine.spare_pages);
    let count = args.iter().skip(1).filter(|key| ctx.engine.read(db, key).is_some()).count();
    ctx.client.out.int(count as i64);
    Ok(())
}

fn type_(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let name = match ctx.engine.ask(ctx.view, args.at(1)) {
        Some(entry) => entry.value_type().name(),
        None => "none",
    };
    ctx.client.out.status(name);
    Ok(())
}

fn keys(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let pattern = args.at(1);
    let now_ms = ctx.engine.now.unix_ms();
    let out = &mut ctx.client.out;
    let mark = out.defer_array();
    let mut found = 0;
    for entry in ctx.engine.keyspace.db(ctx.view.index()).iter() {
        // Names of expired keys are not told, but walking over them deletes nothing.
        if !entry.is_expired(now_ms) && glob::matches(pattern, entry.key()) {
            out.bulk(entry.key());
            found += 1;
            if out.is_deaf() {
                // The client is to be closed for its output: it gets no more.
                break;
            }
        }
    }
    out.finish_array(mark, found);
    Ok(())
}

/// What a reader of arbitrary keys finds expired is deleted key by key, not as one transaction.
pub(crate) fn deletions_stand_alone(ctx: &mut Ctx<'_>) {
    if !ctx.call.is_nested() {
        ctx.engine.propagation.set_no_multi();
    }
}

fn randomkey(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), CommandError> {
    const TRIES: usize = 100;
    deletions_stand_alone(ctx);
    let db = ctx.view;
    let now_ms = ctx.engine.now.unix_ms();
    for left in (0..TRIES).rev() {
        let engine = &mut *ctx.engine;
        let Some(entry) = engine.keyspace.db(db.index()).random(&mut engine.rng) else { break };
        // Where every key has expired and may not be deleted (a replica), any will do at last.
        if !entry.is_expired(now_ms) || left == 0 {
            ctx.client.out.bulk(entry.key());
            return Ok(());
        }
        let name: Box<[u8]> = entry.key().into();
        engine.expire_if_needed(db, &name);
    }
    ctx.client.out.null();
    Ok(())
}

fn rename(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    rename_key(ctx, args, false)?;
    ctx.client.out.ok();
    Ok(())
}

fn renamenx(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let renamed = rename_key(ctx, args, true)?;
    ctx.client.out.int(renamed.into());
    Ok(())
}

fn rename_key(ctx: &mut Ctx<'_>, args: Args<'_>, only_if_new: bool) -> Result<bool, CommandError> {
    let (db, from, to) = (ctx.view, args.at(1), args.at(2));
    if ctx.engine.peek(db, from).is_none() {
        return Err(CommandError::NoSuchKey);
    }
    if from == to {
        return Ok(!only_if_new);
    }
    if ctx.engine.peek(db, to).is_some() && only_if_new {
        return Ok(false);
    }
    let Some(entry) = ctx.engine.keyspace.db_mut(db.index()).remove(from) else { return Ok(false) };
    ctx.engine.put_entry(db, to, entry);
    ctx.engine.key_made(db, to);
    ctx.engine.changed(db, from, Classes::GENERIC, "rename_from");
    ctx.engine.touched(db, to, Classes::GENERIC, "rename_to");
    Ok(true)
}

fn move_(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let (from_db, key) = (ctx.view, args.at(1));
    let to_db = from_db.in_db(db_index(args.at(2), ctx.engine.keyspace.len())?);
    if from_db == to_db {
        return Err(CommandError::SameObject);
    }
    if ctx.engine.peek(from_db, key).is_none() || ctx.engine.peek(to_db, key).is_some() {
        ctx.client.out.int(0);
        return Ok(());
    }
    if let Some(entry) = ctx.engine.keyspace.db_mut(from_db.index()).remove(key) {
        ctx.engine.put_entry(to_db, key, entry);
        ctx.engine.key_made(to_db, key);
        ctx.engine.changed(from_db, key, Classes::GENERIC, "move_from");
        ctx.engine.touched(to_db, key, Classes::GENERIC, "move_to");
    }
    ctx.client.out.int(1);
    Ok(())
}

fn copy(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let (from_db, from, to) = (ctx.view, args.at(1), args.at(2));
    let (mut to_db, mut replace) = (from_db, false);
    let mut at = 3;
    while at < args.len() {
        if is(args.at(at), "replace") {
            replace = true;
            at += 1;
        } else if is(args.at(at), "db") && at + 1 < args.len() {
            to_db = from_db.in_db(db_index(args.at(at + 1), ctx.engine.keyspace.len())?);
            at += 2;
        } else {
            return Err(CommandError::Syntax);
        }
    }
    if from_db == to_db && from == to {
        return Err(CommandError::SameObject);
    }
    let limits = ctx.engine.settings.limits.clone();
    let Some(source) = ctx.engine.read(from_db, from) else {
        ctx.client.out.int(0);
        return Ok(());
    };
    let (value, expire_ms) = (duplicate(source.value(), &limits), source.expire_ms());
    let is_raw = source.encoding() == Encoding::Raw;
    if ctx.engine.peek(to_db, to).is_some() && !replace {
        ctx.client.out.int(0);
        return Ok(());
    }
    // A key of its own, not the old one with another value.
    ctx.engine.delete_silently(to_db, to);
    let value = match value {
        // It was computed or edited, or would be an integer already.
        Value::Str(Str::Owned(text)) => NewValue::OwnText(text),
        value => NewValue::Value(value),
    };
    ctx.engine.put(to_db, to, value, expire_ms);
    if is_raw {
        ctx.engine.make_raw(to_db, to);
    }
    ctx.engine.key_made(to_db, to);
    ctx.engine.changed(to_db, to, Classes::GENERIC, "copy_to");
    ctx.client.out.int(1);
    Ok(())
}

/// A value of its own with the same content: by way of the form in which values travel, which every
/// type and encoding has.
fn duplicate(value: ValueRef<'_>, limits: &Limits) -> Value {
    match value {
        ValueRef::Int(n) => Value::Str(Str::Int(n)),
        ValueRef::Str(bytes) => Value::Str(Str::Owned(bytes.to_vec())),
        ValueRef::SharedStr(bytes) => Value::Str(Str::shared(bytes.clone())),
        ValueRef::Stream(stream) => Value::Stream(Box::new(stream.clone())),
        collection => {
            let payload = rdb::dump_value(collection, rdb::Version::V12);
            let limits = limits_that_keep(collection.encoding(), limits);
            rdb::restore_value(&payload, &limits).expect("what was dumped here is valid")
        }
    }
}

/// A copy has its original's encoding, whatever has become of the limits since that was chosen.
fn limits_that_keep(encoding: Encoding, limits: &Limits) -> Limits {
    let is_small = matches!(encoding, Encoding::Listpack | Encoding::Intset);
    let most = if is_small { u32::MAX as usize } else { 0 };
    Limits {
        hash_max_listpack_entries: most,
        hash_max_listpack_value: most,
        set_max_intset_entries: most,
        set_max_listpack_entries: most,
        set_max_listpack_value: most,
        zset_max_listpack_entries: most,
        zset_max_listpack_value: most,
        ..limits.clone()
    }
}

fn dump(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    match ctx.engine.read(ctx.view, args.at(1)) {
        Some(entry) => {
            let payload = rdb::dump_value(entry.value(), rdb::Version::V10);
            ctx.client.out.bulk(&payload);
        }
        None => ctx.client.out.null(),
    }
    Ok(())
}

#[derive(Default)]
struct RestoreOptions {
    replace: bool,
    absolute: bool,
    idle_s: Option<i64>,
    freq: Option<i64>,
}

fn restore_options(args: Args<'_>) -> Result<RestoreOptions, CommandError> {
    let mut options = RestoreOptions::default();
    let mut at = 4;
    while at < args.len() {
        let more = at + 1 < args.len();
        let option = args.at(at);
        if is(option, "replace") {
            options.replace = true;
        } else if is(option, "absttl") {
            options.absolute = true;
        } else if is(option, "idletime") && more && options.freq.is_none() {
            at += 1;
            let idle_s = parse_i64(args.at(at)).ok_or(CommandError::NotAnInteger)?;
            if idle_s < 0 {
                return Err(CommandError::err("Invalid IDLETIME value, must be >= 0"));
            }
            options.idle_s = Some(idle_s);
        } else if is(option, "freq") && more && options.idle_s.is_none() {
            at += 1;
            let freq = parse_i64(args.at(at)).ok_or(CommandError::NotAnInteger)?;
            if !(0..=255).contains(&freq) {
                return Err(CommandError::err("Invalid FREQ value, must be >= 0 and <= 255"));
            }
            options.freq = Some(freq);
        } else {
            return Err(CommandError::Syntax);
        }
        at += 1;
    }
    Ok(options)
}

fn restore(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let (db, key) = (ctx.view, args.at(1));
    let options = restore_options(args)?;
    if !options.replace && ctx.engine.peek(db, key).is_some() {
        return Err(CommandError::BusyKey);
    }
    let ttl = parse_i64(args.at(2)).ok_or(CommandError::NotAnInteger)?;
    if ttl < 0 {
        return Err(CommandError::err("Invalid TTL value, must be >= 0"));
    }
    let unchecked;
    let mut payload = args.at(3);
    if ctx.engine.skip_checksum_validation {
        unchecked = rdb::with_own_checksum(payload);
        payload = &unchecked;
    }
    rdb::check_footer(payload).map_err(|_| CommandError::BadDumpPayload)?;
    ctx.engine.stats.dump_payload_sanitizations += 1;
    let value = match rdb::restore_value(payload, &ctx.engine.settings.limits) {
        Ok(value) => value,
        Err(error) => {
            let message = format!("A payload of RESTORE: integrity check failed: {error}");
            // It is said in the log only: the client learns less.
            let _ = ctx.perform(Action::Log { message: &message });
            return Err(CommandError::BadDataFormat);
        }
    };
    let now_ms = ctx.engine.now.unix_ms();
    let is_absolute = options.absolute;
    let expire_ms = match ttl {
        0 => None,
        _ if is_absolute => Some(ttl),
        _ => Some(ttl.saturating_add(now_ms)),
    };
    let replaced = ctx.engine.delete_silently(db, key);
    // What has expired already is not put there; a replica or a file says so in its own time.
    if expire_ms.is_some_and(|at_ms| at_ms <= now_ms) && !ctx.call.is_applied() {
        if replaced {
            ctx.engine.changed(db, key, Classes::GENERIC, "del");
            let lazy = ctx.engine.settings.lazyfree_lazy_server_del;
            ctx.propagate(&[if lazy { b"UNLINK" } else { b"DEL" }, key]);
        }
        ctx.client.out.ok();
        return Ok(());
    }
    ctx.engine.put(db, key, value, expire_ms);
    // Each counts only where the policy keeps what it says.
    let now = ctx.engine.now;
    let clock = match (ctx.engine.settings.maxmemory_policy.is_lfu(), options) {
        (true, RestoreOptions { freq: Some(freq), .. }) => {
            Some(lfu::pack(access::minutes(now), freq as u8))
        }
        (false, RestoreOptions { idle_s: Some(idle_s), .. }) => {
            Some(access::seconds(now).wrapping_sub(idle_s as u32))
        }
        _ => None,
    };
    if let (Some(clock), Some(entry)) = (clock, ctx.engine.keyspace.db(db.index()).get(key)) {
        entry.touch(clock);
    }
    ctx.engine.key_made(db, key);
    ctx.engine.changed(db, key, Classes::GENERIC, "restore");
    if !rdb::is_read_everywhere(args.at(3)) {
        propagate_restored(ctx, args, expire_ms);
    } else if let Some(at_ms) = expire_ms
        && !is_absolute
    {
        let at = at_ms.to_string();
        let mut words: Vec<&[u8]> = args.iter().collect();
        words[2] = at.as_bytes();
        words.push(b"ABSTTL");
        ctx.propagate(&words);
    }
    ctx.client.out.ok();
    Ok(())
}

/// A payload that Redis 7.0 would refuse travels as one of its own time, or as the commands that make the value.
fn propagate_restored(ctx: &mut Ctx<'_>, args: Args<'_>, expire_ms: Option<i64>) {
    let key = args.at(1);
    let Some(entry) = ctx.db().get(key).filter(|_| ctx.engine.propagation.is_on()) else { return };
    let payload = rdb::dump_value(entry.value(), rdb::Version::V10);
    if !rdb::is_read_everywhere(&payload) {
        ctx.propagate_value(key);
        return;
    }
    let at = expire_ms.unwrap_or(0).to_string();
    let mut words: Vec<&[u8]> = args.iter().collect();
    (words[2], words[3]) = (at.as_bytes(), &payload);
    words.push(b"ABSTTL");
    ctx.propagate(&words);
}

/// The key that OBJECT speaks of, unseen by its access clock.
fn object_of<'e>(ctx: &'e mut Ctx<'_>, args: Args<'_>) -> Option<&'e Entry> {
    let db = ctx.view;
    let entry = ctx.engine.ask(db, args.at(2));
    if entry.is_none() {
        ctx.client.out.null();
    }
    entry
}

fn object_encoding(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let Some(name) = object_of(ctx, args).map(|entry| entry.encoding().name()) else {
        return Ok(());
    };
    ctx.client.out.bulk(name.as_bytes());
    Ok(())
}

fn object_refcount(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    // Nothing is shared here, but Redis shares small integers and answers this for them; an
    // eviction policy needs an access clock for each key, which ends the sharing there.
    let settings = &ctx.engine.settings;
    let policy = settings.maxmemory_policy;
    let shares = settings.maxmemory_bytes == 0 || !(policy.is_lru() || policy.is_lfu());
    let Some(value) = object_of(ctx, args).map(|entry| entry.value()) else { return Ok(()) };
    let count = match value {
        ValueRef::Int(0..10_000) if shares => i64::from(i32::MAX),
        _ => 1,
    };
    ctx.client.out.int(count);
    Ok(())
}

fn object_idletime(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let Some(clock) = object_of(ctx, args).map(Entry::clock) else { return Ok(()) };
    if ctx.engine.settings.maxmemory_policy.is_lfu() {
        return Err(CommandError::err(
            "An LFU maxmemory policy is selected, idle time not tracked. Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust.",
        ));
    }
    ctx.client.out.int(ctx.engine.idle_s(clock).into());
    Ok(())
}

fn object_freq(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let Some(clock) = object_of(ctx, args).map(Entry::clock) else { return Ok(()) };
    if !ctx.engine.settings.maxmemory_policy.is_lfu() {
        return Err(CommandError::err(
            "An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust.",
        ));
    }
    ctx.client.out.int(ctx.engine.frequency(clock).into());
    Ok(())
}
