//! `--rdb`, `--functions-rdb`, `--replica`: redis-cli in the part of a replica.
//!
//! Must not: understand the snapshot; it is stored or dropped.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use protocol::Value;

use crate::Exit;
use crate::connection::Connection;
use crate::format::{Delimiters, Output, render};
use crate::term::{self, err, fail, os_words};

const MARK_LEN: usize = 40;
const LINE_MAX: usize = 4096;
const READ_LEN: usize = 64 * 1024;
/// After a snapshot of unknown length, a master wants a moment before it is acknowledged.
const BEFORE_ACK: Duration = Duration::from_secs(1);

/// What of the data a snapshot is to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Everything,
    Functions,
}

/// How the end of a snapshot is known.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Payload {
    Bytes(u64),
    /// Its end is marked by these bytes.
    UntilMark([u8; MARK_LEN]),
}

/// Fetches a snapshot into a file; `-` is the standard output.
pub(crate) fn fetch(mut conn: Connection, path: &Path, what: What) -> Result<(), Exit> {
    replconf(&mut conn, "capa", "eof")?;
    replconf(&mut conn, "rdb-only", "1")?;
    if what == What::Functions && !replconf(&mut conn, "rdb-filter-only", "functions")? {
        return Err(fail("Failed requesting functions only RDB from server, aborting"));
    }
    let payload = request(&mut conn)?;
    let name = path.display();
    match &payload {
        Payload::Bytes(len) => {
            err(format!("SYNC sent to master, writing {len} bytes to '{name}'\n"))
        }
        Payload::UntilMark(_) => err(format!(
            "SYNC sent to master, writing bytes of bulk transfer until EOF marker to '{name}'\n"
        )),
    }
    let mut file = match path.as_os_str().as_encoded_bytes() {
        b"-" => None,
        _ => Some(
            File::create(path)
                .map_err(|e| fail(format!("Error opening '{name}': {}", os_words(&e))))?,
        ),
    };
    let mut write = |bytes: &[u8]| match &mut file {
        Some(file) => file.write_all(bytes),
        None => io::stdout().write_all(bytes),
    };
    let mut len = 0;
    let rest = receive(&mut conn, &payload, &mut |bytes| {
        len += bytes.len() as u64;
        write(bytes)
    });
    rest.map_err(|broken| match broken {
        Broken::Read => fail("I/O Error reading RDB payload from socket"),
        Broken::Write(e) => fail(format!("Error writing data to file: {}", os_words(&e))),
    })?;
    match payload {
        Payload::Bytes(_) => err("Transfer finished with success.\n"),
        Payload::UntilMark(_) => err(format!("Transfer finished with success after {len} bytes\n")),
    }
    // A disk may take its time, the master need not wait for it.
    drop(conn);
    if let Some(file) = file {
        file.sync_all().map_err(|e| fail(format!("Fail to fsync '{name}': {}", os_words(&e))))?;
    }
    Ok(())
}

/// Becomes a replica and prints what the master sends, until it goes away.
pub(crate) fn print_stream(mut conn: Connection, handshake: bool) -> Result<(), Exit> {
    if handshake {
        replconf(&mut conn, "capa", "eof")?;
        replconf(&mut conn, "rdb-filter-only", "")?;
    }
    let payload = request(&mut conn)?;
    match &payload {
        Payload::Bytes(len) => {
            err(format!("SYNC with master, discarding {len} bytes of bulk transfer...\n"));
        }
        Payload::UntilMark(_) => {
            err("SYNC with master, discarding bytes of bulk transfer until EOF marker...\n");
        }
    }
    let mut len = 0;
    let rest = receive(&mut conn, &payload, &mut |bytes| {
        len += bytes.len();
        Ok(())
    })
    .map_err(|_| fail("Error reading RDB payload while SYNCing"))?;
    match payload {
        Payload::Bytes(_) => err("SYNC done. Logging commands from master.\n"),
        Payload::UntilMark(_) => {
            err(format!("SYNC done after {len} bytes. Logging commands from master.\n"));
            std::thread::sleep(BEFORE_ACK);
            err("sending REPLCONF ACK 0\n");
            conn.append(&["REPLCONF", "ACK", "0"]);
            // A link that broke shows when it is read.
            let _ = conn.flush();
        }
    }
    conn.feed(&rest);
    loop {
        let command = conn.read().map_err(|e| fail(format!("Error: {e}")))?;
        term::out(render(&command, Output::Csv, false, &Delimiters::default()));
        term::flush();
    }
}

/// `false`: the master does not know this. Old ones need not.
fn replconf(conn: &mut Connection, option: &str, value: &str) -> Result<bool, Exit> {
    err(format!("sending REPLCONF {option} {value}\n"));
    match conn.call(&["REPLCONF", option, value]) {
        Ok(Value::Error(text)) => {
            let text = String::from_utf8_lossy(&text);
            err(format!("REPLCONF {option} error: {text}\n"));
            Ok(false)
        }
        Ok(_) => Ok(true),
        Err(_) => Err(fail("\nI/O error")),
    }
}

