//! What redis-benchmark prints of a run.
//!
//! Must not: measure.

use std::fmt::Write as _;
use std::time::Duration;

use super::histogram::{Histogram, Line};
use super::options::Options;

pub(super) const CSV_HEADER: &str = "\"test\",\"rps\",\"avg_latency_ms\",\"min_latency_ms\",\
    \"p50_latency_ms\",\"p95_latency_ms\",\"p99_latency_ms\",\"max_latency_ms\"\n";

/// What was measured.
pub(super) struct Run<'a> {
    pub options: &'a Options,
    pub title: &'a str,
    pub finished: u64,
    pub took: Duration,
    /// Bytes that the report calls the payload.
    pub payload_len: usize,
    /// The server's `save` and `appendonly`.
    pub server_config: Option<&'a (String, String)>,
    pub latencies: &'a Histogram,
}

impl Run<'_> {
    fn per_second(&self) -> f64 {
        // Redis counts in whole milliseconds; a run that takes none has no rate.
        self.finished as f64 / (self.took.as_millis().max(1) as f64 / 1000.0)
    }

    /// In milliseconds: average, least, half, 95 and 99 percent, most.
    fn figures(&self) -> [f64; 6] {
        let latencies = self.latencies;
        let percents = [50.0, 95.0, 99.0].map(|percent| latencies.at_percent(percent) as f64);
        let [p50, p95, p99] = percents;
        let (min, max) = (latencies.min() as f64, latencies.max() as f64);
        [latencies.mean(), min, p50, p95, p99, max].map(|us| us / 1000.0)
    }

    pub(super) fn text(&self) -> String {
        let rate = self.per_second();
        let [average, min, p50, p95, p99, max] = self.figures();
        if self.options.csv {
            return format!(
                "\"{}\",\"{rate:.2}\",\"{average:.3}\",\"{min:.3}\",\"{p50:.3}\",\"{p95:.3}\",\
                 \"{p99:.3}\",\"{max:.3}\"\n",
                self.title
            );
        }
        if self.options.quiet {
            return format!("{}: {rate:.2} requests per second, p50={p50:.3} msec\n", self.title);
        }
        let mut text = self.heading();
        text.push_str("\nLatency by percentile distribution:\n");
        lines(&mut text, &self.latencies.by_percent());
        text.push_str("\nCumulative distribution of latencies:\n");
        lines(&mut text, &self.latencies.by_value());
        let _ = write!(
            text,
            "\nSummary:\n  throughput summary: {rate:.2} requests per second\n  latency summary \
             (msec):\n    {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}\n    {average:>9.3} {min:>9.3} \
             {p50:>9.3} {p95:>9.3} {p99:>9.3} {max:>9.3}\n",
            "avg", "min", "p50", "p95", "p99", "max"
        );
        text
    }

    fn heading(&self) -> String {
        let Options { clients, keepalive, threads, .. } = self.options;
        let mut text = format!(
            "====== {} ======\n  {} requests completed in {:.2} seconds\n  {clients} parallel clients\n  \
             {} bytes payload\n  keep alive: {}\n",
            self.title,
            self.finished,
            self.took.as_millis() as f64 / 1000.0,
            self.payload_len,
            u8::from(*keepalive),
        );
        if let Some((save, appendonly)) = self.server_config {
            let _ = write!(
                text,
                "  host configuration \"save\": {save}\n  host configuration \"appendonly\": \
                 {appendonly}\n"
            );
        }
        let _ = writeln!(text, "  multi-thread: {}", if *threads > 0 { "yes" } else { "no" });
        if *threads > 0 {
            let _ = writeln!(text, "  threads: {threads}");
        }
        text
    }
}

fn lines(text: &mut String, lines: &[Line]) {
    for Line { percent, value, cumulative } in lines {
        let ms = *value as f64 / 1000.0;
        let _ =
            writeln!(text, "{percent:.3}% <= {ms:.3} milliseconds (cumulative count {cumulative})");
    }
}
