//! The order of a large sorted set: an order-statistic B+ tree. Its leaves hold scores, each with a pointer to
//! the node of its member, so that a search reads few cache lines, and members only where scores are equal.
//! Owns the nodes; must not know how members are looked up by name.
//!
//! What holds between two calls:
//! - entries ascend by (score, bytes), and so do the lowest entries of a branch's children, which it has copies of;
//! - a branch knows how many entries are below each child, none of which is empty;
//! - two children beside each other have more than [`JOINED`] entries or children together;
//! - an entry's score is its node's.

use std::cmp::Ordering;
use std::marker::PhantomData;
use std::mem;
use std::ops::Range;
use std::ptr::NonNull;
use std::slice;

use crate::block;
use crate::element::{Element, Tagged};
use crate::relocate::Mover;

#[cfg(test)]
mod tests;

/// Entries of a leaf, and children of a branch, at most. Tests want trees that are high.
const FANOUT: usize = if cfg!(test) { 16 } else { 64 };
/// A leaf has room for fewer entries than this beyond those that it holds, twice as many after removals. Leaves are
/// then of the allocator's classes, none of which is far from its neighbour.
const STEP: usize = FANOUT / 8;
/// Neighbours with no more than this together become one.
const JOINED: usize = FANOUT / 2;

/// Head of a node. The member follows it, as [`block::write_text`] writes it.
#[repr(C)]
struct Header {
    score: f64,
}

type Link = NonNull<Header>;

/// A node, as the table that finds members by name holds it. The tree owns what it points at.
#[repr(transparent)]
pub(crate) struct NodePtr(Tagged);

// SAFETY: transparent around a `Tagged`, read by `ptr` only; a node's member never changes, and
// the owner of both keeps no table entry longer than its node.
unsafe impl Element for NodePtr {
    #[inline]
    fn key(&self) -> &[u8] {
        // SAFETY: the node lives as long as what the table holds.
        unsafe { member(self.0.ptr()) }
    }
}

impl NodePtr {
    #[inline]
    pub fn node(&self) -> NodeRef<'_> {
        let link: Link = self.0.ptr();
        // SAFETY: the node lives as long as what the table holds.
        let score = unsafe { link.as_ref() }.score;
        Entry { score, link }.lend()
    }
}

/// A node lent out, with its score.
#[derive(Clone, Copy)]
pub(crate) struct NodeRef<'a> {
    entry: Entry,
    marker: PhantomData<&'a ()>,
}

impl<'a> NodeRef<'a> {
    #[inline]
    pub fn score(self) -> f64 {
        self.entry.score
    }

    #[inline]
    pub fn member(self) -> &'a [u8] {
        // SAFETY: a live node for `'a`.
        unsafe { member(self.entry.link) }
    }

    pub fn to_ptr(self) -> NodePtr {
        NodePtr(Tagged::new(self.entry.link))
    }

    pub fn allocated_bytes(self) -> usize {
        block::size_class(node_len(self.member()))
    }
}

/// A score and the node that has it.
#[derive(Clone, Copy)]
struct Entry {
    score: f64,
    link: Link,
}

impl Entry {
    /// For as long as its tree is borrowed, or the table's element that leads to the node.
    #[inline]
    fn lend<'a>(self) -> NodeRef<'a> {
        NodeRef { entry: self, marker: PhantomData }
    }

    #[inline]
    fn cmp(&self, score: f64, member: &[u8]) -> Ordering {
        if self.score < score {
            Ordering::Less
        } else if self.score > score {
            Ordering::Greater
        } else {
            self.lend().member().cmp(member)
        }
    }
}

/// # Safety
/// The node is live for `'a`.
#[inline]
unsafe fn member<'a>(link: Link) -> &'a [u8] {
    // SAFETY: the caller's promise; `allocate` wrote the member there.
    unsafe { block::read_text(link.add(1).cast()) }
}

fn node_len(member: &[u8]) -> usize {
    size_of::<Header>() + block::len_len(member.len()) + member.len()
}

