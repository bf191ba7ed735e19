//! `redis.call` and `redis.pcall`: a command of a script, through the rules that hold inside scripts, and its
//! reply as Lua values.
//!
//! Most of what a script does is this, so it speaks to Lua directly: arguments are read where they lie and a reply
//! is built on the stack. Errors of Lua jump over the frames between; nothing here raises one while a value lives
//! that has to be dropped.

use std::ffi::{c_int, c_void};

use mlua::ffi::{self, lua_State, lua_upvalueindex};
use mlua::{Function, LightUserData, Lua, Result};
use protocol::{Args, Resp};
use smallvec::SmallVec;

use super::{Shared, rules};
use crate::door::call::Inside;
use crate::door::ctx::Ctx;

/// What a script is given that calls a command while none runs: a library that is loaded, say.
const NOT_RUNNING: &str = "redis.call/pcall can only be called inside a script invocation";
const NO_ARGUMENTS: &str = "Please specify at least one argument for this redis lib call";
const BAD_ARGUMENT: &str = "Lua redis lib command arguments must be strings or integers";
/// Digits of any number.
const NUMBER_LEN: usize = 40;

/// `redis.call`, which raises an error reply, or `redis.pcall`, which returns it. `shared` has to outlive the state.
pub(super) fn function(lua: &Lua, shared: &Shared, raises: bool) -> Result<Function> {
    let shared = LightUserData(std::ptr::from_ref(shared).cast_mut().cast::<c_void>());
    let function = if raises { call } else { pcall };
    // SAFETY: the one value on the stack becomes the upvalue of the closure, which is returned.
    unsafe { lua.exec_raw(shared, |state| ffi::lua_pushcclosure(state, function, 1)) }
}

unsafe extern "C-unwind" fn call(state: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        match run(state) {
            Outcome::Reply => 1,
            Outcome::Error | Outcome::NotRunning => ffi::lua_error(state),
        }
    }
}

unsafe extern "C-unwind" fn pcall(state: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        match run(state) {
            Outcome::Reply | Outcome::Error => 1,
            Outcome::NotRunning => ffi::lua_error(state),
        }
    }
}

/// What is on top of the stack now.
enum Outcome {
    Reply,
    /// An error reply, as a table.
    Error,
    NotRunning,
}

/// Runs the command that the arguments on the stack are.
unsafe fn run(state: *mut lua_State) -> Outcome {
    // SAFETY: the upvalue is the pointer that `function` was given, whose owner outlives the state. The slices of
    // arguments point into strings that the stack holds, and into `numbers`, while they are used.
    unsafe {
        let shared = &*ffi::lua_touserdata(state, lua_upvalueindex(1)).cast::<Shared>();
        let _unlimited = shared.lift_limit();
        let count = ffi::lua_gettop(state);
        let mut numbers: SmallVec<[[u8; NUMBER_LEN]; 2]> = SmallVec::new();
        let mut words: SmallVec<[Word; 8]> = SmallVec::with_capacity(count as usize);
        for at in 1..=count {
            match ffi::lua_type(state, at) {
                ffi::LUA_TSTRING => {
                    let mut len = 0;
                    let start = ffi::lua_tolstring(state, at, &mut len);
                    words.push(Word::String(start.cast(), len));
                }
                ffi::LUA_TNUMBER => {
                    let mut text = [0; NUMBER_LEN];
                    let len = write_number(&mut text, ffi::lua_tonumber(state, at));
                    words.push(Word::Number(numbers.len(), len));
                    numbers.push(text);
                }
                _ => {
                    push_error(state, format!("ERR {BAD_ARGUMENT}").as_bytes(), false);
                    return Outcome::Error;
                }
            }
        }
        let slices: SmallVec<[&[u8]; 8]> = words
            .iter()
            .map(|word| match *word {
                Word::String(start, len) => std::slice::from_raw_parts(start, len),
                Word::Number(at, len) => &numbers[at][..len],
            })
            .collect();
        let outcome = shared.slot.with(|frame| {
            if slices.is_empty() {
                push_error(state, format!("ERR {NO_ARGUMENTS}").as_bytes(), false);
                return Outcome::Error;
            }
            run_command(frame.ctx, Args::new(&slices), state)
        });
        outcome.unwrap_or_else(|| {
            push_error(state, format!("ERR {NOT_RUNNING}").as_bytes(), false);
            Outcome::NotRunning
        })
    }
}

