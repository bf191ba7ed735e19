//! The entries in one node of a stream: a listpack of runs of elements. Owns the layout inside a node,
//! how an entry is found in it, written, marked as deleted, and checked; must not know other nodes.
//!
//! A node begins with count, deleted, number of fields, the fields' names, 0; then an entry is
//! flags, id (as differences to the node's), fields and values or values alone, and a back length.

use smallvec::SmallVec;

use super::id::StreamId;
use crate::listpack::{self, Listpack, Pos, classify};
use crate::value::Item;

#[cfg(test)]
mod tests;

/// Set for an entry that was deleted in place.
const DELETED: i64 = 1;
/// Set for an entry whose fields are those named at the head of the node.
const SAME_FIELDS: i64 = 2;

/// No node grows beyond this, whatever the configuration says, and no entry is larger.
pub(crate) const MAX_NODE_BYTES: usize = 1 << 30;

/// An entry of a stream, lent.
#[derive(Clone, Debug)]
pub struct Entry<'a> {
    pub id: StreamId,
    fields: usize,
    /// The names at the head of the node, where the entry has those.
    names: Option<listpack::Iter<'a>>,
    /// From its first own element on.
    elements: listpack::Iter<'a>,
}

impl<'a> Entry<'a> {
    /// How many pairs of a field and its value there are.
    pub fn fields_len(&self) -> usize {
        self.fields
    }

    /// Fields with their values, in order.
    pub fn fields(&self) -> impl Iterator<Item = (Item<'a>, Item<'a>)> + use<'a> {
        let Entry { mut names, mut elements, fields, .. } = self.clone();
        (0..fields).map_while(move |_| {
            let name = match &mut names {
                Some(names) => names.next()?,
                None => elements.next()?,
            };
            Some((name, elements.next()?))
        })
    }
}

/// A node that is read.
#[derive(Clone, Debug)]
pub(super) struct Node<'a> {
    id: StreamId,
    listpack: &'a Listpack,
    fields: usize,
    names: listpack::Iter<'a>,
    /// From the first entry's flags on.
    entries: listpack::Iter<'a>,
}

/// An entry as it lies in its node.
#[derive(Clone, Debug)]
pub(super) struct Placed<'a> {
    /// Where its flags are.
    pub at: Pos,
    flags: i64,
    pub entry: Entry<'a>,
}

impl Placed<'_> {
    pub fn is_deleted(&self) -> bool {
        self.flags & DELETED != 0
    }
}

impl<'a> Node<'a> {
    /// What is in a node; nothing where it is not laid out as above.
    pub fn open(id: StreamId, listpack: &'a Listpack) -> Option<Node<'a>> {
        let mut items = listpack.iter();
        let (_count, _deleted, fields) = (items.next()?, items.next()?, int(items.next())?);
        let fields = usize::try_from(fields).ok()?;
        let names = items.clone();
        // The names, and the zero behind them.
        items.nth(fields)?;
        Some(Node { id, listpack, fields, names, entries: items })
    }

    /// The entries from the first on, those deleted in place among them.
    pub fn forward(self) -> Forward<'a> {
        Forward { entries: self.entries.clone(), node: self }
    }

    /// The same from the last on.
    pub fn backward(self) -> Backward<'a> {
        Backward { last: self.listpack.last(), node: self }
    }

    fn read(&self, items: &mut listpack::Iter<'a>) -> Option<Placed<'a>> {
        let at = items.pos()?;
        let flags = int(items.next())?;
        // The differences wrap, as the sequence may be lower than the node's.
        let id = StreamId {
            ms: self.id.ms.wrapping_add(int(items.next())? as u64),
            seq: self.id.seq.wrapping_add(int(items.next())? as u64),
        };
        let (names, fields, elements) = match flags & SAME_FIELDS {
            0 => {
                let fields = usize::try_from(int(items.next())?).ok()?;
                (None, fields, fields.checked_mul(2)?)
            }
            _ => (Some(self.names.clone()), self.fields, self.fields),
        };
        let entry = Entry { id, fields, names, elements: items.clone() };
        // The elements, and the length behind them.
        items.nth(elements)?;
        Some(Placed { at, flags, entry })
    }
}

/// The entries of a node in order.
#[derive(Clone, Debug)]
pub(super) struct Forward<'a> {
    node: Node<'a>,
    entries: listpack::Iter<'a>,
}

impl<'a> Iterator for Forward<'a> {
    type Item = Placed<'a>;

    fn next(&mut self) -> Option<Placed<'a>> {
        self.node.read(&mut self.entries)
    }
}

/// The entries of a node, last first.
#[derive(Clone, Debug)]
pub(super) struct Backward<'a> {
    node: Node<'a>,
    /// The length at the end of the next entry to yield, or the zero at the end of the head.
    last: Option<Pos>,
}

impl<'a> Iterator for Backward<'a> {
    type Item = Placed<'a>;

    fn next(&mut self) -> Option<Placed<'a>> {
        let listpack = self.node.listpack;
        let mut at = self.last?;
        let back_len = int(Some(listpack.at(at)))?;
        if back_len <= 0 {
            self.last = None;
            return None;
        }
        for _ in 0..back_len {
            at = listpack.prev(at)?;
        }
        self.last = listpack.prev(at);
        self.node.read(&mut listpack.iter_from(at))
    }
}

/// How many entries are in a node, and how many of its places are of deleted ones.
pub(super) fn counts(node: &Listpack) -> (u64, u64) {
    let mut items = node.iter();
    let mut count = || int(items.next()).and_then(|n| u64::try_from(n).ok()).unwrap_or(0);
    (count(), count())
}

