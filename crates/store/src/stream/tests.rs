//! A stream beside a plain list of its entries, and a group beside a plain map of who has what.

use std::collections::BTreeMap;

use super::*;
use crate::relocate::{Mover, Shaky};

type Words = Vec<Vec<u8>>;

/// The whole of a stream, as simply as it can be kept.
#[derive(Debug, Default)]
struct Model {
    entries: BTreeMap<StreamId, Words>,
    last_id: StreamId,
    max_deleted_id: StreamId,
    entries_added: u64,
}

fn words(entry: &Entry<'_>) -> Words {
    entry.fields().flat_map(|(name, value)| [name.to_vec(), value.to_vec()]).collect()
}

fn check(stream: &Stream, model: &Model) {
    assert_eq!(stream.len(), model.entries.len() as u64);
    let first = model.entries.keys().next().copied().unwrap_or_default();
    assert_eq!(stream.first_id(), first);
    assert_eq!(stream.last_entry_id(), model.entries.keys().next_back().copied());
    let figures = (stream.last_id(), stream.max_deleted_id, stream.entries_added);
    assert_eq!(figures, (model.last_id, model.max_deleted_id, model.entries_added));
    // What it is made of is accepted from a file, which checks every invariant of the nodes.
    let mut builder = StreamBuilder::new();
    for (id, node) in stream.nodes() {
        builder.node(id, node.clone()).unwrap();
    }
    let again = builder.finish(stream.len(), stream.last_id).unwrap();
    assert_eq!(again.first_id(), stream.first_id());
}

fn check_ranges(stream: &Stream, model: &Model, start: StreamId, end: StreamId) {
    let copied = |entry: Entry<'_>| (entry.id, words(&entry));
    let expected: Vec<_> = match start <= end {
        true => model.entries.range(start..=end).map(|(id, w)| (*id, w.clone())).collect(),
        false => Vec::new(),
    };
    assert_eq!(stream.range(start, end).map(copied).collect::<Vec<_>>(), expected);
    let mut backward: Vec<_> = stream.rev_range(start, end).map(copied).collect();
    backward.reverse();
    assert_eq!(backward, expected);
}

fn some_words(rng: &mut fastrand::Rng) -> Words {
    let fields = [1, 1, 2, 3, 12][rng.usize(..5)];
    let mut words = Vec::new();
    for field in 0..fields {
        words.push([b"name", b"size", b"0012"][rng.usize(..3) * usize::from(rng.bool())].to_vec());
        words.push(match rng.u8(..4) {
            0 => rng.i64(..).to_string().into_bytes(),
            1 => field.to_string().into_bytes(),
            2 => vec![b'x'; rng.usize(..200)],
            _ => Vec::new(),
        });
    }
    words
}

fn trim(rng: &mut fastrand::Rng, stream: &mut Stream, model: &mut Model, near: StreamId) {
    let keep = match rng.bool() {
        true => Keep::MaxLen(stream.len().saturating_sub(rng.u64(..40))),
        false => Keep::MinId(near),
    };
    let approximate = rng.bool();
    let limit = if approximate { rng.u64(..60) } else { 0 };
    let before = stream.clone();
    let trimmed =
        stream.trim(&Trim { keep, approximate, limit, references: References::Keep }).count;
    let surplus = match keep {
        Keep::MaxLen(max) => (model.entries.len() as u64).saturating_sub(max),
        Keep::MinId(min) => model.entries.range(..min).count() as u64,
    };
    if approximate {
        assert!(trimmed <= surplus && (limit == 0 || trimmed <= limit));
        // What is left over is within the first node, or beyond the limit.
        let first = stream.nodes().next().map_or(0, |(_, node)| node::counts(node).0);
        assert!(surplus - trimmed < first || limit != 0 || first == 0, "{keep:?} {before:?}");
    } else {
        assert_eq!(trimmed, surplus);
    }
    for _ in 0..trimmed {
        model.entries.pop_first();
    }
}

