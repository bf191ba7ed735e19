//! Owns the guess at what was meant by a line that is refused: a mistyped directive, or characters that look
//! like others or like nothing.

use std::path::Path;

use super::table::{directive, directives};

/// A sentence for a name that is no directive, when there is something to say.
pub fn for_name(name: &[u8]) -> Option<String> {
    let name = String::from_utf8_lossy(name);
    if let Some(hint) = for_text(&name) {
        return Some(hint);
    }
    nearest(&name).map(|meant| format!("did you mean '{meant}'?"))
}

/// The same for a line whose name is known, or that cannot be taken apart.
pub fn for_line(line: &[u8]) -> Option<String> {
    // Words of the command line have been quoted, which spells such characters out.
    let text = protocol::split_args(line).map_or(line.to_vec(), |words| words.join(&b' '));
    for_text(&String::from_utf8_lossy(&text))
}

/// For a first word of the command line that is no file: an option with the wrong dashes is taken for one.
pub fn for_missing_file(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_string_lossy();
    plain(&name).0.starts_with('-').then(|| for_text(&name)).flatten()
}

/// What is deceptive about a text, and what it should have been.
fn for_text(text: &str) -> Option<String> {
    let (c, what) = plain(text).1?;
    let code = format!("U+{:04X}", u32::from(c));
    let advice = match what {
        Disguise::Hyphen => {
            "it has a typographic hyphen, as web pages and word processors make them; type a plain one"
                .to_owned()
        }
        Disguise::Blank => {
            format!("it has a blank that separates no words, {code}; type a plain one")
        }
        Disguise::Quote => format!("it has a typographic quote, {code}; type a plain one"),
        Disguise::Wide => format!("it has a full-width character, {code}; type a plain one"),
        Disguise::Invisible => format!("it has an invisible character, {code}; delete it"),
        Disguise::Mark => {
            "it has a byte order mark, as some editors put one before a text; save the file as \
             UTF-8 without one"
                .to_owned()
        }
        Disguise::Broken => {
            "it has bytes that are not UTF-8, perhaps a blank of another encoding".to_owned()
        }
    };
    if let Disguise::Mark = what {
        return Some(advice);
    }
    Some(match meant(text) {
        Some(meant) => format!("{advice}: {meant}"),
        None => advice,
    })
}

/// The directive that the disguised word was meant to be, if it was one. No value is repeated.
fn meant(text: &str) -> Option<String> {
    let disguised = text.split_ascii_whitespace().find(|word| plain(word).1.is_some())?;
    let (words, _) = plain(disguised);
    let word = words.split_whitespace().next()?;
    let name = word.trim_start_matches('-');
    let dashes = if name.len() < word.len() { "--" } else { "" };
    let known = directive(name.as_bytes()).map(|_| name.to_ascii_lowercase());
    let known = known.or_else(|| nearest(name).map(str::to_owned))?;
    Some(format!("{dashes}{known}"))
}

#[derive(Clone, Copy)]
enum Disguise {
    Hyphen,
    Blank,
    Quote,
    Wide,
    Invisible,
    Mark,
    Broken,
}

/// The text as it was meant, and the first character of it that only looks as if.
fn plain(text: &str) -> (String, Option<(char, Disguise)>) {
    let mut first = None;
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        let Some((disguise, meant)) = disguise(c) else {
            plain.push(c);
            continue;
        };
        first = first.or(Some((c, disguise)));
        plain.extend(meant);
    }
    (plain, first)
}

fn disguise(c: char) -> Option<(Disguise, Option<char>)> {
    Some(match c {
        // A soft hyphen shows only where a line breaks, which is where it was copied from.
        '\u{ad}' | '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{fe58}' | '\u{fe63}' | '\u{ff0d}' => {
            (Disguise::Hyphen, Some('-'))
        }
        '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}' => {
            (Disguise::Blank, Some(' '))
        }
        '\u{2018}'..='\u{201b}' => (Disguise::Quote, Some('\'')),
        '\u{201c}'..='\u{201f}' => (Disguise::Quote, Some('"')),
        // The full-width forms of ASCII stand in its order.
        '\u{ff01}'..='\u{ff5e}' => {
            let ascii = char::from_u32(u32::from(c) - 0xff00 + 0x20);
            (Disguise::Wide, ascii)
        }
        '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}' => {
            (Disguise::Invisible, None)
        }
        '\u{feff}' => (Disguise::Mark, None),
        '\u{fffd}' => (Disguise::Broken, Some(' ')),
        _ => return None,
    })
}

fn nearest(name: &str) -> Option<&'static str> {
    let name = name.to_ascii_lowercase();
    // A short name is near to everything.
    let allowed = (name.chars().count() / 4).clamp(1, 3);
    directives()
        .flat_map(|row| std::iter::once(row.name).chain(row.aliases.iter().copied()))
        .map(|known| (distance(&name, known), known))
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, known)| known)
}

/// How many insertions, deletions and replacements lead from one name to the other.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
