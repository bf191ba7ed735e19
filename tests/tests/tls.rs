//! TLS of clients, links and tools: who is let in, what is wrong with a certificate and how that is said, and that
//! nothing is lost on an encrypted way. Each server has a plain port beside, by which the tests look at it.

use std::io::{Read, Write};

use nix::sys::signal::Signal;
use tandem_tests::encrypted::Encrypted;
use tandem_tests::pairings;
use testkit::certificates::Certificates;
use testkit::ports::Port;
use testkit::process::{self, Finished};
use testkit::replication::wait_equal;
use testkit::wait::{LONG, wait_until};
use testkit::{Kind, Proxy, Reply, Server, binaries, fill};

/// A server with a port that is encrypted.
struct Secure {
    server: Server,
    tls: Port,
}

impl Secure {
    fn of(kind: Kind, name: &str, more: &str) -> Secure {
        let tls = Port::reserve();
        let directives = Certificates::shared().directives(tls.number(), name);
        let server = Server::of(kind).set(&directives).set(more).start();
        Secure { server, tls }
    }

    fn start() -> Secure {
        Secure::of(Kind::Tandem, "server", "")
    }

    fn replica_of(kind: Kind, name: &str, master: &Secure, more: &str) -> Secure {
        let more = format!("replicaof 127.0.0.1 {}\n{more}", master.tls.number());
        Secure::of(kind, name, &more)
    }

    fn port(&self) -> u16 {
        self.tls.number()
    }

    /// What comes of a PING with the certificate of this name.
    fn ping(&self, name: Option<&str>) -> Result<String, String> {
        let mut client = Encrypted::connect(self.port(), name).map_err(|e| e.to_string())?;
        client.ask("PING").map_err(|e| e.to_string())
    }

    fn errors(&self) -> u64 {
        self.server.info("stats").number("tls_handshake_errors")
    }

    /// Debian's tool, or ours, with a certificate of version 1, as Redis's documentation has it.
    fn tool(&self, program: &std::path::Path, args: &[&str]) -> Finished {
        let files = Certificates::shared();
        let (port, ca) = (self.port().to_string(), files.text("ca.crt"));
        let (cert, key) = (files.text("plain.crt"), files.text("plain.key"));
        let head = ["-p", &port, "--tls", "--cacert", &ca, "--cert", &cert, "--key", &key];
        process::run(program, &[&head[..], args].concat(), LONG)
    }
}

fn pong() -> Result<String, String> {
    Ok("+PONG".into())
}

#[test]
fn certificates_of_every_kind_are_let_in_by_both_versions() {
    for own in ["server", "elliptic", "plain"] {
        let secure = Secure::of(Kind::Tandem, own, "");
        for name in ["client", "elliptic", "plain", "server"] {
            for version in ["TLSv1.2", "TLSv1.3"] {
                let client = Encrypted::offering(secure.port(), Some(name), version);
                let mut client = client.unwrap_or_else(|e| panic!("{own} {name} {version}: {e}"));
                assert_eq!(client.ask("PING").unwrap(), "+PONG", "{own} {name} {version}");
                assert!(client.agreed().starts_with(version), "{}", client.agreed());
            }
        }
        assert_eq!(secure.errors(), 0);
    }
}

#[test]
fn who_must_show_a_certificate_is_what_the_directive_says() {
    let secure = Secure::start();
    let set = |value: &str| secure.server.good(&format!("CONFIG SET tls-auth-clients {value}"));
    assert!(secure.ping(None).is_err());
    for value in ["no", "optional"] {
        set(value);
        assert_eq!(secure.ping(None), pong(), "{value}");
        assert_eq!(secure.ping(Some("client")), pong(), "{value}");
    }
    // Nobody has to show one, but one that is shown has to be right.
    assert!(secure.ping(Some("stranger")).is_err());
    set("yes");
    assert!(secure.ping(None).is_err());
    assert_eq!(secure.ping(Some("client")), pong());
}

