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
pub struct Pauses([Option<Pause>; 3]);

impl Pauses {
    pub fn begin(&mut self, by: PauseBy, pause: Pause) {
        self.0[by as usize] = Some(pause);
    }

    /// CLIENT PAUSE within a CLIENT PAUSE can only prolong and widen it.
    pub fn extend(&mut self, by: PauseBy, pause: Pause) {
        let old = self.0[by as usize].unwrap_or(pause);
        let until_mono_us = old.until_mono_us.max(pause.until_mono_us);
        let writes_only = old.writes_only && pause.writes_only;
        self.begin(by, Pause { until_mono_us, writes_only });
    }

    /// False if there was none.
    pub fn end(&mut self, by: PauseBy) -> bool {
        self.0[by as usize].take().is_some()
    }

    /// Whether this one's time is up at `mono_us` from now on.
    pub fn end_at(&mut self, by: PauseBy, mono_us: u64) {
        if let Some(pause) = &mut self.0[by as usize] {
            pause.until_mono_us = mono_us;
        }
    }

    /// All of them together: the last end and the widest extent.
    pub fn in_force(&self, mono_us: u64) -> Option<Pause> {
        let all = self.0.iter().flatten().filter(|pause| mono_us < pause.until_mono_us);
        all.copied().reduce(|a, b| Pause {
            until_mono_us: a.until_mono_us.max(b.until_mono_us),
            writes_only: a.writes_only && b.writes_only,
        })
    }

    pub fn next_end_us(&self) -> Option<u64> {
        let ends = self.0.iter().flatten().map(|pause| pause.until_mono_us);
        ends.min().filter(|end| *end != u64::MAX)
    }

    /// Forgets those whose time is up; true if there were any.
    pub fn expire(&mut self, mono_us: u64) -> bool {
        let mut any = false;
        for slot in &mut self.0 {
            any |= slot.take_if(|pause| pause.until_mono_us <= mono_us).is_some();
        }
        any
    }
}
