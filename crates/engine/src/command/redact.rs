//! Owns which arguments of a command are secret: MONITOR and the slow log show them as `(redacted)`.

use protocol::Args;
use smallvec::SmallVec;

use crate::world::World;

const REDACTED: &[u8] = b"(redacted)";

/// A command's arguments as others may see them.
pub(crate) type Shown<'a> = SmallVec<[&'a [u8]; 8]>;

/// How a row hides its command's secrets.
pub(crate) type Redact = fn(&dyn World, &mut Shown<'_>);

/// The arguments of a command that ran, without its secrets.
pub(crate) fn shown<'a>(world: &dyn World, redact: Option<Redact>, args: Args<'a>) -> Shown<'a> {
    let mut shown: Shown<'a> = args.iter().collect();
    if let Some(redact) = redact {
        redact(world, &mut shown);
    }
    shown
}

/// AUTH [user] password.
pub(crate) fn auth(_: &dyn World, shown: &mut Shown<'_>) {
    if shown.len() <= 3 {
        shown[1..].fill(REDACTED);
    }
}

/// ACL SETUSER and the like: users' names are nobody else's business either.
pub(crate) fn user(_: &dyn World, shown: &mut Shown<'_>) {
    shown[2..].fill(REDACTED);
}

/// CONFIG SET directive value ...
pub(crate) fn directives(world: &dyn World, shown: &mut Shown<'_>) {
    for at in (2..shown.len()).step_by(2) {
        if at + 1 < shown.len() && world.is_secret_directive(shown[at]) {
            shown[at + 1] = REDACTED;
        }
    }
}

/// MIGRATE ... AUTH password, AUTH2 user password, up to KEYS.
pub(crate) fn migrate(_: &dyn World, shown: &mut Shown<'_>) {
    let mut at = 6;
    while at < shown.len() && !shown[at].eq_ignore_ascii_case(b"keys") {
        let end = at + 1 + secrets_behind(shown[at]);
        if end > shown.len() {
            return;
        }
        shown[at + 1..end].fill(REDACTED);
        at = end;
    }
}

/// How many arguments behind an option of MIGRATE are credentials.
pub(crate) fn secrets_behind(word: &[u8]) -> usize {
    match () {
        () if word.eq_ignore_ascii_case(b"auth") => 1,
        () if word.eq_ignore_ascii_case(b"auth2") => 2,
        () => 0,
    }
}

/// HELLO version AUTH user password.
pub(crate) fn hello(_: &dyn World, shown: &mut Shown<'_>) {
    let mut at = 2;
    while at < shown.len() {
        if shown[at].eq_ignore_ascii_case(b"auth") && at + 2 < shown.len() {
            return shown[at + 1..at + 3].fill(REDACTED);
        }
        // SETNAME has one value.
        at += 2;
    }
}
