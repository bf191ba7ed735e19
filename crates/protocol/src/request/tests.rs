//! What the request parser promises: the same requests however the stream is cut, Redis's errors,
//! every byte counted once, and no memory for mere announcements.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::command::encode_command;
use crate::split::quote;

/// A request's arguments and its length in the stream.
type Parsed = (Vec<Vec<u8>>, usize);

/// Feeds the stream in pieces and collects each request's arguments and stream length.
fn run(stream: &[u8], piece_len: usize, limits: &Limits) -> (Vec<Parsed>, Option<ProtocolError>) {
    let mut parser = RequestParser::new();
    let mut requests = Vec::new();
    for piece in stream.chunks(piece_len.max(1)) {
        let mut piece = piece;
        while !piece.is_empty() {
            let spare = parser.spare();
            let n = spare.len().min(piece.len());
            spare[..n].copy_from_slice(&piece[..n]);
            parser.filled(n);
            piece = &piece[n..];
            loop {
                let is_exhausted = parser.is_exhausted();
                let parsed = parser.parse(limits, 3);
                assert!(!is_exhausted || parsed == Ok(0), "there was more");
                match parsed {
                    Ok(0) => break,
                    Ok(n) => {
                        for i in 0..n {
                            let args = parser.request(i).args();
                            requests.push((
                                args.iter().map(<[u8]>::to_vec).collect(),
                                parser.raw_len(i),
                            ));
                        }
                        parser.consume(n);
                    }
                    Err(error) => return (requests, Some(error)),
                }
            }
        }
    }
    (requests, None)
}

fn error_of(stream: &[u8], limits: &Limits) -> String {
    let (_, whole) = run(stream, stream.len(), limits);
    let (_, bytewise) = run(stream, 1, limits);
    assert_eq!(whole, bytewise);
    whole.map(|error| error.to_string()).unwrap_or_default()
}

#[test]
fn any_cut_of_a_stream_gives_the_same_requests() {
    let big = vec![b'b'; BIG_BULK_LEN + 5000];
    let mut stream = b"\r\n*0\r\n".to_vec();
    let commands: [&[&[u8]]; 5] =
        [&[b"SET", b"key", b"value"], &[b"PING"], &[b"SET", b"", &big], &[b"", b"\r\n"], &[b"X"]];
    for command in commands {
        encode_command(&mut stream, command.iter().copied());
        stream.extend_from_slice(b"*-1\r\n");
        stream.extend_from_slice(b"set \"a b\" 'c'\r\n\n");
    }
    let expected: Vec<Vec<Vec<u8>>> = commands
        .iter()
        .flat_map(|command| {
            let inline = vec![b"set".to_vec(), b"a b".to_vec(), b"c".to_vec()];
            [command.iter().map(|arg| arg.to_vec()).collect(), inline]
        })
        .collect();
    for piece_len in [1, 2, 3, 7, 100, 4096, 16384, 1 << 20] {
        let (requests, error) = run(&stream, piece_len, &Limits::default());
        assert_eq!(error, None);
        // The last "\n" is an empty request that waits for the next one.
        assert_eq!(requests.iter().map(|(_, len)| len).sum::<usize>(), stream.len() - 1);
        assert!(requests.into_iter().map(|(args, _)| args).eq(expected.iter().cloned()));
    }
}

#[test]
fn protocol_errors_have_the_texts_of_redis() {
    let long = vec![b'1'; 70_000];
    let cat = |head: &[u8]| [head, &long].concat();
    let cases: [(&[u8], &str); 18] = [
        (b"*x\r\n", "invalid multibulk length"),
        (b"*\r\n", "invalid multibulk length"),
        (b"*01\r\n", "invalid multibulk length"),
        (b"*2147483648\r\n", "invalid multibulk length"),
        (&cat(b"*"), "too big mbulk count string"),
        (&cat(b"*1\r\n$"), "too big bulk count string"),
        (&cat(b""), "too big inline request"),
        (b"*1\r\nfoo\r\n", "expected '$', got 'f'"),
        (b"*1\r\n\rf", "expected '$', got ' '"),
        (b"*1\r\n\nPING\r\n", "expected '$', got ' '"),
        (b"*1\r\n$-1\r\n", "invalid bulk length"),
        (b"*1\r\n$x\r\n", "invalid bulk length"),
        (b"*1\r\n$536870913\r\n", "invalid bulk length"),
        (b"*1\r\n$9223372036854775808\r\n", "invalid bulk length"),
        (b"set \"\"\"test\"\"\"\r\n", "unbalanced quotes in request"),
        (&[&b"\0"[..], &long, b"\r\n"].concat(), "too big inline request"),
        (&[&b"*\0"[..], &long, b"\r\n"].concat(), "too big mbulk count string"),
        (&[&b"$\0"[..], &long, b"\r\n"].concat(), "too big inline request"),
    ];
    assert_eq!(error_of(b"*1\r\n\0foo\r\n", &Limits::default()), "");
    for (stream, text) in cases {
        let text = format!("Protocol error: {text}");
        assert_eq!(error_of(stream, &Limits::default()), text, "{}", stream.escape_ascii());
    }
}

