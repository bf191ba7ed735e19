//! Owns the process's title: what ps and top show in place of the command line, in the memory in which the
//! kernel has passed arguments and environment.

use std::ffi::OsString;
use std::fs;
use std::sync::OnceLock;

/// Where the title stands, and how many bytes there are for it.
static PLACE: OnceLock<(usize, usize)> = OnceLock::new();

/// Frees the place for titles. To be called once the arguments were read, before the first thread: it moves
/// the environment out of the way.
pub fn prepare() {
    let Some((start, end, has_environment)) = find_place() else { return };
    if has_environment {
        let variables: Vec<(OsString, OsString)> = std::env::vars_os().collect();
        for (name, value) in variables {
            // SAFETY: no other thread runs yet.
            unsafe { std::env::set_var(name, value) };
        }
    }
    let _ = PLACE.set((start, end - start));
}

/// Shows this title, as much of it as there is room for. Does nothing before [`prepare`].
pub fn set(title: &str) {
    let Some(&(start, room)) = PLACE.get() else { return };
    let bytes = title.as_bytes();
    let len = bytes.len().min(room - 1);
    let place = std::ptr::with_exposed_provenance_mut::<u8>(start);
    // SAFETY: the kernel has mapped these bytes for the arguments, which were read, and the environment, which was
    // copied: nobody else looks at them. Only the loop's thread sets titles.
    unsafe {
        std::ptr::copy_nonoverlapping(bytes.as_ptr(), place, len);
        std::ptr::write_bytes(place.add(len), 0, room - len);
    }
}

/// The arguments' place, with that of the environment if it follows.
fn find_place() -> Option<(usize, usize, bool)> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let (arguments, environment) = places(&stat)?;
    let follows = arguments.1 == environment.0 && environment.1 > environment.0;
    Some((arguments.0, if follows { environment.1 } else { arguments.1 }, follows))
}

/// Begin and end of arguments and environment, by the fields 48 to 51 of proc(5).
fn places(stat: &str) -> Option<((usize, usize), (usize, usize))> {
    // The second field is a name in parentheses, which may have any of its own.
    let mut fields = stat[stat.rfind(')')? + 1..].split_ascii_whitespace().skip(48 - 3);
    let mut next = || fields.next()?.parse::<usize>().ok().filter(|at| *at != 0);
    let places = ((next()?, next()?), (next()?, next()?));
    (places.0.0 < places.0.1).then_some(places)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_places_are_read_behind_a_name_with_parentheses() {
        let fields: Vec<String> = (3..=52).map(|field| field.to_string()).collect();
        let stat = format!("1 (a) b)) {}", fields.join(" "));
        assert_eq!(places(&stat), Some(((48, 49), (50, 51))));
        assert_eq!(places("1 (a) R 2 3"), None);
        assert_eq!(places(""), None);
    }
}
