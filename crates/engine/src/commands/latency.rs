//! LATENCY: spikes that the monitor has seen, and how long commands take.

use std::fmt::Write;

use protocol::{Args, ReplyBuf};

use super::args::text;
use super::help;
use super::pubsub::container;
use crate::command::key_spec::KeySpec;
use crate::command::{self, Acl, CommandSpec, Flags, Handler, row};
use crate::door::ctx::Ctx;
use crate::error::CommandError;
use crate::report::latency_monitor::Event;
use crate::report::stats::Histogram;

const ADMIN: Flags = Flags::ADMIN.or(Flags::NOSCRIPT).or(Flags::LOADING).or(Flags::STALE);
/// Rows of LATENCY GRAPH, and its width.
const GRAPH_ROWS: u64 = 4;
const GRAPH_COLUMNS: usize = 80;

pub(crate) static ROWS: &[CommandSpec] = &[row(
    "latency",
    container,
    -2,
    Flags::NONE,
    KeySpec::NONE,
    Acl::NONE,
    "2.8.13",
    "A container for latency diagnostics commands.",
)
.with(SUBCOMMANDS)];

const fn sub(
    name: &'static str,
    handler: Handler,
    arity: i16,
    since: &'static str,
    summary: &'static str,
) -> CommandSpec {
    row(name, handler, arity, ADMIN, KeySpec::NONE, Acl::NONE, since, summary)
}

static SUBCOMMANDS: &[CommandSpec] = &[
    sub("doctor", doctor, 2, "2.8.13", "Returns a human-readable latency analysis report.")
        .tips(&["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"]),
    sub("graph", graph, 3, "2.8.13", "Returns a latency graph for an event.").tips(&[
        "nondeterministic_output",
        "request_policy:all_nodes",
        "response_policy:special",
    ]),
    help::row_of("2.8.13", Acl::NONE),
    sub(
        "histogram",
        histogram,
        -2,
        "7.0.0",
        "Returns the cumulative distribution of latencies of a subset or all commands.",
    )
    .tips(&["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"]),
    sub("history", history, 3, "2.8.13", "Returns timestamp-latency samples for an event.")
        .tips(&["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"]),
    sub("latest", latest, 2, "2.8.13", "Returns the latest latency samples for all events.")
        .tips(&["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"]),
    sub("reset", reset, -2, "2.8.13", "Resets the latency data for one or more events.")
        .tips(&["request_policy:all_nodes", "response_policy:agg_sum"]),
];

fn latest(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), CommandError> {
    let events = &ctx.engine.latency.events;
    let out = &mut ctx.client.out;
    out.array(events.len());
    for (name, event) in events {
        let last = event.samples.back();
        out.array(4);
        out.bulk(name.as_bytes());
        out.int(last.map_or(0, |sample| sample.unix_s));
        out.int(last.map_or(0, |sample| sample.ms as i64));
        out.int(event.max_ms as i64);
    }
    Ok(())
}

fn history(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let out = &mut ctx.client.out;
    let Some((_, event)) = ctx.engine.latency.find(args.at(2)) else {
        out.array(0);
        return Ok(());
    };
    out.array(event.samples.len());
    for sample in &event.samples {
        out.array(2);
        out.int(sample.unix_s);
        out.int(sample.ms as i64);
    }
    Ok(())
}

fn reset(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let events = &mut ctx.engine.latency.events;
    let before = events.len();
    match args.len() {
        2 => events.clear(),
        _ => events.retain(|name, _| {
            !args.iter().skip(2).any(|arg| arg.eq_ignore_ascii_case(name.as_bytes()))
        }),
    }
    let gone = before - events.len();
    ctx.client.out.int(gone as i64);
    Ok(())
}

/// A column a sample, with its age below: as high as the sample is among the others.
fn graph(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let Some((name, event)) = ctx.engine.latency.find(args.at(2)) else {
        let name = text(args.at(2));
        return Err(CommandError::err(format_args!("No samples available for event '{name}'")));
    };
    let now_s = ctx.engine.now.unix_s();
    let skipped = event.samples.len().saturating_sub(GRAPH_COLUMNS);
    let samples: Vec<_> = event.samples.iter().skip(skipped).collect();
    let high = samples.iter().map(|sample| sample.ms).max().unwrap_or(0);
    let low = samples.iter().map(|sample| sample.ms).min().unwrap_or(0);
    let mut text = format!(
        "{name} - high {high} ms, low {low} ms (all time high {} ms)\n{}\n",
        event.max_ms,
        "-".repeat(GRAPH_COLUMNS)
    );
    let span = (high - low).max(1);
    for level in (0..GRAPH_ROWS).rev() {
        for sample in &samples {
            // Thrice the rows: each character shows three heights.
            let height = (sample.ms - low) * (GRAPH_ROWS * 3 - 1) / span;
            text.push(match height.checked_sub(level * 3) {
                None => ' ',
                Some(0) => '_',
                Some(1) => 'o',
                Some(2) => '#',
                Some(_) => '|',
            });
        }
        text.push('\n');
    }
    let ages: Vec<String> = samples.iter().map(|s| age(now_s.saturating_sub(s.unix_s))).collect();
    text.push('\n');
    for line in 0..ages.iter().map(String::len).max().unwrap_or(0) {
        text.extend(ages.iter().map(|age| age.chars().nth(line).unwrap_or(' ')));
        text.push('\n');
    }
    ctx.client.out.verbatim("txt", text.as_bytes());
    Ok(())
}

