//! What a script finds in its state: Lua's own libraries without what reaches the process, ours beside them, and
//! none of it can be changed. A table of Lua 5.1 cannot be made read-only, so a script is shown an empty one
//! that looks through to what it stands for and refuses to be written to.
//!
//! Must not know what a command is: `api` adds what speaks to the server.

use std::cell::Cell;
use std::rc::Rc;

use mlua::{Function, Lua, LuaOptions, LuaString, Result, StdLib, Table, Value};

use super::c_functions as c;
use super::libs::{bit, cjson, cmsgpack, structs};
use super::raise::{self, Raise};

/// No text as long as this is compiled: Lua counts in 31 bits there.
const SOURCE_MAX: usize = 1 << 30;
/// The first byte of compiled code, which may do anything and is not loaded.
const BYTECODE: u8 = 0x1b;

/// A fresh state with all but what speaks to the server.
pub(crate) struct Sandbox {
    pub lua: Lua,
    /// What globals really are.
    pub globals: Table,
    /// From each table that is shown to what stands behind it.
    protected: Table,
}

impl Sandbox {
    pub(crate) fn new() -> Result<Sandbox> {
        let libraries = StdLib::TABLE | StdLib::STRING | StdLib::MATH;
        let lua = Lua::new_with(libraries, LuaOptions::new().catch_rust_panics(true))?;
        let (globals, protected) = (lua.globals(), lua.create_table()?);
        let sandbox = Sandbox { lua, globals, protected };
        sandbox.remove_what_is_not_safe()?;
        sandbox.guard_functions()?;
        sandbox.add_libraries()?;
        Ok(sandbox)
    }

    /// Shows the state's tables to scripts from here on only as they are now. The metatable of what is shown as
    /// the globals.
    pub(crate) fn close(&self) -> Result<Table> {
        for name in
            ["string", "table", "math", "coroutine", "os", "bit", "cjson", "cmsgpack", "struct"]
        {
            let table: Table = self.globals.raw_get(name)?;
            self.globals.raw_set(name, self.protect(table)?)?;
        }
        self.refuse_missing(&self.globals)?;
        let shown = self.protect(self.globals.clone())?;
        self.globals.raw_set("_G", &shown)?;
        self.protect_strings()?;
        let metatable = match shown.metatable() {
            Some(metatable) => metatable,
            None => self.lua.create_table()?,
        };
        self.lua.set_globals(shown)?;
        Ok(metatable)
    }

    /// A table to show instead of `table`: to read from, not to write to.
    pub(crate) fn protect(&self, table: Table) -> Result<Table> {
        let shown = self.lua.create_table()?;
        let metatable = self.lua.create_table()?;
        metatable.raw_set("__index", &table)?;
        metatable.raw_set("__newindex", c::refuse(&self.lua)?)?;
        // What `getmetatable` gives cannot be written to either.
        let shown_metatable = self.lua.create_table()?;
        let its_metatable = self.lua.create_table()?;
        its_metatable.raw_set("__newindex", c::refuse(&self.lua)?)?;
        its_metatable.raw_set("__metatable", &shown_metatable)?;
        shown_metatable.set_metatable(Some(its_metatable))?;
        self.protected.raw_set(&shown_metatable, self.lua.create_table()?)?;
        metatable.raw_set("__metatable", shown_metatable)?;
        shown.set_metatable(Some(metatable))?;
        self.protected.raw_set(&shown, table)?;
        Ok(shown)
    }

    /// What `table` has no field for is an error.
    pub(crate) fn refuse_missing(&self, table: &Table) -> Result<()> {
        type Refused = std::result::Result<(), Raise>;
        let missing = raise::function(&self.lua, |_, (_, name): (Value, Value)| -> Refused {
            let name = name.to_string().unwrap_or_default();
            let text = format!("Script attempted to access nonexistent global variable '{name}'");
            Err(Raise::text(text))
        })?;
        let metatable = self.lua.create_table()?;
        metatable.raw_set("__index", missing)?;
        table.set_metatable(Some(metatable))
    }

    fn remove_what_is_not_safe(&self) -> Result<()> {
        for name in [
            "dofile", "loadfile", "print", "newproxy", "require", "module", "package", "debug",
            "io",
        ] {
            self.globals.raw_set(name, Value::Nil)?;
        }
        Ok(())
    }

    fn guard_functions(&self) -> Result<()> {
        let (lua, globals, protected) = (&self.lua, &self.globals, &self.protected);
        for name in ["rawset", "setmetatable"] {
            globals.raw_set(name, c::guarded(lua, globals.raw_get(name)?, protected)?)?;
        }
        let table: Table = globals.raw_get("table")?;
        for name in ["insert", "remove", "sort"] {
            table.raw_set(name, c::guarded(lua, table.raw_get(name)?, protected)?)?;
        }
        for name in ["rawget", "next"] {
            globals.raw_set(name, c::seeing_through(lua, globals.raw_get(name)?, protected)?)?;
        }
        globals.raw_set("pairs", c::pairs(lua, globals.raw_get("next")?)?)?;
        globals.raw_set("unpack", c::unpack(lua)?)?;
        globals.raw_set("pcall", c::pcall(lua)?)?;
        globals.raw_set("xpcall", c::xpcall(lua)?)?;
        globals.raw_set("setfenv", c::setfenv(lua, globals.raw_get("setfenv")?, protected)?)?;
        globals.raw_set("loadstring", raise::function(lua, load_string)?)?;
        globals.raw_set("load", raise::function(lua, load_pieces)?)?;
        globals.raw_set("collectgarbage", raise::function(lua, collect_garbage)?)?;
        self.replace_random()
    }

