//! The directory of the append-only file: its manifest on disk, opening, upgrading, removing.
//!
//! `persist` knows the manifest's grammar and rules; this file performs them. It knows nothing of
//! what is written into the files, nor when.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use log::info;
use persist::aof::manifest::{
    AofFile, BaseFormat, Found, Manifest, manifest_name, needs_upgrade, temp_incr_name,
    temp_manifest_name,
};

use crate::disk::files::{self as disk, RealDisk};
use crate::disk::worker::{DiskJob, perform_all};
use crate::process::os_error::os_error;

/// The increment that goes on behind a new base.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begun {
    /// The last of the manifest, begun together with the rewrite.
    Incr,
    /// The one under a temporary name: the file is just being turned on.
    TempIncr,
    /// None: the file is off, and what its increments say is in the base or of the past.
    Nothing,
}

/// Where the files are, and which they are.
#[derive(Clone, Debug)]
pub struct AofFiles {
    dir: PathBuf,
    aof_dir: PathBuf,
    appendfilename: String,
    appenddirname: String,
    pub(super) manifest: Manifest,
    /// Of the last increment with a temporary name: a late write to one that was given up must not reach
    /// the next.
    temp_incr: u32,
}

impl AofFiles {
    /// Knows the places; looks at nothing yet.
    pub fn new(dir: &Path, appenddirname: &str, appendfilename: &str) -> AofFiles {
        AofFiles {
            dir: dir.to_owned(),
            aof_dir: dir.join(appenddirname),
            appendfilename: appendfilename.to_owned(),
            appenddirname: appenddirname.to_owned(),
            manifest: Manifest::default(),
            temp_incr: 0,
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.aof_dir.join(name)
    }

    /// Reads the manifest, taking over an AOF of a server before 7.0 if that is what is there. An
    /// error is a text for the log: the server must not start, as it would lose the data set.
    pub fn open(&mut self) -> Result<(), String> {
        let manifest = self.read_manifest()?;
        let old_file = self.dir.join(&self.appendfilename);
        let upgrade = needs_upgrade(
            &self.appendfilename,
            Found {
                old_file: old_file.is_file(),
                aof_dir: self.aof_dir.is_dir(),
                manifest: manifest.as_ref(),
                old_file_in_aof_dir: self.path(&self.appendfilename).is_file(),
            },
        );
        if upgrade {
            return self.upgrade(&old_file);
        }
        self.manifest = manifest.unwrap_or_default();
        Ok(())
    }

    /// Whether the manifest that a start would find names that increment: where storing one has failed only
    /// at the last step, its directory's fsync, it does.
    pub fn is_named(&self, incr: &str) -> bool {
        let stored = self.read_manifest().ok().flatten().unwrap_or_default();
        stored.incrs.iter().any(|file| file.name == incr)
    }

    /// The same for the whole of a manifest.
    pub fn is_stored(&self, manifest: &Manifest) -> bool {
        fs::read(self.path(&manifest_name(&self.appendfilename)))
            .is_ok_and(|text| text == manifest.format())
    }

    fn read_manifest(&self) -> Result<Option<Manifest>, String> {
        let path = self.path(&manifest_name(&self.appendfilename));
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => {
                return Err(format!(
                    "Fatal error: can't open the AOF manifest file {} for reading: {}",
                    path.display(),
                    os_error(&e)
                ));
            }
        };
        let fatal = |e| format!("\n*** FATAL AOF MANIFEST FILE ERROR ***\n{e}");
        Manifest::parse(&text).map(Some).map_err(fatal)
    }

    fn upgrade(&mut self, old_file: &Path) -> Result<(), String> {
        self.create_dir()?;
        self.manifest = Manifest::upgraded_from(&self.appendfilename);
        self.store().map_err(|e| format!("Error storing the AOF manifest: {}", os_error(&e)))?;
        let inside = self.path(&self.appendfilename);
        fs::rename(old_file, &inside).and_then(|()| disk::sync_parent(&inside)).map_err(|e| {
            format!(
                "Error trying to move the old AOF file {} into dir {}: {}",
                self.appendfilename,
                self.appenddirname,
                os_error(&e)
            )
        })?;
        info!(
            "Successfully migrated an old-style AOF file ({}) into the AOF directory ({}).",
            self.appendfilename, self.appenddirname
        );
        Ok(())
    }

