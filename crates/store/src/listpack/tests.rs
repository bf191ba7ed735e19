//! Listpacks against plain vectors, against the format's bytes, and against hostile ones.

use proptest::prelude::*;

use super::check::validate;
use super::*;

fn of(texts: &[&[u8]]) -> Listpack {
    let mut listpack = Listpack::new();
    for text in texts {
        listpack.push_back(text);
    }
    listpack
}

fn texts(listpack: &Listpack) -> Vec<Vec<u8>> {
    listpack.iter().map(|item| item.to_vec()).collect()
}

#[test]
fn the_bytes_are_those_of_the_format() {
    assert_eq!(Listpack::new().as_bytes(), b"\x07\0\0\0\0\0\xff");
    let long = [b'x'; 70];
    let listpack = of(&[b"1", b"-1", b"a", b"1000000", &long]);
    let mut expected =
        b"\x5f\0\0\0\x05\0\x01\x01\xdf\xff\x02\x81a\x02\xf2\x40\x42\x0f\x04".to_vec();
    expected.extend(b"\xe0\x46");
    expected.extend(long);
    expected.extend(b"\x48\xff");
    expected[0] = expected.len() as u8;
    assert_eq!(listpack.as_bytes(), expected);
}

#[test]
fn every_width_survives() {
    let mut model: Vec<Vec<u8>> = Vec::new();
    for bits in 0..64 {
        let power = 1i64.wrapping_shl(bits);
        for n in [
            power,
            power.wrapping_sub(1),
            power.wrapping_neg(),
            power.wrapping_neg().wrapping_sub(1),
        ] {
            model.push(n.to_string().into_bytes());
        }
    }
    for len in [
        0, 1, 62, 63, 64, 65, 124, 125, 126, 127, 128, 4094, 4095, 4096, 16377, 16378, 16379,
        70_000, 2_097_146,
    ] {
        model.push(vec![b'x'; len]);
    }
    let mut listpack = Listpack::new();
    model.iter().for_each(|text| listpack.push_back(text));
    assert_eq!(texts(&listpack), model);
    let mut backwards: Vec<_> = listpack.iter().rev().map(|item| item.to_vec()).collect();
    backwards.reverse();
    assert_eq!(backwards, model);
    assert_eq!(Listpack::from_bytes(listpack.as_bytes()).unwrap().as_bytes(), listpack.as_bytes());
}

#[test]
fn the_count_is_walked_when_the_header_cannot_say_it() {
    let mut listpack = Listpack::new();
    for _ in 0..70_000 {
        listpack.push_back(b"1");
    }
    assert_eq!(listpack.len(), 70_000);
    let tail = listpack.split_off(listpack.seek(66_000).unwrap(), 66_000);
    assert_eq!((listpack.len(), tail.len()), (66_000, 4_000));
    assert_eq!(tail.header_count(), 4_000);
    assert_eq!(listpack.seek(65_999).map(|pos| listpack.at(pos)), Some(Item::Int(1)));
    assert_eq!(listpack.seek(66_000), None);
}

#[test]
fn index_of_undoes_seek() {
    let listpack = of(&[b"f", b"1000", &[b'x'; 300], b"", b"v"]);
    for index in 0..5 {
        assert_eq!(listpack.index_of(listpack.seek(index).unwrap()), index);
    }
}

#[test]
fn find_compares_integers_as_integers() {
    let listpack = of(&[b"f", b"10", b"10", b"v"]);
    let first = listpack.first().unwrap();
    assert_eq!(listpack.find(first, b"10", 0), listpack.seek(1));
    assert_eq!(listpack.find(first, b"10", 1), listpack.seek(2));
    assert_eq!(listpack.find(first, b"010", 0), None);
    assert_eq!(listpack.find(first, b"v", 1), None);
}

#[test]
fn elements_of_foreign_encoding_are_found() {
    // 5 as a 64-bit integer, "7" as text, "a" with a 32-bit length.
    let bytes = b"\x1d\0\0\0\x03\0\xf4\x05\0\0\0\0\0\0\0\x09\x817\x02\xf0\x01\0\0\0a\x06\xff";
    let mut bytes = bytes.to_vec();
    bytes[0] = bytes.len() as u8;
    let listpack = Listpack::from_bytes(&bytes).unwrap();
    for (index, text) in [b"5", b"7", b"a"].into_iter().enumerate() {
        let found = listpack.find(listpack.first().unwrap(), text, 0);
        assert_eq!(found, listpack.seek(index));
    }
    assert_eq!(listpack.as_bytes(), of(&[b"5", b"7", b"a"]).as_bytes());
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        3 => any::<i64>().prop_map(|n| n.to_string().into_bytes()),
        3 => (-5000i64..5000).prop_map(|n| n.to_string().into_bytes()),
        4 => prop::collection::vec(any::<u8>(), 0..80),
        1 => prop::collection::vec(any::<u8>(), 4000..5000),
    ]
}

