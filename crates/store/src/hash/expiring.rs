//! A hash table some of whose fields have an expiry. Owns the agreement of the table and the order in which
//! the fields go.
//!
//! # Invariant
//!
//! `order` has exactly the fields that have an expiry, each by its expiry and its address. So a field that
//! changes is taken out before, and put back after.

use crate::expire::SetExpire;
use crate::member::{Field, FieldAddr};
use crate::ordered::OrderedSet;
use crate::relocate::{Cursor, Mover, Relocate};
use crate::table::{Slot, Table};

#[derive(Default)]
struct Order(OrderedSet<(i64, FieldAddr)>);

impl Order {
    fn add(&mut self, field: &Field) {
        if let (Some(expire_ms), Some(address)) = (field.expire_ms(), field.address()) {
            self.0.insert((expire_ms, address));
        }
    }

    fn take_out(&mut self, field: &Field) {
        if let (Some(expire_ms), Some(address)) = (field.expire_ms(), field.address()) {
            let was = self.0.remove(&(expire_ms, address));
            debug_assert!(was, "a field with an expiry is in the order");
        }
    }
}

pub(super) struct Expiring {
    fields: Table<Field>,
    order: Order,
}

impl Relocate for Expiring {
    fn relocate_from(&mut self, cursor: Cursor, mover: &mut Mover<'_>) -> Cursor {
        let order = &mut self.order;
        self.fields.relocate_from(cursor, mover, |field, mover| {
            order.take_out(field);
            field.relocate(mover);
            order.add(field);
        })
    }
}

impl Expiring {
    /// `fields` have no expiries yet.
    pub fn new(fields: Table<Field>) -> Self {
        Expiring { fields, order: Order::default() }
    }

    pub fn fields(&self) -> &Table<Field> {
        &self.fields
    }

    /// The table of a hash that has no expiries any more.
    pub fn into_fields(self) -> Table<Field> {
        debug_assert!(self.order.0.is_empty());
        self.fields
    }

    pub fn soonest_ms(&self) -> Option<i64> {
        self.order.0.first().map(|(expire_ms, _)| *expire_ms)
    }

    /// How many fields expire before `before_ms`.
    pub fn due_len(&self, before_ms: i64) -> usize {
        self.order.0.iter().take_while(|(expire_ms, _)| *expire_ms < before_ms).count()
    }

    /// Sets a field; true if it is new.
    pub fn set(&mut self, name: &[u8], value: &[u8], expire: SetExpire) -> bool {
        match self.fields.slot(name) {
            Slot::Occupied(mut slot) => {
                let field = slot.element_mut();
                self.order.take_out(field);
                field.set_expire_ms(expire.resolve(field.expire_ms()));
                field.set_value(value);
                self.order.add(field);
                false
            }
            Slot::Vacant(slot) => {
                let field = slot.insert(Field::new(name, value, expire.resolve(None)));
                self.order.add(field);
                true
            }
        }
    }

    /// Sets or removes the expiry of a field; false when there is none of that name.
    pub fn set_expire_ms(&mut self, name: &[u8], expire_ms: Option<i64>) -> bool {
        let Some(field) = self.fields.find_mut(name) else { return false };
        self.order.take_out(field);
        field.set_expire_ms(expire_ms);
        self.order.add(field);
        true
    }

    pub fn remove(&mut self, name: &[u8]) -> bool {
        let Some(field) = self.fields.remove(name) else { return false };
        self.order.take_out(&field);
        true
    }

    /// Takes out the field that goes next, if it expires before `before_ms`, and shows its name.
    pub fn pop_due(&mut self, before_ms: i64, f: impl FnOnce(&[u8])) -> bool {
        let Some(&(expire_ms, address)) = self.order.0.first() else { return false };
        if expire_ms >= before_ms {
            return false;
        }
        self.order.0.pop_first();
        // SAFETY: the invariant: a field of the table has this address, and has not changed.
        let name = unsafe { address.name() };
        let hash = self.fields.hash(name);
        let field = self.fields.remove_with(hash, |field| field.address() == Some(address));
        f(field.expect("what is in the order is in the table").name());
        true
    }

    pub fn memory_bytes(&self) -> usize {
        size_of::<Order>() + self.fields.memory_bytes() + self.order.0.memory_bytes()
    }
}
