//! HyperLogLogs against a plain array, and against strings that only look like them.

use fastrand::Rng;

use super::*;

const NEVER_DENSE: usize = usize::MAX;

fn with(elements: impl IntoIterator<Item = u64>, sparse_max_bytes: usize) -> Vec<u8> {
    let mut bytes = empty_bytes();
    for element in elements {
        add(&mut bytes, element.to_string().as_bytes(), sparse_max_bytes).unwrap();
    }
    bytes
}

/// A HyperLogLog of another server is of use only if elements have the same hash there.
#[test]
fn hashes_are_those_of_redis() {
    // Out of `PFADD k foo bar zap`, `PFDEBUG DECODE k` of Redis 7.0.
    let mut bytes = empty_bytes();
    for element in ["foo", "bar", "zap"] {
        assert_eq!(add(&mut bytes, element.as_bytes(), 3000), Ok(true));
    }
    let len = |op| match op {
        Op::Zero { len } | Op::XZero { len } | Op::Value { len, .. } => len,
    };
    let mut first = 0;
    let mut set = Vec::new();
    for op in ops(&bytes) {
        if let Op::Value { value, .. } = op {
            set.push((first, value));
        }
        first += len(op);
    }
    assert_eq!(set, FOO_BAR_ZAP);
    assert_eq!(add(&mut bytes, b"foo", 3000), Ok(false));
    assert_eq!(count(&bytes), Ok(3));
}

/// Registers and their values.
const FOO_BAR_ZAP: [(usize, u8); 3] = [(7348, 5), (7869, 2), (10007, 1)];

#[test]
fn both_forms_hold_the_registers_of_a_plain_array() {
    for (seed, sparse_max_bytes) in [(1, 0), (2, 100), (3, 3000), (4, NEVER_DENSE)] {
        let mut rng = Rng::with_seed(seed);
        let mut bytes = empty_bytes();
        let mut plain = vec![0; REGISTERS];
        for step in 0..5_000 {
            let element = rng.u64(..).to_le_bytes();
            let (index, run) = place_of(&element);
            let raised = run > plain[index];
            plain[index] = run.max(plain[index]);
            assert_eq!(add(&mut bytes, &element, sparse_max_bytes), Ok(raised));
            assert!(!is_sparse(&bytes) || bytes.len() <= sparse_max_bytes.max(18));
            if step % 500 == 0 {
                assert!(is_hll(&bytes));
                assert_eq!(Registers::of(&bytes).unwrap().values(), plain);
            }
        }
        assert_eq!(is_sparse(&bytes), sparse_max_bytes == NEVER_DENSE);
        let before = count(&bytes);
        make_dense(&mut bytes).unwrap();
        assert_eq!(Registers::of(&bytes).unwrap().values(), plain);
        assert_eq!(count(&bytes), before);
    }
}

/// Values that few hashes have are sparse as well, and joined where they are neighbours.
#[test]
fn any_value_of_a_register_can_be_set() {
    let mut rng = Rng::with_seed(5);
    let mut bytes = empty_bytes();
    let mut plain = vec![0; REGISTERS];
    for _ in 0..20_000 {
        let (index, run) = (rng.usize(..200), rng.u8(1..=32));
        let raised = sparse::raise(&mut bytes, index, run, NEVER_DENSE).unwrap();
        assert_eq!(raised, run > plain[index]);
        plain[index] = run.max(plain[index]);
    }
    assert_eq!(Registers::of(&bytes).unwrap().values(), plain);
    assert!(bytes.len() < HEAD + 200, "nothing was joined: {} bytes", bytes.len());
    sparse::raise(&mut bytes, 16_383, 33, NEVER_DENSE).unwrap();
    assert!(!is_sparse(&bytes));
    plain[16_383] = 33;
    assert_eq!(Registers::of(&bytes).unwrap().values(), plain);
}

