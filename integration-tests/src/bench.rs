//! Benchmarks in instructions and cycles: figures that do not depend on the machine.

use std::{collections::BTreeMap, path::PathBuf};

use anyhow::Context;
use clap::Parser;

mod figures;
mod history;
mod largest;
mod reading;
mod stored;

use self::figures::Benchmark;

/// Prints one line per figure: `name value unit`.
#[derive(Debug, Parser)]
#[command(
    name = "bench",
    after_help = "Examples:\n  ./scripts/bench\n  ./scripts/bench blob_store\n  ./scripts/bench --compare\n  \
                  ./scripts/bench --all --write\n\n\
                  Benchmarks that take minutes (the largest modules, stores and histories) run only when they are asked \
                  for: by a name that theirs starts with or that starts with theirs, or with --all."
)]
pub struct Args {
    /// Runs only benchmarks whose name starts with this, those that take minutes among them.
    #[arg(default_value = "")]
    name: String,
    /// Runs also the benchmarks that take minutes.
    #[arg(long)]
    all: bool,
    /// Prints after the figures which of them moved from those in the repository.
    #[arg(long)]
    compare: bool,
    /// Writes the figures to the results in the repository.
    #[arg(long, conflicts_with = "compare")]
    write: bool,
}

impl Args {
    /// Tells whether a benchmark is to be run.
    fn want(&self, benchmark: &Benchmark) -> bool {
        let is_named = benchmark.name.starts_with(&self.name) || self.name.starts_with(benchmark.name);
        is_named && (self.all || !self.name.is_empty() || !benchmark.takes_minutes)
    }
}

/// A figure of a benchmark.
#[derive(Clone, Debug, PartialEq)]
struct Figure {
    /// Dotted name: canister, operation, what is counted.
    name: String,
    /// The value.
    value: f64,
    /// Its unit.
    unit: String,
}

impl Figure {
    fn new(name: &str, value: f64, unit: &str) -> Self {
        Self { name: name.to_string(), value, unit: unit.to_string() }
    }

    fn line(&self) -> String {
        // Whole numbers are counts; others are ratios, for which one digit tells enough.
        if self.value.fract() == 0.0 {
            format!("{} {} {}", self.name, self.value, self.unit)
        } else {
            format!("{} {:.1} {}", self.name, self.value, self.unit)
        }
    }

    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let (name, value, unit) = (words.next()?, words.next()?.parse().ok()?, words.next()?);
        Some(Self::new(name, value, unit))
    }
}

/// Part of its value by which a figure must move to be reported.
const NOTABLE_CHANGE: f64 = 0.005;

/// Runs benchmarks and prints their figures.
///
/// # Errors
/// When a benchmark cannot be run, or the results cannot be read or written.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let mut figures = Vec::new();
    for benchmark in figures::ALL {
        if !args.want(benchmark) {
            continue;
        }
        let found = (benchmark.run)().with_context(|| format!("benchmark {} failed", benchmark.name))?;
        for figure in found.into_iter().filter(|figure| figure.name.starts_with(&args.name)) {
            println!("{}", figure.line());
            figures.push(figure);
        }
    }
    if args.compare {
        compare(&read_results()?, &figures).iter().for_each(|line| println!("{line}"));
    }
    if args.write {
        write_results(figures)?;
    }
    Ok(())
}

fn results_path() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../benchmarks/results.txt"))
}

fn read_results() -> anyhow::Result<Vec<Figure>> {
    let path = results_path();
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(text.lines().filter_map(Figure::parse).collect())
}

fn write_results(figures: Vec<Figure>) -> anyhow::Result<()> {
    let known = if results_path().exists() { read_results()? } else { Vec::new() };
    let all: BTreeMap<String, Figure> =
        known.into_iter().chain(figures).map(|figure| (figure.name.clone(), figure)).collect();
    let text: String = all.values().map(|figure| figure.line() + "\n").collect();
    let path = results_path();
    std::fs::create_dir_all(path.parent().context("the results have no folder")?)?;
    std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// Says in a line each which figures moved notably, and which are new.
fn compare(known: &[Figure], measured: &[Figure]) -> Vec<String> {
    let known: BTreeMap<&str, f64> = known.iter().map(|figure| (figure.name.as_str(), figure.value)).collect();
    let mut lines: Vec<String> = measured
        .iter()
        .filter_map(|figure| match known.get(figure.name.as_str()) {
            None => Some(format!("new: {}", figure.line())),
            Some(before) => {
                let change = (figure.value - before) / before.max(f64::MIN_POSITIVE);
                let notable = change.abs() >= NOTABLE_CHANGE;
                notable.then(|| format!("moved: {} {:+.1}% (was {before})", figure.line(), change * 100.0))
            }
        })
        .collect();
    if lines.is_empty() {
        lines.push(format!("nothing moved by {}% or more", NOTABLE_CHANGE * 100.0));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn should_run_what_takes_minutes_only_when_asked_to() {
        let benchmark = |name, takes_minutes| Benchmark { name, takes_minutes, run: || Ok(vec![]) };
        let (quick, slow) = (benchmark("a.", false), benchmark("a.large.", true));
        for (name, all, wants) in [
            ("", false, (true, false)),
            ("", true, (true, true)),
            ("a", false, (true, true)),
            ("a.large.", false, (true, true)),
            ("a.small", false, (true, false)),
            ("b", true, (false, false)),
        ] {
            let args = Args { name: name.to_string(), all, compare: false, write: false };
            assert_eq!((args.want(&quick), args.want(&slow)), wants, "{name}");
        }
    }

    #[test]
    fn should_write_figures_as_they_are_read() {
        for figure in [Figure::new("a.b", 78.9, "instructions/byte"), Figure::new("a.c", 12.0, "cycles")] {
            assert_eq!(Figure::parse(&figure.line()), Some(figure));
        }
        assert_eq!(Figure::new("a.b", 78.94, "x/y").line(), "a.b 78.9 x/y");
    }

    #[test]
    fn should_report_what_moved() {
        let known = [Figure::new("same", 1000.0, "x"), Figure::new("moved", 1000.0, "x")];
        let measured =
            [Figure::new("same", 1004.0, "x"), Figure::new("moved", 1100.0, "x"), Figure::new("new", 1.0, "x")];
        assert_eq!(compare(&known, &measured), ["moved: moved 1100 x +10.0% (was 1000)", "new: new 1 x"]);
        assert_eq!(compare(&known, &measured[..1]).len(), 1);
    }
}
