//! Which of the cipher suites that there are is offered: OpenSSL's lists for TLS 1.2, plain names for 1.3.

use std::sync::LazyLock;

use rustls::crypto::ring::cipher_suite as suites;
use rustls::{CipherSuiteCommon, ProtocolVersion, SupportedCipherSuite, Tls12CipherSuite};

/// Of TLS 1.2, in the order of preference: OpenSSL's name, the words that stand for it in a list, the suite.
/// All of them agree on keys by ECDHE.
static TLS12: [(&str, &[&str], SupportedCipherSuite); 6] = [
    (
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        &["ECDSA", "aECDSA", "AES", "AES256", "AESGCM", "SHA384", "FIPS", "SUITEB192"],
        suites::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    ),
    (
        "ECDHE-RSA-AES256-GCM-SHA384",
        &["aRSA", "AES", "AES256", "AESGCM", "SHA384", "FIPS"],
        suites::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    ),
    (
        "ECDHE-ECDSA-CHACHA20-POLY1305",
        &["ECDSA", "aECDSA", "CHACHA20"],
        suites::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    ),
    (
        "ECDHE-RSA-CHACHA20-POLY1305",
        &["aRSA", "CHACHA20"],
        suites::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    ),
    (
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        &["ECDSA", "aECDSA", "AES", "AES128", "AESGCM", "SHA256", "FIPS", "SUITEB128"],
        suites::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    ),
    (
        "ECDHE-RSA-AES128-GCM-SHA256",
        &["aRSA", "AES", "AES128", "AESGCM", "SHA256", "FIPS"],
        suites::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    ),
];

/// The suites of the table with keys that last as long as the connection. TLS 1.2 cannot change them; rustls would
/// drop what is written behind 2^24 records and say goodbye, which cuts a busy client off within minutes. Redis does not.
static LASTING: LazyLock<[SupportedCipherSuite; TLS12.len()]> =
    LazyLock::new(|| TLS12.each_ref().map(|(_, _, suite)| lasting(*suite)));

/// Words that stand for every suite of the table.
const ANY: [&str; 9] =
    ["ALL", "DEFAULT", "HIGH", "ECDHE", "EECDH", "kECDHE", "kEECDH", "TLSv1.2", "AEAD"];

static TLS13: [(&str, SupportedCipherSuite); 3] = [
    ("TLS_AES_256_GCM_SHA384", suites::TLS13_AES_256_GCM_SHA384),
    ("TLS_CHACHA20_POLY1305_SHA256", suites::TLS13_CHACHA20_POLY1305_SHA256),
    ("TLS_AES_128_GCM_SHA256", suites::TLS13_AES_128_GCM_SHA256),
];

/// What a list of OpenSSL's chooses of TLS 1.2, in its order; `None` if that is nothing. Words that it does not
/// know choose nothing, as with OpenSSL.
pub(crate) fn tls12(list: &str) -> Option<Vec<SupportedCipherSuite>> {
    let mut chosen: Vec<usize> = Vec::new();
    let mut banned: Vec<usize> = Vec::new();
    let list = if list.is_empty() { "DEFAULT" } else { list };
    for word in list.split([':', ',', ';', ' ']).filter(|word| !word.is_empty()) {
        let (sign, words) = match word.as_bytes()[0] {
            sign @ (b'!' | b'-' | b'+') => (sign, &word[1..]),
            _ => (b' ', word),
        };
        let meant: Vec<usize> =
            (0..TLS12.len()).filter(|at| words.split('+').all(|w| stands_for(w, *at))).collect();
        let (moved, mut kept): (Vec<_>, Vec<_>) =
            chosen.iter().copied().partition(|at| meant.contains(at));
        match sign {
            b'!' => {
                banned.extend(&meant);
                chosen = kept;
            }
            b'-' => chosen = kept,
            b'+' => {
                kept.extend(moved);
                chosen = kept;
            }
            _ => {
                let new = meant.iter().filter(|at| !moved.contains(at) && !banned.contains(at));
                chosen.extend(new);
            }
        }
    }
    let chosen: Vec<_> = chosen.into_iter().map(|at| LASTING[at]).collect();
    (!chosen.is_empty()).then_some(chosen)
}