/// With nodes of few entries, so that there are many, and of many.
#[test]
fn a_stream_equals_a_plain_list_after_any_operations() {
    let mut rng = fastrand::Rng::with_seed(5);
    let mut shaky = Shaky::new();
    for round in 0..60 {
        let limits = Limits {
            stream_node_max_bytes: [4096, 0, 100, 1][round % 4],
            stream_node_max_entries: [100, 5, 0, 1][round / 4 % 4],
            ..Limits::default()
        };
        let (mut stream, mut model) = (Stream::new(), Model::default());
        for _ in 0..600 {
            shaky.shake(&mut stream);
            let near = StreamId::new(model.last_id.ms.saturating_sub(rng.u64(..60)), rng.u64(..3));
            match rng.u8(..20) {
                0 => trim(&mut rng, &mut stream, &mut model, near),
                1..4 => {
                    let found = model.entries.range(near..).next().map(|(id, _)| *id);
                    let id = found.filter(|_| rng.u8(..5) > 0).unwrap_or(near);
                    let was_there = model.entries.remove(&id).is_some();
                    assert_eq!(stream.delete(id), was_there, "{id:?}");
                    if was_there {
                        model.max_deleted_id = model.max_deleted_id.max(id);
                    }
                }
                _ => {
                    let wanted = match rng.u8(..3) {
                        0 => NewId::InMs(model.last_id.ms + rng.u64(..2)),
                        1 => NewId::Auto { now_ms: (model.last_id.ms + rng.u64(..4)).max(1) - 1 },
                        _ => NewId::Given(near),
                    };
                    let Some(id) = stream.next_id(wanted) else {
                        assert!(matches!(wanted, NewId::Given(id) if id <= model.last_id));
                        continue;
                    };
                    assert!(id > model.last_id);
                    let words = some_words(&mut rng);
                    stream.append(id, words.iter().map(Vec::as_slice), &limits);
                    model.entries.insert(id, words);
                    model.last_id = id;
                    model.entries_added += 1;
                }
            }
            let other = StreamId::new(near.ms + rng.u64(..20), rng.u64(..3));
            check_ranges(&stream, &model, near, other);
            assert_eq!(stream.contains(near), model.entries.contains_key(&near));
        }
        check(&stream, &model);
        check_ranges(&stream, &model, StreamId::MIN, StreamId::MAX);
    }
}

/// A stream of entries `1-0`, `2-0` and so on, four to a node.
fn numbered(entries: u64) -> (Stream, Limits) {
    let limits = Limits { stream_node_max_entries: 4, ..Limits::default() };
    let mut stream = Stream::new();
    for ms in 1..=entries {
        stream.append(StreamId::new(ms, 0), [&b"f"[..], b"v"].into_iter(), &limits);
    }
    (stream, limits)
}

#[test]
fn an_approximate_trim_takes_whole_nodes() {
    let trim = |keep, limit| {
        let (mut stream, _) = numbered(20);
        let trimmed =
            stream.trim(&Trim { keep, approximate: true, limit, references: References::Keep });
        (trimmed.count, stream.first_id().ms)
    };
    assert_eq!(trim(Keep::MaxLen(10), 0), (8, 9));
    assert_eq!(trim(Keep::MaxLen(10), 7), (4, 5));
    assert_eq!(trim(Keep::MaxLen(10), 3), (0, 1));
    assert_eq!(trim(Keep::MaxLen(17), 0), (0, 1));
    assert_eq!(trim(Keep::MinId(StreamId::new(12, 0)), 0), (8, 9));
    assert_eq!(trim(Keep::MinId(StreamId::new(13, 0)), 0), (12, 13));
    assert_eq!(trim(Keep::MaxLen(0), 0), (20, 0));
}

/// A stream of twelve entries, four to a node, all pending in a group but the 2nd, the 3rd and the last.
fn pending() -> Stream {
    let (mut stream, _) = numbered(12);
    let mut group = Group::new(StreamId::new(12, 0), None);
    let consumer = group.create(b"ann", 0).unwrap();
    for ms in (1..12).filter(|ms| ![2, 3].contains(ms)) {
        group.assign(StreamId::new(ms, 0), Pending { delivery_ms: 0, deliveries: 1, consumer });
    }
    stream.groups.insert(b"g"[..].into(), group);
    stream
}

#[test]
fn a_trim_minds_references() {
    let trimmed = |keep, approximate, references| {
        let mut stream = pending();
        stream.trim(&Trim { keep, approximate, limit: 0, references });
        let left: Vec<_> =
            stream.range(StreamId::MIN, StreamId::MAX).map(|entry| entry.id.ms).collect();
        assert_eq!(stream.first_id().ms, left.first().copied().unwrap_or(0));
        (left, stream.groups[&b"g"[..]].pending().len())
    };
    let keep = Keep::MaxLen(6);
    assert_eq!(trimmed(keep, false, References::Keep), ((7..=12).collect(), 9));
    assert_eq!(trimmed(keep, false, References::Delete), ((7..=12).collect(), 5));
    assert_eq!(trimmed(keep, true, References::Delete), ((5..=12).collect(), 7));
    let acknowledged = (1..12).filter(|ms| ![2, 3].contains(ms)).collect();
    assert_eq!(trimmed(keep, false, References::MustBeGone), (acknowledged, 9));
    assert_eq!(trimmed(keep, true, References::MustBeGone), ((1..=12).collect(), 9));
    let keep = Keep::MinId(StreamId::new(3, 0));
    let without_second = (1..=12).filter(|ms| *ms != 2).collect();
    assert_eq!(trimmed(keep, false, References::MustBeGone), (without_second, 9));
}

