//! MEMORY: what keys and the process cost.

use protocol::Args;

use super::args::{int, is};
use super::help;
use super::pubsub::container;
use crate::command::key_spec::{Access, KeySpec};
use crate::command::{Acl, CommandSpec, Flags, row};
use crate::door::ctx::Ctx;
use crate::error::CommandError;
use crate::world::{Action, InfoLines};

/// Elements of a collection that MEMORY USAGE looks at unless told otherwise.
const DEFAULT_SAMPLES: usize = 5;
/// A table's slot, its share of the buckets' headers included.
const SLOT_BYTES: usize = 10;
/// Below this MEMORY DOCTOR has nothing to go by.
const TOO_LITTLE_BYTES: u64 = 5 << 20;

pub(crate) static ROWS: &[CommandSpec] = &[row(
    "memory",
    container,
    -2,
    Flags::NONE,
    KeySpec::NONE,
    Acl::NONE,
    "4.0.0",
    "A container for memory diagnostics commands.",
)
.with(SUBCOMMANDS)];

static SUBCOMMANDS: &[CommandSpec] = &[
    row(
        "doctor",
        doctor,
        2,
        Flags::NONE,
        KeySpec::NONE,
        Acl::NONE,
        "4.0.0",
        "Outputs a memory problems report.",
    )
    .tips(&["nondeterministic_output", "request_policy:all_shards", "response_policy:special"]),
    help::row_of("4.0.0", Acl::NONE),
    row(
        "malloc-stats",
        malloc_stats,
        2,
        Flags::NONE,
        KeySpec::NONE,
        Acl::NONE,
        "4.0.0",
        "Returns the allocator statistics.",
    )
    .tips(&["nondeterministic_output", "request_policy:all_shards", "response_policy:special"]),
    row(
        "purge",
        purge,
        2,
        Flags::NONE,
        KeySpec::NONE,
        Acl::NONE,
        "4.0.0",
        "Asks the allocator to release memory.",
    )
    .tips(&["request_policy:all_shards", "response_policy:all_succeeded"]),
    row(
        "stats",
        stats,
        2,
        Flags::NONE,
        KeySpec::NONE,
        Acl::NONE,
        "4.0.0",
        "Returns details about memory usage.",
    )
    .tips(&["nondeterministic_output", "request_policy:all_shards", "response_policy:special"]),
    row(
        "usage",
        usage,
        -3,
        Flags::READONLY,
        &[KeySpec::at(2, Access::RO)],
        Acl::NONE,
        "4.0.0",
        "Estimates the memory usage of a key.",
    ),
];

fn usage(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let mut samples = DEFAULT_SAMPLES;
    let mut at = 3;
    while at < args.len() {
        let (true, Some(count)) = (is(args.at(at), "samples"), args.get(at + 1)) else {
            return Err(CommandError::Syntax);
        };
        samples = usize::try_from(int(count)?).map_err(|_| CommandError::Syntax)?;
        at += 2;
    }
    let bytes = ctx.engine.peek(ctx.view, args.at(2)).map(|entry| {
        let slots = if entry.expire_ms().is_some() { 2 } else { 1 };
        entry.memory_usage(samples) + slots * SLOT_BYTES
    });
    match bytes {
        Some(bytes) => ctx.client.out.int(bytes as i64),
        None => ctx.client.out.null(),
    }
    Ok(())
}

fn malloc_stats(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), CommandError> {
    ctx.perform_and_reply(Action::AllocatorReport)
}

fn purge(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), CommandError> {
    ctx.perform_and_reply(Action::MemoryPurge)
}

/// INFO memory, read back: what the process knows is asked in one place.
struct Figures(InfoLines);

impl Figures {
    fn of(ctx: &Ctx<'_>) -> Figures {
        Figures(ctx.world.memory_info(ctx.engine.memory(ctx.world, Some(ctx.client))))
    }

    fn text(&self, name: &str) -> &str {
        let line = self.0.iter().find(|(other, _)| *other == name);
        line.map_or("0", |(_, value)| value.trim_end_matches('%'))
    }

    fn int(&self, name: &str) -> i64 {
        self.text(name).parse().unwrap_or(0)
    }

    fn double(&self, name: &str) -> f64 {
        self.text(name).parse().unwrap_or(0.0)
    }
}

enum Value {
    Int(i64),
    Double(f64),
}

