//! The walk over a reply, and what a layout is told on it.
//!
//! Must not: know any layout.

use protocol::Value;

/// What stands between things in raw output.
#[derive(Clone, Debug)]
pub struct Delimiters {
    /// Between the elements of a reply.
    pub elements: Vec<u8>,
    /// Behind a reply.
    pub replies: Vec<u8>,
}

impl Default for Delimiters {
    fn default() -> Self {
        Self { elements: b"\n".to_vec(), replies: b"\n".to_vec() }
    }
}

/// Something that consists of others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Aggregate {
    Array,
    Map,
    Set,
    Push,
}

/// Is told a reply in the order in which it is printed.
pub(super) trait Layout {
    /// A value that consists of nothing else.
    fn scalar(&mut self, value: &Value);
    /// An aggregate of so many elements, or pairs, begins.
    fn open(&mut self, kind: Aggregate, len: usize);
    /// An element of the innermost aggregate, or the key of a pair, comes next.
    fn element(&mut self, index: usize);
    /// The pair's value comes next.
    fn pair_value(&mut self, value: &Value);
    fn close(&mut self);
}

pub(super) fn walk(value: &Value, layout: &mut dyn Layout) {
    match value {
        Value::Array(items) => walk_items(Aggregate::Array, items, layout),
        Value::Set(items) => walk_items(Aggregate::Set, items, layout),
        Value::Push(items) => walk_items(Aggregate::Push, items, layout),
        Value::Map(pairs) => {
            layout.open(Aggregate::Map, pairs.len());
            for (i, (key, value)) in pairs.iter().enumerate() {
                layout.element(i);
                walk(key, layout);
                layout.pair_value(value);
                walk(value, layout);
            }
            layout.close();
        }
        // Attributes are for programs.
        Value::Attributed(_, value) => walk(value, layout),
        scalar => layout.scalar(scalar),
    }
}

fn walk_items(kind: Aggregate, items: &[Value], layout: &mut dyn Layout) {
    layout.open(kind, items.len());
    for (i, item) in items.iter().enumerate() {
        layout.element(i);
        walk(item, layout);
    }
    layout.close();
}
