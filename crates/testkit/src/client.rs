//! A raw client: sends what it is told, byte for byte if need be, and returns replies as they came.
//!
//! Must not: retry, reconnect, or interpret a reply; tests see exactly what the server said. It shares
//! no code with crate `protocol`, so that an error there cannot hide itself.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// A reply may take this long before the server counts as hung.
const REPLY_TIMEOUT: Duration = Duration::from_secs(30);

/// A reply of RESP2 or RESP3.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    Simple(String),
    Error(String),
    Int(i64),
    Bulk(Vec<u8>),
    Array(Vec<Reply>),
    /// `$-1`, `*-1` or `_`.
    Null,
    Double(f64),
    Bool(bool),
    BigNumber(String),
    Verbatim(String, Vec<u8>),
    Map(Vec<(Reply, Reply)>),
    Set(Vec<Reply>),
    Push(Vec<Reply>),
}

impl Reply {
    /// The text of a simple string or bulk string.
    #[track_caller]
    pub fn text(&self) -> String {
        match self {
            Reply::Simple(s) => s.clone(),
            Reply::Bulk(b) | Reply::Verbatim(_, b) => String::from_utf8_lossy(b).into_owned(),
            other => panic!("a string was expected, not {other:?}"),
        }
    }

    #[track_caller]
    pub fn int(&self) -> i64 {
        match self {
            Reply::Int(n) => *n,
            other => panic!("an integer was expected, not {other:?}"),
        }
    }

    #[track_caller]
    pub fn items(&self) -> &[Reply] {
        match self {
            Reply::Array(items) | Reply::Set(items) | Reply::Push(items) => items,
            other => panic!("an array was expected, not {other:?}"),
        }
    }

    /// The strings of an array of strings.
    #[track_caller]
    pub fn texts(&self) -> Vec<String> {
        self.items().iter().map(Reply::text).collect()
    }

    #[track_caller]
    pub fn error(&self) -> &str {
        match self {
            Reply::Error(text) => text,
            other => panic!("an error was expected, not {other:?}"),
        }
    }

    pub fn is_error(&self) -> bool {
        matches!(self, Reply::Error(_))
    }

    pub fn is_ok(&self) -> bool {
        matches!(self, Reply::Simple(s) if s == "OK")
    }
}

