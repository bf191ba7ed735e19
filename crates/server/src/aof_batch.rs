//! Some commands of an append-only file, copied so that their keys can be asked for before the first runs:
//! the reader lends one at a time. Owns their bytes; runs nothing.

use engine::PREFETCH_BATCH;
use persist::aof::Command;

/// With so many bytes the batch is full: to copy large values would cost more than a cache miss.
const FULL_BYTES: usize = 16 * 1024;

#[derive(Default)]
pub struct AofBatch {
    bytes: Vec<u8>,
    /// Where each argument ends in `bytes`.
    arg_ends: Vec<usize>,
    /// How many arguments there are up to the end of each command.
    command_ends: Vec<usize>,
}

impl AofBatch {
    pub fn push(&mut self, command: &Command<'_>) {
        for arg in command.args() {
            self.bytes.extend_from_slice(arg);
            self.arg_ends.push(self.bytes.len());
        }
        self.command_ends.push(self.arg_ends.len());
    }

    pub fn is_full(&self) -> bool {
        self.command_ends.len() == PREFETCH_BATCH || self.bytes.len() >= FULL_BYTES
    }

    pub fn clear(&mut self) {
        self.bytes.clear();
        // What one large command took is not kept for the rest of the load.
        self.bytes.shrink_to(4 * FULL_BYTES);
        self.arg_ends.clear();
        self.arg_ends.shrink_to(FULL_BYTES);
        self.command_ends.clear();
    }

    /// The arguments of all commands, one after the other.
    pub fn args(&self) -> Vec<&[u8]> {
        let mut start = 0;
        let arg = |&end: &usize| &self.bytes[std::mem::replace(&mut start, end)..end];
        self.arg_ends.iter().map(arg).collect()
    }

    /// Each command's part of `args`.
    pub fn commands<'a>(&self, args: &'a [&'a [u8]]) -> impl Iterator<Item = &'a [&'a [u8]]> {
        let mut start = 0;
        self.command_ends.iter().map(move |&end| &args[std::mem::replace(&mut start, end)..end])
    }
}

#[cfg(test)]
mod tests {
    use persist::aof::{AofReader, Record};
    use persist::source::Source;

    use super::*;

    #[test]
    fn a_batch_gives_back_what_it_was_given_until_it_is_full() {
        let mut file = Vec::new();
        for n in 0..PREFETCH_BATCH {
            file.extend_from_slice(
                format!("*3\r\n$3\r\nSET\r\n$2\r\n{n:02}\r\n$0\r\n\r\n").as_bytes(),
            );
            file.extend_from_slice(b"#TS:1700000000\r\n");
        }
        let len = file.len() as u64;
        let mut bytes = &file[..];
        let mut reader = AofReader::new(Source::new(&mut bytes, Some(len)));
        let mut batch = AofBatch::default();
        while let Some(record) = reader.next().expect("well formed") {
            if let Record::Command(command) = record {
                assert!(!batch.is_full());
                batch.push(&command);
            }
        }
        assert!(batch.is_full());
        let args = batch.args();
        let commands: Vec<_> = batch.commands(&args).collect();
        assert_eq!(commands.len(), PREFETCH_BATCH);
        for (n, command) in commands.iter().enumerate() {
            assert_eq!(*command, [&b"SET"[..], format!("{n:02}").as_bytes(), b""]);
        }
        batch.clear();
        assert_eq!(batch.commands(&batch.args()).count(), 0);
    }
}
