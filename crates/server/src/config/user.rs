//! Owns `user` lines. Access control lists are still to come, and a rule that is not enforced must not be
//! accepted: only lines pass that say what is so anyway, as CONFIG REWRITE of Redis leaves them.

use std::fmt::Write;

use sha2::{Digest, Sha256};

/// What a line says about the password of the default user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Password {
    /// `nopass`, or nothing.
    Unsaid,
    Plain(Vec<u8>),
    /// SHA-256 in hexadecimal digits.
    Hashed(String),
}

/// Checks the words after `user`.
pub fn parse(words: &[&[u8]]) -> Result<Password, String> {
    let [name, rules @ ..] = words else { return Err("wrong number of arguments".into()) };
    let shown = String::from_utf8_lossy(name);
    let refused = |why: &str| Err(format!("Error in user declaration '{shown}': {why}"));
    if *name != b"default" {
        return refused("only the default user is supported so far");
    }
    let mut password = Password::Unsaid;
    let mut is_on = false;
    for rule in rules {
        match *rule {
            b"on" => is_on = true,
            b"nopass"
            | b"sanitize-payload"
            | b"skip-sanitize-payload"
            | b"~*"
            | b"allkeys"
            | b"&*"
            | b"allchannels"
            | b"+@all"
            | b"allcommands" => {}
            [b'>', plain @ ..] => password = Password::Plain(plain.to_vec()),
            [b'#', digits @ ..] if is_hash(digits) => {
                password = Password::Hashed(String::from_utf8_lossy(digits).into_owned());
            }
            _ => return refused("only a default user with all rights is supported so far"),
        }
    }
    if is_on { Ok(password) } else { refused("a disabled user is not supported so far") }
}

/// Whether `digits`, checked by `parse`, are the hash of `password`.
pub fn is_hash_of(digits: &str, password: &[u8]) -> bool {
    hash(password) == digits
}

/// The line of a default user with all rights and this password, empty for none.
pub fn default_user_line(password: &[u8]) -> String {
    let password = match password {
        [] => "nopass".to_owned(),
        password => format!("#{}", hash(password)),
    };
    format!("user default on {password} ~* &* +@all")
}

fn hash(password: &[u8]) -> String {
    let mut digits = String::with_capacity(64);
    for byte in Sha256::digest(password) {
        // Writing to a string cannot fail.
        let _ = write!(digits, "{byte:02x}");
    }
    digits
}

fn is_hash(digits: &[u8]) -> bool {
    digits.len() == 64 && digits.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Password, String> {
        let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        parse(&words)
    }

    #[test]
    fn lines_that_redis_rewrites_for_its_default_user_pass() {
        assert_eq!(parsed("default on nopass ~* &* +@all"), Ok(Password::Unsaid));
        assert_eq!(parsed("default on nopass sanitize-payload ~* &* +@all"), Ok(Password::Unsaid));
        let hash = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae";
        let line = format!("default on #{hash} ~* &* +@all");
        assert_eq!(parsed(&line), Ok(Password::Hashed(hash.into())));
        assert!(is_hash_of(hash, b"foo") && !is_hash_of(hash, b"bar"));
        assert_eq!(parsed("default on >foo allkeys"), Ok(Password::Plain(b"foo".to_vec())));
    }

    #[test]
    fn rules_that_would_not_be_enforced_are_refused() {
        for line in [
            "ann on",
            "default off",
            "default on -@all",
            "default on ~x:*",
            "default on #12",
            "default",
        ] {
            assert!(parsed(line).is_err(), "{line}");
        }
    }
}
