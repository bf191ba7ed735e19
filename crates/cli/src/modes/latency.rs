//! `--latency` and `--latency-history`: how long a PING takes.
//!
//! Must not: time anything but PING.

use std::time::{Duration, Instant};

use crate::Exit;
use crate::format::{Output, Strings};
use crate::shell::session::Session;
use crate::term::{self, out};

/// Between two samples.
const PAUSE: Duration = Duration::from_millis(10);
const HISTORY_INTERVAL: Duration = Duration::from_secs(15);
/// Without a terminal, this long is measured.
const RUN: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
struct Samples {
    count: u64,
    min_ms: u64,
    max_ms: u64,
    total_ms: u64,
}

impl Samples {
    fn add(&mut self, ms: u64) {
        self.min_ms = if self.count == 0 { ms } else { self.min_ms.min(ms) };
        self.max_ms = self.max_ms.max(ms);
        self.total_ms += ms;
        self.count += 1;
    }

    fn text(&self, output: Output) -> String {
        let Self { count, min_ms: min, max_ms: max, total_ms } = self;
        let average = *total_ms as f64 / (*count).max(1) as f64;
        match output {
            Output::Typed => {
                format!("min: {min}, max: {max}, avg: {average:.2} ({count} samples)")
            }
            Output::Csv => format!("{min},{max},{average:.2},{count}\n"),
            Output::Raw => format!("{min} {max} {average:.2} {count}\n"),
            Output::Json(Strings::Plain | Strings::Quoted) => format!(
                "{{\"min\": {min}, \"max\": {max}, \"avg\": {average:.2}, \"count\": {count}}}\n"
            ),
        }
    }
}

pub(super) fn run(session: &mut Session) -> Result<(), Exit> {
    let output = session.options.output;
    let history = session.options.latency_history;
    let interval = session.options.interval;
    let mut begun = Instant::now();
    let mut samples = Samples::default();
    loop {
        let sent = Instant::now();
        session.call_reconnecting(&[b"PING"])?;
        samples.add(sent.elapsed().as_millis() as u64);
        if output == Output::Typed {
            out("\x1b[0G\x1b[2K");
            out(samples.text(output));
        } else if history {
            out(samples.text(output));
        } else if begun.elapsed() > interval.unwrap_or(RUN) {
            out(samples.text(output));
            return Ok(());
        }
        if history && begun.elapsed() > interval.unwrap_or(HISTORY_INTERVAL) {
            out(format!(" -- {:.2} seconds range\n", begun.elapsed().as_secs_f64()));
            begun = Instant::now();
            samples = Samples::default();
        }
        term::flush();
        std::thread::sleep(PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_summed_up_in_every_format() {
        let mut samples = Samples::default();
        for ms in [3, 1, 5] {
            samples.add(ms);
        }
        assert_eq!(samples.text(Output::Typed), "min: 1, max: 5, avg: 3.00 (3 samples)");
        assert_eq!(samples.text(Output::Csv), "1,5,3.00,3\n");
        assert_eq!(samples.text(Output::Raw), "1 5 3.00 3\n");
    }
}
