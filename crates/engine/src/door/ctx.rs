//! Owns what a handler is given: the engine, its client and the world, for one command.

use protocol::Args;
use store::{Db, Type, Value};

use crate::Engine;
use crate::clients::client::Client;
use crate::command::Found;
use crate::data::view::View;
use crate::door::call::{Call, Inside, Travels, Unexpected};
use crate::error::CommandError;
use crate::events::blocking::{Blocked, OnTimeout, Waiting};
use crate::events::notify::Classes;
use crate::world::{Action, Outcome, World};

/// A handler's view. The fields are separate so that a borrowed value (`engine`) can be written to
/// the reply (`client.out`).
pub struct Ctx<'a> {
    pub engine: &'a mut Engine,
    pub client: &'a mut Client,
    pub world: &'a mut dyn World,
    pub found: Found,
    /// By whom and inside what it was called.
    pub call: Call,
    /// The client's database, as this call sees it.
    pub view: View,
    pub(crate) travels: Travels,
    /// Of the commands that this one ran.
    pub(crate) nested_error: Unexpected,
    /// The handler has answered an error itself: the call counts as one that failed.
    pub(crate) has_failed: bool,
}

impl<'a> Ctx<'a> {
    pub(crate) fn new(
        engine: &'a mut Engine,
        client: &'a mut Client,
        world: &'a mut dyn World,
        found: Found,
        call: Call,
    ) -> Ctx<'a> {
        let view = call.view(client.db);
        let (travels, nested_error) = (Travels::IfChanged, None);
        let has_failed = false;
        Ctx { engine, client, world, found, call, view, travels, nested_error, has_failed }
    }

    /// Runs another command as a part of this one, by the same client.
    pub(crate) fn run_within(&mut self, inside: Inside, found: Found, args: Args<'_>) {
        let call = self.call.within(inside);
        let error = self.engine.call(self.client, self.world, found, args, call);
        if self.nested_error.is_none() {
            self.nested_error = error;
        }
    }

    /// The client's database.
    pub fn db(&self) -> &Db {
        self.engine.keyspace.db(self.client.db)
    }

    pub fn db_mut(&mut self) -> &mut Db {
        self.engine.keyspace.db_mut(self.client.db)
    }

    /// This command travels as `args` instead of as received. May be called several times: all
    /// travel, as one transaction.
    pub fn propagate(&mut self, args: &[&[u8]]) {
        self.travels = Travels::AsSaid;
        self.engine.propagation.command(self.client.db, args.iter().copied());
    }

    /// The same, for a key of another database.
    pub fn propagate_in(&mut self, db: usize, args: &[&[u8]]) {
        self.travels = Travels::AsSaid;
        self.engine.propagation.command(db, args.iter().copied());
    }

    /// Nothing of this command travels but what was said by [`Self::propagate`].
    pub fn propagate_nothing(&mut self) {
        self.travels = Travels::AsSaid;
    }

    /// This command travels as received even if no key changed (PUBLISH, SCRIPT LOAD).
    pub fn force_propagation(&mut self) {
        if self.travels == Travels::IfChanged {
            self.travels = Travels::Always;
        }
    }

    /// The key travels as commands that make what it holds now, whatever the replica has of it: for results that
    /// this command might not come to elsewhere.
    pub fn propagate_value(&mut self, key: &[u8]) {
        if !self.engine.propagation.is_on() {
            return;
        }
        self.propagate(&[b"DEL", key]);
        let db = self.client.db;
        if let Some(entry) = self.engine.keyspace.db(db).get(key) {
            self.engine.propagation.raw(db, &persist::aof::commands_of(entry));
        }
    }

    /// Whether the client may be made to wait: not in a transaction, nor when a master, a file or
    /// a script speaks.
    pub fn may_block(&self) -> bool {
        !self.call.is_nested() && !self.call.is_applied()
    }

    /// Blocks the client until one of `keys` holds a value of type `of`, then the command runs
    /// again. `timeout_us` of 0 is for ever.
    pub fn block_on_keys<'k>(
        &mut self,
        keys: impl IntoIterator<Item = &'k [u8]>,
        of: Type,
        timeout_us: u64,
        on_timeout: OnTimeout,
    ) {
        let keys = keys.into_iter().map(Box::from).collect();
        self.block(Waiting::Keys { keys, of, or_gone: false }, timeout_us, on_timeout);
    }

    pub fn block(&mut self, waiting: Waiting, timeout_us: u64, on_timeout: OnTimeout) {
        let deadline_us = match timeout_us {
            0 => 0,
            _ => self.engine.now.mono_us.saturating_add(timeout_us),
        };
        self.travels = Travels::AsSaid;
        self.client.blocked = Some(Box::new(Blocked {
            waiting,
            on_timeout,
            deadline_us,
            retry_us: 0,
            db: self.client.db,
            again: None,
            ran_us: 0,
            ticket: 0,
        }));
    }

    /// Puts a computed result in place of whatever `dest` held; no result deletes it. True unless neither was
    /// there.
    pub(crate) fn replace_with_result(
        &mut self,
        dest: &[u8],
        value: Option<Value>,
        class: Classes,
        event: &str,
    ) -> bool {
        let db = self.view;
        let had = self.engine.delete_silently(db, dest);
        match value {
            Some(value) => {
                self.engine.put(db, dest, value, None);
                self.engine.changed(db, dest, class, event);
            }
            None if had => self.engine.changed(db, dest, Classes::GENERIC, "del"),
            None => return false,
        }
        true
    }

    /// Signals that `removed` elements were taken from a collection, which goes when it is empty.
    pub(crate) fn removed_elements(
        &mut self,
        key: &[u8],
        removed: usize,
        empty: bool,
        class: Classes,
        event: &str,
    ) {
        if removed == 0 {
            return;
        }
        let db = self.view;
        self.engine.changed(db, key, class, event);
        self.engine.dirty += removed as u64 - 1;
        if empty {
            self.engine.keyspace.db_mut(db.index()).remove(key);
            self.engine.notify(db, key, Classes::GENERIC, "del");
        }
    }

    pub fn perform(&mut self, action: Action<'_>) -> Result<Outcome, CommandError> {
        self.world.perform(action, &mut self.engine.keyspace)
    }

    /// Performs an action and answers its outcome in the usual way.
    pub fn perform_and_reply(&mut self, action: Action<'_>) -> Result<(), CommandError> {
        let outcome = self.perform(action)?;
        let out = &mut self.client.out;
        match outcome {
            Outcome::Done => out.ok(),
            Outcome::Status(text) => out.status(&text),
            Outcome::Text(text) => out.verbatim("txt", text.as_bytes()),
            Outcome::Bulk(text) => out.bulk(&text),
            Outcome::Int(n) => out.int(n),
            Outcome::Silent => {}
        }
        Ok(())
    }
}
