//! Quicklists: a long list as a deque of listpacks, with elements too large for one in nodes of
//! their own. Owns how nodes fill, split and merge; must not know when a list becomes one.

use std::collections::{VecDeque, vec_deque};

use crate::limits::NodeLimit;
use crate::list::{End, remove_equal_packed, same};
use crate::listpack::{self, Listpack};
use crate::relocate::{Cursor, Mover, Relocate};
use crate::value::Item;

/// What an element may add to a listpack beyond its own bytes, overestimated.
const ENTRY_OVERHEAD_BYTES: usize = 8;

/// When less than one in so many places for nodes is taken, some are given back.
const SPARSE: usize = 8;

/// The first node is kept this small where nodes are limited by their size: what comes or goes at the head
/// moves all of its node. What it holds joins the next node when it is full.
const HEAD_BYTES: usize = 1024;

/// Nodes that a walk looks at in one step.
const RELOCATED_NODES: usize = 16;

/// A run of elements.
#[derive(Debug)]
pub enum Node {
    /// Never empty. The count is kept beside the pointer so that a walk need not follow it.
    Packed { entries: Listpack, count: u32 },
    /// One large element. Boxed twice to keep nodes at two words.
    Plain(Box<Box<[u8]>>),
}

const _: () = assert!(size_of::<Node>() == 16);

/// Never empty when lent out.
#[derive(Debug, Default)]
pub(crate) struct Quicklist {
    nodes: VecDeque<Node>,
    len: usize,
}

/// A place between nodes or inside one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    node: usize,
    /// Index inside the node.
    index: usize,
}

impl Node {
    pub(crate) fn packed(entries: Listpack) -> Self {
        let count = u32::try_from(entries.len()).expect("a listpack has fewer bytes than that");
        Node::Packed { entries, count }
    }

    pub(crate) fn plain(text: &[u8]) -> Self {
        Node::Plain(Box::new(text.into()))
    }

    /// A node for `text` alone.
    fn of_one(text: &[u8], limit: NodeLimit) -> Self {
        if text.len() > limit.large_element_bytes() {
            return Node::plain(text);
        }
        let mut entries = Listpack::new();
        entries.push_back(text);
        Node::Packed { entries, count: 1 }
    }

    pub fn count(&self) -> usize {
        match self {
            Node::Packed { count, .. } => *count as usize,
            Node::Plain(_) => 1,
        }
    }

    pub fn iter(&self) -> NodeIter<'_> {
        match self {
            Node::Packed { entries, .. } => NodeIter::Packed(entries.iter()),
            Node::Plain(text) => NodeIter::Plain(Some(text)),
        }
    }

    /// The elements from `index` on.
    fn iter_from(&self, index: usize) -> NodeIter<'_> {
        match self {
            Node::Packed { entries, .. } => match entries.seek(index) {
                Some(pos) => NodeIter::Packed(entries.iter_from(pos)),
                None => NodeIter::Plain(None),
            },
            Node::Plain(text) => NodeIter::Plain((index == 0).then_some(text)),
        }
    }

    /// The elements before `index`.
    fn iter_to(&self, index: usize) -> NodeIter<'_> {
        match self {
            Node::Packed { entries, .. } => match entries.seek(index) {
                Some(pos) => NodeIter::Packed(entries.iter_before(pos)),
                None => NodeIter::Packed(entries.iter()),
            },
            Node::Plain(text) => NodeIter::Plain((index > 0).then_some(text)),
        }
    }

    pub(crate) fn allocated_bytes(&self) -> usize {
        match self {
            Node::Packed { entries, .. } => entries.allocated_bytes(),
            Node::Plain(text) => text.len() + size_of::<Box<[u8]>>(),
        }
    }

    /// Whether `text` may join this node.
    fn has_room_for(&self, text: &[u8], limit: NodeLimit) -> bool {
        match self {
            Node::Packed { entries, count } => {
                let bytes = entries.byte_len() + text.len() + ENTRY_OVERHEAD_BYTES;
                text.len() <= limit.large_element_bytes()
                    && !limit.exceeded_by(bytes, *count as usize + 1)
            }
            Node::Plain(_) => false,
        }
    }

    fn may_merge(&self, other: &Node, limit: NodeLimit) -> bool {
        match (self, other) {
            (Node::Packed { entries: a, count: m }, Node::Packed { entries: b, count: n }) => {
                !limit.exceeded_by(a.byte_len() + b.byte_len(), (m + n) as usize)
            }
            _ => false,
        }
    }

    /// A packed node's parts.
    fn parts(&mut self) -> (&mut Listpack, &mut u32) {
        match self {
            Node::Packed { entries, count } => (entries, count),
            Node::Plain(_) => unreachable!("plain nodes are never edited"),
        }
    }
}

