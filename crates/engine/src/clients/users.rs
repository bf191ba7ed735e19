//! Owns all users: by name, and by the number that a client has. The files that they are written to
//! are read and written by the world; what stands in them is understood here.
//!
//! What always holds: the default user is there, and a client's user is there for as long as the client
//! is (who removes a user first gives its clients another one). A set of lines is taken over whole or not
//! at all.

use std::collections::BTreeMap;

use slab::Slab;

use crate::clients::client::Client;
use crate::clients::rules::{RuleError, has_spaces, merge_selectors};
use crate::clients::user::User;
use crate::error::c_string;
use crate::settings::Settings;

const DEFAULT: &[u8] = b"default";

/// A user, as its clients name it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct UserId(u32);

impl UserId {
    /// The user of whoever has not logged in.
    pub const DEFAULT: UserId = UserId(0);
}

#[derive(Debug)]
pub(crate) struct Users {
    slots: Slab<User>,
    ids: BTreeMap<Box<[u8]>, UserId>,
}

/// What `Users::replace_all` did to a user that clients may be logged in as.
#[derive(Debug)]
pub(crate) enum Replaced {
    Removed(UserId),
    /// It can hear less than before.
    FewerChannels(UserId),
}

impl Users {
    pub(crate) fn new(settings: &Settings) -> Users {
        let mut users = Users { slots: Slab::new(), ids: BTreeMap::new() };
        users.insert(User::new_default());
        users.set_default_password(&settings.requirepass);
        users
    }

    #[inline]
    pub(crate) fn of(&self, id: UserId) -> &User {
        &self.slots[id.0 as usize]
    }

    pub(crate) fn default_user(&self) -> &User {
        self.of(UserId::DEFAULT)
    }

    pub(crate) fn find(&self, name: &[u8]) -> Option<UserId> {
        self.ids.get(name).copied()
    }

    /// By name.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = &User> {
        self.ids.values().map(|id| self.of(*id))
    }

    /// Whether whoever connects is the default user without further ado.
    pub(crate) fn is_open(&self) -> bool {
        let user = self.default_user();
        user.nopass && user.is_on
    }

    /// Whether the client has to log in before it may do anything.
    #[inline]
    pub(crate) fn needs_login(&self, client: &Client) -> bool {
        !client.authenticated && !self.is_open()
    }

    /// What `requirepass` says.
    pub(crate) fn set_default_password(&mut self, password: &[u8]) {
        let rule = match password {
            [] => b"nopass".to_vec(),
            password => [b">", password].concat(),
        };
        let user = &mut self.slots[0];
        for rule in [b"resetpass".as_slice(), &rule] {
            // Neither can be refused.
            let _ = user.apply(rule, false);
        }
    }

    /// A user as it would be after these rules, which were given as words; the error is the text for ACL
    /// SETUSER.
    pub(crate) fn changed(
        &self,
        name: &[u8],
        words: &[&[u8]],
        all_channels: bool,
    ) -> Result<User, String> {
        let known = self.find(name).map(|id| self.of(id).clone());
        let mut user = known.unwrap_or_else(|| User::new(name, all_channels));
        let rules = merge_selectors(words).map_err(unmatched)?;
        for rule in &rules {
            user.apply(rule, all_channels).map_err(|error| {
                let (rule, why) = (shown_rule(rule), error.text());
                format!("Error in ACL SETUSER modifier '{rule}': {why}")
            })?;
        }
        Ok(user)
    }

    /// Takes the user over, instead of the one with its name if there is one.
    pub(crate) fn put(&mut self, user: User) {
        match self.find(&user.name) {
            Some(id) => self.slots[id.0 as usize] = user,
            None => self.insert(user),
        }
    }

    pub(crate) fn remove(&mut self, name: &[u8]) -> Option<UserId> {
        if name == DEFAULT {
            return None;
        }
        let id = self.ids.remove(name)?;
        self.slots.remove(id.0 as usize);
        Some(id)
    }

    /// These users, and no others; who is not among them is the default user, as he is without rules.
    pub(crate) fn replace_all(&mut self, users: Vec<User>) -> Vec<Replaced> {
        let mut users: BTreeMap<Box<[u8]>, User> =
            users.into_iter().map(|user| (user.name.clone(), user)).collect();
        users.entry(DEFAULT.into()).or_insert_with(User::new_default);
        let mut replaced = Vec::new();
        for (name, id) in self.ids.clone() {
            match users.get(&name) {
                None => {
                    self.remove(&name);
                    replaced.push(Replaced::Removed(id));
                }
                Some(user) if !user.keeps_channels_of(self.of(id)) => {
                    replaced.push(Replaced::FewerChannels(id));
                }
                Some(_) => {}
            }
        }
        users.into_values().for_each(|user| self.put(user));
        replaced
    }

    fn insert(&mut self, user: User) {
        let name = user.name.clone();
        let id = UserId(self.slots.insert(user) as u32);
        self.ids.insert(name, id);
    }
}

/// Why a `user` line of a configuration file is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineError {
    /// The word that is wrong.
    pub word: String,
    pub why: &'static str,
}

