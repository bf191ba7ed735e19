//! Programs at a terminal: their output goes to a pty, and what is typed comes from it.
//!
//! Must not: know any program.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use nix::pty::{Winsize, openpty};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::wait::{wait_for, wait_until};

/// A program with a terminal of its own, and all that it has printed there.
#[derive(Debug)]
pub struct Terminal {
    child: Child,
    master: File,
    screen: Arc<Mutex<Vec<u8>>>,
    reader: thread::JoinHandle<()>,
}

impl Terminal {
    /// Starts a program. With `typed`, it reads from the terminal; otherwise its input is empty.
    #[track_caller]
    pub fn start(mut command: Command, typed: bool) -> Self {
        let size = Winsize { ws_row: 40, ws_col: 120, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = openpty(&size, None).expect("there are ptys");
        let end = |fd: &OwnedFd| Stdio::from(fd.try_clone().expect("descriptors are left"));
        command.stdout(end(&pty.slave)).stderr(end(&pty.slave));
        command.stdin(if typed { end(&pty.slave) } else { Stdio::null() });
        let child = command.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}"));
        // Ours and the command's copies go: the last one to close the slave ends the reading.
        drop(command);
        drop(pty.slave);
        let master = File::from(pty.master);
        let screen = Arc::new(Mutex::new(Vec::new()));
        let (mut output, shared) =
            (master.try_clone().expect("descriptors are left"), Arc::clone(&screen));
        let reader = thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(len @ 1..) = output.read(&mut buffer) {
                shared.lock().expect("no holder panics").extend_from_slice(&buffer[..len]);
            }
        });
        Self { child, master, screen, reader }
    }

    /// Presses keys.
    pub fn press(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).expect("the terminal takes keys");
    }

    /// What Ctrl-C does to a program that has the terminal for itself.
    pub fn interrupt(&self) {
        // The child was not waited for, so the id is still its own.
        let _ = kill(Pid::from_raw(self.child.id() as i32), Signal::SIGINT);
    }

    /// All that was printed so far.
    pub fn screen(&self) -> String {
        String::from_utf8_lossy(&self.screen.lock().expect("no holder panics")).into_owned()
    }

    /// Waits until this was printed.
    #[track_caller]
    pub fn wait_for_text(&self, text: &str, timeout: Duration) {
        wait_until(timeout, &format!("{text:?} on the screen"), || self.screen().contains(text));
    }

    /// Waits for the end: all that was printed, and the exit status.
    #[track_caller]
    pub fn finish(mut self, timeout: Duration) -> (String, Option<i32>) {
        let status = wait_for(timeout, "the program ends", || match self.child.try_wait() {
            Ok(Some(status)) => Ok(status),
            Ok(None) => Err(self.screen()),
            Err(e) => Err(e.to_string()),
        });
        // Reading ends when nobody has the other end open any more.
        wait_until(timeout, "the last of the output", || self.reader.is_finished());
        (self.screen(), status.code())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
