//! Owns the one door through which every command runs: the checks, in Redis's order, the call, its
//! statistics and its propagation; then whoever the command has unblocked.

use protocol::{Args, OwnedArgs};

use crate::Engine;
use crate::clients::client::{Client, Kind, ReplyMode};
use crate::clients::line::describe;
use crate::command::redact;
use crate::command::{self, Flags, Found};
use crate::door::call::{Call, Inside, Travels, Unexpected};
use crate::door::ctx::Ctx;
use crate::door::permission::context_of;
use crate::door::stream_fault::check_belongs_to_stream;
use crate::door::{oversize, web_request};
use crate::engine::Role;
use crate::error::CommandError;
use crate::events::blocking::{Blocked, OnTimeout, Unblocked, Waiting};
use crate::ids::ClientId;
use crate::report::command_log::LogKind;
use crate::settings::Guard;
use crate::world::{Action, Now, World};

/// Longest part of an error that is logged.
const LOGGED_ERROR_MAX: usize = 4096;

impl Engine {
    /// Runs one command of a client. Its reply, if it has one now, is in the client's `out`.
    pub fn execute(&mut self, now: Now, world: &mut dyn World, id: ClientId, args: Args<'_>) {
        let Some(mut client) = self.take_client(id) else { return };
        if self.now != now {
            self.now = now;
            self.last_command_end_us = now.mono_us;
        }
        if client.reply_mode == ReplyMode::SkipNext {
            client.reply_mode = ReplyMode::Skip;
        }
        client.is_muted = client.reply_mode != ReplyMode::On;
        if client.is_muted {
            client.out.mute();
        }
        let error = self.process(&mut client, world, args);
        if self.tracking.is_on() {
            self.end_caching(&client);
        }
        if let Some(error) = error {
            if client.kind == Kind::Master {
                self.note_refused_in_stream(args, &error);
            }
            self.log_unexpected_error(&client, world, &error);
        }
        if client.kind == Kind::Master || client.kind == Kind::Loader {
            client.out.clear();
        }
        if client.kind == Kind::Replica && !client.out.is_empty() {
            self.disconnect_talkative_replica(&mut client, world);
        }
        self.put_client(client);
        self.serve_ready_keys(world);
    }

    /// A replica's connection carries the stream: an answer in the midst of it would be taken for a part.
    #[cold]
    fn disconnect_talkative_replica(&mut self, client: &mut Client, world: &mut dyn World) {
        client.out.clear();
        let mut line = String::new();
        describe(self, world, client, None, &mut line);
        let name = client.last_command.map_or("<unknown>".to_string(), |found| found.full_name());
        let line = line.trim_end();
        let message =
            format!("Replica generated a reply to command '{name}', disconnecting it: {line}");
        // Neither can be refused.
        let _ = world.perform(Action::Log { message: &message }, &mut self.keyspace);
        let _ = world.perform(Action::CloseClient { client: client.id }, &mut self.keyspace);
    }

    /// Checks and runs, queues or puts off the command.
    fn process(
        &mut self,
        client: &mut Client,
        world: &mut dyn World,
        args: Args<'_>,
    ) -> Unexpected {
        let found = match command::find(args) {
            Ok(found) => found,
            Err(_) if client.kind == Kind::Normal && web_request::is_one(args) => {
                self.abort_web_request(client, world);
                return None;
            }
            Err(error) => return self.reject(client, None, error),
        };
        let found = match found.spec.flags_by {
            Some(by) => Found { flags: by(self, args, found.flags), ..found },
            None => found,
        };
        client.last_command = Some(found);
        client.last_command_mono_us = self.now.mono_us;
        let checked = self.check(client, world, &found, args);
        self.limit_tracking_table();
        // What it was sent while room was made stands before its reply.
        self.deliver_pushes(client);
        if let Err(error) = checked {
            return self.reject(client, Some(&found), error);
        }
        if self.must_pause(client, &found) {
            self.pause_client(client, found, args);
            return None;
        }
        let queues = client.multi.is_some() && !found.flags.has(Flags::NO_MULTI);
        if queues {
            let multi = client.multi.as_mut().expect("checked just above");
            multi.has_write |= found.flags.has(Flags::WRITE);
            let args = OwnedArgs::from(args);
            multi.queue_bytes += args.memory_bytes();
            multi.queue.push((found, args));
            client.out.status("QUEUED");
            return None;
        }
        let call = Call::of(client, self.spare_pages);
        let error = self.call(client, world, found, args, call);
        self.finish_unit(client, world);
        if let Some(blocked) = &mut client.blocked {
            blocked.again.get_or_insert_with(|| (found, OwnedArgs::from(args)));
            self.blocked.add(client.id, blocked);
        }
        error
    }