/// "error:0A000086" says nothing to who has to find out which file is wrong.
#[test]
fn the_log_says_why_a_client_was_not_let_in() {
    let secure = Secure::start();
    let cases = [
        (None, "peer did not return a certificate"),
        (Some("stranger"), "no known authority signed it"),
        (Some("alone"), "no known authority signed it"),
        (Some("expired"), "it has expired"),
        (Some("server_only"), "extended key usage does not allow it"),
    ];
    for (count, (name, words)) in cases.into_iter().enumerate() {
        assert!(secure.ping(name).is_err(), "{name:?}");
        // The client may hear of it before the log does.
        wait_until(LONG, "the log has a line more", || {
            secure.server.log().matches("Error accepting a client").count() == count + 1
        });
        let log = secure.server.log();
        let last = log.lines().rev().find(|line| line.contains("Error accepting a client"));
        assert!(last.is_some_and(|line| line.contains(words)), "{name:?}: {log}");
        assert!(last.is_some_and(|line| line.contains("(addr=127.0.0.1:")), "{log}");
        assert_eq!(secure.errors(), count as u64 + 1);
    }
    assert_eq!(secure.ping(Some("client")), pong());
}

#[test]
fn a_server_says_what_is_wrong_with_its_files_and_does_not_start() {
    let files = Certificates::shared();
    let path = |name: &str| files.text(name);
    files.write("empty", "");
    let cases = [
        (vec![], "No tls-cert-file configured!"),
        (vec![("cert", path("server.crt"))], "No tls-key-file configured!"),
        (
            vec![
                ("cert", path("server.crt")),
                ("key", path("server.key")),
                ("key-file-pass", "x".into()),
            ],
            "Either tls-ca-cert-file or tls-ca-cert-dir must be specified",
        ),
        (
            vec![("cert", path("none.crt")), ("key", path("server.key"))],
            "none.crt: No such file or directory",
        ),
        (
            vec![("cert", path("server.key")), ("key", path("server.key"))],
            "server.key: there is no certificate in PEM format in it",
        ),
        (
            vec![("cert", path("server.crt")), ("key", path("server.crt"))],
            "server.crt: there is no private key in PEM format in it",
        ),
        (
            vec![("cert", path("server.crt")), ("key", path("client.key"))],
            "client.key: it does not belong to the certificate in",
        ),
        (
            vec![("cert", path("server.crt")), ("key", path("locked.key"))],
            "locked.key: it is encrypted and there is no password for it",
        ),
        (
            vec![("cert", path("server.crt")), ("key", path("old_locked.key"))],
            "it is encrypted in the old format of OpenSSL",
        ),
        (
            vec![
                ("cert", path("server.crt")),
                ("key", path("server.key")),
                ("ca-cert", path("empty")),
            ],
            "empty: there is no certificate in PEM format in it",
        ),
    ];
    for (given, words) in cases {
        let port = Port::reserve();
        let mut builder = Server::of(Kind::Tandem).set(&format!("tls-port {}", port.number()));
        if given.len() == 2 {
            // Nobody is to be judged: what is wrong is something else.
            builder = builder.set("tls-auth-clients no");
        }
        for (what, path) in given {
            let file = if what.ends_with("pass") { "" } else { "-file" };
            builder = builder.set(&format!("tls-{what}{file} {path}"));
        }
        let finished = builder.start_and_fail();
        assert_eq!(finished.status.code(), Some(1));
        assert!(finished.stdout.contains(words), "{words}: {}", finished.stdout);
        assert!(finished.stdout.contains("Failed to configure TLS. Check logs for more info."));
    }
}

