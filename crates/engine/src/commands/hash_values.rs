//! Values of hash fields along with their expiries: HGETEX, HSETEX and HGETDEL. Behaviour and texts are those
//! of Redis 8.2. What a change of expiries comes to is `hash_fields`' to say.

use protocol::Args;
use store::SetExpire;

use super::args::{int, is};
use super::hash_fields::{
    Clock, MUST_BE_POSITIVE, check_type, deletes_at_once, expire_or_delete, field_names,
    fields_deleted, fields_expire, fields_expired, fields_persist, propagate_fields,
};
use super::hashes::{hash, hash_for_fields, reply_field};
use crate::command::key_spec::{Access, KeySpec};
use crate::command::{CommandSpec, Flags};
use crate::door::ctx::Ctx;
use crate::error::{CommandError, shown};
use crate::events::notify::Classes;

const WRITE: Flags = Flags::WRITE.or(Flags::FAST);
const ADD: Flags = WRITE.or(Flags::DENYOOM);

pub(crate) static ROWS: &[CommandSpec] = &[
    hash(
        "hgetex",
        hgetex,
        -5,
        WRITE,
        "8.0.0",
        "Get the value of one or more fields of a given hash key, and optionally set their expiration.",
    )
    .keys(&[KeySpec::at(1, Access::READS_UPDATES)
        .noted("RW and UPDATE because it changes the TTL")]),
    hash(
        "hsetex",
        hsetex,
        -6,
        ADD,
        "8.0.0",
        "Set the value of one or more fields of a given hash key, and optionally set their expiration.",
    ),
    hash(
        "hgetdel",
        hgetdel,
        -5,
        WRITE,
        "8.0.0",
        "Returns the value of a field and deletes it from the hash.",
    )
    .keys(&[KeySpec::at(1, Access::POPS)]),
];

fn hgetex(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    check_type(ctx, args)?;
    let key = args.at(1);
    let clock = Clock::of(args.at(2));
    let persists = is(args.at(2), "persist");
    let at_ms = clock.map(|clock| clock.moment_ms(ctx, args.at(3))).transpose()?;
    let at = 2 + if clock.is_some() { 2 } else { usize::from(persists) };
    if at + 2 > args.len() {
        return Err(CommandError::arity("hgetex"));
    }
    let fields = field_names(args, at, MUST_BE_POSITIVE)?;
    let deletes = at_ms.is_some_and(|at_ms| deletes_at_once(ctx, at_ms));
    let (hash, horizon_ms, out) = hash_for_fields(ctx, args, at + 2)?;
    out.array(fields.clone().count());
    if at_ms.is_none() && !persists {
        fields.for_each(|name| {
            reply_field(out, hash.and_then(|hash| hash.live(name, horizon_ms)));
        });
        return Ok(());
    }
    let out = &mut ctx.client.out;
    let Some((mut hash, _)) = ctx.engine.write_hash(ctx.view, key)? else {
        fields.for_each(|_| out.null());
        return Ok(());
    };
    let mut done = Vec::new();
    for name in fields {
        reply_field(out, hash.live(name, horizon_ms));
        match (hash.find(name).filter(|field| !field.is_due(horizon_ms)), at_ms) {
            (Some(_), Some(at_ms)) => {
                expire_or_delete(&mut hash, name, at_ms, deletes);
                done.push(name);
            }
            (Some(field), None) if field.expire_ms.is_some() => {
                hash.set_expire_ms(name, None);
                done.push(name);
            }
            _ => {}
        }
    }
    let empty = hash.is_empty();
    drop(hash);
    match at_ms {
        Some(_) if deletes => fields_expired(ctx, key, &done, empty),
        Some(at_ms) => fields_expire(ctx, key, &done, at_ms),
        None => fields_persist(ctx, key, &done),
    }
    Ok(())
}

fn hgetdel(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    check_type(ctx, args)?;
    let key = args.at(1);
    let fields = field_names(args, 2, MUST_BE_POSITIVE)?;
    let horizon_ms = ctx.engine.field_horizon_ms(ctx.view);
    ctx.engine.expire_fields(ctx.view, key, fields.clone());
    let out = &mut ctx.client.out;
    out.array(fields.clone().count());
    let Some((mut hash, _)) = ctx.engine.write_hash(ctx.view, key)? else {
        fields.for_each(|_| out.null());
        return Ok(());
    };
    let mut deleted = Vec::new();
    for name in fields {
        let value = hash.live(name, horizon_ms);
        let is_there = value.is_some();
        reply_field(out, value);
        if is_there && hash.remove(name) {
            deleted.push(name);
        }
    }
    let empty = hash.is_empty();
    drop(hash);
    fields_deleted(ctx, key, &deleted, empty);
    Ok(())
}

