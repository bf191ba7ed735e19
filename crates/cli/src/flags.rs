//! A tool's flags as one table, from which its parser, its `--help`, its manual page and the shell's
//! completion derive.
//!
//! Must not: know what any flag means.

use std::fmt::Write as _;

/// One flag, whose meaning is what it does to the options `T`.
pub struct Flag<T: 'static> {
    /// All spellings; help shows the first.
    pub names: &'static [&'static str],
    pub takes: Takes<T>,
    pub help: &'static str,
}

/// What stands behind a flag.
pub enum Takes<T> {
    Nothing(fn(&mut T)),
    /// A word, by the name that help gives it.
    Value(&'static str, fn(&mut T, Vec<u8>)),
    /// A word that can be wrong; the error is said as it is.
    Checked(&'static str, fn(&mut T, Vec<u8>) -> Result<(), String>),
}

/// A heading of help and the flags below it.
pub struct Group<T: 'static> {
    pub title: &'static str,
    pub flags: &'static [Flag<T>],
}

/// All that is said of a tool's command line.
pub struct Tool<T: 'static> {
    pub name: &'static str,
    pub about: &'static str,
    /// Behind the name.
    pub usage: &'static str,
    pub groups: &'static [Group<T>],
    pub examples: &'static [&'static str],
}

/// What a command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Parsed {
    /// The words from the first one on that is no flag.
    Rest(Vec<Vec<u8>>),
    Help,
    Version,
    /// A text derived from the table: `--generate man` or `--generate complete-bash`.
    Text(String),
}

/// Why a command line is refused.
#[derive(Debug, PartialEq, Eq)]
pub enum Refused {
    /// No such flag, or its value is missing.
    Unknown(Vec<u8>),
    Said(String),
}

const HELP_COLUMN: usize = 21;
const WIDTH: usize = 80;
const GENERATE: &str = "--generate";

impl<T> Tool<T> {
    /// Reads the words behind the program's name into `options`.
    pub fn parse(&self, words: &[Vec<u8>], options: &mut T) -> Result<Parsed, Refused> {
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match word.as_slice() {
                b"--help" => return Ok(Parsed::Help),
                b"--version" | b"-v" if self.find(word).is_none() => return Ok(Parsed::Version),
                name if name == GENERATE.as_bytes() => {
                    return self.generate(words.next().map_or(b"", Vec::as_slice));
                }
                [b'-', ..] => {}
                _ => {
                    let rest = std::iter::once(word).chain(words);
                    return Ok(Parsed::Rest(rest.cloned().collect()));
                }
            }
            let flag = self.find(word).ok_or_else(|| Refused::Unknown(word.clone()))?;
            let mut value = || words.next().cloned().ok_or_else(|| Refused::Unknown(word.clone()));
            match flag.takes {
                Takes::Nothing(apply) => apply(options),
                Takes::Value(_, apply) => apply(options, value()?),
                Takes::Checked(_, apply) => apply(options, value()?).map_err(Refused::Said)?,
            }
        }
        Ok(Parsed::Rest(Vec::new()))
    }

    fn find(&self, word: &[u8]) -> Option<&Flag<T>> {
        self.flags().find(|flag| flag.names.iter().any(|name| name.as_bytes() == word))
    }

    fn flags(&self) -> impl Iterator<Item = &Flag<T>> {
        self.groups.iter().flat_map(|group| group.flags)
    }

    /// What `--help` prints.
    pub fn help(&self) -> String {
        let Self { name, usage, .. } = self;
        let mut text = format!("{name} {}\n\nUsage: {name} {usage}\n", crate::VERSION);
        for group in self.groups {
            let _ = writeln!(text, "\n{}:", group.title);
            for flag in group.flags {
                let head = format!("  {}", flag.head());
                let mut column = head.len();
                text.push_str(&head);
                for word in flag.help.split_whitespace() {
                    if column == head.len() && column < HELP_COLUMN {
                        text.push_str(&" ".repeat(HELP_COLUMN - column));
                        column = HELP_COLUMN;
                    } else if column + 1 + word.len() > WIDTH {
                        let _ = write!(text, "\n{}", " ".repeat(HELP_COLUMN));
                        column = HELP_COLUMN;
                    } else {
                        text.push(' ');
                        column += 1;
                    }
                    text.push_str(word);
                    column += word.len();
                }
                text.push('\n');
            }
        }
        text.push_str("\n  --help             Print this and exit.\n");
        text.push_str("  --version          Print the version and exit.\n");
        let _ = writeln!(text, "  {GENERATE} <what>  Print 'man' or 'complete-bash'.");
        if !self.examples.is_empty() {
            let _ = writeln!(text, "\nExamples:");
            for example in self.examples {
                let _ = writeln!(text, "  {example}");
            }
        }
        text
    }

    fn generate(&self, what: &[u8]) -> Result<Parsed, Refused> {
        match what {
            b"man" => Ok(Parsed::Text(self.manual())),
            b"complete-bash" => Ok(Parsed::Text(self.completion())),
            _ => Err(Refused::Said(format!("{GENERATE} takes 'man' or 'complete-bash'"))),
        }
    }

    /// A manual page in roff.
    fn manual(&self) -> String {
        let roff = |text: &str| text.replace('\\', "\\e").replace('-', "\\-");
        let Self { name, about, usage, .. } = self;
        let mut page = format!(
            ".TH {} 1 \"\" \"{} {}\"\n.SH NAME\n{} \\- {}\n.SH SYNOPSIS\n.B {}\n{}\n",
            roff(&name.to_uppercase()),
            roff(name),
            crate::VERSION,
            roff(name),
            roff(about),
            roff(name),
            roff(usage),
        );
        for group in self.groups {
            let _ = writeln!(page, ".SH {}", roff(&group.title.to_uppercase()));
            for flag in group.flags {
                let _ = writeln!(page, ".TP\n.B {}\n{}", roff(&flag.head()), roff(flag.help));
            }
        }
        if !self.examples.is_empty() {
            page.push_str(".SH EXAMPLES\n.nf\n");
            for example in self.examples {
                let _ = writeln!(page, "{}", roff(example));
            }
            page.push_str(".fi\n");
        }
        page
    }

    /// A script for bash: words that begin with a dash are completed from the table, others as files.
    fn completion(&self) -> String {
        let names: Vec<&str> = self.flags().flat_map(|flag| flag.names).copied().collect();
        let function = format!("_{}", self.name.replace('-', "_"));
        format!(
            "{function}() {{\n    case ${{COMP_WORDS[COMP_CWORD]}} in\n    -*) COMPREPLY=($(compgen -W '{} \
             --help --version' -- \"${{COMP_WORDS[COMP_CWORD]}}\")) ;;\n    esac\n}}\ncomplete -o default -F \
             {function} {}\n",
            names.join(" "),
            self.name
        )
    }
}

