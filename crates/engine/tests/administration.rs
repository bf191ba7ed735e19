//! MEMORY, LATENCY, ACL and what clients ask for at start-up.

mod common;

use common::Database;
use engine::Settings;

#[test]
fn memory_usage_grows_with_the_value_and_is_null_without_one() {
    let mut db = Database::new();
    let c = db.connect();
    db.run(c, "SET small v");
    db.run_args(c, &[b"SET", b"large", &[b'x'; 5000]]);
    let bytes = |reply: String| -> u64 { reply[1..].trim().parse().unwrap_or(0) };
    let small = bytes(db.run(c, "MEMORY USAGE small"));
    let large = bytes(db.run(c, "MEMORY USAGE large SAMPLES 0"));
    assert!((20..100).contains(&small), "{small}");
    assert!((5000..6000).contains(&large), "{large}");
    assert_eq!(db.run(c, "MEMORY USAGE absent"), "$-1\r\n");
    assert_eq!(db.run(c, "MEMORY USAGE small x"), "-ERR syntax error\r\n");
    assert_eq!(db.run(c, "MEMORY USAGE small SAMPLES -1"), "-ERR syntax error\r\n");
    assert!(db.run(c, "MEMORY STATS").starts_with("*64\r\n$14\r\npeak.allocated\r\n:0\r\n"));
    assert!(db.run(c, "MEMORY DOCTOR").contains("Hi Sam, this instance is empty"));
}

#[test]
fn spikes_are_remembered_until_reset() {
    let settings = Settings { latency_monitor_threshold_ms: 5, ..Settings::default() };
    let mut db = Database::with(settings);
    let c = db.connect();
    assert!(db.run(c, "LATENCY DOCTOR").contains("no latency spike was observed"));
    // The world's clock runs ahead of the pass's by what the command takes.
    db.world.now.mono_us = db.now.mono_us + 7_000;
    db.run(c, "KEYS *");
    db.world.now.mono_us += 9_000;
    db.run(c, "KEYS *");
    let at = db.now.unix_s();
    assert_eq!(
        db.run(c, "LATENCY LATEST"),
        format!("*1\r\n*4\r\n$7\r\ncommand\r\n:{at}\r\n:9\r\n:9\r\n")
    );
    let history = format!("*1\r\n*2\r\n:{at}\r\n:9\r\n");
    assert_eq!(db.run(c, "LATENCY HISTORY Command"), history);
    assert!(db.run(c, "LATENCY GRAPH command").contains("command - high 9 ms, low 9 ms"));
    assert!(db.run(c, "LATENCY DOCTOR").contains("1. command: 1 latency spikes"));
    assert_eq!(db.run(c, "LATENCY RESET other"), ":0\r\n");
    assert_eq!(db.run(c, "LATENCY RESET"), ":1\r\n");
    assert_eq!(db.run(c, "LATENCY LATEST"), "*0\r\n");
    assert_eq!(
        db.run(c, "LATENCY GRAPH command"),
        "-ERR No samples available for event 'command'\r\n"
    );
    assert!(
        db.run(c, "LATENCY HISTOGRAM keys")
            .starts_with("*2\r\n$4\r\nkeys\r\n*4\r\n$5\r\ncalls\r\n:2\r\n")
    );
}

#[test]
fn a_password_is_shown_only_as_its_hash() {
    let settings = Settings { requirepass: b"secret".to_vec(), ..Settings::default() };
    let mut db = Database::with(settings);
    let c = db.connect();
    assert_eq!(db.run(c, "ACL WHOAMI"), "-NOAUTH Authentication required.\r\n");
    db.run(c, "AUTH secret");
    let hash = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";
    let list = db.run(c, "ACL LIST");
    assert!(
        list.contains(&format!("user default on sanitize-payload #{hash} ~* &* +@all")),
        "{list}"
    );
}

#[test]
fn what_is_absent_says_so() {
    let mut db = Database::new();
    let c = db.connect();
    for command in ["CLUSTER INFO", "READONLY", "READWRITE", "ASKING"] {
        assert_eq!(
            db.run(c, command),
            "-ERR This instance has cluster support disabled\r\n",
            "{command}"
        );
    }
    assert_eq!(db.run(c, "MODULE LIST"), "*0\r\n");
    assert!(db.run(c, "LOLWUT").ends_with("Redis ver. 7.2.4\n\r\n"));
}

/// Scripts can make up codes without end.
#[test]
fn error_codes_beyond_a_number_are_counted_together() {
    let mut db = Database::new();
    let c = db.connect();
    for i in 0..200 {
        db.run(c, &format!("EVAL return{{err=ARGV[1]}} 0 E{i}"));
    }
    db.run(c, "EVAL return{err=ARGV[1]} 0 E7");
    let info = db.run(c, "INFO errorstats");
    assert!(info.contains("errorstat_E7:count=2\r\n"), "{info}");
    assert!(info.contains("errorstat_ERRORSTATS_OVERFLOW:count=72\r\n"), "{info}");
    assert_eq!(info.matches("errorstat_").count(), 129, "{info}");
}

