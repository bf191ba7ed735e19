//! XDEL, and its kin that mind what groups have pending: XDELEX and XACKDEL. Owns that those, which only
//! Redis 8.2 knows, travel as XDEL and XACK of what went.

use protocol::Args;
use smallvec::SmallVec;
use store::stream::{Deletion, References, Released, StreamId};

use super::ids;
use super::trim::references_of;
use crate::commands::args::is;
use crate::door::ctx::Ctx;
use crate::error::CommandError;
use crate::events::notify::Classes;

/// Ids that a command names.
type Ids = SmallVec<[StreamId; 8]>;

/// Ids that one command names at most that was not a client's: older replicas have a bound.
const IDS_PER_COMMAND: usize = 1024;

/// All are read before anything is done.
pub(super) fn id_list(args: Args<'_>) -> Result<Ids, CommandError> {
    args.iter().map(ids::id).collect()
}

pub(super) fn xdel(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let (db, key) = (ctx.view, args.at(1));
    let Some((stream, _)) = ctx.engine.write_stream(db, key)? else {
        ctx.client.out.int(0);
        return Ok(());
    };
    let ids = id_list(args.slice(2..args.len()))?;
    let deleted = ids.iter().filter(|id| stream.delete(**id)).count();
    signal(ctx, key, deleted, deleted);
    ctx.client.out.int(deleted as i64);
    Ok(())
}

/// Entries were deleted, or references to them, which no reader of the stream sees.
fn signal(ctx: &mut Ctx<'_>, key: &[u8], deleted: usize, changes: usize) {
    if deleted > 0 {
        ctx.engine.touched(ctx.view, key, Classes::STREAM, "xdel");
    }
    ctx.engine.dirty += changes as u64;
}

/// `[KEEPREF | DELREF | ACKED] IDS numids id [id ...]`, in any order.
fn options(args: Args<'_>) -> Result<(References, Args<'_>), CommandError> {
    let (mut references, mut ids) = (None, None);
    let mut at = 0;
    while at < args.len() {
        let option = args.at(at);
        if references.is_none() && references_of(option).is_some() {
            references = references_of(option);
            at += 1;
        } else if is(option, "ids") && at + 1 < args.len() {
            let count = protocol::parse_i64(args.at(at + 1)).filter(|count| *count > 0);
            let count = count
                .ok_or_else(|| CommandError::err("Number of IDs must be a positive integer"))?;
            let from = at + 2;
            if count > (args.len() - from) as i64 {
                return Err(CommandError::err(
                    "The `numids` parameter must match the number of arguments",
                ));
            }
            at = from + count as usize;
            ids = Some(args.slice(from..at));
        } else {
            return Err(CommandError::Syntax);
        }
    }
    Ok((references.unwrap_or_default(), ids.ok_or(CommandError::Syntax)?))
}

fn code(deletion: Deletion) -> i64 {
    match deletion {
        Deletion::NotThere => -1,
        Deletion::Deleted => 1,
        Deletion::Referenced => 2,
    }
}

pub(super) fn xdelex(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let key = args.at(1);
    let (references, wanted) = options(args.slice(2..args.len()))?;
    let Some((stream, _)) = ctx.engine.write_stream(ctx.view, key)? else {
        reply(ctx, wanted.len(), |_| Deletion::NotThere);
        return Ok(());
    };
    let ids = id_list(wanted)?;
    let (mut deleted, mut released) = (Vec::new(), Released::new());
    let mut deletions: SmallVec<[Deletion; 8]> = SmallVec::new();
    for id in ids {
        let deletion = stream.delete_minding(id, references, &mut released);
        deletions.push(deletion);
        deleted.extend((deletion == Deletion::Deleted).then_some(id));
    }
    let changes = deleted.len().max(released.values().map(Vec::len).sum());
    signal(ctx, key, deleted.len(), changes);
    propagate_deletions(ctx, key, &deleted, &released);
    reply(ctx, deletions.len(), |at| deletions[at]);
    Ok(())
}

pub(super) fn xackdel(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let (key, group) = (args.at(1), args.at(2));
    let (references, wanted) = options(args.slice(3..args.len()))?;
    let found = ctx.engine.write_stream(ctx.view, key)?.map(|(stream, _)| stream);
    let Some(stream) = found.filter(|stream| stream.groups.contains_key(group)) else {
        reply(ctx, wanted.len(), |_| Deletion::NotThere);
        return Ok(());
    };
    let ids = id_list(wanted)?;
    let (mut deleted, mut acknowledged, mut released) = (Vec::new(), Vec::new(), Released::new());
    let mut deletions: SmallVec<[Deletion; 8]> = SmallVec::new();
    for id in ids {
        let was_pending = stream.groups.get_mut(group).and_then(|group| group.release(id));
        if was_pending.is_none() {
            deletions.push(Deletion::NotThere);
            continue;
        }
        acknowledged.push(id);
        deletions.push(match stream.delete_minding(id, references, &mut released) {
            Deletion::Deleted => {
                deleted.push(id);
                Deletion::Deleted
            }
            // Acknowledged it is, and not there as well.
            Deletion::NotThere => Deletion::Deleted,
            Deletion::Referenced => Deletion::Referenced,
        });
    }
    signal(ctx, key, deleted.len(), acknowledged.len());
    propagate_ids(ctx, &[b"XACK", key, group], &acknowledged);
    propagate_deletions(ctx, key, &deleted, &released);
    reply(ctx, deletions.len(), |at| deletions[at]);
    Ok(())
}

/// Says that entries were deleted, and that groups have entries pending no more.
pub(super) fn propagate_deletions(
    ctx: &mut Ctx<'_>,
    key: &[u8],
    deleted: &[StreamId],
    released: &Released,
) {
    propagate_ids(ctx, &[b"XDEL", key], deleted);
    for (group, ids) in released {
        propagate_ids(ctx, &[b"XACK", key, group], ids);
    }
}

fn propagate_ids(ctx: &mut Ctx<'_>, words: &[&[u8]], ids: &[StreamId]) {
    if !ctx.engine.propagation.is_on() {
        return;
    }
    for ids in ids.chunks(IDS_PER_COMMAND) {
        let texts: Vec<_> = ids.iter().map(|id| id.text()).collect();
        let mut words = words.to_vec();
        words.extend(texts.iter().map(|text| text.as_bytes()));
        ctx.propagate(&words);
    }
}

fn reply(ctx: &mut Ctx<'_>, count: usize, deletion: impl Fn(usize) -> Deletion) {
    ctx.client.out.array(count);
    (0..count).for_each(|at| ctx.client.out.int(code(deletion(at))));
}
