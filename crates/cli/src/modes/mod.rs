//! What redis-cli does instead of running a command: a file a mode.
//!
//! Must not: hold a mode itself. Three need no connection of their own: they have none, or many.

mod big_keys;
mod hot_keys;
mod intrinsic_latency;
mod latency;
mod latency_dist;
mod lru_test;
mod pipe;
mod promote;
mod scan;
mod stat;
mod survey;
pub(crate) mod sync;
mod topology;

use crate::Exit;
use crate::shell::options::{Mode, Options};
use crate::shell::session::{Announce, Session};

/// Runs one.
pub(crate) fn run(mode: Mode, options: Options) -> Result<(), Exit> {
    match mode {
        Mode::IntrinsicLatency => return intrinsic_latency::run(options.intrinsic_s),
        Mode::Topology => return topology::run(&options),
        Mode::Promote => return promote::run(&options),
        _ => {}
    }
    let mut session = Session::new(options);
    session.connect(Announce::Errors).map_err(|_| Exit(1))?;
    match mode {
        Mode::Latency => latency::run(&mut session),
        Mode::LatencyDist => latency_dist::run(&mut session),
        Mode::Replica => sync::print_stream(session.into_connection()?, true),
        Mode::Rdb | Mode::FunctionsRdb => {
            let what = match mode {
                Mode::Rdb => sync::What::Everything,
                _ => sync::What::Functions,
            };
            let path = session.options.rdb_file.clone();
            sync::fetch(session.into_connection()?, &path, what)
        }
        Mode::Pipe => pipe::run(session),
        Mode::BigKeys => big_keys::run(&mut session, big_keys::Measure::Elements),
        Mode::MemKeys => {
            let samples = session.options.memkeys_samples;
            big_keys::run(&mut session, big_keys::Measure::Memory { samples })
        }
        Mode::HotKeys => hot_keys::run(&mut session),
        Mode::Stat => stat::run(&mut session),
        Mode::Scan => scan::run(&mut session),
        Mode::LruTest => lru_test::run(&mut session),
        Mode::IntrinsicLatency | Mode::Topology | Mode::Promote => Ok(()),
    }
}
