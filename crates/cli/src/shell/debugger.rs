//! What redis-cli does differently while a script is debugged: who is spoken to is the debugger, in lines with colours.
//!
//! Must not: send a command.

use protocol::Value;

use super::command::Command;
use crate::term;

/// What stands before a line for the debugger.
pub(super) const PROMPT: &str = "lua debugger> ";
/// With which line a session ends.
const END: &[u8] = b"<endsession>";

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Debugger {
    /// The next EVAL begins a session.
    pub is_armed: bool,
    /// There is one.
    pub is_active: bool,
    /// It has ended, and what the script has returned follows.
    pub has_ended: bool,
}

impl Debugger {
    /// A command is about to be sent. True if a session begins with it.
    pub(super) fn note(&mut self, command: &Command<'_>) -> bool {
        if let [script, debug, mode] = command.args
            && script.eq_ignore_ascii_case(b"script")
            && debug.eq_ignore_ascii_case(b"debug")
        {
            self.is_armed = [&b"yes"[..], b"sync"].iter().any(|on| mode.eq_ignore_ascii_case(on));
        }
        let begins = self.is_armed && command.is("eval");
        self.is_active |= begins;
        begins
    }

    /// A reply of the debugger as people see it. The session may end with it.
    pub(super) fn dress(&mut self, reply: Value, is_raw: bool) -> Value {
        match reply {
            Value::Status(text) if text.starts_with(END) => {
                (self.is_armed, self.is_active, self.has_ended) = (false, false, true);
                Value::Status(Vec::new())
            }
            Value::Status(text) if is_raw => Value::Status(coloured(text)),
            Value::Array(lines) => {
                Value::Array(lines.into_iter().map(|line| self.dress(line, is_raw)).collect())
            }
            Value::Error(text) => {
                // The debugger has none: it was refused.
                (self.is_armed, self.is_active) = (false, false);
                Value::Error(text)
            }
            other => other,
        }
    }

    /// The words of a line. Code is one word, as it is.
    pub(super) fn split(&self, line: &[u8]) -> Option<Vec<Vec<u8>>> {
        for name in [&b"eval "[..], b"e "] {
            if self.is_active
                && let Some(code) = line.strip_prefix(name)
            {
                return Some(vec![name.trim_ascii_end().to_vec(), code.to_vec()]);
            }
        }
        protocol::split_args(line)
    }
}

/// In the colour of what it is.
fn coloured(text: Vec<u8>) -> Vec<u8> {
    if !term::has_colours() {
        return text;
    }
    let has = |tag: &[u8]| text.windows(tag.len()).any(|found| found == tag);
    // The last that is there counts.
    let tags: [(&[u8], &str); 7] = [
        (b"<debug>", "1;37"),
        (b"<redis>", "0;32"),
        (b"<reply>", "0;36"),
        (b"<error>", "0;31"),
        (b"<hint>", "1;37"),
        (b"<value>", "0;35"),
        (b"<retval>", "0;35"),
    ];
    let mut colour = "0;37";
    for (tag, of_tag) in tags {
        if has(tag) {
            colour = of_tag;
        }
    }
    if text.len() > 4 && text[3].is_ascii_digit() {
        match (text[1], text[2]) {
            (b'>', _) => colour = "0;33",
            (_, b'#') => colour = "1;37",
            _ => {}
        }
    }
    [format!("\x1b[{colour};49m").as_bytes(), &text, b"\x1b[0m"].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_ends_with_its_last_line() {
        let mut debugger = Debugger::default();
        let words =
            |line: &str| line.split(' ').map(|word| word.as_bytes().to_vec()).collect::<Vec<_>>();
        let (arm, eval) = (words("script debug YES"), words("EVAL x 0"));
        assert!(!debugger.note(&Command::of(&eval)));
        assert!(!debugger.note(&Command::of(&arm)));
        assert!(debugger.note(&Command::of(&eval)) && debugger.is_active);
        assert_eq!(
            debugger.split(b"e return 'a  b'"),
            Some(vec![b"e".to_vec(), b"return 'a  b'".to_vec()])
        );
        let last = vec![Value::Status(b"<debug> x".to_vec()), Value::Status(END.to_vec())];
        debugger.dress(Value::Array(last), true);
        assert!(debugger.has_ended && !debugger.is_active && !debugger.is_armed);
        assert_eq!(debugger.split(b"e 1").map(|words| words.len()), Some(2));
    }
}
