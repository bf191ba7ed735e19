//! A rewrite, as the append-only file sees it: the increment that it begins with, the base that its child writes,
//! and what becomes of either. When one is due for its failures is in `rewrites.rs`.
//!
//! Must not: fork, nor decide what else a child may do.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use log::{info, warn};
use persist::aof::manifest::{BaseFormat, temp_base_name};

use crate::config::Config;
use crate::disk::aof::files::Begun;
use crate::disk::aof::{Aof, AofState, SOLVED};
use crate::disk::child::{Exit, Report};
use crate::disk::children::judge;
use crate::disk::worker::{DiskJob, InstalledBase, Then};
use crate::process::os_error::os_error;

impl Aof {
    /// A rewrite is to begin. False where it has to wait: it is scheduled then.
    pub fn may_begin_rewrite(&mut self, child_runs: bool) -> bool {
        let must_wait = child_runs || self.is_busy();
        match must_wait {
            true => self.rewrites.schedule(),
            false => self.rewrites.unschedule(),
        }
        !must_wait
    }

    /// Somebody asks for one that cannot begin yet.
    pub fn schedule_rewrite(&mut self) {
        self.rewrites.schedule_asked_for();
    }

    /// Whether one is due by itself: scheduled before, needed, or because the file has grown.
    pub fn is_rewrite_due(&mut self, now_us: u64, config: &Config) -> bool {
        let config = &config.persistence;
        let percentage = u64::from(config.auto_aof_rewrite_percentage);
        let growth = (self.current_bytes * 100 / self.base_bytes.max(1)).saturating_sub(100);
        let grown = self.state == AofState::On
            && percentage > 0
            && self.current_bytes > config.auto_aof_rewrite_min_size_bytes
            && growth >= percentage;
        let is_needed = self.rewrites.figures().is_scheduled || self.is_distrusted();
        if !(grown || is_needed) || self.rewrites.must_pause(now_us) {
            return false;
        }
        if grown {
            info!("Starting automatic rewriting of AOF on {growth}% growth");
        }
        true
    }

    /// Where a child writes a base: its own, as what one before it has left may be removed at any moment.
    pub fn temp_base_path(&self, pid: u32) -> PathBuf {
        self.files.path(&temp_base_name(pid))
    }

    /// The increment begins that goes on behind the base of the child that is forked next. With the file off
    /// there is none.
    pub fn rewrite_begins(&mut self) -> io::Result<()> {
        match self.state {
            AofState::Off | AofState::Closing => {}
            AofState::On => {
                if self.has_unwritten() {
                    // It must stand in front of the increment that goes on behind the new base.
                    let file = self.files.begin_incr()?;
                    if !self.rescue(file)? {
                        return Err(io::Error::other("the disk refuses writes to the AOF"));
                    }
                }
                let name = self.begin_incr()?;
                info!("Creating AOF incr file {name} on background rewrite");
            }
            AofState::WaitRewrite => {
                let file = self.files.begin_temp_incr()?;
                self.begin_rewrite(file)?;
            }
        }
        Ok(())
    }

    /// Like `switch_to`, for the increment that goes on behind the base of a rewrite that begins.
    pub(super) fn begin_rewrite(&mut self, file: File) -> io::Result<()> {
        self.rewrite_from = self.switch_to(file)?;
        Ok(())
    }

    /// The child is done: what it has written is put in place, if it went well.
    pub fn rewrite_ended(
        &mut self,
        temp: PathBuf,
        format: BaseFormat,
        exit: Exit,
        report: &Report,
        took_us: u64,
    ) {
        let what = "Background AOF rewrite";
        let ok = judge(what, "Background AOF rewrite terminated with error", exit, report);
        self.rewrites.ended(took_us, report.cow_bytes);
        if !ok {
            self.worker.order(vec![DiskJob::Unlink(temp)]);
            if exit != Exit::Signal(libc::SIGUSR1) {
                self.rewrite_failed();
            }
            return;
        }
        info!("Fork CoW for AOF rewrite: {} MB", report.cow_bytes >> 20);
        let begun = match self.state {
            AofState::Off | AofState::Closing => Begun::Nothing,
            AofState::WaitRewrite => Begun::TempIncr,
            AofState::On => Begun::Incr,
        };
        // What was handed to the writer must be in the increment before a manifest names that.
        if begun == Begun::TempIncr && !self.last_write_ok() {
            self.worker.order(vec![DiskJob::Unlink(temp)]);
            return self.rewrite_failed();
        }
        let (manifest, jobs) = self.files.plan_base(&temp, format, begun);
        let generation = (begun != Begun::Nothing).then_some(self.generation);
        let base = InstalledBase { manifest, temp, generation };
        if let Err(error) = self.install(jobs, base) {
            warn!("Error installing the rewritten AOF: {}", os_error(&error));
            self.rewrite_failed();
        }
    }

    /// Orders the manifest, and what it names, to be put in place.
    fn install(&mut self, mut jobs: Vec<DiskJob>, base: InstalledBase) -> io::Result<()> {
        self.written_at_install = self.writer.progress().written;
        if self.state == AofState::WaitRewrite
            && let Some(incr) = &self.incr
        {
            // What was written to the increment must be on the disk before a manifest names that.
            jobs.insert(0, DiskJob::Fsync(incr.try_clone()?));
        }
        self.is_installing = true;
        self.worker.order_then(jobs, Then::AofInstalled(Box::new(base)));
        Ok(())
    }