    /// The rules that hold for every command, in the order in which Redis applies them.
    fn check(
        &mut self,
        client: &Client,
        world: &mut dyn World,
        found: &Found,
        args: Args<'_>,
    ) -> Result<(), CommandError> {
        let spec = found.spec;
        let flags = found.flags;
        if !spec.arity_fits(args.len()) {
            return Err(CommandError::arity(&found.full_name()));
        }
        oversize::check(spec, args)?;
        if client.kind == Kind::Master {
            return check_belongs_to_stream(found);
        }
        if client.is_internal() {
            return Ok(());
        }
        if flags.has(Flags::DEBUG_GUARDED.or(Flags::MODULE_GUARDED)) {
            self.check_guard(client, found)?;
        }
        if !flags.has(Flags::NO_AUTH) && self.users.needs_login(client) {
            return Err(CommandError::NoAuth);
        }
        if client.multi.is_some() && flags.has(Flags::NO_MULTI_QUEUE) {
            return Err(CommandError::err("Command not allowed inside a transaction"));
        }
        self.check_permission(client, world, found, args, context_of(client))
            .map_err(|denial| self.no_permission(client.user, found, denial))?;
        if self.waits_for_master(client, found) {
            return Ok(());
        }
        self.check_place(client, world, found)?;
        // EXEC is judged by what it has queued.
        let queue = client.multi.as_ref().filter(|_| flags.has(Flags::RUNS_QUEUE));
        let queued_write = queue.is_some_and(|multi| multi.has_write);
        let is_write = flags.has(Flags::WRITE) || queued_write;
        self.is_out_of_memory =
            self.settings.maxmemory_bytes > 0 && !self.make_room(client.db, world);
        if self.is_out_of_memory {
            let queued_denyoom = queue.is_some_and(|multi| {
                multi.queue.iter().any(|(found, _)| found.flags.has(Flags::DENYOOM))
            });
            // Queueing takes memory too, without end.
            let queues = client.multi.is_some() && !flags.has(Flags::NO_MULTI);
            if flags.has(Flags::DENYOOM) || queued_denyoom || queues {
                return Err(CommandError::Oom);
            }
        }
        let is_replica = matches!(self.role, Role::Replica { .. });
        // A master that cannot save says so to a PING as well: that is what health checks send.
        if (is_write || flags.has(Flags::TELLS_HEALTH))
            && !is_replica
            && let Some(refusal) = world.write_refusal()
        {
            return Err(refusal);
        }
        if is_write {
            if !is_replica
                && self.settings.min_replicas_to_write > 0
                && self.settings.min_replicas_max_lag_s > 0
                && world.good_replicas() < self.settings.min_replicas_to_write
            {
                return Err(CommandError::NoReplicas);
            }
            if self.is_read_only_replica() {
                return Err(CommandError::ReadOnly);
            }
        }
        if client.in_pubsub_mode() && !flags.has(Flags::IN_PUBSUB) {
            let name = found.full_name();
            return Err(CommandError::err(format_args!(
                "Can't execute '{name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context"
            )));
        }
        self.check_data_is_there(client, found)?;
        if self.busy && !flags.has(Flags::ALLOW_BUSY) {
            return Err(self.scripts.busy_error());
        }
        let has_keys = is_write || flags.has(Flags::READONLY) || flags.has(Flags::MAY_REPLICATE);
        if client.kind == Kind::Replica && has_keys {
            return Err(CommandError::err("Replica can't interact with the keyspace"));
        }
        Ok(())
    }

    /// A link that is down and a load in progress refuse what needs the data. EXEC itself never
    /// does, but lacks what one of its commands lacks.
    #[inline(always)]
    fn check_data_is_there(&self, client: &Client, found: &Found) -> Result<(), CommandError> {
        let is_whole = self.role != Role::Replica { link_up: false };
        if is_whole && !self.loading && !self.async_loading {
            return Ok(());
        }
        self.check_may_do_without(client, found)
    }

