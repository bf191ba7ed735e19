//! What the whole-process tests beside this file share: who plays which part in them.
//!
//! Must not: hold a test. Each test is a function of the kinds of its servers; the macros here make
//! one `#[test]` of it for every cast. The cast of Redis alone shows that the test itself is right.

pub mod encrypted;
pub mod python;
pub mod sentinel;

/// One test per pair of a master and a replica.
#[macro_export]
macro_rules! pairings {
    ($($name:ident),+ $(,)?) => {
        $crate::cast! { redis_to_redis: (testkit::Kind::Redis, testkit::Kind::Redis): $($name),+ }
        $crate::cast! { redis_to_tandem: (testkit::Kind::Redis, testkit::Kind::Tandem): $($name),+ }
        $crate::cast! { tandem_to_redis: (testkit::Kind::Tandem, testkit::Kind::Redis): $($name),+ }
        $crate::cast! { tandem_to_tandem: (testkit::Kind::Tandem, testkit::Kind::Tandem): $($name),+ }
    };
}

/// One test per kind of server.
#[macro_export]
macro_rules! each_server {
    ($($name:ident),+ $(,)?) => {
        $crate::cast! { on_redis: (testkit::Kind::Redis): $($name),+ }
        $crate::cast! { on_tandem: (testkit::Kind::Tandem): $($name),+ }
    };
}

/// A module of tests that share a cast.
#[macro_export]
macro_rules! cast {
    ($module:ident: $kinds:tt: $($name:ident),+) => {
        mod $module {
            $(#[test] fn $name() { super::$name $kinds })+
        }
    };
}
