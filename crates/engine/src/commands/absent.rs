//! What this server is not: no node of a cluster, no host of modules; and LOLWUT. Clients ask for
//! these at start-up and go by the answers.

use protocol::Args;

use super::args::int;
use super::help;
use super::pubsub::container;
use crate::clients::client::Follows;
use crate::command::key_spec::KeySpec;
use crate::command::{Acl, CommandSpec, Flags, Handler, row};
use crate::door::ctx::Ctx;
use crate::error::CommandError;
use crate::report::REDIS_VERSION;

const CONNECTION: Flags = Flags::LOADING.or(Flags::STALE).or(Flags::FAST);
const TOLD: Flags = Flags::LOADING.or(Flags::STALE);
const CHANGED: Flags = Flags::ADMIN.or(Flags::STALE).or(Flags::NO_ASYNC_LOADING);
const LOADED: Flags =
    Flags::ADMIN.or(Flags::NOSCRIPT).or(Flags::NO_ASYNC_LOADING).or(Flags::MODULE_GUARDED);
const VARIES: &[&str] = &["nondeterministic_output"];

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
    .group("cluster")
    .with(CLUSTER),
    row(
        "readonly",
        readonly,
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
        readwrite,
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

/// Without a cluster each of them answers the same, even HELP.
static CLUSTER: &[CommandSpec] = &[
    cluster("addslots", -3, CHANGED, "3.0.0", "Assigns new hash slots to a node."),
    cluster("addslotsrange", -4, CHANGED, "7.0.0", "Assigns new hash slot ranges to a node."),
    cluster("bumpepoch", 2, CHANGED, "3.0.0", "Advances the cluster config epoch.").tips(VARIES),
    cluster(
        "count-failure-reports",
        3,
        Flags::ADMIN.or(Flags::STALE),
        "3.0.0",
        "Returns the number of active failure reports active for a node.",
    )
    .tips(VARIES),
    cluster(
        "countkeysinslot",
        3,
        Flags::STALE,
        "3.0.0",
        "Returns the number of keys in a hash slot.",
    ),
    cluster("delslots", -3, CHANGED, "3.0.0", "Sets hash slots as unbound for a node."),
    cluster("delslotsrange", -4, CHANGED, "7.0.0", "Sets hash slot ranges as unbound for a node."),
    cluster(
        "failover",
        -2,
        CHANGED,
        "3.0.0",
        "Forces a replica to perform a manual failover of its master.",
    ),
    cluster("flushslots", 2, CHANGED, "3.0.0", "Deletes all slots information from a node."),
    cluster("forget", 3, CHANGED, "3.0.0", "Removes a node from the nodes table."),
    cluster("getkeysinslot", 4, Flags::STALE, "3.0.0", "Returns the key names in a hash slot.")
        .tips(VARIES),
    cluster("help", 2, TOLD, "5.0.0", "Returns helpful text about the different subcommands."),
    cluster("info", 2, TOLD, "3.0.0", "Returns information about the state of a node.")
        .tips(VARIES),
    cluster("keyslot", 3, Flags::STALE, "3.0.0", "Returns the hash slot for a key."),
    cluster(
        "links",
        2,
        Flags::STALE,
        "7.0.0",
        "Returns a list of all TCP links to and from peer nodes.",
    )
    .tips(VARIES),
    cluster("meet", -4, CHANGED, "3.0.0", "Forces a node to handshake with another node."),
    cluster("myid", 2, TOLD, "3.0.0", "Returns the ID of a node."),
    cluster("myshardid", 2, TOLD, "7.2.0", "Returns the shard ID of a node.").tips(VARIES),
    cluster("nodes", 2, TOLD, "3.0.0", "Returns the cluster configuration for a node.")
        .tips(VARIES),
    cluster(
        "replicas",
        3,
        Flags::ADMIN.or(Flags::STALE),
        "5.0.0",
        "Lists the replica nodes of a master node.",
    )
    .tips(VARIES),
    cluster("replicate", 3, CHANGED, "3.0.0", "Configure a node as replica of a master node."),
    cluster(
        "reset",
        -2,
        Flags::ADMIN.or(Flags::NOSCRIPT).or(Flags::STALE),
        "3.0.0",
        "Resets a node.",
    ),
    cluster(
        "saveconfig",
        2,
        CHANGED,
        "3.0.0",
        "Forces a node to save the cluster configuration to disk.",
    ),
    cluster(
        "set-config-epoch",
        3,
        CHANGED,
        "3.0.0",
        "Sets the configuration epoch for a new node.",
    ),
    cluster("setslot", -4, CHANGED, "3.0.0", "Binds a hash slot to a node."),
    cluster("shards", 2, TOLD, "7.0.0", "Returns the mapping of cluster slots to shards.")
        .tips(VARIES),
    cluster(
        "slaves",
        3,
        Flags::ADMIN.or(Flags::STALE),
        "3.0.0",
        "Lists the replica nodes of a master node.",
    )
    .tips(VARIES),
    cluster("slots", 2, TOLD, "3.0.0", "Returns the mapping of cluster slots to nodes.")
        .tips(VARIES),
];

const fn cluster(
    name: &'static str,
    arity: i16,
    flags: Flags,
    since: &'static str,
    summary: &'static str,
) -> CommandSpec {
    row(name, no_cluster, arity, flags, KeySpec::NONE, Acl::NONE, since, summary)
}

static MODULE: &[CommandSpec] = &[
    help::row_of("5.0.0", Acl::NONE),
    module(
        "list",
        module_list,
        2,
        Flags::ADMIN.or(Flags::NOSCRIPT),
        "4.0.0",
        "Returns all loaded modules.",
    )
    .tips(&["nondeterministic_output_order"]),
    module("load", module_load, -3, LOADED, "4.0.0", "Loads a module."),
    module("loadex", module_load, -3, LOADED, "7.0.0", "Loads a module using extended parameters."),
    module("unload", module_unload, 3, LOADED, "4.0.0", "Unloads a module."),
];

const fn module(
    name: &'static str,
    handler: Handler,
    arity: i16,
    flags: Flags,
    since: &'static str,
    summary: &'static str,
) -> CommandSpec {
    row(name, handler, arity, flags, KeySpec::NONE, Acl::NONE, since, summary)
}

fn no_cluster(_: &mut Ctx<'_>, _: Args<'_>) -> Result<(), CommandError> {
    Err(CommandError::err("This instance has cluster support disabled"))
}

/// Clients that follow a replica to its master (CLIENT CAPA redirect) may want to read from the replica.
fn readonly(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    follow(ctx, args, Follows::WithWrites)
}

fn readwrite(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    follow(ctx, args, Follows::WithAll)
}

fn follow(ctx: &mut Ctx<'_>, args: Args<'_>, follows: Follows) -> Result<(), CommandError> {
    if ctx.client.follows == Follows::Nowhere {
        return no_cluster(ctx, args);
    }
    ctx.client.follows = follows;
    ctx.client.out.ok();
    Ok(())
}

fn module_list(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), CommandError> {
    ctx.client.out.array(0);
    Ok(())
}

/// What Redis answers of a file that is no module of its own.
fn module_load(_: &mut Ctx<'_>, _: Args<'_>) -> Result<(), CommandError> {
    Err(CommandError::err("Error loading the extension. Please check the server logs."))
}

fn module_unload(_: &mut Ctx<'_>, _: Args<'_>) -> Result<(), CommandError> {
    Err(CommandError::err("Error unloading module: no such module with that name"))
}

const TANDEM: &str = r"
        __o      __o
      _ \<,_   _ \<,_
     (_)====+=(_)===(_)
";
const MOTTO: &str = "   one leads, all arrive\n\n";
/// What a picture may be wide and high at most.
const SIZE_MAX: i64 = 1000;

/// The pictures of versions 5 and 6 take sizes: here, of the road, and of the sky above it.
fn lolwut(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let is_asked = args.len() > 2 && args.at(1).eq_ignore_ascii_case(b"version");
    let version = if is_asked { int(args.at(2))? } else { 0 };
    let sizes = match version {
        5 => 3,
        6 => 2,
        _ => 0,
    };
    let mut size = [66, 0, 0];
    for (size, arg) in size.iter_mut().zip(args.iter().skip(3)).take(sizes) {
        *size = int(arg)?.clamp(0, SIZE_MAX);
    }
    let [columns, rows, _] = size.map(|size| size as usize);
    let mut picture = String::new();
    if sizes > 0 {
        let rng = &mut ctx.engine.rng;
        for _ in 0..rows {
            let star = |_| [' ', ' ', ' ', ' ', ' ', ' ', ' ', '.'][rng.usize(..8)];
            picture.extend((0..columns).map(star));
            picture.push('\n');
        }
        let road = "~".repeat(columns);
        picture += &format!("{TANDEM}{road}\n{MOTTO}");
    }
    picture += &format!("Redis ver. {REDIS_VERSION}\n");
    ctx.client.out.verbatim("txt", picture.as_bytes());
    Ok(())
}
