//! Waiting on conditions: the only place where a test passes time.
//!
//! Must not: be used to wait for a length of time. A wait names what it waits for, and a wait that
//! fails says so.

use std::thread::sleep;
use std::time::{Duration, Instant};

/// Ample for anything that answers at once, on a machine that is busy with other tests.
pub const SHORT: Duration = Duration::from_secs(15);
/// Ample for a full sync, a reconnect or a restart on the same machine.
pub const LONG: Duration = Duration::from_secs(60);

const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// Polls `condition` until it holds; panics with `what` when `timeout` has passed first.
#[track_caller]
pub fn wait_until(timeout: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    wait_for(timeout, what, || if condition() { Ok(()) } else { Err("it was not so".into()) });
}

/// Polls `attempt` until it yields a value, and returns that; panics with `what` and the last
/// refusal when `timeout` has passed first.
#[track_caller]
pub fn wait_for<T>(timeout: Duration, what: &str, attempt: impl FnMut() -> Result<T, String>) -> T {
    wait_or_explain(timeout, what, attempt, String::new)
}

/// Polls every millisecond and returns how long it took: for what is measured, not merely awaited.
#[track_caller]
pub fn time_until(timeout: Duration, what: &str, mut condition: impl FnMut() -> bool) -> Duration {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < timeout, "waited {timeout:?} in vain until {what}");
        sleep(FIRST_PAUSE);
    }
    start.elapsed()
}

/// Like [`wait_for`]; `explain` is asked once, when the wait has failed, for what is costly to find out.
#[track_caller]
pub fn wait_or_explain<T>(
    timeout: Duration,
    what: &str,
    mut attempt: impl FnMut() -> Result<T, String>,
    explain: impl FnOnce() -> String,
) -> T {
    let deadline = Instant::now() + timeout;
    let mut pause = FIRST_PAUSE;
    loop {
        // Read before the attempt: an attempt that starts in time always counts.
        let late = Instant::now() >= deadline;
        match attempt() {
            Ok(value) => return value,
            Err(why) if late => {
                panic!("waited {timeout:?} in vain until {what}: {why}\n{}", explain())
            }
            Err(_) => sleep(pause),
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_that_comes_true_ends_the_wait() {
        let mut polls = 0;
        wait_until(SHORT, "three polls have been made", || {
            polls += 1;
            polls == 3
        });
        assert_eq!(polls, 3);
    }

    #[test]
    #[should_panic(expected = "until pigs fly: still walking")]
    fn a_condition_that_never_comes_true_fails_with_its_name_and_reason() {
        wait_for(Duration::from_millis(5), "pigs fly", || {
            Err::<(), _>("still walking".to_string())
        });
    }
}
