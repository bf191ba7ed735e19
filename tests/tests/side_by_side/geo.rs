//! Geo sets: positions to the last digit, distances, and what searches find.

use fastrand::Rng;

use super::{Command, Pair, words};

#[test]
fn geo_sets_are_searched_alike() {
    for seed in [1, 2, 3] {
        let mut pair = Pair::start(2 + seed as u8 % 2, seed);
        pair.compare(4_000, |rng| random(rng, 1.0, true));
    }
}

/// Near the poles, across the date line and with radii of half the globe.
#[test]
fn large_areas_are_searched_alike() {
    let mut pair = Pair::start(2, 4);
    pair.compare(4_000, |rng| random(rng, 1_000.0, true));
}

/// Members may have scores that are no positions.
#[test]
fn any_score_is_taken_for_the_same_position() {
    let mut pair = Pair::start(2, 5);
    pair.compare(2_000, |rng| match rng.u8(..4) {
        0 => {
            let score = match rng.u8(..4) {
                0 => format!("{}", rng.i64(..)),
                1 => format!("-{}", rng.u32(..)),
                2 => format!("{}", rng.f64() * 4.5e15),
                _ => ["inf", "-inf", "1e19", "1e18", "9223372036854775808"][rng.usize(..5)].into(),
            };
            words(&format!("ZADD {} {score} {}", key(rng), member(rng)))
        }
        _ => random(rng, 1.0, false),
    });
}

fn key(rng: &mut Rng) -> &'static str {
    ["g", "h", "large"][rng.usize(..3)]
}

fn member(rng: &mut Rng) -> String {
    match rng.bool() {
        true => format!("m{}", rng.u8(..30)),
        false => format!("{}", rng.u16(..400)),
    }
}

/// Mostly in one region, so that there is something to be found.
fn position(rng: &mut Rng) -> String {
    let share = if rng.u8(..3) == 0 { 1.0 } else { 0.01 };
    let at = |rng: &mut Rng, most: f64| (rng.f64() - 0.5) * 2.0 * most * share;
    format!("{} {}", at(rng, 180.0), at(rng, 85.0))
}

fn unit(rng: &mut Rng) -> &'static str {
    ["m", "km", "ft", "mi", "KM"][rng.usize(..5)]
}

fn length(rng: &mut Rng, scale: f64) -> f64 {
    rng.f64() * 10_f64.powi(rng.i32(0..6)) * scale
}

fn options(rng: &mut Rng, may_show: bool, sorts: bool) -> String {
    let mut options = String::new();
    if may_show {
        for option in [" WITHDIST", " WITHHASH", " WITHCOORD"] {
            options += if rng.bool() { option } else { "" };
        }
    }
    options += ["", " ASC", " DESC", " ASC"][if sorts { rng.usize(..4) } else { 0 }];
    if sorts && rng.bool() {
        let any = if rng.u8(..3) == 0 { " ANY" } else { "" };
        options += &format!(" COUNT {}{any}", rng.u8(1..20));
    }
    options
}

/// Searches have an order only where no two members are equally far: Redis's sort is not a stable one.
fn random(rng: &mut Rng, scale: f64, sorts: bool) -> Command {
    let (key, other) = (key(rng), key(rng));
    let (member, another) = (member(rng), member(rng));
    let (position, unit, length) = (position(rng), unit(rng), length(rng, scale));
    let search = || -> String {
        let mut rng = Rng::with_seed(length.to_bits());
        let from = match rng.bool() {
            true => format!("FROMLONLAT {position}"),
            false => format!("FROMMEMBER {member}"),
        };
        match rng.bool() {
            true => format!("{from} BYRADIUS {length} {unit}"),
            false => format!("{from} BYBOX {length} {} {unit}", length * rng.f64() * 2.0),
        }
    };
    words(&match rng.u8(..16) {
        0..=4 if key == "large" => {
            let more: Vec<String> =
                (0..20).map(|_| format!("{} {}", self::position(rng), self::member(rng))).collect();
            format!("GEOADD {key} {}", more.join(" "))
        }
        0..=3 => format!("GEOADD {key} {position} {member}"),
        4 => {
            let options = ["NX", "XX", "CH", "NX CH", "XX CH", "NX XX"][rng.usize(..6)];
            let elsewhere = self::position(rng);
            format!("GEOADD {key} {options} {position} {member} {elsewhere} {another}")
        }
        5 => format!("GEODIST {key} {member} {another} {unit}"),
        6 => format!("GEOHASH {key} {member} {another}"),
        7 => format!("GEOPOS {key} {member} {another}"),
        8..=9 => format!("GEOSEARCH {key} {}{}", search(), options(rng, true, sorts)),
        10 => {
            let source = ["g", "large"][rng.usize(..2)];
            let (dest, store) = [(other, ""), ("d", " STOREDIST")][rng.usize(..2)];
            let options = options(rng, false, sorts);
            format!("GEOSEARCHSTORE {dest} {source} {}{store}{options}", search())
        }
        11 => {
            let store = ["", " STORE d", " STOREDIST d"][rng.usize(..3)];
            let options = options(rng, store.is_empty(), sorts);
            format!("GEORADIUS {key} {position} {length} {unit}{options}{store}")
        }
        12 => {
            format!("GEORADIUSBYMEMBER {key} {member} {length} {unit}{}", options(rng, true, sorts))
        }
        13 => format!("ZRANGE {} 0 -1 WITHSCORES", ["d", other][rng.usize(..2)]),
        14 => format!("ZREM {key} {member}"),
        _ => format!("OBJECT ENCODING {other}"),
    })
}
