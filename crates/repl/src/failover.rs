//! Owns FAILOVER: a master that hands its role over to one of its replicas without losing a write. Must not
//! know how clients are kept waiting.
//!
//! ```text
//!   (none) --FAILOVER--> WaitingForSync --a replica has everything, or FORCE and the time is up--> InProgress
//!     ^                       |                                                                        |
//!     |   time up, ABORT      |            +CONTINUE or +FULLRESYNC: a replica; anything else,         |
//!     +-----------------------+            or ABORT: a master again                                    |
//!     +------------------------------------------------------------------------------------------------+
//! ```
//!
//! Writes are paused from the first to the last of these, so that the offset which the replica has to
//! reach stands still. In progress this server is a replica already: there are never two masters of one
//! history, at worst there is none until the operator decides.

use crate::master::Replica;
use crate::{Action, Level, MasterAddr, Repl};

/// INFO's `master_failover_state`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FailoverState {
    #[default]
    None,
    WaitingForSync,
    InProgress,
}

impl FailoverState {
    pub fn as_str(self) -> &'static str {
        match self {
            FailoverState::None => "no-failover",
            FailoverState::WaitingForSync => "waiting-for-sync",
            FailoverState::InProgress => "failover-in-progress",
        }
    }
}

/// FAILOVER's options.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FailoverRequest {
    /// Address and port as INFO shows them. None takes the first replica that has everything.
    pub target: Option<(String, i64)>,
    /// Hand over when the time is up, caught up or not.
    pub force: bool,
    /// How long to wait for the replica; None for ever.
    pub timeout_ms: Option<u64>,
}

#[derive(Debug)]
pub(crate) struct Failover {
    target: Option<MasterAddr>,
    force: bool,
    deadline_ms: Option<u64>,
    is_in_progress: bool,
    /// The target was asked over a link that died before its answer: it may be a master by now.
    is_unanswered: bool,
}

/// A target that is no replica any more says this to a second request.
const ALREADY_MASTER: &[u8] = b"-ERR PSYNC FAILOVER can't be sent to a master.";

impl Repl {
    pub fn failover_state(&self) -> FailoverState {
        match &self.failover {
            None => FailoverState::None,
            Some(Failover { is_in_progress: false, .. }) => FailoverState::WaitingForSync,
            Some(Failover { is_in_progress: true, .. }) => FailoverState::InProgress,
        }
    }