    /// The base is in place, or could not be put there.
    pub fn installed(&mut self, base: InstalledBase, result: io::Result<()>) {
        self.is_installing = false;
        self.name_is_settled(&result);
        if let Err(error) = result {
            warn!("Error installing the rewritten AOF: {}", os_error(&error));
            self.install_failed(base, &error);
            return self.rewrite_failed();
        }
        let InstalledBase { manifest, temp, generation } = base;
        let name = manifest.base.as_ref().map(|base| base.name.as_str()).unwrap_or_default();
        info!("Successfully renamed the temporary AOF base file {} into {name}", temp.display());
        self.files.manifest = manifest;
        // The file may have been turned off meanwhile, or begun anew for another data set.
        if generation == Some(self.generation) && self.is_on() {
            self.rewritten();
            self.has_begun();
        }
        self.remove_history();
        self.measure_files();
        self.rewrites.succeeded();
        info!("Background AOF rewrite finished successfully");
    }

    /// The base is not known to be in place. Where only the fsync of the directory has failed the manifest is,
    /// for all but a power cut, and what it names must stay.
    fn install_failed(&mut self, base: InstalledBase, error: &io::Error) {
        let InstalledBase { manifest, temp, generation } = base;
        self.worker.order(vec![DiskJob::Unlink(temp)]);
        if !self.files.is_stored(&manifest) {
            return;
        }
        self.files.manifest = manifest;
        if self.state == AofState::On && generation == Some(self.generation) {
            self.fsync_failed(error);
        }
    }

    /// The file that waited for its base has it.
    fn has_begun(&mut self) {
        if self.state == AofState::WaitRewrite {
            self.state = AofState::On;
            self.writer.note_synced(self.written_at_install);
        }
    }

    /// The rewrite's base is in place: what was failed at before it does not matter any more.
    pub(super) fn rewritten(&mut self) {
        self.writer.forget_before(self.rewrite_from);
        self.trust_again();
    }

    fn trust_again(&mut self) {
        if self.writer.progress().unsafe_file.is_none()
            && self.fsync_error.take().is_some()
            && self.error.is_none()
        {
            warn!("{SOLVED}");
        }
        self.take_over_fsync();
    }

    pub fn rewrite_failed(&mut self) {
        self.rewrites.failed();
        if self.state == AofState::WaitRewrite {
            // Without its base an AOF that is being turned on is none: it must be tried again.
            self.drop_temp_incr();
            self.rewrites.schedule();
        }
    }

    /// A rewrite was ended on purpose: that is no failure of it.
    pub fn rewrite_killed(&mut self) {
        if self.state == AofState::WaitRewrite {
            self.rewrites.schedule();
        }
    }

    /// The base that the temporary increment was to build upon will not come: the next one sees what
    /// the increment has.
    fn drop_temp_incr(&mut self) {
        if self.incr.is_some() {
            let path = self.files.temp_incr_path();
            let name = path.file_name().unwrap_or_default().display();
            info!("Removing the temp incr aof file {name} in the background");
            self.forget_incr();
        }
    }

    /// What the growth of the file is measured from.
    fn measure_files(&mut self) {
        self.current_bytes = self.files.size_bytes();
        self.base_bytes = self.current_bytes;
    }
}

/// The start of a server, and DEBUG LOADAOF.
impl Aof {
    /// Reads what the manifest on the disk says. An error is a text for the log.
    pub fn read_manifest(&mut self) -> Result<(), String> {
        self.files.open()
    }

    pub fn has_data(&self) -> bool {
        self.files.has_data()
    }

    /// The files that are the data set, in their order: what messages call them, and where they are.
    pub fn data_files(&self) -> Vec<(String, PathBuf)> {
        let files = self.files.manifest.files();
        files.map(|file| (file.name.clone(), self.files.path(&file.name))).collect()
    }

    pub fn create_dir(&self) -> Result<(), String> {
        self.files.create_dir()
    }

    /// An AOF that has nothing yet begins with a base of the data set as it is: where that is to be written.
    pub fn lacks_base(&self) -> Option<PathBuf> {
        let manifest = &self.files.manifest;
        let is_new = manifest.base.is_none() && manifest.incrs.is_empty();
        is_new.then(|| self.files.path("temp-base.aof"))
    }

    /// Puts that base in place at once.
    pub fn install_first_base(&mut self, temp: &Path, format: BaseFormat) -> io::Result<()> {
        self.files.install_base(temp, format, Begun::Incr)?;
        let name = self.files.manifest.base.as_ref().map(|base| base.name.clone());
        info!("Creating AOF base file {} on server start", name.unwrap_or_default());
        Ok(())
    }

    /// The data set is loaded: the file goes on where it ends.
    pub fn go_on(&mut self) -> io::Result<()> {
        let file = self.files.open_last_incr()?;
        self.switch_to(file)?;
        self.remove_history();
        self.measure_files();
        self.state = AofState::On;
        Ok(())
    }
}