#[test]
fn a_union_counts_what_either_has() {
    let (a, b) = (with(0..3000, 3000), with(2000..2100, 3000));
    assert!(!is_sparse(&a) && is_sparse(&b));
    let mut union = Registers::of(&a).unwrap();
    union.merge(&b).unwrap();
    assert_eq!(union.count(), count(&a).unwrap());
    for sparse_max_bytes in [0, 3000, NEVER_DENSE] {
        let mut stored = b.clone();
        union.store_in(&mut stored, sparse_max_bytes).unwrap();
        assert_eq!(Registers::of(&stored).unwrap().values(), union.values());
    }
}

#[test]
fn a_count_is_kept_until_the_next_change() {
    let mut bytes = empty_bytes();
    assert_eq!(cached_count(&bytes), Some(0));
    add(&mut bytes, b"a", 3000).unwrap();
    assert_eq!(cached_count(&bytes), None);
    set_count(&mut bytes, 1);
    assert_eq!(cached_count(&bytes), Some(1));
    add(&mut bytes, b"a", 3000).unwrap();
    assert_eq!(cached_count(&bytes), Some(1));
}

#[test]
fn heads_that_are_not_ours_are_refused() {
    let sparse = empty_bytes();
    let mut dense = sparse.clone();
    make_dense(&mut dense).unwrap();
    assert!(is_hll(&sparse) && is_hll(&dense) && is_hll(&sparse[..HEAD]));
    let mut other = sparse.clone();
    other[4] = 2;
    let longer = [&dense[..], b"x"].concat();
    for bytes in [b"".as_slice(), &sparse[..15], &dense[..100], &longer, &other, &[b'x'; 40]] {
        assert!(!is_hll(bytes), "{} bytes", bytes.len());
    }
    // A head alone is one of no registers, which is too few.
    let mut short = sparse[..HEAD].to_vec();
    assert_eq!(count(&short), Err(Corrupted));
    assert_eq!(add(&mut short, b"a", 3000), Err(Corrupted));
    assert_eq!(make_dense(&mut short), Err(Corrupted));
}

/// Anybody can SET, or send in a snapshot, whatever has the head of a HyperLogLog.
#[test]
fn a_hundred_thousand_spoilt_strings_end_in_counts_or_errors() {
    let mut rng = Rng::with_seed(6);
    let mut dense = with(0..5, 0);
    make_dense(&mut dense).unwrap();
    let sound = [empty_bytes(), with(0..20, 3000), with(0..600, 3000), dense];
    let (mut counted, mut refused) = (0, 0);
    for _ in 0..100_000 {
        let mut bytes = rng.choice(&sound).unwrap().clone();
        for _ in 0..rng.usize(1..6) {
            let at = rng.usize(HEAD..bytes.len());
            match rng.u8(..4) {
                0 => bytes[at] = rng.u8(..),
                1 => bytes[at] ^= 1 << rng.u8(..8),
                2 if is_sparse(&bytes) && bytes.len() > HEAD + 1 => {
                    bytes.truncate(at.max(HEAD + 1))
                }
                _ if is_sparse(&bytes) => bytes.insert(at, rng.u8(..)),
                _ => {}
            }
        }
        assert!(is_hll(&bytes));
        let result = count(&bytes);
        match result {
            Ok(_) => counted += 1,
            Err(Corrupted) => refused += 1,
        }
        assert_eq!(Registers::of(&bytes).map(|registers| registers.count()), result);
        assert!(ops(&bytes).count() <= bytes.len());
        let before = bytes.clone();
        if add(&mut bytes, &rng.u64(..).to_le_bytes(), rng.usize(..4000)).is_err() {
            assert_eq!(bytes, before, "what fails changes nothing");
        }
        assert!(is_hll(&bytes) && bytes.len() <= DENSE_BYTES.max(before.len() + 3));
        let was_dense = !is_sparse(&bytes);
        assert_eq!(make_dense(&mut bytes).is_ok(), was_dense || result.is_ok());
    }
    assert!(counted > 10_000 && refused > 10_000, "{counted} counted, {refused} refused");
}

#[test]
fn the_self_test_finds_nothing() {
    assert_eq!(self_test(&mut Rng::with_seed(7), 3000), Ok(()));
}
