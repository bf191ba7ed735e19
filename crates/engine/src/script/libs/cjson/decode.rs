//! JSON as values.

use mlua::{Lua, Value};

use super::options::{Options, Outcome};
use crate::script::libs::DEPTH_MAX;
use crate::script::libs::number::strtod;
use crate::script::raise::{self, Raise};

pub(super) fn decode(lua: &Lua, options: Options, text: &[u8]) -> Outcome<Value> {
    if text.len() >= 2 && (text[0] == 0 || text[1] == 0) {
        return Err(Raise::text("JSON parser does not support UTF-16 or UTF-32"));
    }
    // It is a C string.
    let end = memchr::memchr(0, text).unwrap_or(text.len());
    let mut decoder = Decoder { lua, options, text: &text[..end], at: 0, depth: 0 };
    let first = decoder.next();
    let value = decoder.value(first)?;
    let last = decoder.next();
    match last.kind {
        Kind::End => Ok(value),
        _ => Err(expected("the end", &last)),
    }
}

struct Decoder<'a> {
    lua: &'a Lua,
    options: Options,
    text: &'a [u8],
    at: usize,
    depth: usize,
}

struct Token {
    kind: Kind,
    /// Where it begins, or where an error was found.
    at: usize,
}

enum Kind {
    ObjectBegin,
    ObjectEnd,
    ArrayBegin,
    ArrayEnd,
    Comma,
    Colon,
    String(Vec<u8>),
    Number(f64),
    Boolean(bool),
    Null,
    End,
    Error(&'static str),
}

impl Kind {
    fn name(&self) -> &'static str {
        match self {
            Kind::ObjectBegin => "T_OBJ_BEGIN",
            Kind::ObjectEnd => "T_OBJ_END",
            Kind::ArrayBegin => "T_ARR_BEGIN",
            Kind::ArrayEnd => "T_ARR_END",
            Kind::Comma => "T_COMMA",
            Kind::Colon => "T_COLON",
            Kind::String(_) => "T_STRING",
            Kind::Number(_) => "T_NUMBER",
            Kind::Boolean(_) => "T_BOOLEAN",
            Kind::Null => "T_NULL",
            Kind::End => "T_END",
            Kind::Error(what) => what,
        }
    }
}

fn expected(what: &str, found: &Token) -> Raise {
    let (name, at) = (found.kind.name(), found.at + 1);
    Raise::text(format!("Expected {what} but found {name} at character {at}"))
}