    pub fn create_dir(&self) -> Result<(), String> {
        match fs::create_dir(&self.aof_dir) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists && self.aof_dir.is_dir() => Ok(()),
            Err(e) => Err(format!(
                "Can't open or create append-only dir {}: {}",
                self.appenddirname,
                os_error(&e)
            )),
            Ok(()) => disk::sync_parent(&self.aof_dir).map_err(|e| os_error(&e)),
        }
    }

    /// Makes the manifest durable: only then may anything depend on what it says.
    fn store(&self) -> io::Result<()> {
        perform_all(vec![self.store_job(&self.manifest)], &RealDisk)
    }

    /// Begins the increment that is written from now on. Nothing changes if it cannot.
    pub fn begin_incr(&mut self) -> io::Result<File> {
        let mut next = self.clone();
        let name = next.manifest.next_incr(&self.appendfilename).name.clone();
        let file = create_appendable(&self.path(&name))?;
        if let Err(error) = next.store() {
            // An increment that no manifest names is never loaded.
            let _ = fs::remove_file(self.path(&name));
            return Err(error);
        }
        self.manifest = next.manifest;
        Ok(file)
    }

    /// The same without waiting for the disk: the file, the manifest that names it, and how to store that.
    /// The directory's entry of the file is durable with the manifest's.
    pub fn plan_incr(&self) -> io::Result<(File, Manifest, DiskJob)> {
        let mut next = self.manifest.clone();
        let file = create_appendable(&self.path(&next.next_incr(&self.appendfilename).name))?;
        let store = self.store_job(&next);
        Ok((file, next, store))
    }

    /// The increment of an AOF that is only being turned on has no place in a manifest yet.
    pub fn begin_temp_incr(&mut self) -> io::Result<File> {
        self.temp_incr += 1;
        create_appendable(&self.temp_incr_path())
    }

    pub fn temp_incr_path(&self) -> PathBuf {
        self.path(&format!("{}.{}", temp_incr_name(&self.appendfilename), self.temp_incr))
    }

    /// Goes on writing to the last increment, or begins the first.
    pub fn open_last_incr(&mut self) -> io::Result<File> {
        let Some(last) = self.manifest.last_incr() else {
            let file = self.begin_incr()?;
            let name = &self.manifest.last_incr().expect("just begun").name;
            info!("Creating AOF incr file {name} on server start");
            return Ok(file);
        };
        info!("Opening AOF incr file {} on server start", last.name);
        OpenOptions::new().append(true).create(true).open(self.path(&last.name))
    }

    /// What puts a child's finished file in place as the new base, and the manifest that is true once
    /// that is done. An increment that was begun under a temporary name gets its place, too. The files
    /// replaced are history then.
    pub fn plan_base(
        &self,
        temp: &Path,
        format: BaseFormat,
        begun: Begun,
    ) -> (Manifest, Vec<DiskJob>) {
        let mut next = self.manifest.clone();
        let keep_last_incr = begun == Begun::Incr;
        let base = &next.rewritten(&self.appendfilename, format, keep_last_incr).name;
        let mut jobs = vec![DiskJob::Rename { from: temp.to_owned(), to: self.path(base) }];
        if begun == Begun::TempIncr {
            let incr = &next.next_incr(&self.appendfilename).name;
            jobs.push(DiskJob::Rename { from: self.temp_incr_path(), to: self.path(incr) });
        }
        // Last: a manifest names only what is there.
        jobs.push(self.store_job(&next));
        (next, jobs)
    }

    /// Does it at once.
    pub fn install_base(
        &mut self,
        temp: &Path,
        format: BaseFormat,
        begun: Begun,
    ) -> io::Result<()> {
        let (next, jobs) = self.plan_base(temp, format, begun);
        perform_all(jobs, &RealDisk)?;
        self.manifest = next;
        Ok(())
    }

    /// Makes `manifest` the one on the disk.
    fn store_job(&self, manifest: &Manifest) -> DiskJob {
        DiskJob::Replace {
            temp: self.path(&temp_manifest_name(&self.appendfilename)),
            target: self.path(&manifest_name(&self.appendfilename)),
            bytes: manifest.format(),
        }
    }

    /// Takes the history out of the manifest: how to store that, and which files may go then.
    pub fn forget_history(&mut self) -> Option<(DiskJob, Vec<PathBuf>)> {
        if self.manifest.history.is_empty() {
            return None;
        }
        let paths = self.manifest.history.iter().map(|file| self.path(&file.name)).collect();
        self.manifest.clear_history();
        Some((self.store_job(&self.manifest), paths))
    }

    /// Total bytes of the files that are the data set.
    pub fn size_bytes(&self) -> u64 {
        let len = |file: &AofFile| fs::metadata(self.path(&file.name)).map_or(0, |m| m.len());
        self.manifest.files().map(len).sum()
    }

    pub fn has_data(&self) -> bool {
        self.manifest.files().next().is_some()
    }
}

