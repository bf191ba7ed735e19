//! `cmsgpack`: MessagePack.

use mlua::{Lua, LuaString, MultiValue, Result, Table, Value};

use super::DEPTH_MAX;
use super::arguments::{Arguments, number_of};
use crate::script::raise::{self, Raise};

/// Tables within tables below this are packed as nil.
const NESTING_MAX: usize = 16;
/// A function of Lua's cannot return more.
const VALUES_MAX: usize = 7900;

type Outcome<T> = std::result::Result<T, Raise>;

pub(crate) fn table(lua: &Lua) -> Result<Table> {
    let table = lua.create_table()?;
    table.raw_set("pack", raise::function(lua, pack)?)?;
    table.raw_set("unpack", raise::function(lua, unpack)?)?;
    table.raw_set("unpack_one", raise::function(lua, unpack_one)?)?;
    table.raw_set("unpack_limit", raise::function(lua, unpack_limit)?)?;
    table.raw_set("_NAME", "cmsgpack")?;
    table.raw_set("_VERSION", "lua-cmsgpack 0.4.0")?;
    table.raw_set("_COPYRIGHT", "Copyright (C) 2012, Salvatore Sanfilippo")?;
    table.raw_set("_DESCRIPTION", "MessagePack C implementation for Lua")?;
    Ok(table)
}

fn pack(lua: &Lua, args: MultiValue) -> Outcome<Value> {
    if args.is_empty() {
        return Err(Raise::argument(0, "pack", "MessagePack pack needs input."));
    }
    let mut out = Vec::new();
    for value in &args {
        put(&mut out, value, 0)?;
    }
    Ok(raise::bytes(lua, &out)?)
}

fn put(out: &mut Vec<u8>, value: &Value, level: usize) -> Outcome<()> {
    match value {
        Value::String(string) => put_string(out, &string.as_bytes()),
        Value::Boolean(truth) => out.push(if *truth { 0xc3 } else { 0xc2 }),
        Value::Integer(n) => put_integer(out, *n),
        Value::Number(n) if *n as i64 as f64 == *n => put_integer(out, *n as i64),
        Value::Number(n) => put_double(out, *n),
        Value::Table(table) if level < NESTING_MAX => put_table(out, table, level)?,
        _ => out.push(0xc0),
    }
    Ok(())
}

/// The head of something with a length: short ones have it in their first byte.
fn put_head(out: &mut Vec<u8>, len: usize, fixed: (u8, usize), wide: &[(usize, u8)]) {
    let (mark, below) = fixed;
    if len < below {
        return out.push(mark | len as u8);
    }
    for &(bytes, mark) in wide {
        if len as u64 >> (8 * bytes) == 0 || bytes == 4 {
            out.push(mark);
            return out.extend_from_slice(&(len as u32).to_be_bytes()[4 - bytes..]);
        }
    }
}

fn put_string(out: &mut Vec<u8>, bytes: &[u8]) {
    put_head(out, bytes.len(), (0xa0, 32), &[(1, 0xd9), (2, 0xda), (4, 0xdb)]);
    out.extend_from_slice(bytes);
}

fn put_integer(out: &mut Vec<u8>, n: i64) {
    let bytes = n.to_be_bytes();
    let (mark, width) = match n {
        -32..=127 => return out.push(n as u8),
        128..=0xff => (0xcc, 1),
        0x100..=0xffff => (0xcd, 2),
        0x1_0000..=0xffff_ffff => (0xce, 4),
        0x1_0000_0000.. => (0xcf, 8),
        -128..=-33 => (0xd0, 1),
        -32_768..=-129 => (0xd1, 2),
        -2_147_483_648..=-32_769 => (0xd2, 4),
        _ => (0xd3, 8),
    };
    out.push(mark);
    out.extend_from_slice(&bytes[8 - width..]);
}

fn put_double(out: &mut Vec<u8>, n: f64) {
    let single = n as f32;
    if f64::from(single) == n {
        out.push(0xca);
        out.extend_from_slice(&single.to_be_bytes());
    } else {
        out.push(0xcb);
        out.extend_from_slice(&n.to_be_bytes());
    }
}

fn put_table(out: &mut Vec<u8>, table: &Table, level: usize) -> Outcome<()> {
    let (mut count, mut max, mut is_array) = (0_usize, 0.0_f64, true);
    table.for_each(|key: Value, _: Value| {
        count += 1;
        match number_of(&key).filter(|n| *n > 0.0 && *n as i32 as f64 == *n) {
            Some(n) => max = max.max(n),
            None => is_array = false,
        }
        Ok(())
    })?;
    if is_array && max == count as f64 {
        put_head(out, count, (0x90, 16), &[(2, 0xdc), (4, 0xdd)]);
        for index in 1..=count {
            put(out, &table.raw_get::<Value>(index)?, level + 1)?;
        }
        return Ok(());
    }
    put_head(out, count, (0x80, 16), &[(2, 0xde), (4, 0xdf)]);
    for pair in table.pairs::<Value, Value>() {
        let (key, value) = pair?;
        put(out, &key, level + 1)?;
        put(out, &value, level + 1)?;
    }
    Ok(())
}

fn unpack(lua: &Lua, args: MultiValue) -> Outcome<MultiValue> {
    let args = Arguments::new(lua, "unpack", args);
    unpack_from(lua, &args.string(1)?, 0, 0)
}

