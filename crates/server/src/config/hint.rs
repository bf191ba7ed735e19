//! Owns the guess at what a mistyped directive was meant to be.

use super::directives;

/// A sentence for a name that is no directive, when there is something to say.
pub fn for_name(name: &[u8]) -> Option<String> {
    let name = String::from_utf8_lossy(name);
    let plain = with_plain_hyphens(&name);
    if plain != *name {
        let what = "it has a typographic hyphen, as web pages and word processors make them";
        return Some(match nearest(&plain) {
            Some(meant) => format!("{what}; type a plain one: {meant}"),
            None => format!("{what}; type a plain one"),
        });
    }
    nearest(&plain).map(|meant| format!("did you mean '{meant}'?"))
}

/// The dashes of Unicode, and the invisible soft hyphen, look like the `-` that is meant.
fn with_plain_hyphens(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\u{ad}'
            | '\u{2010}'..='\u{2015}'
            | '\u{2212}'
            | '\u{fe58}'
            | '\u{fe63}'
            | '\u{ff0d}' => '-',
            other => other,
        })
        .collect()
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
