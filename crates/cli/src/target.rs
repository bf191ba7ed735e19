//! Where to connect, and as whom: what `-h`, `-p`, `-s`, `-a`, `--user`, `-n` and `-u` say, and how
//! values on a command line are read.
//!
//! Must not: connect.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::time::Duration;

use protocol::split_args;

use crate::encrypted::TlsFlags;

/// An address and what is said first on a connection to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    pub host: Vec<u8>,
    /// As typed: what is no port is for the resolver to refuse.
    pub port: i64,
    /// Instead of host and port.
    pub socket: Option<PathBuf>,
    pub user: Option<Vec<u8>>,
    pub password: Option<Vec<u8>>,
    pub db: i64,
    pub connect_timeout: Option<Duration>,
    /// Which of a host's addresses are tried first.
    pub prefers_ipv4: bool,
    pub prefers_ipv6: bool,
    pub tls: TlsFlags,
}

impl Default for Target {
    fn default() -> Self {
        Self {
            host: b"127.0.0.1".to_vec(),
            port: 6379,
            socket: None,
            user: None,
            password: None,
            db: 0,
            connect_timeout: None,
            prefers_ipv4: false,
            prefers_ipv6: false,
            tls: TlsFlags::default(),
        }
    }
}

impl Target {
    /// As prompts and messages show it. `plain`: without brackets around an IPv6 address.
    pub fn address(&self, plain: bool) -> String {
        let host = String::from_utf8_lossy(&self.host);
        match &self.socket {
            Some(path) => path.display().to_string(),
            None if host.contains(':') && !plain => format!("[{host}]:{}", self.port),
            None => format!("{host}:{}", self.port),
        }
    }

    /// Takes over what a URI says: `redis://[[user:]password@]host[:port][/db]`, with `rediss` over TLS, or
    /// `unix:///path`.
    pub fn apply_uri(&mut self, uri: &[u8]) -> Result<(), String> {
        let (scheme, rest) = split_scheme(uri).ok_or("Invalid URI scheme")?;
        match scheme.to_ascii_lowercase().as_slice() {
            b"redis" => {}
            b"unix" => {
                self.socket = Some(PathBuf::from(OsString::from_vec(decode(rest)?)));
                return Ok(());
            }
            b"rediss" => self.tls.on = true,
            _ => return Err("Invalid URI scheme".into()),
        }
        let (userinfo, rest) = match rest.iter().position(|&b| b == b'@') {
            Some(at) => (Some(&rest[..at]), &rest[at + 1..]),
            None => (None, rest),
        };
        if let Some(userinfo) = userinfo {
            let password = match userinfo.iter().position(|&b| b == b':') {
                Some(at) => {
                    self.user = Some(decode(&userinfo[..at])?);
                    &userinfo[at + 1..]
                }
                None => userinfo,
            };
            self.password = Some(decode(password)?);
        }
        let slash = rest.iter().position(|&b| b == b'/');
        let (authority, db) = match slash {
            Some(at) => (&rest[..at], &rest[at + 1..]),
            None => (rest, &[][..]),
        };
        if !authority.is_empty() {
            let host = match authority.iter().position(|&b| b == b':') {
                Some(at) => {
                    self.port = port(&authority[at + 1..])?;
                    &authority[..at]
                }
                None => authority,
            };
            self.host = host.to_vec();
        }
        if !db.is_empty() {
            self.db = leading_int(db);
        }
        Ok(())
    }
}

/// A number on a command line that is a port.
pub fn port(word: &[u8]) -> Result<i64, String> {
    let port = leading_int(word);
    (0..=i64::from(u16::MAX)).contains(&port).then_some(port).ok_or("Invalid server port.".into())
}