/// A node of one entry, whose id is the node's. `words` are fields and values in turn.
pub(super) fn new_node<'t>(words: impl Iterator<Item = &'t [u8]> + Clone) -> Listpack {
    let mut items: SmallVec<[Item<'t>; 24]> = SmallVec::new();
    let names = words.clone().step_by(2);
    items.extend([Item::Int(1), Item::Int(0), Item::Int(names.clone().count() as i64)]);
    items.extend(names.map(classify));
    items.push(Item::Int(0));
    push_items(&mut items, StreamId::MIN, true, words);
    let mut node = Listpack::new();
    node.push_back_items(&items);
    node
}

/// Appends an entry to the node that begins with `node_id`.
pub(super) fn push_entry<'t>(
    node: &mut Listpack,
    node_id: StreamId,
    id: StreamId,
    words: impl Iterator<Item = &'t [u8]> + Clone,
) {
    let offset =
        StreamId { ms: id.ms.wrapping_sub(node_id.ms), seq: id.seq.wrapping_sub(node_id.seq) };
    let same_fields = Node::open(node_id, node).is_some_and(|node| {
        let mut names = words.clone().step_by(2);
        let mut known = node.names.take(node.fields);
        known.all(|name| names.next().is_some_and(|other| name.eq_bytes(other)))
            && names.next().is_none()
    });
    let mut items = SmallVec::new();
    push_items(&mut items, offset, same_fields, words);
    add_counts(node, 1, 0);
    node.push_back_items(&items);
}

fn push_items<'t>(
    items: &mut SmallVec<[Item<'t>; 24]>,
    offset: StreamId,
    same_fields: bool,
    words: impl Iterator<Item = &'t [u8]> + Clone,
) {
    let flags = if same_fields { SAME_FIELDS } else { 0 };
    items.extend([flags, offset.ms as i64, offset.seq as i64].map(Item::Int));
    let texts = match same_fields {
        true => {
            let before = items.len();
            items.extend(words.skip(1).step_by(2).map(classify));
            items.len() - before
        }
        false => {
            let count_at = items.len();
            items.push(Item::Int(0));
            items.extend(words.map(classify));
            let words = items.len() - count_at - 1;
            items[count_at] = Item::Int(words as i64 / 2);
            words + 1
        }
    };
    // What stands before the length: flags, the two halves of the id, and all of the above.
    items.push(Item::Int(texts as i64 + 3));
}

/// Marks the entries at these places as deleted. They are not yet.
pub(super) fn mark_deleted(node: &mut Listpack, places: &[Pos]) {
    for at in places {
        // An even number and the next one are of one length: no place moves.
        let flags = int(Some(node.at(*at))).unwrap_or(0);
        node.replace_item(*at, Item::Int(flags | DELETED));
    }
    let gone = places.len() as i64;
    add_counts(node, -gone, gone);
}

fn add_counts(node: &mut Listpack, entries: i64, deleted: i64) {
    let (count, gone) = counts(node);
    if let Some(at) = node.first() {
        node.replace_item(at, Item::Int(count as i64 + entries));
        if deleted != 0
            && let Some(at) = node.next(at)
        {
            node.replace_item(at, Item::Int(gone as i64 + deleted));
        }
    }
}

/// What a node that came from outside holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Checked {
    pub live: u64,
    /// Of the last entry that is not deleted.
    pub last_id: Option<StreamId>,
}

/// Whether a node is laid out as above, with as many entries as it says, in ascending order from its
/// own id on (but for deleted ones: after an XSETID their ids may be given once more), and nothing
/// behind them.
pub(super) fn check_node(id: StreamId, node: &Listpack) -> Result<Checked, &'static str> {
    const CUT: &str = "a stream node that ends inside an entry";
    let mut items = node.iter();
    let mut number = || match int(items.next()) {
        Some(n) => Ok(n),
        None => Err("a stream node without a number where one must be"),
    };
    let (count, deleted, names) = (number()?, number()?, number()?);
    skip(&mut items, names).ok_or("a stream node without the names of its fields")?;
    if int(items.next()) != Some(0) {
        return Err("a stream node whose head does not end");
    }
    let entries = count.checked_add(deleted).filter(|n| *n >= 0 && count >= 0);
    let (mut gone, mut last_id) = (0, None);
    for _ in 0..entries.ok_or("a stream node of an impossible number of entries")? {
        let mut number = || int(items.next()).ok_or(CUT);
        let (flags, ms, seq) = (number()?, number()?, number()?);
        gone += flags & DELETED;
        if flags & DELETED == 0 {
            let this =
                StreamId::new(id.ms.wrapping_add(ms as u64), id.seq.wrapping_add(seq as u64));
            if last_id.map_or(this < id, |last| this <= last) {
                return Err("stream entries that are not in order");
            }
            last_id = Some(this);
        }
        // Flags, the two halves of the id, and the number of fields where it is said.
        let (texts, others) = match flags & SAME_FIELDS {
            0 => (number()?.checked_mul(2).ok_or(CUT)?, 4),
            _ => (names, 3),
        };
        skip(&mut items, texts).ok_or(CUT)?;
        if int(items.next()) != texts.checked_add(others) {
            return Err("a stream entry that does not tell its length");
        }
    }
    match items.next() {
        None if gone == deleted => Ok(Checked { live: count as u64, last_id }),
        None => Err("a stream node with other deleted entries than it says"),
        Some(_) => Err("a stream node with more entries than it says"),
    }
}

fn skip<'a>(items: &mut impl Iterator<Item = Item<'a>>, n: i64) -> Option<()> {
    (0..u64::try_from(n).ok()?).try_for_each(|_| items.next().map(drop))
}

fn int(item: Option<Item<'_>>) -> Option<i64> {
    match item? {
        Item::Int(n) => Some(n),
        Item::Bytes(_) => None,
    }
}
