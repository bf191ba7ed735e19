//! Owns which arguments of a command are secret: MONITOR and the slow log show them as `(redacted)`.

use protocol::Args;
use smallvec::SmallVec;

use crate::command::Found;
use crate::world::World;

const REDACTED: &[u8] = b"(redacted)";

/// A command's arguments as others may see them.
pub(crate) type Shown<'a> = SmallVec<[&'a [u8]; 8]>;

/// The arguments of a command that ran, without its secrets.
pub(crate) fn shown<'a>(world: &dyn World, found: &Found, args: Args<'a>) -> Shown<'a> {
    let mut shown: Shown<'a> = args.iter().collect();
    let last = shown.len();
    let secret = match (found.container.map(|top| top.name), found.spec.name) {
        (None, "auth") if last <= 3 => 1..last,
        (None, "hello") => credentials_of_hello(args),
        (Some("config"), "set") => {
            for at in (2..last).step_by(2) {
                if at + 1 < last && world.is_secret_directive(args.at(at)) {
                    shown[at + 1] = REDACTED;
                }
            }
            return shown;
        }
        (Some("acl"), "setuser" | "deluser" | "getuser") => 2..last,
        _ => return shown,
    };
    shown[secret].fill(REDACTED);
    shown
}

/// HELLO version AUTH user password.
fn credentials_of_hello(args: Args<'_>) -> std::ops::Range<usize> {
    let mut at = 2;
    while at < args.len() {
        if args.at(at).eq_ignore_ascii_case(b"auth") && at + 2 < args.len() {
            return at + 1..at + 3;
        }
        // SETNAME has one value.
        at += 2;
    }
    0..0
}
