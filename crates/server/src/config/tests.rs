//! The configuration as operators and clients meet it: defaults, files, the command line, the role,
//! CONFIG GET and CONFIG SET. Expected texts are Redis 7.2's.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs;

mod foreign_names;
mod wrong_values;

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

fn with_options(options: &[&str]) -> Result<Config, String> {
    start(Program::Server, &[&["redis-server"], options].concat(), "")
}

fn get(config: &Config, name: &str) -> String {
    let found = config.matching(&[name.as_bytes()]);
    String::from_utf8(found[0].1.clone()).expect("a printable value")
}

/// The result of CONFIG SET on a fresh configuration: the value now, or the error.
fn set(name: &str, value: &str) -> String {
    let mut config = Config::default();
    let pairs: &[(&[u8], &[u8])] = &[(name.as_bytes(), value.as_bytes())];
    match config.set_pairs(pairs, Caller::default()) {
        Ok(_) => get(&config, name),
        Err(error) => {
            let text = error.to_string();
            let prefix =
                format!("ERR CONFIG SET failed (possibly related to argument '{name}') - ");
            text.strip_prefix(&prefix).unwrap_or(&text).to_owned()
        }
    }
}

// ---- the table ----

#[test]
fn every_default_is_one_that_its_own_directive_accepts() {
    let config = Config::default();
    assert_eq!(config.network.port, 6379);
    assert_eq!(get(&config, "save"), "3600 1 300 100 60 10000");
    assert_eq!(get(&config, "maxmemory-policy"), "noeviction");
    assert_eq!(get(&config, "bind"), "* -::*");
}

#[test]
fn names_are_unique_and_documented() {
    let mut seen = HashSet::new();
    for row in directives() {
        for name in std::iter::once(&row.name).chain(row.aliases) {
            assert!(seen.insert(*name), "{name} stands twice");
            assert_eq!(*name, name.to_ascii_lowercase(), "lookups are in lower case");
        }
        let last = row.doc.last().expect("a doc").trim();
        assert!(last.ends_with('.'), "{}: {last}", row.name);
    }
}

#[test]
fn bounds_of_a_number_fit_its_field() {
    for row in directives() {
        let Kind::Number { min, max, get, set, .. } = &row.kind else { continue };
        let mut config = Config::default();
        for bound in [*min, *max] {
            set(&mut config, bound);
            assert_eq!(get(&config), bound, "{}", row.name);
        }
    }
}

/// What `CONFIG GET *` of a 7.2 server lists, but for TLS and cluster.
#[test]
fn a_pattern_lists_old_names_but_no_hidden_ones() {
    let config = Config::default();
    let names: HashSet<String> = config.matching(&[b"*"]).into_iter().map(|(n, _)| n).collect();
    for name in
        ["slaveof", "replicaof", "lua-time-limit", "hash-max-ziplist-value", "locale-collate"]
    {
        assert!(names.contains(name), "{name}");
    }
    for name in ["key-load-delay", "watchdog-period", "user", "include"] {
        assert!(!names.contains(name), "{name}");
    }
    // Redis 7.2.4 with TLS has 195; rdb-version, log-format and the three of metrics are ours, six of COMMANDLOG and
    // active-defrag-cycle-us are Valkey's.
    assert_eq!(names.len(), 207);
}

/// `io-threads 4` was accepted and did nothing, and nobody was told.
#[test]
fn values_that_change_nothing_are_told_with_the_reason() {
    let notices = |text: &str| -> Vec<String> {
        let config = with_text(text).expect(text);
        directives().filter_map(|row| row.idle_notice(&config)).collect()
    };
    assert_eq!(notices("io-threads 1\nport 7000\nreplica-lazy-flush no\n"), [""; 0]);
    assert_eq!(
        notices("io-threads 4\nslave-lazy-flush yes\nlist-compress-depth 1\nlua-time-limit 1\n"),
        [
            "WARNING: io-threads has no effect: the event loop does all socket work",
            "WARNING: replica-lazy-flush has no effect: old data are always freed in the background",
            "WARNING: list-compress-depth has no effect: nodes of lists are never compressed",
        ]
    );
    assert_eq!(
        with_text("lua-replicate-commands yes\n").unwrap().foreign,
        ["lua-replicate-commands"]
    );
    for row in directives() {
        assert_eq!(row.no_effect.is_some(), row.flags.has(Flags::NO_EFFECT), "{}", row.name);
    }
}

