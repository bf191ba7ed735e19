//! Names that the store cannot hold: keys, and members of sorted sets, of 4 GiB or more. Every command
//! comes past here, whoever sent it, before it runs; nobody behind this door checks again.

use protocol::Args;
use store::limits::fits;

use crate::command::key_spec;
use crate::command::{Acl, CommandSpec};
use crate::error::CommandError;

/// Refuses arguments that would become such names.
#[inline]
pub(crate) fn check(spec: &CommandSpec, args: Args<'_>) -> Result<(), CommandError> {
    check_with(spec, args, fits)
}

/// `fits` says which lengths are possible.
#[inline]
fn check_with(
    spec: &CommandSpec,
    args: Args<'_>,
    fits: fn(u64) -> bool,
) -> Result<(), CommandError> {
    // Nearly always the whole request is shorter than one argument may be.
    let is_short = args.raw().is_some_and(|raw| fits(raw.len() as u64));
    match is_short || args.iter().all(|arg| fits(arg.len() as u64)) {
        true => Ok(()),
        false => check_long(spec, args, fits),
    }
}

/// Some argument does not fit: is it a value, which may be as long as it likes?
#[cold]
fn check_long(
    spec: &CommandSpec,
    args: Args<'_>,
    fits: fn(u64) -> bool,
) -> Result<(), CommandError> {
    let is_long = |at: usize| args.get(at).is_some_and(|arg| !fits(arg.len() as u64));
    if key_spec::positions(spec.keys, args).any(|(at, _)| is_long(at)) {
        return Err(CommandError::err("a key of 4 GiB or more"));
    }
    // In commands of sorted sets and in those whose keys are only found by running them, anything may be one.
    if spec.acl.has(Acl::SORTEDSET) || spec.name == "sort" || spec.name == "sort_ro" {
        return Err(CommandError::err("a key or a member of 4 GiB or more"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With a limit of four bytes, so that the test needs no four gigabytes.
    fn refused(words: &[&str]) -> bool {
        let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        let args = Args::new(&words);
        let found = crate::command::find(args).unwrap_or_else(|_| panic!("{words:?}"));
        check_with(found.spec, args, |len| len <= 4).is_err()
    }

    /// A key of 4 GiB ended the process, from a client and from a master.
    #[test]
    fn long_keys_and_members_are_refused_and_long_values_are_not() {
        assert!(refused(&["SET", "a-key", "v"]));
        assert!(refused(&["GET", "a-key"]));
        assert!(refused(&["MSET", "k", "v", "a-key", "v"]));
        assert!(refused(&["ZADD", "k", "1", "a-member"]));
        assert!(refused(&["ZUNIONSTORE", "a-destination", "1", "k"]));
        assert!(refused(&["SORT", "k", "STORE", "a-destination"]));
        assert!(refused(&["RESTORE", "a-key", "0", "payload"]));
        assert!(!refused(&["SET", "k", "a-value"]));
        assert!(!refused(&["MSET", "k", "a-value", "l", "a-value"]));
        assert!(!refused(&["HSET", "k", "a-field", "a-value"]));
        assert!(!refused(&["ZADD", "k", "1", "m"]));
    }

    #[test]
    fn the_limit_is_that_of_32_bits() {
        assert!(fits(0xffff_ffff));
        assert!(!fits(0x1_0000_0000));
    }
}
