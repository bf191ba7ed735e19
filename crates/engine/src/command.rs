//! Owns the shape of a row of the command table, and the look-up by name.
//!
//! The rows themselves stand in `table.rs`; every text that speaks of a command (COMMAND, COMMAND
//! DOCS, HELP, arity errors) derives from its row.

use std::collections::HashMap;
use std::sync::{LazyLock, OnceLock};

use protocol::Args;

use crate::ctx::Ctx;
use crate::error::{CommandError, shown};
use crate::table::COMMANDS;

pub type Handler = fn(&mut Ctx<'_>, Args<'_>) -> Result<(), CommandError>;

macro_rules! bits {
    ($(#[$doc:meta])* $name:ident: $repr:ty { $($(#[$flag_doc:meta])* $flag:ident = $bit:expr => $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct $name(pub $repr);

        impl $name {
            pub const NONE: $name = $name(0);
            $($(#[$flag_doc])* pub const $flag: $name = $name(1 << $bit);)*
            const TEXTS: &'static [($name, &'static str)] = &[$(($name::$flag, $text),)*];

            pub const fn or(self, other: $name) -> $name {
                $name(self.0 | other.0)
            }

            pub const fn has(self, other: $name) -> bool {
                self.0 & other.0 != 0
            }

            /// The names of the bits that are set, in the order of the table.
            pub fn names(self) -> impl Iterator<Item = &'static str> {
                Self::TEXTS.iter().filter(move |(bit, text)| self.has(*bit) && !text.is_empty()).map(|(_, text)| *text)
            }
        }
    };
}