// ---- files ----

#[test]
fn lines_of_a_file_set_values() {
    let config = with_text(
        "# a comment\n\n  PORT 7000\r\nmaxmemory 2GB\nrequirepass \"a b\\x21\"\n\
         slaveof 10.0.0.1 6379\nsave 100 1\nsave '200 2'\nbind 127.0.0.1 -::1\n\
         client-output-buffer-limit slave 1mb 2mb 3\nunixsocketperm 700\nsupervised SYSTEMD\n",
    )
    .unwrap();
    assert_eq!(config.network.port, 7000);
    assert_eq!(config.memory.maxmemory_bytes, 2 << 30);
    assert_eq!(config.security.requirepass, b"a b!");
    assert_eq!(get(&config, "replicaof"), "10.0.0.1 6379");
    assert_eq!(get(&config, "save"), "100 1 200 2");
    assert_eq!(get(&config, "bind"), "127.0.0.1 -::1");
    assert_eq!(get(&config, "unixsocketperm"), "700");
    assert_eq!(config.network.unixsocketperm, 0o700);
    assert_eq!(config.general.supervised, Supervised::Systemd);
    let limits = config.network.client_output_buffer_limit;
    assert_eq!(
        limits.replica,
        BufferLimit { hard_bytes: 1 << 20, soft_bytes: 2 << 20, soft_seconds: 3 }
    );
    assert_eq!(limits.pubsub.hard_bytes, 32 << 20, "classes without a line keep their default");
}

#[test]
fn old_spellings_set_the_same_values() {
    let config = with_text(
        "slave-read-only no\nslave-serve-stale-data no\nslave-priority 7\nmin-slaves-to-write 3\n\
         min-slaves-max-lag 4\nhash-max-ziplist-entries 9\nrepl-ping-slave-period 8\n\
         list-max-ziplist-entries 512\nlua-replicate-commands yes\n",
    )
    .unwrap();
    assert!(!config.replication.replica_read_only);
    assert!(!config.replication.replica_serve_stale_data);
    assert_eq!(get(&config, "replica-priority"), "7");
    assert_eq!(get(&config, "min-replicas-to-write"), "3");
    assert_eq!(get(&config, "min-replicas-max-lag"), "4");
    assert_eq!(get(&config, "hash-max-listpack-entries"), "9");
    assert_eq!(get(&config, "repl-ping-replica-period"), "8");
}

/// Which of the two would hold after the next ACL LOAD or CONFIG REWRITE nobody could say.
#[test]
fn users_stand_in_one_kind_of_file_alone() {
    assert!(with_text("user ann on >foo ~a:* +get (+set ~b)\nuser default off\n").is_ok());
    assert!(with_text("aclfile users.acl\n").is_ok());
    let error = with_text("aclfile users.acl\nuser ann on\n").unwrap_err();
    assert!(error.contains("please define either an ACL file or declare users"), "{error}");
}

#[test]
fn a_line_that_is_refused_says_where_what_and_why() {
    let cases = [
        ("port", "wrong number of arguments"),
        ("port 1 2", "wrong number of arguments"),
        ("port 99999", "argument must be between 0 and 65535 inclusive"),
        ("maxmemory 1x", "argument must be a memory value"),
        ("save \"a", "Unbalanced quotes in configuration line"),
        ("save 1", "Invalid save parameters"),
        ("replicaof a", "wrong number of arguments"),
        ("replicaof a b", "Invalid master port"),
        ("dir /nonexistent", "No such file or directory"),
        ("dir /dev/null", "Not a directory"),
        ("appendfilename a/b", "appendfilename can't be a path, just a filename"),
        ("daemonize foo", "argument must be 'yes' or 'no'"),
        ("appendfsync foo", "argument(s) must be one of the following: everysec, always, no"),
        ("bind 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7", "Too many bind addresses specified."),
        (
            "client-output-buffer-limit slave 1",
            "Wrong number of arguments in buffer limit configuration.",
        ),
        ("loadmodule /x.so", "Modules are not supported by Tandem"),
        ("sentinel monitor a", "sentinel directive while not in sentinel mode"),
        ("cluster-enabled yes", "cluster mode is not supported"),
        (
            "user ann on +nope",
            "Error in user declaration '+nope': Unknown command or category name in ACL",
        ),
        (
            "user ann ~a (~b +get",
            "Error in user declaration '(~b': Unmatched parenthesis in acl selector",
        ),
        ("user 'a b' on", "Error in user declaration 'a b': Spaces not allowed in ACL usernames"),
        ("rename-command NOSUCH x", "No such command in rename-command"),
        ("rename-command FLUSHALL get", "Target command name already exists"),
        (
            "rename-command FLUSHALL gone\nrename-command FLUSHALL x",
            "No such command in rename-command",
        ),
        ("tls-port 65536", "argument must be between 0 and 65535 inclusive"),
        ("include", "Bad directive or wrong number of arguments"),
        ("foo bar", "Bad directive or wrong number of arguments"),
        (
            "user default on\nuser default on",
            "Error in user declaration 'default': Duplicate user found. A user can only be defined once in config files",
        ),
    ];
    for (lines, why) in cases {
        let error = with_text(&format!("hz 10\n{lines}\n")).expect_err(lines);
        let last = lines.lines().last().unwrap();
        let page = format!(
            "\n*** FATAL CONFIG FILE ERROR (Redis 7.2.4) ***\n\
             Reading the configuration file, at line {}\n>>> '{last}'\n{why}\n",
            1 + lines.lines().count()
        );
        assert!(error.starts_with(&page), "{error}");
    }
}

