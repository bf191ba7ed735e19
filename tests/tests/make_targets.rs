//! What `make run` and `make install` do, by way of the scripts behind them. Debian's server stands in
//! for ours in the self-tests: the scripts know programs by their names only.

use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, ExitStatus, Stdio};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use tandem_tests::each_server;
use tempfile::TempDir;
use testkit::binaries::{self, debian};
use testkit::process::{Finished, GroupLeader, kill_group_on_drop, run, run_command, write_script};
use testkit::wait::{LONG, wait_for, wait_until};
use testkit::{Client, Kind, ports::Port};

/// A folder with `redis-master`, `redis-replica` and `redis-server`, whoever made them.
fn bin_dir(kind: Kind) -> TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    for name in ["redis-master", "redis-replica", "redis-server"] {
        let program = match (kind, name) {
            (Kind::Redis, _) => Kind::Redis.program(),
            (_, "redis-master") => Kind::TandemMaster.program(),
            (_, "redis-replica") => Kind::TandemReplica.program(),
            _ => Kind::Tandem.program(),
        };
        symlink(program, dir.path().join(name)).expect("a link");
    }
    dir
}

fn script(name: &str) -> PathBuf {
    binaries::workspace_root().join("scripts").join(name)
}

fn read(path: &Path) -> String {
    testkit::process::read_lossy(path)
}

/// Under `make test` a make that a test runs took itself for a part of that one, and said last which folder
/// it leaves.
fn without_outer_make(mut command: Command) -> Command {
    for name in ["MAKEFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "MFLAGS"] {
        command.env_remove(name);
    }
    command
}

/// What runs in the background of a script ignores Ctrl-C, and so would all that it starts; a shell cannot trap
/// what it was started to ignore. A terminal's commands do not begin like that, and ours here do not either.
const AS_FROM_A_TERMINAL: [&str; 2] = ["env", "--default-signal=INT"];

/// Starts both, reads `info replication` of both on the terminal, writes, and presses Ctrl-C.
fn make_run_starts_a_pair_and_ctrl_c_stops_both(kind: Kind) {
    let bins = bin_dir(kind);
    let data = tempfile::tempdir().expect("a folder");
    let (port, replica_port) = Port::reserve_pair();
    let output_path = data.path().join("output");
    for life in 1..=2 {
        let output = testkit::process::create_file(&output_path);
        let mut command = Command::new(AS_FROM_A_TERMINAL[0]);
        command
            .args(&AS_FROM_A_TERMINAL[1..])
            .arg(script("run.sh"))
            .arg(bins.path())
            .env("TANDEM_DATA", data.path())
            .env("TANDEM_PORT", port.number().to_string())
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("a second handle"))
            .stderr(output)
            .process_group(0);
        let mut child = kill_group_on_drop(command.spawn().expect("run.sh starts"));
        let group = Pid::from_raw(child.id() as i32);
        wait_for(LONG, "both are in sync", || {
            let text = read(&output_path);
            if text.contains("\nIn sync: ") { Ok(()) } else { Err(text) }
        });
        let text = read(&output_path);
        assert!(text.contains("role:master\nconnected_slaves:1\nslave0:ip=127.0.0.1,"), "{text}");
        assert!(text.contains("role:slave\n") && text.contains("master_link_status:up"), "{text}");
        assert!(text.contains("\nmaster | ") && text.contains("\nreplica | "), "{text}");

        let mut master = Client::connect(("127.0.0.1", port.number())).expect("the master");
        let mut replica =
            Client::connect(("127.0.0.1", replica_port.number())).expect("the replica");
        master.good(&format!("SET life:{life} lived"));
        wait_until(LONG, "all writes of all lives are there", || {
            (1..=life).all(|n| !replica.run(&format!("EXISTS life:{n}")).is_error())
                && replica.good("DBSIZE").int() == life
        });

        killpg(group, Signal::SIGINT).expect("the script runs");
        let what = "run.sh ends";
        let status = wait_for(LONG, what, || child.try_wait().ok_or_else(|| read(&output_path)));
        assert!(status.success(), "{status}\n{}", read(&output_path));
        for port in [port.number(), replica_port.number()] {
            assert!(Client::connect(("127.0.0.1", port)).is_err(), "{port} is still served");
        }
        for name in ["master", "replica"] {
            assert!(data.path().join(name).join("dump.rdb").is_file(), "{name} has saved its data");
        }
    }
}

