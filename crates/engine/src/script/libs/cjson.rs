//! `cjson`: JSON, with the options that its users know. Options hold for a state, as they do in Redis.

mod decode;
mod encode;
mod options;

use std::cell::Cell;
use std::rc::Rc;

use mlua::{IntoLua, Lua, MultiValue, Result, Table, Value};

use options::{Invalid, Options, Outcome};

use super::arguments::Arguments;
use crate::script::raise::{self, Raise};

/// Where an option is.
type Field<T> = fn(&mut Options) -> &mut T;

type Shared = Rc<Cell<Options>>;

pub(crate) fn table(lua: &Lua) -> Result<Table> {
    let table = lua.create_table()?;
    let shared = Shared::default();
    add_codec(lua, &table, &shared)?;
    add_depths(lua, &table, &shared)?;
    add_switches(lua, &table, &shared)?;
    table.raw_set("new", lua.create_function(|lua, ()| self::table(lua))?)?;
    table.raw_set("null", Value::NULL)?;
    table.raw_set("_NAME", "cjson")?;
    table.raw_set("_VERSION", "2.1.0")?;
    Ok(table)
}

fn add_codec(lua: &Lua, table: &Table, shared: &Shared) -> Result<()> {
    let options = Rc::clone(shared);
    let encode = move |lua: &Lua, args: MultiValue| match one(&args) {
        Some(value) => encode::encode(lua, options.get(), value),
        None => Err(Raise::argument(1, "encode", "expected 1 argument")),
    };
    table.raw_set("encode", raise::function(lua, encode)?)?;
    let options = Rc::clone(shared);
    let decode = move |lua: &Lua, args: MultiValue| {
        if one(&args).is_none() {
            return Err(Raise::argument(1, "decode", "expected 1 argument"));
        }
        let text = Arguments::new(lua, "decode", args).string(1)?;
        decode::decode(lua, options.get(), &text.as_bytes())
    };
    table.raw_set("decode", raise::function(lua, decode)?)
}

fn one(args: &MultiValue) -> Option<&Value> {
    if args.len() == 1 { args.front() } else { None }
}

fn add_depths(lua: &Lua, table: &Table, shared: &Shared) -> Result<()> {
    let numbers: [(&str, i32, Field<i32>); 3] = [
        ("encode_max_depth", i32::MAX, |o| &mut o.encode_max_depth),
        ("decode_max_depth", i32::MAX, |o| &mut o.decode_max_depth),
        ("encode_number_precision", 14, |o| &mut o.number_precision),
    ];
    for (name, max, field) in numbers {
        let shared = Rc::clone(shared);
        let function = move |lua: &Lua, args: MultiValue| {
            let mut options = shared.get();
            let args = at_most(lua, name, args, 1)?;
            let number = integer_option(&args, 1, field(&mut options), 1, max)?;
            shared.set(options);
            Ok(number)
        };
        table.raw_set(name, raise::function(lua, function)?)?;
    }
    let shared = Rc::clone(shared);
    let sparse = move |lua: &Lua, args: MultiValue| {
        let mut options = shared.get();
        let args = at_most(lua, "encode_sparse_array", args, 3)?;
        let convert = switch(&args, options.sparse_convert)?;
        options.sparse_convert = convert;
        let ratio = integer_option(&args, 2, &mut options.sparse_ratio, 0, i32::MAX)?;
        let safe = integer_option(&args, 3, &mut options.sparse_safe, 0, i32::MAX)?;
        shared.set(options);
        Ok((convert, ratio, safe))
    };
    table.raw_set("encode_sparse_array", raise::function(lua, sparse)?)
}

fn add_switches(lua: &Lua, table: &Table, shared: &Shared) -> Result<()> {
    let switches: [(&str, Field<bool>); 2] = [
        ("encode_keep_buffer", |o| &mut o.keep_buffer),
        ("decode_invalid_numbers", |o| &mut o.decode_invalid),
    ];
    for (name, field) in switches {
        let shared = Rc::clone(shared);
        let function = move |lua: &Lua, args: MultiValue| {
            let mut options = shared.get();
            let args = at_most(lua, name, args, 1)?;
            let on = switch(&args, *field(&mut options))?;
            *field(&mut options) = on;
            shared.set(options);
            Ok(on)
        };
        table.raw_set(name, raise::function(lua, function)?)?;
    }
    let shared = Rc::clone(shared);
    let invalid = move |lua: &Lua, args: MultiValue| {
        let mut options = shared.get();
        let args = at_most(lua, "encode_invalid_numbers", args, 1)?;
        options.encode_invalid = match args.get(1) {
            None | Some(Value::Nil) => options.encode_invalid,
            Some(Value::Boolean(true)) => Invalid::Spelled,
            Some(Value::Boolean(false)) => Invalid::Refused,
            Some(_) => match &*args.string(1)?.as_bytes() {
                b"off" => Invalid::Refused,
                b"on" => Invalid::Spelled,
                b"null" => Invalid::Null,
                other => return Err(invalid_option(&args, other)),
            },
        };
        shared.set(options);
        Ok(match options.encode_invalid {
            Invalid::Null => "null".into_lua(lua)?,
            set => Value::Boolean(set == Invalid::Spelled),
        })
    };
    table.raw_set("encode_invalid_numbers", raise::function(lua, invalid)?)
}

fn at_most<'a>(
    lua: &'a Lua,
    name: &'static str,
    args: MultiValue,
    max: usize,
) -> Outcome<Arguments<'a>> {
    match args.len() > max {
        true => Err(Raise::argument(max + 1, name, "found too many arguments")),
        false => Ok(Arguments::new(lua, name, args)),
    }
}

fn integer_option(
    args: &Arguments<'_>,
    at: usize,
    setting: &mut i32,
    min: i32,
    max: i32,
) -> Outcome<i32> {
    if !matches!(args.get(at), None | Some(Value::Nil)) {
        let value = args.integer(at)?;
        match i32::try_from(value) {
            Ok(value) if (min..=max).contains(&value) => *setting = value,
            _ => return Err(args.error(1, &format!("expected integer between {min} and {max}"))),
        }
    }
    Ok(*setting)
}

fn switch(args: &Arguments<'_>, setting: bool) -> Outcome<bool> {
    match args.get(1) {
        None | Some(Value::Nil) => Ok(setting),
        Some(Value::Boolean(on)) => Ok(*on),
        Some(_) => match &*args.string(1)?.as_bytes() {
            b"off" => Ok(false),
            b"on" => Ok(true),
            other => Err(invalid_option(args, other)),
        },
    }
}

fn invalid_option(args: &Arguments<'_>, given: &[u8]) -> Raise {
    args.error(1, &format!("invalid option '{}'", String::from_utf8_lossy(given)))
}