fn allocate(score: f64, member: &[u8]) -> Link {
    let link: Link = block::allocate(node_len(member)).cast();
    // SAFETY: the block has room for the header and the member.
    unsafe {
        link.write(Header { score });
        block::write_text(link.add(1).cast(), member);
    }
    link
}

/// # Safety
/// Nothing leads to the node any more.
unsafe fn free(link: Link) {
    // SAFETY: allocated for this length, which never changes.
    unsafe {
        let len = node_len(member(link));
        block::free(link.cast(), len);
    }
}

/// Where an entry is, or would be.
enum Place<'a> {
    Key(f64, &'a [u8]),
    /// Counted from the lowest of the subtree.
    Index(usize),
}

impl Place<'_> {
    /// The child to go on in, of which an index counts from then on.
    fn child(&mut self, branch: &Branch) -> usize {
        match self {
            Place::Key(score, member) => {
                let passed = branch.lows.partition_point(|low| low.cmp(*score, member).is_le());
                passed.saturating_sub(1)
            }
            Place::Index(index) => branch.child_at(index),
        }
    }

    fn slot(&self, leaf: &[Entry]) -> usize {
        match *self {
            Place::Key(score, member) => leaf.partition_point(|e| e.cmp(score, member).is_lt()),
            Place::Index(index) => index,
        }
    }
}

/// Entries or subtrees that are all as high.
enum Tree {
    Leaf(Vec<Entry>),
    Branch(Box<Branch>),
}

struct Branch {
    /// The lowest entry below each child.
    lows: Vec<Entry>,
    /// How many entries are below each child.
    counts: Vec<u32>,
    children: Vec<Tree>,
}

/// What has been taken out of a subtree.
struct Taken {
    count: usize,
    /// Whether its lowest entry was among them.
    lowest: bool,
}

impl Tree {
    /// Entries of a leaf, children of a branch.
    fn width(&self) -> usize {
        match self {
            Tree::Leaf(leaf) => leaf.len(),
            Tree::Branch(branch) => branch.children.len(),
        }
    }

    fn len(&self) -> usize {
        match self {
            Tree::Leaf(leaf) => leaf.len(),
            Tree::Branch(branch) => branch.count_before(branch.counts.len()),
        }
    }

    /// Of a tree that is not empty.
    fn low(&self) -> Entry {
        match self {
            Tree::Leaf(leaf) => leaf[0],
            Tree::Branch(branch) => branch.lows[0],
        }
    }

    /// Adds an entry that is not there; returns the upper part of what had to be cut in two. `is_last` says that no
    /// entry of the whole tree is above this part of it.
    fn insert(&mut self, entry: Entry, is_last: bool) -> Option<Tree> {
        let mut place = Place::Key(entry.score, entry.lend().member());
        match self {
            Tree::Leaf(leaf) => {
                let at = place.slot(leaf);
                insert_into_leaf(leaf, at, entry, is_last).map(Tree::Leaf)
            }
            Tree::Branch(branch) => {
                let at = place.child(branch);
                let is_last = is_last && at + 1 == branch.children.len();
                let upper = branch.children[at].insert(entry, is_last);
                let Some(upper) = upper else {
                    branch.counts[at] += 1;
                    if at == 0 {
                        branch.lows[0] = branch.children[0].low();
                    }
                    return None;
                };
                branch.sum_up(at);
                branch.insert(at + 1, upper, is_last).map(|b| Tree::Branch(Box::new(b)))
            }
        }
    }

