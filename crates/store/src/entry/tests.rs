//! Entries on their own: what fits where, what stays in place, what is kept through changes.

use super::*;
use crate::hash::Hash;

const EXPIRE_MS: i64 = 1_700_000_000_000;

// Either side of each bound of the layout; under Miri, which is slow, only the small ones.
const KEY_LENS: &[usize] = if cfg!(miri) {
    &[0, 16, 252, 253]
} else {
    &[0, 1, 15, 16, 250, 252, 253, 254, 255, 256, 1000, 1024, 65_535, 65_536]
};
const VALUE_LENS: &[usize] = if cfg!(miri) {
    &[1, 44, 45, 771, 1008]
} else {
    &[1, 2, 32, 44, 45, 255, 256, 770, 771, 772, 1008, 1023, 1024, 1025, 40_000]
};

fn text(entry: &Entry) -> Vec<u8> {
    match entry.value() {
        ValueRef::Int(number) => number.to_string().into_bytes(),
        ValueRef::Str(text) => text.to_vec(),
        ValueRef::SharedStr(text) => text.to_vec(),
        other => panic!("not a string: {other:?}"),
    }
}

/// The headline figure: a key of 16 and a value of 32 bytes.
#[test]
fn key_of_16_and_value_of_32_take_56_bytes() {
    for (expire_ms, bytes) in [(None, 56), (Some(EXPIRE_MS), 64)] {
        let entry = Entry::new(&[b'k'; 16], &[b'v'; 32], expire_ms);
        assert_eq!(entry.allocated_bytes(), bytes);
        let entry = Entry::new(&[b'k'; 16], 1 << 40, expire_ms);
        assert!(entry.allocated_bytes() <= 48);
        let entry = Entry::new(&[b'k'; 16], Value::Hash(Hash::new()), expire_ms);
        assert!(entry.allocated_bytes() <= 64);
    }
    assert_eq!(Entry::new(b"", b"", None).allocated_bytes(), 8);
}

#[test]
fn every_shape_reads_back_what_was_written() {
    for &key_len in KEY_LENS {
        let key: Vec<u8> = (0..key_len).map(|i| i as u8).collect();
        for &value_len in VALUE_LENS {
            for expire_ms in [None, Some(0), Some(i64::MIN), Some(EXPIRE_MS)] {
                let value: Vec<u8> = (0..value_len).map(|i| i as u8 | 0x80).collect();
                let entry = Entry::new(&key, &value[..], expire_ms);
                entry.touch(0xabcdef);
                assert_eq!(entry.key(), key);
                assert_eq!(text(&entry), value);
                assert_eq!(entry.expire_ms(), expire_ms);
                assert_eq!(entry.clock(), 0xabcdef);
                let encoding = if value_len <= 44 { Encoding::Embstr } else { Encoding::Raw };
                assert_eq!(entry.encoding(), encoding);
            }
        }
    }
}

#[test]
fn integers_are_kept_as_integers() {
    for number in [0, -1, 7, i64::MIN, i64::MAX] {
        let entry = Entry::new(b"n", number.to_string().as_bytes(), None);
        assert_eq!(entry.int(), Some(number));
        assert_eq!(entry.encoding(), Encoding::Int);
        let entry = Entry::new(b"n", Value::Str(Str::Int(number)), None);
        assert_eq!(entry.int(), Some(number));
    }
    assert_eq!(Entry::new(b"n", b"007", None).int(), None);
    assert_eq!(Entry::new(b"n", b"9223372036854775808", None).int(), None);
}

/// INCR must not allocate, whatever was there before it within a class or three.
#[test]
fn counters_and_texts_of_like_size_are_overwritten_in_place() {
    let mut entry = Entry::new(&[b'k'; 16], &[b'v'; 32], Some(EXPIRE_MS));
    let base = entry.base();
    for value in [&b"1"[..], b"", b"2", b"a text", &[b'w'; 32], b"-5", &[b'x'; 31]] {
        entry.replace(value.into(), Some(EXPIRE_MS));
        assert_eq!((entry.base(), entry.allocated_bytes()), (base, 64));
        assert_eq!(text(&entry), value);
        entry.replace(NewValue::Int(77), None);
        assert_eq!((entry.base(), entry.int(), entry.expire_ms()), (base, Some(77), None));
    }
    entry.replace((&[b'x'; 100]).into(), None);
    assert_eq!(entry.allocated_bytes(), 128);
    entry.replace(b"".into(), None);
    assert_eq!(entry.allocated_bytes(), 24, "shrinking far gives memory back");
    assert_eq!(entry.key(), [b'k'; 16]);
}

