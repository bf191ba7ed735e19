//! Owns the two sides of TLS of the process: what its listeners answer with, and what it connects to others with,
//! a master or the target of a MIGRATE. Made of the configuration as a whole, or not at all.

use std::fmt;
use std::path::PathBuf;

use tls::{AuthClients, Authorities, ConfigError, Identity, Offer, Sessions, Validity};

use crate::config::{Config, TlsAuthClients};

#[derive(Clone, Debug)]
pub struct Sides {
    pub server: tls::Server,
    pub client: tls::Client,
    /// When what was read ends, file by file.
    pub dates: Vec<Dated>,
}

/// A file of certificates, and how long the first of them is valid.
#[derive(Clone, Debug)]
pub struct Dated {
    pub info_field: &'static str,
    pub file: String,
    pub validity: Validity,
}

/// Why there is no TLS, in the words of the log.
#[derive(Debug)]
pub enum TlsError {
    NoCertificate,
    NoKey,
    NoAuthorities,
    Broken(ConfigError),
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TlsError::NoCertificate => f.write_str("No tls-cert-file configured!"),
            TlsError::NoKey => f.write_str("No tls-key-file configured!"),
            TlsError::NoAuthorities => f.write_str(
                "Either tls-ca-cert-file or tls-ca-cert-dir must be specified when tls-cluster, \
                 tls-replication or tls-auth-clients are enabled!",
            ),
            TlsError::Broken(why) => why.fmt(f),
        }
    }
}

impl From<ConfigError> for TlsError {
    fn from(why: ConfigError) -> TlsError {
        TlsError::Broken(why)
    }
}

/// Whether anything is to be encrypted.
pub fn is_wanted(config: &Config) -> bool {
    config.tls.tls_port != 0 || config.tls.tls_replication || config.tls.tls_cluster
}

/// Reads all files that the configuration names.
pub fn sides(config: &Config) -> Result<Sides, TlsError> {
    let given = &config.tls;
    if given.tls_cert_file.is_empty() {
        return Err(TlsError::NoCertificate);
    }
    if given.tls_key_file.is_empty() {
        return Err(TlsError::NoKey);
    }
    let (file, dir) = (path(&given.tls_ca_cert_file), path(&given.tls_ca_cert_dir));
    let is_lenient = dir.is_some();
    let authorities = Authorities { file, dir, is_lenient };
    let auth_clients = match given.tls_auth_clients {
        TlsAuthClients::No => AuthClients::No,
        TlsAuthClients::Optional => AuthClients::Optional,
        TlsAuthClients::Yes => AuthClients::Yes,
    };
    let connects = given.tls_replication || given.tls_cluster;
    let judges = auth_clients != AuthClients::No || connects;
    if judges && authorities.is_empty() {
        return Err(TlsError::NoAuthorities);
    }
    let offer = Offer {
        protocols: given.tls_protocols.clone(),
        ciphers: given.tls_ciphers.clone(),
        ciphersuites: given.tls_ciphersuites.clone(),
    };
    let sessions = given.tls_session_caching.then_some(Sessions {
        max: given.tls_session_cache_size as usize,
        lifetime_s: given.tls_session_cache_timeout_s.into(),
    });
    let own = identity(&given.tls_cert_file, &given.tls_key_file, &given.tls_key_file_pass);
    let server = tls::Server::new(
        &own,
        &authorities,
        auth_clients,
        &offer,
        given.tls_prefer_server_ciphers,
        sessions,
    )?;
    // Without one of its own, what connects shows the server's.
    let has_own = !given.tls_client_cert_file.is_empty() && !given.tls_client_key_file.is_empty();
    let as_client = has_own.then(|| {
        identity(
            &given.tls_client_cert_file,
            &given.tls_client_key_file,
            &given.tls_client_key_file_pass,
        )
    });
    // Nobody is believed where nobody is known: what connects wants authorities.
    let client =
        tls::Client::new(Some(as_client.as_ref().unwrap_or(&own)), Some(&authorities), &offer)?;
    let dated = |info_field, file: &str, validity: Option<Validity>| {
        validity.map(|validity| Dated { info_field, file: file.to_owned(), validity })
    };
    let of_client = client.validity().filter(|_| has_own);
    let dates = [
        dated("tls_server_cert_expires_in_seconds", &given.tls_cert_file, server.validity()),
        dated("tls_client_cert_expires_in_seconds", &given.tls_client_cert_file, of_client),
        dated("tls_ca_cert_expires_in_seconds", &given.tls_ca_cert_file, authorities.validity()),
    ];
    Ok(Sides { server, client, dates: dates.into_iter().flatten().collect() })
}

fn identity(cert: &str, key: &str, pass: &str) -> Identity {
    Identity {
        cert_file: cert.into(),
        key_file: key.into(),
        key_file_pass: (!pass.is_empty()).then(|| pass.to_owned()),
    }
}

fn path(text: &str) -> Option<PathBuf> {
    (!text.is_empty()).then(|| text.into())
}
