//! The last minutes, a sample a second: what the page draws, and rates that one moment does not tell.

use std::collections::VecDeque;

use crate::monitor::figures::Figures;

const SAMPLES_MAX: usize = 300;

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sample {
    pub unix_ms: u64,
    pub commands_per_sec: f64,
    pub input_bytes_per_sec: f64,
    pub output_bytes_per_sec: f64,
    /// Of the stream to replicas.
    pub stream_bytes_per_sec: f64,
    pub mono_ms: u64,
    /// Where the stream stood.
    pub offset: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counters {
    mono_ms: u64,
    commands: f64,
    input: f64,
    output: f64,
    offset: u64,
}

#[derive(Clone, Debug, Default)]
pub struct History {
    last: Option<Counters>,
    samples: VecDeque<Sample>,
}

impl History {
    pub fn note(&mut self, figures: &Figures) {
        let counters = Counters {
            mono_ms: figures.mono_ms,
            commands: figures.number("total_commands_processed"),
            input: figures.number("total_net_input_bytes"),
            output: figures.number("total_net_output_bytes"),
            offset: figures.offset,
        };
        let last = self.last.replace(counters);
        let Some(last) = last.filter(|last| last.mono_ms < counters.mono_ms) else { return };
        let secs = (counters.mono_ms - last.mono_ms) as f64 / 1000.0;
        // CONFIG RESETSTAT and a new history let a count go back.
        let rate = |now: f64, then: f64| ((now - then) / secs).max(0.0);
        if self.samples.len() == SAMPLES_MAX {
            self.samples.pop_front();
        }
        self.samples.push_back(Sample {
            unix_ms: figures.unix_ms,
            commands_per_sec: rate(counters.commands, last.commands),
            input_bytes_per_sec: rate(counters.input, last.input),
            output_bytes_per_sec: rate(counters.output, last.output),
            stream_bytes_per_sec: rate(counters.offset as f64, last.offset as f64),
            mono_ms: figures.mono_ms,
            offset: figures.offset,
        });
    }

    pub fn samples(&self) -> impl Iterator<Item = &Sample> {
        self.samples.iter()
    }

    /// Bytes a second that the stream grew by in the last minute; `None` before there is a sample.
    pub fn stream_bytes_per_sec(&self) -> Option<f64> {
        let recent = self.samples.len().min(60);
        let sum: f64 = self.samples.iter().rev().take(recent).map(|s| s.stream_bytes_per_sec).sum();
        (recent > 0).then(|| sum / recent as f64)
    }

    /// How old the oldest byte is that whoever stands at `offset` lacks, to a second; no more than is remembered.
    pub fn behind_secs(&self, offset: u64, figures: &Figures) -> f64 {
        if offset >= figures.offset {
            return 0.0;
        }
        let had_all = self.samples.iter().rev().find(|sample| sample.offset <= offset);
        let since = had_all.or(self.samples.front()).map_or(figures.mono_ms, |s| s.mono_ms);
        figures.mono_ms.saturating_sub(since) as f64 / 1000.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(mono_ms: u64, commands: u64, offset: u64) -> Figures {
        let info = format!("total_commands_processed:{commands}\r\n");
        Figures { mono_ms, offset, info, ..Figures::default() }
    }

    #[test]
    fn rates_come_from_two_moments_and_never_are_negative() {
        let mut history = History::default();
        history.note(&figures(1000, 10, 0));
        assert_eq!(history.samples().count(), 0);
        history.note(&figures(3000, 30, 4000));
        history.note(&figures(4000, 0, 4000));
        let rates: Vec<_> =
            history.samples().map(|s| (s.commands_per_sec, s.stream_bytes_per_sec)).collect();
        assert_eq!(rates, [(10.0, 2000.0), (0.0, 0.0)]);
        assert_eq!(history.stream_bytes_per_sec(), Some(1000.0));
    }

    /// Bytes alone do not tell whether a replica is late: a burst of a second is many bytes, too.
    #[test]
    fn a_replica_is_behind_by_the_age_of_what_it_lacks() {
        let mut history = History::default();
        (1..=6).for_each(|n| history.note(&figures(n * 1000, 0, n * 100)));
        let now = figures(6000, 0, 600);
        assert_eq!(history.behind_secs(600, &now), 0.0);
        assert_eq!(history.behind_secs(599, &now), 1.0);
        assert_eq!(history.behind_secs(300, &now), 3.0);
        assert_eq!(history.behind_secs(0, &now), 4.0, "all that is remembered");
        assert_eq!(History::default().behind_secs(0, &now), 0.0, "nothing is");
    }

    #[test]
    fn a_long_life_is_not_kept() {
        let mut history = History::default();
        (1..2000).for_each(|n| history.note(&figures(n * 1000, n, 0)));
        assert_eq!(history.samples().count(), SAMPLES_MAX);
    }
}
