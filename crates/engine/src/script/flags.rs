//! What a script declares of itself in its first line: `#!lua flags=no-writes`, `#!lua name=library`.

use crate::command::Flags;
use crate::command::bits::bits;
use crate::error::CommandError;

bits! {
    /// What a script asks to be judged by, in Redis's order.
    ScriptFlags: u8 {
        NO_WRITES = 0 => "no-writes",
        ALLOW_OOM = 1 => "allow-oom",
        ALLOW_STALE = 2 => "allow-stale",
        NO_CLUSTER = 3 => "no-cluster",
        ALLOW_CROSS_SLOT_KEYS = 4 => "allow-cross-slot-keys",
    }
}

impl ScriptFlags {
    pub(crate) fn named(name: &[u8]) -> Option<ScriptFlags> {
        let mut texts = Self::TEXTS.iter();
        texts.find(|(_, text)| text.as_bytes() == name).map(|(flag, _)| *flag)
    }

    /// The flags of a command that runs a script with these: what it declares is in their place.
    pub(crate) fn of_command(self, command: Flags) -> Flags {
        let mut flags = command
            .without(Flags::STALE.or(Flags::DENYOOM).or(Flags::WRITE).or(Flags::MAY_REPLICATE));
        if !self.has(ScriptFlags::ALLOW_OOM.or(ScriptFlags::NO_WRITES)) {
            flags = flags.or(Flags::DENYOOM);
        }
        if !self.has(ScriptFlags::NO_WRITES) {
            flags = flags.or(Flags::WRITE);
        }
        if self.has(ScriptFlags::ALLOW_STALE) {
            flags = flags.or(Flags::STALE);
        }
        flags
    }
}

/// The flags that a script for EVAL declares, if it does, and where its code begins: the line end stays, so that
/// lines are counted as they are written.
pub(crate) fn of_script(body: &[u8]) -> Result<(Option<ScriptFlags>, usize), CommandError> {
    if !body.starts_with(b"#!") {
        return Ok((None, 0));
    }
    let end =
        memchr::memchr(b'\n', body).ok_or_else(|| CommandError::err("Invalid script shebang"))?;
    let mut parts = words(&body[..end]);
    match parts.next() {
        Some(b"#!lua") => {}
        None => return Err(CommandError::err("Invalid engine in script shebang")),
        Some(engine) => {
            let engine = String::from_utf8_lossy(engine);
            return Err(CommandError::err(format_args!(
                "Unexpected engine in script shebang: {engine}"
            )));
        }
    }
    let mut flags = ScriptFlags::NONE;
    for part in parts {
        let Some(names) = part.strip_prefix(b"flags=") else {
            let part = String::from_utf8_lossy(part);
            return Err(CommandError::err(format_args!("Unknown lua shebang option: {part}")));
        };
        for name in names.split(|byte| *byte == b',').filter(|name| !name.is_empty()) {
            let flag = ScriptFlags::named(name).ok_or_else(|| {
                let name = String::from_utf8_lossy(name);
                CommandError::err(format_args!("Unexpected flag in script shebang: {name}"))
            })?;
            flags = flags.or(flag);
        }
    }
    Ok((Some(flags), end))
}

/// The name that a library gives itself, and where its code begins.
pub(crate) fn of_library(code: &[u8]) -> Result<(String, usize), String> {
    if !code.starts_with(b"#!") {
        return Err("Missing library metadata".into());
    }
    let end = memchr::memchr(b'\n', code).ok_or("Invalid library metadata")?;
    let line = protocol::split_args(&code[..end]).ok_or("Invalid library metadata")?;
    let (engine, rest) = line.split_first().ok_or("Invalid library metadata")?;
    let engine = &engine[2..];
    let mut name: Option<String> = None;
    for part in rest {
        let text = String::from_utf8_lossy(part).into_owned();
        match part.get(..5) {
            Some(start) if start.eq_ignore_ascii_case(b"name=") => {
                if name.is_some() {
                    return Err(
                        "Invalid metadata value, name argument was given multiple times".into()
                    );
                }
                name = Some(String::from_utf8_lossy(&part[5..]).into_owned());
            }
            _ => return Err(format!("Invalid metadata value given: {text}")),
        }
    }
    let name = name.ok_or("Library name was not given")?;
    check_name(&name)?;
    if !engine.eq_ignore_ascii_case(b"lua") {
        return Err(format!("Engine '{}' not found", String::from_utf8_lossy(engine)));
    }
    Ok((name, end))
}

/// Names of libraries and functions are words.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    let is_word =
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    match is_word {
        true => Ok(()),
        false => {
            Err("Library names can only contain letters, numbers, or underscores(_) and must \
                      be at least one character long"
                .into())
        }
    }
}

fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|byte| *byte == b' ').filter(|word| !word.is_empty())
}
