//! Random commands, sent to Tandem and to Redis: every reply and every string must be equal, byte for byte.
//!
//! The peer is Debian's redis-server, or whatever listens at `TANDEM_PEER` (host:port, emptied by these tests):
//! a newer server has commands that Debian's has not. What the peer lacks is left out.

#[path = "side_by_side/hyperloglog.rs"]
mod hyperloglog;

use fastrand::Rng;
use testkit::{Client, Kind, Reply, Server};

type Command = Vec<Vec<u8>>;

/// So many commands are sent to one server before the other gets them.
const BATCH: usize = 50;

/// Tandem and its peer, in the same state.
struct Pair {
    ours: Client,
    theirs: Client,
    rng: Rng,
    seed: u64,
    recent: Vec<Command>,
    _servers: Vec<Server>,
}

impl Pair {
    fn start(protocol: u8, seed: u64) -> Pair {
        let tandem = Server::of(Kind::Tandem).start();
        let mut servers = Vec::new();
        let mut theirs = match std::env::var("TANDEM_PEER") {
            Ok(address) => Client::connect(&*address).expect("TANDEM_PEER listens"),
            Err(_) => {
                servers.push(Server::of(Kind::Redis).start());
                servers[0].client()
            }
        };
        let mut ours = tandem.client();
        servers.push(tandem);
        for client in [&mut ours, &mut theirs] {
            client.good("FLUSHALL");
            client.good(&format!("HELLO {protocol}"));
        }
        let (rng, recent) = (Rng::with_seed(seed), Vec::new());
        Pair { ours, theirs, rng, seed, recent, _servers: servers }
    }

    /// Sends so many commands that `next` makes up.
    fn compare(&mut self, commands: usize, mut next: impl FnMut(&mut Rng) -> Command) {
        for _ in 0..commands.div_ceil(BATCH) {
            let batch: Vec<Command> = (0..BATCH).map(|_| next(&mut self.rng)).collect();
            let ours = self.ours.pipeline(&batch);
            let theirs = self.theirs.pipeline(&batch);
            for (command, (ours, theirs)) in batch.into_iter().zip(ours.iter().zip(&theirs)) {
                self.recent.push(command);
                if ours != theirs {
                    self.differ(ours, theirs);
                }
            }
        }
    }

    fn differ(&self, ours: &Reply, theirs: &Reply) -> ! {
        let recent = &self.recent[self.recent.len().saturating_sub(30)..];
        let recent: Vec<String> = recent.iter().map(shown).collect();
        let (seed, recent) = (self.seed, recent.join("\n"));
        panic!("seed {seed}: after\n{recent}\nTandem replied {ours:?}\nthe peer     {theirs:?}");
    }
}

fn shown(command: &Command) -> String {
    let words: Vec<String> = command.iter().map(|word| word.escape_ascii().to_string()).collect();
    words.join(" ")
}

/// A command of words between blanks.
fn words(line: &str) -> Command {
    line.split(' ').map(|word| word.as_bytes().to_vec()).collect()
}
