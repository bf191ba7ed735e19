//! Owns how a sequence that ends in a difference is made as short as it can be: delta debugging.
//!
//! Must not: know what a step is.

/// The shortest sequence found of which `fails` still holds; it holds of `steps`.
pub fn shrink<T: Clone>(steps: &[T], mut fails: impl FnMut(&[T]) -> bool) -> Vec<T> {
    let mut steps = steps.to_vec();
    let mut width = steps.len().div_ceil(2);
    while width > 0 {
        let mut at = 0;
        let before = steps.len();
        while at < steps.len() {
            let end = (at + width).min(steps.len());
            let without = [&steps[..at], &steps[end..]].concat();
            if fails(&without) {
                steps = without;
            } else {
                at = end;
            }
        }
        // What is gone may have been needed by what stays: another round of the same width.
        if steps.len() == before || width > 1 {
            width /= 2;
        }
    }
    steps
}

#[test]
fn what_is_not_needed_goes() {
    let steps: Vec<u32> = (0..1000).collect();
    let needed = [17, 18, 500, 999];
    let short = shrink(&steps, |steps| needed.iter().all(|n| steps.contains(n)));
    assert_eq!(short, needed);
}

/// 7 needs 5 wherever 5 is not needed by itself: the first round cannot drop 5 before 7.
#[test]
fn rounds_go_on_until_nothing_goes() {
    let short = shrink(&[5, 7, 9], |steps| {
        steps.contains(&9) && (!steps.contains(&7) || steps.contains(&5))
    });
    assert_eq!(short, [9]);
}
