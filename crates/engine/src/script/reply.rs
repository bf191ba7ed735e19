//! A script's result as a reply.
//!
//! It is read on the stack of Lua, where nothing here raises an error, so that no protected call is needed: what is
//! looked up is looked up raw, the state's memory is not limited any more, and room on the stack is made sure of before
//! anything is pushed.

use std::ffi::{CStr, c_int};

use mlua::ffi::{self, lua_State};
use mlua::{IntoLua, Lua, Result, Table, Value};
use protocol::{ReplyBuf, Resp};

use super::libs::DEPTH_MAX;

/// Slots that looking into a table takes beside what is handed on to the next level.
const SLOTS: c_int = 8;

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
    pub(crate) fn of_raised(lua: &Lua, table: &Table) -> Result<ScriptError> {
        let read = |state| {
            // SAFETY: `on_top` has put the table there and made room.
            unsafe {
                let unknown = || ScriptError {
                    text: b"ERR unknown error".to_vec(),
                    ..ScriptError::place(state)
                };
                ScriptError::at_top(state).unwrap_or_else(unknown)
            }
        };
        on_top(lua, table, read)
    }

    /// What the table on top of the stack says, if it is an error.
    unsafe fn at_top(state: *mut lua_State) -> Option<ScriptError> {
        // SAFETY: a table is on top, and `SLOTS` are free.
        unsafe {
            push_field(state, c"err");
            let text = top_text(state).map(<[u8]>::to_vec);
            ffi::lua_pop(state, 1);
            let text = text?;
            push_field(state, c"ignore_error_stats_update");
            let is_counted =
                ffi::lua_isboolean(state, -1) != 0 && ffi::lua_toboolean(state, -1) != 0;
            ffi::lua_pop(state, 1);
            Some(ScriptError { text, is_counted, ..ScriptError::place(state) })
        }
    }

    /// Where the error that is the table on top of the stack comes from.
    unsafe fn place(state: *mut lua_State) -> ScriptError {
        // SAFETY: a table is on top, and `SLOTS` are free.
        unsafe {
            push_field(state, c"source");
            let source = top_text(state).map(|text| String::from_utf8_lossy(text).into_owned());
            push_field_of(state, -2, c"line");
            let line = top_number(state).map(|line| line as i64);
            ffi::lua_pop(state, 2);
            ScriptError { source, line, ..ScriptError::default() }
        }
    }
}

/// Writes `value` for a client; `resp` is the protocol that the script speaks. Errors within are told to `failed`.
pub(crate) fn write(
    lua: &Lua,
    out: &mut ReplyBuf,
    resp: Resp,
    value: &Value,
    failed: &mut dyn FnMut(&ScriptError),
) -> Result<()> {
    let mut writer = Writer { out, resp, failed };
    // SAFETY: `on_top` has put the value there.
    on_top(lua, value, |state| unsafe { writer.top(state, 0) })
}

/// Has `work` done with `value` on top of the stack and `SLOTS` free, and puts the stack back as it was.
fn on_top<R>(lua: &Lua, value: impl IntoLua, work: impl FnOnce(*mut lua_State) -> R) -> Result<R> {
    lua.exec_raw_lua(|raw| {
        let state = raw.state();
        // SAFETY: what is taken away at the end was put there meanwhile.
        unsafe {
            let base = ffi::lua_gettop(state);
            if ffi::lua_checkstack(state, SLOTS + 1) == 0 {
                return Err(mlua::Error::StackError);
            }
            raw.push(value)?;
            let result = work(state);
            ffi::lua_settop(state, base);
            Ok(result)
        }
    })
}

/// The field of the table on top of the stack, which the field is put on.
unsafe fn push_field(state: *mut lua_State, name: &CStr) {
    // SAFETY: as of the function called.
    unsafe { push_field_of(state, -1, name) }
}

/// The field of the table at `at`, counted from the top.
unsafe fn push_field_of(state: *mut lua_State, at: c_int, name: &CStr) {
    // SAFETY: a table is there, and a slot is free.
    unsafe {
        ffi::lua_pushlstring_(state, name.as_ptr(), name.count_bytes());
        ffi::lua_rawget_(state, at - 1);
    }
}

/// A string on top of the stack; good while it stays there.
unsafe fn top_text<'a>(state: *mut lua_State) -> Option<&'a [u8]> {
    // SAFETY: something is on top. What a string points to lasts as long as the string.
    unsafe {
        if ffi::lua_type(state, -1) != ffi::LUA_TSTRING {
            return None;
        }
        let mut len = 0;
        let start = ffi::lua_tolstring(state, -1, &mut len);
        Some(std::slice::from_raw_parts(start.cast(), len))
    }
}

unsafe fn top_number(state: *mut lua_State) -> Option<f64> {
    // SAFETY: something is on top.
    unsafe {
        let is_number = ffi::lua_type(state, -1) == ffi::LUA_TNUMBER;
        is_number.then(|| ffi::lua_tonumber(state, -1))
    }
}

/// What a table stands for.
enum Shape {
    /// One reply, which is written.
    Whole,
    /// A map or a set, whose table was put on top of the stack.
    Map,
    Set,
    Array,
}

struct Writer<'a> {
    out: &'a mut ReplyBuf,
    resp: Resp,
    failed: &'a mut dyn FnMut(&ScriptError),
}

