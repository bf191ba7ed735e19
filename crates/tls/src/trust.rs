//! Whom to believe that he is who he says he is: chains up to a known authority, as webpki judges them, and two
//! kinds of certificates beside, which OpenSSL takes and people have: one that is itself among the trusted, and one
//! of version 1 that a trusted authority signed (what `openssl x509 -req` makes without extensions).
//!
//! Names of hosts are not compared, as Redis does not: what counts is who has signed. Must not: read files.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, ServerName, SignatureVerificationAlgorithm, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore,
    SignatureScheme,
};

use crate::certificate::{Fields, Validity, content, key_parts};

/// The authorities, and the algorithms by which they may have signed.
#[derive(Clone, Debug)]
pub(crate) struct Trust {
    roots: Arc<RootCertStore>,
    /// The same, to the byte.
    certificates: Vec<CertificateDer<'static>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Trust {
    /// None of them is left out silently: what webpki cannot use as an authority is an error.
    pub fn new(
        certificates: Vec<CertificateDer<'static>>,
        provider: &CryptoProvider,
    ) -> Result<Trust, Error> {
        let mut roots = RootCertStore::empty();
        for certificate in &certificates {
            roots.add(certificate.clone())?;
        }
        let algorithms = provider.signature_verification_algorithms;
        Ok(Trust { roots: Arc::new(roots), certificates, algorithms })
    }

    /// Of many authorities, those that can be used.
    pub fn of_usable(
        certificates: Vec<CertificateDer<'static>>,
        provider: &CryptoProvider,
    ) -> Trust {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(certificates.iter().cloned());
        let algorithms = provider.signature_verification_algorithms;
        Trust { roots: Arc::new(roots), certificates, algorithms }
    }

    /// `None` where webpki is to judge.
    fn judge(&self, certificate: &CertificateDer<'_>, now: UnixTime) -> Option<Result<(), Error>> {
        let is_trusted = self.certificates.iter().any(|known| known == certificate);
        let fields = Fields::of(certificate)?;
        if is_trusted {
            return Some(within(fields.validity, now));
        }
        (fields.version == 1).then(|| self.judge_version_1(&fields, now))
    }

    /// It has no extension that could say what it is for, or that it is an authority: it is signed by one of ours
    /// itself, or it is nobody's.
    fn judge_version_1(&self, fields: &Fields<'_>, now: UnixTime) -> Result<(), Error> {
        let issuers = self.roots.roots.iter().filter(|root| {
            // Names that an authority may not sign for are webpki's to compare.
            root.subject.as_ref() == fields.issuer && root.name_constraints.is_none()
        });
        let mut failure = CertificateError::UnknownIssuer;
        for issuer in issuers {
            let key = &issuer.subject_public_key_info;
            let by = |algorithm: &&&dyn SignatureVerificationAlgorithm| {
                algorithm.signature_alg_id().as_ref() == fields.signature_algorithm
            };
            let mut algorithms = self.algorithms.all.iter().filter(by);
            if algorithms.any(|by| verify(*by, key, fields.signed, fields.signature)) {
                return within(fields.validity, now);
            }
            failure = CertificateError::BadSignature;
        }
        Err(failure.into())
    }

    fn verify_handshake(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
        is_13: bool,
    ) -> Result<HandshakeSignatureValid, Error> {
        match Fields::of(certificate) {
            Some(fields) if fields.version == 1 => {
                self.verify_by_version_1(message, &fields, signed, is_13)
            }
            _ if is_13 => verify_tls13_signature(message, certificate, signed, &self.algorithms),
            _ => verify_tls12_signature(message, certificate, signed, &self.algorithms),
        }
    }

    /// The same that webpki does with the key of a certificate which it can read.
    fn verify_by_version_1(
        &self,
        message: &[u8],
        fields: &Fields<'_>,
        signed: &DigitallySignedStruct,
        is_13: bool,
    ) -> Result<HandshakeSignatureValid, Error> {
        use SignatureScheme as S;
        let is_of_12 = matches!(
            signed.scheme,
            S::RSA_PKCS1_SHA256 | S::RSA_PKCS1_SHA384 | S::RSA_PKCS1_SHA512
        );
        let row = self.algorithms.mapping.iter().find(|(scheme, _)| *scheme == signed.scheme);
        let algorithms = row.map_or(&[][..], |(_, algorithms)| algorithms);
        // From 1.3 on a scheme names one curve.
        let count = if is_13 { 1 } else { algorithms.len() };
        let info = content(fields.public_key_info).unwrap_or_default();
        let is_valid = !(is_13 && is_of_12)
            && algorithms
                .iter()
                .take(count)
                .any(|by| verify(*by, info, message, signed.signature()));
        match is_valid {
            true => Ok(HandshakeSignatureValid::assertion()),
            false => Err(CertificateError::BadSignature.into()),
        }
    }
}

/// `key` is the content of a SubjectPublicKeyInfo.
fn verify(
    by: &dyn SignatureVerificationAlgorithm,
    key: &[u8],
    message: &[u8],
    signature: &[u8],
) -> bool {
    key_parts(key).is_some_and(|(algorithm, bits)| {
        algorithm == by.public_key_alg_id().as_ref()
            && by.verify_signature(bits, message, signature).is_ok()
    })
}

fn within(validity: Validity, now: UnixTime) -> Result<(), Error> {
    let now_s = now.as_secs() as i64;
    match now_s {
        _ if now_s < validity.not_before_s => Err(CertificateError::NotValidYet.into()),
        _ if now_s > validity.not_after_s => Err(CertificateError::Expired.into()),
        _ => Ok(()),
    }
}

/// How clients are judged.
#[derive(Debug)]
pub(crate) struct ClientTrust {
    trust: Trust,
    webpki: Arc<dyn ClientCertVerifier>,
    is_mandatory: bool,
}

impl ClientTrust {
    pub fn new(
        trust: Trust,
        provider: &Arc<CryptoProvider>,
        is_mandatory: bool,
    ) -> Result<ClientTrust, String> {
        let webpki =
            WebPkiClientVerifier::builder_with_provider(trust.roots.clone(), provider.clone());
        let webpki = webpki.build().map_err(|e| e.to_string())?;
        Ok(ClientTrust { trust, webpki, is_mandatory })
    }
}

impl ClientCertVerifier for ClientTrust {
    fn client_auth_mandatory(&self) -> bool {
        self.is_mandatory
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.webpki.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        match self.trust.judge(certificate, now) {
            Some(judgement) => judgement.map(|()| ClientCertVerified::assertion()),
            None => self.webpki.verify_client_cert(certificate, intermediates, now),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.trust.verify_handshake(message, certificate, signed, false)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.trust.verify_handshake(message, certificate, signed, true)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.trust.algorithms.supported_schemes()
    }
}

/// How servers are judged; without anybody to trust, not at all.
#[derive(Debug)]
pub(crate) struct ServerTrust {
    pub trust: Trust,
    pub judges: bool,
}

impl ServerCertVerifier for ServerTrust {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let trust = &self.trust;
        if self.judges {
            trust.judge(certificate, now).unwrap_or_else(|| {
                let certificate = ParsedCertificate::try_from(certificate)?;
                let all = trust.algorithms.all;
                verify_server_cert_signed_by_trust_anchor(
                    &certificate,
                    &trust.roots,
                    intermediates,
                    now,
                    all,
                )
            })?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.trust.verify_handshake(message, certificate, signed, false)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.trust.verify_handshake(message, certificate, signed, true)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.trust.algorithms.supported_schemes()
    }
}
