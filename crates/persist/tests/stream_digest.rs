//! A stream has the digest that Redis gives its entries, and is written as Redis wrote it.

use persist::rdb;
use store::Limits;
use store::digest::{self, Spelling};

/// DUMP of a stream of redis-server 7.0.15: two entries of the same fields, the second deleted in
/// place, and two of another field. Compressed, as Redis does.
const DUMPED: &[u8] =
    b"\x13\x01\x10\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01\xc3\
    @N@T\x12T\x00\x00\x00 \x00\x03\x01\x01\x01\x02\x01\x81a\x02\x81b\x02\x00 \t\x00\x00 \x01\t\
    \x01\x01\x83two\x04\x05\x01\x03`\x0c\x08\x03\x01\x84four\x05\x05 \r\x0c\x04\x01\xdf\xff\x02\
    \x01\x01\x81c\x02\x07\x01\x06 \x0f\x00\x05\xe0\x00\x0f\x00\x08 \x0f\x00\xff\x03\x06\x00\x01\
    \x01\x01\x02\x04\x00\n\x00\x92\xa1|\xf6\xe6&&C";

#[test]
fn the_digest_of_a_stream_is_that_of_redis() {
    let stream = rdb::restore_value(DUMPED, &Limits::default()).expect("Redis wrote it");
    let digest = digest::of_value(stream.as_ref(), false, Spelling::Shortest);
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, "9b03c1a387882fdc4b4e20390fd1714156c3d1b7");
}

#[test]
fn a_stream_is_dumped_as_redis_dumped_it() {
    let stream = rdb::restore_value(DUMPED, &Limits::default()).expect("Redis wrote it");
    assert_eq!(rdb::dump_value(stream.as_ref(), rdb::Version::V10), DUMPED);
}
