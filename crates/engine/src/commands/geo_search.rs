//! Searches for members of geo sets in an area, and what is done with those found: GEOSEARCH, GEORADIUS and
//! their kin.

use protocol::{Args, ReplyBuf};
use store::value::{Item, ItemBuf};
use store::zset::ZSet;
use store::{Limits, Value};

use super::args::{int, is, text};
use super::geo::{geo, position, reply_distance, reply_position, unit_m};
use super::geohash::{Area, Position, Shape, c_signed};
use crate::command::key_spec::{Access, KeySpec};
use crate::command::{CommandSpec, Flags};
use crate::data::typed::reply_item;
use crate::door::ctx::Ctx;
use crate::error::CommandError;
use crate::events::notify::Classes;

const WRITE: Flags = Flags::WRITE.or(Flags::DENYOOM);
const READ: Flags = Flags::READONLY;

pub(crate) static ROWS: &[CommandSpec] = &[
    geo(
        "georadius",
        georadius,
        -6,
        WRITE,
        &[
            KeySpec::at(1, Access::READS),
            KeySpec::keyword("STORE", 6, store_key, Access::OVERWRITES),
            KeySpec::keyword("STOREDIST", 6, storedist_key, Access::OVERWRITES),
        ],
        "3.2.0",
        "Queries a geospatial index for members within a distance from a coordinate, optionally stores the result.",
    ).deprecated("6.2.0", "`GEOSEARCH` and `GEOSEARCHSTORE` with the `BYRADIUS` argument"),
    geo(
        "georadiusbymember",
        georadiusbymember,
        -5,
        WRITE,
        &[
            KeySpec::at(1, Access::READS),
            KeySpec::keyword("STORE", 5, store_key, Access::OVERWRITES),
            KeySpec::keyword("STOREDIST", 5, storedist_key, Access::OVERWRITES),
        ],
        "3.2.0",
        "Queries a geospatial index for members within a distance from a member, optionally stores the result.",
    ).deprecated("6.2.0", "`GEOSEARCH` and `GEOSEARCHSTORE` with the `BYRADIUS` and `FROMMEMBER` arguments"),
    geo(
        "georadius_ro",
        georadius_ro,
        -6,
        READ,
        KeySpec::one(false),
        "3.2.10",
        "Returns members from a geospatial index that are within a distance from a coordinate.",
    ).deprecated("6.2.0", "`GEOSEARCH` with the `BYRADIUS` argument"),
    geo(
        "georadiusbymember_ro",
        georadiusbymember_ro,
        -5,
        READ,
        KeySpec::one(false),
        "3.2.10",
        "Returns members from a geospatial index that are within a distance from a member.",
    ).deprecated("6.2.0", "`GEOSEARCH` with the `BYRADIUS` and `FROMMEMBER` arguments"),
    geo(
        "geosearch",
        geosearch,
        -7,
        READ,
        KeySpec::one(false),
        "6.2.0",
        "Queries a geospatial index for members inside an area of a box or a circle.",
    ),
    geo(
        "geosearchstore",
        geosearchstore,
        -8,
        WRITE,
        &[KeySpec::at(1, Access::OVERWRITES), KeySpec::at(2, Access::READS)],
        "6.2.0",
        "Queries a geospatial index for members inside an area of a box or a circle, optionally stores the result.",
    ),
];

/// Where the last of STORE and STOREDIST says the destination: that one counts.
fn destination(args: Args<'_>) -> Option<(usize, bool)> {
    let mut found = None;
    let mut at = 5;
    while at + 1 < args.len() {
        let is_distance = is(args.at(at), "storedist");
        if is_distance || is(args.at(at), "store") {
            at += 1;
            found = Some((at, is_distance));
        }
        at += 1;
    }
    found
}

fn store_key(args: Args<'_>) -> Option<usize> {
    destination(args).and_then(|(at, is_distance)| (!is_distance).then_some(at))
}