/// What stands before the fields of HSETEX.
#[derive(Default)]
struct SetOptions {
    /// The fields must all be there, or none of them.
    must_exist: Option<bool>,
    keeps_ttl: bool,
    expire_at_ms: Option<i64>,
    first_field: usize,
}

impl SetOptions {
    fn parse(ctx: &Ctx<'_>, args: Args<'_>) -> Result<SetOptions, CommandError> {
        let mut options = SetOptions::default();
        let mut at = 2;
        while let Some(word) = args.get(at) {
            if is(word, "fields") {
                options.first_field = at + 2;
                return options.check_count(args, at + 1);
            }
            if is(word, "fnx") || is(word, "fxx") {
                if options.must_exist.replace(is(word, "fxx")).is_some() {
                    return Err(CommandError::err(
                        "Only one of FXX or FNX arguments can be specified",
                    ));
                }
                at += 1;
                continue;
            }
            let clock = Clock::of(word);
            if clock.is_none() && !is(word, "keepttl") {
                return Err(CommandError::err(format_args!("unknown argument: {}", shown(word))));
            }
            if options.keeps_ttl || options.expire_at_ms.is_some() {
                return Err(CommandError::err(
                    "Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified",
                ));
            }
            if let Some(clock) = clock {
                let arg = args.get(at + 1).ok_or_else(|| CommandError::arity("hsetex"))?;
                options.expire_at_ms = Some(clock.moment_ms(ctx, arg)?);
                at += 1;
            } else {
                options.keeps_ttl = true;
            }
            at += 1;
        }
        Err(CommandError::arity("hsetex"))
    }

    fn check_count(self, args: Args<'_>, at: usize) -> Result<SetOptions, CommandError> {
        let count = args.get(at).ok_or_else(|| CommandError::arity("hsetex"))?;
        let count = int(count).ok().filter(|count| (1..=i64::from(i32::MAX)).contains(count));
        let count = count.ok_or_else(|| CommandError::err("invalid number of fields"))?;
        match 2 * count as usize == args.len() - self.first_field {
            true => Ok(self),
            false => Err(CommandError::arity("hsetex")),
        }
    }

    fn expire(&self) -> SetExpire {
        match self.expire_at_ms {
            Some(at_ms) => SetExpire::At(at_ms),
            None if self.keeps_ttl => SetExpire::Keep,
            None => SetExpire::Clear,
        }
    }
}

fn hsetex(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let (db, key) = (ctx.view, args.at(1));
    let options = SetOptions::parse(ctx, args)?;
    check_type(ctx, args)?;
    let names = args.iter().skip(options.first_field).step_by(2);
    let values = args.iter().skip(options.first_field + 1).step_by(2);
    if let Some(must_exist) = options.must_exist {
        let horizon_ms = ctx.engine.field_horizon_ms(db);
        ctx.engine.expire_fields(db, key, names.clone());
        let hash = ctx.engine.peek_hash(db, key)?;
        let exists = |name| hash.is_some_and(|hash| hash.live(name, horizon_ms).is_some());
        if names.clone().any(|name| exists(name) != must_exist) {
            ctx.client.out.int(0);
            return Ok(());
        }
    }
    let count = names.clone().count();
    let (mut hash, limits) = ctx.engine.create_hash(db, key)?;
    hash.expect(count, limits);
    for (name, value) in names.clone().zip(values) {
        hash.set_with(name, value, options.expire(), limits);
    }
    drop(hash);
    ctx.engine.changed(db, key, Classes::HASH, "hset");
    ctx.engine.dirty += count as u64 - 1;
    ctx.client.out.int(1);
    if options.expire_at_ms.is_some_and(|at_ms| deletes_at_once(ctx, at_ms)) {
        let names: Vec<&[u8]> = names.collect();
        return delete_just_set(ctx, key, &names);
    }
    if options.expire_at_ms.is_some() {
        ctx.engine.notify(db, key, Classes::HASH, "hexpire");
    }
    propagate_fields(ctx, key, args.slice(options.first_field..args.len()));
    Ok(())
}

/// The moment that the fields were set to expire at has passed: nobody but those who listen sees them.
fn delete_just_set(ctx: &mut Ctx<'_>, key: &[u8], names: &[&[u8]]) -> Result<(), CommandError> {
    let Some((mut hash, _)) = ctx.engine.write_hash(ctx.view, key)? else { return Ok(()) };
    for name in names {
        hash.remove(name);
    }
    let empty = hash.is_empty();
    drop(hash);
    fields_expired(ctx, key, names, empty);
    Ok(())
}