#[test]
fn a_string_grows_in_its_entry_and_then_out_of_it() {
    let mut entry = Entry::new(b"key", 12, Some(5));
    let mut expected = b"12".to_vec();
    for i in 0..if cfg!(miri) { 400 } else { 3000u32 } {
        let tail = i.to_string();
        expected.extend_from_slice(tail.as_bytes());
        assert_eq!(entry.append(tail.as_bytes()), expected.len());
        assert_eq!(entry.encoding(), Encoding::Raw);
        if i % 50 == 0 || i < 300 {
            assert_eq!(text(&entry), expected);
        }
    }
    assert_eq!((entry.key(), entry.expire_ms()), (&b"key"[..], Some(5)));
    // Set anew, it is what SET makes of it.
    entry.replace(b"short".into(), None);
    assert_eq!(entry.encoding(), Encoding::Embstr);
    entry.text_mut(7)[6] = b'!';
    assert_eq!(text(&entry), b"short\0!");
    entry.text_mut(2000)[1999] = b'?';
    assert_eq!((text(&entry).len(), text(&entry)[1999]), (2000, b'?'));
}

/// A long key leaves no room for any text, even where the number was.
#[test]
fn appending_to_a_number_under_a_long_key() {
    let key = [b'k'; 1023];
    let mut entry = Entry::new(&key, 42, None);
    assert_eq!(entry.append(b"!"), 3);
    assert_eq!((entry.key(), text(&entry)), (&key[..], b"42!".to_vec()));
    assert_eq!(entry.encoding(), Encoding::Raw);
}

#[test]
fn expiries_come_and_go_and_leave_the_rest_alone() {
    let long = [b'l'; 2000];
    let values: [&[u8]; 5] = [b"7", b"text", &[b'v'; 32], &[b'v'; 40], &long];
    for key_len in [1, 16, 20, 252, 253, 1000] {
        let key = vec![b'k'; key_len];
        for value in values {
            let mut entry = Entry::new(&key, value, None);
            for expire_ms in [None, Some(1), Some(2), None, None, Some(-3), None] {
                entry.set_expire_ms(expire_ms);
                assert_eq!((entry.key(), entry.expire_ms()), (&key[..], expire_ms));
                assert_eq!(text(&entry), value);
            }
        }
    }
}

#[test]
fn renaming_moves_the_value() {
    let entry = Entry::new(b"from", Value::Hash(Hash::new()), Some(9));
    entry.touch(3);
    let entry = entry.with_key(b"a much longer name to go to");
    assert_eq!(entry.key(), b"a much longer name to go to");
    assert_eq!((entry.expire_ms(), entry.clock()), (Some(9), 3));
    assert!(matches!(entry.value(), ValueRef::Hash(_)));
    let mut entry = Entry::new(b"k", &[b'v'; 1000], None);
    entry.append(b"!");
    let entry = entry.with_key(&[b'K'; 100]);
    assert_eq!((text(&entry).len(), entry.encoding()), (1001, Encoding::Raw));
    let entry = entry.with_key(b"k");
    assert_eq!((text(&entry).len(), entry.key()), (1001, &b"k"[..]));
}

#[test]
fn what_was_there_is_returned_when_it_had_its_own_memory() {
    let mut entry = Entry::new(b"k", Value::Hash(Hash::new()), None);
    assert!(matches!(entry.replace(b"text".into(), None), Some(Value::Hash(_))));
    assert!(entry.replace(NewValue::Value(Value::Hash(Hash::new())), Some(1)).is_none());
    assert!(matches!(entry.value_mut(), ValueMut::Hash));
    let big = Bytes::from(vec![b'b'; 40_000]);
    let address = big.as_ptr();
    assert!(entry.replace(NewValue::Shared(big), None).is_some());
    let ValueRef::SharedStr(shared) = entry.value() else { panic!("kept as it came") };
    assert_eq!(shared.as_ptr(), address);
    entry.text_mut(0)[0] = b'c';
    assert!(matches!(entry.value(), ValueRef::Str([b'c', b'b', ..])));
    assert!(matches!(entry.replace(NewValue::Int(1), None), Some(Value::Str(Str::Owned(_)))));
}
