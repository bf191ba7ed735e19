//! Functions in Rust that raise errors as Lua's own do: a value, or a text with the place in the script before it.

use mlua::{FromLuaMulti, Function, IntoLua, IntoLuaMulti, Lua, MultiValue, Result, Table, Value};

use super::c_functions;

/// What a function raises.
pub(crate) enum Raise {
    /// The place where it was called goes before it.
    Text(Vec<u8>),
    /// As it is.
    Table(Table),
}

impl Raise {
    pub(crate) fn text(text: impl Into<String>) -> Raise {
        Raise::Text(text.into().into_bytes())
    }

    /// The text that Lua's own libraries have for an argument that is not what it should be.
    pub(crate) fn argument(at: usize, function: &str, why: &str) -> Raise {
        Raise::text(format!("bad argument #{at} to '{function}' ({why})"))
    }
}

impl From<mlua::Error> for Raise {
    fn from(error: mlua::Error) -> Raise {
        Raise::text(message(&error))
    }
}

/// A function of `inner`, whose errors are raised.
pub(crate) fn function<A, R>(
    lua: &Lua,
    inner: impl Fn(&Lua, A) -> std::result::Result<R, Raise> + 'static,
) -> Result<Function>
where
    A: FromLuaMulti,
    R: IntoLuaMulti,
{
    let inner = lua.create_function(move |lua, args: MultiValue| {
        let result = match A::from_lua_multi(args, lua) {
            Ok(args) => inner(lua, args),
            Err(error) => Err(Raise::from(error)),
        };
        match result {
            Ok(values) => {
                let mut values = values.into_lua_multi(lua)?;
                values.push_front(Value::Boolean(true));
                Ok(values)
            }
            Err(Raise::Table(table)) => (false, table).into_lua_multi(lua),
            Err(Raise::Text(text)) => (false, lua.create_string(text)?).into_lua_multi(lua),
        }
    })?;
    c_functions::raising(lua, inner)
}

/// What an error of the library says, in one line and without the way by which it came.
pub(crate) fn message(error: &mlua::Error) -> String {
    match error {
        mlua::Error::CallbackError { cause, .. } => message(cause),
        mlua::Error::RuntimeError(text) | mlua::Error::MemoryError(text) => {
            text.split("\nstack traceback:").next().unwrap_or(text).to_string()
        }
        other => other.to_string(),
    }
}

/// A string of any bytes as a Lua value.
pub(crate) fn bytes(lua: &Lua, bytes: &[u8]) -> Result<Value> {
    lua.create_string(bytes)?.into_lua(lua)
}