#[test]
fn a_key_under_a_password_is_opened_by_it_and_by_no_other() {
    let secure = Secure::start();
    let files = Certificates::shared();
    let set = |pairs: &str| secure.server.run(&format!("CONFIG SET {pairs}"));
    let locked = files.text("locked.key");
    let refused = set(&format!("tls-key-file {locked}"));
    assert!(refused.error().ends_with("Unable to update TLS configuration. Check server logs."));
    assert!(set(&format!("tls-key-file {locked} tls-key-file-pass 4321")).is_error());
    assert!(secure.server.log().contains("locked.key: the password is wrong"));
    assert_eq!(secure.ping(Some("client")), pong(), "all is as it was");
    assert!(set(&format!("tls-key-file {locked} tls-key-file-pass 1234")).is_ok());
    assert_eq!(secure.ping(Some("client")), pong());
}

/// A certificate is renewed under its old name: setting the same path again, and SIGHUP, read it.
#[test]
fn a_certificate_that_was_replaced_is_read_without_a_restart() {
    let files = Certificates::make();
    let tls = Port::reserve();
    let directives = files.directives(tls.number(), "server");
    let server = Server::of(Kind::Tandem).set(&directives).set("tls-auth-clients no").start();
    let shown = || {
        let connect = format!("s_client -connect 127.0.0.1:{}", tls.number());
        let args: Vec<&str> = connect.split(' ').collect();
        let output = process::run(std::path::Path::new("/usr/bin/openssl"), &args, LONG).output();
        output.lines().find(|line| line.starts_with("subject=")).unwrap_or_default().to_owned()
    };
    let replace = |name: &str| {
        for kind in ["crt", "key"] {
            let from = files.path(&format!("{name}.{kind}"));
            std::fs::copy(from, files.path(&format!("server.{kind}"))).unwrap();
        }
    };
    assert_eq!(shown(), "subject=CN = server");
    replace("plain");
    assert_eq!(shown(), "subject=CN = server", "nobody has asked");
    server.good(&format!("CONFIG SET tls-cert-file {}", files.text("server.crt")));
    assert_eq!(shown(), "subject=CN = plain");

    replace("client");
    server.signal(Signal::SIGHUP);
    server.wait_log("Certificates and keys were read again.");
    assert_eq!(shown(), "subject=CN = client");
    // Twenty days, of which the first second may have passed.
    let days = server.info("server").number::<i64>("tls_cert_days_left");
    assert!(matches!(days, 19 | 20), "{days}");
    let told = || [19, 20].map(|days| format!("expires in {days} days. Replace the file"));
    wait_until(LONG, "the log tells of the end", || {
        told().iter().any(|text| server.log().contains(text))
    });

    files.write("server.crt", "spoilt");
    server.signal(Signal::SIGHUP);
    server.wait_log("those from before stay in use");
    assert_eq!(shown(), "subject=CN = client");
}

/// A connection that is open is nobody's to end because files have changed.
#[test]
fn open_connections_outlive_a_change_of_everything() {
    let secure = Secure::start();
    let mut open = Encrypted::connect(secure.port(), Some("client")).unwrap();
    assert_eq!(open.ask("PING").unwrap(), "+PONG");
    let files = Certificates::shared();
    secure.server.good(&format!(
        "CONFIG SET tls-cert-file {} tls-key-file {} tls-protocols TLSv1.2",
        files.text("elliptic.crt"),
        files.text("elliptic.key")
    ));
    assert_eq!(open.ask("PING").unwrap(), "+PONG");
    assert!(Encrypted::offering(secure.port(), Some("client"), "TLSv1.3").is_err());
    let mut next = Encrypted::connect(secure.port(), Some("client")).unwrap();
    assert_eq!(next.ask("PING").unwrap(), "+PONG");
    assert_eq!(next.agreed(), "TLSv1.2 ECDHE-ECDSA-AES256-GCM-SHA384");
    secure.server.good("CONFIG SET tls-ciphers ECDHE-ECDSA-CHACHA20-POLY1305");
    let next = Encrypted::connect(secure.port(), Some("client")).unwrap();
    assert_eq!(next.agreed(), "TLSv1.2 ECDHE-ECDSA-CHACHA20-POLY1305");
    let refused = secure.server.run("CONFIG SET tls-protocols SSLv3");
    assert!(refused.error().contains("Unable to update TLS configuration"), "{}", refused.error());
}

