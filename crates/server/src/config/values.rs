//! Owns the plain kinds of values: yes/no, integers, memory sizes, octal modes, percentages and
//! choices, with Redis's texts for what is wrong with them. It knows no directive by name.

use log::LevelFilter;
use protocol::parse_i64;

pub use crate::process::daemon::OomScoreAdj;
use crate::process::logging::LogForm;
use crate::process::supervisor::Supervisor;

/// How a number is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(non_camel_case_types, reason = "the names stand as words in the directive table")]
pub enum Number {
    int,
    memory,
    octal,
    /// A memory size, or a share of `maxmemory` such as `5%`, kept as a negative number.
    memory_or_percent,
}

impl Number {
    pub fn parse(self, word: &[u8], min: i128, max: i128) -> Result<i128, String> {
        let refusal = match self {
            Number::int => "argument couldn't be parsed into an integer",
            Number::memory => "argument must be a memory value",
            Number::octal => "argument couldn't be parsed as an octal number",
            Number::memory_or_percent => "argument must be a memory or percent value",
        };
        let parsed = match self {
            Number::int => parse_i64(word).map(i128::from),
            Number::memory => parse_memory(word).map(i128::from),
            Number::octal => std::str::from_utf8(word)
                .ok()
                .and_then(|text| i64::from_str_radix(text, 8).ok())
                .map(i128::from),
            Number::memory_or_percent => match word.strip_suffix(b"%") {
                Some(digits) => parse_i64(digits).filter(|n| *n >= 0).map(|n| -i128::from(n)),
                None => parse_memory(word).map(i128::from),
            },
        };
        let value = parsed.ok_or(refusal)?;
        if self == Number::memory_or_percent && value < min {
            return Err(format!("percentage argument must be less or equal to {}", -min));
        }
        if value < min || value > max {
            let floor = if self == Number::memory_or_percent { 0 } else { min };
            return Err(match self {
                Number::octal => format!("argument must be between {min:o} and {max:o} inclusive"),
                _ => format!("argument must be between {floor} and {max} inclusive"),
            });
        }
        Ok(value)
    }

    /// As CONFIG GET prints it.
    pub fn print(self, value: i128) -> String {
        match self {
            Number::octal => format!("{value:o}"),
            Number::memory_or_percent if value < 0 => format!("{}%", -value),
            _ => value.to_string(),
        }
    }

    /// As it stands in a file: memory in the largest unit that divides it.
    pub fn print_in_file(self, value: i128) -> String {
        const UNITS: [(i128, &str); 3] = [(1 << 30, "gb"), (1 << 20, "mb"), (1 << 10, "kb")];
        let is_size = matches!(self, Number::memory | Number::memory_or_percent) && value > 0;
        if is_size && let Some((unit, name)) = UNITS.iter().find(|(unit, _)| value % unit == 0) {
            return format!("{}{name}", value / unit);
        }
        self.print(value)
    }

    pub fn usage(self, min: i128, max: i128) -> String {
        match self {
            Number::int if max >= i128::from(i32::MAX) => format!("<number, at least {min}>"),
            Number::int => format!("<number from {min} to {max}>"),
            Number::octal => "<octal permissions such as 700>".into(),
            Number::memory => "<bytes, or a size with a unit: k kb m mb g gb>".into(),
            Number::memory_or_percent => {
                "<bytes, or a size with a unit: k kb m mb g gb, or a percentage such as 5%>".into()
            }
        }
    }
}

/// `1024`, `1k` (1000), `1kb` (1024), `2M`, `1GB`; units in any case. Nothing at all is 0, as an
/// unset variable of a compose file gives it.
pub fn parse_memory(word: &[u8]) -> Option<u64> {
    if word.is_empty() {
        return Some(0);
    }
    let digits = word.iter().take_while(|b| b.is_ascii_digit()).count();
    let (number, unit) = word.split_at(digits);
    let factor: u64 = match unit.to_ascii_lowercase().as_slice() {
        b"" | b"b" => 1,
        b"k" => 1000,
        b"kb" => 1 << 10,
        b"m" => 1_000_000,
        b"mb" => 1 << 20,
        b"g" => 1_000_000_000,
        b"gb" => 1 << 30,
        _ => return None,
    };
    // A unit alone says nothing. Too large a number is as good as the largest.
    let (first, rest) = number.split_first()?;
    let digits = rest.iter().fold(u64::from(first - b'0'), |sum, digit| {
        sum.saturating_mul(10).saturating_add(u64::from(digit - b'0'))
    });
    Some(digits.saturating_mul(factor))
}

pub fn yes_no(value: bool) -> &'static str {
    if value { "yes" } else { "no" }
}

pub fn parse_yes_no(word: &[u8]) -> Result<bool, String> {
    if word.eq_ignore_ascii_case(b"yes") {
        Ok(true)
    } else if word.eq_ignore_ascii_case(b"no") {
        Ok(false)
    } else {
        Err("argument must be 'yes' or 'no'".into())
    }
}

/// Index of `word` among `names`, whatever its case.
pub fn parse_choice(word: &[u8], names: &[&str]) -> Result<usize, String> {
    names
        .iter()
        .position(|name| word.eq_ignore_ascii_case(name.as_bytes()))
        .ok_or_else(|| format!("argument(s) must be one of the following: {}", names.join(", ")))
}

/// A directive with a fixed set of words.
pub trait Choice: Copy {
    const NAMES: &'static [&'static str];
    fn from_index(index: usize) -> Self;
    fn name(self) -> &'static str;
}

