//! Scores as text, in the two forms the store itself needs. Owns no wire format: how replies spell
//! a score is for the protocol to say.

use std::fmt::{self, Write};

use crate::listpack;
use crate::value::Item;

/// Longer than any shortest or 17-digit spelling of a double.
const TEXT_MAX: usize = 32;

/// A score as a listpack keeps it.
pub(crate) struct Score {
    text: [u8; TEXT_MAX],
    len: usize,
    int: Option<i64>,
}

impl Score {
    pub fn new(score: f64) -> Self {
        let mut this = Score { text: [0; TEXT_MAX], len: 0, int: exact_int(score) };
        if this.int.is_none() {
            write!(this, "{score:?}").expect("the shortest spelling has at most 24 characters");
        }
        this
    }

    pub fn as_item(&self) -> Item<'_> {
        match self.int {
            Some(n) => Item::Int(n),
            None => {
                let text = &self.text[..self.len];
                listpack::classify(text.strip_suffix(b".0").unwrap_or(text))
            }
        }
    }
}

impl Write for Score {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        let room = self.text.get_mut(self.len..self.len + part.len()).ok_or(fmt::Error)?;
        room.copy_from_slice(part.as_bytes());
        self.len += part.len();
        Ok(())
    }
}

/// The integer that `score` is, if it is small enough that all its neighbours are integers too.
fn exact_int(score: f64) -> Option<i64> {
    const BOUND: f64 = (1i64 << 52) as f64;
    (score.abs() < BOUND && score.trunc() == score).then_some(score as i64)
}

/// The score that a listpack element is; never NaN.
pub(crate) fn parse_score(item: Item<'_>) -> Option<f64> {
    match item {
        Item::Int(n) => Some(n as f64),
        Item::Bytes(text) => {
            let score: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
            (!score.is_nan()).then_some(score)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_score_survives_its_text(score in any::<f64>().prop_filter("a number", |s| !s.is_nan())) {
            prop_assert_eq!(parse_score(Score::new(score).as_item()), Some(score));
        }
    }

    #[test]
    fn integers_and_infinities() {
        let kept = |score| match Score::new(score).as_item() {
            Item::Int(n) => n.to_string(),
            Item::Bytes(text) => String::from_utf8_lossy(text).into_owned(),
        };
        let spelled = [3.0, -0.0, 1.5, 1e300, 9007199254740993.0, f64::NEG_INFINITY].map(kept);
        assert_eq!(spelled, ["3", "0", "1.5", "1e300", "9007199254740992", "-inf"]);
        assert_eq!(parse_score(Item::Bytes(b"nan")), None);
        assert_eq!(parse_score(Item::Bytes(b"")), None);
    }
}
