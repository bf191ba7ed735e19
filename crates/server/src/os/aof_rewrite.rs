//! Rewriting the append-only file: by which child, and what it is to write; and turning the file on and off at
//! run time. What a rewrite does to the file is decided there.
//!
//! Order of a rewrite: everything propagated goes to the present increment; a new increment begins,
//! of which nothing counts before the manifest says so; the child is forked and writes the base; the
//! disk's thread puts that in place, and then the manifest. A crash at any point finds a manifest whose
//! files together are the data set.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use engine::{ClientId, CommandError, Outcome};
use log::{info, warn};
use node::Node;
use persist::aof::manifest::BaseFormat;
use store::keyspace::Keyspace;

use crate::disk::aof::writer::WriterNews;
use crate::disk::child::{self, Report, Reporter};
use crate::disk::children::Job;
use crate::disk::files::SteadyWriter;
use crate::disk::rdb::{ChildHook, SnapshotHeader};
use crate::disk::worker::NamedIncr;
use crate::os::host::{ConfigSetWaits, Deferred, Host};
use crate::process::os_error::os_error;

impl Host {
    pub fn request_aof_rewrite(
        &mut self,
        client: Option<ClientId>,
        in_exec: bool,
    ) -> Result<Outcome, CommandError> {
        if self.disk.children.is_rewriting_aof() || self.disk.aof.is_installing() {
            return Err(CommandError::err(
                "Background append only file rewriting already in progress",
            ));
        }
        // What else a transaction has asked for may be a child as well, and there is one at a time.
        if in_exec || self.disk.children.is_active() || self.disk.aof.is_busy() {
            self.disk.aof.schedule_rewrite();
            return Ok(Outcome::Status("Background append only file rewriting scheduled".into()));
        }
        self.deferred.push(Deferred::BgRewriteAof { client });
        Ok(Outcome::Silent)
    }
}

impl Host {
    /// Begins a rewrite: with the file off, only to have its base on the disk, as Redis does.
    pub fn start_aof_rewrite(&mut self, node: &mut Node) -> io::Result<()> {
        if !self.disk.aof.may_begin_rewrite(self.disk.children.is_active()) {
            return Ok(());
        }
        let started = self.try_start_aof_rewrite(node);
        if let Err(error) = &started {
            warn!("Can't rewrite append only file in background: {}", os_error(error));
            self.disk.aof.rewrite_failed();
        }
        started
    }

    fn try_start_aof_rewrite(&mut self, node: &mut Node) -> io::Result<()> {
        self.disk.aof.create_dir().map_err(io::Error::other)?;
        node.append(self);
        self.disk.aof.rewrite_begins()?;
        node.engine.propagation.reselect_aof();
        let config = &self.config.persistence;
        let format = if config.aof_use_rdb_preamble { BaseFormat::Rdb } else { BaseFormat::Aof };
        let steady = config.aof_rewrite_incremental_fsync;
        let mut header = self.snapshot_header(node);
        header.set_aof_base();
        let keyspace = &node.engine.keyspace;
        let aof = &self.disk.aof;
        let forked = child::spawn(&[], |reporter| {
            let temp = aof.temp_base_path(std::process::id());
            write_base(keyspace, &header, &temp, format, steady, reporter)
        });
        let child = self.forked(node, forked)?;
        let temp = self.disk.aof.temp_base_path(child.pid() as u32);
        info!("Background append only file rewriting started by pid {}", child.pid());
        self.begin_job(node, child, Job::AofRewrite { temp, format }, None)
    }

    /// The manifest names the increment that the rewrite began with, or could not be stored.
    pub fn incr_named(&mut self, node: &mut Node, named: NamedIncr, result: io::Result<()>) {
        let goes_on = self.disk.aof.incr_named(named, result);
        if !goes_on && self.disk.children.is_rewriting_aof() {
            self.kill_child(node);
        }
    }

    /// What the file's writer has to say.
    pub fn hear_aof_writer(&mut self, news: WriterNews) {
        self.disk.aof.hear_writer(news);
    }

    /// Rewrites that are due by themselves.
    pub fn aof_cron(&mut self, node: &mut Node) {
        let disk = &mut self.disk;
        if disk.children.is_active() || disk.loading.is_active() || disk.aof.is_busy() {
            return;
        }
        if disk.aof.is_rewrite_due(node.now().mono_us, &self.config) {
            // A failure is logged and counted; the next turn of cron tries again.
            let _ = self.start_aof_rewrite(node);
        }
    }