/// Asks for everything, and reads the line before the snapshot.
fn request(conn: &mut Connection) -> Result<Payload, Exit> {
    match conn.write_raw(b"SYNC\r\n") {
        Ok(6) => {}
        _ => return Err(fail("Error writing to master")),
    }
    let mut line = Vec::new();
    let mut byte = [0];
    loop {
        match conn.read_raw(&mut byte) {
            Ok(1..) if line.len() < LINE_MAX => {}
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            _ => return Err(fail("Error reading bulk length while SYNCing")),
        }
        match byte {
            // While a snapshot is made, empty lines keep the link alive.
            [b'\n'] if line.is_empty() => {}
            [b'\n'] => break,
            [b'\r'] => {}
            [other] => line.push(other),
        }
    }
    parse_header(&line).ok_or_else(|| fail([&b"SYNC with master failed: "[..], &line].concat()))
}

fn parse_header(line: &[u8]) -> Option<Payload> {
    let rest = line.strip_prefix(b"$")?;
    if let Some(mark) = rest.strip_prefix(b"EOF:") {
        return mark.try_into().ok().map(Payload::UntilMark);
    }
    let len = protocol::parse_i64(rest)?;
    u64::try_from(len).ok().map(Payload::Bytes)
}

#[derive(Debug)]
enum Broken {
    Read,
    Write(io::Error),
}

/// Takes in the snapshot; what follows it was perhaps read, too, and is returned.
fn receive(
    conn: &mut Connection,
    payload: &Payload,
    write: &mut dyn FnMut(&[u8]) -> io::Result<()>,
) -> Result<Vec<u8>, Broken> {
    let mut splitter = Splitter::new(payload);
    let mut buffer = vec![0; READ_LEN];
    while !splitter.is_done() {
        let len = match conn.read_raw(&mut buffer) {
            Ok(len @ 1..) => len,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            _ => return Err(Broken::Read),
        };
        splitter.feed(&buffer[..len], write).map_err(Broken::Write)?;
    }
    Ok(splitter.rest)
}

/// Parts a stream into the snapshot and what comes behind it.
#[derive(Debug)]
struct Splitter {
    missing: u64,
    mark: Option<[u8; MARK_LEN]>,
    /// Bytes that may be the beginning of the mark.
    held: Vec<u8>,
    rest: Vec<u8>,
}

impl Splitter {
    fn new(payload: &Payload) -> Self {
        let (missing, mark) = match payload {
            Payload::Bytes(len) => (*len, None),
            Payload::UntilMark(mark) => (u64::MAX, Some(*mark)),
        };
        Self { missing, mark, held: Vec::new(), rest: Vec::new() }
    }

    fn is_done(&self) -> bool {
        self.missing == 0
    }

    fn feed(
        &mut self,
        bytes: &[u8],
        write: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let Some(mark) = self.mark else {
            let len = bytes.len().min(usize::try_from(self.missing).unwrap_or(usize::MAX));
            self.missing -= len as u64;
            self.rest.extend_from_slice(&bytes[len..]);
            return write(&bytes[..len]);
        };
        self.held.extend_from_slice(bytes);
        if let Some(at) = self.held.windows(MARK_LEN).position(|window| window == mark) {
            self.missing = 0;
            self.rest = self.held.split_off(at + MARK_LEN);
            self.held.truncate(at);
            return write(&std::mem::take(&mut self.held));
        }
        let safe = self.held.len().saturating_sub(MARK_LEN - 1);
        write(&self.held[..safe])?;
        self.held.drain(..safe);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_says_how_the_end_is_known() {
        assert_eq!(parse_header(b"$123"), Some(Payload::Bytes(123)));
        let mark = [b'm'; MARK_LEN];
        assert_eq!(parse_header(&[b"$EOF:", &mark[..]].concat()), Some(Payload::UntilMark(mark)));
        for line in [&b"-ERR no"[..], b"$-1", b"$EOF:short", b"$x", b"$", b""] {
            assert_eq!(parse_header(line), None);
        }
    }

    #[test]
    fn the_snapshot_ends_where_it_ends_however_the_stream_is_cut() {
        let mark = [b'm'; MARK_LEN];
        let data = [&b"data"[..], &mark[..39], b"x"].concat();
        for payload in [Payload::Bytes(data.len() as u64), Payload::UntilMark(mark)] {
            let marked = matches!(payload, Payload::UntilMark(_));
            let tail: &[u8] = if marked { &mark } else { b"" };
            let stream = [&data[..], tail, b"*1\r\n"].concat();
            for piece in [1, 3, 39, 40, 41, 1000] {
                let mut splitter = Splitter::new(&payload);
                let (mut got, mut rest) = (Vec::new(), Vec::new());
                for bytes in stream.chunks(piece) {
                    if splitter.is_done() {
                        rest.extend_from_slice(bytes);
                        continue;
                    }
                    let mut write = |bytes: &[u8]| {
                        got.extend_from_slice(bytes);
                        Ok(())
                    };
                    splitter.feed(bytes, &mut write).unwrap();
                }
                assert!(splitter.is_done());
                assert_eq!(
                    (got, [splitter.rest, rest].concat()),
                    (data.clone(), b"*1\r\n".to_vec())
                );
            }
        }
    }
}
