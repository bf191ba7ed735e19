//! Owns the counters of INFO stats, commandstats and errorstats.

use std::collections::BTreeMap;

use crate::command;

#[derive(Clone, Copy, Debug, Default)]
pub struct CommandStats {
    pub calls: u64,
    pub usec: u64,
    pub rejected_calls: u64,
    pub failed_calls: u64,
}

/// Latencies of a command: each doubling of a microsecond in eight equal parts, for INFO latencystats.
#[derive(Clone, Debug)]
pub struct Histogram {
    counts: [u64; HISTOGRAM_BUCKETS],
}

const PARTS: usize = 8;
/// Up to eight microseconds one by one, then doublings up to about an hour.
const HISTOGRAM_BUCKETS: usize = PARTS + 29 * PARTS;

impl Default for Histogram {
    fn default() -> Self {
        Histogram { counts: [0; HISTOGRAM_BUCKETS] }
    }
}

impl Histogram {
    #[inline]
    pub fn record(&mut self, usec: u64) {
        // The leading bit tells the doubling, the three behind it the part.
        let doubling = (u64::BITS - (usec | 4).leading_zeros()) as usize - 3;
        let bucket = match doubling {
            0 => usec as usize,
            _ => doubling * PARTS + (usec >> (doubling - 1)) as usize % PARTS,
        };
        self.counts[bucket.min(HISTOGRAM_BUCKETS - 1)] += 1;
    }

    /// Every bucket that holds calls: the longest time that falls into it, and how many.
    pub fn buckets(&self) -> impl Iterator<Item = (u64, u64)> {
        let bound_us = |bucket: usize| match bucket / PARTS {
            0 => bucket as u64,
            doubling => (((PARTS + bucket % PARTS + 1) as u64) << (doubling - 1)) - 1,
        };
        self.counts
            .iter()
            .enumerate()
            .filter(|(_, count)| **count > 0)
            .map(move |(bucket, count)| (bound_us(bucket), *count))
    }

    /// The time below which `percent` of the calls lie.
    pub fn percentile(&self, percent: f64) -> u64 {
        let total: u64 = self.counts.iter().sum();
        let wanted = (total as f64 * percent / 100.0).ceil().max(1.0) as u64;
        let mut below = 0;
        let found = self.buckets().find(|(_, count)| {
            below += count;
            below >= wanted
        });
        found.map_or(0, |(bound_us, _)| bound_us)
    }
}

#[derive(Debug)]
pub struct Stats {
    pub commands: Vec<CommandStats>,
    pub histograms: Vec<Option<Box<Histogram>>>,
    pub errors: BTreeMap<String, u64>,
    pub total_commands: u64,
    pub total_command_us: u64,
    pub total_error_replies: u64,
    pub unexpected_error_replies: u64,
    pub keyspace_hits: u64,
    pub keyspace_misses: u64,
    pub expired_keys: u64,
    pub expired_fields: u64,
    pub expired_stale_perc: f64,
    pub expired_time_cap_reached: u64,
    pub expire_cycle_cpu_us: u64,
    pub evicted_keys: u64,
    pub lazyfreed_objects: u64,
    /// Payloads of RESTORE that were checked: all are.
    pub dump_payload_sanitizations: u64,
    /// What users were refused: wrong passwords, commands, keys and channels.
    pub access_denied_auth: u64,
    pub access_denied_cmd: u64,
    pub access_denied_key: u64,
    pub access_denied_channel: u64,
    pub ops_per_sec: OpsRate,
    pub peak_clients: u64,
}

impl Default for Stats {
    fn default() -> Self {
        Stats {
            commands: vec![CommandStats::default(); command::stat_rows()],
            histograms: vec![None; command::stat_rows()],
            errors: BTreeMap::new(),
            total_commands: 0,
            total_command_us: 0,
            dump_payload_sanitizations: 0,
            access_denied_auth: 0,
            access_denied_cmd: 0,
            access_denied_key: 0,
            access_denied_channel: 0,
            total_error_replies: 0,
            unexpected_error_replies: 0,
            keyspace_hits: 0,
            keyspace_misses: 0,
            expired_keys: 0,
            expired_fields: 0,
            expired_stale_perc: 0.0,
            expired_time_cap_reached: 0,
            expire_cycle_cpu_us: 0,
            evicted_keys: 0,
            lazyfreed_objects: 0,
            ops_per_sec: OpsRate::default(),
            peak_clients: 0,
        }
    }
}

/// More codes than these are counted together, as in Valkey 8.
const ERROR_CODES_MAX: usize = 128;

impl Stats {
    #[inline]
    pub fn record_call(&mut self, stat: u32, usec: u64, failed: bool, histogram: bool) {
        self.total_commands += 1;
        self.total_command_us += usec;
        let row = &mut self.commands[stat as usize];
        row.calls += 1;
        row.usec += usec;
        row.failed_calls += failed as u64;
        if histogram {
            self.histograms[stat as usize].get_or_insert_with(Box::default).record(usec);
        }
    }

    pub fn record_error(&mut self, code: &str) {
        self.total_error_replies += 1;
        if let Some(count) = self.errors.get_mut(code) {
            *count += 1;
            return;
        }
        // Codes come from our own texts and from scripts: bounded, so that the latter can't grow it.
        let code = if self.errors.len() < ERROR_CODES_MAX { code } else { "ERRORSTATS_OVERFLOW" };
        *self.errors.entry(code.to_string()).or_default() += 1;
    }

    /// CONFIG RESETSTAT.
    pub fn reset(&mut self) {
        *self = Stats::default();
    }
}

/// The mean rate of the last sixteen samples, as INFO's `instantaneous_ops_per_sec`.
#[derive(Clone, Copy, Debug, Default)]
pub struct OpsRate {
    samples: [u64; 16],
    next: usize,
    last_count: u64,
    last_mono_us: u64,
}

impl OpsRate {
    pub fn sample(&mut self, count: u64, mono_us: u64) {
        let elapsed_us = mono_us.saturating_sub(self.last_mono_us);
        if elapsed_us > 0 {
            let rate =
                count.saturating_sub(self.last_count) as u128 * 1_000_000 / elapsed_us as u128;
            self.samples[self.next] = rate as u64;
            self.next = (self.next + 1) % self.samples.len();
        }
        self.last_count = count;
        self.last_mono_us = mono_us;
    }

    pub fn per_second(&self) -> u64 {
        self.samples.iter().sum::<u64>() / self.samples.len() as u64
    }
}