    #[cold]
    fn check_may_do_without(&self, client: &Client, found: &Found) -> Result<(), CommandError> {
        let flags = found.flags;
        let queue = match &client.multi {
            Some(multi) if flags.has(Flags::RUNS_QUEUE) => multi.queue.as_slice(),
            _ => &[],
        };
        let lacks =
            |flag| !flags.has(flag) || queue.iter().any(|(queued, _)| !queued.flags.has(flag));
        if self.role == (Role::Replica { link_up: false })
            && !self.settings.replica_serve_stale_data
            && lacks(Flags::STALE)
        {
            return Err(CommandError::MasterDown);
        }
        if !self.loading && !self.async_loading {
            return Ok(());
        }
        let denied = |flags: Flags| flags.has(Flags::NO_ASYNC_LOADING);
        let refuses = match self.async_loading {
            true => denied(flags) || queue.iter().any(|(queued, _)| denied(queued.flags)),
            false => lacks(Flags::LOADING),
        };
        if refuses { Err(CommandError::Loading) } else { Ok(()) }
    }

    fn check_guard(&self, client: &Client, found: &Found) -> Result<(), CommandError> {
        let (guard, refusal) = match found.spec.flags.has(Flags::MODULE_GUARDED) {
            true => (self.settings.enable_module_command, CommandError::ModuleNotAllowed),
            false => (self.settings.enable_debug_command, CommandError::DebugNotAllowed),
        };
        match guard {
            Guard::Yes => Ok(()),
            Guard::Local if client.peer.local => Ok(()),
            _ => Err(refusal),
        }
    }

    /// Answers an error for a command that did not run; a transaction that lost a command this way
    /// must not be executed.
    fn reject(
        &mut self,
        client: &mut Client,
        found: Option<&Found>,
        error: CommandError,
    ) -> Unexpected {
        if let Some(found) = found {
            self.stats.commands[found.stat as usize].rejected_calls += 1;
        }
        if found.is_some_and(|found| found.spec.flags.has(Flags::RUNS_QUEUE)) {
            // Its reason without the code word that every error has.
            let reason = error.as_str();
            let reason = reason.strip_prefix("ERR ").unwrap_or(reason);
            let text = format!("EXECABORT Transaction discarded because of: {reason}");
            self.discard(client);
            // Where to go is for the client's library to read.
            let is_elsewhere = error.code() == "REDIRECT";
            let error = if is_elsewhere { error } else { CommandError::text(text) };
            return self.error_reply(client, error);
        }
        if let Some(multi) = &mut client.multi {
            multi.aborted = true;
        }
        self.error_reply(client, error)
    }

    /// Answers an error.
    pub(crate) fn error_reply(&mut self, client: &mut Client, error: CommandError) -> Unexpected {
        self.stats.record_error(error.code());
        client.out.error(error.as_str());
        if client.kind != Kind::Normal {
            self.stats.unexpected_error_replies += 1;
            return Some(Box::new(error));
        }
        None
    }

    /// An error on a replication link tells of data sets that differ, or of a peer that is no Redis: it
    /// belongs in the log, because nobody reads the reply.
    #[cold]
    fn log_unexpected_error(&mut self, client: &Client, world: &mut dyn World, why: &CommandError) {
        let (from, to) = match client.kind {
            Kind::Master => ("replica", "master"),
            Kind::Loader => ("server", "AOF-loading-client"),
            Kind::Replica | Kind::Normal => ("master", "replica"),
        };
        let name = client.last_command.map_or("<unknown>".to_string(), |found| found.full_name());
        let why = why.as_str();
        let text = why.strip_prefix("ERR ").map_or_else(|| format!("-{why}"), str::to_string);
        let text: String = text.chars().take(LOGGED_ERROR_MAX).collect();
        let message = format!(
            "== CRITICAL == This {from} is sending an error to its {to}: '{text}' after processing \
             the command '{name}'"
        );
        // A world without a log has nobody to tell.
        let _ = world.perform(Action::Log { message: &message }, &mut self.keyspace);
    }

