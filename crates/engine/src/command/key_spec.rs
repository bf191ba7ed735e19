//! Owns where a command's keys stand among its arguments and what it does with them, as data of its
//! row. Who asks for the keys of a command (COMMAND GETKEYS, the expiry of a replica's own keys)
//! walks over them without allocating.

use protocol::Args;

use crate::command::bits::bits;

bits! {
    /// What happens to a key, in the words of Redis's key specs.
    Access: u16 {
        /// Reads and writes the value.
        RW = 0 => "RW",
        /// Reads it.
        RO = 1 => "RO",
        /// Writes it over, whatever it was.
        OW = 2 => "OW",
        /// Removes the key.
        RM = 3 => "RM",
        /// What the key holds is told or copied; its type or length alone is none of that.
        ACCESS = 4 => "access",
        UPDATE = 5 => "update",
        INSERT = 6 => "insert",
        DELETE = 7 => "delete",
        /// Looks like a key to a cluster's router, and is none (a shard channel).
        NOT_KEY = 8 => "not_key",
        /// There may be more keys than are found.
        INCOMPLETE = 9 => "incomplete",
        /// The arguments say which of these it is.
        VARIABLE = 10 => "variable_flags",
    }
}

impl Access {
    pub const READS: Access = Access::RO.or(Access::ACCESS);
    pub const UPDATES: Access = Access::RW.or(Access::UPDATE);
    pub const READS_UPDATES: Access = Access::UPDATES.or(Access::ACCESS);
    pub const OVERWRITES: Access = Access::OW.or(Access::UPDATE);
    pub const CREATES: Access = Access::OW.or(Access::INSERT);
    pub const ADDS: Access = Access::RW.or(Access::INSERT);
    pub const TAKES_FROM: Access = Access::RW.or(Access::DELETE);
    pub const POPS: Access = Access::TAKES_FROM.or(Access::ACCESS);
    pub const REMOVES: Access = Access::RM.or(Access::DELETE);
}

