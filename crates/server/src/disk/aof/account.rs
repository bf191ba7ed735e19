//! How much of what was handed over the kernel has, and the disk: positions in the file's bytes, told as
//! places in the door's and in the stream's.
//!
//! What it tells only goes up, whatever becomes of the file: with a limit set (an increment that no
//! manifest names yet) nothing behind that is told, so that going back to the limit takes nothing back.
//!
//! Knows neither files nor threads; who writes and who syncs is the business of `mod.rs`.

use std::collections::VecDeque;

use node::Point;

/// With `appendfsync no` nothing may become safe for a long time: an even number, so that the newest mark
/// is among those that stay.
pub const MARKS_MAX: usize = 4096;

#[derive(Debug, Default)]
pub struct Account {
    /// Where the stream stood after so many bytes were handed over, while they are not safe.
    marks: Vec<(u64, Point)>,
    /// The same for the door's bytes, while the kernel does not have them.
    unwritten_marks: VecDeque<(u64, u64)>,
    handed_over: u64,
    /// Where the stream stood when bytes, or none, last came.
    appended: Point,
    written_log: u64,
    fsynced: Point,
    /// More does not count.
    limit: Option<Point>,
}

impl Account {
    pub fn appended(&self) -> Point {
        self.appended
    }

    /// All that left by the door up to `point` is here, handed over or not.
    pub fn arrived(&mut self, point: Point) {
        self.appended = point;
    }

    /// `len` bytes, which end at `point`, go to the writer. Says where they end among all that did.
    pub fn handed_over(&mut self, len: usize, point: Point) -> u64 {
        self.handed_over += len as u64;
        self.unwritten_marks.push_back((self.handed_over, point.log));
        if self.marks.len() >= MARKS_MAX {
            // Every second one tells enough, and the last one must stay.
            let mut keep = true;
            self.marks.retain(|_| {
                keep = !keep;
                keep
            });
        }
        self.marks.push((self.handed_over, point));
        self.handed_over
    }

    /// The kernel has all that came.
    pub fn all_is_written(&mut self) {
        self.unwritten_marks.clear();
        self.written_log = self.appended.log;
    }

    /// So has the disk.
    pub fn all_is_safe(&mut self) {
        self.all_is_written();
        self.marks.clear();
        self.fsynced = self.appended;
    }

    /// The writer is so far. What is not in the file, such as a heartbeat of the master, is as safe as
    /// what stands before it; `all_was_handed_over` says that nothing else stands between.
    pub fn follow(
        &mut self,
        written: u64,
        synced: u64,
        is_trusted: bool,
        all_was_handed_over: bool,
    ) {
        while let Some(&(bytes, log)) = self.unwritten_marks.front()
            && bytes <= written
        {
            self.unwritten_marks.pop_front();
            self.written_log = log;
        }
        if self.unwritten_marks.is_empty() && all_was_handed_over {
            self.written_log = self.appended.log;
        }
        let safe = self.marks.iter().take_while(|(bytes, _)| *bytes <= synced).count();
        if let Some((_, point)) = self.marks.drain(..safe).next_back() {
            self.fsynced = point;
        }
        if self.marks.is_empty() && all_was_handed_over && is_trusted {
            self.fsynced = self.appended;
        }
    }

    /// What comes from now on does not count, until `lift_limit`.
    pub fn set_limit(&mut self) {
        self.limit = Some(self.appended);
    }

    pub fn lift_limit(&mut self) {
        self.limit = None;
    }

    /// What came behind the limit is yet to be handed over, again.
    pub fn go_back_to_limit(&mut self) {
        let Some(limit) = self.limit.take() else { return };
        self.marks.retain(|(_, point)| point.log <= limit.log);
        self.unwritten_marks.retain(|(_, log)| *log <= limit.log);
        self.written_log = self.written_log.min(limit.log);
        self.fsynced.log = self.fsynced.log.min(limit.log);
        self.fsynced.offset = self.fsynced.offset.min(limit.offset);
    }

    /// What was handed over and is not safe is of no use to anybody any more.
    pub fn forget(&mut self) {
        self.marks.clear();
        self.unwritten_marks.clear();
        self.limit = None;
    }

    /// The file is off: its place in the stream, if there is one again, is another.
    pub fn forget_stream(&mut self) {
        self.appended.offset = 0;
        self.fsynced.offset = 0;
    }

