//! What an element takes in memory, type by type: in one large key, and in many small ones.

use std::ops::Range;

use testkit::{Reply, Server, ServerBuilder};

use crate::Plan;
use crate::peer;
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

/// The command of fields that expire, which Debian's server does not know.
const EXPIRING: (&str, &str) =
    ("hash that expires", "HSETEX <k> PX 1000000000 FIELDS 1 field:<i> 0123456789abcdef");

pub fn measure(plan: &Plan, table: &mut Table) {
    let sides = plan.sides.map(Server::of);
    for (kind, command) in TYPES {
        rows(plan, table, &sides, kind, command);
    }
    let (kind, command) = EXPIRING;
    match peer::sides_that_know(plan, "HSETEX") {
        Ok(sides) => rows(plan, table, &sides, kind, command),
        Err(why) => table.left_out(&format!("memory per element, {kind}"), &why),
    }
}

fn rows(plan: &Plan, table: &mut Table, sides: &[ServerBuilder; 2], kind: &str, command: &str) {
    let elements = ELEMENTS / plan.divisor;
    // The first tenth brings along what is no element's: buffers, code, and how much of its memory a fresh
    // server has to spare.
    let first = elements / 10;
    for (size, of) in [(elements, "one key"), (FEW, "keys of 16")] {
        let medians = plan.medians(|side| {
            let server = sides[side].clone().start();
            fill(&server, command, 0..first, size);
            let before = settled_bytes(&server);
            fill(&server, command, first..elements, size);
            settled_bytes(&server).saturating_sub(before) as f64 / (elements - first) as f64
        });
        table.line(&format!("memory per element, {kind}, {of}"), "bytes", medians, TARGET);
    }
}

fn fill(server: &Server, command: &str, elements: Range<usize>, size: usize) {
    let mut client = server.client();
    let made = |i: usize| -> Vec<Vec<u8>> {
        // From 1 on: an entry of a stream has an id.
        let (key, element) = (format!("key:{:012}", i / size), format!("{:010}", i + 1));
        let words = command.split(' ');
        words.map(|word| word.replace("<k>", &key).replace("<i>", &element).into_bytes()).collect()
    };
    for first in elements.clone().step_by(500) {
        let batch: Vec<_> = (first..(first + 500).min(elements.end)).map(made).collect();
        let replies = client.pipeline(&batch);
        assert!(!replies.iter().any(Reply::is_error), "every element is accepted");
    }
}
