//! Wishes of commands that are fulfilled when the command has returned (see `host.rs`).

use engine::{ClientId, CommandError};
use log::info;
use node::Node;

use crate::os::host::{Deferred, Host, Onto};
use crate::os::loading::LoadFrom;

const REWRITE_REFUSED: &str = "ERR Can't execute an AOF background rewriting. Please check the server \
    logs for more information.";

impl Host {
    /// To be called after every command that may have wished for something.
    pub fn perform_deferred(&mut self, node: &mut Node) {
        while !self.deferred.is_empty() {
            for work in std::mem::take(&mut self.deferred) {
                self.perform_one(node, work);
            }
        }
    }

    fn perform_one(&mut self, node: &mut Node, work: Deferred) {
        match work {
            Deferred::Save { client } => {
                let saved = self.save_now(node).map_err(|_| CommandError::text("ERR".to_owned()));
                self.answer(node, client, saved);
            }
            Deferred::BgSave { client }
                if self.disk.rdb.is_unsettled() || self.disk.children.is_active() =>
            {
                // For the moment that the disk needs to give or take the file's name, or that a child takes
                // which has begun since.
                self.disk.rdb.schedule();
                self.answer_status(node, client, Ok("Background saving scheduled"));
            }
            Deferred::BgSave { client } => {
                let begun = self.start_bgsave(node, None).map(|()| "Background saving started");
                self.answer_status(node, client, begun.map_err(|_| "ERR"));
            }
            Deferred::CancelBgSave if self.disk.children.is_saving_rdb() => {
                info!("Background saving will be aborted due to user request");
                self.kill_child(node);
            }
            // It has come to its end meanwhile.
            Deferred::CancelBgSave => {}
            Deferred::BgRewriteAof { client } => {
                let begun = self.start_aof_rewrite(node);
                let begun = begun.map(|()| "Background append only file rewriting started");
                self.answer_status(node, client, begun.map_err(|_| REWRITE_REFUSED));
            }
            Deferred::KeyspaceFlushed => self.save_flushed(node),
            Deferred::Shutdown { client, flags } => self.begin_shutdown(node, client, flags),
            Deferred::DebugReload { client, nosave, onto } => {
                let result = self.debug_reload(node, client, nosave, onto);
                self.answer(node, client, result.map_err(CommandError::err));
            }
            Deferred::DebugLoadAof { client } => {
                let result = self.debug_load_aof(node, client);
                self.answer(node, client, result.map_err(CommandError::err));
            }
            Deferred::ClientLimit => self.client_limit_changed(),
            Deferred::AppendOnly { on, asked } => self.set_appendonly(node, on, asked),
        }
    }

    /// Answers a command whose outcome was not known when it returned.
    pub fn answer(
        &mut self,
        node: &mut Node,
        client: Option<ClientId>,
        result: Result<(), CommandError>,
    ) {
        let status = result.as_ref().map(|()| "OK");
        self.answer_status(node, client, status.map_err(CommandError::as_str));
    }

    /// The same with a status of its own, and the whole text of an error.
    fn answer_status(
        &mut self,
        node: &mut Node,
        client: Option<ClientId>,
        result: Result<&str, &str>,
    ) {
        let Some(client) = client else { return };
        let Some(state) = node.engine.client_mut(client) else { return };
        if state.is_muted {
            return;
        }
        match result {
            Ok(text) => state.out.status(text),
            Err(text) => state.out.error(text),
        }
        node.engine.note_output(client);
    }

    /// After FLUSHALL a crash must not bring the old data back.
    fn save_flushed(&mut self, node: &mut Node) {
        // Replicas that wait for it get a small one instead.
        if self.disk.children.is_saving_rdb() {
            self.kill_child(node);
        }
        if !self.config.persistence.save.is_empty() {
            // A failure is logged; the save points will try again.
            let _ = self.save_now(node);
        }
    }

    fn debug_reload(
        &mut self,
        node: &mut Node,
        client: Option<ClientId>,
        nosave: bool,
        onto: Onto,
    ) -> Result<(), &'static str> {
        if !nosave && self.save_now(node).is_err() {
            return Err("Error trying to save the RDB file, check server logs");
        }
        self.disk.worker.wait();
        if self.load_now(node, client, LoadFrom::Rdb, onto).is_err() {
            return Err("Error trying to load the RDB dump, check server logs");
        }
        info!("DB reloaded by DEBUG RELOAD");
        Ok(())
    }

    fn debug_load_aof(
        &mut self,
        node: &mut Node,
        client: Option<ClientId>,
    ) -> Result<(), &'static str> {
        node.append(self);
        self.disk.aof.drain();
        self.disk.worker.wait();
        // As at a start: from what the manifest on the disk says.
        if let Err(why) = self.disk.aof.read_manifest() {
            log::warn!("{why}");
            return Err("Error trying to load the AOF files, check server logs");
        }
        if self.load_now(node, client, LoadFrom::Aof, Onto::Nothing).is_err() {
            return Err("Error trying to load the AOF files, check server logs");
        }
        node.engine.dirty = 0;
        info!("Append Only File loaded by DEBUG LOADAOF");
        Ok(())
    }
}
