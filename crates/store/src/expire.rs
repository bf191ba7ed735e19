//! What a write does about an expiry, a key's or a field's. A leaf: owns the three cases and their
//! meaning, and must not know who has expiries.

/// What a write does about the expiry that was there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetExpire {
    /// None afterwards.
    Clear,
    /// As before.
    Keep,
    /// This one, in unix milliseconds.
    At(i64),
}

impl SetExpire {
    /// The expiry that this makes of the one that was.
    pub fn resolve(self, current_ms: Option<i64>) -> Option<i64> {
        match self {
            SetExpire::Clear => None,
            SetExpire::Keep => current_ms,
            SetExpire::At(expire_ms) => Some(expire_ms),
        }
    }
}

impl From<Option<i64>> for SetExpire {
    fn from(expire_ms: Option<i64>) -> Self {
        expire_ms.map_or(SetExpire::Clear, SetExpire::At)
    }
}
