//! `help`, `help <command>`, `help @group`.
//!
//! Must not: know any command itself.

use super::docs::{CommandDoc, Docs};
use crate::VERSION;
use crate::term::out;

/// Prints what is known of these words.
pub(super) fn print(docs: &Docs, words: &[Vec<u8>]) {
    let words: Vec<String> =
        words.iter().map(|word| String::from_utf8_lossy(word).to_uppercase()).collect();
    let Some(first) = words.first() else {
        out(general());
        return;
    };
    let group = first.strip_prefix('@');
    for doc in &docs.commands {
        let fits = match group {
            Some(group) => doc.group.eq_ignore_ascii_case(group),
            None => {
                let mut names = doc.name.split(' ');
                words.iter().all(|word| names.next() == Some(word.as_str()))
            }
        };
        if fits {
            out(about(doc, group.is_none()));
        }
    }
    out("\r\n");
}

fn general() -> String {
    format!(
        "redis-cli {VERSION}\n\
         To get help about Redis commands type:\n      \
         \"help @<group>\" to get a list of commands in <group>\n      \
         \"help <command>\" for help on <command>\n      \
         \"help <tab>\" to get a list of possible help topics\n      \
         \"quit\" to exit\n\
         \n\
         To set redis-cli preferences:\n      \
         \":set hints\" enable online hints\n      \
         \":set nohints\" disable online hints\n\
         Set your preferences in ~/.redisclirc\n"
    )
}

fn about(doc: &CommandDoc, with_group: bool) -> String {
    let CommandDoc { name, summary, since, group, .. } = doc;
    let mut text = format!(
        "\r\n  \x1b[1m{name}\x1b[0m \x1b[90m{}\x1b[0m\r\n  \x1b[33msummary:\x1b[0m {summary}\r\n",
        doc.syntax()
    );
    if let Some(since) = since {
        text.push_str(&format!("  \x1b[33msince:\x1b[0m {since}\r\n"));
    }
    if with_group {
        text.push_str(&format!("  \x1b[33mgroup:\x1b[0m {group}\r\n"));
    }
    text
}