#[test]
fn a_refusal_says_what_was_expected() {
    let cases = [
        ("port a", "Expected: port <number from 0 to 65535>"),
        ("appendonly maybe", "Expected: appendonly yes|no"),
        ("slave-read-only 1", "Expected: replica-read-only yes|no"),
        ("maxmemory-policy x", "Expected: maxmemory-policy volatile-lru|volatile-lfu|"),
        ("replicaof x", "Expected: replicaof <host> <port>, or no one"),
        ("include", "Expected: include <file or pattern>"),
        ("maxmemroy 1", "Hint: did you mean 'maxmemory'?"),
        ("replica\u{2010}read\u{2010}only yes", "type a plain one: replica-read-only"),
        ("slave\u{2013}of h 1", "Hint: it has a typographic hyphen"),
        // What looks right and is not, on the screen as in a file.
        (
            "port\u{3000}7000",
            "Hint: it has a blank that separates no words, U+3000; type a plain one: port",
        ),
        ("port 7000\u{a0}", "Hint: it has a blank that separates no words, U+00A0"),
        ("\u{feff}port 7000", "Hint: it has a byte order mark"),
        ("\u{feff}# a comment", "save the file as UTF-8 without one\n"),
        ("po\u{200b}rt 7000", "Hint: it has an invisible character, U+200B; delete it: port"),
        ("save \u{201c}900 1\u{201d}", "Hint: it has a typographic quote, U+201C"),
        ("maxmemory \u{ff11}", "Hint: it has a full-width character, U+FF11"),
    ];
    for (line, text) in cases {
        let error = with_text(line).expect_err(line);
        assert!(error.contains(text), "{error}");
        assert!(error.contains("Where: standard input\n"), "{error}");
    }
    assert!(!with_text("quux 1").unwrap_err().contains("Hint"), "nothing is near");
    let wrong_bytes = with_options(&["--port", "7000\u{2014}"]).unwrap_err();
    assert!(wrong_bytes.contains("typographic hyphen"), "{wrong_bytes}");
    // A first word with the wrong dashes is no option to the command line, but a file.
    let no_file = with_options(&["\u{2014}port", "7000"]).unwrap_err();
    assert!(no_file.contains("typographic hyphen") && no_file.ends_with(": --port"), "{no_file}");
    let later = with_options(&["--port", "7000", "\u{2013}-hz", "10"]).unwrap_err();
    assert!(later.contains("type a plain one: --hz\n"), "{later}");
    assert!(!with_options(&["/no\u{2013}file"]).unwrap_err().contains("Hint"), "a name may be odd");
}

