//! Owns the shape of a row of the command table, and the look-up by name.
//!
//! The rows themselves stand in `table.rs`; every text that speaks of a command (COMMAND, COMMAND
//! DOCS, HELP, arity errors) derives from its row.

pub(crate) mod arguments;
pub(crate) mod bits;
pub mod key_spec;
pub(crate) mod redact;
pub(crate) mod table;

use std::collections::HashMap;
use std::sync::{LazyLock, OnceLock};

use protocol::Args;

use crate::Engine;
use crate::command::bits::bits;
use crate::command::key_spec::{KeySpec, Keys};
use crate::command::redact::Redact;
use crate::command::table::COMMANDS;
use crate::door::ctx::Ctx;
use crate::error::{CommandError, shown};

pub type Handler = fn(&mut Ctx<'_>, Args<'_>) -> Result<(), CommandError>;

/// The flags of a very command, where its arguments say more than its row.
pub type FlagsBy = fn(&Engine, Args<'_>, Flags) -> Flags;

bits! {
    /// What the door must know of a command before it runs it. Those with a word are told by COMMAND, in
    /// Redis's order.
    Flags: u32 {
        WRITE = 0 => "write",
        READONLY = 1 => "readonly",
        DENYOOM = 2 => "denyoom",
        ADMIN = 3 => "admin",
        PUBSUB = 4 => "pubsub",
        NOSCRIPT = 5 => "noscript",
        BLOCKING = 6 => "blocking",
        LOADING = 7 => "loading",
        STALE = 8 => "stale",
        SKIP_MONITOR = 9 => "skip_monitor",
        SKIP_SLOWLOG = 10 => "skip_slowlog",
        ASKING = 11 => "asking",
        FAST = 12 => "fast",
        NO_AUTH = 13 => "no_auth",
        MAY_REPLICATE = 14 => "",
        /// Its keys may be none.
        NO_MANDATORY_KEYS = 27 => "no_mandatory_keys",
        NO_ASYNC_LOADING = 17 => "no_async_loading",
        /// Runs at once even between MULTI and EXEC (EXEC itself, DISCARD, WATCH, RESET...).
        NO_MULTI = 18 => "",
        /// Guarded by `enable-debug-command`.
        DEBUG_GUARDED = 19 => "",
        /// Refused between MULTI and EXEC.
        NO_MULTI_QUEUE = 20 => "no_multi",
        MOVABLE_KEYS = 15 => "movablekeys",
        ALLOW_BUSY = 16 => "allow_busy",
        /// Runs what was queued: judged by that, and what refuses it ends the transaction.
        RUNS_QUEUE = 21 => "",
        /// Health checks send it: a master that cannot save says so here as well.
        TELLS_HEALTH = 22 => "",
        /// What a subscribed connection may still say in RESP2.
        IN_PUBSUB = 23 => "",
        /// No pause holds it back: it is how one is ended.
        NEVER_PAUSED = 24 => "",
        /// Guarded by `enable-module-command`.
        MODULE_GUARDED = 25 => "",
        /// Changes no data, and belongs in a master's stream all the same.
        IN_STREAM = 26 => "",
        /// What CLIENT CACHING has said still holds behind it.
        KEEPS_CACHING = 28 => "",
    }
}

bits! {
    /// ACL categories, in the order in which Redis lists them.
    Acl: u32 {
        KEYSPACE = 0 => "@keyspace",
        READ = 1 => "@read",
        WRITE = 2 => "@write",
        SET = 3 => "@set",
        SORTEDSET = 4 => "@sortedset",
        LIST = 5 => "@list",
        HASH = 6 => "@hash",
        STRING = 7 => "@string",
        BITMAP = 8 => "@bitmap",
        HYPERLOGLOG = 9 => "@hyperloglog",
        GEO = 10 => "@geo",
        STREAM = 11 => "@stream",
        PUBSUB = 12 => "@pubsub",
        ADMIN = 13 => "@admin",
        FAST = 14 => "@fast",
        SLOW = 15 => "@slow",
        BLOCKING = 16 => "@blocking",
        DANGEROUS = 17 => "@dangerous",
        CONNECTION = 18 => "@connection",
        TRANSACTION = 19 => "@transaction",
        SCRIPTING = 20 => "@scripting",
    }
}

impl Flags {
    pub const fn without(self, other: Flags) -> Flags {
        Flags(self.0 & !other.0)
    }
}

impl Acl {
    /// The category with this name, which begins with `@`, in any case.
    pub fn named(name: &[u8]) -> Option<Acl> {
        let is = |(_, text): &&(Acl, &str)| text.as_bytes().eq_ignore_ascii_case(name);
        Acl::TEXTS.iter().find(is).map(|(category, _)| *category)
    }
}

/// One row of the command table, or of a container command's table of subcommands.
#[derive(Debug)]
pub struct CommandSpec {
    /// Lower case; a subcommand's is the word after its container's.
    pub name: &'static str,
    pub handler: Handler,
    /// Exact count of arguments with the name, or the least count when negative.
    pub arity: i16,
    pub flags: Flags,
    pub(crate) flags_by: Option<FlagsBy>,
    pub keys: Keys,
    pub acl: Acl,
    /// Hints for clients and proxies, as `request_policy:all_shards`.
    pub tips: &'static [&'static str],
    /// The group of the documentation, where it does not follow from the categories.
    own_group: Option<&'static str>,
    /// Which arguments are channels, and what is done with them.
    pub channels: Channels,
    pub deprecated: Option<Deprecated>,
    /// Servers and tests send it, people do not.
    pub is_internal: bool,
    /// Hides what nobody may see of the arguments.
    pub(crate) redact: Option<Redact>,
    pub since: &'static str,
    pub summary: &'static str,
    pub subcommands: &'static [CommandSpec],
}

