//! A key of a database and all that belongs to it, in one allocation behind a thin pointer.
//!
//! Owns the layout of that allocation and every change of it. Must not know the table it is in,
//! nor the index of expiries: who moves an entry tells them.
//!
//! # Layout
//!
//! | bytes     | what                                                                            |
//! |-----------|---------------------------------------------------------------------------------|
//! | 1         | kind of the payload (2 bits), has an expiry, text was edited, slack (3 bits)    |
//! | 3         | the LRU or LFU clock, as Redis counts it                                        |
//! | 1, 3 or 5 | length of the key                                                               |
//! | 0 or 8    | expiry in unix milliseconds                                                     |
//! | ..        | the key                                                                         |
//! | ..        | payload: an i64; or a u16 and that many bytes of text; or, aligned, a [`Value`] |
//!
//! The allocation is the size class of all that, plus `slack` classes: a text may become shorter
//! in place and grow again. Nothing but the head says how large the allocation is.

use std::alloc::{alloc, dealloc, handle_alloc_error};
use std::fmt;
use std::ptr::{self, NonNull};

use bytes::Bytes;

use crate::block;
use crate::element::{Element, Tagged};
use crate::hash::Hash;
use crate::relocate::Mover;
use crate::str::{Str, parse_int};
use crate::value::{Encoding, Type, Value, ValueMut, ValueRef};

mod shape;
#[cfg(test)]
mod tests;

use shape::{Kind, Shape};

/// Key and text together may have this many bytes for the text to live in the entry.
const EMBED_MAX_BYTES: usize = 1024;
const CLOCK_MASK: u32 = 0xff_ffff;

/// An entry that owns itself; a database hands it out by reference, and whole when it is removed.
///
/// Not `Sync`: the clock is written through shared references.
#[repr(transparent)]
pub struct Entry(Tagged);

/// An entry that was taken out of its database: may be dropped by another thread, or be given to
/// another database.
pub type OwnedEntry = Entry;

// SAFETY: the allocation and the value in it have no other owner.
unsafe impl Send for Entry {}
const _: fn() = || {
    fn is_send<T: Send>() {}
    is_send::<Value>();
};
const _: () = assert!(align_of::<Value>() <= shape::ALIGN);

/// What to put into an entry.
#[derive(Debug)]
pub enum NewValue<'a> {
    /// A string; kept as an integer when it is the spelling of one.
    Bytes(&'a [u8]),
    /// A string that stays one, whatever it spells: what was computed as a text is told as one.
    Text(&'a [u8]),
    /// The same in a buffer of its own, which is kept when it is large.
    OwnText(Vec<u8>),
    /// A string already in a buffer of its own, which is kept when it is large.
    Shared(Bytes),
    /// The decimal text of a number.
    Int(i64),
    Value(Value),
}

impl<'a> From<&'a [u8]> for NewValue<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        NewValue::Bytes(bytes)
    }
}

impl<'a, const N: usize> From<&'a [u8; N]> for NewValue<'a> {
    fn from(bytes: &'a [u8; N]) -> Self {
        NewValue::Bytes(bytes)
    }
}

impl From<Bytes> for NewValue<'_> {
    fn from(bytes: Bytes) -> Self {
        NewValue::Shared(bytes)
    }
}

impl From<i64> for NewValue<'_> {
    fn from(number: i64) -> Self {
        NewValue::Int(number)
    }
}

impl From<Value> for NewValue<'_> {
    fn from(value: Value) -> Self {
        NewValue::Value(value)
    }
}

/// A value in the form that an entry keeps it in.
enum Payload<'a> {
    Int(i64),
    Text(&'a [u8]),
    Value(Value),
}

