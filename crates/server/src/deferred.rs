//! Wishes of commands that are fulfilled when the command has returned (see `host.rs`).

use engine::{ClientId, CommandError};
use log::info;

use crate::event_loop::Server;
use crate::host::Deferred;

impl Server {
    /// To be called after every command that may have wished for something.
    pub fn perform_deferred(&mut self) {
        while !self.host.deferred.is_empty() {
            for work in std::mem::take(&mut self.host.deferred) {
                self.perform_one(work);
            }
        }
    }

    fn perform_one(&mut self, work: Deferred) {
        match work {
            Deferred::Save { client } => {
                let saved = self.save_now().map_err(|_| CommandError::text("ERR".to_owned()));
                self.answer(client, saved);
            }
            Deferred::BgSave => {
                // Its failure is logged and shown by INFO, as the answer has left already.
                let _ = self.start_bgsave(None);
            }
            Deferred::BgRewriteAof => {
                // As above.
                let _ = self.start_aof_rewrite();
            }
            Deferred::RoleChanged => self.perform_repl_actions(),
            Deferred::KeyspaceFlushed => self.save_flushed(),
            Deferred::BecameReplica(client) => self.became_replica(client),
            Deferred::Failover => self.perform_repl_actions(),
            Deferred::Shutdown { client, flags } => self.begin_shutdown(client, flags),
            Deferred::DebugReload { client, nosave } => {
                let result = self.debug_reload(nosave);
                self.answer(client, result.map_err(CommandError::err));
            }
            Deferred::DebugLoadAof { client } => {
                let result = self.debug_load_aof();
                self.answer(client, result.map_err(CommandError::err));
            }
            Deferred::ClientLimit => self.client_limit_changed(),
            Deferred::AppendOnly(on) => self.turn_aof(on),
        }
    }

    /// Answers a command whose outcome was not known when it returned.
    pub fn answer(&mut self, client: Option<ClientId>, result: Result<(), CommandError>) {
        let Some(client) = client else { return };
        let Some(state) = self.engine.client_mut(client) else { return };
        match &result {
            Ok(()) => state.out.ok(),
            Err(error) => state.out.error(error.as_str()),
        }
        self.answered.push(client);
    }

    /// After FLUSHALL a crash must not bring the old data back.
    fn save_flushed(&mut self) {
        // Replicas that wait for it get a small one instead.
        if self.host.children.is_saving_rdb() {
            self.kill_child();
        }
        if !self.host.config.persistence.save.is_empty() {
            // A failure is logged; the save points will try again.
            let _ = self.save_now();
        }
    }

    fn debug_reload(&mut self, nosave: bool) -> Result<(), &'static str> {
        if !nosave && self.save_now().is_err() {
            return Err("Error trying to save the RDB file, check server logs");
        }
        if self.load_now(crate::boot::LoadFrom::Rdb).is_err() {
            return Err("Error trying to load the RDB dump, check server logs");
        }
        info!("DB reloaded by DEBUG RELOAD");
        Ok(())
    }

    fn debug_load_aof(&mut self) -> Result<(), &'static str> {
        self.flush_aof();
        self.host.aof.drain();
        // As at a start: from what the manifest on the disk says.
        if let Err(why) = self.host.aof.files.open() {
            log::warn!("{why}");
            return Err("Error trying to load the AOF files, check server logs");
        }
        if self.load_now(crate::boot::LoadFrom::Aof).is_err() {
            return Err("Error trying to load the AOF files, check server logs");
        }
        self.engine.dirty = 0;
        info!("Append Only File loaded by DEBUG LOADAOF");
        Ok(())
    }
}
