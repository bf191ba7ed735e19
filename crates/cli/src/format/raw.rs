//! Replies as programs in a pipe read them: nothing but the data.

use protocol::Value;

use super::layout::{Aggregate, Delimiters, Layout, walk};

pub(super) struct Raw<'a> {
    out: Vec<u8>,
    delimiters: &'a Delimiters,
}

impl<'a> Raw<'a> {
    pub(super) fn text(value: &Value, delimiters: &'a Delimiters) -> Vec<u8> {
        let mut layout = Self { out: Vec::new(), delimiters };
        walk(value, &mut layout);
        layout.out
    }
}

impl Layout for Raw<'_> {
    fn scalar(&mut self, value: &Value) {
        match value {
            Value::Error(text) => {
                self.out.extend_from_slice(text);
                self.out.push(b'\n');
            }
            Value::Status(text)
            | Value::Bulk(text)
            | Value::Verbatim(_, text)
            | Value::Double(text)
            | Value::BigNumber(text) => self.out.extend_from_slice(text),
            Value::Int(number) => self.out.extend_from_slice(number.to_string().as_bytes()),
            Value::Bool(true) => self.out.extend_from_slice(b"(true)"),
            Value::Bool(false) => self.out.extend_from_slice(b"(false)"),
            _ => {}
        }
    }

    fn open(&mut self, _kind: Aggregate, _len: usize) {}

    fn element(&mut self, index: usize) {
        if index > 0 {
            self.out.extend_from_slice(&self.delimiters.elements);
        }
    }

    fn pair_value(&mut self, _value: &Value) {
        self.out.push(b' ');
    }

    fn close(&mut self) {}
}