/// `make run` in a terminal of its own, as `script` makes one; what is typed there goes to `keys`.
struct Terminal {
    screen: PathBuf,
    keys: ChildStdin,
    child: GroupLeader,
    data: TempDir,
    _bins: TempDir,
}

impl Terminal {
    fn make_run(kind: Kind, port: u16) -> Terminal {
        Terminal::make_run_with(bin_dir(kind), port, &std::env::var("PATH").expect("a PATH"))
    }

    fn make_run_with(bins: TempDir, port: u16, path: &str) -> Terminal {
        let data = tempfile::tempdir().expect("a folder");
        let screen = data.path().join("screen");
        let rule = format!("run:\n\t{} {}\n", script("run.sh").display(), bins.path().display());
        write_script(&data.path().join("Makefile"), &rule);
        let make_run = format!("{} make run", AS_FROM_A_TERMINAL.join(" "));
        let mut command = without_outer_make(Command::new("script"));
        command
            .args(["-qec", &make_run, "/dev/null"])
            .current_dir(data.path())
            .env("PATH", path)
            .env("TMPDIR", data.path())
            .env("HOME", data.path())
            .env("TANDEM_DATA", data.path())
            .env("TANDEM_PORT", port.to_string())
            .stdin(Stdio::piped())
            .stdout(testkit::process::create_file(&screen))
            .process_group(0);
        let mut child = command.spawn().expect("script is part of every Linux");
        let keys = child.stdin.take().expect("a keyboard");
        Terminal { screen, keys, child: kill_group_on_drop(child), data, _bins: bins }
    }

    fn text(&self) -> String {
        read(&self.screen).replace('\r', "")
    }

    fn wait_in_sync(&self) {
        wait_for(LONG, "the screen says what is next", || {
            let text = self.text();
            if text.ends_with(LAST_LINE) { Ok(()) } else { Err(text) }
        });
    }

    fn press(&mut self, keys: &[u8]) {
        self.keys.write_all(keys).expect("the terminal is there");
    }

    /// How make ends, and all that it has shown.
    fn wait_end(&mut self) -> (ExitStatus, String) {
        let status =
            wait_for(LONG, "make ends", || self.child.try_wait().ok_or_else(|| read(&self.screen)));
        (status, self.text())
    }
}

const LAST_LINE: &str = "\nCtrl-C here stops both.\n";

/// Ctrl-C ended in "A server has ended by itself" and "make: *** Error 1": the terminal's signal went to the
/// `sleep` of the script alone, which had the foreground to itself. Twice is as good as once.
fn ctrl_c_of_make_run_ends_in_an_error(kind: Kind) {
    for times in [1, 2] {
        let (port, replica_port) = Port::reserve_pair();
        let mut terminal = Terminal::make_run(kind, port.number());
        terminal.wait_in_sync();
        Client::connect(("127.0.0.1", port.number())).expect("the master").good("SET k v");
        terminal.press(&b"\x03".repeat(times));
        let (status, text) = terminal.wait_end();
        let says = format!("their data is in {}.\n", terminal.data.path().display());
        assert!(status.success() && text.ends_with(&says), "{status}\n{text}");
        for port in [port.number(), replica_port.number()] {
            assert!(Client::connect(("127.0.0.1", port)).is_err(), "{port} is still served");
        }
        assert!(terminal.data.path().join("master/dump.rdb").is_file(), "the master has saved");
    }
}

