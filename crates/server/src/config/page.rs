//! Owns docs/configuration.md, the reference to read: like conf/redis.conf it is rendered from the table, and
//! a test holds the file to it. After a change of the table, run the tests of the two with `UPDATE_CONF=1`.

use super::directive::{Directive, Flags};
use super::sections::GROUPS;

const INTRO: &str = "\
# Configuration reference

Rendered from the table of directives, as [conf/redis.conf](../conf/redis.conf) is, which shows the syntax.
A server reads a file, then its command line, where a directive is an option:

    redis-server /etc/redis/6379.conf --loglevel verbose

At run time `CONFIG GET` shows values, `CONFIG SET` changes those that are not fixed at start, and
`CONFIG REWRITE` writes them to the file. A start refuses a line that it does not know, and names file, line
and reason. Sizes take units: `1k` is 1000 bytes, `1kb` 1024.

`include`, `user`, `rename-command` and `loadmodule` stand in files but are no values; conf/redis.conf has them.
";

/// The whole page.
pub fn page() -> String {
    let mut text = INTRO.to_owned();
    text.push('\n');
    for group in &GROUPS {
        let title = group.title;
        let anchor = title.to_lowercase().replace(' ', "-");
        text.push_str(&format!("- [{title}](#{anchor})\n"));
    }
    for group in &GROUPS {
        text.push_str(&format!("\n## {}\n", group.title));
        for row in group.directives {
            text.push_str(&entry(row));
        }
    }
    text
}

fn entry(row: &Directive) -> String {
    let doc = row.doc.iter().map(|line| markdown(line.trim())).collect::<Vec<_>>().join("\n");
    let default = if row.default.is_empty() { "\"\"" } else { row.default };
    let mut facts = vec![format!("Default `{default}`.")];
    facts.push(
        if row.flags.has(Flags::IMMUTABLE) {
            "Fixed at start."
        } else if row.flags.has(Flags::PROTECTED) {
            "CONFIG SET needs `enable-protected-configs`."
        } else {
            "CONFIG SET changes it."
        }
        .into(),
    );
    if !row.aliases.is_empty() {
        facts.push(format!("Other name: `{}`.", row.aliases.join("`, `")));
    }
    if row.flags.has(Flags::HIDDEN) {
        facts.push("For developers.".into());
    }
    if let Some(why) = row.no_effect {
        facts.push(format!("**Has no effect:** {}.", markdown(why)));
    }
    format!("\n### {}\n\n{doc}\n\n    {}\n\n{}\n", row.name, row.usage(), facts.join(" "))
}

/// Plain text as Markdown that reads the same.
fn markdown(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut in_code = false;
    for c in text.chars() {
        in_code ^= c == '`';
        if !in_code && matches!(c, '*' | '_' | '<' | '[' | ']') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn the_page_is_what_the_table_says() {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
        if std::env::var_os("UPDATE_CONF").is_some() {
            std::fs::write(&path, page()).expect("written");
        }
        let shipped = std::fs::read_to_string(path).expect("docs/configuration.md");
        let hint = "docs/configuration.md is out of date: run this test with UPDATE_CONF=1";
        assert!(shipped == page(), "{hint}");
    }

    #[test]
    fn signs_of_markdown_in_a_text_are_shown() {
        assert_eq!(markdown("a_b `c_d` *"), "a\\_b `c_d` \\*");
    }
}
