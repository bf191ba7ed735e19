//! One encrypted connection over a socket that is lent for each call. The socket may block or not.
//!
//! What it has decrypted, or read and not yet decrypted, is reported as `more`: no event of the socket tells of it.
//! What it has encrypted and the socket did not take is its own to send: `write` takes nothing meanwhile, and
//! `is_flushed` says when it is gone.

use std::cell::RefCell;
use std::io::{self, IoSlice, Read, Write};

use rustls::Connection;

use crate::error::{is_no_tls, truncated, worded, words};

/// One read of the socket. It holds four records of full size.
const READ_BYTES: usize = 68 << 10;
/// What is encrypted in one call, and so what can wait for the socket.
const WRITE_BYTES: usize = 64 << 10;

thread_local! {
    /// What was read from a socket, until it is decrypted: needed only within a call.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

pub struct Session {
    connection: Connection,
    /// Read, and not decrypted yet, because there was no room for more.
    unread: Vec<u8>,
}

/// What a read has brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// So many bytes, perhaps none: a part of a record, or what the handshake needs. With `more` there may be
    /// further bytes of which the socket will not tell.
    Bytes { len: usize, more: bool },
    /// The peer has said that it will send nothing more.
    Closed,
}

impl Session {
    pub(crate) fn new(mut connection: Connection) -> Session {
        connection.set_buffer_limit(Some(WRITE_BYTES));
        Session { connection, unread: Vec::new() }
    }

    pub fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    /// Nothing encrypted waits for the socket.
    pub fn is_flushed(&self) -> bool {
        !self.connection.wants_write()
    }

    /// Version and cipher, once they are agreed on: `TLSv1.3 TLS_AES_256_GCM_SHA384`.
    pub fn agreed(&self) -> Option<String> {
        let version = match self.connection.protocol_version()? {
            rustls::ProtocolVersion::TLSv1_2 => "TLSv1.2",
            rustls::ProtocolVersion::TLSv1_3 => "TLSv1.3",
            _ => "unknown",
        };
        let suite = self.connection.negotiated_cipher_suite()?;
        Some(format!("{version} {}", crate::ciphers::name_of(suite)))
    }

    /// At most one read of the socket; the handshake goes on by itself. `WouldBlock` when there is nothing at all.
    pub fn read<S: Read + Write>(
        &mut self,
        socket: &mut S,
        into: &mut [u8],
    ) -> io::Result<Received> {
        let mut len = 0;
        if self.take_plaintext(into, &mut len)? {
            return Ok(at_end(len));
        }
        if len == into.len() && len > 0 {
            return Ok(Received::Bytes { len, more: true });
        }
        if !self.unread.is_empty() {
            let unread = std::mem::take(&mut self.unread);
            return self.decrypt(socket, &unread, into, len, true);
        }
        SCRATCH.with_borrow_mut(|scratch| {
            scratch.resize(READ_BYTES, 0);
            match read_some(socket, scratch) {
                // The next call hears of it again.
                Err(_) if len > 0 => Ok(Received::Bytes { len, more: true }),
                Err(error) => Err(error),
                Ok(0) => self.end(into, len),
                Ok(n) => self.decrypt(socket, &scratch[..n], into, len, n == READ_BYTES),
            }
        })
    }

    /// Decrypts what there is room for. `more`: the socket may have more.
    fn decrypt<S: Read + Write>(
        &mut self,
        socket: &mut S,
        mut bytes: &[u8],
        into: &mut [u8],
        mut len: usize,
        more: bool,
    ) -> io::Result<Received> {
        let ends = loop {
            let taken = self.connection.read_tls(&mut bytes)?;
            let processed = self.connection.process_new_packets();
            // A part of the handshake, a ticket, or the alert that says why there is none; whoever does not speak
            // TLS would take that for something else.
            if !self.is_flushed() && !processed.as_ref().is_err_and(is_no_tls) {
                let _ = self.flush(socket);
            }
            processed.map_err(|e| io::Error::new(io::ErrorKind::InvalidData, words(&e)))?;
            if self.take_plaintext(into, &mut len)? {
                break true;
            }
            if bytes.is_empty() || taken == 0 || len == into.len() {
                break false;
            }
        };
        if ends {
            return Ok(at_end(len));
        }
        self.unread.extend_from_slice(bytes);
        let is_full = len == into.len();
        Ok(Received::Bytes { len, more: more || is_full || !self.unread.is_empty() })
    }

    /// The socket has ended.
    fn end(&mut self, into: &mut [u8], mut len: usize) -> io::Result<Received> {
        self.connection.read_tls(&mut io::empty())?;
        match self.take_plaintext(into, &mut len)? {
            false if len == 0 => Err(truncated()),
            _ => Ok(at_end(len)),
        }
    }

    /// True at the end that the peer has announced. A silent end is an error.
    fn take_plaintext(&mut self, into: &mut [u8], len: &mut usize) -> io::Result<bool> {
        while *len < into.len() {
            match self.connection.reader().read(&mut into[*len..]) {
                Ok(0) => return Ok(true),
                Ok(n) => *len += n,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                // What came before it counts; the next call says it again.
                Err(_) if *len > 0 => break,
                Err(_) => return Err(truncated()),
            }
        }
        Ok(false)
    }

    /// Encrypts as much as may wait, and sends what the socket takes of it. `None` while earlier bytes wait, or the
    /// handshake is under way.
    pub fn write<S: Read + Write>(
        &mut self,
        socket: &mut S,
        slices: &[IoSlice<'_>],
    ) -> io::Result<Option<usize>> {
        if self.is_handshaking() || !self.flush(socket)? {
            return Ok(None);
        }
        // What went wrong with reading is said again.
        let n = match slices {
            [one] => self.connection.writer().write(one),
            many => self.connection.writer().write_vectored(many),
        };
        let n = n.map_err(worded)?;
        self.flush(socket)?;
        Ok(Some(n))
    }

    /// Sends what waits. False when the socket is full.
    pub fn flush<S: Write>(&mut self, socket: &mut S) -> io::Result<bool> {
        while self.connection.wants_write() {
            match self.connection.write_tls(socket) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(e) => return Err(e),
            }
        }
        Ok(true)
    }

    /// Goes on with the handshake. True when it is done; it may have brought the peer's first bytes with it, which
    /// no event tells of.
    pub fn shake<S: Read + Write>(&mut self, socket: &mut S) -> io::Result<bool> {
        self.flush(socket)?;
        while self.is_handshaking() {
            match self.read(socket, &mut []) {
                Ok(Received::Bytes { .. }) => {}
                Ok(Received::Closed) => return Err(truncated()),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(e) => return Err(e),
            }
        }
        Ok(true)
    }

    /// Tells the peer that nothing more comes, if the socket takes it at once.
    pub fn close<S: Write>(&mut self, socket: &mut S) {
        if !self.is_handshaking() {
            self.connection.send_close_notify();
            let _ = self.flush(socket);
        }
    }
}

/// What was said before the end comes first; the next call says it again.
fn at_end(len: usize) -> Received {
    match len {
        0 => Received::Closed,
        len => Received::Bytes { len, more: true },
    }
}

fn read_some<S: Read>(socket: &mut S, into: &mut [u8]) -> io::Result<usize> {
    loop {
        match socket.read(into) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Session({})", if self.is_handshaking() { "handshake" } else { "open" })
    }
}