    /// Takes out the entry at `place` and up to `count - 1` behind it, as many as are in the same leaf.
    fn take(&mut self, mut place: Place<'_>, count: usize, out: &mut impl FnMut(Entry)) -> Taken {
        match self {
            Tree::Leaf(leaf) => {
                let from = place.slot(leaf);
                let to = leaf.len().min(from + count);
                leaf.drain(from..to).for_each(out);
                if leaf.capacity() - leaf.len() >= 2 * STEP {
                    leaf.shrink_to((leaf.len() / STEP + 1) * STEP);
                }
                Taken { count: to - from, lowest: from == 0 }
            }
            Tree::Branch(branch) => {
                let at = place.child(branch);
                let taken = branch.children[at].take(place, count, out);
                if branch.children[at].width() == 0 {
                    branch.remove(at);
                } else {
                    branch.counts[at] -= taken.count as u32;
                    if taken.lowest {
                        branch.lows[at] = branch.children[at].low();
                    }
                }
                branch.settle(at);
                Taken { lowest: taken.lowest && at == 0, ..taken }
            }
        }
    }

    /// The leaf of a place, and the place in it.
    fn leaf_of(&mut self, mut place: Place<'_>) -> (&mut Vec<Entry>, usize) {
        let mut tree = self;
        loop {
            match tree {
                Tree::Leaf(leaf) => {
                    let slot = place.slot(leaf);
                    return (leaf, slot);
                }
                Tree::Branch(branch) => {
                    let at = place.child(branch);
                    tree = &mut branch.children[at];
                }
            }
        }
    }

    /// Has the entry of an index lead to where its node is now.
    fn repoint(&mut self, mut index: usize, link: Link) {
        match self {
            Tree::Leaf(leaf) => leaf[index].link = link,
            Tree::Branch(branch) => {
                let at = branch.child_at(&mut index);
                branch.children[at].repoint(index, link);
                branch.lows[at] = branch.children[at].low();
            }
        }
    }

    /// Moves the leaf that has this index, if it should, and the branches that begin with it. Returns how many
    /// entries that leaf has from there on.
    fn relocate_leaf(&mut self, mut index: usize, mover: &mut Mover<'_>) -> usize {
        match self {
            Tree::Leaf(leaf) => {
                mover.vec(leaf);
                leaf.len() - index
            }
            Tree::Branch(branch) => {
                if index == 0 {
                    mover.boxed(branch);
                    mover.vec(&mut branch.lows);
                    mover.vec(&mut branch.counts);
                    mover.vec(&mut branch.children);
                }
                let at = branch.child_at(&mut index);
                branch.children[at].relocate_leaf(index, mover)
            }
        }
    }

    /// Without the nodes.
    fn allocated_bytes(&self) -> usize {
        fn of<T>(vec: &Vec<T>) -> usize {
            if vec.capacity() == 0 { 0 } else { block::size_class(vec.capacity() * size_of::<T>()) }
        }
        match self {
            Tree::Leaf(leaf) => of(leaf),
            Tree::Branch(branch) => {
                let Branch { lows, counts, children } = &**branch;
                let own = block::size_class(size_of::<Branch>());
                let below: usize = children.iter().map(Tree::allocated_bytes).sum();
                own + of(lows) + of(counts) + of(children) + below
            }
        }
    }
}

/// Adds an entry to a leaf; returns the upper part of one that was full.
fn insert_into_leaf(
    leaf: &mut Vec<Entry>,
    at: usize,
    entry: Entry,
    is_last: bool,
) -> Option<Vec<Entry>> {
    if leaf.len() < FANOUT {
        insert_exact(leaf, at, entry);
        return None;
    }
    // Entries that come in ascending or in descending order leave full leaves behind them. Only below all others
    // is there a place before the first entry of a leaf.
    let cut = match at {
        0 => 0,
        FANOUT if is_last => FANOUT,
        _ => FANOUT / 2,
    };
    let mut upper = if cut == 0 { mem::take(leaf) } else { leaf.split_off(cut) };
    leaf.shrink_to_fit();
    if at < cut || cut == 0 {
        insert_exact(leaf, at, entry);
    } else {
        insert_exact(&mut upper, at - cut, entry);
    }
    Some(upper)
}

