//! Wishes of commands that are fulfilled when the command has returned (see `host.rs`).

use engine::{ClientId, CommandError};
use log::info;

use crate::event_loop::Server;
use crate::host::Deferred;

const REWRITE_REFUSED: &str = "ERR Can't execute an AOF background rewriting. Please check the server \
    logs for more information.";

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
            Deferred::BgSave { client } => {
                let begun = self.start_bgsave(None).map(|()| "Background saving started");
                self.answer_status(client, begun.map_err(|_| "ERR"));
            }
            Deferred::BgRewriteAof { client } => {
                let begun = self.start_aof_rewrite();
                let begun = begun.map(|()| "Background append only file rewriting started");
                self.answer_status(client, begun.map_err(|_| REWRITE_REFUSED));
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
            Deferred::AppendOnly { on, asked } => self.set_appendonly(on, asked),
        }
    }

    /// Answers a command whose outcome was not known when it returned.
    pub fn answer(&mut self, client: Option<ClientId>, result: Result<(), CommandError>) {
        let status = result.as_ref().map(|()| "OK");
        self.answer_status(client, status.map_err(CommandError::as_str));
    }

    /// The same with a status of its own, and the whole text of an error.
    fn answer_status(&mut self, client: Option<ClientId>, result: Result<&str, &str>) {
        let Some(client) = client else { return };
        let Some(state) = self.engine.client_mut(client) else { return };
        if state.is_muted {
            return;
        }
        match result {
            Ok(text) => state.out.status(text),
            Err(text) => state.out.error(text),
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