bits! {
    /// What the door must know of a command before it runs it.
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
        MAY_REPLICATE = 14 => "may_replicate",
        MOVABLE_KEYS = 15 => "movablekeys",
        ALLOW_BUSY = 16 => "allow_busy",
        NO_ASYNC_LOADING = 17 => "no_async_loading",
        /// Runs at once even between MULTI and EXEC (EXEC itself, DISCARD, WATCH, RESET...).
        NO_MULTI = 18 => "",
        /// Guarded by `enable-debug-command` or `enable-module-command`.
        PROTECTED = 19 => "",
        /// Refused between MULTI and EXEC.
        NO_MULTI_QUEUE = 20 => "no_multi",
        /// Changes no data, and belongs in a master's stream all the same.
        IN_STREAM = 21 => "",
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

/// Where the keys stand among the arguments.
#[derive(Clone, Copy, Debug)]
pub enum Keys {
    None,
    /// First, last (negative counts from the end), step.
    Range(i16, i16, i16),
    /// A count at this argument, then as many keys (`ZUNION 2 a b`).
    Counted {
        count_at: u8,
    },
    /// A destination at `dest`, a count at `count_at`, then as many keys (`ZUNIONSTORE`).
    DestCounted {
        dest: u8,
        count_at: u8,
    },
    /// Known only to the command's own parser (SORT, MIGRATE, ...): `f` yields their positions.
    Custom(fn(Args<'_>, &mut Vec<usize>)),
}

impl Keys {
    pub const ONE: Keys = Keys::Range(1, 1, 1);
    pub const TWO: Keys = Keys::Range(1, 2, 1);
    pub const ALL: Keys = Keys::Range(1, -1, 1);

    /// First, last and step as COMMAND answers them.
    pub fn legacy_range(self) -> (i64, i64, i64) {
        match self {
            Keys::None | Keys::Counted { .. } | Keys::Custom(_) => (0, 0, 0),
            Keys::Range(first, last, step) => (first.into(), last.into(), step.into()),
            Keys::DestCounted { dest, .. } => (dest.into(), dest.into(), 1),
        }
    }

    /// Appends the positions of the keys among `args` (position 0 is the command's name).
    pub fn positions(self, args: Args<'_>, out: &mut Vec<usize>) {
        match self {
            Keys::None => {}
            Keys::Range(first, last, step) => {
                let last = if last < 0 { args.len() as i64 + last as i64 } else { last.into() };
                let last = last.min(args.len() as i64 - 1);
                out.extend((first as i64..=last).step_by(step as usize).map(|i| i as usize));
            }
            Keys::Counted { count_at } => counted(args, count_at.into(), out),
            Keys::DestCounted { dest, count_at } => {
                if args.len() > dest as usize {
                    out.push(dest.into());
                }
                counted(args, count_at.into(), out);
            }
            Keys::Custom(find) => find(args, out),
        }
    }
}

fn counted(args: Args<'_>, count_at: usize, out: &mut Vec<usize>) {
    let count = args.get(count_at).and_then(protocol::parse_i64).unwrap_or(0);
    let last = args.len().saturating_sub(count_at + 1).min(count.max(0) as usize);
    out.extend(count_at + 1..count_at + 1 + last);
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
    pub keys: Keys,
    pub acl: Acl,
    pub since: &'static str,
    pub summary: &'static str,
    pub subcommands: &'static [CommandSpec],
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
}

impl Found {
    /// `get`, or `config|get`.
    pub fn full_name(&self) -> String {
        match self.container {
            Some(container) => format!("{}|{}", container.name, self.spec.name),
            None => self.spec.name.to_string(),
        }
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
        return Ok(Found { spec, container: None, stat });
    }
    let word = &args[1];
    match spec.subcommands.iter().position(|sub| sub.name.as_bytes().eq_ignore_ascii_case(word)) {
        Some(at) => Ok(Found {
            spec: &spec.subcommands[at],
            container: Some(spec),
            stat: stat + 1 + at as u32,
        }),
        None => Err(CommandError::unknown_subcommand(word, spec.name)),
    }
}

/// The row of a command by name alone, for COMMAND INFO, ACLs and COMMAND GETKEYS.
pub fn find_name(name: &[u8]) -> Option<&'static CommandSpec> {
    INDEX.top(name).or_else(|| INDEX.renamed(name)).map(|(spec, _)| spec)
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
    INDEX.rows.len()
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

/// Open addressing over the first sixteen bytes of the lower-cased name, built once: a look-up on
/// the hot path is one multiplication and, nearly always, one comparison.
struct Index {
    slots: Vec<Option<(u128, &'static CommandSpec, u32)>>,
    rows: Vec<String>,
    /// Commands under other names than their own, in lower case.
    renamed: HashMap<Vec<u8>, (&'static CommandSpec, u32)>,
}

static INDEX: LazyLock<Index> = LazyLock::new(Index::build);

/// Longer names than this do not exist (the longest of Redis 7.2 has 20 letters, told apart by 16
/// and the length).
fn name_key(name: &[u8]) -> Option<u128> {
    if name.is_empty() || name.len() > 32 {
        return None;
    }
    let mut bytes = [0u8; 16];
    for (at, byte) in name.iter().enumerate() {
        bytes[at % 16] = bytes[at % 16].rotate_left(3) ^ byte.to_ascii_lowercase();
    }
    Some(u128::from_le_bytes(bytes) ^ name.len() as u128)
}

fn slot_of(key: u128, slots: usize) -> usize {
    let folded = (key as u64) ^ ((key >> 64) as u64).rotate_left(29);
    (folded.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as usize & (slots - 1)
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
            self.grow();
        }
        let key = name_key(spec.name.as_bytes()).expect("a command's name has 1 to 32 letters");
        let mut at = slot_of(key, self.slots.len());
        while let Some((other, row, _)) = self.slots[at] {
            assert!(other != key, "{} and {} have one key", row.name, spec.name);
            at = (at + 1) & (self.slots.len() - 1);
        }
        self.slots[at] = Some((key, spec, stat));
    }

    fn renamed(&self, name: &[u8]) -> Option<(&'static CommandSpec, u32)> {
        match self.renamed.is_empty() {
            true => None,
            false => self.renamed.get(&name.to_ascii_lowercase()).copied(),
        }
    }

    fn grow(&mut self) {
        let larger = vec![None; self.slots.len() * 2];
        let old = std::mem::replace(&mut self.slots, larger);
        for (key, spec, stat) in old.into_iter().flatten() {
            let mut at = slot_of(key, self.slots.len());
            while self.slots[at].is_some() {
                at = (at + 1) & (self.slots.len() - 1);
            }
            self.slots[at] = Some((key, spec, stat));
        }
    }

    fn top(&self, name: &[u8]) -> Option<(&'static CommandSpec, u32)> {
        let key = name_key(name)?;
        let mut at = slot_of(key, self.slots.len());
        loop {
            let (other, spec, stat) = self.slots[at]?;
            if other == key && spec.name.as_bytes().eq_ignore_ascii_case(name) {
                return Some((spec, stat));
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
    CommandSpec { name, handler, arity, flags, keys, acl, since, summary, subcommands: &[] }
}

impl CommandSpec {
    /// The same row as a container of subcommands.
    pub(crate) const fn with(self, subcommands: &'static [CommandSpec]) -> CommandSpec {
        CommandSpec { subcommands, ..self }
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
