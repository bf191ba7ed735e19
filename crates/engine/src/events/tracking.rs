//! Owns client-side caching: who caches what, and has to hear of its change. Must not know how clients are
//! reached: it says whom, and `invalidate` tells them.
//!
//! A client caches what it reads, key by key in the [`KeyTable`], or hears of every key with a prefix
//! (BCAST). A key is forgotten when its readers are told: they will read it again if they still want it.
//! Keys are the same in every database here, as in Redis.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound::{Excluded, Included, Unbounded};
use std::sync::Arc;

use fastrand::Rng;

use crate::error::{CommandError, shown};
use crate::events::roster::Roster;
use crate::ids::ClientId;

/// Keys that are let go at once where the table is too large; more when it stays so.
const EVICTIONS_PER_COMMAND: usize = 100;

/// Of which keys a client hears.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Of those that it has read.
    #[default]
    Reads,
    /// Of those read by commands that follow a CLIENT CACHING YES.
    OptIn,
    /// Of those that it has read, but by commands that follow a CLIENT CACHING NO.
    OptOut,
    /// Of all that begin with one of its prefixes.
    Bcast,
}

/// What CLIENT TRACKING ON is given, whether it goes together or not.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    pub redirect: Option<ClientId>,
    pub prefixes: Vec<Box<[u8]>>,
    pub bcast: bool,
    pub optin: bool,
    pub optout: bool,
    pub noloop: bool,
}

/// A client that caches.
#[derive(Debug, Default)]
pub(crate) struct Tracked {
    pub mode: Mode,
    /// Who is told in its place.
    pub redirect: Option<ClientId>,
    /// Who was to be told in its place was found to be gone.
    pub is_broken: bool,
    /// Its own writes are no news to it.
    pub noloop: bool,
    /// CLIENT CACHING holds for the command that follows.
    pub caching: bool,
    pub prefixes: BTreeSet<Box<[u8]>>,
}

#[derive(Debug, Default)]
pub(crate) struct Tracking {
    clients: BTreeMap<ClientId, Tracked>,
    table: KeyTable,
    prefixes: Prefixes,
    /// Clients that others redirect to and that are still there, with how many do.
    targets: BTreeMap<ClientId, usize>,
    /// Whose command runs, or ran last while nobody caches.
    pub caller: Option<ClientId>,
    /// How many commands in a row have left the table too large.
    times_over: usize,
}

impl Tracking {
    /// Somebody caches. While nobody does, nothing else is asked and nothing kept.
    #[inline]
    pub(crate) fn is_on(&self) -> bool {
        !self.clients.is_empty()
    }

    /// A client's command begins. Gives whose it interrupts.
    #[inline]
    pub(crate) fn enter(&mut self, id: ClientId) -> Option<ClientId> {
        self.caller.replace(id).filter(|_| !self.clients.is_empty())
    }

    pub(crate) fn get(&self, id: ClientId) -> Option<&Tracked> {
        self.clients.get(&id)
    }

    pub(crate) fn get_mut(&mut self, id: ClientId) -> Option<&mut Tracked> {
        self.clients.get_mut(&id)
    }

    pub(crate) fn clients(&self) -> usize {
        self.clients.len()
    }

    pub(crate) fn ids(&self) -> Vec<ClientId> {
        self.clients.keys().copied().collect()
    }

    pub(crate) fn keys(&self) -> usize {
        self.table.entries.len()
    }

    /// Pairs of a key and a client that has read it.
    pub(crate) fn items(&self) -> usize {
        self.table.items
    }

    pub(crate) fn prefixes(&self) -> usize {
        self.prefixes.by_name.len()
    }

