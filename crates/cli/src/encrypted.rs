//! TLS of the tools: the flags that ask for it, and the socket that speaks it. The socket may block or not.
//!
//! Must not: print, or decide what happens after an error.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::OnceLock;

use tls::{Authorities, Client, ConfigError, Identity, Offer, Received, Session};

/// What `--tls` and the flags beside it say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TlsFlags {
    pub on: bool,
    pub sni: Option<String>,
    pub cacert: Option<PathBuf>,
    pub cacertdir: Option<PathBuf>,
    pub insecure: bool,
    pub cert: Option<PathBuf>,
    pub key: Option<PathBuf>,
    pub ciphers: String,
    pub ciphersuites: String,
}

/// The rows of these flags, for the options of a tool that has a `target`.
macro_rules! tls_flags {
    ($row:path) => {
        &[
            $row(&["--tls"], Nothing(|o| o.target.tls.on = true), "Encrypt the connection."),
            $row(
                &["--sni"],
                Value("host", |o, v| o.target.tls.sni = Some(crate::encrypted::text(v))),
                "Name of the server, to be told to it.",
            ),
            $row(
                &["--cacert"],
                Value("file", |o, v| o.target.tls.cacert = Some(crate::encrypted::path(v))),
                "Authorities by which the server is judged; by default the system's.",
            ),
            $row(
                &["--cacertdir"],
                Value("dir", |o, v| o.target.tls.cacertdir = Some(crate::encrypted::path(v))),
                "The same in a directory, in files named by their hashes.",
            ),
            $row(
                &["--insecure"],
                Nothing(|o| o.target.tls.insecure = true),
                "Believe whatever server answers.",
            ),
            $row(
                &["--cert"],
                Value("file", |o, v| o.target.tls.cert = Some(crate::encrypted::path(v))),
                "Certificate to show to the server.",
            ),
            $row(
                &["--key"],
                Value("file", |o, v| o.target.tls.key = Some(crate::encrypted::path(v))),
                "Private key of that certificate.",
            ),
            $row(
                &["--tls-ciphers"],
                Value("list", |o, v| o.target.tls.ciphers = crate::encrypted::text(v)),
                "Ciphers of TLS 1.2, in the order of preference, with colons between.",
            ),
            $row(
                &["--tls-ciphersuites"],
                Value("list", |o, v| o.target.tls.ciphersuites = crate::encrypted::text(v)),
                "The same for TLS 1.3.",
            ),
        ]
    };
}
pub(crate) use tls_flags;

pub(crate) fn path(word: Vec<u8>) -> PathBuf {
    use std::os::unix::ffi::OsStringExt;
    PathBuf::from(std::ffi::OsString::from_vec(word))
}

pub(crate) fn text(word: Vec<u8>) -> String {
    String::from_utf8_lossy(&word).into_owned()
}

/// A command line has one set of flags, whose files are read once.
static CLIENT: OnceLock<Client> = OnceLock::new();

impl TlsFlags {
    /// A session that has said nothing yet.
    pub fn session(&self) -> Result<Session, String> {
        let client = match CLIENT.get() {
            Some(client) => client,
            None => {
                let client = self.client().map_err(|e| words(&e))?;
                CLIENT.get_or_init(|| client)
            }
        };
        client.connect(self.sni.as_deref()).map_err(|e| format!("Failed to configure SNI: {e}"))
    }

    fn client(&self) -> Result<Client, ConfigError> {
        let identity = self.cert.as_ref().map(|cert| Identity {
            cert_file: cert.clone(),
            // A file may hold both.
            key_file: self.key.clone().unwrap_or_else(|| cert.clone()),
            key_file_pass: None,
        });
        let (file, dir) = (self.cacert.clone(), self.cacertdir.clone());
        let authorities = match (self.insecure, file.is_some() || dir.is_some()) {
            (true, _) => None,
            (false, true) => Some(Authorities { is_lenient: dir.is_some(), file, dir }),
            (false, false) => Some(Authorities::of_system()),
        };
        let (ciphers, ciphersuites) = (self.ciphers.clone(), self.ciphersuites.clone());
        let offer = Offer { protocols: String::new(), ciphers, ciphersuites };
        Client::new(identity.as_ref(), authorities.as_ref(), &offer)
    }
}

/// redis-cli's words, and why.
fn words(error: &ConfigError) -> String {
    let (what, path, why) = match error {
        ConfigError::Authorities { path, why } => {
            ("Invalid CA Certificate File/Directory", path, why)
        }
        ConfigError::Certificate { path, why } => ("Invalid client certificate", path, why),
        ConfigError::Key { path, why } => ("Invalid private key", path, why),
        ConfigError::Ciphers { .. } => return "Error while configuring ciphers".into(),
        ConfigError::CipherSuites { .. } => return "Error while setting cypher suites".into(),
        other => return other.to_string(),
    };
    format!("{what}: {}: {why}", path.display())
}

/// A socket, of the standard library or of mio, and the session over it.
#[derive(Debug)]
pub struct Encrypted<S = TcpStream> {
    pub socket: S,
    session: Session,
    /// The last read left something of which the socket does not tell.
    has_more: bool,
}

impl<S: Read + Write> Encrypted<S> {
    pub fn new(socket: S, session: Session) -> Self {
        Self { socket, session, has_more: false }
    }

    /// The handshake, of a socket that blocks.
    pub fn shake(&mut self) -> io::Result<()> {
        self.session.shake(&mut self.socket).map(|_| ())
    }

    /// The same session over the same socket in another hand.
    pub fn map<T>(self, f: impl FnOnce(S) -> T) -> Encrypted<T> {
        Encrypted { socket: f(self.socket), session: self.session, has_more: self.has_more }
    }

    /// One read of the socket: 0 at the end, `None` when what came was nobody's to see.
    pub fn receive(&mut self, into: &mut [u8]) -> io::Result<Option<usize>> {
        match self.session.read(&mut self.socket, into) {
            Ok(Received::Bytes { len, more }) => {
                self.has_more = more;
                Ok((len > 0).then_some(len))
            }
            Ok(Received::Closed) => Ok(Some(0)),
            Err(e) if e.kind() == ErrorKind::UnexpectedEof => Ok(Some(0)),
            Err(e) => {
                self.has_more = false;
                Err(e)
            }
        }
    }

    /// There may be bytes of which the socket does not tell.
    pub fn has_more(&self) -> bool {
        self.has_more
    }

    /// What was written has not left yet.
    pub fn wants_write(&self) -> bool {
        !self.session.is_flushed()
    }
}

impl<S: Read + Write> Read for Encrypted<S> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(len) = self.receive(into)? {
                return Ok(len);
            }
        }
    }
}

impl<S: Read + Write> Write for Encrypted<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.session.write(&mut self.socket, &[IoSlice::new(bytes)])?;
        written.ok_or_else(|| ErrorKind::WouldBlock.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        match self.session.flush(&mut self.socket)? {
            true => Ok(()),
            false => Err(ErrorKind::WouldBlock.into()),
        }
    }
}
