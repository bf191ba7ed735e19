//! Owns the one door through which effects leave: to the append-only file and to the replication
//! stream, once, in their final form.
//!
//! Invariants:
//! - What one unit of execution (a command, an EXEC, a script) propagates is contiguous in both
//!   streams, and wrapped in MULTI/EXEC when it is more than one command.
//! - Each stream says SELECT exactly where the database differs from the one it stands in.
//! - Nothing else writes to either stream, but the heartbeat of `repl`.

use protocol::encode_command;

/// Where a stream stands: the database that its reader has selected, once it has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Cursor {
    db: Option<usize>,
}

/// Which of the streams a command travels in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Targets {
    pub aof: bool,
    pub stream: bool,
}

impl Default for Targets {
    fn default() -> Self {
        Targets { aof: true, stream: true }
    }
}

#[derive(Clone, Copy, Debug)]
struct Item {
    /// `None` for commands that mean the same in every database.
    db: Option<usize>,
    end: usize,
    to: Targets,
}

/// The commands of a unit of execution.
#[derive(Debug, Default)]
pub(crate) struct Unit {
    /// Encoded commands; `items` says where each ends.
    pending: Vec<u8>,
    items: Vec<Item>,
    /// They mean the same each on its own (deletions of expired keys).
    no_multi: bool,
}

/// The unit that runs, and what has been made of the units before.
#[derive(Debug, Default)]
pub struct Propagation {
    unit: Unit,
    /// Where commands travel from now on.
    to: Targets,
    aof: Option<Cursor>,
    stream: Option<Cursor>,
    aof_out: Vec<u8>,
    /// An empty buffer that takes the place of `aof_out`.
    spare: Vec<u8>,
    /// Bytes for the append-only file that were taken, since ever.
    aof_taken: u64,
    stream_out: Vec<u8>,
}

impl Propagation {
    /// Somebody reads at least one of the streams.
    pub fn is_on(&self) -> bool {
        self.aof.is_some() || self.stream.is_some()
    }

    pub fn set_aof(&mut self, on: bool) {
        self.aof = on.then(Cursor::default);
        self.aof_taken += self.aof_out.len() as u64;
        self.aof_out.clear();
    }

    /// A new file begins: its reader has selected no database.
    pub fn reselect_aof(&mut self) {
        if let Some(cursor) = &mut self.aof {
            *cursor = Cursor::default();
        }
    }

    pub fn set_stream(&mut self, on: bool) {
        if on != self.stream.is_some() {
            self.stream = on.then(Cursor::default);
        }
    }

    /// A snapshot begins: whoever loads it has selected no database.
    pub fn reselect_stream(&mut self) {
        if let Some(cursor) = &mut self.stream {
            *cursor = Cursor::default();
        }
    }

    /// The database that the reader of the stream has selected, for the snapshot's metadata.
    pub fn stream_db(&self) -> Option<usize> {
        self.stream.and_then(|cursor| cursor.db)
    }

    /// Continues a stream whose reader stands in `db`: a promotion goes on where the master was.
    pub fn set_stream_db(&mut self, db: Option<usize>) {
        if let Some(cursor) = &mut self.stream {
            cursor.db = db;
        }
    }