/// The arguments of a command that are channels of pub/sub, all from the first on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Channels {
    #[default]
    None,
    /// The first alone is published to.
    Published,
    Subscribed,
    /// They are patterns.
    SubscribedPatterns,
}

/// Since when a command is not to be used any more, and what is.
#[derive(Clone, Copy, Debug)]
pub struct Deprecated {
    pub since: &'static str,
    pub replaced_by: &'static str,
}

impl CommandSpec {
    pub fn arity_fits(&self, args: usize) -> bool {
        if self.arity >= 0 {
            args == self.arity as usize
        } else {
            args >= self.arity.unsigned_abs() as usize
        }
    }

    pub fn is_write(&self) -> bool {
        self.flags.has(Flags::WRITE)
    }
}

/// A command as it was found: the row, and the row of the subcommand where there is one.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    pub spec: &'static CommandSpec,
    /// The container's name, when `spec` is a subcommand.
    pub container: Option<&'static CommandSpec>,
    pub stat: u32,
    /// The row's, unless this very command has others.
    pub flags: Flags,
}

impl Found {
    /// The row that stands in the table itself: the container's, or the command's own.
    pub fn top(&self) -> &'static CommandSpec {
        self.container.unwrap_or(self.spec)
    }

    /// `get`, or `config|get`.
    pub fn full_name(&self) -> String {
        match self.container {
            Some(container) => format!("{}|{}", container.name, self.spec.name),
            None => self.spec.name.to_string(),
        }
    }

    /// The rows of a container's subcommands.
    pub fn subcommands(self) -> impl Iterator<Item = Found> {
        let subs = self.spec.subcommands.iter();
        (self.stat + 1..).zip(subs).map(move |(stat, spec)| Found {
            spec,
            container: Some(self.spec),
            stat,
            flags: spec.flags,
        })
    }
}