fn storedist_key(args: Args<'_>) -> Option<usize> {
    destination(args).and_then(|(at, is_distance)| is_distance.then_some(at))
}

/// What the six commands have and have not.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// The centre is a position that stands in a fixed place, as the radius does.
    AroundPosition { may_store: bool },
    /// The same with a member.
    AroundMember { may_store: bool },
    /// Everything is said by keywords.
    Search { stores: bool },
}

fn georadius(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    run(ctx, args, Form::AroundPosition { may_store: true })
}

fn georadius_ro(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    run(ctx, args, Form::AroundPosition { may_store: false })
}

fn georadiusbymember(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    run(ctx, args, Form::AroundMember { may_store: true })
}

fn georadiusbymember_ro(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    run(ctx, args, Form::AroundMember { may_store: false })
}

fn geosearch(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    run(ctx, args, Form::Search { stores: false })
}

fn geosearchstore(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    run(ctx, args, Form::Search { stores: true })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    Ascending,
    Descending,
}

/// A query as its arguments say it.
#[derive(Default)]
struct Query<'a> {
    /// FROMMEMBER and FROMLONLAT as words, and as what they come to: a member is nowhere without its key.
    from_member: bool,
    from_position: bool,
    centre: Option<Position>,
    by_radius: bool,
    by_box: bool,
    shape: Option<(Shape, f64)>,
    with_distance: bool,
    with_hash: bool,
    with_position: bool,
    /// At most so many; 0 is all.
    count: usize,
    /// Any will do, not only the nearest.
    any: bool,
    order: Option<Order>,
    store: Option<&'a [u8]>,
    stores_distances: bool,
}

