//! Clusters of whole nodes on machines of the simulation, in fair weather, and a client to ask them.

#![allow(dead_code, reason = "every test file uses its own part")]

use engine::{ClientId, Kind, Peer, Settings};
use node::Node;
use protocol::Args;
use repl::ReplSettings;
use std::io::IoSlice;
use testkit::sim::cluster::{Cluster, Setup};
use testkit::sim::net::Weather;
use testkit::sim::os::{Conn, Keeps, SimOs};

/// A master and its replicas, all in sync.
pub fn cluster(nodes: usize, engine: Settings) -> Cluster {
    cluster_that_keeps(Keeps::Nothing, nodes, engine)
}

pub fn cluster_that_keeps(persistence: Keeps, nodes: usize, engine: Settings) -> Cluster {
    cluster_in(fair_weather(), persistence, nodes, engine)
}

pub fn fair_weather() -> Weather {
    Weather { delay_max_ms: 1, fragment_max_bytes: 65_536, window_bytes: 65_536 }
}

pub fn cluster_in(weather: Weather, persistence: Keeps, nodes: usize, engine: Settings) -> Cluster {
    let setups = (0..nodes).map(|_| Setup {
        engine: engine.clone(),
        repl: ReplSettings { repl_diskless_sync_delay_secs: 0, ..ReplSettings::default() },
        persistence,
    });
    let mut cluster = Cluster::new(1, weather, setups.collect());
    for node in 0..nodes {
        cluster.start(node, (node > 0).then_some(0));
    }
    assert!(cluster.run_while(60_000, |c| !c.is_in_sync(0)), "{}", cluster.report());
    cluster
}

/// A new client's commands, all in one turn of the node; gives the last reply as it is before anything leaves.
pub fn ask(cluster: &mut Cluster, node: usize, commands: &[&str]) -> String {
    run(cluster, node, commands).1
}

/// The same with the client.
pub fn run(cluster: &mut Cluster, node: usize, commands: &[&str]) -> (ClientId, String) {
    let mut reply = Vec::new();
    let mut client = ClientId { id: 0, slot: 0 };
    let Cluster { nodes, world, .. } = cluster;
    nodes[node].turn(world, |node, os| {
        let id = node.connect(Kind::Normal, Peer { local: true, ..Peer::default() });
        client = id;
        os.me.conns.insert(id, Conn::default());
        for words in commands {
            let before = node.engine.client(id).map_or(0, |client| client.out.len_bytes());
            execute(node, os, id, words);
            let out = &node.engine.client(id).expect("it stays").out;
            let mut slices = [IoSlice::new(&[]); 16];
            let count = out.io_slices(&mut slices);
            let bytes = slices[..count].iter().flat_map(|slice| slice.iter().copied());
            reply = bytes.skip(before).collect::<Vec<u8>>();
        }
    });
    (client, String::from_utf8_lossy(&reply).into_owned())
}

/// A command of a client that is there.
pub fn execute(node: &mut Node, os: &mut SimOs<'_>, id: ClientId, words: &str) {
    let words: Vec<&[u8]> = words.split(' ').map(str::as_bytes).collect();
    node.execute(os, id, Args::new(&words));
}

/// Bytes of replies that have not left.
pub fn held(cluster: &Cluster, node: usize, id: ClientId) -> usize {
    cluster.nodes[node].node.engine.client(id).expect("it stays").out.len_bytes()
}

pub fn is_blocked(cluster: &Cluster, node: usize, id: ClientId) -> bool {
    cluster.nodes[node].node.engine.client(id).is_some_and(|client| client.is_blocked())
}
