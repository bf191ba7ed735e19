//! A world in which nothing happens: for the engine that replays an AOF in the loader's thread.
//!
//! An AOF holds writes only, and writes ask the world for nothing.

use engine::world::{Configuration, Machine, Persistence, Replication};
use engine::{Action, CommandError, Outcome, World};
use store::keyspace::Keyspace;

use crate::process::clock;

pub struct NullWorld;

impl World for NullWorld {
    fn perform(&mut self, action: Action<'_>, _: &mut Keyspace) -> Result<Outcome, CommandError> {
        match action {
            // What a replayed FLUSHALL ASYNC throws away is dropped here and now.
            Action::LazyFree(garbage) => {
                drop(garbage);
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
