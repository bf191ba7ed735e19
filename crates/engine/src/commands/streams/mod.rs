//! Streams: the rows of their commands. What they do stands by subject in the files beside.

mod claim;
mod delete;
mod entries;
mod groups;
mod ids;
mod info;
mod read;
mod trim;

use super::help;
use super::pubsub::container;
use crate::command::key_spec::{Access, Find, KeySpec, Keys};
use crate::command::{Acl, CommandSpec, Flags, Handler, row};

const READ: Flags = Flags::READONLY;
const WRITE: Flags = Flags::WRITE;
const GROW: Flags = Flags::WRITE.or(Flags::DENYOOM);

const STREAMS: KeySpec = KeySpec::found(
    Find::Halved { word: "STREAMS", from: 1, find: read::streams_at },
    Access::READS,
);
const STREAMS_OF_GROUP: KeySpec = KeySpec::found(
    Find::Halved { word: "STREAMS", from: 4, find: read::streams_at },
    Access::READS,
);

pub(crate) static ROWS: &[CommandSpec] = &[
    stream(
        "xadd",
        entries::xadd,
        -5,
        GROW.or(Flags::FAST),
        &[KeySpec::at(1, Access::UPDATES)
            .noted("UPDATE instead of INSERT because of the optional trimming feature")],
        "5.0.0",
        "Appends a new message to a stream. Creates the key if it doesn't exist.",
    )
    .tips(&["nondeterministic_output"]),
    stream(
        "xlen",
        entries::xlen,
        2,
        READ.or(Flags::FAST),
        &[KeySpec::at(1, Access::RO)],
        "5.0.0",
        "Return the number of messages in a stream.",
    ),
    stream(
        "xrange",
        entries::xrange,
        -4,
        READ,
        &[KeySpec::at(1, Access::READS)],
        "5.0.0",
        "Returns the messages from a stream within a range of IDs.",
    ),
    stream(
        "xrevrange",
        entries::xrevrange,
        -4,
        READ,
        &[KeySpec::at(1, Access::READS)],
        "5.0.0",
        "Returns the messages from a stream within a range of IDs in reverse order.",
    ),
    stream(
        "xread",
        read::xread,
        -4,
        READ.or(Flags::BLOCKING),
        &[STREAMS],
        "5.0.0",
        "Returns messages from multiple streams with IDs greater than the ones requested. Blocks until a message is available otherwise.",
    ),
    stream(
        "xreadgroup",
        read::xreadgroup,
        -7,
        WRITE.or(Flags::BLOCKING),
        &[STREAMS_OF_GROUP],
        "5.0.0",
        "Returns new or historical messages from a stream for a consumer in a group. Blocks until a message is available otherwise.",
    ),
    stream(
        "xack",
        groups::xack,
        -4,
        WRITE.or(Flags::FAST),
        &[KeySpec::at(1, Access::UPDATES)],
        "5.0.0",
        "Returns the number of messages that were successfully acknowledged by the consumer group member of a stream.",
    ),
    stream(
        "xpending",
        groups::xpending,
        -3,
        READ,
        &[KeySpec::at(1, Access::READS)],
        "5.0.0",
        "Returns the information and entries from a stream consumer group's pending entries list.",
    )
    .tips(&["nondeterministic_output"]),
    stream(
        "xclaim",
        claim::xclaim,
        -6,
        WRITE.or(Flags::FAST),
        &[KeySpec::at(1, Access::UPDATES)],
        "5.0.0",
        "Changes, or acquires, ownership of a message in a consumer group, as if the message was delivered a consumer group member.",
    )
    .tips(&["nondeterministic_output"]),
    stream(
        "xautoclaim",
        claim::xautoclaim,
        -6,
        WRITE.or(Flags::FAST),
        &[KeySpec::at(1, Access::TAKES_FROM)],
        "6.2.0",
        "Changes, or acquires, ownership of messages in a consumer group, as if the messages were delivered to as consumer group member.",
    )
    .tips(&["nondeterministic_output"]),
    stream(
        "xdel",
        delete::xdel,
        -3,
        WRITE.or(Flags::FAST),
        &[KeySpec::at(1, Access::TAKES_FROM)],
        "5.0.0",
        "Returns the number of messages after removing them from a stream.",
    ),
    stream(
        "xdelex",
        delete::xdelex,
        -5,
        WRITE.or(Flags::FAST),
        &[KeySpec::at(1, Access::TAKES_FROM)],
        "8.2.0",
        "Deletes one or multiple entries from the stream.",
    ),
    stream(
        "xackdel",
        delete::xackdel,
        -6,
        WRITE.or(Flags::FAST),
        &[KeySpec::at(1, Access::UPDATES.or(Access::DELETE))],
        "8.2.0",
        "Acknowledges and deletes one or multiple messages for a stream consumer group.",
    ),
    stream(
        "xtrim",
        entries::xtrim,
        -4,
        WRITE,
        &[KeySpec::at(1, Access::TAKES_FROM)],
        "5.0.0",
        "Deletes messages from the beginning of a stream.",
    )
    .tips(&["nondeterministic_output"]),
    stream(
        "xsetid",
        entries::xsetid,
        -3,
        GROW.or(Flags::FAST),
        &[KeySpec::at(1, Access::UPDATES)],
        "5.0.0",
        "An internal command for replicating stream values.",
    ),
    row(
        "xgroup",
        container,
        -2,
        Flags::NONE,
        KeySpec::NONE,
        Acl::NONE,
        "5.0.0",
        "A container for consumer groups commands.",
    )
    .group("stream")
    .with(XGROUP),
    row(
        "xinfo",
        container,
        -2,
        Flags::NONE,
        KeySpec::NONE,
        Acl::NONE,
        "5.0.0",
        "A container for stream introspection commands.",
    )
    .group("stream")
    .with(XINFO),
];

