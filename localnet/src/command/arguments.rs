//! The arguments of the program.

use std::{
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
};

use clap::{Parser, value_parser};
use pocket_ic::common::rest::{CanisterCyclesCostSchedule, ExtendedSubnetConfigSet, SubnetSpec};

/// Seconds between two times that the state is written.
const DEFAULT_SAVE_SECONDS: u32 = 60;
/// Subnets of one kind that may be asked for.
const MAX_OF_A_KIND: usize = 64;

const EXAMPLES: &str = "\
Examples:
  localnet
      A network with an NNS and an application subnet at http://127.0.0.1:4943/, gone when it ends
  localnet --state-dir ~/.local/share/localnet
      The same, but it goes on where it ended the last time
  localnet --port 0 --json --subnets application=2
      Two application subnets at any free port, described by one line of JSON
  PocketIcBuilder::new().with_server_url(\"http://127.0.0.1:4943/\")
      In a test: instances of their own on this server

Exit codes: 0 ended as asked, 1 it failed, 2 wrong arguments, 130 ended at once by a second signal.";

/// A small Internet Computer for tests and demonstrations, served at one port: the HTTP interface of the Internet
/// Computer, an HTTP gateway for canisters, and the PocketIC REST protocol. It holds no production promise.
#[derive(Clone, Debug, Parser)]
#[command(name = "localnet", version, after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// Port to listen at; 0 takes any free one [default: 4943, or any free one if that is in use]
    #[arg(long, value_name = "N")]
    pub(super) port: Option<u16>,
    /// Address to listen at; others than loopback addresses open the network to everybody who reaches them
    #[arg(long, value_name = "ADDR", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    pub(super) bind: IpAddr,
    /// Subnets by kind and number: nns, sns, ii, fiduciary, bitcoin, test-threshold-keys, system, application,
    /// cloud-engine, verified-application [default: those in the state directory, or nns=1,application=1]
    #[arg(long, value_name = "KIND=N,…", value_parser = parse_subnets)]
    pub(super) subnets: Option<ExtendedSubnetConfigSet>,
    /// Directory to keep the network in: read at the start, written at the end and, if something happened, in between
    #[arg(long, value_name = "DIR")]
    pub(super) state_dir: Option<PathBuf>,
    /// Seconds after which the state is written again, of which a crash may lose as many
    #[arg(long, value_name = "SECONDS", default_value_t = DEFAULT_SAVE_SECONDS, value_parser = value_parser!(u32).range(1..))]
    pub(super) save_every: u32,
    /// Describe the network by one line of JSON
    #[arg(long)]
    pub(super) json: bool,
    /// File to write the port to when the network is ready; it is removed at the end. If it exists nothing is started
    #[arg(long, value_name = "FILE")]
    pub(super) port_file: Option<PathBuf>,
    /// End after so many seconds without a request
    #[arg(long, value_name = "SECONDS")]
    pub(super) ttl: Option<u64>,
}

/// Reads a list of subnets.
fn parse_subnets(text: &str) -> Result<ExtendedSubnetConfigSet, String> {
    let mut set = ExtendedSubnetConfigSet::default();
    for part in text.split(',') {
        let (kind, count) = part.split_once('=').ok_or_else(|| format!("{part:?} is not of the form KIND=N"))?;
        let count: usize = count.parse().map_err(|_| format!("{count:?} is no number of subnets"))?;
        if count > MAX_OF_A_KIND {
            return Err(format!("{count} {kind} subnets exceed {MAX_OF_A_KIND}"));
        }
        let single = match kind {
            "nns" => Some(&mut set.nns),
            "sns" => Some(&mut set.sns),
            "ii" => Some(&mut set.ii),
            "fiduciary" => Some(&mut set.fiduciary),
            "bitcoin" => Some(&mut set.bitcoin),
            "test-threshold-keys" => Some(&mut set.test_threshold_keys),
            _ => None,
        };
        if let Some(single) = single {
            if count > 1 || single.is_some() {
                return Err(format!("there is at most one {kind} subnet"));
            }
            *single = (count == 1).then(SubnetSpec::default);
            continue;
        }
        let (list, spec) = match kind {
            "system" => (&mut set.system, SubnetSpec::default()),
            "application" => (&mut set.application, SubnetSpec::default()),
            // Canisters on these are free by definition.
            "cloud-engine" => {
                (&mut set.cloud_engine, SubnetSpec::default().with_cost_schedule(CanisterCyclesCostSchedule::Free))
            }
            "verified-application" => (&mut set.verified_application, SubnetSpec::default()),
            _ => return Err(format!("{kind:?} is no kind of subnet")),
        };
        if !list.is_empty() {
            return Err(format!("{kind} is there twice"));
        }
        *list = vec![spec; count];
    }
    set.validate()?;
    Ok(set)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn should_be_consistent() {
        Arguments::command().debug_assert();
        let arguments = Arguments::parse_from(["localnet"]);
        assert!(arguments.bind.is_loopback());
        assert!(arguments.subnets.is_none());
    }

    #[test]
    fn should_read_subnets_of_every_kind() {
        let set = parse_subnets(
            "nns=1,sns=1,ii=1,fiduciary=1,bitcoin=1,test-threshold-keys=1,system=2,application=64,cloud-engine=3,\
             verified-application=4",
        )
        .unwrap();
        let singles = [set.nns, set.sns, set.ii, set.fiduciary, set.bitcoin, set.test_threshold_keys];
        assert!(singles.iter().all(Option::is_some));
        let lists = [set.system, set.application, set.cloud_engine, set.verified_application];
        assert_eq!(lists.map(|list| list.len()), [2, 64, 3, 4]);
    }

    #[test]
    fn should_say_what_is_wrong_with_a_list() {
        for (list, text) in [
            ("", "KIND=N"),
            ("application", "KIND=N"),
            ("application=", "no number"),
            ("application=-1", "no number"),
            ("application=65", "exceed 64"),
            ("application=0", "at least one subnet"),
            ("nns=2", "at most one nns"),
            ("nns=1,nns=1", "at most one nns"),
            ("system=1,system=1", "twice"),
            ("moon=1", "no kind"),
        ] {
            let error = parse_subnets(list).unwrap_err();
            assert!(error.contains(text), "{list}: {error}");
        }
    }
}
