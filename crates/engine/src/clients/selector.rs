//! Owns one set of permissions: which commands, on which keys and channels, and the decision over a
//! command with its arguments.
//!
//! What always holds: a command is allowed exactly if its row's bit is set, or it needs no
//! authentication, or its first argument is one of those that are allowed for it; the bits are what the
//! rules kept in `rules` come to, applied in their order to all or to none. So the description that is
//! written to a file gives the same permissions when it is read.

use protocol::Args;

use crate::clients::pattern::Pattern;
use crate::command::bits::bits;
use crate::command::key_spec::{Access, Find, KeySpec, Keys};
use crate::command::{self, Acl, Channels, Flags, Found};

bits! {
    /// What may be done with a key.
    Rights: u8 {
        READ = 0 => "R",
        WRITE = 1 => "W",
    }
}

impl Rights {
    pub(crate) const ALL: Rights = Rights::READ.or(Rights::WRITE);

    /// What a command needs to do this with a key. Its type or length alone needs neither.
    fn needed_for(access: Access) -> Rights {
        let changes = Access::UPDATE.or(Access::INSERT).or(Access::DELETE);
        let mut needed = Rights::NONE;
        if access.has(Access::ACCESS) {
            needed = needed.or(Rights::READ);
        }
        if access.has(changes) {
            needed = needed.or(Rights::WRITE);
        }
        needed
    }

    fn cover(self, needed: Rights) -> bool {
        self.0 & needed.0 == needed.0
    }
}

/// Why a command is refused. Of the refusals of several selectors the greatest is told: the one that came
/// closest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Denial {
    Command,
    /// The position of the key among the arguments.
    Key(usize),
    Channel(usize),
}

/// A bit for every row of the table, subcommands included, by the row's number.
#[derive(Clone, Debug, PartialEq, Eq)]
struct RowSet(Box<[u64]>);

impl RowSet {
    fn of_none() -> RowSet {
        RowSet(vec![0; command::stat_rows().div_ceil(64)].into())
    }

    #[inline]
    fn has(&self, row: u32) -> bool {
        self.0.get(row as usize / 64).is_some_and(|word| word >> (row % 64) & 1 != 0)
    }