    /// FAILOVER. Err is the error to answer.
    pub fn failover(&mut self, now_ms: u64, request: FailoverRequest) -> Result<(), &'static str> {
        if self.failover.is_some() {
            return Err("ERR FAILOVER already in progress.");
        }
        if self.upstream.is_some() {
            return Err("ERR FAILOVER is not valid when server is a replica.");
        }
        if self.downstream.replicas.is_empty() {
            return Err("ERR FAILOVER requires connected replicas.");
        }
        let FailoverRequest { target, force, timeout_ms } = request;
        if force && (timeout_ms.is_none() || target.is_none()) {
            return Err(
                "ERR FAILOVER with force option requires both a timeout and target HOST and IP.",
            );
        }
        let target = match target {
            None => {
                self.log(Level::Notice, "FAILOVER requested to any replica.");
                None
            }
            Some((host, port)) => {
                let is_named = |r: &&Replica| {
                    r.ip().eq_ignore_ascii_case(&host) && i64::from(r.intro.listening_port) == port
                };
                let Some(replica) = self.downstream.replicas.iter().find(is_named) else {
                    return Err("ERR FAILOVER target HOST and PORT is not a replica.");
                };
                if !replica.is_online() {
                    return Err("ERR FAILOVER target replica is not online.");
                }
                let port = replica.intro.listening_port;
                self.log(Level::Notice, format!("FAILOVER requested to {host}:{port}."));
                Some(MasterAddr { host, port })
            }
        };
        self.failover = Some(Failover {
            target,
            force,
            deadline_ms: timeout_ms.map(|ms| now_ms.saturating_add(ms)),
            is_in_progress: false,
            is_unanswered: false,
        });
        self.actions.push_back(Action::PauseWrites);
        Ok(())
    }

    /// FAILOVER ABORT. Err is the error to answer.
    pub fn abort_failover(&mut self, now_ms: u64) -> Result<(), &'static str> {
        if self.failover.is_none() {
            return Err("ERR No failover in progress.");
        }
        self.give_failover_up(now_ms, "Failover manually aborted");
        Ok(())
    }

    /// When `check_failover` will have something to do: at once if a replica has caught up.
    pub(crate) fn failover_due_ms(&self) -> Option<u64> {
        let failover = self.failover.as_ref().filter(|f| !f.is_in_progress)?;
        match self.synced_target(failover) {
            Some(_) => Some(0),
            None => failover.deadline_ms,
        }
    }

    /// Hands over if a replica is ready, or gives up or forces it if the time is up. Part of
    /// `handle_timeout`, which a driver calls between commands only: the role may change here.
    pub(crate) fn check_failover(&mut self, now_ms: u64) {
        let Some(failover) = self.failover.as_ref().filter(|f| !f.is_in_progress) else { return };
        if failover.deadline_ms.is_some_and(|at| at <= now_ms) {
            let target = failover.target.clone().filter(|_| failover.force);
            return match target {
                Some(addr) => {
                    let MasterAddr { host, port } = &addr;
                    let text =
                        format!("FAILOVER to {host}:{port} time out exceeded, failing over.");
                    self.hand_over(now_ms, addr, text);
                }
                None => self.give_failover_up(now_ms, "Replica never caught up before timeout"),
            };
        }
        if let Some(addr) = self.synced_target(failover) {
            let MasterAddr { host, port } = &addr;
            let text = format!("Failover target {host}:{port} is synced, failing over.");
            self.hand_over(now_ms, addr, text);
        }
    }

    /// The third word of PSYNC while this server asks its heir to take over.
    pub(crate) fn psync_to_heir(&mut self) -> bool {
        let failover = self.failover.as_ref();
        failover.is_some_and(|failover| failover.is_in_progress)
    }

    /// The link to the heir is gone, with or without its answer.
    pub(crate) fn note_lost_heir(&mut self, was_asked: bool) {
        if let Some(failover) = &mut self.failover {
            failover.is_unanswered |= was_asked;
        }
    }

    /// The heir has answered PSYNC: is what it says about the failover, and was it a refusal? True ends
    /// the matter, and the link.
    pub(crate) fn hear_heir(&mut self, now_ms: u64, is_accepted: bool) -> bool {
        if !self.psync_to_heir() {
            return false;
        }
        if is_accepted {
            self.end_failover();
            return false;
        }
        self.give_failover_up(now_ms, "Failover target rejected psync request");
        true
    }

    /// Whether this refusal only says that an earlier request, whose answer was lost, has made the heir a
    /// master. Then it is done: two masters are what must not be, so an ordinary PSYNC follows.
    pub(crate) fn has_heir_taken_over(&mut self, line: &[u8]) -> bool {
        let was_asked = self.failover.as_ref().is_some_and(|failover| failover.is_unanswered);
        let has_taken_over = was_asked && line.starts_with(ALREADY_MASTER);
        if has_taken_over {
            self.end_failover();
        }
        has_taken_over
    }

    /// Whether heartbeats may move the offset: not while the heir has only so much time to reach it.
    pub(crate) fn may_ping(&self) -> bool {
        self.failover.as_ref().is_none_or(|failover| failover.deadline_ms.is_none())
    }

    fn synced_target(&self, failover: &Failover) -> Option<MasterAddr> {
        let offset = self.stream.offset();
        let addr =
            |r: &Replica| MasterAddr { host: r.ip().to_string(), port: r.intro.listening_port };
        let is_wanted = |r: &MasterAddr| match &failover.target {
            Some(target) => r.host.eq_ignore_ascii_case(&target.host) && r.port == target.port,
            // One that did not say where it listens cannot be followed.
            None => r.port != 0,
        };
        let synced = self.online().filter(|r| r.ack_offset == offset && !r.is_pre_psync);
        synced.map(addr).find(is_wanted)
    }

    fn hand_over(&mut self, now_ms: u64, addr: MasterAddr, why: String) {
        if let Some(failover) = &mut self.failover {
            failover.is_in_progress = true;
            failover.target = Some(addr.clone());
        }
        self.log(Level::Notice, why);
        self.synthesize_cached_master();
        self.follow(now_ms, addr);
    }

    fn give_failover_up(&mut self, now_ms: u64, why: &str) {
        let Some(failover) = &self.failover else { return };
        let to = match &failover.target {
            Some(MasterAddr { host, port }) => format!("{host}:{port}"),
            None => "any replica".to_string(),
        };
        let was_in_progress = failover.is_in_progress;
        self.log(Level::Notice, format!("FAILOVER to {to} aborted: {why}"));
        if was_in_progress {
            self.promote(now_ms);
        }
        self.end_failover();
    }

    fn end_failover(&mut self) {
        self.failover = None;
        self.actions.push_back(Action::ResumeWrites);
    }
}
