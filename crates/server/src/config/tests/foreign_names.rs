//! Every directive that another server takes in its file is known here: the names in tests/directives, as these
//! servers themselves tell them (CONFIG GET, and what their parser does not call a bad directive).

use super::*;

const OF_OTHERS: [(&str, &str); 4] = [
    ("Redis 6.2", include_str!("../../../../../tests/directives/redis-6.2")),
    ("Redis 7.0", include_str!("../../../../../tests/directives/redis-7.0")),
    ("Redis 8.2", include_str!("../../../../../tests/directives/redis-8.2")),
    ("Valkey 9.1", include_str!("../../../../../tests/directives/valkey-9.1")),
];

/// `events-per-io-thread`, which Valkey 8 had and 9 reads over, stopped the start.
#[test]
fn what_another_server_takes_is_a_bad_directive() {
    for (server, names) in OF_OTHERS {
        assert!(names.lines().count() > 100, "{server}");
        for name in names.lines() {
            let Err(error) = with_text(&format!("{name} zzz\n")) else { continue };
            assert!(!error.contains("Bad directive"), "{server}: {error}");
        }
    }
    let unknown = with_text("no-such-directive zzz\n").expect_err("nobody knows it");
    assert!(unknown.contains("Bad directive"), "{unknown}");
}

/// One that is ignored, and asks who may come in, stops the start unless it asks for nothing.
#[test]
fn what_is_relied_on_for_safety_is_not_ignored() {
    let refused = with_text("tls-auth-clients-user CN\n").expect_err("it would let in too many");
    assert!(refused.contains("tls-auth-clients-user CN"), "{refused}");
    assert!(refused.contains("a certificate names no user"), "{refused}");
    let config = with_text("tls-auth-clients-user off\n").expect("it asks for nothing");
    assert_eq!(config.foreign, ["tls-auth-clients-user"]);
}
