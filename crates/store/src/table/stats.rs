//! How full the buckets of a table are, for who looks into it (DEBUG HTSTATS). Reads every bucket's line.

use super::Table;
use crate::element::Element;

/// The buckets of one generation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableStats {
    /// How many buckets hold so many elements.
    pub by_len: Vec<usize>,
}

impl TableStats {
    pub fn buckets(&self) -> usize {
        self.by_len.iter().sum()
    }

    pub fn used_buckets(&self) -> usize {
        self.by_len.iter().skip(1).sum()
    }

    pub fn elements(&self) -> usize {
        self.by_len.iter().enumerate().map(|(len, count)| len * count).sum()
    }

    pub fn max_len(&self) -> usize {
        self.by_len.len().saturating_sub(1)
    }
}

impl<E: Element> Table<E> {
    /// Of the only generation, or of the old and the new one during a resize.
    pub fn stats(&self) -> Vec<TableStats> {
        let generations = match self.old.allocated {
            true => &[self.old, self.main][..],
            false => &[self.main][..],
        };
        let of_one = |generation: &super::Generation| {
            let mut stats = TableStats::default();
            for index in 0..generation.count() {
                // SAFETY: a bucket of ours, and nobody changes it meanwhile.
                let len = unsafe { generation.at(index).as_ref() }.len();
                if stats.by_len.len() <= len {
                    stats.by_len.resize(len + 1, 0);
                }
                stats.by_len[len] += 1;
            }
            stats
        };
        generations.iter().map(of_one).collect()
    }
}