/// It waited for our answer, and we for the end of its line, until somebody's patience ended.
#[test]
fn a_client_of_tls_is_told_at_once() {
    let greeting = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
    assert_eq!(
        error_of(greeting, &Limits::default()),
        "Protocol error: this port does not speak TLS"
    );
    let (parsed, error) = run(&greeting[..1], 1, &Limits::default());
    assert!(parsed.is_empty() && error.is_none(), "one byte says nothing yet");
}

#[test]
fn an_error_quotes_the_peer_s_byte_as_it_is() {
    assert_eq!(
        ProtocolError::ExpectedDollar(0xff).text(),
        b"Protocol error: expected '$', got '\xff'"
    );
}

#[test]
fn a_client_that_has_not_authenticated_gets_small_requests() {
    let limits = Limits { unauthenticated: true, ..Limits::default() };
    let many = error_of(b"*11\r\n", &limits);
    assert_eq!(many, "Protocol error: unauthenticated multibulk length");
    assert_eq!(error_of(b"*10\r\n", &limits), "");
    let long = error_of(b"*1\r\n$16385\r\n", &limits);
    assert_eq!(long, "Protocol error: unauthenticated bulk length");
    assert_eq!(error_of(b"*1\r\n$16384\r\n", &limits), "");

    // AUTH and a request above the limits in one read: the limit is lifted in between.
    let mut parser = RequestParser::new();
    parser.feed(b"*2\r\n$4\r\nAUTH\r\n$1\r\np\r\n*11\r\n");
    assert_eq!(parser.parse(&limits, 100), Ok(1));
    parser.consume(1);
    assert_eq!(parser.parse(&Limits::default(), 100), Ok(0));
}

#[test]
fn a_master_sends_no_inline_commands_and_what_its_clients_may_send() {
    let limits = Limits::master(1 << 20);
    assert_ne!(error_of(b"PING\r\n", &limits), "");
    assert_eq!(error_of(b"\n\n*1\r\n$4294967295\r\n", &limits), "");
    // A key of 4 GiB ended the process.
    let long = error_of(b"*1\r\n$4294967296\r\n", &limits);
    assert_eq!(long, "Protocol error: invalid bulk length");
    let limits = Limits::master(1 << 40);
    assert_eq!(error_of(b"*1\r\n$4294967296\r\n", &limits), "");
    assert_ne!(error_of(b"*1\r\n$9223372036854775807\r\n", &Limits::master(i64::MAX)), "");
}

#[test]
fn an_error_waits_until_the_requests_before_it_are_consumed_and_then_stays() {
    let mut parser = RequestParser::new();
    parser.feed(b"PING\r\nPING\r\n*x\r\nPING\r\n");
    assert_eq!(parser.parse(&Limits::default(), 100), Ok(2));
    parser.consume(1);
    assert_eq!(parser.parse(&Limits::default(), 100), Ok(1));
    parser.consume(1);
    for _ in 0..2 {
        let error = parser.parse(&Limits::default(), 100);
        assert_eq!(error, Err(ProtocolError::InvalidMultibulkLength));
    }
}

