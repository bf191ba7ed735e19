//! What the service is to whoever manages it: the line that `systemctl status` shows, the sign of life, and
//! what SIGHUP (`systemctl reload`) rereads. How it is said is the supervision's, in `process/`.

use std::io;

use log::info;
use node::Node;
use persist::rdb::SaveHook;
use repl::{FailoverState, LinkPhase, ReplicationView, UpstreamView};

use crate::disk::loading::LoadingFigures;
use crate::disk::rdb::OwnSave;
use crate::os::host::Host;
use crate::process::clock;
use crate::process::supervisor::{Stage, Supervision};

impl Host {
    /// Called often, says a word a second.
    pub fn supervise(&mut self, node: &Node) {
        if self.process.supervision.is_due(node.now().mono_us) {
            self.tell_supervisor(node);
        }
    }

    /// Says at once how the service stands.
    pub fn tell_supervisor(&mut self, node: &Node) {
        let (stage, status) = self.standing(node);
        self.process.supervision.tell(stage, &status);
    }

    /// The one place for everything that is reread at run time, without a restart.
    pub fn reload(&mut self, node: &Node) {
        let certificates = self.reread_certificates();
        let (stage, _) = self.standing(node);
        if stage == Stage::Serving {
            self.process.supervision.tell(Stage::Reloading, "Reloading");
        }
        // The log file: a line is all it takes, as each looks for a file that was moved away.
        info!(
            "Received SIGHUP: the log file is reopened.{certificates} The configuration is read at a start only."
        );
        self.tell_supervisor(node);
    }

    fn standing(&self, node: &Node) -> (Stage, String) {
        if self.process.exit_code.is_some() {
            return (Stage::Ending, "Redis is now ready to exit".into());
        }
        if let Some(deadline_us) = node.shutdown_deadline_us() {
            let left_s = deadline_us.saturating_sub(node.now().mono_us).div_ceil(1_000_000);
            return (Stage::AskedToEnd, stop_text(node.replicas_awaited(), left_s));
        }
        if self.process.postponed_end.is_some() && self.is_writing_first_base() {
            return (Stage::AskedToEnd, "Stopping: the first append-only file is written".into());
        }
        let loading = Some(self.disk.loading.figures()).filter(|loading| loading.active);
        let now_s = node.now().unix_us / 1_000_000;
        let load = loading.map(|l| load_text(&l, now_s.saturating_sub(l.started_unix_s)));
        match load {
            Some(load) if self.disk.loading.is_first() => (Stage::Loading, load),
            load => (Stage::Serving, status_line(&node.repl.view(node.now_ms()), load)),
        }
    }
}

/// A save during which the loop stands still: it says itself that it is alive, and how far it is.
pub struct SupervisedSave<'a> {
    pub inner: OwnSave<'a>,
    supervision: &'a mut Supervision,
    keys_total: u64,
}

impl<'a> SupervisedSave<'a> {
    pub fn new(inner: OwnSave<'a>, supervision: &'a mut Supervision, keys_total: u64) -> Self {
        SupervisedSave { inner, supervision, keys_total }
    }
}

impl SaveHook for SupervisedSave<'_> {
    fn saved_key(&mut self) -> io::Result<()> {
        self.inner.saved_key()
    }

    fn progress(&mut self, keys: u64, bytes: u64) -> io::Result<()> {
        if self.supervision.is_due(clock::mono_us()) {
            let (total, mb) = (self.keys_total, bytes as f64 / 1e6);
            let status = format!("Saving the RDB snapshot: {keys} of {total} keys, {mb:.1} MB");
            self.supervision.tell_more(&status);
        }
        self.inner.progress(keys, bytes)
    }
}

fn replicas(count: usize) -> String {
    match count {
        0 => "no replicas".into(),
        1 => "1 replica".into(),
        many => format!("{many} replicas"),
    }
}

fn stop_text(awaited: usize, left_s: u64) -> String {
    match awaited {
        0 => "Stopping: what is in memory is brought to the disk".into(),
        _ => format!(
            "Stopping: waiting for {} to catch up, at most {left_s} more seconds",
            replicas(awaited)
        ),
    }
}

