//! Owns the count of syncs and of the reasons for full ones. Must not decide anything.

/// Why a replica was given everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FullSyncReason {
    /// It had nothing, or asked for all.
    First,
    /// It said SYNC: it is older than 2.8.
    OldProtocol,
    /// What it has is of another history.
    OtherHistory,
    /// It has more of the history before a promotion than was taken over.
    PastPromotion,
    /// What it lacks is not in the backlog any more.
    OutOfBacklog,
    /// It says that it has more than there is.
    Ahead,
    /// Fields of hashes expire, and it has not shown that it knows of that.
    FieldExpiries,
}

impl FullSyncReason {
    pub const ALL: [FullSyncReason; 7] = [
        FullSyncReason::First,
        FullSyncReason::OldProtocol,
        FullSyncReason::OtherHistory,
        FullSyncReason::PastPromotion,
        FullSyncReason::OutOfBacklog,
        FullSyncReason::Ahead,
        FullSyncReason::FieldExpiries,
    ];

    /// A label's value.
    pub fn as_str(self) -> &'static str {
        match self {
            FullSyncReason::First => "first",
            FullSyncReason::OldProtocol => "old_protocol",
            FullSyncReason::OtherHistory => "other_history",
            FullSyncReason::PastPromotion => "past_promotion",
            FullSyncReason::OutOfBacklog => "out_of_backlog",
            FullSyncReason::Ahead => "ahead",
            FullSyncReason::FieldExpiries => "field_expiries",
        }
    }
}

/// INFO stats: how syncs were answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SyncStats {
    full: [u64; FullSyncReason::ALL.len()],
    pub partial_ok: u64,
    pub partial_err: u64,
}

impl SyncStats {
    pub fn full(&self) -> u64 {
        self.full.iter().sum()
    }

    pub fn full_for(&self, reason: FullSyncReason) -> u64 {
        self.full[reason as usize]
    }

    pub(crate) fn count_full(&mut self, reason: FullSyncReason) {
        self.full[reason as usize] += 1;
    }
}