static XGROUP: &[CommandSpec] = &[
    stream(
        "create",
        groups::create,
        -5,
        GROW,
        &[KeySpec::at(2, Access::ADDS)],
        "5.0.0",
        "Creates a consumer group.",
    ),
    stream(
        "createconsumer",
        groups::createconsumer,
        5,
        GROW,
        &[KeySpec::at(2, Access::ADDS)],
        "6.2.0",
        "Creates a consumer in a consumer group.",
    ),
    stream(
        "delconsumer",
        groups::delconsumer,
        5,
        WRITE,
        &[KeySpec::at(2, Access::TAKES_FROM)],
        "5.0.0",
        "Deletes a consumer from a consumer group.",
    ),
    stream(
        "destroy",
        groups::destroy,
        4,
        WRITE,
        &[KeySpec::at(2, Access::TAKES_FROM)],
        "5.0.0",
        "Destroys a consumer group.",
    ),
    help::row_of("5.0.0", Acl::STREAM),
    stream(
        "setid",
        groups::setid,
        -5,
        WRITE,
        &[KeySpec::at(2, Access::UPDATES)],
        "5.0.0",
        "Sets the last-delivered ID of a consumer group.",
    ),
];

static XINFO: &[CommandSpec] = &[
    stream(
        "consumers",
        info::consumers,
        4,
        READ,
        &[KeySpec::at(2, Access::READS)],
        "5.0.0",
        "Returns a list of the consumers in a consumer group.",
    )
    .tips(&["nondeterministic_output"]),
    stream(
        "groups",
        info::groups,
        3,
        READ,
        &[KeySpec::at(2, Access::READS)],
        "5.0.0",
        "Returns a list of the consumer groups of a stream.",
    ),
    help::row_of("5.0.0", Acl::STREAM),
    stream(
        "stream",
        info::stream,
        -3,
        READ,
        &[KeySpec::at(2, Access::READS)],
        "5.0.0",
        "Returns information about a stream.",
    ),
];

const fn stream(
    name: &'static str,
    handler: Handler,
    arity: i16,
    flags: Flags,
    keys: Keys,
    since: &'static str,
    summary: &'static str,
) -> CommandSpec {
    row(name, handler, arity, flags, keys, Acl::STREAM, since, summary)
}
