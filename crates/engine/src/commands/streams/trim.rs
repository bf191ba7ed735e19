//! The options of XADD and XTRIM: what is trimmed, and how the command then travels. Owns that a trim
//! travels as what it came to, in words that every Redis with streams knows.

use protocol::Args;
use smallvec::SmallVec;
use store::stream::{Keep, NewId, References, Stream, Trim, Trimmed};

use super::delete::propagate_deletions;
use super::ids;
use crate::commands::args::{int, is};
use crate::door::ctx::Ctx;
use crate::error::CommandError;

/// Nodes that an approximate trim takes away at most, unless it is told how many entries.
const MAX_NODES: u64 = 100;
const DEFAULT_LIMIT: u64 = 10_000;
const MAX_LIMIT: u64 = 1_000_000;

/// A command with its words, some of which are replaced before it travels.
type Words<'a> = SmallVec<[&'a [u8]; 16]>;

/// What becomes of references to entries that go.
pub(super) fn references_of(option: &[u8]) -> Option<References> {
    [
        ("keepref", References::Keep),
        ("delref", References::Delete),
        ("acked", References::MustBeGone),
    ]
    .into_iter()
    .find_map(|(name, references)| is(option, name).then_some(references))
}

/// What XADD and XTRIM have in common.
pub(super) struct Options {
    pub trim: Option<TrimOption>,
    pub no_mkstream: bool,
    /// Where XADD's id stands: `*` where it is not given.
    pub id_at: usize,
    pub id: Option<NewId>,
    /// Where KEEPREF, DELREF or ACKED stands.
    references_at: Option<usize>,
}

pub(super) struct TrimOption {
    pub trim: Trim,
    /// Where the length or the id stands.
    at: usize,
}

/// What an XADD or XTRIM has come to, for those who are told.
#[derive(Default)]
pub(super) struct Outcome {
    /// The length or the id that an exact trim would have been given.
    exactly: Option<SmallVec<[u8; 64]>>,
    trimmed: Trimmed,
}

impl Options {
    pub fn trim(&self, stream: &mut Stream) -> Trimmed {
        self.trim.as_ref().map_or_else(Trimmed::default, |option| stream.trim(&option.trim))
    }

    /// An approximate trim comes to an exact one: replicas and files need not have the same nodes. One that
    /// minds references comes to one that does not know any, deletions and acknowledgements.
    pub fn outcome(&self, stream: &Stream, trimmed: Trimmed) -> Outcome {
        let exactly = self.trim.as_ref().and_then(|option| match option.trim {
            Trim { references: References::MustBeGone, .. } => {
                Some(length(stream.len() + trimmed.picked.len() as u64))
            }
            Trim { approximate: false, .. } => None,
            Trim { keep: Keep::MaxLen(_), .. } => Some(length(stream.len())),
            Trim { keep: Keep::MinId(_), .. } => {
                Some(stream.first_kept_id().text().as_bytes().into())
            }
        });
        Outcome { exactly, trimmed }
    }

    /// Says what the command has come to; `id` is the one that was made up for the entry.
    pub fn propagate(
        &self,
        ctx: &mut Ctx<'_>,
        args: Args<'_>,
        id: Option<&[u8]>,
        outcome: &Outcome,
    ) {
        if id.is_none() && outcome.exactly.is_none() && self.references_at.is_none() {
            return;
        }
        let mut words: Words<'_> = args.iter().collect();
        if let Some(id) = id {
            words[self.id_at] = id;
        }
        if let (Some(option), Some(exactly)) = (&self.trim, &outcome.exactly) {
            option.put(&mut words, exactly);
        }
        if let Some(at) = self.references_at {
            words.remove(at);
        }
        ctx.propagate(&words);
        let Trimmed { picked, released, .. } = &outcome.trimmed;
        propagate_deletions(ctx, args.at(1), picked, released);
    }
}

impl TrimOption {
    fn put<'a>(&self, words: &mut Words<'a>, exactly: &'a [u8]) {
        words[self.at] = exactly;
        let before = self.at - 1;
        if self.trim.approximate {
            words[before] = b"=";
        }
        // What was picked from behind others is no range of ids.
        if self.trim.references == References::MustBeGone {
            let strategy = if matches!(words[before], b"=" | b"~") { before - 1 } else { before };
            words[strategy] = b"MAXLEN";
        }
    }
}

