//! Lists: a listpack while short, a quicklist when long. Owns the conversions between them and the
//! operations of the list commands; must not know replies, blocking or key lookups.

use std::collections::vec_deque;

use crate::limits::{Limits, NodeLimit};
use crate::listpack::{self, Listpack, Pos};
use crate::quicklist::{self, Node, Quicklist};
use crate::relocate::{Cursor, Mover, Relocate};
use crate::value::{Encoding, Item};

#[cfg(test)]
mod tests;

/// A list value. Commands delete the key of an emptied one.
#[derive(Debug)]
pub struct List {
    repr: Repr,
}

#[derive(Debug)]
enum Repr {
    Packed(Listpack),
    Quick(Box<Quicklist>),
}

/// An end of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Head,
    Tail,
}

/// A run of elements as RDB files carry it.
#[derive(Clone, Copy, Debug)]
pub enum NodeRef<'a> {
    Packed(&'a Listpack),
    Plain(&'a [u8]),
}

impl Relocate for List {
    fn relocate_from(&mut self, cursor: Cursor, mover: &mut Mover<'_>) -> Cursor {
        match &mut self.repr {
            Repr::Packed(entries) => {
                entries.relocate(mover);
                0
            }
            Repr::Quick(quick) => {
                if cursor == 0 {
                    mover.boxed(quick);
                }
                quick.relocate_from(cursor, mover)
            }
        }
    }
}

impl List {
    pub fn new() -> Self {
        List { repr: Repr::Packed(Listpack::new()) }
    }

    pub fn len(&self) -> usize {
        match &self.repr {
            Repr::Packed(entries) => entries.len(),
            Repr::Quick(quick) => quick.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        match &self.repr {
            Repr::Packed(entries) => entries.is_empty(),
            Repr::Quick(quick) => quick.len() == 0,
        }
    }

    pub fn encoding(&self) -> Encoding {
        match &self.repr {
            Repr::Packed(_) => Encoding::Listpack,
            Repr::Quick(_) => Encoding::Quicklist,
        }
    }

    /// Makes ready for a command that adds `count` elements of `bytes` together. Redis decides on
    /// the whole command, before it knows whether all will be added; so callers do the same.
    pub fn grow(&mut self, bytes: usize, count: usize, limits: &Limits) {
        if let Repr::Packed(entries) = &mut self.repr {
            let bytes = entries.byte_len().saturating_add(bytes);
            if limits.list_node().exceeded_by(bytes, entries.len() + count) {
                let mut quick = Quicklist::new();
                quick.push_node(Node::packed(std::mem::take(entries)));
                self.repr = Repr::Quick(Box::new(quick));
            }
        }
    }

    /// Back to a listpack when few elements are left: below half of what would make a quicklist,
    /// so that a list around the limit does not go back and forth.
    fn shrink(&mut self, limits: &Limits) {
        self.pack_if_within(limits.list_node(), 2);
    }

    /// Back to a listpack, if it is within one in `share` of the limit of a node.
    fn pack_if_within(&mut self, limit: NodeLimit, share: usize) {
        let Repr::Quick(quick) = &mut self.repr else { return };
        let (max_bytes, max_count) = (limit.bytes / share, limit.count / share);
        if limit.is_by_size() {
            quick.join_head(max_bytes);
        }
        if quick.nodes().len() == 1
            && let Some(Node::Packed { entries, count }) = quick.nodes().front()
            && entries.byte_len() <= max_bytes
            && *count as usize <= max_count
            && let Some(entries) = quick.take_only_node()
        {
            self.repr = Repr::Packed(entries);
        } else if quick.len() == 0 {
            self.repr = Repr::Packed(Listpack::new());
        }
    }

    pub fn push(&mut self, end: End, text: &[u8], limits: &Limits) {
        self.grow(text.len(), 1, limits);
        self.push_grown(end, text, limits);
    }

    /// Pushes one after the other, so at the head the last of them ends up first.
    pub fn extend<'t>(
        &mut self,
        end: End,
        texts: impl Iterator<Item = &'t [u8]> + Clone,
        limits: &Limits,
    ) {
        let (bytes, count) =
            texts.clone().fold((0, 0), |(bytes, count), text| (bytes + text.len(), count + 1));
        self.grow(bytes, count, limits);
        for text in texts {
            self.push_grown(end, text, limits);
        }
    }

    fn push_grown(&mut self, end: End, text: &[u8], limits: &Limits) {
        match (&mut self.repr, end) {
            (Repr::Packed(entries), End::Head) => entries.push_front(text),
            (Repr::Packed(entries), End::Tail) => entries.push_back(text),
            (Repr::Quick(quick), End::Head) => quick.push_front(text, limits.list_node()),
            (Repr::Quick(quick), End::Tail) => quick.push_back(text, limits.list_node()),
        }
    }

    /// The element at an end.
    pub fn peek(&self, end: End) -> Option<Item<'_>> {
        match end {
            End::Head => self.iter().next(),
            End::Tail => self.iter().next_back(),
        }
    }

    /// Removes the element at an end, after `f` has seen it.
    pub fn pop<R>(
        &mut self,
        end: End,
        limits: &Limits,
        f: impl FnOnce(Item<'_>) -> R,
    ) -> Option<R> {
        match &mut self.repr {
            Repr::Packed(entries) => {
                let pos = match end {
                    End::Head => entries.first()?,
                    End::Tail => entries.last()?,
                };
                let result = f(entries.at(pos));
                entries.remove(pos);
                Some(result)
            }
            Repr::Quick(quick) => {
                let result = quick.pop(end, limits.list_node(), f);
                self.shrink(limits);
                result
            }
        }
    }

    pub fn at(&self, index: usize) -> Option<Item<'_>> {
        match &self.repr {
            Repr::Packed(entries) => entries.seek(index).map(|pos| entries.at(pos)),
            Repr::Quick(quick) => quick.at(index),
        }
    }

    /// Whether there was an element `index` to replace.
    pub fn set(&mut self, index: usize, text: &[u8], limits: &Limits) -> bool {
        self.grow(text.len(), 1, limits);
        let found = match &mut self.repr {
            Repr::Packed(entries) => match entries.seek(index) {
                Some(pos) => {
                    entries.replace(pos, text);
                    true
                }
                None => false,
            },
            Repr::Quick(quick) => quick.replace(index, text, limits.list_node()),
        };
        self.shrink(limits);
        found
    }

    /// Inserts before element `index`, or at the end.
    pub fn insert(&mut self, index: usize, text: &[u8], limits: &Limits) {
        self.grow(text.len(), 1, limits);
        match &mut self.repr {
            Repr::Packed(entries) => match entries.seek(index) {
                Some(pos) => entries.insert_before(pos, text),
                None => entries.push_back(text),
            },
            Repr::Quick(quick) => quick.insert(index, text, limits.list_node()),
        }
    }

    /// The index of the first element equal to `text`.
    pub fn position(&self, text: &[u8]) -> Option<usize> {
        let needle = listpack::classify(text);
        self.iter().position(|item| same(item, needle))
    }

    /// Inserts `text` before or after the first `pivot`; false if there is none.
    pub fn insert_beside(
        &mut self,
        pivot: &[u8],
        after: bool,
        text: &[u8],
        limits: &Limits,
    ) -> bool {
        // As in Redis, the list converts even when the pivot is then not found.
        self.grow(text.len(), 1, limits);
        let Some(index) = self.position(pivot) else { return false };
        self.insert(index + usize::from(after), text, limits);
        true
    }

    /// Removes up to `max` elements equal to `text`, seen from `end`. Returns how many.
    pub fn remove_equal(&mut self, end: End, max: usize, text: &[u8], limits: &Limits) -> usize {
        let needle = listpack::classify(text);
        let removed = match &mut self.repr {
            Repr::Packed(entries) => remove_equal_packed(entries, end, max, needle),
            Repr::Quick(quick) => quick.remove_equal(end == End::Head, max, needle),
        };
        if removed > 0 {
            self.shrink(limits);
        }
        removed
    }

    /// Removes up to `n` elements from `index` on.
    pub fn remove_range(&mut self, index: usize, n: usize, limits: &Limits) {
        match &mut self.repr {
            Repr::Packed(entries) => entries.remove_range(index, n),
            Repr::Quick(quick) => quick.remove_range(index, n),
        }
        self.shrink(limits);
    }

    /// Keeps only the `n` elements from `index` on.
    pub fn trim(&mut self, index: usize, n: usize, limits: &Limits) {
        let len = self.len();
        let start = index.min(len);
        let stop = start.saturating_add(n).min(len);
        match &mut self.repr {
            Repr::Packed(entries) => {
                entries.remove_range(stop, len - stop);
                entries.remove_range(0, start);
            }
            Repr::Quick(quick) => {
                quick.remove_range(stop, len - stop);
                quick.remove_range(0, start);
            }
        }
        self.shrink(limits);
    }

    /// All elements, from either end.
    pub fn iter(&self) -> Iter<'_> {
        match &self.repr {
            Repr::Packed(entries) => Iter::Packed(entries.iter()),
            Repr::Quick(quick) => Iter::Quick(quick.iter()),
        }
    }

    /// The elements from `index` to the end.
    pub fn iter_from(&self, index: usize) -> Iter<'_> {
        match &self.repr {
            Repr::Packed(entries) => Iter::Packed(match entries.seek(index) {
                Some(pos) => entries.iter_from(pos),
                None => listpack::Iter::empty(),
            }),
            Repr::Quick(quick) => Iter::Quick(quick.iter_from(index)),
        }
    }

    /// The elements before `index`; `rev()` walks from there to the head.
    pub fn iter_to(&self, index: usize) -> Iter<'_> {
        match &self.repr {
            Repr::Packed(entries) => Iter::Packed(match entries.seek(index) {
                Some(pos) => entries.iter_before(pos),
                None => entries.iter(),
            }),
            Repr::Quick(quick) => Iter::Quick(quick.iter_to(index)),
        }
    }

    /// The elements as runs: one when this is a listpack, the nodes of a quicklist otherwise.
    pub fn nodes(&self) -> Nodes<'_> {
        match &self.repr {
            Repr::Packed(entries) => Nodes::Packed(Some(entries)),
            Repr::Quick(quick) => Nodes::Quick(quick.nodes().iter()),
        }
    }

    pub fn nodes_len(&self) -> usize {
        match &self.repr {
            Repr::Packed(_) => 1,
            Repr::Quick(quick) => quick.nodes().len(),
        }
    }

    pub fn free_effort(&self) -> usize {
        self.nodes_len()
    }

    pub fn memory_usage(&self, samples: usize) -> usize {
        match &self.repr {
            Repr::Packed(entries) => entries.allocated_bytes(),
            Repr::Quick(quick) => {
                let nodes = quick.nodes();
                let sampled = if samples == 0 { nodes.len() } else { samples.min(nodes.len()) };
                let bytes: usize = nodes.iter().take(sampled).map(Node::allocated_bytes).sum();
                size_of::<Quicklist>()
                    + nodes.capacity() * size_of::<Node>()
                    + scale(bytes, sampled, nodes.len())
            }
        }
    }
}

