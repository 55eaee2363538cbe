//! Clients that come as packages of the npm registry. `CLIENT_PACKAGES` names the folder they were installed in.

use std::{path::PathBuf, process::Command};

use candid::Principal;
use sha2::{Digest, Sha256};

use crate::{
    program::{Localnet, counter_module, counter_module_path},
    rust_agent,
};

/// Returns the folder with `node_modules`.
fn packages() -> PathBuf {
    let folder = std::env::var_os("CLIENT_PACKAGES").expect("CLIENT_PACKAGES is not set: run scripts/test-clients");
    PathBuf::from(folder)
}

/// Runs a command to its end and returns what it wrote.
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?} failed\n{stdout}\n{stderr}");
    stdout.into_owned()
}

/// Runs the script of the JavaScript agent, which checks everything itself, and returns the canister it made.
fn run_javascript_agent(localnet: &Localnet, subnet: usize) -> String {
    let subnet = &localnet.subnets()[subnet];
    let script = packages().join("agent.mjs");
    let arguments = [subnet.first_canister.to_text(), subnet.id.to_text()];
    let output = run(Command::new("node").arg(script).arg(localnet.url()).arg(counter_module_path()).args(arguments));
    let facts: serde_json::Value = serde_json::from_str(&output).unwrap();
    assert_eq!(facts["count"], 46);
    facts["canister"].as_str().unwrap().to_string()
}

#[test]
#[ignore = "run by scripts/test-clients"]
fn should_serve_the_javascript_agent_on_every_subnet() {
    let localnet = Localnet::start(&["--subnets", "application=1,nns=1"]);
    for subnet in 0..localnet.subnets().len() {
        run_javascript_agent(&localnet, subnet);
    }
}

/// The tool `icp`, with a home and an identity of its own.
struct Icp {
    home: tempfile::TempDir,
    network: [String; 4],
}

impl Icp {
    fn new(localnet: &Localnet) -> Self {
        let url = localnet.url().trim_end_matches('/').to_string();
        let network = ["--network".to_string(), url, "--root-key".to_string(), hex::encode(localnet.root_key())];
        let icp = Self { home: tempfile::tempdir().unwrap(), network };
        let seed = icp.home.path().join("seed");
        icp.run(&["settings", "update-check", "disabled"]);
        icp.run(&["identity", "new", "tester", "--storage", "plaintext", "--output-seed", seed.to_str().unwrap()]);
        icp.run(&["identity", "default", "tester"]);
        icp
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(packages().join("node_modules/@icp-sdk/icp-cli-linux-x64/bin/icp"));
        command.args(arguments).current_dir(self.home.path());
        command.env("HOME", self.home.path()).env("ICP_HOME", self.home.path()).env("DO_NOT_TRACK", "1");
        command
    }

    fn run(&self, arguments: &[&str]) -> String {
        run(&mut self.command(arguments))
    }

    /// Runs `icp canister VERB CANISTER …` on the network.
    fn canister(&self, verb: &[&str], canister: Principal, rest: &[&str]) -> String {
        let canister = canister.to_text();
        let mut command = self.command(&["canister"]);
        run(command.args(verb).arg(canister).args(rest).args(&self.network))
    }

    fn principal(&self) -> Principal {
        self.run(&["identity", "principal"]).trim().parse().unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by scripts/test-clients"]
async fn should_serve_the_icp_tool() {
    let localnet = Localnet::start(&["--subnets", "application=1,nns=1"]);
    let icp = Icp::new(&localnet);
    // The tool makes canisters with a cycles ledger, which is not there: the canister comes from elsewhere.
    let canister = rust_agent::create_for(&localnet, localnet.subnets()[0].first_canister, icp.principal()).await;

    let module = counter_module_path().to_str().unwrap();
    let start = "(opt record { start = opt (41 : nat64); fail_with = null })";
    icp.canister(&["install"], canister, &["--mode", "install", "--wasm", module, "--args", start, "--yes"]);
    assert_eq!(icp.canister(&["call"], canister, &["increment", "()"]).trim(), "(42 : nat64)");
    assert_eq!(icp.canister(&["call"], canister, &["get", "()", "--query"]).trim(), "(42 : nat64)");
    assert!(icp.canister(&["metadata"], canister, &["candid:service"]).contains("increment"));

    let hash = hex::encode(Sha256::digest(counter_module()));
    for (kind, options) in [("of controllers", &[][..]), ("public", &["--public"])] {
        let status = icp.canister(&["status"], canister, options);
        assert!(status.contains(&hash), "{kind}: {status}");
        assert!(status.contains(&icp.principal().to_text()), "{kind}: {status}");
    }

    // An upgrade keeps the count.
    icp.canister(&["install"], canister, &["--mode", "upgrade", "--wasm", module, "--args", "(null)", "--yes"]);
    assert_eq!(icp.canister(&["call"], canister, &["get", "()", "--query"]).trim(), "(42 : nat64)");

    icp.canister(&["settings", "update"], canister, &["--freezing-threshold", "7776000"]);
    assert!(icp.canister(&["settings", "show"], canister, &[]).replace('_', "").contains("7776000"));
    icp.canister(&["logs"], canister, &[]);
    icp.canister(&["stop"], canister, &[]);
    assert!(icp.canister(&["status"], canister, &[]).contains("Stopped"));
    icp.canister(&["snapshot", "create"], canister, &[]);
    icp.canister(&["start"], canister, &[]);
    assert_eq!(icp.canister(&["call"], canister, &["increment", "()"]).trim(), "(43 : nat64)");
}