    /// `appendonly` was changed at run time, or a new data set has arrived while it is on: the file
    /// becomes valid with its first rewrite.
    /// An error where it cannot begin, though cron goes on trying: the caller may turn it off again.
    pub fn turn_aof(&mut self, node: &mut Node, on: bool) -> io::Result<()> {
        if !on {
            if self.disk.aof.is_on() {
                if self.disk.children.is_rewriting_aof() {
                    let pid = self.disk.children.pid();
                    info!("Killing running AOF rewrite child: {pid}");
                    self.kill_child(node);
                }
                node.append(self);
                self.disk.aof.close();
                node.engine.propagation.set_aof(false);
            }
            return Ok(());
        }
        if self.disk.aof.is_on() {
            return Ok(());
        }
        self.begin_waiting_aof(node)
    }

    /// CONFIG SET of `appendonly`, and of what was set together with it.
    pub fn set_appendonly(&mut self, node: &mut Node, on: bool, asked: Option<ConfigSetWaits>) {
        let turned = self.turn_aof(node, on);
        let Some(ConfigSetWaits { client, before, changed }) = asked else { return };
        if turned.is_ok() {
            return self.answer(node, client, Ok(()));
        }
        warn!(
            "Redis needs to enable the AOF but can't trigger a background AOF rewrite operation. \
             Check the above logs for more info about the error."
        );
        warn!(
            "Failed applying new configuration. Possibly related to new appendonly setting. \
             Restoring previous settings."
        );
        // Nothing is in flight for a file that has not begun.
        let _ = self.turn_aof(node, false);
        let error = self.take_back(node, *before, &changed);
        let settings = engine::world::Configuration::settings(self);
        node.engine.apply_settings(settings);
        self.answer(node, client, Err(error));
    }

    /// The data set was replaced: what the AOF has is another one's.
    pub fn restart_aof(&mut self, node: &mut Node) {
        if self.disk.children.is_rewriting_aof() {
            self.kill_child(node);
        }
        if !self.disk.aof.is_off() {
            node.append(self);
            self.disk.aof.forget();
        }
        // A failure is logged, and cron tries again.
        let _ = self.begin_waiting_aof(node);
    }

    fn begin_waiting_aof(&mut self, node: &mut Node) -> io::Result<()> {
        self.disk.aof.begin_waiting();
        node.engine.propagation.set_aof(true);
        if self.disk.children.is_rewriting_aof() {
            info!(
                "AOF was enabled but there is already an AOF rewriting in background. Stopping \
                 background AOF and starting a rewrite now."
            );
            self.kill_child(node);
        }
        if self.disk.children.is_active() && !self.disk.aof.is_busy() {
            info!(
                "AOF was enabled but there is already another background operation. An AOF \
                 background was scheduled to start when possible."
            );
        }
        // Where it has to wait nothing is written until then: the rewrite will see all of it.
        self.start_aof_rewrite(node)
    }
}

/// The child's work.
fn write_base(
    keyspace: &Keyspace,
    header: &SnapshotHeader,
    temp: &Path,
    format: BaseFormat,
    steady: bool,
    reporter: &mut Reporter,
) -> io::Result<Report> {
    let mut out = SteadyWriter::create(temp, steady)?;
    let keys = match format {
        BaseFormat::Rdb => {
            header.save(keyspace, &mut out, &mut ChildHook::new(header, reporter))?.keys
        }
        BaseFormat::Aof => write_commands(keyspace, header, &mut out, reporter)?,
    };
    let (size_bytes, _file): (u64, File) = out.finish()?;
    Ok(Report { keys, size_bytes, ..Report::default() })
}

fn write_commands(
    keyspace: &Keyspace,
    header: &SnapshotHeader,
    out: &mut SteadyWriter,
    reporter: &mut Reporter,
) -> io::Result<u64> {
    let mut buffered = io::BufWriter::with_capacity(256 << 10, out);
    let options = header.rewrite_options();
    let report = persist::aof::rewrite(
        keyspace,
        &mut buffered,
        &options,
        &mut ChildHook::new(header, reporter),
    )?;
    buffered.flush()?;
    Ok(report.keys)
}