/// A leaf that grows does so by few entries, not to twice what it was.
fn insert_exact(leaf: &mut Vec<Entry>, at: usize, entry: Entry) {
    if leaf.len() == leaf.capacity() {
        leaf.reserve_exact(leaf.len().clamp(1, STEP));
    }
    leaf.insert(at, entry);
}

impl Branch {
    /// Of the two parts that the top of a tree has been cut into.
    fn of(lower: Tree, upper: Tree) -> Branch {
        let mut branch = Branch { lows: Vec::new(), counts: Vec::new(), children: Vec::new() };
        branch.push(0, lower);
        branch.push(1, upper);
        branch
    }

    fn push(&mut self, at: usize, child: Tree) {
        self.lows.insert(at, child.low());
        self.counts.insert(at, child.len() as u32);
        self.children.insert(at, child);
    }

    fn remove(&mut self, at: usize) -> Tree {
        self.lows.remove(at);
        self.counts.remove(at);
        self.children.remove(at)
    }

    fn sum_up(&mut self, at: usize) {
        self.lows[at] = self.children[at].low();
        self.counts[at] = self.children[at].len() as u32;
    }

    fn count_before(&self, child: usize) -> usize {
        self.counts[..child].iter().map(|&count| count as usize).sum()
    }

    /// The child that has this index, which counts from the child's first entry on afterwards.
    fn child_at(&self, index: &mut usize) -> usize {
        let last = self.counts.len() - 1;
        for (at, &count) in self.counts[..last].iter().enumerate() {
            if *index < count as usize {
                return at;
            }
            *index -= count as usize;
        }
        last
    }

    /// Adds a child; returns the upper part of a branch that was full.
    fn insert(&mut self, at: usize, child: Tree, is_last: bool) -> Option<Branch> {
        if self.children.len() < FANOUT {
            self.push(at, child);
            return None;
        }
        let cut = if is_last && at == FANOUT { FANOUT } else { FANOUT / 2 };
        let mut upper = Branch {
            lows: self.lows.split_off(cut),
            counts: self.counts.split_off(cut),
            children: self.children.split_off(cut),
        };
        if at < cut {
            self.push(at, child);
        } else {
            upper.push(at - cut, child);
        }
        Some(upper)
    }

    /// Joins a child that has become smaller, or two that have become neighbours, with what is beside.
    fn settle(&mut self, mut at: usize) {
        if at > 0 && self.fits(at - 1) {
            at -= 1;
            self.join(at);
        }
        if self.fits(at) {
            self.join(at);
        }
    }

    /// Whether a child and the next are few enough for one.
    fn fits(&self, at: usize) -> bool {
        match self.children.get(at..at + 2) {
            Some([lower, upper]) => lower.width() + upper.width() <= JOINED,
            _ => false,
        }
    }

    fn join(&mut self, at: usize) {
        self.counts[at] += self.counts[at + 1];
        match (self.remove(at + 1), &mut self.children[at]) {
            (Tree::Leaf(mut upper), Tree::Leaf(lower)) => {
                lower.reserve_exact(upper.len());
                lower.append(&mut upper);
            }
            (Tree::Branch(mut upper), Tree::Branch(lower)) => {
                lower.lows.append(&mut upper.lows);
                lower.counts.append(&mut upper.counts);
                let meeting = lower.children.len();
                lower.children.append(&mut upper.children);
                lower.settle(meeting);
            }
            _ => unreachable!("children are all as high"),
        }
    }
}

/// Members in the order of (score, bytes).
pub(crate) struct OrderTree {
    root: Tree,
    len: u32,
}

// SAFETY: a tree owns its nodes alone and has no interior mutability.
unsafe impl Send for OrderTree {}
// SAFETY: as above.
unsafe impl Sync for OrderTree {}
// SAFETY: it lives beside the tree that owns the node.
unsafe impl Send for NodePtr {}
// SAFETY: as above.
unsafe impl Sync for NodePtr {}