/// A background job of a shell, which ignores Ctrl-C, did not end on SIGTERM, and its servers stayed: as long as
/// nobody had asked how the outer script had ended, the inner one took it for alive.
fn a_background_make_run_outlives_sigterm(kind: Kind) {
    let bins = bin_dir(kind);
    let data = tempfile::tempdir().expect("a folder");
    let (port, replica_port) = Port::reserve_pair();
    let (screen, pid) = (data.path().join("screen"), data.path().join("pid"));
    // Who waits for nothing never asks how its child has ended.
    let line = format!(
        "{} {} & echo $! >{}; exec tail -f /dev/null",
        script("run.sh").display(),
        bins.path().display(),
        pid.display()
    );
    let mut command = Command::new("script");
    command
        .args(["-qec", &line, "/dev/null"])
        .env("SHELL", "/bin/sh")
        .env("TANDEM_DATA", data.path())
        .env("TANDEM_PORT", port.number().to_string())
        .stdin(Stdio::piped())
        .stdout(testkit::process::create_file(&screen))
        .process_group(0);
    let _parent = kill_group_on_drop(command.spawn().expect("script is part of every Linux"));
    let text = || read(&screen).replace('\r', "");
    wait_until(LONG, "the screen says what is next", || text().ends_with(LAST_LINE));
    let pid = read(&pid).trim().parse().expect("the job's id");
    kill(Pid::from_raw(pid), Signal::SIGTERM).expect("it runs");
    wait_for(LONG, "both have stopped", || {
        let text = text();
        if text.contains("\nBoth have stopped") { Ok(()) } else { Err(text) }
    });
    for port in [port.number(), replica_port.number()] {
        assert!(Client::connect(("127.0.0.1", port)).is_err(), "{port} is still served");
    }
}

/// Without a terminal the script is alone, and whoever sends a signal can wait for the end of it.
fn make_run_without_a_terminal_ends_its_servers_on_any_signal(kind: Kind) {
    let bins = bin_dir(kind);
    for signal in [Signal::SIGTERM, Signal::SIGHUP] {
        let data = tempfile::tempdir().expect("a folder");
        let (port, replica_port) = Port::reserve_pair();
        let output_path = data.path().join("output");
        let output = testkit::process::create_file(&output_path);
        let mut command = Command::new("env");
        command
            .arg("--ignore-signal=INT")
            // Whoever runs the tests under nohup ignores SIGHUP, and a shell cannot take that back.
            .arg("--default-signal=HUP,TERM")
            .arg(script("run.sh"))
            .arg(bins.path())
            .env("TANDEM_DATA", data.path())
            .env("TANDEM_PORT", port.number().to_string())
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("a second handle"))
            .stderr(output)
            .process_group(0);
        let mut child = kill_group_on_drop(command.spawn().expect("run.sh starts"));
        wait_for(LONG, "both are in sync", || {
            let text = read(&output_path);
            if text.contains("\nIn sync: ") { Ok(()) } else { Err(text) }
        });
        kill(Pid::from_raw(child.id() as i32), signal).expect("it runs");
        let what = "run.sh ends";
        let status = wait_for(LONG, what, || child.try_wait().ok_or_else(|| read(&output_path)));
        assert!(status.success(), "{status}\n{}", read(&output_path));
        for port in [port.number(), replica_port.number()] {
            assert!(Client::connect(("127.0.0.1", port)).is_err(), "{port} is still served");
        }
    }
}

/// With a port taken, the pair moves on to the next free ones and leaves the other server alone. README's next
/// line then wrote into that server: what to type next is said with the real ports, and log lines that
/// come later do not push it off the screen. What the kernel is blamed for is said once.
fn make_run_with_a_port_taken_leads_into_a_strangers_server(kind: Kind) {
    let taken = testkit::Server::of(Kind::Redis).start();
    let mut terminal = Terminal::make_run(kind, taken.port());
    terminal.wait_in_sync();
    let block = terminal.text();
    let typed: Vec<Vec<&str>> = block
        .lines()
        .filter_map(|line| line.strip_prefix("    redis-cli "))
        .map(|line| line.split(' ').collect())
        .collect();
    let [set, get] = &typed[..] else { panic!("two commands in {block}") };
    let cli = |args: &[&str]| run(&debian("redis-cli"), args, LONG).expect_success("redis-cli");
    assert_eq!(cli(set).stdout, "OK\n");
    wait_until(LONG, "the replica has the key", || cli(get).stdout == "ahri\n");
    assert_eq!(taken.good("DBSIZE").int(), 0, "the other server is left alone");
    assert!(block.matches("Memory overcommit must be enabled").count() <= 1, "{block}");

    cli(&[&set[..2], &["BGSAVE"]].concat());
    let log = terminal.data.path().join("master/log");
    wait_until(LONG, "the snapshot is logged", || read(&log).contains("terminated with success"));
    assert_eq!(terminal.text(), block, "the last block stays the last thing on the screen");
    terminal.press(b"\x03");
    terminal.wait_end();
    taken.good("PING");
}

