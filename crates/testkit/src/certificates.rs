//! Certificates for tests, made by openssl once a process: an authority and what it signed, and some that are wrong.
//!
//! Must not: start a server.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use tempfile::TempDir;

/// The folder with all of them.
#[derive(Debug)]
pub struct Certificates {
    dir: TempDir,
}

const EXTENSIONS: &str = "[both]\nsubjectAltName = DNS:localhost\n\
    [of_server]\nextendedKeyUsage = serverAuth\n[of_client]\nextendedKeyUsage = clientAuth\n";

impl Certificates {
    /// Those that all tests of a process share.
    pub fn shared() -> &'static Certificates {
        static SHARED: OnceLock<Certificates> = OnceLock::new();
        SHARED.get_or_init(Certificates::make)
    }

    /// `server` (RSA), `client`, `elliptic` and `plain` (version 1, as Redis's own script makes it), signed by
    /// `ca`; `expired`, `server_only`; `stranger`, signed by `other_ca`; `alone`, which signed itself; the key of
    /// `server` once more in `locked.key`, under the password `1234`.
    pub fn make() -> Certificates {
        let made = Certificates { dir: tempfile::tempdir().expect("a folder") };
        made.write("extensions", EXTENSIONS);
        for name in ["server", "client", "plain", "stranger", "expired", "server_only"] {
            made.openssl(&format!("genrsa -out {name}.key 2048"));
        }
        for name in ["ca", "other_ca", "elliptic", "alone"] {
            made.openssl(&format!("ecparam -name prime256v1 -genkey -noout -out {name}.key"));
        }
        for name in ["ca", "other_ca", "alone"] {
            made.openssl(&format!(
                "req -x509 -new -nodes -sha256 -days 3650 -subj /CN={name} -key {name}.key -out {name}.crt"
            ));
        }
        let with = |section: &str| format!("-extfile extensions -extensions {section}");
        made.sign("server", "ca", 365, &with("both"));
        made.sign("client", "ca", 20, &with("of_client"));
        made.sign("elliptic", "ca", 365, &with("both"));
        made.sign("server_only", "ca", 365, &with("of_server"));
        made.sign("plain", "ca", 365, "");
        made.sign("stranger", "other_ca", 365, &with("both"));
        made.sign("expired", "ca", -1, &with("both"));
        made.openssl(
            "pkcs8 -topk8 -v2 aes-256-cbc -in server.key -out locked.key -passout pass:1234",
        );
        made.openssl(
            "rsa -traditional -aes256 -in server.key -out old_locked.key -passout pass:1234",
        );
        made
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The path in a line of a config file or a command line.
    pub fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("a file");
    }

    fn sign(&self, name: &str, by: &str, days: i32, more: &str) {
        self.openssl(&format!("req -new -sha256 -subj /CN={name} -key {name}.key -out {name}.csr"));
        self.openssl(&format!(
            "x509 -req -sha256 -in {name}.csr -CA {by}.crt -CAkey {by}.key -CAcreateserial -days {days} {more} \
             -out {name}.crt"
        ));
    }

    fn openssl(&self, args: &str) {
        let output = Command::new("openssl")
            .args(args.split_whitespace())
            .current_dir(self.dir.path())
            .stdin(Stdio::null())
            .output()
            .expect("openssl is installed");
        assert!(output.status.success(), "{args}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// The lines that make a server speak TLS on this port, besides the one that it has.
    pub fn directives(&self, tls_port: u16, name: &str) -> String {
        let path = |file: &str| Path::display(&self.path(file)).to_string();
        format!(
            "tls-port {tls_port}\ntls-cert-file {}\ntls-key-file {}\ntls-ca-cert-file {}\ntls-replication yes",
            path(&format!("{name}.crt")),
            path(&format!("{name}.key")),
            path("ca.crt")
        )
    }
}
