//! A master played from a script: answers each command with bytes of the test's choice.
//!
//! Must not: implement any of the protocol of replication by itself; the script is the test's.

use std::io::{BufReader, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use crate::client::read_reply;
use crate::ports::Port;

/// What the script does after a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Bytes(Vec<u8>),
    /// Sends these bytes, then closes the connection.
    BytesAndClose(Vec<u8>),
    Close,
    Nothing,
}

impl Answer {
    pub fn text(text: &str) -> Answer {
        Answer::Bytes(text.as_bytes().to_vec())
    }
}

/// Listens from [`FakeMaster::start`] until it is dropped.
#[derive(Debug)]
pub struct FakeMaster {
    port: Port,
    commands: Arc<Mutex<Vec<String>>>,
    /// The connection that a command came from last.
    latest: Arc<Mutex<Option<TcpStream>>>,
    stopping: Arc<AtomicBool>,
}

impl FakeMaster {
    /// `script` is given each command's words, joined by blanks, in the order of arrival.
    pub fn start(script: impl FnMut(&str) -> Answer + Send + 'static) -> FakeMaster {
        let (port, listener) = Port::listen();
        let commands = Arc::new(Mutex::new(Vec::new()));
        let stopping = Arc::new(AtomicBool::new(false));
        let script = Arc::new(Mutex::new(script));
        let latest = Arc::new(Mutex::new(None));
        let fake = FakeMaster {
            port,
            commands: commands.clone(),
            latest: latest.clone(),
            stopping: stopping.clone(),
        };
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if stopping.load(Ordering::Relaxed) {
                    return;
                }
                let (commands, script) = (commands.clone(), script.clone());
                let latest = latest.clone();
                thread::spawn(move || serve(stream, &commands, &latest, &script));
            }
        });
        fake
    }

    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// Sends bytes out of turn, over the connection that a command came from last.
    #[track_caller]
    pub fn send(&self, bytes: &[u8]) {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let stream = latest.as_mut().expect("a command has come");
        stream.write_all(bytes).expect("the peer is there");
    }

    /// All commands so far, over all connections.
    pub fn commands(&self) -> Vec<String> {
        self.commands.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for FakeMaster {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Relaxed);
        // Wakes the accepting thread, which then sees that it is to stop.
        let _ = TcpStream::connect(("127.0.0.1", self.port()));
    }
}

fn serve(
    stream: TcpStream,
    commands: &Mutex<Vec<String>>,
    latest: &Mutex<Option<TcpStream>>,
    script: &Mutex<impl FnMut(&str) -> Answer>,
) {
    let Ok(mut out) = stream.try_clone() else { return };
    let mut input = BufReader::new(stream);
    while let Some(command) = read_command(&mut input) {
        *latest.lock().unwrap_or_else(PoisonError::into_inner) = out.try_clone().ok();
        commands.lock().unwrap_or_else(PoisonError::into_inner).push(command.clone());
        let answer = (script.lock().unwrap_or_else(PoisonError::into_inner))(&command);
        let (bytes, go_on) = match answer {
            Answer::Bytes(bytes) => (bytes, true),
            Answer::BytesAndClose(bytes) => (bytes, false),
            Answer::Close => (Vec::new(), false),
            Answer::Nothing => (Vec::new(), true),
        };
        if out.write_all(&bytes).is_err() || !go_on {
            let _ = out.shutdown(std::net::Shutdown::Both);
            return;
        }
    }
}

/// Commands come as arrays of bulk strings, or inline as the old SYNC does.
fn read_command(input: &mut BufReader<TcpStream>) -> Option<String> {
    use std::io::BufRead;
    loop {
        let first = *input.fill_buf().ok()?.first()?;
        if first == b'*' {
            return Some(read_reply(input).ok()?.texts().join(" "));
        }
        let mut line = String::new();
        input.read_line(&mut line).ok()?;
        if !line.trim().is_empty() {
            return Some(line.trim().to_string());
        }
    }
}
