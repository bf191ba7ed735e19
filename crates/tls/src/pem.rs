//! Certificates and keys from PEM files. Must not judge whom to trust.

use std::fs;
use std::path::{Path, PathBuf};

use pkcs8::{EncryptedPrivateKeyInfoRef, SecretDocument};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;

use crate::certificate::{Fields, Validity};
use crate::error::ConfigError;

/// A certificate, with what proves that it is ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub cert_file: PathBuf,
    pub key_file: PathBuf,
    pub key_file_pass: Option<String>,
}

const ENCRYPTED: &str = "ENCRYPTED PRIVATE KEY";
/// What a key says that OpenSSL encrypted the way it did before PKCS #8.
const OLD_ENCRYPTION: &str = "Proc-Type: 4,ENCRYPTED";

/// A certificate with its chain and its key, and how long it is valid.
pub(crate) fn certified_key(
    identity: &Identity,
) -> Result<(CertifiedKey, Option<Validity>), ConfigError> {
    let path = &identity.cert_file;
    let text = fs::read(path).map_err(|e| ConfigError::certificate(path, os_words(&e)))?;
    let chain = certificates(&text).map_err(|why| ConfigError::certificate(path, why))?;
    let key = private_key(identity)?;
    let key = rustls::crypto::ring::sign::any_supported_type(&key).map_err(|_| {
        let why = "not a supported key: use RSA of 2048 to 8192 bits, ECDSA over P-256 or P-384, or Ed25519";
        ConfigError::key(&identity.key_file, why)
    })?;
    let fields = Fields::of(&chain[0]);
    let Some(fields) = fields else {
        return Err(ConfigError::certificate(path, "it is no X.509 certificate"));
    };
    if key.public_key().is_some_and(|public| public.as_ref() != fields.public_key_info) {
        let why = format!("it does not belong to the certificate in {}", path.display());
        return Err(ConfigError::key(&identity.key_file, why));
    }
    let validity = fields.validity;
    Ok((CertifiedKey::new(chain, key), Some(validity)))
}

/// All certificates of a file, at least one.
pub(crate) fn certificates(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    match found {
        Ok(found) if found.is_empty() => Err("there is no certificate in PEM format in it".into()),
        Ok(found) => Ok(found),
        Err(why) => Err(format!("its PEM is damaged: {why}")),
    }
}

fn private_key(identity: &Identity) -> Result<PrivateKeyDer<'static>, ConfigError> {
    let path = &identity.key_file;
    let refuse = |why: &str| ConfigError::key(path, why);
    let text = fs::read(path).map_err(|e| refuse(&os_words(&e)))?;
    let text = String::from_utf8_lossy(&text);
    if text.contains(OLD_ENCRYPTION) {
        return Err(refuse(
            "it is encrypted in the old format of OpenSSL; convert it with: openssl pkcs8 -topk8",
        ));
    }
    if let Some(begin) = text.find(&format!("-----BEGIN {ENCRYPTED}-----")) {
        let Some(pass) = &identity.key_file_pass else {
            return Err(refuse("it is encrypted and there is no password for it"));
        };
        return decrypted(&text[begin..], pass).map_err(|why| refuse(&why));
    }
    PrivateKeyDer::from_pem_slice(text.as_bytes())
        .map_err(|_| refuse("there is no private key in PEM format in it"))
}

fn decrypted(pem: &str, pass: &str) -> Result<PrivateKeyDer<'static>, String> {
    // What stands behind the key is another section's.
    let end = format!("-----END {ENCRYPTED}-----");
    let len = pem.find(&end).map_or(pem.len(), |at| at + end.len());
    let (_, document) =
        SecretDocument::from_pem(&pem[..len]).map_err(|e| format!("its PEM is damaged: {e}"))?;
    let info = EncryptedPrivateKeyInfoRef::try_from(document.as_bytes())
        .map_err(|e| format!("its encryption is not supported (use PBES2, AES): {e}"))?;
    let plain = info.decrypt(pass).map_err(|_| "the password is wrong".to_owned())?;
    Ok(PrivatePkcs8KeyDer::from(plain.as_bytes().to_vec()).into())
}

/// The system's words without Rust's number behind them.
pub(crate) fn os_words(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}

/// Reads a file of certificates, of whatever authority.
pub(crate) fn certificates_of(path: &Path) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
    let text = fs::read(path).map_err(|e| ConfigError::authorities(path, os_words(&e)))?;
    certificates(&text).map_err(|why| ConfigError::authorities(path, why))
}
