//! A write load that runs beside a test until it is stopped.
//!
//! Must not: fail the test when its server goes away: it reconnects, and counts what was acknowledged.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

use crate::client::{Client, Reply};
use crate::server::Server;
use crate::wait::{LONG, SHORT, wait_until};

/// Commands sent before the replies are read: enough to keep a server busy, few enough to stop at once.
const BATCH: usize = 16;
/// A rate that leaves the processors of a small machine to the servers.
const PAUSE: std::time::Duration = std::time::Duration::from_millis(2);

/// Writers that mix all types, expiries, transactions and databases.
#[derive(Debug)]
pub struct Load {
    state: Arc<State>,
    writers: Vec<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct State {
    stop: AtomicBool,
    acknowledged: AtomicU64,
    refused: AtomicU64,
    first_refusal: std::sync::Mutex<Option<String>>,
}

impl Load {
    /// Starts writing to `server` with one writer.
    pub fn start(server: &Server) -> Load {
        Load::start_on_port(server.port(), 1, 0x7a4de3)
    }

    /// Starts `writers` writers whose choices follow from `seed`.
    pub fn start_on_port(port: u16, writers: usize, seed: u64) -> Load {
        let state = Arc::new(State::default());
        let writers = (0..writers)
            .map(|i| {
                let state = state.clone();
                let rng = fastrand::Rng::with_seed(seed + i as u64);
                thread::spawn(move || write_until_stopped(port, rng, &state))
            })
            .collect();
        Load { state, writers }
    }

    /// Commands that were answered without an error.
    pub fn acknowledged(&self) -> u64 {
        self.state.acknowledged.load(Ordering::Relaxed)
    }

    /// Waits until `count` more commands have been acknowledged.
    #[track_caller]
    pub fn wait_progress(&self, count: u64) {
        let goal = self.acknowledged() + count;
        wait_until(LONG, &format!("{count} more writes are acknowledged"), || {
            self.acknowledged() >= goal
        });
    }

    /// Ends the load; every command was answered when this returns. Panics when a command was refused.
    #[track_caller]
    pub fn stop(self) -> u64 {
        let (acknowledged, refusal) = self.stop_tolerant();
        assert!(refusal.is_none(), "the load was refused: {refusal:?}");
        acknowledged
    }

    /// Ends the load; returns the acknowledged count and the first error reply, if there was any.
    pub fn stop_tolerant(mut self) -> (u64, Option<String>) {
        self.finish();
        let refusal = self.state.first_refusal.lock().expect("no writer panics").clone();
        (self.acknowledged(), refusal)
    }

