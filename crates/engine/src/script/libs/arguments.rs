//! How functions read their arguments: as Lua's own do, a number for a string that spells one and back, with the
//! same errors.

use mlua::{Lua, LuaString, MultiValue, Value};

use crate::script::raise::Raise;

/// The arguments of one call of `function`, counted from 1 as in Lua.
pub(crate) struct Arguments<'a> {
    lua: &'a Lua,
    function: &'static str,
    values: Vec<Value>,
}

impl<'a> Arguments<'a> {
    pub(crate) fn new(lua: &'a Lua, function: &'static str, values: MultiValue) -> Arguments<'a> {
        Arguments { lua, function, values: values.into_vec() }
    }

    /// With a nil behind them.
    pub(crate) fn and_nil(mut self) -> Arguments<'a> {
        self.values.push(Value::Nil);
        self
    }

    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    pub(crate) fn get(&self, at: usize) -> Option<&Value> {
        self.values.get(at - 1)
    }

    pub(crate) fn number(&self, at: usize) -> Result<f64, Raise> {
        let value = self.get(at);
        let number = match value {
            Some(Value::Integer(n)) => Some(*n as f64),
            Some(Value::Number(n)) => Some(*n),
            Some(Value::String(_)) => {
                self.lua.coerce_number(value.cloned().unwrap_or(Value::Nil))?
            }
            _ => None,
        };
        number.ok_or_else(|| self.wrong_type(at, "number"))
    }

    /// As Lua 5.1 makes an integer of a number.
    pub(crate) fn integer(&self, at: usize) -> Result<i64, Raise> {
        self.number(at).map(|number| number as i64)
    }

    pub(crate) fn integer_or(&self, at: usize, default: i64) -> Result<i64, Raise> {
        match self.get(at) {
            None | Some(Value::Nil) => Ok(default),
            Some(_) => self.integer(at),
        }
    }

    pub(crate) fn string(&self, at: usize) -> Result<LuaString, Raise> {
        match self.get(at) {
            Some(Value::String(string)) => Ok(string.clone()),
            Some(value @ (Value::Integer(_) | Value::Number(_))) => {
                self.lua.coerce_string(value.clone())?.ok_or_else(|| self.wrong_type(at, "string"))
            }
            _ => Err(self.wrong_type(at, "string")),
        }
    }

    pub(crate) fn error(&self, at: usize, why: &str) -> Raise {
        Raise::argument(at, self.function, why)
    }

    fn wrong_type(&self, at: usize, wanted: &str) -> Raise {
        let got = self.get(at).map_or("no value", type_name);
        self.error(at, &format!("{wanted} expected, got {got}"))
    }
}

/// A number, and no string that spells one.
pub(crate) fn number_of(value: &Value) -> Option<f64> {
    match value {
        Value::Integer(n) => Some(*n as f64),
        Value::Number(n) => Some(*n),
        _ => None,
    }
}

/// The type as a script sees it.
pub(crate) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Integer(_) => "number",
        Value::LightUserData(_) | Value::Error(_) | Value::Other(_) => "userdata",
        other => other.type_name(),
    }
}
