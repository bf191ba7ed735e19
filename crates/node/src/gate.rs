//! The gate of replies: what a client is told may leave when it is as safe as was promised.
//!
//! Everything that waits stands in one place: the replies to writes (`appendfsync always` waits for the
//! disk, `everysec` and `no` for the kernel), WAIT and WAITAOF. Each waits for one or two
//! [`Watermark`]s to pass a [`Point`]. What the kernel and the disk have of the file's bytes only goes up;
//! the others are told anew whenever they are asked for. Must not know clients' buffers,
//! files or replicas: it is told how far they are, and says who may go on.
//!
//! Invariants, held by the tests below:
//! - Nothing is let out before every watermark that it needs has passed its point.
//! - It is let out as soon as they have, whatever came after it.
//! - The bytes of one client leave in their order.

use std::collections::{BTreeMap, VecDeque};

use engine::ClientId;

/// Where a write stands: the end of what it added to the append-only file and to the stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Point {
    /// Bytes that have left by the door for the append-only file since the start.
    pub log: u64,
    /// Offset of the replication stream.
    pub offset: u64,
}

/// How safe a point can be. The first two go by [`Point::log`], the others by [`Point::offset`], and come
/// and go: a file that begins anew has nothing, and so has a replica that has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Watermark {
    /// The kernel has it: the end of the process costs nothing.
    Written,
    /// It is on the disk: the end of the host costs nothing.
    Fsynced,
    /// It is on the disk in a whole file, one that has a base.
    Saved,
    /// So many replicas have acknowledged it.
    Acked(u32),
    /// So many replicas have it on their disks.
    AckedFsynced(u32),
}

impl Watermark {
    /// Whether it rises with the bytes of our own append-only file, whole or not.
    pub fn is_of_log(self) -> bool {
        matches!(self, Watermark::Written | Watermark::Fsynced)
    }

    fn is_momentary(self) -> bool {
        !self.is_of_log()
    }

    fn of(self, point: Point) -> u64 {
        match self {
            Watermark::Written | Watermark::Fsynced => point.log,
            Watermark::Saved | Watermark::Acked(_) | Watermark::AckedFsynced(_) => point.offset,
        }
    }
}

/// The watermarks that have to pass a point: up to two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Need([Option<Watermark>; 2]);

impl Need {
    pub const NOTHING: Need = Need([None, None]);

    pub fn one(watermark: Watermark) -> Need {
        Need([Some(watermark), None])
    }

    fn without(self, is_met: impl Fn(Watermark) -> bool) -> Need {
        Need(self.0.map(|needed| needed.filter(|needed| !is_met(*needed))))
    }

    fn has(self, is_meant: impl Fn(Watermark) -> bool) -> bool {
        self.0.into_iter().flatten().any(is_meant)
    }

    pub fn both(a: Option<Watermark>, b: Option<Watermark>) -> Need {
        Need([a, b])
    }
}

/// Who may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opened {
    /// More of this client's replies may leave.
    Replies(ClientId),
    /// What this client's WAIT or WAITAOF waits for has come.
    Wait(ClientId),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    /// Replies up to this position of the client's output.
    Replies {
        end: u64,
    },
    Wait,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    client: ClientId,
    point: Point,
    /// What it was promised.
    promised: Need,
    /// What of that has not come yet.
    need: Need,
    what: What,
}

/// The place in a queue: where it opens, and a number that makes it unique.
type Place = (u64, u64);

/// What the gate knows of the client in a slot.
#[derive(Debug, Default)]
struct Slot {
    /// [`ClientId::id`] of whose they are; 0 is nobody's.
    id: u64,
    /// Where each part of its output ends that waits, in order, and whether that part itself may
    /// leave already: it does so when nothing before it waits.
    parts: VecDeque<(u64, bool)>,
    /// Up to where its output may leave while there are parts that wait.
    open_to: u64,
    /// What it has written in this turn, and where the reply to that ends.
    turn: Option<(Point, u64)>,
    /// Where its WAIT stands.
    wait: Option<(Watermark, Place)>,
}