/// How the keys of a spec are found. Position 0 is the command's name.
#[derive(Clone, Copy, Debug)]
pub enum Find {
    /// First, last (negative counts from the end), step.
    Range { first: u8, last: i8, step: u8 },
    /// A count at this argument, then as many keys (`ZUNION 2 a b`), each so many arguments behind the other.
    Counted { count_at: u8, step: u8 },
    /// The first half of what comes after a word (`XREAD ... STREAMS a b 0 0`); the word stands no earlier
    /// than `from`, and where, the command's own parser knows.
    Halved { word: &'static str, from: u8, find: fn(Args<'_>) -> Option<usize> },
    /// One key, which only the command's own parser finds (`SORT ... STORE dest`).
    Parsed(fn(Args<'_>) -> Option<usize>),
    /// One key behind this word, which is looked for from an argument on (`GEORADIUS ... STORE dest`). The
    /// command's own parser says whether it is there: a word may also be a value.
    Keyword { word: &'static str, from: u8, parse: fn(Args<'_>) -> Option<usize> },
    /// One key at this argument, unless the command's own parser finds its keys elsewhere.
    Unless { at: u8, find: fn(Args<'_>) -> Option<usize> },
    /// Everything behind a word that the command's own parser finds; `from` counts from the end.
    Rest { word: &'static str, from: i8, find: fn(Args<'_>) -> Option<usize> },
    /// Nobody knows before the command runs (`SORT ... BY pattern`).
    Unknown,
}

/// The keys of a command that it treats alike.
#[derive(Clone, Copy, Debug)]
pub struct KeySpec {
    pub find: Find,
    pub access: Access,
    /// Where the arguments decide ([`Access::VARIABLE`]).
    pub access_by: Option<fn(Args<'_>) -> Access>,
    pub notes: Option<&'static str>,
}

/// All specs of a command.
pub type Keys = &'static [KeySpec];

impl KeySpec {
    pub const NONE: Keys = &[];
    const READ_ONE: Keys = &[KeySpec::at(1, Access::READS)];
    const UPDATE_ONE: Keys = &[KeySpec::at(1, Access::UPDATES)];

    /// What most commands have: the first argument, read or updated.
    pub const fn one(is_write: bool) -> Keys {
        if is_write { KeySpec::UPDATE_ONE } else { KeySpec::READ_ONE }
    }

    pub const fn at(index: u8, access: Access) -> KeySpec {
        KeySpec::range(index, index as i8, 1, access)
    }

    pub const fn range(first: u8, last: i8, step: u8, access: Access) -> KeySpec {
        KeySpec::found(Find::Range { first, last, step }, access)
    }

    pub const fn counted(count_at: u8, access: Access) -> KeySpec {
        KeySpec::found(Find::Counted { count_at, step: 1 }, access)
    }

    /// Counted keys with a value behind each.
    pub const fn counted_pairs(count_at: u8, access: Access) -> KeySpec {
        KeySpec::found(Find::Counted { count_at, step: 2 }, access)
    }

    pub const fn keyword(
        word: &'static str,
        from: u8,
        parse: fn(Args<'_>) -> Option<usize>,
        access: Access,
    ) -> KeySpec {
        KeySpec::found(Find::Keyword { word, from, parse }, access)
    }

    pub const fn found(find: Find, access: Access) -> KeySpec {
        KeySpec { find, access, access_by: None, notes: None }
    }

    pub const fn noted(self, notes: &'static str) -> KeySpec {
        KeySpec { notes: Some(notes), ..self }
    }

    pub const fn judged_by(self, judge: fn(Args<'_>) -> Access) -> KeySpec {
        let access = self.access.or(Access::VARIABLE);
        KeySpec { access, access_by: Some(judge), ..self }
    }

    /// Whether a client that only knows first, last and step finds all keys.
    pub fn is_range(&self) -> bool {
        matches!(self.find, Find::Range { .. } | Find::Unless { .. })
    }

    /// What happens to the keys of this very command: the row alone may not know them all.
    pub fn access_in(&self, args: Args<'_>) -> Access {
        let access = self.access_by.map_or(self.access, |judge| judge(args));
        Access(access.0 & !Access::INCOMPLETE.0)
    }

    /// A count that the arguments do not bear out, or half of too few of them, finds nothing that could be
    /// relied on.
    pub fn is_borne_out(&self, args: Args<'_>) -> bool {
        match self.find {
            Find::Counted { count_at, step } => {
                let count = args.get(count_at.into()).and_then(protocol::parse_i64);
                let room = args.len().saturating_sub(usize::from(count_at) + 1);
                let room = room / usize::from(step);
                count.is_some_and(|count| count > 0 && count as u64 <= room as u64)
            }
            Find::Halved { find, .. } => {
                let rest = find(args).map_or(0, |word_at| args.len() - word_at - 1);
                rest > 1
            }
            _ => true,
        }
    }

    /// Whether there is nothing where the row says that keys stand (`PFMERGE dest`). The command may do without;
    /// COMMAND GETKEYS answers an error.
    pub fn is_empty_range(&self, args: Args<'_>) -> bool {
        matches!(self.find, Find::Range { .. }) && self.positions(args).next().is_none()
    }

    /// The positions of the keys among `args`, as far as there are so many.
    pub fn positions(&self, args: Args<'_>) -> impl Iterator<Item = usize> + use<> {
        let (first, end, step) = match self.find {
            Find::Range { first, last, step } => {
                let last = if last < 0 { args.len() as i64 + i64::from(last) } else { last.into() };
                (first.into(), (last + 1).max(0) as usize, step.into())
            }
            Find::Counted { count_at, step } => {
                let first = usize::from(count_at) + 1;
                let count = args.get(count_at.into()).and_then(protocol::parse_i64);
                let step = usize::from(step);
                let room = (args.len().saturating_sub(first) / step) as i64;
                (first, first + count.unwrap_or(0).clamp(0, room) as usize * step, step)
            }
            Find::Parsed(parse) | Find::Keyword { parse, .. } => {
                parse(args).map_or((0, 0, 1), |at| (at, at + 1, 1))
            }
            Find::Halved { find, .. } => {
                find(args).map_or((0, 0, 1), |at| (at + 1, at + 1 + (args.len() - at - 1) / 2, 1))
            }
            Find::Unless { at, find } => match find(args) {
                None => (at.into(), usize::from(at) + 1, 1),
                Some(_) => (0, 0, 1),
            },
            Find::Rest { find, .. } => find(args).map_or((0, 0, 1), |at| (at + 1, args.len(), 1)),
            Find::Unknown => (0, 0, 1),
        };
        (first..end.min(args.len())).step_by(step)
    }
}

/// Positions and treatment of the keys among `args`, spec by spec.
pub fn positions(keys: Keys, args: Args<'_>) -> impl Iterator<Item = (usize, Access)> {
    keys.iter().flat_map(move |spec| {
        let access = spec.access_in(args);
        spec.positions(args).map(move |at| (at, access))
    })
}

/// First, last and step as COMMAND has answered them before there were specs: of those specs that
/// are ranges and follow each other.
pub fn legacy_range(keys: Keys) -> (i64, i64, i64) {
    let mut legacy: Option<(i64, i64, i64)> = None;
    for spec in keys {
        let (first, last, step) = match spec.find {
            Find::Range { first, last, step } => (first, last, step),
            Find::Unless { at, .. } => (at, at as i8, 1),
            _ => continue,
        };
        let (first, last, step) = (i64::from(first), i64::from(last), i64::from(step));
        legacy = match legacy {
            None => Some((first, last, step)),
            Some((begin, end, 1)) if step == 1 && end + 1 == first => Some((begin, last, 1)),
            Some(before) => Some(before),
        };
    }
    legacy.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(keys: Keys, words: &str) -> Vec<usize> {
        let words: Vec<&[u8]> = words.split(' ').map(str::as_bytes).collect();
        positions(keys, Args::new(&words)).map(|(at, _)| at).collect()
    }

    const STEPPED: Keys = &[KeySpec::range(1, -1, 2, Access::OVERWRITES)];
    const POPPED: Keys = &[KeySpec::range(1, -2, 1, Access::POPS)];
    const STORED: Keys = &[KeySpec::at(1, Access::OVERWRITES), KeySpec::counted(2, Access::READS)];

    #[test]
    fn keys_are_found_as_far_as_there_are_any() {
        assert_eq!(found(STEPPED, "mset a 1 b 2 c"), [1, 3, 5]);
        assert_eq!(found(POPPED, "blpop a b 0"), [1, 2]);
        assert!(found(POPPED, "blpop").is_empty());
        assert_eq!(found(STORED, "zunionstore d 2 a b weights 1 2"), [1, 3, 4]);
        // What is only announced is not there.
        assert_eq!(found(STORED, "zunionstore d 9223372036854775807 a"), [1, 3]);
        assert_eq!(found(STORED, "zunionstore d -1 a"), [1]);
        assert_eq!(found(STORED, "zunionstore"), []);
    }

    /// COMMAND GETKEYS added the destination to the count, and the largest count overflowed.
    #[test]
    fn the_largest_count_is_not_borne_out() {
        let borne_out = |count: &str| {
            let words = [b"zunionstore".as_slice(), b"d", count.as_bytes(), b"a"];
            STORED[1].is_borne_out(Args::new(&words))
        };
        assert!(borne_out("1"));
        for count in ["0", "-1", "2", "x", "9223372036854775807"] {
            assert!(!borne_out(count), "{count}");
        }
    }

    #[test]
    fn old_clients_are_told_of_ranges_that_follow_each_other() {
        const MOVED: Keys = &[KeySpec::at(1, Access::POPS), KeySpec::at(2, Access::ADDS)];
        const COMBINED: Keys =
            &[KeySpec::at(2, Access::OVERWRITES), KeySpec::range(3, -1, 1, Access::READS)];
        assert_eq!(legacy_range(MOVED), (1, 2, 1));
        assert_eq!(legacy_range(COMBINED), (2, -1, 1));
        assert_eq!(legacy_range(STORED), (1, 1, 1));
        const COUNTED: Keys = &[KeySpec::counted(1, Access::READS)];
        assert_eq!(legacy_range(COUNTED), (0, 0, 0));
    }
}
