//! DEBUG HTSTATS and HTSTATS-KEY: how full hash tables are, in Redis's layout.

use protocol::Args;
use store::{TableStats, ValueRef};

use super::args::{int, is};
use crate::door::ctx::Ctx;
use crate::error::CommandError;

pub(super) fn htstats(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let index = int(args.at(2))?;
    let databases = ctx.engine.keyspace.len();
    let Some(index) = usize::try_from(index).ok().filter(|index| *index < databases) else {
        return Err(CommandError::err("Out of range database"));
    };
    let is_full = args.get(3).is_some_and(|option| is(option, "full"));
    let [entries, expires] = ctx.engine.keyspace.db(index).table_stats();
    let mut text = String::from("[Dictionary HT]\n");
    describe_tables(&mut text, &entries, is_full);
    text.push_str("[Expires HT]\n");
    describe_tables(&mut text, &expires, is_full);
    ctx.client.out.verbatim("txt", text.as_bytes());
    Ok(())
}

pub(super) fn htstats_key(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let Some(entry) = ctx.db().get(args.at(2)) else {
        return Err(CommandError::NoSuchKey);
    };
    let stats = match entry.value() {
        ValueRef::Set(set) => set.table_stats(),
        ValueRef::Hash(hash) => hash.table_stats(),
        ValueRef::ZSet(zset) => zset.table_stats(),
        _ => None,
    };
    let Some(stats) = stats else {
        return Err(CommandError::err(
            "The value stored at the specified key is not represented using an hash table",
        ));
    };
    let mut text = String::new();
    describe_tables(&mut text, &stats, args.get(3).is_some_and(|option| is(option, "full")));
    ctx.client.out.verbatim("txt", text.as_bytes());
    Ok(())
}

/// A bucket of ours holds several elements by design, and stands where Redis has a slot and its chain.
fn describe_tables(text: &mut String, tables: &[TableStats], is_full: bool) {
    for (index, stats) in tables.iter().enumerate() {
        let role = if index == 0 { "main hash table" } else { "rehashing target" };
        text.push_str(&format!("Hash table {index} stats ({role}):\n"));
        let (buckets, elements) = (stats.buckets(), stats.elements());
        if elements == 0 {
            text.push_str("No stats available for empty dictionaries\n");
            continue;
        }
        text.push_str(&format!(" table size: {buckets}\n number of elements: {elements}\n"));
        if !is_full {
            continue;
        }
        let used = stats.used_buckets();
        let average = elements as f32 / used as f32;
        text.push_str(&format!(
            " different slots: {used}\n max chain length: {}\n \
             avg chain length (counted): {average:.2}\n avg chain length (computed): {average:.2}\n \
             Chain length distribution:\n",
            stats.max_len()
        ));
        for (len, count) in stats.by_len.iter().enumerate().filter(|(_, count)| **count > 0) {
            let share = *count as f32 / buckets as f32 * 100.0;
            text.push_str(&format!("   {len}: {count} ({share:.2}%)\n"));
        }
    }
}
