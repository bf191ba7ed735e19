//! `--latency-dist`: how long a PING takes, as a spectrum of 256 colours, a line each second.
//!
//! Must not: time anything but PING.

use std::time::{Duration, Instant};

use crate::Exit;
use crate::shell::session::Session;
use crate::term::{self, out};

const PAUSE: Duration = Duration::from_millis(10);
const INTERVAL: Duration = Duration::from_secs(1);
const LINES_PER_LEGEND: u64 = 20;
const COLOURS: &[u8] =
    &[0, 233, 234, 235, 237, 239, 241, 243, 245, 247, 144, 143, 142, 184, 226, 214, 208, 202, 196];
const GREYS: &[u8] = &[0, 233, 234, 235, 237, 239, 241, 243, 245, 247, 249, 251, 253];

/// Up to so many microseconds, and the sign of the column; what takes longer is the last.
const COLUMNS: &[(u64, char)] = &[
    (10, '.'),
    (125, '-'),
    (250, '*'),
    (500, '#'),
    (1_000, '1'),
    (2_000, '2'),
    (3_000, '3'),
    (4_000, '4'),
    (5_000, '5'),
    (6_000, '6'),
    (7_000, '7'),
    (8_000, '8'),
    (9_000, '9'),
    (10_000, 'A'),
    (20_000, 'B'),
    (30_000, 'C'),
    (40_000, 'D'),
    (50_000, 'E'),
    (100_000, 'F'),
    (200_000, 'G'),
    (300_000, 'H'),
    (400_000, 'I'),
    (500_000, 'J'),
    (1_000_000, 'K'),
    (2_000_000, 'L'),
    (4_000_000, 'M'),
    (8_000_000, 'N'),
    (16_000_000, 'O'),
    (30_000_000, 'P'),
    (60_000_000, 'Q'),
    (u64::MAX, '?'),
];

pub(super) fn run(session: &mut Session) -> Result<(), Exit> {
    let palette = if session.options.monochrome { GREYS } else { COLOURS };
    let interval = session.options.interval.unwrap_or(INTERVAL);
    let mut counts = vec![0u64; COLUMNS.len()];
    let (mut begun, mut lines) = (Instant::now(), 0u64);
    loop {
        let sent = Instant::now();
        session.call_reconnecting(&[b"PING"])?;
        let us = sent.elapsed().as_micros() as u64;
        let column = COLUMNS.iter().position(|(up_to, _)| us <= *up_to);
        counts[column.unwrap_or(COLUMNS.len() - 1)] += 1;
        if begun.elapsed() > interval {
            if lines.is_multiple_of(LINES_PER_LEGEND) {
                out(legend(palette));
            }
            lines += 1;
            out(spectrum(&counts, palette));
            term::flush();
            counts.fill(0);
            begun = Instant::now();
        }
        std::thread::sleep(PAUSE);
    }
}

/// A line: the larger a column's share, the brighter its colour.
fn spectrum(counts: &[u64], palette: &[u8]) -> String {
    let total = counts.iter().sum::<u64>().max(1) as f64;
    let mut line = String::from("\x1b[38;5;0m");
    for (count, (_, sign)) in counts.iter().zip(COLUMNS) {
        let shade = (*count as f64 / total * (palette.len() - 1) as f64).ceil() as usize;
        line.push_str(&format!("\x1b[48;5;{}m{sign}", palette[shade.min(palette.len() - 1)]));
    }
    line + "\x1b[0m\n"
}

fn legend(palette: &[u8]) -> String {
    let rule = "---------------------------------------------\n";
    let shades: String = palette.iter().map(|shade| format!("\x1b[48;5;{shade}m ")).collect();
    format!(
        "{rule}\
         . - * #          .01 .125 .25 .5 milliseconds\n\
         1,2,3,...,9      from 1 to 9     milliseconds\n\
         A,B,C,D,E        10,20,30,40,50  milliseconds\n\
         F,G,H,I,J        .1,.2,.3,.4,.5       seconds\n\
         K,L,M,N,O,P,Q,?  1,2,4,8,16,30,60,>60 seconds\n\
         From 0 to 100%: {shades}\x1b[0m\n{rule}"
    )
}