impl Writer<'_> {
    fn boolean(&mut self, truth: bool) {
        match (self.resp, truth) {
            (Resp::V3, truth) => self.out.bool(truth),
            (_, true) => self.out.int(1),
            (_, false) => self.out.null(),
        }
    }

    /// Writes what is on top of the stack, and leaves it there.
    unsafe fn top(&mut self, state: *mut lua_State, depth: usize) {
        // SAFETY: something is on top, and room is made before more is pushed.
        unsafe {
            match ffi::lua_type(state, -1) {
                ffi::LUA_TSTRING => self.out.bulk(top_text(state).unwrap_or_default()),
                ffi::LUA_TBOOLEAN => self.boolean(ffi::lua_toboolean(state, -1) != 0),
                ffi::LUA_TNUMBER => self.out.int(truncated(ffi::lua_tonumber(state, -1))),
                ffi::LUA_TTABLE if depth > DEPTH_MAX || ffi::lua_checkstack(state, SLOTS) == 0 => {
                    self.out.error("ERR reached lua stack limit");
                }
                ffi::LUA_TTABLE => match self.shape(state) {
                    Shape::Whole => {}
                    Shape::Map => self.pairs(state, depth, true),
                    Shape::Set => self.pairs(state, depth, false),
                    Shape::Array => self.array(state, depth),
                },
                _ => self.out.null(),
            }
        }
    }

    /// What the table on top stands for; what holds nothing else is written. Not a part of `top`, whose frame is on
    /// the stack once for every level.
    #[inline(never)]
    unsafe fn shape(&mut self, state: *mut lua_State) -> Shape {
        // SAFETY: a table is on top, and `SLOTS` are free.
        unsafe {
            if let Some(error) = ScriptError::at_top(state) {
                self.out.error(&error.text);
                (self.failed)(&error);
                return Shape::Whole;
            }
            let base = ffi::lua_gettop(state);
            push_field(state, c"ok");
            if let Some(text) = top_text(state) {
                self.out.raw(b"+");
                self.out.raw(&one_line(text));
                self.out.raw(b"\r\n");
                ffi::lua_settop(state, base);
                return Shape::Whole;
            }
            push_field_of(state, -2, c"double");
            if let Some(number) = top_number(state) {
                self.out.double(number);
                ffi::lua_settop(state, base);
                return Shape::Whole;
            }
            ffi::lua_settop(state, base);
            push_field(state, c"big_number");
            if let Some(digits) = top_text(state) {
                self.out.big_number(&one_line(digits));
                ffi::lua_settop(state, base);
                return Shape::Whole;
            }
            push_field_of(state, -2, c"verbatim_string");
            if ffi::lua_istable(state, -1) != 0 && self.verbatim(state) {
                ffi::lua_settop(state, base);
                return Shape::Whole;
            }
            ffi::lua_settop(state, base);
            for (name, shape) in [(c"map", Shape::Map), (c"set", Shape::Set)] {
                push_field(state, name);
                if ffi::lua_istable(state, -1) != 0 {
                    return shape;
                }
                ffi::lua_pop(state, 1);
            }
            Shape::Array
        }
    }

    unsafe fn array(&mut self, state: *mut lua_State, depth: usize) {
        let mark = self.out.defer_array();
        let mut count = 0;
        // SAFETY: a table is on top, and `SLOTS` are free.
        unsafe {
            // A table has no more elements than an index can say.
            while let Ok(index) = c_int::try_from(count + 1) {
                ffi::lua_rawgeti_(state, -1, index);
                if ffi::lua_isnil(state, -1) != 0 {
                    ffi::lua_pop(state, 1);
                    break;
                }
                self.top(state, depth + 1);
                ffi::lua_pop(state, 1);
                count += 1;
            }
        }
        self.out.finish_array(mark, count);
    }

    /// Whether the table on top is a verbatim string, which is written then. A format has three letters: what is
    /// missing are blanks.
    unsafe fn verbatim(&mut self, state: *mut lua_State) -> bool {
        // SAFETY: a table is on top, and two slots are free; the caller takes away what is left on the stack.
        let (format, text) = unsafe {
            push_field(state, c"format");
            let Some(format) = top_text(state) else { return false };
            push_field_of(state, -2, c"string");
            let Some(text) = top_text(state) else { return false };
            (format, text)
        };
        let mut letters = [b' '; 3];
        for (letter, given) in letters.iter_mut().zip(format) {
            *letter = *given;
        }
        let format = String::from_utf8_lossy(&one_line(&letters)).into_owned();
        match format.len() {
            3 => self.out.verbatim(&format, text),
            _ => self.out.verbatim("   ", text),
        }
        true
    }

    /// Writes the keys of the table on top, with their values if it is a map, and takes the table away.
    unsafe fn pairs(&mut self, state: *mut lua_State, depth: usize, is_map: bool) {
        let mark = self.out.defer_array();
        let mut count = 0;
        // SAFETY: a table is on top, and `SLOTS` are free.
        unsafe {
            ffi::lua_pushnil(state);
            while ffi::lua_next(state, -2) != 0 {
                count += 1;
                // The key is below its value, and has to be left as it is.
                ffi::lua_pushvalue(state, -2);
                self.top(state, depth + 1);
                ffi::lua_pop(state, 1);
                if is_map {
                    self.top(state, depth + 1);
                }
                ffi::lua_pop(state, 1);
            }
            ffi::lua_pop(state, 1);
        }
        match is_map {
            true => self.out.finish_map(mark, count),
            false => self.out.finish_set(mark, count),
        }
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