/// Whoever is told only that a stream was trimmed, of what was deleted besides, and of what is pending no
/// more, has the same stream.
#[test]
fn what_a_trim_comes_to_is_a_trim_deletions_and_acknowledgements() {
    let keeps = [Keep::MaxLen(0), Keep::MaxLen(3), Keep::MinId(StreamId::new(4, 0))];
    for keep in keeps {
        for references in [References::Keep, References::Delete, References::MustBeGone] {
            let (mut stream, mut other) = (pending(), pending());
            let exact = |keep, references| Trim { keep, approximate: false, limit: 0, references };
            let trimmed = stream.trim(&exact(keep, references));
            let left = stream.len() + trimmed.picked.len() as u64;
            other.trim(&exact(Keep::MaxLen(left), References::Keep));
            for id in trimmed.picked {
                assert!(other.delete(id));
            }
            for (name, ids) in trimmed.released {
                let group = other.groups.get_mut(&name).unwrap();
                ids.into_iter().for_each(|id| assert!(group.release(id).is_some()));
            }
            let ids = |stream: &Stream| -> Vec<_> {
                stream.range(StreamId::MIN, StreamId::MAX).map(|entry| entry.id).collect()
            };
            assert_eq!(ids(&other), ids(&stream), "{keep:?} {references:?}");
            assert_eq!(other.max_deleted_id, stream.max_deleted_id, "{keep:?} {references:?}");
            let pending_of = |stream: &Stream| stream.groups[&b"g"[..]].pending().len();
            assert_eq!(pending_of(&other), pending_of(&stream), "{keep:?} {references:?}");
        }
    }
}

/// A trim by id leaves a node whose last entries were deleted before: it counts none, and is passed
/// over by everybody.
#[test]
fn a_node_may_be_left_without_entries() {
    let (mut stream, limits) = numbered(4);
    stream.delete(StreamId::new(4, 0));
    let keep = Keep::MinId(StreamId::new(4, 0));
    assert_eq!(
        stream
            .trim(&Trim { keep, approximate: false, limit: 0, references: References::Keep })
            .count,
        3
    );
    assert_eq!((stream.len(), stream.nodes_len(), stream.first_id()), (0, 1, StreamId::MIN));
    assert_eq!(stream.last_entry_id(), None);
    stream.append(StreamId::new(5, 0), [&b"f"[..], b"v"].into_iter(), &limits);
    assert_eq!((stream.len(), stream.nodes_len(), stream.first_id().ms), (1, 2, 5));
    assert_eq!(stream.last_entry_id(), Some(StreamId::new(5, 0)));
    let mut builder = StreamBuilder::new();
    stream.nodes().for_each(|(id, node)| builder.node(id, node.clone()).unwrap());
    assert!(builder.finish(1, stream.last_id).is_ok());
}

#[test]
fn ids_end_where_there_are_no_more() {
    let (mut stream, _) = numbered(1);
    assert_eq!(stream.next_id(NewId::Auto { now_ms: 0 }), Some(StreamId::new(1, 1)));
    assert_eq!(stream.next_id(NewId::InMs(1)), Some(StreamId::new(1, 1)));
    assert_eq!(stream.next_id(NewId::InMs(0)), None);
    stream.set_last_id(StreamId::new(7, u64::MAX));
    assert_eq!(stream.next_id(NewId::InMs(7)), None);
    assert_eq!(stream.next_id(NewId::Auto { now_ms: 3 }), Some(StreamId::new(8, 0)));
    stream.set_last_id(StreamId::MAX);
    assert_eq!(stream.next_id(NewId::Auto { now_ms: 3 }), None);
}

