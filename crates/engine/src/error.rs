//! Owns the error replies: the exact texts that clients match on.

use std::borrow::Cow;
use std::fmt;

/// Why a command failed, as the client is told (without the leading `-`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandError {
    /// A fixed text with its code word, `WRONGTYPE ...` or `ERR ...`.
    Text(Cow<'static, str>),
}

macro_rules! texts {
    ($($name:ident = $text:literal;)*) => {
        #[allow(non_upper_case_globals)]
        impl CommandError {
            $(pub const $name: CommandError = CommandError::Text(Cow::Borrowed($text));)*
        }
    };
}

texts! {
    WrongType = "WRONGTYPE Operation against a key holding the wrong kind of value";
    NotHll = "WRONGTYPE Key is not a valid HyperLogLog string value.";
    HllCorrupted = "INVALIDOBJ Corrupted HLL object detected";
    Syntax = "ERR syntax error";
    NotAnInteger = "ERR value is not an integer or out of range";
    NotAFloat = "ERR value is not a valid float";
    OutOfRange = "ERR value is out of range";
    MustBePositive = "ERR value is out of range, must be positive";
    NoSuchKey = "ERR no such key";
    IndexOutOfRange = "ERR index out of range";
    SameObject = "ERR source and destination objects are the same";
    DbIndexOutOfRange = "ERR DB index is out of range";
    OffsetOutOfRange = "ERR offset is out of range";
    StringTooLong = "ERR string exceeds maximum allowed size (proto-max-bulk-len)";
    Overflow = "ERR increment or decrement would overflow";
    HashNotAnInteger = "ERR hash value is not an integer";
    HashNotAFloat = "ERR hash value is not a float";
    NanOrInfinity = "ERR increment would produce NaN or Infinity";
    ScoreNan = "ERR resulting score is not a number (NaN)";
    MinMaxNotFloat = "ERR min or max is not a float";
    MinMaxNotLex = "ERR min or max not valid string range item";
    WeightNotFloat = "ERR weight value is not a float";
    BitNotInteger = "ERR bit is not an integer or out of range";
    BitOffset = "ERR bit offset is not an integer or out of range";
    InvalidCursor = "ERR invalid cursor";
    TimeoutNotFloat = "ERR timeout is not a float or out of range";
    TimeoutNotInteger = "ERR timeout is not an integer or out of range";
    TimeoutNegative = "ERR timeout is negative";
    TimeoutOutOfRange = "ERR timeout is out of range";
    InvalidStreamId = "ERR Invalid stream ID specified as stream command argument";
    StreamIdTooSmall = "ERR The ID specified in XADD is equal or smaller than the target stream top item";
    StreamSetIdTooSmall = "ERR The ID specified in XSETID is smaller than the target stream top item";
    StreamExhausted = "ERR The stream has exhausted the last possible ID, unable to add more items";
    StreamEntryTooLarge = "ERR Elements are too large to be stored";
    GroupExists = "BUSYGROUP Consumer Group name already exists";
    GroupWithoutKey = "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM option to create an empty stream automatically.";
    BusyKey = "BUSYKEY Target key name already exists.";
    BadDumpPayload = "ERR DUMP payload version or checksum are wrong";
    BadDataFormat = "ERR Bad data format";
    ReadOnly = "READONLY You can't write against a read only replica.";
    MasterDown = "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.";
    BusyScript = "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.";
    BusyFunction = "BUSY Redis is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE.";
    NotBusy = "NOTBUSY No scripts in execution right now.";
    NoScript = "NOSCRIPT No matching script. Please use EVAL.";
    Loading = "LOADING Redis is loading the dataset in memory";
    NoAuth = "NOAUTH Authentication required.";
    WrongPass = "WRONGPASS invalid username-password pair or user is disabled.";
    AuthNotSet = "ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?";
    Oom = "OOM command not allowed when used memory > 'maxmemory'.";
    ExecAbort = "EXECABORT Transaction discarded because of previous errors.";
    NestedMulti = "ERR MULTI calls can not be nested";
    ExecWithoutMulti = "ERR EXEC without MULTI";
    DiscardWithoutMulti = "ERR DISCARD without MULTI";
    WatchInMulti = "ERR WATCH inside MULTI is not allowed";
    NoReplicas = "NOREPLICAS Not enough good replicas to write.";
    WaitaofWithoutAof = "ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.";
    Demoted = "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)";
    NoProto = "NOPROTO unsupported protocol version";
    DebugNotAllowed = "ERR DEBUG command not allowed. If the enable-debug-command option is set to \"local\", you can run it from a local connection, otherwise you need to set this option in the configuration file, and then restart the server.";
    ModuleNotAllowed = "ERR MODULE command not allowed. If the enable-module-command option is set to \"local\", you can run it from a local connection, otherwise you need to set this option in the configuration file, and then restart the server.";
    MisconfRdb = "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk. Commands that may modify the data set are disabled, because this instance is configured to report errors during writes if RDB snapshotting fails (stop-writes-on-bgsave-error option). Please check the Redis logs for details about the RDB error.";
}

impl CommandError {
    /// An error with a text of its own; `text` begins with the code word.
    pub fn text(text: impl Into<String>) -> CommandError {
        CommandError::Text(Cow::Owned(text.into()))
    }

    /// The generic code word before a text of its own.
    pub fn err(text: impl fmt::Display) -> CommandError {
        CommandError::text(format!("ERR {text}"))
    }

    pub fn arity(full_name: &str) -> CommandError {
        CommandError::err(format_args!("wrong number of arguments for '{full_name}' command"))
    }

    /// What an unknown subcommand of a container command is answered.
    pub fn unknown_subcommand(given: &[u8], container: &str) -> CommandError {
        let given = shown(given);
        let container = container.to_ascii_uppercase();
        CommandError::err(format_args!("unknown subcommand '{given}'. Try {container} HELP."))
    }

    /// What a subcommand with too many arguments is answered by commands that count for themselves.
    pub fn subcommand_syntax(given: &[u8], container: &str) -> CommandError {
        let given = shown(given);
        let container = container.to_ascii_uppercase();
        CommandError::err(format_args!(
            "unknown subcommand or wrong number of arguments for '{given}'. Try {container} HELP."
        ))
    }

    pub fn misconf_aof(reason: &str) -> CommandError {
        CommandError::text(format!("MISCONF Errors writing to the AOF file: {reason}"))
    }

    pub fn as_str(&self) -> &str {
        match self {
            CommandError::Text(text) => text,
        }
    }

    /// The first word, by which INFO errorstats counts.
    pub fn code(&self) -> &str {
        self.as_str().split(' ').next().unwrap_or("ERR")
    }
}

/// What a client sent as an error repeats it: not too much of it, and as a C string.
pub(crate) fn shown(given: &[u8]) -> String {
    c_string(&given[..given.len().min(128)]).into_owned()
}

/// What Redis formats with `%s` ends at a zero.
pub(crate) fn c_string(given: &[u8]) -> Cow<'_, str> {
    let end = given.iter().position(|byte| *byte == 0).unwrap_or(given.len());
    String::from_utf8_lossy(&given[..end])
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::error::Error for CommandError {}
