//! The table as a whole: the rows of all groups, and `Config`, in which their values stand.

use std::path::PathBuf;

use engine::users::UserLines;

use super::directive::{Directive, Flags};
use super::foreign;
use super::sections::GROUPS;
use super::sections::cluster::Cluster;
use super::sections::data::Data;
use super::sections::general::General;
use super::sections::memory::Memory;
use super::sections::monitoring::Monitoring;
use super::sections::network::Network;
use super::sections::persistence::Persistence;
use super::sections::replication::Replication;
use super::sections::security::Security;
use super::sections::tls::Tls;
use crate::process::daemon::OomRule;

/// Which binary this is: it decides the role a server starts in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Program {
    /// `redis-server`: master or replica as the configuration says.
    #[default]
    Server,
    /// `redis-master`
    Master,
    /// `redis-replica`
    Replica,
}

impl Program {
    pub fn name(self) -> &'static str {
        match self {
            Program::Server => "redis-server",
            Program::Master => "redis-master",
            Program::Replica => "redis-replica",
        }
    }
}

/// The values of all directives, in groups, and where they were read from.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    pub general: General,
    pub network: Network,
    pub monitoring: Monitoring,
    pub persistence: Persistence,
    pub replication: Replication,
    pub security: Security,
    pub memory: Memory,
    pub data: Data,
    pub tls: Tls,
    pub cluster: Cluster,
    pub program: Program,
    /// What the process was called as, for INFO and messages.
    pub executable: PathBuf,
    /// The command line says more than the program's name.
    pub has_arguments: bool,
    /// Absolute path of the configuration file, when there is one.
    pub config_file: Option<PathBuf>,
    /// `rename-command`: names in the table, and what they are called here; empty is not at all.
    pub renames: Vec<(Vec<u8>, Vec<u8>)>,
    /// `user` lines.
    pub users: UserLines,
    /// Names of lines that were accepted, though nothing comes of them here.
    pub foreign: Vec<&'static str>,
}

impl Default for Config {
    /// Every directive at the default of its row.
    fn default() -> Self {
        let mut config = Config {
            general: General::blank(),
            network: Network::blank(),
            monitoring: Monitoring::blank(),
            persistence: Persistence::blank(),
            replication: Replication::blank(),
            security: Security::blank(),
            memory: Memory::blank(),
            data: Data::blank(),
            tls: Tls::blank(),
            cluster: Cluster::blank(),
            program: Program::default(),
            executable: PathBuf::new(),
            has_arguments: false,
            config_file: None,
            renames: Vec::new(),
            users: UserLines::default(),
            foreign: Vec::new(),
        };
        for directive in directives() {
            directive.reset(&mut config);
        }
        config
    }
}

impl Config {
    pub fn oom_rule(&self) -> OomRule {
        let general = &self.general;
        OomRule { mode: general.oom_score_adj, values: general.oom_score_adj_values }
    }

    /// Moves values that were accepted but make no sense to the nearest that do, as Redis does.
    pub(super) fn settle(&mut self) {
        self.general.hz = self.general.hz.clamp(1, 500);
        self.replication.repl_backlog_size_bytes =
            self.replication.repl_backlog_size_bytes.max(16 << 10);
    }
}

/// All rows of the table.
pub fn directives() -> impl Iterator<Item = &'static Directive> {
    GROUPS.iter().flat_map(|group| group.directives)
}

/// The row with this name or alias; names are matched whatever their case.
pub fn directive(name: &[u8]) -> Option<&'static Directive> {
    let name = std::str::from_utf8(name).ok()?.to_ascii_lowercase();
    let name = foreign::own_name(&name);
    directives().find(|row| row.is(name))
}

/// Whether a directive's value is a password or the like.
pub fn is_secret(name: &[u8]) -> bool {
    directive(name).is_some_and(|row| row.flags.has(Flags::SENSITIVE))
}

/// The word as it stands in a file, in double quotes.
pub(super) fn quoted(word: &[u8]) -> String {
    String::from_utf8_lossy(&protocol::quote(word)).into_owned()
}
