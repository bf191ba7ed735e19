//! What a side of TLS is made of, and the making of it: a `Server` for who accepts, a `Client` for who connects.
//!
//! Each is cheap to clone, and sessions that were begun with one go on when another takes its place.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    ClientConfig, ClientConnection, ServerConfig, ServerConnection, SupportedProtocolVersion,
    version,
};

use crate::certificate::{Fields, Validity};
use crate::ciphers;
use crate::error::ConfigError;
use crate::pem::{self, Identity};
use crate::session::Session;
use crate::session_cache::SessionCache;
use crate::trust::{ClientTrust, ServerTrust, Trust};

/// Where the authorities stand by which peers are judged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Authorities {
    pub file: Option<PathBuf>,
    /// Files named by hashes, as OpenSSL wants them.
    pub dir: Option<PathBuf>,
    /// One that cannot be used is passed over: of hundreds that a system brings, that is no reason to have none.
    pub is_lenient: bool,
}

/// Where systems have the authorities that they come with.
const SYSTEM_FILES: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// Whether clients show a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthClients {
    No,
    Optional,
    Yes,
}

/// Protocols and ciphers, in OpenSSL's words; empty for the default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offer {
    pub protocols: String,
    pub ciphers: String,
    pub ciphersuites: String,
}

/// Sessions that clients may resume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sessions {
    pub max: usize,
    pub lifetime_s: u64,
}

/// The side that accepts.
#[derive(Clone)]
pub struct Server {
    config: Arc<ServerConfig>,
    validity: Option<Validity>,
}

/// The side that connects.
#[derive(Clone)]
pub struct Client {
    config: Arc<ClientConfig>,
    validity: Option<Validity>,
}

impl Authorities {
    /// Those of the system; nobody where it has none.
    pub fn of_system() -> Authorities {
        let file = SYSTEM_FILES.iter().map(PathBuf::from).find(|path| path.exists());
        Authorities { file, dir: None, is_lenient: true }
    }

    pub fn is_empty(&self) -> bool {
        self.file.is_none() && self.dir.is_none()
    }

    fn read(&self) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
        let mut found = Vec::new();
        if let Some(file) = &self.file {
            found = pem::certificates_of(file)?;
        }
        if let Some(dir) = &self.dir {
            let refuse = |why: String| ConfigError::authorities(dir, why);
            let entries = fs::read_dir(dir).map_err(|e| refuse(pem::os_words(&e)))?;
            let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
            let mut paths: Vec<_> = paths.filter(|path| is_hashed(path)).collect();
            paths.sort();
            for path in &paths {
                found.extend(pem::certificates_of(path)?);
            }
            if paths.is_empty() {
                return Err(refuse(
                    "no file in it is named by a hash; run: openssl rehash <directory>".into(),
                ));
            }
        }
        Ok(found)
    }

    fn trust(&self, provider: &CryptoProvider) -> Result<Trust, ConfigError> {
        let certificates = self.read()?;
        if self.is_lenient {
            return Ok(Trust::of_usable(certificates, provider));
        }
        Trust::new(certificates, provider).map_err(|e| {
            let path = self.file.as_deref().unwrap_or(Path::new(""));
            ConfigError::authorities(path, format!("it cannot be used as an authority: {e}"))
        })
    }

    /// When the first of them ends, where they are in a file.
    pub fn validity(&self) -> Option<Validity> {
        let found = pem::certificates_of(self.file.as_ref()?).ok()?;
        let dates = found.iter().filter_map(|der| Some(Fields::of(der)?.validity));
        dates.min_by_key(|validity| validity.not_after_s)
    }
}

/// Eight hexadecimal digits and a number.
fn is_hashed(path: &Path) -> bool {
    let name = path.file_name().map_or("".into(), |name| name.to_string_lossy());
    name.split_once('.').is_some_and(|(hash, number)| {
        hash.len() == 8
            && hash.bytes().all(|b| b.is_ascii_hexdigit())
            && !number.is_empty()
            && number.bytes().all(|b| b.is_ascii_digit())
    })
}

impl Offer {
    fn provider(&self) -> Result<Arc<CryptoProvider>, ConfigError> {
        let suites = ciphers::tls13(&self.ciphersuites)
            .ok_or_else(|| ConfigError::CipherSuites { given: self.ciphersuites.clone() })?;
        let older = ciphers::tls12(&self.ciphers)
            .ok_or_else(|| ConfigError::Ciphers { given: self.ciphers.clone() })?;
        let cipher_suites = suites.into_iter().chain(older).collect();
        Ok(Arc::new(CryptoProvider { cipher_suites, ..rustls::crypto::ring::default_provider() }))
    }

