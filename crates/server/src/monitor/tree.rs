//! What the page draws, as JSON: this server, its master, its replicas, and the last minutes.

use std::fmt::Write;

use crate::monitor::figures::{Figures, SyncFigures};
use crate::monitor::history::History;

pub fn json(figures: &Figures, history: &History) -> String {
    let mut out = String::from("{");
    let text = |out: &mut String, name: &str, value: &str| {
        let _ = write!(out, "\"{name}\":{},", quoted(value));
    };
    text(&mut out, "version", figures.field("tandem_version"));
    text(&mut out, "role", figures.field("role"));
    text(&mut out, "port", figures.field("tcp_port"));
    text(&mut out, "memory", figures.field("used_memory_human"));
    text(&mut out, "replid", figures.field("master_replid"));
    text(&mut out, "unready", &figures.unready().unwrap_or_default());
    let keys: f64 = (0..figures.databases)
        .filter_map(|n| {
            let line = figures.field(&format!("db{n}"));
            line.strip_prefix("keys=")?.split(',').next()?.parse::<f64>().ok()
        })
        .sum();
    let _ = write!(
        out,
        "\"unix_ms\":{},\"uptime\":{},\"keys\":{keys},\"clients\":{},\"offset\":{},\"backlog\":{},",
        figures.unix_ms,
        figures.number("uptime_in_seconds"),
        figures.number("connected_clients"),
        figures.offset,
        figures.backlog_bytes,
    );
    if let Some(up) = &figures.upstream {
        let last_io = up.last_io_secs.map_or(-1, |s| s as i64);
        let down = up.down_secs.map_or(-1, |s| s as i64);
        let _ = write!(
            out,
            "\"master\":{{\"name\":{},\"up\":{},\"phase\":{},\"last_io\":{last_io},\"down\":{down},\
             \"unapplied\":{},\"sync\":{}}},",
            quoted(&format!("{}:{}", up.host, up.port)),
            up.is_up,
            quoted(up.phase),
            up.unapplied_bytes,
            sync(up.sync),
        );
    }
    let replicas: Vec<String> = figures
        .replicas
        .iter()
        .map(|replica| {
            format!(
                "{{\"name\":{},\"state\":{},\"lag_bytes\":{},\"lag\":{},\"sync\":{}}}",
                quoted(&format!("{}:{}", replica.ip, replica.port)),
                quoted(replica.state),
                replica.lag_bytes,
                replica.lag_secs,
                sync(replica.sync),
            )
        })
        .collect();
    let samples: Vec<String> = history
        .samples()
        .map(|s| {
            format!(
                "[{},{:.1},{:.0},{:.0},{:.0}]",
                s.unix_ms,
                s.commands_per_sec,
                s.input_bytes_per_sec,
                s.output_bytes_per_sec,
                s.stream_bytes_per_sec
            )
        })
        .collect();
    let (replicas, samples) = (replicas.join(","), samples.join(","));
    let _ = write!(out, "\"replicas\":[{replicas}],\"samples\":[{samples}]}}");
    out
}

fn sync(sync: Option<SyncFigures>) -> String {
    let Some(SyncFigures { share, bytes, bytes_per_sec, secs_left }) = sync else {
        return "null".into();
    };
    let left = secs_left.map_or(-1, |s| s as i64);
    format!(
        "{{\"share\":{share:.4},\"bytes\":{bytes},\"rate\":{bytes_per_sec:.0},\"left\":{left}}}"
    )
}

/// A string of JSON.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c < ' ' => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
