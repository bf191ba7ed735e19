//! Owns the directives of TLS. They are kept and reported; connections are not encrypted yet.

use super::super::directive::section;
use super::super::values::TlsAuthClients;
use super::{I32_MAX, no_tls};

section! {
    /// TLS, which is still to come: the directives are kept and reported.
    Tls in tls {
        /// The port for encrypted connections. Not supported yet: only 0 is accepted.
        tls_port: u16 = special(tls_port), "tls-port", "0", NO_EFFECT("connections are not encrypted yet");

        /// The server's certificate, PEM.
        tls_cert_file: String = text(), "tls-cert-file", "", NO_EFFECT("connections are not encrypted yet") => "redis.crt";

        /// The private key of the server's certificate, PEM.
        tls_key_file: String = text(), "tls-key-file", "", NO_EFFECT("connections are not encrypted yet") => "redis.key";

        /// The password of the server's private key.
        tls_key_file_pass: String = text(), "tls-key-file-pass", "", SENSITIVE, NO_EFFECT("connections are not encrypted yet") => "secret";

        /// The certificate for connections that the server opens itself, if it differs.
        tls_client_cert_file: String = text(), "tls-client-cert-file", "", NO_EFFECT("connections are not encrypted yet") => "client.crt";

        /// The private key of that certificate.
        tls_client_key_file: String = text(), "tls-client-key-file", "", NO_EFFECT("connections are not encrypted yet") => "client.key";

        /// The password of the key in tls-client-key-file.
        tls_client_key_file_pass: String = text(), "tls-client-key-file-pass", "", SENSITIVE, NO_EFFECT("connections are not encrypted yet") => "secret";

        /// Diffie-Hellman parameters, for old versions of OpenSSL.
        tls_dh_params_file: String = text(), "tls-dh-params-file", "", NO_EFFECT("connections are not encrypted yet") => "redis.dh";

        /// A file with the authorities that certificates of peers are checked against.
        tls_ca_cert_file: String = text(), "tls-ca-cert-file", "", NO_EFFECT("connections are not encrypted yet") => "ca.crt";

        /// A directory of such authorities, hashed as OpenSSL wants it.
        tls_ca_cert_dir: String = text(), "tls-ca-cert-dir", "", NO_EFFECT("connections are not encrypted yet") => "/etc/ssl/certs";

        /// Whether clients must (yes), may (optional) or need not (no) show a certificate.
        tls_auth_clients: TlsAuthClients = choice(), "tls-auth-clients", "yes", NO_EFFECT("connections are not encrypted yet");

        /// Encrypt the links between masters and replicas. Not supported yet: yes is refused.
        tls_replication: bool = bool(no_tls), "tls-replication", "no", NO_EFFECT("connections are not encrypted yet");

        /// Encrypt the cluster bus. Not supported yet: yes is refused.
        tls_cluster: bool = bool(no_tls), "tls-cluster", "no", NO_EFFECT("connections are not encrypted yet");

        /// The versions of TLS to accept.
        tls_protocols: String = text(), "tls-protocols", "", NO_EFFECT("connections are not encrypted yet") => "\"TLSv1.2 TLSv1.3\"";

        /// The ciphers of TLS 1.2, in OpenSSL's notation.
        tls_ciphers: String = text(), "tls-ciphers", "", NO_EFFECT("connections are not encrypted yet") => "DEFAULT:!MEDIUM";

        /// The cipher suites of TLS 1.3.
        tls_ciphersuites: String = text(), "tls-ciphersuites", "", NO_EFFECT("connections are not encrypted yet") => "TLS_CHACHA20_POLY1305_SHA256";

        /// Choose the cipher by the server's preference.
        tls_prefer_server_ciphers: bool = bool(), "tls-prefer-server-ciphers", "no", NO_EFFECT("connections are not encrypted yet");

        /// Let clients resume sessions.
        tls_session_caching: bool = bool(), "tls-session-caching", "yes", NO_EFFECT("connections are not encrypted yet");

        /// How many TLS sessions are kept.
        tls_session_cache_size: u32 = int(0, I32_MAX), "tls-session-cache-size", "20480", NO_EFFECT("connections are not encrypted yet");

        /// Seconds for which TLS sessions are kept.
        tls_session_cache_timeout_s: u32 = int(0, I32_MAX), "tls-session-cache-timeout", "300", NO_EFFECT("connections are not encrypted yet");
    }
}
