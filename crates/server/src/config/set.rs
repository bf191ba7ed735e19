//! Owns CONFIG GET and CONFIG SET: patterns, and several pairs set at once or not at all.
//! It changes values only; the caller puts them into effect, and puts the old ones back if that fails.

use std::fmt;

use super::directive::{Directive, Flags, Origin};
use super::table::{Config, directive, directives};
use super::values::ProtectedAction;

/// What CONFIG SET needs to know of the situation.
#[derive(Clone, Copy, Debug, Default)]
pub struct Caller {
    /// The client is connected from this host.
    pub local: bool,
    /// A data set is being loaded.
    pub loading: bool,
}

/// Why CONFIG SET changed nothing. Displayed as the error reply, code word and all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SetError {
    Unknown { name: String },
    Failed { name: String, why: String },
    Loading,
}

impl fmt::Display for SetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SetError::Unknown { name } => {
                write!(f, "ERR Unknown option or number of arguments for CONFIG SET - '{name}'")
            }
            SetError::Failed { name, why } => {
                write!(f, "ERR CONFIG SET failed (possibly related to argument '{name}') - {why}")
            }
            SetError::Loading => f.write_str("LOADING Redis is loading the dataset in memory"),
        }
    }
}

impl std::error::Error for SetError {}

impl Config {
    /// What CONFIG GET answers to `patterns`: name and value, each name once. An exact name finds
    /// hidden directives, too, and is answered as it was asked for.
    pub fn matching(&self, patterns: &[&[u8]]) -> Vec<(String, Vec<u8>)> {
        let mut found: Vec<(String, Vec<u8>)> = Vec::new();
        let mut add = |name: String, row: &Directive| {
            if !found.iter().any(|(known, _)| known.eq_ignore_ascii_case(&name)) {
                found.push((name, row.value(self)));
            }
        };
        for pattern in patterns {
            if !pattern.iter().any(|b| b"*?[".contains(b)) {
                if let Some(row) = directive(pattern) {
                    add(String::from_utf8_lossy(pattern).into_owned(), row);
                }
                continue;
            }
            for row in directives().filter(|row| !row.flags.has(Flags::HIDDEN)) {
                for name in std::iter::once(&row.name).chain(row.aliases) {
                    if store::glob::matches_ignore_case(pattern, name.as_bytes()) {
                        add((*name).to_owned(), row);
                    }
                }
            }
        }
        found
    }

    /// Sets all `pairs`, or none. Returns the rows whose value is now another one, or is to be
    /// read again, in the order given, for the caller to put into effect; it keeps a clone of the old `Config` to go back.
    pub fn set_pairs(
        &mut self,
        pairs: &[(&[u8], &[u8])],
        caller: Caller,
    ) -> Result<Vec<&'static Directive>, SetError> {
        let rows = self.rows_to_set(pairs, caller)?;
        let mut next = self.clone();
        for (row, (name, value)) in rows.iter().zip(pairs) {
            row.set(&mut next, &[value], Origin::Command)
                .map_err(|why| SetError::Failed { name: text(name), why })?;
        }
        next.settle();
        let takes_effect = |row: &&Directive| {
            row.flags.has(Flags::VOLATILE) || row.value(self) != row.value(&next)
        };
        let changed = rows.into_iter().filter(takes_effect).collect();
        *self = next;
        Ok(changed)
    }

    fn rows_to_set(
        &self,
        pairs: &[(&[u8], &[u8])],
        caller: Caller,
    ) -> Result<Vec<&'static Directive>, SetError> {
        let mut rows: Vec<&'static Directive> = Vec::with_capacity(pairs.len());
        let mut denied_by_loading = false;
        let mut refusal = None;
        for (name, _) in pairs {
            let failed = |why: &str| SetError::Failed { name: text(name), why: why.into() };
            let Some(row) = directive(name) else {
                refusal = refusal.or(Some(SetError::Unknown { name: text(name) }));
                continue;
            };
            denied_by_loading |= caller.loading && row.flags.has(Flags::DENY_LOADING);
            let why = if row.flags.has(Flags::IMMUTABLE) {
                Some("can't set immutable config")
            } else if row.flags.has(Flags::PROTECTED) && !self.allows_protected(caller) {
                Some("can't set protected config")
            } else if rows.iter().any(|known| known.name == row.name) {
                Some("duplicate parameter")
            } else {
                None
            };
            refusal = refusal.or(why.map(failed));
            rows.push(row);
        }
        match refusal {
            // Clients treat this error in their own way, so it goes first.
            _ if denied_by_loading => Err(SetError::Loading),
            Some(refusal) => Err(refusal),
            None => Ok(rows),
        }
    }

    fn allows_protected(&self, caller: Caller) -> bool {
        match self.security.enable_protected_configs {
            ProtectedAction::No => false,
            ProtectedAction::Yes => true,
            ProtectedAction::Local => caller.local,
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
