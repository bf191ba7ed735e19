//! What a container of our image begins with and how it is found healthy, by the scripts of docker/ alone: no
//! container runs here. `make containers` runs them.

#![allow(clippy::disallowed_methods, reason = "what operators do to files and processes")]

use std::path::{Path, PathBuf};
use std::process::Command;

use tandem_tests::{each_server, pairings};
use tempfile::TempDir;
use testkit::binaries::{debian, tandem, workspace_root};
use testkit::certificates::Certificates;
use testkit::ports::Port;
use testkit::process::{Finished, read_lossy, run_command, write_script};
use testkit::wait::{LONG, wait_until};
use testkit::{Kind, Proxy, Server};

/// A container's file system as far as its scripts see it: the programs that they call say what they were
/// called with, `id` and `setpriv` change the user only in words.
struct Image {
    dir: TempDir,
}

impl Image {
    fn new() -> Image {
        let image = Image { dir: tempfile::tempdir().expect("a folder") };
        let program = "#!/bin/sh\n{ printf %s \"${0##*/}\"; printf '[%s]' \"$@\"; } >>\"$SAID\"\n";
        for name in ["redis-server", "redis-cli"] {
            write_script(&image.path(&format!("bin/{name}")), program);
        }
        write_script(&image.path("bin/id"), "#!/bin/sh\necho \"${CONTAINER_UID:-0}\"\n");
        let chown =
            "#!/bin/sh\nprintf 'chown %s ' \"$*\" >>\"$SAID\"\nexit \"${CHOWN_STATUS:-0}\"\n";
        write_script(&image.path("bin/chown"), chown);
        let find = "#!/bin/sh\nexec chown redis:redis /data\n";
        write_script(&image.path("bin/find"), find);
        let setpriv = "#!/bin/sh\nwhile case $1 in --*) ;; *) false ;; esac; do shift; done\n\
                       printf 'setpriv ' >>\"$SAID\"\nCONTAINER_UID=999 exec \"$@\"\n";
        write_script(&image.path("bin/setpriv"), setpriv);
        let entry = read_lossy(&workspace_root().join("docker/docker-entrypoint.sh"));
        let known = image.path("arguments");
        let entry = entry.replace("/run/redis/arguments", &known.to_string_lossy());
        write_script(&image.path("bin/docker-entrypoint.sh"), &entry);
        image
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn enter(&self, uid: &str, args: &[&str], environment: &[(&str, &str)]) -> (String, Finished) {
        let said = self.path("said");
        std::fs::write(&said, "").expect("written");
        let path = format!("{}:/usr/bin:/bin", self.path("bin").display());
        let mut command = Command::new(self.path("bin/docker-entrypoint.sh"));
        command.args(args).current_dir(self.dir.path());
        command.env("PATH", path).env("SAID", &said).env("CONTAINER_UID", uid);
        command.envs(environment.iter().copied());
        let finished = run_command(command, LONG);
        (read_lossy(&said), finished)
    }
}

/// What scripts and compose files written for the official image rely on.
#[test]
fn the_entry_point_has_the_habits_of_the_official_image() {
    let image = Image::new();
    let conf = |name: &str, text: &str| {
        std::fs::write(image.path(name), text).expect("written");
        image.path(name).to_string_lossy().into_owned()
    };
    let plain = conf("plain.conf", "appendonly yes\n# protected-mode yes\n# daemonize yes\n");
    let guarded = conf("guarded.conf", "  Protected-Mode yes\n");
    let including = conf("including.conf", "include /etc/redis/more.conf\n");
    let daemon = conf("daemon.conf", "protected-mode no\ndaemonize yes\n");
    let open = "[--protected-mode][no]";
    let cases: [(&[&str], String); 14] = [
        (&["redis-server"], format!("redis-server{open}")),
        (&["redis-server", &plain], format!("redis-server[{plain}]{open}")),
        (&[&plain], format!("redis-server[{plain}]{open}")),
        (&["--port", "7000"], format!("redis-server[--port][7000]{open}")),
        (&[&plain, "--save", ""], format!("redis-server[{plain}][--save][]{open}")),
        (&["-"], "redis-server[-]".into()),
        (&["redis-server", &guarded], format!("redis-server[{guarded}]")),
        (&["redis-server", &including], format!("redis-server[{including}]")),
        (&["--protected-mode", "yes"], "redis-server[--protected-mode][yes]".into()),
        (&["redis-server", &daemon], format!("redis-server[{daemon}][--daemonize][no]")),
        (&["redis-server", "--version"], "redis-server[--version]".into()),
        (&["--help"], "redis-server[--help]".into()),
        (&["redis-server", "/no/such.conf"], format!("redis-server[/no/such.conf]{open}")),
        (&["redis-cli", "-h", "redis-master", "ping"], "redis-cli[-h][redis-master][ping]".into()),
    ];
    for (args, expected) in &cases {
        let (said, finished) = image.enter("1234", args, &[]);
        assert_eq!(&said, expected, "{args:?}: {}", finished.output());
        assert!(finished.status.success(), "{}", finished.output());
        // Root's folder is given away and root is left, for servers alone.
        let (said, _) = image.enter("0", args, &[]);
        let first = match args[0] {
            "redis-cli" => String::new(),
            _ => "chown redis:redis /data setpriv ".into(),
        };
        assert_eq!(said, format!("{first}{expected}"), "{args:?}");
    }

    let (said, finished) = image.enter("0", &["redis-server"], &[("CHOWN_STATUS", "1")]);
    assert!(said.ends_with(&format!("setpriv redis-server{open}")), "{said}");
    assert!(finished.stderr.contains("stays as it is"), "a volume of others: {}", finished.stderr);
    let (_, finished) = image.enter("999", &["redis-server", &daemon], &[]);
    assert!(finished.stderr.contains("stays in the foreground"), "{}", finished.stderr);
    // No variable is a setting.
    let (said, _) = image.enter("999", &["redis-server"], &[("REDIS_PASSWORD", "secret")]);
    assert_eq!(said, format!("redis-server{open}"));
    let known = std::fs::read(image.path("arguments")).expect("what was started is noted");
    assert_eq!(known, b"redis-server\0--protected-mode\0no\0");
}

/// What redis-healthcheck says of the server with these arguments, and whether that is health.
fn health(dir: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> (String, bool) {
    health_by(&debian("redis-cli"), dir, arguments, environment)
}

fn health_by(
    cli: &Path,
    dir: &Path,
    arguments: &[&str],
    environment: &[(&str, &str)],
) -> (String, bool) {
    let file = dir.join("arguments");
    std::fs::write(&file, arguments.join("\0") + "\0").expect("written");
    let path = format!("{}:/usr/bin:/bin", cli.parent().expect("a folder").display());
    let mut command = Command::new(workspace_root().join("docker/redis-healthcheck"));
    command.arg(&file).env("PATH", path).env_remove("REDISCLI_AUTH");
    command.envs(environment.iter().copied());
    let finished = run_command(command, LONG);
    (finished.output().trim().to_owned(), finished.status.success())
}

fn a_replica_in_sync_is_healthy_and_one_that_is_not_is_not(m: Kind, r: Kind) {
    let dir = tempfile::tempdir().expect("a folder");
    let master = Server::of(m).name("master").start();
    let proxy = Proxy::before(&master);
    let replica = Server::of(r).name("replica").replica_of_port(proxy.port()).start();
    let of = |server: &Server| {
        let config = server.config_path().to_string_lossy().into_owned();
        health(dir.path(), &["redis-server", &config], &[])
    };
    replica.wait_link_up();
    master.wait_online_replicas(1);
    assert_eq!(of(&master), ("master, 1 replicas".into(), true));
    let link = format!("replica of 127.0.0.1:{}", proxy.port());
    assert_eq!(of(&replica), (format!("{link}, in sync"), true));

    proxy.partition();
    replica.wait_link_down();
    let (text, healthy) = of(&replica);
    assert!(!healthy && text.starts_with(&format!("{link}, link down since ")), "{text}");
    assert!(of(&master).1, "a master without its replicas serves");
    proxy.heal();
    wait_until(LONG, "the replica is healthy again", || of(&replica).1);

    // A copy that takes its time: the replica's data are not its master's while it lasts.
    replica.good("REPLICAOF NO ONE");
    replica.good("SET own 1");
    master.client().args(&[b"SET".as_slice(), b"k", &testkit::fill::noise(1_000_000, 5)]);
    proxy.throttle(100_000);
    replica.good(&format!("REPLICAOF 127.0.0.1 {}", proxy.port()));
    wait_until(LONG, "the sync is seen", || {
        let (text, healthy) = of(&replica);
        !healthy && text.starts_with(&format!("{link}, sync: "))
    });
    proxy.heal();
    wait_until(LONG, "its end is seen", || of(&replica).1);
}

fn health_finds_port_address_and_password_where_they_are_set(kind: Kind) {
    let dir = tempfile::tempdir().expect("a folder");
    let socket = dir.path().join("socket");
    let server = Server::of(kind)
        .set("requirepass \"of the file\"")
        .set(&format!("unixsocket {}", socket.display()))
        .start();
    let config = server.config_path().to_string_lossy().into_owned();
    let port = server.port().to_string();
    let well = ("master, 0 replicas".to_owned(), true);
    assert_eq!(health(dir.path(), &["redis-server", &config], &[]), well);
    let given =
        ["redis-server", "--port", &port, "--bind", "127.0.0.1", "--requirepass", "of the file"];
    assert_eq!(health(dir.path(), &given, &[]), well);
    let by_socket = ["redis-server", &config, "--port", "0"];
    assert_eq!(health(dir.path(), &by_socket, &[]), well);

    // Who asks for a password serves those who know it.
    let mut client = server.client();
    client.args(&["AUTH", "of the file"]);
    client.good("CONFIG SET requirepass changed");
    let (text, healthy) = health(dir.path(), &["redis-server", &config], &[]);
    assert!(healthy && text.starts_with("asks for a password"), "{text}");
    let told = [("REDISCLI_AUTH", "changed")];
    assert_eq!(health(dir.path(), &["redis-server", &config], &told), well);

    let (text, healthy) = health(dir.path(), &["redis-server", "--port", "1"], &[]);
    assert!(!healthy && text.contains("Connection refused"), "{text}");
}

/// With `port 0` nobody answers who is asked in plain words.
fn health_asks_over_tls_where_nothing_else_is_open(kind: Kind) {
    let dir = tempfile::tempdir().expect("a folder");
    let tls = Port::reserve();
    let directives = Certificates::shared().directives(tls.number(), "server");
    let server = Server::of(kind).set(&directives).set("requirepass secret").start();
    let mut client = server.client();
    client.args(&["AUTH", "secret"]);
    client.good("CONFIG SET port 0");
    let config = server.config_path().to_string_lossy().into_owned();
    let ask = |cli: &str, more: &[&str]| {
        let given = ["redis-server", &config, "--port", "0"];
        let cli = if cli == "debian" { debian("redis-cli") } else { tandem("redis-cli") };
        health_by(&cli, dir.path(), &[&given[..], more].concat(), &[])
    };
    let well = ("master, 0 replicas".to_owned(), true);
    assert_eq!(ask("debian", &[]), well);
    assert_eq!(ask("tandem", &[]), well);

    // One that is issued for servers alone is none to ask with. It is the server's own words that it lives.
    let files = Certificates::shared();
    let (cert, key) = (files.text("server_only.crt"), files.text("server_only.key"));
    let (text, healthy) = ask("tandem", &["--tls-cert-file", &cert, "--tls-key-file", &key]);
    assert!(healthy && text.starts_with("asks for a certificate"), "{text}");
    client.good("CONFIG SET tls-auth-clients optional");
    let more = ["--tls-auth-clients", "optional", "--tls-cert-file", &cert, "--tls-key-file", &key];
    assert_eq!(ask("tandem", &more), well, "no certificate is asked for, and none is shown");

    client.good("CONFIG SET requirepass changed");
    let (text, healthy) = ask("tandem", &[]);
    assert!(healthy && text.starts_with("asks for a password"), "{text}");
    let (text, healthy) = ask("tandem", &["--tls-port", "1"]);
    assert!(!healthy && text.contains("Connection refused"), "{text}");
}

each_server! {
    health_asks_over_tls_where_nothing_else_is_open,
    health_finds_port_address_and_password_where_they_are_set,
}
pairings! { a_replica_in_sync_is_healthy_and_one_that_is_not_is_not }
