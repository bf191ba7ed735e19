//! The layout of a node, as Redis writes it, and what is refused of what others write.

use super::*;

const NODE: StreamId = StreamId::new(10, 1);

fn node(texts: &[&str]) -> Listpack {
    let mut node = Listpack::new();
    texts.iter().for_each(|text| node.push_back(text.as_bytes()));
    node
}

fn shown(placed: &Placed<'_>) -> String {
    let text = |item: &Item<'_>| String::from_utf8(item.to_vec()).unwrap();
    let entry = &placed.entry;
    let fields: Vec<_> =
        entry.fields().map(|(name, value)| text(&name) + "=" + &text(&value)).collect();
    assert_eq!(fields.len(), entry.fields_len());
    let mark = if placed.is_deleted() { "!" } else { "" };
    format!("{mark}{:?} {}", entry.id, fields.join(" "))
}

/// From both ends, which must tell the same.
fn entries(node: &Listpack) -> Vec<String> {
    let node = Node::open(NODE, node).unwrap();
    let forward: Vec<_> = node.clone().forward().map(|placed| shown(&placed)).collect();
    let mut backward: Vec<_> = node.backward().map(|placed| shown(&placed)).collect();
    backward.reverse();
    assert_eq!(forward, backward);
    forward
}

const HEAD: [&str; 6] = ["2", "1", "2", "a", "b", "0"];
const SAME: [&str; 6] = ["2", "0", "0", "1", "x", "5"];
const GONE: [&str; 6] = ["3", "1", "0", "2", "y", "5"];
const OWN: [&str; 7] = ["0", "5", "-1", "1", "c", "z", "6"];

#[test]
fn entries_with_shared_with_own_and_deleted_fields() {
    let whole = node(&[&HEAD[..], &SAME, &GONE, &OWN].concat());
    assert_eq!(entries(&whole), ["10-1 a=1 b=x", "!11-1 a=2 b=y", "15-0 c=z"]);
    assert_eq!(counts(&whole), (2, 1));
    let checked = Checked { live: 2, last_id: Some(StreamId::new(15, 0)) };
    assert_eq!(check_node(NODE, &whole), Ok(checked));
    assert!(Node::open(NODE, &node(&["1", "0", "9", "a"])).is_none());
}

#[test]
fn what_is_written_is_laid_out_as_redis_lays_it_out() {
    let words = |texts: &'static str| texts.split(' ').map(str::as_bytes);
    let mut written = new_node(words("a 1 b x"));
    push_entry(&mut written, NODE, StreamId::new(11, 1), words("a 2 b y"));
    push_entry(&mut written, NODE, StreamId::new(15, 0), words("c z"));
    // A prefix of the fields, or more of them, are other fields.
    push_entry(&mut written, NODE, StreamId::new(15, 1), words("a 3"));
    push_entry(&mut written, NODE, StreamId::new(15, 2), words("a 3 b 4 c 5"));
    let live: Vec<_> = Node::open(NODE, &written).unwrap().forward().collect();
    mark_deleted(&mut written.clone(), &[live[1].at]);
    let at = live[1].at;
    mark_deleted(&mut written, &[at]);
    let head = ["4", "1", "2", "a", "b", "0"];
    let prefix = ["0", "5", "0", "1", "a", "3", "6"];
    let more = ["0", "5", "1", "3", "a", "3", "b", "4", "c", "5", "10"];
    let expected = node(&[&head[..], &SAME, &GONE, &OWN, &prefix, &more].concat());
    assert_eq!(written.as_bytes(), expected.as_bytes());
    assert_eq!(entries(&written).len(), 5);
    check_node(NODE, &written).unwrap();
}

#[test]
fn what_is_cut_is_refused() {
    let whole = [&HEAD[..], &SAME, &GONE, &OWN].concat();
    for cut in 0..whole.len() {
        assert!(check_node(NODE, &node(&whole[..cut])).is_err(), "cut at {cut}");
    }
    assert!(check_node(NODE, &node(&[&whole[..], &["1"]].concat())).is_err());
}

#[test]
fn every_number_of_a_node_is_minded() {
    let good = ["1", "0", "1", "a", "0", "2", "0", "0", "x", "4"];
    assert_eq!(check_node(NODE, &node(&good)).map(|checked| checked.live), Ok(1));
    // The name of a field and its value may be anything.
    for at in (0..good.len()).filter(|at| ![3, 8].contains(at)) {
        for text in ["7", "-1", "word", "9223372036854775807"] {
            let mut bad = good;
            bad[at] = text;
            // The two halves of the id are differences of any size, but for those that lead back.
            let is_free = matches!(at, 6 | 7) && !matches!(text, "word" | "-1");
            assert_eq!(check_node(NODE, &node(&bad)).is_ok(), is_free, "{bad:?}");
        }
    }
}

/// A node whose entries do not ascend could not be searched.
#[test]
fn ids_that_do_not_ascend_are_refused() {
    let head = ["2", "0", "1", "a", "0"];
    // Nobody looks at the ids of those that were deleted.
    let gone = ["3", "0", "0", "x", "4"];
    let head_of_one = ["1", "1", "1", "a", "0"];
    let again = node(&[&head_of_one[..], &gone, &["2", "0", "0", "y", "4"]].concat());
    assert!(check_node(NODE, &again).is_ok());
    for (ms, seq, fits) in
        [("0", "1", true), ("1", "-1", true), ("0", "0", false), ("-1", "9", false)]
    {
        let first = ["2", "0", "0", "x", "4"];
        let second = ["2", ms, seq, "x", "4"];
        let both = node(&[&head[..], &first, &second].concat());
        assert_eq!(check_node(NODE, &both).is_ok(), fits, "{ms} {seq}");
    }
}
