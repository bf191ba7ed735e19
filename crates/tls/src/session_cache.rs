//! Sessions that clients may resume: at most so many, of so many bytes, and each for so long.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustls::server::StoresServerSessions;

/// What "no limit" is held to: OpenSSL's default.
const UNLIMITED: usize = 20_480;
/// A session holds the certificates that its client has shown, some kilobytes. A store of data has better to do with
/// a hundred megabytes: who is pushed out shakes hands once more.
const MAX_BYTES: usize = 8 << 20;

pub(crate) struct SessionCache {
    max: usize,
    lifetime: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    sessions: HashMap<Vec<u8>, (Instant, Box<[u8]>)>,
    /// The oldest first; some of them may have been taken out.
    order: VecDeque<(Instant, Vec<u8>)>,
    /// Of all values.
    bytes: usize,
}

impl SessionCache {
    /// `max` 0 is OpenSSL's default.
    pub fn new(max: usize, lifetime_s: u64) -> SessionCache {
        let max = if max == 0 { UNLIMITED } else { max };
        let lifetime = Duration::from_secs(lifetime_s);
        SessionCache { max, lifetime, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn remove(&mut self, key: &[u8]) -> Option<(Instant, Box<[u8]>)> {
        let found = self.sessions.remove(key)?;
        self.bytes -= found.1.len();
        Some(found)
    }

    fn forget_oldest(&mut self) {
        let Some((at, key)) = self.order.pop_front() else { return };
        // It may have been put once more since.
        if self.sessions.get(&key).is_some_and(|(put, _)| *put == at) {
            self.remove(&key);
        }
    }
}

impl StoresServerSessions for SessionCache {
    fn put(&self, key: Vec<u8>, value: Vec<u8>) -> bool {
        let now = Instant::now();
        let state = &mut *self.state();
        let has_room =
            |state: &State| state.order.len() < self.max && state.bytes + value.len() <= MAX_BYTES;
        while let Some((at, _)) = state.order.front()
            && (!has_room(state) || now.duration_since(*at) > self.lifetime)
        {
            state.forget_oldest();
        }
        state.order.push_back((now, key.clone()));
        state.bytes += value.len();
        // It was made by growing.
        if let Some((_, old)) = state.sessions.insert(key, (now, value.into_boxed_slice())) {
            state.bytes -= old.len();
        }
        true
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        let state = self.state();
        let (at, value) = state.sessions.get(key)?;
        (at.elapsed() <= self.lifetime).then(|| value.to_vec())
    }

    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        let (at, value) = self.state().remove(key)?;
        (at.elapsed() <= self.lifetime).then(|| value.into_vec())
    }

    fn can_cache(&self) -> bool {
        true
    }
}

impl fmt::Debug for SessionCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionCache({} at most)", self.max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_session_makes_room_and_one_that_was_taken_is_gone() {
        let cache = SessionCache::new(3, 300);
        for n in 0..4u8 {
            cache.put(vec![n], vec![n, n]);
        }
        assert_eq!(cache.get(&[0]), None);
        assert_eq!(cache.get(&[1]), Some(vec![1, 1]));
        assert_eq!(cache.take(&[1]), Some(vec![1, 1]));
        assert_eq!(cache.take(&[1]), None);
        for n in 0..100u8 {
            cache.put(vec![n], Vec::new());
            cache.take(&[n]);
        }
        assert!(cache.state().order.len() <= 3, "what was taken holds no memory for ever");
    }

    /// With a chain of certificates in each, 20,480 sessions took a hundred megabytes.
    #[test]
    fn sessions_take_no_more_than_their_bytes() {
        let cache = SessionCache::new(0, 300);
        let value = vec![7; MAX_BYTES / 4];
        for n in 0..5u8 {
            cache.put(vec![n], value.clone());
        }
        assert_eq!((cache.get(&[0]), cache.get(&[1]).is_some()), (None, true));
        assert_eq!(cache.state().bytes, MAX_BYTES);
        // The same name once more is no second session.
        cache.put(vec![4], vec![1]);
        cache.take(&[1]);
        cache.take(&[1]);
        let held = cache.state().sessions.values().map(|(_, value)| value.len()).sum::<usize>();
        assert_eq!(cache.state().bytes, held);
    }

    #[test]
    fn a_session_ends_with_its_time() {
        let cache = SessionCache::new(3, 0);
        cache.put(vec![1], vec![1]);
        let begun = Instant::now();
        while begun.elapsed().is_zero() {}
        assert_eq!(cache.get(&[1]), None);
    }
}
