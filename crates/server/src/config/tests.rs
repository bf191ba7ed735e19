//! The configuration as operators and clients meet it: defaults, files, the command line, CONFIG GET and SET.

use std::ffi::OsString;

use super::*;

fn start(program: Program, argv: &[&str], stdin: &str) -> Result<Config, String> {
    let argv = argv.iter().map(OsString::from);
    match parse_argv(program, argv, stdin.as_bytes()) {
        Ok(Invocation::Run(config)) => Ok(*config),
        Ok(Invocation::Print(text)) => Err(text),
        Err(error) => Err(error.to_string()),
    }
}

fn with_text(text: &str) -> Result<Config, String> {
    start(Program::Server, &["redis-server", "-"], text)
}

fn get(config: &Config, name: &str) -> String {
    let found = config.matching(&[name.as_bytes()]);
    String::from_utf8(found[0].1.clone()).expect("a printable value")
}

#[test]
fn every_default_is_one_that_its_own_directive_accepts() {
    let config = Config::default();
    assert_eq!(config.network.port, 6379);
    assert_eq!(config.data.notify_keyspace_events, "");
    assert_eq!(get(&config, "save"), "3600 1 300 100 60 10000");
    assert_eq!(get(&config, "maxmemory-policy"), "noeviction");
    assert_eq!(get(&config, "bind"), "* -::*");
}

#[test]
fn lines_of_a_file_set_values() {
    let config = with_text(
        "# a comment\n\n  PORT 7000\nmaxmemory 2GB\nrequirepass \"a b\\x21\"\nslaveof 10.0.0.1 6379\nsave 100 1\nsave 200 2\n",
    )
    .unwrap();
    assert_eq!(config.network.port, 7000);
    assert_eq!(config.memory.maxmemory_bytes, 2 << 30);
    assert_eq!(config.security.requirepass, b"a b!");
    assert_eq!(get(&config, "replicaof"), "10.0.0.1 6379");
    assert_eq!(get(&config, "save"), "100 1 200 2");
}

#[test]
fn an_unknown_directive_stops_the_start_with_a_hint() {
    let error = with_text("port 0\nreplica\u{2010}read\u{2010}only yes\n").unwrap_err();
    assert!(error.starts_with(
        "\n*** FATAL CONFIG FILE ERROR (Redis 7.2.4) ***\nReading the configuration file, at line 2\n\
         >>> 'replica\u{2010}read\u{2010}only yes'\nBad directive or wrong number of arguments\n"
    ));
    assert!(error.contains("typographic hyphen") && error.contains("replica-read-only"), "{error}");
    let error = with_text("maxmemroy 1\n").unwrap_err();
    assert!(error.contains("did you mean 'maxmemory'?"), "{error}");
}

#[test]
fn config_set_sets_all_or_nothing() {
    let mut config = Config::default();
    let pairs: &[(&[u8], &[u8])] = &[(b"hz", b"50"), (b"maxmemory", b"1x")];
    let error = config.set_pairs(pairs, Caller::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "ERR CONFIG SET failed (possibly related to argument 'maxmemory') - argument must be a memory value"
    );
    assert_eq!(config, Config::default());
    let pairs: &[(&[u8], &[u8])] = &[(b"HZ", b"50"), (b"timeout", b"0")];
    let changed = config.set_pairs(pairs, Caller::default()).unwrap();
    assert_eq!(changed.iter().map(|row| row.name).collect::<Vec<_>>(), ["hz"]);
}

#[test]
fn options_of_the_command_line_are_lines_after_the_file() {
    let config = start(
        Program::Server,
        &[
            "redis-server",
            "--port",
            "6300",
            "--slaveof",
            "127.0.0.1",
            "6379",
            "--save",
            "",
            "--hz 20",
        ],
        "",
    )
    .unwrap();
    assert_eq!(config.network.port, 6300);
    assert_eq!(get(&config, "slaveof"), "127.0.0.1 6379");
    assert!(config.persistence.save.is_empty());
    assert_eq!(config.general.hz, 20);
}
