//! Order trees against a sorted vector, and what holds of every part of them.

use proptest::prelude::*;

use super::*;
use crate::relocate::Shaky;

impl OrderTree {
    fn at(&self, index: usize) -> Option<NodeRef<'_>> {
        self.range(index..usize::MAX).next()
    }

    /// Checks what the tree says of itself.
    pub(crate) fn check(&self) {
        let mut entries = Vec::new();
        if let Tree::Branch(branch) = &self.root {
            assert!(branch.children.len() >= 2, "a root that leads to one child");
        }
        check_tree(&self.root, &mut entries);
        assert_eq!(entries.len(), self.len());
        for pair in entries.windows(2) {
            assert_eq!(pair[0].cmp(pair[1].score, pair[1].lend().member()), Ordering::Less);
        }
        for entry in entries {
            assert_eq!(entry.lend().to_ptr().node().score().to_bits(), entry.score.to_bits());
        }
    }
}

/// Collects the entries; returns how high the tree is.
fn check_tree(tree: &Tree, entries: &mut Vec<Entry>) -> usize {
    match tree {
        Tree::Leaf(leaf) => {
            assert!(leaf.len() <= FANOUT && leaf.capacity() < leaf.len() + 2 * STEP);
            entries.extend(leaf);
            0
        }
        Tree::Branch(branch) => {
            let Branch { lows, counts, children } = &**branch;
            assert!((1..=FANOUT).contains(&children.len()));
            assert_eq!((lows.len(), counts.len()), (children.len(), children.len()));
            let mut heights = Vec::new();
            for ((child, low), &count) in children.iter().zip(lows).zip(counts) {
                let from = entries.len();
                heights.push(check_tree(child, entries));
                assert_eq!(entries.len() - from, count as usize);
                assert!(count > 0);
                assert_eq!((entries[from].link, entries[from].score), (low.link, low.score));
            }
            assert!(heights.iter().all(|height| *height == heights[0]));
            for pair in children.windows(2) {
                assert!(pair[0].width() + pair[1].width() > JOINED);
            }
            heights[0] + 1
        }
    }
}

fn height(order: &OrderTree) -> usize {
    check_tree(&order.root, &mut Vec::new())
}

/// Entries that the leaves have room for.
fn room(tree: &Tree) -> usize {
    match tree {
        Tree::Leaf(leaf) => leaf.capacity(),
        Tree::Branch(branch) => branch.children.iter().map(room).sum(),
    }
}

fn of(scores: impl Iterator<Item = u32>) -> OrderTree {
    let mut order = OrderTree::new();
    for score in scores {
        order.insert(f64::from(score), &score.to_be_bytes());
    }
    order.check();
    order
}

fn scores(iter: impl Iterator<Item = f64>) -> Vec<u32> {
    iter.map(|score| score as u32).collect()
}

#[test]
fn what_comes_in_order_fills_its_leaves() {
    for order in [of(0..2000), of((0..2000).rev())] {
        assert!(room(&order.root) <= 2000 + FANOUT, "{}", room(&order.root));
    }
    let few = of(0..3);
    assert!(room(&few.root) <= 4);
}

#[test]
fn what_comes_anyhow_leaves_little_room_in_its_leaves() {
    let mut all: Vec<u32> = (0..4000).collect();
    fastrand::Rng::with_seed(3).shuffle(&mut all);
    let order = of(all.into_iter());
    assert!(room(&order.root) < 4000 / 8 * 9, "{}", room(&order.root));
}

#[test]
fn a_descent_between_two_leaves_leaves_no_crumbs() {
    let mut order = of((0..500).chain(100_000..100_500));
    for score in (50_000u32..51_000).rev() {
        order.insert(f64::from(score), &score.to_be_bytes());
    }
    order.check();
    assert_eq!(order.len(), 2000);
}

#[test]
fn what_was_large_becomes_low_again() {
    let mut order = of(0..5000);
    assert!(height(&order) >= 3);
    order.remove_range(10..4990, |_| ());
    order.check();
    assert_eq!(order.len(), 20);
    assert!(height(&order) <= 1);
    order.remove_range(0..usize::MAX, |_| ());
    order.check();
    assert!(order.len() == 0 && room(&order.root) < 2 * STEP);
    assert!(order.at(0).is_none());
    order.insert(1.0, b"again");
    assert_eq!(order.at(0).map(|node| node.member()), Some(&b"again"[..]));
}

#[test]
fn ranges_are_read_from_both_ends_in_turn() {
    let order = of(0..1000);
    for range in [0..0, 0..1000, 3..4, 15..17, 1..999, 400..2000, 1000..1001, 2000..3000] {
        let expected: Vec<u32> =
            range.clone().take_while(|n| *n < 1000).map(|n| n as u32).collect();
        let nodes = || order.range(range.clone()).map(|node| node.score());
        assert_eq!(nodes().size_hint(), (expected.len(), Some(expected.len())));
        assert_eq!(scores(nodes()), expected);
        let mut backwards = scores(nodes().rev());
        backwards.reverse();
        assert_eq!(backwards, expected);
        let (mut iter, mut front, mut back) = (nodes(), Vec::new(), Vec::new());
        while let Some(score) = iter.next() {
            front.push(score);
            back.extend(iter.next_back());
        }
        assert!(iter.next().is_none() && iter.next_back().is_none());
        front.extend(back.into_iter().rev());
        assert_eq!(scores(front.into_iter()), expected);
    }
}

