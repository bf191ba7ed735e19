//! The printed table: one line as soon as its figure is known.

use testkit::process::run;
use testkit::wait::SHORT;

use crate::Plan;

const NAME_WIDTH: usize = 44;

/// Counts the figures that are within their target, for the closing line.
#[derive(Debug)]
pub struct Table {
    heading: String,
    lines: usize,
    reached: usize,
}

impl Table {
    pub fn new(plan: &Plan) -> Table {
        let versions = plan.sides.map(|kind| {
            let done = run(&kind.program(), &["--version"], SHORT);
            format!("{kind:?}: {}", done.stdout.trim())
        });
        let columns = format!(
            "{:NAME_WIDTH$} {:>12} {:>12} {:>7} {:>7}",
            format!("medians of {}", plan.runs),
            format!("{:?}", plan.sides[0]),
            format!("{:?}", plan.sides[1]),
            "ratio",
            "target"
        );
        Table {
            heading: format!("{}\n{}\n\n{columns}", versions[0], versions[1]),
            lines: 0,
            reached: 0,
        }
    }

    pub fn heading(&self) -> &str {
        &self.heading
    }

    /// Prints one figure of both sides, their ratio, and the ratio aimed at.
    pub fn line(&mut self, name: &str, unit: &str, figures: [f64; 2], target: f64) {
        let ratio = figures[1] / figures[0];
        let within = ratio <= target;
        self.lines += 1;
        self.reached += usize::from(within);
        println!(
            "{:NAME_WIDTH$} {:>12} {:>12} {ratio:>7.2} {target:>7.2}{}",
            format!("{name} [{unit}]"),
            shown(figures[0]),
            shown(figures[1]),
            if within { "" } else { "  above" }
        );
    }

    /// Says of a row that it could not be measured.
    pub fn left_out(&self, name: &str, why: &str) {
        println!("{name:NAME_WIDTH$} left out: {why}");
    }

    pub fn summary(&self) -> String {
        format!("\n{} of {} figures within their target", self.reached, self.lines)
    }
}

/// Three digits that count, whatever the size.
fn shown(figure: f64) -> String {
    match figure {
        f if f >= 100.0 => format!("{f:.0}"),
        f if f >= 10.0 => format!("{f:.1}"),
        f => format!("{f:.3}"),
    }
}