/// See the module's description.
#[derive(Debug, Default)]
pub struct Gate {
    /// What replies to writes wait for.
    replies_need: Need,
    written: u64,
    fsynced: u64,
    queues: BTreeMap<Watermark, BTreeMap<Place, Held>>,
    slots: Vec<Slot>,
    /// Clients that have written in this turn.
    turn: Vec<ClientId>,
    opened: VecDeque<Opened>,
    serial: u64,
    asks: bool,
}

impl Gate {
    /// Replies to writes wait for this from the next turn on; what waits already goes on waiting for
    /// what it was promised.
    pub fn set_replies_need(&mut self, need: Need) {
        self.replies_need = need;
    }

    /// A client's command has written, up to `point`; `end` is where its output ends now.
    pub fn wrote(&mut self, client: ClientId, point: Point, end: u64) {
        if self.replies_need == Need::NOTHING {
            return;
        }
        let slot = self.slot_mut(client);
        if slot.turn.replace((point, end)).is_none() {
            self.turn.push(client);
        }
    }

    /// The turn is over: from here on, what its writers were answered waits.
    pub fn end_turn(&mut self) {
        if self.turn.is_empty() {
            return;
        }
        let mut turn = std::mem::take(&mut self.turn);
        for client in turn.drain(..) {
            let slot = self.slot_mut(client);
            let Some((point, end)) = slot.turn.take() else { continue };
            slot.parts.push_back((end, false));
            let need = self.replies_need;
            self.hold(Held { client, point, promised: need, need, what: What::Replies { end } });
        }
        self.turn = turn;
    }

    /// WAIT and WAITAOF: [`Opened::Wait`] says when all of `need` has passed `point`. A client waits for
    /// one thing at a time.
    pub fn wait(&mut self, client: ClientId, point: Point, need: Need) {
        self.forget_wait(client);
        self.hold(Held { client, point, promised: need, need, what: What::Wait });
    }

    /// The client's wait has ended in another way.
    pub fn forget_wait(&mut self, client: ClientId) {
        let Some((watermark, place)) = self.slot_mut(client).wait.take() else { return };
        self.remove(watermark, place);
    }

    /// The client is gone.
    pub fn forget(&mut self, client: ClientId) {
        self.forget_wait(client);
        self.turn.retain(|other| *other != client);
        *self.slot_mut(client) = Slot::default();
    }

    /// The kernel has everything up to `to`. What is said to have fallen has not.
    pub fn raise_written(&mut self, to: u64) {
        if to > self.written {
            self.written = to;
            self.pass(Watermark::Written, to);
        }
    }

    /// The disk has everything up to `to`.
    pub fn raise_fsynced(&mut self, to: u64) {
        if to > self.fsynced {
            self.fsynced = to;
            self.pass(Watermark::Fsynced, to);
        }
    }

    fn pass(&mut self, watermark: Watermark, to: u64) {
        while let Some(queue) = self.queues.get_mut(&watermark)
            && let Some(first) = queue.first_entry()
            && first.key().0 <= to
        {
            let held = first.remove();
            self.hold(Held { need: held.need.without(|met| met == watermark), ..held });
        }
        self.drop_empty_queue(watermark);
    }

    /// Those of the file fill and empty with every turn, and stay; the others are of any number.
    fn drop_empty_queue(&mut self, watermark: Watermark) {
        if watermark.is_momentary() && !self.is_awaited(watermark) {
            self.queues.remove(&watermark);
        }
    }

    /// How far the momentary watermarks are: `mark` says it of each that somebody waits for, and `None` while
    /// there are not so many replicas, who then have not even nothing. To be told anew when somebody begins
    /// to wait: what nobody asked for was not kept.
    pub fn tell(&mut self, mark: impl Fn(Watermark) -> Option<u64>) {
        loop {
            let moved = self.serial;
            let asked: Vec<Watermark> = self.queues.keys().copied().collect();
            for watermark in asked.into_iter().filter(|w| w.is_momentary()) {
                if let Some(to) = mark(watermark) {
                    self.pass(watermark, to);
                }
            }
            // Who needs two kinds has just moved from one queue to the other.
            if self.serial == moved {
                break;
            }
        }
    }

