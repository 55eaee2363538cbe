//! The program `localnet` used by clients of the Internet Computer, each with certificates and query signatures verified.
//!
//! `scripts/test-clients` builds what is needed, installs the JavaScript packages and runs these tests; without it those
//! that need packages are ignored.

mod packages;
mod program;
mod rust_agent;