    /// CLIENT TRACKING ON: what is wrong with the options changes nothing.
    pub(crate) fn enable(&mut self, id: ClientId, options: Options) -> Result<(), CommandError> {
        let mode = options.mode(self.get(id))?;
        self.redirect(id, options.redirect);
        let tracked = self.clients.entry(id).or_default();
        let caching = tracked.caching;
        let prefixes = std::mem::take(&mut tracked.prefixes);
        let Options { redirect, noloop, .. } = options;
        *tracked = Tracked { mode, redirect, is_broken: false, noloop, caching, prefixes };
        if mode == Mode::Bcast {
            let everything = options.prefixes.is_empty().then(Box::default);
            for prefix in options.prefixes.into_iter().chain(everything) {
                self.prefixes.join(&prefix, id);
                tracked.prefixes.insert(prefix);
            }
        }
        Ok(())
    }

    /// CLIENT TRACKING OFF, or the client is gone. In the table it is passed over from here on; when it
    /// was the last, there is no table.
    pub(crate) fn disable(&mut self, id: ClientId) {
        self.redirect(id, None);
        let Some(tracked) = self.clients.remove(&id) else { return };
        if self.clients.is_empty() {
            *self = Tracking::default();
            return;
        }
        for prefix in &tracked.prefixes {
            self.prefixes.leave(prefix, id);
        }
    }

    /// The client is gone, and cannot be told anything for others either.
    pub(crate) fn disconnect(&mut self, id: ClientId) {
        if self.is_on() {
            self.disable(id);
            self.targets.remove(&id);
        }
    }

    fn redirect(&mut self, id: ClientId, to: Option<ClientId>) {
        let before = self.get(id).and_then(|tracked| tracked.redirect);
        if let Some(to) = to {
            *self.targets.entry(to).or_default() += 1;
        }
        if let Some(before) = before
            && let Some(count) = self.targets.get_mut(&before)
        {
            *count -= 1;
            if *count == 0 {
                self.targets.remove(&before);
            }
        }
    }

    /// Who is told what this client is to hear: the error has the one who is gone.
    pub(crate) fn target(&mut self, id: ClientId) -> Option<Result<ClientId, ClientId>> {
        let tracked = self.clients.get_mut(&id)?;
        let Some(to) = tracked.redirect else { return Some(Ok(id)) };
        if self.targets.contains_key(&to) {
            return Some(Ok(to));
        }
        tracked.is_broken = true;
        Some(Err(to))
    }

    /// A command that reads has run for this client.
    pub(crate) fn remember<'k>(&mut self, id: ClientId, keys: impl Iterator<Item = &'k [u8]>) {
        let Some(tracked) = self.clients.get(&id) else { return };
        let remembers = match tracked.mode {
            Mode::Reads => true,
            Mode::OptIn => tracked.caching,
            Mode::OptOut => !tracked.caching,
            Mode::Bcast => false,
        };
        if remembers {
            keys.for_each(|key| self.table.add(key, id));
        }
    }

    /// A key has changed: those who have read it and want to know. They have to read it again.
    pub(crate) fn forget(&mut self, key: &[u8]) -> Vec<ClientId> {
        let Some(readers) = self.table.remove(key) else { return Vec::new() };
        let wants = |id: &ClientId| {
            let tracked = self.clients.get(id);
            tracked.is_some_and(|tracked| {
                tracked.mode != Mode::Bcast && !(tracked.noloop && self.caller == Some(*id))
            })
        };
        readers.keys().filter(wants).collect()
    }

    /// The same for those who hear of prefixes: they are told when the turn is over.
    pub(crate) fn note_change(&mut self, key: &[u8]) {
        self.prefixes.note_change(key, self.caller);
    }

    /// Nothing of what was read is there any more.
    pub(crate) fn forget_all(&mut self) {
        self.table = KeyTable::default();
    }

    /// Keys to let go of, because there are more than `max`; 0 is any number.
    pub(crate) fn surplus(&mut self, max: usize, rng: &mut Rng) -> Vec<Arc<[u8]>> {
        let over = match max {
            0 => 0,
            _ => self.keys().saturating_sub(max),
        };
        let effort = EVICTIONS_PER_COMMAND * (self.times_over + 1);
        self.times_over = if over > effort { self.times_over + 1 } else { 0 };
        let mut keys = BTreeSet::new();
        while keys.len() < over.min(effort) {
            keys.insert(self.table.entries[rng.usize(..self.keys())].key.clone());
        }
        keys.into_iter().collect()
    }

    pub(crate) fn has_changes(&self) -> bool {
        !self.prefixes.changed.is_empty()
    }

    /// What has changed since the last call, prefix by prefix, with those who hear of it.
    pub(crate) fn take_changes(&mut self) -> Vec<(Vec<ClientId>, Changes)> {
        let changed = std::mem::take(&mut self.prefixes.changed);
        let of_prefix = |name: Box<[u8]>| {
            let prefix = self.prefixes.by_name.get_mut(&name)?;
            Some((prefix.clients.keys().collect(), std::mem::take(&mut prefix.changes)))
        };
        changed.into_iter().filter_map(of_prefix).collect()
    }
}

