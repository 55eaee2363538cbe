//! The demo as a person runs it.

use std::{
    path::PathBuf,
    process::{Command, Output},
};

use depot_types::Hash;
use integration_tests::{made::data_module, wasms};

fn run(args: &[&str]) -> Output {
    // A server that the demo starts would otherwise write into its output, and keep it open.
    let quiet = ("POCKET_IC_MUTE_SERVER", "1");
    Command::new(env!("CARGO_BIN_EXE_demo")).args(args).env(quiet.0, quiet.1).output().unwrap()
}

/// A file in a folder of the tests, gone with the value.
struct TemporaryFile(PathBuf);

impl TemporaryFile {
    fn new(name: &str, bytes: &[u8]) -> Self {
        let path = std::env::temp_dir().join(format!("depot-demo-{}-{name}", std::process::id()));
        std::fs::write(&path, bytes).unwrap();
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        // A file left in the temporary folder does no harm.
        let _ = std::fs::remove_file(&self.0);
    }
}

fn last_line(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).lines().last().unwrap_or_default().to_string()
}

/// Runs the demo on bytes that it must refuse, and returns what it says.
fn refusal(name: &str, bytes: &[u8]) -> String {
    let file = TemporaryFile::new(name, bytes);
    refusal_of(file.path())
}

fn refusal_of(path: &str) -> String {
    let output = run(&[path]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    text
}

#[test]
fn should_end_by_naming_canister_and_module() {
    let output = run(&[]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let last = last_line(&output);
    let hash = Hash::of(&wasms::load("counter").unwrap());
    assert!(last.starts_with("canister ") && last.ends_with(&format!(" runs module {hash}")), "{last}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("increment answered 42"));
}

#[test]
fn should_deploy_a_given_module_with_a_given_argument() {
    let module = wasms::load("counter").unwrap();
    let file = TemporaryFile::new("counter.wasm.gz", &module);
    let output = run(&[file.path(), "--init-arg", "(opt record { start = opt 7 })"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(last_line(&output).ends_with(&Hash::of(&module).to_string()));
}

#[test]
fn should_say_why_a_deployment_failed() {
    let file = TemporaryFile::new("failing.wasm.gz", &wasms::load("counter").unwrap());
    let output = run(&[file.path(), "--init-arg", "(opt record { fail_with = opt \"no luck\" })"]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("no luck") && text.lines().count() == 1, "{text}");
}

#[test]
fn should_refuse_files_that_are_no_modules_and_say_which_rule() {
    assert!(refusal_of("/does/not/exist.wasm").contains("cannot read /does/not/exist.wasm"));
    assert!(refusal_of("/").contains("is not a file"));
    assert!(refusal("empty", b"").contains("empty"));
    assert!(refusal("text", b"hello, this is text").contains("neither Wasm nor gzip"));
    let module = data_module(1_000);
    assert!(refusal("truncated", &module[..module.len() / 2]).contains("truncated"));
    let packed = wasms::load("counter").unwrap();
    assert!(refusal("truncated.gz", &packed[..packed.len() / 2]).contains("gzip"));
    let foreign = wat::parse_str(r#"(module (import "env" "print" (func)))"#).unwrap();
    assert!(refusal("foreign", &foreign).contains("imports `print` from `env`"));
    let component = wat::parse_str("(component)").unwrap();
    assert!(refusal("component", &component).contains("component"));
}