#[test]
fn a_server_may_listen_on_the_encrypted_port_alone_and_change_ports() {
    let secure = Secure::start();
    let mut client = Encrypted::connect(secure.port(), Some("client")).unwrap();
    let plain = secure.server.port();
    assert_eq!(client.ask("CONFIG SET port 0").unwrap(), "+OK");
    assert!(!testkit::ports::is_listened_on(plain));
    client.write_all(b"INFO server\r\n").unwrap();
    let mut info = vec![0; 1];
    // A year, of which the first second may have passed.
    let is_whole = |info: &[u8]| {
        ["364", "365"]
            .iter()
            .any(|days| info.ends_with(format!("tls_cert_days_left:{days}\r\n").as_bytes()))
    };
    while !is_whole(&info) {
        let mut byte = [0];
        client.read_exact(&mut byte).unwrap();
        info.push(byte[0]);
    }
    let info = String::from_utf8_lossy(&info).into_owned();
    assert!(info.contains(&format!("\ntcp_port:{}\r\n", secure.port())), "{info}");
    assert!(info.contains("\nlistener2:name=tls,bind=127.0.0.1,port="), "{info}");
    assert!(!info.contains("listener0"), "{info}");
    assert_eq!(
        client.ask("").and_then(|_| client.ask(&format!("CONFIG SET port {plain}"))).unwrap(),
        "+OK"
    );
    secure.server.good("CONFIG SET tls-port 0");
    wait_until(LONG, "nobody listens there", || !testkit::ports::is_listened_on(secure.port()));
    assert_eq!(client.ask("PING").unwrap(), "+PONG");
}

/// Every split of a handshake and of requests, down to single bytes.
#[test]
fn a_client_whose_bytes_come_one_by_one_is_served() {
    let secure = Secure::start();
    let proxy = Proxy::before_port(secure.port());
    proxy.fragment(1);
    let mut client = Encrypted::connect(proxy.port(), Some("client")).unwrap();
    assert_eq!(client.ask("SET k v").unwrap(), "+OK");
    assert_eq!(client.ask("GET k").unwrap(), "$1");
}

/// What a session has decrypted, and what it has read ahead, no event of the socket tells of.
#[test]
fn deep_pipelines_and_large_values_arrive_whole() {
    let secure = Secure::start();
    let mut client = Encrypted::connect(secure.port(), Some("client")).unwrap();
    let mut socket = client.try_clone_socket();
    socket.flush().unwrap();
    const DEPTH: usize = 100_000;
    for round in 0..DEPTH / 1000 {
        let batch: String =
            (0..1000).map(|n| format!("SET key:{} {n}\r\n", round * 1000 + n)).collect();
        client.write_all(batch.as_bytes()).unwrap();
    }
    let mut replies = vec![0; DEPTH * 5];
    client.read_exact(&mut replies).unwrap();
    assert_eq!(replies, b"+OK\r\n".repeat(DEPTH));

    let value = fill::noise(100 << 20, 7);
    client
        .write_all(format!("*3\r\n$3\r\nSET\r\n$3\r\nbig\r\n${}\r\n", value.len()).as_bytes())
        .unwrap();
    client.write_all(&value).unwrap();
    client.write_all(b"\r\nGET big\r\nECHO end\r\n").unwrap();
    let mut replies = Vec::new();
    let head = format!("+OK\r\n${}\r\n", value.len());
    replies.resize(head.len() + value.len() + 2 + "$3\r\nend\r\n".len(), 0);
    client.read_exact(&mut replies).unwrap();
    assert!(replies.starts_with(head.as_bytes()) && replies.ends_with(b"\r\n$3\r\nend\r\n"));
    assert!(replies[head.len()..head.len() + value.len()] == value[..]);
}

