//! Owns commands as text: a line each, as in `sequences.txt`.
//!
//! Must not: know a command.

pub type Command = Vec<Vec<u8>>;

/// A command and the connection it goes to: the first is never left blocked or subscribed.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    pub on_second: bool,
    pub command: Command,
}

const ON_SECOND: &str = "2> ";

impl Step {
    pub fn shown(&self) -> String {
        let words: Vec<String> = self.command.iter().map(|word| shown(word)).collect();
        let mark = if self.on_second { ON_SECOND } else { "" };
        format!("{mark}{}", words.join(" "))
    }

    pub fn parse(line: &str) -> Step {
        let (on_second, line) = match line.strip_prefix(ON_SECOND) {
            Some(rest) => (true, rest),
            None => (false, line),
        };
        Step { on_second, command: words(line) }
    }
}

fn shown(word: &[u8]) -> String {
    let is_plain = |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\');
    if !word.is_empty() && word.iter().all(is_plain) {
        return String::from_utf8_lossy(word).into_owned();
    }
    let mut text = String::from("\"");
    for byte in word {
        match byte {
            b'"' | b'\\' => text.extend(['\\', *byte as char]),
            b' '..=b'~' => text.push(*byte as char),
            _ => text.push_str(&format!("\\x{byte:02x}")),
        }
    }
    text + "\""
}

fn words(line: &str) -> Command {
    let mut words = Command::new();
    let mut bytes = line.bytes().peekable();
    while let Some(first) = bytes.next() {
        let mut word = Vec::new();
        match first {
            b' ' => continue,
            b'"' => loop {
                match bytes.next().expect("a quote is closed") {
                    b'"' => break,
                    b'\\' => word.push(match bytes.next().expect("something is escaped") {
                        b'x' => {
                            let digits = [bytes.next(), bytes.next()]
                                .map(|b| b.expect("two digits") as char);
                            let digits = String::from_iter(digits);
                            u8::from_str_radix(&digits, 16).expect("hexadecimal digits")
                        }
                        byte => byte,
                    }),
                    byte => word.push(byte),
                }
            },
            byte => {
                word.push(byte);
                while let Some(byte) = bytes.next_if(|byte| *byte != b' ') {
                    word.push(byte);
                }
            }
        }
        words.push(word);
    }
    words
}

#[test]
fn what_is_shown_is_read_again() {
    let step = Step {
        on_second: true,
        command: vec![
            b"SET".to_vec(),
            b"".to_vec(),
            b"a b\"\\\x00\xff\r\n".to_vec(),
            b"#x".to_vec(),
        ],
    };
    assert_eq!(Step::parse(&step.shown()), step);
}
