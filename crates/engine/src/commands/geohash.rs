//! Owns the geometry of the geo commands: positions as scores of sorted sets, distances, and which scores an
//! area covers. Pure arithmetic, in the order in which Redis does it: its digits are ours.
//!
//! A position is 26 bits of latitude and 26 of longitude, interleaved. The first 2n bits name a cell of a
//! grid of 2^n by 2^n, whose positions have neighbouring scores.

const LONGITUDES: Span = Span { min: -180.0, max: 180.0 };
/// As far as Mercator's projection goes.
const LATITUDES: Span = Span { min: -85.05112878, max: 85.05112878 };
const STEP_MAX: u32 = 26;
const EARTH_RADIUS_M: f64 = 6372797.560856;
/// Half of the projection's width.
const MERCATOR_MAX_M: f64 = 20037726.37;
const RADIANS: f64 = std::f64::consts::PI / 180.0;

#[derive(Clone, Copy)]
struct Span {
    min: f64,
    max: f64,
}

impl Span {
    fn has(self, at: f64) -> bool {
        self.min <= at && at <= self.max
    }

    /// Which of 2^step parts `at` lies in.
    fn part_of(self, at: f64, step: u32) -> u32 {
        ((at - self.min) / (self.max - self.min) * (1_u64 << step) as f64) as u32
    }

    /// Where the part begins and ends.
    fn part(self, part: u32, step: u32) -> Span {
        let edge =
            |part: u32| self.min + f64::from(part) / (1_u64 << step) as f64 * (self.max - self.min);
        Span { min: edge(part), max: edge(part.wrapping_add(1)) }
    }

    fn centre(self, part: u32) -> f64 {
        let part = self.part(part, STEP_MAX);
        ((part.min + part.max) / 2.0).min(self.max).max(self.min)
    }
}

/// Longitude and latitude in degrees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Position {
    pub longitude: f64,
    pub latitude: f64,
}

impl Position {
    /// `None` where it cannot be a score.
    pub fn new(longitude: f64, latitude: f64) -> Option<Position> {
        let fits = LONGITUDES.has(longitude) && LATITUDES.has(latitude);
        fits.then_some(Position { longitude, latitude })
    }

    pub fn score(self) -> u64 {
        Cell::of(self, LATITUDES, STEP_MAX).bits
    }

    /// The middle of what the score names. Any score names something: sorted sets may have other ones.
    pub fn of_score(score: f64) -> Position {
        let bits = c_unsigned(score);
        Position {
            longitude: LONGITUDES.centre(gather(bits >> 1)),
            latitude: LATITUDES.centre(gather(bits)),
        }
    }

    /// The geohash that other programs know, for which latitudes go up to the poles. Of its 11 letters
    /// the last is one of no bits.
    pub fn text(self) -> [u8; 11] {
        const LETTERS: &[u8; 32] = b"0123456789bcdefghjkmnpqrstuvwxyz";
        let to_poles = Span { min: -90.0, max: 90.0 };
        let bits = Cell::of(self, to_poles, STEP_MAX).bits;
        std::array::from_fn(|at| match at {
            10 => LETTERS[0],
            _ => LETTERS[(bits >> (52 - (at + 1) * 5)) as usize & 0x1f],
        })
    }
}

/// As C converts a score, on the processors that Redis runs on, where it is below zero or beyond 64 bits.
fn c_unsigned(score: f64) -> u64 {
    const TWO_TO_63: f64 = (1_u64 << 63) as f64;
    match score {
        _ if score < TWO_TO_63 => score as i64 as u64,
        _ if score < TWO_TO_63 * 2.0 => score as u64,
        _ => 0,
    }
}

/// A score in replies, which are signed.
pub(super) fn c_signed(score: f64) -> i64 {
    if score < i64::MAX as f64 { score as i64 } else { i64::MIN }
}

