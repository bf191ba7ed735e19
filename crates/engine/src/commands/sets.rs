//! Set commands.

use protocol::{Args, parse_i64};
use store::set::Set;
use store::value::{Item, ItemBuf, Value};

use super::args::{is, positive, random_count, repeat};
use super::scans::{Scan, scan_collection};
use crate::Engine;
use crate::command::key_spec::{Access, KeySpec, Keys};
use crate::command::{Acl, CommandSpec, Flags, Handler, row};
use crate::data::typed::reply_item;
use crate::data::view::View;
use crate::door::ctx::Ctx;
use crate::error::CommandError;
use crate::events::notify::Classes;

const READ: Flags = Flags::READONLY;
const FAST_READ: Flags = Flags::READONLY.or(Flags::FAST);
const GROW: Flags = Flags::WRITE.or(Flags::DENYOOM);
const FAST_WRITE: Flags = Flags::WRITE.or(Flags::FAST);

pub(crate) static ROWS: &[CommandSpec] = &[
    set(
        "sadd",
        sadd,
        -3,
        GROW.or(Flags::FAST),
        &[KeySpec::at(1, Access::ADDS)],
        "1.0.0",
        "Adds one or more members to a set. Creates the key if it doesn't exist.",
    ),
    set(
        "srem",
        srem,
        -3,
        FAST_WRITE,
        &[KeySpec::at(1, Access::TAKES_FROM)],
        "1.0.0",
        "Removes one or more members from a set. Deletes the set if the last member was removed.",
    ),
    set(
        "sismember",
        sismember,
        3,
        FAST_READ,
        &[KeySpec::at(1, Access::RO)],
        "1.0.0",
        "Determines whether a member belongs to a set.",
    ),
    set(
        "smismember",
        smismember,
        -3,
        FAST_READ,
        &[KeySpec::at(1, Access::READS)],
        "6.2.0",
        "Determines whether multiple members belong to a set.",
    ),
    set(
        "scard",
        scard,
        2,
        FAST_READ,
        &[KeySpec::at(1, Access::RO)],
        "1.0.0",
        "Returns the number of members in a set.",
    ),
    set("smembers", smembers, 2, READ, &[KeySpec::at(1, Access::READS)], "1.0.0", "Returns all members of a set.").tips(&["nondeterministic_output_order"]),
    set(
        "smove",
        smove,
        4,
        FAST_WRITE,
        &[KeySpec::at(1, Access::POPS), KeySpec::at(2, Access::ADDS)],
        "1.0.0",
        "Moves a member from one set to another.",
    ),
    set(
        "spop",
        spop,
        -2,
        FAST_WRITE,
        &[KeySpec::at(1, Access::POPS)],
        "1.0.0",
        "Returns one or more random members from a set after removing them. Deletes the set if the last member was popped.",
    ).tips(&["nondeterministic_output"]),
    set(
        "srandmember",
        srandmember,
        -2,
        READ,
        &[KeySpec::at(1, Access::READS)],
        "1.0.0",
        "Get one or multiple random members from a set",
    ).tips(&["nondeterministic_output"]),
    set("sinter", sinter, -2, READ, &[KeySpec::range(1, -1, 1, Access::READS)], "1.0.0", "Returns the intersect of multiple sets.").tips(&["nondeterministic_output_order"]),
    set(
        "sinterstore",
        sinterstore,
        -3,
        GROW,
        &[KeySpec::at(1, Access::UPDATES), KeySpec::range(2, -1, 1, Access::READS)],
        "1.0.0",
        "Stores the intersect of multiple sets in a key.",
    ),
    set(
        "sintercard",
        sintercard,
        -3,
        READ,
        &[KeySpec::counted(1, Access::READS)],
        "7.0.0",
        "Returns the number of members of the intersect of multiple sets.",
    ),
    set("sunion", sunion, -2, READ, &[KeySpec::range(1, -1, 1, Access::READS)], "1.0.0", "Returns the union of multiple sets.").tips(&["nondeterministic_output_order"]),
    set(
        "sunionstore",
        sunionstore,
        -3,
        GROW,
        &[KeySpec::at(1, Access::OVERWRITES), KeySpec::range(2, -1, 1, Access::READS)],
        "1.0.0",
        "Stores the union of multiple sets in a key.",
    ),
    set("sdiff", sdiff, -2, READ, &[KeySpec::range(1, -1, 1, Access::READS)], "1.0.0", "Returns the difference of multiple sets.").tips(&["nondeterministic_output_order"]),
    set(
        "sdiffstore",
        sdiffstore,
        -3,
        GROW,
        &[KeySpec::at(1, Access::OVERWRITES), KeySpec::range(2, -1, 1, Access::READS)],
        "1.0.0",
        "Stores the difference of multiple sets in a key.",
    ),
    set("sscan", sscan, -3, READ, &[KeySpec::at(1, Access::READS)], "2.8.0", "Iterates over members of a set.").tips(&["nondeterministic_output"]),
];

