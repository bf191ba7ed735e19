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
    commands::migrate::ROWS,
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

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use crate::command::arguments;
    use crate::command::every_row;

    const HEAD: &str = "\
# What redis-cli knows of commands without a server, rendered from the engine's table of commands by a test in
# crates/engine/src/command/table.rs: a line has the name, group, version, summary and arguments of one, between
# tabs. How arguments are written stands in crates/engine/src/command/arguments.txt.
";

    fn rendered() -> String {
        let line = |row: crate::command::Found| {
            let name = row.full_name();
            let group = row.top().doc_group();
            let arguments = arguments::text_of(&name);
            let (since, summary) = (row.spec.since, row.spec.summary);
            let line = format!("{name}\t{group}\t{since}\t{summary}\t{arguments}");
            line.trim_end().to_owned() + "\n"
        };
        let mut lines: Vec<String> = every_row().map(line).collect();
        lines.sort_unstable();
        HEAD.to_owned() + &lines.concat()
    }

    /// redis-cli hints and helps without a server, by the same table: whoever changes that runs this test
    /// with `UPDATE_COMMANDS=1`.
    #[test]
    #[allow(clippy::disallowed_methods)] // a test of a file
    fn redis_cli_knows_the_table() {
        let path = "../cli/src/shell/commands.txt";
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path);
        if std::env::var_os("UPDATE_COMMANDS").is_some() {
            std::fs::write(&path, rendered()).expect("written");
        }
        let file = std::fs::read_to_string(&path).unwrap_or_default();
        let hint = "crates/cli/src/shell/commands.txt is out of date: run this test with UPDATE_COMMANDS=1";
        assert!(file == rendered(), "{hint}");
    }
}
