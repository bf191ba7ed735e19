//! What the whole-process tests beside this file share: who plays which part in them.
//!
//! Must not: hold a test. Each test is a function of the kinds of its servers; the macros here make
//! one `#[test]` of it for every cast. The cast of Redis alone shows that the test itself is right.

/// One test per pair of a master and a replica.
#[macro_export]
macro_rules! pairings {
    ($($name:ident),+ $(,)?) => {
        mod redis_to_redis {
            $(#[test] fn $name() { super::$name(testkit::Kind::Redis, testkit::Kind::Redis) })+
        }
    };
}

/// One test per kind of server.
#[macro_export]
macro_rules! each_server {
    ($($name:ident),+ $(,)?) => {
        mod on_redis {
            $(#[test] fn $name() { super::$name(testkit::Kind::Redis) })+
        }
    };
}