impl Options {
    /// What they come to for a client that caches already as `before`, if they go together. In Redis's order.
    fn mode(&self, before: Option<&Tracked>) -> Result<Mode, CommandError> {
        let was = before.map(|tracked| tracked.mode);
        if !self.bcast && !self.prefixes.is_empty() {
            return Err(CommandError::err("PREFIX option requires BCAST mode to be enabled"));
        }
        if was.is_some_and(|was| (was == Mode::Bcast) != self.bcast) {
            return Err(CommandError::err(
                "You can't switch BCAST mode on/off before disabling tracking for this client, and then re-enabling it with a different mode.",
            ));
        }
        if self.bcast && (self.optin || self.optout) {
            return Err(CommandError::err("OPTIN and OPTOUT are not compatible with BCAST"));
        }
        if self.optin && self.optout {
            return Err(CommandError::err("You can't specify both OPTIN mode and OPTOUT mode"));
        }
        if self.optin && was == Some(Mode::OptOut) || self.optout && was == Some(Mode::OptIn) {
            return Err(CommandError::err(
                "You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then re-enabling it with a different mode.",
            ));
        }
        self.check_prefixes(before)?;
        Ok(match (self.bcast, self.optin, self.optout) {
            (true, ..) => Mode::Bcast,
            (_, true, _) => Mode::OptIn,
            (.., true) => Mode::OptOut,
            _ => Mode::Reads,
        })
    }

    fn check_prefixes(&self, before: Option<&Tracked>) -> Result<(), CommandError> {
        let refusal = |prefix: &[u8], which: &str, other: &[u8]| {
            let (prefix, other) = (shown(prefix), shown(other));
            CommandError::err(format_args!(
                "Prefix '{prefix}' overlaps with {which} prefix '{other}'. Prefixes for a single client must not overlap."
            ))
        };
        // If any of them overlap, some that are neighbours in order do.
        let mut sorted: Vec<&[u8]> = self.prefixes.iter().map(|prefix| &**prefix).collect();
        sorted.sort_unstable();
        let own = sorted.windows(2).any(|pair| overlap(pair[0], pair[1]));
        for (at, prefix) in self.prefixes.iter().enumerate() {
            let existing = before.and_then(|tracked| tracked.overlapping(prefix));
            if let Some(existing) = existing {
                return Err(refusal(prefix, "an existing", existing));
            }
            let rest = if own { &self.prefixes[at + 1..] } else { &[] };
            if let Some(other) = rest.iter().find(|other| overlap(prefix, other)) {
                return Err(refusal(prefix, "another provided", other));
            }
        }
        Ok(())
    }
}

impl Tracked {
    /// One of its prefixes that keys with `prefix` begin with as well, or the other way round. None of
    /// its prefixes begins another: those that could are neighbours.
    fn overlapping(&self, prefix: &[u8]) -> Option<&[u8]> {
        let before = self.prefixes.range::<[u8], _>((Unbounded, Excluded(prefix))).next_back();
        let after = self.prefixes.range::<[u8], _>((Included(prefix), Unbounded)).next();
        before.into_iter().chain(after).map(|other| &**other).find(|other| overlap(prefix, other))
    }
}