#[derive(Clone, Debug)]
enum Edit {
    PushFront(Vec<u8>),
    PushBack(Vec<u8>),
    Insert(prop::sample::Index, Vec<u8>),
    Replace(prop::sample::Index, Vec<u8>),
    Remove(prop::sample::Index, usize),
    Split(prop::sample::Index),
}

fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        text().prop_map(Edit::PushFront),
        text().prop_map(Edit::PushBack),
        (any::<prop::sample::Index>(), text()).prop_map(|(at, text)| Edit::Insert(at, text)),
        (any::<prop::sample::Index>(), text()).prop_map(|(at, text)| Edit::Replace(at, text)),
        (any::<prop::sample::Index>(), 1usize..4).prop_map(|(at, n)| Edit::Remove(at, n)),
        any::<prop::sample::Index>().prop_map(Edit::Split),
    ]
}

fn apply(listpack: &mut Listpack, model: &mut Vec<Vec<u8>>, edit: Edit) {
    let place = |at: prop::sample::Index, listpack: &Listpack| {
        let index = at.index(listpack.len());
        (index, listpack.seek(index).unwrap())
    };
    match edit {
        Edit::PushFront(text) => {
            listpack.push_front(&text);
            model.insert(0, text);
        }
        Edit::PushBack(text) => {
            listpack.push_back(&text);
            model.push(text);
        }
        _ if model.is_empty() => {}
        Edit::Insert(at, text) => {
            let (index, pos) = place(at, listpack);
            listpack.insert_before(pos, &text);
            model.insert(index, text);
        }
        Edit::Replace(at, text) => {
            let (index, pos) = place(at, listpack);
            listpack.replace(pos, &text);
            model[index] = text;
        }
        Edit::Remove(at, n) => {
            let (index, pos) = place(at, listpack);
            listpack.remove_n(pos, n);
            model.drain(index..(index + n).min(model.len()));
        }
        Edit::Split(at) => {
            let (index, pos) = place(at, listpack);
            let tail = listpack.split_off(pos, index);
            let mut rotated = tail;
            rotated.append(listpack);
            *listpack = rotated;
            model.rotate_left(index);
        }
    }
}

#[test]
fn a_duplicate_is_found_at_every_size_and_distance() {
    for len in [2usize, 3, 16, 17, 33, 64, 65, 512, 513, 700] {
        for (a, b) in [(0, len - 1), (len / 2 - 1, len / 2), (len - 2, len - 1)] {
            let mut texts: Vec<String> = (0..len).map(|i| format!("member {i}")).collect();
            let distinct = of(&texts.iter().map(|t| t.as_bytes()).collect::<Vec<_>>());
            assert!(!has_duplicates(&distinct, 0), "{len}");
            texts[a] = texts[b].clone();
            let doubled = of(&texts.iter().map(|t| t.as_bytes()).collect::<Vec<_>>());
            assert!(has_duplicates(&doubled, 0), "{len} {a} {b}");
        }
    }
    let same_number = [Item::Int(12), Item::Bytes(b"12")];
    let mut listpack = Listpack::new();
    listpack.push_back_items(&same_number);
    assert!(has_duplicates(&listpack, 0), "an integer kept as text is the same member");
}

proptest! {
    #[test]
    fn edits_agree_with_a_vec(edits in prop::collection::vec(edit(), 0..60)) {
        let (mut listpack, mut model) = (Listpack::new(), Vec::new());
        for edit in edits {
            apply(&mut listpack, &mut model, edit);
            prop_assert_eq!(validate(listpack.as_bytes()), Ok(true));
            prop_assert_eq!(listpack.len(), model.len());
        }
        prop_assert_eq!(texts(&listpack), model);
    }

    /// Files and peers send anything: bytes are refused, or they are safe to use.
    #[test]
    fn mutated_bytes_are_refused_or_safe(
        elements in prop::collection::vec(text(), 0..12),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut listpack = Listpack::new();
        elements.iter().for_each(|text| listpack.push_back(text));
        let mut bytes = listpack.as_bytes().to_vec();
        for (at, byte) in flips {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let kept = bytes.len() - cut.index(bytes.len()) / 8;
        for bytes in [&bytes[..], &bytes[..kept]] {
            if let Ok(listpack) = Listpack::from_bytes(bytes) {
                let forward = listpack.iter().count();
                prop_assert_eq!(forward, listpack.iter().rev().count());
            }
        }
    }

    #[test]
    fn random_bytes_never_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        if bytes.len() >= EMPTY_BYTES {
            let (len, end) = (bytes.len(), bytes.len() - 1);
            bytes[..4].copy_from_slice(&(len as u32).to_le_bytes());
            bytes[4..6].fill(0xFF);
            bytes[end] = END;
        }
        if let Ok(listpack) = Listpack::from_bytes(&bytes) {
            prop_assert_eq!(listpack.iter().count(), listpack.iter().rev().count());
        }
    }
}
