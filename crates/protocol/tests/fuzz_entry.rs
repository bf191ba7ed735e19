//! What the `resp` fuzz target does with its bytes, and a replay of its corpus. The target includes
//! this file, so that a finding becomes a regression test by adding its file to the corpus.

use protocol::{Limits, ProtocolError, ReplyParser, RequestParser, Value};
use protocol::{link, number, quote, split_args};

/// What a stream of requests comes to.
#[derive(Debug, PartialEq)]
struct Outcome {
    requests: Vec<(Vec<Vec<u8>>, usize)>,
    error: Option<ProtocolError>,
}

/// The entry of the fuzz target: the first bytes choose limits and cuts, the rest is the stream.
/// Panics when a promise of the crate is broken.
pub fn resp(data: &[u8]) {
    let [options, seed, stream @ ..] = data else { return };
    let limits = Limits {
        max_bulk_len: if options & 1 == 0 { 512 << 20 } else { 100_000 },
        unauthenticated: options & 2 != 0,
        from_master: options & 4 != 0,
    };
    let whole = requests(stream, &limits, std::iter::repeat(usize::MAX));
    let cut = requests(stream, &limits, cuts(*seed));
    assert_eq!(whole, cut, "the outcome depends on how the stream is cut");

    let whole = replies(stream, std::iter::repeat(usize::MAX));
    let cut = replies(stream, cuts(seed.wrapping_add(1)));
    // Compared as text: NaN is not equal to itself.
    assert_eq!(format!("{whole:?}"), format!("{cut:?}"));

    words(stream);
}

/// A repeatable sequence of piece lengths, small ones among large ones.
fn cuts(seed: u8) -> impl Iterator<Item = usize> {
    let mut state = u32::from(seed) | 1;
    std::iter::repeat_with(move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        match state >> 30 {
            0 => 1,
            1 => 1 + (state >> 20) as usize % 4,
            2 => 1 + (state >> 16) as usize % 100,
            _ => 1 + (state >> 8) as usize % 40_000,
        }
    })
}

fn requests(stream: &[u8], limits: &Limits, mut cuts: impl Iterator<Item = usize>) -> Outcome {
    let mut parser = RequestParser::new();
    let mut outcome = Outcome { requests: Vec::new(), error: None };
    let mut rest = stream;
    let mut counted = 0;
    while !rest.is_empty() && outcome.error.is_none() {
        let spare = parser.spare();
        let len = cuts.next().unwrap_or(1).min(spare.len()).min(rest.len());
        assert!(len > 0, "no room to read into");
        spare[..len].copy_from_slice(&rest[..len]);
        parser.filled(len);
        rest = &rest[len..];
        // An inline argument of one byte costs a span, and buffers double.
        let arrived = stream.len() - rest.len();
        assert!(parser.capacity() <= 64 * arrived + 256 * 1024, "outsized allocation");
        // Some requests outlive the next read; none the last.
        let lingers = cuts.next().unwrap_or(1) % 2 == 1 && !rest.is_empty();
        loop {
            match parser.parse(limits, 16) {
                Ok(0) => break,
                Ok(count) => {
                    let taken = count.div_ceil(2);
                    for i in 0..taken {
                        let request = parser.request(i);
                        let args = request.args();
                        assert!(!args.is_empty() && request.raw_len() == parser.raw_len(i));
                        counted += request.raw_len();
                        assert!(counted <= arrived, "a byte counts twice");
                        if let Some(raw) = args.raw() {
                            check_raw(raw, &stream[..counted]);
                        }
                        let args = args.iter().map(<[u8]>::to_vec).collect();
                        outcome.requests.push((args, request.raw_len()));
                    }
                    parser.consume(taken);
                    if lingers && count > 1 {
                        break;
                    }
                }
                Err(error) => {
                    assert_eq!(parser.parse(limits, 1), Err(error), "the error does not stick");
                    outcome.error = Some(error);
                    break;
                }
            }
        }
        if arrived.is_multiple_of(7) {
            parser.shrink();
        }
    }
    outcome
}

/// Raw bytes are those of the stream, which shows that every byte before them was counted once,
/// and are just what encoding the arguments again gives.
fn check_raw(raw: &[u8], stream: &[u8]) {
    assert!(stream.ends_with(raw));
    let mut again = RequestParser::new();
    again.feed(raw);
    assert_eq!(again.parse(&Limits::master(0), 2), Ok(1));
    let mut encoded = Vec::new();
    protocol::encode_command(&mut encoded, again.request(0).args());
    assert_eq!(raw, encoded);
}

fn replies(stream: &[u8], mut cuts: impl Iterator<Item = usize>) -> (Vec<Value>, Option<u64>) {
    let mut parser = ReplyParser::new();
    let mut values = Vec::new();
    let mut rest = stream;
    while !rest.is_empty() {
        let len = cuts.next().unwrap_or(1).min(rest.len());
        parser.feed(&rest[..len]);
        rest = &rest[len..];
        loop {
            match parser.next_value() {
                Ok(Some(value)) => values.push(value),
                Ok(None) => break,
                Err(error) => return (values, Some(error.offset)),
            }
        }
    }
    (values, None)
}

/// The small parsers: they hold on any bytes, and what they accept they print back.
fn words(text: &[u8]) {
    if let Some(words) = split_args(text) {
        let quoted: Vec<Vec<u8>> = words.iter().map(|word| quote(word)).collect();
        assert_eq!(split_args(&quoted.join(&b' ')), Some(words));
    }
    if let Some(value) = number::parse_i64(text) {
        assert_eq!(value.to_string().as_bytes(), text);
    }
    if let Some(value) = number::parse_f64(text) {
        let again = number::parse_f64(number::format_f64(value).as_bytes());
        assert_eq!(again.map(f64::to_bits), Some(value.to_bits()));
    }
    if let Some(value) = number::LongDouble::parse(text) {
        assert!(!value.to_human().is_empty());
    }
    if let Ok(Some((line, _))) = link::take_line(text) {
        let _ = link::parse_psync_reply(line);
        let _ = link::parse_snapshot_header(line);
    }
    assert!(protocol::key_slot(text) < protocol::slot::SLOTS);
}

#[cfg(test)]
mod tests {
    /// Every input that ever taught us something keeps its promises.
    #[test]
    #[allow(clippy::disallowed_methods, reason = "a test reads its corpus")]
    fn the_corpus_of_the_fuzz_target_passes() {
        let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/resp");
        let mut count = 0;
        for entry in std::fs::read_dir(corpus).expect("the corpus is checked in") {
            let data = std::fs::read(entry.expect("a directory entry").path()).expect("a file");
            super::resp(&data);
            count += 1;
        }
        assert!(count >= 20, "only {count} files in the corpus");
    }
}