fn length(len: u64) -> SmallVec<[u8; 64]> {
    itoa::Buffer::new().format(len).as_bytes().into()
}

/// Reads the options; those of XADD end with its id.
pub(super) fn options(
    ctx: &Ctx<'_>,
    args: Args<'_>,
    is_add: bool,
) -> Result<Options, CommandError> {
    let mut options = Options {
        trim: None,
        no_mkstream: false,
        id_at: args.len(),
        id: None,
        references_at: None,
    };
    let (mut limit, mut references) = (None, None);
    let mut at = 2;
    while at < args.len() {
        let (option, more) = (args.at(at), args.len() - 1 - at);
        if is_add && option == b"*" {
            options.id_at = at;
            break;
        } else if more > 0 && (is(option, "maxlen") || is(option, "minid")) {
            if options.trim.is_some() {
                return Err(CommandError::err(
                    "syntax error, MAXLEN and MINID options at the same time are not compatible",
                ));
            }
            let trim = trim_option(args, at, is(option, "maxlen"))?;
            at = trim.at + 1;
            options.trim = Some(trim);
        } else if more > 0 && is(option, "limit") {
            let n = int(args.at(at + 1))?;
            let negative = || CommandError::err("The LIMIT argument must be >= 0.");
            limit = Some(u64::try_from(n).map_err(|_| negative())?);
            at += 2;
        } else if references.is_none() && references_of(option).is_some() {
            references = references_of(option);
            options.references_at = Some(at);
            at += 1;
        } else if is_add && is(option, "nomkstream") {
            options.no_mkstream = true;
            at += 1;
        } else if is_add {
            options.id = Some(ids::new_id(option)?);
            options.id_at = at;
            break;
        } else {
            return Err(CommandError::Syntax);
        }
    }
    if let Some(option) = &mut options.trim {
        option.trim.references = references.unwrap_or_default();
    }
    let node_max_entries = ctx.engine.settings.limits.stream_node_max_entries as u64;
    check_limit(&mut options, limit, is_add, ctx.call.is_applied(), node_max_entries)?;
    Ok(options)
}

fn trim_option(args: Args<'_>, at: usize, is_maxlen: bool) -> Result<TrimOption, CommandError> {
    let mut at = at + 1;
    let mut approximate = false;
    if at + 1 < args.len() && matches!(args.at(at), b"~" | b"=") {
        approximate = args.at(at) == b"~";
        at += 1;
    }
    let keep = match is_maxlen {
        true => {
            let negative = || CommandError::err("The MAXLEN argument must be >= 0.");
            Keep::MaxLen(u64::try_from(int(args.at(at))?).map_err(|_| negative())?)
        }
        false => Keep::MinId(ids::id(args.at(at))?),
    };
    Ok(TrimOption { trim: Trim { keep, approximate, limit: 0, references: References::Keep }, at })
}

fn limit_of_exact_trim() -> CommandError {
    CommandError::err("syntax error, LIMIT cannot be used without the special ~ option")
}

fn check_limit(
    options: &mut Options,
    limit: Option<u64>,
    is_add: bool,
    is_applied: bool,
    node_max_entries: u64,
) -> Result<(), CommandError> {
    let Some(TrimOption { trim, .. }) = &mut options.trim else {
        if limit.is_some_and(|limit| limit > 0) {
            return Err(CommandError::err(
                "syntax error, LIMIT cannot be used without specifying a trimming strategy",
            ));
        }
        return match is_add {
            true if limit.is_some() && !is_applied => Err(limit_of_exact_trim()),
            true => Ok(()),
            false => Err(CommandError::err(
                "syntax error, XTRIM must be called with a trimming strategy",
            )),
        };
    };
    // A master or a file says what its trim came to: that is done whole.
    if is_applied {
        return Ok(());
    }
    trim.limit = match limit {
        Some(_) if !trim.approximate => return Err(limit_of_exact_trim()),
        Some(limit) => limit,
        None if trim.approximate => match node_max_entries.saturating_mul(MAX_NODES) {
            0 => DEFAULT_LIMIT,
            limit => limit.min(MAX_LIMIT),
        },
        None => 0,
    };
    Ok(())
}
