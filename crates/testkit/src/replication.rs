//! What tests ask about replication: links, offsets, how often a full copy was made, equal data.
//!
//! Must not: look at anything but what any client can see.

use crate::client::Reply;
use crate::info::Info;
use crate::server::Server;
use crate::wait::{LONG, wait_for, wait_or_explain, wait_until};

/// How often a master answered with a full copy, with +CONTINUE, and refused +CONTINUE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyncCounts {
    pub full: u64,
    pub partial_ok: u64,
    pub partial_err: u64,
}

impl Server {
    #[track_caller]
    pub fn sync_counts(&self) -> SyncCounts {
        let stats = self.info("stats");
        SyncCounts {
            full: stats.number("sync_full"),
            partial_ok: stats.number("sync_partial_ok"),
            partial_err: stats.number("sync_partial_err"),
        }
    }

    pub fn link_is_up(&self) -> bool {
        self.info("replication").find("master_link_status") == Some("up")
    }

    #[track_caller]
    pub fn wait_link_up(&self) {
        wait_for(LONG, "the link to the master is up", || {
            let info = self.info("replication");
            match info.find("master_link_status") {
                Some("up") => Ok(()),
                _ => Err(info.to_string()),
            }
        });
    }

    #[track_caller]
    pub fn wait_link_down(&self) {
        wait_until(LONG, "the link to the master is down", || {
            self.info("replication").find("master_link_status") == Some("down")
        });
    }

    #[track_caller]
    pub fn wait_online_replicas(&self, count: usize) {
        wait_for(LONG, &format!("{count} replicas are online"), || {
            let info = self.info("replication");
            let online = online_replicas(&info);
            if online == count { Ok(()) } else { Err(info.to_string()) }
        });
    }

    pub fn replication_offset(&self) -> i64 {
        let info = self.info("replication");
        // A replica's own stream may lag behind what it has read; what it has applied counts.
        let field = if info.find("role") == Some("slave") {
            "slave_repl_offset"
        } else {
            "master_repl_offset"
        };
        info.number(field)
    }

    #[track_caller]
    pub fn replid(&self) -> String {
        self.info("replication").text("master_replid").to_string()
    }

    /// Waits until no snapshot and no rewrite is under way or due: Redis refuses to end before that.
    #[track_caller]
    pub fn wait_no_child(&self) {
        wait_until(LONG, "no child is at work", || {
            let info = self.info("persistence");
            ["rdb_bgsave_in_progress", "aof_rewrite_in_progress", "aof_rewrite_scheduled"]
                .iter()
                .all(|field| info.text(field) == "0")
        });
    }

    /// DEBUG DIGEST: equal for equal data in all databases, whoever computes it.
    #[track_caller]
    pub fn digest(&self) -> String {
        self.good("DEBUG DIGEST").text()
    }

    /// Makes this server a replica of `master` at run time.
    #[track_caller]
    pub fn follow(&self, master: &Server) {
        assert!(
            self.good(&format!("REPLICAOF 127.0.0.1 {}", master.port())).text().starts_with("OK")
        );
    }
}

/// Replicas of an INFO replication reply whose state is online.
pub fn online_replicas(info: &Info) -> usize {
    (0..info.number::<usize>("connected_slaves"))
        .filter(|i| info.part(&format!("slave{i}"), "state") == Some("online"))
        .count()
}

/// Waits until `replica`, at any depth below `master`, has applied all that `master` has sent, and
/// both hold equal data. Nothing may write to the master meanwhile.
#[track_caller]
pub fn wait_equal(master: &Server, replica: &Server) {
    let attempt = || {
        let (ours, theirs) = (master.replication_offset(), replica.replication_offset());
        if theirs < ours {
            return Err(format!("the replica is at {theirs}, the master at {ours}"));
        }
        same_data(master, replica)
    };
    wait_or_explain(LONG, "master and replica are equal", attempt, || differences(master, replica));
}

/// Waits until two servers that need not know of each other hold equal data.
#[track_caller]
pub fn wait_same_data(one: &Server, other: &Server) {
    let attempt = || same_data(one, other);
    wait_or_explain(LONG, "both have the same data", attempt, || differences(one, other));
}

fn same_data(one: &Server, other: &Server) -> Result<(), String> {
    let (a, b) = (one.run("DEBUG DIGEST"), other.run("DEBUG DIGEST"));
    match (&a, &b) {
        (Reply::Simple(x), Reply::Simple(y)) if x == y => Ok(()),
        _ => Err(format!("digests differ: {a:?} and {b:?}")),
    }
}

/// The first keys whose digests differ: what one wants to know when two servers are not equal.
pub fn differences(one: &Server, other: &Server) -> String {
    const SHOWN: usize = 8;
    let (mut a, mut b) = (one.client(), other.client());
    let mut found = Vec::new();
    for db in 0..16 {
        let select = format!("SELECT {db}");
        if a.run(&select).is_error() || b.run(&select).is_error() {
            break;
        }
        let mut keys = keys_of(&mut a);
        keys.extend(keys_of(&mut b));
        keys.sort();
        keys.dedup();
        for key in keys {
            let show = |client: &mut crate::Client| {
                let digest = client.args(&[b"DEBUG".as_slice(), b"DIGEST-VALUE", &key]);
                let kind = client.args(&[b"TYPE".as_slice(), &key]);
                let expiry = client.args(&[b"PEXPIRETIME".as_slice(), &key]);
                format!("{digest:?} {kind:?} {expiry:?}")
            };
            let (x, y) = (show(&mut a), show(&mut b));
            if x != y {
                found.push(format!("db {db} {:?}:\n  {x}\n  {y}", String::from_utf8_lossy(&key)));
            }
            if found.len() >= SHOWN {
                return found.join("\n");
            }
        }
    }
    if found.is_empty() { "no key differs by now".into() } else { found.join("\n") }
}

fn keys_of(client: &mut crate::Client) -> Vec<Vec<u8>> {
    match client.run("KEYS *") {
        Reply::Array(items) => items
            .into_iter()
            .filter_map(|item| if let Reply::Bulk(key) = item { Some(key) } else { None })
            .collect(),
        _ => Vec::new(),
    }
}