/// The number at the front, as C's `atoi`: 0 without one.
pub fn leading_int(text: &[u8]) -> i64 {
    let text = text.trim_ascii_start();
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    let digits = digits.iter().take_while(|b| b.is_ascii_digit());
    let value = digits.fold(0i64, |n, b| n.saturating_mul(10).saturating_add(i64::from(b - b'0')));
    if negative { -value } else { value }
}

/// The decimal number at the front, as C's `atof`: 0 without one.
pub fn leading_float(text: &[u8]) -> f64 {
    let text = String::from_utf8_lossy(text.trim_ascii_start());
    let mut best = 0.0;
    for end in (1..=text.len().min(64)).filter(|&end| text.is_char_boundary(end)) {
        if let Ok(value) = text[..end].parse::<f64>() {
            best = value;
        }
    }
    best
}

/// The one word that a quoted string stands for.
pub fn unquote(text: &[u8]) -> Option<Vec<u8>> {
    let mut words = split_args(text)?;
    (words.len() == 1).then(|| words.remove(0))
}

fn split_scheme(uri: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = uri.windows(3).position(|w| w == b"://")?;
    Some((&uri[..at], &uri[at + 3..]))
}

/// Percent encoding.
fn decode(text: &[u8]) -> Result<Vec<u8>, String> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, tail @ ..] = rest {
        if *first != b'%' {
            out.push(*first);
            rest = tail;
            continue;
        }
        if tail.is_empty() {
            return Err("Incomplete URI encoding".into());
        }
        let digit = |i: usize| char::from(*tail.get(i)?).to_digit(16).map(|digit| digit as u8);
        let (Some(high), Some(low)) = (digit(0), digit(1)) else {
            return Err("Illegal character in URI encoding".into());
        };
        out.push(high << 4 | low);
        rest = &tail[2..];
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(uri: &str) -> Result<Target, String> {
        let mut target = Target::default();
        target.apply_uri(uri.as_bytes()).map(|()| target)
    }

    #[test]
    fn each_part_of_a_uri_is_optional() {
        let base = Target::default();
        assert_eq!(of("redis://"), Ok(base.clone()));
        assert_eq!(of("REDIS://h:7/3"), {
            Ok(Target { host: b"h".to_vec(), port: 7, db: 3, ..base.clone() })
        });
        let password = Some(b"p@ss".to_vec());
        assert_eq!(of("redis://p%40ss@/2"), {
            Ok(Target { password: password.clone(), db: 2, ..base.clone() })
        });
        assert_eq!(of("redis://u:p%40ss@h"), {
            let user = Some(b"u".to_vec());
            Ok(Target { host: b"h".to_vec(), user, password, ..base.clone() })
        });
        assert_eq!(of("rediss://h"), {
            let tls = TlsFlags { on: true, ..TlsFlags::default() };
            Ok(Target { host: b"h".to_vec(), tls, ..base.clone() })
        });
        let socket = Some(PathBuf::from("/run/redis.sock"));
        assert_eq!(of("unix:///run/redis.sock"), Ok(Target { socket, ..base }));
    }

    #[test]
    fn what_is_no_uri_is_refused() {
        for (uri, text) in [
            ("http://h", "Invalid URI scheme"),
            ("h:6379", "Invalid URI scheme"),
            ("redis://%@h", "Incomplete URI encoding"),
            ("redis://%4@h", "Illegal character in URI encoding"),
            ("redis://%4z@h", "Illegal character in URI encoding"),
            ("redis://h:65536", "Invalid server port."),
            ("redis://h:-1", "Invalid server port."),
        ] {
            assert_eq!(of(uri).unwrap_err(), text);
        }
    }

    #[test]
    fn numbers_are_read_as_c_reads_them() {
        assert_eq!(["12x", "-3", " 4", "x"].map(|t| leading_int(t.as_bytes())), [12, -3, 4, 0]);
        assert_eq!(["0.5s", "1e3", ".25", "x"].map(|t| leading_float(t.as_bytes())), {
            [0.5, 1000.0, 0.25, 0.0]
        });
    }
}
