//! Owns the shape of one row of the directive table: its kind, how a value is parsed, checked and printed.
//! It knows no file syntax and no command; `file.rs`, `set.rs`, `rewrite.rs` and `reference.rs` derive from it.

use super::effect::Effect;
use super::table::Config;
use super::values::{self, Number};

/// Properties of a directive, combined with `|`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flags(u16);

impl Flags {
    pub const NONE: Flags = Flags(0);
    /// Fixed at start: CONFIG SET refuses it.
    pub const IMMUTABLE: Flags = Flags(1);
    /// Not listed by a CONFIG GET pattern, only by its exact name.
    pub const HIDDEN: Flags = Flags(1 << 1);
    /// The value is a secret: keep it out of logs, the slow log and MONITOR.
    pub const SENSITIVE: Flags = Flags(1 << 2);
    /// Takes several words.
    pub const MULTI_ARG: Flags = Flags(1 << 3);
    /// CONFIG SET needs `enable-protected-configs`.
    pub const PROTECTED: Flags = Flags(1 << 4);
    /// CONFIG SET refuses it while a data set is being loaded.
    pub const DENY_LOADING: Flags = Flags(1 << 5);
    /// Of interest to developers and tests.
    pub const DEBUG: Flags = Flags(1 << 6);
    /// Accepted, kept and reported, but nothing reads it; the row says why in parentheses.
    pub const NO_EFFECT: Flags = Flags(1 << 7);
    /// Each line sets the part that its first word names, and leaves the others.
    pub const KEYED: Flags = Flags(1 << 8);

    /// The role, which has words of its own in a file.
    pub const ROLE: Flags = Flags(1 << 9);
    /// Names a file whose content may be another one by now: to set it is to have it read again.
    pub const VOLATILE: Flags = Flags(1 << 11);
    /// A directory: where the process stands is no default to come back to.
    pub const PLACE: Flags = Flags(1 << 10);

    pub const fn or(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }

    pub const fn has(self, other: Flags) -> bool {
        self.0 & other.0 == other.0
    }
}

/// Where a value comes from. A repeatable directive starts afresh with its first line in the
/// configuration file and with every CONFIG SET, and adds up with further lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    FirstLine,
    FurtherLine,
    Command,
}

/// One directive: everything that the server knows about it.
pub struct Directive {
    pub name: &'static str,
    /// Older spellings, accepted and answered everywhere.
    pub aliases: &'static [&'static str],
    pub kind: Kind,
    /// The default as it would stand in the file.
    pub default: &'static str,
    pub flags: Flags,
    /// How a change at run time takes effect.
    pub effect: Effect,
    /// Why it has no effect, where it has none.
    pub no_effect: Option<&'static str>,
    /// What it does, in lines.
    pub doc: &'static [&'static str],
    /// A commented example for the reference configuration, where the default says nothing.
    pub sample: Option<&'static str>,
}

impl std::fmt::Debug for Directive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Directive({})", self.name)
    }
}

/// Parses the words of a directive with a grammar of its own into its value.
pub type ParseWords = fn(&mut Config, &[&[u8]], Origin) -> Result<(), String>;

/// How a directive's words become a value of `Config` and back.
pub enum Kind {
    Bool {
        check: fn(bool) -> Result<(), &'static str>,
        get: fn(&Config) -> bool,
        set: fn(&mut Config, bool),
    },
    Number {
        number: Number,
        min: i128,
        max: i128,
        get: fn(&Config) -> i128,
        set: fn(&mut Config, i128),
    },
    Text {
        check: fn(&str) -> Result<(), &'static str>,
        get: fn(&Config) -> &str,
        set: fn(&mut Config, String),
    },
    /// Bytes that need not be UTF-8: passwords and user names.
    Secret { get: fn(&Config) -> &[u8], set: fn(&mut Config, Vec<u8>) },
    Choice {
        names: &'static [&'static str],
        get: fn(&Config) -> &'static str,
        set: fn(&mut Config, usize),
    },
    Special {
        usage: &'static str,
        get: fn(&Config) -> String,
        set: ParseWords,
        /// The lines that CONFIG REWRITE writes, without the name; nothing at all removes the directive.
        lines: fn(&Config) -> Vec<String>,
    },
}

impl Directive {
    /// The value as CONFIG GET prints it.
    pub fn value(&self, config: &Config) -> Vec<u8> {
        match &self.kind {
            Kind::Bool { get, .. } => values::yes_no(get(config)).into(),
            Kind::Number { number, get, .. } => number.print(get(config)).into_bytes(),
            Kind::Text { get, .. } => get(config).as_bytes().to_vec(),
            Kind::Secret { get, .. } => get(config).to_vec(),
            Kind::Choice { get, .. } => get(config).into(),
            Kind::Special { get, .. } => get(config).into_bytes(),
        }
    }

