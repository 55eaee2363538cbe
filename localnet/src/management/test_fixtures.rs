//! A subnet, canisters on it, and calls to their management, for tests.

use candid::{CandidType, Deserialize, Nat, Principal};
use ic_management_canister_types as wire;
use pocket_ic::common::rest::{SubnetKind, SubnetSpec};

use super::{Context, execute, lifecycle::Released};
use crate::{
    canister::{CallContext, Callback, Canister},
    error::{ErrorCode, UserResult},
    execution::Closure,
    message::{CallContextId, CallOrigin, CallbackId, Cycles},
    network::{Call, Disposition, ManagementCall, Subnet},
};

/// Block time of all test calls, in ns.
pub(super) const NOW: u64 = 1_620_328_630_000_000_000;

/// A subnet with the time.
pub(super) struct World {
    pub(super) subnet: Subnet,
    pub(super) context: Context,
}

/// A user, by number.
pub(super) fn user(number: u8) -> Principal {
    Principal::self_authenticating([number; 44])
}

/// Returns the code of the error that a call must have failed with.
pub(super) fn code<T: std::fmt::Debug>(result: UserResult<T>) -> ErrorCode {
    result.expect_err("the call must fail").code
}

/// Decodes a reply.
pub(super) fn decoded<T: CandidType + for<'a> Deserialize<'a>>(reply: UserResult<Vec<u8>>) -> T {
    candid::decode_one(&reply.expect("the call must succeed")).expect("the reply must decode")
}

impl World {
    /// Makes an empty application subnet.
    pub(super) fn new() -> Self {
        Self::of_kind(SubnetKind::Application)
    }

    /// Makes an empty subnet.
    pub(super) fn of_kind(kind: SubnetKind) -> Self {
        let subnet = Subnet::new(kind, SubnetSpec::default(), 0);
        let root_key = subnet.public_key.clone();
        Self { subnet, context: Context { now: NOW, root_key } }
    }

    /// Makes a canister with the default balance.
    pub(super) fn create(&mut self, controller: Principal) -> Principal {
        self.create_with(controller, None)
    }

    /// Makes a canister with the balance given.
    pub(super) fn create_with(&mut self, controller: Principal, balance: Option<Cycles>) -> Principal {
        let args =
            wire::ProvisionalCreateCanisterWithCyclesArgs { amount: balance.map(Nat::from), ..Default::default() };
        let reply = self.as_user(controller, "provisional_create_canister_with_cycles", &args);
        decoded::<wire::CanisterIdRecord>(reply).canister_id
    }

    /// Returns a canister.
    pub(super) fn canister(&mut self, id: Principal) -> &mut Canister {
        self.subnet.canisters.get_mut(&id).expect("the canister must exist")
    }

    /// Makes an ingress call, which must be answered at once.
    pub(super) fn as_user<T: CandidType>(&mut self, sender: Principal, method: &str, args: &T) -> UserResult<Vec<u8>> {
        self.as_user_releasing(sender, method, args).0
    }

    /// Makes an ingress call, which must be answered at once; also returns the calls that this answered.
    pub(super) fn as_user_releasing<T: CandidType>(
        &mut self,
        sender: Principal,
        method: &str,
        args: &T,
    ) -> (UserResult<Vec<u8>>, Vec<Released>) {
        let origin = CallOrigin::Ingress { id: [7; 32], sender };
        let (disposition, _) = self.execute(origin, method, args, 0);
        let (answer, refund, released) = answered(disposition);
        assert_eq!(refund, 0, "ingress carries no cycles");
        (answer, released)
    }

    /// Makes a canister's call, which must be answered at once; returns the answer and the cycles that come back.
    pub(super) fn as_canister<T: CandidType>(
        &mut self,
        sender: Principal,
        method: &str,
        args: &T,
        cycles: Cycles,
    ) -> (UserResult<Vec<u8>>, Cycles) {
        let (disposition, _) = self.execute(from_canister(sender), method, args, cycles);
        let (answer, refund, _) = answered(disposition);
        (answer, refund)
    }

    /// Makes a call.
    pub(super) fn execute<T: CandidType>(
        &mut self,
        origin: CallOrigin,
        method: &str,
        args: &T,
        cycles: Cycles,
    ) -> (Disposition, super::Usage) {
        let payload = candid::encode_one(args).expect("arguments must encode");
        let call = ManagementCall { origin, method: method.to_string(), payload, cycles };
        execute(&mut self.subnet, &self.context, call)
    }

    /// Makes a query.
    pub(super) fn query<T: CandidType>(&self, sender: Principal, method: &str, args: &T) -> UserResult<Vec<u8>> {
        super::query(&self.subnet, &self.context, &client_call(sender, method, args))
    }

    /// Asks whether ingress would be let in.
    pub(super) fn accepts<T: CandidType>(&self, sender: Principal, method: &str, args: &T) -> UserResult<()> {
        super::accept_ingress(&self.subnet, &client_call(sender, method, args))
    }

    /// Lets the canister answer a call of a user that brought cycles, and wait for the answer to a call of its own.
    pub(super) fn open_call(&mut self, id: Principal, cycles: Cycles) {
        let canister = self.canister(id);
        let context = CallContextId(canister.next_call);
        let callback = CallbackId(canister.next_call + 1);
        canister.next_call += 2;
        canister.call_contexts.insert(
            context,
            CallContext {
                origin: CallOrigin::Ingress { id: [1; 32], sender: user(9) },
                caller_info: None,
                answered: false,
                cycles_available: cycles,
                instructions: 0,
                open_callbacks: 1,
                deleted: false,
            },
        );
        let closure = Closure { function: 0, environment: 0 };
        canister.callbacks.insert(
            callback,
            Callback {
                context,
                respondent: id,
                on_reply: closure,
                on_reject: closure,
                on_cleanup: None,
                prepaid_transmission: 0,
                prepaid_execution: 0,
                deadline: None,
            },
        );
    }
}

/// Returns the origin of a canister's call.
pub(super) fn from_canister(sender: Principal) -> CallOrigin {
    CallOrigin::Canister { sender, callback: CallbackId(1), deadline: None }
}

/// Returns the argument of methods that take a canister only.
pub(super) fn record(canister_id: Principal) -> wire::CanisterIdRecord {
    wire::CanisterIdRecord { canister_id }
}

fn client_call<T: CandidType>(sender: Principal, method: &str, args: &T) -> Call {
    Call {
        sender,
        canister_id: Principal::management_canister(),
        effective: None,
        method: method.to_string(),
        payload: candid::encode_one(args).expect("arguments must encode"),
        sender_info: None,
    }
}

fn answered(disposition: Disposition) -> (UserResult<Vec<u8>>, Cycles, Vec<Released>) {
    match disposition {
        Disposition::Done(answer, refund) => (answer, refund, Vec::new()),
        Disposition::DoneWithStops(answer, refund, released) => (answer, refund, released),
        Disposition::Waiting => panic!("the call must be answered at once"),
    }
}
