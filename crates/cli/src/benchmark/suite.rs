//! The commands that are measured when none is given.
//!
//! Must not: run one.

use super::options::Options;

/// One test: its title, and the bytes of one request.
pub(super) struct Test {
    pub title: String,
    pub request: Vec<u8>,
}

/// Names, title and words of one.
type Row<'a> = (&'a [&'a str], &'a str, &'a [&'a [u8]]);

/// The tests that the options choose, in order.
pub(super) fn chosen(options: &Options) -> Vec<Test> {
    let data = data(options.data_len);
    let data = data.as_slice();
    let score: &[u8] = if options.keyspace.is_some() { b"__rand_int__" } else { b"0" };
    let key: &[u8] = b"key:__rand_int__";
    let element: &[u8] = b"element:__rand_int__";
    let mset: Vec<&[u8]> = std::iter::once(&b"MSET"[..]).chain([key, data].repeat(10)).collect();
    let lrange = ["lrange", "lrange_100", "lrange_300", "lrange_500", "lrange_600"];
    let all: [Row<'_>; 20] = [
        (&["ping_inline", "ping"], "PING_INLINE", &[]),
        (&["ping_mbulk", "ping"], "PING_MBULK", &[b"PING"]),
        (&["set"], "SET", &[b"SET", key, data]),
        (&["get"], "GET", &[b"GET", key]),
        (&["incr"], "INCR", &[b"INCR", b"counter:__rand_int__"]),
        (&["lpush"], "LPUSH", &[b"LPUSH", b"mylist", data]),
        (&["rpush"], "RPUSH", &[b"RPUSH", b"mylist", data]),
        (&["lpop"], "LPOP", &[b"LPOP", b"mylist"]),
        (&["rpop"], "RPOP", &[b"RPOP", b"mylist"]),
        (&["sadd"], "SADD", &[b"SADD", b"myset", element]),
        (&["hset"], "HSET", &[b"HSET", b"myhash", element, data]),
        (&["spop"], "SPOP", &[b"SPOP", b"myset"]),
        (&["zadd"], "ZADD", &[b"ZADD", b"myzset", score, element]),
        (&["zpopmin"], "ZPOPMIN", &[b"ZPOPMIN", b"myzset"]),
        (&lrange, "LPUSH (needed to benchmark LRANGE)", &[b"LPUSH", b"mylist", data]),
        (&lrange[..2], "LRANGE_100 (first 100 elements)", &[b"LRANGE", b"mylist", b"0", b"99"]),
        (
            &[lrange[0], lrange[2]],
            "LRANGE_300 (first 300 elements)",
            &[b"LRANGE", b"mylist", b"0", b"299"],
        ),
        (
            &[lrange[0], lrange[3]],
            "LRANGE_500 (first 500 elements)",
            &[b"LRANGE", b"mylist", b"0", b"499"],
        ),
        (
            &[lrange[0], lrange[4]],
            "LRANGE_600 (first 600 elements)",
            &[b"LRANGE", b"mylist", b"0", b"599"],
        ),
        (&["mset"], "MSET (10 keys)", &mset),
    ];
    let is_chosen = |names: &[&str]| match &options.tests {
        Some(tests) => tests.iter().any(|test| names.contains(&test.as_str())),
        None => true,
    };
    let tests = all.iter().filter(|(names, ..)| is_chosen(names));
    tests.map(|(_, title, words)| Test { title: (*title).into(), request: encode(words) }).collect()
}

/// A request of these words; without any, PING as people type it.
fn encode(words: &[&[u8]]) -> Vec<u8> {
    if words.is_empty() {
        return b"PING\r\n".to_vec();
    }
    let mut request = Vec::new();
    protocol::encode_command(&mut request, words.iter().copied());
    request
}

/// Values that compress badly, the same in every run.
fn data(len: usize) -> Vec<u8> {
    let mut state = 1234u32;
    let mut next = || {
        state = state.wrapping_mul(1_103_515_245).wrapping_add(12_345);
        b'0' + ((state >> 16) & 63) as u8
    };
    (0..len).map(|_| next()).collect()
}