    /// Runs the handler: the one place where commands run, from a client, EXEC, a master or a file.
    pub(crate) fn call(
        &mut self,
        client: &mut Client,
        world: &mut dyn World,
        found: Found,
        args: Args<'_>,
        call: Call,
    ) -> Unexpected {
        let dirty_before = self.dirty;
        let (db, written) = (client.db, client.out.written());
        let caller = self.tracking.enter(client.id);
        let mut ctx = Ctx::new(self, client, world, found, call);
        let result = (found.spec.handler)(&mut ctx, args);
        let (travels, nested_error) = (ctx.travels, ctx.nested_error);
        let failed = result.is_err() || ctx.has_failed;
        let error = match result {
            Ok(()) => None,
            Err(error) => {
                if client.kind == Kind::Master && call.inside != Inside::Script {
                    self.note_failed_handler(&found, &error, call);
                }
                self.error_reply(client, error)
            }
        };
        let changed = self.dirty != dirty_before;
        if changed && self.role != Role::Master && !call.is_applied() {
            self.remember_local_expires(db, &found, args);
        }
        let as_received = match travels {
            Travels::IfChanged => changed,
            Travels::Always => true,
            Travels::AsSaid => false,
        };
        if as_received {
            match args.raw() {
                Some(raw) => self.propagation.raw(db, raw),
                None => self.propagation.command(db, args.iter()),
            }
        }
        if self.tracking.is_on() {
            self.remember_reads(client, found.spec, args);
            self.tracking.caller = caller;
        }
        self.record(client, world, &found, args, call, (failed, written));
        if !self.monitors.is_empty() && !call.again {
            self.feed_monitors(client, world, &found, args, call);
        }
        nested_error.or(error)
    }

    /// A command counts when it is done: one that waits, when its wait is over.
    fn record(
        &mut self,
        client: &mut Client,
        world: &dyn World,
        found: &Found,
        args: Args<'_>,
        call: Call,
        (failed, written): (bool, u64),
    ) {
        let end_us = world.mono_us();
        let mut took_us = end_us.saturating_sub(self.last_command_end_us);
        self.last_command_end_us = end_us;
        if let Some(blocked) = &mut client.blocked {
            blocked.ran_us += took_us;
            return;
        }
        client.commands += 1;
        took_us += call.ran_before_us;
        let histogram = self.settings.latency_tracking;
        self.stats.record_call(found.stat, took_us, failed, histogram);
        if self.settings.latency_monitor_threshold_ms > 0 {
            let fast = found.spec.flags.has(Flags::FAST);
            self.record_latency(if fast { "fast-command" } else { "command" }, took_us);
        }
        let request_bytes =
            args.raw().map_or_else(|| args.iter().map(<[u8]>::len).sum(), <[u8]>::len);
        let reply_bytes = client.out.written().saturating_sub(written);
        let figures = [took_us, request_bytes as u64, reply_bytes];
        if self.stands_out(figures) {
            self.log_command(client, world, found, args, figures);
        }
    }

    /// Whether a command took long, is large or was answered at length.
    #[inline]
    fn stands_out(&self, [took_us, request_bytes, reply_bytes]: [u64; 3]) -> bool {
        let settings = &self.settings;
        // A threshold below 0 is none: as a count it is above all figures.
        took_us >= settings.slowlog_log_slower_than_us as u64
            || request_bytes >= settings.commandlog_request_larger_than_bytes as u64
            || reply_bytes >= settings.commandlog_reply_larger_than_bytes as u64
    }

    #[cold]
    fn log_command(
        &mut self,
        client: &Client,
        world: &dyn World,
        found: &Found,
        args: Args<'_>,
        [took_us, request_bytes, reply_bytes]: [u64; 3],
    ) {
        if found.spec.flags.has(Flags::SKIP_SLOWLOG) {
            return;
        }
        let settings = &self.settings;
        let logs = [
            (LogKind::Slow, took_us, settings.slowlog_log_slower_than_us, settings.slowlog_max_len),
            (
                LogKind::LargeRequest,
                request_bytes,
                settings.commandlog_request_larger_than_bytes,
                settings.commandlog_large_request_max_len,
            ),
            (
                LogKind::LargeReply,
                reply_bytes,
                settings.commandlog_reply_larger_than_bytes,
                settings.commandlog_large_reply_max_len,
            ),
        ];
        let shown = redact::shown(world, found.spec.redact, args);
        for (kind, figure, from, max_len) in logs {
            if figure >= from as u64 {
                let log = self.command_logs.of(kind);
                log.push(&shown, figure, self.now.unix_s(), client, max_len);
            }
        }
    }

    /// Notes that `event` took `took_us`, if that is `latency-monitor-threshold` or more.
    pub fn record_latency(&mut self, event: &'static str, took_us: u64) {
        let spike_ms = self.settings.latency_monitor_threshold_ms;
        if spike_ms > 0 && took_us / 1000 >= spike_ms {
            self.latency.record(event, self.now.unix_s(), took_us / 1000);
        }
    }

