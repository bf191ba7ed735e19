//! Owns who may follow a stream that says when fields of hashes expire: those who say that they know it, and
//! those who have loaded a snapshot that says it. Others would skip such commands, and the transactions that they
//! stand in, and nobody would be told. Must not know what is in a data set.

use crate::master::{FieldExpiries, ReplicaState};
use crate::replconf::Introduction;
use crate::{ConnId, Level, Repl};

/// More replicas than anybody has; beyond it they are asked again to load a snapshot.
const REMEMBERED_MAX: usize = 1024;

/// Who refuses a snapshot asks for it again at once, and for ever: each costs a fork.
const GIVEN_AGAIN_MS: u64 = 30_000;

impl Repl {
    /// The stream says, or the data set has, expiries of hash fields: snapshots have to be of a version that older
    /// servers refuse.
    pub fn says_field_expiries(&self) -> bool {
        self.downstream.field_expiries.are_said
    }

    /// From now on it says them. To be called before any of it is sent.
    pub fn say_field_expiries(&mut self, now_ms: u64) {
        self.downstream.field_expiries.are_said = true;
        let strangers = self.downstream.replicas.iter().filter(|replica| {
            // Who waits for a snapshot gets one that says it, and who wants no more than one hears no stream.
            !matches!(replica.state, ReplicaState::WaitStart | ReplicaState::Refused)
                && !replica.intro.rdb_only
                && !self.knows_enough(&replica.intro, &replica.peer_ip)
        });
        let strangers: Vec<(ConnId, String)> = strangers.map(|r| (r.conn, r.name())).collect();
        for (conn, name) in strangers {
            let text = format!(
                "Fields of hashes expire from now on. Replica {name} does not say whether it knows of that: it has \
                 to load a snapshot, which servers older than Redis 7.4 refuse"
            );
            self.log(Level::Warning, text);
            self.close_replica(now_ms, conn);
        }
    }

    /// Whether a replica that does not say what it knows may have a snapshot now, which is then the one that it was
    /// given last.
    pub(crate) fn may_be_given_again(
        &mut self,
        now_ms: u64,
        intro: &Introduction,
        peer_ip: &str,
    ) -> bool {
        let place = place(intro, peer_ip);
        let given_ms = &mut self.downstream.field_expiries.given_ms;
        given_ms.retain(|_, at_ms| now_ms.saturating_sub(*at_ms) < GIVEN_AGAIN_MS);
        if given_ms.contains_key(&place) {
            return false;
        }
        if intro.listening_port != 0 && given_ms.len() < REMEMBERED_MAX {
            given_ms.insert(place, now_ms);
        }
        true
    }

    pub(crate) fn knows_enough(&self, intro: &Introduction, peer_ip: &str) -> bool {
        let FieldExpiries { are_said, have_loaded, .. } = &self.downstream.field_expiries;
        !are_said || intro.knows_field_expiries || have_loaded.contains(&place(intro, peer_ip))
    }

    /// A replica acknowledges the stream, and so has loaded what came before it.
    pub(crate) fn note_loaded(&mut self, conn: ConnId) {
        let Some(replica) = self.downstream.find(conn).filter(|replica| replica.is_online()) else {
            return;
        };
        if replica.intro.listening_port == 0 || self.knows_enough(&replica.intro, &replica.peer_ip)
        {
            return;
        }
        let place = place(&replica.intro, &replica.peer_ip);
        let have_loaded = &mut self.downstream.field_expiries.have_loaded;
        if have_loaded.len() < REMEMBERED_MAX {
            have_loaded.insert(place);
        }
    }
}

fn place(intro: &Introduction, peer_ip: &str) -> (String, u16) {
    let ip = intro.ip_address.as_deref().unwrap_or(peer_ip);
    (ip.to_string(), intro.listening_port)
}
