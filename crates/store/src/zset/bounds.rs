//! Intervals of scores and of members. Owns what lies in one; must not know how commands spell
//! bounds.

/// An interval of scores.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScoreRange {
    pub min: f64,
    pub min_exclusive: bool,
    pub max: f64,
    pub max_exclusive: bool,
}

/// An end of an interval of members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LexBound<'a> {
    /// `-`: before every member.
    First,
    /// `+`: after every member.
    Last,
    Inclusive(&'a [u8]),
    Exclusive(&'a [u8]),
}

impl ScoreRange {
    pub(super) fn has_no_min(&self) -> bool {
        self.min == f64::NEG_INFINITY && !self.min_exclusive
    }

    pub(super) fn has_no_max(&self) -> bool {
        self.max == f64::INFINITY && !self.max_exclusive
    }

    pub(super) fn is_below(&self, score: f64) -> bool {
        if self.min_exclusive { score <= self.min } else { score < self.min }
    }

    pub(super) fn is_above(&self, score: f64) -> bool {
        if self.max_exclusive { score >= self.max } else { score > self.max }
    }
}

impl LexBound<'_> {
    /// Whether `member` comes before an interval that starts here.
    pub(super) fn starts_after(self, member: &[u8]) -> bool {
        match self {
            LexBound::First => false,
            LexBound::Last => true,
            LexBound::Inclusive(bound) => member < bound,
            LexBound::Exclusive(bound) => member <= bound,
        }
    }

    /// Whether `member` comes after an interval that ends here.
    pub(super) fn ends_before(self, member: &[u8]) -> bool {
        match self {
            LexBound::First => true,
            LexBound::Last => false,
            LexBound::Inclusive(bound) => member > bound,
            LexBound::Exclusive(bound) => member >= bound,
        }
    }
}
