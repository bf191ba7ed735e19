//! A script's result as a reply.

use mlua::{Result, Table, Value};
use protocol::{ReplyBuf, Resp};

use super::libs::DEPTH_MAX;

/// An error that a script has made or passed on.
#[derive(Debug, Default)]
pub(crate) struct ScriptError {
    pub text: Vec<u8>,
    pub source: Option<String>,
    pub line: Option<i64>,
    /// It was counted where it came from.
    pub is_counted: bool,
}

impl ScriptError {
    /// What was raised as a table: an error, whatever it says.
    pub(crate) fn of_raised(table: &Table) -> Result<ScriptError> {
        let place = || ScriptError::place(table);
        match ScriptError::of(table)? {
            Some(error) => Ok(error),
            None => Ok(ScriptError { text: b"ERR unknown error".to_vec(), ..place() }),
        }
    }

    fn place(table: &Table) -> ScriptError {
        let source: Option<mlua::LuaString> = table.raw_get("source").ok();
        let line: Option<f64> = table.raw_get("line").ok();
        ScriptError {
            source: source.map(|source| source.to_string_lossy()),
            line: line.map(|line| line as i64),
            ..ScriptError::default()
        }
    }

    /// What a table says, if it is an error.
    pub(crate) fn of(table: &Table) -> Result<Option<ScriptError>> {
        let Value::String(text) = table.raw_get("err")? else { return Ok(None) };
        let is_counted: Value = table.raw_get("ignore_error_stats_update")?;
        Ok(Some(ScriptError {
            text: text.as_bytes().to_vec(),
            is_counted: matches!(is_counted, Value::Boolean(true)),
            ..ScriptError::place(table)
        }))
    }
}

/// Writes `value` for a client; `resp` is the protocol that the script speaks. Errors within are told to `failed`.
pub(crate) fn write(
    out: &mut ReplyBuf,
    resp: Resp,
    value: &Value,
    failed: &mut dyn FnMut(&ScriptError),
) -> Result<()> {
    Writer { out, resp, failed }.value(value, 0)
}

/// What a table stands for.
enum Shape {
    /// One reply, which is written.
    Whole,
    Map(Table),
    Set(Table),
    Array,
}

struct Writer<'a> {
    out: &'a mut ReplyBuf,
    resp: Resp,
    failed: &'a mut dyn FnMut(&ScriptError),
}

impl Writer<'_> {
    fn value(&mut self, value: &Value, depth: usize) -> Result<()> {
        match value {
            Value::String(text) => self.out.bulk(&text.as_bytes()),
            Value::Boolean(truth) if self.resp == Resp::V3 => self.out.bool(*truth),
            Value::Boolean(true) => self.out.int(1),
            Value::Integer(n) => self.out.int(*n),
            Value::Number(n) => self.out.int(truncated(*n)),
            Value::Table(_) if depth > DEPTH_MAX => {
                self.out.error("ERR reached lua stack limit");
            }
            Value::Table(table) => return self.table(table, depth),
            _ => self.out.null(),
        }
        Ok(())
    }

    fn table(&mut self, table: &Table, depth: usize) -> Result<()> {
        match self.shape(table)? {
            Shape::Whole => Ok(()),
            Shape::Map(map) => self.map(&map, depth),
            Shape::Set(set) => self.set(&set, depth),
            Shape::Array => self.array(table, depth),
        }
    }

    /// What the table stands for; what holds nothing else is written. Not a part of `table`, whose frame is on the
    /// stack once for every level.
    #[inline(never)]
    fn shape(&mut self, table: &Table) -> Result<Shape> {
        if let Some(error) = ScriptError::of(table)? {
            self.out.error(&error.text);
            (self.failed)(&error);
            return Ok(Shape::Whole);
        }
        if let Value::String(text) = table.raw_get("ok")? {
            let text = text.as_bytes();
            self.out.raw(b"+");
            self.out.raw(&one_line(&text));
            self.out.raw(b"\r\n");
            return Ok(Shape::Whole);
        }
        match table.raw_get("double")? {
            Value::Number(number) => {
                self.out.double(number);
                return Ok(Shape::Whole);
            }
            Value::Integer(number) => {
                self.out.double(number as f64);
                return Ok(Shape::Whole);
            }
            _ => {}
        }
        if let Value::String(digits) = table.raw_get("big_number")? {
            let digits = digits.as_bytes();
            self.out.big_number(&one_line(&digits));
            return Ok(Shape::Whole);
        }
        if let Value::Table(verbatim) = table.raw_get("verbatim_string")?
            && let Value::String(format) = verbatim.raw_get("format")?
            && let Value::String(text) = verbatim.raw_get("string")?
        {
            self.verbatim(&format.as_bytes(), &text.as_bytes());
            return Ok(Shape::Whole);
        }
        if let Value::Table(map) = table.raw_get("map")? {
            return Ok(Shape::Map(map));
        }
        match table.raw_get("set")? {
            Value::Table(set) => Ok(Shape::Set(set)),
            _ => Ok(Shape::Array),
        }
    }

    fn array(&mut self, table: &Table, depth: usize) -> Result<()> {
        let mark = self.out.defer_array();
        let mut count = 0;
        loop {
            let value: Value = table.raw_get(count as i64 + 1)?;
            if value.is_nil() {
                break;
            }
            self.value(&value, depth + 1)?;
            count += 1;
        }
        self.out.finish_array(mark, count);
        Ok(())
    }

    /// A format has three letters: what is missing are blanks.
    fn verbatim(&mut self, format: &[u8], text: &[u8]) {
        let mut letters = [b' '; 3];
        for (letter, given) in letters.iter_mut().zip(format) {
            *letter = *given;
        }
        let format = String::from_utf8_lossy(&one_line(&letters)).into_owned();
        match format.len() {
            3 => self.out.verbatim(&format, text),
            _ => self.out.verbatim("   ", text),
        }
    }

    fn map(&mut self, map: &Table, depth: usize) -> Result<()> {
        let mark = self.out.defer_array();
        let mut count = 0;
        for pair in map.pairs::<Value, Value>() {
            let (key, value) = pair?;
            count += 1;
            self.value(&key, depth + 1)?;
            self.value(&value, depth + 1)?;
        }
        self.out.finish_map(mark, count);
        Ok(())
    }

    fn set(&mut self, set: &Table, depth: usize) -> Result<()> {
        let mark = self.out.defer_array();
        let mut count = 0;
        for pair in set.pairs::<Value, Value>() {
            let (member, _) = pair?;
            count += 1;
            self.value(&member, depth + 1)?;
        }
        self.out.finish_set(mark, count);
        Ok(())
    }
}

/// As C makes an integer of a double on x86-64: what does not fit is the least of all.
fn truncated(number: f64) -> i64 {
    match number {
        n if n >= -(2f64.powi(63)) && n < 2f64.powi(63) => n as i64,
        _ => i64::MIN,
    }
}

/// A text that ends no line of the protocol.
fn one_line(text: &[u8]) -> std::borrow::Cow<'_, [u8]> {
    match text.iter().any(|byte| matches!(byte, b'\r' | b'\n')) {
        false => text.into(),
        true => {
            let blank = |byte: &u8| if matches!(byte, b'\r' | b'\n') { b' ' } else { *byte };
            text.iter().map(blank).collect::<Vec<u8>>().into()
        }
    }
}
