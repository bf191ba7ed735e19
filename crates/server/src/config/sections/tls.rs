//! Owns the directives of TLS.

use super::super::directive::section;
use super::super::values::TlsAuthClients;
use super::I32_MAX;

section! {
    /// TLS: whom to believe, what to show, and what to offer. The files that these directives name are read again with every
    /// CONFIG SET of one of them, and at SIGHUP.
    Tls in tls {
        /// The port for encrypted connections; 0 listens on none. With `port 0` all are encrypted.
        tls_port: u16 = int(0, u16::MAX), "tls-port", "0" -> TlsPort;

        /// The server's certificate, PEM, with those between it and the authority behind it.
        tls_cert_file: String = text(), "tls-cert-file", "", VOLATILE -> Tls => "redis.crt";

        /// The private key of the server's certificate, PEM: RSA, ECDSA (P-256, P-384) or Ed25519.
        tls_key_file: String = text(), "tls-key-file", "", VOLATILE -> Tls => "redis.key";

        /// The password of the server's private key, if it is encrypted (PKCS #8).
        tls_key_file_pass: String = text(), "tls-key-file-pass", "", SENSITIVE -> Tls => "secret";

        /// The certificate for connections that the server opens itself, if it differs.
        tls_client_cert_file: String = text(), "tls-client-cert-file", "", VOLATILE -> Tls => "client.crt";

        /// The private key of that certificate.
        tls_client_key_file: String = text(), "tls-client-key-file", "", VOLATILE -> Tls => "client.key";

        /// The password of the key in tls-client-key-file.
        tls_client_key_file_pass: String = text(), "tls-client-key-file-pass", "", SENSITIVE -> Tls => "secret";

        /// Diffie-Hellman parameters, for old versions of OpenSSL. Nothing reads them here.
        tls_dh_params_file: String = text(), "tls-dh-params-file", "", NO_EFFECT("keys are agreed on over elliptic curves only") => "redis.dh";

        /// A file with the authorities that certificates of peers are checked against.
        tls_ca_cert_file: String = text(), "tls-ca-cert-file", "", VOLATILE -> Tls => "ca.crt";

        /// A directory of such authorities, in files named by their hashes (openssl rehash).
        tls_ca_cert_dir: String = text(), "tls-ca-cert-dir", "", VOLATILE -> Tls => "/etc/ssl/certs";

        /// Whether clients must (yes), may (optional) or need not (no) show a certificate.
        tls_auth_clients: TlsAuthClients = choice(), "tls-auth-clients", "yes" -> Tls;

        /// Connect to the master by TLS, and tell it tls-port as ours. Its name is not compared with its certificate.
        tls_replication: bool = bool(), "tls-replication", "no" -> Tls;

        /// Connect to the target of a MIGRATE by TLS, as nodes of a cluster do. Its name is not compared with its certificate.
        tls_cluster: bool = bool(), "tls-cluster", "no" -> Tls;

        /// The versions of TLS to accept; older ones than 1.2 are not supported.
        tls_protocols: String = text(), "tls-protocols", "" -> Tls => "\"TLSv1.2 TLSv1.3\"";

        /// The ciphers of TLS 1.2, in OpenSSL's notation: those with ECDHE and AES-GCM or ChaCha20.
        tls_ciphers: String = text(), "tls-ciphers", "" -> Tls => "DEFAULT:!MEDIUM";

        /// The cipher suites of TLS 1.3.
        tls_ciphersuites: String = text(), "tls-ciphersuites", "" -> Tls => "TLS_CHACHA20_POLY1305_SHA256";

        /// Choose the cipher by the server's preference.
        tls_prefer_server_ciphers: bool = bool(), "tls-prefer-server-ciphers", "no" -> Tls;

        /// Let clients resume sessions.
        tls_session_caching: bool = bool(), "tls-session-caching", "yes" -> Tls;

        /// How many TLS sessions are kept.
        tls_session_cache_size: u32 = int(0, I32_MAX), "tls-session-cache-size", "20480" -> Tls;

        /// Seconds for which TLS sessions are kept.
        tls_session_cache_timeout_s: u32 = int(0, I32_MAX), "tls-session-cache-timeout", "300" -> Tls;
    }
}
