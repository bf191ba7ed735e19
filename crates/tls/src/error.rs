//! Why there is no TLS: what is wrong with the configuration, and what went wrong between two peers, each in
//! words that say what to do. Redis's where it has any.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use rustls::{AlertDescription, CertificateError, Error, InvalidMessage, PeerIncompatible};

/// Why a context cannot be made.
#[derive(Debug)]
pub enum ConfigError {
    Certificate {
        path: PathBuf,
        why: String,
    },
    Key {
        path: PathBuf,
        why: String,
    },
    Authorities {
        path: PathBuf,
        why: String,
    },
    Protocols {
        given: String,
    },
    Ciphers {
        given: String,
    },
    CipherSuites {
        given: String,
    },
    /// What is offered leaves nothing that could be agreed on.
    Offer(String),
}

impl ConfigError {
    pub(crate) fn certificate(path: &Path, why: impl fmt::Display) -> ConfigError {
        ConfigError::Certificate { path: path.to_owned(), why: why.to_string() }
    }

    pub(crate) fn key(path: &Path, why: impl fmt::Display) -> ConfigError {
        ConfigError::Key { path: path.to_owned(), why: why.to_string() }
    }

    pub(crate) fn authorities(path: &Path, why: impl fmt::Display) -> ConfigError {
        ConfigError::Authorities { path: path.to_owned(), why: why.to_string() }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Certificate { path, why } => {
                write!(f, "Failed to load certificate: {}: {why}", path.display())
            }
            Self::Key { path, why } => {
                write!(f, "Failed to load private key: {}: {why}", path.display())
            }
            Self::Authorities { path, why } => {
                let path = path.display();
                write!(f, "Failed to configure CA certificate(s) file/directory: {path}: {why}")
            }
            Self::Protocols { given } => write!(
                f,
                "Invalid tls-protocols specified: '{given}'. Use a combination of 'TLSv1.2' and \
                 'TLSv1.3'; older versions are not supported."
            ),
            Self::Ciphers { given } => write!(f, "Failed to configure ciphers: {given}"),
            Self::CipherSuites { given } => write!(f, "Failed to configure ciphersuites: {given}"),
            Self::Offer(why) => write!(f, "Failed to configure TLS: {why}"),
        }
    }
}

impl std::error::Error for ConfigError {}

/// What has ended a connection, in words for a log.
pub(crate) fn words(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(why) => certificate_words(why),
        Error::NoCertificatesPresented => "peer did not return a certificate".into(),
        Error::AlertReceived(alert) => alert_words(*alert),
        error if is_no_tls(error) => {
            "wrong version number: the peer does not speak TLS, or the bytes are damaged".into()
        }
        Error::PeerIncompatible(why) => incompatible_words(why),
        Error::DecryptError => "decryption failed or bad record mac".into(),
        other => other.to_string(),
    }
}

/// What came is no record of TLS.
pub(crate) fn is_no_tls(error: &Error) -> bool {
    use InvalidMessage::{InvalidContentType, MessageTooLarge, UnknownProtocolVersion};
    matches!(
        error,
        Error::InvalidMessage(InvalidContentType | UnknownProtocolVersion | MessageTooLarge)
    )
}

/// What rustls says in its own words, in ours.
pub(crate) fn worded(error: io::Error) -> io::Error {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(inner) => io::Error::new(error.kind(), words(inner)),
        None => error,
    }
}

/// The end of a connection that was not announced: whoever is between the peers may have cut it.
pub(crate) fn truncated() -> io::Error {
    let why = "unexpected eof: the peer closed the connection without a word";
    io::Error::new(io::ErrorKind::UnexpectedEof, why)
}

fn certificate_words(why: &CertificateError) -> String {
    use CertificateError as E;
    let why = match why {
        E::Expired | E::ExpiredContext { .. } => "it has expired".into(),
        E::NotValidYet | E::NotValidYetContext { .. } => "it is not valid yet".into(),
        E::UnknownIssuer => "unable to get issuer certificate: no known authority signed it".into(),
        E::BadEncoding => "it is no X.509 certificate, or has no version 3".into(),
        E::BadSignature => "its signature is wrong".into(),
        E::Revoked => "it is revoked".into(),
        E::InvalidPurpose | E::InvalidPurposeContext { .. } => {
            "its extended key usage does not allow it to be used by this side".into()
        }
        E::UnsupportedSignatureAlgorithmContext { .. }
        | E::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "its key or the algorithm of its signature is not supported".into()
        }
        // A name of webpki's, which rustls passes on without its type.
        E::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => {
            "it is an authority's own, and no known authority signed it for a peer".into()
        }
        other => other.to_string(),
    };
    format!("certificate verify failed: {why}")
}

fn alert_words(alert: AlertDescription) -> String {
    use AlertDescription as A;
    let meaning = match alert {
        A::UnknownCA => "the peer does not know the authority that signed our certificate",
        A::BadCertificate => "the peer refuses our certificate",
        A::CertificateExpired => "the peer says that our certificate has expired",
        A::CertificateRequired => "the peer wants a certificate and was shown none",
        A::UnsupportedCertificate => "the peer says that our certificate is not for this use",
        A::HandshakeFailure => "the peer finds no protocol version or cipher in common",
        A::ProtocolVersion => "the peer finds no protocol version in common",
        A::DecryptError => "the peer says that our signature is wrong",
        _ => return format!("the peer ended the connection with the alert {alert:?}"),
    };
    format!("{meaning} (alert {alert:?})")
}

fn incompatible_words(why: &PeerIncompatible) -> String {
    use PeerIncompatible as P;
    match why {
        P::NoCipherSuitesInCommon => "no shared cipher".into(),
        P::Tls12NotOffered
        | P::Tls12NotOfferedOrEnabled
        | P::Tls13RequiredForQuic
        | P::ServerDoesNotSupportTls12Or13
        | P::ServerTlsVersionIsDisabledByOurConfig
        | P::SupportedVersionsExtensionRequired => {
            "unsupported protocol: no version of TLS in common".into()
        }
        P::NoSignatureSchemesInCommon => "no shared signature algorithms".into(),
        other => format!("the peers have nothing in common: {other:?}"),
    }
}
