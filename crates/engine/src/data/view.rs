//! Owns how a command sees its database: methods that reach keys take a view in place of a number.

/// A database as one command sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    db: u32,
    /// A key whose time is up is there still.
    pub(crate) sees_expired: bool,
    /// To read a key is to use it.
    pub(crate) touches: bool,
}

impl View {
    pub(crate) fn new(db: usize, sees_expired: bool, touches: bool) -> View {
        View { db: db as u32, sees_expired, touches }
    }

    /// A database as the server itself sees it, when no command asks.
    pub(crate) fn of_server(db: usize) -> View {
        View::new(db, false, false)
    }

    /// The same database for who reads keys to use them.
    pub(crate) fn touching(self, touches: bool) -> View {
        View { touches, ..self }
    }

    pub fn index(self) -> usize {
        self.db as usize
    }

    /// Another database in the same way.
    pub(crate) fn in_db(self, db: usize) -> View {
        View { db: db as u32, ..self }
    }
}
