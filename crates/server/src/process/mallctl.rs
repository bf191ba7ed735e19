//! The allocator's values by their names (DEBUG MALLCTL). A name says what stands behind it, and a wrong guess
//! would have the allocator follow a number as a pointer: so numbers and texts are told apart here, by name.

use std::ffi::{CStr, CString, c_char, c_void};
use std::ptr::{from_mut, null_mut};

use engine::world::Mallctl;
use engine::{CommandError, Outcome};
use tikv_jemalloc_sys::mallctl;

use crate::process::os_error::os_error;

/// The names whose value is a text. `<i>` is any number.
const TEXTS: &[&str] = &[
    "arena.<i>.dss",
    "config.malloc_conf",
    "opt.dss",
    "opt.junk",
    "opt.metadata_thp",
    "opt.percpu_arena",
    "opt.prof_prefix",
    "opt.stats_interval_opts",
    "opt.stats_print_opts",
    "opt.thp",
    "opt.zero_realloc",
    "version",
];
/// What discards memory in use, or takes the address of something: never written, nor done.
const UNTOUCHABLE: &[&str] = &[
    "arena.<i>.destroy",
    "arena.<i>.extent_hooks",
    "arena.<i>.reset",
    "arenas.create",
    "arenas.lookup",
    "experimental.",
    "prof.",
    "tcache.",
    "thread.arena",
    "thread.prof.name",
];

pub fn perform(name: &[u8], value: Mallctl<'_>) -> Result<Outcome, CommandError> {
    let Ok(key) = CString::new(name) else { return Err(refused(libc::ENOENT)) };
    let is_read = matches!(value, Mallctl::Number(None) | Mallctl::Text(None));
    if !is_read && UNTOUCHABLE.iter().any(|pattern| is_named(name, pattern)) {
        return Err(refused(libc::EPERM));
    }
    let is_text = TEXTS.iter().any(|pattern| is_named(name, pattern));
    let outcome = match value {
        Mallctl::Number(Some(_)) | Mallctl::Deed if is_text => Err(libc::EINVAL),
        Mallctl::Number(value) => number(&key, value),
        Mallctl::Text(None) if is_text => text(&key).map(Outcome::Bulk),
        Mallctl::Text(Some(value)) if is_text => set_text(&key, value).map(Outcome::Bulk),
        Mallctl::Text(_) => Err(no_text(&key)),
        Mallctl::Deed => deed(&key).map(|()| Outcome::Done),
    };
    outcome.map_err(refused)
}

fn refused(errno: i32) -> CommandError {
    CommandError::err(os_error(&std::io::Error::from_raw_os_error(errno)))
}

fn is_named(name: &[u8], pattern: &str) -> bool {
    let Ok(name) = std::str::from_utf8(name) else { return false };
    if pattern.ends_with('.') {
        return name.starts_with(pattern);
    }
    let (mut words, mut wanted) = (name.split('.'), pattern.split('.'));
    loop {
        match (words.next(), wanted.next()) {
            (None, None) => return true,
            (Some(word), Some("<i>")) if word.bytes().all(|byte| byte.is_ascii_digit()) => {}
            (Some(word), Some(wanted)) if word == wanted => {}
            _ => return false,
        }
    }
}

/// Sizes differ by name, and the allocator refuses the wrong ones.
fn number(key: &CStr, value: Option<i64>) -> Result<Outcome, i32> {
    for size in [8, 4, 2, 1] {
        let (mut old, mut len) = (0_i64, size);
        let mut new = value.unwrap_or(0);
        let new_ptr = if value.is_some() { from_mut(&mut new).cast() } else { null_mut() };
        let new_len = if value.is_some() { size } else { 0 };
        // The low bytes come first here, so that a shorter number begins where a longer one does.
        const { assert!(cfg!(target_endian = "little")) };
        // SAFETY: both pointers are to 8 bytes, and no more than that is announced. What is behind a name that
        // may be written to is a number, as the lists above see to.
        let mut ended =
            unsafe { mallctl(key.as_ptr(), from_mut(&mut old).cast(), &mut len, new_ptr, new_len) };
        if ended == libc::EPERM && value.is_some() {
            // What can be written to only.
            // SAFETY: as above.
            ended = unsafe { mallctl(key.as_ptr(), null_mut(), null_mut(), new_ptr, size) };
            if ended == 0 {
                return Ok(Outcome::Done);
            }
        }
        match ended {
            0 => return Ok(Outcome::Int(old)),
            libc::EINVAL => {}
            errno => return Err(errno),
        }
    }
    Err(libc::EINVAL)
}

