//! What this server is not: no node of a cluster, no host of modules; and LOLWUT. Clients ask for
//! these at start-up and go by the answers.

use protocol::Args;

use super::help;
use super::pubsub::container;
use crate::command::key_spec::KeySpec;
use crate::command::{Acl, CommandSpec, Flags, row};
use crate::door::ctx::Ctx;
use crate::error::CommandError;
use crate::report::REDIS_VERSION;

const CONNECTION: Flags = Flags::LOADING.or(Flags::STALE).or(Flags::FAST);

const TANDEM: &str = r"
        __o      __o
      _ \<,_   _ \<,_
     (_)====+=(_)===(_)
  ~~~~~~~~~~~~~~~~~~~~~~~~~
   one leads, all arrive

";

pub(crate) static ROWS: &[CommandSpec] = &[
    row(
        "asking",
        no_cluster,
        1,
        Flags::FAST,
        KeySpec::NONE,
        Acl::CONNECTION,
        "3.0.0",
        "Signals that a cluster client is following an -ASK redirect.",
    )
    .group("cluster"),
    row(
        "cluster",
        no_cluster,
        -2,
        Flags::NONE,
        KeySpec::NONE,
        Acl::NONE,
        "3.0.0",
        "A container for Redis Cluster commands.",
    )
    .group("cluster"),
    row(
        "readonly",
        no_cluster,
        1,
        CONNECTION,
        KeySpec::NONE,
        Acl::CONNECTION,
        "3.0.0",
        "Enables read-only queries for a connection to a Redis Cluster replica node.",
    )
    .group("cluster"),
    row(
        "readwrite",
        no_cluster,
        1,
        CONNECTION,
        KeySpec::NONE,
        Acl::CONNECTION,
        "3.0.0",
        "Enables read-write queries for a connection to a Redis Cluster replica node.",
    )
    .group("cluster"),
    row(
        "module",
        container,
        -2,
        Flags::NONE,
        KeySpec::NONE,
        Acl::NONE,
        "4.0.0",
        "A container for module commands.",
    )
    .with(MODULE),
    row(
        "lolwut",
        lolwut,
        -1,
        Flags::READONLY.or(Flags::FAST),
        KeySpec::NONE,
        Acl::NONE,
        "5.0.0",
        "Displays computer art and the Redis version",
    ),
];

static MODULE: &[CommandSpec] = &[
    help::row_of("5.0.0", Acl::NONE),
    row(
        "list",
        module_list,
        2,
        Flags::ADMIN.or(Flags::NOSCRIPT),
        KeySpec::NONE,
        Acl::NONE,
        "4.0.0",
        "Returns all loaded modules.",
    )
    .tips(&["nondeterministic_output_order"]),
];

fn no_cluster(_: &mut Ctx<'_>, _: Args<'_>) -> Result<(), CommandError> {
    Err(CommandError::err("This instance has cluster support disabled"))
}

fn module_list(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), CommandError> {
    ctx.client.out.array(0);
    Ok(())
}

fn lolwut(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), CommandError> {
    let text = format!("{TANDEM}Redis ver. {REDIS_VERSION}\n");
    ctx.client.out.verbatim("txt", text.as_bytes());
    Ok(())
}