#[test]
fn raw_is_the_request_when_it_is_plain_and_in_one_piece() {
    let plain = b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n";
    // Redis does not look at the bytes where a line end belongs; we must not pass them on.
    let odd =
        [&b"*2\r\n$3\r\nGETxx$1\r\nk\r\n"[..], b"*2\rx$3\r\nGET\r\n$1\r\nk\r\n", b"GET k\r\n"];
    let big = [&b"*2\r\n$3\r\nGET\r\n$40000\r\n"[..], &[b'x'; 40000], b"\r\n"].concat();
    let mut parser = RequestParser::new();
    parser.feed(b"\r\n");
    for bytes in [&plain[..], odd[0], plain, odd[1], odd[2], plain, &big, plain] {
        parser.feed(bytes);
    }
    assert_eq!(parser.parse(&Limits::default(), 100), Ok(8));
    for i in 0..8 {
        let args = parser.request(i).args();
        assert_eq!(&args[0], b"GET");
        let expected = [0, 2, 5, 7].contains(&i).then_some(&plain[..]);
        assert_eq!(args.raw(), expected);
        assert_eq!(args.shared(1).is_some(), i == 6);
    }
    assert_eq!(parser.raw_len(0), plain.len() + 2);
    assert_eq!(parser.raw_len(6), big.len());
}

#[test]
fn an_announced_length_allocates_only_in_proportion_to_what_arrived() {
    let mut parser = RequestParser::new();
    parser.feed(b"*2000000000\r\n$500000000\r\n");
    assert_eq!(parser.parse(&Limits::default(), 1), Ok(0));
    let mut arrived = 0;
    while arrived < 10 << 20 {
        let n = parser.spare().len();
        arrived += n;
        parser.filled(n);
        assert!(parser.capacity() <= 2 * arrived + 128 * 1024, "{arrived}");
    }
}

#[test]
fn a_big_bulk_is_read_into_its_own_exact_buffer() {
    let len = BIG_BULK_LEN * 3 + 1;
    let mut parser = RequestParser::new();
    parser.feed(format!("*1\r\n${len}\r\nab").as_bytes());
    assert_eq!(parser.parse(&Limits::default(), 1), Ok(0));
    let mut arrived = 2;
    while arrived < len {
        let spare = parser.spare();
        assert!(spare.len() <= len - arrived);
        spare.fill(b'c');
        let n = spare.len();
        parser.filled(n);
        arrived += n;
        assert_eq!(parser.parse(&Limits::default(), 1), Ok(0));
    }
    parser.feed(b"\r\n");
    assert_eq!(parser.parse(&Limits::default(), 1), Ok(1));
    let bulk = parser.request(0).args().shared(0).unwrap().clone();
    assert_eq!((bulk.len(), &bulk[..3]), (len, &b"abc"[..]));
    parser.consume(1);
    // The parser lets go of it, so the one who keeps it may change it in place.
    assert_eq!(parser.buffered_len(), 0);
    assert!(bulk.try_into_mut().is_ok());
}

#[test]
fn there_is_always_room_to_read_into() {
    // A reader that fills a big bulk and reads on before it parses must not see an empty buffer:
    // its read would return nothing, which looks like the end of the connection.
    let mut parser = RequestParser::new();
    parser.feed(b"*1\r\n$40000\r\n");
    assert_eq!(parser.parse(&Limits::default(), 1), Ok(0));
    let mut missing = 40000;
    while missing > 0 {
        let room = parser.spare().len();
        assert!(room > 0);
        parser.filled(room.min(missing));
        missing -= room.min(missing);
    }
    assert!(!parser.spare().is_empty());
    parser.feed(b"\r\n");
    assert_eq!(parser.parse(&Limits::default(), 1), Ok(1));
}

#[test]
fn a_peer_that_fills_every_read_is_given_more_room() {
    let mut parser = RequestParser::new();
    let mut rooms = Vec::new();
    for _ in 0..5 {
        let spare = parser.spare();
        spare.fill(b'\n');
        let room = spare.len();
        parser.filled(room);
        rooms.push(room);
        assert_eq!(parser.parse(&Limits::default(), 1), Ok(0));
    }
    assert_eq!(rooms, [READ_LEN, 2 * READ_LEN, READ_LEN_MAX, READ_LEN_MAX, READ_LEN_MAX]);
    parser.shrink();
    assert_eq!(parser.spare().len(), READ_LEN);
}