/// The rows of the table itself.
pub fn top_rows() -> impl Iterator<Item = Found> {
    let rows = COMMANDS.iter().flat_map(|family| family.iter());
    rows.scan(0, |next, spec| {
        let stat = *next;
        *next += 1 + spec.subcommands.len() as u32;
        Some(Found { spec, container: None, stat, flags: spec.flags })
    })
}

/// All rows: those of the table, each followed by those of its subcommands.
pub fn every_row() -> impl Iterator<Item = Found> {
    top_rows().flat_map(|top| std::iter::once(top).chain(top.subcommands()))
}

/// The row called `get` or `config|get`, in any case, whatever `rename-command` calls it here.
pub fn find_original(name: &[u8]) -> Option<Found> {
    let is = |spec: &CommandSpec, word: &[u8]| spec.name.as_bytes().eq_ignore_ascii_case(word);
    let mut words = name.splitn(2, |byte| *byte == b'|');
    let top = words.next()?;
    let found = top_rows().find(|row| is(row.spec, top))?;
    match words.next() {
        None => Some(found),
        Some(word) => found.subcommands().find(|sub| is(sub.spec, word)),
    }
}

/// Finds the row by the command's name in any case, then the subcommand's.
///
/// A container whose second word is no subcommand is found itself when it has a row of its own
/// use (arity fits alone), otherwise the error says which word was not known.
pub fn find(args: Args<'_>) -> Result<Found, CommandError> {
    let Some((spec, stat)) = INDEX.top(&args[0]).or_else(|| INDEX.renamed(&args[0])) else {
        return Err(unknown_command(args));
    };
    if spec.subcommands.is_empty() || args.len() < 2 {
        return Ok(Found { spec, container: None, stat, flags: spec.flags });
    }
    let word = &args[1];
    match spec.subcommands.iter().position(|sub| sub.name.as_bytes().eq_ignore_ascii_case(word)) {
        Some(at) => Ok(Found {
            spec: &spec.subcommands[at],
            container: Some(spec),
            stat: stat + 1 + at as u32,
            flags: spec.subcommands[at].flags,
        }),
        None => Err(CommandError::unknown_subcommand(word, spec.name)),
    }
}

/// Whether the table has a command of that name, whatever it is called here.
pub fn is_in_table(name: &[u8]) -> bool {
    let mut rows = COMMANDS.iter().flat_map(|family| family.iter());
    rows.any(|spec| spec.name.as_bytes().eq_ignore_ascii_case(name))
}

static RENAMES: OnceLock<Vec<(Vec<u8>, Vec<u8>)>> = OnceLock::new();

/// Gives commands other names (`rename-command`), or takes a command away where the other name is
/// empty. Holds for the process, and has to be said before the first command is looked up.
pub fn rename(renames: Vec<(Vec<u8>, Vec<u8>)>) {
    // A second server in one process would be a test's; the first one's word stands.
    let _ = RENAMES.set(renames);
}

/// How many rows and subcommand rows there are: the length of the statistics.
pub fn stat_rows() -> usize {
    // Asked before commands have got their names here.
    top_rows().map(|row| 1 + row.spec.subcommands.len()).sum()
}

/// The full name of every row, by its statistics' index.
pub fn stat_names() -> &'static [String] {
    &INDEX.rows
}

fn unknown_command(args: Args<'_>) -> CommandError {
    let name = shown(&args[0]);
    let mut rest = String::new();
    for arg in args.iter().skip(1) {
        if rest.len() >= 128 {
            break;
        }
        let room = 128 - rest.len();
        let arg = shown(&arg[..arg.len().min(room)]);
        rest.push_str(&format!("'{arg}' "));
    }
    let text = format!("unknown command '{name}', with args beginning with: {rest}");
    CommandError::err(text.replace(['\r', '\n'], " "))
}

/// A row, under what its name is compared by.
#[derive(Clone, Copy)]
struct Slot {
    key: NameKey,
    spec: &'static CommandSpec,
    stat: u32,
}

