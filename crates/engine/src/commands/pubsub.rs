//! PUBLISH, SUBSCRIBE and their kin.

use protocol::{Args, ReplyBuf};

use super::help;
use crate::Engine;
use crate::clients::client::{Client, ReplyMode};
use crate::command::key_spec::{Access, KeySpec};
use crate::command::{Acl, Channels, CommandSpec, Flags, row};
use crate::door::ctx::Ctx;
use crate::error::CommandError;
use crate::events::push::Push;
use crate::events::roster::Roster;
use crate::ids::ClientId;
use store::glob;

const SUBSCRIBER: Flags =
    Flags::PUBSUB.or(Flags::NOSCRIPT).or(Flags::LOADING).or(Flags::STALE).or(Flags::IN_PUBSUB);
const PUBLISHER: Flags =
    Flags::PUBSUB.or(Flags::LOADING).or(Flags::STALE).or(Flags::FAST).or(Flags::MAY_REPLICATE);
const INSPECTOR: Flags = Flags::PUBSUB.or(Flags::LOADING).or(Flags::STALE);

pub(crate) static ROWS: &[CommandSpec] = &[
    row(
        "publish",
        publish,
        3,
        PUBLISHER,
        KeySpec::NONE,
        Acl::NONE,
        "2.0.0",
        "Posts a message to a channel.",
    )
    .channels(Channels::Published),
    row(
        "spublish",
        spublish,
        3,
        PUBLISHER,
        &[KeySpec::at(1, Access::NOT_KEY)],
        Acl::NONE,
        "7.0.0",
        "Post a message to a shard channel",
    )
    .channels(Channels::Published),
    row(
        "subscribe",
        subscribe,
        -2,
        SUBSCRIBER,
        KeySpec::NONE,
        Acl::NONE,
        "2.0.0",
        "Listens for messages published to channels.",
    )
    .channels(Channels::Subscribed),
    row(
        "unsubscribe",
        unsubscribe,
        -1,
        SUBSCRIBER,
        KeySpec::NONE,
        Acl::NONE,
        "2.0.0",
        "Stops listening to messages posted to channels.",
    ),
    row(
        "psubscribe",
        psubscribe,
        -2,
        SUBSCRIBER,
        KeySpec::NONE,
        Acl::NONE,
        "2.0.0",
        "Listens for messages published to channels that match one or more patterns.",
    )
    .channels(Channels::SubscribedPatterns),
    row(
        "punsubscribe",
        punsubscribe,
        -1,
        SUBSCRIBER,
        KeySpec::NONE,
        Acl::NONE,
        "2.0.0",
        "Stops listening to messages published to channels that match one or more patterns.",
    ),
    row(
        "ssubscribe",
        ssubscribe,
        -2,
        SUBSCRIBER,
        &[KeySpec::range(1, -1, 1, Access::NOT_KEY)],
        Acl::NONE,
        "7.0.0",
        "Listens for messages published to shard channels.",
    )
    .channels(Channels::Subscribed),
    row(
        "sunsubscribe",
        sunsubscribe,
        -1,
        SUBSCRIBER,
        &[KeySpec::range(1, -1, 1, Access::NOT_KEY)],
        Acl::NONE,
        "7.0.0",
        "Stops listening to messages posted to shard channels.",
    ),
    row(
        "pubsub",
        container,
        -2,
        Flags::NONE,
        KeySpec::NONE,
        Acl::NONE,
        "2.8.0",
        "A container for Pub/Sub commands.",
    )
    .group("pubsub")
    .with(SUBCOMMANDS),
];

static SUBCOMMANDS: &[CommandSpec] = &[
    help::row_of("6.2.0", Acl::NONE),
    row(
        "channels",
        channels,
        -2,
        INSPECTOR,
        KeySpec::NONE,
        Acl::NONE,
        "2.8.0",
        "Returns the active channels.",
    ),
    row(
        "numsub",
        numsub,
        -2,
        INSPECTOR,
        KeySpec::NONE,
        Acl::NONE,
        "2.8.0",
        "Returns a count of subscribers to channels.",
    ),
    row(
        "numpat",
        numpat,
        2,
        INSPECTOR,
        KeySpec::NONE,
        Acl::NONE,
        "2.8.0",
        "Returns a count of unique pattern subscriptions.",
    ),
    row(
        "shardchannels",
        shardchannels,
        -2,
        INSPECTOR,
        KeySpec::NONE,
        Acl::NONE,
        "7.0.0",
        "Returns the active shard channels.",
    ),
    row(
        "shardnumsub",
        shardnumsub,
        -2,
        INSPECTOR,
        KeySpec::NONE,
        Acl::NONE,
        "7.0.0",
        "Returns the count of subscribers of shard channels.",
    ),
];

