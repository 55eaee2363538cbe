//! Tests of what certificates keep between rounds: it must not be seen, but by its speed.

use std::{sync::Arc, time::Duration};

use candid::Principal;
use proptest::{collection::vec, prelude::*};
use sha2::{Digest, Sha256};

use super::{
    certificates::{decode, path, verify},
    certified_data::CERTIFYING,
    fixture::*,
};
use crate::{
    canister::{Canister, Settings},
    error::{ErrorCode, UserError},
    execution::{self, CompiledModule, Memories, Sandbox},
    message::MessageId,
    network::{Network, canister_id},
};

const SECOND: u64 = 1_000_000_000;

/// Something that changes what is certified.
#[derive(Clone, Debug)]
enum Step {
    /// Makes the canister with this number, or deletes it.
    Toggle(u8),
    /// Gives it one of two modules, or takes its code away.
    Code(u8, Option<bool>),
    /// Changes its certified data and controllers.
    Change(u8, u8),
    /// Submits the message with this number.
    Submit(u8),
    /// Takes it in.
    Receive(u8),
    /// Answers it.
    Answer(u8, bool),
    /// Lets so many seconds pass.
    Pass(u8),
}

fn any_step() -> impl Strategy<Value = Step> {
    let few = 0_u8..12;
    prop_oneof![
        few.clone().prop_map(Step::Toggle),
        (few.clone(), any::<Option<bool>>()).prop_map(|(number, code)| Step::Code(number, code)),
        (few.clone(), 0_u8..3).prop_map(|(number, data)| Step::Change(number, data)),
        few.clone().prop_map(Step::Submit),
        few.clone().prop_map(Step::Receive),
        (few, any::<bool>()).prop_map(|(number, ok)| Step::Answer(number, ok)),
        (0_u8..200).prop_map(Step::Pass),
    ]
}

fn apply(network: &mut Network, modules: &[Arc<CompiledModule>; 2], step: &Step) {
    let (subnet, now) = (network.order[0], network.time());
    let subnet = network.subnets.get_mut(&subnet).unwrap();
    let id = |number: u8| canister_id(u64::MAX - (1 << 21) + u64::from(number));
    let message = |number: u8| MessageId::from(Sha256::digest([number]));
    match *step {
        Step::Toggle(number) => {
            if subnet.canisters.remove(&id(number)).is_none() {
                let made = Canister::new(id(number), Settings::new(vec![Principal::anonymous()]), 0, 0);
                subnet.canisters.insert(id(number), made);
            }
        }
        Step::Code(number, code) => {
            if let Some(canister) = subnet.canisters.get_mut(&id(number)) {
                let module = code.map(|second| Arc::clone(&modules[usize::from(second)]));
                canister.sandbox = module.map(|module| Sandbox::new(module, Memories::default()).unwrap());
            }
        }
        Step::Change(number, data) => {
            if let Some(canister) = subnet.canisters.get_mut(&id(number)) {
                canister.certified_data = vec![data; data.into()];
                canister.settings.controllers = vec![id(data)];
            }
        }
        Step::Submit(number) => {
            if !subnet.ingress.contains(&message(number)) {
                subnet.ingress.submit(message(number), id(number), id(number), 0);
            }
        }
        Step::Receive(number) => {
            if subnet.ingress.contains(&message(number)) {
                subnet.ingress.receive(&message(number), now);
            }
        }
        Step::Answer(number, ok) => {
            let error = UserError::new(ErrorCode::CanisterTrapped, number.to_string());
            subnet.ingress.answer(&message(number), if ok { Ok(vec![number]) } else { Err(error) }, now);
        }
        Step::Pass(seconds) => network.set_time(now + u64::from(seconds) * SECOND).unwrap(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn should_certify_with_what_is_kept_the_same_as_without(rounds in vec(vec(any_step(), 1..6), 1..12)) {
        let modules = [r#"(module (@custom "icp:public a" "1"))"#, r#"(module (@custom "icp:public b" "2"))"#]
            .map(|text| execution::compile(&wat::parse_str(text).unwrap()).unwrap());
        let mut network = network(1);
        let subnet = network.order[0];
        for steps in rounds {
            for step in &steps {
                apply(&mut network, &modules, step);
            }
            network.tick();
            let kept = decode(&network.certificate(subnet, &[vec![]]));
            let with_memory = std::mem::take(&mut network.certification);
            let fresh = decode(&network.certificate(subnet, &[vec![]]));
            network.certification = with_memory;
            prop_assert_eq!(kept.tree.digest(), fresh.tree.digest());
            prop_assert_eq!(kept, fresh);
        }
    }
}

/// Returns how long this thread ran, which other load on the machine does not change much.
fn time_on_processor() -> Duration {
    let figures = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(figures.split(' ').next().unwrap().parse().unwrap())
}

/// Prints what certificates cost on a large subnet; the bound is generous, since machines differ.
#[test]
fn should_make_the_next_certificate_of_a_large_subnet_quickly() {
    let mut network = network(1);
    let a = actor(&mut network, 0);
    for _ in 0..999 {
        install(&mut network, 0, CERTIFYING);
    }
    let subnet = network.order[0];
    let now = network.time();
    let history = &mut network.subnets.get_mut(&subnet).unwrap().ingress;
    for number in 0..10_000_u64 {
        let id: MessageId = Sha256::digest(number.to_be_bytes()).into();
        history.submit(id, a, a, 0);
        history.answer(&id, Ok(vec![7; 100]), now);
    }
    network.tick();
    let measure = |what: &str, network: &mut Network, paths: &[Vec<Vec<u8>>]| {
        let start = time_on_processor();
        let certificate = network.certificate(subnet, paths);
        let took = time_on_processor() - start;
        println!("{what}: {took:?}, {} bytes", certificate.len());
        verify(network, &decode(&certificate), a).unwrap();
        took
    };
    measure("first certificate", &mut network, &[]);
    measure("another one of the same round", &mut network, &[path(&[b"canister", a.as_slice(), b"module_hash"])]);
    network.tick();
    measure("one of the next round", &mut network, &[]);
    let mut fastest = Duration::MAX;
    for _ in 0..20 {
        let (id, _) = network.submit_ingress(call(a, "bump", vec![])).unwrap();
        network.tick();
        fastest = fastest.min(measure("after one more call", &mut network, &[path(&[b"request_status", &id])]));
    }
    assert!(fastest < Duration::from_millis(50), "{fastest:?}");
}
