//! `--topology`: master, replicas and their replicas as a tree, drawn anew each second.
//!
//! Must not: change anything.

use std::time::Duration;

use protocol::Value;

use super::stat::human;
use super::survey::{Node, survey};
use crate::Exit;
use crate::format::{Delimiters, Output, render};
use crate::shell::options::Options;
use crate::term;

const INTERVAL: Duration = Duration::from_secs(1);
const BAR_LEN: usize = 20;

pub(super) fn run(options: &Options) -> Result<(), Exit> {
    loop {
        let root = survey(&options.target);
        match options.output {
            Output::Json(_) => {
                term::out(render(&json(&root), options.output, false, &Delimiters::default()));
            }
            _ => {
                // Elsewhere one tree follows the other.
                if !options.once && term::stdout_is_terminal() {
                    term::out("\x1b[H\x1b[2J");
                }
                term::out(text(&root));
            }
        }
        term::flush();
        if options.once {
            return if root.error.is_some() { Err(Exit(1)) } else { Ok(()) };
        }
        std::thread::sleep(options.interval.unwrap_or(INTERVAL));
    }
}

fn text(root: &Node) -> String {
    let mut text = format!("{}\n", line(root));
    branches(root, "", &mut text);
    text
}

fn branches(node: &Node, indent: &str, text: &mut String) {
    for (i, replica) in node.replicas.iter().enumerate() {
        let is_last = i + 1 == node.replicas.len();
        let (sign, more) = if is_last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        text.push_str(&format!("{indent}{sign}{}\n", line(replica)));
        branches(replica, &format!("{indent}{more}"), text);
    }
}

/// All that is known of one server.
pub(super) fn line(node: &Node) -> String {
    let address = format!("{}:{}", node.host, node.port);
    if let Some(error) = &node.error {
        return format!("{address}  unreachable: {error}");
    }
    let about = format!("{}  {}", node.version, node.memory);
    if node.is_master {
        return format!("{address}  master  offset {}  {about}", node.offset);
    }
    let link = match node.sync {
        Some((done, all)) => bar(done, all),
        None if node.link_up => "up".into(),
        None => "down".into(),
    };
    let lag = match node.lag_s {
        Some(seconds) => format!("  lag {}, {seconds} s", human(node.lag_bytes)),
        None => String::new(),
    };
    format!("{address}  replica  {link}{lag}  offset {}  {about}", node.offset)
}

/// How far a sync is.
fn bar(done: i64, all: i64) -> String {
    if all <= 0 {
        return format!("syncing, {} so far", human(done));
    }
    let share = (done.max(0) as f64 / all as f64).min(1.0);
    let filled = (share * BAR_LEN as f64) as usize;
    let (full, empty) = ("#".repeat(filled), "-".repeat(BAR_LEN - filled));
    format!("syncing [{full}{empty}] {:.0}% of {}", share * 100.0, human(all))
}

fn json(node: &Node) -> Value {
    let text = |text: &str| Value::Bulk(text.as_bytes().to_vec());
    let mut fields = vec![("host", text(&node.host)), ("port", Value::Int(node.port))];
    if let Some(error) = &node.error {
        fields.push(("error", text(error)));
    } else {
        fields.extend([
            ("role", text(if node.is_master { "master" } else { "replica" })),
            ("version", text(&node.version)),
            ("used_memory", text(&node.memory)),
            ("offset", Value::Int(node.offset)),
        ]);
        if !node.is_master {
            fields.push(("link", text(if node.link_up { "up" } else { "down" })));
            fields.push(("lag_bytes", Value::Int(node.lag_bytes)));
            fields.push(("lag_seconds", node.lag_s.map_or(Value::Null, Value::Int)));
        }
        if let Some((done, all)) = node.sync {
            fields.push(("sync_read_bytes", Value::Int(done)));
            fields.push(("sync_total_bytes", Value::Int(all)));
        }
    }
    fields.push(("replicas", Value::Array(node.replicas.iter().map(json).collect())));
    Value::Map(fields.into_iter().map(|(name, value)| (text(name), value)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::Strings;

    fn node(port: i64, replicas: Vec<Node>) -> Node {
        let (host, version, memory) = ("h".into(), "7.2.4".into(), "1.00M".into());
        Node { host, port, version, memory, replicas, ..Node::default() }
    }

    fn example() -> Node {
        let syncing = Node { sync: Some((512, 1024)), ..node(4, vec![]) };
        let gone = Node { error: Some("Connection refused".into()), ..node(3, vec![]) };
        let up = Node {
            link_up: true,
            lag_bytes: 5,
            lag_s: Some(1),
            offset: 95,
            ..node(2, vec![syncing])
        };
        Node { is_master: true, offset: 100, ..node(1, vec![up, gone]) }
    }

    #[test]
    fn a_tree_is_drawn() {
        let expected = "h:1  master  offset 100  7.2.4  1.00M\n\
            ├─ h:2  replica  up  lag 5B, 1 s  offset 95  7.2.4  1.00M\n\
            │  └─ h:4  replica  syncing [##########----------] 50% of 1.00K  offset 0  7.2.4  1.00M\n\
            └─ h:3  unreachable: Connection refused\n";
        assert_eq!(text(&example()), expected);
        assert_eq!(bar(3000, 0), "syncing, 2.93K so far");
    }

    #[test]
    fn a_tree_is_json() {
        let output = Output::Json(Strings::Plain);
        let text = render(&json(&example()), output, false, &Delimiters::default());
        let text = String::from_utf8(text).unwrap();
        assert!(
            text.starts_with(r#"{"host":"h","port":1,"role":"master","version":"7.2.4""#),
            "{text}"
        );
        assert!(
            text.contains(r#""link":"up","lag_bytes":5,"lag_seconds":1,"replicas":[{"#),
            "{text}"
        );
        assert!(
            text.contains(r#"{"host":"h","port":3,"error":"Connection refused","replicas":[]}"#)
        );
    }
}
