//! A world in which nothing happens: for the engine that replays an AOF in the loader's thread.
//!
//! An AOF holds writes only, and writes ask the world for nothing.

use engine::world::{InfoLines, ReplicationInfo};
use engine::{Action, CommandError, Outcome, Settings, World};
use store::keyspace::Keyspace;

use crate::clock;

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

    fn replicate(&mut self, _: &[u8]) {}

    fn settings(&self) -> Settings {
        Settings::default()
    }

    fn config_get(&self, _: &[&[u8]]) -> Vec<(String, Vec<u8>)> {
        Vec::new()
    }

    fn replication(&self) -> ReplicationInfo {
        ReplicationInfo::default()
    }

    fn info(&self, _: &str) -> InfoLines {
        InfoLines::new()
    }

    fn stream_offset(&self) -> u64 {
        0
    }

    fn fsynced_offset(&self) -> Option<u64> {
        None
    }

    fn acked_replicas(&self, _: u64) -> (u32, u32) {
        (0, 0)
    }

    fn request_acks(&mut self) {}

    fn used_memory_bytes(&self) -> u64 {
        0
    }

    fn mono_us(&self) -> u64 {
        clock::mono_us()
    }

    fn write_refusal(&self) -> Option<CommandError> {
        None
    }

    fn last_save_unix_s(&self) -> i64 {
        0
    }
}