    /// Checks the words and stores the value; the error is Redis's text without a code word.
    pub fn set(&self, config: &mut Config, words: &[&[u8]], origin: Origin) -> Result<(), String> {
        if self.flags.has(Flags::MULTI_ARG) {
            return self.set_words(config, words, origin);
        }
        match words {
            [_] => self.set_words(config, words, origin),
            _ => Err("wrong number of arguments".into()),
        }
    }

    fn set_words(
        &self,
        config: &mut Config,
        words: &[&[u8]],
        origin: Origin,
    ) -> Result<(), String> {
        if let Kind::Special { set, .. } = &self.kind {
            // One quoted word may hold all of them: save "3600 1 300 100".
            let split = match words {
                [one] if self.flags.has(Flags::MULTI_ARG) && one.contains(&b' ') => {
                    one.split(|b| *b == b' ').filter(|word| !word.is_empty()).collect()
                }
                _ => words.to_vec(),
            };
            return set(config, &split, origin);
        }
        let [word] = words else { return Err("wrong number of arguments".into()) };
        match &self.kind {
            Kind::Bool { check, set, .. } => {
                let value = values::parse_yes_no(word)?;
                check(value)?;
                set(config, value);
            }
            Kind::Number { number, min, max, set, .. } => {
                set(config, number.parse(word, *min, *max)?);
            }
            Kind::Text { check, set, .. } => {
                let text = std::str::from_utf8(word).map_err(|_| "argument must be valid UTF-8")?;
                check(text)?;
                set(config, text.to_owned());
            }
            Kind::Secret { set, .. } => set(config, word.to_vec()),
            Kind::Choice { names, set, .. } => set(config, values::parse_choice(word, names)?),
            Kind::Special { .. } => unreachable!("handled above"),
        }
        Ok(())
    }

    /// Puts the default into `config`.
    pub fn reset(&self, config: &mut Config) {
        // A default that its own directive refuses is a mistake in the table, which a test finds.
        self.set(config, &[self.default.as_bytes()], Origin::Command)
            .unwrap_or_else(|why| panic!("default of '{}': {why}", self.name));
    }

    /// What the directive expects, for error messages and the reference: `hz <0..500>`.
    pub fn usage(&self) -> String {
        let value = match &self.kind {
            Kind::Bool { .. } => "yes|no".to_owned(),
            Kind::Number { number, min, max, .. } => number.usage(*min, *max),
            Kind::Text { .. } | Kind::Secret { .. } => "<text>".to_owned(),
            Kind::Choice { names, .. } => names.join("|"),
            Kind::Special { usage, .. } => (*usage).to_owned(),
        };
        format!("{} {value}", self.name)
    }

    /// The lines that say the value in a file, without the name; none where absence says it.
    pub fn lines(&self, config: &Config) -> Vec<String> {
        let line = match &self.kind {
            Kind::Special { lines, .. } => return lines(config),
            Kind::Bool { .. } | Kind::Choice { .. } => self.value(config),
            Kind::Number { number, get, .. } => number.print_in_file(get(config)).into_bytes(),
            Kind::Text { .. } | Kind::Secret { .. } => match self.value(config) {
                // An empty default needs no line; any other has to be overridden by one.
                empty if empty.is_empty() && self.default.is_empty() => return Vec::new(),
                text => protocol::quote(&text),
            },
        };
        vec![String::from_utf8_lossy(&line).into_owned()]
    }

    /// What the log says of a value that changes nothing: one that is not the default of a directive
    /// without effect. Whoever set it counts on it.
    pub fn idle_notice(&self, config: &Config) -> Option<String> {
        let why = self.no_effect?;
        let asks_for_something = self.value(config) != self.value(&Config::default());
        asks_for_something.then(|| format!("WARNING: {} has no effect: {why}", self.name))
    }

    pub fn is(&self, name: &str) -> bool {
        self.name == name || self.aliases.contains(&name)
    }
}

/// Accepts any text.
pub(super) fn any_text(_: &str) -> Result<(), &'static str> {
    Ok(())
}

/// Accepts yes and no.
pub(super) fn either(_: bool) -> Result<(), &'static str> {
    Ok(())
}