fn age(seconds: i64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

fn doctor(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), CommandError> {
    let threshold_ms = ctx.engine.settings.latency_monitor_threshold_ms;
    let events = &ctx.engine.latency.events;
    let text = if events.is_empty() && threshold_ms == 0 {
        "I'm sorry, Dave, I can't do that. Latency monitoring is disabled in this Redis instance. \
         You may use \"CONFIG SET latency-monitor-threshold <milliseconds>.\" in order to enable \
         it. If we weren't in a deep space mission I'd suggest to take a look at \
         https://redis.io/topics/latency-monitor.\n"
            .to_string()
    } else if events.is_empty() {
        "Dave, no latency spike was observed during the lifetime of this Redis instance, not in \
         the slightest bit. I honestly think you ought to sit down calmly, take a stress pill, \
         and think things over.\n"
            .to_string()
    } else {
        report(events.iter().map(|(name, event)| (*name, event)), threshold_ms)
    };
    ctx.client.out.verbatim("txt", text.as_bytes());
    Ok(())
}

fn report<'a>(
    events: impl Iterator<Item = (&'static str, &'a Event)>,
    threshold_ms: u64,
) -> String {
    let mut text = String::from(
        "Dave, I have observed latency spikes in this Redis instance. You don't mind talking \
         about it, do you Dave?\n\n",
    );
    for (at, (name, event)) in events.enumerate() {
        let count = event.samples.len().max(1) as u64;
        let mean = event.samples.iter().map(|sample| sample.ms).sum::<u64>() / count;
        let off = event.samples.iter().map(|sample| sample.ms.abs_diff(mean)).sum::<u64>() / count;
        let first = event.samples.front().map_or(0, |sample| sample.unix_s);
        let last = event.samples.back().map_or(0, |sample| sample.unix_s);
        let period = (last - first) as f64 / count as f64;
        // Writing to a String does not fail.
        let _ = writeln!(
            text,
            "{}. {name}: {count} latency spikes (average {mean}ms, mean deviation {off}ms, period \
             {period:.2} sec). Worst all time event {}ms.",
            at + 1,
            event.max_ms
        );
    }
    let _ = write!(
        text,
        "\nI have a few advices for you:\n\n- SLOWLOG GET shows which commands took long, where \
         'slowlog-log-slower-than' is below the threshold of {threshold_ms} ms.\n- Commands over \
         large values are slow by nature: SCAN and its kin do the same work in steps.\n"
    );
    text
}

fn histogram(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let asked: Vec<String> =
        args.iter().skip(2).map(|arg| text(arg).to_ascii_lowercase()).collect();
    // A container stands for its subcommands.
    let wanted = |name: &str| {
        let top = name.split('|').next();
        asked.is_empty() || asked.iter().any(|other| other == name || Some(&**other) == top)
    };
    let stats = &ctx.engine.stats;
    let rows: Vec<_> = stats
        .histograms
        .iter()
        .zip(command::stat_names())
        .zip(&stats.commands)
        .filter_map(|((buckets, name), row)| {
            buckets.as_ref().filter(|_| wanted(name)).map(|buckets| (name, row.calls, buckets))
        })
        .collect();
    let out = &mut ctx.client.out;
    out.map(rows.len());
    for (name, calls, buckets) in rows {
        out.bulk(name.as_bytes());
        out.map(2);
        out.bulk(b"calls");
        out.int(calls as i64);
        out.bulk(b"histogram_usec");
        reply_buckets(out, buckets);
    }
    Ok(())
}

/// Upper bounds in microseconds with the calls up to them, where there are any.
fn reply_buckets(out: &mut ReplyBuf, histogram: &Histogram) {
    let mut below = 0;
    let mut rows: Vec<(i64, u64)> = Vec::new();
    for (longest_us, count) in histogram.buckets() {
        below += count;
        let bound_us = longest_us.max(1).next_power_of_two() as i64;
        match rows.last_mut() {
            Some(last) if last.0 == bound_us => last.1 = below,
            _ => rows.push((bound_us, below)),
        }
    }
    out.map(rows.len());
    for (bound_us, calls) in rows {
        out.int(bound_us);
        out.int(calls as i64);
    }
}
