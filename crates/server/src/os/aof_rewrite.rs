//! Rewriting the append-only file: when, by which child, and how its result is put in place; and
//! turning the file on and off at run time.
//!
//! Order of a rewrite: everything propagated goes to the present increment; a new increment begins,
//! of which nothing counts before the manifest says so; the child is forked and writes the base; the
//! disk's thread puts that in place, and then the manifest. A crash at any point finds a manifest whose
//! files together are the data set.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use engine::{ClientId, CommandError, Outcome};
use log::{info, warn};
use node::Node;
use persist::aof::manifest::{BaseFormat, temp_base_name};
use store::keyspace::Keyspace;

use crate::disk::aof::AofState;
use crate::disk::aof::files::Begun;
use crate::disk::child::{self, Exit, Report, Reporter};
use crate::disk::children::{Job, judge};
use crate::disk::files::SteadyWriter;
use crate::disk::rdb::{ChildHook, SnapshotHeader};
use crate::disk::worker::{DiskJob, InstalledBase, NamedIncr};
use crate::os::host::{ConfigSetWaits, Deferred, Host};
use crate::process::os_error::os_error;

/// From this many failures in a row on, automatic rewrites pause: 1 minute, then 2, 4, ...
const FAILURES_BEFORE_PAUSE: u32 = 3;
const PAUSE_MAX_MINUTES: u64 = 60;

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
            self.disk.aof.rewrite_scheduled = true;
            // Who asks for it is not to wait because the last ones failed.
            self.disk.aof.stats.consecutive_failures = 0;
            return Ok(Outcome::Status("Background append only file rewriting scheduled".into()));
        }
        self.deferred.push(Deferred::BgRewriteAof { client });
        Ok(Outcome::Silent)
    }
}

impl Host {
    /// Begins a rewrite: with the file off, only to have its base on the disk, as Redis does.
    pub fn start_aof_rewrite(&mut self, node: &mut Node) -> io::Result<()> {
        if self.disk.aof.is_busy() || self.disk.children.is_active() {
            self.disk.aof.rewrite_scheduled = true;
            return Ok(());
        }
        self.disk.aof.rewrite_scheduled = false;
        let started = self.try_start_aof_rewrite(node);
        if let Err(error) = &started {
            warn!("Can't rewrite append only file in background: {}", os_error(error));
            self.rewrite_failed();
        }
        started
    }

    fn try_start_aof_rewrite(&mut self, node: &mut Node) -> io::Result<()> {
        self.disk.aof.files.create_dir().map_err(io::Error::other)?;
        node.append(self);
        match self.disk.aof.state {
            AofState::Off | AofState::Closing => {}
            AofState::On => {
                if self.disk.aof.has_unwritten() {
                    // It must stand in front of the increment that goes on behind the new base.
                    let file = self.disk.aof.files.begin_incr()?;
                    if !self.disk.aof.rescue(file)? {
                        return Err(io::Error::other("the disk refuses writes to the AOF"));
                    }
                }
                let name = self.disk.aof.begin_incr()?;
                info!("Creating AOF incr file {name} on background rewrite");
            }
            AofState::WaitRewrite => {
                let file = self.disk.aof.files.begin_temp_incr()?;
                self.disk.aof.begin_rewrite(file)?;
            }
        }
        node.engine.propagation.reselect_aof();
        let config = &self.config.persistence;
        let format = if config.aof_use_rdb_preamble { BaseFormat::Rdb } else { BaseFormat::Aof };
        let steady = config.aof_rewrite_incremental_fsync;
        let mut header = self.snapshot_header(node);
        header.set_aof_base();
        let keyspace = &node.engine.keyspace;
        let files = &self.disk.aof.files;
        let forked = child::spawn(&[], |reporter| {
            let temp = files.path(&temp_base_name(std::process::id()));
            write_base(keyspace, &header, &temp, format, steady, reporter)
        });
        let child = self.forked(node, forked)?;
        // Its own: what a child before it has left may be removed at any moment.
        let temp = self.disk.aof.files.path(&temp_base_name(child.pid() as u32));
        info!("Background append only file rewriting started by pid {}", child.pid());
        self.begin_job(node, child, Job::AofRewrite { temp, format }, None)
    }

    pub fn finish_aof_rewrite(
        &mut self,
        temp: PathBuf,
        format: BaseFormat,
        exit: Exit,
        report: &Report,
        took_us: u64,
    ) {
        let what = "Background AOF rewrite";
        let ok = judge(what, "Background AOF rewrite terminated with error", exit, report);
        self.disk.aof.stats.last_rewrite_s = (took_us / 1_000_000) as i64;
        self.disk.aof.stats.last_cow_bytes = report.cow_bytes;
        if !ok {
            self.disk.worker.order(vec![DiskJob::Unlink(temp)]);
            if exit != Exit::Signal(libc::SIGUSR1) {
                self.rewrite_failed();
            }
            return;
        }
        info!("Fork CoW for AOF rewrite: {} MB", report.cow_bytes >> 20);
        let begun = match self.disk.aof.state {
            AofState::Off | AofState::Closing => Begun::Nothing,
            AofState::WaitRewrite => Begun::TempIncr,
            AofState::On => Begun::Incr,
        };
        // What was handed to the writer must be in the increment before a manifest names that.
        if begun == Begun::TempIncr && !self.disk.aof.last_write_ok() {
            self.disk.worker.order(vec![DiskJob::Unlink(temp)]);
            return self.rewrite_failed();
        }
        let (manifest, jobs) = self.disk.aof.files.plan_base(&temp, format, begun);
        let generation = (begun != Begun::Nothing).then_some(self.disk.aof.generation);
        let base = InstalledBase { manifest, temp, generation };
        if let Err(error) = self.disk.aof.install(jobs, base) {
            warn!("Error installing the rewritten AOF: {}", os_error(&error));
            self.rewrite_failed();
        }
    }

