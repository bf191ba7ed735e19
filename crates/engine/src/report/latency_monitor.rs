//! Owns the latency monitor: spikes of events that took `latency-monitor-threshold` or longer.

use std::collections::{BTreeMap, VecDeque};

use crate::engine::Engine;

/// Samples kept of each event.
pub(crate) const MAX_SAMPLES: usize = 160;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sample {
    pub unix_s: i64,
    pub ms: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Event {
    /// The oldest first, one a second at most.
    pub samples: VecDeque<Sample>,
    pub max_ms: u64,
}

#[derive(Debug, Default)]
pub(crate) struct LatencyMonitor {
    pub events: BTreeMap<&'static str, Event>,
}

impl LatencyMonitor {
    pub(crate) fn record(&mut self, event: &'static str, unix_s: i64, ms: u64) {
        let event = self.events.entry(event).or_default();
        event.max_ms = event.max_ms.max(ms);
        match event.samples.back_mut() {
            // Several in a second count as the worst of them.
            Some(last) if last.unix_s == unix_s => last.ms = last.ms.max(ms),
            _ => event.samples.push_back(Sample { unix_s, ms }),
        }
        if event.samples.len() > MAX_SAMPLES {
            event.samples.pop_front();
        }
    }

    /// The event with that name, in any case.
    pub(crate) fn find(&self, name: &[u8]) -> Option<(&'static str, &Event)> {
        let named = |event: &&str| event.as_bytes().eq_ignore_ascii_case(name);
        self.events.iter().map(|(name, event)| (*name, event)).find(|(name, _)| named(name))
    }
}

impl Engine {
    /// What LATENCY LATEST tells of each event: its name, when it last was, and how many milliseconds it took.
    pub fn latency_spikes(&self) -> Vec<(&'static str, i64, u64)> {
        let events = self.latency.events.iter();
        let last = events.filter_map(|(name, event)| Some((*name, event.samples.back()?)));
        last.map(|(name, sample)| (name, sample.unix_s, sample.ms)).collect()
    }
}
