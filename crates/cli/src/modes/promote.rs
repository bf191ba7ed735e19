//! `--promote`: a replica takes over from a master that is alive, and no acknowledged write is lost.
//!
//! Writes are held back at the master until the heir has them all; then roles change, and the others,
//! the old master among them, follow the heir. Must not: change anything without `--yes`, or leave a
//! master paused.

use std::time::{Duration, Instant};

use protocol::Value;

use super::survey::{Node, beside, connect, look, survey};
use super::topology::line;
use crate::Exit;
use crate::connection::Target;
use crate::shell::options::Options;
use crate::target::leading_int;
use crate::term::{fail, flush, out};

/// How long writes are held back at most; clients wait meanwhile.
const PAUSE: Duration = Duration::from_secs(60);
/// How long the heir may take to catch up, and the others to find it.
const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);

pub(super) fn run(options: &Options) -> Result<(), Exit> {
    let heir = parse(&options.target, &options.promote)
        .ok_or_else(|| fail("--promote takes the replica's address: host:port"))?;
    let change = Change::plan(&options.target, heir).map_err(fail)?;
    out(change.text());
    if !options.yes {
        out("Nothing was changed. Add --yes to do it.\n");
        return Ok(());
    }
    flush();
    change.perform().map_err(fail)
}

fn parse(target: &Target, address: &[u8]) -> Option<Target> {
    let address = String::from_utf8_lossy(address);
    let (host, port) = address.rsplit_once(':')?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let port = leading_int(port.as_bytes());
    (!host.is_empty() && port > 0).then(|| beside(target, host, port))
}

/// Who is who.
struct Change {
    heir: Target,
    master: Target,
    others: Vec<Target>,
    before: Node,
    heir_before: Node,
}

impl Change {
    /// Looks whether it can be done at all.
    fn plan(target: &Target, heir: Target) -> Result<Self, String> {
        let name = heir.address(true);
        let heir_before = look(&heir);
        if let Some(error) = &heir_before.error {
            return Err(format!("{name} cannot be asked: {error}"));
        }
        let Some((host, port)) = &heir_before.master else {
            return Err(format!("{name} is a master already"));
        };
        if !heir_before.link_up {
            let why = heir_before.link_error.map(|why| format!(": {why}")).unwrap_or_default();
            return Err(format!("{name} has no link to its master {host}:{port}{why}"));
        }
        let master = beside(target, host, *port);
        let before = survey(&master);
        if let Some(error) = &before.error {
            return Err(format!("The master {host}:{port} cannot be asked: {error}"));
        }
        if (before.host.as_str(), before.port) != (host.as_str(), *port) {
            return Err(format!("{name} follows {host}:{port}, which is a replica itself"));
        }
        let listed = before.replicas.iter().filter(|replica| replica.error.is_none());
        let others = listed
            .filter(|replica| !is_same(replica, &heir, &heir_before))
            .map(|replica| beside(target, &replica.host, replica.port))
            .collect();
        Ok(Self { heir, master, others, before, heir_before })
    }

    fn text(&self) -> String {
        let (heir, master) = (self.heir.address(true), self.master.address(true));
        let mut text =
            format!("Now:\n  {}\n  {}\nTo be done:\n", line(&self.before), line(&self.heir_before));
        let mut steps = vec![
            format!("hold writes back at {master} (CLIENT PAUSE {} WRITE)", PAUSE.as_millis()),
            format!("wait until {heir} has all that {master} has written"),
            format!("make {heir} the master (REPLICAOF NO ONE)"),
        ];
        let others = self.others.iter().map(|other| other.address(true));
        steps.extend(others.map(|other| format!("let {other} follow {heir}")));
        steps.push(format!("let {master} follow {heir}, and let its clients go on"));
        steps.push("look whether all links are up".into());
        for (i, step) in steps.iter().enumerate() {
            text.push_str(&format!("  {}. {step}\n", i + 1));
        }
        text
    }

