//! Sessions that clients may resume: at most so many, and each for so long.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustls::server::StoresServerSessions;

/// What "no limit" is held to: OpenSSL's default.
const UNLIMITED: usize = 20_480;

pub(crate) struct SessionCache {
    max: usize,
    lifetime: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    sessions: HashMap<Vec<u8>, (Instant, Vec<u8>)>,
    /// The oldest first; some of them may have been taken out.
    order: VecDeque<(Instant, Vec<u8>)>,
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

impl StoresServerSessions for SessionCache {
    fn put(&self, key: Vec<u8>, value: Vec<u8>) -> bool {
        let now = Instant::now();
        let state = &mut *self.state();
        while let Some((at, oldest)) = state.order.front()
            && (state.order.len() >= self.max || now.duration_since(*at) > self.lifetime)
        {
            if state.sessions.get(oldest).is_some_and(|(put, _)| put == at) {
                state.sessions.remove(oldest);
            }
            state.order.pop_front();
        }
        state.order.push_back((now, key.clone()));
        state.sessions.insert(key, (now, value));
        true
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        let state = self.state();
        let (at, value) = state.sessions.get(key)?;
        (at.elapsed() <= self.lifetime).then(|| value.clone())
    }

    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        let (at, value) = self.state().sessions.remove(key)?;
        (at.elapsed() <= self.lifetime).then_some(value)
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

    #[test]
    fn a_session_ends_with_its_time() {
        let cache = SessionCache::new(3, 0);
        cache.put(vec![1], vec![1]);
        let begun = Instant::now();
        while begun.elapsed().is_zero() {}
        assert_eq!(cache.get(&[1]), None);
    }
}
