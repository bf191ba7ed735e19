//! Owns how handlers of one type reach their value: with the type checked, expiry looked at and one
//! look-up of the key.

use store::hash::Hash;
use store::list::List;
use store::set::Set;
use store::stream::Stream;
use store::value::Item;
use store::zset::ZSet;
use store::{DbSlot, Limits, Value, ValueMut, ValueRef};

use crate::Engine;
use crate::data::view::View;
use crate::error::CommandError;

macro_rules! readable {
    ($type:ident, $read:ident, $peek:ident) => {
        impl Engine {
            /// The value for a reader: `None` when there is no key, an error when it is of another type.
            pub(crate) fn $read(
                &mut self,
                db: View,
                key: &[u8],
            ) -> Result<Option<&$type>, CommandError> {
                match self.read(db, key).map(|entry| entry.value()) {
                    None => Ok(None),
                    Some(ValueRef::$type(value)) => Ok(Some(value)),
                    Some(_) => Err(CommandError::WrongType),
                }
            }

            /// The same without a trace in statistics and clocks.
            #[allow(dead_code)] // Not every type has a command that needs it.
            pub(crate) fn $peek(
                &mut self,
                db: View,
                key: &[u8],
            ) -> Result<Option<&$type>, CommandError> {
                match self.peek(db, key).map(|entry| entry.value()) {
                    None => Ok(None),
                    Some(ValueRef::$type(value)) => Ok(Some(value)),
                    Some(_) => Err(CommandError::WrongType),
                }
            }
        }
    };
}

macro_rules! typed {
    ($type:ident, $read:ident, $peek:ident, $write:ident, $create:ident) => {
        readable!($type, $read, $peek);

        impl Engine {
            /// The value for a writer, with the thresholds of its encodings.
            pub(crate) fn $write(
                &mut self,
                db: View,
                key: &[u8],
            ) -> Result<Option<(&mut $type, &Limits)>, CommandError> {
                let (slot, settings) = self.place(db, key, false);
                let DbSlot::Occupied(entry) = slot else { return Ok(None) };
                match entry.into_value_mut() {
                    ValueMut::$type(value) => Ok(Some((value, &settings.limits))),
                    _ => Err(CommandError::WrongType),
                }
            }

            /// The value for a writer, made by `create` where there is no key.
            pub(crate) fn $create(
                &mut self,
                db: View,
                key: &[u8],
                create: impl FnOnce(&Limits) -> $type,
            ) -> Result<(&mut $type, &Limits), CommandError> {
                let (slot, settings) = self.place(db, key, true);
                let limits = &settings.limits;
                let entry = match slot {
                    DbSlot::Occupied(entry) => entry,
                    DbSlot::Vacant(vacant) => {
                        vacant.insert(Value::$type(create(limits).into()), None)
                    }
                };
                match entry.into_value_mut() {
                    ValueMut::$type(value) => Ok((value, limits)),
                    _ => Err(CommandError::WrongType),
                }
            }
        }
    };
}

// How a hash is written is the business of `fields`.
readable!(Hash, read_hash, peek_hash);
typed!(List, read_list, peek_list, write_list, create_list);
typed!(Set, read_set, peek_set, write_set, create_set);
typed!(Stream, read_stream, peek_stream, write_stream, create_stream);
typed!(ZSet, read_zset, peek_zset, write_zset, create_zset);

/// An element as a bulk: integers are printed only here.
pub(crate) fn reply_item(out: &mut protocol::ReplyBuf, item: Item<'_>) {
    match item {
        Item::Int(n) => out.bulk_int(n),
        Item::Bytes(bytes) => out.bulk(bytes),
    }
}
