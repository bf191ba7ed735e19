//! Who replicates from whom: a master and all below it, asked from any one of them.
//!
//! Must not: change anything, or print.

use crate::connection::{Connection, Target};
use crate::target::leading_int;
use protocol::Value;

/// A chain that is longer goes in circles.
const DEPTH_MAX: usize = 16;

/// One server as it says of itself, and as its master says of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Node {
    pub host: String,
    pub port: i64,
    /// Which process it is, whatever address it was asked at.
    pub run_id: String,
    /// Why there is nothing else here.
    pub error: Option<String>,
    pub is_master: bool,
    pub version: String,
    pub memory: String,
    pub offset: i64,
    /// Of a replica: whom it follows.
    pub master: Option<(String, i64)>,
    pub link_up: bool,
    /// Why it has none, where it says so.
    pub link_error: Option<String>,
    /// Behind its master: bytes, and seconds since it was last heard.
    pub lag_bytes: i64,
    pub lag_s: Option<i64>,
    /// Of a sync that runs: bytes that are here, and in all where that is known.
    pub sync: Option<(i64, i64)>,
    pub replicas: Vec<Node>,
}

/// A replica in its master's words.
#[derive(Clone, Debug, PartialEq)]
struct Listed {
    host: String,
    port: i64,
    offset: i64,
    lag_s: i64,
}

/// The whole tree that a server is in.
pub(super) fn survey(target: &Target) -> Node {
    let mut at = target.clone();
    for _ in 0..DEPTH_MAX {
        let (node, _) = ask(&at);
        match node.master.filter(|_| node.error.is_none()) {
            Some((host, port)) => {
                let above = beside(target, &host, port);
                // A master that is gone leaves the tree below it.
                if ask(&above).0.error.is_some() {
                    return tree(&at, 0);
                }
                at = above;
            }
            None => break,
        }
    }
    tree(&at, 0)
}

/// One server alone.
pub(super) fn look(target: &Target) -> Node {
    ask(target).0
}

/// Another server, reached as this one is.
pub(super) fn beside(target: &Target, host: &str, port: i64) -> Target {
    Target { host: host.as_bytes().to_vec(), port, socket: None, ..target.clone() }
}

/// An open and authenticated connection.
pub(super) fn connect(target: &Target) -> Result<Connection, String> {
    let mut conn = Connection::open(target).map_err(|e| e.to_string())?;
    let reply = match (&target.user, &target.password) {
        (Some(user), Some(password)) => conn.call(&[&b"AUTH"[..], user, password]),
        (None, Some(password)) => conn.call(&[&b"AUTH"[..], password]),
        _ => Ok(Value::Null),
    };
    match reply.map_err(|e| e.to_string())? {
        Value::Error(text) => Err(String::from_utf8_lossy(&text).into_owned()),
        _ => Ok(conn),
    }
}

fn tree(target: &Target, depth: usize) -> Node {
    let (mut node, listed) = ask(target);
    if depth == DEPTH_MAX {
        return node;
    }
    for Listed { host, port, offset, lag_s } in listed {
        let mut replica = tree(&beside(target, &host, port), depth + 1);
        replica.lag_bytes = (node.offset - offset.max(replica.offset)).max(0);
        replica.lag_s = Some(lag_s);
        node.replicas.push(replica);
    }
    node
}

fn ask(target: &Target) -> (Node, Vec<Listed>) {
    let host = String::from_utf8_lossy(&target.host).into_owned();
    let place = Node { host, port: target.port, ..Node::default() };
    let reply =
        connect(target).and_then(|mut conn| conn.call(&["INFO"]).map_err(|e| e.to_string()));
    match reply {
        Ok(Value::Bulk(text) | Value::Verbatim(_, text)) => {
            parse(place, &String::from_utf8_lossy(&text))
        }
        Ok(Value::Error(text)) => {
            let error = Some(String::from_utf8_lossy(&text).into_owned());
            (Node { error, ..place }, Vec::new())
        }
        Ok(_) => (Node { error: Some("INFO is no text".into()), ..place }, Vec::new()),
        Err(error) => (Node { error: Some(error), ..place }, Vec::new()),
    }
}

fn parse(place: Node, info: &str) -> (Node, Vec<Listed>) {
    let field = |name: &str| {
        info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap_or("")
    };
    let number = |name: &str| leading_int(field(name).as_bytes());
    let is_master = field("role") == "master";
    let syncing = number("master_sync_in_progress") == 1;
    let node = Node {
        is_master,
        run_id: field("run_id").into(),
        version: field("redis_version").into(),
        memory: field("used_memory_human").into(),
        offset: number(if is_master { "master_repl_offset" } else { "slave_repl_offset" }),
        master: (!is_master).then(|| (field("master_host").into(), number("master_port"))),
        link_up: field("master_link_status") == "up",
        link_error: Some(field("master_link_error")).filter(|s| !s.is_empty()).map(Into::into),
        sync: syncing
            .then(|| (number("master_sync_read_bytes"), number("master_sync_total_bytes"))),
        ..place
    };
    let listed = info.lines().filter_map(|line| {
        let (number, fields) = line.strip_prefix("slave")?.split_once(":ip=")?;
        number.bytes().all(|byte| byte.is_ascii_digit()).then_some(())?;
        let part = |name: &str| {
            let found =
                fields.split(',').find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
            leading_int(found.unwrap_or("").as_bytes())
        };
        let host = fields.split(',').next()?.to_owned();
        Some(Listed { host, port: part("port"), offset: part("offset"), lag_s: part("lag") })
    });
    (node, listed.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn info_tells_of_a_master_and_its_replicas() {
        let info = "redis_version:7.2.4\r\nrun_id:abc\r\nused_memory_human:1.00M\r\nrole:master\r\n\
            master_repl_offset:90\r\nslave0:ip=10.0.0.2,port=7,state=online,offset=80,lag=1\r\n\
            slave_read_only:1\r\nslave1:nonsense\r\n";
        let (node, listed) = parse(Node::default(), info);
        assert!(node.is_master && node.master.is_none() && node.run_id == "abc");
        assert_eq!(
            (node.offset, node.version.as_str(), node.memory.as_str()),
            (90, "7.2.4", "1.00M")
        );
        let expected = Listed { host: "10.0.0.2".into(), port: 7, offset: 80, lag_s: 1 };
        assert_eq!(listed, [expected]);
    }

    #[test]
    fn info_tells_of_a_replica_and_its_sync() {
        let info = "role:slave\r\nmaster_host:10.0.0.1\r\nmaster_port:6\r\nmaster_link_status:down\r\n\
            master_sync_in_progress:1\r\nmaster_sync_total_bytes:200\r\nmaster_sync_read_bytes:50\r\n";
        let (node, _) = parse(Node::default(), info);
        assert_eq!(node.master, Some(("10.0.0.1".into(), 6)));
        assert_eq!((node.link_up, node.sync), (false, Some((50, 200))));
        assert_eq!(parse(Node::default(), "").1, []);
    }
}
