//! Owns REPLCONF as a master hears it: what a connection says of itself before it becomes a replica, and the
//! acknowledgements of one that is. Must not know how a replica is served.

use crate::master::ReplicaState;
use crate::wire::printable;
use crate::{ConnId, Filter, Repl};
use protocol::link::PROGRESS_CAPA;
use protocol::parse_i64;

/// Longest `REPLCONF ip-address` that Redis accepts.
const IP_MAX_BYTES: usize = 255;

/// What a connection said with REPLCONF before (and after) it became a replica.
#[derive(Clone, Debug, Default)]
pub(crate) struct Introduction {
    pub(crate) listening_port: u16,
    pub(crate) ip_address: Option<String>,
    pub(crate) knows_eof: bool,
    pub(crate) knows_psync2: bool,
    /// It takes reports of a snapshot's progress.
    pub(crate) knows_progress: bool,
    /// It says by its version that it knows expiries of hash fields. A Redis says nothing of the kind.
    pub(crate) knows_field_expiries: bool,
    pub(crate) rdb_only: bool,
    pub(crate) filter: Filter,
}

/// What to answer to REPLCONF.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplconfReply {
    Ok,
    /// ACK and GETACK are not answered.
    Silent,
    /// Text with its code word and without the dash.
    Error(String),
}

impl Repl {
    /// REPLCONF, with the words after the command's name. `GETACK` from the master's stream is not for
    /// this call but for [`Repl::handle_getack`].
    pub fn replica_replconf(
        &mut self,
        now_ms: u64,
        conn: ConnId,
        words: &[&[u8]],
    ) -> ReplconfReply {
        if !words.len().is_multiple_of(2) {
            return ReplconfReply::Error("ERR syntax error".into());
        }
        let mut intro = match self.downstream.find(conn) {
            Some(replica) => replica.intro.clone(),
            None => self.downstream.candidates.get(&conn).cloned().unwrap_or_default(),
        };
        let mut reply = ReplconfReply::Ok;
        for pair in words.chunks_exact(2) {
            let (option, value) = (pair[0], pair[1]);
            if option.eq_ignore_ascii_case(b"ack") {
                self.handle_ack(now_ms, conn, words);
                return ReplconfReply::Silent;
            }
            if option.eq_ignore_ascii_case(b"getack") {
                self.send_ack(now_ms);
                return ReplconfReply::Silent;
            }
            if let Err(text) = intro.hear(option, value) {
                reply = ReplconfReply::Error(text);
                break;
            }
        }
        match self.downstream.find_mut(conn) {
            Some(replica) => replica.intro = intro,
            None => drop(self.downstream.candidates.insert(conn, intro)),
        }
        reply
    }

    fn handle_ack(&mut self, now_ms: u64, conn: ConnId, words: &[&[u8]]) {
        let position = words.chunks_exact(2).position(|p| p[0].eq_ignore_ascii_case(b"ack"));
        let Some(words) = position.map(|p| &words[2 * p..]) else { return };
        let Some(replica) = self.downstream.find_mut(conn) else { return };
        // What it was not sent it cannot have: WAIT and FAILOVER would believe it.
        let sent = match (&replica.reader, self.stream.backlog()) {
            (Some(reader), Some(backlog)) => backlog.reader_offset(reader) - 1,
            _ => 0,
        };
        let has = |offset: i64| u64::try_from(offset).ok().filter(|&has| has <= sent).unwrap_or(0);
        let Some(offset) = parse_i64(words[1]) else { return };
        replica.ack_offset = replica.ack_offset.max(has(offset));
        if let [_, _, option, fsynced, ..] = words
            && option.eq_ignore_ascii_case(b"fack")
        {
            let Some(fsynced) = parse_i64(fsynced) else { return };
            replica.fsync_ack_offset = replica.fsync_ack_offset.max(has(fsynced));
        }
        replica.ack_ms = now_ms;
        if replica.state == ReplicaState::Gated {
            replica.state = ReplicaState::Online;
        }
        self.note_loaded(conn);
    }
}

impl Introduction {
    pub(crate) fn name(&self, peer_ip: &str, conn: ConnId) -> String {
        let ip = self.ip_address.as_deref().unwrap_or(peer_ip);
        match (ip, self.listening_port) {
            ("", _) => format!("client id #{}", conn.0),
            (ip, 0) => format!("{ip}:<unknown-replica-port>"),
            (ip, port) => format!("{ip}:{port}"),
        }
    }

    /// One option of REPLCONF. Err is the error to answer.
    fn hear(&mut self, option: &[u8], value: &[u8]) -> Result<(), String> {
        match option.to_ascii_lowercase().as_slice() {
            b"listening-port" => {
                let port = parse_i64(value).ok_or("ERR value is not an integer or out of range")?;
                self.listening_port = u16::try_from(port).unwrap_or(0);
            }
            b"ip-address" if value.len() <= IP_MAX_BYTES => {
                self.ip_address = (!value.is_empty()).then(|| printable(value));
            }
            b"ip-address" => {
                return Err(format!(
                    "ERR REPLCONF ip-address provided by replica instance is too long: {} bytes",
                    value.len()
                ));
            }
            // Capabilities that we do not know are no error: that is what makes them extensible.
            b"capa" if value.eq_ignore_ascii_case(b"eof") => self.knows_eof = true,
            b"capa" if value.eq_ignore_ascii_case(b"psync2") => self.knows_psync2 = true,
            b"capa" if value.eq_ignore_ascii_case(PROGRESS_CAPA) => {
                (self.knows_progress, self.knows_field_expiries) = (true, true);
            }
            b"capa" => {}
            // Of Valkey. What a snapshot is written for, `rdb-version` says.
            b"version" => {
                let major = value.split(|byte| *byte == b'.').next().and_then(parse_i64);
                self.knows_field_expiries |= major.is_some_and(|major| major >= 9);
            }
            b"rdb-only" => {
                self.rdb_only = match parse_i64(value) {
                    Some(n @ (0 | 1)) => n == 1,
                    Some(_) => {
                        return Err("ERR value is out of range, must be between 0 and 1".into());
                    }
                    None => return Err("ERR value is not an integer or out of range".into()),
                };
            }
            b"rdb-filter-only" => self.filter = parse_filter(value)?,
            _ => return Err(format!("ERR Unrecognized REPLCONF option: {}", printable(option))),
        }
        Ok(())
    }
}

/// The value lists what is wanted; an empty list wants neither data nor functions.
fn parse_filter(value: &[u8]) -> Result<Filter, String> {
    let mut filter = Filter { without_data: true, without_functions: true };
    for word in value.split(u8::is_ascii_whitespace).filter(|w| !w.is_empty()) {
        if !word.eq_ignore_ascii_case(b"functions") {
            let word = printable(word);
            return Err(format!("ERR Unsupported rdb-filter-only option: {word}"));
        }
        filter.without_functions = false;
    }
    Ok(filter)
}