fn stats(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), CommandError> {
    use Value::{Double, Int};
    let figures = Figures::of(ctx);
    let int = |name: &str| Int(figures.int(name));
    let double = |name: &str| Double(figures.double(name));
    let keyspace = &ctx.engine.keyspace;
    let used: Vec<usize> = (0..keyspace.len()).filter(|db| !keyspace.db(*db).is_empty()).collect();
    let keys: i64 = used.iter().map(|db| keyspace.db(*db).len() as i64).sum();
    let data = figures.int("used_memory") - figures.int("used_memory_startup");
    let before = [
        ("peak.allocated", int("used_memory_peak")),
        ("total.allocated", int("used_memory")),
        ("startup.allocated", int("used_memory_startup")),
        ("replication.backlog", int("mem_replication_backlog")),
        ("clients.slaves", int("mem_clients_slaves")),
        ("clients.normal", int("mem_clients_normal")),
        ("cluster.links", int("mem_cluster_links")),
        ("aof.buffer", int("mem_aof_buffer")),
        ("lua.caches", int("used_memory_scripts_eval")),
        ("functions.caches", int("used_memory_functions")),
    ];
    let databases = || (0..keyspace.len()).map(|db| keyspace.db(db));
    let tables = databases().map(|db| db.overhead_bytes()).map(|(main, expires)| main + expires);
    let rehashing: usize = databases().map(|db| db.rehashing().0).sum();
    let after = [
        ("overhead.db.hashtable.lut", Int(tables.sum::<usize>() as i64)),
        ("overhead.db.hashtable.rehashing", int("mem_overhead_db_hashtable_rehashing")),
        ("overhead.total", int("used_memory_overhead")),
        ("db.dict.rehashing.count", Int(rehashing as i64)),
        ("keys.count", Int(keys)),
        ("keys.bytes-per-key", Int(if keys > 0 { data.max(0) / keys } else { 0 })),
        ("dataset.bytes", int("used_memory_dataset")),
        ("dataset.percentage", double("used_memory_dataset_perc")),
        ("peak.percentage", double("used_memory_peak_perc")),
        ("allocator.allocated", int("allocator_allocated")),
        ("allocator.active", int("allocator_active")),
        ("allocator.resident", int("allocator_resident")),
        ("allocator.muzzy", int("allocator_muzzy")),
        ("allocator-fragmentation.ratio", double("allocator_frag_ratio")),
        ("allocator-fragmentation.bytes", int("allocator_frag_bytes")),
        ("allocator-rss.ratio", double("allocator_rss_ratio")),
        ("allocator-rss.bytes", int("allocator_rss_bytes")),
        ("rss-overhead.ratio", double("rss_overhead_ratio")),
        ("rss-overhead.bytes", int("rss_overhead_bytes")),
        ("fragmentation", double("mem_fragmentation_ratio")),
        ("fragmentation.bytes", int("mem_fragmentation_bytes")),
    ];
    let out = &mut ctx.client.out;
    let field = |out: &mut protocol::ReplyBuf, (name, value): &(&str, Value)| {
        out.bulk(name.as_bytes());
        match value {
            Int(n) => out.int(*n),
            Double(n) => out.double(*n),
        }
    };
    out.map(before.len() + used.len() + after.len());
    before.iter().for_each(|row| field(out, row));
    for db in used {
        let (entries, expires) = ctx.engine.keyspace.db(db).overhead_bytes();
        out.bulk(format!("db.{db}").as_bytes());
        out.map(2);
        field(out, &("overhead.hashtable.main", Int(entries as i64)));
        field(out, &("overhead.hashtable.expires", Int(expires as i64)));
    }
    after.iter().for_each(|row| field(out, row));
    Ok(())
}

/// What may be wrong: where a figure is out of the ordinary it is told with the figure.
fn doctor(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), CommandError> {
    let figures = Figures::of(ctx);
    let used = figures.int("used_memory").max(0) as u64;
    let mut text = String::new();
    let mut find = |found: bool, what: &str| {
        if found {
            text.push_str(&format!(" * {what}\n\n"));
        }
    };
    if used < TOO_LITTLE_BYTES {
        let text = "Hi Sam, this instance is empty or is using very little memory, my issues \
                    detector can't be used in these conditions. Please, leave for your mission on \
                    Earth and fill it with some data. The new Sam and I will be back to our \
                    programming as soon as I finished rebooting.\n";
        ctx.client.out.verbatim("txt", text.as_bytes());
        return Ok(());
    }
    find(
        figures.int("used_memory_peak") as f64 > used as f64 * 1.5,
        "Peak memory: in the past this instance used more than 150% of the memory that it uses \
         now. The allocator may keep pages from then; a high fragmentation ratio is explained by \
         that.",
    );
    find(
        figures.double("mem_fragmentation_ratio") > 1.4,
        "High total RSS: the process holds more than 1.4 times the memory that it has handed out.",
    );
    find(
        figures.double("allocator_frag_ratio") > 1.1
            && figures.int("allocator_frag_bytes") > 10 << 20,
        "High allocator fragmentation: values of many sizes leave gaps between them.",
    );
    find(
        figures.double("allocator_rss_ratio") > 1.1
            && figures.int("allocator_rss_bytes") > 10 << 20,
        "High allocator RSS overhead: the allocator keeps free pages. MEMORY PURGE returns them.",
    );
    let text = if text.is_empty() {
        "Hi Sam, I can't find any memory issue in your instance. I can only account for what \
         occurs on this base.\n"
            .to_string()
    } else {
        format!("Sam, I detected a few issues in this instance's memory:\n\n{text}")
    };
    ctx.client.out.verbatim("txt", text.as_bytes());
    Ok(())
}
