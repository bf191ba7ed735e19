//! What passes between the engine and the process by way of the node, on machines of the simulation: nothing
//! may be lost or made up on the way.

use engine::{Kind, Peer, Settings};
use protocol::Args;
use repl::ReplSettings;
use std::io::IoSlice;
use testkit::sim::cluster::{Cluster, Setup};
use testkit::sim::disk::Crash;
use testkit::sim::net::Weather;
use testkit::sim::os::{Conn, Keeps};

/// A master and its replicas, all in sync.
fn cluster(nodes: usize, engine: Settings) -> Cluster {
    let weather = Weather { delay_max_ms: 1, fragment_max_bytes: 65_536, window_bytes: 65_536 };
    let setups = (0..nodes).map(|_| Setup {
        engine: engine.clone(),
        repl: ReplSettings { repl_diskless_sync_delay_secs: 0, ..ReplSettings::default() },
        persistence: Keeps::Nothing,
    });
    let mut cluster = Cluster::new(1, weather, setups.collect());
    for node in 0..nodes {
        cluster.start(node, (node > 0).then_some(0));
    }
    assert!(cluster.run_while(60_000, |c| !c.is_in_sync(0)), "{}", cluster.report());
    cluster
}

/// A new client's commands, all in one turn of the node; gives the last reply as it is before anything leaves.
fn ask(cluster: &mut Cluster, node: usize, commands: &[&str]) -> String {
    let mut reply = Vec::new();
    let Cluster { nodes, world, .. } = cluster;
    nodes[node].turn(world, |node, os| {
        let id = node.connect(Kind::Normal, Peer { local: true, ..Peer::default() });
        os.me.conns.insert(id, Conn::default());
        for words in commands {
            let words: Vec<&[u8]> = words.split(' ').map(str::as_bytes).collect();
            let before = node.engine.client(id).map_or(0, |client| client.out.len_bytes());
            node.execute(os, id, Args::new(&words));
            let out = &node.engine.client(id).expect("it stays").out;
            let mut slices = [IoSlice::new(&[]); 16];
            let count = out.io_slices(&mut slices);
            let bytes = slices[..count].iter().flat_map(|slice| slice.iter().copied());
            reply = bytes.skip(before).collect::<Vec<u8>>();
        }
    });
    String::from_utf8_lossy(&reply).into_owned()
}

/// A field of INFO, or of a line of CLIENT LIST.
fn field(text: &str, name: &str) -> i64 {
    let found = text.split(['\r', '\n', ' ']).find_map(|word| word.strip_prefix(name));
    found.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {name} in {text}"))
}

// A monitor that saw 1 for it took every fresh master for one that had been promoted.
#[test]
fn a_master_that_was_never_a_replica_shows_no_second_offset() {
    let mut cluster = cluster(2, Settings::default());
    assert_eq!(field(&ask(&mut cluster, 0, &["INFO replication"]), "second_repl_offset:"), -1);
    let offset = cluster.nodes[1].node.repl.offset() as i64;
    let info = ask(&mut cluster, 1, &["REPLICAOF NO ONE", "INFO replication"]);
    assert_eq!(field(&info, "second_repl_offset:"), offset + 1);
}

// The output of a replica is not its client's: what waits for it stands in the backlog's chain.
#[test]
fn client_list_shows_what_waits_for_a_replica() {
    let mut cluster = cluster(2, Settings::default());
    let set = format!("SET key {}", "x".repeat(5000));
    let list = ask(&mut cluster, 0, &[&set, "CLIENT LIST TYPE replica"]);
    assert!(field(&list, "omem=") >= 5000, "{list}");
    assert!(cluster.run_while(10_000, |c| !c.is_in_sync(0)));
    let list = ask(&mut cluster, 0, &["CLIENT LIST TYPE replica"]);
    assert!(field(&list, "omem=") < 100, "{list}");
}

#[test]
fn eviction_goes_by_what_the_process_says_it_uses() {
    let mut cluster = cluster(
        1,
        Settings {
            maxmemory_bytes: 1000,
            maxmemory_policy: engine::settings::MaxmemoryPolicy::AllkeysRandom,
            ..Settings::default()
        },
    );
    let sets: Vec<String> = (0..50).map(|n| format!("SET key:{n} value")).collect();
    ask(&mut cluster, 0, &sets.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(cluster.nodes[0].node.engine.keyspace.keys(), 50, "nobody has looked yet");
    // The machine of the simulation counts a hundred bytes a key, twice a second.
    cluster.run_for(2000);
    assert_eq!(ask(&mut cluster, 0, &["SET last value"]), "+OK\r\n");
    assert!((1..=11).contains(&cluster.nodes[0].node.engine.keyspace.keys()));
}

#[test]
fn what_only_the_process_knows_is_its_word() {
    let mut cluster = cluster(1, Settings::default());
    assert_eq!(ask(&mut cluster, 0, &["LASTSAVE"]), ":1600000000\r\n");
}

// A refusal that nobody passed on kept a replica waiting for its timeout, a minute after the master was back.
#[test]
fn a_refused_connection_is_made_anew_within_seconds() {
    let mut cluster = cluster(2, Settings::default());
    cluster.crash(0, Crash::Kill);
    cluster.run_for(5000);
    cluster.start(0, None);
    assert!(cluster.run_while(5000, |c| !c.is_in_sync(0)), "{}", cluster.report());
}

// Were every directive taken for a secret, the slow log would show no value of any CONFIG SET.
#[test]
fn the_slow_log_hides_the_values_of_secret_directives_only() {
    let settings = Settings { slowlog_log_slower_than_us: 0, ..Settings::default() };
    let mut cluster = cluster(1, settings);
    let set = "CONFIG SET requirepass sesame appendfsync always";
    let log = ask(&mut cluster, 0, &[set, "SLOWLOG GET 1"]);
    assert!(log.contains("always") && !log.contains("sesame"), "{log}");
}