/// Puts a gap behind each bit.
fn spread(bits: u32) -> u64 {
    let mut bits = u64::from(bits);
    bits = (bits | bits << 16) & 0x0000_ffff_0000_ffff;
    bits = (bits | bits << 8) & 0x00ff_00ff_00ff_00ff;
    bits = (bits | bits << 4) & 0x0f0f_0f0f_0f0f_0f0f;
    bits = (bits | bits << 2) & 0x3333_3333_3333_3333;
    (bits | bits << 1) & EVEN
}

/// Every other bit, from the lowest on.
fn gather(bits: u64) -> u32 {
    let mut bits = bits & EVEN;
    bits = (bits | bits >> 1) & 0x3333_3333_3333_3333;
    bits = (bits | bits >> 2) & 0x0f0f_0f0f_0f0f_0f0f;
    bits = (bits | bits >> 4) & 0x00ff_00ff_00ff_00ff;
    bits = (bits | bits >> 8) & 0x0000_ffff_0000_ffff;
    (bits | bits >> 16) as u32
}

const EVEN: u64 = 0x5555_5555_5555_5555;
const ODD: u64 = !EVEN;

/// A cell of the grid of 2^step by 2^step: bits of the longitude are the odd ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cell {
    bits: u64,
    step: u32,
}

impl Cell {
    fn of(position: Position, latitudes: Span, step: u32) -> Cell {
        let latitude = spread(latitudes.part_of(position.latitude, step));
        let longitude = spread(LONGITUDES.part_of(position.longitude, step));
        Cell { bits: latitude | longitude << 1, step }
    }

    /// The first score of the cell, and the first behind it.
    pub fn scores(self) -> (f64, f64) {
        let shift = 2 * (STEP_MAX - self.step);
        ((self.bits << shift) as f64, ((self.bits + 1) << shift) as f64)
    }

    fn area(self) -> (Span, Span) {
        let longitudes = LONGITUDES.part(gather(self.bits >> 1), self.step);
        (longitudes, LATITUDES.part(gather(self.bits), self.step))
    }

    /// So many cells to the east and to the north, -1 to 1, around the edges of the map.
    fn neighbour(self, east: i8, north: i8) -> Cell {
        let within = u64::MAX >> (64 - 2 * self.step);
        // Set gaps carry what is added through, and clear ones what is taken away.
        let moved = |bits: u64, own: u64, by: i8| match by {
            0 => bits & own,
            1 => (bits & own).wrapping_add((!own & within) + 1) & own & within,
            _ => (bits & own | !own & within).wrapping_sub((!own & within) + 1) & own & within,
        };
        Cell { bits: moved(self.bits, ODD, east) | moved(self.bits, EVEN, north), ..self }
    }
}

/// What is searched through, around a centre.
#[derive(Clone, Copy, Debug)]
pub(super) struct Area {
    pub centre: Position,
    pub shape: Shape,
    /// How many metres the shape's unit has.
    pub unit_m: f64,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Shape {
    Circle { radius: f64 },
    Rectangle { width: f64, height: f64 },
}

/// Edges in degrees.
struct Edges {
    west: f64,
    south: f64,
    east: f64,
    north: f64,
}

impl Area {
    /// The distance of a position from the centre in metres, if it lies within.
    pub fn distance_m(&self, at: Position) -> Option<f64> {
        let along_meridian_m = meridian_m(at.latitude, self.centre.latitude);
        match self.shape {
            Shape::Circle { radius } => {
                let radius_m = radius * self.unit_m;
                // The way is no shorter than its northern part; a sum of roundings is far below a metre.
                if along_meridian_m > radius_m + 1.0 {
                    return None;
                }
                let distance_m = distance_m(self.centre, at);
                (distance_m <= radius_m).then_some(distance_m)
            }
            Shape::Rectangle { width, height } => {
                if along_meridian_m > height * self.unit_m / 2.0 {
                    return None;
                }
                let beside = Position { latitude: at.latitude, ..self.centre };
                if distance_m(at, beside) > width * self.unit_m / 2.0 {
                    return None;
                }
                Some(distance_m(self.centre, at))
            }
        }
    }