    /// There are no such watermarks any more (the file was turned off, the history is another one).
    /// Replies wait for them no longer. Gives those whose WAIT was promised one, had it come or not: what
    /// they would be told is no longer so.
    pub fn give_up(&mut self, is_vain: impl Fn(Watermark) -> bool) -> Vec<ClientId> {
        let mut vain = Vec::new();
        for queue in self.queues.values_mut() {
            queue.retain(|_, held| {
                let stays = !held.promised.has(&is_vain);
                if !stays {
                    vain.push(*held);
                }
                stays
            });
        }
        self.queues.retain(|watermark, queue| watermark.is_of_log() || !queue.is_empty());
        let mut waits = Vec::new();
        for held in vain {
            match held.what {
                What::Replies { .. } => {
                    self.hold(Held { need: held.need.without(&is_vain), ..held });
                }
                What::Wait => {
                    self.slot_mut(held.client).wait = None;
                    waits.push(held.client);
                }
            }
        }
        waits
    }

    /// Who may go on, one after the other.
    pub fn poll_opened(&mut self) -> Option<Opened> {
        self.opened.pop_front()
    }

    /// How many bytes of a client's output may leave: `sent` of it have left ever, `waiting` are there.
    pub fn may_send(&self, client: ClientId, sent: u64, waiting: usize) -> usize {
        match self.slots.get(client.slot as usize) {
            Some(slot)
                if slot.id == client.id && (slot.turn.is_some() || !slot.parts.is_empty()) =>
            {
                waiting.min(slot.open_to.saturating_sub(sent) as usize)
            }
            _ => waiting,
        }
    }

    /// Whether anybody has begun to wait for something momentary since this was last asked: then `tell` is
    /// due.
    pub fn asks(&mut self) -> bool {
        std::mem::take(&mut self.asks)
    }

    /// Whether anybody waits for this to rise.
    pub fn is_awaited(&self, watermark: Watermark) -> bool {
        self.queues.get(&watermark).is_some_and(|queue| !queue.is_empty())
    }

    fn has_passed(&self, watermark: Watermark, point: Point) -> bool {
        let mark = match watermark {
            Watermark::Written => self.written,
            Watermark::Fsynced => self.fsynced,
            // Who waits for these is told by `tell`.
            Watermark::Saved | Watermark::Acked(_) | Watermark::AckedFsynced(_) => return false,
        };
        mark >= point.log
    }

    /// Puts it into the queue of the first watermark that it lacks, or lets it out.
    fn hold(&mut self, held: Held) {
        let lacks = held.need.0.into_iter().flatten().find(|w| !self.has_passed(*w, held.point));
        let Some(watermark) = lacks else { return self.open(held) };
        self.serial += 1;
        self.asks |= watermark.is_momentary();
        let place = (watermark.of(held.point), self.serial);
        if held.what == What::Wait {
            self.slot_mut(held.client).wait = Some((watermark, place));
        }
        self.queues.entry(watermark).or_default().insert(place, held);
    }

    fn open(&mut self, held: Held) {
        let client = held.client;
        // Of a client that has gone nothing is left to let out.
        let Some(slot) = self.slots.get_mut(client.slot as usize).filter(|s| s.id == client.id)
        else {
            return;
        };
        match held.what {
            What::Replies { end } => {
                if let Some(part) = slot.parts.iter_mut().find(|part| part.0 == end && !part.1) {
                    part.1 = true;
                }
                let before = slot.open_to;
                while let Some((end, true)) = slot.parts.front().copied() {
                    slot.parts.pop_front();
                    slot.open_to = end;
                }
                if slot.open_to != before {
                    self.opened.push_back(Opened::Replies(client));
                }
            }
            What::Wait => {
                slot.wait = None;
                self.opened.push_back(Opened::Wait(client));
            }
        }
    }

