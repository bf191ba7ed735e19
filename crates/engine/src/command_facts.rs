//! Owns what COMMAND tells of commands beyond their rows: what they do with their keys, hints for
//! proxies, and the group of the documentation. Facts of Redis's command reference, as data.

use crate::command::{Acl, CommandSpec, Flags};

/// What the command does with its keys, one entry a key spec: `RW access update`.
pub(crate) fn key_access(full_name: &str, spec: &CommandSpec) -> Vec<&'static str> {
    let default = if spec.flags.has(Flags::WRITE) { "RW update" } else { "RO access" };
    look_up(KEY_ACCESS, full_name).unwrap_or(default).split(", ").collect()
}

/// Hints as `request_policy:all_shards`.
pub(crate) fn tips(full_name: &str) -> Vec<&'static str> {
    look_up(TIPS, full_name).map_or_else(Vec::new, |tips| tips.split(' ').collect())
}

/// What the reference remarks on a command's key spec.
pub(crate) fn note(full_name: &str) -> Option<&'static str> {
    match full_name {
        "set" => Some("RW and ACCESS due to the optional `GET` argument"),
        "getex" => Some("RW and UPDATE because it changes the TTL"),
        "bitfield" => Some("This command allows both access and modification of the key"),
        "xadd" => Some("UPDATE instead of INSERT because of the optional trimming feature"),
        "pfcount" => Some(
            "RW because it may change the internal representation of the key, and propagate to replicas",
        ),
        "eval" | "fcall" => {
            Some("We cannot tell how the keys will be used so we assume the worst, RW and UPDATE")
        }
        "eval_ro" | "fcall_ro" => {
            Some("We cannot tell how the keys will be used so we assume the worst, RO and ACCESS")
        }
        _ => None,
    }
}

/// The group under which the documentation has the command. `spec` is the top row.
pub(crate) fn group(spec: &CommandSpec) -> &'static str {
    const BY_CATEGORY: [(Acl, &str); 13] = [
        (Acl::SCRIPTING, "scripting"),
        (Acl::TRANSACTION, "transactions"),
        (Acl::PUBSUB, "pubsub"),
        (Acl::BITMAP, "bitmap"),
        (Acl::HYPERLOGLOG, "hyperloglog"),
        (Acl::GEO, "geo"),
        (Acl::STREAM, "stream"),
        (Acl::STRING, "string"),
        (Acl::HASH, "hash"),
        (Acl::LIST, "list"),
        (Acl::SORTEDSET, "sorted-set"),
        (Acl::SET, "set"),
        (Acl::CONNECTION, "connection"),
    ];
    if let Some(group) = look_up(GROUPS, spec.name) {
        return group;
    }
    let acl = spec.categories();
    let by_category = BY_CATEGORY.iter().find(|(category, _)| acl.has(*category));
    match by_category {
        Some((_, group)) => group,
        None if acl.has(Acl::KEYSPACE) => "generic",
        None => "server",
    }
}