/// A container called alone: its subcommands have the real handlers.
pub(crate) fn container(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    match args.get(1) {
        None => Err(CommandError::arity(ctx.found.spec.name)),
        Some(word) => Err(CommandError::unknown_subcommand(word, ctx.found.spec.name)),
    }
}

fn publish(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let receivers = ctx.engine.publish(args.at(1), args.at(2));
    ctx.force_propagation();
    ctx.client.out.int(receivers as i64);
    Ok(())
}

fn spublish(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let (channel, message) = (args.at(1), args.at(2));
    let receivers = ctx.engine.publish_to_shard(channel, message);
    ctx.force_propagation();
    ctx.client.out.int(receivers as i64);
    Ok(())
}

/// Which of a client's three sets of subscriptions a command speaks of.
#[derive(Clone, Copy)]
enum Family {
    Channels,
    Patterns,
    Shards,
}

impl Family {
    fn words(self) -> (&'static [u8], &'static [u8]) {
        match self {
            Family::Channels => (b"subscribe", b"unsubscribe"),
            Family::Patterns => (b"psubscribe", b"punsubscribe"),
            Family::Shards => (b"ssubscribe", b"sunsubscribe"),
        }
    }

    fn of(self, client: &mut Client) -> &mut std::collections::BTreeSet<Box<[u8]>> {
        match self {
            Family::Channels => &mut client.subscriptions.channels,
            Family::Patterns => &mut client.subscriptions.patterns,
            Family::Shards => &mut client.subscriptions.shard_channels,
        }
    }

    fn count(self, client: &Client) -> usize {
        match self {
            Family::Shards => client.subscriptions.shard_channels.len(),
            _ => client.subscriptions.count(),
        }
    }
}

impl Engine {
    fn add_subscription(&mut self, family: Family, name: &[u8], id: ClientId) {
        match family {
            Family::Channels => self.pubsub.subscribe(name, id),
            Family::Patterns => self.pubsub.patterns.subscribe(name, id),
            Family::Shards => self.pubsub.ssubscribe(name, id),
        }
    }

    fn remove_subscription(&mut self, family: Family, name: &[u8], id: ClientId) {
        match family {
            Family::Channels => self.pubsub.unsubscribe(name, id),
            Family::Patterns => self.pubsub.patterns.unsubscribe(name, id),
            Family::Shards => self.pubsub.sunsubscribe(name, id),
        }
    }

    /// Without a word to the client: it goes, or starts anew.
    pub(crate) fn unsubscribe_all(&mut self, client: &mut Client) {
        for family in [Family::Channels, Family::Patterns, Family::Shards] {
            for name in std::mem::take(family.of(client)) {
                self.remove_subscription(family, &name, client.id);
            }
        }
    }

    /// Delivers to everybody subscribed; how many that were.
    pub fn publish(&mut self, channel: &[u8], message: &[u8]) -> usize {
        if self.pubsub.is_empty() {
            return 0;
        }
        // Nothing is subscribed while messages are handed out.
        let pubsub = std::mem::take(&mut self.pubsub);
        let mut body = None;
        let mut receivers = 0;
        if let Some(ids) = pubsub.channels.get(channel) {
            let mut push = Push::message(b"message", None, channel, message, &mut body);
            receivers += self.push_to_all(ids, &mut push);
        }
        for (pattern, ids) in pubsub.patterns.matching(channel) {
            let mut push = Push::message(b"pmessage", Some(pattern), channel, message, &mut body);
            receivers += self.push_to_all(ids, &mut push);
        }
        self.pubsub = pubsub;
        receivers
    }

    fn publish_to_shard(&mut self, channel: &[u8], message: &[u8]) -> usize {
        let pubsub = std::mem::take(&mut self.pubsub);
        let receivers = pubsub.shard_channels.get(channel).map_or(0, |ids| {
            let mut push = Push::message(b"smessage", None, channel, message, &mut None);
            self.push_to_all(ids, &mut push)
        });
        self.pubsub = pubsub;
        receivers
    }