#[test]
fn a_node_costs_its_member_and_nine_bytes() {
    assert_eq!(node_len(&[0; 23]), 32);
    assert_eq!(node_len(&[0; 255]), 255 + 17);
    let mut order = OrderTree::new();
    let long = vec![7; 300];
    let node = order.insert(1.0, &long).to_ptr();
    assert_eq!(node.key(), long);
    assert_eq!(order.at(0).map(NodeRef::allocated_bytes), Some(block::size_class(317)));
}

#[derive(Clone, Debug)]
enum Edit {
    /// This many in a row, from a score up or down, all with one score or each with its own.
    Insert {
        from: i32,
        step: i32,
        count: usize,
    },
    Remove(usize),
    SetScore(usize, i32),
    RemoveRange(usize, usize),
    Relocate,
}

fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        4 => (-50i32..50, -1i32..=1, 1usize..150)
            .prop_map(|(from, step, count)| Edit::Insert { from, step, count }),
        6 => any::<usize>().prop_map(Edit::Remove),
        8 => (any::<usize>(), -60i32..60).prop_map(|(at, score)| Edit::SetScore(at, score)),
        2 => (any::<usize>(), 0usize..200).prop_map(|(at, count)| Edit::RemoveRange(at, count)),
        1 => Just(Edit::Relocate),
    ]
}

type Model = Vec<(f64, Vec<u8>, NodePtr)>;

fn sort(model: &mut Model) {
    model.sort_by(|a, b| a.0.total_cmp(&b.0).then_with(|| a.1.cmp(&b.1)));
}

fn apply(order: &mut OrderTree, model: &mut Model, edit: Edit, shaky: &mut Shaky, next: &mut u32) {
    match edit {
        Edit::Insert { from, step, count } => {
            for n in 0..count as i32 {
                // The order of bytes is not that of insertion.
                *next += 1;
                let member = next.wrapping_mul(0x9E37_79B1).to_be_bytes();
                let score = f64::from(from + n * step);
                let node = order.insert(score, &member).to_ptr();
                model.push((score, member.to_vec(), node));
            }
        }
        Edit::Remove(at) if !model.is_empty() => {
            let (_, _, node) = model.remove(at % model.len());
            order.remove(node);
        }
        Edit::SetScore(at, score) if !model.is_empty() => {
            let at = at % model.len();
            model[at].0 = f64::from(score);
            order.set_score(&model[at].2, f64::from(score));
        }
        Edit::RemoveRange(at, count) => {
            let from = at % (model.len() + 1);
            let to = model.len().min(from + count);
            let mut seen = Vec::new();
            order.remove_range(from..from + count, |n| seen.push((n.score(), n.member().to_vec())));
            let gone: Vec<_> =
                model.drain(from..to).map(|(score, member, _)| (score, member)).collect();
            assert_eq!(seen, gone);
        }
        Edit::Relocate => {
            let mut mover = Mover::new(shaky);
            model.iter_mut().for_each(|(_, _, node)| order.relocate(node, &mut mover));
            let (mut next, mut steps) = (Some(0), 0);
            while let Some(index) = next {
                next = order.relocate_leaf(index, &mut mover);
                steps += 1;
            }
            assert!(steps <= model.len().max(1));
        }
        Edit::Remove(_) | Edit::SetScore(..) => {}
    }
    sort(model);
}

proptest! {
    #[test]
    fn edits_agree_with_a_sorted_vector(edits in prop::collection::vec(edit(), 0..80)) {
        let (mut order, mut model) = (OrderTree::new(), Model::new());
        let (mut shaky, mut next) = (Shaky::new(), 0);
        for edit in edits {
            apply(&mut order, &mut model, edit, &mut shaky, &mut next);
            order.check();
            prop_assert_eq!(order.len(), model.len());
        }
        let found = order.iter().map(|node| (node.score(), node.member()));
        prop_assert!(found.eq(model.iter().map(|(score, member, _)| (*score, &member[..]))));
        for (rank, (score, member, node)) in model.iter().enumerate() {
            prop_assert_eq!(order.rank(*score, member), rank);
            prop_assert!(order.at(rank).is_some_and(|at| at.to_ptr().0.ptr::<u8>() == node.0.ptr()));
        }
        prop_assert!(order.at(model.len()).is_none());
        for bound in [-61.0, -3.0, 0.0, 0.5, 100.0] {
            let below = model.iter().filter(|(score, ..)| *score < bound).count();
            prop_assert_eq!(order.partition_point(|node| node.score() < bound), below);
            let rest = order.iter_from(|node| node.score() < bound).map(|node| node.member());
            prop_assert!(rest.eq(model[below..].iter().map(|(_, member, _)| &member[..])));
        }
    }
}
