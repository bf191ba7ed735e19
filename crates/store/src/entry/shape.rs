//! The arithmetic of an entry's allocation: what lies where, and how large it is.
//!
//! Owns reads and writes of the head. All functions take the base of a live entry; see the head of
//! `entry.rs` for the layout.

use std::alloc::Layout;
use std::ptr::NonNull;

use crate::size_class;
use crate::value::Value;

pub(super) const ALIGN: usize = 8;
/// Bytes that the length of a text takes before it.
pub(super) const TEXT_LEN: usize = size_of::<u16>();

const META: usize = size_of::<u32>();
const EXPIRE: usize = size_of::<i64>();
/// First byte of a key's length: the length itself up to this, else the marks below.
const SHORT_KEY_MAX: usize = 252;
const LEN_IS_U16: u8 = 253;
const LEN_IS_U32: u8 = 254;

const KIND_MASK: u32 = 0b11;
const EXPIRES: u32 = 1 << 2;
const EDITED: u32 = 1 << 3;
const SLACK_SHIFT: u32 = 4;
/// Most that the head can say.
const MAX_SLACK: u32 = 0b111;
const SLACK_MASK: u32 = MAX_SLACK << SLACK_SHIFT;
/// An allocation may be above its need by this many classes, or by this many bytes where classes are close
/// together: beyond, shrinking gives memory back.
const SLACK_CLASSES: u32 = 3;
const SLACK_BYTES: usize = 48;
const CLOCK_SHIFT: u32 = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    Int = 0,
    Text = 1,
    Value = 2,
}

/// Everything that decides the layout of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) key_len: usize,
    pub(super) expires: bool,
    pub(super) kind: Kind,
    /// Of a text; else 0.
    pub(super) text_len: usize,
}

pub(super) struct KeyPlace {
    pub(super) at: usize,
    pub(super) len: usize,
}

pub(super) fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, ALIGN).expect("keys are far below the address space")
}

#[inline]
fn key_len_size(key_len: usize) -> usize {
    if key_len <= SHORT_KEY_MAX {
        1
    } else if key_len <= usize::from(u16::MAX) {
        3
    } else {
        5
    }
}

impl Shape {
    #[inline]
    pub(super) fn read(base: NonNull<u8>) -> Self {
        let meta = read_meta(base);
        let key = read_key(base);
        let kind = match meta & KIND_MASK {
            0 => Kind::Int,
            1 => Kind::Text,
            _ => Kind::Value,
        };
        let mut shape = Shape { key_len: key.len, expires: meta & EXPIRES != 0, kind, text_len: 0 };
        if kind == Kind::Text {
            // SAFETY: a text begins with its length.
            let len = unsafe { base.add(key.at + key.len).cast::<u16>().read_unaligned() };
            shape.text_len = usize::from(len);
        }
        shape
    }

    #[inline]
    pub(super) fn key_at(self) -> usize {
        META + key_len_size(self.key_len) + if self.expires { EXPIRE } else { 0 }
    }

    #[inline]
    pub(super) fn payload_at(self) -> usize {
        let end = self.key_at() + self.key_len;
        match self.kind {
            Kind::Int | Kind::Text => end,
            Kind::Value => end.next_multiple_of(ALIGN),
        }
    }

    #[inline]
    pub(super) fn payload_size(self) -> usize {
        match self.kind {
            Kind::Int => size_of::<i64>(),
            Kind::Text => TEXT_LEN + self.text_len,
            Kind::Value => size_of::<Value>(),
        }
    }

    #[inline]
    fn size(self) -> usize {
        self.payload_at() + self.payload_size()
    }

    /// Bytes of the allocation, `slack` classes above the least.
    #[inline]
    pub(super) fn allocated(self, slack: u32) -> usize {
        size_class::above(self.size(), slack)
    }

    /// The slack with which this shape may lie in `allocated` bytes.
    #[inline]
    pub(super) fn slack_in(self, allocated: usize) -> Option<u32> {
        let slack = size_class::distance(self.size(), allocated)?;
        let is_close = slack <= SLACK_CLASSES
            || slack <= MAX_SLACK && allocated - size_class::round_up(self.size()) <= SLACK_BYTES;
        is_close.then_some(slack)
    }

