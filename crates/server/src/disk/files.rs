//! Files that appear whole or not at all: written under a temporary name, synced, renamed.
//!
//! Knows no format. The functions run in the loop's thread only where a command asks for that
//! (SAVE, shutdown); otherwise in a child or the disk's thread (`worker.rs`).
//!
//! [`Disk`] is the seam at which a test sees the order of what the kernel is asked for.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::path::Path;

/// Dirty pages are pushed out in such steps, so that the fsync at the end does not stall the disk
/// for everybody else.
const SYNC_STEP_BYTES: u64 = 4 << 20;

/// What is asked of the kernel wherever the order of it is what makes a file safe.
pub trait Disk: Send + Sync {
    fn write(&self, mut file: &File, bytes: &[u8]) -> io::Result<usize> {
        file.write(bytes)
    }

    /// fdatasync. What cannot be synced at all (a pipe, a device) has no cache that could lose anything.
    fn sync_data(&self, file: &File) -> io::Result<()> {
        match file.sync_data() {
            Err(e) if e.raw_os_error() == Some(libc::EINVAL) => Ok(()),
            result => result,
        }
    }

    fn sync_all(&self, file: &File) -> io::Result<()> {
        file.sync_all()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }
}

/// The kernel itself.
pub struct RealDisk;

impl Disk for RealDisk {}

/// A file that is pushed to the disk while it is written.
pub struct SteadyWriter {
    file: File,
    written: u64,
    pushed: u64,
    /// Off for `rdb-save-incremental-fsync no`.
    steady: bool,
}

impl SteadyWriter {
    pub fn create(path: &Path, steady: bool) -> io::Result<SteadyWriter> {
        let file = File::create(path)?;
        Ok(SteadyWriter { file, written: 0, pushed: 0, steady })
    }

    /// Syncs the whole file. The bytes written, and the file still open.
    pub fn finish(self) -> io::Result<(u64, File)> {
        self.file.sync_all()?;
        Ok((self.written, self.file))
    }

    fn push(&mut self) {
        begin_writeback(&self.file, self.pushed, self.written - self.pushed);
        let (fd, done) = (self.file.as_raw_fd(), self.pushed as i64);
        // SAFETY: advice about a file that we own; it changes no memory. What has reached the disk
        // will not be read again, so it need not push other files out of the cache.
        unsafe { libc::posix_fadvise(fd, 0, done, libc::POSIX_FADV_DONTNEED) };
        self.pushed = self.written;
    }
}

impl Write for SteadyWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.file.write(bytes)?;
        self.written += n as u64;
        if self.steady && self.written - self.pushed >= SYNC_STEP_BYTES {
            self.push();
        }
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Asks the kernel to start writing a range to the disk, without waiting for it.
pub fn begin_writeback(file: &File, from: u64, len: u64) {
    let fd = file.as_raw_fd();
    // SAFETY: starts writing back a range of a file that we own; it changes no memory.
    unsafe { libc::sync_file_range(fd, from as i64, len as i64, libc::SYNC_FILE_RANGE_WRITE) };
}

/// Puts the finished `temp` in the place of `target`, so that a crash at any moment leaves one of
/// them whole under the name.
pub fn put_in_place(disk: &dyn Disk, temp: &Path, target: &Path) -> io::Result<()> {
    disk.rename(temp, target)?;
    sync_parent(target)
}

/// Writes a small file whole: temporary name, fsync, rename, fsync of the directory.
pub fn replace_file(disk: &dyn Disk, temp: &Path, target: &Path, bytes: &[u8]) -> io::Result<()> {
    let written = (|| {
        let mut file = File::create(temp)?;
        file.write_all(bytes)?;
        disk.sync_all(&file)
    })();
    if let Err(error) = written.and_then(|()| put_in_place(disk, temp, target)) {
        // Best effort: what is left is only clutter under a name that nobody loads.
        let _ = disk.unlink(temp);
        return Err(error);
    }
    Ok(())
}

/// A rename or a new file is durable only once its directory is.
pub fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(parent)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replaced_file_is_the_new_one_and_leaves_no_temporary() {
        let dir = tempfile::tempdir().unwrap();
        let (temp, target) = (dir.path().join("t"), dir.path().join("f"));
        fs::write(&target, b"old").unwrap();
        replace_file(&RealDisk, &temp, &target, b"new").unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"new");
        assert!(!temp.exists());
    }

    #[test]
    fn a_failed_replacement_leaves_the_old_file() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("f");
        fs::write(&target, b"old").unwrap();
        let nowhere = dir.path().join("missing").join("t");
        assert!(replace_file(&RealDisk, &nowhere, &target, b"new").is_err());
        assert_eq!(fs::read(&target).unwrap(), b"old");
    }

    #[test]
    fn a_steady_writer_counts_what_it_wrote() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("big");
        let mut writer = SteadyWriter::create(&path, true).unwrap();
        let block = vec![7; 1 << 20];
        for _ in 0..10 {
            writer.write_all(&block).unwrap();
        }
        let (len, _) = writer.finish().unwrap();
        assert_eq!(len, 10 << 20);
        assert_eq!(fs::metadata(path).unwrap().len(), len);
    }
}
