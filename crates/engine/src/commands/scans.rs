//! SCAN, HSCAN, SSCAN and ZSCAN: cursors, options, and the one loop of all of them. The rows stand
//! with their types.

use protocol::{Args, ReplyBuf, parse_i64};
use store::glob;
use store::value::{Item, ItemBuf};

use super::args::is;
use super::keyspace::deletions_stand_alone;
use crate::data::view::View;
use crate::door::ctx::Ctx;
use crate::error::CommandError;

/// A sparse table must not hold the server up: so many times as many buckets as elements asked for.
const BUCKETS_PER_ELEMENT: usize = 10;

/// What follows the cursor.
struct Options<'a> {
    count: usize,
    pattern: Option<&'a [u8]>,
    type_name: Option<&'a [u8]>,
    no_values: bool,
}

/// What is scanned: each has an option of its own.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scan {
    Keys,
    Fields,
    Members,
}

impl<'a> Options<'a> {
    fn parse(args: Args<'a>, first: usize, scan: Scan) -> Result<Options<'a>, CommandError> {
        let mut options = Options { count: 10, pattern: None, type_name: None, no_values: false };
        let mut at = first;
        while at < args.len() {
            let more = at + 1 < args.len();
            let option = args.at(at);
            if is(option, "count") && more {
                let count = parse_i64(args.at(at + 1)).ok_or(CommandError::NotAnInteger)?;
                if count < 1 {
                    return Err(CommandError::Syntax);
                }
                options.count = count as usize;
            } else if is(option, "match") && more {
                // A pattern that matches everything need not be matched.
                options.pattern = (args.at(at + 1) != b"*").then(|| args.at(at + 1));
            } else if is(option, "type") && more && scan == Scan::Keys {
                options.type_name = Some(args.at(at + 1));
            } else if is(option, "novalues") {
                if scan != Scan::Fields {
                    return Err(CommandError::err("NOVALUES option can only be used in HSCAN"));
                }
                options.no_values = true;
                at += 1;
                continue;
            } else {
                return Err(CommandError::Syntax);
            }
            at += 2;
        }
        Ok(options)
    }

    fn wants(&self, name: &[u8]) -> bool {
        self.pattern.is_none_or(|pattern| glob::matches(pattern, name))
    }

    /// Takes steps from `cursor` on until enough was seen; a step answers the next cursor and how
    /// many elements it met.
    fn walk(&self, mut cursor: u64, mut step: impl FnMut(u64) -> (u64, usize)) -> u64 {
        let mut seen = 0;
        for _ in 0..self.count.saturating_mul(BUCKETS_PER_ELEMENT) {
            let (next, met) = step(cursor);
            (cursor, seen) = (next, seen + met);
            if cursor == 0 || seen >= self.count {
                break;
            }
        }
        cursor
    }
}

/// As C's strtoul reads it: nothing is zero, and a minus counts from the far end.
fn cursor(arg: &[u8]) -> Result<u64, CommandError> {
    let (negative, digits) = match arg {
        [] => return Ok(0),
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    let is_number = digits.iter().all(u8::is_ascii_digit);
    let number = std::str::from_utf8(digits).ok().filter(|_| is_number);
    let number: u64 =
        number.and_then(|text| text.parse().ok()).ok_or(CommandError::InvalidCursor)?;
    Ok(if negative { number.wrapping_neg() } else { number })
}

fn reply_cursor(out: &mut ReplyBuf, cursor: u64) {
    out.array(2);
    out.bulk(itoa::Buffer::new().format(cursor).as_bytes());
}

/// What a step of HSCAN and its kin reports its elements to.
pub(crate) struct Scanned<'a> {
    options: &'a Options<'a>,
    met: usize,
    words: Vec<Vec<u8>>,
}

impl Scanned<'_> {
    /// An element was met: adds what is answered for it, if it is asked for.
    pub(crate) fn meet<const N: usize>(
        &mut self,
        name: Item<'_>,
        words: impl FnOnce() -> [Vec<u8>; N],
    ) {
        self.met += 1;
        if self.options.wants(name.as_bytes(&mut ItemBuf::new())) {
            let shown = if self.options.no_values { 1 } else { N };
            self.words.extend(words().into_iter().take(shown));
        }
    }
}

/// Answers HSCAN, SSCAN or ZSCAN on the collection that `find` yields; `step` scans it from a
/// cursor on.
pub(crate) fn scan_collection<T>(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    scan: Scan,
    find: impl for<'e> FnOnce(&'e mut crate::Engine, View, &[u8]) -> Result<Option<&'e T>, CommandError>,
    step: impl Fn(&T, u64, &mut Scanned<'_>) -> u64,
) -> Result<(), CommandError> {
    let cursor = cursor(args.at(2))?;
    let collection = find(ctx.engine, ctx.view, args.at(1))?;
    let out = &mut ctx.client.out;
    // Without a key there is nothing that options could say something about.
    let Some(collection) = collection else {
        reply_cursor(out, 0);
        out.array(0);
        return Ok(());
    };
    let options = &Options::parse(args, 3, scan)?;
    let mut found = Scanned { options, met: 0, words: Vec::new() };
    let next = options.walk(cursor, |cursor| {
        found.met = 0;
        let next = step(collection, cursor, &mut found);
        (next, found.met)
    });
    reply_cursor(out, next);
    out.array(found.words.len());
    found.words.iter().for_each(|word| out.bulk(word));
    Ok(())
}

pub(super) fn scan(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let cursor = cursor(args.at(1))?;
    let options = Options::parse(args, 2, Scan::Keys)?;
    let db = ctx.view;
    let now_ms = ctx.engine.now.unix_ms();
    let mut names: Vec<Box<[u8]>> = Vec::new();
    let mut expired: Vec<Box<[u8]>> = Vec::new();
    let next = options.walk(cursor, |cursor| {
        let mut met = 0;
        let next = ctx.engine.keyspace.db(db.index()).scan(cursor, |entry| {
            met += 1;
            let of_type = options.type_name.is_none_or(|name| is(name, entry.value_type().name()));
            if !options.wants(entry.key()) {
                return;
            }
            // What has expired goes, whatever its type was.
            if entry.is_expired(now_ms) {
                expired.push(entry.key().into());
            } else if of_type {
                names.push(entry.key().into());
            }
        });
        (next, met)
    });
    deletions_stand_alone(ctx);
    for name in expired {
        ctx.engine.expire_if_needed(db, &name);
    }
    reply_cursor(&mut ctx.client.out, next);
    ctx.client.out.array(names.len());
    names.iter().for_each(|name| ctx.client.out.bulk(name));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_by_strtoul() {
        for (text, read) in [
            ("", Some(0)),
            ("0", Some(0)),
            ("+7", Some(7)),
            ("007", Some(7)),
            ("-1", Some(u64::MAX)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            (" 1", None),
            ("1 ", None),
            ("0x1", None),
            ("--1", None),
            ("-", None),
            ("abc", None),
        ] {
            assert_eq!(cursor(text.as_bytes()).ok(), read, "{text:?}");
        }
    }
}