const fn set(
    name: &'static str,
    handler: Handler,
    arity: i16,
    flags: Flags,
    keys: Keys,
    since: &'static str,
    summary: &'static str,
) -> CommandSpec {
    row(name, handler, arity, flags, keys, Acl::SET, since, summary)
}

fn sadd(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let (db, key) = (ctx.view, args.at(1));
    let members = args.len() - 2;
    let (set, limits) =
        ctx.engine.create_set(db, key, |limits| Set::for_members(args.at(2), members, limits))?;
    set.expect(members, limits);
    let added = args.iter().skip(2).filter(|member| set.add(member, limits)).count();
    if added > 0 {
        ctx.engine.changed(db, key, Classes::SET, "sadd");
        ctx.engine.dirty += added as u64 - 1;
    }
    ctx.client.out.int(added as i64);
    Ok(())
}

fn srem(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let (db, key) = (ctx.view, args.at(1));
    let Some((set, _)) = ctx.engine.write_set(db, key)? else {
        ctx.client.out.int(0);
        return Ok(());
    };
    let removed = args.iter().skip(2).filter(|member| set.remove(member)).count();
    let empty = set.is_empty();
    ctx.removed_elements(key, removed, empty, Classes::SET, "srem");
    ctx.client.out.int(removed as i64);
    Ok(())
}

fn sismember(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let set = ctx.engine.read_set(ctx.view, args.at(1))?;
    let is_member = set.is_some_and(|set| set.contains(args.at(2)));
    ctx.client.out.int(is_member.into());
    Ok(())
}

fn smismember(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let set = ctx.engine.read_set(ctx.view, args.at(1))?;
    ctx.client.out.array(args.len() - 2);
    for member in args.iter().skip(2) {
        ctx.client.out.int(set.is_some_and(|set| set.contains(member)).into());
    }
    Ok(())
}

fn scard(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let len = ctx.engine.read_set(ctx.view, args.at(1))?.map_or(0, Set::len);
    ctx.client.out.int(len as i64);
    Ok(())
}

fn smembers(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let set = ctx.engine.read_set(ctx.view, args.at(1))?;
    let out = &mut ctx.client.out;
    out.set(set.map_or(0, Set::len));
    set.into_iter().flat_map(Set::iter).for_each(|member| reply_item(out, member));
    Ok(())
}

fn smove(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let (db, from, to, member) = (ctx.view, args.at(1), args.at(2), args.at(3));
    let Some(there) = ctx.engine.peek_set(db, from)?.map(|set| set.contains(member)) else {
        ctx.client.out.int(0);
        return Ok(());
    };
    ctx.engine.peek_set(db, to)?;
    if !there || from == to {
        ctx.client.out.int(there.into());
        return Ok(());
    }
    if let Some((set, _)) = ctx.engine.write_set(db, from)? {
        set.remove(member);
        let empty = set.is_empty();
        ctx.removed_elements(from, 1, empty, Classes::SET, "srem");
    }
    let (set, limits) =
        ctx.engine.create_set(db, to, |limits| Set::for_members(member, 1, limits))?;
    if set.add(member, limits) {
        ctx.engine.changed(db, to, Classes::SET, "sadd");
    }
    ctx.client.out.int(1);
    Ok(())
}