impl<'a> Payload<'a> {
    /// Decides how a new value is kept, and lends its parts to `then`.
    #[inline]
    fn with<R>(key_len: usize, value: NewValue<'_>, then: impl FnOnce(Payload<'_>) -> R) -> R {
        match value {
            NewValue::Bytes(text) => then(Payload::of_text(key_len, text)),
            NewValue::Text(text) => then(Payload::of_any_text(key_len, text)),
            NewValue::OwnText(text) if embeds(key_len, text.len()) => then(Payload::Text(&text)),
            NewValue::OwnText(text) => then(Payload::Value(Value::Str(Str::Owned(text)))),
            NewValue::Int(number) => then(Payload::Int(number)),
            NewValue::Value(Value::Str(Str::Int(number))) => then(Payload::Int(number)),
            NewValue::Value(Value::Str(Str::Owned(text))) if embeds(key_len, text.len()) => {
                then(Payload::of_text(key_len, &text))
            }
            NewValue::Shared(text) if embeds(key_len, text.len()) => {
                then(Payload::of_text(key_len, &text))
            }
            NewValue::Shared(text) => then(Payload::Value(Value::Str(Str::shared(text)))),
            NewValue::Value(value) => then(Payload::Value(value)),
        }
    }

    #[inline]
    fn of_text(key_len: usize, text: &'a [u8]) -> Self {
        match parse_int(text) {
            Some(number) => Payload::Int(number),
            None => Payload::of_any_text(key_len, text),
        }
    }

    #[inline]
    fn of_any_text(key_len: usize, text: &'a [u8]) -> Self {
        match embeds(key_len, text.len()) {
            true => Payload::Text(text),
            false => Payload::Value(Value::Str(Str::Owned(text.to_vec()))),
        }
    }

    #[inline]
    fn kind(&self) -> (Kind, usize) {
        match self {
            Payload::Int(_) => (Kind::Int, 0),
            Payload::Text(text) => (Kind::Text, text.len()),
            Payload::Value(_) => (Kind::Value, 0),
        }
    }
}

#[inline]
fn embeds(key_len: usize, text_len: usize) -> bool {
    key_len + text_len <= EMBED_MAX_BYTES
}

// SAFETY: transparent around the word; nothing changes the key of an entry.
unsafe impl Element for Entry {
    #[inline]
    fn key(&self) -> &[u8] {
        Entry::key(self)
    }
}