    fn versions(&self) -> Result<Vec<&'static SupportedProtocolVersion>, ConfigError> {
        let mut versions = Vec::new();
        let words = self.protocols.split([' ', ',']).filter(|word| !word.is_empty());
        for word in words {
            match word.to_ascii_lowercase().as_str() {
                "tlsv1.2" => versions.push(&version::TLS12),
                "tlsv1.3" => versions.push(&version::TLS13),
                // Known, and left out: a list that names newer ones as well keeps working.
                "tlsv1" | "tlsv1.1" => {}
                _ => return Err(ConfigError::Protocols { given: self.protocols.clone() }),
            }
        }
        match versions.is_empty() {
            true if self.protocols.trim().is_empty() => Ok(rustls::ALL_VERSIONS.to_vec()),
            true => Err(ConfigError::Protocols { given: self.protocols.clone() }),
            false => Ok(versions),
        }
    }
}

impl Server {
    pub fn new(
        identity: &Identity,
        authorities: &Authorities,
        auth_clients: AuthClients,
        offer: &Offer,
        prefer_server_ciphers: bool,
        sessions: Option<Sessions>,
    ) -> Result<Server, ConfigError> {
        let provider = offer.provider()?;
        let (key, validity) = pem::certified_key(identity)?;
        let verifier = match auth_clients {
            AuthClients::No => WebPkiClientVerifier::no_client_auth(),
            asks => {
                let trust = authorities.trust(&provider)?;
                let is_mandatory = asks == AuthClients::Yes;
                let trust = ClientTrust::new(trust, &provider, is_mandatory);
                Arc::new(trust.map_err(ConfigError::Offer)?)
            }
        };
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&offer.versions()?)
            .map_err(|e| ConfigError::Offer(e.to_string()))?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(key)));
        config.ignore_client_order = prefer_server_ciphers;
        match sessions {
            Some(Sessions { max, lifetime_s }) => {
                config.session_storage = Arc::new(SessionCache::new(max, lifetime_s));
                // A client that comes back needs one, and each is kept here.
                config.send_tls13_tickets = 1;
            }
            None => {
                config.session_storage = Arc::new(NoServerSessionStorage {});
                config.send_tls13_tickets = 0;
            }
        }
        Ok(Server { config: Arc::new(config), validity })
    }

    pub fn accept(&self) -> Result<Session, ConfigError> {
        let connection = ServerConnection::new(self.config.clone());
        Ok(Session::new(connection.map_err(|e| ConfigError::Offer(e.to_string()))?.into()))
    }

    /// How long its certificate is valid.
    pub fn validity(&self) -> Option<Validity> {
        self.validity
    }
}

impl Client {
    /// Servers are judged by `authorities`, or not at all.
    pub fn new(
        identity: Option<&Identity>,
        authorities: Option<&Authorities>,
        offer: &Offer,
    ) -> Result<Client, ConfigError> {
        let provider = offer.provider()?;
        let trust = authorities.map(|authorities| authorities.trust(&provider)).transpose()?;
        let judges = trust.is_some();
        let trust = trust.unwrap_or_else(|| Trust::of_usable(Vec::new(), &provider));
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&offer.versions()?)
            .map_err(|e| ConfigError::Offer(e.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(ServerTrust { trust, judges }));
        let key: Option<(CertifiedKey, _)> = identity.map(pem::certified_key).transpose()?;
        let (config, validity) = match key {
            Some((key, validity)) => {
                let resolver = Arc::new(SingleCertAndKey::from(key));
                (builder.with_client_cert_resolver(resolver), validity)
            }
            None => (builder.with_no_client_auth(), None),
        };
        Ok(Client { config: Arc::new(config), validity })
    }

    /// `name` is what the server is told that it is asked for (SNI).
    pub fn connect(&self, name: Option<&str>) -> Result<Session, ConfigError> {
        let refuse = |e: &dyn std::fmt::Display| ConfigError::Offer(e.to_string());
        let name = match name {
            Some(name) => ServerName::try_from(name.to_owned()).map_err(|e| refuse(&e))?,
            // Of an address nothing is told.
            None => ServerName::IpAddress(IpAddr::from(Ipv4Addr::LOCALHOST).into()),
        };
        let connection = ClientConnection::new(self.config.clone(), name);
        Ok(Session::new(connection.map_err(|e| refuse(&e))?.into()))
    }

    pub fn validity(&self) -> Option<Validity> {
        self.validity
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "tls::Server({:?})", self.validity)
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "tls::Client({:?})", self.validity)
    }
}