fn unpack_one(lua: &Lua, args: MultiValue) -> Outcome<MultiValue> {
    let args = Arguments::new(lua, "unpack_one", args);
    let offset = args.integer_or(2, 0)?;
    unpack_from(lua, &args.string(1)?, 1, offset)
}

fn unpack_limit(lua: &Lua, args: MultiValue) -> Outcome<MultiValue> {
    let args = Arguments::new(lua, "unpack_limit", args);
    let (limit, offset) = (args.integer(2)?, args.integer_or(3, 0)?);
    unpack_from(lua, &args.string(1)?, limit, offset)
}

fn unpack_from(lua: &Lua, input: &LuaString, limit: i64, offset: i64) -> Outcome<MultiValue> {
    let input = input.as_bytes();
    let all = limit == 0 && offset == 0;
    if limit < 0 || offset < 0 {
        return Err(Raise::text(format!(
            "Invalid request to unpack with offset of {offset} and limit of {}.",
            input.len()
        )));
    }
    let Some(rest) = input.get(offset as usize..) else {
        return Err(Raise::text(format!(
            "Start offset {offset} greater than input length {}.",
            input.len()
        )));
    };
    let mut reader = Reader { lua, rest };
    let mut values = Vec::new();
    while !reader.rest.is_empty() && (all || (values.len() as i64) < limit) {
        if values.len() == VALUES_MAX {
            return Err(Raise::text(
                "stack overflow (too many return values at once; use unpack_one or unpack_limit instead.)",
            ));
        }
        values.push(reader.value(0)?);
    }
    if !all {
        let next = match reader.rest.len() {
            0 => -1,
            left => (input.len() - left) as i64,
        };
        values.insert(0, Value::Integer(next));
    }
    Ok(MultiValue::from_vec(values))
}

struct Reader<'a> {
    lua: &'a Lua,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> Outcome<&'a [u8]> {
        let Some((taken, rest)) = self.rest.split_at_checked(n) else {
            return Err(Raise::text("Missing bytes in input."));
        };
        self.rest = rest;
        Ok(taken)
    }

    /// A big-endian number of so many bytes.
    fn unsigned(&mut self, bytes: usize) -> Outcome<u64> {
        let number = self.take(bytes)?.iter().fold(0, |n, byte| n << 8 | u64::from(*byte));
        Ok(number)
    }

    fn string(&mut self, len: u64) -> Outcome<Value> {
        let bytes = self.take(len as usize)?;
        Ok(raise::bytes(self.lua, bytes)?)
    }

    fn value(&mut self, depth: usize) -> Outcome<Value> {
        if depth > DEPTH_MAX {
            return Err(Raise::text("stack overflow (in function mp_decode_to_lua_type)"));
        }
        let mark = self.take(1)?[0];
        let number = |n: f64| Ok(Value::Number(n));
        match mark {
            0x00..=0x7f => number(mark.into()),
            0xe0..=0xff => number((mark as i8).into()),
            0x80..=0x8f => self.map((mark & 0xf).into(), depth),
            0x90..=0x9f => self.array((mark & 0xf).into(), depth),
            0xa0..=0xbf => self.string((mark & 0x1f).into()),
            0xc0 => Ok(Value::Nil),
            0xc2 | 0xc3 => Ok(Value::Boolean(mark == 0xc3)),
            0xca => {
                let bits = self.unsigned(4)? as u32;
                number(f32::from_bits(bits).into())
            }
            0xcb => {
                let bits = self.unsigned(8)?;
                number(f64::from_bits(bits))
            }
            0xcc..=0xcf => {
                let n = self.unsigned(1 << (mark - 0xcc))?;
                number(n as f64)
            }
            0xd0..=0xd3 => {
                let bytes = 1 << (mark - 0xd0);
                let unused = 64 - 8 * bytes as u32;
                let n = self.unsigned(bytes)?;
                number(((n << unused) as i64 >> unused) as f64)
            }
            0xd9..=0xdb => {
                let len = self.unsigned(1 << (mark - 0xd9))?;
                self.string(len)
            }
            0xdc | 0xdd => {
                let len = self.unsigned(2 << (mark - 0xdc))?;
                self.array(len, depth)
            }
            0xde | 0xdf => {
                let len = self.unsigned(2 << (mark - 0xde))?;
                self.map(len, depth)
            }
            _ => Err(Raise::text("Bad data format in input.")),
        }
    }

    fn array(&mut self, len: u64, depth: usize) -> Outcome<Value> {
        let table = self.lua.create_table()?;
        for index in 1..=len {
            let value = self.value(depth + 1)?;
            table.raw_set(index as f64, value)?;
        }
        Ok(Value::Table(table))
    }

    fn map(&mut self, len: u64, depth: usize) -> Outcome<Value> {
        let table = self.lua.create_table()?;
        for _ in 0..len {
            let key = self.value(depth + 1)?;
            let value = self.value(depth + 1)?;
            match key {
                Value::Nil => return Err(Raise::text("table index is nil")),
                Value::Number(n) if n.is_nan() => return Err(Raise::text("table index is NaN")),
                key => table.raw_set(key, value)?,
            }
        }
        Ok(Value::Table(table))
    }
}
