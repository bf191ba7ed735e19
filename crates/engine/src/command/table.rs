//! The one table of commands, family by family. A command comes as a row and a function, in the
//! file of its family.

use crate::command::CommandSpec;
use crate::commands;

pub static COMMANDS: &[&[CommandSpec]] = &[
    commands::connection::ROWS,
    commands::transactions::ROWS,
    commands::scripting::ROWS,
    commands::functions::ROWS,
    commands::pubsub::ROWS,
    commands::replication::ROWS,
    commands::strings::ROWS,
    commands::conditional::ROWS,
    commands::increx::ROWS,
    commands::lcs::ROWS,
    commands::bitmaps::ROWS,
    commands::hyperloglog::ROWS,
    commands::hashes::ROWS,
    commands::hash_fields::ROWS,
    commands::hash_values::ROWS,
    commands::lists::ROWS,
    commands::sets::ROWS,
    commands::zsets::ROWS,
    commands::zset_ranges::ROWS,
    commands::zset_algebra::ROWS,
    commands::streams::ROWS,
    commands::geo::ROWS,
    commands::geo_search::ROWS,
    commands::sort::ROWS,
    commands::keyspace::ROWS,
    commands::expiry::ROWS,
    commands::persistence::ROWS,
    commands::server::ROWS,
    commands::debug::ROWS,
    commands::client::ROWS,
    commands::command_info::ROWS,
    commands::memory::ROWS,
    commands::latency::ROWS,
    commands::command_log::ROWS,
    commands::acl::ROWS,
    commands::absent::ROWS,
];
