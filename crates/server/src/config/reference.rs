//! Owns conf/redis.conf, the reference of all directives: it is rendered from the table, and a
//! test holds the file to it. After a change of the table, run that test with `UPDATE_CONF=1`.

use super::directive::{Directive, Flags, Kind};
use super::sections::GROUPS;
use super::sections::Group;
use super::table::Config;

const INTRO: &str = "\
# The configuration of Tandem, in the syntax of Redis: every directive there is, with its default.
#
#     redis-server /path/to/redis.conf
#
# starts with it, and so do redis-master and redis-replica. On the command line the same directives
# are options, which come after the file: redis-server redis.conf --port 7777 --loglevel verbose.
#
# A line is a name and its values, in quotes where they have blanks: \"two words\", 'two words'. Double
# quotes know \\n \\r \\t \\b \\a \\xHH \\\\ and \\\". Lines starting with # say nothing. A directive that
# stands twice has its last value, but for those that add up (save, include).
#
# Sizes may have units, in any case: 1k is 1000 bytes, 1kb is 1024, likewise 1m, 1mb, 1g, 1gb.
#
# Lines that start with '# ' and a directive are examples, or directives without an effect so far.
# CONFIG GET shows the values in use, CONFIG SET changes them, and CONFIG REWRITE brings
# this file up to date, leaving your comments and the order of lines alone.
";

/// What stands in a file but is no value.
const OTHERS: &str = "\
# Read other files here, by name or pattern. Lines after this one win over them.
# include /path/to/local.conf
# include /path/to/fragments/*.conf

# A user and what it may do, in the words of ACL SETUSER. A line for `default` is stronger than
# requirepass. Users may be kept in a file of their own instead (aclfile).
# user worker on >password ~jobs:* resetchannels &jobs.* +@list +@connection

# Call a command by another name, or by none. Clients, replicas and append-only files must know of it: what
# is propagated has the name that the client used.
# rename-command CONFIG b840fc02d524045429941cc15f59e41cb7be6c52
# rename-command FLUSHALL \"\"

# Not supported so far: loadmodule stops the start.
";

/// The file does not ship with the default of these: it would listen to the whole world.
const SHIPPED: [(&str, &str); 1] = [("bind", "127.0.0.1 -::1")];

/// The whole file.
pub fn reference() -> String {
    let defaults = Config::default();
    let mut text = format!("{INTRO}{}\n{OTHERS}", heading("Other files and commands"));
    for Group { title, directives } in &GROUPS {
        text.push_str(&heading(title));
        for row in *directives {
            text.push('\n');
            text.push_str(&entry(row, &defaults));
        }
    }
    text
}

fn heading(title: &str) -> String {
    format!("\n{:#^98}\n", format!(" {} ", title.to_uppercase()))
}

fn entry(row: &Directive, defaults: &Config) -> String {
    let mut text = String::new();
    for line in row.doc {
        text.push_str(&format!("#{line}\n"));
    }
    for remark in remarks(row) {
        text.push_str(&format!("# {remark}\n"));
    }
    for line in examples(row, defaults) {
        text.push_str(&format!("{line}\n"));
    }
    text
}

fn remarks(row: &Directive) -> Vec<String> {
    let default = if row.default.is_empty() { "\"\"" } else { row.default };
    let mut facts = vec![format!("Default: {default}.")];
    if row.flags.has(Flags::IMMUTABLE) {
        facts.push("Fixed at start.".into());
    }
    if row.flags.has(Flags::PROTECTED) {
        facts.push("CONFIG SET needs enable-protected-configs.".into());
    }
    match row.aliases {
        [] => {}
        aliases => facts.push(format!("Other name: {}.", aliases.join(", "))),
    }
    if row.flags.has(Flags::HIDDEN) {
        facts.push("For developers.".into());
    }
    if let Some(why) = row.no_effect {
        facts.push(format!("Has no effect: {why}."));
    }
    vec![facts.join(" ")]
}