impl<'a> Query<'a> {
    fn parse(args: Args<'a>, form: Form, zset: Option<&ZSet>) -> Result<Query<'a>, CommandError> {
        let mut query = Query::default();
        let first = match form {
            Form::AroundPosition { .. } => {
                query.centre = Some(position(args.at(2), args.at(3))?);
                query.shape = Some(circle(args, 4)?);
                6
            }
            Form::AroundMember { .. } => {
                if let Some(zset) = zset {
                    query.centre = Some(position_of(zset, args.at(2))?);
                    query.shape = Some(circle(args, 3)?);
                }
                5
            }
            Form::Search { stores: false } => 2,
            Form::Search { stores: true } => {
                query.store = Some(args.at(1));
                3
            }
        };
        let mut at = first;
        while at < args.len() {
            at += query.option(args, at, form, zset)?;
        }
        query.check(args, form)?;
        Ok(query)
    }

    /// Reads the option at `at`; returns how many words it has.
    fn option(
        &mut self,
        args: Args<'a>,
        at: usize,
        form: Form,
        zset: Option<&ZSet>,
    ) -> Result<usize, CommandError> {
        let (word, left) = (args.at(at), args.len() - at - 1);
        let is_search = matches!(form, Form::Search { .. });
        let may_store = matches!(
            form,
            Form::AroundPosition { may_store: true } | Form::AroundMember { may_store: true }
        );
        match word {
            _ if is(word, "withdist") => self.with_distance = true,
            _ if is(word, "withhash") => self.with_hash = true,
            _ if is(word, "withcoord") => self.with_position = true,
            _ if is(word, "any") => self.any = true,
            _ if is(word, "asc") => self.order = Some(Order::Ascending),
            _ if is(word, "desc") => self.order = Some(Order::Descending),
            _ if is(word, "count") && left >= 1 => {
                let count = int(args.at(at + 1))?;
                if count <= 0 {
                    return Err(CommandError::err("COUNT must be > 0"));
                }
                self.count = count as usize;
                return Ok(2);
            }
            _ if may_store && left >= 1 && (is(word, "store") || is(word, "storedist")) => {
                self.store = Some(args.at(at + 1));
                self.stores_distances = is(word, "storedist");
                return Ok(2);
            }
            _ if is(word, "storedist") && form == (Form::Search { stores: true }) => {
                self.stores_distances = true;
            }
            _ if is_search => return self.area_option(args, at, zset),
            _ => return Err(CommandError::Syntax),
        }
        Ok(1)
    }

    fn area_option(
        &mut self,
        args: Args<'a>,
        at: usize,
        zset: Option<&ZSet>,
    ) -> Result<usize, CommandError> {
        let (word, left) = (args.at(at), args.len() - at - 1);
        if is(word, "frommember") && left >= 1 && !self.from_position {
            if let Some(zset) = zset {
                self.centre = Some(position_of(zset, args.at(at + 1))?);
            }
            self.from_member = true;
            Ok(2)
        } else if is(word, "fromlonlat") && left >= 2 && !self.from_member {
            self.centre = Some(position(args.at(at + 1), args.at(at + 2))?);
            self.from_position = true;
            Ok(3)
        } else if is(word, "byradius") && left >= 2 && !self.by_box {
            self.shape = Some(circle(args, at + 1)?);
            self.by_radius = true;
            Ok(3)
        } else if is(word, "bybox") && left >= 3 && !self.by_radius {
            self.shape = Some(rectangle(args, at + 1)?);
            self.by_box = true;
            Ok(4)
        } else {
            Err(CommandError::Syntax)
        }
    }

    /// What only all options together tell.
    fn check(&self, args: Args<'_>, form: Form) -> Result<(), CommandError> {
        let is_search = matches!(form, Form::Search { .. });
        if self.store.is_some() && (self.with_distance || self.with_hash || self.with_position) {
            let what = if is_search { "GEOSEARCHSTORE" } else { "STORE option in GEORADIUS" };
            return Err(CommandError::err(format_args!(
                "{what} is not compatible with WITHDIST, WITHHASH and WITHCOORD options"
            )));
        }
        let name = text(args.at(0));
        if is_search && !(self.from_member || self.from_position) {
            return Err(CommandError::err(format_args!(
                "exactly one of FROMMEMBER or FROMLONLAT can be specified for {name}"
            )));
        }
        if is_search && !(self.by_radius || self.by_box) {
            return Err(CommandError::err(format_args!(
                "exactly one of BYRADIUS and BYBOX can be specified for {name}"
            )));
        }
        if self.any && self.count == 0 {
            return Err(CommandError::err("the ANY argument requires COUNT argument"));
        }
        Ok(())
    }

    /// The order of the results: the first few are to be the nearest.
    fn order(&self) -> Option<Order> {
        let needs_order = self.count > 0 && !self.any;
        self.order.or(needs_order.then_some(Order::Ascending))
    }
}

fn position_of(zset: &ZSet, member: &[u8]) -> Result<Position, CommandError> {
    let score = zset.score(member);
    let unknown = || CommandError::err("could not decode requested zset member");
    score.map(Position::of_score).ok_or_else(unknown)
}

fn circle(args: Args<'_>, at: usize) -> Result<(Shape, f64), CommandError> {
    let radius = length(args.at(at), "radius")?;
    if radius < 0.0 {
        return Err(CommandError::err("radius cannot be negative"));
    }
    Ok((Shape::Circle { radius }, unit_m(args.at(at + 1))?))
}

fn rectangle(args: Args<'_>, at: usize) -> Result<(Shape, f64), CommandError> {
    let (width, height) = (length(args.at(at), "width")?, length(args.at(at + 1), "height")?);
    if width < 0.0 || height < 0.0 {
        return Err(CommandError::err("height or width cannot be negative"));
    }
    Ok((Shape::Rectangle { width, height }, unit_m(args.at(at + 2))?))
}

fn length(arg: &[u8], what: &str) -> Result<f64, CommandError> {
    let not_numeric = || CommandError::err(format_args!("need numeric {what}"));
    protocol::parse_f64(arg).ok_or_else(not_numeric)
}

/// A member that was found.
struct Point<'z> {
    member: Item<'z>,
    score: f64,
    at: Position,
    distance_m: f64,
}

