//! From `make install` to a service: what is put where and what is left alone, the units by systemd's own
//! judgement, and the installer, all in a temporary root.

#![allow(clippy::disallowed_methods, reason = "what operators do to files and processes")]

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tandem_tests::encrypted::Encrypted;
use tempfile::TempDir;
use testkit::binaries::tandem;
use testkit::certificates::Certificates;
use testkit::ports::Port;
use testkit::process::{Finished, run, run_command};
use testkit::wait::{LONG, wait_until};
use testkit::{Client, Kind, Server};

const PROGRAMS: [&str; 3] = ["redis-server", "redis-master", "redis-replica"];
const UNITS: [&str; 4] = [
    "redis-master.service",
    "redis-replica.service",
    "redis-master@.service",
    "redis-replica@.service",
];

/// A system of its own: `make install` with a DESTDIR goes there, and so does the installer.
struct Root {
    dir: TempDir,
    bins: TempDir,
}

impl Root {
    fn new() -> Root {
        let (dir, bins) =
            (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        for name in PROGRAMS {
            // Any program will do: ours take seconds to strip, and what they do is tested elsewhere.
            std::fs::copy("/bin/true", bins.path().join(name)).expect("a copy");
        }
        Root { dir, bins }
    }

    fn installed() -> Root {
        let root = Root::new();
        root.install();
        root
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        testkit::process::read_lossy(&self.path(name))
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("it is made");
        std::fs::write(path, text).expect("written");
    }

    fn script(&self, name: &str) -> Command {
        let scripts = testkit::binaries::workspace_root().join("scripts");
        let mut command = Command::new(scripts.join(name));
        command.env("PREFIX", "/usr").env("CONFDIR", "/etc/redis").env("DESTDIR", self.dir.path());
        command
    }

    fn install(&self) -> String {
        let mut command = self.script("install.sh");
        command.arg(self.bins.path()).args(PROGRAMS);
        run_command(command, LONG).expect_success("install.sh").output()
    }

    /// An installation during whose `nth` call of `tool` this happens: `kill` and `kill-after` end it as the kernel
    /// would, `term` as somebody who is impatient, and `full` is a disk on which there is no more room.
    fn install_interrupted(&self, tool: &str, nth: u32, what: &str) -> Finished {
        let shims = tempfile::tempdir().expect("a folder");
        let shim = shims.path().join(tool);
        let count = shims.path().join("count");
        let text = format!(
            r#"#!/bin/bash
real() {{ PATH=${{PATH#*:}} {tool} "$@"; }}
[ "$1" != -d ] || {{ real "$@"; exit; }}
echo >>{count}
[ "$(wc -l <{count})" = {nth} ] || {{ real "$@"; exit; }}
half() {{ head -c 40 "${{@: -2:1}}" >"${{@: -1}}"; }}
case {what} in
    kill-after) real "$@"; kill -KILL $PPID ;;
    kill) [ {tool} = mv ] || half "$@"; kill -KILL $PPID ;;
    term) kill -TERM $PPID; real "$@" ;;
    full) half "$@"; echo 'No space left on device' >&2; exit 1 ;;
esac
"#,
            count = count.display(),
        );
        std::fs::write(&shim, text).expect("written");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&shim, mode).expect("a mode");
        let path = std::env::var("PATH").expect("a path");
        let mut command = self.script("install.sh");
        command.arg(self.bins.path()).args(PROGRAMS);
        command.env("PATH", format!("{}:{path}", shims.path().display()));
        run_command(command, LONG)
    }

    fn uninstall(&self) -> String {
        run_command(self.script("uninstall.sh"), LONG).expect_success("uninstall.sh").output()
    }

