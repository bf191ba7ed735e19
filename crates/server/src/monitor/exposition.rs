//! The figures in Prometheus's text format: all that INFO has, under the names of the common exporter for
//! Redis, and what INFO lacks, under `tandem_`.

use std::fmt::Write;

use crate::monitor::figures::Figures;
use crate::monitor::history::History;
use crate::monitor::series::{SERIES, Unit};

/// `is_alive` says that the figures are of now: a loop that is stuck hands none over.
pub fn text(figures: &Figures, history: &History, is_alive: bool) -> String {
    let mut out = Exposition::default();
    out.gauge("redis_up", "Whether the server gets on.", &[], u8::from(is_alive));
    plain(&mut out, figures);
    instance(&mut out, figures);
    databases(&mut out, figures);
    commands(&mut out, figures);
    replication(&mut out, figures);
    beyond_info(&mut out, figures, history);
    command_logs(&mut out, figures);
    latency_spikes(&mut out, figures);
    turns(&mut out, figures);
    out.text
}

#[derive(Default)]
struct Exposition {
    text: String,
    /// The family that was written last, whose head stands above its samples.
    family: String,
}

type Labels<'a> = &'a [(&'a str, &'a str)];

impl Exposition {
    fn gauge(&mut self, name: &str, help: &str, labels: Labels<'_>, value: impl ToString) {
        self.head(name, "gauge", help);
        self.sample(name, labels, value);
    }

    fn counter(&mut self, name: &str, help: &str, labels: Labels<'_>, value: impl ToString) {
        self.head(name, "counter", help);
        self.sample(name, labels, value);
    }

    fn head(&mut self, family: &str, kind: &str, help: &str) {
        if self.family != family {
            self.family = family.to_owned();
            let _ = write!(self.text, "# HELP {family} {help}\n# TYPE {family} {kind}\n");
        }
    }

    fn sample(&mut self, name: &str, labels: Labels<'_>, value: impl ToString) {
        self.text.push_str(name);
        for (at, (label, value)) in labels.iter().enumerate() {
            let _ = write!(self.text, "{}{label}=\"", if at == 0 { '{' } else { ',' });
            for c in value.chars() {
                match c {
                    '\\' | '"' => self.text.extend(['\\', c]),
                    '\n' => self.text.push_str("\\n"),
                    c => self.text.push(c),
                }
            }
            self.text.push('"');
        }
        let close = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.text, "{close} {}", value.to_string());
    }
}

fn plain(out: &mut Exposition, figures: &Figures) {
    for series in SERIES {
        let Some((_, value)) = figures.fields().find(|(field, _)| *field == series.field) else {
            continue;
        };
        let value = match series.unit {
            Unit::AsIs => value.parse::<f64>().ok(),
            Unit::Micros => value.parse::<f64>().ok().map(|us| us / 1e6),
            Unit::Status => Some(f64::from(u8::from(value == "ok"))),
        };
        let Some(value) = value else { continue };
        let name = format!("redis_{}", series.name);
        let help = format!("INFO's {}.", series.field);
        if series.is_counter {
            out.counter(&name, &help, &[], value);
        } else {
            out.gauge(&name, &help, &[], value);
        }
    }
    let started = figures.number("server_time_usec") / 1e6 - figures.number("uptime_in_seconds");
    out.gauge("redis_start_time_seconds", "When the server started.", &[], started.round());
}

fn instance(out: &mut Exposition, figures: &Figures) {
    let names = [
        "redis_mode",
        "redis_version",
        "redis_build_id",
        "os",
        "maxmemory_policy",
        "role",
        "tcp_port",
        "run_id",
        "process_id",
        "tandem_version",
    ];
    let labels = names.map(|name| (name, figures.field(name)));
    out.gauge("redis_instance_info", "Which server this is.", &labels, 1);
}

/// The numbers of a line as `calls=3,usec=7`.
fn part<'a>(line: &'a str, name: &str) -> &'a str {
    let mut pairs = line.split(',').filter_map(|pair| pair.split_once('='));
    pairs.find(|(key, _)| *key == name).map_or("", |(_, value)| value)
}

fn part_number(line: &str, name: &str) -> f64 {
    part(line, name).parse().unwrap_or(0.0)
}