fn run(ctx: &mut Ctx<'_>, args: Args<'_>, form: Form) -> Result<(), CommandError> {
    let key_at = if form == (Form::Search { stores: true }) { 2 } else { 1 };
    let limits = ctx.engine.settings.limits.clone();
    let zset = ctx.engine.read_zset(ctx.view, args.at(key_at))?;
    let query = Query::parse(args, form, zset)?;
    // Without a key there is nothing, and nowhere a member could be.
    let area = query.centre.zip(query.shape);
    let area = area.map(|(centre, (shape, unit_m))| Area { centre, shape, unit_m });
    let points = match zset.zip(area) {
        Some((zset, area)) => found(zset, &area, &query),
        None => Vec::new(),
    };
    let unit_m = area.map_or(1.0, |area| area.unit_m);
    match query.store {
        None => reply(&mut ctx.client.out, &points, &query, unit_m),
        Some(dest) => {
            let (len, stored) = (points.len(), stored(&points, &query, unit_m, &limits));
            let event = match form {
                Form::Search { .. } => "geosearchstore",
                _ => "georadiusstore",
            };
            // The last digits of a distance are the library's, and with them who is inside.
            if ctx.replace_with_result(dest, stored, Classes::ZSET, event) {
                ctx.propagate_value(dest);
            }
            ctx.engine.dirty += (len as u64).saturating_sub(1);
            ctx.client.out.int(len as i64);
        }
    }
    Ok(())
}

/// The members in the area, in the order and as many as the query wants.
fn found<'z>(zset: &'z ZSet, area: &Area, query: &Query<'_>) -> Vec<Point<'z>> {
    let limit = if query.any { query.count } else { usize::MAX };
    let mut points: Vec<Point<'z>> = Vec::new();
    for cell in area.cells() {
        let (first, end) = cell.scores();
        for (member, score) in zset.iter_from_score(first) {
            if score >= end || points.len() >= limit {
                break;
            }
            let at = Position::of_score(score);
            if let Some(distance_m) = area.distance_m(at) {
                points.push(Point { member, score, at, distance_m });
            }
        }
    }
    let Some(order) = query.order() else { return points };
    let compare = |a: &Point<'_>, b: &Point<'_>| match order {
        Order::Ascending => a.distance_m.total_cmp(&b.distance_m),
        Order::Descending => b.distance_m.total_cmp(&a.distance_m),
    };
    if query.count > 0 && query.count < points.len() {
        points.select_nth_unstable_by(query.count - 1, compare);
        points.truncate(query.count);
    }
    points.sort_by(compare);
    points
}

fn reply(out: &mut ReplyBuf, points: &[Point<'_>], query: &Query<'_>, unit_m: f64) {
    let with = [query.with_distance, query.with_hash, query.with_position];
    let words = 1 + with.into_iter().filter(|with| *with).count();
    out.array(points.len());
    for point in points {
        if words > 1 {
            out.array(words);
        }
        reply_item(out, point.member);
        if query.with_distance {
            reply_distance(out, point.distance_m / unit_m);
        }
        if query.with_hash {
            out.int(c_signed(point.score));
        }
        if query.with_position {
            reply_position(out, point.at);
        }
    }
}

/// The points as a sorted set, if there are any.
fn stored(points: &[Point<'_>], query: &Query<'_>, unit_m: f64, limits: &Limits) -> Option<Value> {
    let mut zset = ZSet::new();
    zset.expect(points.len(), limits);
    let mut buf = ItemBuf::new();
    for point in points {
        let distance = point.distance_m / unit_m;
        let score = if query.stores_distances { distance } else { point.score };
        zset.insert(point.member.as_bytes(&mut buf), score, limits);
    }
    zset.pack(limits);
    (!points.is_empty()).then_some(Value::ZSet(zset))
}