/// Open addressing by name, built once: a look-up on the hot path is one multiplication and, nearly
/// always, one comparison of three words.
struct Index {
    slots: Vec<Option<Slot>>,
    rows: Vec<String>,
    /// Commands under other names than their own, in lower case.
    renamed: HashMap<Vec<u8>, (&'static CommandSpec, u32)>,
}

static INDEX: LazyLock<Index> = LazyLock::new(Index::build);

/// A name in lower case by its first and last eight bytes: up to sixteen bytes that is all of it. One
/// of up to eight bytes fits into the first.
#[derive(Clone, Copy, PartialEq, Eq)]
struct NameKey {
    first: u64,
    last: u64,
    len: usize,
}

impl NameKey {
    const WHOLE_UP_TO: usize = 16;

    #[inline]
    fn of(name: &[u8]) -> NameKey {
        let len = name.len();
        let (first, last) = if let (Some(first), Some(last)) =
            (name.first_chunk::<8>(), name.last_chunk::<8>())
        {
            (u64::from_le_bytes(*first), lower_case(u64::from_le_bytes(*last)))
        } else if let (Some(first), Some(last)) = (name.first_chunk::<4>(), name.last_chunk::<4>())
        {
            let [first, last] = [*first, *last].map(u32::from_le_bytes);
            (u64::from(first) | u64::from(last) << 32, 0)
        } else if let (Some(first), Some(last)) = (name.first(), name.last()) {
            let middle = u64::from(name[len / 2]) << 8;
            (u64::from(*first) | middle | u64::from(*last) << 16, 0)
        } else {
            (0, 0)
        };
        NameKey { first: lower_case(first), last, len }
    }

    /// The rest of a name that is longer than the key.
    fn is_all_of(self, name: &[u8], of: &str) -> bool {
        self.len <= Self::WHOLE_UP_TO || of.as_bytes().eq_ignore_ascii_case(name)
    }

    fn slot_of(self, slots: usize) -> usize {
        let folded = self.first ^ self.last.rotate_left(29) ^ self.len as u64;
        (folded.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as usize & (slots - 1)
    }
}

/// Eight letters at once: whether a byte lies between A and Z shows in the highest bit of two sums.
#[inline]
fn lower_case(bytes: u64) -> u64 {
    const EACH: u64 = u64::from_ne_bytes([1; 8]);
    let low_bits = bytes & (EACH * 0x7f);
    let from_a = low_bits + EACH * (0x80 - b'A' as u64);
    let after_z = low_bits + EACH * (0x7f - b'Z' as u64);
    let is_upper = (from_a ^ after_z) & !bytes & (EACH * 0x80);
    bytes | is_upper >> 2
}

impl Index {
    fn build() -> Index {
        let size = (COMMANDS.len() * 4).next_power_of_two();
        let slots = vec![None; size];
        let mut index = Index { slots, rows: Vec::new(), renamed: HashMap::new() };
        let renames = RENAMES.get().map_or(&[][..], Vec::as_slice);
        for spec in COMMANDS.iter().flat_map(|family| family.iter()) {
            let stat = index.rows.len() as u32;
            index.rows.push(spec.name.to_string());
            for sub in spec.subcommands {
                index.rows.push(format!("{}|{}", spec.name, sub.name));
            }
            let mut renames = renames.iter();
            match renames.find(|(from, _)| from.eq_ignore_ascii_case(spec.name.as_bytes())) {
                None => index.insert(spec, stat),
                Some((_, to)) if to.is_empty() => {}
                Some((_, to)) => drop(index.renamed.insert(to.to_ascii_lowercase(), (spec, stat))),
            }
        }
        index
    }

    fn insert(&mut self, spec: &'static CommandSpec, stat: u32) {
        if (stat as usize + 1) * 2 > self.slots.len() {
            let larger = vec![None; self.slots.len() * 2];
            let old = std::mem::replace(&mut self.slots, larger);
            old.into_iter().flatten().for_each(|slot| self.place(slot));
        }
        self.place(Slot { key: NameKey::of(spec.name.as_bytes()), spec, stat });
    }

