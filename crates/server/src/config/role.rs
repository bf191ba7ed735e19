//! Owns the decision in which role a server starts: a pure function of the binary and the configuration.

use std::fmt;

use super::special::ReplicaOf;
use super::table::{Config, Program};

/// The role to start in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartRole {
    Master,
    Replica { host: String, port: u16 },
}

/// The role, and what the log should say about it at notice level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleDecision {
    pub role: StartRole,
    pub notice: Option<String>,
}

/// redis-replica does not know whose replica to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoleError;

impl fmt::Display for RoleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "redis-replica needs to know its master: put 'replicaof <host> <port>' into the \
             configuration file, or start it with --replicaof <host> <port>. After a promotion, \
             'replicaof no one' says explicitly that it has none.",
        )
    }
}

impl std::error::Error for RoleError {}

/// Decides the role from the binary and its `replicaof` directive.
pub fn decide_role(config: &Config) -> Result<RoleDecision, RoleError> {
    let replicaof = &config.replication.replicaof;
    let role = match replicaof {
        ReplicaOf::Master { host, port } => StartRole::Replica { host: host.clone(), port: *port },
        ReplicaOf::Unset | ReplicaOf::NoOne => StartRole::Master,
    };
    let notice = match (config.program, replicaof) {
        (Program::Replica, ReplicaOf::Unset) => return Err(RoleError),
        (Program::Replica, ReplicaOf::NoOne) => Some(
            "redis-replica starts as a master: its configuration says 'replicaof no one'".into(),
        ),
        (Program::Master, ReplicaOf::Master { host, port }) => Some(format!(
            "redis-master starts as a replica of {host}:{port}: its configuration says \
             'replicaof', as a failover leaves it"
        )),
        _ => None,
    };
    Ok(RoleDecision { role, notice })
}