fn look_up(table: &[(&'static str, &str)], name: &str) -> Option<&'static str> {
    let row = table.iter().find(|(_, names)| names.split(' ').any(|other| other == name));
    row.map(|(value, _)| *value)
}

/// Groups that do not follow from the ACL categories.
const GROUPS: &[(&str, &str)] = &[
    ("server", "dbsize flushall flushdb swapdb"),
    ("generic", "object sort sort_ro wait waitaof migrate restore-asking"),
    ("pubsub", "pubsub"),
    ("connection", "client"),
    ("cluster", "asking cluster readonly readwrite"),
    ("scripting", "function script"),
    ("stream", "xgroup xinfo"),
];

/// What commands do with their keys, where it is not what their flags say: one entry a key spec.
const KEY_ACCESS: &[(&str, &str)] = &[
    ("OW insert", "msetnx setnx"),
    ("OW update", "mset psetex restore restore-asking setex"),
    (
        "OW update, RO access",
        "bitop geosearchstore sdiffstore sunionstore zdiffstore zinterstore zrangestore \
         zunionstore",
    ),
    ("RM delete", "del unlink"),
    (
        "RO",
        "exists hexists hlen hstrlen llen memory|usage object|encoding object|freq \
         object|idletime object|refcount scard sismember strlen touch type watch xlen \
         zcard",
    ),
    ("RO access", "xreadgroup"),
    ("RO access, OW update", "copy"),
    ("RO access, OW update, OW update", "georadius georadiusbymember"),
    ("RO access, RO access", "sort_ro"),
    ("RO access, RO access, OW update", "sort"),
    ("RW access", "pfcount pfdebug"),
    (
        "RW access delete",
        "blmpop blpop brpop bzmpop bzpopmax bzpopmin getdel lmpop lpop rpop spop zmpop \
         zpopmax zpopmin",
    ),
    ("RW access delete, OW insert", "renamenx"),
    ("RW access delete, OW update", "rename"),
    ("RW access delete, RW access delete incomplete", "migrate"),
    ("RW access delete, RW insert", "blmove brpoplpush lmove rpoplpush smove"),
    ("RW access insert, RO access", "pfmerge"),
    (
        "RW access update",
        "decr decrby eval evalsha fcall getex getset hincrby hincrbyfloat incr incrby \
         incrbyfloat move setbit zincrby",
    ),
    ("RW access update variable_flags", "bitfield set"),
    (
        "RW delete",
        "hdel lrem ltrim srem xautoclaim xdel xgroup|delconsumer xgroup|destroy xtrim \
         zrem zremrangebylex zremrangebyrank zremrangebyscore",
    ),
    (
        "RW insert",
        "append hsetnx linsert lpush lpushx pfadd rpush rpushx sadd xgroup|create \
         xgroup|createconsumer",
    ),
    ("RW update, RO access", "sinterstore"),
    ("not_key", "spublish ssubscribe sunsubscribe"),
];

/// Hints for clients and proxies, by the sets of them that occur.
const TIPS: &[(&str, &str)] = &[
    (
        "nondeterministic_output",
        "client|info client|list cluster|bumpepoch cluster|count-failure-reports \
         cluster|getkeysinslot cluster|info cluster|links cluster|nodes cluster|replicas \
         cluster|shards cluster|slaves cluster|slots dump hrandfield hscan lastsave \
         migrate object|encoding object|freq object|idletime object|refcount pttl spop \
         srandmember sscan time ttl xadd xautoclaim xclaim xinfo|consumers xpending xtrim \
         zrandmember zscan",
    ),
    (
        "nondeterministic_output request_policy:all_nodes response_policy:special",
        "latency|doctor latency|graph latency|histogram latency|history latency|latest",
    ),
    (
        "nondeterministic_output request_policy:all_shards response_policy:special",
        "function|stats info memory|doctor memory|malloc-stats memory|stats",
    ),
    ("nondeterministic_output request_policy:special", "scan"),
    (
        "nondeterministic_output_order",
        "command command|docs command|info command|list function|list hgetall hkeys hvals \
         module|list sdiff sinter smembers sunion",
    ),
    ("request_policy:all_nodes nondeterministic_output", "slowlog|get"),
    ("request_policy:all_nodes response_policy:agg_sum nondeterministic_output", "slowlog|len"),
    (
        "request_policy:all_nodes response_policy:all_succeeded",
        "config|set latency|reset script|flush script|load slowlog|reset",
    ),
    ("request_policy:all_shards nondeterministic_output", "randomkey"),
    ("request_policy:all_shards nondeterministic_output_order", "keys"),
    ("request_policy:all_shards response_policy:agg_logical_and", "script|exists"),
    ("request_policy:all_shards response_policy:agg_min", "wait waitaof"),
    ("request_policy:all_shards response_policy:agg_sum", "dbsize"),
    (
        "request_policy:all_shards response_policy:all_succeeded",
        "flushall flushdb function|delete function|flush function|load function|restore \
         memory|purge ping",
    ),
    ("request_policy:all_shards response_policy:one_succeeded", "function|kill script|kill"),
    ("request_policy:multi_shard", "mget"),
    ("request_policy:multi_shard response_policy:agg_min", "msetnx"),
    ("request_policy:multi_shard response_policy:agg_sum", "del exists touch unlink"),
    ("request_policy:multi_shard response_policy:all_succeeded", "mset"),
];