/// The lines with the directive itself.
fn examples(row: &Directive, defaults: &Config) -> Vec<String> {
    if let Some((_, value)) = SHIPPED.iter().find(|(name, _)| *name == row.name) {
        return vec![format!("{} {value}", row.name)];
    }
    if let Some(sample) = row.sample {
        return vec![format!("# {} {sample}", row.name)];
    }
    let idle = row.flags.has(Flags::NO_EFFECT) || row.flags.has(Flags::HIDDEN);
    let mark = if idle { "# " } else { "" };
    let values = match &row.kind {
        Kind::Special { .. } if row.flags.has(Flags::KEYED) => row.lines(defaults),
        _ => vec![as_written(row)],
    };
    values.iter().map(|value| format!("{mark}{} {value}", row.name)).collect()
}

/// The default, in quotes where it needs them.
fn as_written(row: &Directive) -> String {
    let one_word = !row.flags.has(Flags::MULTI_ARG);
    if row.default.is_empty() || one_word && row.default.contains(' ') {
        super::table::quoted(row.default.as_bytes())
    } else {
        row.default.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::path::PathBuf;

    use super::super::{Invocation, Program, directives, parse_argv};
    use super::*;

    fn conf_path() -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../conf/redis.conf")
    }

    fn conf() -> String {
        std::fs::read_to_string(conf_path()).expect("conf/redis.conf")
    }

    fn parsed(text: &str) -> Config {
        let argv = ["redis-server", "-"].map(OsString::from);
        match parse_argv(Program::Server, argv, text.as_bytes()) {
            Ok(Invocation::Run(config)) => *config,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_file_is_what_the_table_says() {
        if std::env::var_os("UPDATE_CONF").is_some() {
            std::fs::write(conf_path(), reference()).expect("written");
        }
        let hint = "conf/redis.conf is out of date: run this test with UPDATE_CONF=1";
        assert!(conf() == reference(), "{hint}");
    }

    #[test]
    fn the_file_as_shipped_gives_the_defaults_but_listens_to_this_host_only() {
        let mut config = parsed(&conf());
        let bound: Vec<_> = config.network.bind.drain(..).map(|address| address.host).collect();
        assert_eq!(bound, ["127.0.0.1", "::1"]);
        let mut defaults = parsed("");
        defaults.network.bind.clear();
        assert_eq!(config, defaults);
    }

    #[test]
    fn every_directive_is_in_the_file_with_its_default() {
        let conf = conf();
        let defaults = Config::default();
        for row in directives() {
            // The block's lines after the one with the default.
            let lines_of = |block: &str| -> Vec<String> {
                let lines = block.lines().skip_while(|line| !line.starts_with("# Default: "));
                lines.skip(1).map(|line| line.trim_start_matches("# ").to_owned()).collect()
            };
            let is_about = |block: &&str| {
                let names_it = |line: &String| line.starts_with(&format!("{} ", row.name));
                lines_of(block).first().is_some_and(names_it)
            };
            let Some(block) = conf.split("\n\n").find(is_about) else {
                panic!("{} is missing", row.name)
            };
            if row.sample.is_none() && row.name != "bind" {
                let config = parsed(&lines_of(block).join("\n"));
                assert_eq!(row.value(&config), row.value(&defaults), "{}", row.name);
            }
            let stated = if row.default.is_empty() { "\"\"" } else { row.default };
            assert!(block.contains(&format!("Default: {stated}.")), "{}", row.name);
        }
    }

    #[test]
    fn examples_are_ones_that_the_directive_accepts() {
        for row in directives() {
            let Some(sample) = row.sample.filter(|sample| !sample.contains('<')) else { continue };
            let mut config = Config::default();
            let words = protocol::split_args(sample.as_bytes()).expect("words");
            let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
            let origin = super::super::Origin::FirstLine;
            assert_eq!(row.set(&mut config, &words, origin), Ok(()), "{}", row.name);
        }
    }
}
