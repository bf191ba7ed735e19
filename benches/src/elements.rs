//! What an element takes in memory, type by type: in one large key, and in many small ones.

use testkit::{Reply, Server};

use crate::Plan;
use crate::snapshot::settled_bytes;
use crate::table::Table;

const ELEMENTS: usize = 500_000;
/// Elements of a small key, which is one block of memory at both.
const FEW: usize = 16;
const TARGET: f64 = 1.0;

/// A type, and the command for its element `<i>` in the key `<k>`.
const TYPES: [(&str, &str); 5] = [
    ("list", "RPUSH <k> value:<i>"),
    ("hash", "HSET <k> field:<i> 0123456789abcdef"),
    ("set", "SADD <k> member:<i>"),
    ("sorted set", "ZADD <k> <i> member:<i>"),
    ("stream", "XADD <k> <i>-1 field 0123456789abcdef"),
];

pub fn measure(plan: &Plan, table: &mut Table) {
    let elements = ELEMENTS / plan.divisor;
    for (kind, command) in TYPES {
        for (size, of) in [(elements, "one key"), (FEW, "keys of 16")] {
            let medians = plan.medians(|side| {
                let server = Server::of(plan.sides[side]).start();
                let empty = settled_bytes(&server);
                fill(&server, command, elements, size);
                settled_bytes(&server).saturating_sub(empty) as f64 / elements as f64
            });
            table.line(&format!("memory per element, {kind}, {of}"), "bytes", medians, TARGET);
        }
    }
}

fn fill(server: &Server, command: &str, elements: usize, size: usize) {
    let mut client = server.client();
    let made = |i: usize| -> Vec<Vec<u8>> {
        // From 1 on: an entry of a stream has an id.
        let (key, element) = (format!("key:{:012}", i / size), format!("{:010}", i + 1));
        let words = command.split(' ');
        words.map(|word| word.replace("<k>", &key).replace("<i>", &element).into_bytes()).collect()
    };
    for first in (0..elements).step_by(500) {
        let batch: Vec<_> = (first..(first + 500).min(elements)).map(made).collect();
        let replies = client.pipeline(&batch);
        assert!(!replies.iter().any(Reply::is_error), "every element is accepted");
    }
}
