//! Owns what a command knows of its own call: by whom it was called, inside what, and how it therefore
//! sees the data. Every call has one of its own, a nested one too: nothing of it outlives the call.

use crate::clients::client::{Client, Kind};
use crate::data::view::View;
use crate::error::CommandError;

/// On whose word a command runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    Client,
    /// The link to our master: it is obeyed, and it alone says what has expired.
    Master,
    /// An append-only file that is replayed.
    File,
}

/// What the command is a part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inside {
    /// It stands by itself.
    Nothing,
    Exec,
    /// A script calls it, and answers for what it fails with.
    Script,
}

/// By whom and inside what a command is called. A nested call is made by [`Call::within`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    pub by: Caller,
    pub inside: Inside,
    /// The command has waited and runs again.
    pub again: bool,
    /// What its runs before took.
    pub ran_before_us: u64,
    /// Its reads leave the access clocks alone.
    pub no_touch: bool,
}

impl Call {
    /// The call of a command as the client has sent it.
    pub(crate) fn of(client: &Client, spare_pages: bool) -> Call {
        let by = match client.kind {
            Kind::Normal | Kind::Replica => Caller::Client,
            Kind::Master => Caller::Master,
            Kind::Loader => Caller::File,
        };
        Call {
            by,
            inside: Inside::Nothing,
            again: false,
            ran_before_us: 0,
            no_touch: client.no_touch || spare_pages,
        }
    }

    /// The call of a command that this one runs as a part of itself.
    pub(crate) fn within(self, inside: Inside) -> Call {
        Call { inside, again: false, ran_before_us: 0, ..self }
    }

    /// A master or a file speaks: what it says is done as it says it, and what has expired is there
    /// until it says DEL.
    pub fn is_applied(self) -> bool {
        self.by != Caller::Client
    }

    pub fn is_nested(self) -> bool {
        self.inside != Inside::Nothing
    }

    pub(crate) fn view(self, db: usize) -> View {
        View::new(db, self.is_applied(), !self.no_touch)
    }
}

/// The first error that a command, or one that it ran, has answered where no error belongs: on a
/// replication link or to a file. A box, because it is nearly always none.
pub(crate) type Unexpected = Option<Box<CommandError>>;

/// Whether and as what a command that ran travels to the file and the replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Travels {
    /// As received, if it has changed anything.
    IfChanged,
    /// As received, whatever it did (PUBLISH).
    Always,
    /// The handler has said what travels, or that nothing does. This stands.
    AsSaid,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clients::client::Peer;
    use crate::ids::ClientId;

    fn client(kind: Kind) -> Client {
        let mut client = Client::new(ClientId { id: 1, slot: 0 }, Peer::default(), 0, true);
        client.kind = kind;
        client
    }

    /// The flags of a call stood in the engine once, and what a nested call set was still set when
    /// the outer one went on.
    #[test]
    fn a_nested_call_is_a_fresh_one_of_the_same_caller() {
        let outer = Call { again: true, ran_before_us: 7, ..Call::of(&client(Kind::Master), true) };
        let inner = outer.within(Inside::Exec);
        assert!(inner.is_nested() && inner.is_applied() && inner.no_touch);
        assert_eq!((inner.again, inner.ran_before_us), (false, 0));
        assert!(!outer.is_nested() && outer.again);
    }

    #[test]
    fn only_who_applies_sees_what_has_expired() {
        for (kind, sees) in [
            (Kind::Normal, false),
            (Kind::Replica, false),
            (Kind::Master, true),
            (Kind::Loader, true),
        ] {
            let view = Call::of(&client(kind), false).view(3);
            assert_eq!((view.sees_expired, view.index()), (sees, 3), "{kind:?}");
            assert_eq!(view.in_db(5).sees_expired, sees, "{kind:?}");
        }
    }

    #[test]
    fn a_read_is_no_use_for_who_says_so_nor_beside_a_child() {
        let mut normal = client(Kind::Normal);
        assert!(Call::of(&normal, false).view(0).touches);
        assert!(!Call::of(&normal, true).view(0).touches);
        normal.no_touch = true;
        assert!(!Call::of(&normal, false).view(0).touches);
    }
}
