//! What a script can set of `cjson`.

use crate::script::raise::Raise;

pub(super) type Outcome<T> = Result<T, Raise>;

/// What becomes of numbers that JSON has no spelling for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Invalid {
    Refused,
    Spelled,
    Null,
}

#[derive(Clone, Copy)]
pub(super) struct Options {
    pub sparse_convert: bool,
    pub sparse_ratio: i32,
    pub sparse_safe: i32,
    pub encode_max_depth: i32,
    pub decode_max_depth: i32,
    pub number_precision: i32,
    pub keep_buffer: bool,
    pub encode_invalid: Invalid,
    pub decode_invalid: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            sparse_convert: false,
            sparse_ratio: 2,
            sparse_safe: 10,
            encode_max_depth: 1000,
            decode_max_depth: 1000,
            number_precision: 14,
            keep_buffer: true,
            encode_invalid: Invalid::Refused,
            decode_invalid: true,
        }
    }
}
