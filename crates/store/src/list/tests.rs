//! Lists against a plain vector, with limits that make them convert anywhere.

use proptest::prelude::*;

use super::*;
use crate::relocate::Shaky;

fn limits(size: i32) -> Limits {
    Limits { list_max_listpack_size: size, ..Limits::default() }
}

fn texts(list: &List) -> Vec<Vec<u8>> {
    list.iter().map(|item| item.to_vec()).collect()
}

#[test]
fn a_list_converts_at_the_limit_and_back_at_half_of_it() {
    let limits = limits(4);
    let mut list = List::new();
    list.extend(End::Tail, [&b"a"[..], b"b", b"c", b"d"].into_iter(), &limits);
    assert_eq!(list.encoding(), Encoding::Listpack);
    list.push(End::Head, b"e", &limits);
    assert_eq!(list.encoding(), Encoding::Quicklist);
    assert_eq!(list.nodes_len(), 2);
    let popped = |list: &mut List| list.pop(End::Head, &limits, |item| item.to_vec());
    assert_eq!(popped(&mut list), Some(b"e".to_vec()));
    popped(&mut list);
    assert_eq!(list.encoding(), Encoding::Quicklist);
    popped(&mut list);
    assert_eq!(list.encoding(), Encoding::Listpack);
    assert_eq!(texts(&list), [b"c", b"d"]);
}

#[test]
fn an_element_larger_than_a_node_gets_its_own() {
    let limits = limits(-1);
    let mut list = List::new();
    let large = vec![b'x'; 5000];
    list.push(End::Tail, b"a", &limits);
    list.push(End::Tail, &large, &limits);
    list.push(End::Tail, b"b", &limits);
    let plain: Vec<_> = list.nodes().map(|node| matches!(node, NodeRef::Plain(_))).collect();
    assert_eq!(plain, [false, true, false]);
    assert_eq!(list.remove_equal(End::Tail, 9, &large, &limits), 1);
    assert_eq!(texts(&list), [b"a", b"b"]);
}

#[test]
fn a_list_that_was_long_gives_its_room_back() {
    let limits = limits(2);
    let mut list = List::new();
    for n in 0..20_000 {
        list.push(End::Tail, n.to_string().as_bytes(), &limits);
    }
    let full = list.memory_usage(1);
    for _ in 0..19_980 {
        list.pop(End::Head, &limits, |_| ());
    }
    assert_eq!(list.encoding(), Encoding::Quicklist);
    assert!(list.memory_usage(1) < full / 100);
}

/// The bytes of the nodes.
fn node_bytes(list: &List) -> Vec<usize> {
    list.nodes()
        .map(|node| match node {
            NodeRef::Packed(entries) => entries.byte_len(),
            NodeRef::Plain(text) => text.len(),
        })
        .collect()
}

#[test]
fn a_list_that_grows_at_its_head_has_a_small_node_there_and_full_ones_behind_it() {
    let limits = limits(-2);
    for text in [&b"0123456789"[..], &[b'x'; 300], &[b'x'; 1500]] {
        let (mut list, rounds) = (List::new(), 300_000 / text.len());
        for n in 0..rounds {
            list.push(End::Head, text, &limits);
            // The last node was full before there was another.
            let nodes = node_bytes(&list);
            assert!(n < 20_000 / text.len() || nodes[0] <= 1024.max(text.len() + 20));
        }
        let full = 8192 - text.len() - 20;
        let nodes = node_bytes(&list);
        assert!(nodes[2..].iter().all(|bytes| (full..=8192).contains(bytes)), "{nodes:?}");
        while list.encoding() == Encoding::Quicklist {
            let before = node_bytes(&list)[0];
            list.pop(End::Head, &limits, |_| ());
            // Either nothing but the element has gone from a small node, or a large one was cut.
            assert!(before <= 2048 || node_bytes(&list)[0] != before - text.len() - 2);
        }
        assert!(list.len() > 1);
    }
}

#[test]
fn a_small_node_at_the_head_does_not_keep_a_short_list_from_being_a_listpack() {
    let limits = limits(-2);
    // Twelve bytes an element: half a node from the head, what is not in the last node from the tail.
    for (end, left) in [(End::Head, (4096 - 7) / 12), (End::Tail, 900 - (8192 - 7) / 12)] {
        let mut list = List::new();
        (0..900).for_each(|_| list.push(End::Head, b"0123456789", &limits));
        assert_eq!(list.encoding(), Encoding::Quicklist);
        while list.encoding() == Encoding::Quicklist {
            list.pop(end, &limits, |_| ());
        }
        assert_eq!(list.len(), left);
    }
    let mut list = List::new();
    (0..690).for_each(|_| list.push(End::Head, b"0123456789", &limits));
    for _ in 0..8 {
        list.pop(End::Head, &limits, |_| ());
    }
    assert_eq!(list.encoding(), Encoding::Quicklist);
    assert_eq!(rebuilt(&list, &limits).encoding(), Encoding::Listpack);
}

