//! How the functions that a script calls reach the command that runs it. They are made once, with the state, so
//! they cannot borrow what lives for one call; it is lent to them through a slot. Must not know what it is lent for.

use std::cell::Cell;
use std::ptr::NonNull;

use protocol::Args;

use crate::door::ctx::Ctx;

/// A command that runs a script.
pub(crate) struct Frame<'f, 'c> {
    pub ctx: &'f mut Ctx<'c>,
    pub args: Args<'f>,
}

/// Holds the [`Frame`] of the command that runs a script, while it does.
#[derive(Default)]
pub(crate) struct Slot(Cell<Option<NonNull<Frame<'static, 'static>>>>);

/// Puts back what the slot held before, whatever happens meanwhile.
struct Restore<'a>(&'a Slot, Option<NonNull<Frame<'static, 'static>>>);

impl Drop for Restore<'_> {
    fn drop(&mut self) {
        self.0.0.set(self.1);
    }
}

impl Slot {
    /// Lends `frame` to whoever calls [`Slot::with`] while `work` runs.
    pub(crate) fn lend<R>(&self, mut frame: Frame<'_, '_>, work: impl FnOnce() -> R) -> R {
        let lent = NonNull::from(&mut frame).cast::<Frame<'static, 'static>>();
        let _restore = Restore(self, self.0.replace(Some(lent)));
        work()
    }

    /// What is lent, if anything is: nothing to who asks from within `work`.
    pub(crate) fn with<R>(
        &self,
        work: impl for<'f, 'c> FnOnce(&mut Frame<'f, 'c>) -> R,
    ) -> Option<R> {
        let mut lent = self.0.take()?;
        let _restore = Restore(self, Some(lent));
        // SAFETY: `lend` keeps the only borrow of the frame for as long as the slot has it, and the slot is
        // empty while `work` has it, so there is one borrow at a time. `work` knows no lifetime of what is
        // within, so it keeps nothing of it and puts nothing shorter-lived there. A pointer makes the slot,
        // and whatever holds it, stay in one thread.
        let frame: &mut Frame<'_, '_> = unsafe { lent.as_mut() };
        Some(work(frame))
    }
}
