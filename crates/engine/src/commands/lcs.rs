//! LCS: the longest common subsequence of two strings.

use protocol::Args;
use store::ValueRef;

use super::args::{int, is};
use super::strings::{string_bytes, string_len};
use crate::command::key_spec::{Access, KeySpec};
use crate::command::{Acl, CommandSpec, Flags, row};
use crate::door::ctx::Ctx;
use crate::error::CommandError;

pub(crate) static ROWS: &[CommandSpec] = &[row(
    "lcs",
    lcs,
    -3,
    Flags::READONLY,
    &[KeySpec::range(1, 2, 1, Access::READS)],
    Acl::STRING,
    "7.0.0",
    "Finds the longest common substring.",
)];

#[derive(Default)]
struct Options {
    len: bool,
    idx: bool,
    with_match_len: bool,
    min_match_len: usize,
}

impl Options {
    fn parse(args: Args<'_>) -> Result<Options, CommandError> {
        let mut options = Options::default();
        let mut at = 3;
        while at < args.len() {
            let option = args.at(at);
            if is(option, "idx") {
                options.idx = true;
            } else if is(option, "len") {
                options.len = true;
            } else if is(option, "withmatchlen") {
                options.with_match_len = true;
            } else if is(option, "minmatchlen") && at + 1 < args.len() {
                options.min_match_len = int(args.at(at + 1))?.max(0) as usize;
                at += 1;
            } else {
                return Err(CommandError::Syntax);
            }
            at += 1;
        }
        if options.idx && options.len {
            return Err(CommandError::err(
                "If you want both the length and indexes, please just use IDX.",
            ));
        }
        Ok(options)
    }
}

fn lcs(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let (a, b) = (len_of(ctx, args.at(1)), len_of(ctx, args.at(2)));
    let not_strings = || CommandError::err("The specified keys must contain string values");
    let (a, b) = (a.ok_or_else(not_strings)?, b.ok_or_else(not_strings)?);
    let options = Options::parse(args)?;
    let cells = (a as u64 + 1).saturating_mul(b as u64 + 1);
    if cells.saturating_mul(size_of::<u32>() as u64) > ctx.engine.settings.proto_max_bulk_len {
        return Err(CommandError::err(
            "Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len",
        ));
    }
    // Not before: texts of half a gigabyte would be copied for an error.
    let (a, b) = (text_of(ctx, args.at(1)), text_of(ctx, args.at(2)));
    let table = Table::new(&a, &b).ok_or_else(|| {
        CommandError::err("Insufficient memory, failed allocating transient memory for LCS")
    })?;
    let out = &mut ctx.client.out;
    if options.idx {
        let runs = table.runs(&a, &b);
        let shown = || runs.iter().filter(|run| run.len >= options.min_match_len);
        out.map(2);
        out.bulk(b"matches");
        out.array(shown().count());
        for run in shown() {
            out.array(if options.with_match_len { 3 } else { 2 });
            for start in [run.a, run.b] {
                out.array(2);
                out.int(start as i64);
                out.int((start + run.len - 1) as i64);
            }
            if options.with_match_len {
                out.int(run.len as i64);
            }
        }
        out.bulk(b"len");
        out.int(table.len().into());
    } else if options.len {
        out.int(table.len().into());
    } else {
        let runs = table.runs(&a, &b);
        let parts: Vec<&[u8]> = runs.iter().rev().map(|run| &a[run.a..][..run.len]).collect();
        out.bulk(&parts.concat());
    }
    Ok(())
}

/// The length of a key's string, 0 for none; `None` where there is something else.
fn len_of(ctx: &mut Ctx<'_>, key: &[u8]) -> Option<usize> {
    let entry = ctx.engine.read(ctx.view, key);
    entry.map_or(Some(0), |entry| string_len(entry.value()).ok())
}

/// The string of a key, empty for none, without a second hit in the statistics.
fn text_of(ctx: &mut Ctx<'_>, key: &[u8]) -> Vec<u8> {
    let value = ctx.engine.peek(ctx.view, key).map_or(ValueRef::Str(b""), |entry| entry.value());
    string_bytes(value, &mut itoa::Buffer::new()).map(<[u8]>::to_vec).unwrap_or_default()
}

/// For each pair of prefixes of two texts the length of their longest common subsequence.
struct Table {
    lens: Vec<u32>,
    width: usize,
}

/// Bytes that both texts have in a row.
#[derive(Debug, PartialEq, Eq)]
struct Run {
    a: usize,
    b: usize,
    len: usize,
}

impl Table {
    /// `None` where there is no memory for it.
    fn new(a: &[u8], b: &[u8]) -> Option<Table> {
        let width = b.len() + 1;
        let cells = (a.len() + 1).checked_mul(width)?;
        let mut lens = Vec::new();
        lens.try_reserve_exact(cells).ok()?;
        lens.resize(cells, 0);
        for (i, byte) in a.iter().enumerate() {
            let (above, row) = lens[i * width..][..2 * width].split_at_mut(width);
            for (j, other) in b.iter().enumerate() {
                row[j + 1] = if byte == other { above[j] + 1 } else { above[j + 1].max(row[j]) };
            }
        }
        Some(Table { lens, width })
    }

    fn len(&self) -> u32 {
        self.lens.last().copied().unwrap_or(0)
    }

    /// The runs that make up the subsequence, the last first.
    fn runs(&self, a: &[u8], b: &[u8]) -> Vec<Run> {
        let mut runs: Vec<Run> = Vec::new();
        let (mut i, mut j) = (a.len(), b.len());
        while i > 0 && j > 0 {
            if a[i - 1] != b[j - 1] {
                // Of two ways as good, the one that leaves the first text as it is.
                let without_a = self.lens[(i - 1) * self.width + j];
                let without_b = self.lens[i * self.width + j - 1];
                if without_a > without_b {
                    i -= 1
                } else {
                    j -= 1
                }
                continue;
            }
            match runs.last_mut() {
                Some(run) if (run.a, run.b) == (i, j) => {
                    *run = Run { a: i - 1, b: j - 1, len: run.len + 1 };
                }
                _ => runs.push(Run { a: i - 1, b: j - 1, len: 1 }),
            }
            (i, j) = (i - 1, j - 1);
        }
        runs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_found_from_the_end() {
        let (a, b) = (b"ohmytext", b"mynewtext");
        let table = Table::new(a, b).unwrap();
        assert_eq!(table.len(), 6);
        assert_eq!(table.runs(a, b), [Run { a: 4, b: 5, len: 4 }, Run { a: 2, b: 0, len: 2 }]);
    }

    #[test]
    fn nothing_in_common_is_no_run() {
        for (a, b) in [("", ""), ("", "a"), ("a", ""), ("abc", "xyz")] {
            let table = Table::new(a.as_bytes(), b.as_bytes()).unwrap();
            assert_eq!((table.len(), table.runs(a.as_bytes(), b.as_bytes())), (0, vec![]));
        }
    }
}