    /// A command in its final form. Does nothing when nobody reads.
    pub fn command<'a>(
        &mut self,
        db: usize,
        args: impl IntoIterator<Item = &'a [u8], IntoIter: ExactSizeIterator + Clone>,
    ) {
        if self.is_on() {
            encode_command(&mut self.unit.pending, args);
            self.push_item(Some(db));
        }
    }

    /// A command exactly as it was received.
    pub fn raw(&mut self, db: usize, request: &[u8]) {
        if self.is_on() {
            self.unit.pending.extend_from_slice(request);
            self.push_item(Some(db));
        }
    }

    /// A command that does not depend on the selected database (SCRIPT FLUSH, FUNCTION LOAD, PUBLISH).
    pub fn command_anywhere<'a>(
        &mut self,
        args: impl IntoIterator<Item = &'a [u8], IntoIter: ExactSizeIterator + Clone>,
    ) {
        if self.is_on() {
            encode_command(&mut self.unit.pending, args);
            self.push_item(None);
        }
    }

    fn push_item(&mut self, db: Option<usize>) {
        let end = self.unit.pending.len();
        self.unit.items.push(Item { db, end, to: self.to });
    }

    /// Where commands travel until this is said again (`redis.set_repl`).
    pub(crate) fn set_targets(&mut self, to: Targets) {
        self.to = to;
    }

    /// Nothing of the unit that runs travels.
    pub(crate) fn drop_unit(&mut self) {
        self.unit = Unit::default();
    }

    /// The unit that runs, so that another one can end before it.
    pub(crate) fn set_unit_aside(&mut self) -> Unit {
        std::mem::take(&mut self.unit)
    }

    pub(crate) fn take_back_unit(&mut self, unit: Unit) {
        self.unit = unit;
    }

    pub fn set_no_multi(&mut self) {
        self.unit.no_multi = true;
    }

    /// Ends the unit: its commands go to both streams. True if there were any.
    #[inline]
    pub fn end_unit(&mut self) -> bool {
        let any = !self.unit.items.is_empty();
        if any {
            self.emit_unit();
        }
        self.unit.no_multi = false;
        any
    }

    fn emit_unit(&mut self) {
        if let Some(cursor) = &mut self.aof {
            emit(cursor, &mut self.aof_out, &self.unit, |to| to.aof);
        }
        if let Some(cursor) = &mut self.stream {
            emit(cursor, &mut self.stream_out, &self.unit, |to| to.stream);
        }
        self.unit.pending.clear();
        self.unit.items.clear();
    }

    /// The bytes for the replication stream since the last call of [`Self::clear_stream`].
    pub fn stream_bytes(&self) -> &[u8] {
        &self.stream_out
    }

    pub fn clear_stream(&mut self) {
        self.stream_out.clear();
    }

    /// The bytes for the append-only file since the last call.
    pub fn take_aof(&mut self) -> Vec<u8> {
        self.aof_taken += self.aof_out.len() as u64;
        std::mem::replace(&mut self.aof_out, std::mem::take(&mut self.spare))
    }

    /// A buffer to write the next bytes to.
    pub fn give_spare(&mut self, mut buffer: Vec<u8>) {
        buffer.clear();
        if buffer.capacity() > self.spare.capacity() {
            self.spare = buffer;
        }
    }

    /// Where the append-only file's bytes end, counted since the start.
    pub fn log_end(&self) -> u64 {
        self.aof_taken + self.aof_out.len() as u64
    }
}

/// Writes what of the unit travels in this stream.
fn emit(cursor: &mut Cursor, out: &mut Vec<u8>, unit: &Unit, travels: fn(Targets) -> bool) {
    // Two are several already; nearly always there is one.
    let several =
        unit.items.len() > 1 && unit.items.iter().filter(|item| travels(item.to)).nth(1).is_some();
    let wrap = several && !unit.no_multi;
    // MULTI means the same in every database: SELECT follows it, as in Redis's stream.
    if wrap {
        out.extend_from_slice(b"*1\r\n$5\r\nMULTI\r\n");
    }
    let mut start = 0;
    for item in &unit.items {
        let command = &unit.pending[start..item.end];
        start = item.end;
        if !travels(item.to) {
            continue;
        }
        if let Some(db) = item.db
            && cursor.db != Some(db)
        {
            select(out, db);
            cursor.db = Some(db);
        }
        out.extend_from_slice(command);
    }
    if wrap {
        out.extend_from_slice(b"*1\r\n$4\r\nEXEC\r\n");
    }
}

fn select(out: &mut Vec<u8>, db: usize) {
    let mut digits = itoa::Buffer::new();
    encode_command(out, [b"SELECT".as_slice(), digits.format(db).as_bytes()]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(build: impl FnOnce(&mut Propagation)) -> String {
        let mut door = Propagation::default();
        door.set_stream(true);
        build(&mut door);
        door.end_unit();
        let text = String::from_utf8(door.stream_bytes().to_vec()).unwrap();
        text.split("\r\n").filter(|w| !w.starts_with(['*', '$'])).collect::<Vec<_>>().join(" ")
    }

    fn set(door: &mut Propagation, db: usize, key: &str) {
        door.command(db, [b"SET".as_slice(), key.as_bytes(), b"v"]);
    }

    #[test]
    fn one_command_travels_alone_and_two_as_a_transaction() {
        assert_eq!(stream(|d| set(d, 0, "a")).trim(), "SELECT 0 SET a v");
        let two = stream(|d| {
            set(d, 2, "a");
            set(d, 2, "b");
        });
        assert_eq!(two.trim(), "MULTI SELECT 2 SET a v SET b v EXEC");
    }

    #[test]
    fn select_is_said_once_per_change_and_again_after_a_snapshot() {
        let mut door = Propagation::default();
        door.set_stream(true);
        for _ in 0..2 {
            set(&mut door, 1, "a");
            door.end_unit();
        }
        let selects =
            |d: &Propagation| String::from_utf8_lossy(d.stream_bytes()).matches("SELECT").count();
        assert_eq!(selects(&door), 1);
        door.reselect_stream();
        set(&mut door, 1, "a");
        door.end_unit();
        assert_eq!(selects(&door), 2);
    }

    #[test]
    fn nobody_reads_nothing_is_kept() {
        let mut door = Propagation::default();
        set(&mut door, 0, "a");
        assert!(!door.end_unit());
    }
}