    /// In the door's bytes.
    pub fn written_log(&self) -> u64 {
        self.written_log.min(self.limit.map_or(u64::MAX, |limit| limit.log))
    }

    pub fn fsynced(&self) -> Point {
        let Some(limit) = self.limit else { return self.fsynced };
        Point {
            log: self.fsynced.log.min(limit.log),
            offset: self.fsynced.offset.min(limit.offset),
        }
    }

    #[cfg(test)]
    pub fn marks(&self) -> usize {
        self.marks.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        /// Bytes for the file, and bytes of the stream alone.
        Append(u16, u8),
        /// The writer has written, and synced, so much of what it has (in 256ths).
        Follow(u8, u8),
        SetLimit,
        LiftLimit,
        GoBack,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => (0..50u16, 0..20u8).prop_map(|(bytes, beat)| Step::Append(bytes, beat)),
            4 => (any::<u8>(), any::<u8>()).prop_map(|(w, s)| Step::Follow(w, s)),
            1 => Just(Step::SetLimit),
            1 => Just(Step::LiftLimit),
            1 => Just(Step::GoBack),
        ];
        prop::collection::vec(step, 1..80)
    }

    /// Of the present files: what was handed over, to which of them, and where it ended.
    #[derive(Default)]
    struct Truth {
        chunks: Vec<(u64, Point, bool)>,
        written: u64,
        synced: u64,
    }

    impl Truth {
        /// How far the log is that a restart would find, by what `done` bytes have reached.
        fn reached(&self, done: u64, appended: Point) -> Point {
            let lost =
                self.chunks.iter().position(|(end, _, is_unnamed)| *end > done || *is_unnamed);
            match lost {
                None => appended,
                Some(0) => Point::default(),
                Some(at) => self.chunks[at - 1].1,
            }
        }
    }

    proptest! {
        /// An increment whose manifest could not be stored took writes with it that had been told safe.
        #[test]
        fn what_is_told_never_goes_down_and_is_never_more_than_a_restart_finds(steps in steps()) {
            let (mut account, mut truth) = (Account::default(), Truth::default());
            let mut has_limit = false;
            let mut told = (0, Point::default());
            for step in steps {
                match step {
                    Step::Append(bytes, beat) => {
                        let mut point = account.appended();
                        point.log += u64::from(bytes);
                        point.offset += u64::from(bytes) + u64::from(beat);
                        account.arrived(point);
                        if bytes > 0 {
                            let end = account.handed_over(usize::from(bytes), point);
                            truth.chunks.push((end, point, has_limit));
                        }
                    }
                    Step::Follow(written, synced) => {
                        let queued = truth.chunks.last().map_or(0, |(end, ..)| *end);
                        let part = |of: u64, n: u8| of * u64::from(n) / 255;
                        truth.written = truth.written.max(part(queued, written));
                        truth.synced = truth.synced.max(part(truth.written, synced));
                        account.follow(truth.written, truth.synced, true, true);
                    }
                    Step::SetLimit if !has_limit => {
                        account.set_limit();
                        has_limit = true;
                    }
                    Step::LiftLimit if has_limit => {
                        account.lift_limit();
                        truth.chunks.iter_mut().for_each(|(.., is_unnamed)| *is_unnamed = false);
                        has_limit = false;
                    }
                    Step::GoBack if has_limit => {
                        account.go_back_to_limit();
                        has_limit = false;
                        let again: u64 = {
                            let limit = account.appended();
                            let named = truth.chunks.iter().filter(|(.., unnamed)| !unnamed);
                            limit.log - named.map(|(_, point, _)| point.log).max().unwrap_or(0)
                        };
                        truth.chunks.retain(|(.., is_unnamed)| !is_unnamed);
                        if again > 0 {
                            let point = account.appended();
                            let end = account.handed_over(again as usize, point);
                            truth.chunks.push((end, point, false));
                        }
                    }
                    _ => continue,
                }
                let now = (account.written_log(), account.fsynced());
                prop_assert!(now.0 >= told.0 && now.1.log >= told.1.log, "{now:?} after {told:?}");
                prop_assert!(now.1.offset >= told.1.offset, "{now:?} after {told:?}");
                let appended = account.appended();
                let found = truth.reached(truth.written, appended);
                prop_assert!(now.0 <= found.log, "{now:?}, found {found:?}");
                let safe = truth.reached(truth.synced, appended);
                prop_assert!(now.1.log <= safe.log, "{now:?}, safe {safe:?}");
                told = now;
            }
        }
    }
}
