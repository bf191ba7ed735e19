//! What stands on the stack of a script that is stopped. Reading it only: a session changes no variable.

use std::ffi::c_int;

use mlua::ffi::{self, lua_Debug, lua_State};
use mlua::{Lua, LuaString, MultiValue, Result, Value};

/// A name, and what it stands for.
pub(super) type Local = (LuaString, Value);

/// A function that was called and has not returned.
pub(super) struct Frame {
    pub name: Option<String>,
    pub is_script: bool,
    pub line: usize,
}

/// Whether code of that source is the script.
pub(super) fn is_script(short_src: Option<&str>) -> bool {
    short_src.is_some_and(|name| name.contains("user_script"))
}

/// The innermost first.
pub(super) fn frames(lua: &Lua) -> Vec<Frame> {
    let at = |level| {
        lua.inspect_stack(level, |frame| Frame {
            is_script: is_script(frame.source().short_src.as_deref()),
            line: frame.current_line().unwrap_or(0),
            name: frame.names().name.map(|name| name.into_owned()),
        })
    };
    (0..).map_while(at).collect()
}

/// The local variables of the function `level` calls out of the one that is stopped; none where there is none.
pub(super) fn locals(lua: &Lua, level: c_int) -> Result<Option<Vec<Local>>> {
    // SAFETY: `push_locals` makes room for what it pushes, and only pushes.
    let pushed: MultiValue = unsafe { lua.exec_raw((), |state| push_locals(state, level))? };
    let mut pushed = pushed.into_iter();
    if pushed.next().is_none() {
        return Ok(None);
    }
    let mut locals = Vec::new();
    while let (Some(Value::String(name)), Some(value)) = (pushed.next(), pushed.next()) {
        locals.push((name, value));
    }
    Ok(Some(locals))
}

/// Pushes a value if there is such a frame, and then each name with its value.
unsafe fn push_locals(state: *mut lua_State, level: c_int) {
    // SAFETY: `frame` is filled by `lua_getstack` before it is read, and the stack has room for three more values
    // at each turn, or the turn does not come.
    unsafe {
        let mut frame: lua_Debug = std::mem::zeroed();
        let mut base = 0;
        // What runs this is a function in C, and stands above the one that is stopped.
        loop {
            if ffi::lua_getstack(state, base, &mut frame) == 0 {
                return;
            }
            ffi::lua_getinfo(state, c"S".as_ptr(), &mut frame);
            if *frame.what != b'C' as std::ffi::c_char {
                break;
            }
            base += 1;
        }
        if ffi::lua_getstack(state, base + level, &mut frame) == 0 {
            return;
        }
        ffi::lua_pushboolean(state, 1);
        for at in 1.. {
            if ffi::lua_checkstack(state, 3) == 0 {
                return;
            }
            let name = ffi::lua_getlocal(state, &frame, at);
            if name.is_null() {
                return;
            }
            ffi::lua_pushstring(state, name);
            ffi::lua_insert(state, -2);
        }
    }
}
