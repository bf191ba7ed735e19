//! A client over TLS for tests: requests as bytes, replies as bytes.
//!
//! Must not: know a server's process.

use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, TcpStream};

use testkit::wait::LONG;
use tls::{Authorities, Client, Identity, Offer, Received, Session};

use testkit::certificates::Certificates;

/// A connection whose every byte is encrypted.
#[derive(Debug)]
pub struct Encrypted {
    socket: TcpStream,
    session: Session,
}

impl Encrypted {
    /// Shows the certificate of this name, and believes `ca`.
    pub fn connect(port: u16, name: Option<&str>) -> io::Result<Encrypted> {
        Encrypted::offering(port, name, "")
    }

    /// The same with these protocols only.
    pub fn offering(port: u16, name: Option<&str>, protocols: &str) -> io::Result<Encrypted> {
        let files = Certificates::shared();
        let identity = name.map(|name| Identity {
            cert_file: files.path(&format!("{name}.crt")),
            key_file: files.path(&format!("{name}.key")),
            key_file_pass: None,
        });
        let authorities =
            Authorities { file: Some(files.path("ca.crt")), ..Authorities::default() };
        let offer = Offer { protocols: protocols.into(), ..Offer::default() };
        let client = Client::new(identity.as_ref(), Some(&authorities), &offer);
        let session = client.and_then(|client| client.connect(None)).map_err(io::Error::other)?;
        #[allow(clippy::disallowed_methods)] // a client of a real server owns a socket
        let socket = TcpStream::connect(("127.0.0.1", port))?;
        socket.set_read_timeout(Some(LONG))?;
        socket.set_write_timeout(Some(LONG))?;
        let mut made = Encrypted { socket, session };
        made.session.shake(&mut made.socket)?;
        Ok(made)
    }

    /// Version and cipher.
    pub fn agreed(&self) -> String {
        self.session.agreed().unwrap_or_default()
    }

    /// The first reply to a line, which proves that the server has accepted us: with TLS 1.3 its refusal comes
    /// behind the handshake.
    pub fn ask(&mut self, line: &str) -> io::Result<String> {
        self.write_all(format!("{line}\r\n").as_bytes())?;
        let mut reply = Vec::new();
        while !reply.ends_with(b"\r\n") {
            let mut byte = [0];
            self.read_exact(&mut byte)?;
            reply.push(byte[0]);
        }
        Ok(String::from_utf8_lossy(&reply).trim_end().to_owned())
    }

    /// Says that nothing more comes, and listens on.
    pub fn close_half(&mut self) {
        self.session.close(&mut self.socket);
    }

    /// The socket, past the encryption.
    pub fn cut(&self) {
        self.socket.shutdown(Shutdown::Write).expect("the socket is open");
    }

    pub fn try_clone_socket(&self) -> TcpStream {
        self.socket.try_clone().expect("a second handle")
    }
}

impl Read for Encrypted {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.session.read(&mut self.socket, into)? {
                Received::Bytes { len: 0, .. } => {}
                Received::Bytes { len, .. } => return Ok(len),
                Received::Closed => return Ok(0),
            }
        }
    }
}

impl Write for Encrypted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.session.write(&mut self.socket, &[IoSlice::new(bytes)])?;
        written.ok_or_else(|| io::ErrorKind::WouldBlock.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.session.flush(&mut self.socket).map(|_| ())
    }
}