    fn set(&mut self, row: u32, on: bool) {
        let (word, bit) = (&mut self.0[row as usize / 64], 1 << (row % 64));
        *word = if on { *word | bit } else { *word & !bit };
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyPattern {
    rights: Rights,
    pattern: Pattern,
}

/// A rule about commands, as it was said: `+get`, `-@write`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct CommandRule {
    allows: bool,
    /// In lower case, without its sign.
    about: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Selector {
    commands: RowSet,
    /// `+@all` was said last, and not `-@all`: what the rules take away from or add to.
    begins_with_all: bool,
    rules: Vec<CommandRule>,
    /// Arguments that a command may be run with all the same, in any case: an old form of what
    /// subcommands are.
    first_args: Vec<(u32, Box<[u8]>)>,
    all_keys: bool,
    keys: Vec<KeyPattern>,
    all_channels: bool,
    channels: Vec<Pattern>,
}

impl Selector {
    /// Nothing is allowed, but all channels where that is the default.
    pub(crate) fn new(all_channels: bool) -> Selector {
        Selector {
            commands: RowSet::of_none(),
            begins_with_all: false,
            rules: Vec::new(),
            first_args: Vec::new(),
            all_keys: false,
            keys: Vec::new(),
            all_channels,
            channels: Vec::new(),
        }
    }

    /// Whether nothing can ever be refused.
    pub(crate) fn is_unrestricted(&self) -> bool {
        // No row has been taken away again, not even of those to come.
        let all_commands = self.commands.0.iter().all(|word| *word == u64::MAX);
        all_commands && self.all_keys && self.all_channels
    }

    #[inline]
    pub(crate) fn check(&self, found: &Found, args: Args<'_>) -> Result<(), Denial> {
        if !self.commands.has(found.stat) && !self.allows_otherwise(found, args) {
            return Err(Denial::Command);
        }
        if !self.all_keys {
            self.check_keys(found.spec.keys, args)?;
        }
        if !self.all_channels && found.spec.channels != Channels::None {
            self.check_channels(found.spec.channels, args)?;
        }
        Ok(())
    }

    /// Whether every key may be touched so: what a command finds by itself has no bounds (SORT ... BY).
    pub(crate) fn covers_all_keys(&self, access: Access) -> bool {
        let needed = Rights::needed_for(access);
        let covers = |key: &KeyPattern| key.rights.cover(needed) && key.pattern.text() == b"*";
        self.all_keys || self.keys.iter().any(covers)
    }

    pub(crate) fn allows_channel(&self, channel: &[u8], is_pattern: bool) -> bool {
        let allows = |pattern: &Pattern| match is_pattern {
            // Whether one pattern lies within another cannot be told by looking: they must be the same.
            true => pattern.text() == channel,
            false => pattern.matches(channel),
        };
        self.all_channels || self.channels.iter().any(allows)
    }

    pub(crate) fn all_keys(&self) -> bool {
        self.all_keys
    }

    pub(crate) fn all_channels(&self) -> bool {
        self.all_channels
    }

    pub(crate) fn channel_patterns(&self) -> impl Iterator<Item = &[u8]> {
        self.channels.iter().map(Pattern::text)
    }

    fn allows_otherwise(&self, found: &Found, args: Args<'_>) -> bool {
        let is_allowed = |(row, word): &(u32, Box<[u8]>)| {
            *row == found.stat && args.get(1).is_some_and(|arg| arg.eq_ignore_ascii_case(word))
        };
        found.spec.flags.has(Flags::NO_AUTH) || self.first_args.iter().any(is_allowed)
    }

    #[inline]
    fn check_keys(&self, keys: Keys, args: Args<'_>) -> Result<(), Denial> {
        // What most commands have: one key, at a place that is known.
        if let [KeySpec { find: Find::Range { first, last, .. }, access, access_by: None, .. }] =
            keys
            && i16::from(*first) == i16::from(*last)
            && !access.has(Access::NOT_KEY)
        {
            return self.check_key(args, usize::from(*first), Rights::needed_for(*access));
        }
        self.check_all_keys(keys, args)
    }

    fn check_all_keys(&self, keys: Keys, args: Args<'_>) -> Result<(), Denial> {
        // Where a count of keys is wrong, nobody knows which they are: the command will refuse it.
        if !keys.iter().all(|spec| spec.is_borne_out(args)) {
            return Ok(());
        }
        for spec in keys.iter().filter(|spec| !spec.access.has(Access::NOT_KEY)) {
            let needed = Rights::needed_for(spec.access_in(args));
            for at in spec.positions(args) {
                self.check_key(args, at, needed)?;
            }
        }
        Ok(())
    }

    #[inline]
    fn check_key(&self, args: Args<'_>, at: usize, needed: Rights) -> Result<(), Denial> {
        let Some(key) = args.get(at) else { return Ok(()) };
        let allows = |own: &KeyPattern| own.rights.cover(needed) && own.pattern.matches(key);
        if self.keys.iter().any(allows) { Ok(()) } else { Err(Denial::Key(at)) }
    }

    fn check_channels(&self, channels: Channels, args: Args<'_>) -> Result<(), Denial> {
        let (end, are_patterns) = match channels {
            Channels::None => (0, false),
            Channels::Published => (2, false),
            Channels::Subscribed => (args.len(), false),
            Channels::SubscribedPatterns => (args.len(), true),
        };
        let refused =
            (1..end.min(args.len())).find(|at| !self.allows_channel(args.at(*at), are_patterns));
        refused.map_or(Ok(()), |at| Err(Denial::Channel(at)))
    }
}

/// Changes, as rules say them.
impl Selector {
    pub(crate) fn set_all_commands(&mut self, allowed: bool) {
        self.begins_with_all = allowed;
        self.commands.0.fill(if allowed { u64::MAX } else { 0 });
        self.rules.clear();
        self.first_args.clear();
    }

    /// A command goes with all of its subcommands.
    pub(crate) fn set_command(&mut self, row: &Found, allowed: bool) {
        self.set_rows(row, allowed);
        self.add_rule(row.full_name().into_bytes(), allowed);
    }

    pub(crate) fn set_category(&mut self, category: Acl, allowed: bool) {
        for row in command::every_row().filter(|row| row.spec.categories().has(category)) {
            self.set_rows(&row, allowed);
        }
        let name = category.names().next().unwrap_or_default();
        self.add_rule(name.as_bytes().to_vec(), allowed);
    }

    pub(crate) fn allow_first_arg(&mut self, row: &Found, word: &[u8]) {
        let lower = word.to_ascii_lowercase();
        let is_same = |(stat, other): &(u32, Box<[u8]>)| *stat == row.stat && **other == *lower;
        // In the order of the words that describe it, of which a repeated one stands last.
        self.first_args.retain(|known| !is_same(known));
        self.first_args.push((row.stat, lower.as_slice().into()));
        self.add_rule([row.full_name().as_bytes(), b"|", &lower].concat(), true);
    }

    pub(crate) fn set_all_keys(&mut self, allowed: bool) {
        self.all_keys = allowed;
        self.keys.clear();
    }

    /// Where not all keys are allowed anyway.
    pub(crate) fn add_keys(&mut self, pattern: &[u8], rights: Rights) {
        match self.keys.iter_mut().find(|known| known.pattern.text() == pattern) {
            Some(known) => known.rights = known.rights.or(rights),
            None => self.keys.push(KeyPattern { rights, pattern: Pattern::new(pattern) }),
        }
    }

    pub(crate) fn set_all_channels(&mut self, allowed: bool) {
        self.all_channels = allowed;
        self.channels.clear();
    }

    /// Where not all channels are allowed anyway.
    pub(crate) fn add_channels(&mut self, pattern: &[u8]) {
        if !self.channels.iter().any(|known| known.text() == pattern) {
            self.channels.push(Pattern::new(pattern));
        }
    }

    fn set_rows(&mut self, row: &Found, allowed: bool) {
        self.commands.set(row.stat, allowed);
        self.first_args.retain(|(stat, _)| *stat != row.stat);
        row.subcommands().for_each(|sub| self.commands.set(sub.stat, allowed));
    }

    /// A rule takes the place of those about the same, and about parts of it.
    fn add_rule(&mut self, about: Vec<u8>, allows: bool) {
        self.rules.retain(|known| {
            let rest = known.about.strip_prefix(about.as_slice());
            !rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"|"))
        });
        self.rules.push(CommandRule { allows, about });
    }
}

