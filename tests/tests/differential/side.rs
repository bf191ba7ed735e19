//! Owns one of the two servers that are compared: its process, a replica of it of the other kind, and the
//! connections to both.
//!
//! Must not: compare anything.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use testkit::client::encode;
use testkit::wait::{LONG, wait_for};
use testkit::{Client, Info, Reply, Server};

use super::text::{Command, Step};

/// A reply, and its bytes.
pub type Answer = (Reply, Vec<u8>);

/// What ends the replies to one step on the second connection.
const MARK: &str = "the-end-of-this-step";
/// Whoever has not answered by then waits for a timeout of its command.
const STUCK: Duration = Duration::from_millis(500);
/// Whoever has not answered after so many of these never will.
const MOST_LOOKS: u32 = 120;

/// What sequences may have changed, and what it is again at their beginning.
const DEFAULTS: &[(&str, &str)] = &[
    ("hash-max-listpack-entries", "128"),
    ("hash-max-listpack-value", "64"),
    ("list-max-listpack-size", "128"),
    ("list-compress-depth", "0"),
    ("set-max-intset-entries", "512"),
    ("zset-max-listpack-entries", "128"),
    ("zset-max-listpack-value", "64"),
    ("stream-node-max-entries", "100"),
];

pub struct Side {
    pub server: Server,
    /// It lives as long as this does.
    _replica: Server,
    pub control: Client,
    pub replica_control: Client,
    first: Client,
    first_id: i64,
    second: Client,
    second_id: i64,
    /// The step of the second connection whose replies are not all read.
    pending: VecDeque<usize>,
}

impl Side {
    pub fn new(server: Server, replica: Server) -> Side {
        let (control, replica_control) = (server.client(), replica.client());
        let [first, second] = [server.client(), server.client()];
        let pending = VecDeque::new();
        Side {
            server,
            _replica: replica,
            control,
            replica_control,
            first,
            first_id: 0,
            second,
            second_id: 0,
            pending,
        }
    }

    /// No data, no scripts, no users, new connections.
    pub fn reset(&mut self) {
        for line in ["FUNCTION FLUSH", "SCRIPT FLUSH", "FLUSHALL", "ACL DELUSER alice bob"] {
            self.control.good(line);
        }
        for (directive, value) in DEFAULTS {
            self.control.good(&format!("CONFIG SET {directive} {value}"));
        }
        self.first = self.server.client();
        self.second = self.server.client();
        self.first_id = self.first.good("CLIENT ID").int();
        self.second_id = self.second.good("CLIENT ID").int();
        self.pending.clear();
    }

    /// Sends commands on the first connection, before the first reply is read.
    pub fn send(&mut self, steps: &[Step]) -> io::Result<()> {
        let mut bytes = Vec::new();
        steps.iter().for_each(|step| encode(&mut bytes, &step.command));
        self.first.send_raw(&bytes)
    }

    pub fn answer(&mut self) -> io::Result<Answer> {
        let mut looks = 0;
        while !self.first.wait_readable(STUCK)? {
            looks += 1;
            if looks > MOST_LOOKS {
                return Err(io::Error::other("the server does not answer"));
            }
            if let Some(status) = self.server.exited() {
                return Err(io::Error::other(format!("the server has ended: {status}")));
            }
            self.control.run(&format!("CLIENT UNBLOCK {}", self.first_id));
        }
        self.first.read_reply_and_bytes()
    }

    /// Sends a command on the second connection, and waits until it is answered or waits itself.
    pub fn send_on_second(&mut self, at: usize, command: &Command) -> io::Result<()> {
        let mut bytes = Vec::new();
        encode(&mut bytes, &["PING", MARK]);
        encode(&mut bytes, command);
        self.second.send_raw(&bytes)?;
        self.pending.push_back(at);
        self.second_until_mark().map(drop)
    }

    /// Ends what the second connection waits for: its step, whether it did wait, and all that it was told.
    pub fn finish_second(&mut self) -> io::Result<Option<(usize, Reply, Vec<Answer>)>> {
        let Some(at) = self.pending.pop_front() else { return Ok(None) };
        let waited = self.control.run(&format!("CLIENT UNBLOCK {}", self.second_id));
        let mut bytes = Vec::new();
        encode(&mut bytes, &["PING", MARK]);
        self.second.send_raw(&bytes)?;
        Ok(Some((at, waited, self.second_until_mark()?)))
    }

    fn second_until_mark(&mut self) -> io::Result<Vec<Answer>> {
        let is_mark = |reply: &Reply| matches!(reply, Reply::Bulk(text) if text == MARK.as_bytes());
        let mut answers = Vec::new();
        loop {
            let (reply, bytes) = self.second.read_reply_and_bytes()?;
            match &reply {
                mark if is_mark(mark) => return Ok(answers),
                // Of a subscribed connection.
                Reply::Array(items) if items.len() == 2 && is_mark(&items[1]) => {
                    return Ok(answers);
                }
                _ => answers.push((reply, bytes)),
            }
        }
    }

    /// Waits until the replica has all of this server's stream.
    pub fn wait_replica(&mut self) {
        let (control, replica) = (&mut self.control, &mut self.replica_control);
        let offset = info(control).number::<i64>("master_repl_offset");
        wait_for(LONG, "the replica has the master's stream", || {
            let info = info(replica);
            let is_up = info.find("master_link_status") == Some("up");
            let at: i64 = info.find("slave_repl_offset").map_or(0, |at| at.parse().unwrap_or(0));
            if is_up && at >= offset { Ok(()) } else { Err(info.to_string()) }
        });
    }

    /// Makes the replica ask for everything again.
    pub fn sync_again(&mut self) {
        let port = self.server.port();
        for line in ["REPLICAOF NO ONE", "FLUSHALL", &format!("REPLICAOF 127.0.0.1 {port}")] {
            self.replica_control.good(line);
        }
        self.wait_replica();
    }
}

fn info(client: &mut Client) -> Info {
    Info::parse(&client.good("INFO replication").text())
}
