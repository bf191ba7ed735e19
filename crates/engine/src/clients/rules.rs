//! Owns the words of rules: what `+get`, `~app:*`, `>password`, `(...)` change of a user. All words of a
//! change take effect, or none.

use std::borrow::Cow;

use crate::clients::password::PasswordHash;
use crate::clients::selector::{Rights, Selector};
use crate::clients::user::User;
use crate::command::{self, Acl};

/// Why a rule cannot be applied, in Redis's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleError {
    Syntax,
    /// No command, subcommand or category is called so.
    Unknown,
    KeysAfterAll,
    ChannelsAfterAll,
    NoSuchPassword,
    BadHash,
    ArgumentOfSubcommand,
}

impl RuleError {
    pub fn text(self) -> &'static str {
        match self {
            RuleError::Syntax => "Syntax error",
            RuleError::Unknown => "Unknown command or category name in ACL",
            RuleError::KeysAfterAll => {
                "Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does \
                 not have any effect. Try 'resetkeys' to start with an empty list of patterns"
            }
            RuleError::ChannelsAfterAll => {
                "Adding a pattern after the * pattern (or the 'allchannels' flag) is not valid and \
                 does not have any effect. Try 'resetchannels' to start with an empty list of channels"
            }
            RuleError::NoSuchPassword => {
                "The password you are trying to remove from the user does not exist"
            }
            RuleError::BadHash => {
                "The password hash must be exactly 64 characters and contain only lowercase \
                 hexadecimal characters"
            }
            RuleError::ArgumentOfSubcommand => {
                "Allowing first-arg of a subcommand is not supported"
            }
        }
    }
}

