//! Counts of latencies in buckets whose width grows with the value, so that each is known to a number
//! of decimal digits: the histogram of HdrHistogram, with its iterations as redis-benchmark prints them.
//!
//! Must not: know units; here they are microseconds.

/// What is below this is not told apart much.
const LOWEST: u64 = 10;
/// What is above counts as this.
const HIGHEST: u64 = 3_000_000;

#[derive(Clone, Debug)]
pub(super) struct Histogram {
    unit_magnitude: u32,
    half_magnitude: u32,
    mask: u64,
    counts: Vec<u64>,
    total: u64,
    min: u64,
    max: u64,
}

/// One line of a distribution.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Line {
    pub percent: f64,
    /// Not above this.
    pub value: u64,
    pub cumulative: u64,
}

impl Histogram {
    /// `digits` significant decimal digits, from 1 to 5.
    pub(super) fn new(digits: u32) -> Self {
        let unit_magnitude = LOWEST.ilog2();
        let resolution = 2 * 10u64.pow(digits.clamp(1, 5));
        let half_magnitude = resolution.next_power_of_two().ilog2() - 1;
        let sub_buckets = 1u64 << (half_magnitude + 1);
        let (mut untrackable, mut buckets) = (sub_buckets << unit_magnitude, 1);
        while untrackable <= HIGHEST {
            untrackable <<= 1;
            buckets += 1;
        }
        let mask = (sub_buckets - 1) << unit_magnitude;
        let counts = vec![0; (buckets + 1) << half_magnitude];
        Self { unit_magnitude, half_magnitude, mask, counts, total: 0, min: u64::MAX, max: 0 }
    }

    pub(super) fn record(&mut self, value: u64) {
        let value = value.min(HIGHEST);
        let index = self.index(value);
        self.counts[index] += 1;
        self.total += 1;
        self.min = self.min.min(value);
        self.max = self.max.max(value);
    }

    /// Takes in what another one of as many digits has counted.
    pub(super) fn add(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.total += other.total;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }

    pub(super) fn mean(&self) -> f64 {
        self.mean_since(None)
    }

    /// Of what was counted after an earlier state.
    pub(super) fn mean_since(&self, earlier: Option<&Self>) -> f64 {
        let before = |index: usize| earlier.map_or(0, |earlier| earlier.counts[index]);
        let middle = |index: usize| self.lowest(index) + self.size(index) / 2;
        let counted = self.counts.iter().enumerate().filter(|(_, count)| **count > 0);
        let sum: u64 = counted.map(|(index, count)| (count - before(index)) * middle(index)).sum();
        sum as f64 / (self.total - earlier.map_or(0, |earlier| earlier.total)) as f64
    }

    pub(super) fn min(&self) -> u64 {
        if self.total == 0 || self.counts[0] > 0 { 0 } else { self.lowest(self.index(self.min)) }
    }

    pub(super) fn max(&self) -> u64 {
        self.highest(self.index(self.max))
    }

    /// The value that so many percent do not exceed.
    pub(super) fn at_percent(&self, percent: f64) -> u64 {
        let wanted = (percent / 100.0 * self.total as f64 + 0.5) as u64;
        let mut cumulative = 0;
        for (index, count) in self.counts.iter().enumerate() {
            cumulative += count;
            if cumulative >= wanted.max(1) {
                return self.highest(index);
            }
        }
        0
    }