/// A connection to one server.
pub struct Client {
    stream: BufReader<Stream>,
    peer: String,
}

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Read for Stream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(s) => s.read(buf),
            Stream::Unix(s) => s.read(buf),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(s) => s.write(buf),
            Stream::Unix(s) => s.write(buf),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Client {
    #[allow(clippy::disallowed_methods)] // a client of a real server owns a socket
    pub fn connect(addr: impl ToSocketAddrs + fmt::Debug) -> io::Result<Client> {
        let peer = format!("{addr:?}");
        let stream = TcpStream::connect(addr)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(REPLY_TIMEOUT))?;
        stream.set_write_timeout(Some(REPLY_TIMEOUT))?;
        Ok(Client { stream: BufReader::with_capacity(64 << 10, Stream::Tcp(stream)), peer })
    }

    pub fn connect_unix(path: &Path) -> io::Result<Client> {
        let stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(REPLY_TIMEOUT))?;
        let peer = path.display().to_string();
        Ok(Client { stream: BufReader::new(Stream::Unix(stream)), peer })
    }

    /// Runs a command given as words separated by blanks; for arguments with blanks or bytes see
    /// [`Client::args`]. Panics when the connection breaks.
    #[track_caller]
    pub fn run(&mut self, line: &str) -> Reply {
        self.args(&line.split_ascii_whitespace().collect::<Vec<_>>())
    }

    /// Like [`Client::run`], for a command that must not answer with an error.
    #[track_caller]
    pub fn good(&mut self, line: &str) -> Reply {
        match self.run(line) {
            Reply::Error(text) => panic!("{line}: {text}"),
            reply => reply,
        }
    }

    /// Runs a command of arbitrary arguments. Panics when the connection breaks.
    #[track_caller]
    pub fn args<A: AsRef<[u8]>>(&mut self, args: &[A]) -> Reply {
        match self.try_args(args) {
            Ok(reply) => reply,
            Err(e) => panic!("{} answers no reply to {}: {e}", self.peer, shown(args)),
        }
    }

    pub fn try_args<A: AsRef<[u8]>>(&mut self, args: &[A]) -> io::Result<Reply> {
        self.send(args)?;
        self.read_reply()
    }

    /// Sends many commands before it reads the first reply.
    #[track_caller]
    pub fn pipeline<A: AsRef<[u8]>>(&mut self, commands: &[Vec<A>]) -> Vec<Reply> {
        match self.try_pipeline(commands) {
            Ok(replies) => replies,
            Err(e) => panic!("{} breaks a pipeline of {}: {e}", self.peer, commands.len()),
        }
    }

    pub fn try_pipeline<A: AsRef<[u8]>>(&mut self, commands: &[Vec<A>]) -> io::Result<Vec<Reply>> {
        let mut replies = Vec::with_capacity(commands.len());
        // Bounded batches: neither side may fill the other's socket buffers and wait for ever.
        for batch in commands.chunks(500) {
            let mut bytes = Vec::new();
            batch.iter().for_each(|command| encode(&mut bytes, command));
            self.send_raw(&bytes)?;
            for _ in batch {
                replies.push(self.read_reply()?);
            }
        }
        Ok(replies)
    }

    pub fn send<A: AsRef<[u8]>>(&mut self, args: &[A]) -> io::Result<()> {
        let mut bytes = Vec::new();
        encode(&mut bytes, args);
        self.send_raw(&bytes)
    }

    pub fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// Fails with `UnexpectedEof` when the server has closed the connection.
    pub fn read_reply(&mut self) -> io::Result<Reply> {
        read_reply(&mut self.stream)
    }

    /// A reply with the very bytes of it, which tell more: there are three of [`Reply::Null`].
    pub fn read_reply_and_bytes(&mut self) -> io::Result<(Reply, Vec<u8>)> {
        let mut recorder = Recorder { stream: &mut self.stream, bytes: Vec::new() };
        let reply = read_reply(&mut recorder)?;
        Ok((reply, recorder.bytes))
    }

    /// Waits so long for the beginning of a reply, and says whether there is one.
    pub fn wait_readable(&mut self, timeout: Duration) -> io::Result<bool> {
        if !self.stream.buffer().is_empty() {
            return Ok(true);
        }
        self.set_read_timeout(timeout)?;
        let filled = self.stream.fill_buf().map(|bytes| !bytes.is_empty());
        self.set_read_timeout(REPLY_TIMEOUT)?;
        match filled {
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                Ok(false)
            }
            other => other,
        }
    }

    /// One line without its end, for what is not RESP (the preambles of a sync).
    pub fn read_line(&mut self) -> io::Result<String> {
        read_line(&mut self.stream)
    }

    pub fn read_exact(&mut self, buf: &mut [u8]) -> io::Result<()> {
        self.stream.read_exact(buf)
    }

    pub fn set_read_timeout(&mut self, timeout: Duration) -> io::Result<()> {
        match self.stream.get_ref() {
            Stream::Tcp(s) => s.set_read_timeout(Some(timeout)),
            Stream::Unix(s) => s.set_read_timeout(Some(timeout)),
        }
    }

    pub fn local_port(&self) -> u16 {
        match self.stream.get_ref() {
            Stream::Tcp(s) => s.local_addr().map_or(0, |a| a.port()),
            Stream::Unix(_) => 0,
        }
    }
}

/// Keeps what is read through it.
struct Recorder<'a> {
    stream: &'a mut BufReader<Stream>,
    bytes: Vec<u8>,
}

impl Read for Recorder<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.stream.read(buf)?;
        self.bytes.extend_from_slice(&buf[..read]);
        Ok(read)
    }
}

impl BufRead for Recorder<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.stream.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.bytes.extend_from_slice(&self.stream.buffer()[..amount]);
        self.stream.consume(amount);
    }
}

/// Appends a command as an array of bulk strings.
pub fn encode<A: AsRef<[u8]>>(out: &mut Vec<u8>, args: &[A]) {
    out.extend_from_slice(format!("*{}\r\n", args.len()).as_bytes());
    for arg in args {
        let arg = arg.as_ref();
        out.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
        out.extend_from_slice(arg);
        out.extend_from_slice(b"\r\n");
    }
}

