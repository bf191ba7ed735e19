//! redis-cli beside Debian's: the same words on the command line and the same bytes in, against the
//! same server, give the same bytes out, the same complaints and the same exit status.

#![allow(clippy::disallowed_methods, reason = "files that a person hands to redis-cli")]

use std::io::Write;
use std::process::{Command, Stdio};

use tandem_tests::each_server;
use testkit::terminal::Terminal;
use testkit::{Kind, LONG, Server, binaries};

/// What is in the database before each comparison.
const DATA: &[&str] = &[
    "FLUSHALL",
    "SET str hello",
    "SET num 42",
    "RPUSH list a b c d e f g h i j k",
    "SADD one member",
    "HSET hash field value",
    "ZADD zset 1.5 a",
];

/// The file of cases that run or debug one.
const SCRIPT: &str = "local old = redis.call('get', KEYS[1])\n\
                      redis.call('set', KEYS[1], 'changed')\n\
                      return {old, ARGV[1]}\n";

/// One comparison: the command line behind `-h` and `-p`, in a shell's words, and the input.
struct Case<'a>(&'a str, &'a str);

const CASES: &[Case<'_>] = &[
    // Every type of reply, in every layout.
    Case("get str", ""),
    Case("get missing", ""),
    Case("get bin", ""),
    Case("get list", ""),
    Case("nosuchcommand x", ""),
    Case("incr num", ""),
    Case("set a b", ""),
    Case("lrange list 0 -1", ""),
    Case("lrange list 0 2", ""),
    Case("lrange list 5 1", ""),
    Case("hgetall hash", ""),
    Case("smembers one", ""),
    Case("zrange zset 0 -1 withscores", ""),
    Case("mget str missing num", ""),
    Case("echo ''", ""),
    Case("object help", ""),
    Case("--no-raw get str", ""),
    Case("--no-raw get missing", ""),
    Case("--no-raw get bin", ""),
    Case("--no-raw incr num", ""),
    Case("--no-raw get list", ""),
    Case("--no-raw lrange list 0 -1", ""),
    Case("--no-raw mget str missing num", ""),
    Case("--no-raw hgetall hash", ""),
    Case("--no-raw command info get", ""),
    Case("--no-raw command getkeysandflags set a b", ""),
    Case("--no-raw time x", ""),
    Case("--csv lrange list 0 -1", ""),
    Case("--csv get bin", ""),
    Case("--csv get missing", ""),
    Case("--csv get list", ""),
    Case("--csv incr num", ""),
    Case("--csv command info get", ""),
    Case("--json hgetall hash", ""),
    Case("--json get bin", ""),
    Case("--json get missing", ""),
    Case("--json get list", ""),
    Case("--json lrange list 0 -1", ""),
    Case("--json command info get", ""),
    Case("--json zscore zset a", ""),
    Case("--json -2 hgetall hash", ""),
    Case("--quoted-json get bin", ""),
    Case("--quoted-json hgetall hash", ""),
    Case("-3 hgetall hash", ""),
    Case("-3 --no-raw hgetall hash", ""),
    Case("-3 --no-raw smembers one", ""),
    Case("-3 --no-raw zscore zset a", ""),
    Case("-3 --no-raw zrange zset 0 -1 withscores", ""),
    Case("-3 --no-raw config get 'maxmemory*'", ""),
    Case("-3 --no-raw hgetall missing", ""),
    Case("-3 --no-raw smembers missing", ""),
    Case("-3 --no-raw command info get", ""),
    Case("-3 --csv config get maxmemory", ""),
    Case("-3 --raw config get maxmemory", ""),
    Case("-3 --json config get maxmemory", ""),
    Case("-3 --no-raw debug protocol string", ""),
    Case("-3 --no-raw debug protocol integer", ""),
    Case("-3 --no-raw debug protocol double", ""),
    Case("-3 --no-raw debug protocol null", ""),
    Case("-3 --no-raw debug protocol array", ""),
    Case("-3 --no-raw debug protocol set", ""),
    Case("-3 --no-raw debug protocol map", ""),
    Case("-3 --no-raw debug protocol verbatim", ""),
    Case("-3 --no-raw debug protocol true", ""),
    Case("-3 --no-raw debug protocol false", ""),
    Case("-3 --csv debug protocol map", ""),
    Case("-3 --csv debug protocol set", ""),
    Case("-3 --json debug protocol map", ""),
    Case("-3 --json debug protocol set", ""),
    Case("-3 --json debug protocol double", ""),
    Case("-3 --json debug protocol verbatim", ""),
    Case("-3 --raw debug protocol map", ""),
    Case("-3 --raw debug protocol double", ""),
    Case("-3 --raw debug protocol true", ""),
    Case("-2 --no-raw debug protocol map", ""),
    Case("-2 --no-raw debug protocol double", ""),
    // Texts that are printed as they are.
    Case("--no-raw client getname", ""),
    Case("--no-raw memory doctor", ""),
    Case("--no-raw latency doctor", ""),
    Case("--no-raw lolwut version 5 1 0 1", ""),
    // Delimiters.
    Case("-d , lrange list 0 2", ""),
    Case("-d '' lrange list 0 2", ""),
    Case("-D '' get str", ""),
    Case("-D ';' --raw -r 3 get str", ""),
    Case("-D ';' --no-raw get str", ""),
    // Databases, repetitions.
    Case("-n 3 dbsize", ""),
    Case("-n 3 --no-raw set x y", ""),
    Case("-n 99 ping", ""),
    Case("-n x ping", ""),
    Case("-r 3 incr num", ""),
    Case("-r 0 incr num", ""),
    Case("-r 2 -i 0.01 ping", ""),
    Case("-i 0.01 ping", ""),
    // Input.
    Case("-x set fromstdin", "some bytes\n"),
    Case("-x set fromstdin", ""),
    Case("-x echo", "a\nb"),
    Case("-X tag set tag value", "key"),
    Case("-X tag set a b", "key"),
    Case("-X tag echo tag", "multi\nline\n"),
    Case("-x -X tag get x", ""),
    Case(r#"--quoted-input echo '"\x41\n"'"#, ""),
    Case(r#"--quoted-input echo '"open'"#, ""),
    Case(r#"--quoted-input set '"a b"' 'c d'"#, ""),
    Case("", "ping\n"),
    Case("", "set x 1\nincr x\nget x\n"),
    Case("--no-raw", "set x 1\nincr x\nget x\nlrange list 0 1\n"),
    Case("", "\n\n  \nping"),
    Case("", "get \"open\nping\n"),
    Case("--no-raw", "3 incr num\n"),
    Case("", "0 incr num\n-1 ping\n"),
    Case("--no-raw", "select 3\nset in3 1\nselect 99\ndbsize\n"),
    Case("--no-raw", "multi\nset x 1\nincr x\nexec\n"),
    Case("--no-raw", "multi\nget\nexec\n"),
    Case("--no-raw", "multi\nset x 1\ndiscard\nget x\n"),
    Case("--no-raw", "reset\nping\n"),
    Case("", "quit\nping\n"),
    Case("", "exit\nping\n"),
    Case("", ":set hints\n:set nothing\n:foo\n"),
    Case("", "restart\n"),
    Case("", "echo \"a b\" 'c'\n"),
    Case("", "echo \"\\x41\\n\"\n"),
    Case("", "echo a\"b\n"),
    Case("--csv", "lrange list 0 -1\nget str\n"),
    Case("--json", "hgetall hash\nget bin\n"),
    Case("-e", "nosuch\nping\n"),
    // Exit status.
    Case("-e get list", ""),
    Case("-e get str", ""),
    Case("-e --no-raw nosuch", ""),
    Case("-e -r 3 get list", ""),
    // Pushes and the two protocols.
    Case("-3 ping", ""),
    Case("-2 -3 ping", ""),
    Case("-3 --json -2 ping", ""),
    Case("-3 --show-pushes y ping", ""),
    Case("-3 --show-pushes maybe ping", ""),
    // Authentication.
    Case("-a secret ping", ""),
    Case("-a secret --no-auth-warning ping", ""),
    Case("--pass secret --user bob --no-auth-warning ping", ""),
    Case("--user bob ping", ""),
    Case("--askpass ping", "secret\n"),
    // Refused command lines.
    Case("--nosuchflag", ""),
    Case("-z ping", ""),
    Case("-n", ""),
    Case("-r", ""),
    Case("-p", ""),
    Case("-u", ""),
    Case("-c -s /nowhere ping", ""),
    Case("-s /nowhere/at/all ping", ""),
    Case("-s /nowhere/at/all", "ping\n"),
    Case("-p 1 ping", ""),
    Case("-p 1", "ping\n"),
    Case("-p 1 -r 2 ping", ""),
    Case("-h no.such.host.invalid ping", ""),
    Case("-u http://x ping", ""),
    Case("-u redis://%4@x ping", ""),
    Case("-u redis://%zz@x ping", ""),
    Case("--rdb a --functions-rdb b", ""),
    Case("--quoted-pattern '\"open' --scan", ""),
    Case("-c get str", ""),
    Case("-c set a b", ""),
    // Scripts.
    Case("--eval /nowhere/script.lua a , b", ""),
    Case("--eval script.lua str , b", ""),
    // The debugger of scripts.
    Case("--ldb --eval broken.lua", ""),
    Case("--ldb --eval script.lua str , b", "help\nn\np\ne 1 +  1\nr get num\nc\nget str\n"),
    Case("--ldb-sync-mode --eval script.lua str , b", "n\nc\nget str\n"),
    Case("--ldb-sync-mode --eval script.lua str", "n\na\nping\n"),
    Case("--ldb --eval script.lua str , b", "restart\nw\nquit\n"),
    Case("--ldb --no-raw --eval script.lua str , b", "\nnosuch \"open\n"),
    Case("", "script debug yes\neval 'return 1' 0\np\nc\nget str\n"),
    // SHUTDOWN and friends that end the connection are elsewhere; QUIT is not.
    Case("quit", ""),
    Case("--no-raw quit", ""),
];

/// A command line's words, as a shell reads single quotes and blanks.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() {
        let mut word = String::new();
        let mut quoted = false;
        let mut end = rest.len();
        for (i, c) in rest.char_indices() {
            match c {
                '\'' => quoted = !quoted,
                ' ' if !quoted => {
                    end = i;
                    break;
                }
                c => word.push(c),
            }
        }
        words.push(word);
        rest = rest[end..].trim_start();
    }
    words
}

/// What one redis-cli did.
#[derive(Debug, PartialEq, Eq)]
struct Done {
    out: String,
    err: String,
    status: Option<i32>,
}

struct Bench {
    server: Server,
}

impl Bench {
    fn new(kind: Kind) -> Self {
        let server = Server::of(kind).set("enable-debug-command yes").start();
        std::fs::write(server.dir().join("script.lua"), SCRIPT).expect("the folder is ours");
        std::fs::write(server.dir().join("broken.lua"), "return (").expect("the folder is ours");
        Self { server }
    }

    fn prepare(&self) {
        let mut client = self.server.client();
        for line in DATA {
            client.good(line);
        }
        client.args(&[&b"SET"[..], b"bin", b"\x00\xff\r\n\"q\" \\ tab\t \xc3\xa9"]);
    }

    fn command(&self, whose: &str, line: &str) -> Command {
        let program = match whose {
            "ours" => binaries::tandem("redis-cli"),
            _ => binaries::debian("redis-cli"),
        };
        let mut command = Command::new(program);
        command.args(["-h", "127.0.0.1", "-p", &self.server.port().to_string()]);
        command.args(words(line)).env("HOME", self.server.dir()).env_remove("REDISCLI_AUTH");
        command.current_dir(self.server.dir());
        command
    }

    fn run(&self, whose: &str, Case(line, input): &Case<'_>) -> Done {
        self.prepare();
        let mut command = self.command(whose, line);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("redis-cli starts");
        // A program that does not read is not a reason to fail here.
        let _ = child.stdin.take().map(|mut stdin| stdin.write_all(input.as_bytes()));
        let output = child.wait_with_output().expect("redis-cli ends");
        Done {
            out: output.stdout.escape_ascii().to_string(),
            err: output.stderr.escape_ascii().to_string(),
            status: output.status.code(),
        }
    }

    fn on_terminal(&self, whose: &str, Case(line, _): &Case<'_>) -> Done {
        self.prepare();
        let (out, status) = Terminal::start(self.command(whose, line), false).finish(LONG);
        Done { out, err: String::new(), status }
    }
}

fn redis_cli_prints_what_debians_prints(kind: Kind) {
    let bench = Bench::new(kind);
    let mut differences = Vec::new();
    for case in CASES {
        let (ours, theirs) = (bench.run("ours", case), bench.run("theirs", case));
        if ours != theirs {
            let Case(line, input) = case;
            differences.push(format!(
                "redis-cli {line} < {input:?}\n  ours   {ours:?}\n  theirs {theirs:?}"
            ));
        }
    }
    assert!(differences.is_empty(), "{} differ:\n{}", differences.len(), differences.join("\n"));
}

fn redis_cli_prints_to_a_terminal_what_debians_prints(kind: Kind) {
    let bench = Bench::new(kind);
    let mut differences = Vec::new();
    for case in CASES.iter().filter(|Case(line, input)| !line.is_empty() && input.is_empty()) {
        // Without a command, the two read lines in ways of their own.
        if case.0 == "-s /nowhere/at/all" {
            continue;
        }
        let (ours, theirs) = (bench.on_terminal("ours", case), bench.on_terminal("theirs", case));
        if ours != theirs {
            differences
                .push(format!("redis-cli {}\n  ours   {ours:?}\n  theirs {theirs:?}", case.0));
        }
    }
    assert!(differences.is_empty(), "{} differ:\n{}", differences.len(), differences.join("\n"));
}

/// A person types: the prompt follows database and transaction, Tab and hints come from the server's
/// own docs, a subscription shows messages until a key is pressed, and no password is remembered.
fn a_person_types_commands(kind: Kind) {
    let bench = Bench::new(kind);
    let port = bench.server.port();
    let mut command = bench.command("ours", "");
    command.env("TERM", "xterm").env_remove("REDISCLI_HISTFILE");
    let mut cli = Terminal::start(command, true);
    // Each step: what is typed, and what the screen shows then.
    let steps = [
        ("set k ", "value [NX"),
        ("v\r", "OK\r\n"),
        ("auth sesame\r", "(error) "),
        ("conf\t", "CONFIG"),
        ("\x15multi\r", "(TX)> "),
        ("incr x\r", "QUEUED"),
        ("exec\r", "1) (integer) 1\r\n"),
        ("select 3\r", "[3]> "),
        ("2 incr y\r", "(integer) 1\r\n(integer) 2\r\n"),
        ("help incr\r", "\x1b[33mgroup:\x1b[0m string"),
        ("get \"open\r", "Invalid argument(s)"),
        (":set nohints\r:set nothing\r", "unknown redis-cli preference 'nothing'"),
        ("subscribe ch\r", "Reading messages... (press Ctrl-C to quit or any key to type command)"),
        ("\r", "[3](subscribed mode)> "),
        ("unsubscribe\r", "1) \"unsubscribe\""),
        ("connect 127.0.0.1 1\r", "Could not connect to Redis at 127.0.0.1:1: Connection refused"),
        ("", "not connected> "),
    ];
    cli.wait_for_text(&format!("127.0.0.1:{port}> "), LONG);
    for (keys, text) in steps {
        cli.press(keys);
        cli.wait_for_text(text, LONG);
    }
    cli.press("quit\r");
    let (screen, status) = cli.finish(LONG);
    assert_eq!(status, Some(0), "{screen}");
    let history = String::from_utf8(bench.server.read_file(".rediscli_history")).expect("text");
    assert!(history.starts_with("set k v\nmulti\n"), "{history}");
    assert!(!history.contains("sesame"), "{history}");
}

/// Ctrl-C ends MONITOR, not the session.
fn an_interrupt_ends_what_streams(kind: Kind) {
    let bench = Bench::new(kind);
    let mut command = bench.command("ours", "");
    command.env("TERM", "xterm");
    let mut cli = Terminal::start(command, true);
    cli.wait_for_text("> ", LONG);
    cli.press("monitor\r");
    cli.wait_for_text("OK\r\n", LONG);
    bench.server.good("SET seen 1");
    cli.wait_for_text("\"SET\" \"seen\" \"1\"", LONG);
    cli.interrupt();
    cli.press("echo afterwards\r");
    cli.wait_for_text("\"afterwards\"", LONG);
}

/// Hints as a program can ask for them: of a line, and of a file that says what it expects.
fn hints_are_tried_without_a_terminal(kind: Kind) {
    let bench = Bench::new(kind);
    let run = |line: &str| {
        let Done { out, err, status } = bench.run("ours", &Case(line, ""));
        (out, err, status)
    };
    let said = |out: &str| (out.to_owned(), String::new(), Some(0));
    assert_eq!(run("--test_hint 'lpop a '"), said("[count]\\n"));
    assert_eq!(run("--test_hint 'brpop a b'"), said("[key ...] timeout\\n"));
    assert_eq!(run("--test_hint nosuch"), said("\\n"));
    let file = |text: &str| {
        std::fs::write(bench.server.dir().join("hints"), text).expect("written");
        format!("--test_hint_file '{}'", bench.server.dir().join("hints").display())
    };
    let good = file("# a comment\n\n\"rpop a \" \"[count]\"\n\"open\n\"get a \" \"\"\n");
    assert_eq!(run(&good), said("SUCCESS: 2/2 passed\\n"));
    let bad = file("\"rpop a \" \"count\"\n\"nosuch \" \"\"\n\"get a \" \"\"\n");
    let (out, err, status) = run(&format!("--verbose {bad}"));
    assert!(
        out.starts_with("Input: \\'rpop a \\', Expected: \\'count\\', Hint: \\'[count]\\'\\n"),
        "{out}"
    );
    assert!(out.ends_with("FAILURE: 1/3 passed\\n"), "{out}");
    let expected = "Test case \\'rpop a \\' FAILED: expected \\'count\\', got \\'[count]\\'\\nTest case \\'nosuch \\' \
                    FAILED: expected \\'\\', got \\'(null)\\'\\n";
    assert_eq!((err.as_str(), status), (expected, Some(2)));
    let (_, err, status) = run(&file("\"get \"\n"));
    assert_eq!(err, "Missing expected hint for input \\'get \\'\\n");
    assert_eq!(status, Some(255));
    let (_, err, status) = run("--test_hint_file /nowhere");
    assert_eq!(err, "Can\\'t open file \\'/nowhere\\': No such file or directory\\n");
    assert_eq!(status, Some(255));
}

/// Of every command redis-cli hints the same whether the server tells its docs, may not tell them, or is
/// not there: its own table is the server's.
#[test]
fn hints_need_no_server_and_no_docs() {
    let bench = Bench::new(Kind::Tandem);
    let names = bench.server.good("COMMAND LIST").texts();
    let write = |hint: &dyn Fn(&str) -> String| {
        let lines = names.iter().map(|name| {
            let typed = name.replace('|', " ") + " ";
            format!("\"{typed}\" \"{}\"\n", hint(&typed))
        });
        let path = bench.server.dir().join("hints");
        std::fs::write(&path, lines.collect::<String>()).expect("written");
        format!("--test_hint_file '{}'", path.display())
    };
    let asked = bench.run("ours", &Case(&format!("--verbose {}", write(&|_| "?".into())), ""));
    let told: Vec<&str> = asked.out.split("\\n").collect();
    let told_of = |typed: &str| {
        let begin = format!("Input: \\'{typed}\\', Expected: \\'?\\', Hint: \\'");
        let line = told.iter().find_map(|line| line.strip_prefix(&begin));
        line.and_then(|hint| hint.strip_suffix("\\'")).expect("a hint").to_owned()
    };
    assert_eq!(told_of("append "), "key value");
    let file = write(&told_of);
    let all = format!("SUCCESS: {0}/{0} passed\\n", names.len());
    bench.server.good("ACL SETUSER clerk on >pass ~* &* +@all -command|docs");
    for way in ["", "-p 1", "--user clerk --pass pass --no-auth-warning"] {
        let done = bench.run("ours", &Case(&format!("{way} {file}"), ""));
        assert_eq!((done.out.as_str(), done.err.as_str()), (all.as_str(), ""), "{way:?}");
    }
}

/// What is no port and no time is refused before anybody is asked; a family of addresses may be preferred.
#[test]
fn addresses_are_judged_and_preferred() {
    let bench = Bench::new(Kind::Tandem);
    for (line, text) in [
        ("-p 65536 ping", "Invalid server port."),
        ("-p -1 ping", "Invalid server port."),
        ("-u redis://localhost:65536 ping", "Invalid server port."),
        ("-t soon ping", "Invalid connection timeout for -t."),
        ("-t -1 ping", "Invalid connection timeout for -t."),
        ("-t nan ping", "Invalid connection timeout for -t."),
        ("-4 -6 ping", "Options -4 and -6 are mutually exclusive."),
        ("--cluster info", "The cluster manager (--cluster) is not supported."),
    ] {
        let done = bench.run("ours", &Case(line, ""));
        assert_eq!((done.err, done.status), (format!("{text}\\n"), Some(1)), "{line}");
    }
    for line in ["-4 -h localhost ping", "-6 -h localhost ping", "-t 0 ping", "-t 1e1 ping"] {
        assert_eq!(bench.run("ours", &Case(line, "")).out, "PONG\\n", "{line}");
    }
}

each_server! {
    a_person_types_commands,
    an_interrupt_ends_what_streams,
    hints_are_tried_without_a_terminal,
    redis_cli_prints_what_debians_prints,
    redis_cli_prints_to_a_terminal_what_debians_prints,
}
