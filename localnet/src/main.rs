//! The `localnet` program: see [`localnet::command`].

use std::process::ExitCode;

fn main() -> ExitCode {
    localnet::command::run()
}
