//! Replies as one line of comma-separated values, however they are nested.

use protocol::{Value, quote};

use super::layout::{Aggregate, Layout, walk};

#[derive(Default)]
pub(super) struct Csv {
    out: Vec<u8>,
}

impl Csv {
    pub(super) fn text(value: &Value) -> Vec<u8> {
        let mut layout = Self::default();
        walk(value, &mut layout);
        layout.out
    }
}

impl Layout for Csv {
    fn scalar(&mut self, value: &Value) {
        match value {
            Value::Error(text) => {
                self.out.extend_from_slice(b"ERROR,");
                self.out.extend_from_slice(&quote(text));
            }
            Value::Status(text) | Value::Bulk(text) | Value::Verbatim(_, text) => {
                self.out.extend_from_slice(&quote(text));
            }
            Value::Double(text) | Value::BigNumber(text) => self.out.extend_from_slice(text),
            Value::Int(number) => self.out.extend_from_slice(number.to_string().as_bytes()),
            Value::Bool(true) => self.out.extend_from_slice(b"true"),
            Value::Bool(false) => self.out.extend_from_slice(b"false"),
            _ => self.out.extend_from_slice(b"NULL"),
        }
    }

    fn open(&mut self, _kind: Aggregate, _len: usize) {}

    fn element(&mut self, index: usize) {
        if index > 0 {
            self.out.push(b',');
        }
    }

    fn pair_value(&mut self, _value: &Value) {
        self.out.push(b',');
    }

    fn close(&mut self) {}
}
