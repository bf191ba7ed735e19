//! A decoder's panic is an error, not the end of the process. Nothing here is known to panic; but what
//! reads a peer's bytes is to cost no more than these bytes, whatever we have overlooked.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

/// Whether a panic of this thread, now, would be caught: the process's hook ends it otherwise.
pub fn is_contained() -> bool {
    DEPTH.with(Cell::get) > 0
}

/// Runs what builds a value of its own out of foreign bytes. `Err` has the words of its panic; what it was
/// building is gone, so `f` must change nothing that outlives it.
pub fn contained<T>(f: impl FnOnce() -> T) -> Result<T, String> {
    DEPTH.with(|depth| depth.set(depth.get() + 1));
    let result = catch_unwind(AssertUnwindSafe(f));
    DEPTH.with(|depth| depth.set(depth.get() - 1));
    result.map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic").to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_inside_is_an_error_outside() {
        assert_eq!(contained(|| 7), Ok(7));
        let inside = contained(|| {
            assert!(is_contained());
            contained(|| panic!("deep {}", 2)).map(|()| is_contained())
        });
        assert_eq!(inside, Ok(Err("deep 2".to_owned())));
        assert_eq!(contained(|| panic!("plain")), Err::<(), _>("plain".to_owned()));
        assert!(!is_contained());
    }
}