/// A series of each line whose field begins with `prefix`: its family, what it tells, the part, its factor.
fn each_line(
    out: &mut Exposition,
    figures: &Figures,
    prefix: &str,
    label: &str,
    families: &[(&str, &str, &str, f64)],
) {
    for (family, help, name, factor) in families {
        for (field, line) in figures.fields() {
            let Some(of) = field.strip_prefix(prefix) else { continue };
            out.counter(family, help, &[(label, of)], part_number(line, name) * factor);
        }
    }
}

fn databases(out: &mut Exposition, figures: &Figures) {
    let families = [
        ("redis_db_keys", "Keys of a database.", "keys", 1.0),
        ("redis_db_keys_expiring", "Keys of a database that expire.", "expires", 1.0),
        ("redis_db_avg_ttl_seconds", "Mean time to live.", "avg_ttl", 1e-3),
    ];
    for (family, help, name, factor) in families {
        for number in 0..figures.databases {
            let database = format!("db{number}");
            let line = figures.field(&database);
            // As the exporter: a database without keys has no mean.
            if !line.is_empty() || name != "avg_ttl" {
                out.gauge(family, help, &[("db", &database)], part_number(line, name) * factor);
            }
        }
    }
}

fn commands(out: &mut Exposition, figures: &Figures) {
    let families = [
        ("redis_commands_total", "Calls of a command.", "calls", 1.0),
        ("redis_commands_duration_seconds_total", "Time in a command.", "usec", 1e-6),
        ("redis_commands_rejected_calls_total", "Calls refused.", "rejected_calls", 1.0),
        ("redis_commands_failed_calls_total", "Calls that failed.", "failed_calls", 1.0),
    ];
    each_line(out, figures, "cmdstat_", "cmd", &families);
    let families = [("redis_errors_total", "Error replies by their first word.", "count", 1.0)];
    each_line(out, figures, "errorstat_", "err", &families);
    let family = "redis_latency_percentiles_usec";
    for (field, line) in figures.fields() {
        let Some(command) = field.strip_prefix("latency_percentiles_usec_") else { continue };
        out.head(family, "summary", "Percentiles of the time in a command.");
        for (name, value) in line.split(',').filter_map(|pair| pair.split_once('=')) {
            let labels = [("cmd", command), ("quantile", name.trim_start_matches('p'))];
            out.sample(family, &labels, value);
        }
        let stats = figures.field(&format!("cmdstat_{command}"));
        let labels = [("cmd", command)];
        out.sample(&format!("{family}_sum"), &labels, part_number(stats, "usec"));
        out.sample(&format!("{family}_count"), &labels, part_number(stats, "calls"));
    }
}

fn replication(out: &mut Exposition, figures: &Figures) {
    if figures.upstream.is_some() {
        let (host, port) = (figures.field("master_host"), figures.field("master_port"));
        let labels = [("master_host", host), ("master_port", port)];
        let up = u8::from(figures.field("master_link_status") == "up");
        out.gauge("redis_master_link_up", "Whether the link to the master is up.", &labels, up);
        let numbers = [
            ("redis_master_last_io_seconds_ago", "master_last_io_seconds_ago"),
            ("redis_master_sync_in_progress", "master_sync_in_progress"),
            ("redis_slave_repl_offset", "slave_repl_offset"),
            ("redis_master_link_down_since_seconds", "master_link_down_since_seconds"),
        ];
        for (family, field) in numbers {
            if !figures.field(field).is_empty() {
                let help = format!("INFO's {field}.");
                out.gauge(family, &help, &labels, figures.number(field));
            }
        }
        let read_only = figures.field("slave_read_only");
        let labels = [labels[0], labels[1], ("read_only", read_only)];
        out.gauge("redis_slave_info", "Whose replica this is.", &labels, 1);
    }
    for bytes in [true, false] {
        for replica in &figures.replicas {
            let port = replica.port.to_string();
            let labels =
                [("slave_ip", &*replica.ip), ("slave_port", &port), ("slave_state", replica.state)];
            if bytes {
                let family = "redis_connected_slave_offset_bytes";
                out.gauge(family, "How far a replica is.", &labels, replica.offset);
            } else {
                let family = "redis_connected_slave_lag_seconds";
                out.gauge(family, "Since a replica was heard.", &labels, replica.lag_secs);
            }
        }
    }
}