/// Defines a group of directives: the struct that holds their values, and their rows of the table.
///
/// A row reads `/// doc` then `field: Type = kind(arguments), "name" | "old-name", "default", FLAG, NO_EFFECT("why") -> Effect
/// => "sample";`, of which the last three parts may be missing.
macro_rules! section {
    (
        $(#[doc = $section_doc:literal])+
        $Section:ident in $section:ident {
            $(
                $(#[doc = $doc:literal])+
                $field:ident : $ty:ty = $kind:ident ( $($arg:tt)* ), $name:literal $(| $alias:literal)*,
                $default:literal $(, $flag:ident $(($why:literal))?)* $(-> $effect:ident)? $(=> $sample:literal)? ;
            )+
        }
    ) => {
        $(#[doc = $section_doc])+
        #[derive(Clone, Debug, PartialEq)]
        pub struct $Section {
            $( $(#[doc = $doc])+ pub $field: $ty, )+
        }

        impl $Section {
            /// Zeros everywhere: `Config::default` fills in the defaults of the table.
            pub(in crate::config) fn blank() -> Self {
                Self { $( $field: Default::default(), )+ }
            }
        }

        pub(in crate::config) static DIRECTIVES: &[$crate::config::directive::Directive] = &[
            $( $crate::config::directive::Directive {
                name: $name,
                aliases: &[$($alias),*],
                kind: $crate::config::directive::kind!($section, $field, $ty, $kind($($arg)*)),
                default: $default,
                flags: $crate::config::directive::Flags::NONE
                    $(.or($crate::config::directive::Flags::$flag))*,
                effect: $crate::config::directive::effect!($($effect)?),
                // The reason that one of the flags has, if any.
                no_effect: [$($(Some($why),)?)* None][0],
                doc: &[$($doc),+],
                sample: $crate::config::directive::sample!($($sample)?),
            } ),+
        ];
    };
}

macro_rules! effect {
    () => {
        $crate::config::effect::Effect::WhenRead
    };
    ($effect:ident) => {
        $crate::config::effect::Effect::$effect
    };
}

macro_rules! sample {
    () => {
        None
    };
    ($sample:literal) => {
        Some($sample)
    };
}

macro_rules! kind {
    ($section:ident, $field:ident, $ty:ty, bool()) => {
        $crate::config::directive::kind!(
            $section,
            $field,
            $ty,
            bool($crate::config::directive::either)
        )
    };
    ($section:ident, $field:ident, $ty:ty, bool($check:path)) => {
        $crate::config::directive::Kind::Bool {
            check: $check,
            get: |config| config.$section.$field,
            set: |config, value| config.$section.$field = value,
        }
    };
    ($section:ident, $field:ident, $ty:ty, text()) => {
        $crate::config::directive::kind!(
            $section,
            $field,
            $ty,
            text($crate::config::directive::any_text)
        )
    };
    ($section:ident, $field:ident, $ty:ty, text($check:path)) => {
        $crate::config::directive::Kind::Text {
            check: $check,
            get: |config| &config.$section.$field,
            set: |config, value| config.$section.$field = value,
        }
    };
    ($section:ident, $field:ident, $ty:ty, secret()) => {
        $crate::config::directive::Kind::Secret {
            get: |config| &config.$section.$field,
            set: |config, value| config.$section.$field = value,
        }
    };
    ($section:ident, $field:ident, $ty:ty, choice()) => {
        $crate::config::directive::Kind::Choice {
            names: <$ty as $crate::config::values::Choice>::NAMES,
            get: |config| $crate::config::values::Choice::name(config.$section.$field),
            set: |config, index| {
                config.$section.$field = <$ty as $crate::config::values::Choice>::from_index(index)
            },
        }
    };
    ($section:ident, $field:ident, $ty:ty, special($codec:ident)) => {
        $crate::config::directive::Kind::Special {
            usage: $crate::config::special::$codec::USAGE,
            get: |config| $crate::config::special::$codec::print(&config.$section.$field),
            set: |config, words, origin| {
                $crate::config::special::$codec::parse(&mut config.$section.$field, words, origin)
            },
            lines: |config| $crate::config::special::$codec::lines(&config.$section.$field),
        }
    };
    ($section:ident, $field:ident, $ty:ty, $number:ident($min:expr, $max:expr)) => {
        $crate::config::directive::Kind::Number {
            number: $crate::config::values::Number::$number,
            min: $min as i128,
            max: $max as i128,
            get: |config| i128::from(config.$section.$field),
            // The range was checked against the row's bounds, which a test holds to the field's type.
            set: |config, value| config.$section.$field = value as $ty,
        }
    };
}

pub(in crate::config) use {effect, kind, sample, section};
