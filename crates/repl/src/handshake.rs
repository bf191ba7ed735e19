//! Owns the words with the master before a sync: PING, AUTH, REPLCONF, PSYNC, and what its answers mean. Must
//! not know how a snapshot or the stream goes on.

use crate::progress::Progress;
use crate::replica::{LinkState, Reconnect};
use crate::wire::{command, printable};
use crate::{Action, HistoryPoint, Level, Repl, ReplId};
use protocol::link::{LinkError, PROGRESS_CAPA, PsyncReply, READS_VALKEY, parse_psync_reply};

impl Repl {
    pub(crate) fn handle_line(&mut self, now_ms: u64, line: &[u8]) {
        let Some(up) = &mut self.upstream else { return };
        let is_error = line.first() == Some(&b'-');
        let shown = || printable(line);
        match up.state {
            LinkState::Ping => self.handle_pong(now_ms, line),
            LinkState::Auth if is_error => {
                self.note_failure(format!("Unable to AUTH to MASTER: {}", shown()));
                self.lose_link(now_ms, Reconnect::Later);
            }
            LinkState::Auth => up.state = LinkState::Port,
            LinkState::Port => {
                up.state = if up.announces_ip { LinkState::Ip } else { LinkState::Capa };
                self.note_unknown_replconf("listening-port", line);
            }
            LinkState::Ip => {
                up.state = LinkState::Capa;
                self.note_unknown_replconf("ip-address", line);
            }
            LinkState::Capa => {
                up.state = LinkState::Psync;
                // A Redis knows no versions, which stand last: it has heard all else.
                if !line.ends_with(b"version") {
                    self.note_unknown_replconf("capa", line);
                }
                self.send_psync();
            }
            LinkState::Psync => self.handle_psync_reply(now_ms, line),
            LinkState::Preamble { offer } => self.handle_preamble(now_ms, offer, line),
            _ => {}
        }
    }

    fn note_unknown_replconf(&mut self, option: &str, line: &[u8]) {
        if line.first() == Some(&b'-') {
            let text = format!(
                "(Non critical) Master does not understand REPLCONF {option}: {}",
                printable(line)
            );
            self.log(Level::Notice, text);
        }
    }

    /// Any answer to PING shows that there is a Redis; those that ask for a password are no refusal yet.
    fn handle_pong(&mut self, now_ms: u64, line: &[u8]) {
        let prefixes: [&[u8]; 4] = [b"+", b"-NOAUTH", b"-NOPERM", b"-ERR operation not permitted"];
        if !prefixes.iter().any(|p| line.starts_with(p)) {
            let text = format!("Error reply to PING from master: '{}'", printable(line));
            self.note_failure(text);
            self.lose_link(now_ms, Reconnect::Later);
            return;
        }
        self.log(Level::Notice, "Master replied to PING, replication can continue...");
        if line.starts_with(b"-NOAUTH") && self.settings.master_auth.is_none() {
            let text = "The master asks for a password, and this replica has none to give: set \
                        masterauth (CONFIG SET masterauth <password>, or in the config file)";
            self.note_failure(text.to_string());
        } else if self.settings.master_user.is_some() && self.settings.master_auth.is_none() {
            let text = "masteruser is set and masterauth is not: this replica speaks to its master as \
                        the default user";
            self.note_failure(text.to_string());
        }
        let settings = &self.settings;
        let port = settings.announce_port.to_string();
        let mut out = Vec::new();
        let state = match &settings.master_auth {
            None => LinkState::Port,
            Some(password) => {
                let mut words: Vec<&[u8]> = vec![b"AUTH"];
                words.extend(settings.master_user.as_ref().map(|u| u.as_bytes()));
                words.push(password);
                out.extend(command(&words));
                LinkState::Auth
            }
        };
        out.extend(command(&[b"REPLCONF", b"listening-port", port.as_bytes()]));
        if let Some(ip) = &settings.announce_ip {
            out.extend(command(&[b"REPLCONF", b"ip-address", ip.as_bytes()]));
        }
        // A master that does not know a capability takes no notice of it.
        out.extend(command(&[
            b"REPLCONF",
            b"capa",
            b"eof",
            b"capa",
            b"psync2",
            b"capa",
            PROGRESS_CAPA,
            b"version",
            READS_VALKEY,
        ]));
        let announces_ip = settings.announce_ip.is_some();
        self.send(&out);
        if let Some(up) = &mut self.upstream {
            up.announces_ip = announces_ip;
            up.state = state;
        }
    }

