//! Owns the line by which CLIENT LIST and CLIENT INFO describe a client, and the classes by which
//! clients are listed and killed. Changes nothing.

use std::borrow::Cow;

use protocol::{Args, Resp};

use crate::Engine;
use crate::clients::client::{Client, Follows, Kind, Subscriptions};
use crate::events::tracking::Mode;
use crate::ids::ClientId;
use crate::world::World;

/// Output up to here counts as the reply buffer (`obl`), what is beyond as the reply list (`oll`,
/// `omem`): the lengths by which operators tell a slow reader.
const REPLY_BUFFER_BYTES: usize = 16 * 1024;

/// What a watched key or a subscription costs, apart from the bytes of its name: the client's entry
/// and the one by which it is found.
const NOTED_BYTES: usize = 64;

/// The classes of clients, as TYPE names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Normal,
    Replica,
    PubSub,
    Master,
}

impl Class {
    pub(crate) fn parse(word: &[u8]) -> Option<Class> {
        match word.to_ascii_lowercase().as_slice() {
            b"normal" => Some(Class::Normal),
            b"replica" | b"slave" => Some(Class::Replica),
            b"pubsub" => Some(Class::PubSub),
            b"master" => Some(Class::Master),
            _ => None,
        }
    }

    pub(crate) fn of(client: &Client) -> Class {
        match client.kind {
            Kind::Master => Class::Master,
            Kind::Replica => Class::Replica,
            _ if !client.subscriptions.is_empty() => Class::PubSub,
            _ => Class::Normal,
        }
    }
}

/// Appends the client's line, with its end. `args` are those of the command that runs, when it is
/// this client's.
pub(crate) fn describe(
    engine: &Engine,
    world: &dyn World,
    client: &Client,
    args: Option<Args<'_>>,
    text: &mut String,
) {
    use std::fmt::Write;
    let seconds = |since_us: u64| engine.now.mono_us.saturating_sub(since_us) / 1_000_000;
    let sizes = Sizes::of(engine, world, client, args);
    let subscriptions = &client.subscriptions;
    let command = client.last_command.map_or_else(|| "NULL".to_string(), |found| found.full_name());
    // Writing to a String does not fail.
    let _ = write!(
        text,
        "id={} addr={} laddr={} fd={} name={} age={} idle={} flags={} {}db={} ",
        client.id.id,
        client.peer.addr,
        client.peer.laddr,
        client.peer.fd,
        String::from_utf8_lossy(&client.name),
        seconds(client.created_mono_us),
        seconds(client.last_command_mono_us),
        flags(engine, client),
        // Valkey's field, for clients that know it.
        if client.follows == Follows::Nowhere { "" } else { "capa=r " },
        client.db,
    );
    let _ = write!(
        text,
        "sub={} psub={} ssub={} multi={} ",
        subscriptions.channels.len(),
        subscriptions.patterns.len(),
        subscriptions.shard_channels.len(),
        client.multi.as_ref().map_or(-1, |multi| multi.queue.len() as i64),
    );
    let _ = write!(
        text,
        "qbuf={} qbuf-free={} argv-mem={} multi-mem={} rbs={} rbp={} obl={} oll={} omem={} tot-mem={} ",
        sizes.input,
        (client.input.capacity_bytes as usize).saturating_sub(sizes.input),
        sizes.args,
        sizes.multi,
        client.out.buffer_bytes(),
        sizes.reply_buffer,
        sizes.reply_buffer,
        sizes.reply_list.div_ceil(REPLY_BUFFER_BYTES),
        sizes.reply_list,
        sizes.total(client),
    );
    let [bytes_in, bytes_out] = world.traffic(client.id);
    // What is written this turn is not waiting yet; what is left of an earlier one is.
    let waits = !client.pending_output && !client.out.is_empty() && args.is_none();
    let _ = writeln!(
        text,
        "events={} cmd={command} user={} redir={} resp={} lib-name={} lib-ver={} tot-net-in={} tot-net-out={} tot-cmds={}",
        if waits { "rw" } else { "r" },
        user_name(engine, client),
        engine.redirect_number(client.id),
        if client.out.resp == Resp::V3 { 3 } else { 2 },
        String::from_utf8_lossy(&client.lib_name),
        String::from_utf8_lossy(&client.lib_ver),
        bytes_in,
        bytes_out,
        client.commands,
    );
}

impl Engine {
    /// What is kept for a client, in bytes: `tot-mem` of its line. None if it is not connected, or
    /// if it must not be closed for it.
    pub fn evictable_bytes(&self, world: &dyn World, id: ClientId) -> Option<usize> {
        let client = self.client(id).filter(|client| client.kind == Kind::Normal)?;
        Some(memory_of(self, world, client))
    }

