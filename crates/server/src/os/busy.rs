//! What is read while a command takes long: the sockets of clients and of who connects, looked at without the loop.
//! The events of the loop stay where they are, so nothing is lost by it. Must not run a command.

use std::os::fd::RawFd;

use engine::{Client, ClientId, Engine, Kind, Now};
use protocol::{Limits, OwnedArgs};

use crate::net::listener::AcceptOutcome;
use crate::net::transport::ReadOutcome;
use crate::os::host::Host;

/// Connections taken in at a time: the command goes on in between.
const ACCEPTS_MAX: usize = 100;

impl Host {
    /// Who may have said something.
    pub fn hear_while_busy(&mut self, engine: &mut Engine, now: Now) -> Vec<ClientId> {
        self.accept_while_busy(engine, now);
        let mut fds = Vec::new();
        let mut ids = Vec::new();
        for conn in self.net.conns.iter() {
            let link = conn.link();
            if engine.client(conn.id()).is_some_and(may_speak) && link.parser().is_some() {
                fds.push(link.transport().raw_fd());
                ids.push(conn.id());
            }
        }
        let readable = poll(&fds, libc::POLLIN);
        let heard = ids.into_iter().zip(readable).filter(|(_, readable)| *readable);
        heard.filter_map(|(id, _)| self.read_while_busy(id).then_some(id)).collect()
    }

    /// Seen, and not read: what they have said before their end is the turn's to hear.
    pub fn replicas_gone_while_busy(&self, engine: &Engine) -> Vec<ClientId> {
        let is_replica = |id| engine.client(id).is_some_and(|client| client.kind == Kind::Replica);
        let replicas = self.net.conns.iter().filter(|conn| is_replica(conn.id()));
        let (ids, fds): (Vec<ClientId>, Vec<RawFd>) =
            replicas.map(|conn| (conn.id(), conn.link().transport().raw_fd())).unzip();
        let gone = poll(&fds, libc::POLLRDHUP);
        ids.into_iter().zip(gone).filter(|(_, gone)| *gone).map(|(id, _)| id).collect()
    }

    /// The next whole request of such a client. What is no request stays for the turn, which says so.
    pub fn next_request(&mut self, engine: &Engine, id: ClientId) -> Option<OwnedArgs> {
        let client = engine.client(id).filter(|client| may_speak(client))?;
        let limits = Limits {
            max_bulk_len: engine.settings.proto_max_bulk_len as i64,
            unauthenticated: !client.authenticated,
            from_master: false,
        };
        let link = self.net.conns.get_mut(id)?.link_mut();
        let mut parser = link.lend_parser()?;
        let mut request = None;
        if matches!(parser.parse(&limits, 1), Ok(1..)) {
            request = Some(OwnedArgs::from(parser.request(0).args()));
            parser.consume(1);
        }
        link.take_parser_back(parser);
        if request.is_none() {
            self.net.conns.queue(id);
        }
        request
    }

    fn accept_while_busy(&mut self, engine: &mut Engine, now: Now) {
        for index in 0..self.net.listeners.count() {
            for _ in 0..ACCEPTS_MAX {
                match self.net.accept(index, now.mono_us) {
                    Some(AcceptOutcome::One(accepted)) => self.admit(engine, now, accepted),
                    Some(AcceptOutcome::Nobody) => {}
                    Some(AcceptOutcome::Drained | AcceptOutcome::Failed(_)) | None => break,
                }
            }
        }
    }

    /// One read; false if that was its end, which the turn looks at.
    fn read_while_busy(&mut self, id: ClientId) -> bool {
        let Some(conn) = self.net.conns.get_mut(id) else { return false };
        let outcome = conn.link_mut().read();
        // There may be more, and no event may tell of it any more.
        self.net.conns.queue(id);
        match outcome {
            Ok(ReadOutcome::Drained(n) | ReadOutcome::Filled(n)) => {
                self.turn.stats.net_input_bytes += n as u64;
                true
            }
            Ok(ReadOutcome::Closed) | Err(_) => false,
        }
    }
}

fn may_speak(client: &Client) -> bool {
    client.kind == Kind::Normal && !client.is_blocked() && !client.close_after_reply
}

/// Of which descriptors there is such an event, an error, or the end.
fn poll(fds: &[RawFd], events: libc::c_short) -> Vec<bool> {
    let mut polled: Vec<libc::pollfd> =
        fds.iter().map(|&fd| libc::pollfd { fd, events, revents: 0 }).collect();
    // SAFETY: the pointer is to as many entries as are told, and the call does not wait.
    let found = unsafe { libc::poll(polled.as_mut_ptr(), polled.len() as libc::nfds_t, 0) };
    polled.iter().map(|entry| found > 0 && entry.revents != 0).collect()
}