fn overlap(a: &[u8], b: &[u8]) -> bool {
    a.starts_with(b) || b.starts_with(a)
}

/// Which keys were read, by whom. Any of them can be drawn at random.
#[derive(Debug, Default)]
struct KeyTable {
    entries: Vec<Readers>,
    places: HashMap<Arc<[u8]>, usize>,
    items: usize,
}

#[derive(Debug)]
struct Readers {
    key: Arc<[u8]>,
    ids: Roster<ClientId>,
}

impl KeyTable {
    fn add(&mut self, key: &[u8], id: ClientId) {
        let at = self.places.get(key).copied().unwrap_or_else(|| {
            let key: Arc<[u8]> = key.into();
            self.places.insert(key.clone(), self.entries.len());
            self.entries.push(Readers { key, ids: Roster::default() });
            self.entries.len() - 1
        });
        self.items += usize::from(self.entries[at].ids.insert(id, ()));
    }

    fn remove(&mut self, key: &[u8]) -> Option<Roster<ClientId>> {
        let at = self.places.remove(key)?;
        let readers = self.entries.swap_remove(at);
        if let Some(moved) = self.entries.get(at) {
            self.places.insert(moved.key.clone(), at);
        }
        self.items -= readers.ids.len();
        Some(readers.ids)
    }
}

/// Keys that have changed, each with the client that did it last.
pub(crate) type Changes = BTreeMap<Box<[u8]>, Option<ClientId>>;

#[derive(Debug, Default)]
struct Prefix {
    clients: Roster<ClientId>,
    changes: Changes,
}

/// The prefixes of BCAST.
#[derive(Debug, Default)]
struct Prefixes {
    by_name: BTreeMap<Box<[u8]>, Prefix>,
    /// The lengths that they have, with how many have each: a key is looked up once for each length.
    lengths: BTreeMap<usize, usize>,
    /// Those with changes to tell of.
    changed: BTreeSet<Box<[u8]>>,
}

impl Prefixes {
    fn join(&mut self, name: &[u8], id: ClientId) {
        if !self.by_name.contains_key(name) {
            *self.lengths.entry(name.len()).or_default() += 1;
        }
        self.by_name.entry(name.into()).or_default().clients.insert(id, ());
    }

    fn leave(&mut self, name: &[u8], id: ClientId) {
        let Some(prefix) = self.by_name.get_mut(name) else { return };
        prefix.clients.remove(id);
        if !prefix.clients.is_empty() {
            return;
        }
        self.by_name.remove(name);
        self.changed.remove(name);
        if let Some(count) = self.lengths.get_mut(&name.len()) {
            *count -= 1;
            if *count == 0 {
                self.lengths.remove(&name.len());
            }
        }
    }

