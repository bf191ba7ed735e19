//! A person at a terminal: editing, history, completion, hints.
//!
//! Must not: know how a command is run.

use std::borrow::Cow;
use std::cell::Cell;
use std::rc::Rc;

use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::{History as _, MemHistory};
use rustyline::validate::Validator;
use rustyline::{CompletionType, Config, Context, Editor, Helper};

use super::docs::Docs;
use super::hints;
use super::history::{History, dotfile, is_sensitive};
use super::line::{self, Next, Shell};
use super::session::Announce;
use crate::Exit;
use crate::term::{self, Lines, fail};

/// Reads and runs lines until the person has enough.
pub(super) fn run(shell: &mut Shell) -> Result<Next, Exit> {
    shell.session.become_interactive();
    if !shell.session.debugger.is_active {
        let _ = shell.session.connect(Announce::Errors);
        shell.load_docs();
    }
    shell.preferences.load();
    let mut history = History::load(dotfile("REDISCLI_HISTFILE", ".rediscli_history"));
    let assistant = Assistant { docs: Rc::clone(&shell.docs), hints: Cell::new(true) };
    let mut editor = editor(&history, assistant)?;
    loop {
        shell.session.print_messages_until_input(&Lines::default())?;
        if let Some(assistant) = editor.helper_mut() {
            assistant.hints.set(shell.preferences.hints);
            assistant.docs = Rc::clone(&shell.docs);
        }
        term::flush();
        let line = match editor.readline(&shell.session.prompt()) {
            Ok(line) => line,
            Err(ReadlineError::Eof | ReadlineError::Interrupted) => return Ok(Next::Quit),
            Err(e) => return Err(fail(format!("Error: {e}"))),
        };
        let Some(words) = shell.session.debugger.split(line.as_bytes()) else {
            term::out("Invalid argument(s)\n");
            remember(&mut editor, &mut history, &line);
            continue;
        };
        if words.is_empty() {
            continue;
        }
        let command = &words[usize::from(line::repeat(&words).is_some())..];
        if !is_sensitive(command) {
            remember(&mut editor, &mut history, &line);
        }
        match shell.run_line(&words)? {
            Next::Line => {}
            end => return Ok(end),
        }
    }
}

type LineEditor = Editor<Assistant, MemHistory>;

fn editor(history: &History, assistant: Assistant) -> Result<LineEditor, Exit> {
    let config =
        Config::builder().completion_type(CompletionType::Circular).auto_add_history(false).build();
    let editor = Editor::with_history(config.clone(), MemHistory::with_config(&config));
    let mut editor: LineEditor = editor.map_err(|e| fail(format!("Error: {e}")))?;
    editor.set_helper(Some(assistant));
    for line in &history.lines {
        let _ = editor.history_mut().add(line);
    }
    Ok(editor)
}

fn remember(editor: &mut LineEditor, history: &mut History, line: &str) {
    history.add(line);
    let _ = editor.history_mut().add(line);
}

/// What helps while a line is typed.
struct Assistant {
    docs: Rc<Docs>,
    hints: Cell<bool>,
}

impl Completer for Assistant {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        pos: usize,
        _ctx: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        Ok(hints::completions(&self.docs, &line[..pos]))
    }
}

impl Hinter for Assistant {
    type Hint = String;

    fn hint(&self, line: &str, pos: usize, _ctx: &Context<'_>) -> Option<String> {
        if !self.hints.get() || pos < line.len() {
            return None;
        }
        let hint = hints::missing(&self.docs, line).filter(|hint| !hint.is_empty())?;
        let is_word_done = line.ends_with(|c: char| c.is_ascii_whitespace());
        Some(if is_word_done { hint } else { format!(" {hint}") })
    }
}

impl Highlighter for Assistant {
    fn highlight_hint<'h>(&self, hint: &'h str) -> Cow<'h, str> {
        Cow::Owned(format!("\x1b[0;90;49m{hint}\x1b[0m"))
    }
}

impl Validator for Assistant {}

impl Helper for Assistant {}