/// What `sampled` elements cost, told of `all`.
pub(crate) fn scale(bytes: usize, sampled: usize, all: usize) -> usize {
    if sampled == 0 { 0 } else { (bytes as f64 / sampled as f64 * all as f64) as usize }
}

/// Whether `item`, as it is kept, is what `needle` was classified as.
pub(crate) fn same(item: Item<'_>, needle: Item<'_>) -> bool {
    match (item, needle) {
        (Item::Int(a), Item::Int(b)) => a == b,
        (Item::Bytes(a), Item::Bytes(b)) => a == b,
        // Plain nodes of very small limits spell integers out.
        (Item::Bytes(text), Item::Int(_)) => needle.eq_bytes(text),
        (Item::Int(_), Item::Bytes(_)) => false,
    }
}

/// Removes from one listpack, in the direction asked for.
pub(crate) fn remove_equal_packed(
    entries: &mut Listpack,
    end: End,
    max: usize,
    needle: Item<'_>,
) -> usize {
    let mut removed = 0;
    let mut cursor: Option<Pos> = match end {
        End::Head => entries.first(),
        End::Tail => entries.last(),
    };
    while let Some(pos) = cursor
        && removed < max
    {
        let matches = same(entries.at(pos), needle);
        cursor = match end {
            End::Head if matches => entries.remove(pos),
            End::Head => entries.next(pos),
            End::Tail => {
                let previous = entries.prev(pos);
                if matches {
                    entries.remove(pos);
                }
                previous
            }
        };
        removed += usize::from(matches);
    }
    removed
}