enum Word {
    String(*const u8, usize),
    Number(usize, usize),
}

/// A number as an argument: whole ones without a point, else as Redis prints doubles.
fn write_number(text: &mut [u8; NUMBER_LEN], number: f64) -> usize {
    let whole = number as i64;
    let written = match whole as f64 == number && whole != i64::MAX {
        true => itoa::Buffer::new().format(whole).as_bytes().to_vec(),
        false => protocol::format_f64_digits(number).into_bytes(),
    };
    text[..written.len()].copy_from_slice(&written);
    written.len()
}

/// Runs the command with an output of its own, and leaves its reply on the stack.
unsafe fn run_command(ctx: &mut Ctx<'_>, args: Args<'_>, state: *mut lua_State) -> Outcome {
    if let Some(session) = &mut ctx.engine.scripts.session {
        session.tell_command(args);
    }
    let found = match rules::check(ctx, args) {
        Ok(found) => found,
        Err(why) => {
            if let Some(session) = &mut ctx.engine.scripts.session {
                session.tell_refusal(&why);
            }
            // SAFETY: pushes one value.
            unsafe { push_error(state, why.as_bytes(), true) };
            return Outcome::Error;
        }
    };
    let Some(running) = &ctx.engine.scripts.running else { return Outcome::NotRunning };
    let (resp, targets) = (running.resp, running.targets);
    let mut out = std::mem::take(&mut ctx.engine.scripts.scratch);
    out.resp = resp;
    std::mem::swap(&mut ctx.client.out, &mut out);
    ctx.engine.propagation.set_targets(targets);
    let call = ctx.call.within(Inside::Script);
    // An error is the script's to handle.
    drop(ctx.engine.call(ctx.client, ctx.world, found, args, call));
    ctx.engine.propagation.set_targets(Default::default());
    std::mem::swap(&mut ctx.client.out, &mut out);
    if let Some(session) = &mut ctx.engine.scripts.session {
        session.tell_reply(&out.to_vec());
    }
    // SAFETY: what is read are replies of our own. The arguments have done their work, and give their room.
    let failed = unsafe {
        ffi::lua_settop(state, 0);
        match out.in_one_piece() {
            Some(bytes) => push_reply(state, bytes),
            None => push_reply(state, &out.to_vec()),
        }
    };
    out.clear();
    ctx.engine.scripts.scratch = out;
    if failed { Outcome::Error } else { Outcome::Reply }
}

/// Pushes an error as a script sees one: its text begins with a code word.
unsafe fn push_error(state: *mut lua_State, text: &[u8], is_counted: bool) {
    // SAFETY: the callers leave three slots free at least.
    unsafe {
        ffi::lua_createtable(state, 0, 2);
        set_string(state, c"err", text);
        if is_counted {
            ffi::lua_pushboolean(state, 1);
            ffi::lua_setfield(state, -2, c"ignore_error_stats_update".as_ptr());
        }
    }
}

unsafe fn set_string(state: *mut lua_State, field: &std::ffi::CStr, text: &[u8]) {
    // SAFETY: a table is on top, and there is a slot for the value.
    unsafe {
        ffi::lua_pushlstring_(state, text.as_ptr().cast(), text.len());
        ffi::lua_setfield(state, -2, field.as_ptr());
    }
}

