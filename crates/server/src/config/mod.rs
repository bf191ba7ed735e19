//! Owns the configuration: the one table of directives, and everything that derives from it: parsing
//! files and the command line, CONFIG GET, SET and REWRITE, and the reference configuration.
//! It stores values and must not apply them: `server` rebinds, reopens and resizes.

mod acl_file;
mod argv;
mod directive;
mod effect;
mod engine_settings;
mod file;
mod foreign;
mod hint;
#[cfg(test)]
mod page;
mod reference;
mod repl_settings;
mod rewrite;
mod role;
mod sections;
mod set;
pub mod special;
mod table;
mod title;
pub mod values;

pub use argv::{Invocation, StartError, parse_argv};
pub use directive::{Directive, Flags, Kind, Origin};
pub use effect::Effect;
pub use engine_settings::{engine_settings, limits};
pub use file::FileError;
pub use foreign::notice as foreign_notice;
pub use reference::reference;
pub use repl_settings::repl_settings;
pub use rewrite::RewriteError;
pub use role::{RoleDecision, RoleError, StartRole, decide_role};
pub use sections::GROUPS;
pub use sections::cluster::Cluster;
pub use sections::data::Data;
pub use sections::general::General;
pub use sections::memory::Memory;
pub use sections::monitoring::Monitoring;
pub use sections::network::Network;
pub use sections::persistence::Persistence;
pub use sections::replication::Replication;
pub use sections::security::Security;
pub use sections::tls::Tls;
pub use set::{Caller, SetError};
pub use special::{BindAddress, BufferLimit, BufferLimits, ReplicaOf, SavePoint, ShutdownFlags};
pub use table::{Config, Program, directive, directives, is_secret};
pub use values::{
    AclPubsubDefault, AppendFsync, DisklessLoad, EndpointType, LogLevel, MaxmemoryPolicy,
    OomScoreAdj, PropagationErrorBehavior, ProtectedAction, SanitizeDumpPayload, Supervised,
    SyslogFacility, TlsAuthClients,
};

#[cfg(test)]
mod tests;