/// An XSETID may go back to the last entry that is there; the ids above it are given once more.
#[test]
fn ids_of_deleted_entries_can_be_given_again() {
    for per_node in [1, 2, 3, 4, 100] {
        let limits = Limits { stream_node_max_entries: per_node, ..Limits::default() };
        let id = |ms| StreamId::new(ms, 0);
        let mut stream = Stream::new();
        let add = |stream: &mut Stream, ms| {
            stream.append(id(ms), [&b"f"[..], b"v"].into_iter(), &limits);
        };
        (1..=6).for_each(|ms| add(&mut stream, ms));
        stream.delete(id(6));
        stream.delete(id(5));
        // Leaves nodes without entries behind, where they have more than one place.
        stream.trim(&Trim {
            keep: Keep::MinId(id(5)),
            approximate: false,
            limit: 0,
            references: References::Keep,
        });
        stream.set_last_id(id(2));
        (3..=8).for_each(|ms| add(&mut stream, ms));
        let ids: Vec<_> = stream.range(id(4), id(7)).map(|entry| entry.id.ms).collect();
        assert_eq!(ids, [4, 5, 6, 7]);
        let ids: Vec<_> = stream.rev_range(id(4), id(7)).map(|entry| entry.id.ms).collect();
        assert_eq!(ids, [7, 6, 5, 4]);
        assert!(stream.delete(id(5)) && !stream.delete(id(5)));
        assert_eq!(
            (stream.len(), stream.first_id(), stream.last_entry_id()),
            (5, id(3), Some(id(8)))
        );
        let mut builder = StreamBuilder::new();
        stream.nodes().for_each(|(id, node)| builder.node(id, node.clone()).unwrap());
        assert!(builder.finish(5, id(8)).is_ok());
    }
}

#[test]
fn files_that_break_an_invariant_are_refused() {
    let (stream, _) = numbered(8);
    let nodes: Vec<_> = stream.nodes().map(|(id, node)| (id, node.clone())).collect();
    let build = |nodes: &[(StreamId, Listpack)], length, last_ms| {
        let mut builder = StreamBuilder::new();
        nodes.iter().try_for_each(|(id, node)| builder.node(*id, node.clone()))?;
        builder.finish(length, StreamId::new(last_ms, 0))
    };
    assert!(build(&nodes, 8, 8).is_ok());
    assert!(build(&nodes, 7, 8).is_err());
    assert!(build(&nodes, 8, 7).is_err());
    assert!(build(&[nodes[1].clone(), nodes[0].clone()], 8, 8).is_err());
    assert!(build(&[nodes[0].clone(), nodes[0].clone()], 8, 8).is_err());
    // The second node would begin amidst the first one's entries.
    assert!(build(&[nodes[0].clone(), (StreamId::new(3, 0), nodes[1].1.clone())], 8, 9).is_err());
    assert!(build(&[(StreamId::new(1, 0), Listpack::new())], 0, 8).is_err());
}

#[test]
fn what_a_group_lags_behind_is_told_only_where_it_is_known() {
    let (mut stream, _) = numbered(10);
    let at = |ms, read| Group::new(StreamId::new(ms, 0), read);
    assert_eq!(stream.lag(&at(3, Some(3))), Some(7));
    assert_eq!(stream.lag(&at(3, None)), None);
    assert_eq!(stream.lag(&at(0, None)), Some(10));
    assert_eq!(stream.lag(&at(1, None)), Some(9));
    assert_eq!(stream.lag(&at(10, None)), Some(0));
    assert_eq!(stream.lag(&at(11, None)), None);
    stream.delete(StreamId::new(5, 0));
    assert_eq!(stream.lag(&at(3, Some(3))), None);
    assert_eq!(stream.lag(&at(7, Some(7))), Some(3));
    let read_at = |stream: &Stream, id, last, before| {
        stream.entries_read_at(StreamId::new(id, 0), StreamId::new(last, 0), before)
    };
    assert_eq!(read_at(&stream, 7, 6, Some(6)), Some(7));
    assert_eq!(read_at(&stream, 4, 3, Some(3)), None);
    assert_eq!(read_at(&stream, 10, 6, None), Some(10));
    assert_eq!(Stream::new().lag(&at(5, None)), Some(0));
    // What was trimmed away unread counts as well.
    stream.trim(&Trim {
        keep: Keep::MinId(StreamId::new(9, 0)),
        approximate: false,
        limit: 0,
        references: References::Keep,
    });
    assert_eq!(read_at(&stream, 9, 3, Some(3)), Some(9));
    assert_eq!(stream.lag(&at(3, Some(3))), Some(2));
}

/// Who has what, by name.
type Owners = BTreeMap<StreamId, String>;

fn check_group(group: &Group, owners: &Owners) {
    let name_of = |key| String::from_utf8(group.consumer(key).name().to_vec()).unwrap();
    let pending = group.pending().iter().map(|(id, pending)| (id, name_of(pending.consumer)));
    assert!(pending.eq(owners.iter().map(|(id, name)| (*id, name.clone()))));
    for (key, consumer) in group.consumers() {
        let name = name_of(key);
        let own = group.pending_of(key, StreamId::MIN).map(|(id, ())| id);
        let expected = owners.iter().filter(|(_, owner)| **owner == name).map(|(id, _)| *id);
        let own: Vec<_> = own.collect();
        assert_eq!(own.len(), consumer.pending_len());
        assert!(own.into_iter().eq(expected));
    }
    let mut ordered = group.clone();
    ordered.order_by_time();
    let pending = group.pending().iter();
    let mut by_time: Vec<_> = pending.map(|(id, pending)| (pending.delivery_ms, id)).collect();
    by_time.sort_unstable();
    assert!(ordered.pending_by_time().eq(by_time));
}