    fn remove(&mut self, watermark: Watermark, place: Place) {
        if let Some(queue) = self.queues.get_mut(&watermark) {
            queue.remove(&place);
        }
        self.drop_empty_queue(watermark);
    }

    fn slot_mut(&mut self, client: ClientId) -> &mut Slot {
        let at = client.slot as usize;
        if self.slots.len() <= at {
            self.slots.resize_with(at + 1, Slot::default);
        }
        let slot = &mut self.slots[at];
        if slot.id != client.id {
            *slot = Slot { id: client.id, ..Slot::default() };
        }
        slot
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn client(n: u64) -> ClientId {
        ClientId { id: n + 1, slot: n as u32 }
    }

    fn at(n: u64) -> Point {
        Point { log: n, offset: n }
    }

    fn opened(gate: &mut Gate) -> Vec<Opened> {
        std::iter::from_fn(|| gate.poll_opened()).collect()
    }

    #[test]
    fn an_early_writer_is_let_out_when_its_own_write_is_safe_and_not_the_newest() {
        let mut gate = Gate::default();
        gate.set_replies_need(Need::one(Watermark::Written));
        gate.wrote(client(1), at(10), 5);
        gate.end_turn();
        gate.wrote(client(2), at(20), 5);
        gate.end_turn();
        gate.raise_written(10);
        assert_eq!(opened(&mut gate), [Opened::Replies(client(1))]);
        assert_eq!(gate.may_send(client(1), 0, 5), 5);
        assert_eq!(gate.may_send(client(2), 0, 5), 0);
    }

    #[test]
    fn what_a_client_was_answered_before_leaves_while_its_next_write_waits() {
        let mut gate = Gate::default();
        gate.set_replies_need(Need::one(Watermark::Fsynced));
        gate.wrote(client(1), at(10), 5);
        gate.end_turn();
        gate.wrote(client(1), at(20), 9);
        assert_eq!(gate.may_send(client(1), 0, 9), 0, "nor in the midst of a turn");
        gate.end_turn();
        gate.raise_fsynced(15);
        assert_eq!(gate.may_send(client(1), 0, 9), 5);
        assert_eq!(gate.may_send(client(1), 5, 4), 0);
        gate.raise_fsynced(20);
        assert_eq!(gate.may_send(client(1), 5, 11), 11, "what followed waits for nothing");
    }

    #[test]
    fn a_change_of_the_policy_does_not_let_a_later_reply_overtake_an_earlier_one() {
        // From `always` to `everysec`: the kernel has the second write before the disk has the first.
        let mut gate = Gate::default();
        gate.set_replies_need(Need::one(Watermark::Fsynced));
        gate.wrote(client(1), at(10), 5);
        gate.end_turn();
        gate.set_replies_need(Need::one(Watermark::Written));
        gate.wrote(client(1), at(20), 9);
        gate.end_turn();
        gate.raise_written(20);
        assert_eq!(gate.may_send(client(1), 0, 9), 0);
        gate.raise_fsynced(10);
        assert_eq!(gate.may_send(client(1), 0, 9), 9);
    }

    #[test]
    fn a_wait_for_disk_and_replicas_ends_with_the_later_of_the_two() {
        let need = Need::both(Some(Watermark::Fsynced), Some(Watermark::AckedFsynced(2)));
        for disk_first in [true, false] {
            let mut gate = Gate::default();
            gate.wait(client(1), at(10), need);
            for disk in [disk_first, !disk_first] {
                assert_eq!(opened(&mut gate), []);
                match disk {
                    true => gate.raise_fsynced(10),
                    false => gate.tell(|w| (w == Watermark::AckedFsynced(2)).then_some(10)),
                }
                if disk == disk_first && !disk_first {
                    // Nobody asks for replicas while the disk is waited for.
                    assert!(!gate.is_awaited(Watermark::AckedFsynced(2)));
                }
            }
            gate.tell(|_| Some(10));
            assert_eq!(opened(&mut gate), [Opened::Wait(client(1))]);
        }
    }

    #[test]
    fn a_client_that_goes_leaves_nothing_for_the_one_that_takes_its_slot() {
        let mut gate = Gate::default();
        gate.set_replies_need(Need::one(Watermark::Written));
        gate.wrote(client(1), at(10), 5);
        gate.end_turn();
        gate.wait(client(1), at(10), Need::one(Watermark::Acked(1)));
        gate.forget(client(1));
        assert!(!gate.is_awaited(Watermark::Acked(1)));
        let heir = ClientId { id: 99, slot: 1 };
        assert_eq!(gate.may_send(heir, 0, 7), 7);
        gate.raise_written(10);
        assert_eq!(opened(&mut gate), []);
    }

    #[test]
    fn a_file_that_is_turned_off_holds_nobody_and_its_waits_are_told() {
        let mut gate = Gate::default();
        gate.set_replies_need(Need::one(Watermark::Fsynced));
        gate.wrote(client(1), at(10), 5);
        gate.end_turn();
        gate.wait(client(2), at(10), Need::one(Watermark::Saved));
        gate.wait(client(3), at(10), Need::one(Watermark::Acked(1)));
        // This one's bytes are on the disk already, and it waits for the replicas.
        let both = Need::both(Some(Watermark::Saved), Some(Watermark::AckedFsynced(1)));
        gate.wait(client(4), at(5), both);
        gate.tell(|watermark| (watermark == Watermark::Saved).then_some(5));
        assert!(gate.is_awaited(Watermark::AckedFsynced(1)));

        assert_eq!(gate.give_up(|w| w == Watermark::Saved), [client(2), client(4)]);
        assert_eq!(opened(&mut gate), [], "the last bytes are still on their way");
        assert_eq!(gate.give_up(Watermark::is_of_log), []);
        assert_eq!(opened(&mut gate), [Opened::Replies(client(1))]);
        assert!(gate.is_awaited(Watermark::Acked(1)));
        assert!(!gate.is_awaited(Watermark::AckedFsynced(1)));
    }

    #[derive(Clone, Debug)]
    enum Step {
        Write { client: u64, bytes: u64 },
        EndTurn,
        Raise { watermark: Watermark, by: u64 },
        Policy(Need),
        Wait { client: u64, need: Need },
        Send { client: u64 },
        Leave { client: u64 },
    }

    fn watermark() -> impl Strategy<Value = Watermark> {
        prop_oneof![
            Just(Watermark::Written),
            Just(Watermark::Fsynced),
            Just(Watermark::Saved),
            (1..3u32).prop_map(Watermark::Acked),
            (1..3u32).prop_map(Watermark::AckedFsynced),
        ]
    }

    fn need() -> impl Strategy<Value = Need> {
        (proptest::option::of(watermark()), proptest::option::of(watermark()))
            .prop_map(|(a, b)| Need([a, b]))
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0..4u64, 1..20u64).prop_map(|(client, bytes)| Step::Write { client, bytes }),
            3 => Just(Step::EndTurn),
            4 => (watermark(), 1..40u64).prop_map(|(watermark, by)| Step::Raise { watermark, by }),
            1 => need().prop_map(Step::Policy),
            1 => (0..4u64, need()).prop_map(|(client, need)| Step::Wait { client, need }),
            3 => (0..4u64).prop_map(|client| Step::Send { client }),
            1 => (0..4u64).prop_map(|client| Step::Leave { client }),
        ]
    }

    /// Says the same as the gate, slowly: every part of every client's output with what it needs.
    #[derive(Default)]
    struct Model {
        marks: BTreeMap<Watermark, u64>,
        parts: HashMap<u64, Vec<(u64, Point, Need)>>,
        waits: HashMap<u64, (Point, Need)>,
    }

    impl Model {
        fn is_safe(&self, point: Point, need: Need) -> bool {
            // The file's marks begin at 0, a momentary one when there is who has anything.
            let is_reached = |w: &Watermark| match self.marks.get(w) {
                Some(mark) => *mark >= w.of(point),
                None => !w.is_momentary() && w.of(point) == 0,
            };
            need.0.iter().flatten().all(is_reached)
        }

        fn may_send(&self, client: u64, sent: u64, written: u64) -> u64 {
            let parts = self.parts.get(&client).map_or(&[][..], Vec::as_slice);
            let mut open_to = 0;
            for (end, point, need) in parts {
                if !self.is_safe(*point, *need) {
                    return (written - sent).min(open_to.max(sent) - sent);
                }
                open_to = *end;
            }
            written - sent
        }
    }

    proptest! {
        /// A reply leaves exactly when a plain list of everything that waits says so.
        #[test]
        fn the_gate_says_what_a_plain_list_says(steps in prop::collection::vec(step(), 1..200)) {
            let mut gate = Gate::default();
            let mut model = Model::default();
            let mut policy = Need::NOTHING;
            let mut now = 0;
            let (mut ids, mut written, mut sent) = ([1u64, 2, 3, 4], [0u64; 4], [0u64; 4]);
            let mut next_id = 5;
            // A turn ends before anything is sent, as in the node.
            let mut turn: Vec<u64> = Vec::new();
            for step in steps {
                match step {
                    Step::Write { client: n, bytes } => {
                        let i = n as usize;
                        now += bytes;
                        written[i] += bytes;
                        let id = ClientId { id: ids[i], slot: n as u32 };
                        gate.wrote(id, at(now), written[i]);
                        if policy != Need::NOTHING {
                            let parts = model.parts.entry(ids[i]).or_default();
                            if turn.contains(&ids[i]) { parts.pop(); } else { turn.push(ids[i]); }
                            parts.push((written[i], at(now), policy));
                        }
                    }
                    Step::EndTurn => { gate.end_turn(); turn.clear(); }
                    Step::Policy(need) => {
                        gate.end_turn();
                        turn.clear();
                        gate.set_replies_need(need);
                        policy = need;
                    }
                    Step::Raise { watermark, by } => {
                        gate.end_turn();
                        turn.clear();
                        let mark = model.marks.entry(watermark).or_default();
                        *mark = (*mark + by).min(now);
                        let marks = model.marks.clone();
                        match watermark {
                            Watermark::Written => gate.raise_written(marks[&watermark]),
                            Watermark::Fsynced => gate.raise_fsynced(marks[&watermark]),
                            _ => gate.tell(|w| marks.get(&w).copied()),
                        }
                    }
                    Step::Wait { client: n, need } => {
                        let id = ClientId { id: ids[n as usize], slot: n as u32 };
                        gate.wait(id, at(now), need);
                        model.waits.insert(id.id, (at(now), need));
                    }
                    Step::Leave { client: n } => {
                        let i = n as usize;
                        gate.forget(ClientId { id: ids[i], slot: n as u32 });
                        model.parts.remove(&ids[i]);
                        model.waits.remove(&ids[i]);
                        turn.retain(|id| *id != ids[i]);
                        (ids[i], written[i], sent[i]) = (next_id, 0, 0);
                        next_id += 1;
                    }
                    Step::Send { client: n } => {
                        gate.end_turn();
                        turn.clear();
                        let marks = model.marks.clone();
                        gate.tell(|w| marks.get(&w).copied());
                        let i = n as usize;
                        let id = ClientId { id: ids[i], slot: n as u32 };
                        let waiting = (written[i] - sent[i]) as usize;
                        let allowed = gate.may_send(id, sent[i], waiting) as u64;
                        prop_assert_eq!(allowed, model.may_send(ids[i], sent[i], written[i]));
                        sent[i] += allowed;
                    }
                }
                // As the node does before it asks: how far replicas are is told whenever somebody waits.
                gate.tell(|w| model.marks.get(&w).copied());
                while let Some(opened) = gate.poll_opened() {
                    if let Opened::Wait(id) = opened {
                        let (point, need) = model.waits.remove(&id.id).expect("it waits");
                        prop_assert!(model.is_safe(point, need), "a wait ended too early");
                    }
                }
                for (point, need) in model.waits.values() {
                    prop_assert!(!model.is_safe(*point, *need), "a wait goes on though all is there");
                }
            }
        }
    }
}
