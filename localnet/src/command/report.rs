//! What the program tells of the network: lines of names and values, or one line of JSON.

use std::io::{self, Write};

use candid::Principal;
use serde::Serialize;

use super::Arguments;
use crate::LocalNet;

/// A live network, for people and programs.
#[derive(Debug, Serialize)]
struct Report {
    /// The URL of the HTTP interface, of the gateway, and of the PocketIC server.
    url: String,
    /// The root key, DER in hex.
    root_key: String,
    subnets: Vec<SubnetReport>,
    state_directory: Option<String>,
}

#[derive(Debug, Serialize)]
struct SubnetReport {
    kind: String,
    id: String,
    /// The id that the first new canister gets.
    first_canister_id: String,
}

/// Writes what there is to know of the network, and flushes it.
pub(super) fn print(server: &LocalNet, arguments: &Arguments, out: &mut impl Write) -> io::Result<()> {
    let Some(report) = Report::of(server, arguments) else { return Ok(()) };
    if arguments.json {
        serde_json::to_writer(&mut *out, &report)?;
        writeln!(out)?;
    } else {
        writeln!(out, "url: {}", report.url)?;
        writeln!(out, "root key: {}", report.root_key)?;
        for subnet in &report.subnets {
            let SubnetReport { kind, id, first_canister_id } = subnet;
            writeln!(out, "subnet: {kind} {id}, first canister {first_canister_id}")?;
        }
        writeln!(out, "state directory: {}", report.state_directory.as_deref().unwrap_or("none"))?;
    }
    out.flush()
}

impl Report {
    fn of(server: &LocalNet, arguments: &Arguments) -> Option<Self> {
        let live = server.live()?;
        let subnets = live.topology.subnet_configs.iter().map(|(id, config)| {
            // New canisters get ids of the range that is listed last.
            let first = config.canister_ranges.last().map(|range| Principal::from(range.start.clone()));
            SubnetReport {
                kind: format!("{:?}", config.subnet_kind),
                id: id.to_text(),
                first_canister_id: first.map_or_else(String::new, |first| first.to_text()),
            }
        });
        Some(Self {
            url: server.url(),
            root_key: hex::encode(&live.root_key),
            subnets: subnets.collect(),
            state_directory: arguments.state_dir.as_ref().map(|path| path.display().to_string()),
        })
    }
}