    fn note_change(&mut self, key: &[u8], by: Option<ClientId>) {
        for (&len, _) in self.lengths.range(..=key.len()) {
            let name = &key[..len];
            let Some(prefix) = self.by_name.get_mut(name) else { continue };
            if prefix.changes.is_empty() {
                self.changed.insert(name.into());
            }
            prefix.changes.insert(key.into(), by);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(n: u64) -> ClientId {
        ClientId { id: n, slot: n as u32 }
    }

    fn tracking_of(clients: u64) -> Tracking {
        let mut tracking = Tracking::default();
        for n in 1..=clients {
            tracking.enable(client(n), Options::default()).unwrap();
        }
        tracking
    }

    #[test]
    fn the_table_says_what_a_map_of_sets_says() {
        let mut random = Rng::with_seed(11);
        let (mut table, mut model) = (KeyTable::default(), BTreeMap::new());
        for _ in 0..20_000 {
            let key = format!("k{}", random.u32(..60)).into_bytes();
            if random.u8(..4) > 0 {
                let id = client(random.u64(1..6));
                table.add(&key, id);
                model.entry(key).or_insert_with(BTreeSet::new).insert(id);
            } else {
                let readers = table.remove(&key).map(|ids| ids.keys().collect());
                assert_eq!(readers, model.remove(&key));
            }
            assert_eq!((table.entries.len(), table.places.len()), (model.len(), model.len()));
            assert_eq!(table.items, model.values().map(BTreeSet::len).sum::<usize>());
        }
    }

    #[test]
    fn a_table_that_is_too_large_loses_more_with_each_command_until_it_is_not() {
        let mut tracking = tracking_of(1);
        let mut random = Rng::with_seed(1);
        let keys: Vec<String> = (0..1000).map(|n| n.to_string()).collect();
        tracking.remember(client(1), keys.iter().map(String::as_bytes));
        let mut lost = Vec::new();
        while tracking.keys() > 250 {
            let surplus = tracking.surplus(250, &mut random);
            surplus.iter().for_each(|key| assert_eq!(tracking.forget(key), [client(1)]));
            lost.push(surplus.len());
        }
        assert_eq!(lost, [100, 200, 300, 150]);
        assert!(tracking.surplus(250, &mut random).is_empty());
        assert!(tracking.surplus(0, &mut random).is_empty(), "0 is no limit");
    }

    /// Each of ten thousand prefixes was compared with a key that changes.
    #[test]
    fn a_changed_key_is_looked_up_once_for_each_length_of_a_prefix() {
        let mut tracking = Tracking::default();
        for n in 0..10_000 {
            let prefixes = vec![format!("{n:04}:").into_bytes().into()];
            let options = Options { bcast: true, prefixes, ..Options::default() };
            tracking.enable(client(n + 1), options).unwrap();
        }
        let everything = Options { bcast: true, ..Options::default() };
        tracking.enable(client(20_000), everything).unwrap();
        assert_eq!(tracking.prefixes.lengths, BTreeMap::from([(0, 1), (5, 10_000)]));
        tracking.note_change(b"0007:name");
        tracking.note_change(b"007");
        let changes = tracking.take_changes();
        let told: Vec<_> = changes.iter().map(|(ids, keys)| (ids[0].id, keys.len())).collect();
        assert_eq!(told, [(20_000, 2), (8, 1)]);
        assert!(!tracking.has_changes());
        (1..=10_000).for_each(|n| tracking.disable(client(n)));
        assert_eq!(tracking.prefixes.lengths, BTreeMap::from([(0, 1)]));
        tracking.disable(client(20_000));
        assert!(!tracking.is_on() && tracking.prefixes() == 0);
    }

    #[test]
    fn who_is_gone_is_no_target_and_nobody_else_is_taken_for_it() {
        let mut tracking = tracking_of(2);
        let (one, two, other) = (client(1), client(2), client(9));
        for id in [one, two] {
            let options = Options { redirect: Some(other), ..Options::default() };
            tracking.enable(id, options).unwrap();
        }
        tracking.disable(one);
        assert_eq!(tracking.target(two), Some(Ok(other)));
        tracking.disconnect(other);
        assert_eq!(tracking.target(two), Some(Err(other)));
        assert!(tracking.get(two).unwrap().is_broken);
        tracking.enable(two, Options::default()).unwrap();
        assert_eq!(tracking.target(two), Some(Ok(two)));
        assert!(!tracking.get(two).unwrap().is_broken && tracking.targets.is_empty());
    }

    /// Memory of clients that are gone would stay for as long as the server runs.
    #[test]
    fn nothing_is_kept_when_the_last_client_is_gone() {
        let mut tracking = tracking_of(2);
        tracking.remember(client(1), [&b"a"[..], b"b"].into_iter());
        tracking.disconnect(client(1));
        assert_eq!((tracking.keys(), tracking.items()), (2, 2));
        assert!(tracking.forget(b"a").is_empty());
        tracking.disconnect(client(2));
        assert_eq!((tracking.keys(), tracking.items(), tracking.is_on()), (0, 0, false));
    }
}
