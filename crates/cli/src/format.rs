//! What a reply looks like: typed for people, raw for pipes, CSV, JSON.
//!
//! One walk over a reply (`layout`) tells a layout what comes; each layout is a file below. Must not:
//! read or write anything but the text.

mod csv;
mod json;
mod layout;
mod raw;
mod typed;

use protocol::Value;

pub use json::Strings;
pub use layout::Delimiters;

/// How replies are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    Typed,
    Raw,
    Csv,
    Json(Strings),
}

/// The text of one reply. A `verbatim` one (INFO, CLIENT LIST) is a text for people already.
pub fn render(value: &Value, output: Output, verbatim: bool, delimiters: &Delimiters) -> Vec<u8> {
    if verbatim {
        return raw::Raw::text(value, delimiters);
    }
    let ended = |mut text: Vec<u8>, end: &[u8]| {
        text.extend_from_slice(end);
        text
    };
    match output {
        Output::Typed => typed::Typed::text(value),
        Output::Raw => ended(raw::Raw::text(value, delimiters), &delimiters.replies),
        Output::Csv => ended(csv::Csv::text(value), b"\n"),
        Output::Json(strings) => ended(json::Json::text(value, strings), b"\n"),
    }
}

/// What is pushed when a tracked key changes, as people read it; `None` if it is something else.
pub fn invalidation(push: &[Value]) -> Option<Vec<u8>> {
    let [Value::Bulk(kind), Value::Array(keys)] = push else { return None };
    if !kind.starts_with(b"invalidate") {
        return None;
    }
    let mut text = b"-> invalidate: ".to_vec();
    for (i, key) in keys.iter().enumerate() {
        let Value::Bulk(key) = key else { return None };
        if i > 0 {
            text.extend_from_slice(b", ");
        }
        text.push(b'\'');
        text.extend_from_slice(key);
        text.push(b'\'');
    }
    text.push(b'\n');
    Some(text)
}

#[cfg(test)]
mod tests;