impl OrderTree {
    pub fn new() -> Self {
        OrderTree { root: Tree::Leaf(Vec::new()), len: 0 }
    }

    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// How many nodes come before the first that `passes` declines. Those it accepts must come
    /// before those it declines.
    pub fn partition_point(&self, mut passes: impl FnMut(NodeRef<'_>) -> bool) -> usize {
        let (mut tree, mut before) = (&self.root, 0);
        loop {
            match tree {
                Tree::Leaf(leaf) => {
                    return before + leaf.partition_point(|entry| passes(entry.lend()));
                }
                Tree::Branch(branch) => {
                    let at = branch.lows.partition_point(|low| passes(low.lend()));
                    let at = at.saturating_sub(1);
                    before += branch.count_before(at);
                    tree = &branch.children[at];
                }
            }
        }
    }

    /// How many nodes come before this score and member.
    pub fn rank(&self, score: f64, member: &[u8]) -> usize {
        self.partition_point(|node| node.entry.cmp(score, member).is_lt())
    }

    /// The leaf that an index below the length is in, and where there.
    fn leaf_at(&self, mut index: usize) -> (&[Entry], usize) {
        let mut tree = &self.root;
        loop {
            match tree {
                Tree::Leaf(leaf) => return (leaf, index),
                Tree::Branch(branch) => {
                    let at = branch.child_at(&mut index);
                    tree = &branch.children[at];
                }
            }
        }
    }

    /// Adds a member that is not there yet.
    pub fn insert(&mut self, score: f64, member: &[u8]) -> NodeRef<'_> {
        let entry = Entry { score, link: allocate(score, member) };
        self.add(entry);
        entry.lend()
    }

    fn add(&mut self, entry: Entry) {
        self.len = self.len.checked_add(1).expect("a sorted set has fewer than 2^32 members");
        if let Some(upper) = self.root.insert(entry, true) {
            let lower = mem::replace(&mut self.root, Tree::Leaf(Vec::new()));
            self.root = Tree::Branch(Box::new(Branch::of(lower, upper)));
        }
    }

    /// Takes entries of one leaf out: see [`Tree::take`].
    fn take(&mut self, place: Place<'_>, count: usize, mut out: impl FnMut(Entry)) -> usize {
        let taken = self.root.take(place, count, &mut out).count;
        self.len -= taken as u32;
        while let Tree::Branch(branch) = &mut self.root
            && branch.children.len() < 2
        {
            self.root = branch.children.pop().unwrap_or(Tree::Leaf(Vec::new()));
        }
        taken
    }

    /// Removes a node of this tree. `node` came from `to_ptr` and no table has it any more.
    pub fn remove(&mut self, node: NodePtr) {
        let lent = node.node();
        self.take(Place::Key(lent.score(), lent.member()), 1, |entry| {
            debug_assert_eq!(entry.link, node.0.ptr());
        });
        // SAFETY: taken out just now.
        unsafe { free(node.0.ptr()) };
    }

    /// Gives a node of this tree another score; the node stays where it is in memory.
    pub fn set_score(&mut self, node: &NodePtr, score: f64) {
        let (old, member) = (node.node().score(), node.node().member());
        let mut link: Link = node.0.ptr();
        let (leaf, at) = self.root.leaf_of(Place::Key(old, member));
        // Above the first of its leaf and below the last it needs no other leaf, and no branch hears of it.
        let stays = at > 0
            && leaf[0].cmp(score, member).is_lt()
            && leaf.last().is_some_and(|last| last.cmp(score, member).is_gt());
        if stays {
            let to = Place::Key(score, member).slot(leaf);
            if to > at {
                leaf[at..to].rotate_left(1);
                leaf[to - 1].score = score;
            } else {
                leaf[to..=at].rotate_right(1);
                leaf[to].score = score;
            }
        } else {
            self.take(Place::Key(old, member), 1, |_| ());
        }
        // SAFETY: the node is live, and no reference to its header is.
        unsafe { link.as_mut() }.score = score;
        if !stays {
            self.add(Entry { score, link });
        }
    }

