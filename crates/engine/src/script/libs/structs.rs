//! `struct`: numbers and strings packed by a format, as C lays them out.

use mlua::{Lua, MultiValue, Result, Table, Value};

use super::arguments::{Arguments, number_of};
use crate::script::raise::{self, Raise};

const INT_SIZE_MAX: usize = 32;
const ALIGN_MAX: usize = 8;

type Outcome<T> = std::result::Result<T, Raise>;

pub(crate) fn table(lua: &Lua) -> Result<Table> {
    let table = lua.create_table()?;
    table.raw_set("pack", raise::function(lua, pack)?)?;
    table.raw_set("unpack", raise::function(lua, unpack)?)?;
    table.raw_set("size", raise::function(lua, size)?)?;
    Ok(table)
}

/// A format as it is read: the options to come, and what those before have set.
struct Format<'a> {
    function: &'static str,
    rest: &'a [u8],
    is_big: bool,
    align: usize,
}

/// An option with its size, and the padding before it.
struct Field {
    option: u8,
    size: usize,
    padding: usize,
}

impl<'a> Format<'a> {
    fn new(function: &'static str, format: &'a [u8]) -> Format<'a> {
        // It is a C string.
        let end = memchr::memchr(0, format).unwrap_or(format.len());
        let is_big = cfg!(target_endian = "big");
        Format { function, rest: &format[..end], is_big, align: 1 }
    }

    /// The next option, at a place `at` bytes from the beginning.
    fn next(&mut self, at: usize) -> Outcome<Option<Field>> {
        let Some((&option, rest)) = self.rest.split_first() else { return Ok(None) };
        self.rest = rest;
        let size = match option {
            b'b' | b'B' | b'x' => 1,
            b'h' | b'H' => 2,
            b'l' | b'L' | b'T' | b'd' => 8,
            b'f' => 4,
            b'c' => self.number(1)?,
            b'i' | b'I' => {
                let size = self.number(4)?;
                if size > INT_SIZE_MAX {
                    return Err(Raise::text(format!(
                        "integral size {size} is larger than limit of {INT_SIZE_MAX}"
                    )));
                }
                size
            }
            _ => 0,
        };
        let padding = match option {
            b'c' => 0,
            _ if size == 0 => 0,
            _ => {
                let unit = size.min(self.align);
                unit.wrapping_sub(at & (unit - 1)) & (unit - 1)
            }
        };
        Ok(Some(Field { option, size, padding }))
    }

    fn number(&mut self, default: usize) -> Outcome<usize> {
        let digits = self.rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits == 0 {
            return Ok(default);
        }
        let (text, rest) = self.rest.split_at(digits);
        self.rest = rest;
        text.iter()
            .try_fold(0_i32, |n, digit| n.checked_mul(10)?.checked_add(i32::from(digit - b'0')))
            .map(|n| n as usize)
            .ok_or_else(|| Raise::text("integral size overflow"))
    }

    /// What is no field: byte order and alignment.
    fn control(&mut self, option: u8) -> Outcome<()> {
        match option {
            b' ' => {}
            b'>' => self.is_big = true,
            b'<' => self.is_big = false,
            b'!' => {
                let align = self.number(ALIGN_MAX)?;
                if !align.is_power_of_two() {
                    return Err(Raise::text(format!("alignment {align} is not a power of 2")));
                }
                self.align = align;
            }
            other => {
                let why = format!("invalid format option '{}'", char::from(other));
                return Err(Raise::argument(1, self.function, &why));
            }
        }
        Ok(())
    }

    /// Bytes in the machine's order, in the order of the format or back.
    fn ordered<const N: usize>(&self, mut bytes: [u8; N]) -> [u8; N] {
        if self.is_big {
            bytes.reverse();
        }
        bytes
    }

    fn put_integer(&self, out: &mut Vec<u8>, number: f64, size: usize) {
        let value = if number < 0.0 { number as i64 as u64 } else { number as u64 };
        let mut bytes = [0; INT_SIZE_MAX];
        bytes[..8].copy_from_slice(&value.to_le_bytes());
        if self.is_big {
            bytes[..size].reverse();
        }
        out.extend_from_slice(&bytes[..size]);
    }

    fn integer(&self, bytes: &[u8], is_signed: bool) -> f64 {
        let shift = |value: u64, byte: &u8| value << 8 | u64::from(*byte);
        let value = match self.is_big {
            true => bytes.iter().fold(0, shift),
            false => bytes.iter().rev().fold(0, shift),
        };
        if !is_signed {
            return value as f64;
        }
        let unused = 64_usize.saturating_sub(bytes.len() * 8) as u32;
        ((value << (unused & 63)) as i64 >> (unused & 63)) as f64
    }
}

