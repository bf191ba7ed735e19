//! TCP ports for servers, none handed out twice while in use, across all test processes of the machine.
//!
//! Must not: hand out ports of the kernel's ephemeral range, which any outgoing connection may take
//! between the choice of a port and the start of its server.

use std::fs::{File, OpenOptions};
use std::net::TcpListener;

use nix::fcntl::{Flock, FlockArg};

const FIRST: u16 = 12_000;
const LAST: u16 = 31_999;

/// A port that is ours until this is dropped; a server may be stopped and started on it again.
#[derive(Debug)]
pub struct Port {
    number: u16,
    /// The lock is released by the kernel even if the test process is killed.
    _lock: Flock<File>,
}

impl Port {
    /// Takes a port that nothing listens on. Panics when 20,000 ports are in use.
    pub fn reserve() -> Port {
        let dir = std::env::temp_dir().join("tandem-test-ports");
        std::fs::create_dir_all(&dir).expect("a folder for port locks");
        let mut number = fastrand::u16(FIRST..=LAST);
        for _ in FIRST..=LAST {
            let path = dir.join(number.to_string());
            let file = OpenOptions::new().create(true).append(true).open(path);
            let lock = file.ok().and_then(|f| Flock::lock(f, FlockArg::LockExclusiveNonblock).ok());
            if let Some(lock) = lock
                && TcpListener::bind(("127.0.0.1", number)).is_ok()
            {
                return Port { number, _lock: lock };
            }
            number = if number == LAST { FIRST } else { number + 1 };
        }
        panic!("no free port between {FIRST} and {LAST}");
    }

    pub fn number(&self) -> u16 {
        self.number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_ports_differ_while_both_are_held() {
        let ports: Vec<Port> = (0..50).map(|_| Port::reserve()).collect();
        let mut numbers: Vec<u16> = ports.iter().map(Port::number).collect();
        numbers.sort();
        numbers.dedup();
        assert_eq!(numbers.len(), 50);
    }
}