    /// The generator of POSIX's `lrand48`, as Redis has it, so that the same seed gives the same numbers.
    fn replace_random(&self) -> Result<()> {
        let math: Table = self.globals.raw_get("math")?;
        let state = Rc::new(Cell::new(0x1234_abcd_330e_u64));
        let seeded = Rc::clone(&state);
        let seed = move |_: &Lua, seed: f64| {
            seeded.set(u64::from(seed as i64 as u32) << 16 | 0x330e);
            Ok(())
        };
        math.raw_set("randomseed", self.lua.create_function(seed)?)?;
        let random = move |_: &Lua, (low, high): (Option<f64>, Option<f64>)| {
            state.set((state.get().wrapping_mul(0x5_deec_e66d) + 0xb) & 0xffff_ffff_ffff);
            let max = f64::from(i32::MAX);
            let unit = f64::from((state.get() >> 17) as u32 % i32::MAX as u32) / max;
            let (low, high, at) = match (low, high) {
                (None, _) => return Ok(unit),
                (Some(high), None) => (1.0, high.trunc(), 1),
                (Some(low), Some(high)) => (low.trunc(), high.trunc(), 2),
            };
            match low <= high {
                true => Ok((unit * (high - low + 1.0)).floor() + low),
                false => {
                    Err(Raise::text(format!("bad argument #{at} to 'random' (interval is empty)")))
                }
            }
        };
        math.raw_set("random", raise::function(&self.lua, random)?)
    }

    fn add_libraries(&self) -> Result<()> {
        self.globals.raw_set("bit", bit::table(&self.lua)?)?;
        self.globals.raw_set("cjson", cjson::table(&self.lua)?)?;
        self.globals.raw_set("cmsgpack", cmsgpack::table(&self.lua)?)?;
        self.globals.raw_set("struct", structs::table(&self.lua)?)
    }

    /// All strings share one metatable, and would carry what one script puts there to every other.
    fn protect_strings(&self) -> Result<()> {
        let shown: Table = self.globals.raw_get("string")?;
        let metatable = self.lua.create_table()?;
        metatable.raw_set("__index", &shown)?;
        let visible = self.lua.create_table()?;
        visible.raw_set("__index", &shown)?;
        metatable.raw_set("__metatable", self.protect(visible)?)?;
        self.lua.set_type_metatable::<LuaString>(Some(metatable));
        Ok(())
    }
}

/// Compiles a script's text. The collector stands still meanwhile: the parser of Lua 5.1 holds strings that it
/// does not know of.
pub(crate) fn compile(
    lua: &Lua,
    source: &[u8],
    name: &str,
) -> std::result::Result<Function, String> {
    if source.len() >= SOURCE_MAX {
        return Err("chunk has too many syntax levels".to_string());
    }
    if source.first() == Some(&BYTECODE) {
        return Err("attempt to load a binary chunk".to_string());
    }
    lua.gc_stop();
    let loaded =
        lua.load(source).set_name(name).set_mode(mlua::chunk::ChunkMode::Text).into_function();
    lua.gc_restart();
    loaded.map_err(|error| match error {
        mlua::Error::SyntaxError { message, .. } => message,
        other => other.to_string(),
    })
}

/// What `load` and `loadstring` answer: a function, or nothing and why.
fn loaded(lua: &Lua, source: &[u8], name: &str) -> (Value, Option<String>) {
    match compile(lua, source, name) {
        Ok(function) => (Value::Function(function), None),
        Err(why) => (Value::Nil, Some(why)),
    }
}

type Loaded = std::result::Result<(Value, Option<String>), Raise>;

fn load_string(lua: &Lua, (source, name): (LuaString, Option<LuaString>)) -> Loaded {
    let name = name.unwrap_or_else(|| source.clone()).to_string_lossy();
    Ok(loaded(lua, &source.as_bytes(), &name))
}

fn load_pieces(lua: &Lua, (pieces, name): (Function, Option<LuaString>)) -> Loaded {
    let mut source = Vec::new();
    loop {
        let piece = match pieces.call::<Value>(()) {
            Ok(Value::String(piece)) if !piece.as_bytes().is_empty() => piece,
            Ok(Value::String(_) | Value::Nil) => break,
            Ok(_) => return Err(Raise::text("reader function must return a string")),
            Err(error) => return Ok((Value::Nil, Some(raise::message(&error)))),
        };
        source.extend_from_slice(&piece.as_bytes());
        if source.len() >= SOURCE_MAX {
            return Err(Raise::text("not enough memory"));
        }
    }
    let name = name.map_or_else(|| "=(load)".to_string(), |name| name.to_string_lossy());
    Ok(loaded(lua, &source, &name))
}

/// A script may ask for a collection; that there are some is none of its business.
fn collect_garbage(lua: &Lua, option: Option<String>) -> std::result::Result<f64, Raise> {
    match option.as_deref().unwrap_or("collect") {
        "count" => Ok(lua.used_memory() as f64 / 1024.0),
        "collect" | "step" => lua.gc_collect().map(|()| 0.0).map_err(Raise::from),
        "stop" | "restart" | "setpause" | "setstepmul" => Ok(0.0),
        other => Err(Raise::text(format!(
            "bad argument #1 to 'collectgarbage' (invalid option '{other}')"
        ))),
    }
}