    /// The number of the client that is told what this one has cached: 0 is itself, and -1 that it
    /// caches nothing.
    pub(crate) fn redirect_number(&self, id: ClientId) -> i64 {
        match self.tracking.get(id) {
            None => -1,
            Some(tracked) => tracked.redirect.map_or(0, |to| to.id as i64),
        }
    }

    /// The client's line of CLIENT LIST, for the log.
    pub fn client_info(&self, world: &dyn World, id: ClientId) -> String {
        let mut line = String::new();
        if let Some(client) = self.client(id) {
            describe(self, world, client, None, &mut line);
        }
        line.trim_end().to_owned()
    }
}

/// All that the server keeps for a client, in bytes.
pub(crate) fn memory_of(engine: &Engine, world: &dyn World, client: &Client) -> usize {
    Sizes::of(engine, world, client, None).total(client)
}

/// Our master and our own files are nobody's clients.
fn user_name<'a>(engine: &'a Engine, client: &Client) -> Cow<'a, str> {
    match client.is_internal() {
        true => "(superuser)".into(),
        false => String::from_utf8_lossy(&engine.users.of(client.user).name),
    }
}

struct Sizes {
    /// Of the input buffer: with the request that runs.
    input: usize,
    args: usize,
    multi: usize,
    reply_buffer: usize,
    reply_list: usize,
    /// The prefixes of which it hears.
    prefixes: usize,
}

impl Sizes {
    fn of(engine: &Engine, world: &dyn World, client: &Client, args: Option<Args<'_>>) -> Sizes {
        let running = args.and_then(|args| args.raw()).map_or(0, <[u8]>::len);
        let kept = client.blocked.as_ref().and_then(|blocked| blocked.again.as_ref());
        let args = match (args, kept) {
            (Some(args), _) => args.iter().map(<[u8]>::len).sum(),
            (None, Some((_, args))) => args.memory_bytes(),
            (None, None) => 0,
        };
        let waiting = match client.kind {
            Kind::Replica => world.replica_pending_bytes(client.id) as usize,
            _ => client.out.len_bytes(),
        };
        let reply_buffer = match client.kind {
            Kind::Replica => 0,
            _ => waiting.min(REPLY_BUFFER_BYTES),
        };
        Sizes {
            args,
            input: (client.input.used_bytes as usize).max(running),
            multi: client.multi.as_ref().map_or(0, |multi| multi.queue_bytes),
            reply_buffer,
            reply_list: waiting - reply_buffer,
            prefixes: engine.tracking.get(client.id).map_or(0, |tracked| tracked.prefixes.len()),
        }
    }

    fn total(&self, client: &Client) -> usize {
        // A replica's bytes are the backlog's own.
        let output = client.out.memory_bytes();
        let input = client.input.capacity_bytes as usize;
        let subscriptions = &client.subscriptions;
        let noted = self.prefixes
            + client.watched.len()
            + subscriptions.channels.len()
            + subscriptions.patterns.len()
            + subscriptions.shard_channels.len();
        let names = client.peer.addr.len() + client.peer.laddr.len() + client.name.len();
        size_of::<Client>()
            + size_of::<Subscriptions>()
            + names
            + input
            + output
            + self.args
            + self.multi
            + noted * NOTED_BYTES
    }
}

/// The letters of what holds of the client.
pub(crate) fn flags(engine: &Engine, client: &Client) -> String {
    let monitors = engine.monitors.contains(&client.id);
    let tracked = engine.tracking.get(client.id);
    let letters = [
        (client.kind == Kind::Replica && !monitors, 'S'),
        (monitors, 'O'),
        (client.kind == Kind::Master, 'M'),
        (!client.subscriptions.is_empty(), 'P'),
        (client.multi.is_some(), 'x'),
        (client.is_blocked(), 'b'),
        (tracked.is_some(), 't'),
        (tracked.is_some_and(|tracked| tracked.is_broken), 'R'),
        (tracked.is_some_and(|tracked| tracked.mode == Mode::Bcast), 'B'),
        (engine.watches.is_dirty(client.id), 'd'),
        (client.close_after_reply, 'c'),
        (client.peer.unix_socket, 'U'),
        (client.follows == Follows::WithWrites, 'r'),
        (client.no_evict, 'e'),
        (client.no_touch, 'T'),
    ];
    let set: String = letters.iter().filter(|(set, _)| *set).map(|(_, letter)| letter).collect();
    if set.is_empty() { "N".to_string() } else { set }
}
