//! A world in which nothing happens, and what is said is kept: for the engine that replays an AOF in the
//! loader's thread.
//!
//! An AOF holds writes only, and writes ask the world for nothing. Those that fail are told to the log.

use engine::world::{Configuration, Machine, Persistence, Replication};
use engine::{Action, CommandError, Outcome, World};
use store::keyspace::Keyspace;

use crate::clock;

/// Texts that are told one by one.
const TOLD_MAX: usize = 32;

#[derive(Debug, Default)]
pub struct NullWorld {
    /// What was said, and how often.
    said: Vec<(String, u64)>,
    /// How often something else was.
    said_besides: u64,
}

impl NullWorld {
    /// What was said, each text once: a file may fail at every command of millions.
    pub fn told(self) -> impl Iterator<Item = String> {
        let besides = self.said_besides;
        let besides = (besides > 0)
            .then(|| format!("{besides} more errors of other kinds while the AOF was loaded"));
        let said = self.said.into_iter().map(|(text, times)| match times {
            1 => text,
            times => format!("{text} ({times} times)"),
        });
        said.chain(besides)
    }

    fn hear(&mut self, message: &str) {
        match self.said.iter().position(|(text, _)| text == message) {
            Some(at) => self.said[at].1 += 1,
            None if self.said.len() < TOLD_MAX => self.said.push((message.to_owned(), 1)),
            None => self.said_besides += 1,
        }
    }
}

impl World for NullWorld {
    fn perform(&mut self, action: Action<'_>, _: &mut Keyspace) -> Result<Outcome, CommandError> {
        match action {
            // What a replayed FLUSHALL ASYNC throws away is dropped here and now.
            Action::LazyFree(garbage) => {
                drop(garbage);
                Ok(Outcome::Done)
            }
            Action::Log { message } => {
                self.hear(message);
                Ok(Outcome::Done)
            }
            _ => Err(CommandError::err("not while an append only file is loaded")),
        }
    }
}

impl Machine for NullWorld {
    fn used_memory_bytes(&self) -> u64 {
        0
    }

    fn mono_us(&self) -> u64 {
        clock::mono_us()
    }
}

impl Replication for NullWorld {}

impl Persistence for NullWorld {}

impl Configuration for NullWorld {}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file that fails in as many ways as it has commands takes no memory for that.
    #[test]
    fn many_kinds_of_failures_are_told_by_their_number() {
        let mut world = NullWorld::default();
        for kind in 0..100 {
            world.hear(&format!("kind {kind}"));
        }
        let told: Vec<String> = world.told().collect();
        assert_eq!(told.len(), TOLD_MAX + 1);
        assert!(told[TOLD_MAX].starts_with("68 more errors"), "{told:?}");
    }
}