impl Decoder<'_> {
    fn byte(&self, ahead: usize) -> u8 {
        self.text.get(self.at + ahead).copied().unwrap_or(0)
    }

    fn next(&mut self) -> Token {
        while matches!(self.byte(0), b' ' | b'\t' | b'\n' | b'\r') {
            self.at += 1;
        }
        let at = self.at;
        let simple = match self.byte(0) {
            b'{' => Some(Kind::ObjectBegin),
            b'}' => Some(Kind::ObjectEnd),
            b'[' => Some(Kind::ArrayBegin),
            b']' => Some(Kind::ArrayEnd),
            b',' => Some(Kind::Comma),
            b':' => Some(Kind::Colon),
            0 => return Token { kind: Kind::End, at },
            _ => None,
        };
        if let Some(kind) = simple {
            self.at += 1;
            return Token { kind, at };
        }
        let kind = match self.byte(0) {
            b'"' => self.string(),
            b'-' | b'0'..=b'9' => match !self.options.decode_invalid && self.is_invalid_number() {
                true => Err("invalid number"),
                false => self.number(),
            },
            _ if self.skip(b"true") => Ok(Kind::Boolean(true)),
            _ if self.skip(b"false") => Ok(Kind::Boolean(false)),
            _ if self.skip(b"null") => Ok(Kind::Null),
            b'+' | b'i' | b'I' | b'n' | b'N'
                if self.options.decode_invalid && self.is_invalid_number() =>
            {
                self.number()
            }
            _ => Err("invalid token"),
        };
        match kind {
            Ok(kind) => Token { kind, at },
            Err(what) => Token { kind: Kind::Error(what), at: self.at },
        }
    }

    fn skip(&mut self, word: &[u8]) -> bool {
        let starts = self.text[self.at..].starts_with(word);
        self.at += if starts { word.len() } else { 0 };
        starts
    }

    fn number(&mut self) -> Result<Kind, &'static str> {
        let (number, len) = strtod(&self.text[self.at..]).ok_or("invalid number")?;
        self.at += len;
        Ok(Kind::Number(number))
    }

    /// What `strtod` reads and JSON does not have.
    fn is_invalid_number(&self) -> bool {
        if self.byte(0) == b'+' {
            return true;
        }
        let sign = usize::from(self.byte(0) == b'-');
        let rest = &self.text[(self.at + sign).min(self.text.len())..];
        match rest {
            [b'0', b'x' | b'X' | b'0'..=b'9', ..] => true,
            [b'0'..=b'9', ..] => false,
            [a, b, c, ..] => {
                let word = [*a, *b, *c];
                word.eq_ignore_ascii_case(b"inf") || word.eq_ignore_ascii_case(b"nan")
            }
            _ => false,
        }
    }

    fn string(&mut self) -> Result<Kind, &'static str> {
        self.at += 1;
        let mut bytes = Vec::new();
        loop {
            let rest = &self.text[self.at..];
            let Some(plain) = memchr::memchr2(b'"', b'\\', rest) else {
                self.at = self.text.len();
                return Err("unexpected end of string");
            };
            bytes.extend_from_slice(&rest[..plain]);
            self.at += plain;
            if rest[plain] == b'"' {
                self.at += 1;
                return Ok(Kind::String(bytes));
            }
            let byte = match self.byte(1) {
                byte @ (b'"' | b'\\' | b'/') => byte,
                b'b' => 0x08,
                b't' => b'\t',
                b'n' => b'\n',
                b'f' => 0x0c,
                b'r' => b'\r',
                b'u' => {
                    let code = self.unicode().ok_or("invalid unicode escape code")?;
                    let mut utf8 = [0; 4];
                    bytes.extend_from_slice(code.encode_utf8(&mut utf8).as_bytes());
                    continue;
                }
                _ => return Err("invalid escape code"),
            };
            bytes.push(byte);
            self.at += 2;
        }
    }

    /// An escaped character, which may take a pair of escapes.
    fn unicode(&mut self) -> Option<char> {
        let high = self.hex4(2)?;
        let (code, len) = match high {
            0xd800..0xdc00 if self.byte(6) == b'\\' && self.byte(7) == b'u' => {
                let low = self.hex4(8).filter(|low| (0xdc00..0xe000).contains(low))?;
                (0x10000 + ((high & 0x3ff) << 10 | low & 0x3ff), 12)
            }
            _ => (high, 6),
        };
        let code = char::from_u32(code)?;
        self.at += len;
        Some(code)
    }

    fn hex4(&self, from: usize) -> Option<u32> {
        (from..from + 4)
            .try_fold(0, |value, at| Some(value << 4 | char::from(self.byte(at)).to_digit(16)?))
    }

    fn value(&mut self, token: Token) -> Outcome<Value> {
        Ok(match token.kind {
            Kind::String(bytes) => raise::bytes(self.lua, &bytes)?,
            Kind::Number(number) => Value::Number(number),
            Kind::Boolean(truth) => Value::Boolean(truth),
            Kind::Null => Value::NULL,
            Kind::ObjectBegin => self.object()?,
            Kind::ArrayBegin => self.array()?,
            _ => return Err(expected("value", &token)),
        })
    }

    fn descend(&mut self) -> Outcome<()> {
        self.depth += 1;
        if self.depth > self.options.decode_max_depth as usize || self.depth > DEPTH_MAX {
            return Err(Raise::text(format!(
                "Found too many nested data structures ({}) at character {}",
                self.depth, self.at
            )));
        }
        Ok(())
    }

    fn object(&mut self) -> Outcome<Value> {
        self.descend()?;
        let table = self.lua.create_table()?;
        let mut token = self.next();
        if matches!(token.kind, Kind::ObjectEnd) {
            self.depth -= 1;
            return Ok(Value::Table(table));
        }
        loop {
            let Kind::String(key) = &token.kind else {
                return Err(expected("object key string", &token));
            };
            let key = self.lua.create_string(key)?;
            let colon = self.next();
            if !matches!(colon.kind, Kind::Colon) {
                return Err(expected("colon", &colon));
            }
            let first = self.next();
            let value = self.value(first)?;
            table.raw_set(key, value)?;
            token = self.next();
            match token.kind {
                Kind::ObjectEnd => break,
                Kind::Comma => token = self.next(),
                _ => return Err(expected("comma or object end", &token)),
            }
        }
        self.depth -= 1;
        Ok(Value::Table(table))
    }

    fn array(&mut self) -> Outcome<Value> {
        self.descend()?;
        let table = self.lua.create_table()?;
        let mut token = self.next();
        if matches!(token.kind, Kind::ArrayEnd) {
            self.depth -= 1;
            return Ok(Value::Table(table));
        }
        let mut index = 1.0;
        loop {
            let value = self.value(token)?;
            table.raw_set(index, value)?;
            index += 1.0;
            token = self.next();
            match token.kind {
                Kind::ArrayEnd => break,
                Kind::Comma => token = self.next(),
                _ => return Err(expected("comma or array end", &token)),
            }
        }
        self.depth -= 1;
        Ok(Value::Table(table))
    }
}
