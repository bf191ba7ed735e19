//! Owns what the engine knows of a client: its database, output, transaction, subscriptions.
//!
//! The connection (socket, input buffer) belongs to `server`; both sides name a client by
//! [`ClientId`].

use std::collections::BTreeSet;

use protocol::{OwnedArgs, ReplyBuf};

use crate::clients::users::UserId;
use crate::command::Found;
use crate::events::blocking::Blocked;
use crate::ids::ClientId;
use crate::settings::{OutputLimits, in_bytes};

/// What kind of peer it is; output-buffer limits, INFO and CLIENT LIST go by it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    #[default]
    Normal,
    /// After PSYNC or SYNC: the connection carries the stream.
    Replica,
    /// The link to our master: its commands are not answered.
    Master,
    /// A client of our own that replays an append-only file.
    Loader,
}

/// How the connection came in.
#[derive(Clone, Debug, Default)]
pub struct Peer {
    /// `ip:port`, or `path:0` for a unix socket.
    pub addr: String,
    pub laddr: String,
    pub fd: i32,
    pub unix_socket: bool,
    /// Loopback or unix socket, for protected mode and the `local` guards.
    pub local: bool,
}

/// A transaction between MULTI and EXEC.
#[derive(Debug, Default)]
pub struct Multi {
    pub queue: Vec<(Found, OwnedArgs)>,
    /// What the queue takes.
    pub queue_bytes: usize,
    /// A command could not be queued: EXEC must refuse.
    pub aborted: bool,
    pub has_write: bool,
}

#[derive(Debug, Default)]
pub struct Subscriptions {
    pub channels: BTreeSet<Box<[u8]>>,
    pub patterns: BTreeSet<Box<[u8]>>,
    pub shard_channels: BTreeSet<Box<[u8]>>,
}

impl Subscriptions {
    pub fn count(&self) -> usize {
        self.channels.len() + self.patterns.len()
    }

    pub fn is_empty(&self) -> bool {
        self.count() + self.shard_channels.len() == 0
    }
}

/// What a client would take to another server: CLIENT CAPA redirect, READONLY.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Follows {
    #[default]
    Nowhere,
    WithAll,
    WithWrites,
}

/// Whether replies are written: CLIENT REPLY.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReplyMode {
    #[default]
    On,
    Off,
    /// The command that follows is not answered.
    SkipNext,
    /// This command is not answered.
    Skip,
}

/// What the socket side tells of its input buffer, for CLIENT LIST.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InputBuffer {
    pub used_bytes: u32,
    pub capacity_bytes: u32,
}

pub struct Client {
    pub id: ClientId,
    pub db: usize,
    pub out: ReplyBuf,
    pub kind: Kind,
    pub peer: Peer,
    pub name: Vec<u8>,
    pub lib_name: Vec<u8>,
    pub lib_ver: Vec<u8>,
    pub user: UserId,
    /// Has logged in, or did not have to.
    pub authenticated: bool,
    pub multi: Option<Box<Multi>>,
    /// Keys under WATCH, with their databases.
    pub watched: Vec<(usize, Box<[u8]>)>,
    pub subscriptions: Box<Subscriptions>,
    pub blocked: Option<Box<Blocked>>,
    pub reply_mode: ReplyMode,
    /// CLIENT REPLY OFF or SKIP holds for the command that ran last: an answer that follows is not given.
    pub is_muted: bool,
    pub no_evict: bool,
    pub no_touch: bool,
    pub follows: Follows,
    /// Written out, then closed: QUIT, CLIENT KILL of itself, protocol errors.
    pub close_after_reply: bool,
    /// Killed by another client: closed without a further word.
    pub is_killed: bool,
    /// In the engine's list of clients with output.
    pub pending_output: bool,
    /// The stream's offset after this client's last write: what WAIT waits for.
    pub write_offset: u64,
    /// The same in the append-only file's bytes.
    pub write_log_end: u64,
    /// The connection's input buffer when the server last looked: what it holds, and its room.
    pub input: InputBuffer,
    pub created_mono_us: u64,
    pub last_command_mono_us: u64,
    pub last_command: Option<Found>,
    /// How many have ended.
    pub commands: u64,
}

impl Client {
    /// The most that may wait to be sent to it.
    pub(crate) fn output_limit(&self, limits: &OutputLimits) -> usize {
        match self.kind {
            // Nobody reads what is answered to them.
            Kind::Master | Kind::Loader => usize::MAX,
            Kind::Replica => in_bytes(limits.replica_bytes),
            Kind::Normal if self.subscriptions.is_empty() => in_bytes(limits.normal_bytes),
            Kind::Normal => limits.of_subscribers(),
        }
    }

    pub fn new(id: ClientId, peer: Peer, mono_us: u64, authenticated: bool) -> Client {
        Client {
            id,
            db: 0,
            out: ReplyBuf::default(),
            kind: Kind::Normal,
            peer,
            name: Vec::new(),
            lib_name: Vec::new(),
            lib_ver: Vec::new(),
            user: UserId::DEFAULT,
            authenticated,
            multi: None,
            watched: Vec::new(),
            subscriptions: Box::default(),
            blocked: None,
            reply_mode: ReplyMode::On,
            is_muted: false,
            no_evict: false,
            no_touch: false,
            follows: Follows::Nowhere,
            close_after_reply: false,
            is_killed: false,
            pending_output: false,
            write_offset: 0,
            write_log_end: 0,
            input: InputBuffer::default(),
            created_mono_us: mono_us,
            last_command_mono_us: mono_us,
            last_command: None,
            commands: 0,
        }
    }

    pub fn is_blocked(&self) -> bool {
        self.blocked.is_some()
    }

    /// In RESP2 a subscribed connection may only speak of subscriptions.
    pub fn in_pubsub_mode(&self) -> bool {
        self.out.resp == protocol::Resp::V2 && !self.subscriptions.is_empty()
    }

    /// Our own or our master's: not answered, not refused for role, memory or authentication.
    pub fn is_internal(&self) -> bool {
        matches!(self.kind, Kind::Master | Kind::Loader)
    }
}