fn lasting(suite: SupportedCipherSuite) -> SupportedCipherSuite {
    let SupportedCipherSuite::Tls12(suite) = suite else { return suite };
    let common = CipherSuiteCommon {
        suite: suite.common.suite,
        hash_provider: suite.common.hash_provider,
        confidentiality_limit: u64::MAX,
    };
    // Six of them, made once.
    SupportedCipherSuite::Tls12(Box::leak(Box::new(Tls12CipherSuite {
        common,
        prf_provider: suite.prf_provider,
        kx: suite.kx,
        sign: suite.sign,
        aead_alg: suite.aead_alg,
    })))
}

fn stands_for(word: &str, at: usize) -> bool {
    let (name, words, _) = &TLS12[at];
    word == *name || ANY.contains(&word) || words.contains(&word)
}

/// The suites of TLS 1.3 by their names; `None` if there is none or one is unknown.
pub(crate) fn tls13(list: &str) -> Option<Vec<SupportedCipherSuite>> {
    if list.is_empty() {
        return Some(TLS13.iter().map(|(_, suite)| *suite).collect());
    }
    let find = |name: &str| TLS13.iter().find(|(known, _)| *known == name).map(|(_, suite)| *suite);
    list.split(':').filter(|name| !name.is_empty()).map(find).collect()
}

/// The name by which OpenSSL, and so a log, knows a suite.
pub(crate) fn name_of(suite: SupportedCipherSuite) -> &'static str {
    let tls12 = || TLS12.iter().find(|(_, _, known)| *known == suite).map(|(name, ..)| *name);
    let tls13 = || TLS13.iter().find(|(_, known)| *known == suite).map(|(name, _)| *name);
    match suite.version().version {
        ProtocolVersion::TLSv1_2 => tls12(),
        _ => tls13(),
    }
    .unwrap_or("unknown")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &str) -> Option<Vec<&'static str>> {
        Some(tls12(list)?.into_iter().map(name_of).collect())
    }

    #[test]
    fn a_list_chooses_removes_and_reorders_as_openssl_s() {
        let all: Vec<_> = TLS12.iter().map(|(name, ..)| *name).collect();
        for list in ["", "DEFAULT", "HIGH:!aNULL:!MD5", "ALL:@SECLEVEL=2", "DEFAULT:!MEDIUM"] {
            assert_eq!(names(list).as_ref(), Some(&all), "{list}");
        }
        let two = vec!["ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384"];
        assert_eq!(names(&two.join(":")), Some(two));
        assert_eq!(names("ECDHE+aRSA+CHACHA20"), Some(vec!["ECDHE-RSA-CHACHA20-POLY1305"]));
        assert_eq!(names("ALL:!AES:AES"), names("CHACHA20"));
        assert_eq!(names("AES128:-ECDSA:ECDSA+AES128"), {
            Some(vec!["ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256"])
        });
        assert_eq!(names("aRSA:+AES256").unwrap().last(), Some(&"ECDHE-RSA-AES256-GCM-SHA384"));
        assert_eq!(names("AES128-SHA256"), None, "no key exchange by RSA, no CBC");
    }

    /// A client of TLS 1.2 heard nothing any more after its 16,777,216th reply.
    #[test]
    fn keys_of_1_2_last_as_long_as_the_connection() {
        for suite in tls12("").unwrap() {
            let SupportedCipherSuite::Tls12(suite) = suite else { panic!("not of 1.2") };
            assert_eq!(suite.common.confidentiality_limit, u64::MAX, "{suite:?}");
        }
    }

    #[test]
    fn suites_of_1_3_are_plain_names() {
        let one = tls13("TLS_CHACHA20_POLY1305_SHA256").unwrap();
        assert_eq!(one.into_iter().map(name_of).collect::<Vec<_>>(), [TLS13[1].0]);
        assert_eq!(tls13("").map(|all| all.len()), Some(3));
        assert_eq!(tls13("TLS_AES_128_CCM_SHA256"), None);
    }
}