fn load_text(loading: &LoadingFigures, elapsed_s: u64) -> String {
    let (total, loaded) = (loading.total_bytes, loading.loaded_bytes);
    let mb = |bytes: u64| bytes as f64 / 1e6;
    if total == 0 {
        return format!("Loading: {:.1} MB so far", mb(loaded));
    }
    let percent = loaded as f64 * 100.0 / total as f64;
    let mut text = format!("Loading: {:.1} of {:.1} MB ({percent:.1}%)", mb(loaded), mb(total));
    let left = u128::from(total.saturating_sub(loaded)) * u128::from(elapsed_s);
    if let Some(left_s) = left.checked_div(loaded.into()) {
        text.push_str(&format!(", {left_s} seconds left"));
    }
    text
}

/// Role, link, and every sync that is under way.
fn status_line(view: &ReplicationView, loading: Option<String>) -> String {
    let mut parts = vec![match &view.upstream {
        None => "Master".to_owned(),
        Some(up) => format!("Replica of {}:{}, {}", up.addr.host, up.addr.port, link_text(up)),
    }];
    parts.extend(loading);
    let online = view.replicas.iter().filter(|r| r.state == "online").count();
    if view.upstream.is_none() || !view.replicas.is_empty() {
        parts[0].push_str(&format!(", {} online", replicas(online)));
    }
    if view.failover != FailoverState::None {
        parts.push(view.failover.as_str().to_owned());
    }
    if let Some(snapshot) = &view.snapshot {
        parts.push(format!("snapshot for replicas: {}", snapshot.as_text()));
    }
    for replica in &view.replicas {
        let to = format!("{}:{}", replica.ip, replica.port);
        match &replica.transfer {
            Some(transfer) => parts.push(format!("sync to {to}: {}", transfer.as_text())),
            None if replica.state != "online" => parts.push(format!("{to} waits for a snapshot")),
            None => {}
        }
    }
    parts.join("; ")
}

fn link_text(up: &UpstreamView) -> String {
    match (&up.transfer, &up.fault, up.phase) {
        (Some(transfer), ..) => format!("sync: {}", transfer.as_text()),
        (None, Some(_), _) => "link down: a command of the stream cannot be applied".into(),
        (None, None, LinkPhase::Connected) => "link up".into(),
        (None, None, _) => match (up.down_since_secs, up.retry_in_secs) {
            (Some(since), Some(retry)) => {
                format!("link down for {since} seconds, next attempt in {retry}")
            }
            (Some(since), None) => format!("link down for {since} seconds, connecting"),
            (None, Some(retry)) => format!("link down, next attempt in {retry} seconds"),
            (None, None) => "connecting".into(),
        },
    }
}

#[cfg(test)]
mod tests {
    use repl::MasterAddr;

    use super::*;

    #[test]
    fn a_stop_says_for_whom_it_waits_and_how_long_at_most() {
        let text = "Stopping: waiting for 2 replicas to catch up, at most 7 more seconds";
        assert_eq!(stop_text(2, 7), text);
        assert!(stop_text(1, 7).contains(" 1 replica to"));
        assert!(!stop_text(0, 7).contains("seconds"));
    }

    #[test]
    fn a_load_says_how_much_is_left_once_anything_is_known_of_it() {
        let mut loading = LoadingFigures { loaded_bytes: 25_000_000, ..LoadingFigures::default() };
        assert_eq!(load_text(&loading, 5), "Loading: 25.0 MB so far");
        loading.total_bytes = 100_000_000;
        assert_eq!(load_text(&loading, 5), "Loading: 25.0 of 100.0 MB (25.0%), 15 seconds left");
        loading.loaded_bytes = 0;
        assert_eq!(load_text(&loading, 5), "Loading: 0.0 of 100.0 MB (0.0%)");
    }

    #[test]
    fn a_link_that_is_down_says_since_when_and_what_comes_next() {
        let up = |down_since_secs, retry_in_secs| UpstreamView {
            addr: MasterAddr { host: "db1".into(), port: 6379 },
            phase: LinkPhase::Connect,
            last_io_secs: None,
            transfer: None,
            down_since_secs,
            fault: None,
            failure: None,
            retry_in_secs,
            read_offset: 0,
        };
        assert_eq!(link_text(&up(Some(9), Some(3))), "link down for 9 seconds, next attempt in 3");
        assert_eq!(link_text(&up(Some(9), None)), "link down for 9 seconds, connecting");
        assert_eq!(link_text(&up(None, Some(3))), "link down, next attempt in 3 seconds");
        assert_eq!(link_text(&up(None, None)), "connecting");
        let connected = UpstreamView { phase: LinkPhase::Connected, ..up(None, None) };
        assert_eq!(link_text(&connected), "link up");
    }
}
