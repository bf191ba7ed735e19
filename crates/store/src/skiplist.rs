//! The order of a large sorted set: a skiplist with spans, each node one allocation with its
//! member. Owns the nodes; must not know how members are looked up by name.

use std::cmp::Ordering;
use std::marker::PhantomData;
use std::ops::Range;
use std::ptr::NonNull;

use fastrand::Rng;

use crate::block;
use crate::element::{Element, Tagged};
use crate::relocate::Mover;

#[cfg(test)]
mod tests;

/// Enough for as many nodes as spans can count: each level has a quarter of the one below.
const MAX_LEVELS: usize = 16;

/// Head of a node. It is followed by `levels` forward pointers, by the spans of all levels but the
/// lowest, whose span is always 1, and by the member.
#[repr(C)]
struct Header {
    score: f64,
    /// Null in the first node.
    backward: *mut Header,
    member_len: u32,
    levels: u8,
}

type Link = NonNull<Header>;

/// A node, as the table that finds members by name holds it. The skiplist owns what it points at.
#[repr(transparent)]
pub(crate) struct NodePtr(Tagged);

// SAFETY: transparent around a `Tagged`, read by `ptr` only; a node's member never changes, and
// the owner of both keeps no table entry longer than its node.
unsafe impl Element for NodePtr {
    #[inline]
    fn key(&self) -> &[u8] {
        self.node().member()
    }
}

impl NodePtr {
    #[inline]
    pub fn node(&self) -> NodeRef<'_> {
        NodeRef { link: self.0.ptr(), marker: PhantomData }
    }
}

/// A node lent out.
#[derive(Clone, Copy)]
pub(crate) struct NodeRef<'a> {
    link: Link,
    marker: PhantomData<&'a ()>,
}

impl<'a> NodeRef<'a> {
    #[inline]
    pub fn score(self) -> f64 {
        // SAFETY: a live node for `'a`.
        unsafe { (*self.link.as_ptr()).score }
    }

    #[inline]
    pub fn member(self) -> &'a [u8] {
        // SAFETY: a live node for `'a`, whose member lies behind its levels.
        unsafe {
            let header = self.link.as_ptr();
            let start = self.link.cast::<u8>().add(member_offset((*header).levels as usize));
            std::slice::from_raw_parts(start.as_ptr(), (*header).member_len as usize)
        }
    }

    pub fn to_ptr(self) -> NodePtr {
        NodePtr(Tagged::new(self.link))
    }

    pub fn allocated_bytes(self) -> usize {
        block::size_class(node_len(self.link))
    }

    fn cmp(self, score: f64, member: &[u8]) -> Ordering {
        if self.score() < score {
            Ordering::Less
        } else if self.score() > score {
            Ordering::Greater
        } else {
            self.member().cmp(member)
        }
    }
}

const fn member_offset(levels: usize) -> usize {
    size_of::<Header>() + levels * size_of::<*mut Header>() + (levels - 1) * size_of::<u32>()
}

fn node_len(link: Link) -> usize {
    // SAFETY: links lead to live nodes only.
    let (levels, member_len) = unsafe { ((*link.as_ptr()).levels, (*link.as_ptr()).member_len) };
    member_offset(levels as usize) + member_len as usize
}

#[inline]
fn forward_at(link: Link, level: usize) -> NonNull<*mut Header> {
    // SAFETY: `level` is below the node's levels, as all callers see to.
    unsafe { link.add(1).cast::<*mut Header>().add(level) }
}

#[inline]
fn forward(link: Link, level: usize) -> Option<Link> {
    // SAFETY: forward pointers are null or lead to live nodes.
    NonNull::new(unsafe { forward_at(link, level).read() })
}

fn set_forward(link: Link, level: usize, to: Option<Link>) {
    // SAFETY: the slot is the node's own.
    unsafe { forward_at(link, level).write(to.map_or(std::ptr::null_mut(), NonNull::as_ptr)) }
}

/// Where the span of a level above the lowest is.
fn span_at(link: Link, level: usize) -> NonNull<u32> {
    // SAFETY: as `forward_at`; the spans follow the node's forward pointers.
    unsafe {
        let levels = (*link.as_ptr()).levels as usize;
        forward_at(link, levels).cast::<u32>().add(level - 1)
    }
}