fn beyond_info(out: &mut Exposition, figures: &Figures, history: &History) {
    for replica in &figures.replicas {
        let port = replica.port.to_string();
        let labels = [("replica_ip", &*replica.ip), ("replica_port", &port)];
        let help = "Bytes of the stream that a replica has not acknowledged.";
        out.gauge("tandem_replica_lag_bytes", help, &labels, replica.lag_bytes);
    }
    for replica in &figures.replicas {
        let port = replica.port.to_string();
        let labels = [("replica_ip", &*replica.ip), ("replica_port", &port)];
        let help = "Age of the oldest byte that a replica has not acknowledged, to a second.";
        let secs = history.behind_secs(replica.offset, figures);
        out.gauge("tandem_replica_lag_seconds", help, &labels, secs);
    }
    for replica in &figures.replicas {
        let Some(sync) = replica.sync else { continue };
        let port = replica.port.to_string();
        let labels = [("direction", "out"), ("peer", &*format!("{}:{port}", replica.ip))];
        let help =
            "How much of a running full sync is done, 0 to 1; an estimate while it is streamed.";
        out.gauge("tandem_sync_progress_ratio", help, &labels, sync.share);
    }
    if let Some(up) = &figures.upstream {
        if let Some(sync) = up.sync {
            let peer = format!("{}:{}", up.host, up.port);
            let labels = [("direction", "in"), ("peer", &*peer)];
            let help = "How much of a running full sync is done, 0 to 1; an estimate while it is streamed.";
            out.gauge("tandem_sync_progress_ratio", help, &labels, sync.share);
        }
        let help = "Bytes of the master's stream that were read and not applied.";
        out.gauge("tandem_unapplied_bytes", help, &[], up.unapplied_bytes);
    }
    for (reason, count) in &figures.full_syncs {
        let help = "Full syncs given to replicas, by their reason.";
        out.counter("tandem_full_syncs_total", help, &[("reason", reason)], count);
    }
    if let Some(rate) = history.stream_bytes_per_sec() {
        let help = "Bytes a second that the stream grew by in the last minute.";
        out.gauge("tandem_stream_bytes_per_second", help, &[], rate);
        let secs = if rate > 0.0 { figures.backlog_bytes as f64 / rate } else { f64::INFINITY };
        let help = "How long a replica may be away for a partial resync, at that rate.";
        let secs = if secs.is_finite() { secs.to_string() } else { "+Inf".into() };
        out.gauge("tandem_backlog_seconds", help, &[], secs);
    }
    if let Some(ms) = figures.aof_unsynced_ms {
        let help = "How long the oldest write that is not fsynced has waited.";
        out.gauge("tandem_aof_unsynced_age_seconds", help, &[], ms as f64 / 1000.0);
    }
    let ready = u8::from(figures.unready().is_none());
    out.gauge("tandem_ready", "What /readyz answers.", &[], ready);
}

fn command_logs(out: &mut Exposition, figures: &Figures) {
    if let Some(slow) = figures.command_logs.first() {
        out.gauge("redis_slowlog_length", "Entries of the slow log.", &[], slow.len);
        let id = if slow.len > 0 { slow.total - 1 } else { 0 };
        out.gauge("redis_slowlog_last_id", "The last entry's.", &[], id);
        let family = "redis_last_slow_execution_duration_seconds";
        let secs = slow.last_figure.map_or(0.0, |us| us as f64 / 1e6);
        out.gauge(family, "How long the last slow command took.", &[], secs);
    }
    for log in &figures.command_logs {
        let help = "Entries of a log of commands that stood out.";
        out.gauge("tandem_commandlog_length", help, &[("type", log.kind)], log.len);
    }
    for log in &figures.command_logs {
        let help = "Commands that were ever logged as slow or large.";
        out.counter("tandem_commandlog_entries_total", help, &[("type", log.kind)], log.total);
    }
}

fn latency_spikes(out: &mut Exposition, figures: &Figures) {
    for (name, unix_s, _) in &figures.latency_spikes {
        let help = "When an event last took latency-monitor-threshold or longer.";
        out.gauge("redis_latency_spike_last", help, &[("event_name", name)], unix_s);
    }
    for (name, _, ms) in &figures.latency_spikes {
        let (help, secs) = ("How long it took then.", *ms as f64 / 1000.0);
        out.gauge("redis_latency_spike_duration_seconds", help, &[("event_name", name)], secs);
    }
}