    /// Writes all before the key. `flags` are those of [`clock_and_flags`] or [`with_clock`].
    ///
    /// # Safety
    /// The allocation is for this shape with this slack. Key and payload are the caller's duty.
    pub(super) unsafe fn write_head(
        self,
        base: NonNull<u8>,
        slack: u32,
        flags: u32,
        expire_ms: Option<i64>,
    ) {
        debug_assert_eq!(self.expires, expire_ms.is_some());
        let expires = if self.expires { EXPIRES } else { 0 };
        write_meta(base, flags | expires | self.kind as u32 | slack << SLACK_SHIFT);
        // SAFETY: within the head.
        unsafe {
            let at = base.add(META);
            match key_len_size(self.key_len) {
                1 => at.write(self.key_len as u8),
                3 => {
                    at.write(LEN_IS_U16);
                    at.add(1).cast::<u16>().write_unaligned(self.key_len as u16);
                }
                _ => {
                    let len = u32::try_from(self.key_len).expect("keys below 2^32 bytes");
                    at.write(LEN_IS_U32);
                    at.add(1).cast::<u32>().write_unaligned(len);
                }
            }
            if let Some(expire_ms) = expire_ms {
                at.add(key_len_size(self.key_len)).cast::<i64>().write_unaligned(expire_ms);
            }
        }
    }

    /// # Safety
    /// The allocation is for this shape, and its payload a text.
    #[inline]
    pub(super) unsafe fn write_text_len(self, base: NonNull<u8>) {
        // SAFETY: the caller's promise.
        unsafe { base.add(self.payload_at()).cast::<u16>().write_unaligned(self.text_len as u16) }
    }

    /// Moves key and payload within the allocation to where `new` has them; the head is not
    /// touched.
    ///
    /// # Safety
    /// `new` differs in `expires` alone, and both fit the allocation.
    pub(super) unsafe fn shift_to(self, new: Shape, base: NonNull<u8>) {
        // SAFETY: both regions lie in the allocation in both shapes.
        unsafe {
            let move_key = || base.add(self.key_at()).copy_to(base.add(new.key_at()), self.key_len);
            let move_payload = || {
                let to = base.add(new.payload_at());
                base.add(self.payload_at()).copy_to(to, self.payload_size());
            };
            // What is in the other's way goes first.
            if new.expires {
                move_payload();
                move_key();
            } else {
                move_key();
                move_payload();
            }
        }
    }
}

#[inline]
fn read_meta(base: NonNull<u8>) -> u32 {
    // SAFETY: an entry begins with its meta word, aligned.
    unsafe { base.cast::<u32>().read() }
}

#[inline]
fn write_meta(base: NonNull<u8>, meta: u32) {
    // SAFETY: an entry begins with its meta word, aligned, to which no reference is ever made.
    unsafe { base.cast::<u32>().write(meta) }
}

#[inline]
pub(super) fn read_key(base: NonNull<u8>) -> KeyPlace {
    let expire = if read_meta(base) & EXPIRES != 0 { EXPIRE } else { 0 };
    // SAFETY: the length of the key follows the meta word.
    unsafe {
        let at = base.add(META);
        match at.read() {
            LEN_IS_U16 => {
                let len = at.add(1).cast::<u16>().read_unaligned();
                KeyPlace { at: META + 3 + expire, len: usize::from(len) }
            }
            LEN_IS_U32 => {
                let len = at.add(1).cast::<u32>().read_unaligned();
                KeyPlace { at: META + 5 + expire, len: len as usize }
            }
            len => KeyPlace { at: META + 1 + expire, len: usize::from(len) },
        }
    }
}

#[inline]
pub(super) fn read_expire_ms(base: NonNull<u8>) -> Option<i64> {
    if read_meta(base) & EXPIRES == 0 {
        return None;
    }
    let key = read_key(base);
    // SAFETY: the expiry lies before the key.
    Some(unsafe { base.add(key.at - EXPIRE).cast::<i64>().read_unaligned() })
}

/// Whether the payload is a [`Value`].
#[inline]
pub(super) fn has_value(base: NonNull<u8>) -> bool {
    read_meta(base) & KIND_MASK == Kind::Value as u32
}

#[inline]
pub(super) fn slack(base: NonNull<u8>) -> u32 {
    (read_meta(base) & SLACK_MASK) >> SLACK_SHIFT
}

#[inline]
pub(super) fn read_clock(base: NonNull<u8>) -> u32 {
    read_meta(base) >> CLOCK_SHIFT
}

#[inline]
pub(super) fn write_clock(base: NonNull<u8>, clock: u32) {
    let flags = read_meta(base) & ((1 << CLOCK_SHIFT) - 1);
    write_meta(base, flags | clock << CLOCK_SHIFT);
}

/// The flags of an entry with this clock that was not edited.
#[inline]
pub(super) fn with_clock(clock: u32) -> u32 {
    clock << CLOCK_SHIFT
}

/// What of the meta word does not depend on the shape.
#[inline]
pub(super) fn clock_and_flags(base: NonNull<u8>) -> u32 {
    read_meta(base) & !(KIND_MASK | EXPIRES | SLACK_MASK)
}

#[inline]
pub(super) fn is_edited(base: NonNull<u8>) -> bool {
    read_meta(base) & EDITED != 0
}

#[inline]
pub(super) fn set_edited(base: NonNull<u8>) {
    write_meta(base, read_meta(base) | EDITED);
}
