//! The peer of rows about commands that Debian's redis-server does not know: the server that `TANDEM_PEER_SERVER`
//! names, if it knows them.

use testkit::{Kind, Server, ServerBuilder};

use crate::Plan;

const NAMED_BY: &str = "TANDEM_PEER_SERVER";

/// What starts each side, or why there is nobody to compare with.
pub fn sides_that_know(plan: &Plan, command: &str) -> Result<[ServerBuilder; 2], String> {
    let path = std::env::var(NAMED_BY).map_err(|_| {
        format!("Debian's redis-server has no {command}, and {NAMED_BY} names no other")
    })?;
    let sides = plan.sides.map(|kind| match kind {
        Kind::Redis => Server::of(kind).program(&path),
        _ => Server::of(kind),
    });
    let answer = sides[0].clone().start().client().run(command);
    match answer.error().contains("unknown command") {
        true => Err(format!("{path} has no {command}")),
        false => Ok(sides),
    }
}