    /// The unit is over: what it propagated leaves, and the client knows what WAIT must wait for.
    pub(crate) fn finish_unit(&mut self, client: &mut Client, world: &mut dyn World) {
        if self.end_unit(world) {
            client.write_offset = world.stream_offset();
            client.write_log_end = self.propagation.log_end();
            world.note_write(client.id, client.write_log_end, client.out.written());
        }
    }

    /// Clients that wait for keys just written get their turn, in the order in which they came.
    #[inline(always)]
    pub(crate) fn serve_ready_keys(&mut self, world: &mut dyn World) {
        if self.blocked.has_ready() {
            self.serve_who_waits(world);
        }
    }

    #[cold]
    fn serve_who_waits(&mut self, world: &mut dyn World) {
        // The command may have taken long: what has expired meanwhile wakes nobody.
        let passed_us = world.mono_us().saturating_sub(self.now.mono_us);
        self.now.mono_us += passed_us;
        self.now.unix_us += passed_us;
        while let Some((db_key, last)) = self.blocked.next_ready() {
            let mut ticket = 0;
            // Who comes to wait meanwhile waits for the next write.
            while ticket < last {
                let entry = self.keyspace.db(db_key.0).get(&*db_key.1);
                // What has expired wakes nobody; who touches it next says that it is gone.
                let entry = entry.filter(|entry| !entry.is_expired(self.now.unix_ms()));
                // A value of another type is none that the client waits for.
                let present = entry.map(|entry| entry.value_type());
                if present.is_none() && !self.blocked.awaits_end_of(&db_key) {
                    break;
                }
                let Some((next, id)) = self.blocked.next_waiting(&db_key, ticket) else { break };
                ticket = next;
                let blocked = self.client(id).and_then(|client| client.blocked.as_ref());
                if blocked.is_some_and(|blocked| blocked.waits_for(present)) {
                    self.run_again(world, id);
                }
            }
        }
    }

    /// Runs a blocked client's command once more.
    pub(crate) fn run_again(&mut self, world: &mut dyn World, id: ClientId) {
        let Some(mut client) = self.take_client(id) else { return };
        let Some(mut blocked) = client.blocked.take() else { return self.put_client(client) };
        let (found, args) = blocked.again.take().expect("a blocked client keeps its command");
        self.last_command_end_us = world.mono_us();
        let call = Call {
            again: true,
            ran_before_us: blocked.ran_us,
            ..Call::of(&client, self.spare_pages)
        };
        if client.reply_mode != ReplyMode::On {
            client.out.mute();
        }
        // Its user may have lost the right meanwhile.
        let context = context_of(&client);
        match self.check_permission(&client, world, &found, args.as_args(), context) {
            Ok(()) => drop(self.call(&mut client, world, found, args.as_args(), call)),
            Err(denial) => {
                let error = self.no_permission(client.user, &found, denial);
                self.reject(&mut client, Some(&found), error);
            }
        }
        self.finish_unit(&mut client, world);
        if client.blocked.is_some() {
            // Nothing for it yet: it keeps its deadline and its place.
            let (ran_us, retry_us) =
                client.blocked.as_ref().map_or((0, 0), |again| (again.ran_us, again.retry_us));
            blocked.ran_us += ran_us;
            if (blocked.retry_us, retry_us) != (0, 0) {
                self.blocked.retry_at(id, &mut blocked, retry_us);
            }
            blocked.again = Some((found, args));
            client.blocked = Some(blocked);
        } else {
            self.blocked.remove(id, &blocked);
            self.unblocked.push(Unblocked { id, by_write: true });
        }
        self.put_client(client);
    }

    /// Ends a client's wait with the reply for that, at its deadline or by CLIENT UNBLOCK.
    pub(crate) fn end_wait(
        &mut self,
        world: &mut dyn World,
        id: ClientId,
        error: Option<CommandError>,
    ) {
        let Some(mut client) = self.take_client(id) else { return };
        if client.reply_mode != ReplyMode::On {
            client.out.mute();
        }
        if let Some(blocked) = client.blocked.take() {
            self.blocked.remove(id, &blocked);
            self.unblocked.push(Unblocked { id, by_write: false });
            if matches!(blocked.waiting, Waiting::Acks(_)) {
                world.forget_wait(id);
            }
            if let Some((found, _)) = &blocked.again {
                let histogram = self.settings.latency_tracking;
                self.stats.record_call(found.stat, blocked.ran_us, error.is_some(), histogram);
                client.commands += 1;
            }
            match (error, blocked.on_timeout) {
                // Who carries a stream never waits.
                (Some(error), _) => drop(self.error_reply(&mut client, error)),
                (None, OnTimeout::NullArray) => client.out.null_array(),
                (None, OnTimeout::Null) => client.out.null(),
                (None, OnTimeout::AckCount) => {
                    if let Waiting::Acks(wait) = &blocked.waiting {
                        wait.reply(&mut client.out, world);
                    }
                }
            }
        }
        self.put_client(client);
    }

