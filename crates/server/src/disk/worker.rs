//! The one thread that does for the loop what may take long on a disk: fsync, rename, unlink, close, the
//! end of a child.
//!
//! It works orders off one after another, each as a list of jobs that stops at the first failure: what is
//! ordered later happens later, so that a manifest is replaced only when what it names is on the disk,
//! and a name is not given away before the child that might still take it is gone. An order that
//! somebody waits for comes back through the mailbox with what is to be done next, as a value.
//!
//! The append-only file's own fsyncs go by a lane of their own: nothing has to come behind one that takes long,
//! least of all the manifest that replies wait for.
//!
//! Decides nothing, and logs nothing. Writing the append-only file is the business of `aof/writer.rs`,
//! which no rename and no fsync here keeps waiting.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::wait::waitpid;
use nix::unistd::Pid;
use persist::aof::manifest::Manifest;

use crate::disk::files::{self, Disk};
use crate::process::mailbox::Mailer;
use crate::process::{clock, memory};

/// How long the end of the process waits for what was ordered: a disk that does not answer is not to keep it
/// for ever.
const END_WAIT: Duration = Duration::from_secs(10);

/// A step that notes by itself how it went.
pub type Job = Box<dyn FnOnce(&dyn Disk) + Send>;

/// One step.
pub enum DiskJob {
    /// What has an account of its own of how it went, such as the log's fsync.
    Run(Job),
    /// Puts a file whose name something else will depend on on the disk whole.
    Fsync(File),
    /// And an fsync of the directory: the name is durable when the job is done.
    Rename { from: PathBuf, to: PathBuf },
    /// A small file whole, such as a manifest: durable under its name when the job is done.
    Replace { temp: PathBuf, target: PathBuf, bytes: Vec<u8> },
    /// Best effort: what stays only costs its space.
    Unlink(PathBuf),
    /// With the last handle the blocks of a file that has no name any more are freed.
    Close(File),
    /// A child that was killed is gone when the job is done.
    Reap { pid: i32 },
}

/// What an order was for: the loop goes on with it when the order is done.
#[derive(Debug)]
pub enum Then {
    /// A snapshot that was received is whole and on the disk, and can be loaded.
    SnapshotSynced { serial: u32 },
    /// It has been loaded, and has the name of the RDB file.
    SnapshotNamed { target: PathBuf },
    /// The increment that a rewrite began with is named by the manifest on the disk.
    IncrNamed(Box<NamedIncr>),
    /// A rewrite's base has its name, and the manifest says so.
    AofInstalled(Box<InstalledBase>),
    /// The manifest knows the replaced files no more.
    AofHistoryForgotten,
    /// What a child that failed or was ended had written is gone.
    TempRdbUnlinked,
    /// The RDB file is gone, or who might have given its name away.
    RdbSettled,
}

/// An increment on its way into the manifest.
#[derive(Debug)]
pub struct NamedIncr {
    pub name: String,
    /// What the manifest is until then.
    pub before: Manifest,
}

/// The base of a rewrite on its way to its place.
#[derive(Debug)]
pub struct InstalledBase {
    /// True once it is there.
    pub manifest: Manifest,
    /// Where the child has written it.
    pub temp: PathBuf,
    /// Whose base it is; `None` when it was made with the file off.
    pub generation: Option<u32>,
}

/// What became of an order.
#[derive(Debug)]
pub struct DiskDone {
    pub then: Then,
    pub result: io::Result<()>,
    pub took_us: u64,
}

enum Message {
    Order {
        jobs: Vec<DiskJob>,
        then: Option<Then>,
    },
    /// Everything before is done: for the few who do wait.
    Barrier(SyncSender<()>),
    Stop,
}

/// The loop's end. Every handle keeps the thread; the last one waits for what was ordered, up to a limit.
#[derive(Clone)]
pub struct DiskWorker(Arc<Inner>);

struct Inner {
    orders: Sender<Message>,
    disk: Arc<dyn Disk>,
    mailer: Mailer<DiskDone>,
    thread: Option<JoinHandle<()>>,
}

impl DiskWorker {
    pub fn start(disk: Arc<dyn Disk>, mailer: Mailer<DiskDone>) -> io::Result<DiskWorker> {
        DiskWorker::start_as("disk", disk, mailer)
    }

