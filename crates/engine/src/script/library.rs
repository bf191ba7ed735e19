//! Libraries of functions: what FUNCTION LOAD has compiled, by name, and how a library registers its functions.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use mlua::{Function, HookTriggers, Lua, MultiValue, Table, Value, VmState};

use super::api::error;
use super::cache::{broken, interpreter};
use super::flags::{self, ScriptFlags, check_name};
use super::interpreter::{Failure, Interpreter};
use super::raise::{self, Raise};
use super::sandbox;
use crate::error::CommandError;

/// A library registers its functions and does nothing else: twenty million instructions are plenty, a bound
/// in place of the half second that Redis has.
const LOAD_STEPS_MAX: u32 = 200;
/// Of what a master or a file brings, which somebody has loaded before: more than any machine does in that half second.
const OBEYED_STEPS_MAX: u32 = 2000;
const LOAD_STEP: u32 = 100_000;
/// What is counted for a function or library beside its texts.
const ENTRY_BYTES: usize = 200;

/// A function as a library registers it.
pub(crate) struct Registered {
    pub function: i64,
    pub name: Rc<str>,
    pub description: Option<Vec<u8>>,
    pub flags: ScriptFlags,
}

pub(crate) struct Library {
    pub code: Vec<u8>,
    /// By name, in order.
    pub functions: BTreeMap<String, Registered>,
}

#[derive(Default)]
pub(crate) struct Libraries {
    pub interpreter: Option<Interpreter>,
    pub all: BTreeMap<String, Library>,
    /// The library of each function, and what it is called there: found in any case.
    functions: HashMap<String, (String, String)>,
}

/// What is done with libraries that have a name which is taken.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    Refused,
    Replaced,
}

impl Libraries {
    pub(crate) fn function(&self, name: &[u8]) -> Option<&Registered> {
        let name = std::str::from_utf8(name).ok()?;
        let (library, name) = self.functions.get(&name.to_ascii_lowercase())?;
        self.all.get(library)?.functions.get(name)
    }

    pub(crate) fn function_count(&self) -> usize {
        self.functions.len()
    }

    pub(crate) fn used_bytes(&self) -> u64 {
        self.interpreter.as_ref().map_or(0, Interpreter::used_bytes)
    }

    pub(crate) fn overhead_bytes(&self) -> u64 {
        let code: usize = self.all.values().map(|library| library.code.len()).sum();
        (code + (self.all.len() + self.functions.len()) * ENTRY_BYTES) as u64
    }

    /// The code of all, in order of their names.
    pub(crate) fn codes(&self) -> Vec<Vec<u8>> {
        self.all.values().map(|library| library.code.clone()).collect()
    }

    /// Compiles a library and takes it in; its name. `is_obeyed`: a master or a file brings it.
    pub(crate) fn load(
        &mut self,
        code: &[u8],
        taken: Taken,
        is_obeyed: bool,
    ) -> Result<String, CommandError> {
        let (name, start) = flags::of_library(code).map_err(CommandError::err)?;
        if taken == Taken::Refused && self.all.contains_key(&name) {
            return Err(CommandError::err(format_args!("Library '{name}' already exists")));
        }
        let library = self.compile(code, start, is_obeyed)?;
        let is_taken = |function: &str| self.owner(function).is_some_and(|of| of != name);
        if let Some(function) = library.functions.keys().find(|function| is_taken(function)) {
            let text = format!("Function {function} already exists");
            self.forget(library);
            return Err(CommandError::err(text));
        }
        self.delete(&name);
        self.link(name.clone(), library);
        Ok(name)
    }

    /// The library that has a function of that name.
    fn owner(&self, function: &str) -> Option<&str> {
        self.functions.get(&function.to_ascii_lowercase()).map(|(library, _)| library.as_str())
    }

    /// False if there is none of that name.
    pub(crate) fn delete(&mut self, name: &str) -> bool {
        let Some(library) = self.all.remove(name) else { return false };
        for function in library.functions.keys() {
            self.functions.remove(&function.to_ascii_lowercase());
        }
        self.forget(library);
        true
    }

    pub(crate) fn flush(&mut self) {
        *self = Libraries::default();
    }