/// What the first node may hold.
fn head_limit(limit: NodeLimit) -> NodeLimit {
    match limit.is_by_size() {
        true => NodeLimit { bytes: HEAD_BYTES, ..limit },
        false => limit,
    }
}

impl Relocate for Quicklist {
    /// The cursor is the number of a node.
    fn relocate_from(&mut self, cursor: Cursor, mover: &mut Mover<'_>) -> Cursor {
        if cursor == 0 {
            mover.deque(&mut self.nodes);
        }
        let from = (cursor as usize).min(self.nodes.len());
        let to = (from + RELOCATED_NODES).min(self.nodes.len());
        for node in self.nodes.range_mut(from..to) {
            match node {
                Node::Packed { entries, .. } => entries.relocate(mover),
                // What is larger than a listpack is in no slab.
                Node::Plain(text) => mover.boxed(text),
            }
        }
        if to < self.nodes.len() { to as Cursor } else { 0 }
    }
}

impl Quicklist {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn nodes(&self) -> &VecDeque<Node> {
        &self.nodes
    }

    /// Appends a whole node; an empty one is dropped.
    pub fn push_node(&mut self, node: Node) {
        if node.count() > 0 {
            self.len += node.count();
            self.nodes.push_back(node);
        }
    }

    /// The one node of a list that has no more, taken out.
    pub fn take_only_node(&mut self) -> Option<Listpack> {
        match self.nodes.pop_back()? {
            Node::Packed { entries, .. } => {
                self.len = 0;
                Some(entries)
            }
            plain => {
                self.nodes.push_back(plain);
                None
            }
        }
    }

    pub fn push_back(&mut self, text: &[u8], limit: NodeLimit) {
        self.len += 1;
        match self.nodes.back_mut() {
            Some(node) if node.has_room_for(text, limit) => {
                let (entries, count) = node.parts();
                entries.push_back(text);
                *count += 1;
            }
            _ => self.nodes.push_back(Node::of_one(text, limit)),
        }
    }

    pub fn push_front(&mut self, text: &[u8], limit: NodeLimit) {
        self.len += 1;
        let head_limit = head_limit(limit);
        if limit.is_by_size()
            && self.nodes.front().is_some_and(|head| !head.has_room_for(text, head_limit))
        {
            self.pour_head(limit);
        }
        match self.nodes.front_mut() {
            Some(node) if node.has_room_for(text, head_limit) => {
                let (entries, count) = node.parts();
                entries.push_front(text);
                *count += 1;
            }
            _ => self.nodes.push_front(Node::of_one(text, limit)),
        }
    }

    /// Moves elements from the end of the first node into the next: as many as have room there.
    fn pour_head(&mut self, limit: NodeLimit) {
        let (Some(Node::Packed { entries: head, .. }), Some(Node::Packed { entries: next, .. })) =
            (self.nodes.front(), self.nodes.get(1))
        else {
            return;
        };
        let room = limit.bytes.saturating_sub(next.byte_len());
        if head.byte_len() <= room {
            self.merge_with_next(0, limit);
        } else if let Some((_, index)) =
            head.seek_byte(head.byte_len() + listpack::HEADER_BYTES - room)
        {
            self.split(Place { node: 0, index });
            self.merge_with_next(1, limit);
        }
    }

    /// Cuts a large first node in two, so that the elements that go from its start move little.
    fn cut_head(&mut self) {
        if let Some(Node::Packed { entries, .. }) = self.nodes.front()
            && entries.byte_len() > 2 * HEAD_BYTES
            // Half full: the next to come must not make it join again at once.
            && let Some((_, index)) = entries.seek_byte(HEAD_BYTES / 2)
        {
            self.split(Place { node: 0, index });
        }
    }

    /// Makes one node of two, if that has no more than `max_bytes` and the first is one of those that the
    /// head has only for its own sake.
    pub fn join_head(&mut self, max_bytes: usize) {
        if self.nodes.len() == 2
            && let Some(Node::Packed { entries, .. }) = self.nodes.front()
            && entries.byte_len() <= HEAD_BYTES
        {
            self.merge_with_next(0, NodeLimit { bytes: max_bytes, count: usize::MAX });
        }
    }