    fn perform(&self) -> Result<(), String> {
        let (heir, master) = (self.heir.address(true), self.master.address(true));
        let pause_ms = PAUSE.as_millis().to_string();
        command(&self.master, &["CLIENT", "PAUSE", &pause_ms, "WRITE"])?;
        let handed_over = self.wait_for_heir().and_then(|()| {
            command(&self.heir, &["REPLICAOF", "NO", "ONE"])?;
            let is_master = look(&self.heir).is_master;
            is_master.then_some(()).ok_or_else(|| format!("{heir} did not become a master"))
        });
        if let Err(why) = handed_over {
            command(&self.master, &["CLIENT", "UNPAUSE"])?;
            return Err(format!("{why}; {master} stays the master"));
        }
        out(format!("{heir} is the master.\n"));
        let mut troubles = Vec::new();
        let (host, port) = (String::from_utf8_lossy(&self.heir.host), self.heir.port.to_string());
        for follower in self.others.iter().chain([&self.master]) {
            let follow = command(follower, &["REPLICAOF", &host, &port]);
            troubles.extend(follow.err());
        }
        troubles.extend(command(&self.master, &["CLIENT", "UNPAUSE"]).err());
        for follower in self.others.iter().chain([&self.master]) {
            let name = follower.address(true);
            let follows = wait(|| {
                let node = look(follower);
                let at = node.master.as_ref().map(|(host, port)| (host.as_str(), *port));
                node.link_up && at == Some((host.as_ref(), self.heir.port))
            });
            if follows {
                out(format!("{name} follows {heir}.\n"));
            } else {
                troubles.push(format!("{name} has no link to {heir} yet"));
            }
        }
        flush();
        if troubles.is_empty() { Ok(()) } else { Err(troubles.join("\n")) }
    }

    /// No write comes any more; those that came are to be with the heir.
    fn wait_for_heir(&self) -> Result<(), String> {
        let name = self.heir.address(true);
        let written = look(&self.master);
        if let Some(error) = written.error {
            return Err(format!("{} is gone: {error}", self.master.address(true)));
        }
        let has_all = wait(|| {
            let heir = look(&self.heir);
            heir.link_up && heir.offset >= written.offset
        });
        if !has_all {
            return Err(format!("{name} did not catch up in {} seconds", PATIENCE.as_secs()));
        }
        out(format!("{name} has everything up to offset {}.\n", written.offset));
        Ok(())
    }
}

/// By a name the heir is asked at another address than the master lists it at: it would have followed itself.
fn is_same(replica: &Node, heir: &Target, heir_before: &Node) -> bool {
    let is_one_process = !replica.run_id.is_empty() && replica.run_id == heir_before.run_id;
    is_one_process || replica.port == heir.port && same_host(replica, heir)
}

fn same_host(node: &Node, target: &Target) -> bool {
    node.host.as_bytes() == target.host || {
        // One of the two may be a name.
        let local =
            |host: &[u8]| host == b"localhost" || host.starts_with(b"127.") || host == b"::1";
        local(node.host.as_bytes()) && local(&target.host)
    }
}

/// Looks again and again, as long as it pays.
fn wait(mut is_so: impl FnMut() -> bool) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        if is_so() {
            return true;
        }
        std::thread::sleep(POLL);
    }
    false
}

fn command(target: &Target, words: &[&str]) -> Result<(), String> {
    let told = |why: String| format!("{}: {}: {why}", target.address(true), words.join(" "));
    let mut conn = connect(target).map_err(told)?;
    match conn.call(words) {
        Ok(Value::Error(text)) => Err(told(String::from_utf8_lossy(&text).into_owned())),
        Ok(_) => Ok(()),
        Err(e) => Err(told(e.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_a_port() {
        let of = |text: &str| parse(&Target::default(), text.as_bytes()).map(|t| t.address(true));
        assert_eq!(of("10.0.0.2:6380").as_deref(), Some("10.0.0.2:6380"));
        assert_eq!(of("[::1]:7").as_deref(), Some("::1:7"));
        for text in ["", "host", ":7", "host:", "host:x"] {
            assert_eq!(of(text), None, "{text}");
        }
    }

    #[test]
    fn an_heir_that_is_named_is_the_replica_that_is_listed_by_its_address() {
        let node = |host: &str, run_id: &str| Node {
            host: host.into(),
            port: 6379,
            run_id: run_id.into(),
            ..Node::default()
        };
        let heir = parse(&Target::default(), b"new:6379").expect("an address");
        let before = node("new", "a");
        assert!(is_same(&node("10.0.0.2", "a"), &heir, &before));
        assert!(!is_same(&node("10.0.0.3", "b"), &heir, &before));
        // Who does not say which process it is goes by its address.
        assert!(!is_same(&node("10.0.0.2", ""), &heir, &node("new", "")));
        assert!(is_same(&node("new", ""), &heir, &node("new", "")));
    }
}