/// A row reads `/// doc` then `Type { "word" => Variant, ... }`.
macro_rules! choices {
    ($(
        #[doc = $doc:literal]
        $Type:ident { $($name:literal => $Variant:ident),+ $(,)? }
    )+) => { $(
        #[doc = $doc]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $Type { $($Variant),+ }

        impl $crate::config::values::Choice for $Type {
            const NAMES: &'static [&'static str] = &[$($name),+];

            fn from_index(index: usize) -> Self {
                [$(Self::$Variant),+][index]
            }

            fn name(self) -> &'static str {
                match self { $(Self::$Variant => $name),+ }
            }
        }

        impl Default for $Type {
            fn default() -> Self {
                <Self as $crate::config::values::Choice>::from_index(0)
            }
        }
    )+ };
}

choices! {
    /// `supervised`
    Supervised { "upstart" => Upstart, "systemd" => Systemd, "auto" => Auto, "no" => No }
    /// `loglevel`
    LogLevel {
        "debug" => Debug, "verbose" => Verbose, "notice" => Notice, "warning" => Warning,
        "nothing" => Nothing,
    }
    /// `log-format`; Valkey calls `text` `legacy`.
    LogFormat { "text" => Text, "logfmt" => Logfmt, "json" => Json, "legacy" => Legacy }
    /// `syslog-facility`
    SyslogFacility {
        "user" => User, "local0" => Local0, "local1" => Local1, "local2" => Local2,
        "local3" => Local3, "local4" => Local4, "local5" => Local5, "local6" => Local6,
        "local7" => Local7,
    }
    /// `appendfsync`
    AppendFsync { "everysec" => Everysec, "always" => Always, "no" => No }
    /// `repl-diskless-load`
    DisklessLoad { "disabled" => Disabled, "on-empty-db" => OnEmptyDb, "swapdb" => Swapdb }
    /// `propagation-error-behavior`
    PropagationErrorBehavior {
        "stop" => Stop, "ignore" => Ignore, "panic" => Panic,
        "panic-on-replicas" => PanicOnReplicas,
    }
    /// `maxmemory-policy`
    MaxmemoryPolicy {
        "volatile-lru" => VolatileLru, "volatile-lfu" => VolatileLfu,
        "volatile-random" => VolatileRandom, "volatile-ttl" => VolatileTtl,
        "allkeys-lru" => AllkeysLru, "allkeys-lfu" => AllkeysLfu,
        "allkeys-random" => AllkeysRandom, "noeviction" => Noeviction,
    }
    /// `acl-pubsub-default`
    AclPubsubDefault { "allchannels" => AllChannels, "resetchannels" => ResetChannels }
    /// `sanitize-dump-payload`
    SanitizeDumpPayload { "no" => No, "yes" => Yes, "clients" => Clients }
    /// `enable-debug-command` and its like: for everybody, nobody, or local connections only.
    ProtectedAction { "no" => No, "yes" => Yes, "local" => Local }
    /// `cluster-preferred-endpoint-type`
    EndpointType { "ip" => Ip, "hostname" => Hostname, "unknown-endpoint" => Unknown }
    /// `tls-auth-clients`
    TlsAuthClients { "no" => No, "yes" => Yes, "optional" => Optional }
}

/// The one choice where two words mean the same.
impl Choice for OomScoreAdj {
    const NAMES: &'static [&'static str] = &["no", "yes", "relative", "absolute"];

    fn from_index(index: usize) -> Self {
        [Self::No, Self::Relative, Self::Relative, Self::Absolute][index]
    }

    fn name(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::Relative => "yes",
            Self::Absolute => "absolute",
        }
    }
}

impl LogLevel {
    /// Redis's levels on those of `log`: debug is Trace, verbose is Debug, notice is Info, and
    /// warning is Warn (Error looks the same).
    pub fn filter(self) -> LevelFilter {
        match self {
            LogLevel::Debug => LevelFilter::Trace,
            LogLevel::Verbose => LevelFilter::Debug,
            LogLevel::Notice => LevelFilter::Info,
            LogLevel::Warning => LevelFilter::Warn,
            LogLevel::Nothing => LevelFilter::Off,
        }
    }
}

impl LogFormat {
    pub fn form(self) -> LogForm {
        match self {
            LogFormat::Text | LogFormat::Legacy => LogForm::Text,
            LogFormat::Logfmt => LogForm::Logfmt,
            LogFormat::Json => LogForm::Json,
        }
    }
}

impl Supervised {
    /// Who may be the supervisor, in the order of their precedence.
    pub fn candidates(self) -> &'static [Supervisor] {
        match self {
            Supervised::No => &[],
            Supervised::Upstart => &[Supervisor::Upstart],
            Supervised::Systemd => &[Supervisor::Systemd],
            Supervised::Auto => &[Supervisor::Upstart, Supervisor::Systemd],
        }
    }
}

impl SyslogFacility {
    /// The number that syslog(3) knows it by.
    pub fn number(self) -> libc::c_int {
        match self {
            SyslogFacility::User => libc::LOG_USER,
            SyslogFacility::Local0 => libc::LOG_LOCAL0,
            SyslogFacility::Local1 => libc::LOG_LOCAL1,
            SyslogFacility::Local2 => libc::LOG_LOCAL2,
            SyslogFacility::Local3 => libc::LOG_LOCAL3,
            SyslogFacility::Local4 => libc::LOG_LOCAL4,
            SyslogFacility::Local5 => libc::LOG_LOCAL5,
            SyslogFacility::Local6 => libc::LOG_LOCAL6,
            SyslogFacility::Local7 => libc::LOG_LOCAL7,
        }
    }
}

#[cfg(test)]
mod tests {
    use log::Level;

    use super::*;

    #[test]
    fn levels_follow_loglevel() {
        assert_eq!(LogLevel::Notice.filter(), LevelFilter::Info);
        assert_eq!(LogLevel::Nothing.filter(), LevelFilter::Off);
        assert!(LogLevel::Debug.filter() >= Level::Trace);
    }
}
