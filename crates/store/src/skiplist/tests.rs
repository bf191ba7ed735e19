//! Skiplists, every pointer and span checked against the lowest level.

use super::*;
use crate::relocate::Shaky;

impl Skiplist {
    fn levels_of(&self, link: Link) -> u8 {
        // SAFETY: links lead to live nodes.
        unsafe { (*link.as_ptr()).levels }
    }

    /// Checks every pointer and span against the lowest level.
    pub(crate) fn check(&self) {
        let mut links = vec![self.head];
        while let Some(next) = forward(*links.last().unwrap(), 0) {
            links.push(next);
        }
        assert_eq!(links.len() - 1, self.len());
        assert_eq!(self.tail, links.get(1..).and_then(|links| links.last()).copied());
        for (index, &link) in links.iter().enumerate() {
            let levels = usize::from(self.levels_of(link)).min(self.levels);
            for level in 0..levels {
                let target = match forward(link, level) {
                    Some(next) => links.iter().position(|&link| link == next).unwrap(),
                    None => links.len() - 1,
                };
                assert_eq!(span(link, level) as usize, target - index, "level {level}");
                let between = &links[index + 1..target.max(index + 1)];
                assert!(between.iter().all(|&l| usize::from(self.levels_of(l)) <= level));
            }
        }
        for pair in links[1..].windows(2) {
            let (a, b) = (self.lend(pair[0]), self.lend(pair[1]));
            assert_eq!(a.cmp(b.score(), b.member()), Ordering::Less);
            // SAFETY: the node is live.
            assert_eq!(unsafe { (*pair[1].as_ptr()).backward }, pair[0].as_ptr());
        }
    }
}

#[test]
fn spans_and_links_hold_through_every_edit() {
    let mut rng = Rng::with_seed(1);
    let mut list = Skiplist::new(2);
    let mut nodes = Vec::new();
    let mut shaky = Shaky::new();
    // Miri is some thousand times slower.
    let steps = if cfg!(miri) { 150u32 } else { 3000 };
    for step in 0..steps {
        match rng.u8(..8) {
            0..4 => {
                let score = f64::from(rng.i8(-5..5));
                nodes.push(list.insert(score, &step.to_be_bytes()).to_ptr());
            }
            7 if !nodes.is_empty() && rng.bool() => {
                let index = rng.usize(..nodes.len());
                list.relocate_head(&mut Mover::new(&mut shaky));
                list.relocate(&mut nodes[index], &mut Mover::new(&mut shaky));
            }
            4 | 5 if !nodes.is_empty() => list.remove(nodes.swap_remove(rng.usize(..nodes.len()))),
            6 if !nodes.is_empty() => {
                list.set_score(&nodes[rng.usize(..nodes.len())], f64::from(rng.i8(-5..5)));
            }
            7 if rng.u8(..40) == 0 && list.len() > 4 => {
                let start = rng.usize(..list.len());
                let mut gone = Vec::new();
                list.remove_range(start..start + 9, |node| gone.push(node.member().to_vec()));
                // Their members may not be read any more: compare what was copied.
                let alive: Vec<_> = list.iter().map(|node| node.link).collect();
                nodes.retain(|node| alive.contains(&node.0.ptr()));
                assert_eq!(alive.len(), nodes.len());
            }
            _ => {}
        }
        if step % 10 == 0 {
            list.check();
        }
    }
    for index in 0..list.len() {
        let node = list.at(index).unwrap();
        assert_eq!(list.rank(node.score(), node.member()), index);
    }
    assert!(list.at(list.len()).is_none());
}

#[test]
fn a_node_of_one_level_costs_little_more_than_its_member() {
    assert_eq!(member_offset(1) + 16, 48);
}