    fn push_to_all(&mut self, ids: &Roster<ClientId>, push: &mut Push) -> usize {
        for id in ids.keys() {
            self.push(id, push);
        }
        ids.len()
    }
}

fn subscribe_to(ctx: &mut Ctx<'_>, args: Args<'_>, family: Family) -> Result<(), CommandError> {
    for name in args.iter().skip(1) {
        if family.of(ctx.client).insert(name.into()) {
            ctx.engine.add_subscription(family, name, ctx.client.id);
        }
        confirm(ctx, family, family.words().0, Some(name));
    }
    Ok(())
}

fn unsubscribe_from(ctx: &mut Ctx<'_>, args: Args<'_>, family: Family) -> Result<(), CommandError> {
    let names: Vec<Box<[u8]>> = match args.len() {
        1 => family.of(ctx.client).iter().cloned().collect(),
        _ => args.iter().skip(1).map(Box::from).collect(),
    };
    for name in &names {
        if family.of(ctx.client).remove(name) {
            ctx.engine.remove_subscription(family, name, ctx.client.id);
        }
        confirm(ctx, family, family.words().1, Some(name));
    }
    if names.is_empty() {
        confirm(ctx, family, family.words().1, None);
    }
    Ok(())
}

fn confirm(ctx: &mut Ctx<'_>, family: Family, word: &[u8], name: Option<&[u8]>) {
    let count = family.count(ctx.client) as i64;
    let mut own = ReplyBuf::default();
    own.resp = ctx.client.out.resp;
    let is_muted = ctx.client.reply_mode != ReplyMode::On;
    let out = if is_muted { &mut own } else { &mut ctx.client.out };
    out.push(3);
    out.bulk(word);
    match name {
        Some(name) => out.bulk(name),
        None => out.null(),
    }
    out.int(count);
    if is_muted {
        // A push, not a reply: CLIENT REPLY has no say in it.
        let mut push = Push::Message { head: own.to_vec(), body: None };
        ctx.engine.push(ctx.client.id, &mut push);
    }
}

fn subscribe(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    subscribe_to(ctx, args, Family::Channels)
}

fn unsubscribe(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    unsubscribe_from(ctx, args, Family::Channels)
}

fn psubscribe(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    subscribe_to(ctx, args, Family::Patterns)
}

fn punsubscribe(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    unsubscribe_from(ctx, args, Family::Patterns)
}

fn ssubscribe(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    subscribe_to(ctx, args, Family::Shards)
}

fn sunsubscribe(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    unsubscribe_from(ctx, args, Family::Shards)
}

fn channels(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    list_channels(ctx, args, false)
}

fn shardchannels(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    list_channels(ctx, args, true)
}

fn list_channels(ctx: &mut Ctx<'_>, args: Args<'_>, shards: bool) -> Result<(), CommandError> {
    if args.len() > 3 {
        return Err(CommandError::subcommand_syntax(args.at(1), "pubsub"));
    }
    let pubsub = &ctx.engine.pubsub;
    let map = if shards { &pubsub.shard_channels } else { &pubsub.channels };
    let pattern = args.get(2);
    let names: Vec<&[u8]> = map
        .keys()
        .map(|name| &**name)
        .filter(|name| pattern.is_none_or(|pattern| glob::matches_channel(pattern, name)))
        .collect();
    ctx.client.out.array(names.len());
    for name in names {
        ctx.client.out.bulk(name);
    }
    Ok(())
}

fn numsub(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    count_subscribers(ctx, args, false)
}

fn shardnumsub(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    count_subscribers(ctx, args, true)
}

fn count_subscribers(ctx: &mut Ctx<'_>, args: Args<'_>, shards: bool) -> Result<(), CommandError> {
    let pubsub = &ctx.engine.pubsub;
    let map = if shards { &pubsub.shard_channels } else { &pubsub.channels };
    let out = &mut ctx.client.out;
    out.array((args.len() - 2) * 2);
    for name in args.iter().skip(2) {
        out.bulk(name);
        out.int(map.get(name).map_or(0, Roster::len) as i64);
    }
    Ok(())
}

fn numpat(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), CommandError> {
    ctx.client.out.int(ctx.engine.pubsub.patterns.len() as i64);
    Ok(())
}