fn turns(out: &mut Exposition, figures: &Figures) {
    let family = "tandem_loop_seconds";
    out.head(family, "histogram", "Time of a turn of the loop, without the wait for events.");
    let mut count = 0;
    for (bound_us, total) in figures.turns.cumulative() {
        let bound = bound_us.map_or("+Inf".into(), |us| (us as f64 / 1e6).to_string());
        out.sample(&format!("{family}_bucket"), &[("le", &bound)], total);
        count = total;
    }
    out.sample(&format!("{family}_sum"), &[], figures.turns.sum_us() as f64 / 1e6);
    out.sample(&format!("{family}_count"), &[], count);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::figures::ReplicaFigures;
    use engine::CommandLogFigures;

    fn sample() -> Figures {
        let info = "# Server\r\nredis_version:7.2.4\r\nuptime_in_seconds:12\r\nlatest_fork_usec:1500\r\n\
                    aof_last_write_status:err\r\ncmdstat_get:calls=3,usec=70,usec_per_call=23.33,\
                    rejected_calls=0,failed_calls=1\r\nlatency_percentiles_usec_get:p50=20.1,p99.9=40\r\n\
                    errorstat_ERR:count=2\r\ndb0:keys=5,expires=1,avg_ttl=2500\r\n";
        Figures { info: info.into(), databases: 2, ..Figures::default() }
    }

    #[test]
    fn fields_have_the_names_of_the_common_exporter() {
        let text = text(&sample(), &History::default(), true);
        for line in [
            "redis_up 1",
            "redis_uptime_in_seconds 12",
            "redis_latest_fork_seconds 0.0015",
            "redis_aof_last_write_status 0",
            "redis_commands_total{cmd=\"get\"} 3",
            "redis_commands_failed_calls_total{cmd=\"get\"} 1",
            "redis_latency_percentiles_usec{cmd=\"get\",quantile=\"99.9\"} 40",
            "redis_latency_percentiles_usec_count{cmd=\"get\"} 3",
            "redis_errors_total{err=\"ERR\"} 2",
            "redis_db_keys{db=\"db0\"} 5",
            "redis_db_keys{db=\"db1\"} 0",
            "redis_db_avg_ttl_seconds{db=\"db0\"} 2.5",
            "tandem_loop_seconds_bucket{le=\"+Inf\"} 0",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is missing in\n{text}");
        }
    }

    /// Samples of a family stand together below one head, or a scraper refuses the whole.
    #[test]
    fn every_family_has_one_head() {
        let mut figures = sample();
        for port in [1, 2] {
            let replica = ReplicaFigures { port, ip: "a\"b\\\n".into(), ..Default::default() };
            figures.replicas.push(replica);
        }
        let text = text(&figures, &History::default(), true);
        let mut heads: Vec<_> = text.lines().filter(|line| line.starts_with("# TYPE")).collect();
        let all = heads.len();
        heads.sort_unstable();
        heads.dedup();
        assert_eq!(heads.len(), all, "{text}");
        let escaped = "tandem_replica_lag_bytes{replica_ip=\"a\\\"b\\\\\\n\",replica_port=\"1\"} 0";
        assert!(text.contains(escaped), "{text}");
    }

    #[test]
    fn commands_that_stood_out_and_spikes_are_told() {
        let mut figures = sample();
        let log =
            |kind, len, total, last_figure| CommandLogFigures { kind, len, total, last_figure };
        figures.command_logs = vec![log("slow", 2, 7, Some(1500)), log("large-reply", 0, 3, None)];
        figures.latency_spikes = vec![("fork", 1_700_000_000, 25)];
        let text = text(&figures, &History::default(), true);
        for line in [
            "redis_slowlog_length 2",
            "redis_slowlog_last_id 6",
            "redis_last_slow_execution_duration_seconds 0.0015",
            "tandem_commandlog_length{type=\"large-reply\"} 0",
            "tandem_commandlog_entries_total{type=\"slow\"} 7",
            "redis_latency_spike_last{event_name=\"fork\"} 1700000000",
            "redis_latency_spike_duration_seconds{event_name=\"fork\"} 0.025",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is missing in\n{text}");
        }
    }

    #[test]
    fn a_turn_is_counted_where_its_bound_is() {
        let mut figures = sample();
        for us in [16, 17, 2_000_000] {
            figures.turns.note(us);
        }
        let text = text(&figures, &History::default(), true);
        assert!(text.contains("tandem_loop_seconds_bucket{le=\"0.000016\"} 1\n"), "{text}");
        assert!(text.contains("tandem_loop_seconds_bucket{le=\"1.048576\"} 2\n"), "{text}");
        assert!(text.contains("tandem_loop_seconds_bucket{le=\"+Inf\"} 3\n"), "{text}");
    }
}
