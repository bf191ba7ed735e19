//! The increment with which a rewrite begins, until the manifest on the disk names it.
//!
//! A fork and the file that goes on behind it belong together, and the manifest would keep the loop waiting.
//! So bytes go to the new file at once, and count neither as written nor as fsynced before the manifest is
//! stored: nothing that a crash would lose is acknowledged. Where it cannot be stored, they go once more,
//! behind the last ones of the file before. Where only the fsync of its directory fails, a start would find
//! it: the increment stays, and nothing counts as fsynced, as after every failed fsync.

use std::fs::File;
use std::io;

use log::warn;

use crate::config::AppendFsync;
use crate::disk::aof::unnamed::Unnamed;
use crate::disk::aof::{Aof, AofState};
use crate::disk::worker::{DiskJob, NamedIncr, Then};
use crate::process::os_error::os_error;

impl Aof {
    /// Begins the increment that goes on behind the base of a rewrite. Its name is for the log.
    pub fn begin_incr(&mut self) -> io::Result<String> {
        let (file, mut next, store) = self.files.plan_incr()?;
        let name = next.last_incr().map(|incr| incr.name.clone()).unwrap_or_default();
        let before_file = self.incr.as_ref().map(File::try_clone).transpose()?;
        self.begin_rewrite(file)?;
        std::mem::swap(&mut self.files.manifest, &mut next);
        // A number is used once: the file of an attempt that failed may be unlinked at any moment.
        next.incr_seq = self.files.manifest.incr_seq;
        if let Some(file) = before_file {
            self.unnamed = Some(Unnamed { file, bytes: Vec::new(), failed: None });
            self.account.set_limit();
        }
        self.manifest_orders += 1;
        let named = NamedIncr { name: name.clone(), before: next };
        self.worker.order_then(vec![store], Then::IncrNamed(Box::new(named)));
        Ok(name)
    }

    /// The manifest is stored, or could not be: false when the rewrite is not to go on, and has failed.
    pub fn incr_named(&mut self, named: NamedIncr, result: io::Result<()>) -> bool {
        self.manifest_orders -= 1;
        let Err(error) = result else {
            self.forget_copy();
            return true;
        };
        if self.is_installing {
            // The base is on its way already, with a manifest that names the increment as well.
            if let Some(unnamed) = &mut self.unnamed {
                unnamed.failed = Some(named);
            }
            return true;
        }
        self.name_refused(named, &error);
        warn!("Can't rewrite append only file in background: {}", os_error(&error));
        self.rewrite_failed();
        false
    }

    /// The base that was on its way is there, and with it the increment's name; or neither is.
    pub(super) fn name_is_settled(&mut self, result: &io::Result<()>) {
        let failed = self.unnamed.as_mut().and_then(|unnamed| unnamed.failed.take());
        match (failed, result) {
            (Some(named), Err(error)) => self.name_refused(named, error),
            _ => self.forget_copy(),
        }
    }

    fn name_refused(&mut self, named: NamedIncr, error: &io::Error) {
        if !self.files.is_named(&named.name) {
            return self.go_back(named);
        }
        // Whoever reads the manifest looks for the file; it may be another one after a power cut.
        if self.unnamed.is_some() {
            self.forget_copy();
            self.fsync_failed(error);
        }
    }

    /// The manifest names the increment.
    fn forget_copy(&mut self) {
        if let Some(unnamed) = self.unnamed.take() {
            self.account.lift_limit();
            self.worker.order(vec![DiskJob::Close(unnamed.file)]);
            self.go_on_closing();
        }
    }

    fn go_on_closing(&self) {
        if self.state == AofState::Closing {
            self.writer.ask_drain();
        }
    }

    /// The file before is the last one again, and gets what the new one has.
    fn go_back(&mut self, gone: NamedIncr) {
        self.files.manifest = gone.before;
        self.worker.order(vec![DiskJob::Unlink(self.files.path(&gone.name))]);
        let Some(Unnamed { file, bytes, .. }) = self.unnamed.take() else { return };
        if let Err(error) = self.switch_to(file) {
            self.write_failed(&error);
        }
        self.account.go_back_to_limit();
        if self.fsync == AppendFsync::Always {
            // All that is unwritten is among it. What the writer still has of the file before comes first.
            self.unwritten = bytes;
            self.retry_at_us = 0;
            if self.taking_over {
                self.writer.ask_drain();
            }
        } else if !bytes.is_empty() {
            let point = self.account.appended();
            self.hand_over(bytes, point);
        }
        self.go_on_closing();
    }
}