/// As a file would tell it.
fn rebuilt(group: &Group) -> Result<Group, &'static str> {
    let mut builder = GroupBuilder::new(group.last_id, group.entries_read);
    for (id, pending) in group.pending().iter().rev() {
        builder.pending(id, pending.delivery_ms, pending.deliveries);
    }
    for (key, consumer) in group.consumers() {
        let built = builder.consumer(consumer.name(), consumer.seen_ms, consumer.active_ms)?;
        for (id, ()) in group.pending_of(key, StreamId::MIN) {
            builder.owned(built, id)?;
        }
    }
    builder.finish()
}

/// Each step passes over the groups before its own: with one group a step, that was the square of their number.
#[test]
fn a_walk_looks_at_all_groups_in_few_steps() {
    let mut stream = Stream::new();
    for n in 0..10_000 {
        let mut group = Group::default();
        group.create(b"consumer", 0).unwrap();
        stream.groups.insert(format!("g{n}").into_bytes().into(), group);
    }
    let mut shaky = Shaky::new();
    let mut mover = Mover::new(&mut shaky);
    let (mut cursor, mut steps) = (0, 0);
    loop {
        cursor = stream.relocate_from(cursor, &mut mover);
        steps += 1;
        if cursor == 0 {
            break;
        }
    }
    assert_eq!(mover.moved + mover.kept, 10_000, "the consumers of each group");
    assert!(steps < 1000, "{steps} steps");
}

#[test]
fn what_is_pending_is_one_consumers_whatever_happens() {
    let mut rng = fastrand::Rng::with_seed(3);
    let mut shaky = Shaky::new();
    for _ in 0..20 {
        let (mut group, mut owners) = (Group::default(), Owners::new());
        for step in 0..800 {
            group.relocate(&mut Mover::new(&mut shaky));
            // Kept in order from here on, through all that happens.
            if step == 300 {
                group.order_by_time();
            }
            let name = ["ann", "bob", "cleo", "dan"][rng.usize(..4)];
            let id = StreamId::new(rng.u64(..100), 0);
            match rng.u8(..40) {
                0 => {
                    let had = owners.values().filter(|owner| *owner == name).count();
                    let there = group.find(name.as_bytes()).is_some();
                    assert_eq!(group.delete(name.as_bytes()), there.then_some(had));
                    owners.retain(|_, owner| owner != name);
                }
                1 => group.deliver_again(id, step),
                2..15 => {
                    let was_there = owners.remove(&id).is_some();
                    assert_eq!(group.release(id).is_some(), was_there);
                }
                _ => {
                    let found = group.find(name.as_bytes());
                    let created = group.create(name.as_bytes(), step);
                    assert_eq!(created.is_some(), found.is_none());
                    let consumer = found.or(created).unwrap();
                    group.assign(id, Pending { delivery_ms: step, deliveries: 1, consumer });
                    owners.insert(id, name.to_string());
                }
            }
        }
        check_group(&group, &owners);
        check_group(&rebuilt(&group).unwrap(), &owners);
        assert!(group.tells_active_times());
    }
}

#[test]
fn groups_of_a_file_that_do_not_fit_are_refused() {
    let id = |ms| StreamId::new(ms, 0);
    let builder = |pending: &[u64]| {
        let mut builder = GroupBuilder::new(id(9), None);
        pending.iter().for_each(|ms| builder.pending(id(*ms), 5, 1));
        builder
    };
    let mut twice = builder(&[]);
    assert!(twice.consumer(b"ann", 1, None).is_ok());
    assert!(twice.consumer(b"ann", 1, None).is_err());
    let mut unknown = builder(&[1]);
    let ann = unknown.consumer(b"ann", 1, None).unwrap();
    assert!(unknown.owned(ann, id(2)).is_err());
    assert!(unknown.owned(ann, id(1)).is_ok());
    assert!(unknown.owned(ann, id(1)).is_err());
    assert!(builder(&[1]).finish().is_err());
    let mut doubled = builder(&[1, 1]);
    let ann = doubled.consumer(b"ann", 1, None).unwrap();
    assert!(doubled.owned(ann, id(1)).is_ok());
    assert!(doubled.finish().is_err());
}
