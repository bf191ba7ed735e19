//! Random choice of several distinct elements. Owns the choice; must not know the collections.

use std::collections::HashSet;

use fastrand::Rng;

use crate::element::Element;
use crate::table::Table;

/// Passes `n` of the `len` items of `all` to `f`, in their order; every choice of `n` is equally
/// likely.
pub(crate) fn choose<T>(
    all: impl Iterator<Item = T>,
    len: usize,
    n: usize,
    rng: &mut Rng,
    mut f: impl FnMut(T),
) {
    let (mut left, mut needed) = (len, n.min(len));
    for item in all {
        if needed == 0 {
            break;
        }
        // Each item is taken with the chance that it is among the `needed` of those left.
        if rng.usize(..left) < needed {
            f(item);
            needed -= 1;
        }
        left -= 1;
    }
}

/// Passes `n` distinct elements of `table` to `f`, in no order; every choice is equally likely.
pub(crate) fn choose_in_table<E: Element>(
    table: &Table<E>,
    n: usize,
    rng: &mut Rng,
    mut f: impl FnMut(&E),
) {
    // Draws with repetition cost more than a walk once a third of the elements is wanted.
    if n.saturating_mul(3) >= table.len() {
        return choose(table.iter(), table.len(), n, rng, f);
    }
    let mut drawn = HashSet::with_capacity(n);
    while drawn.len() < n {
        let element = table.random(rng).expect("n is below the length");
        if drawn.insert(std::ptr::from_ref(element)) {
            f(element);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_choice_is_equally_likely() {
        let mut rng = Rng::with_seed(7);
        let mut seen = [0usize; 16];
        for _ in 0..60_000 {
            let mut mask = 0;
            choose(0..4, 4, 2, &mut rng, |item| mask |= 1 << item);
            seen[mask] += 1;
        }
        let pairs: Vec<_> = (0..16).filter(|mask: &usize| mask.count_ones() == 2).collect();
        let total: usize = pairs.iter().map(|&mask| seen[mask]).sum();
        assert_eq!(total, 60_000);
        // Chi-squared with five degrees of freedom: 20.5 is passed by chance once in a thousand.
        let chi: f64 = pairs.iter().map(|&mask| (seen[mask] as f64 - 1e4).powi(2) / 1e4).sum();
        assert!(chi < 20.5, "{seen:?}");
    }
}
