//! Values as JSON.

use mlua::{Lua, Table, Value};

use super::options::{Invalid, Options, Outcome};
use crate::script::libs::DEPTH_MAX;
use crate::script::libs::arguments::{number_of, type_name};
use crate::script::libs::number::format_g;
use crate::script::raise::{self, Raise};

pub(super) fn encode(lua: &Lua, options: Options, value: &Value) -> Outcome<Value> {
    let mut encoder = Encoder { options, out: Vec::new() };
    encoder.value(value, 0)?;
    Ok(raise::bytes(lua, &encoder.out)?)
}

struct Encoder {
    options: Options,
    out: Vec<u8>,
}

fn refuse(value: &Value, why: &str) -> Raise {
    Raise::text(format!("Cannot serialise {}: {why}", type_name(value)))
}

impl Encoder {
    fn value(&mut self, value: &Value, depth: usize) -> Outcome<()> {
        match value {
            Value::String(string) => self.string(&string.as_bytes()),
            Value::Integer(n) => self.number(value, *n as f64)?,
            Value::Number(n) => self.number(value, *n)?,
            Value::Boolean(truth) => {
                self.out.extend_from_slice(if *truth { b"true" } else { b"false" });
            }
            Value::Table(table) => self.table(table, depth + 1)?,
            Value::Nil => self.out.extend_from_slice(b"null"),
            Value::LightUserData(data) if data.0.is_null() => self.out.extend_from_slice(b"null"),
            other => return Err(refuse(other, "type not supported")),
        }
        Ok(())
    }

    fn number(&mut self, value: &Value, number: f64) -> Outcome<()> {
        match self.options.encode_invalid {
            _ if number.is_finite() => {}
            Invalid::Refused => return Err(refuse(value, "must not be NaN or Inf")),
            Invalid::Spelled if number.is_nan() => {
                self.out.extend_from_slice(b"nan");
                return Ok(());
            }
            Invalid::Spelled => {}
            Invalid::Null => {
                self.out.extend_from_slice(b"null");
                return Ok(());
            }
        }
        // Nearly all are whole and short.
        if number.fract() == 0.0
            && number.abs() < 1e9
            && self.options.number_precision >= 9
            && !(number == 0.0 && number.is_sign_negative())
        {
            self.out.extend_from_slice(itoa::Buffer::new().format(number as i64).as_bytes());
        } else {
            let text = format_g(number, self.options.number_precision as usize);
            self.out.extend_from_slice(text.as_bytes());
        }
        Ok(())
    }

    fn string(&mut self, bytes: &[u8]) {
        self.out.push(b'"');
        for &byte in bytes {
            let escape = match byte {
                b'"' | b'\\' | b'/' => byte,
                0x08 => b'b',
                b'\t' => b't',
                b'\n' => b'n',
                0x0c => b'f',
                b'\r' => b'r',
                0..0x20 | 0x7f => {
                    self.out.extend_from_slice(format!("\\u{byte:04x}").as_bytes());
                    continue;
                }
                _ => {
                    self.out.push(byte);
                    continue;
                }
            };
            self.out.extend_from_slice(&[b'\\', escape]);
        }
        self.out.push(b'"');
    }

    fn table(&mut self, table: &Table, depth: usize) -> Outcome<()> {
        if depth > self.options.encode_max_depth as usize || depth > DEPTH_MAX {
            return Err(Raise::text(format!("Cannot serialise, excessive nesting ({depth})")));
        }
        match self.array_len(table)? {
            Some(len) if len > 0 => self.array(table, len, depth),
            _ => self.object(table, depth),
        }
    }

    /// How long an array the table is, if it is one.
    fn array_len(&self, table: &Table) -> Outcome<Option<i64>> {
        let (mut max, mut count, mut is_array) = (0.0_f64, 0_i64, true);
        table.for_each(|key: Value, _: Value| {
            match number_of(&key).filter(|n| n.fract() == 0.0 && *n >= 1.0) {
                Some(n) => {
                    max = max.max(n);
                    count += 1;
                }
                None => is_array = false,
            }
            Ok(())
        })?;
        if !is_array {
            return Ok(None);
        }
        let options = &self.options;
        let is_sparse = options.sparse_ratio > 0
            && max > count as f64 * f64::from(options.sparse_ratio)
            && max > f64::from(options.sparse_safe);
        match is_sparse {
            true if options.sparse_convert => Ok(None),
            true => Err(Raise::text("Cannot serialise table: excessively sparse array")),
            false => Ok(Some(max as i64)),
        }
    }

    fn array(&mut self, table: &Table, len: i64, depth: usize) -> Outcome<()> {
        self.out.push(b'[');
        for index in 1..=len {
            if index > 1 {
                self.out.push(b',');
            }
            let value: Value = table.raw_get(index)?;
            self.value(&value, depth)?;
        }
        self.out.push(b']');
        Ok(())
    }

    fn object(&mut self, table: &Table, depth: usize) -> Outcome<()> {
        self.out.push(b'{');
        let mut is_first = true;
        for pair in table.pairs::<Value, Value>() {
            let (key, value) = pair?;
            if !std::mem::take(&mut is_first) {
                self.out.push(b',');
            }
            self.key(&key)?;
            self.value(&value, depth)?;
        }
        self.out.push(b'}');
        Ok(())
    }

    fn key(&mut self, key: &Value) -> Outcome<()> {
        match key {
            Value::String(string) => self.string(&string.as_bytes()),
            Value::Integer(_) | Value::Number(_) => {
                self.out.push(b'"');
                self.number(key, number_of(key).unwrap_or(0.0))?;
                self.out.push(b'"');
            }
            other => return Err(refuse(other, "table key must be a number or string")),
        }
        self.out.push(b':');
        Ok(())
    }
}