fn create_appendable(path: &Path) -> io::Result<File> {
    // What an earlier attempt left under the name is not ours to append to.
    let file = OpenOptions::new().create(true).write(true).truncate(true).open(path)?;
    drop(file);
    OpenOptions::new().append(true).open(path)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn at(dir: &Path) -> AofFiles {
        AofFiles::new(dir, "appendonlydir", "appendonly.aof")
    }

    #[test]
    fn an_aof_of_before_seven_becomes_the_base() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("appendonly.aof"), b"*1\r\n$4\r\nPING\r\n").unwrap();
        let mut files = at(dir.path());
        files.open().unwrap();
        assert!(!dir.path().join("appendonly.aof").exists());
        assert!(files.path("appendonly.aof").exists());
        let mut again = at(dir.path());
        again.open().unwrap();
        assert_eq!(again.manifest, files.manifest);
    }

    #[test]
    fn a_rewrite_replaces_base_and_old_increments() {
        let dir = tempfile::tempdir().unwrap();
        let mut files = at(dir.path());
        files.create_dir().unwrap();
        files.open_last_incr().unwrap().write_all(b"old").unwrap();
        files.begin_incr().unwrap().write_all(b"new").unwrap();
        let temp = files.path("temp");
        fs::write(&temp, b"base").unwrap();
        files.install_base(&temp, BaseFormat::Rdb, Begun::Incr).unwrap();
        let names: Vec<_> = files.manifest.files().map(|f| f.name.clone()).collect();
        assert_eq!(names, ["appendonly.aof.1.base.rdb", "appendonly.aof.2.incr.aof"]);
        assert_eq!(files.size_bytes(), 7);
        let (store, gone) = files.forget_history().expect("there is one");
        perform_all(vec![store], &RealDisk).unwrap();
        assert_eq!(gone, [files.path("appendonly.aof.1.incr.aof")]);
        let mut again = at(dir.path());
        again.open().unwrap();
        assert_eq!(again.manifest, files.manifest);
    }

    /// Turned on again, the file must not replay on top of the base what the base has already.
    #[test]
    fn a_rewrite_while_the_file_is_off_leaves_no_increment() {
        let dir = tempfile::tempdir().unwrap();
        let mut files = at(dir.path());
        files.create_dir().unwrap();
        files.open_last_incr().unwrap().write_all(b"old").unwrap();
        let temp = files.path("temp");
        fs::write(&temp, b"base").unwrap();
        files.install_base(&temp, BaseFormat::Rdb, Begun::Nothing).unwrap();
        let names: Vec<_> = files.manifest.files().map(|f| f.name.clone()).collect();
        assert_eq!(names, ["appendonly.aof.1.base.rdb"]);
        let (_, gone) = files.forget_history().expect("there is one");
        assert_eq!(gone, [files.path("appendonly.aof.1.incr.aof")]);
    }

    #[test]
    fn a_damaged_manifest_stops_the_start() {
        let dir = tempfile::tempdir().unwrap();
        let mut files = at(dir.path());
        files.create_dir().unwrap();
        fs::write(files.path("appendonly.aof.manifest"), b"file x seq 1 type ?\n").unwrap();
        assert!(files.open().unwrap_err().contains("FATAL AOF MANIFEST FILE ERROR"));
    }
}
