//! The one table of commands, family by family. A command comes as a row and a function, in the
//! file of its family.

use crate::command::CommandSpec;
use crate::commands as families;

pub static COMMANDS: &[&[CommandSpec]] = &[
    families::connection::ROWS,
    families::transactions::ROWS,
    families::pubsub::ROWS,
    families::replication::ROWS,
    families::strings::ROWS,
    families::lcs::ROWS,
    families::bitmaps::ROWS,
    families::hashes::ROWS,
    families::lists::ROWS,
    families::sets::ROWS,
    families::zsets::ROWS,
    families::zset_ranges::ROWS,
    families::zset_algebra::ROWS,
    families::sort::ROWS,
    families::keyspace::ROWS,
    families::expiry::ROWS,
    families::persistence::ROWS,
    families::server::ROWS,
    families::debug::ROWS,
    families::client::ROWS,
    families::command_info::ROWS,
    families::memory::ROWS,
    families::latency::ROWS,
    families::acl::ROWS,
    families::absent::ROWS,
];
