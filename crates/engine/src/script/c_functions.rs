//! The few functions of a Lua state that have to be C functions: what raises a Lua value, what guards a table
//! that is not to be changed, and what replaces a function of Lua 5.1 that is not safe. Everything else that a
//! script can call is safe Rust.
//!
//! Errors of Lua jump over the frames between them and the next protected call, so nothing here holds a value
//! that has to be dropped.

use std::ffi::c_int;

use mlua::ffi::{self, lua_State, lua_upvalueindex};
use mlua::{Function, Lua, Result, Table};
use protocol::Args;

/// What changing a protected table is answered.
const READONLY: &std::ffi::CStr = c"Attempt to modify a readonly table";

/// Errors of an error handler that it is called for again: as deep as calls of C functions go.
const HANDLED_MAX: usize = 200;

/// A function that calls `inner` and passes its results on but for the first, which says whether all went well.
/// If it did not, the second is raised as it is, a string with the place in the script before it.
pub(crate) fn raising(lua: &Lua, inner: Function) -> Result<Function> {
    closure(lua, raise_or_return, (inner,))
}

/// `function(f, handler, ...)`: true and the first result of `f(...)`, or false and what `handler` made of the error.
pub(crate) fn protected_call(lua: &Lua) -> Result<Function> {
    closure(lua, call_protected, ())
}

/// What a function of a script or a library is called with.
pub(crate) struct Call<'a> {
    /// Its number in the table of functions.
    pub function: i64,
    pub keys: Args<'a>,
    pub argv: Args<'a>,
    /// They are the globals KEYS and ARGV; otherwise it is given them.
    pub as_globals: bool,
}

/// `function(call)`, where `call` leads to a [`Call`]: as [`protected_call`]. All that a call needs is done in
/// the one step into the state that it takes anyhow.
pub(crate) fn numbered_call(
    lua: &Lua,
    handler: &Function,
    functions: &Table,
    globals: &Table,
) -> Result<Function> {
    closure(lua, call_numbered, (handler, functions, globals, "KEYS", "ARGV"))
}

/// The C function `inner`, for all but the tables in `protected`, which it must not change.
pub(crate) fn guarded(lua: &Lua, inner: Function, protected: &Table) -> Result<Function> {
    closure(lua, refuse_protected, (inner, protected))
}

/// The C function `inner`, which sees what stands behind a table in `protected`.
pub(crate) fn seeing_through(lua: &Lua, inner: Function, protected: &Table) -> Result<Function> {
    closure(lua, see_through, (inner, protected))
}

/// `pairs`, over `next`.
pub(crate) fn pairs(lua: &Lua, next: Function) -> Result<Function> {
    closure(lua, pairs_with, (next,))
}

/// `unpack`, whose bounds cannot overflow.
pub(crate) fn unpack(lua: &Lua) -> Result<Function> {
    closure(lua, unpack_list, ())
}

/// `setfenv`, but for the environment of the thread, in which other scripts would run.
pub(crate) fn setfenv(lua: &Lua, inner: Function, protected: &Table) -> Result<Function> {
    closure(lua, refuse_thread, (inner, protected))
}

/// `pcall`, which gives the text of an error of `redis.call` in place of its table.
pub(crate) fn pcall(lua: &Lua) -> Result<Function> {
    closure(lua, call_and_catch, ())
}

/// `xpcall`, whose handler runs when the error has left what raised it.
pub(crate) fn xpcall(lua: &Lua) -> Result<Function> {
    closure(lua, call_and_handle, ())
}

/// What assigning to a protected table calls.
pub(crate) fn refuse(lua: &Lua) -> Result<Function> {
    closure(lua, refuse_change, ())
}

fn closure(
    lua: &Lua,
    function: unsafe extern "C-unwind" fn(*mut lua_State) -> c_int,
    upvalues: impl mlua::IntoLuaMulti,
) -> Result<Function> {
    // SAFETY: what `exec_raw` has pushed are the upvalues and nothing else, and they are replaced by one function.
    unsafe {
        lua.exec_raw(upvalues, |state| {
            let count = ffi::lua_gettop(state);
            ffi::lua_pushcclosure(state, function, count);
        })
    }
}

