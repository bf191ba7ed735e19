//! Geo sets through the engine's public API: replies, what travels, where the keys are.

mod common;

use common::{Database, script, words};

#[test]
fn positions_distances_and_hashes_are_told() {
    script(
        "GEOADD g 13.361389 38.115556 palermo 15.087269 37.502669 catania => :2
         GEOADD g NX 0 0 palermo => :0
         GEOADD g XX CH 0 0 palermo 1 1 other => :1
         GEOADD g CH 13.361389 38.115556 palermo => :1
         ZSCORE g palermo => 3479099956230698
         GEODIST g palermo catania => 166274.1516
         GEODIST g palermo catania km => 166.2742
         GEODIST g palermo catania FT => 545518.8700
         GEODIST g palermo palermo => 0.0000
         GEODIST g palermo none => $-1
         GEODIST none a b => $-1
         GEODIST g palermo catania x => -ERR unsupported unit provided. please use M, KM, FT, MI
         GEOPOS g palermo none => *2 *2 13.36138933897018433 38.11555639549629859 *-1
         GEOPOS none a => *1 *-1
         GEOHASH g palermo none => *2 sqc8b49rny0 $-1
         GEOADD g 181 0 x => -ERR invalid longitude,latitude pair 181.000000,0.000000
         GEOADD g 0 86 x => -ERR invalid longitude,latitude pair 0.000000,86.000000
         GEOADD g 0 x y => -ERR value is not a valid float
         GEOADD g NX XX 0 0 x => -ERR syntax error
         GEOADD g NX CH XX => -ERR syntax error
         GEOADD g 0 0 x 1 => -ERR syntax error
         SET s x => +OK
         GEOADD s 0 0 x => -WRONGTYPE Operation against a key holding the wrong kind of value
         GEOPOS s x => -WRONGTYPE Operation against a key holding the wrong kind of value",
    );
}

#[test]
fn areas_are_searched() {
    script(
        "GEOADD g 13.361389 38.115556 palermo 15.087269 37.502669 catania 12.758489 38.788135 edge1 17.241510 38.788135 edge2 => :4
         GEOSEARCH g FROMLONLAT 15 37 BYRADIUS 200 km ASC => *2 catania palermo
         GEOSEARCH g FROMLONLAT 15 37 BYRADIUS 200 km DESC => *2 palermo catania
         GEOSEARCH g FROMLONLAT 15 37 BYBOX 400 400 km ASC COUNT 3 => *3 catania palermo edge2
         GEOSEARCH g FROMMEMBER palermo BYRADIUS 1 m => *1 palermo
         GEORADIUS g 15 37 200 km WITHDIST WITHHASH ASC COUNT 1 => *1 *3 catania 56.4413 :3479447370796909
         GEORADIUSBYMEMBER g palermo 200 km WITHCOORD COUNT 1 DESC => *1 *2 catania *2 15.08726745843887329 37.50266842333162032
         GEORADIUSBYMEMBER_RO g palermo 200 km STORE d => -ERR syntax error
         GEORADIUS g 15 37 200 km STORE d => :2
         ZRANGE d 0 -1 WITHSCORES => *4 palermo 3479099956230698 catania 3479447370796909
         GEOSEARCHSTORE d g FROMLONLAT 15 37 BYRADIUS 200 km COUNT 1 STOREDIST => :1
         ZRANGE d 0 -1 => *1 catania
         GEOSEARCHSTORE d g FROMLONLAT 0 0 BYRADIUS 1 m => :0
         EXISTS d => :0
         GEOSEARCH none FROMMEMBER x BYRADIUS 1 m => *0
         GEORADIUSBYMEMBER none x nonsense => -ERR wrong number of arguments for 'georadiusbymember' command
         GEORADIUSBYMEMBER none x nonsense m => *0
         GEORADIUSBYMEMBER g none 1 m => -ERR could not decode requested zset member",
    );
}

#[test]
fn queries_that_say_too_little_or_too_much_are_refused() {
    script(
        "GEOADD g 1 1 a => :1
         GEOSEARCH g FROMLONLAT 1 1 ASC ASC ASC => -ERR exactly one of BYRADIUS and BYBOX can be specified for GEOSEARCH
         geosearch g BYRADIUS 1 m ASC ASC => -ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for geosearch
         GEOSEARCH g FROMLONLAT 1 1 FROMMEMBER a BYRADIUS 1 m => -ERR syntax error
         GEOSEARCH g FROMLONLAT 1 1 BYRADIUS 1 m BYBOX 1 1 m => -ERR syntax error
         GEOSEARCH g FROMLONLAT 1 1 BYRADIUS -1 m => -ERR radius cannot be negative
         GEOSEARCH g FROMLONLAT 1 1 BYRADIUS x m => -ERR need numeric radius
         GEOSEARCH g FROMLONLAT 1 1 BYBOX 1 -1 m => -ERR height or width cannot be negative
         GEOSEARCH g FROMLONLAT 1 1 BYRADIUS 1 m ANY => -ERR the ANY argument requires COUNT argument
         GEOSEARCH g FROMLONLAT 1 1 BYRADIUS 1 m COUNT 0 => -ERR COUNT must be > 0
         GEOSEARCH g FROMLONLAT 1 1 BYRADIUS 1 m STOREDIST => -ERR syntax error
         GEOSEARCHSTORE d g FROMLONLAT 1 1 BYRADIUS 1 m WITHDIST => -ERR GEOSEARCHSTORE is not compatible with WITHDIST, WITHHASH and WITHCOORD options
         GEORADIUS g 1 1 1 m STORE d WITHHASH => -ERR STORE option in GEORADIUS is not compatible with WITHDIST, WITHHASH and WITHCOORD options",
    );
}

/// Scores are what all versions understand alike.
#[test]
fn positions_travel_as_scores() {
    let mut db = Database::new();
    let c = db.connect();
    db.run(c, "GEOADD g CH 13.361389 38.115556 palermo");
    assert_eq!(db.stream(), "SELECT 0 ZADD g CH 3479099956230698 palermo");
    db.run(c, "GEOADD g 13.361389 38.115556 palermo");
    assert_eq!(db.stream(), "");
    db.run(c, "GEORADIUS g 15 37 200 km STORE d");
    assert_eq!(db.stream(), "MULTI DEL d ZADD d 3479099956230698 palermo EXEC");
    db.run(c, "GEORADIUS g 15 37 200 km");
    assert_eq!(db.stream(), "");
}

#[test]
fn the_destination_of_a_search_is_a_key() {
    let mut db = Database::new();
    let c = db.connect();
    for (command, keys) in [
        ("GEORADIUS g 1 1 1 km STORE d", "*2 g d"),
        ("GEORADIUS g 1 1 1 km STORE d STOREDIST e", "*2 g e"),
        ("GEORADIUS g 1 1 1 km STOREDIST e STORE d ASC", "*2 g d"),
        ("GEORADIUS g 1 1 1 km STORE", "*1 g"),
        ("GEORADIUSBYMEMBER g STORE STORE km STORE d", "*2 g d"),
        ("GEOSEARCHSTORE d g FROMMEMBER x BYRADIUS 1 km", "*2 d g"),
    ] {
        assert_eq!(words(&db.run(c, &format!("COMMAND GETKEYS {command}"))), keys, "{command}");
    }
}