fn pack(lua: &Lua, args: MultiValue) -> Outcome<Value> {
    let args = Arguments::new(lua, "pack", args).and_nil();
    let format = args.string(1)?;
    let format = format.as_bytes();
    let mut format = Format::new("pack", &format);
    let mut out = Vec::new();
    let mut arg = 2;
    while let Some(Field { option, size, padding }) = format.next(out.len())? {
        out.resize(out.len() + padding, 0);
        match option {
            b'b' | b'B' | b'h' | b'H' | b'l' | b'L' | b'T' | b'i' | b'I' => {
                format.put_integer(&mut out, args.number(arg)?, size);
                arg += 1;
            }
            b'x' => out.push(0),
            b'f' => {
                let bytes = (args.number(arg)? as f32).to_le_bytes();
                out.extend_from_slice(&format.ordered(bytes));
                arg += 1;
            }
            b'd' => {
                let bytes = args.number(arg)?.to_le_bytes();
                out.extend_from_slice(&format.ordered(bytes));
                arg += 1;
            }
            b'c' | b's' => {
                let string = args.string(arg)?;
                arg += 1;
                let string = string.as_bytes();
                let size = if size == 0 { string.len() } else { size };
                let part = string.get(..size).ok_or_else(|| args.error(arg, "string too short"))?;
                out.extend_from_slice(part);
                if option == b's' {
                    out.push(0);
                }
            }
            other => format.control(other)?,
        }
    }
    Ok(raise::bytes(lua, &out)?)
}

fn unpack(lua: &Lua, args: MultiValue) -> Outcome<MultiValue> {
    let args = Arguments::new(lua, "unpack", args);
    let (format, data) = (args.string(1)?, args.string(2)?);
    let (format, data) = (format.as_bytes(), data.as_bytes());
    let start = args.integer_or(3, 1)?;
    if start == 0 {
        return Err(args.error(3, "offset must be 1 or greater"));
    }
    let short = || args.error(2, "data string too short");
    let mut at = (start as u64).wrapping_sub(1) as usize;
    let mut format = Format::new("unpack", &format);
    let mut values: Vec<Value> = Vec::new();
    while let Some(Field { option, size, padding }) = format.next(at)? {
        at = at.checked_add(padding).ok_or_else(short)?;
        let rest = data.get(at..).ok_or_else(short)?;
        let field = rest.get(..size).ok_or_else(short)?;
        let mut taken = size;
        match option {
            b'b' | b'B' | b'h' | b'H' | b'l' | b'L' | b'T' | b'i' | b'I' => {
                let number = format.integer(field, option.is_ascii_lowercase());
                values.push(Value::Number(number));
            }
            b'f' => {
                let bytes = field.try_into().map_err(|_| short())?;
                let number = f32::from_le_bytes(format.ordered(bytes));
                values.push(Value::Number(number.into()));
            }
            b'd' => {
                let bytes = field.try_into().map_err(|_| short())?;
                values.push(Value::Number(f64::from_le_bytes(format.ordered(bytes))));
            }
            b'c' if size == 0 => {
                let size = values.pop().and_then(|value| number_of(&value));
                let size = size.ok_or_else(|| Raise::text("format 'c0' needs a previous size"))?;
                taken = if size < 0.0 { usize::MAX } else { size as usize };
                let field = rest.get(..taken).ok_or_else(short)?;
                values.push(raise::bytes(lua, field)?);
            }
            b'c' => values.push(raise::bytes(lua, field)?),
            b's' => {
                let end = memchr::memchr(0, rest);
                let end = end.ok_or_else(|| Raise::text("unfinished string in data"))?;
                values.push(raise::bytes(lua, &rest[..end])?);
                taken = end + 1;
            }
            b'x' => {}
            other => format.control(other)?,
        }
        at += taken;
    }
    values.push(Value::Number((at + 1) as f64));
    Ok(MultiValue::from_vec(values))
}

fn size(lua: &Lua, args: MultiValue) -> Outcome<f64> {
    let args = Arguments::new(lua, "size", args);
    let format = args.string(1)?;
    let format = format.as_bytes();
    let mut format = Format::new("size", &format);
    let mut at = 0_usize;
    while let Some(Field { option, size, padding }) = format.next(at)? {
        at += padding;
        match option {
            b's' => return Err(args.error(1, "option 's' has no fixed size")),
            b'c' if size == 0 => return Err(args.error(1, "option 'c0' has no fixed size")),
            option if !option.is_ascii_alphanumeric() => format.control(option)?,
            _ => {}
        }
        at += size;
    }
    Ok(at as f64)
}