    fn finish(&mut self) {
        self.state.stop.store(true, Ordering::Relaxed);
        for writer in self.writers.drain(..) {
            let _ = writer.join();
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.finish();
    }
}

/// A thread for a test that needs a load of its own kind.
pub fn spawn<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    thread::spawn(work)
}

fn write_until_stopped(port: u16, mut rng: fastrand::Rng, state: &State) {
    let mut client: Option<Client> = None;
    while !state.stop.load(Ordering::Relaxed) {
        let Some(connected) = client.as_mut() else {
            client = connect(port);
            if client.is_none() {
                thread::sleep(PAUSE);
            }
            continue;
        };
        let batch: Vec<Vec<String>> = random_commands(&mut rng);
        match connected.try_pipeline(&batch) {
            Ok(replies) => replies.iter().zip(&batch).for_each(|(r, c)| count(state, r, c)),
            Err(_) => client = None,
        }
        thread::sleep(PAUSE);
    }
}

fn connect(port: u16) -> Option<Client> {
    let mut client = Client::connect(("127.0.0.1", port)).ok()?;
    client.set_read_timeout(SHORT).ok()?;
    Some(client)
}

fn count(state: &State, reply: &Reply, command: &[String]) {
    if let Reply::Error(text) = reply {
        state.refused.fetch_add(1, Ordering::Relaxed);
        let mut first = state.first_refusal.lock().expect("no writer panics");
        first.get_or_insert_with(|| format!("{}: {text}", command.join(" ")));
    } else {
        state.acknowledged.fetch_add(1, Ordering::Relaxed);
    }
}

/// A batch of commands in one database, none of which can be refused by a healthy master.
fn random_commands(rng: &mut fastrand::Rng) -> Vec<Vec<String>> {
    let mut batch = vec![words(&format!("SELECT {}", [0, 0, 0, 3, 7][rng.usize(..5)]))];
    if rng.u32(..10) == 0 {
        batch.push(words("MULTI"));
        batch.extend((0..4).map(|_| random_command(rng)));
        batch.push(words("EXEC"));
    }
    batch.extend((0..BATCH).map(|_| random_command(rng)));
    batch
}

/// Each type has keys of its own, so that no command meets a key of another type.
fn random_command(rng: &mut fastrand::Rng) -> Vec<String> {
    let n = rng.u32(..200);
    let m = rng.u32(..1_000);
    words(&match rng.u32(..28) {
        0..=3 => format!("SET load:s{n} value-{m}"),
        4 => format!("SET load:s{n} value-{m} PX {}", rng.u32(1..3_000)),
        5 => format!("SET load:s{n} {} EX 1000", "long-".repeat(rng.usize(1..200))),
        6 => format!("INCRBY load:n{n} {m}"),
        7 => format!("INCRBYFLOAT load:f{n} {m}.25"),
        8 => format!("APPEND load:a{} {m}", n % 20),
        9 => format!("SETRANGE load:r{n} {} {m}", m % 50),
        10 => format!("RPUSH load:l{} e{m} {m}", n % 20),
        11 => format!("LPUSH load:l{} e{m}", n % 20),
        12 => format!("LPOP load:l{} 3", n % 20),
        13 => format!("LTRIM load:l{} 0 300", n % 20),
        14 => format!("SADD load:set{} m{m} {m}", n % 20),
        15 => format!("SPOP load:set{}", n % 20),
        16 => format!("SREM load:set{} {m}", n % 20),
        17 => format!("SADD load:ints{} {m}", n % 20),
        18 => format!("HSET load:h{} f{m} {m} g{n} x", n % 20),
        19 => format!("HINCRBY load:hn{} f{} 1", n % 20, m % 50),
        20 => format!("HDEL load:h{} f{m}", n % 20),
        21 => format!("ZADD load:z{} {m} m{m} {}.5 h{n}", n % 20, m),
        22 => format!("ZINCRBY load:z{} 1.5 m{m}", n % 20),
        23 => format!("ZPOPMIN load:z{}", n % 20),
        24 => format!("DEL load:s{n} load:n{m}"),
        25 => format!("PEXPIRE load:n{n} {}", rng.u32(1..3_000)),
        26 => format!("GETDEL load:s{n}"),
        _ => format!("EXPIRE load:h{} 100", n % 20),
    })
}

fn words(line: &str) -> Vec<String> {
    line.split_ascii_whitespace().map(str::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::Kind;

    #[test]
    fn a_healthy_master_refuses_nothing() {
        let server = Server::of(Kind::Redis).start();
        let load = Load::start_on_port(server.port(), 2, 1);
        load.wait_progress(3_000);
        assert!(load.stop() >= 3_000);
    }

    #[test]
    fn a_load_survives_the_death_of_its_server_and_reports_refusals() {
        let mut server = Server::of(Kind::Redis).start();
        let load = Load::start(&server);
        load.wait_progress(100);
        server.kill();
        server.start_again();
        load.wait_progress(100);
        server.good("CONFIG SET min-replicas-to-write 1");
        wait_until(SHORT, "a write is refused", || load.state.refused.load(Ordering::Relaxed) > 0);
        let (_, refusal) = load.stop_tolerant();
        assert!(refusal.is_some_and(|r| r.contains("NOREPLICAS")));
    }
}