#[test]
fn a_quiet_connection_gives_its_memory_back() {
    let mut parser = RequestParser::new();
    parser.feed(&b"PING\r\n".repeat(100_000));
    while parser.parse(&Limits::default(), 1000) != Ok(0) {
        parser.consume(parser.queued_len());
    }
    parser.feed(b"*1\r\n$4\r\nPI");
    assert_eq!(parser.parse(&Limits::default(), 1), Ok(0));
    parser.shrink();
    assert!(parser.capacity() < 8 * 1024);
    parser.feed(b"NG\r\n");
    assert_eq!(parser.parse(&Limits::default(), 1), Ok(1));
    assert_eq!(&parser.request(0).args()[0], b"PING");
    parser.consume(1);
    parser.shrink();
    assert_eq!(parser.capacity(), 0);
}

/// How a command is sent, and what empty requests stand before it.
#[derive(Clone, Debug)]
struct Sent {
    args: Vec<Vec<u8>>,
    is_inline: bool,
    before: &'static [u8],
}

fn any_arg() -> impl Strategy<Value = Vec<u8>> {
    let big = BIG_BULK_LEN - 2..3 * BIG_BULK_LEN;
    prop_oneof![
        20 => vec(any::<u8>(), 0..20),
        3 => vec(any::<u8>(), 100..3000),
        1 => (big, any::<u8>()).prop_map(|(len, byte)| vec![byte; len]),
    ]
}

fn any_command() -> impl Strategy<Value = Sent> {
    let before = prop_oneof![
        4 => Just(&b""[..]),
        1 => Just(&b"\r\n"[..]),
        1 => Just(&b"*0\r\n"[..]),
        1 => Just(&b"\n*-1\r\n  \n"[..]),
    ];
    (vec(any_arg(), 1..12), prop::bool::weighted(0.3), before).prop_map(
        |(mut args, is_inline, before)| {
            // A quoted byte takes up to four, and a line must stay below its limit.
            let is_inline = is_inline && args.iter().map(Vec::len).sum::<usize>() < 16_000;
            if is_inline {
                args[0].insert(0, b'x');
            }
            Sent { args, is_inline, before }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn commands_arrive_as_they_were_sent_however_the_stream_is_cut(
        commands in vec(any_command(), 1..12),
        cuts in vec(prop_oneof![1..4usize, 1..100usize, 1..70_000usize], 1..60),
        max_requests in 1..5usize,
    ) {
        let mut stream = Vec::new();
        let mut ends = Vec::new();
        for command in &commands {
            stream.extend_from_slice(command.before);
            if command.is_inline {
                let quoted: Vec<Vec<u8>> = command.args.iter().map(|arg| quote(arg)).collect();
                stream.extend_from_slice(&quoted.join(&b' '));
                stream.extend_from_slice(b"\r\n");
            } else {
                encode_command(&mut stream, command.args.iter().map(Vec::as_slice));
            }
            ends.push(stream.len());
        }

        let mut parser = RequestParser::new();
        let (mut at, mut seen, mut counted) = (0, 0, 0);
        let mut cuts = cuts.into_iter().cycle();
        while at < stream.len() {
            let spare = parser.spare();
            let len = cuts.next().unwrap_or(1).min(spare.len()).min(stream.len() - at);
            spare[..len].copy_from_slice(&stream[at..at + len]);
            parser.filled(len);
            at += len;
            let queued = parser.parse(&Limits::default(), max_requests).unwrap();
            // Only some are taken each time, so that others outlive further reads.
            let taken = if at < stream.len() { queued.div_ceil(2) } else { 0 };
            for i in 0..taken {
                let args = parser.request(i).args();
                prop_assert!(args.iter().eq(commands[seen].args.iter().map(Vec::as_slice)));
                let is_big = |arg: &Vec<u8>| arg.len() >= BIG_BULK_LEN;
                let has_raw = !commands[seen].is_inline && !commands[seen].args.iter().any(is_big);
                prop_assert_eq!(args.raw().is_some(), has_raw);
                counted += parser.raw_len(i);
                prop_assert_eq!(counted, ends[seen]);
                seen += 1;
            }
            parser.consume(taken);
        }
        while parser.parse(&Limits::default(), max_requests) != Ok(0) {
            let kept = crate::args::OwnedArgs::from(parser.request(0).args());
            let expected = commands[seen].args.iter().map(Vec::as_slice);
            prop_assert!(kept.as_args().iter().eq(expected));
            counted += parser.raw_len(0);
            prop_assert_eq!(counted, ends[seen]);
            seen += 1;
            parser.consume(1);
        }
        prop_assert_eq!(seen, commands.len());
        prop_assert_eq!(parser.buffered_len(), 0);
    }
}