    /// Every file and its contents.
    fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let mut found = BTreeMap::new();
        let mut folders = vec![self.dir.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
                let path = entry.path();
                let name = path.strip_prefix(self.dir.path()).expect("below").display().to_string();
                if path.is_dir() {
                    folders.push(path);
                    found.insert(name + "/", Vec::new());
                } else {
                    found.insert(name, std::fs::read(&path).unwrap_or_default());
                }
            }
        }
        found
    }

    fn installer(&self, args: &[&str], env: &[(&str, &str)], answers: &str) -> Finished {
        let mut command = Command::new("sh");
        command.args(["-c", r#"answers=$1; shift; printf %s "$answers" | "$@""#, "sh", answers]);
        command.arg(self.path("usr/bin/redis-install-server"));
        command.arg("--root").arg(self.dir.path()).args(args).envs(env.iter().copied());
        run_command(command, LONG)
    }

    /// Starts a server with what the installer wrote, but for places that are this test's.
    fn start(&self, kind: Kind, config: &str, port: u16) -> (Server, Client) {
        let data = self.path("data");
        std::fs::create_dir_all(&data).expect("a folder");
        let tls = self.path("etc/redis/tls").display().to_string();
        let text = self.read(config).replace("/etc/redis/tls", &tls);
        let mut builder = Server::of(kind).without_base_config();
        for line in text.lines().filter(|l| !l.trim_start().starts_with('#')) {
            let name = line.split(' ').next().unwrap_or_default();
            if !["dir", "logfile", "pidfile", "port", "daemonize"].contains(&name) {
                builder = builder.set(line);
            }
        }
        let server = builder.start();
        let ports = ["port", "tls-port"].map(|name| format!("\n{name} {port}\n"));
        assert!(ports.iter().any(|line| text.contains(line)), "{text}");
        let client = server.client();
        (server, client)
    }
}

/// The second installation wrote everything again; one that found an edited file overwrote it, and nothing
/// could take an installation back.
#[test]
fn install_again_and_uninstall_leave_edited_files_and_data_alone() {
    let root = Root::installed();
    let once = root.files();
    let said = root.install();
    assert!(said.contains("\n0 files installed, "), "{said}");
    assert!(root.files() == once, "twice is as good as once");
    for name in PROGRAMS {
        assert!(once.contains_key(&format!("usr/share/man/man1/{name}.1")), "{:?}", once.keys());
        assert!(once.contains_key(&format!("usr/share/bash-completion/completions/{name}")));
    }

    root.write("etc/redis/master.conf.template", "# mine\n");
    // One that an older version has installed, and that nobody has touched since.
    let old = "# old\n";
    root.write("etc/redis/replica.conf.template", old);
    let sum = format!("printf '%s' '{old}' | sha256sum | cut -d' ' -f1");
    let mut command = Command::new("sh");
    command.args(["-c", &sum]);
    let sum = run_command(command, LONG).expect_success("sha256sum").stdout;
    let manifest = root.read("usr/share/redis/installed");
    let line = manifest.lines().find(|l| l.ends_with("replica.conf.template")).expect("listed");
    let changed = format!("{} conf /etc/redis/replica.conf.template", sum.trim());
    root.write("usr/share/redis/installed", &manifest.replace(line, &changed));

    for _ in 0..2 {
        let said = root.install();
        assert!(
            said.contains("etc/redis/master.conf.template was edited and is left alone"),
            "{said}"
        );
        assert_eq!(root.read("etc/redis/master.conf.template"), "# mine\n");
        assert!(root.read("etc/redis/master.conf.template.new").contains("appendonly yes"));
        assert!(root.read("etc/redis/replica.conf.template").contains("replicaof"), "{said}");
    }

    root.write("var/lib/redis/6379/dump.rdb", "data");
    root.write("etc/redis/6379.conf", "port 6379\n");
    let said = root.uninstall();
    assert!(
        said.contains("left ") && said.contains("master.conf.template, which was edited"),
        "{said}"
    );
    let left = root.files();
    let left: Vec<&str> = left.keys().map(String::as_str).filter(|n| !n.ends_with('/')).collect();
    let mine =
        ["etc/redis/6379.conf", "etc/redis/master.conf.template", "var/lib/redis/6379/dump.rdb"];
    assert_eq!(left, mine);
    assert!(!root.path("usr").exists(), "no empty folder is left");
    let again = run_command(root.script("uninstall.sh"), LONG);
    assert!(!again.status.success() && again.output().contains("nothing to uninstall"));
}

/// A root with what is not ours: a file of somebody else's where our last one comes, a folder without anything in
/// it, and a file that is edited.
fn root_of_others() -> Root {
    let root = Root::new();
    root.write("usr/share/zsh/site-functions/_redis-server", "# another's\n");
    root.write("etc/redis/master.conf.template", "# mine\n");
    std::fs::create_dir_all(root.path("usr/share/man/man1")).expect("a folder");
    root
}

#[track_caller]
fn expect_files(root: &Root, before: &BTreeMap<String, Vec<u8>>, at: &str) {
    let left = root.files();
    assert!(left == *before, "{at}: {:?}, not {:?}", left.keys(), before.keys());
}

/// The list of what was installed was written last, so that nothing could take away what an installation had put
/// there that was killed or had no room. What it had not come to is not its own, nor are folders that were there.
#[test]
fn an_interrupted_installation_is_taken_back() {
    for (tool, nth, what) in [
        ("mv", 1, "kill-after"),
        ("install", 11, "full"),
        ("install", 20, "kill"),
        ("mv", 12, "term"),
    ] {
        let root = root_of_others();
        let before = root.files();
        let at = format!("{tool} {nth} {what}");
        let finished = root.install_interrupted(tool, nth, what);
        assert!(!finished.status.success(), "{at}: {}", finished.output());
        let told = finished.output().contains("not everything is in place");
        assert!(told || what.starts_with("kill"), "{at}: {}", finished.output());
        root.uninstall();
        expect_files(&root, &before, &at);
    }
}

#[test]
fn an_interrupted_installation_is_made_again() {
    let root = root_of_others();
    let mut before = root.files();
    for (tool, nth, what) in [("install", 14, "kill"), ("mv", 9, "kill")] {
        root.install_interrupted(tool, nth, what);
    }
    let said = root.install();
    assert!(said.contains("master.conf.template was edited"), "{said}");
    assert!(!root.files().keys().any(|name| name.contains(".tmp.")), "{:?}", root.files().keys());
    assert!(!root.read("usr/share/redis/installed").contains(" new "));
    root.uninstall();
    before.remove("usr/share/zsh/site-functions/_redis-server");
    expect_files(&root, &before, "uninstalled");
}

/// One that replaces an older one, which was there as a whole and had more.
#[test]
fn an_interrupted_upgrade_is_taken_back_with_what_was_there_before_it() {
    let root = Root::new();
    let before = root.files();
    root.install();
    let older = root.read("usr/share/redis/installed");
    let extra = "- file /usr/bin/redis-old\n- dir /usr/lib/old\n";
    root.write("usr/share/redis/installed", &(older + extra));
    root.write("usr/bin/redis-old", "of the older one alone");
    std::fs::create_dir_all(root.path("usr/lib/old")).expect("a folder");
    for name in PROGRAMS {
        std::fs::copy("/bin/false", root.bins.path().join(name)).expect("a copy");
    }
    root.install_interrupted("mv", 4, "kill-after");
    root.uninstall();
    expect_files(&root, &before, "uninstalled");
}

#[test]
fn an_installation_that_cannot_have_all_its_places_or_its_list_has_none() {
    let root = Root::new();
    let before = root.files();
    assert!(!root.install_interrupted("install", 1, "full").status.success());
    expect_files(&root, &before, "no room for the list");
    root.write("usr/share/fish", "no folder\n");
    let before = root.files();
    let mut command = root.script("install.sh");
    command.arg(root.bins.path()).args(PROGRAMS);
    let finished = run_command(command, LONG);
    assert!(!finished.status.success() && finished.output().contains("is not a directory"));
    expect_files(&root, &before, "a file where a folder is to be");
}

/// On a host where nothing else was installed, /usr/local/bin and others that are the system's went, too.
#[test]
fn uninstall_took_folders_of_the_system_with_it() {
    let root = Root::new();
    let systems = ["usr/bin", "usr/share/man"];
    systems.iter().for_each(|name| std::fs::create_dir_all(root.path(name)).expect("made"));
    // The second one finds folders that the first has made.
    root.install();
    root.install();
    root.uninstall();
    systems.iter().for_each(|name| assert!(root.path(name).is_dir(), "{name} is gone"));
    let left: Vec<String> = root.files().into_keys().collect();
    assert_eq!(left, ["usr/", "usr/bin/", "usr/share/", "usr/share/man/"]);
}

/// systemd's own checks: no unknown setting, no program that is not there, and little that a server that is
/// broken into could do.
#[test]
fn systemd_finds_nothing_wrong_with_the_units() {
    let root = Root::installed();
    let units = root.path("usr/lib/systemd/system");
    for (unit, port) in UNITS.iter().zip(["6379", "6379", "7000", "7000"]) {
        let text = std::fs::read_to_string(units.join(unit)).expect("the unit is installed");
        assert!(
            !text.contains("@CONF") && !text.contains("@BIN") && !text.contains("@PORT"),
            "{text}"
        );
        // What it names is there in the end, and not in a test.
        let sbin = root.path("usr/bin");
        let text = text.replace("=/usr/bin/", &format!("={}/", sbin.display()));
        let name = unit.replace('@', &format!("@{port}"));
        let path = root.path(&name);
        std::fs::write(&path, text).expect("written");
        let mut verify = Command::new("systemd-analyze");
        verify.args(["verify", "--man=no", "--recursive-errors=no"]).arg(&path);
        let verified = run_command(verify, LONG).expect_success("systemd-analyze verify").output();
        assert_eq!(verified.trim(), "", "{name}");
        let mut security = Command::new("systemd-analyze");
        security.args(["security", "--no-pager", "--offline=yes", "--threshold=20"]).arg(&path);
        let judged = run_command(security, LONG).expect_success("an exposure of 2.0").output();
        assert!(judged.contains("Overall exposure level"), "{judged}");
    }
    let text = root.read("usr/lib/systemd/system/redis-replica@.service");
    for line in
        ["Type=notify", "User=redis", "Conflicts=redis-master@%i.service", "OOMPolicy=continue"]
    {
        assert!(text.lines().any(|l| l == line), "{line} in {text}");
    }
}

#[test]
fn enter_takes_the_defaults_and_the_configuration_starts() {
    let root = Root::installed();
    let finished =
        root.installer(&["--no-start"], &[], &"\n".repeat(12)).expect_success("the installer");
    let said = finished.output();
    for line in [
        "    Port             6379",
        "    Role             master",
        "    Configuration    /etc/redis/6379.conf",
        "    Log              /var/log/redis_6379.log",
        "    Data             /var/lib/redis/6379",
        "    Executable       /usr/bin/redis-master",
        "    Service          redis-master.service",
        "    systemctl start redis-master.service",
    ] {
        assert!(said.lines().any(|l| l == line), "{line} in {said}");
    }
    assert!(
        root.path("var/lib/redis/6379").is_dir() && root.path("var/log/redis_6379.log").is_file()
    );
    let config = root.read("etc/redis/6379.conf");
    for line in [
        "port 6379",
        "appendonly yes",
        "dir /var/lib/redis/6379",
        "logfile /var/log/redis_6379.log",
    ] {
        assert!(config.lines().any(|l| l == line), "{line} in {config}");
    }
    assert!(!root.path("etc/systemd/system/redis-master.service.d").exists(), "nothing differs");
    let wanted = root.path("etc/systemd/system/multi-user.target.wants/redis-master.service");
    assert!(wanted.is_symlink(), "it starts with the host");
    let (server, mut client) = root.start(Kind::TandemMaster, "etc/redis/6379.conf", 6379);
    client.good("SET k v");
    assert_eq!(server.config("appendonly"), "yes");
}

/// From flags and the environment, with a second instance beside the first and places of its own.
#[test]
fn flags_and_variables_answer_the_questions() {
    let root = Root::installed();
    root.installer(&["--yes", "--no-start"], &[], "").expect_success("the first");
    let password = r#"a"b\c #d@PORT@"#;
    let args =
        ["--role", "replica", "--master-host", "10.0.0.1", "--port", "7000", "--yes", "--no-start"];
    let env = [
        ("REDIS_MASTER_PASSWORD", password),
        ("REDIS_PASSWORD", password),
        ("REDIS_DATA_DIR", "/srv/redis-7000"),
        ("REDIS_MASTER_PORT", "6380"),
    ];
    let said = root.installer(&args, &env, "").expect_success("the second").output();
    assert!(!said.contains(password), "a password is not shown: {said}");
    let config = root.read("etc/redis/7000.conf");
    assert!(config.contains("\nreplicaof 10.0.0.1 6380\n"), "{config}");
    let dropin = root.read("etc/systemd/system/redis-replica@7000.service.d/instance.conf");
    assert!(
        dropin.contains("/srv/redis-7000") && dropin.contains("/etc/redis/7000.conf"),
        "{dropin}"
    );
    let (server, mut client) = root.start(Kind::TandemReplica, "etc/redis/7000.conf", 7000);
    assert_eq!(client.args(&["AUTH", password]).text(), "OK");
    assert_eq!(client.args(&["CONFIG", "GET", "masterauth"]).items()[1].text(), password);
    drop(server);
    // The five of the old installer's variables leave nothing to ask.
    let env = [
        ("REDIS_PORT", "7001"),
        ("REDIS_CONFIG_FILE", "/etc/redis/cache.conf"),
        ("REDIS_LOG_FILE", "/var/log/redis_cache.log"),
        ("REDIS_DATA_DIR", "/var/lib/redis/cache"),
        ("REDIS_EXECUTABLE", "/usr/bin/redis-server"),
    ];
    root.installer(&["--no-start"], &env, "").expect_success("the third");
    let dropin = root.read("etc/systemd/system/redis-master@7001.service.d/instance.conf");
    let start = "\nExecStart=/usr/bin/redis-server /etc/redis/cache.conf --supervised systemd\n";
    assert!(dropin.contains(start), "{dropin}");
}

impl Root {
    /// Where the installer looks for certificates, these, under the names that it expects.
    fn certify(&self) {
        let names = ["server.crt redis.crt", "server.key redis.key", "ca.crt ca.crt"];
        let others = ["locked.key locked.key", "stranger.key other.key", "expired.crt old.crt"];
        for pair in names.iter().chain(&others).chain(&["expired.key old.key"]) {
            let (from, to) = pair.split_once(' ').expect("two names");
            let text = std::fs::read_to_string(Certificates::shared().path(from)).expect("made");
            self.write(&format!("etc/redis/tls/{to}"), &text);
            self.allow(&format!("etc/redis/tls/{to}"), 0o644);
        }
    }

    fn allow(&self, name: &str, mode: u32) {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(self.path(name), mode).expect("a mode");
    }
}

/// Whoever wanted TLS had to write its directives into what the installer had made, and restart.
#[test]
fn an_instance_is_encrypted_from_its_first_start() {
    let root = Root::installed();
    root.certify();
    let args = ["--tls", "--no-start"];
    let said = root.installer(&args, &[], &"\n".repeat(18)).expect_success("by Enter").output();
    for line in [
        "    TLS              port 6379, nothing unencrypted",
        "    Certificate      /etc/redis/tls/redis.crt",
        "    Key              /etc/redis/tls/redis.key",
        "    Authority        /etc/redis/tls/ca.crt",
        "    Replication      encrypted",
    ] {
        assert!(said.lines().any(|l| l == line), "{line} in {said}");
    }
    let typed = "redis-cli -p 6379 --tls --cacert /etc/redis/tls/ca.crt --cert ";
    assert!(said.contains(typed), "{said}");
    let config = root.read("etc/redis/6379.conf");
    for line in ["port 0", "tls-port 6379", "tls-replication yes"] {
        assert!(config.lines().any(|l| l == line), "{line} in {config}");
    }

    // Both ways in, a key under a password, and a master that speaks TLS.
    let (plain, tls, of_master) = (Port::reserve(), Port::reserve(), Port::reserve());
    let directives = Certificates::shared().directives(of_master.number(), "server");
    let master = Server::of(Kind::Redis).set(&directives).start();
    master.good("SET k v");
    let number = |port: &Port| port.number().to_string();
    let args = ["--yes", "--no-start", "--role", "replica", "--master-host", "127.0.0.1"];
    let ports = ["--master-port", &number(&of_master), "--port", &number(&plain)];
    let tls_args = ["--tls-port", &number(&tls), "--tls-key-file", "/etc/redis/tls/locked.key"];
    let env = [("REDIS_TLS_KEY_FILE_PASS", "1234")];
    let args = [&args[..], &ports, &tls_args].concat();
    let said = root.installer(&args, &env, "").expect_success("by flags").output();
    assert!(!said.contains("1234"), "a password is not shown: {said}");
    let config = format!("etc/redis/{}.conf", plain.number());
    let (replica, _) = root.start(Kind::TandemReplica, &config, plain.number());
    wait_until(LONG, "the link is up", || {
        replica.info("replication").text("master_link_status") == "up"
    });
    assert_eq!(replica.good("GET k").text(), "v");
    let mut client = Encrypted::connect(tls.number(), Some("client")).expect("it is let in");
    assert_eq!(client.ask("PING").expect("an answer"), "+PONG");
}

/// The page told where certificates belong, and not how to come by any.
#[test]
fn certificates_that_are_made_as_the_page_says_serve() {
    let root = Root::installed();
    let page =
        testkit::process::read_lossy(&testkit::binaries::workspace_root().join("docs/tls.md"));
    let (_, section) = page.split_once("## Make certificates").expect("the section");
    let mut blocks =
        section.split("```sh\n").skip(1).map(|b| b.split("```").next().expect("its end"));
    let folder = root.path("etc/redis/tls").display().to_string();
    // There is no such user here.
    let install = blocks.clone().nth(1).expect("a block").replace(" -o redis -g redis", "");
    let typed =
        [blocks.next().expect("a block"), &install.replace("/etc/redis/tls", &folder)].concat();
    let mut command = Command::new("sh");
    command.args(["-ec", &typed]).current_dir(root.bins.path());
    run_command(command, LONG).expect_success(&typed);

    let (plain, tls) = (Port::reserve(), Port::reserve());
    let (plain_port, tls_port) = (plain.number().to_string(), tls.number().to_string());
    let args = ["--yes", "--no-start", "--port", &plain_port, "--tls-port", &tls_port];
    root.installer(&args, &[], "").expect_success("the installer");
    let config = format!("etc/redis/{plain_port}.conf");
    let (_server, _) = root.start(Kind::TandemMaster, &config, plain.number());
    let file = |name: &str| root.bins.path().join(name).display().to_string();
    let (ca, cert, key) = (file("ca.crt"), file("client.crt"), file("client.key"));
    let args = ["-p", &tls_port, "--tls", "--cacert", &ca, "--cert", &cert, "--key", &key, "PING"];
    let said = run(&tandem("redis-cli"), &args, LONG).expect_success("redis-cli").stdout;
    assert_eq!(said.trim(), "PONG");
}

/// A server that could not read its key, or whose key was another's, was installed, enabled, and did not start.
#[test]
fn a_certificate_that_cannot_serve_is_refused_before_anything_is_written() {
    let root = Root::installed();
    root.certify();
    // Neither the owner of these files nor of their group.
    root.write("etc/passwd", "redis:x:54321:54321::/:/bin/false\n");
    root.allow("", 0o755);
    for name in ["etc", "etc/redis", "etc/redis/tls"] {
        root.allow(name, 0o755);
    }
    let before = root.files();
    let refused = |args: &[&str], why: &str| {
        let finished = root.installer(&[&["--yes", "--no-start", "--tls"], args].concat(), &[], "");
        let said = finished.output();
        assert!(!finished.status.success() && said.contains(why), "{args:?}: {said}");
        assert!(root.files() == before, "{args:?} has written something: {said}");
    };
    let tls = |name: &str| format!("/etc/redis/tls/{name}");
    let (none, crt, key) = (tls("none"), tls("redis.crt"), tls("redis.key"));
    let taken = Server::of(Kind::Tandem).start();
    let taken_port = taken.port().to_string();
    refused(&["--tls-cert-file", &none], "the certificate /etc/redis/tls/none is not there");
    refused(&["--tls-key-file", &none], "the key /etc/redis/tls/none is not there");
    refused(&["--tls-ca-cert-file", &none], "of the authority /etc/redis/tls/none is not there");
    refused(&["--tls-cert-file", "redis.crt"], "absolute");
    refused(&["--tls-cert-file", &key], "redis.key holds no certificate");
    refused(&["--tls-key-file", &crt], "redis.crt holds no key");
    refused(&["--tls-key-file", &tls("locked.key")], "or its password");
    let other = "the key /etc/redis/tls/other.key does not belong to the certificate";
    refused(&["--tls-key-file", &tls("other.key")], other);
    let old = ["--tls-cert-file", &tls("old.crt"), "--tls-key-file", &tls("old.key")];
    refused(&old, "has ended");
    refused(&["--tls-port", "0"], "'0' is no port");
    refused(&["--tls-replication", "perhaps"], "'perhaps'");

    root.allow("etc/redis/tls/redis.key", 0o600);
    refused(&[], "/etc/redis/tls/redis.key cannot be read by redis");
    root.allow("etc/redis/tls/redis.key", 0o644);
    root.allow("etc/redis/tls", 0o700);
    refused(&[], "it is in /etc/redis/tls, which redis may not enter");
    root.allow("etc/redis/tls", 0o755);
    // Below these folders the unit shows other ones.
    std::fs::create_dir_all(root.path("home/me")).expect("made");
    std::fs::copy(root.path("etc/redis/tls/ca.crt"), root.path("home/me/ca.crt")).expect("a copy");
    let before = root.files();
    let args = ["--yes", "--no-start", "--tls-ca-cert-file", "/home/me/ca.crt"];
    let said = root.installer(&args, &[], "").output();
    assert!(said.contains("the unit hides /home/me/ca.crt") && root.files() == before, "{said}");
    // An operator's template, from before there was TLS: the server would have been without it.
    let template = root.read("etc/redis/master.conf.template").replace("@TLS_LINES@\n", "");
    root.write("etc/redis/master.conf.template", &template);
    let said = root.installer(&["--yes", "--no-start", "--tls"], &[], "").output();
    assert!(said.contains("has no line '@TLS_LINES@'"), "{said}");

    let start = ["--yes", "--tls-port", &taken_port, "--role", "replica", "--master-host", "h"];
    let said = root.installer(&start, &[], "").output();
    assert!(said.contains(&format!("port {taken_port} is in use")), "{said}");
}

/// Without systemd nobody read tmpfiles.d: CONFIG REWRITE failed, and the outcome of a failover was lost at a restart.
#[test]
fn the_server_may_rewrite_what_the_installer_wrote() {
    let root = Root::installed();
    let is_root = std::fs::metadata(root.dir.path()).is_ok_and(|made| made.uid() == 0);
    root.write("etc/passwd", "redis:x:54321:54322::/:/bin/false\n");
    root.allow("etc/redis", 0o755);
    root.allow("etc", 0o755);
    root.installer(&["--yes", "--no-start"], &[], "").expect_success("the installer");
    let config = ["--yes", "--no-start", "--port", "7000", "--config", "/etc/7000.conf"];
    root.installer(&config, &[], "").expect_success("another");
    let of = |name: &str| std::fs::metadata(root.path(name)).expect("it is there");
    assert_eq!(of("etc/redis").mode() & 0o7777, 0o2770);
    assert_eq!(of("etc").mode() & 0o7777, 0o755, "a folder of others stays as it is");
    if is_root {
        assert_eq!((of("etc/redis").uid(), of("etc/redis").gid()), (54321, 54322));
        assert_eq!(of("etc").uid(), 0);
    }
}

/// An installer that stops half-way leaves a host that is neither with nor without the service.
#[test]
fn what_is_wrong_is_said_before_anything_is_written() {
    let root = Root::installed();
    root.write("etc/redis/7002.conf", "port 7002\n");
    root.write("srv/file", "");
    let taken = Server::of(Kind::Tandem).start();
    let taken_port = taken.port().to_string();
    let free = Port::reserve();
    let free_port = free.number().to_string();
    let before = root.files();
    let cases: [(&[&str], &str); 11] = [
        (&["--port", &taken_port], "is in use"),
        (&["--port", "7002", "--no-start"], "/etc/redis/7002.conf is there already"),
        (&["--port", "70000"], "'70000' is no port"),
        (&["--port", "x"], "'x' is no port"),
        (&["--port", &free_port, "--data", "/srv/file/data"], "is not a directory"),
        (&["--port", &free_port, "--data", "relative"], "absolute"),
        (&["--port", &free_port, "--data", "/srv/a b"], "characters"),
        (
            &["--port", &free_port, "--executable", "/usr/bin/none"],
            "/usr/bin/none is no executable",
        ),
        (&["--port", &free_port, "--role", "king"], "'king'"),
        (&["--port", &free_port, "--role", "replica"], "a replica needs a master"),
        (&["--port", &free_port, "--colour", "red"], "--colour is not known"),
    ];
    for (args, why) in cases {
        let finished = root.installer(&[args, &["--yes"]].concat(), &[], "");
        let said = finished.output();
        assert!(!finished.status.success() && said.contains(why), "{args:?}: {said}");
        assert!(root.files() == before, "{args:?} has written something: {said}");
    }
    // Not confirmed, and nobody there to confirm.
    for answers in ["\n\n\n\n\n\n\nn\n", "\n\n"] {
        let finished = root.installer(&["--port", &free_port], &[], answers);
        let said = finished.output();
        assert!(!finished.status.success() && said.contains("nothing was installed"), "{said}");
        assert!(root.files() == before, "something is written: {said}");
    }
    if std::fs::metadata(root.dir.path()).is_ok_and(|made| made.uid() == 0) {
        let mut command = Command::new(root.path("usr/bin/redis-install-server"));
        command.arg("--root").arg(root.dir.path()).args(["--yes", "--port", &free_port]).uid(65534);
        // The folder itself may be entered by its owner only.
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(root.dir.path(), mode).expect("a mode");
        let finished = run_command(command, LONG);
        let said = finished.output();
        assert!(!finished.status.success() && said.contains("is not writable"), "{said}");
        assert!(root.files() == before, "something is written: {said}");
    }
}

/// Removal takes the service out and leaves what cannot be made again; `--purge` is asked for by name.
#[test]
fn an_instance_is_removed_and_its_data_stay_unless_they_are_to_go() {
    let root = Root::installed();
    let installed = root.files();
    let install = |port: &str| {
        let args = ["--yes", "--no-start", "--port", port, "--bind", "127.0.0.1"];
        root.installer(&args, &[], "").expect_success("installed");
        root.write(&format!("var/lib/redis/{port}/dump.rdb"), "data");
        root.write(&format!("var/lib/redis/{port}/appendonlydir/x"), "data");
    };
    install("7003");
    let refused = root.installer(&["--remove", "7003"], &[], "\n");
    assert!(!refused.status.success() && refused.output().contains("nothing was removed"));
    let said = root.installer(&["--remove", "7003"], &[], "y\n").expect_success("removed").output();
    assert!(
        said.contains("/var/lib/redis/7003") && !root.path("etc/redis/7003.conf").exists(),
        "{said}"
    );
    assert_eq!(root.read("var/lib/redis/7003/dump.rdb"), "data");
    let wants = "etc/systemd/system/multi-user.target.wants/redis-master@7003.service";
    assert!(!root.path(wants).is_symlink(), "it starts no more");

    install("7004");
    root.write("var/lib/redis/7004/notes", "an operator's");
    let purge = ["--remove", "7004", "--purge", "--yes"];
    root.installer(&purge, &[], "").expect_success("purged");
    assert_eq!(root.read("var/lib/redis/7004/notes"), "an operator's");
    assert!(!root.path("var/lib/redis/7004/dump.rdb").exists());
    assert!(!root.path("var/log/redis_7004.log").exists());
    let missing = root.installer(&["--remove", "7004", "--yes"], &[], "");
    assert!(missing.output().contains("there is no instance"), "{}", missing.output());
    let left = root.files();
    let left: Vec<&String> =
        left.keys().filter(|name| !installed.contains_key(*name) && !name.ends_with('/')).collect();
    let kept = [
        "etc/redis/7003.conf.removed",
        "var/lib/redis/7003/appendonlydir/x",
        "var/lib/redis/7003/dump.rdb",
        "var/lib/redis/7004/notes",
        "var/log/redis_7003.log",
    ];
    assert_eq!(left, kept);
}

/// A completion that is not what its shell reads is noticed by nobody but users.
#[test]
fn bash_completes_directives_their_values_and_the_installers_options() {
    let root = Root::installed();
    let file = root.path("usr/share/bash-completion/completions/redis-server");
    let complete = |function: &str, word: &str, before: &str| {
        let mut command = Command::new("bash");
        let text = format!(
            "source {}; {function} x '{word}' '{before}'; echo \"${{COMPREPLY[*]}}\"",
            file.display()
        );
        command.args(["-c", &text]);
        run_command(command, LONG).expect_success("bash").stdout.trim().to_owned()
    };
    assert_eq!(complete("_redis_server", "--replicao", ""), "--replicaof");
    assert_eq!(complete("_redis_server", "y", "--appendonly"), "yes");
    assert_eq!(complete("_redis_install_server", "rep", "--role"), "replica");
    assert_eq!(complete("_redis_install_server", "--tls-r", ""), "--tls-replication");
    assert_eq!(complete("_redis_install_server", "y", "--tls-replication"), "yes");
    assert!(Path::new(&root.path("usr/share/zsh/site-functions/_redis-server")).is_file());
}