impl<T> Flag<T> {
    /// Its spelling with its value's name.
    fn head(&self) -> String {
        match self.takes {
            Takes::Nothing(_) => self.names.join(", "),
            Takes::Value(value, _) | Takes::Checked(value, _) => {
                format!("{} <{value}>", self.names.join(", "))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, PartialEq)]
    struct Options {
        loud: bool,
        name: Vec<u8>,
    }

    const TOOL: Tool<Options> = Tool {
        name: "a-tool",
        about: "does things",
        usage: "[OPTIONS] [word ...]",
        groups: &[Group {
            title: "Options",
            flags: &[
                Flag {
                    names: &["-l", "--loud"],
                    takes: Takes::Nothing(|options| options.loud = true),
                    help: "Say more.",
                },
                Flag {
                    names: &["-n"],
                    takes: Takes::Checked("name", |options, name| {
                        options.name = name;
                        if options.name.is_empty() { Err("no name".into()) } else { Ok(()) }
                    }),
                    help: "A name that is so long to explain that the explanation takes two lines.",
                },
            ],
        }],
        examples: &["a-tool -n me"],
    };

    fn parse(words: &[&str]) -> (Result<Parsed, Refused>, Options) {
        let mut options = Options::default();
        let words: Vec<Vec<u8>> = words.iter().map(|word| word.as_bytes().to_vec()).collect();
        (TOOL.parse(&words, &mut options), options)
    }

    #[test]
    fn flags_end_at_the_first_word_that_is_none() {
        let (parsed, options) = parse(&["--loud", "-n", "-l", "get", "-l"]);
        assert_eq!(parsed, Ok(Parsed::Rest(vec![b"get".to_vec(), b"-l".to_vec()])));
        assert_eq!(options, Options { loud: true, name: b"-l".to_vec() });
    }

    #[test]
    fn a_missing_value_an_unknown_flag_and_a_bad_value_are_refused() {
        assert_eq!(parse(&["-n"]).0, Err(Refused::Unknown(b"-n".to_vec())));
        assert_eq!(parse(&["-z"]).0, Err(Refused::Unknown(b"-z".to_vec())));
        assert_eq!(parse(&["-n", ""]).0, Err(Refused::Said("no name".into())));
        assert_eq!(parse(&["-l", "-v"]).0, Ok(Parsed::Version));
    }

    #[test]
    fn help_manual_and_completion_name_every_flag() {
        let help = TOOL.help();
        assert!(help.contains("\n  -l, --loud         Say more.\n"), "{help}");
        assert!(help.contains("\n  -n <name>          A name"), "{help}");
        assert!(help.lines().all(|line| line.len() <= WIDTH), "{help}");
        let (man, bash) = (TOOL.manual(), TOOL.completion());
        for name in ["-l", "--loud", "-n"] {
            assert!(man.contains(&name.replace('-', "\\-")), "{man}");
            assert!(bash.contains(name), "{bash}");
        }
    }
}