#[derive(Clone, Debug)]
enum Edit {
    Push(bool, Vec<Vec<u8>>),
    Pop(bool),
    Set(prop::sample::Index, Vec<u8>),
    Insert(prop::sample::Index, bool, Vec<u8>),
    RemoveEqual(bool, usize, prop::sample::Index),
    RemoveRange(prop::sample::Index, usize),
    Trim(prop::sample::Index, usize),
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => (0i64..30).prop_map(|n| n.to_string().into_bytes()),
        8 => prop::collection::vec(any::<u8>(), 0..40),
        2 => prop::collection::vec(any::<u8>(), 900..1500),
        1 => prop::collection::vec(any::<u8>(), 4000..9000),
    ]
}

fn edit() -> impl Strategy<Value = Edit> {
    use prop::sample::Index;
    prop_oneof![
        4 => (any::<bool>(), prop::collection::vec(text(), 1..20)).prop_map(|(e, t)| Edit::Push(e, t)),
        2 => any::<bool>().prop_map(Edit::Pop),
        2 => (any::<Index>(), text()).prop_map(|(i, t)| Edit::Set(i, t)),
        4 => (any::<Index>(), any::<bool>(), text()).prop_map(|(i, a, t)| Edit::Insert(i, a, t)),
        2 => (any::<bool>(), 1usize..4, any::<Index>()).prop_map(|(e, n, i)| Edit::RemoveEqual(e, n, i)),
        1 => (any::<Index>(), 1usize..40).prop_map(|(i, n)| Edit::RemoveRange(i, n)),
        1 => (any::<Index>(), 1usize..60).prop_map(|(i, n)| Edit::Trim(i, n)),
    ]
}

fn end(head: bool) -> End {
    if head { End::Head } else { End::Tail }
}

fn apply(list: &mut List, model: &mut Vec<Vec<u8>>, edit: Edit, limits: &Limits) {
    match edit {
        Edit::Push(head, texts) => {
            list.extend(end(head), texts.iter().map(Vec::as_slice), limits);
            for text in texts {
                model.insert(if head { 0 } else { model.len() }, text);
            }
        }
        _ if model.is_empty() => {}
        Edit::Pop(head) => {
            let expected = model.remove(if head { 0 } else { model.len() - 1 });
            assert_eq!(list.pop(end(head), limits, |item| item.to_vec()), Some(expected));
        }
        Edit::Set(at, text) => {
            let at = at.index(model.len());
            assert!(list.set(at, &text, limits));
            model[at] = text;
        }
        Edit::Insert(at, after, text) => {
            let pivot = model[at.index(model.len())].clone();
            let at = model.iter().position(|text| *text == pivot).unwrap();
            assert!(list.insert_beside(&pivot, after, &text, limits));
            model.insert(at + usize::from(after), text);
        }
        Edit::RemoveEqual(head, max, at) => {
            let text = model[at.index(model.len())].clone();
            let mut equal: Vec<usize> = (0..model.len()).filter(|&i| model[i] == text).collect();
            if !head {
                equal.reverse();
            }
            equal.truncate(max);
            equal.sort();
            assert_eq!(list.remove_equal(end(head), max, &text, limits), equal.len());
            equal.into_iter().rev().for_each(|i| drop(model.remove(i)));
        }
        Edit::RemoveRange(at, n) => {
            let at = at.index(model.len());
            list.remove_range(at, n, limits);
            model.drain(at..(at + n).min(model.len()));
        }
        Edit::Trim(at, n) => {
            let at = at.index(model.len());
            list.trim(at, n, limits);
            model.truncate(at + n);
            model.drain(..at);
        }
    }
}

fn rebuilt(list: &List, limits: &Limits) -> List {
    let mut builder = ListBuilder::new();
    for node in list.nodes() {
        match node {
            NodeRef::Packed(entries) => {
                builder.push_packed(Listpack::from_bytes(entries.as_bytes()).unwrap());
            }
            NodeRef::Plain(text) => builder.push_plain(text),
        }
    }
    builder.finish(limits)
}

proptest! {
    #[test]
    fn edits_agree_with_a_vec(
        size in prop_oneof![-3i32..0, 0i32..12, Just(128)],
        edits in prop::collection::vec(edit(), 0..60),
        from in any::<prop::sample::Index>(),
    ) {
        let limits = limits(size);
        let (mut list, mut model) = (List::new(), Vec::new());
        let mut shaky = Shaky::new();
        for edit in edits {
            apply(&mut list, &mut model, edit, &limits);
            shaky.shake(&mut list);
            prop_assert_eq!(list.len(), model.len());
            prop_assert_eq!(texts(&list), &model[..]);
        }
        let from = from.index(model.len() + 1);
        let tail: Vec<_> = list.iter_from(from).map(|item| item.to_vec()).collect();
        prop_assert_eq!(&tail, &model[from..]);
        let head: Vec<_> = list.iter_to(from).rev().map(|item| item.to_vec()).collect();
        prop_assert!(head.iter().eq(model[..from].iter().rev()));
        prop_assert_eq!(list.at(from).map(|item| item.to_vec()), model.get(from).cloned());
        prop_assert_eq!(texts(&rebuilt(&list, &limits)), model);
    }
}
