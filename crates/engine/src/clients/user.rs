//! Owns a user: who it is, by which passwords, and what it may do. Changes are words of rules
//! (`rules.rs`); its description is such words again.

use protocol::Args;

use crate::clients::client::Subscriptions;
use crate::clients::password::PasswordHash;
use crate::clients::selector::{Denial, Selector};
use crate::command::Found;
use crate::command::key_spec::Access;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct User {
    pub name: Box<[u8]>,
    /// Whether one can log in as this user.
    pub is_on: bool,
    /// Any password will do.
    pub nopass: bool,
    /// RESTORE examines payloads here whatever this says.
    pub sanitizes_payloads: bool,
    pub passwords: Vec<PasswordHash>,
    pub root: Selector,
    /// Each is enough by itself, as the root is.
    pub more: Vec<Selector>,
    /// Nothing can be refused: looked at for every command, and kept true by `settle`.
    unrestricted: bool,
}

impl User {
    /// Who may do nothing, and cannot log in.
    pub(crate) fn new(name: &[u8], all_channels: bool) -> User {
        User {
            name: name.into(),
            is_on: false,
            nopass: false,
            sanitizes_payloads: true,
            passwords: Vec::new(),
            root: Selector::new(all_channels),
            more: Vec::new(),
            unrestricted: false,
        }
    }

    /// Whom clients are that have said nothing: everything is allowed without a password.
    pub(crate) fn new_default() -> User {
        let mut user = User::new(b"default", true);
        user.root.set_all_commands(true);
        user.root.set_all_keys(true);
        user.is_on = true;
        user.nopass = true;
        user.settle();
        user
    }

    /// To be called behind every change of selectors.
    pub(crate) fn settle(&mut self) {
        let unrestricted = self.selectors().any(Selector::is_unrestricted);
        self.unrestricted = unrestricted;
    }

    /// Whether the user may run these arguments.
    #[inline]
    pub(crate) fn check(&self, found: &Found, args: Args<'_>) -> Result<(), Denial> {
        if self.unrestricted {
            return Ok(());
        }
        match self.root.check(found, args) {
            Err(denial) if !self.more.is_empty() => self.check_more(found, args, denial),
            decision => decision,
        }
    }

    fn check_more(&self, found: &Found, args: Args<'_>, of_root: Denial) -> Result<(), Denial> {
        let mut closest = of_root;
        for selector in &self.more {
            match selector.check(found, args) {
                Ok(()) => return Ok(()),
                Err(denial) => closest = closest.max(denial),
            }
        }
        Err(closest)
    }

    /// Whether the user may run these arguments, and touch every key there is in such a way.
    pub(crate) fn may_on_all_keys(&self, found: &Found, args: Args<'_>, access: Access) -> bool {
        let covers = |selector: &Selector| {
            selector.check(found, args).is_ok() && selector.covers_all_keys(access)
        };
        self.unrestricted || self.selectors().any(covers)
    }

    /// Whether the user may listen to all of this.
    pub(crate) fn may_hear(&self, subscriptions: &Subscriptions) -> bool {
        let allowed =
            |name: &[u8], is_pattern| self.selectors().any(|s| s.allows_channel(name, is_pattern));
        let channels = subscriptions.channels.iter().chain(&subscriptions.shard_channels);
        channels.into_iter().all(|name| allowed(name, false))
            && subscriptions.patterns.iter().all(|name| allowed(name, true))
    }

    /// Whether every channel that `before` was allowed is allowed still, by the same pattern.
    pub(crate) fn keeps_channels_of(&self, before: &User) -> bool {
        if self.selectors().any(Selector::all_channels) {
            return true;
        }
        let kept = |text: &[u8]| {
            self.selectors().any(|selector| selector.channel_patterns().any(|own| own == text))
        };
        before.selectors().all(|old| !old.all_channels() && old.channel_patterns().all(kept))
    }

    /// Whether the password lets one in. Takes as long for a wrong one as for a right one.
    pub(crate) fn accepts(&self, password: &[u8]) -> bool {
        let given = PasswordHash::of(password);
        let is_known = self.passwords.iter().fold(false, |known, own| known | own.is_same(&given));
        self.is_on && (self.nopass || is_known)
    }

    pub(crate) fn selectors(&self) -> impl Iterator<Item = &Selector> {
        std::iter::once(&self.root).chain(&self.more)
    }

    pub(crate) fn flags(&self) -> impl Iterator<Item = &'static str> {
        let flags = [
            (self.is_on, "on"),
            (!self.is_on, "off"),
            (self.nopass, "nopass"),
            (!self.sanitizes_payloads, "skip-sanitize-payload"),
            (self.sanitizes_payloads, "sanitize-payload"),
        ];
        flags.into_iter().filter(|(set, _)| *set).map(|(_, flag)| flag)
    }

    /// The line of ACL LIST and of files: a user made by it may do what this one may.
    pub(crate) fn line(&self) -> Vec<u8> {
        let mut words: Vec<Vec<u8>> = vec![b"user".to_vec(), self.name.to_vec()];
        words.extend(self.flags().map(|flag| flag.as_bytes().to_vec()));
        words.extend(self.passwords.iter().map(|hash| format!("#{hash}").into_bytes()));
        words.extend(self.root.describe());
        for selector in &self.more {
            let within: Vec<Vec<u8>> = selector.describe().into_iter().map(quoted).collect();
            words.push([b"(", within.join(&b' ').as_slice(), b")"].concat());
        }
        words.join(&b' ')
    }
}

/// Within parentheses words are read with their quotes.
fn quoted(word: Vec<u8>) -> Vec<u8> {
    if word.iter().any(|byte| matches!(byte, b'"' | b'\'')) { protocol::quote(&word) } else { word }
}