    /// Lines that halve the distance to 100 percent each.
    pub(super) fn by_percent(&self) -> Vec<Line> {
        let mut lines = Vec::new();
        let (mut cumulative, mut percent) = (0, 0.0f64);
        for (index, count) in self.counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            cumulative += count;
            let reached = 100.0 * cumulative as f64 / self.total as f64;
            while percent <= reached {
                lines.push(Line { percent, value: self.highest(index), cumulative });
                // All is reached; what follows would only come nearer to it.
                if cumulative == self.total {
                    break;
                }
                let halvings = (100.0 / (100.0 - percent)).log2().floor() + 1.0;
                percent += 100.0 / halvings.exp2();
            }
        }
        if let Some(last) = lines.last() {
            lines.push(Line { percent: 100.0, ..*last });
        }
        changes(lines, self.total)
    }

    /// Lines for each tenth of a millisecond, and for each one beyond the second.
    pub(super) fn by_value(&self) -> Vec<Line> {
        let mut lines = Vec::new();
        let (mut level, mut step) = (100, 100);
        let (mut index, mut cumulative) = (0, 0);
        while cumulative < self.total && level <= 2 * HIGHEST {
            let until = self.index(level.min(HIGHEST));
            cumulative += self.counts[index..=until].iter().sum::<u64>();
            index = until + 1;
            let value = self.highest(until);
            let percent = 100.0 * cumulative as f64 / self.total as f64;
            lines.push(Line { percent, value, cumulative });
            level += step;
            if value > 2000 {
                step = 1000;
            }
            index = index.min(self.counts.len() - 1);
        }
        changes(lines, self.total)
    }

    fn index(&self, value: u64) -> usize {
        let bits = 64 - (value | self.mask).leading_zeros();
        let bucket = bits - self.unit_magnitude - (self.half_magnitude + 1);
        let sub = (value >> (bucket + self.unit_magnitude)) as usize;
        ((bucket as usize + 1) << self.half_magnitude) + sub - (1 << self.half_magnitude)
    }

    /// The bucket of an index, and the place in it.
    fn place(&self, index: usize) -> (u32, u64) {
        let half = 1usize << self.half_magnitude;
        match index >> self.half_magnitude {
            0 => (0, index as u64),
            bucket => (bucket as u32 - 1, ((index & (half - 1)) + half) as u64),
        }
    }

    fn lowest(&self, index: usize) -> u64 {
        let (bucket, sub) = self.place(index);
        sub << (bucket + self.unit_magnitude)
    }

    fn size(&self, index: usize) -> u64 {
        1 << (self.place(index).0 + self.unit_magnitude)
    }

    fn highest(&self, index: usize) -> u64 {
        self.lowest(index) + self.size(index) - 1
    }
}

/// Without lines that count no more than the one before, but for the last ones.
fn changes(lines: Vec<Line>, total: u64) -> Vec<Line> {
    let mut before = None;
    let mut kept = Vec::new();
    for line in lines {
        if before != Some(line.cumulative) || line.cumulative == total {
            kept.push(line);
        }
        before = Some(line.cumulative);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: impl IntoIterator<Item = u64>) -> Histogram {
        let mut histogram = Histogram::new(3);
        for value in values {
            histogram.record(value);
        }
        histogram
    }

    #[test]
    fn a_value_is_known_to_its_digits() {
        let histogram = Histogram::new(3);
        for value in (0..5000).chain((5000..HIGHEST).step_by(997)) {
            let index = histogram.index(value);
            assert!(
                (histogram.lowest(index)..=histogram.highest(index)).contains(&value),
                "{value}"
            );
            assert!(histogram.size(index) <= 8.max(value / 1000), "{value}");
        }
    }

    #[test]
    fn figures_are_those_of_hdr_histogram() {
        let histogram = of([20, 30, 40, 50, 1000, 5_000_000]);
        assert_eq!((histogram.min(), histogram.max()), (16, 3_000_319));
        assert_eq!([50.0, 95.0, 100.0].map(|p| histogram.at_percent(p)), {
            [47, 3_000_319, 3_000_319]
        });
        let same = of([20; 100]);
        assert_eq!(same.mean(), 20.0);
        assert_eq!(same.by_value(), [Line { percent: 100.0, value: 103, cumulative: 100 }]);
    }

    #[test]
    fn distributions_end_with_everything_and_skip_what_does_not_change() {
        let histogram = of((0..100).map(|i| if i < 90 { 50 } else { 2500 + i * 20 }));
        let lines = histogram.by_value();
        let values: Vec<u64> = lines.iter().map(|line| line.value).collect();
        assert_eq!(values, [103, 5103]);
        let lines = histogram.by_percent();
        assert_eq!(lines[0], Line { percent: 0.0, value: 55, cumulative: 90 });
        assert_eq!(lines.last().map(|line| (line.percent, line.cumulative)), Some((100.0, 100)));
        assert!(lines.is_sorted_by_key(|line| line.cumulative));
    }

    #[test]
    fn parts_add_up() {
        let mut sum = of([20, 3000]);
        sum.add(&of([500]));
        let whole = of([20, 3000, 500]);
        assert_eq!((sum.mean(), sum.max()), (whole.mean(), whole.max()));
        assert_eq!(sum.mean_since(Some(&of([20, 3000]))), of([500]).mean());
        let none = Histogram::new(3);
        assert_eq!((none.by_percent(), none.by_value()), (vec![], vec![]));
    }
}