    pub fn pop<R>(
        &mut self,
        end: End,
        limit: NodeLimit,
        f: impl FnOnce(Item<'_>) -> R,
    ) -> Option<R> {
        if end == End::Head && limit.is_by_size() {
            self.cut_head();
        }
        let node = match end {
            End::Head => self.nodes.front_mut()?,
            End::Tail => self.nodes.back_mut()?,
        };
        let result;
        match node {
            Node::Packed { entries, count } => {
                let pos = match end {
                    End::Head => entries.first()?,
                    End::Tail => entries.last()?,
                };
                result = f(entries.at(pos));
                entries.remove(pos);
                *count -= 1;
                if *count == 0 {
                    self.drop_node(end);
                }
            }
            Node::Plain(text) => {
                result = f(Item::Bytes(text));
                self.drop_node(end);
            }
        }
        self.len -= 1;
        Some(result)
    }

    fn drop_node(&mut self, end: End) {
        match end {
            End::Head => drop(self.nodes.pop_front()),
            End::Tail => drop(self.nodes.pop_back()),
        }
        self.give_back_room();
    }

    /// A list that was long once must not keep the room of its nodes for ever.
    fn give_back_room(&mut self) {
        if self.nodes.len() < self.nodes.capacity() / SPARSE {
            self.nodes.shrink_to(self.nodes.len() * 2);
        }
    }

    /// Where element `index` is, counted from the nearer end.
    fn locate(&self, index: usize) -> Option<Place> {
        if index >= self.len {
            return None;
        }
        if index <= self.len / 2 {
            let mut before = 0;
            for (number, node) in self.nodes.iter().enumerate() {
                if index < before + node.count() {
                    return Some(Place { node: number, index: index - before });
                }
                before += node.count();
            }
        } else {
            let mut before = self.len;
            for (number, node) in self.nodes.iter().enumerate().rev() {
                before -= node.count();
                if index >= before {
                    return Some(Place { node: number, index: index - before });
                }
            }
        }
        unreachable!("the length is the sum of the counts")
    }

    pub fn at(&self, index: usize) -> Option<Item<'_>> {
        let place = self.locate(index)?;
        self.nodes[place.node].iter_from(place.index).next()
    }

    pub fn iter(&self) -> Iter<'_> {
        Iter {
            front: NodeIter::Plain(None),
            middle: self.nodes.iter(),
            back: NodeIter::Plain(None),
        }
    }

    /// The elements from `index` on.
    pub fn iter_from(&self, index: usize) -> Iter<'_> {
        let Some(place) = self.locate(index) else { return Iter::empty() };
        Iter {
            front: self.nodes[place.node].iter_from(place.index),
            middle: self.nodes.range(place.node + 1..),
            back: NodeIter::Plain(None),
        }
    }

    /// The elements before `index`.
    pub fn iter_to(&self, index: usize) -> Iter<'_> {
        let Some(place) = self.locate(index) else { return self.iter() };
        Iter {
            front: NodeIter::Plain(None),
            middle: self.nodes.range(..place.node),
            back: self.nodes[place.node].iter_to(place.index),
        }
    }

    /// Inserts before element `index`, or at the end when there is none.
    pub fn insert(&mut self, index: usize, text: &[u8], limit: NodeLimit) {
        let Some(place) = self.locate(index) else { return self.push_back(text, limit) };
        self.len += 1;
        if place.index == 0 {
            // Between two nodes: either will do, or a new one.
            let previous = place.node.checked_sub(1);
            if let Some(previous) = previous
                && self.nodes[previous].has_room_for(text, limit)
            {
                let (entries, count) = self.nodes[previous].parts();
                entries.push_back(text);
                *count += 1;
                return;
            }
            if !self.nodes[place.node].has_room_for(text, limit) {
                self.nodes.insert(place.node, Node::of_one(text, limit));
                return;
            }
        }
        let node = &mut self.nodes[place.node];
        if node.has_room_for(text, limit) {
            let (entries, count) = node.parts();
            let pos = entries.seek(place.index).expect("located");
            entries.insert_before(pos, text);
            *count += 1;
            return;
        }
        self.split(place);
        self.nodes.insert(place.node + 1, Node::of_one(text, limit));
        // The later pair first, so that the earlier numbers stay good.
        self.merge_with_next(place.node + 2, limit);
        self.merge_with_next(place.node + 1, limit);
        self.merge_with_next(place.node, limit);
    }

    /// Cuts a packed node in two before `place`, which is not its start.
    fn split(&mut self, place: Place) {
        let (entries, count) = self.nodes[place.node].parts();
        let pos = entries.seek(place.index).expect("located");
        let tail = entries.split_off(pos, place.index);
        let moved = *count - place.index as u32;
        *count = place.index as u32;
        self.nodes.insert(place.node + 1, Node::Packed { entries: tail, count: moved });
    }

    fn merge_with_next(&mut self, number: usize, limit: NodeLimit) {
        let (Some(node), Some(next)) = (self.nodes.get(number), self.nodes.get(number + 1)) else {
            return;
        };
        if node.may_merge(next, limit)
            && let Some(Node::Packed { entries: tail, count: moved }) =
                self.nodes.remove(number + 1)
        {
            let (entries, count) = self.nodes[number].parts();
            entries.append(&tail);
            *count += moved;
        }
    }

    /// Whether there was an element `index` to replace.
    pub fn replace(&mut self, index: usize, text: &[u8], limit: NodeLimit) -> bool {
        let Some(place) = self.locate(index) else { return false };
        let large = text.len() > limit.large_element_bytes();
        let node = &mut self.nodes[place.node];
        if node.count() == 1 {
            *node = Node::of_one(text, limit);
            return true;
        }
        let (entries, count) = node.parts();
        let pos = entries.seek(place.index).expect("located");
        if !large && !limit.exceeded_by(entries.byte_len() + text.len(), *count as usize) {
            entries.replace(pos, text);
        } else {
            entries.remove(pos);
            *count -= 1;
            self.len -= 1;
            self.insert(index, text, limit);
        }
        true
    }

    /// Removes up to `max` elements equal to `needle`, from the head or from the tail. Returns how
    /// many.
    pub fn remove_equal(&mut self, from_head: bool, max: usize, needle: Item<'_>) -> usize {
        let end = if from_head { End::Head } else { End::Tail };
        let (mut left, nodes) = (max, self.nodes.len());
        let mut emptied = false;
        for step in 0..nodes {
            if left == 0 {
                break;
            }
            let number = if from_head { step } else { nodes - 1 - step };
            match &mut self.nodes[number] {
                Node::Packed { entries, count } => {
                    let removed = remove_equal_packed(entries, end, left, needle);
                    *count -= removed as u32;
                    left -= removed;
                    emptied |= *count == 0;
                }
                plain @ Node::Plain(_) => {
                    if plain.iter().next().is_some_and(|item| same(item, needle)) {
                        // Emptied for now; all emptied nodes go together below.
                        *plain = Node::packed(Listpack::new());
                        left -= 1;
                        emptied = true;
                    }
                }
            }
        }
        if emptied {
            self.nodes.retain(|node| node.count() > 0);
            self.give_back_room();
        }
        self.len -= max - left;
        max - left
    }

    /// Removes up to `n` elements from `index` on.
    pub fn remove_range(&mut self, index: usize, n: usize) {
        let n = n.min(self.len.saturating_sub(index));
        let Some(place) = self.locate(index) else { return };
        let (mut left, mut number, mut inside) = (n, place.node, place.index);
        let mut first_emptied = None;
        while left > 0 {
            let node = &mut self.nodes[number];
            let here = left.min(node.count() - inside);
            let whole = here == node.count();
            if whole {
                first_emptied.get_or_insert(number);
            } else {
                let (entries, count) = node.parts();
                entries.remove_range(inside, here);
                *count -= here as u32;
            }
            left -= here;
            // Emptied nodes lie together: the range covers them from end to end.
            if left == 0
                && let Some(first) = first_emptied
            {
                let last = if whole { number } else { number - 1 };
                drop(self.nodes.drain(first..=last));
            }
            number += 1;
            inside = 0;
        }
        self.len -= n;
        self.give_back_room();
    }
}