#[test]
fn files_include_others_by_name_and_pattern() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    fs::write(path("b.part"), "hz 20\ntimeout 5\n").unwrap();
    fs::write(path("a.part"), "hz 30\n").unwrap();
    fs::write(path("main.conf"), format!("include {}\nport 1\n", path("*.part"))).unwrap();
    let config = with_options(&[&path("main.conf")]).unwrap();
    assert_eq!((config.general.hz, config.network.timeout_s, config.network.port), (20, 5, 1));
    assert_eq!(config.config_file.as_deref(), Some(std::path::Path::new(&path("main.conf"))));

    fs::write(path("b.part"), "hz 20\ntimeout x\n").unwrap();
    let error = with_options(&[&path("main.conf")]).unwrap_err();
    assert!(error.contains("at line 2\n>>> 'timeout x'\n"), "{error}");
    assert!(error.contains(&format!("Where: {}\n", path("b.part"))), "{error}");

    fs::write(path("main.conf"), format!("include {}\n", path("*.none"))).unwrap();
    assert!(with_options(&[&path("main.conf")]).is_ok(), "a pattern may match nothing");
    fs::write(path("main.conf"), format!("include {}\n", path("none"))).unwrap();
    let error = with_options(&[&path("main.conf")]).unwrap_err();
    let text = format!("Fatal error, can't open config file '{}': No such file", path("none"));
    assert!(error.starts_with(&text), "{error}");
    fs::write(path("main.conf"), format!("include {}\n", path("main.conf"))).unwrap();
    let error = with_options(&[&path("main.conf")]).unwrap_err();
    assert!(error.contains("include is nested too deeply"), "{error}");
}

#[test]
fn a_directory_is_stored_as_an_absolute_path() {
    let directory = tempfile::tempdir().unwrap();
    let dir = directory.path().canonicalize().unwrap();
    fs::create_dir(dir.join("sub")).unwrap();
    let config = with_text(&format!("dir {}\ndir ./sub\n", dir.display())).unwrap();
    assert_eq!(config.persistence.dir, dir.join("sub"));
    assert_eq!(get(&config, "dir"), dir.join("sub").to_str().unwrap());
    let here = std::env::current_dir().unwrap();
    assert_eq!(get(&Config::default(), "dir"), here.to_str().unwrap());
}

// ---- the command line ----

#[test]
fn options_are_lines_after_the_file() {
    let config = with_options(&[
        "--port",
        "6300",
        "--slaveof",
        "127.0.0.1",
        "6379",
        "--save",
        "",
        "--hz 20",
        "--requirepass",
        "--x y",
        "--appendonly",
        "YES",
    ])
    .unwrap();
    assert_eq!(config.network.port, 6300);
    assert_eq!(get(&config, "slaveof"), "127.0.0.1 6379");
    assert!(config.persistence.save.is_empty());
    assert_eq!(config.general.hz, 20);
    assert_eq!(config.security.requirepass, b"--x y", "a value may start with dashes");
    assert!(config.persistence.appendonly);
}

#[test]
fn save_has_rules_of_its_own_on_the_command_line() {
    let save = |options: &[&str]| get(&with_options(options).unwrap(), "save");
    assert_eq!(save(&["--save", "--hz", "20"]), "");
    assert_eq!(save(&["--hz", "20", "--save"]), "");
    assert_eq!(save(&["--save", ""]), "");
    assert_eq!(save(&["--save", "3600", "1", "300", "10"]), "3600 1 300 10");
    assert_eq!(save(&["--save", "3600 1 300 10"]), "3600 1 300 10");
    assert_eq!(save(&["--save 3600 1"]), "3600 1");
    assert_eq!(save(&["--save", "3600", "1", "--save", "300", "10"]), "3600 1 300 10");
    assert_eq!(save(&["--save", "3600", "1", "--save", ""]), "");
}

#[test]
fn a_dash_reads_standard_input_first_or_last() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("a.conf");
    fs::write(&file, "hz 20\nport 7000").unwrap();
    let file = file.to_str().unwrap();
    let config =
        start(Program::Server, &["redis-server", file, "--hz", "30", "-"], "port 7001").unwrap();
    assert_eq!((config.general.hz, config.network.port), (30, 7001));
    let config = start(Program::Server, &["redis-server", "-", "--hz", "30"], "hz 40").unwrap();
    assert_eq!(config.general.hz, 30, "options come last");
    let error = start(Program::Server, &["redis-server", file, "-", "--hz", "30"], "").unwrap_err();
    assert!(error.contains(">>> '\"-\"'"), "{error}");
}