/// Replies that the socket did not take at once are encrypted already: closing must not lose them.
#[test]
fn who_has_said_everything_gets_its_replies_and_a_farewell() {
    let secure = Secure::start();
    let value = "v".repeat(1 << 20);
    assert!(secure.server.client().args(&["SET", "big", &value]).is_ok());
    for last in ["", "QUIT\r\n"] {
        let mut client = Encrypted::connect(secure.port(), Some("client")).unwrap();
        client.write_all("GET big\r\n".repeat(16).as_bytes()).unwrap();
        client.write_all(last.as_bytes()).unwrap();
        if last.is_empty() {
            client.close_half();
        }
        wait_until(LONG, "the server is on its way to close it", || {
            secure.server.good("CLIENT LIST").text().contains("flags=c")
        });
        let mut answer = Vec::new();
        // An end without a farewell would be an error.
        client.read_to_end(&mut answer).unwrap();
        let quit = if last.is_empty() { 0 } else { "+OK\r\n".len() };
        assert_eq!(answer.len(), 16 * ("$1048576\r\n".len() + value.len() + 2) + quit);
    }
}

#[test]
fn ends_of_every_kind_leave_nothing_behind() {
    let secure = Secure::start();
    let clients = || secure.server.good("CLIENT LIST").text().lines().count();
    // A connection that is cut is not one that has said everything.
    let mut client = Encrypted::connect(secure.port(), Some("client")).unwrap();
    client.ask("PING").unwrap();
    client.cut();
    wait_until(LONG, "what was cut is gone", || clients() == 1);

    // Whoever speaks plainly, or noise, hears nothing that it could take for a reply.
    for bytes in
        [&b"PING\r\n"[..], b"*1\r\n$4\r\nPING\r\n", &[0x16, 3, 1, 0xff, 0xff], &[0x80; 4096]]
    {
        #[allow(clippy::disallowed_methods)] // a client of a real server owns a socket
        let mut plain = std::net::TcpStream::connect(("127.0.0.1", secure.port())).unwrap();
        plain.set_read_timeout(Some(LONG)).unwrap();
        plain.write_all(bytes).unwrap();
        plain.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        let _ = plain.read_to_end(&mut answer);
        assert!(answer.is_empty(), "{bytes:?}: {answer:?}");
    }
    // Noise amidst a session.
    let mut client = Encrypted::connect(secure.port(), Some("client")).unwrap();
    client.ask("PING").unwrap();
    client.try_clone_socket().write_all(&[0x17, 3, 3, 0, 32]).unwrap();
    client.try_clone_socket().write_all(&[7; 32]).unwrap();
    assert!(client.ask("PING").is_err());
    wait_until(LONG, "all of them are gone", || clients() == 1);
    assert_eq!(secure.ping(Some("client")), pong());
}

/// It has not said who it is, and holds a connection.
#[test]
fn a_client_that_never_finishes_its_handshake_is_given_up() {
    let secure = Secure::start();
    #[allow(clippy::disallowed_methods)] // a client of a real server owns a socket
    let mut silent = std::net::TcpStream::connect(("127.0.0.1", secure.port())).unwrap();
    silent.set_read_timeout(Some(LONG)).unwrap();
    assert_eq!(silent.read(&mut [0; 16]).unwrap(), 0, "the server ends it");
    assert!(secure.server.log().contains("the handshake took too long"));
    assert_eq!(secure.errors(), 1);
}

