//! Runs the benchmarks; see `--help`.

use std::process::ExitCode;

use clap::Parser;
use integration_tests::{bench, demo::one_line};

fn main() -> ExitCode {
    match bench::run(&bench::Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", one_line(&error));
            ExitCode::FAILURE
        }
    }
}
