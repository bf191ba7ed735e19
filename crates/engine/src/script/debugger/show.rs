//! Values of Lua and replies as the debugger shows them. Must not know a session.

use mlua::{Table, Value};
use protocol::quote;

/// Tables within tables.
const DEPTH_MAX: usize = 10;

/// Appends a value. What is longer than `limit` bytes is begun and not finished.
pub(super) fn value(out: &mut Vec<u8>, value: &Value, limit: usize) {
    nested(out, value, limit, 0);
}

fn nested(out: &mut Vec<u8>, value: &Value, limit: usize, depth: usize) {
    if depth == DEPTH_MAX {
        return out.extend_from_slice(b"<max recursion level reached! Nested table?>");
    }
    let name = match value {
        Value::Nil => return out.extend_from_slice(b"nil"),
        Value::Boolean(truth) => return out.extend_from_slice(truth.to_string().as_bytes()),
        Value::Integer(n) => return out.extend_from_slice(number(*n as f64).as_bytes()),
        Value::Number(n) => return out.extend_from_slice(number(*n).as_bytes()),
        Value::String(text) => return out.extend_from_slice(&quote(&text.as_bytes())),
        Value::Table(table) => return self::table(out, table, limit, depth),
        Value::Function(_) => "function",
        Value::Thread(_) => "thread",
        Value::LightUserData(_) => "light-userdata",
        _ => "userdata",
    };
    out.extend_from_slice(format!("\"{name}@{:p}\"", value.to_pointer()).as_bytes());
}

fn table(out: &mut Vec<u8>, table: &Table, limit: usize, depth: usize) {
    let is_array = is_array(table);
    out.push(b'{');
    let mut is_first = true;
    for pair in table.pairs::<Value, Value>() {
        // A table that holds itself ten times would be shown ten thousand million times.
        if out.len() > limit {
            return;
        }
        let Ok((key, value)) = pair else { break };
        if !std::mem::take(&mut is_first) {
            out.extend_from_slice(b"; ");
        }
        if !is_array {
            out.push(b'[');
            nested(out, &key, limit, depth + 1);
            out.extend_from_slice(b"]=");
        }
        nested(out, &value, limit, depth + 1);
    }
    out.push(b'}');
}

/// Whether its keys come as 1, 2, 3.
fn is_array(table: &Table) -> bool {
    let mut expected = 0.0;
    table.pairs::<Value, Value>().all(|pair| {
        expected += 1.0;
        match pair {
            Ok((Value::Integer(n), _)) => n as f64 == expected,
            Ok((Value::Number(n), _)) => n == expected,
            _ => false,
        }
    })
}

/// As C's `%g` prints it.
fn number(n: f64) -> String {
    if !n.is_finite() {
        let sign = if n.is_sign_negative() { "-" } else { "" };
        return format!("{sign}{}", if n.is_nan() { "nan" } else { "inf" });
    }
    let scientific = format!("{n:.5e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let bare = |digits: &str| match digits.contains('.') {
        true => digits.trim_end_matches('0').trim_end_matches('.').to_string(),
        false => digits.to_string(),
    };
    if (-4..6).contains(&exponent) {
        return bare(&format!("{n:.*}", (5 - exponent) as usize));
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{}e{sign}{:02}", bare(mantissa), exponent.abs())
}

/// Appends a reply as it stands on the wire.
pub(super) fn reply(out: &mut Vec<u8>, bytes: &[u8]) {
    Reader { rest: bytes }.show(out);
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn line(&mut self) -> &'a [u8] {
        let end = memchr::memchr(b'\r', self.rest).unwrap_or(self.rest.len());
        let line = &self.rest[..end];
        self.rest = self.rest.get(end + 2..).unwrap_or_default();
        line
    }

    fn bulk(&mut self, out: &mut Vec<u8>, len: usize) {
        let (bytes, rest) = self.rest.split_at_checked(len).unwrap_or((self.rest, &[]));
        self.rest = rest.get(2..).unwrap_or_default();
        out.extend_from_slice(&quote(bytes));
    }

    fn show(&mut self, out: &mut Vec<u8>) {
        let line = self.line();
        let Some((kind, text)) = line.split_first() else { return };
        let number = protocol::parse_i64(text).unwrap_or(0);
        match kind {
            b'$' | b'*' if number < 0 => out.extend_from_slice(b"NULL"),
            b'$' | b'=' => self.bulk(out, number as usize),
            b'+' | b'-' => out.extend_from_slice(&quote(line)),
            b'*' | b'>' => self.many(out, number, "[", "]"),
            b'~' => self.many(out, number, "~(", ")"),
            b'%' => self.map(out, number),
            b'_' => out.extend_from_slice(b"(null)"),
            b'#' => out.extend_from_slice(if text == b"t" { b"#true" } else { b"#false" }),
            b',' => {
                out.extend_from_slice(b"(double) ");
                out.extend_from_slice(text);
            }
            b'|' => {
                // What it says of the reply is not shown, the reply is.
                for _ in 0..2 * number {
                    self.show(&mut Vec::new());
                }
                self.show(out);
            }
            _ => out.extend_from_slice(text),
        }
    }

    fn many(&mut self, out: &mut Vec<u8>, count: i64, open: &str, close: &str) {
        out.extend_from_slice(open.as_bytes());
        for at in 0..count {
            if at > 0 {
                out.push(b',');
            }
            self.show(out);
        }
        out.extend_from_slice(close.as_bytes());
    }

    fn map(&mut self, out: &mut Vec<u8>, count: i64) {
        out.push(b'{');
        for at in 0..count {
            if at > 0 {
                out.push(b',');
            }
            self.show(out);
            out.extend_from_slice(b" => ");
            self.show(out);
        }
        out.push(b'}');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_printed_as_c_prints_them() {
        for (n, expected) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (100_000.0, "100000"),
            (1_000_000.0, "1e+06"),
            (1_234_567.0, "1.23457e+06"),
            (999_999.5, "1e+06"),
            (0.1, "0.1"),
            (2.3456789, "2.34568"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (1e300, "1e+300"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
        ] {
            assert_eq!(number(n), expected);
        }
    }

    #[test]
    fn a_reply_that_breaks_off_is_shown_as_far_as_it_goes() {
        let whole = b"*3\r\n:1\r\n%1\r\n+a\r\n#t\r\n$3\r\na\"b\r\n";
        let shown = |bytes: &[u8]| {
            let mut out = Vec::new();
            reply(&mut out, bytes);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(shown(whole), r#"[1,{"+a" => #true},"a\"b"]"#);
        for end in 0..whole.len() {
            shown(&whole[..end]);
        }
        assert_eq!(shown(b"$-1\r\n"), "NULL");
        assert_eq!(shown(b"-ERR no\r\n"), r#""-ERR no""#);
    }
}