impl Entry {
    /// Keys have less than 2^32 bytes; the protocol's limit is far below.
    pub fn new<'v>(key: &[u8], value: impl Into<NewValue<'v>>, expire_ms: Option<i64>) -> Self {
        Payload::with(key.len(), value.into(), |payload| {
            let (kind, text_len) = payload.kind();
            let shape = Shape { key_len: key.len(), expires: expire_ms.is_some(), kind, text_len };
            let entry = Entry::allocate(shape);
            // SAFETY: the allocation is of this shape, and nobody else's.
            unsafe {
                shape.write_head(entry.base(), 0, 0, expire_ms);
                let at = entry.base().add(shape.key_at()).as_ptr();
                at.copy_from_nonoverlapping(key.as_ptr(), key.len());
                write_payload(entry.base(), shape, payload);
            }
            entry
        })
    }

    #[inline]
    pub fn key(&self) -> &[u8] {
        // SAFETY: this entry is there, and its key lives as long as it.
        unsafe { Entry::key_at(self.base()) }
    }

    /// The key of an entry by where it is.
    ///
    /// # Safety
    /// An entry is there, as long as the key is borrowed.
    pub(crate) unsafe fn key_at<'a>(base: NonNull<u8>) -> &'a [u8] {
        let place = shape::read_key(base);
        // SAFETY: the head says where the key is.
        unsafe { std::slice::from_raw_parts(base.add(place.at).as_ptr(), place.len) }
    }

    pub fn value(&self) -> ValueRef<'_> {
        let shape = self.shape();
        // SAFETY: the shape says what lies where, and it lives as long as the entry.
        unsafe {
            let at = self.base().add(shape.payload_at());
            match shape.kind {
                Kind::Int => ValueRef::Int(at.cast::<i64>().read_unaligned()),
                Kind::Text => {
                    let text = at.add(shape::TEXT_LEN).as_ptr();
                    ValueRef::Str(std::slice::from_raw_parts(text, shape.text_len))
                }
                Kind::Value => at.cast::<Value>().as_ref().as_ref(),
            }
        }
    }

    /// The value, unless it is a number or a text that lives in the entry: of these nothing but the head is read.
    #[inline]
    pub(crate) fn value_if_apart(&self) -> Option<&Value> {
        if !shape::has_value(self.base()) {
            return None;
        }
        // SAFETY: the head says that a value is there; it is borrowed with the entry.
        Some(unsafe { self.base().add(self.shape().payload_at()).cast::<Value>().as_ref() })
    }

    /// The value for changing it in place; what only the entry can do to a string is done by
    /// [`text_mut`](Entry::text_mut) and its like.
    pub fn value_mut(&mut self) -> ValueMut<'_> {
        match self.value_field() {
            Some(value) => value.as_mut(),
            None => ValueMut::EmbeddedStr,
        }
    }

    /// The hash for changing it. The index of expiring fields is the caller's duty.
    pub(crate) fn hash_mut(&mut self) -> Option<&mut Hash> {
        match self.value_field() {
            Some(Value::Hash(hash)) => Some(hash),
            _ => None,
        }
    }

    pub fn value_type(&self) -> Type {
        self.value().value_type()
    }

    /// As OBJECT ENCODING: a string that was appended to is `raw` for that alone.
    pub fn encoding(&self) -> Encoding {
        match self.value().encoding() {
            Encoding::Embstr if shape::is_edited(self.base()) => Encoding::Raw,
            encoding => encoding,
        }
    }

    #[inline]
    pub fn expire_ms(&self) -> Option<i64> {
        shape::read_expire_ms(self.base())
    }

    /// Whether the entry should be treated as gone at `now_ms`. What to do about it is the
    /// caller's business: a replica waits for its master.
    #[inline]
    pub fn is_expired(&self, now_ms: i64) -> bool {
        self.expire_ms().is_some_and(|expire_ms| now_ms > expire_ms)
    }

    /// The 24 bits of the LRU or LFU clock.
    #[inline]
    pub fn clock(&self) -> u32 {
        shape::read_clock(self.base())
    }

    /// Through `&self`, since a read moves the clock as well.
    #[inline]
    pub fn touch(&self, clock: u32) {
        shape::write_clock(self.base(), clock & CLOCK_MASK);
    }

    /// Allocations that freeing this takes, roughly; large ones are better freed elsewhere.
    pub fn free_effort(&self) -> usize {
        self.value().free_effort()
    }

    /// Bytes of the allocation of the entry itself.
    pub fn allocated_bytes(&self) -> usize {
        self.shape().allocated(shape::slack(self.base()))
    }

    /// Bytes of entry and value; collections are estimated from `samples` of their elements, or
    /// counted through when that is 0.
    pub fn memory_usage(&self, samples: usize) -> usize {
        let value = match self.shape().kind {
            Kind::Value => self.value().memory_usage(samples),
            Kind::Int | Kind::Text => 0,
        };
        self.allocated_bytes() + value
    }

    /// Moves the entry itself if it should; the value's own blocks stay.
    pub(crate) fn relocate(&mut self, mover: &mut Mover<'_>) {
        let layout = shape::layout(self.allocated_bytes());
        // SAFETY: allocated with this layout, and the entry's alone; who else knows where it is follows.
        if let Some(moved) = unsafe { mover.block(self.base(), layout) } {
            self.0.set_ptr(moved);
        }
    }

    /// The value for moving its blocks. Nobody is told what becomes of it: it may not be changed otherwise.
    pub(crate) fn value_to_relocate(&mut self) -> Option<&mut Value> {
        self.value_field()
    }

    /// The same value, expiry and clock under another key; collections are not copied.
    pub fn with_key(self, key: &[u8]) -> Entry {
        let old = self.shape();
        if old.kind == Kind::Text && !embeds(key.len(), old.text_len) {
            let mut this = self;
            this.text_to_value(0);
            return this.with_key(key);
        }
        let new = Shape { key_len: key.len(), ..old };
        let entry = Entry::allocate(new);
        // SAFETY: both allocations are of their shapes; the payload moves over as bytes, and the
        // old allocation is freed without dropping it.
        unsafe {
            let (from, to) = (self.base(), entry.base());
            new.write_head(to, 0, shape::clock_and_flags(from), self.expire_ms());
            to.add(new.key_at()).copy_from_nonoverlapping(NonNull::from_ref(key).cast(), key.len());
            from.add(old.payload_at())
                .copy_to_nonoverlapping(to.add(new.payload_at()), new.payload_size());
            self.free_allocation();
        }
        entry
    }

    /// Puts another value in, and the expiry; returns the value that was, when it was not one that
    /// lives in the entry.
    pub(crate) fn replace(&mut self, value: NewValue<'_>, expire_ms: Option<i64>) -> Option<Value> {
        let key_len = shape::read_key(self.base()).len;
        Payload::with(key_len, value, |payload| self.rewrite(payload, expire_ms))
    }

    /// Changes or removes the expiry.
    pub(crate) fn set_expire_ms(&mut self, expire_ms: Option<i64>) {
        let old = self.shape();
        let new = Shape { expires: expire_ms.is_some(), ..old };
        let flags = shape::clock_and_flags(self.base());
        if let Some(slack) = new.slack_in(self.allocated_bytes()) {
            // SAFETY: both shapes fit the allocation.
            unsafe {
                old.shift_to(new, self.base());
                new.write_head(self.base(), slack, flags, expire_ms);
            }
            return;
        }
        let fresh = Entry::allocate(new);
        // SAFETY: key and payload move over as bytes; the old allocation is freed without
        // dropping the payload.
        unsafe {
            let (from, to) = (self.base(), fresh.base());
            new.write_head(to, 0, flags, expire_ms);
            from.add(old.key_at()).copy_to_nonoverlapping(to.add(new.key_at()), old.key_len);
            from.add(old.payload_at())
                .copy_to_nonoverlapping(to.add(new.payload_at()), new.payload_size());
            self.move_to(fresh);
        }
    }

    /// The number, if that is how the value is kept.
    #[inline]
    pub fn int(&self) -> Option<i64> {
        match self.value() {
            ValueRef::Int(number) => Some(number),
            _ => None,
        }
    }

    /// Appends to a string; returns its new length.
    ///
    /// # Panics
    /// When the value is not a string, as all text methods.
    pub(crate) fn append(&mut self, tail: &[u8]) -> usize {
        if let Some(Value::Str(text)) = self.value_field() {
            let len = text.append(tail);
            shape::set_edited(self.base());
            return len;
        }
        let len = match self.value() {
            ValueRef::Int(number) => itoa::Buffer::new().format(number).len(),
            ValueRef::Str(text) => text.len(),
            _ => panic!("the value is a string"),
        };
        self.text_mut(len + tail.len())[len..].copy_from_slice(tail);
        len + tail.len()
    }

    /// The bytes of a string for changing them, made longer with zeros to be at least `min_len`.
    pub(crate) fn text_mut(&mut self, min_len: usize) -> &mut [u8] {
        if let Some(number) = self.int() {
            let mut text = itoa::Buffer::new();
            let expire_ms = self.expire_ms();
            let text = text.format(number).as_bytes();
            let key_len = shape::read_key(self.base()).len;
            if embeds(key_len, text.len()) {
                self.rewrite(Payload::Text(text), expire_ms);
            } else {
                self.rewrite(Payload::Value(Value::Str(Str::Owned(text.to_vec()))), expire_ms);
            }
        }
        let shape = self.shape();
        if shape.kind == Kind::Text {
            if embeds(shape.key_len, min_len) {
                return self.embedded_text(shape, min_len);
            }
            self.text_to_value(min_len);
        }
        shape::set_edited(self.base());
        let Some(Value::Str(text)) = self.value_field() else { panic!("the value is a string") };
        if text.len() < min_len {
            text.set_range(min_len, b"");
        }
        text.make_owned()
    }

    /// The bytes of a string in an allocation of their own.
    pub(crate) fn bytes_mut(&mut self) -> &mut Vec<u8> {
        match self.shape().kind {
            Kind::Value => {}
            Kind::Text => self.text_to_value(0),
            Kind::Int => {
                self.text_mut(0);
                self.text_to_value(0);
            }
        }
        shape::set_edited(self.base());
        let Some(Value::Str(text)) = self.value_field() else { panic!("the value is a string") };
        text.make_owned()
    }

    /// [`text_mut`](Entry::text_mut) where the text is and stays in the entry.
    fn embedded_text(&mut self, old: Shape, min_len: usize) -> &mut [u8] {
        let new = Shape { text_len: old.text_len.max(min_len), ..old };
        let allocated = self.allocated_bytes();
        let slack = match new.slack_in(allocated) {
            Some(slack) => slack,
            None => {
                let (old, new) = (shape::layout(allocated), shape::layout(new.allocated(0)));
                // SAFETY: allocated with this layout; the content moves along as bytes.
                let base = unsafe { block::reallocate(self.base(), old, new) };
                self.0.set_ptr(base);
                0
            }
        };
        let base = self.base();
        let (flags, expire_ms) = (shape::clock_and_flags(base), self.expire_ms());
        // SAFETY: the allocation fits the new shape, which differs in the text's length alone.
        unsafe {
            new.write_head(base, slack, flags, expire_ms);
            shape::set_edited(base);
            new.write_text_len(base);
            let text = base.add(new.payload_at() + shape::TEXT_LEN).as_ptr();
            text.add(old.text_len).write_bytes(0, new.text_len - old.text_len);
            std::slice::from_raw_parts_mut(text, new.text_len)
        }
    }

    /// Gives a text that lives in the entry an allocation of its own, with room for `capacity`.
    fn text_to_value(&mut self, capacity: usize) {
        let ValueRef::Str(text) = self.value() else { unreachable!("only called for texts") };
        let mut owned = Vec::with_capacity(capacity.max(text.len()));
        owned.extend_from_slice(text);
        let edited = shape::is_edited(self.base());
        let expire_ms = self.expire_ms();
        self.rewrite(Payload::Value(Value::Str(Str::Owned(owned))), expire_ms);
        if edited {
            shape::set_edited(self.base());
        }
    }

    /// Writes payload and expiry anew, in place when the allocation is of about the right size.
    fn rewrite(&mut self, payload: Payload<'_>, expire_ms: Option<i64>) -> Option<Value> {
        let old = self.shape();
        let (kind, text_len) = payload.kind();
        let new = Shape { key_len: old.key_len, expires: expire_ms.is_some(), kind, text_len };
        let slack = shape::slack(self.base());
        let in_place = match new == old {
            true => Some(slack),
            false => new.slack_in(old.allocated(slack)),
        };
        let fresh = if in_place.is_none() { Some(Entry::allocate(new)) } else { None };
        let clock = self.clock();
        // SAFETY: the value is read out once, and overwritten or left behind below, with nothing
        // in between that could panic. Shapes fit their allocations.
        unsafe {
            let taken = (old.kind == Kind::Value)
                .then(|| self.base().add(old.payload_at()).cast::<Value>().read());
            let base = fresh.as_ref().map_or(self.base(), Entry::base);
            let key = self.base().add(old.key_at());
            if fresh.is_some() || old.key_at() != new.key_at() {
                key.copy_to(base.add(new.key_at()), old.key_len);
            }
            new.write_head(base, in_place.unwrap_or(0), shape::with_clock(clock), expire_ms);
            write_payload(base, new, payload);
            if let Some(fresh) = fresh {
                self.move_to(fresh);
            }
            taken
        }
    }

    fn value_field(&mut self) -> Option<&mut Value> {
        let shape = self.shape();
        // SAFETY: the shape says that a value is there; it is borrowed with the entry.
        (shape.kind == Kind::Value)
            .then(|| unsafe { self.base().add(shape.payload_at()).cast::<Value>().as_mut() })
    }

    /// Asks the CPU for the first line of the entry, for walks that know which come next.
    #[inline]
    pub fn prefetch(&self) {
        crate::table::prefetch(self.base().as_ptr());
    }

    #[inline]
    pub(crate) fn base(&self) -> NonNull<u8> {
        self.0.ptr()
    }

    #[inline]
    fn shape(&self) -> Shape {
        Shape::read(self.base())
    }

    /// Memory for an entry of this shape, not yet written.
    fn allocate(shape: Shape) -> Entry {
        let layout = shape::layout(shape.allocated(0));
        // SAFETY: the size is not zero.
        let Some(base) = NonNull::new(unsafe { alloc(layout) }) else { handle_alloc_error(layout) };
        Entry(Tagged::new(base))
    }

    /// Frees the allocation and takes over that of `fresh`, in the same place of the table.
    ///
    /// # Safety
    /// The payload has moved out, and `fresh` is written.
    unsafe fn move_to(&mut self, fresh: Entry) {
        let base = fresh.base();
        std::mem::forget(fresh);
        let layout = shape::layout(self.allocated_bytes());
        // SAFETY: allocated with this layout, and not reached any more.
        unsafe { dealloc(self.base().as_ptr(), layout) };
        self.0.set_ptr(base);
    }

    /// # Safety
    /// The payload has moved out.
    unsafe fn free_allocation(self) {
        let layout = shape::layout(self.allocated_bytes());
        // SAFETY: allocated with this layout, and forgotten next.
        unsafe { dealloc(self.base().as_ptr(), layout) };
        std::mem::forget(self);
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let layout = shape::layout(self.allocated_bytes());
        if let Some(value) = self.value_field() {
            // SAFETY: the value is dropped once, with its entry.
            unsafe { ptr::drop_in_place(value) };
        }
        // SAFETY: allocated with this layout, and not reached any more.
        unsafe { dealloc(self.base().as_ptr(), layout) };
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("key", &self.key().escape_ascii().to_string())
            .field("value", &self.value())
            .field("expire_ms", &self.expire_ms())
            .finish()
    }
}

/// # Safety
/// `base` is an allocation for `shape`, and what was in the payload's place is not needed.
unsafe fn write_payload(base: NonNull<u8>, shape: Shape, payload: Payload<'_>) {
    // SAFETY: the caller's promise.
    unsafe {
        let at = base.add(shape.payload_at());
        match payload {
            Payload::Int(number) => at.cast::<i64>().write_unaligned(number),
            Payload::Text(text) => {
                shape.write_text_len(base);
                let to = at.add(shape::TEXT_LEN).as_ptr();
                to.copy_from_nonoverlapping(text.as_ptr(), text.len());
            }
            Payload::Value(value) => at.cast::<Value>().write(value),
        }
    }
}