unsafe extern "C-unwind" fn raise_or_return(state: *mut lua_State) -> c_int {
    // SAFETY: the stack of a C function begins with its arguments, and one slot more than they take is free.
    unsafe {
        let count = ffi::lua_gettop(state);
        ffi::lua_pushvalue(state, lua_upvalueindex(1));
        ffi::lua_insert(state, 1);
        ffi::lua_call(state, count, ffi::LUA_MULTRET);
        if ffi::lua_toboolean(state, 1) != 0 {
            return ffi::lua_gettop(state) - 1;
        }
        ffi::lua_settop(state, 2);
        if ffi::lua_type(state, 2) == ffi::LUA_TSTRING {
            ffi::luaL_where(state, 1);
            ffi::lua_insert(state, 2);
            ffi::lua_concat(state, 2);
        }
        ffi::lua_error(state)
    }
}

unsafe extern "C-unwind" fn call_protected(state: *mut lua_State) -> c_int {
    // SAFETY: the caller passes a function and a handler at least.
    unsafe {
        let count = ffi::lua_gettop(state) - 2;
        // The handler below the function.
        ffi::lua_pushvalue(state, 1);
        ffi::lua_remove(state, 1);
        ffi::lua_insert(state, 2);
        let ended = ffi::lua_pcall(state, count, 1, 1);
        ffi::lua_pushboolean(state, c_int::from(ended == ffi::LUA_OK));
        ffi::lua_insert(state, -2);
        2
    }
}

unsafe extern "C-unwind" fn call_numbered(state: *mut lua_State) -> c_int {
    // SAFETY: `Runner::call` alone has this function, and passes a `Call` that it borrows meanwhile. Nothing of it
    // has to be dropped. The stack of a C function has room for twenty.
    unsafe {
        let call = &*ffi::lua_touserdata(state, 1).cast::<Call<'_>>();
        ffi::lua_settop(state, 0);
        ffi::lua_pushvalue(state, lua_upvalueindex(1));
        ffi::lua_pushinteger(state, call.function as _);
        ffi::lua_rawget(state, lua_upvalueindex(2));
        for (list, name) in [(call.keys, lua_upvalueindex(4)), (call.argv, lua_upvalueindex(5))] {
            if call.as_globals {
                ffi::lua_pushvalue(state, name);
            }
            push_list(state, list);
            if call.as_globals {
                ffi::lua_rawset(state, lua_upvalueindex(3));
            }
        }
        let ended = ffi::lua_pcall(state, if call.as_globals { 0 } else { 2 }, 1, 1);
        ffi::lua_pushboolean(state, c_int::from(ended == ffi::LUA_OK));
        ffi::lua_insert(state, -2);
        2
    }
}

/// Puts a list of these strings on top.
unsafe fn push_list(state: *mut lua_State, list: Args<'_>) {
    // SAFETY: the caller has seen to two free slots. Strings are copied.
    unsafe {
        ffi::lua_createtable(state, list.len() as c_int, 0);
        for (number, text) in (1..).zip(list.iter()) {
            ffi::lua_pushlstring_(state, text.as_ptr().cast(), text.len());
            ffi::lua_rawseti(state, -2, number);
        }
    }
}

/// Whether the first argument is in the table that is the second upvalue; what stands behind it is then on top.
unsafe fn find_protected(state: *mut lua_State) -> bool {
    // SAFETY: all callers are closures with two upvalues; two slots are always free in a C function's stack.
    unsafe {
        if ffi::lua_type(state, 1) != ffi::LUA_TTABLE {
            return false;
        }
        ffi::lua_pushvalue(state, 1);
        ffi::lua_rawget(state, lua_upvalueindex(2));
        if ffi::lua_isnil(state, -1) == 0 {
            return true;
        }
        ffi::lua_pop(state, 1);
        false
    }
}

/// Goes on as the function that is the first upvalue, in the same frame: its errors name it and its caller.
unsafe fn go_on(state: *mut lua_State) -> c_int {
    // SAFETY: only functions of Lua's own libraries become first upvalues, which use none of their own.
    unsafe {
        match ffi::lua_tocfunction(state, lua_upvalueindex(1)) {
            Some(inner) => inner(state),
            None => 0,
        }
    }
}

unsafe extern "C-unwind" fn refuse_protected(state: *mut lua_State) -> c_int {
    // SAFETY: as of the functions that it calls.
    unsafe {
        if find_protected(state) {
            return refuse_call(state);
        }
        go_on(state)
    }
}

unsafe extern "C-unwind" fn see_through(state: *mut lua_State) -> c_int {
    // SAFETY: as of the functions that it calls.
    unsafe {
        if find_protected(state) {
            ffi::lua_replace(state, 1);
        }
        go_on(state)
    }
}

unsafe extern "C-unwind" fn refuse_thread(state: *mut lua_State) -> c_int {
    // SAFETY: as of the functions that it calls.
    unsafe {
        let names_thread = ffi::lua_isnumber(state, 1) != 0 && ffi::lua_tointeger(state, 1) == 0;
        if names_thread || find_protected(state) {
            return refuse_call(state);
        }
        go_on(state)
    }
}