#[test]
fn errors_of_options_count_lines_behind_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("a.conf");
    fs::write(&file, "hz 20\n").unwrap();
    let error = with_options(&[file.to_str().unwrap(), "--port", "abc"]).unwrap_err();
    assert!(error.contains("at line 3\n>>> 'port \"abc\"'\n"), "{error}");
    assert!(error.contains("Where: the command line\n"), "{error}");
    let error = with_options(&["--port", "1", "2"]).unwrap_err();
    assert!(error.contains(">>> 'port \"1\" \"2\"'\nwrong number of arguments\n"), "{error}");
    let error = with_options(&["-x"]).unwrap_err();
    assert!(error.contains(">>> '\"-x\"'\nBad directive"), "{error}");
    let error = with_options(&["/nonexistent/a.conf"]).unwrap_err();
    assert_eq!(
        error,
        "Fatal error, can't open config file '/nonexistent/a.conf': No such file or directory"
    );
}

#[test]
fn version_help_and_memory_tests_start_nothing() {
    let text = |option| with_options(&[option]).unwrap_err();
    assert!(text("-v").starts_with("Redis server v=7.2.4 sha="));
    assert_eq!(text("-v"), text("--version"));
    assert!(
        text("--help").starts_with("Usage: redis-server [/path/to/redis.conf] [options] [-]\n")
    );
    assert!(text("--test-memory").contains("memtest86"));
    assert!(!with_options(&[]).unwrap().has_arguments);
    assert!(with_options(&["--port", "1"]).unwrap().has_arguments);
}

// ---- the role ----

#[test]
fn the_binary_and_its_configuration_decide_the_role() {
    let decide = |program, text: &str| {
        decide_role(&start(program, &["x", "-"], text).unwrap())
            .map(|decision| (decision.role, decision.notice.is_some()))
    };
    let replica = || StartRole::Replica { host: "h".into(), port: 1 };
    assert_eq!(decide(Program::Server, ""), Ok((StartRole::Master, false)));
    assert_eq!(decide(Program::Server, "replicaof h 1"), Ok((replica(), false)));
    assert_eq!(decide(Program::Server, "replicaof no one"), Ok((StartRole::Master, false)));
    assert_eq!(decide(Program::Master, ""), Ok((StartRole::Master, false)));
    assert_eq!(decide(Program::Master, "slaveof h 1"), Ok((replica(), true)));
    assert_eq!(decide(Program::Replica, "replicaof h 1"), Ok((replica(), false)));
    assert_eq!(decide(Program::Replica, "replicaof NO ONE"), Ok((StartRole::Master, true)));
    assert_eq!(decide(Program::Replica, ""), Err(RoleError));
    assert!(RoleError.to_string().contains("replicaof <host> <port>"));
}

// ---- CONFIG GET and CONFIG SET ----