#[test]
fn debian_s_tools_and_ours_say_the_same_over_tls() {
    let secure = Secure::start();
    for (tool, args) in [
        ("redis-cli", &["SET", "k", "v"][..]),
        ("redis-cli", &["GET", "k"]),
        ("redis-cli", &["--insecure", "--sni", "some.name", "GET", "k"]),
        ("redis-cli", &["--tls-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256", "GET", "k"]),
        ("redis-cli", &["--cacert", "/nonexistent", "GET", "k"]),
        ("redis-cli", &["--cert", "/nonexistent", "GET", "k"]),
    ] {
        let theirs = secure.tool(&binaries::debian(tool), args);
        let ours = secure.tool(&binaries::tandem(tool), args);
        assert_eq!(ours.stdout, theirs.stdout, "{args:?}");
        assert_eq!(ours.status.code(), theirs.status.code(), "{args:?}");
        // Behind their words, which may come twice, ours say what is wrong with which file.
        let words = theirs.stderr.lines().next().unwrap_or_default();
        assert!(ours.stderr.starts_with(words), "{}", ours.stderr);
    }
    for program in [binaries::debian("redis-benchmark"), binaries::tandem("redis-benchmark")] {
        let args = ["-q", "-n", "20000", "-P", "16", "-t", "set,get", "-d", "1000"];
        let finished = secure.tool(&program, &args).expect_success("redis-benchmark");
        assert!(finished.stdout.contains("GET: "), "{}", finished.output());
    }
}

#[test]
fn our_tools_judge_the_server_and_say_what_is_wrong() {
    let expired = Secure::of(Kind::Tandem, "expired", "tls-auth-clients no");
    let secure = Secure::of(Kind::Tandem, "server", "tls-auth-clients no");
    let files = Certificates::shared();
    let cli = |args: &[&str]| process::run(&binaries::tandem("redis-cli"), args, LONG);
    let uri = |of: &Secure| format!("rediss://127.0.0.1:{}", of.port());
    let finished = cli(&["-u", &uri(&expired), "--cacert", &files.text("ca.crt"), "PING"]);
    assert!(finished.stderr.contains("verify failed: it has expired"), "{}", finished.stderr);
    let uri = uri(&secure);
    let (ca, other) = (files.text("ca.crt"), files.text("other_ca.crt"));
    for (args, words) in [
        (&["--cacert", &other][..], "no known authority signed it"),
        (&[], "no known authority signed it"),
        (&["--cert", &ca], "Invalid private key: "),
        (&["--tls-ciphers", "AES128-SHA256"], "Error while configuring ciphers"),
    ] {
        let finished = cli(&[&["-u", &uri], args, &["PING"]].concat());
        assert_eq!(finished.status.code(), Some(1));
        assert!(finished.stderr.starts_with("Could not negotiate a TLS connection: "));
        assert!(finished.stderr.contains(words), "{words}: {}", finished.stderr);
    }
    assert_eq!(cli(&["-u", &uri, "--insecure", "PING"]).stdout, "PONG\n");
}

/// The servers name each other's ports, which are those of TLS.
#[test]
fn servers_are_found_and_change_places_over_tls() {
    let master = Secure::start();
    let replica = Secure::replica_of(Kind::Tandem, "elliptic", &master, "");
    replica.server.wait_link_up();
    master.server.wait_online_replicas(1);
    let cli = |of: &Secure, args: &[&str]| {
        of.tool(&binaries::tandem("redis-cli"), args).expect_success("redis-cli").stdout
    };
    let tree = cli(&replica, &["--topology", "--once"]);
    assert!(tree.starts_with(&format!("127.0.0.1:{}  master  offset ", master.port())), "{tree}");
    assert!(tree.contains(&format!("127.0.0.1:{}  replica  up ", replica.port())), "{tree}");
    cli(&master, &["--promote", &format!("127.0.0.1:{}", replica.port()), "--yes"]);
    assert_eq!(replica.server.info("replication").text("role"), "master");
    master.server.wait_link_up();
    let followed = master.server.info("replication").number::<u16>("master_port");
    assert_eq!(followed, replica.port());
}

// ---- replication and MIGRATE ----

