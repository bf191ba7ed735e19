//! What the output buffer promises: the bytes of both protocols, in order, however they are sent.

use super::*;

fn written(resp: Resp, write: impl Fn(&mut ReplyBuf)) -> String {
    let mut out = ReplyBuf { resp, ..ReplyBuf::default() };
    write(&mut out);
    out.to_vec().escape_ascii().to_string().replace("\\r\\n", "|")
}

#[test]
fn every_type_has_its_resp3_form_and_its_resp2_fallback() {
    let both = |write: fn(&mut ReplyBuf)| [written(Resp::V2, write), written(Resp::V3, write)];
    assert_eq!(both(|out| out.null()), ["$-1|", "_|"]);
    assert_eq!(both(|out| out.null_array()), ["*-1|", "_|"]);
    assert_eq!(both(|out| out.map(7)), ["*14|", "%7|"]);
    assert_eq!(both(|out| out.set(12)), ["*12|", "~12|"]);
    assert_eq!(both(|out| out.push(3)), ["*3|", ">3|"]);
    assert_eq!(both(|out| out.double(3.1)), ["$3|3.1|", ",3.1|"]);
    assert_eq!(both(|out| out.double(f64::NEG_INFINITY)), ["$4|-inf|", ",-inf|"]);
    assert_eq!(both(|out| out.bool(true)), [":1|", "#t|"]);
    assert_eq!(both(|out| out.bool(false)), [":0|", "#f|"]);
    assert_eq!(both(|out| out.verbatim("txt", b"ab")), ["$2|ab|", "=6|txt:ab|"]);
    assert_eq!(both(|out| out.big_number(b"123")), ["$3|123|", "(123|"]);
    assert_eq!(both(|out| _ = out.attribute(1)), ["", "|1|"]);
    for same in both(|out| {
        out.ok();
        out.status("PONG");
        out.error("ERR a\r\nb\r\n");
        out.error(b"ERR \xff");
        out.int(-12);
        out.int(1);
        out.bulk(b"");
        out.bulk(b"0123456789");
        out.bulk_int(42);
        out.array(100);
    }) {
        assert_eq!(same, "+OK|+PONG|-ERR a  b|-ERR \\xff|:-12|:1|$0||$10|0123456789|$2|42|*100|");
    }
}

#[test]
fn a_deferred_length_is_written_where_the_aggregate_began() {
    let big = Bytes::from(vec![b'x'; SHARED_LEN]);
    let mut out = ReplyBuf { resp: Resp::V3, ..ReplyBuf::default() };
    out.raw_shared(big.clone());
    let outer = out.defer_array();
    out.raw_shared(big.clone());
    let inner = out.defer_array();
    out.bulk_shared(big.clone());
    out.raw(&vec![b'y'; 3 * CHUNK_LEN]);
    out.int(1);
    out.finish_map(inner, 10);
    out.finish_array(outer, 3);
    let expected = [
        &big[..],
        b"*3\r\n",
        &big,
        b"%10\r\n$32768\r\n",
        &big,
        b"\r\n",
        &vec![b'y'; 3 * CHUNK_LEN],
        b":1\r\n",
    ]
    .concat();
    assert!(out.to_vec() == expected);
}

#[test]
fn bytes_leave_in_order_whatever_each_write_takes_and_what_is_written_muted_never_does() {
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..200 {
        let (mut out, mut passed) = (ReplyBuf::new(), Output::default());
        let mut expected = Vec::new();
        let mut sent = Vec::new();
        for _ in 0..40 {
            let len = [0, 5, 1000, SHARED_LEN, 70_000][random.usize(..5)];
            let bytes: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(len).collect();
            match random.u8(..6) {
                0 => {
                    out.raw(&bytes);
                    expected.extend_from_slice(&bytes);
                }
                1 => {
                    expected.extend_from_slice(&bytes);
                    out.raw_shared(bytes.into());
                }
                2 => {
                    out.mute();
                    out.raw(b"ab");
                    out.bulk_shared(bytes.clone().into());
                    out.raw(&bytes);
                    let mark = out.defer_array();
                    out.error("ERR unheard");
                    out.finish_array(mark, 1);
                    out.unmute();
                }
                3 => {
                    let n = random.usize(..=out.len_bytes() - out.passed_len());
                    out.pass_on(n, &mut passed);
                }
                _ => {
                    // The connection's own goes first.
                    let is_passed = !passed.is_empty();
                    let mut slices = [IoSlice::new(&[]); 3];
                    let count = match is_passed {
                        true => passed.io_slices(&mut slices),
                        false => out.io_slices(&mut slices),
                    };
                    let seen = slices[..count].iter().flat_map(|s| s.to_vec()).collect::<Vec<u8>>();
                    let n = random.usize(..=seen.len());
                    sent.extend_from_slice(&seen[..n]);
                    if is_passed {
                        passed.advance(n);
                        out.sent(n);
                    } else {
                        out.advance(n);
                    }
                }
            }
            assert_eq!(out.len_bytes(), expected.len() - sent.len());
            assert_eq!(out.passed_len(), passed.len_bytes());
            assert_eq!(out.written(), expected.len() as u64);
        }
        while !passed.is_empty() {
            let mut slices = [IoSlice::new(&[]); 1];
            passed.io_slices(&mut slices);
            let n = slices[0].len();
            sent.extend_from_slice(&slices[0]);
            passed.advance(n);
            out.sent(n);
        }
        sent.extend(out.to_vec());
        assert!(sent == expected);
        out.clear();
        assert!(out.is_empty() && out.memory_bytes() <= KEPT_LEN);
    }
}

/// `LRANGE l 0 -1` a thousand times by a client that reads nothing took a gigabyte with a limit of one
/// megabyte, which was looked at only when the batch was through.
#[test]
fn output_stops_at_its_limit_and_gives_back_what_it_has() {
    let kinds: [fn(&mut ReplyBuf); 4] = [
        |out| out.bulk(&[b'x'; 1000]),
        |out| out.bulk_shared(Bytes::from_static(&[b'x'; SHARED_LEN])),
        |out| out.raw(b"+OK\r\n"),
        |out| {
            let mark = out.defer_array();
            (0..100_000).for_each(|n| out.int(n + 1_000_000));
            out.finish_array(mark, 100_000);
        },
    ];
    for append in kinds {
        let mut out = ReplyBuf::new();
        out.set_limit(1 << 20);
        let mut most = 0;
        while !out.is_overflowed() {
            append(&mut out);
            most = most.max(out.memory_bytes());
        }
        append(&mut out);
        assert!(out.is_overflowed() && out.is_empty());
        assert!(most <= 3 << 20, "{most}");
        assert_eq!(out.memory_bytes(), 0, "nothing is kept for who will be closed");
        out.error("ERR nobody hears this\r\n");
        out.unmute();
        out.ok();
        assert!(out.is_overflowed() && out.is_empty());
    }
}

/// A single value far above the limit must not be copied before it is measured.
#[test]
fn one_reply_beyond_the_limit_is_not_taken() {
    let mut out = ReplyBuf::new();
    out.set_limit(100_000);
    out.ok();
    out.bulk(&vec![b'x'; 10 << 20]);
    assert!(out.is_overflowed());
    assert_eq!(out.memory_bytes(), 0);
}