    fn place(&mut self, slot: Slot) {
        let mut at = slot.key.slot_of(self.slots.len());
        while let Some(other) = self.slots[at] {
            let (name, other_name) = (slot.spec.name, other.spec.name);
            assert!(other.key != slot.key, "{other_name} and {name} have one key");
            at = (at + 1) & (self.slots.len() - 1);
        }
        self.slots[at] = Some(slot);
    }

    fn renamed(&self, name: &[u8]) -> Option<(&'static CommandSpec, u32)> {
        match self.renamed.is_empty() {
            true => None,
            false => self.renamed.get(&name.to_ascii_lowercase()).copied(),
        }
    }

    #[inline]
    fn top(&self, name: &[u8]) -> Option<(&'static CommandSpec, u32)> {
        let key = NameKey::of(name);
        let mut at = key.slot_of(self.slots.len());
        loop {
            let slot = self.slots[at].as_ref()?;
            if slot.key == key && key.is_all_of(name, slot.spec.name) {
                return Some((slot.spec, slot.stat));
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
    }
}

/// A row; `acl` needs only what the flags do not imply.
#[allow(clippy::too_many_arguments)]
pub(crate) const fn row(
    name: &'static str,
    handler: Handler,
    arity: i16,
    flags: Flags,
    keys: Keys,
    acl: Acl,
    since: &'static str,
    summary: &'static str,
) -> CommandSpec {
    CommandSpec {
        name,
        handler,
        arity,
        flags,
        flags_by: None,
        keys,
        acl,
        tips: &[],
        own_group: None,
        channels: Channels::None,
        deprecated: None,
        is_internal: false,
        redact: None,
        since,
        summary,
        subcommands: &[],
    }
}

impl CommandSpec {
    /// The same row as a container of subcommands.
    pub(crate) const fn with(self, subcommands: &'static [CommandSpec]) -> CommandSpec {
        CommandSpec { subcommands, ..self }
    }

    pub(crate) const fn keys(self, keys: Keys) -> CommandSpec {
        CommandSpec { keys, ..self }
    }

    pub(crate) const fn tips(self, tips: &'static [&'static str]) -> CommandSpec {
        CommandSpec { tips, ..self }
    }

    pub(crate) const fn group(self, group: &'static str) -> CommandSpec {
        CommandSpec { own_group: Some(group), ..self }
    }

    pub(crate) const fn deprecated(
        self,
        since: &'static str,
        replaced_by: &'static str,
    ) -> CommandSpec {
        CommandSpec { deprecated: Some(Deprecated { since, replaced_by }), ..self }
    }

    pub(crate) const fn internal(self) -> CommandSpec {
        CommandSpec { is_internal: true, ..self }
    }

    pub(crate) const fn flagged(self, flags: Flags) -> CommandSpec {
        CommandSpec { flags: self.flags.or(flags), ..self }
    }

    pub(crate) const fn channels(self, channels: Channels) -> CommandSpec {
        CommandSpec { channels, ..self }
    }

    pub(crate) const fn flags_by(self, flags_by: FlagsBy) -> CommandSpec {
        CommandSpec { flags_by: Some(flags_by), ..self }
    }

    pub(crate) const fn redacted_by(self, redact: Redact) -> CommandSpec {
        CommandSpec { redact: Some(redact), ..self }
    }

    /// The flags of the row with what its keys imply.
    pub fn all_flags(&self) -> Flags {
        let is_movable = !self.keys.iter().all(KeySpec::is_range);
        self.flags.or(if is_movable { Flags::MOVABLE_KEYS } else { Flags::NONE })
    }

    /// The group under which the documentation has the command; a subcommand is in its container's.
    pub fn doc_group(&self) -> &'static str {
        const BY_CATEGORY: [(Acl, &str); 14] = [
            (Acl::SCRIPTING, "scripting"),
            (Acl::TRANSACTION, "transactions"),
            (Acl::PUBSUB, "pubsub"),
            (Acl::BITMAP, "bitmap"),
            (Acl::HYPERLOGLOG, "hyperloglog"),
            (Acl::GEO, "geo"),
            (Acl::STREAM, "stream"),
            (Acl::STRING, "string"),
            (Acl::HASH, "hash"),
            (Acl::LIST, "list"),
            (Acl::SORTEDSET, "sorted-set"),
            (Acl::SET, "set"),
            (Acl::CONNECTION, "connection"),
            (Acl::KEYSPACE, "generic"),
        ];
        let acl = self.categories();
        let by_category = BY_CATEGORY.iter().find(|(category, _)| acl.has(*category));
        self.own_group.or(by_category.map(|(_, group)| *group)).unwrap_or("server")
    }