/// `m` and `r` over TLS, with a snapshot that is larger than all buffers.
fn sync_and_stream(m: Kind, r: Kind, directive: &str) {
    let master = Secure::of(m, "server", directive);
    fill::every_encoding(&mut master.server.client());
    fill::many_keys(&mut master.server.client(), 20_000, 1000);
    let replica = Secure::replica_of(r, "elliptic", &master, directive);
    replica.server.wait_link_up();
    wait_equal(&master.server, &replica.server);
    let listed = master.server.info("replication");
    assert_eq!(listed.part("slave0", "port"), Some(&*replica.port().to_string()), "its TLS port");
    let value = fill::noise(5 << 20, 3);
    for n in 0..8 {
        let key = format!("large:{n}");
        assert!(master.server.client().args(&[b"SET", key.as_bytes(), &value]).is_ok());
    }
    fill::many_keys(&mut master.server.client(), 30_000, 100);
    wait_equal(&master.server, &replica.server);
    assert_eq!(master.server.sync_counts().full, 1, "the link held");
}

fn a_full_sync_from_disk_and_the_stream_behind_it(m: Kind, r: Kind) {
    sync_and_stream(m, r, "repl-diskless-sync no\nrepl-diskless-load disabled");
}

fn a_diskless_sync_and_the_stream_behind_it(m: Kind, r: Kind) {
    sync_and_stream(m, r, "repl-diskless-sync yes\nrepl-diskless-load swapdb");
}

fn a_link_that_breaks_goes_on_where_it_was(m: Kind, r: Kind) {
    let master = Secure::of(m, "server", "repl-backlog-size 16mb");
    let proxy = Proxy::before_port(master.port());
    let replica = Secure::of(r, "elliptic", &format!("replicaof 127.0.0.1 {}", proxy.port()));
    replica.server.wait_link_up();
    for round in 0..3 {
        proxy.cut();
        fill::many_keys(&mut master.server.client(), 1000 * (round + 1), 100);
        wait_equal(&master.server, &replica.server);
    }
    assert_eq!(master.server.sync_counts().full, 1);
}

/// The directive is the cluster's, whose nodes MIGRATE was made for.
fn a_key_migrates_over_tls_where_tls_cluster_says_so(from: Kind, to: Kind) {
    let (from, to) = (Secure::of(from, "elliptic", ""), Secure::of(to, "server", ""));
    let value = fill::noise(3 << 20, 9);
    assert!(from.server.client().args(&[b"SET".as_slice(), b"large", &value]).is_ok());
    from.server.good("RPUSH list a b c");
    from.server.good("SET stays v");
    let before = from.server.good("DEBUG DIGEST-VALUE large list").texts();
    let migrate = |port: u16, key: &str, timeout_ms: u64| {
        from.server.run(&format!("MIGRATE 127.0.0.1 {port} {key} 0 {timeout_ms}"))
    };
    let is_cut = |reply: Reply| reply.error().starts_with("IOERR error or timeout");
    assert!(is_cut(migrate(to.port(), "list", 60_000)), "plain words at a port that is encrypted");
    from.server.good("CONFIG SET tls-cluster yes");
    for key in ["large", "list"] {
        assert!(migrate(to.port(), key, 60_000).is_ok());
    }
    assert_eq!(to.server.good("DEBUG DIGEST-VALUE large list").texts(), before);
    assert!(
        is_cut(migrate(to.server.port(), "stays", 200)),
        "an encrypted greeting at a plain port"
    );
    assert_eq!(from.server.good("KEYS *").texts(), ["stays"]);
    // What was begun encrypted is no way for who wants it plain, nor the other way round. Redis takes what it has.
    if from.server.kind().is_tandem() {
        from.server.good("CONFIG SET tls-cluster no");
        assert!(is_cut(migrate(to.port(), "stays", 60_000)));
        assert!(migrate(to.server.port(), "stays", 60_000).is_ok());
        from.server.good("SET stays w");
        from.server.good("CONFIG SET tls-cluster yes");
        assert!(is_cut(migrate(to.server.port(), "stays", 200)));
    }
}