fn spop(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    if args.len() > 3 {
        return Err(CommandError::Syntax);
    }
    let (db, key) = (ctx.view, args.at(1));
    let count = args.get(2).map(positive).transpose()?;
    let mut rng = ctx.engine.rng.fork();
    let Some((set, _)) = ctx.engine.write_set(db, key)? else {
        match count {
            Some(_) => ctx.client.out.set(0),
            None => ctx.client.out.null(),
        }
        return Ok(());
    };
    let n = count.unwrap_or(1).min(set.len());
    if n == 0 {
        ctx.client.out.set(0);
        return Ok(());
    }
    let whole = n == set.len();
    // What travels for a member that was not counted names it, even if it was the last.
    let travels_as_deletion = whole && count.is_some();
    let mut popped = Vec::with_capacity(if travels_as_deletion { 0 } else { n.min(1 << 16) });
    let out = &mut ctx.client.out;
    if count.is_some() {
        out.set(n);
    }
    for _ in 0..n {
        set.pop_random(&mut rng, |member| {
            reply_item(out, member);
            if !travels_as_deletion {
                popped.push(member.to_vec());
            }
        });
    }
    ctx.removed_elements(key, n, whole, Classes::SET, "spop");
    // The choice is made: what travels is what was taken.
    if travels_as_deletion {
        let lazy = ctx.engine.settings.lazyfree_lazy_server_del;
        ctx.propagate(&[if lazy { b"UNLINK" } else { b"DEL" }, key]);
    } else {
        for members in popped.chunks(1024) {
            let mut words: Vec<&[u8]> = vec![b"SREM", key];
            words.extend(members.iter().map(|member| &**member));
            ctx.propagate(&words);
        }
    }
    Ok(())
}

fn srandmember(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let mut rng = ctx.engine.rng.fork();
    let count = match args.len() {
        2 => None,
        3 => Some(random_count(args.at(2))?),
        _ => return Err(CommandError::Syntax),
    };
    let set = ctx.engine.read_set(ctx.view, args.at(1))?;
    let out = &mut ctx.client.out;
    match (set, count) {
        (None, None) => out.null(),
        (None, Some(_)) => out.array(0),
        (Some(set), None) => match set.random(&mut rng) {
            Some(member) => reply_item(out, member),
            None => out.null(),
        },
        (Some(set), Some(count)) if count >= 0 => {
            let n = set.len().min(count as usize);
            out.array(n);
            set.sample(n, &mut rng, |member| reply_item(out, member));
        }
        (Some(set), Some(count)) => {
            let n = count.unsigned_abs() as usize;
            out.array(n);
            repeat(n, out, |out| {
                if let Some(member) = set.random(&mut rng) {
                    reply_item(out, member);
                }
            });
        }
    }
    Ok(())
}

/// What is made of several sets.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Operation {
    Intersection,
    Union,
    Difference,
}

impl Operation {
    fn event(self) -> &'static str {
        match self {
            Operation::Intersection => "sinterstore",
            Operation::Union => "sunionstore",
            Operation::Difference => "sdiffstore",
        }
    }
}

impl Engine {
    /// Checks that all keys are sets or absent, and lets their time run out, before any is used.
    fn check_sets(&mut self, db: View, keys: Args<'_>) -> Result<(), CommandError> {
        keys.iter().try_for_each(|key| self.read_set(db, key).map(|_| ()))
    }

    /// The set of a key that [`Self::check_sets`] has seen.
    fn set_at(&self, db: View, key: &[u8]) -> Option<&Set> {
        let entry = self.keyspace.db(db.index()).get(key)?;
        // A replica keeps expired keys until its master deletes them; nobody sees them.
        if entry.is_expired(self.now.unix_ms()) && !db.sees_expired {
            return None;
        }
        match entry.value() {
            store::ValueRef::Set(set) => Some(set),
            _ => None,
        }
    }