    /// Puts these in place of all, or beside them; all of them or none.
    pub(crate) fn restore(
        &mut self,
        codes: &[Vec<u8>],
        flush: bool,
        taken: Taken,
        is_obeyed: bool,
    ) -> Result<(), CommandError> {
        let mut fresh = Libraries::default();
        for code in codes {
            fresh.load(code, Taken::Refused, is_obeyed)?;
        }
        if !flush {
            self.check_join(&fresh, taken)?;
        } else {
            self.flush();
        }
        for code in codes {
            // It was compiled a moment ago, and nothing stands in its way.
            self.load(code, Taken::Replaced, true)?;
        }
        Ok(())
    }

    fn check_join(&self, fresh: &Libraries, taken: Taken) -> Result<(), CommandError> {
        for name in fresh.all.keys() {
            if taken == Taken::Refused && self.all.contains_key(name) {
                return Err(CommandError::err(format_args!("Library {name} already exists")));
            }
        }
        for function in fresh.all.values().flat_map(|library| library.functions.keys()) {
            if self.owner(function).is_some_and(|library| !fresh.all.contains_key(library)) {
                return Err(CommandError::err(format_args!("Function {function} already exists")));
            }
        }
        Ok(())
    }

    fn link(&mut self, name: String, library: Library) {
        for function in library.functions.keys() {
            let found_by = function.to_ascii_lowercase();
            self.functions.insert(found_by, (name.clone(), function.clone()));
        }
        self.all.insert(name, library);
    }

    fn forget(&mut self, library: Library) {
        if let Some(interpreter) = &mut self.interpreter {
            library.functions.values().for_each(|function| interpreter.forget(function.function));
        }
    }

    fn compile(
        &mut self,
        code: &[u8],
        start: usize,
        is_obeyed: bool,
    ) -> Result<Library, CommandError> {
        let interpreter = interpreter(&mut self.interpreter)?;
        let compiled = sandbox::compile(&interpreter.lua, &code[start..], "@user_function");
        let chunk = compiled
            .map_err(|why| CommandError::err(format_args!("Error compiling function: {why}")))?;
        let registered = register(interpreter, chunk, is_obeyed)?;
        if registered.is_empty() {
            return Err(CommandError::err("No functions registered"));
        }
        let mut functions = BTreeMap::new();
        for Pending { name, function, description, flags } in registered {
            let function = interpreter.keep(&function).map_err(broken)?;
            let row = Registered { function, name: name.as_str().into(), description, flags };
            functions.insert(name, row);
        }
        Ok(Library { code: code.to_vec(), functions })
    }
}

/// A function that was registered while its library is loaded.
struct Pending {
    name: String,
    function: Function,
    description: Option<Vec<u8>>,
    flags: ScriptFlags,
}

/// Of the library that is being loaded.
struct Loading(RefCell<Vec<Pending>>);

/// Runs a library's code, and gathers what it registers.
fn register(
    interpreter: &Interpreter,
    chunk: Function,
    is_obeyed: bool,
) -> Result<Vec<Pending>, CommandError> {
    let (lua, runner) = (&interpreter.lua, interpreter.runner());
    lua.set_app_data(Loading(RefCell::new(Vec::new())));
    interpreter.show_globals(&interpreter.load_globals).map_err(broken)?;
    let steps_max = if is_obeyed { OBEYED_STEPS_MAX } else { LOAD_STEPS_MAX };
    limit_steps(lua, steps_max).map_err(broken)?;
    let called = runner.call_plain(chunk);
    super::interpreter::restore_hook(&runner).map_err(broken)?;
    interpreter.show_globals(&interpreter.globals).map_err(broken)?;
    let registered = lua.remove_app_data::<Loading>();
    let why = match called {
        Ok(_) => return Ok(registered.map_or_else(Vec::new, |loading| loading.0.into_inner())),
        Err(Failure::Broken(why)) => why,
        Err(Failure::Raised(Value::Table(table))) => {
            let error = super::reply::ScriptError::of_raised(lua, &table).map_err(broken)?;
            String::from_utf8_lossy(&error.text).into_owned()
        }
        Err(Failure::Raised(value)) => value.to_string().unwrap_or_default(),
    };
    Err(CommandError::err(format_args!("Error registering functions: {why}")))
}

