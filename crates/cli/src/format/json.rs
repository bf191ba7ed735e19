//! Replies as JSON. Errors are spelt `error:"..."`, which is none, so that no program takes them for data.

use protocol::{Value, quote};

use super::layout::{Aggregate, Layout, walk};

/// How bytes become a string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strings {
    /// As they are, which is JSON if they are UTF-8.
    Plain,
    /// Quoted as the typed output has them, which is ASCII whatever they are.
    Quoted,
}

pub(super) struct Json {
    out: Vec<u8>,
    strings: Strings,
    open: Vec<Level>,
}

struct Level {
    kind: Aggregate,
    /// Where the newest key begins.
    key_from: usize,
}

impl Json {
    pub(super) fn text(value: &Value, strings: Strings) -> Vec<u8> {
        let mut layout = Self { out: Vec::new(), strings, open: Vec::new() };
        walk(value, &mut layout);
        layout.out
    }

    fn string(&mut self, text: &[u8]) {
        match self.strings {
            Strings::Plain => escape(&mut self.out, text),
            Strings::Quoted => {
                for byte in quote(text) {
                    if byte == b'\\' {
                        self.out.push(b'\\');
                    }
                    self.out.push(byte);
                }
            }
        }
    }
}

impl Layout for Json {
    fn scalar(&mut self, value: &Value) {
        match value {
            Value::Error(text) => {
                self.out.extend_from_slice(b"error:");
                self.string(text);
            }
            Value::Status(text) | Value::Bulk(text) | Value::Verbatim(_, text) => self.string(text),
            Value::Double(text) | Value::BigNumber(text) => self.out.extend_from_slice(text),
            Value::Int(number) => self.out.extend_from_slice(number.to_string().as_bytes()),
            Value::Bool(true) => self.out.extend_from_slice(b"true"),
            Value::Bool(false) => self.out.extend_from_slice(b"false"),
            _ => self.out.extend_from_slice(b"null"),
        }
    }

    fn open(&mut self, kind: Aggregate, _len: usize) {
        self.out.push(if kind == Aggregate::Map { b'{' } else { b'[' });
        self.open.push(Level { kind, key_from: 0 });
    }

    fn element(&mut self, index: usize) {
        if index > 0 {
            self.out.push(b',');
        }
        if let Some(level) = self.open.last_mut() {
            level.key_from = self.out.len();
        }
    }

    fn pair_value(&mut self, _value: &Value) {
        // A key of JSON is a string, whatever it is in RESP3.
        let from = self.open.last().map_or(0, |level| level.key_from);
        let key = &self.out[from..];
        if !key.starts_with(b"\"") && !key.starts_with(b"error:") {
            self.out.insert(from, b'"');
            self.out.push(b'"');
        }
        self.out.push(b':');
    }

    fn close(&mut self) {
        let is_map = self.open.pop().is_some_and(|level| level.kind == Aggregate::Map);
        self.out.push(if is_map { b'}' } else { b']' });
    }
}

fn escape(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    for &byte in text {
        match byte {
            b'\\' | b'"' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            0x0c => out.extend_from_slice(b"\\f"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x08 => out.extend_from_slice(b"\\b"),
            ..=0x1f => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}
