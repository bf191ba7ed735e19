//! Owns what is told of a command of the master's stream that failed here, though it did not there. What
//! becomes of the link is not decided here.

use protocol::Args;

use crate::Engine;
use crate::command::{self, Flags, Found};
use crate::door::call::Call;
use crate::error::{CommandError, shown};

/// The first failure of a unit of the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamFault {
    pub command: String,
    pub error: CommandError,
    /// The data are not those on which the master ran it, or are not any more.
    pub data_differ: bool,
}

/// Errors that only the data can cause, or the data as well as the arguments.
const OF_DATA: [CommandError; 15] = [
    CommandError::WrongType,
    CommandError::NotHll,
    CommandError::HllCorrupted,
    CommandError::NoSuchKey,
    CommandError::IndexOutOfRange,
    CommandError::BusyKey,
    CommandError::NotAnInteger,
    CommandError::NotAFloat,
    CommandError::HashNotAnInteger,
    CommandError::HashNotAFloat,
    CommandError::Overflow,
    CommandError::NanOrInfinity,
    CommandError::ScoreNan,
    CommandError::OutOfRange,
    CommandError::StringTooLong,
];

impl Engine {
    /// What went wrong in the master's stream since this was last asked.
    pub fn take_stream_fault(&mut self) -> Option<StreamFault> {
        self.stream_fault.take()
    }

    /// A handler has failed. Inside EXEC what came before it has taken effect, so that running the whole
    /// again would make matters worse.
    #[cold]
    pub(crate) fn note_failed_handler(&mut self, found: &Found, error: &CommandError, call: Call) {
        let data_differ = call.is_nested() || OF_DATA.contains(error);
        self.stream_fault.get_or_insert_with(|| StreamFault {
            command: found.full_name(),
            error: error.clone(),
            data_differ,
        });
    }

    /// A command was refused at the door: nothing has happened.
    #[cold]
    pub(crate) fn note_refused_in_stream(&mut self, args: Args<'_>, error: &CommandError) {
        let name = || match command::find(args) {
            Ok(found) => found.full_name(),
            Err(_) => args.get(0).map_or_else(String::new, shown).to_ascii_lowercase(),
        };
        self.stream_fault.get_or_insert_with(|| StreamFault {
            command: name(),
            error: error.clone(),
            data_differ: false,
        });
    }
}

/// A master sends what changes data, and the few words that its stream consists of besides. Anything else
/// is none of its business: it could end this server, change its role or its settings.
pub(crate) fn check_belongs_to_stream(found: &Found) -> Result<(), CommandError> {
    const OF_STREAM: Flags =
        Flags::WRITE.or(Flags::READONLY).or(Flags::MAY_REPLICATE).or(Flags::IN_STREAM);
    match found.spec.flags.has(OF_STREAM) {
        true => Ok(()),
        false => Err(CommandError::err("this command does not belong in a replication stream")),
    }
}