/// The programs of this host but those of a Redis, as a host has them that nobody has prepared.
fn bare_path() -> TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    for entry in std::fs::read_dir("/usr/bin").expect("programs").flatten() {
        let name = entry.file_name();
        if !["redis", "valkey", "tandem"].iter().any(|n| name.to_string_lossy().starts_with(n)) {
            symlink(entry.path(), dir.path().join(name)).expect("a link");
        }
    }
    dir
}

/// A stranger on a bare host: `make run`, the two lines as they stand on the screen, typed in another folder,
/// Ctrl-C. No client of Redis is installed, and nothing but data and logs is left.
#[test]
fn s5_6_a_stranger_on_a_bare_host_types_what_is_on_the_screen() {
    let (bare, elsewhere) = (bare_path(), tempfile::tempdir().expect("a folder"));
    let path = bare.path().to_string_lossy().into_owned();
    let bins = bin_dir(Kind::Tandem);
    symlink(binaries::tandem("redis-cli"), bins.path().join("redis-cli")).expect("a link");
    let (port, replica_port) = Port::reserve_pair();
    let mut terminal = Terminal::make_run_with(bins, port.number(), &path);
    terminal.wait_in_sync();
    let screen = terminal.text();
    let typed: Vec<&str> = screen.lines().filter_map(|line| line.strip_prefix("    ")).collect();
    let [set, get] = typed[..] else { panic!("two lines to type in {screen}") };
    let shell = |line: &str| {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", line]).env("PATH", &path).env("HOME", elsewhere.path());
        command.current_dir(elsewhere.path());
        run_command(command, LONG).expect_success(line).stdout
    };
    assert_eq!(shell(set), "OK\n", "{set}");
    wait_until(LONG, "the replica has the key", || shell(get) == "ahri\n");

    terminal.press(b"\x03");
    let (status, text) = terminal.wait_end();
    assert!(status.success() && text.contains("Both have stopped"), "{status}\n{text}");
    for port in [port.number(), replica_port.number()] {
        assert!(Client::connect(("127.0.0.1", port)).is_err(), "{port} is still served");
    }
    let names = |path: &Path| -> Vec<String> {
        let names = std::fs::read_dir(path).expect("a folder").flatten();
        let mut names: Vec<_> =
            names.map(|e| e.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    };
    // The first and the last are this test's.
    assert_eq!(names(terminal.data.path()), ["Makefile", "master", "replica", "screen"]);
    assert_eq!(names(elsewhere.path()), [""; 0], "nothing is left where one types");
    let written = names(&terminal.data.path().join("master"));
    assert!(written.iter().all(|n| ["dump.rdb", "log"].contains(&n.as_str())), "{written:?}");
}

/// The other side of a clean end: a server that was not asked to end makes the target fail, and its name
/// and its last words are on the screen.
fn make_run_says_which_server_has_ended_by_itself(kind: Kind) {
    let (port, replica_port) = Port::reserve_pair();
    let mut terminal = Terminal::make_run(kind, port.number());
    terminal.wait_in_sync();
    let mut replica = Client::connect(("127.0.0.1", replica_port.number())).expect("the replica");
    let _ = replica.try_args(&["SHUTDOWN", "NOSAVE"]);
    let (status, text) = terminal.wait_end();
    assert!(!status.success() && text.contains("The replica has ended by itself"), "{text}");
    assert!(text.contains("Redis is now ready to exit"), "{text}");
    assert!(Client::connect(("127.0.0.1", port.number())).is_err(), "the master is stopped");
}

fn make_install_puts_binaries_and_examples_into_place(kind: Kind) {
    let bins = bin_dir(kind);
    let root = tempfile::tempdir().expect("a folder");
    let bin = root.path().join("usr/bin");
    // Twice: what is there already is replaced as a whole.
    for _ in 0..2 {
        let mut command = Command::new(script("install.sh"));
        command.arg(bins.path()).args(["redis-server", "redis-master"]);
        command.env("PREFIX", "/usr").env("CONFDIR", "/etc/redis").env("DESTDIR", root.path());
        run_command(command, LONG).expect_success("install.sh");
        for name in ["redis-server", "redis-master"] {
            let installed = std::fs::metadata(bin.join(name)).expect("the binary is there");
            assert_eq!(installed.permissions().mode() & 0o777, 0o755);
        }
        let names: Vec<String> = std::fs::read_dir(&bin)
            .expect("the folder")
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        assert_eq!(names.len(), 5, "nothing half-made stays behind: {names:?}");
    }
    let version = Command::new(bin.join("redis-server")).arg("--version").output();
    assert!(version.is_ok_and(|v| v.status.success()), "what is installed runs");
}

/// `sudo make install` called cargo as root, whether or not there was anything to build, and installed
/// binaries of five times their size; `PREFIX=/usr` wrote to /usr/etc.
#[test]
fn make_install_builds_as_root_and_installs_debug_info() {
    let root = tempfile::tempdir().expect("a folder");
    let path = |name: &str| root.path().join(name);
    write_script(&path("cargo"), "#!/bin/sh\n{ echo \"$*\"; env; } >\"${0%/*}/cargo-ran\"\n");
    let tools = ["redis-cli", "redis-check-rdb", "redis-check-aof", "redis-benchmark"];
    let servers = [Kind::Tandem, Kind::TandemMaster, Kind::TandemReplica].map(Kind::program);
    for program in servers.into_iter().chain(tools.map(binaries::tandem)) {
        let name = program.file_name().expect("a name").to_string_lossy();
        write_script(&path(&format!("target/release/{name}")), "");
        std::fs::copy(&program, path(&format!("target/release/{name}"))).expect("a copy");
    }
    let install = || {
        let mut command = without_outer_make(Command::new("make"));
        command
            .args(["install", "PREFIX=/usr"])
            .arg(format!("DESTDIR={}", path("dest").display()))
            .arg(format!("CARGO={}", path("cargo").display()))
            .arg(format!("CARGO_TARGET_DIR={}", path("target").display()))
            .current_dir(binaries::workspace_root())
            .env_remove("SUDO_USER");
        run_command(command, LONG).expect_success("make install").output()
    };
    let output = install();
    assert!(!path("cargo-ran").exists(), "nothing was to be built: {output}");
    assert!(path("dest/etc/redis/redis.conf.example").is_file(), "{output}");
    let sections = |name: &str| {
        let mut command = Command::new("readelf");
        command.args(["--sections", "--wide"]).arg(path(name));
        run_command(command, LONG).expect_success("readelf").stdout
    };
    for name in ["redis-server", "redis-master", "redis-replica"] {
        let binary = sections(&format!("dest/usr/bin/{name}"));
        assert!(binary.contains(".gnu_debuglink") && !binary.contains(".debug_info"), "{binary}");
        assert!(!binary.contains(".symtab"), "{binary}");
        let debug = sections(&format!("dest/usr/bin/{name}.debug"));
        assert!(debug.contains(".debug_info") && debug.contains(".symtab"), "{debug}");
    }
    let version = Command::new(path("dest/usr/bin/redis-server")).arg("--version").output();
    assert!(version.is_ok_and(|v| v.status.success()), "what is installed runs");

    // Older than its sources, one binary is enough to ask cargo.
    let old = std::fs::OpenOptions::new().write(true).open(path("target/release/redis-master"));
    let old = old.expect("the binary opens");
    old.set_modified(std::time::SystemTime::UNIX_EPOCH).expect("its time is set");
    let output = install();
    let ran = read(&path("cargo-ran"));
    assert!(ran.contains("build --release"), "{output}");
    // The make of jemalloc installed its library there, and the build did not find it.
    assert!(!ran.lines().any(|line| line.contains("DESTDIR=")), "{ran}");
}

/// What `make test` says in the end when cargo, the tools and the conformance suite end as told.
fn make_test_with(cargo: &str, tools: &str, conformance: &str) -> Finished {
    let root = tempfile::tempdir().expect("a folder");
    let put = |name: &str, text: &str| write_script(&root.path().join(name), text);
    put("cargo", &format!("#!/bin/sh\n{cargo}\n"));
    put("scripts/install-test-deps", &format!("#!/bin/sh\n{tools}\n"));
    put("scripts/conformance.sh", &format!("#!/bin/sh\n{conformance}\n"));
    put("scripts/test.sh", &read(&script("test.sh")));
    let mut command = Command::new(root.path().join("scripts/test.sh"));
    command.env("CARGO", root.path().join("cargo")).env("CARGO_TARGET_DIR", root.path());
    run_command(command, LONG)
}

/// `make test` stopped at the first stage that failed and said no numbers, and one that could not run,
/// such as a suite that could not be fetched, was nowhere among the failures.
#[test]
fn a_stage_of_make_test_that_could_not_run_is_no_failure_in_the_last_line() {
    let nextest = r#"case "$1 $2" in "nextest run")
        echo "     Summary [   1.000s] 7 tests run: 7 passed, 0 skipped" ;; "test "*)
        echo "   Doc-tests store"
        echo "test result: ok. 2 passed; 0 failed; 0 ignored" ;; esac"#;
    let plain = r#"case "$1 $*" in nextest*) exit 1 ;; test*--lib*)
        echo "     Running unittests src/lib.rs (target/debug/deps/store-1)"
        echo "test result: ok. 5 passed; 0 failed; 0 ignored"
        echo "     Running tests/x.rs (target/debug/deps/x-2)"
        CRASHED
        ;; test*--doc*)
        echo "   Doc-tests store"
        echo "test result: ok. 0 passed; 0 failed; 0 ignored" ;; esac"#;
    let whole = plain.replace("CRASHED", "echo 'test result: ok. 4 passed; 0 failed; 0 ignored'");
    // It runs twice: in plain words, then over TLS.
    let suite = r#"if [ -z "$CONFORMANCE_TLS" ]; then echo '10 passed, 0 failed, 1 skipped'; else
        echo '3 passed, 0 failed, 0 skipped'; fi"#;
    let lints = format!("[ \"$1\" != clippy ] || exit 101\n{nextest}");
    let red = nextest
        .replace("7 passed", "6 passed, 1 failed")
        .replace(";; \"test", "exit 100 ;; \"test");
    let cases = [
        (nextest, "", suite, "22 passed, 0 failed"),
        (&whole, "", suite, "22 passed, 0 failed"),
        (&plain.replace("CRASHED", "exit 101"), "", suite, "18 passed, 1 failed"),
        (&lints, "", suite, "22 passed, 1 failed"),
        (&lints, "exit 1", suite, "22 passed, 2 failed"),
        (&red, "", suite, "21 passed, 1 failed"),
        (nextest, "", "echo 'E: no source package'; exit 100", "9 passed, 2 failed"),
        (nextest, "", "exit 0", "9 passed, 2 failed"),
        (nextest, "", "echo '9 passed, 1 failed, 1 skipped'; exit 1", "27 passed, 2 failed"),
        ("exit 101", "", suite, "13 passed, 5 failed"),
    ];
    for (cargo, tools, conformance, last) in cases {
        let finished = make_test_with(cargo, tools, conformance);
        let output = finished.output();
        assert_eq!(finished.stdout.lines().last(), Some(last), "{output}");
        assert_eq!(finished.status.success(), last.ends_with(" 0 failed"), "{output}");
    }
}

each_server! {
    make_run_starts_a_pair_and_ctrl_c_stops_both,
    ctrl_c_of_make_run_ends_in_an_error,
    a_background_make_run_outlives_sigterm,
    make_run_without_a_terminal_ends_its_servers_on_any_signal,
    make_run_with_a_port_taken_leads_into_a_strangers_server,
    make_run_says_which_server_has_ended_by_itself,
    make_install_puts_binaries_and_examples_into_place,
}
