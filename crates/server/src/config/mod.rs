//! Owns the configuration: the one table of directives, and everything that derives from it: parsing
//! files and the command line, CONFIG GET, SET and REWRITE, and the reference configuration.
//! It stores values and must not apply them: `server` rebinds, reopens and resizes.

mod argv;
mod directive;
mod engine_settings;
mod file;
mod hint;
mod reference;
mod repl_settings;
mod rewrite;
mod role;
mod sections;
mod set;
pub mod special;
mod user;
pub mod values;

use std::path::PathBuf;

use crate::process::daemon::OomRule;

pub use argv::{Invocation, StartError, parse_argv};
pub use directive::{Directive, Flags, Kind, Origin};
pub use engine_settings::{engine_settings, limits};
pub use file::FileError;
pub use reference::reference;
pub use repl_settings::repl_settings;
pub use rewrite::RewriteError;
pub use role::{RoleDecision, RoleError, StartRole, decide_role};
pub use sections::GROUPS;
pub use sections::cluster::Cluster;
pub use sections::data::Data;
pub use sections::general::General;
pub use sections::memory::Memory;
pub use sections::network::Network;
pub use sections::persistence::Persistence;
pub use sections::replication::Replication;
pub use sections::security::Security;
pub use sections::tls::Tls;
pub use set::{Caller, SetError};
pub use special::{BindAddress, BufferLimit, BufferLimits, ReplicaOf, SavePoint, ShutdownFlags};
pub use values::{
    AclPubsubDefault, AppendFsync, DisklessLoad, EndpointType, LogLevel, MaxmemoryPolicy,
    OomScoreAdj, PropagationErrorBehavior, ProtectedAction, SanitizeDumpPayload, Supervised,
    SyslogFacility, TlsAuthClients,
};

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
    /// Names of lines that were accepted, though they have long meant nothing.
    pub obsolete: Vec<&'static str>,
}

impl Default for Config {
    /// Every directive at the default of its row.
    fn default() -> Self {
        let mut config = Config {
            general: General::blank(),
            network: Network::blank(),
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
            obsolete: Vec::new(),
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
    fn settle(&mut self) {
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
    directives().find(|row| row.is(&name))
}

/// Whether a directive's value is a password or the like.
pub fn is_secret(name: &[u8]) -> bool {
    directive(name).is_some_and(|row| row.flags.has(Flags::SENSITIVE))
}

/// The word as it stands in a file, in double quotes.
fn quoted(word: &[u8]) -> String {
    String::from_utf8_lossy(&protocol::quote(word)).into_owned()
}

#[cfg(test)]
mod tests;