    /// The cells that cover the area, in the order in which they are searched: that of the centre, then of
    /// its neighbours those that are needed.
    pub fn cells(&self) -> impl Iterator<Item = Cell> {
        let edges = self.edges();
        let mut step = self.step();
        let mut centre = Cell::of(self.centre, LATITUDES, step);
        // Near an edge of the centre's cell its neighbours may not reach far enough.
        let (east, west) = (centre.neighbour(1, 0).area().0, centre.neighbour(-1, 0).area().0);
        let (north, south) = (centre.neighbour(0, 1).area().1, centre.neighbour(0, -1).area().1);
        let too_small = north.max < edges.north
            || south.min > edges.south
            || east.max < edges.east
            || west.min > edges.west;
        if step > 1 && too_small {
            step -= 1;
            centre = Cell::of(self.centre, LATITUDES, step);
        }
        let (longitudes, latitudes) = centre.area();
        let leaves_out = move |(east, north): (i8, i8)| {
            step >= 2
                && (north < 0 && latitudes.min < edges.south
                    || north > 0 && latitudes.max > edges.north
                    || east < 0 && longitudes.min < edges.west
                    || east > 0 && longitudes.max > edges.east)
        };
        const AROUND: [(i8, i8); 8] =
            [(0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (-1, 1), (1, -1), (-1, -1)];
        let around = AROUND.into_iter().filter(move |at| !leaves_out(*at));
        let mut last = None;
        let around = around.map(move |(east, north)| centre.neighbour(east, north));
        // Of large cells there are so few that neighbours are the same.
        let around = around.filter(move |cell| last.replace(*cell) != Some(*cell));
        std::iter::once(centre).chain(around)
    }

    fn edges(&self) -> Edges {
        let (width, height) = match self.shape {
            Shape::Circle { radius } => (radius, radius),
            Shape::Rectangle { width, height } => (width / 2.0, height / 2.0),
        };
        let (width_m, height_m) = (self.unit_m * width, self.unit_m * height);
        let Position { longitude, latitude } = self.centre;
        let up = height_m / EARTH_RADIUS_M / RADIANS;
        // It is widest where the meridians are closest.
        let farther = if latitude < 0.0 { latitude - up } else { latitude + up };
        let aside = width_m / EARTH_RADIUS_M / (farther * RADIANS).cos() / RADIANS;
        Edges {
            west: longitude - aside,
            south: latitude - up,
            east: longitude + aside,
            north: latitude + up,
        }
    }

    /// The smallest cells of which nine nearly always cover the area.
    fn step(&self) -> u32 {
        let radius = match self.shape {
            Shape::Circle { radius } => radius,
            Shape::Rectangle { width, height } => {
                ((width / 2.0) * (width / 2.0) + (height / 2.0) * (height / 2.0)).sqrt()
            }
        };
        let mut radius_m = radius * self.unit_m;
        if radius_m == 0.0 {
            return STEP_MAX;
        }
        let mut step = 1;
        while radius_m < MERCATOR_MAX_M {
            radius_m *= 2.0;
            step += 1;
        }
        step -= 2;
        // Cells become narrow towards the poles.
        for limit in [66.0, 80.0] {
            step -= i32::from(self.centre.latitude.abs() > limit);
        }
        step.clamp(1, STEP_MAX as i32) as u32
    }
}

fn meridian_m(a: f64, b: f64) -> f64 {
    EARTH_RADIUS_M * (b * RADIANS - a * RADIANS).abs()
}

/// The distance on a sphere (haversine).
pub(super) fn distance_m(a: Position, b: Position) -> f64 {
    let v = ((b.longitude * RADIANS - a.longitude * RADIANS) / 2.0).sin();
    if v == 0.0 {
        return meridian_m(a.latitude, b.latitude);
    }
    let (a_latitude, b_latitude) = (a.latitude * RADIANS, b.latitude * RADIANS);
    let u = ((b_latitude - a_latitude) / 2.0).sin();
    let h = u * u + a_latitude.cos() * b_latitude.cos() * v * v;
    // Rounding may take antipodes beyond the sphere.
    2.0 * EARTH_RADIUS_M * h.sqrt().min(1.0).asin()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_score_names_its_position() {
        // Of the documentation: Palermo and Catania.
        let palermo = Position::new(13.361389, 38.115556).unwrap();
        let catania = Position::new(15.087269, 37.502669).unwrap();
        assert_eq!(palermo.score(), 3_479_099_956_230_698);
        assert_eq!(catania.score(), 3_479_447_370_796_909);
        let decoded = Position::of_score(palermo.score() as f64);
        assert_eq!(decoded.longitude, 13.361_389_338_970_184);
        assert_eq!(&decoded.text(), b"sqc8b49rny0");
        let decoded_catania = Position::of_score(catania.score() as f64);
        assert_eq!(format!("{:.4}", distance_m(decoded, decoded_catania)), "166274.1516");
    }

    #[test]
    fn neighbours_are_one_part_away_around_the_map() {
        for step in [1, 2, 5, 26] {
            let last = ((1_u64 << step) - 1) as u32;
            for (x, y) in [(0, 0), (last, last), (last / 2, last), (last / 2, last / 3)] {
                let cell = Cell { bits: spread(y) | spread(x) << 1, step };
                for (east, north) in [(1, 0), (-1, 0), (0, 1), (0, -1), (1, -1), (-1, 1)] {
                    let moved = cell.neighbour(east, north);
                    let along = |at: u32, by: i8| at.wrapping_add_signed(by.into()) & last;
                    assert_eq!(gather(moved.bits >> 1), along(x, east), "{step} {x} {east}");
                    assert_eq!(gather(moved.bits), along(y, north), "{step} {y} {north}");
                }
            }
        }
    }

    /// No position within an area may lie outside of the cells that are looked through.
    #[test]
    fn cells_cover_their_area() {
        let mut rng = fastrand::Rng::with_seed(1);
        let mut within = 0;
        for _ in 0..3_000 {
            let near = |rng: &mut fastrand::Rng, at: f64, by: f64| at + (rng.f64() - 0.5) * by;
            let centre = Position::new(near(&mut rng, 0.0, 300.0), near(&mut rng, 0.0, 120.0));
            let centre = centre.unwrap();
            let size = 10_f64.powf(rng.f64() * 6.0);
            let shape = match rng.bool() {
                true => Shape::Circle { radius: size },
                false => Shape::Rectangle { width: size, height: size * rng.f64() * 2.0 },
            };
            let area = Area { centre, shape, unit_m: 1.0 };
            let cells: Vec<Cell> = area.cells().collect();
            for _ in 0..20 {
                let degrees = size / 50_000.0;
                let at = Position::new(
                    near(&mut rng, centre.longitude, degrees),
                    near(&mut rng, centre.latitude, degrees),
                );
                let Some(at) = at else { continue };
                let score = at.score() as f64;
                if area.distance_m(Position::of_score(score)).is_none() {
                    continue;
                }
                within += 1;
                let covers = |cell: &Cell| {
                    let (first, end) = cell.scores();
                    first <= score && score < end
                };
                assert!(cells.iter().any(covers), "{area:?} {at:?}");
            }
        }
        assert!(within > 1_000, "{within}");
    }

    #[test]
    fn any_score_is_a_position() {
        for score in [-1.0, -1e300, 1e19, 1e300, f64::INFINITY, f64::NEG_INFINITY, 0.5, 9.3e18] {
            let at = Position::of_score(score);
            assert!(LONGITUDES.has(at.longitude) && LATITUDES.has(at.latitude), "{score}");
        }
        assert_eq!(c_unsigned(-1.0), u64::MAX);
        assert_eq!(c_signed(1e300), i64::MIN);
    }
}
