//! The entries in one node of a stream. Owns the layout inside a node; streams as a whole are kept
//! as the bytes of their RDB form, which only `persist` can read.
//!
//! A node is a listpack: count, deleted, number of fields, the fields' names, 0; then per entry
//! flags, id (as differences to the node's), fields and values or values alone, and a back length.

use smallvec::SmallVec;

use crate::listpack::Listpack;
use crate::value::Item;

/// Set for an entry that was deleted in place.
const DELETED: i64 = 1;
/// Set for an entry whose fields are those named at the head of the node.
const SAME_FIELDS: i64 = 2;

/// The id of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StreamId {
    pub ms: u64,
    pub seq: u64,
}

/// Fields with their values, in order.
pub type Fields<'a> = SmallVec<[(Item<'a>, Item<'a>); 8]>;

/// Calls `f` with the entries of a node, deleted ones left out. `None` where the node is not laid
/// out as above; `f` has then seen the entries before that.
pub fn for_each_entry<'a>(
    node_id: StreamId,
    node: &'a Listpack,
    mut f: impl FnMut(StreamId, &Fields<'a>),
) -> Option<()> {
    let mut items = node.iter();
    let _count = int(items.next())?;
    let _deleted = int(items.next())?;
    let mut names: SmallVec<[Item<'a>; 8]> = SmallVec::new();
    for _ in 0..int(items.next())? {
        names.push(items.next()?);
    }
    int(items.next())?;
    let mut fields = Fields::new();
    while let Some(flags) = items.next() {
        let flags = int(Some(flags))?;
        let id = StreamId {
            ms: node_id.ms.wrapping_add(int(items.next())? as u64),
            seq: node_id.seq.wrapping_add(int(items.next())? as u64),
        };
        fields.clear();
        if flags & SAME_FIELDS != 0 {
            for name in &names {
                fields.push((*name, items.next()?));
            }
        } else {
            for _ in 0..int(items.next())? {
                fields.push((items.next()?, items.next()?));
            }
        }
        let _back_len = int(items.next())?;
        if flags & DELETED == 0 {
            f(id, &fields);
        }
    }
    Some(())
}

/// Whether a node is laid out as above, with as many entries as it says, and nothing behind them.
/// Gives how many of them are not deleted.
pub fn check_node(node: &Listpack) -> Result<u64, &'static str> {
    const CUT: &str = "a stream node that ends inside an entry";
    let mut items = node.iter();
    let mut number = || match int(items.next()) {
        Some(n) => Ok(n),
        None => Err("a stream node without a number where one must be"),
    };
    let (count, deleted, names) = (number()?, number()?, number()?);
    skip(&mut items, names).ok_or("a stream node without the names of its fields")?;
    if int(items.next()) != Some(0) {
        return Err("a stream node whose head does not end");
    }
    let entries = count.checked_add(deleted).filter(|n| *n >= 0 && count >= 0);
    let mut gone = 0;
    for _ in 0..entries.ok_or("a stream node of an impossible number of entries")? {
        let mut number = || int(items.next()).ok_or(CUT);
        let (flags, _ms, _seq) = (number()?, number()?, number()?);
        gone += flags & DELETED;
        // Flags, the two halves of the id, and the number of fields where it is said.
        let (texts, others) = match flags & SAME_FIELDS {
            0 => (number()?.checked_mul(2).ok_or(CUT)?, 4),
            _ => (names, 3),
        };
        skip(&mut items, texts).ok_or(CUT)?;
        if int(items.next()) != texts.checked_add(others) {
            return Err("a stream entry that does not tell its length");
        }
    }
    match items.next() {
        None if gone == deleted => Ok(count as u64),
        None => Err("a stream node with other deleted entries than it says"),
        Some(_) => Err("a stream node with more entries than it says"),
    }
}

fn skip<'a>(items: &mut impl Iterator<Item = Item<'a>>, n: i64) -> Option<()> {
    (0..u64::try_from(n).ok()?).try_for_each(|_| items.next().map(drop))
}

fn int(item: Option<Item<'_>>) -> Option<i64> {
    match item? {
        Item::Int(n) => Some(n),
        Item::Bytes(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(texts: &[&str]) -> Listpack {
        let mut node = Listpack::new();
        texts.iter().for_each(|text| node.push_back(text.as_bytes()));
        node
    }

    fn entries(node: &Listpack) -> (Vec<String>, bool) {
        let mut seen = Vec::new();
        let whole = for_each_entry(StreamId { ms: 10, seq: 1 }, node, |id, fields| {
            let text = |item: &Item<'_>| String::from_utf8(item.to_vec()).unwrap();
            let fields: Vec<_> =
                fields.iter().map(|(name, value)| text(name) + "=" + &text(value)).collect();
            seen.push(format!("{}-{} {}", id.ms, id.seq, fields.join(" ")));
        });
        (seen, whole.is_some())
    }

    #[test]
    fn entries_with_shared_with_own_and_without_fields() {
        let head = ["3", "1", "2", "a", "b", "0"];
        let same = ["2", "0", "0", "1", "x", "5"];
        let deleted = ["3", "1", "0", "2", "y", "5"];
        let own = ["0", "5", "-1", "1", "c", "z", "6"];
        let whole = node(&[&head[..], &same, &deleted, &own].concat());
        assert_eq!(entries(&whole), (vec!["10-1 a=1 b=x".into(), "15-0 c=z".into()], true));
        let cut = node(&[&head[..], &same, &own[..5]].concat());
        assert_eq!(entries(&cut), (vec!["10-1 a=1 b=x".into()], false));
        assert_eq!(entries(&node(&["1", "0", "9", "a"])), (vec![], false));
        assert_eq!(
            check_node(&node(&["1", "1", "1", "a", "0", "2", "0", "0", "x", "4"])),
            Err(CUT)
        );
        assert_eq!(check_node(&cut), Err(CUT));
        // One is deleted of the three that there are.
        let whole = node(&[&["2"], &head[1..], &same, &deleted, &own].concat());
        assert_eq!(check_node(&whole), Ok(2));
    }

    const CUT: &str = "a stream node that ends inside an entry";

    #[test]
    fn every_number_of_a_node_is_minded() {
        let good = ["1", "0", "1", "a", "0", "2", "0", "0", "x", "4"];
        assert_eq!(check_node(&node(&good)), Ok(1));
        // The name of a field and its value may be anything.
        for at in (0..good.len()).filter(|at| ![3, 8].contains(at)) {
            for text in ["7", "-1", "word", "9223372036854775807"] {
                let mut bad = good;
                bad[at] = text;
                // The two halves of the id are differences of any size.
                let is_free = matches!(at, 6 | 7) && text != "word";
                assert_eq!(check_node(&node(&bad)).is_ok(), is_free, "{bad:?}");
            }
            assert!(check_node(&node(&good[..at])).is_err(), "cut at {at}");
        }
        assert!(check_node(&node(&[&good[..], &["1"]].concat())).is_err());
    }
}
