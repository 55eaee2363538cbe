//! The program, started for a test and ended with it.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use candid::{CandidType, Encode, Principal};
use serde::Deserialize;

/// What the program prints of itself.
#[derive(Deserialize)]
struct Report {
    url: String,
    root_key: String,
    subnets: Vec<Subnet>,
}

/// A subnet as the program prints it.
#[derive(Deserialize)]
pub(crate) struct Subnet {
    pub(crate) id: Principal,
    #[serde(rename = "first_canister_id")]
    pub(crate) first_canister: Principal,
}

/// A program that runs, at any free port.
pub(crate) struct Localnet {
    child: Child,
    report: Report,
}

impl Localnet {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_localnet"))
            .args(["--port", "0", "--json"])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let report = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in {line:?}"));
        Self { child, report }
    }

    pub(crate) fn url(&self) -> &str {
        &self.report.url
    }

    /// The root key, DER.
    pub(crate) fn root_key(&self) -> Vec<u8> {
        hex::decode(&self.report.root_key).unwrap()
    }

    pub(crate) fn subnets(&self) -> &[Subnet] {
        &self.report.subnets
    }
}

impl Drop for Localnet {
    fn drop(&mut self) {
        // It keeps nothing that is worth a clean end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns where the counter's module is, gzipped.
pub(crate) fn counter_module_path() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../wasms/counter.wasm.gz"))
}

pub(crate) fn counter_module() -> Vec<u8> {
    std::fs::read(counter_module_path()).expect("the counter was not built: run scripts/test-clients")
}

/// Returns the argument of an installation of the counter.
pub(crate) fn counter_start(start: u64) -> Vec<u8> {
    #[derive(CandidType)]
    struct CounterArgs {
        start: Option<u64>,
        fail_with: Option<String>,
    }
    Encode!(&Some(CounterArgs { start: Some(start), fail_with: None })).unwrap()
}