    /// Moves a node of this tree if it should; `node` follows it.
    pub fn relocate(&mut self, node: &mut NodePtr, mover: &mut Mover<'_>) {
        let link: Link = node.0.ptr();
        if !mover.is_sparse(link.cast()) {
            return;
        }
        let lent = node.node();
        let index = self.rank(lent.score(), lent.member());
        let layout = block::layout(node_len(lent.member()));
        // SAFETY: allocated for this length; what leads to the node is set before anybody follows it.
        let moved = unsafe { mover.move_sparse(link.cast(), layout) };
        let Some(moved) = moved.map(NonNull::cast::<Header>) else { return };
        self.root.repoint(index, moved);
        node.0.set_ptr(moved);
    }

    /// Moves the leaf that has this index, if it should, and what leads to it; returns the index of the next.
    pub fn relocate_leaf(&mut self, index: usize, mover: &mut Mover<'_>) -> Option<usize> {
        if index >= self.len() {
            return None;
        }
        let next = index + self.root.relocate_leaf(index, mover);
        (next < self.len()).then_some(next)
    }

    /// Removes the nodes with these indexes, each after `f` has seen it.
    pub fn remove_range(&mut self, range: Range<usize>, mut f: impl FnMut(NodeRef<'_>)) {
        let mut left = range.len().min(self.len().saturating_sub(range.start));
        while left > 0 {
            left -= self.take(Place::Index(range.start), left, |entry| {
                f(entry.lend());
                // SAFETY: the tree takes it out, and the caller has seen it.
                unsafe { free(entry.link) };
            });
        }
    }

    /// The nodes with these indexes.
    pub fn range(&self, range: Range<usize>) -> Iter<'_> {
        let end = range.end.min(self.len());
        let between = range.start.min(end)..end;
        Iter { order: self, front: [].iter(), back: [].iter(), between }
    }

    /// The nodes from the first on that `passes` declines. Those it accepts must come before those it
    /// declines.
    pub fn iter_from(&self, passes: impl FnMut(NodeRef<'_>) -> bool) -> Iter<'_> {
        self.range(self.partition_point(passes)..self.len())
    }

    pub fn iter(&self) -> Iter<'_> {
        self.range(0..self.len())
    }

    /// What leads to the nodes.
    pub fn allocated_bytes(&self) -> usize {
        self.root.allocated_bytes()
    }
}

impl Drop for OrderTree {
    fn drop(&mut self) {
        for node in self.iter() {
            // SAFETY: nothing looks at members any more.
            unsafe { free(node.entry.link) };
        }
    }
}

/// Nodes in order, from both ends.
pub(crate) struct Iter<'a> {
    order: &'a OrderTree,
    /// What is left of the leaves that the ends are in.
    front: slice::Iter<'a, Entry>,
    back: slice::Iter<'a, Entry>,
    /// Indexes that neither has.
    between: Range<usize>,
}

impl<'a> Iterator for Iter<'a> {
    type Item = NodeRef<'a>;

    #[inline]
    fn next(&mut self) -> Option<NodeRef<'a>> {
        loop {
            if let Some(entry) = self.front.next() {
                return Some(entry.lend());
            }
            if self.between.is_empty() {
                return self.back.next().map(|entry| entry.lend());
            }
            let (leaf, at) = self.order.leaf_at(self.between.start);
            let part = &leaf[at..leaf.len().min(at + self.between.len())];
            self.between.start += part.len();
            self.front = part.iter();
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.front.len() + self.between.len() + self.back.len();
        (left, Some(left))
    }
}

impl DoubleEndedIterator for Iter<'_> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(entry) = self.back.next_back() {
                return Some(entry.lend());
            }
            if self.between.is_empty() {
                return self.front.next_back().map(|entry| entry.lend());
            }
            let (leaf, at) = self.order.leaf_at(self.between.end - 1);
            let part = &leaf[(at + 1).saturating_sub(self.between.len())..=at];
            self.between.end -= part.len();
            self.back = part.iter();
        }
    }
}