    /// The categories of the row with those that its flags imply.
    pub fn categories(&self) -> Acl {
        let implied = [
            (Flags::WRITE, Acl::WRITE),
            (Flags::ADMIN, Acl::ADMIN.or(Acl::DANGEROUS)),
            (Flags::PUBSUB, Acl::PUBSUB),
            (Flags::FAST, Acl::FAST),
            (Flags::BLOCKING, Acl::BLOCKING),
        ];
        let mut acl = self.acl;
        for (flag, category) in implied {
            if self.flags.has(flag) {
                acl = acl.or(category);
            }
        }
        // Reading is a category of its own only for keys: INFO and the like are no @read.
        if self.flags.has(Flags::READONLY) && !self.acl.has(Acl::SCRIPTING) {
            acl = acl.or(Acl::READ);
        }
        if !self.flags.has(Flags::FAST) {
            acl = acl.or(Acl::SLOW);
        }
        acl
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Permissions and statistics go by one number of a row, however it is found.
    #[test]
    fn the_rows_have_the_numbers_that_a_look_up_gives() {
        assert_eq!(every_row().count(), stat_rows());
        for row in every_row() {
            let name = row.full_name();
            assert_eq!(stat_names()[row.stat as usize], name);
            let words: Vec<&[u8]> = name.split('|').map(str::as_bytes).collect();
            let found = find(Args::new(&words)).expect("a row");
            assert_eq!(found.stat, row.stat, "{name}");
            let upper = name.to_ascii_uppercase();
            assert_eq!(find_original(upper.as_bytes()).map(|row| row.stat), Some(row.stat));
        }
        for name in ["", "|", "nope", "config|", "config|nope", "get|x", "config|get|x"] {
            assert!(find_original(name.as_bytes()).is_none(), "{name}");
        }
    }

    #[test]
    fn a_name_is_found_in_any_case_and_no_other() {
        for spec in COMMANDS.iter().flat_map(|family| family.iter()) {
            let upper = spec.name.to_ascii_uppercase();
            for name in [spec.name, &upper] {
                assert_eq!(INDEX.top(name.as_bytes()).map(|(row, _)| row.name), Some(spec.name));
            }
            // Each letter counts, in the middle of a long name too, and only letters have cases.
            for at in 0..spec.name.len() {
                let mut other = spec.name.as_bytes().to_vec();
                for bit in [0x20, 0x80, 0x40, 1] {
                    other[at] = spec.name.as_bytes()[at] ^ bit;
                    let same = other.eq_ignore_ascii_case(spec.name.as_bytes());
                    let found = INDEX.top(&other).map(|(row, _)| row.name);
                    assert_eq!(found == Some(spec.name), same, "{other:?}");
                }
            }
        }
        for name in ["", "a", "zz", "get ", "georadiusbymember_rx", &"x".repeat(100)] {
            assert!(INDEX.top(name.as_bytes()).is_none(), "{name}");
        }
    }
}