fn limit_steps(lua: &Lua, steps_max: u32) -> mlua::Result<()> {
    let steps = std::cell::Cell::new(0);
    let triggers = HookTriggers::new().every_nth_instruction(LOAD_STEP);
    lua.set_global_hook(triggers, move |lua, _| {
        steps.set(steps.get() + 1);
        if steps.get() < steps_max {
            return Ok(VmState::Continue);
        }
        let every = HookTriggers::new().every_nth_instruction(1);
        lua.set_global_hook(every, |_, _| Err(mlua::Error::runtime("FUNCTION LOAD timeout")))?;
        Err(mlua::Error::runtime("FUNCTION LOAD timeout"))
    })
}

type Outcome<T> = Result<T, Raise>;

/// `redis.register_function`.
pub(super) fn register_function(lua: &Lua) -> mlua::Result<Function> {
    raise::function(lua, |lua, args: MultiValue| -> Outcome<()> {
        if lua.app_data_ref::<Loading>().is_none() {
            let text = "redis.register_function can only be called on FUNCTION LOAD command";
            return Err(error(lua, text)?);
        }
        let read = match args.len() {
            1 => named(&args),
            2 => positional(&args),
            _ => Err("wrong number of arguments to redis.register_function".to_string()),
        };
        let added = read.and_then(|pending| {
            check_name(&pending.name)?;
            let Some(loading) = lua.app_data_ref::<Loading>() else { return Ok(()) };
            let mut all = loading.0.borrow_mut();
            if all.iter().any(|other| other.name == pending.name) {
                return Err("Function already exists in the library".to_string());
            }
            all.push(pending);
            Ok(())
        });
        match added {
            Ok(()) => Ok(()),
            Err(why) => Err(error(lua, &why)?),
        }
    })
}

fn text(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::String(text) => Some(text.as_bytes().to_vec()),
        Value::Integer(_) | Value::Number(_) => value.to_string().ok().map(String::into_bytes),
        _ => None,
    }
}

fn name_of(value: &Value) -> Option<String> {
    text(value).map(|name| String::from_utf8_lossy(&name).into_owned())
}

fn positional(args: &MultiValue) -> Result<Pending, String> {
    let name = args.front().and_then(name_of);
    let name = name.ok_or("first argument to redis.register_function must be a string")?;
    let Some(Value::Function(function)) = args.get(1) else {
        return Err("second argument to redis.register_function must be a function".to_string());
    };
    Ok(Pending { name, function: function.clone(), description: None, flags: ScriptFlags::NONE })
}

fn named(args: &MultiValue) -> Result<Pending, String> {
    let Some(Value::Table(given)) = args.front() else {
        return Err("calling redis.register_function with a single argument is only applicable to Lua table \
                    (representing named arguments)."
            .to_string());
    };
    let (mut name, mut function, mut description) = (None, None, None);
    let mut flags = ScriptFlags::NONE;
    for pair in given.pairs::<Value, Value>() {
        let (key, value) = pair.map_err(|error| raise::message(&error))?;
        let key = name_of(&key)
            .ok_or("named argument key given to redis.register_function is not a string")?;
        let must_be = |what: &str| {
            format!(
                "{} argument given to redis.register_function must be a {what}",
                key.to_lowercase()
            )
        };
        match &*key.to_ascii_lowercase() {
            "function_name" => name = Some(name_of(&value).ok_or_else(|| must_be("string"))?),
            "description" => description = Some(text(&value).ok_or_else(|| must_be("string"))?),
            "callback" => {
                let Value::Function(callback) = value else { return Err(must_be("function")) };
                function = Some(callback);
            }
            "flags" => {
                let Value::Table(list) = value else {
                    return Err(
                        "flags argument to redis.register_function must be a table representing \
                                function flags"
                            .to_string(),
                    );
                };
                flags = read_flags(&list).ok_or("unknown flag given")?;
            }
            _ => return Err("unknown argument given to redis.register_function".to_string()),
        }
    }
    let name = name.ok_or("redis.register_function must get a function name argument")?;
    let function = function.ok_or("redis.register_function must get a callback argument")?;
    Ok(Pending { name, function, description, flags })
}

fn read_flags(list: &Table) -> Option<ScriptFlags> {
    let mut flags = ScriptFlags::NONE;
    for index in 1.. {
        let value: Value = list.raw_get(index).ok()?;
        if value.is_nil() {
            break;
        }
        let name = text(&value)?.to_ascii_lowercase();
        flags = flags.or(ScriptFlags::named(&name)?);
    }
    Some(flags)
}