/// The elements of one node.
#[derive(Clone, Debug)]
pub enum NodeIter<'a> {
    Packed(listpack::Iter<'a>),
    Plain(Option<&'a [u8]>),
}

impl<'a> Iterator for NodeIter<'a> {
    type Item = Item<'a>;

    #[inline]
    fn next(&mut self) -> Option<Item<'a>> {
        match self {
            NodeIter::Packed(iter) => iter.next(),
            NodeIter::Plain(text) => text.take().map(Item::Bytes),
        }
    }
}

impl DoubleEndedIterator for NodeIter<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        match self {
            NodeIter::Packed(iter) => iter.next_back(),
            NodeIter::Plain(text) => text.take().map(Item::Bytes),
        }
    }
}

/// The elements of a run of nodes, the outer ones perhaps in part.
#[derive(Clone, Debug)]
pub struct Iter<'a> {
    front: NodeIter<'a>,
    middle: vec_deque::Iter<'a, Node>,
    back: NodeIter<'a>,
}

impl Iter<'_> {
    fn empty() -> Self {
        Iter {
            front: NodeIter::Plain(None),
            middle: vec_deque::Iter::default(),
            back: NodeIter::Plain(None),
        }
    }
}

impl<'a> Iterator for Iter<'a> {
    type Item = Item<'a>;

    fn next(&mut self) -> Option<Item<'a>> {
        loop {
            if let Some(item) = self.front.next() {
                return Some(item);
            }
            match self.middle.next() {
                Some(node) => self.front = node.iter(),
                None => return self.back.next(),
            }
        }
    }
}

impl DoubleEndedIterator for Iter<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(item) = self.back.next_back() {
                return Some(item);
            }
            match self.middle.next_back() {
                Some(node) => self.back = node.iter(),
                None => return self.front.next_back(),
            }
        }
    }
}