/// A selector that is spread over several words, put together. The error is the word that opens one that is
/// never closed.
pub(crate) fn merge_selectors<'a>(words: &[&'a [u8]]) -> Result<Vec<Cow<'a, [u8]>>, &'a [u8]> {
    let mut merged = Vec::with_capacity(words.len());
    let mut open: Option<(&'a [u8], Vec<u8>)> = None;
    for &word in words {
        let closes = word.ends_with(b")");
        match &mut open {
            None if word.starts_with(b"(") && !closes => open = Some((word, word.to_vec())),
            None => merged.push(Cow::Borrowed(word)),
            Some((_, selector)) => {
                selector.push(b' ');
                selector.extend_from_slice(word);
                if closes {
                    merged.push(Cow::Owned(std::mem::take(selector)));
                    open = None;
                }
            }
        }
    }
    match open {
        Some((begin, _)) => Err(begin),
        None => Ok(merged),
    }
}

/// Names and patterns are written to files without quotes.
pub(crate) fn has_spaces(text: &[u8]) -> bool {
    text.iter().any(|byte| matches!(byte, 0 | b' ' | b'\t'..=b'\r'))
}

impl User {
    /// Applies one word; `all_channels` says what a new selector begins with.
    pub(crate) fn apply(&mut self, rule: &[u8], all_channels: bool) -> Result<(), RuleError> {
        let applied = self.apply_unsettled(rule, all_channels);
        self.settle();
        applied
    }

    fn apply_unsettled(&mut self, rule: &[u8], all_channels: bool) -> Result<(), RuleError> {
        match (rule.to_ascii_lowercase().as_slice(), rule) {
            ([], _) => {}
            (b"on", _) => self.is_on = true,
            (b"off", _) => self.is_on = false,
            (b"skip-sanitize-payload", _) => self.sanitizes_payloads = false,
            (b"sanitize-payload", _) => self.sanitizes_payloads = true,
            (b"nopass", _) => self.reset_passwords(true),
            (b"resetpass", _) => self.reset_passwords(false),
            (b"clearselectors", _) => self.more.clear(),
            (b"reset", _) => *self = User::new(&self.name, all_channels),
            (_, [b'>', password @ ..]) => self.add_password(PasswordHash::of(password)),
            (_, [b'<', password @ ..]) => self.remove_password(&PasswordHash::of(password))?,
            (_, [b'#', digits @ ..]) => {
                self.add_password(PasswordHash::parse(digits).ok_or(RuleError::BadHash)?);
            }
            (_, [b'!', digits @ ..]) => {
                self.remove_password(&PasswordHash::parse(digits).ok_or(RuleError::BadHash)?)?;
            }
            (_, [b'(', rules @ .., b')']) => self.more.push(selector(rules, all_channels)?),
            (_, rule) => self.root.apply(rule)?,
        }
        Ok(())
    }

    fn reset_passwords(&mut self, nopass: bool) {
        self.passwords.clear();
        self.nopass = nopass;
    }

    fn add_password(&mut self, hash: PasswordHash) {
        if !self.passwords.contains(&hash) {
            self.passwords.push(hash);
        }
        self.nopass = false;
    }

    fn remove_password(&mut self, hash: &PasswordHash) -> Result<(), RuleError> {
        let known = self.passwords.iter().position(|other| other.is_same(hash));
        self.passwords.remove(known.ok_or(RuleError::NoSuchPassword)?);
        Ok(())
    }
}

fn selector(rules: &[u8], all_channels: bool) -> Result<Selector, RuleError> {
    let mut selector = Selector::new(all_channels);
    for rule in protocol::split_args(rules).ok_or(RuleError::Syntax)? {
        selector.apply(&rule)?;
    }
    Ok(selector)
}

impl Selector {
    pub(crate) fn apply(&mut self, rule: &[u8]) -> Result<(), RuleError> {
        match (rule.to_ascii_lowercase().as_slice(), rule) {
            (b"allkeys" | b"~*", _) => self.set_all_keys(true),
            (b"resetkeys", _) => self.set_all_keys(false),
            (b"allchannels" | b"&*", _) => self.set_all_channels(true),
            (b"resetchannels", _) => self.set_all_channels(false),
            (b"allcommands" | b"+@all", _) => self.set_all_commands(true),
            (b"nocommands" | b"-@all", _) => self.set_all_commands(false),
            (_, [b'~' | b'%', ..]) if self.all_keys() => return Err(RuleError::KeysAfterAll),
            (_, [b'~', pattern @ ..]) => self.add_keys(without_spaces(pattern)?, Rights::ALL),
            (_, [b'%', rest @ ..]) => {
                let (pattern, rights) = split_rights(rest)?;
                self.add_keys(without_spaces(pattern)?, rights);
            }
            (_, [b'&', ..]) if self.all_channels() => return Err(RuleError::ChannelsAfterAll),
            (_, [b'&', pattern @ ..]) => self.add_channels(without_spaces(pattern)?),
            (_, [sign @ (b'+' | b'-'), category @ ..]) if category.starts_with(b"@") => {
                let category = Acl::named(category).ok_or(RuleError::Unknown)?;
                self.set_category(category, *sign == b'+');
            }
            (_, [b'+', name @ ..]) => self.apply_allowed(name)?,
            (_, [b'-', name @ ..]) => {
                let row = command::find_original(name).ok_or(RuleError::Unknown)?;
                self.set_command(&row, false);
            }
            _ => return Err(RuleError::Syntax),
        }
        Ok(())
    }

    /// `get`, `config|get`, or `select|0`: a command with one of its first arguments.
    fn apply_allowed(&mut self, name: &[u8]) -> Result<(), RuleError> {
        let bar = name.iter().rposition(|byte| *byte == b'|');
        let Some((before, word)) = bar.map(|bar| (&name[..bar], &name[bar + 1..])) else {
            let row = command::find_original(name).ok_or(RuleError::Unknown)?;
            self.set_command(&row, true);
            return Ok(());
        };
        let row = command::find_original(before).ok_or(RuleError::Unknown)?;
        if row.container.is_some() {
            return Err(RuleError::ArgumentOfSubcommand);
        }
        if word.is_empty() {
            return Err(RuleError::Syntax);
        }
        if row.spec.subcommands.is_empty() {
            self.allow_first_arg(&row, without_spaces(word)?);
            return Ok(());
        }
        let sub = command::find_original(name).ok_or(RuleError::Unknown)?;
        self.set_command(&sub, true);
        Ok(())
    }
}

fn without_spaces(text: &[u8]) -> Result<&[u8], RuleError> {
    if has_spaces(text) { Err(RuleError::Syntax) } else { Ok(text) }
}

/// `R~pattern`, `RW~pattern`: what may be done with the keys, and which they are.
fn split_rights(rest: &[u8]) -> Result<(&[u8], Rights), RuleError> {
    let mut rights = Rights::NONE;
    for (at, byte) in rest.iter().enumerate() {
        let right = match byte.to_ascii_uppercase() {
            b'R' => Rights::READ,
            b'W' => Rights::WRITE,
            b'~' if rights != Rights::NONE => return Ok((&rest[at + 1..], rights)),
            _ => return Err(RuleError::Syntax),
        };
        if rights.has(right) {
            return Err(RuleError::Syntax);
        }
        rights = rights.or(right);
    }
    // Without a `~` the pattern is empty.
    if rights == Rights::NONE { Err(RuleError::Syntax) } else { Ok((&[], rights)) }
}

#[cfg(test)]
mod tests;
