//! Owns the pauses of clients: CLIENT PAUSE, and those by which the process lets replicas catch up. Must not
//! know who waits.

/// Who wants clients to wait. None of them ends the pause of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PauseBy {
    Client,
    Shutdown,
    Failover,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pause {
    /// `u64::MAX` for an end that is not known.
    pub until_mono_us: u64,
    pub writes_only: bool,
}

/// What is paused, by whom.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pauses {
    all: [Option<Pause>; 3],
    /// Whether there are any: every command asks, and nearly always there are none.
    any: bool,
}

impl Pauses {
    pub fn begin(&mut self, by: PauseBy, pause: Pause) {
        self.all[by as usize] = Some(pause);
        self.any = true;
    }

    /// CLIENT PAUSE within a CLIENT PAUSE can only prolong and widen it.
    pub fn extend(&mut self, by: PauseBy, pause: Pause) {
        let old = self.all[by as usize].unwrap_or(pause);
        let until_mono_us = old.until_mono_us.max(pause.until_mono_us);
        let writes_only = old.writes_only && pause.writes_only;
        self.begin(by, Pause { until_mono_us, writes_only });
    }

    /// False if there was none.
    pub fn end(&mut self, by: PauseBy) -> bool {
        let ended = self.all[by as usize].take().is_some();
        self.any = self.all.iter().any(Option::is_some);
        ended
    }

    /// Whether this one's time is up at `mono_us` from now on.
    pub fn end_at(&mut self, by: PauseBy, mono_us: u64) {
        if let Some(pause) = &mut self.all[by as usize] {
            pause.until_mono_us = mono_us;
        }
    }

    #[inline]
    pub fn is_paused_by(&self, by: PauseBy) -> bool {
        self.all[by as usize].is_some()
    }

    /// All of them together: the last end and the widest extent.
    #[inline]
    pub fn in_force(&self, mono_us: u64) -> Option<Pause> {
        if self.any { self.widest(mono_us) } else { None }
    }

    #[cold]
    fn widest(&self, mono_us: u64) -> Option<Pause> {
        let all = self.all.iter().flatten().filter(|pause| mono_us < pause.until_mono_us);
        all.copied().reduce(|a, b| Pause {
            until_mono_us: a.until_mono_us.max(b.until_mono_us),
            writes_only: a.writes_only && b.writes_only,
        })
    }

    #[inline]
    pub fn next_end_us(&self) -> Option<u64> {
        if !self.any {
            return None;
        }
        let ends = self.all.iter().flatten().map(|pause| pause.until_mono_us);
        ends.min().filter(|end| *end != u64::MAX)
    }

    /// Forgets those whose time is up; true if there were any.
    #[inline]
    pub fn expire(&mut self, mono_us: u64) -> bool {
        if !self.any {
            return false;
        }
        let mut expired = false;
        for slot in &mut self.all {
            expired |= slot.take_if(|pause| pause.until_mono_us <= mono_us).is_some();
        }
        self.any = self.all.iter().any(Option::is_some);
        expired
    }
}