fn read_line(stream: &mut impl BufRead) -> io::Result<String> {
    let mut line = Vec::new();
    stream.read_until(b'\n', &mut line)?;
    if line.pop() != Some(b'\n') {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "connection closed"));
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    Ok(String::from_utf8_lossy(&line).into_owned())
}

pub(crate) fn read_reply(stream: &mut impl BufRead) -> io::Result<Reply> {
    let line = read_line(stream)?;
    let bad = || io::Error::new(io::ErrorKind::InvalidData, format!("not RESP: {line:?}"));
    let rest = line.get(1..).ok_or_else(bad)?;
    let number = || rest.parse::<i64>().map_err(|_| bad());
    Ok(match line.as_bytes()[0] {
        b'+' => Reply::Simple(rest.to_string()),
        b'-' => Reply::Error(rest.to_string()),
        b':' => Reply::Int(number()?),
        b'_' => Reply::Null,
        b',' => Reply::Double(rest.parse().map_err(|_| bad())?),
        b'#' => Reply::Bool(rest == "t"),
        b'(' => Reply::BigNumber(rest.to_string()),
        b'$' | b'*' if number()? < 0 => Reply::Null,
        b'$' => Reply::Bulk(read_bulk(stream, number()?)?),
        b'!' => Reply::Error(String::from_utf8_lossy(&read_bulk(stream, number()?)?).into_owned()),
        b'=' => {
            let bulk = read_bulk(stream, number()?)?;
            let (format, text) = bulk.split_at_checked(4).ok_or_else(bad)?;
            Reply::Verbatim(String::from_utf8_lossy(&format[..3]).into_owned(), text.to_vec())
        }
        b'*' => Reply::Array(read_items(stream, number()?)?),
        b'~' => Reply::Set(read_items(stream, number()?)?),
        b'>' => Reply::Push(read_items(stream, number()?)?),
        b'%' => {
            let mut pairs = Vec::new();
            for _ in 0..number()? {
                pairs.push((read_reply(stream)?, read_reply(stream)?));
            }
            Reply::Map(pairs)
        }
        _ => return Err(bad()),
    })
}

fn read_bulk(stream: &mut impl BufRead, len: i64) -> io::Result<Vec<u8>> {
    let mut bulk = vec![0; len as usize + 2];
    stream.read_exact(&mut bulk)?;
    bulk.truncate(len as usize);
    Ok(bulk)
}

fn read_items(stream: &mut impl BufRead, count: i64) -> io::Result<Vec<Reply>> {
    (0..count).map(|_| read_reply(stream)).collect()
}

fn shown<A: AsRef<[u8]>>(args: &[A]) -> String {
    let words = args.iter().take(4).map(|a| {
        let a = a.as_ref();
        String::from_utf8_lossy(&a[..a.len().min(40)]).into_owned()
    });
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(bytes: &[u8]) -> Reply {
        read_reply(&mut io::Cursor::new(bytes)).expect("a whole reply")
    }

    #[test]
    fn every_kind_of_reply_is_understood() {
        assert_eq!(parsed(b"+OK\r\n"), Reply::Simple("OK".into()));
        assert_eq!(parsed(b"-ERR no\r\n"), Reply::Error("ERR no".into()));
        assert_eq!(parsed(b":-7\r\n"), Reply::Int(-7));
        assert_eq!(parsed(b"$3\r\na\r\n\r\n"), Reply::Bulk(b"a\r\n".to_vec()));
        assert_eq!(parsed(b"$-1\r\n"), Reply::Null);
        assert_eq!(parsed(b"*2\r\n:1\r\n*-1\r\n"), Reply::Array(vec![Reply::Int(1), Reply::Null]));
        assert_eq!(parsed(b"=6\r\ntxt:hi\r\n"), Reply::Verbatim("txt".into(), b"hi".to_vec()));
        assert_eq!(
            parsed(b"%1\r\n+a\r\n#t\r\n"),
            Reply::Map(vec![(Reply::Simple("a".into()), Reply::Bool(true))])
        );
        assert_eq!(parsed(b",inf\r\n"), Reply::Double(f64::INFINITY));
    }

    #[test]
    fn a_cut_reply_is_an_error() {
        assert!(read_reply(&mut io::Cursor::new(b"$5\r\nab")).is_err());
        assert!(read_reply(&mut io::Cursor::new(b"+OK")).is_err());
    }
}