#[test]
fn config_get_answers_each_name_once_and_exact_ones_as_asked() {
    let config = Config::default();
    let names = |patterns: &[&[u8]]| -> Vec<String> {
        config.matching(patterns).into_iter().map(|(name, _)| name).collect()
    };
    assert_eq!(names(&[b"MAXMEMORY"]), ["MAXMEMORY"]);
    assert_eq!(names(&[b"maxmemory", b"maxmemor?", b"nope"]), ["maxmemory"]);
    assert_eq!(names(&[b"KEY-load-delay"]), ["KEY-load-delay"], "exact names find hidden ones");
    assert_eq!(names(&[b"slave*port", b"Hz"]), ["slave-announce-port", "Hz"]);
    assert_eq!(names(&[b"*-max-lis[t]pack-val*"]).len(), 3);
    assert_eq!(names(&[b"***************************************************qq"]), [""; 0]);
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
fn config_set_refuses_with_redis_texts() {
    let cases = [
        ("nope", "1", "ERR Unknown option or number of arguments for CONFIG SET - 'nope'"),
        ("daemonize", "yes", "can't set immutable config"),
        ("dir", "/tmp", "can't set protected config"),
        ("hz", "a", "argument couldn't be parsed into an integer"),
        ("hz", "07", "argument couldn't be parsed into an integer"),
        ("maxclients", "0", "argument must be between 1 and 4294967295 inclusive"),
        ("appendonly", "maybe", "argument must be 'yes' or 'no'"),
        ("maxmemory-clients", "101%", "percentage argument must be less or equal to 100"),
        ("maxmemory-clients", "foo", "argument must be a memory or percent value"),
        ("repl-backlog-size", "-1", "argument must be a memory value"),
        ("repl-backlog-size", "0", "argument must be between 1 and 9223372036854775807 inclusive"),
        (
            "oom-score-adj",
            "x",
            "argument(s) must be one of the following: no, yes, relative, absolute",
        ),
        ("oom-score-adj-values", "1 2", "wrong number of arguments"),
        (
            "oom-score-adj-values",
            "1 2 3000",
            "Invalid oom-score-adj-values, elements must be between -2000 and 2000.",
        ),
        ("notify-keyspace-events", "foo", "Invalid event class character. Use 'Ag$lshzxeKEtmdn'."),
        (
            "shutdown-on-sigint",
            "save x",
            "argument(s) must be one of the following: default, save, nosave, now, force",
        ),
        (
            "latency-tracking-info-percentiles",
            "50 101",
            "latency-tracking-info-percentiles parameters should sit between [0.0,100.0]",
        ),
        (
            "client-output-buffer-limit",
            "master 1 1 1",
            "Invalid client class specified in buffer limit configuration.",
        ),
        (
            "client-output-buffer-limit",
            "normal 1 x 1",
            "Error in hard, soft or soft_seconds setting in buffer limit configuration.",
        ),
        (
            "proc-title-template",
            "{foo}",
            "template format is invalid or contains unknown variables",
        ),
        (
            "cluster-announce-hostname",
            "a b",
            "Hostnames may only contain alphanumeric characters, hyphens or dots",
        ),
        ("replicaof", "a 1", "can't set immutable config"),
    ];
    for (name, value, expected) in cases {
        assert_eq!(set(name, value), expected, "{name} {value}");
    }
}

#[test]
fn config_set_prints_values_in_their_canonical_form() {
    let cases = [
        ("maxmemory", "1k", "1000"),
        ("maxmemory", "1KB", "1024"),
        ("maxmemory", "1m", "1000000"),
        ("maxmemory", "1Mb", "1048576"),
        ("maxmemory", "1g", "1000000000"),
        ("maxmemory", "1gb", "1073741824"),
        ("maxmemory", "7b", "7"),
        ("maxmemory", "", "0"),
        ("maxmemory-clients", "50%", "50%"),
        ("oom-score-adj", "relative", "yes"),
        ("appendfsync", "ALWAYS", "always"),
        ("hz", "0", "1"),
        ("hz", "1000", "500"),
        ("repl-backlog-size", "1", "16384"),
        ("notify-keyspace-events", "KEA", "AKE"),
        ("notify-keyspace-events", "Elg$", "g$lE"),
        ("notify-keyspace-events", "nK", "nK"),
        ("notify-keyspace-events", "g$lshzxetd", "A"),
        ("shutdown-on-sigterm", "force save", "save force"),
        ("latency-tracking-info-percentiles", "99.99 50", "99.99 50"),
        ("latency-tracking-info-percentiles", "", ""),
        ("save", "", ""),
        ("bind", "127.0.0.1 -::1", "127.0.0.1 -::1"),
        ("bind", "", ""),
        (
            "client-output-buffer-limit",
            "replica 1mb 1mb 60",
            "normal 0 0 0 slave 1048576 1048576 60 pubsub 33554432 8388608 60",
        ),
    ];
    for (name, value, expected) in cases {
        assert_eq!(set(name, value), expected, "{name} {value}");
    }
}

#[test]
fn config_set_looks_at_the_situation() {
    let mut config = with_text("enable-protected-configs local\n").unwrap();
    let pairs: &[(&[u8], &[u8])] = &[(b"dbfilename", b"other.rdb")];
    let refused = config.set_pairs(pairs, Caller::default()).unwrap_err().to_string();
    assert!(refused.ends_with("can't set protected config"), "{refused}");
    assert!(config.set_pairs(pairs, Caller { local: true, loading: false }).is_ok());
    let loading = Caller { local: true, loading: true };
    let pairs: &[(&[u8], &[u8])] = &[(b"appendonly", b"yes"), (b"nope", b"1")];
    let error = config.set_pairs(pairs, loading).unwrap_err();
    assert_eq!(error.to_string(), "LOADING Redis is loading the dataset in memory");
    let pairs: &[(&[u8], &[u8])] = &[(b"hz", b"1"), (b"HZ", b"2")];
    let error = config.set_pairs(pairs, Caller::default()).unwrap_err().to_string();
    assert!(error.ends_with("related to argument 'HZ') - duplicate parameter"), "{error}");
}