    /// The manifest names the increment that the rewrite began with, or could not be stored.
    pub fn incr_named(&mut self, node: &mut Node, named: NamedIncr, result: io::Result<()>) {
        if self.disk.aof.incr_named(named, &result) {
            return;
        }
        let why = result.err().as_ref().map(os_error).unwrap_or_default();
        warn!("Can't rewrite append only file in background: {why}");
        if self.disk.children.is_rewriting_aof() {
            self.kill_child(node);
        }
        self.rewrite_failed();
    }

    /// The base is in place, or could not be put there.
    pub fn aof_installed(
        &mut self,
        node: &mut Node,
        base: InstalledBase,
        result: io::Result<()>,
        took_us: u64,
    ) {
        self.disk.aof.install_ended(&result);
        node.engine.record_latency("aof-rename", took_us);
        if let Err(error) = result {
            warn!("Error installing the rewritten AOF: {}", os_error(&error));
            self.disk.aof.install_failed(base, &error);
            return self.rewrite_failed();
        }
        let InstalledBase { manifest, temp, generation } = base;
        let aof = &mut self.disk.aof;
        let name = manifest.base.as_ref().map(|base| base.name.as_str()).unwrap_or_default();
        info!("Successfully renamed the temporary AOF base file {} into {name}", temp.display());
        aof.files.manifest = manifest;
        // The file may have been turned off meanwhile, or begun anew for another data set.
        if generation == Some(aof.generation) && aof.is_on() {
            aof.rewritten();
            aof.has_begun();
        }
        aof.remove_history();
        aof.current_bytes = aof.files.size_bytes();
        aof.base_bytes = aof.current_bytes;
        aof.stats.rewrites += 1;
        aof.stats.last_rewrite_ok = true;
        aof.stats.consecutive_failures = 0;
        info!("Background AOF rewrite finished successfully");
    }

    fn rewrite_failed(&mut self) {
        let aof = &mut self.disk.aof;
        aof.stats.last_rewrite_ok = false;
        aof.stats.consecutive_failures += 1;
        if aof.state == AofState::WaitRewrite {
            // Without its base an AOF that is being turned on is none: it must be tried again.
            aof.drop_temp_incr();
            aof.rewrite_scheduled = true;
        }
    }

    /// Whether a rewrite that is due has to wait, because the last ones have failed one after another.
    fn is_rewrite_paused(&mut self, node: &mut Node) -> bool {
        let now_us = node.now().mono_us;
        let aof = &mut self.disk.aof;
        if aof.stats.consecutive_failures < FAILURES_BEFORE_PAUSE {
            (aof.no_auto_rewrite_before_us, aof.rewrite_pause_minutes) = (0, 0);
            return false;
        }
        if aof.no_auto_rewrite_before_us != 0 {
            let is_over = now_us >= aof.no_auto_rewrite_before_us;
            if is_over {
                aof.no_auto_rewrite_before_us = 0;
            }
            return !is_over;
        }
        let minutes = (2 * aof.rewrite_pause_minutes).clamp(1, PAUSE_MAX_MINUTES);
        aof.rewrite_pause_minutes = minutes;
        aof.no_auto_rewrite_before_us = now_us + minutes * 60_000_000;
        warn!(
            "Background AOF rewrite has repeatedly failed and triggered the limit, will retry in \
             {minutes} minutes"
        );
        true
    }

    /// Rewrites that are due: scheduled ones, and those that the file's growth asks for.
    pub fn aof_cron(&mut self, node: &mut Node) {
        let aof = &self.disk.aof;
        if self.disk.children.is_active() || self.disk.loading.active || aof.is_busy() {
            return;
        }
        let config = &self.config.persistence;
        let percentage = u64::from(config.auto_aof_rewrite_percentage);
        let base = aof.base_bytes.max(1);
        let growth = (aof.current_bytes * 100 / base).saturating_sub(100);
        let grown = aof.state == AofState::On
            && percentage > 0
            && aof.current_bytes > config.auto_aof_rewrite_min_size_bytes
            && growth >= percentage;
        let is_due = grown || aof.rewrite_scheduled || aof.is_distrusted();
        if is_due && !self.is_rewrite_paused(node) {
            if grown {
                info!("Starting automatic rewriting of AOF on {growth}% growth");
            }
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
        if self.disk.aof.state != AofState::Off {
            node.append(self);
            self.disk.aof.forget();
        }
        // A failure is logged, and cron tries again.
        let _ = self.begin_waiting_aof(node);
    }

    fn begin_waiting_aof(&mut self, node: &mut Node) -> io::Result<()> {
        if self.disk.aof.state == AofState::Closing {
            self.disk.aof.forget();
        }
        self.disk.aof.state = AofState::WaitRewrite;
        node.engine.propagation.set_aof(true);
        if self.disk.children.is_rewriting_aof() {
            info!(
                "AOF was enabled but there is already an AOF rewriting in background. Stopping \
                 background AOF and starting a rewrite now."
            );
            self.kill_child(node);
        }
        if self.disk.aof.is_busy() {
            self.disk.aof.rewrite_scheduled = true;
            return Ok(());
        }
        if self.disk.children.is_active() {
            self.disk.aof.rewrite_scheduled = true;
            info!(
                "AOF was enabled but there is already another background operation. An AOF \
                 background was scheduled to start when possible."
            );
            // Until then nothing is written: the rewrite will see all of it.
            return Ok(());
        }
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