impl Default for List {
    fn default() -> Self {
        Self::new()
    }
}

/// Puts a list together from the runs of a file, in order.
#[derive(Debug, Default)]
pub struct ListBuilder {
    quick: Quicklist,
}

impl ListBuilder {
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty run is left out.
    pub fn push_packed(&mut self, entries: Listpack) {
        self.quick.push_node(Node::packed(entries));
    }

    pub fn push_plain(&mut self, text: &[u8]) {
        self.quick.push_node(Node::plain(text));
    }

    /// One element, put where a push would put it: for files that list elements singly.
    pub fn push(&mut self, text: &[u8], limits: &Limits) {
        self.quick.push_back(text, limits.list_node());
    }

    /// The list, in the encoding that its size calls for.
    pub fn finish(self, limits: &Limits) -> List {
        let mut list = List { repr: Repr::Quick(Box::new(self.quick)) };
        list.pack_if_within(limits.list_node(), 1);
        list
    }
}

/// Elements of a list.
#[derive(Clone, Debug)]
pub enum Iter<'a> {
    Packed(listpack::Iter<'a>),
    Quick(quicklist::Iter<'a>),
}

impl<'a> Iterator for Iter<'a> {
    type Item = Item<'a>;

    #[inline]
    fn next(&mut self) -> Option<Item<'a>> {
        match self {
            Iter::Packed(iter) => iter.next(),
            Iter::Quick(iter) => iter.next(),
        }
    }
}

impl DoubleEndedIterator for Iter<'_> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        match self {
            Iter::Packed(iter) => iter.next_back(),
            Iter::Quick(iter) => iter.next_back(),
        }
    }
}

/// The runs of a list.
#[derive(Clone, Debug)]
pub enum Nodes<'a> {
    Packed(Option<&'a Listpack>),
    Quick(vec_deque::Iter<'a, Node>),
}

impl<'a> Iterator for Nodes<'a> {
    type Item = NodeRef<'a>;

    fn next(&mut self) -> Option<NodeRef<'a>> {
        match self {
            Nodes::Packed(entries) => entries.take().map(NodeRef::Packed),
            Nodes::Quick(nodes) => nodes.next().map(|node| match node {
                Node::Packed { entries, .. } => NodeRef::Packed(entries),
                Node::Plain(text) => NodeRef::Plain(text),
            }),
        }
    }
}