/// A target that nobody known has signed for is no place for a key.
#[test]
fn a_key_stays_when_its_target_is_not_believed() {
    for name in ["stranger", "expired"] {
        let from = Secure::of(Kind::Tandem, "server", "tls-cluster yes");
        let to = Secure::of(Kind::Tandem, name, "");
        from.server.good("SET k v");
        let refused = from.server.run(&format!("MIGRATE 127.0.0.1 {} k 0 60000", to.port()));
        assert_eq!(refused.error(), "IOERR error or timeout connecting to the client");
        assert_eq!(from.server.good("GET k").text(), "v");
        assert_eq!(to.server.good("DBSIZE").int(), 0);
    }
}

pairings! {
    a_key_migrates_over_tls_where_tls_cluster_says_so,
    a_full_sync_from_disk_and_the_stream_behind_it,
    a_diskless_sync_and_the_stream_behind_it,
    a_link_that_breaks_goes_on_where_it_was,
}

#[test]
fn a_chain_may_be_plain_and_encrypted_in_turn() {
    let first = Secure::of(Kind::Redis, "server", "");
    fill::every_encoding(&mut first.server.client());
    let second = Secure::replica_of(Kind::Tandem, "plain", &first, "");
    second.server.wait_link_up();
    let third = Server::of(Kind::Tandem).replica_of(&second.server).start();
    third.wait_link_up();
    let fourth = Secure::replica_of(Kind::Tandem, "elliptic", &second, "");
    fourth.server.wait_link_up();
    let fifth = Secure::replica_of(Kind::Redis, "server", &fourth, "");
    fifth.server.wait_link_up();
    fill::many_keys(&mut first.server.client(), 5000, 100);
    for server in [&second.server, &third, &fourth.server, &fifth.server] {
        wait_equal(&first.server, server);
    }
}

/// A link that is encrypted at one end alone was silent until repl-timeout, or failed without a reason.
#[test]
fn a_link_that_is_encrypted_at_one_end_alone_says_so() {
    let master = Secure::start();
    let cases = [
        (master.server.port(), "yes", "the peer does not speak TLS"),
        (master.port(), "no", "this replica needs 'tls-replication yes'"),
    ];
    for (port, is_encrypted, words) in cases {
        let replica = Secure::of(Kind::Tandem, "server", "repl-timeout 600");
        replica.server.good(&format!("CONFIG SET tls-replication {is_encrypted}"));
        replica.server.good(&format!("REPLICAOF 127.0.0.1 {port}"));
        wait_until(LONG, "INFO tells why", || {
            let info = replica.server.info("replication");
            info.find("master_link_error").is_some_and(|why| why.contains(words))
        });
        replica.server.wait_log(words);
        let connecting = replica.server.log();
        let connecting = connecting.lines().find(|line| line.contains("Connecting to MASTER"));
        assert!(connecting.is_some_and(|line| line.contains(":S ")), "{connecting:?}");
    }
    master.server.wait_log("speaks TLS to a port that does not");
}

/// The greeting was sent into a socket whose connect had been refused, and took the error with it: the replica waited
/// for `repl-timeout` instead of trying again.
#[test]
fn a_replica_whose_master_is_not_there_yet_tries_again() {
    let port = Port::reserve();
    let more = format!("replicaof 127.0.0.1 {}", port.number());
    let replica = Secure::of(Kind::Tandem, "server", &more);
    replica.server.wait_log("Error condition on socket for SYNC: Connection refused");
}

#[test]
fn a_replica_says_why_it_does_not_believe_its_master() {
    let cases = [
        ("expired", "certificate verify failed: it has expired"),
        ("stranger", "no known authority signed it"),
        ("client", "extended key usage does not allow it"),
    ];
    for (name, words) in cases {
        let master = Secure::of(Kind::Tandem, name, "");
        let replica = Secure::replica_of(Kind::Tandem, "server", &master, "");
        replica.server.wait_log(words);
        assert!(!replica.server.link_is_up());
    }
}