/// How many nodes further the forward pointer leads; where it is null, how many follow.
#[inline]
fn span(link: Link, level: usize) -> u32 {
    if level == 0 {
        u32::from(forward(link, 0).is_some())
    } else {
        // SAFETY: the slot is the node's own.
        unsafe { span_at(link, level).read() }
    }
}

fn set_span(link: Link, level: usize, span: u32) {
    if level > 0 {
        // SAFETY: the slot is the node's own.
        unsafe { span_at(link, level).write(span) }
    }
}

fn allocate(levels: usize, score: f64, member: &[u8]) -> Link {
    let member_len = u32::try_from(member.len()).expect("a member is shorter than 4 GiB");
    let header = Header { score, backward: std::ptr::null_mut(), member_len, levels: levels as u8 };
    let offset = member_offset(levels);
    let node = block::allocate(offset + member.len());
    // SAFETY: the block has room for the header, the zeroed links and spans, and the member.
    unsafe {
        node.write_bytes(0, offset);
        node.cast::<Header>().write(header);
        node.add(offset).copy_from_nonoverlapping(NonNull::from(member).cast(), member.len());
    }
    node.cast()
}

/// # Safety
/// Nothing leads to the node any more.
unsafe fn free(link: Link) {
    // SAFETY: allocated for this length, which never changes.
    unsafe { block::free(link.cast(), node_len(link)) }
}

/// Members in the order of (score, bytes).
pub(crate) struct Skiplist {
    /// A node with all levels and no member.
    head: Link,
    tail: Option<Link>,
    len: u32,
    /// Levels in use.
    levels: usize,
    rng: Rng,
}

// SAFETY: a skiplist owns its nodes alone and has no interior mutability.
unsafe impl Send for Skiplist {}
// SAFETY: as above.
unsafe impl Sync for Skiplist {}
// SAFETY: it lives beside the skiplist that owns the node.
unsafe impl Send for NodePtr {}
// SAFETY: as above.
unsafe impl Sync for NodePtr {}

/// The last node of each level before some place, and how many nodes come before its successor.
struct Path {
    before: [Link; MAX_LEVELS],
    rank: [u32; MAX_LEVELS],
}

impl Skiplist {
    /// `seed` decides the levels.
    pub fn new(seed: u64) -> Self {
        let head = allocate(MAX_LEVELS, 0.0, b"");
        Skiplist { head, tail: None, len: 0, levels: 1, rng: Rng::with_seed(seed) }
    }

    pub fn len(&self) -> usize {
        self.len as usize
    }