fn text(key: &CStr) -> Result<Vec<u8>, i32> {
    let mut old: *const c_char = std::ptr::null();
    let mut len = size_of::<*const c_char>();
    // SAFETY: under these names is a pointer to a string of C, which outlives the call.
    unsafe {
        match mallctl(key.as_ptr(), from_mut(&mut old).cast(), &mut len, null_mut(), 0) {
            0 if old.is_null() => Ok(Vec::new()),
            0 => Ok(CStr::from_ptr(old).to_bytes().to_vec()),
            errno => Err(errno),
        }
    }
}

/// What it was before.
fn set_text(key: &CStr, value: &[u8]) -> Result<Vec<u8>, i32> {
    let before = text(key)?;
    let value = CString::new(value).map_err(|_| libc::EINVAL)?;
    let mut new: *const c_char = value.as_ptr();
    // SAFETY: the value is a pointer to a string of C, of which the allocator keeps nothing.
    let ended = unsafe {
        let len = size_of::<*const c_char>();
        mallctl(key.as_ptr(), null_mut(), null_mut(), from_mut(&mut new).cast::<c_void>(), len)
    };
    // Redis tells what it was even where it cannot be changed.
    let _ = ended;
    Ok(before)
}

/// Why a name has no text.
fn no_text(key: &CStr) -> i32 {
    match number(key, None) {
        Ok(_) => libc::EINVAL,
        Err(errno) => errno,
    }
}

fn deed(key: &CStr) -> Result<(), i32> {
    // SAFETY: nothing is read and nothing given; what would discard memory in use is not asked for.
    match unsafe { mallctl(key.as_ptr(), null_mut(), null_mut(), null_mut(), 0) } {
        0 => Ok(()),
        errno => Err(errno),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Redis follows a number as if it were a string's address, and is gone.
    #[test]
    fn a_number_is_no_text_and_a_text_no_number_to_set() {
        let number = perform(b"arenas.page", Mallctl::Number(None)).unwrap();
        assert!(matches!(number, Outcome::Int(4096..)), "{number:?}");
        let refused = perform(b"arenas.page", Mallctl::Text(None)).unwrap_err();
        assert_eq!(refused.as_str(), "ERR Invalid argument");
        assert!(perform(b"opt.dss", Mallctl::Number(Some(5))).is_err());
        let text = perform(b"opt.dss", Mallctl::Text(None)).unwrap();
        assert_eq!(text, Outcome::Bulk(b"secondary".to_vec()));
    }

    #[test]
    fn what_would_discard_memory_in_use_is_refused() {
        for name in [&b"arena.0.reset"[..], b"arena.4096.destroy", b"experimental.hooks.install"] {
            for value in [Mallctl::Deed, Mallctl::Number(Some(1)), Mallctl::Text(Some(b"x"))] {
                let refused = perform(name, value).unwrap_err();
                assert_eq!(refused.as_str(), "ERR Operation not permitted");
            }
        }
    }

    #[test]
    fn unknown_names_and_deeds_are_told_in_the_words_of_the_c_library() {
        for name in [&b"no.such"[..], b"", b"arenas\0page"] {
            let refused = perform(name, Mallctl::Number(None)).unwrap_err();
            assert_eq!(refused.as_str(), "ERR No such file or directory");
        }
        let flushed = perform(b"thread.tcache.flush", Mallctl::Deed).unwrap();
        assert_eq!(flushed, Outcome::Done);
        let refused = perform(b"thread.tcache.flush", Mallctl::Number(None)).unwrap_err();
        assert_eq!(refused.as_str(), "ERR Operation not permitted");
    }
}
