//! Replies as people read them in a terminal: with their types, numbered, nested by indentation.

use protocol::{Value, quote};

use super::layout::{Aggregate, Layout, walk};

#[derive(Default)]
pub(super) struct Typed {
    out: Vec<u8>,
    open: Vec<Level>,
}

#[derive(Clone, Copy)]
struct Level {
    /// Columns before the numbers of this aggregate.
    indent: usize,
    digits: usize,
    sign: u8,
}

impl Level {
    /// Columns before what the elements of this aggregate are made of.
    fn inner(&self) -> usize {
        self.indent + self.digits + 2
    }
}

impl Typed {
    pub(super) fn text(value: &Value) -> Vec<u8> {
        let mut layout = Self::default();
        walk(value, &mut layout);
        layout.out
    }

    fn blanks(&mut self, count: usize) {
        self.out.resize(self.out.len() + count, b' ');
    }
}

impl Layout for Typed {
    fn scalar(&mut self, value: &Value) {
        let (head, text): (&[u8], _) = match value {
            Value::Error(text) => (b"(error) ", text.clone()),
            Value::Status(text) | Value::Verbatim(_, text) => (b"", text.clone()),
            Value::Int(number) => (b"(integer) ", number.to_string().into_bytes()),
            Value::Double(text) => (b"(double) ", text.clone()),
            Value::BigNumber(text) => (b"(big number) ", text.clone()),
            Value::Bulk(text) => (b"", quote(text)),
            Value::Bool(value) => {
                (b"", if *value { b"(true)".to_vec() } else { b"(false)".to_vec() })
            }
            _ => (b"", b"(nil)".to_vec()),
        };
        self.out.extend_from_slice(head);
        self.out.extend_from_slice(&text);
        self.out.push(b'\n');
    }

    fn open(&mut self, kind: Aggregate, len: usize) {
        let (sign, empty): (u8, &[u8]) = match kind {
            Aggregate::Array => (b')', b"(empty array)\n"),
            Aggregate::Map => (b'#', b"(empty hash)\n"),
            Aggregate::Set => (b'~', b"(empty set)\n"),
            Aggregate::Push => (b')', b"(empty push)\n"),
        };
        if len == 0 {
            self.out.extend_from_slice(empty);
        }
        let indent = self.open.last().map_or(0, Level::inner);
        self.open.push(Level { indent, digits: len.to_string().len(), sign });
    }

    fn element(&mut self, index: usize) {
        let Some(&Level { indent, digits, sign }) = self.open.last() else { return };
        // The first stands behind the number of the aggregate itself.
        if index > 0 {
            self.blanks(indent);
        }
        self.out.extend_from_slice(format!("{:>digits$}", index + 1).as_bytes());
        self.out.extend_from_slice(&[sign, b' ']);
    }

    fn pair_value(&mut self, value: &Value) {
        self.out.pop();
        self.out.extend_from_slice(b" => ");
        if takes_lines(value) {
            self.out.push(b'\n');
            let inner = self.open.last().map_or(0, Level::inner);
            self.blanks(inner);
        }
    }

    fn close(&mut self) {
        self.open.pop();
    }
}

/// Whether a value is printed in more than one line.
fn takes_lines(value: &Value) -> bool {
    match value {
        Value::Array(items) | Value::Set(items) | Value::Push(items) => match items.as_slice() {
            [] => false,
            [one] => takes_lines(one),
            _ => true,
        },
        Value::Map(pairs) => match pairs.as_slice() {
            [] => false,
            [(_, value)] => takes_lines(value),
            _ => true,
        },
        Value::Attributed(_, value) => takes_lines(value),
        _ => false,
    }
}
