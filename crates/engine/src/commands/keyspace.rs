//! Commands on keys of any type.

use protocol::Args;

use crate::command::{Acl, CommandSpec, Flags, Keys, row};
use crate::ctx::Ctx;
use crate::error::CommandError;
use crate::notify::Classes;

pub(crate) static ROWS: &[CommandSpec] = &[
    row(
        "del",
        del,
        -2,
        Flags::WRITE,
        Keys::ALL,
        Acl::KEYSPACE,
        "1.0.0",
        "Deletes one or more keys.",
    ),
    row(
        "unlink",
        unlink,
        -2,
        Flags::WRITE.or(Flags::FAST),
        Keys::ALL,
        Acl::KEYSPACE,
        "4.0.0",
        "Asynchronously deletes one or more keys.",
    ),
    row(
        "exists",
        exists,
        -2,
        Flags::READONLY.or(Flags::FAST),
        Keys::ALL,
        Acl::KEYSPACE,
        "1.0.0",
        "Determines whether one or more keys exist.",
    ),
];

fn del(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let lazy = ctx.engine.settings.lazyfree_lazy_user_del;
    delete(ctx, args, lazy)
}

fn unlink(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    delete(ctx, args, true)
}

fn delete(ctx: &mut Ctx<'_>, args: Args<'_>, lazy: bool) -> Result<(), CommandError> {
    let db = ctx.client.db;
    let mut deleted = 0;
    for key in args.iter().skip(1) {
        deleted += ctx.engine.delete(db, key, lazy) as i64;
    }
    ctx.client.out.int(deleted);
    Ok(())
}

impl crate::Engine {
    /// Deletes a key as DEL does; whether it was there.
    pub(crate) fn delete(&mut self, db: usize, key: &[u8], lazy: bool) -> bool {
        let Some(entry) = self.write(db, key) else { return false };
        let removed = entry.remove();
        self.drop_entry(removed, lazy);
        self.changed(db, key, Classes::GENERIC, "del");
        true
    }
}

fn exists(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let db = ctx.client.db;
    let count = args.iter().skip(1).filter(|key| ctx.engine.read(db, key).is_some()).count();
    ctx.client.out.int(count as i64);
    Ok(())
}