/// As of a function, which is not in the script: without a place.
unsafe fn refuse_call(state: *mut lua_State) -> c_int {
    // SAFETY: the text is a C string.
    unsafe {
        ffi::lua_pushstring(state, READONLY.as_ptr());
        ffi::lua_error(state)
    }
}

unsafe extern "C-unwind" fn call_and_catch(state: *mut lua_State) -> c_int {
    // SAFETY: three slots are always free in a C function's stack.
    unsafe {
        ffi::luaL_checkany(state, 1);
        let ended = ffi::lua_pcall(state, ffi::lua_gettop(state) - 1, ffi::LUA_MULTRET, 0);
        ffi::lua_pushboolean(state, c_int::from(ended == ffi::LUA_OK));
        ffi::lua_insert(state, 1);
        if ended != ffi::LUA_OK && ffi::lua_type(state, 2) == ffi::LUA_TTABLE {
            ffi::lua_pushlstring(state, c"err".as_ptr(), 3);
            ffi::lua_rawget(state, 2);
            match ffi::lua_type(state, -1) {
                ffi::LUA_TSTRING => ffi::lua_replace(state, 2),
                _ => ffi::lua_pop(state, 1),
            }
        }
        ffi::lua_gettop(state)
    }
}

/// Lua calls a handler where the error is raised. What a hook raises, as the end of a script does, it would call amid
/// the hook, where no other hook runs: a handler that does not end would never be interrupted.
unsafe extern "C-unwind" fn call_and_handle(state: *mut lua_State) -> c_int {
    // SAFETY: three slots are always free in a C function's stack.
    unsafe {
        ffi::luaL_checkany(state, 2);
        ffi::lua_settop(state, 2);
        ffi::lua_insert(state, 1);
        // The handler stays below all that follows.
        let mut ended = ffi::lua_pcall(state, 0, ffi::LUA_MULTRET, 0);
        ffi::lua_pushboolean(state, c_int::from(ended == ffi::LUA_OK));
        ffi::lua_insert(state, 2);
        if ended == ffi::LUA_OK {
            return ffi::lua_gettop(state) - 1;
        }
        // A handler is given its own errors as well, until it has made something of one.
        for _ in 0..HANDLED_MAX {
            if ended != ffi::LUA_ERRRUN {
                return 2;
            }
            ffi::lua_pushvalue(state, 1);
            ffi::lua_insert(state, 3);
            ended = ffi::lua_pcall(state, 1, 1, 0);
        }
        if ended != ffi::LUA_OK {
            ffi::lua_settop(state, 2);
            ffi::lua_pushstring(state, c"error in error handling".as_ptr());
        }
        2
    }
}

unsafe extern "C-unwind" fn refuse_change(state: *mut lua_State) -> c_int {
    // SAFETY: the text is a C string.
    unsafe {
        ffi::luaL_where(state, 1);
        ffi::lua_pushstring(state, READONLY.as_ptr());
        ffi::lua_concat(state, 2);
        ffi::lua_error(state)
    }
}

unsafe extern "C-unwind" fn pairs_with(state: *mut lua_State) -> c_int {
    // SAFETY: three slots are always free in a C function's stack.
    unsafe {
        ffi::luaL_checktype(state, 1, ffi::LUA_TTABLE);
        ffi::lua_pushvalue(state, lua_upvalueindex(1));
        ffi::lua_pushvalue(state, 1);
        ffi::lua_pushnil(state);
        3
    }
}

unsafe extern "C-unwind" fn unpack_list(state: *mut lua_State) -> c_int {
    // SAFETY: no more is pushed than `lua_checkstack` has made room for.
    unsafe {
        ffi::luaL_checktype(state, 1, ffi::LUA_TTABLE);
        let first = i64::from(ffi::luaL_optinteger(state, 2, 1) as i32);
        let last = match ffi::lua_type(state, 3) {
            ffi::LUA_TNONE | ffi::LUA_TNIL => ffi::lua_rawlen(state, 1) as i64,
            _ => i64::from(ffi::luaL_checkinteger(state, 3) as i32),
        };
        if first > last {
            return 0;
        }
        let count = last - first + 1;
        if count >= i64::from(i32::MAX) || ffi::lua_checkstack(state, count as c_int) == 0 {
            return ffi::luaL_error(state, c"too many results to unpack".as_ptr());
        }
        for index in first..=last {
            ffi::lua_rawgeti(state, 1, index as _);
        }
        count as c_int
    }
}