/// Pushes a reply of ours; true if it is an error.
unsafe fn push_reply(state: *mut lua_State, bytes: &[u8]) -> bool {
    let mut reader = Reader { rest: bytes };
    // SAFETY: `push` makes room for what it pushes.
    unsafe { reader.push(state) };
    bytes.first() == Some(&b'-')
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn line(&mut self) -> &'a [u8] {
        let end = memchr::memchr(b'\r', self.rest).unwrap_or(self.rest.len());
        let line = &self.rest[..end];
        self.rest = self.rest.get(end + 2..).unwrap_or_default();
        line
    }

    fn bytes(&mut self, len: usize) -> &'a [u8] {
        let (bytes, rest) = self.rest.split_at_checked(len).unwrap_or((self.rest, &[]));
        self.rest = rest.get(2..).unwrap_or_default();
        bytes
    }

    /// Pushes one value, whatever it holds.
    unsafe fn push(&mut self, state: *mut lua_State) {
        // SAFETY: four slots are made sure of, and no path needs more at its own level.
        unsafe {
            let Some((&kind, rest)) = self.rest.split_first() else {
                return ffi::lua_pushnil(state);
            };
            self.rest = rest;
            if ffi::lua_checkstack(state, 5) == 0 {
                return ffi::lua_pushnil(state);
            }
            let line = self.line();
            let number = protocol::parse_i64(line).unwrap_or(0);
            match kind {
                b':' => ffi::lua_pushnumber(state, number as f64),
                b'$' | b'*' if number < 0 => ffi::lua_pushboolean(state, 0),
                b'$' => {
                    let bytes = self.bytes(number as usize);
                    ffi::lua_pushlstring_(state, bytes.as_ptr().cast(), bytes.len());
                }
                b'+' => {
                    ffi::lua_createtable(state, 0, 1);
                    set_string(state, c"ok", line);
                }
                b'-' => push_error(state, line, true),
                b'*' | b'>' => {
                    ffi::lua_createtable(state, number.clamp(0, 1 << 20) as c_int, 0);
                    for index in 1..=number {
                        self.push(state);
                        ffi::lua_rawseti(state, -2, index as _);
                    }
                }
                b'#' => ffi::lua_pushboolean(state, c_int::from(line == b"t")),
                b'%' | b'~' => self.push_keyed(state, kind, number),
                b',' => {
                    ffi::lua_createtable(state, 0, 1);
                    let double = protocol::parse_f64(line).unwrap_or(f64::NAN);
                    ffi::lua_pushnumber(state, double);
                    ffi::lua_setfield(state, -2, c"double".as_ptr());
                }
                b'(' => {
                    ffi::lua_createtable(state, 0, 1);
                    set_string(state, c"big_number", line);
                }
                b'=' => {
                    let (format, text) =
                        self.bytes(number as usize).split_at_checked(4).unwrap_or_default();
                    ffi::lua_createtable(state, 0, 1);
                    ffi::lua_createtable(state, 0, 2);
                    set_string(state, c"string", text);
                    set_string(state, c"format", format.get(..3).unwrap_or_default());
                    ffi::lua_setfield(state, -2, c"verbatim_string".as_ptr());
                }
                b'|' => {
                    // Attributes say something about what follows; scripts have no place for it.
                    for _ in 0..2 * number {
                        self.push(state);
                        ffi::lua_pop(state, 1);
                    }
                    self.push(state);
                }
                _ => ffi::lua_pushnil(state),
            }
        }
    }

    /// A map, or a set as one of its members to true.
    unsafe fn push_keyed(&mut self, state: *mut lua_State, kind: u8, count: i64) {
        // SAFETY: as of `push`, which has made the room.
        unsafe {
            let name = if kind == b'%' { c"map" } else { c"set" };
            ffi::lua_createtable(state, 0, 1);
            ffi::lua_createtable(state, 0, count.clamp(0, 1 << 20) as c_int);
            for _ in 0..count {
                self.push(state);
                match kind {
                    b'%' => self.push(state),
                    _ => ffi::lua_pushboolean(state, 1),
                }
                // A key that is none in Lua would be an error of Lua's.
                match ffi::lua_isnil(state, -2) {
                    0 => ffi::lua_rawset(state, -3),
                    _ => ffi::lua_pop(state, 2),
                }
            }
            ffi::lua_setfield(state, -2, name.as_ptr());
        }
    }
}

/// The protocol that a number names.
pub(super) fn resp_of(version: i64) -> Option<Resp> {
    match version {
        2 => Some(Resp::V2),
        3 => Some(Resp::V3),
        _ => None,
    }
}