    fn lend(&self, link: Link) -> NodeRef<'_> {
        NodeRef { link, marker: PhantomData }
    }

    pub fn first(&self) -> Option<NodeRef<'_>> {
        forward(self.head, 0).map(|link| self.lend(link))
    }

    pub fn last(&self) -> Option<NodeRef<'_>> {
        self.tail.map(|link| self.lend(link))
    }

    /// Walks down to the place before the first node that `passes` declines. It is asked about a
    /// node and the node's index.
    fn path(&self, mut passes: impl FnMut(NodeRef<'_>, usize) -> bool) -> Path {
        let mut path = Path { before: [self.head; MAX_LEVELS], rank: [0; MAX_LEVELS] };
        let (mut link, mut rank) = (self.head, 0);
        for level in (0..self.levels).rev() {
            while let Some(next) = forward(link, level) {
                let next_rank = rank + span(link, level);
                if !passes(self.lend(next), next_rank as usize - 1) {
                    break;
                }
                (link, rank) = (next, next_rank);
            }
            path.before[level] = link;
            path.rank[level] = rank;
        }
        path
    }

    fn path_to(&self, score: f64, member: &[u8]) -> Path {
        self.path(|node, _| node.cmp(score, member) == Ordering::Less)
    }

    /// How many nodes come before the first that `passes` declines. Those it accepts must come
    /// before those it declines.
    pub fn partition_point(&self, mut passes: impl FnMut(NodeRef<'_>) -> bool) -> usize {
        self.path(|node, _| passes(node)).rank[0] as usize
    }

    /// How many nodes come before this score and member.
    pub fn rank(&self, score: f64, member: &[u8]) -> usize {
        self.path_to(score, member).rank[0] as usize
    }

    pub fn at(&self, index: usize) -> Option<NodeRef<'_>> {
        if index + 1 == self.len() {
            return self.last();
        }
        let path = self.path(|_, at| at < index);
        forward(path.before[0], 0).map(|link| self.lend(link))
    }

    /// Adds a member that is not there yet.
    pub fn insert(&mut self, score: f64, member: &[u8]) -> NodeRef<'_> {
        // Two random bits a level: each level has a quarter of the one below.
        let levels = 1 + self.rng.u64(..).trailing_zeros() as usize / 2;
        let link = allocate(levels.min(MAX_LEVELS), score, member);
        self.link(link);
        self.lend(link)
    }

    fn link(&mut self, link: Link) {
        // SAFETY: the node is live and not in the list.
        let (score, levels) = unsafe { ((*link.as_ptr()).score, (*link.as_ptr()).levels as usize) };
        let mut path = self.path_to(score, self.lend(link).member());
        while self.levels < levels {
            path.before[self.levels] = self.head;
            path.rank[self.levels] = 0;
            set_forward(self.head, self.levels, None);
            set_span(self.head, self.levels, self.len);
            self.levels += 1;
        }
        let rank = path.rank[0];
        for level in 0..levels {
            let before = path.before[level];
            let left = rank - path.rank[level];
            let whole = if level == 0 { 0 } else { span(before, level) };
            set_forward(link, level, forward(before, level));
            set_forward(before, level, Some(link));
            if level > 0 {
                set_span(link, level, whole - left);
                set_span(before, level, left + 1);
            }
        }
        for level in levels..self.levels {
            let before = path.before[level];
            set_span(before, level, span(before, level) + 1);
        }
        let before = path.before[0];
        let backward = if before == self.head { std::ptr::null_mut() } else { before.as_ptr() };
        // SAFETY: both nodes are live.
        unsafe { (*link.as_ptr()).backward = backward };
        match forward(link, 0) {
            // SAFETY: as above.
            Some(next) => unsafe { (*next.as_ptr()).backward = link.as_ptr() },
            None => self.tail = Some(link),
        }
        self.len = self.len.checked_add(1).expect("a sorted set has fewer than 2^32 members");
    }

    /// Takes the node that follows `path` out of the list.
    fn unlink(&mut self, path: &Path, link: Link) {
        debug_assert_eq!(forward(path.before[0], 0), Some(link));
        for level in 0..self.levels {
            let before = path.before[level];
            if forward(before, level) == Some(link) {
                let spanned = span(before, level) + span(link, level);
                set_forward(before, level, forward(link, level));
                set_span(before, level, spanned - 1);
            } else {
                set_span(before, level, span(before, level) - 1);
            }
        }
        // SAFETY: the node is live, and so are its neighbours.
        let backward = unsafe { (*link.as_ptr()).backward };
        match forward(link, 0) {
            // SAFETY: as above.
            Some(next) => unsafe { (*next.as_ptr()).backward = backward },
            None => self.tail = NonNull::new(backward),
        }
        while self.levels > 1 && forward(self.head, self.levels - 1).is_none() {
            self.levels -= 1;
        }
        self.len -= 1;
    }

    /// Removes a node of this list. `node` came from `to_ptr` and no table has it any more.
    pub fn remove(&mut self, node: NodePtr) {
        let link = node.0.ptr();
        let path = self.path_to(node.node().score(), node.node().member());
        self.unlink(&path, link);
        // SAFETY: unlinked just now.
        unsafe { free(link) };
    }

    /// Gives a node of this list another score; the node stays where it is in memory.
    pub fn set_score(&mut self, node: &NodePtr, score: f64) {
        let link: Link = node.0.ptr();
        let member = node.node().member();
        // SAFETY: the node is live, and so is what it links to.
        let stays = unsafe {
            let previous = NonNull::new((*link.as_ptr()).backward);
            previous.is_none_or(|p| self.lend(p).cmp(score, member) == Ordering::Less)
                && forward(link, 0)
                    .is_none_or(|n| self.lend(n).cmp(score, member) == Ordering::Greater)
        };
        if !stays {
            let path = self.path_to(node.node().score(), member);
            self.unlink(&path, link);
        }
        // SAFETY: the node is live, and no reference into its header is.
        unsafe { (*link.as_ptr()).score = score };
        if !stays {
            self.link(link);
        }
    }

    /// Moves a node of this list if it should; `node` follows it.
    pub fn relocate(&mut self, node: &mut NodePtr, mover: &mut Mover<'_>) {
        let link: Link = node.0.ptr();
        if !mover.is_sparse(link.cast()) {
            return;
        }
        let path = self.path_to(node.node().score(), node.node().member());
        // SAFETY: allocated for this length; all that leads to the node is found on its path and in its
        // neighbours, and is set before anybody follows it.
        let moved = unsafe { mover.move_sparse(link.cast(), block::layout(node_len(link))) };
        let Some(moved) = moved.map(NonNull::cast::<Header>) else { return };
        // SAFETY: the node is live at its new place.
        let levels = usize::from(unsafe { (*moved.as_ptr()).levels });
        for (level, before) in path.before.into_iter().enumerate().take(levels) {
            debug_assert_eq!(forward(before, level), Some(link));
            set_forward(before, level, Some(moved));
        }
        match forward(moved, 0) {
            // SAFETY: the neighbour is live.
            Some(next) => unsafe { (*next.as_ptr()).backward = moved.as_ptr() },
            None => self.tail = Some(moved),
        }
        node.0.set_ptr(moved);
    }

    /// Moves what the list begins with, if it should: no node leads back to it.
    pub fn relocate_head(&mut self, mover: &mut Mover<'_>) {
        // SAFETY: allocated for this length.
        let head = unsafe { block::relocate(self.head.cast(), node_len(self.head), mover) };
        self.head = head.cast();
    }

    /// Removes the nodes with these indexes, each after `f` has seen it.
    pub fn remove_range(&mut self, range: Range<usize>, mut f: impl FnMut(NodeRef<'_>)) {
        let path = self.path(|_, at| at < range.start);
        for _ in range {
            let Some(link) = forward(path.before[0], 0) else { break };
            f(self.lend(link));
            self.unlink(&path, link);
            // SAFETY: unlinked just now.
            unsafe { free(link) };
        }
    }

    /// The nodes with these indexes.
    pub fn range(&self, range: Range<usize>) -> Iter<'_> {
        let range = range.start..range.end.min(self.len());
        if range.is_empty() {
            return Iter { front: None, back: None, left: 0, marker: PhantomData };
        }
        let (front, back) = (self.at(range.start), self.at(range.end - 1));
        Iter {
            front: front.map(|node| node.link),
            back: back.map(|node| node.link),
            left: range.len(),
            marker: PhantomData,
        }
    }

    /// The nodes from the first on that `passes` declines. Those it accepts must come before those it
    /// declines.
    pub fn iter_from(&self, mut passes: impl FnMut(NodeRef<'_>) -> bool) -> Iter<'_> {
        let path = self.path(|node, _| passes(node));
        let left = self.len() - path.rank[0] as usize;
        let front = forward(path.before[0], 0);
        Iter { front, back: self.tail, left, marker: PhantomData }
    }

    pub fn iter(&self) -> Iter<'_> {
        let front = self.first().map(|node| node.link);
        Iter { front, back: self.tail, left: self.len(), marker: PhantomData }
    }

    pub fn head_bytes(&self) -> usize {
        block::size_class(node_len(self.head))
    }
}

impl Drop for Skiplist {
    fn drop(&mut self) {
        let mut next = Some(self.head);
        while let Some(link) = next {
            next = forward(link, 0);
            // SAFETY: nothing looks at the list any more, and `next` was read before.
            unsafe { free(link) };
        }
    }
}

/// Nodes in order, from both ends.
pub(crate) struct Iter<'a> {
    front: Option<Link>,
    back: Option<Link>,
    left: usize,
    marker: PhantomData<&'a Skiplist>,
}

impl<'a> Iterator for Iter<'a> {
    type Item = NodeRef<'a>;

    fn next(&mut self) -> Option<NodeRef<'a>> {
        self.left = self.left.checked_sub(1)?;
        let link = self.front?;
        self.front = forward(link, 0);
        Some(NodeRef { link, marker: PhantomData })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl DoubleEndedIterator for Iter<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let link = self.back?;
        // SAFETY: the list is borrowed, so the node is live.
        self.back = NonNull::new(unsafe { (*link.as_ptr()).backward });
        Some(NodeRef { link, marker: PhantomData })
    }
}
