//! Owns the names of what outlives a borrow.

/// Names a client for as long as it is connected, and never another one: `slot` is where it
/// stands, `id` is the number that CLIENT ID answers and is used only once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientId {
    pub id: u64,
    pub slot: u32,
}
