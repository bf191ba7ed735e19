//! What the loop tells of itself once a second. Plain values: who makes them knows where they come from,
//! who reads them need not.

use engine::CommandLogFigures;

const TURN_BUCKETS: usize = 22;

/// How long the turns of the loop took. A bucket's bound is a power of two microseconds, which costs a turn
/// no search.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TurnTimes {
    counts: [u64; TURN_BUCKETS],
    sum_us: u64,
}

impl TurnTimes {
    #[inline]
    pub fn note(&mut self, us: u64) {
        let bucket = (u64::BITS - us.saturating_sub(1).leading_zeros()) as usize;
        self.counts[bucket.min(TURN_BUCKETS - 1)] += 1;
        self.sum_us += us;
    }

    /// The upper bound of each bucket, and how many turns took no longer than it. The last has no bound.
    pub fn cumulative(&self) -> impl Iterator<Item = (Option<u64>, u64)> {
        let mut total = 0;
        self.counts.iter().enumerate().map(move |(at, count)| {
            total += count;
            ((at < TURN_BUCKETS - 1).then_some(1 << at), total)
        })
    }

    pub fn sum_us(&self) -> u64 {
        self.sum_us
    }
}

/// A replica as its master sees it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReplicaFigures {
    pub ip: String,
    pub port: u16,
    pub state: &'static str,
    pub offset: u64,
    pub lag_bytes: u64,
    pub lag_secs: u64,
    pub sync: Option<SyncFigures>,
}

/// A snapshot on its way.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SyncFigures {
    /// 0 to 1; an estimate where nobody knows the length.
    pub share: f64,
    pub bytes: u64,
    pub bytes_per_sec: f64,
    pub secs_left: Option<u64>,
}

/// The link to the master.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UpstreamFigures {
    pub host: String,
    pub port: u16,
    pub is_up: bool,
    pub phase: &'static str,
    /// Since anything was read from it; `None` while it is down.
    pub last_io_secs: Option<u64>,
    pub down_secs: Option<u64>,
    /// Bytes of the stream that were read and not applied.
    pub unapplied_bytes: u64,
    pub sync: Option<SyncFigures>,
}

/// All of one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    pub unix_ms: u64,
    pub mono_ms: u64,
    /// INFO EVERYTHING.
    pub info: String,
    pub databases: usize,
    pub is_loading: bool,
    pub upstream: Option<UpstreamFigures>,
    pub replicas: Vec<ReplicaFigures>,
    pub offset: u64,
    pub backlog_bytes: u64,
    /// Why replicas were given everything, and how often.
    pub full_syncs: Vec<(&'static str, u64)>,
    /// How long the oldest byte of the append-only file that may be lost has waited for the disk. `None` while
    /// there is no such file.
    pub aof_unsynced_ms: Option<u64>,
    pub turns: TurnTimes,
    /// The slow log first.
    pub command_logs: Vec<CommandLogFigures>,
    /// Events that took long: name, Unix seconds, milliseconds.
    pub latency_spikes: Vec<(&'static str, i64, u64)>,
    /// A replica that has heard nothing of its master for longer is not ready.
    pub ready_max_lag_secs: u64,
}

impl Figures {
    /// A field of INFO; empty where it is not there.
    pub fn field(&self, name: &str) -> &str {
        self.fields().find(|(field, _)| *field == name).map_or("", |(_, value)| value)
    }

    pub fn number(&self, name: &str) -> f64 {
        self.field(name).parse().unwrap_or(0.0)
    }

    /// INFO's fields in their order.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.info.lines().filter_map(|line| line.split_once(':'))
    }

    /// Why this server should be sent no traffic, if so.
    pub fn unready(&self) -> Option<String> {
        if self.is_loading {
            return Some("loading the data set".into());
        }
        let up = self.upstream.as_ref()?;
        if !up.is_up {
            return Some(format!("the link to the master {}:{} is down", up.host, up.port));
        }
        let silent = up.last_io_secs.unwrap_or(0);
        (silent > self.ready_max_lag_secs).then(|| {
            format!("nothing was heard of the master {}:{} for {silent} seconds", up.host, up.port)
        })
    }
}
