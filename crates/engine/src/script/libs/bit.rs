//! `bit`: operations on 32 bits, as signed numbers.

use mlua::{Lua, MultiValue, Result, Table};

use super::arguments::Arguments;
use crate::script::raise::{self, Raise};

/// Added to a number, this leaves its lowest bits in those of the sum: how the numbers become bits.
const TO_BITS: f64 = 6_755_399_441_055_744.0;

type Map = fn(u32) -> u32;
type Fold = fn(u32, u32) -> u32;

pub(crate) fn table(lua: &Lua) -> Result<Table> {
    let table = lua.create_table()?;
    let one: [(&str, Map); 3] = [("tobit", |b| b), ("bnot", |b| !b), ("bswap", u32::swap_bytes)];
    for (name, of) in one {
        let function = move |lua: &Lua, args: MultiValue| {
            let args = Arguments::new(lua, name, args);
            Ok(number(of(bits(&args, 1)?)))
        };
        table.raw_set(name, raise::function(lua, function)?)?;
    }
    let all: [(&str, Fold); 3] =
        [("band", |a, b| a & b), ("bor", |a, b| a | b), ("bxor", |a, b| a ^ b)];
    for (name, fold) in all {
        let function = move |lua: &Lua, args: MultiValue| {
            let args = Arguments::new(lua, name, args);
            let mut result = bits(&args, 1)?;
            for at in (2..=args.len()).rev() {
                result = fold(result, bits(&args, at)?);
            }
            Ok(number(result))
        };
        table.raw_set(name, raise::function(lua, function)?)?;
    }
    let shifts: [(&str, Fold); 5] = [
        ("lshift", |b, n| b << n),
        ("rshift", |b, n| b >> n),
        ("arshift", |b, n| ((b as i32) >> n) as u32),
        ("rol", u32::rotate_left),
        ("ror", u32::rotate_right),
    ];
    for (name, shift) in shifts {
        let function = move |lua: &Lua, args: MultiValue| {
            let args = Arguments::new(lua, name, args);
            Ok(number(shift(bits(&args, 1)?, bits(&args, 2)? & 31)))
        };
        table.raw_set(name, raise::function(lua, function)?)?;
    }
    table.raw_set("tohex", raise::function(lua, to_hex)?)?;
    Ok(table)
}

/// The last digits, as many as asked for; in capitals for a negative count.
fn to_hex(lua: &Lua, args: MultiValue) -> std::result::Result<String, Raise> {
    let args = Arguments::new(lua, "tohex", args);
    let value = bits(&args, 1)?;
    let count = if args.len() < 2 { 8 } else { bits(&args, 2)? as i32 };
    let digits = count.unsigned_abs().min(8) as usize;
    let text = if count < 0 { format!("{value:08X}") } else { format!("{value:08x}") };
    Ok(text[8 - digits..].to_string())
}

fn bits(args: &Arguments<'_>, at: usize) -> std::result::Result<u32, Raise> {
    Ok((args.number(at)? + TO_BITS).to_bits() as u32)
}

fn number(bits: u32) -> f64 {
    f64::from(bits as i32)
}