    /// What a client's WAIT or WAITAOF waits for is there, or never will be.
    pub fn end_ack_wait(&mut self, world: &mut dyn World, id: ClientId, why: Option<CommandError>) {
        let blocked = self.client(id).and_then(|client| client.blocked.as_ref());
        if blocked.is_some_and(|blocked| matches!(blocked.waiting, Waiting::Acks(_))) {
            self.end_wait(world, id, why);
        }
    }

    fn must_pause(&self, client: &Client, found: &Found) -> bool {
        client.kind == Kind::Normal
            && (self.is_held_back(client, found) || self.waits_for_master(client, found))
    }

    /// Whether the master's next command has to wait for the end of a pause: so that a replica stands
    /// still as well. Its other commands are run, for as long as none waits before them.
    pub fn must_hold(&self, master: ClientId, args: Args<'_>) -> bool {
        if self.pauses.in_force(self.now.mono_us).is_none() {
            return false;
        }
        let found = command::find(args).ok();
        let client = self.client(master);
        client.zip(found).is_some_and(|(client, found)| self.is_held_back(client, &found))
    }

    fn is_held_back(&self, client: &Client, found: &Found) -> bool {
        let Some(pause) = self.pauses.in_force(self.now.mono_us) else { return false };
        let flags = found.flags;
        let writes = flags.has(Flags::WRITE)
            || flags.has(Flags::MAY_REPLICATE)
            || flags.has(Flags::RUNS_QUEUE)
                && client.multi.as_ref().is_some_and(|multi| multi.has_write);
        let queues = client.multi.is_some() && !flags.has(Flags::NO_MULTI);
        let exempt = flags.has(Flags::NEVER_PAUSED);
        !exempt && !queues && (!pause.writes_only || writes)
    }

    fn pause_client(&mut self, client: &mut Client, found: Found, args: Args<'_>) {
        let mut blocked = Blocked {
            waiting: Waiting::Pause,
            on_timeout: OnTimeout::Null,
            deadline_us: 0,
            retry_us: 0,
            db: client.db,
            again: Some((found, OwnedArgs::from(args))),
            ran_us: 0,
            ticket: 0,
        };
        self.blocked.add(client.id, &mut blocked);
        client.blocked = Some(Box::new(blocked));
    }

    /// A pause has ended: paused commands run through the whole door, and may wait there again.
    pub(crate) fn retry_paused(&mut self, world: &mut dyn World) {
        for id in self.blocked.paused() {
            self.blocked.looks += 1;
            let Some(mut client) = self.take_client(id) else { continue };
            let Some(mut blocked) = client.blocked.take() else {
                self.put_client(client);
                continue;
            };
            self.blocked.remove(id, &blocked);
            if client.reply_mode == ReplyMode::Skip {
                client.reply_mode = ReplyMode::SkipNext;
            }
            self.put_client(client);
            self.unblocked.push(Unblocked { id, by_write: false });
            if let Some((_, args)) = blocked.again.take() {
                world.speaks_for(id);
                self.execute(self.now, world, id, args.as_args());
            }
        }
    }

    /// Deadlines that have passed: timed-out waits, the end of a pause.
    pub fn handle_deadlines(&mut self, now: Now, world: &mut dyn World) {
        self.now = now;
        while let Some(id) = self.blocked.expired(now.mono_us) {
            let blocked = self.client(id).and_then(|client| client.blocked.as_ref());
            match blocked.is_some_and(|blocked| blocked.is_over(now.mono_us)) {
                true => self.end_wait(world, id, None),
                false => self.run_again(world, id),
            }
        }
        if self.pauses.expire(now.mono_us) {
            self.retry_paused(world);
        }
    }

    /// Ends the transaction without running it.
    pub(crate) fn discard(&mut self, client: &mut Client) {
        client.multi = None;
        self.watches.unwatch_all(client.id, &mut client.watched);
    }
}