#[test]
fn commands_that_stand_out_are_logged_by_what_they_stand_out_by() {
    let settings = Settings {
        slowlog_log_slower_than_us: -1,
        commandlog_request_larger_than_bytes: 30,
        commandlog_reply_larger_than_bytes: 20,
        commandlog_large_reply_max_len: 2,
        ..Settings::default()
    };
    let mut db = Database::with(settings);
    let c = db.connect();
    let value = "v".repeat(40);
    db.run(c, &format!("SET k {value}"));
    for _ in 0..3 {
        db.run(c, "GET k");
    }
    let len = |db: &mut Database, kind: &str| db.run(c, &format!("COMMANDLOG LEN {kind}"));
    assert_eq!(len(&mut db, "large-request"), ":1\r\n");
    assert_eq!(len(&mut db, "LARGE-REPLY"), ":2\r\n");
    assert_eq!(len(&mut db, "slow"), ":0\r\n");
    let log = db.run(c, "COMMANDLOG GET 1 large-reply");
    assert!(log.starts_with("*1\r\n*6\r\n:2\r\n:1700000000\r\n:47\r\n*2\r\n$3\r\nGET"), "{log}");
    assert_eq!(db.run(c, "COMMANDLOG RESET large-request"), "+OK\r\n");
    assert_eq!(db.run(c, "COMMANDLOG GET -1 large-request"), "*0\r\n");
    assert_eq!(
        db.run(c, "COMMANDLOG LEN x"),
        "-ERR type should be one of the following: slow, large-request, large-reply\r\n"
    );
    assert_eq!(
        db.run(c, "COMMANDLOG GET -2 slow"),
        "-ERR count should be greater than or equal to -1\r\n"
    );
}

#[test]
fn every_container_helps_with_all_it_has_and_no_more() {
    let mut db = Database::new();
    let c = db.connect();
    for name in [
        "ACL",
        "CLIENT",
        "COMMAND",
        "COMMANDLOG",
        "CONFIG",
        "LATENCY",
        "MEMORY",
        "MODULE",
        "OBJECT",
        "PUBSUB",
        "SLOWLOG",
    ] {
        let help = db.run(c, &format!("{name} HELP"));
        let head = format!("+{name} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:\r\n");
        assert!(help.contains(&head), "{help}");
        assert!(help.ends_with("+HELP\r\n+    Print this help.\r\n"), "{help}");
        let listed = db.run(c, &format!("COMMAND LIST FILTERBY PATTERN {name}|*"));
        for sub in listed.split("\r\n").filter_map(|word| word.split_once('|')) {
            let line = format!("\r\n+{}", sub.1.to_ascii_uppercase());
            assert!(help.contains(&line), "{name} {}: {help}", sub.1);
        }
    }
}

/// What is shown of tables adds up, in either form of Redis's, and of what has no table nothing is shown.
#[test]
fn debug_htstats_counts_what_is_there() {
    let mut db = Database::with(Settings {
        enable_debug_command: engine::settings::Guard::Yes,
        ..Settings::default()
    });
    let c = db.connect();
    let empty = "[Dictionary HT]\nHash table 0 stats (main hash table):\n\
                 No stats available for empty dictionaries\n\
                 [Expires HT]\nHash table 0 stats (main hash table):\n\
                 No stats available for empty dictionaries\n";
    assert_eq!(db.run(c, "DEBUG HTSTATS 0"), format!("${}\r\n{empty}\r\n", empty.len()));
    db.run(c, "DEBUG POPULATE 100");
    let brief = db.run(c, "DEBUG HTSTATS 0");
    assert!(brief.contains(" number of elements: 100\n") && !brief.contains("slots"), "{brief}");
    let full = db.run(c, "DEBUG HTSTATS 0 full");
    let (mut buckets, mut elements) = (0, 0);
    for line in full.lines().filter(|line| line.starts_with("   ")) {
        let numbers: Vec<usize> =
            line.split([' ', ':']).filter_map(|word| word.parse().ok()).collect();
        buckets += numbers[1];
        elements += numbers[0] * numbers[1];
    }
    assert_eq!(elements, 100, "{full}");
    assert!(full.contains(&format!(" table size: {buckets}\n")), "{full}");
    assert_eq!(db.run(c, "DEBUG HTSTATS 99"), "-ERR Out of range database\r\n");
    db.run(c, "SADD ints 1 2");
    db.run(c, "SADD words a b c");
    db.run(c, &format!("SADD words {}", "x".repeat(100)));
    assert_eq!(db.run(c, "DEBUG HTSTATS-KEY nosuch"), "-ERR no such key\r\n");
    let refused =
        "-ERR The value stored at the specified key is not represented using an hash table\r\n";
    assert_eq!(db.run(c, "DEBUG HTSTATS-KEY ints"), refused);
    assert!(db.run(c, "DEBUG HTSTATS-KEY words").contains(" number of elements: 4\n"));
}