    /// A thread of the same kind over the same disk, whose orders and ours do not wait for each other.
    pub fn lane(&self, name: &str) -> io::Result<DiskWorker> {
        DiskWorker::start_as(name, Arc::clone(&self.0.disk), self.0.mailer.clone())
    }

    fn start_as(
        name: &str,
        disk: Arc<dyn Disk>,
        mailer: Mailer<DiskDone>,
    ) -> io::Result<DiskWorker> {
        let (orders, received) = channel();
        let (in_thread, by_thread) = (Arc::clone(&disk), mailer.clone());
        let thread = thread::Builder::new()
            .name(name.into())
            .spawn(move || run(&received, &*in_thread, &by_thread))?;
        Ok(DiskWorker(Arc::new(Inner { orders, disk, mailer, thread: Some(thread) })))
    }

    /// For those who write by themselves.
    pub fn disk(&self) -> &dyn Disk {
        &*self.0.disk
    }

    /// Nobody waits for these jobs.
    pub fn order(&self, jobs: Vec<DiskJob>) {
        self.send(Message::Order { jobs, then: None });
    }

    /// `then` comes back by mail when the jobs are done, or one of them has failed.
    pub fn order_then(&self, jobs: Vec<DiskJob>, then: Then) {
        self.send(Message::Order { jobs, then: Some(then) });
    }

    /// Waits until everything that was ordered is done. For SAVE, DEBUG and the end.
    pub fn wait(&self) {
        let (tell, told) = sync_channel(1);
        self.send(Message::Barrier(tell));
        // It can only end by being told, or with the thread, which had said so on stderr.
        let _ = told.recv();
    }

    /// The same for an end that must come: gives up after some time. False then.
    pub fn wait_for_end(&self) -> bool {
        self.0.wait_for_end()
    }

    fn send(&self, message: Message) {
        // The thread lives as long as this handle; had it panicked, the process would have ended.
        let _ = self.0.orders.send(message);
    }
}

impl Inner {
    fn wait_for_end(&self) -> bool {
        let (tell, told) = sync_channel(1);
        let _ = self.orders.send(Message::Barrier(tell));
        told.recv_timeout(END_WAIT) != Err(RecvTimeoutError::Timeout)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let is_done = self.wait_for_end();
        let _ = self.orders.send(Message::Stop);
        if !is_done {
            // The thread ends with the process.
            return;
        }
        // A thread that panicked has said so on stderr; there is nothing left to save here.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn run(received: &Receiver<Message>, disk: &dyn Disk, mailer: &Mailer<DiskDone>) {
    memory::begin_helper_thread();
    for message in received {
        match message {
            Message::Order { jobs, then } => {
                let from_us = clock::mono_us();
                let result = perform_all(jobs, disk);
                let took_us = clock::mono_us() - from_us;
                if let Some(then) = then {
                    mailer.send(DiskDone { then, result, took_us });
                }
            }
            Message::Barrier(tell) => {
                // Whoever asked waits.
                let _ = tell.send(());
            }
            Message::Stop => return,
        }
        memory::settle_thread();
    }
}

/// Does an order in the caller's thread: at the start, when there is nobody to keep waiting.
pub fn perform_all(jobs: Vec<DiskJob>, disk: &dyn Disk) -> io::Result<()> {
    jobs.into_iter().try_for_each(|job| perform(job, disk))
}

fn perform(job: DiskJob, disk: &dyn Disk) -> io::Result<()> {
    match job {
        DiskJob::Run(job) => {
            job(disk);
            Ok(())
        }
        DiskJob::Fsync(file) => disk.sync_all(&file),
        DiskJob::Rename { from, to } => files::put_in_place(disk, &from, &to),
        DiskJob::Replace { temp, target, bytes } => {
            files::replace_file(disk, &temp, &target, &bytes)
        }
        DiskJob::Unlink(path) => {
            let _ = disk.unlink(&path);
            Ok(())
        }
        DiskJob::Close(file) => {
            drop(file);
            Ok(())
        }
        DiskJob::Reap { pid } => {
            // Whoever has reaped it already was as good.
            while let Err(Errno::EINTR) = waitpid(Pid::from_raw(pid), None) {}
            Ok(())
        }
    }
}
