//! Geo commands: sorted sets whose scores are positions. Searches are in `geo_search.rs`, the arithmetic is
//! in `geohash.rs`.

use protocol::{Args, ReplyBuf};
use smallvec::SmallVec;

use super::args::{float, is};
use super::geohash::{Position, distance_m};
use super::zsets::{self, Conditions};
use crate::command::key_spec::{Access, KeySpec, Keys};
use crate::command::{Acl, CommandSpec, Flags, Handler, row};
use crate::door::ctx::Ctx;
use crate::error::CommandError;

pub(crate) static ROWS: &[CommandSpec] = &[
    geo(
        "geoadd",
        geoadd,
        -5,
        Flags::WRITE.or(Flags::DENYOOM),
        &[KeySpec::at(1, Access::UPDATES)],
        "3.2.0",
        "Adds one or more members to a geospatial index. The key is created if it doesn't exist.",
    ),
    geo(
        "geodist",
        geodist,
        -4,
        Flags::READONLY,
        KeySpec::one(false),
        "3.2.0",
        "Returns the distance between two members of a geospatial index.",
    ),
    geo(
        "geohash",
        geohash,
        -2,
        Flags::READONLY,
        KeySpec::one(false),
        "3.2.0",
        "Returns members from a geospatial index as geohash strings.",
    ),
    geo(
        "geopos",
        geopos,
        -2,
        Flags::READONLY,
        KeySpec::one(false),
        "3.2.0",
        "Returns the longitude and latitude of members from a geospatial index.",
    ),
];

pub(super) const fn geo(
    name: &'static str,
    handler: Handler,
    arity: i16,
    flags: Flags,
    keys: Keys,
    since: &'static str,
    summary: &'static str,
) -> CommandSpec {
    row(name, handler, arity, flags, keys, Acl::GEO, since, summary)
}

/// A longitude and the latitude behind it.
pub(super) fn position(longitude: &[u8], latitude: &[u8]) -> Result<Position, CommandError> {
    let (longitude, latitude) = (float(longitude)?, float(latitude)?);
    Position::new(longitude, latitude).ok_or_else(|| {
        CommandError::err(format_args!(
            "invalid longitude,latitude pair {longitude:.6},{latitude:.6}"
        ))
    })
}

/// How many metres a unit has.
pub(super) fn unit_m(word: &[u8]) -> Result<f64, CommandError> {
    const UNITS: [(&str, f64); 4] = [("m", 1.0), ("km", 1000.0), ("ft", 0.3048), ("mi", 1609.34)];
    let unit = UNITS.iter().find(|(name, _)| is(word, name));
    unit.map(|(_, unit_m)| *unit_m)
        .ok_or(CommandError::err("unsupported unit provided. please use M, KM, FT, MI"))
}

/// A distance with four decimals, however long it is.
pub(super) fn reply_distance(out: &mut ReplyBuf, distance: f64) {
    let scaled = (distance * 10_000.0).round_ties_even() as i64;
    let (whole, rest) = (scaled / 10_000, scaled % 10_000);
    let mut digits = itoa::Buffer::new();
    let mut text: SmallVec<[u8; 32]> = SmallVec::from_slice(digits.format(whole).as_bytes());
    text.push(b'.');
    text.extend([1000, 100, 10, 1].map(|place| b'0' + (rest / place % 10) as u8));
    out.bulk(&text);
}

pub(super) fn reply_position(out: &mut ReplyBuf, at: Position) {
    out.array(2);
    out.human_double(at.longitude);
    out.human_double(at.latitude);
}

fn geoadd(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let mut conditions = Conditions::default();
    let mut first = 2;
    while let Some(option) = args.get(first) {
        match option {
            _ if is(option, "nx") => conditions.nx = true,
            _ if is(option, "xx") => conditions.xx = true,
            _ if is(option, "ch") => conditions.changed = true,
            _ => break,
        }
        first += 1;
    }
    let words = args.len() - first;
    if words == 0 || !words.is_multiple_of(3) || conditions.nx && conditions.xx {
        return Err(CommandError::Syntax);
    }
    let mut pairs: SmallVec<[(f64, &[u8]); 4]> = SmallVec::with_capacity(words / 3);
    for at in (first..args.len()).step_by(3) {
        let position = position(args.at(at), args.at(at + 1))?;
        pairs.push((position.score() as f64, args.at(at + 2)));
    }
    let dirty_before = ctx.engine.dirty;
    zsets::add_pairs(ctx, args.at(1), conditions, &pairs)?;
    // Replicas and files get scores, of which nobody needs to know how they are computed.
    if ctx.engine.dirty != dirty_before && ctx.engine.propagation.is_on() {
        let head = std::iter::once(b"ZADD".as_slice()).chain(args.slice(1..first).iter());
        zsets::propagate_scores(ctx, head, &pairs);
    }
    Ok(())
}

fn geodist(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let unit_m = match args.len() {
        4 => 1.0,
        5 => unit_m(args.at(4))?,
        _ => return Err(CommandError::Syntax),
    };
    let zset = ctx.engine.read_zset(ctx.view, args.at(1))?;
    let place = |at| zset.and_then(|zset| zset.score(args.at(at))).map(Position::of_score);
    let out = &mut ctx.client.out;
    match place(2).zip(place(3)) {
        Some((a, b)) => reply_distance(out, distance_m(a, b) / unit_m),
        None => out.null(),
    }
    Ok(())
}

fn geohash(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    each_position(ctx, args, |out, position| match position {
        Some(position) => out.bulk(&position.text()),
        None => out.null(),
    })
}

fn geopos(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    each_position(ctx, args, |out, position| match position {
        Some(position) => reply_position(out, position),
        None => out.null_array(),
    })
}

/// Replies for each member that is asked for, whether it is there or not.
fn each_position(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    reply: impl Fn(&mut ReplyBuf, Option<Position>),
) -> Result<(), CommandError> {
    let zset = ctx.engine.read_zset(ctx.view, args.at(1))?;
    let out = &mut ctx.client.out;
    out.array(args.len() - 2);
    for member in args.iter().skip(2) {
        reply(out, zset.and_then(|zset| zset.score(member)).map(Position::of_score));
    }
    Ok(())
}