    fn send_psync(&mut self) {
        let (replid, offset) = if self.resumable {
            let (replid, offset) = (self.ids.replid, (self.stream.offset() + 1).to_string());
            let text = format!("Trying a partial resynchronization (request {replid}:{offset}).");
            self.log(Level::Notice, text);
            (replid.to_string(), offset)
        } else {
            let text = "Partial resynchronization not possible (no cached master)";
            self.log(Level::Notice, text);
            ("?".to_string(), "-1".to_string())
        };
        let mut words: Vec<&[u8]> = vec![b"PSYNC", replid.as_bytes(), offset.as_bytes()];
        if self.psync_to_heir() {
            words.push(b"FAILOVER");
        }
        self.send(&command(&words));
    }

    /// The heir is a master already: what is left of the failover is to follow it.
    fn follow_heir(&mut self) {
        let (replid, offset) = (self.ids.replid, (self.stream.offset() + 1).to_string());
        let text = format!("Trying a partial resynchronization (request {replid}:{offset}).");
        self.log(Level::Notice, text);
        self.send(&command(&[b"PSYNC", replid.as_bytes(), offset.as_bytes()]));
    }

    fn handle_psync_reply(&mut self, now_ms: u64, line: &[u8]) {
        if line.is_empty() {
            return; // The master keeps the link alive while it prepares its answer.
        }
        let text = match parse_psync_reply(line) {
            Ok(PsyncReply::FullResync { replid, offset }) => {
                let replid = ReplId::parse(&replid).expect("protocol has checked it");
                self.log(Level::Notice, format!("Full resync from master: {replid}:{offset}"));
                let offset = offset.unsigned_abs();
                self.hear_heir(now_ms, true);
                return self.expect_snapshot(now_ms, Some(HistoryPoint { replid, offset }));
            }
            Ok(PsyncReply::Continue { replid }) if self.resumable => {
                self.continue_stream(now_ms, replid.and_then(|id| ReplId::parse(&id)));
                self.hear_heir(now_ms, true);
                return;
            }
            Ok(PsyncReply::NotNow(_)) => {
                let text = format!(
                    "Master is currently unable to PSYNC but should be in the future: {}",
                    printable(line)
                );
                self.log(Level::Notice, text);
                if !self.hear_heir(now_ms, false) {
                    self.lose_link(now_ms, Reconnect::Later);
                }
                return;
            }
            // A master that speaks of a full resync sends one, even if we cannot name its history.
            Err(LinkError::BadFullResync(_)) => {
                self.log(Level::Warning, "Master replied with wrong +FULLRESYNC syntax.");
                self.hear_heir(now_ms, true);
                return self.expect_snapshot(now_ms, None);
            }
            Ok(PsyncReply::Unsupported(_)) => {
                let why = printable(line);
                format!("Master does not support PSYNC or is in error state (reply: {why})")
            }
            _ => format!("Unexpected reply to PSYNC from master: {}", printable(line)),
        };
        let is_error = line.starts_with(b"-ERR");
        self.log(if is_error { Level::Notice } else { Level::Warning }, text);
        if self.has_heir_taken_over(line) {
            return self.follow_heir();
        }
        if self.hear_heir(now_ms, false) {
            return;
        }
        self.log(Level::Notice, "Retrying with SYNC...");
        self.send(b"SYNC\r\n");
        self.expect_snapshot(now_ms, None);
    }

    fn expect_snapshot(&mut self, now_ms: u64, offer: Option<HistoryPoint>) {
        if let Some(up) = &mut self.upstream {
            up.progress = Progress::new(now_ms);
            up.told = None;
            up.state = LinkState::Preamble { offer };
        }
    }

    fn continue_stream(&mut self, now_ms: u64, replid: Option<ReplId>) {
        self.log(Level::Notice, "Successful partial resynchronization with master.");
        if let Some(new) = replid
            && new != self.ids.replid
        {
            self.ids.shift(new, self.stream.offset());
            self.log(Level::Notice, format!("Master replication ID changed to {new}"));
            // Sub-replicas learn the new id when they ask again; replid2 lets them go on.
            self.disconnect_replicas(now_ms);
        }
        self.stream.create_backlog(self.settings.repl_backlog_size_bytes);
        if let Some(up) = &mut self.upstream {
            up.state = LinkState::Streaming { is_pre_psync: false };
            up.down_since_ms = None;
            up.failure = None;
        }
        let text = "MASTER <-> REPLICA sync: Master accepted a Partial Resynchronization.";
        self.log(Level::Notice, text);
        self.actions.push_back(Action::StreamStart { resumed: true });
    }
}