/// Descriptions, in the words of rules.
impl Selector {
    pub(crate) fn describe_commands(&self) -> Vec<u8> {
        let mut text = if self.begins_with_all { b"+@all".to_vec() } else { b"-@all".to_vec() };
        for rule in &self.rules {
            text.extend_from_slice(if rule.allows { b" +" } else { b" -" });
            text.extend_from_slice(&rule.about);
        }
        text
    }

    /// `~a %R~b`, with nothing for no key.
    pub(crate) fn describe_keys(&self) -> Vec<Vec<u8>> {
        if self.all_keys {
            return vec![b"~*".to_vec()];
        }
        let described = |key: &KeyPattern| {
            let mut word = Vec::new();
            if key.rights != Rights::ALL {
                word.push(b'%');
                key.rights.names().for_each(|name| word.extend_from_slice(name.as_bytes()));
            }
            word.push(b'~');
            word.extend_from_slice(key.pattern.text());
            word
        };
        self.keys.iter().map(described).collect()
    }

    pub(crate) fn describe_channels(&self) -> Vec<Vec<u8>> {
        if self.all_channels {
            return vec![b"&*".to_vec()];
        }
        self.channels.iter().map(|pattern| [b"&", pattern.text()].concat()).collect()
    }

    /// All of it as rules that a selector without any comes to the same by.
    pub(crate) fn describe(&self) -> Vec<Vec<u8>> {
        let mut words = self.describe_keys();
        if !self.all_channels {
            // Where new users may use all channels by default.
            words.push(b"resetchannels".to_vec());
        }
        words.extend(self.describe_channels());
        words.push(self.describe_commands());
        words
    }
}
