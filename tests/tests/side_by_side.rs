//! Random commands, sent to Tandem and to Redis: every reply and every string must be equal, byte for byte.
//!
//! The peer is Debian's redis-server, or whatever listens at `TANDEM_PEER` (host:port, emptied by these tests):
//! a newer server has commands that Debian's has not. What the peer lacks is left out.

#[path = "side_by_side/bits.rs"]
mod bits;
#[path = "side_by_side/geo.rs"]
mod geo;
#[path = "side_by_side/hyperloglog.rs"]
mod hyperloglog;
#[path = "side_by_side/strings.rs"]
mod strings;

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
    is_debian: bool,
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
        let (rng, recent, is_debian) = (Rng::with_seed(seed), Vec::new(), servers.len() == 2);
        Pair { ours, theirs, rng, seed, recent, is_debian, _servers: servers }
    }

    /// Sends so many commands that `next` makes up.
    fn compare(&mut self, commands: usize, mut next: impl FnMut(&mut Rng) -> Command) {
        for _ in 0..commands.div_ceil(BATCH) {
            let batch: Vec<Command> = (0..BATCH).map(|_| next(&mut self.rng)).collect();
            let ours = self.ours.pipeline(&batch);
            let theirs = self.theirs.pipeline(&batch);
            for (command, (ours, theirs)) in batch.into_iter().zip(ours.iter().zip(&theirs)) {
                self.recent.push(command);
                let command = &self.recent[self.recent.len() - 1];
                if !equal(command, ours, theirs, self.is_debian) {
                    self.differ(ours, theirs);
                }
            }
        }
    }

    fn differ(&self, ours: &Reply, theirs: &Reply) -> ! {
        let recent = &self.recent[self.recent.len().saturating_sub(30)..];
        let recent: Vec<String> = recent.iter().map(shown).collect();
        let (seed, recent) = (self.seed, recent.join("\n"));
        let (ours, theirs) = (text(ours), text(theirs));
        panic!("seed {seed}: after\n{recent}\nTandem replied {ours}\nthe peer       {theirs}");
    }
}

/// Redis 7.0 spells scores with more digits than 7.2: what ZRANGE tells is compared as numbers. Other peers than
/// Debian's have other texts for errors and, from Redis 8 on, for positions.
fn equal(command: &Command, ours: &Reply, theirs: &Reply, is_debian: bool) -> bool {
    let is_number = command[0] == b"ZRANGE" || !is_debian && command[0].starts_with(b"GEO");
    match (ours, theirs) {
        (Reply::Array(ours), Reply::Array(theirs)) => {
            let mut both = ours.iter().zip(theirs);
            ours.len() == theirs.len()
                && both.all(|(ours, theirs)| equal(command, ours, theirs, is_debian))
        }
        (Reply::Bulk(a), Reply::Bulk(b)) if a != b && is_number => {
            let number = |text| std::str::from_utf8(text).ok()?.parse::<f64>().ok();
            number(a).zip(number(b)).is_some_and(|(a, b)| nearly(a, b))
        }
        (Reply::Double(a), Reply::Double(b)) if is_number => nearly(*a, *b),
        (Reply::Error(_), Reply::Error(_)) if !is_debian => true,
        _ => ours == theirs,
    }
}

/// As near as 17 decimals say.
fn nearly(a: f64, b: f64) -> bool {
    a == b || (a - b).abs() < 1e-16
}

fn text(reply: &Reply) -> String {
    match reply {
        Reply::Bulk(bytes) => bytes.escape_ascii().to_string(),
        Reply::Array(items) => {
            format!("[{}]", items.iter().map(text).collect::<Vec<_>>().join(", "))
        }
        _ => format!("{reply:?}"),
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
