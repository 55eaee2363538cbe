//! Runs the demo; see `--help`.

use std::process::ExitCode;

use clap::Parser;
use integration_tests::demo;

fn main() -> ExitCode {
    match demo::run(&demo::Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", demo::one_line(&error));
            ExitCode::FAILURE
        }
    }
}