/// Users out of the words after `user` of a configuration file, one of each name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserLines {
    lines: Vec<Vec<Vec<u8>>>,
}

impl UserLines {
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Adds a line, once it is known that it can be followed.
    pub fn add(&mut self, words: &[&[u8]]) -> Result<(), LineError> {
        let refused = |word: &[u8], why| Err(LineError { word: shown_rule(word), why });
        let [name, rules @ ..] = words else {
            return refused(b"user", RuleError::Syntax.text());
        };
        if has_spaces(name) {
            return refused(name, "Spaces not allowed in ACL usernames");
        }
        if self.lines.iter().any(|line| line[0] == *name) {
            let why = "Duplicate user found. A user can only be defined once in config files";
            return refused(name, why);
        }
        let mut user = User::new(name, false);
        let rules = match merge_selectors(rules) {
            Ok(rules) => rules,
            Err(word) => return refused(word, "Unmatched parenthesis in acl selector"),
        };
        for rule in rules {
            if let Err(error) = user.apply(&rule, false) {
                return refused(&rule, error.text());
            }
        }
        self.lines.push(words.iter().map(|word| word.to_vec()).collect());
        Ok(())
    }

    /// The users of the lines; none of them is as it was before.
    pub(crate) fn users(&self, all_channels: bool) -> Vec<User> {
        self.lines.iter().map(|line| user_of_line(line, all_channels)).collect()
    }
}

/// The line of ACL LIST for the user of a `user` line, or nothing if it cannot be followed.
pub fn canonical_line(words: &[&[u8]], all_channels: bool) -> Option<Vec<u8>> {
    let mut lines = UserLines::default();
    lines.add(words).ok()?;
    lines.users(all_channels).pop().map(|user| user.line())
}

/// The line of the default user, as long as only `requirepass` speaks of it.
pub fn default_user_line(requirepass: &[u8]) -> Vec<u8> {
    let settings = Settings { requirepass: requirepass.to_vec(), ..Settings::default() };
    Users::new(&settings).default_user().line()
}

fn user_of_line(line: &[Vec<u8>], all_channels: bool) -> User {
    let words: Vec<&[u8]> = line.iter().map(Vec::as_slice).collect();
    let mut user = User::new(words[0], all_channels);
    for rule in merge_selectors(&words[1..]).unwrap_or_default() {
        // It was followed once already.
        let _ = user.apply(&rule, all_channels);
    }
    user
}

/// The users of an ACL file, or all that is wrong with it, in one line.
pub(crate) fn parse_acl_file(
    text: &[u8],
    path: &str,
    all_channels: bool,
) -> Result<Vec<User>, String> {
    let mut users: Vec<User> = Vec::new();
    let mut errors = String::new();
    for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
        let (line, place) = (line.trim_ascii(), format!("{path}:{}", index + 1));
        if line.is_empty() {
            continue;
        }
        let words: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
        match words.as_slice() {
            [b"user", name, ..] if has_spaces(name) => {
                let name = shown_rule(name);
                errors += &format!("'{place}: username '{name}' contains invalid characters. ");
            }
            [b"user", name, ..] if users.iter().any(|user| *user.name == **name) => {
                let (name, line) = (shown_rule(name), index + 1);
                errors += &format!("WARNING: Duplicate user '{name}' found on line {line}. ");
            }
            [b"user", name, rules @ ..] => {
                let mut user = User::new(name, all_channels);
                apply_file_rules(&mut user, rules, &place, all_channels, &mut errors);
                users.push(user);
            }
            _ => {
                errors +=
                    &format!("{place} should start with user keyword followed by the username. ");
            }
        }
    }
    if errors.is_empty() {
        return Ok(users);
    }
    errors +=
        "WARNING: ACL errors detected, no change to the previously active ACL rules was performed";
    Err(errors)
}

fn apply_file_rules(
    user: &mut User,
    rules: &[&[u8]],
    place: &str,
    all_channels: bool,
    errors: &mut String,
) {
    let Ok(rules) = merge_selectors(rules) else {
        *errors += &format!("{place}: Unmatched parenthesis in selector definition.");
        return;
    };
    let mut told = false;
    for rule in rules {
        match user.apply(rule.trim_ascii(), all_channels) {
            Ok(()) => {}
            // No secret stands in such a rule.
            Err(error @ RuleError::Unknown) => {
                let (rule, why) = (shown_rule(&rule), error.text());
                *errors += &format!("{place}: Error in applying operation '{rule}': {why}. ");
            }
            // What comes behind another error may be wrong for that reason alone.
            Err(error) if !told => {
                *errors += &format!("{place}: {}. ", error.text());
                told = true;
            }
            Err(_) => {}
        }
    }
}

fn unmatched(word: &[u8]) -> String {
    let word = String::from_utf8_lossy(word);
    format!("Unmatched parenthesis in acl selector starting at '{word}'.")
}

/// A rule as an error repeats it.
fn shown_rule(rule: &[u8]) -> String {
    c_string(rule).into_owned()
}