    /// Calls `f` with each member of the result, at most once each, until it says that it is enough.
    fn combine(
        &self,
        db: View,
        keys: Args<'_>,
        operation: Operation,
        mut f: impl FnMut(Item<'_>) -> bool,
    ) {
        let sets: Vec<Option<&Set>> = keys.iter().map(|key| self.set_at(db, key)).collect();
        match operation {
            Operation::Intersection => {
                let Some(mut sets) = sets.into_iter().collect::<Option<Vec<&Set>>>() else {
                    return;
                };
                // Walking the smallest asks the fewest questions of the others.
                sets.sort_by_key(|set| set.len());
                let (smallest, others) = (sets[0], &sets[1..]);
                for member in smallest.iter() {
                    if others.iter().all(|set| set.contains_item(member)) && !f(member) {
                        return;
                    }
                }
            }
            Operation::Difference => {
                let Some(first) = sets[0] else { return };
                for member in first.iter() {
                    let elsewhere = sets[1..].iter().flatten().any(|set| set.contains_item(member));
                    if !elsewhere && !f(member) {
                        return;
                    }
                }
            }
            Operation::Union => {
                for (at, set) in sets.iter().enumerate() {
                    for member in set.iter().flat_map(|set| set.iter()) {
                        let before = sets[..at].iter().flatten();
                        if !before.into_iter().any(|set| set.contains_item(member)) && !f(member) {
                            return;
                        }
                    }
                }
            }
        }
    }

    /// Whether taking the members of the others out of the first set looks at fewer members than asking all of
    /// them for each of the first. Counted as Redis does: what a stored result is encoded as follows from it.
    fn is_less_to_subtract(&self, db: View, keys: Args<'_>) -> bool {
        let sets = || keys.iter().filter_map(|key| self.set_at(db, key));
        let Some(first) = self.set_at(db, keys.at(0)) else { return false };
        let asked = first.len().saturating_mul(sets().count()) / 2;
        asked > sets().map(Set::len).sum()
    }

    /// Makes `result`, which is empty, the first set without the members of the others.
    fn subtract(&self, db: View, keys: Args<'_>, result: &mut Set) {
        let mut buf = ItemBuf::new();
        let mut sets = keys.iter().map(|key| self.set_at(db, key));
        for member in sets.next().flatten().into_iter().flat_map(Set::iter) {
            result.add_item(member, &self.settings.limits);
        }
        for member in sets.flatten().flat_map(Set::iter) {
            result.remove(member.as_bytes(&mut buf));
        }
    }
}

fn sinter(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    reply_combined(ctx, args, Operation::Intersection)
}

fn sunion(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    reply_combined(ctx, args, Operation::Union)
}

fn sdiff(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    reply_combined(ctx, args, Operation::Difference)
}

fn reply_combined(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    operation: Operation,
) -> Result<(), CommandError> {
    let (db, keys) = (ctx.view, args.slice(1..args.len()));
    ctx.engine.check_sets(db, keys)?;
    let out = &mut ctx.client.out;
    let mark = out.defer_array();
    let mut members = 0;
    ctx.engine.combine(db, keys, operation, |member| {
        reply_item(out, member);
        members += 1;
        true
    });
    out.finish_set(mark, members);
    Ok(())
}

fn sinterstore(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    store_combined(ctx, args, Operation::Intersection)
}

fn sunionstore(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    store_combined(ctx, args, Operation::Union)
}

fn sdiffstore(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    store_combined(ctx, args, Operation::Difference)
}

fn store_combined(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    operation: Operation,
) -> Result<(), CommandError> {
    let (db, dest, keys) = (ctx.view, args.at(1), args.slice(2..args.len()));
    ctx.engine.check_sets(db, keys)?;
    let limits = &ctx.engine.settings.limits;
    let mut result = Set::new();
    if operation == Operation::Difference && ctx.engine.is_less_to_subtract(db, keys) {
        ctx.engine.subtract(db, keys, &mut result);
    } else {
        ctx.engine.combine(db, keys, operation, |member| {
            result.add_item(member, limits);
            true
        });
    }
    if operation == Operation::Intersection {
        result.pack_ints(limits);
    }
    let len = result.len();
    let value = (len > 0).then_some(Value::Set(result));
    ctx.replace_with_result(dest, value, Classes::SET, operation.event());
    ctx.client.out.int(len as i64);
    Ok(())
}

/// The LIMIT of SINTERCARD and ZINTERCARD; 0 for none. The last one counts.
pub(crate) fn intersection_limit(rest: Args<'_>) -> Result<usize, CommandError> {
    let (mut limit, mut at) = (0, 0);
    while at < rest.len() {
        if !is(rest.at(at), "limit") || at + 1 == rest.len() {
            return Err(CommandError::Syntax);
        }
        limit = parse_i64(rest.at(at + 1))
            .and_then(|n| usize::try_from(n).ok())
            .ok_or_else(|| CommandError::err("LIMIT can't be negative"))?;
        at += 2;
    }
    Ok(limit)
}

fn sintercard(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let count = parse_i64(args.at(1)).filter(|n| *n > 0);
    let count = count.ok_or_else(|| CommandError::err("numkeys should be greater than 0"))?;
    if count as u64 > (args.len() - 2) as u64 {
        return Err(CommandError::err("Number of keys can't be greater than number of args"));
    }
    let last = 2 + count as usize;
    let (keys, rest) = (args.slice(2..last), args.slice(last..args.len()));
    let limit = intersection_limit(rest)?;
    let db = ctx.view;
    ctx.engine.check_sets(db, keys)?;
    let mut members = 0;
    ctx.engine.combine(db, keys, Operation::Intersection, |_| {
        members += 1;
        members != limit
    });
    ctx.client.out.int(members as i64);
    Ok(())
}

fn sscan(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    scan_collection(ctx, args, Scan::Members, Engine::read_set, |set, cursor, found| {
        set.scan(cursor, |member| found.meet(member, || [member.to_vec()]))
    })
}
