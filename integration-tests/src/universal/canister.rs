//! The universal canister on a network.

use candid::{CandidType, Principal};
use pocket_ic::{PocketIc, RejectResponse};

use super::{Call, Module, Program};

/// First byte of a forwarded reply.
pub(super) const REPLIED: u8 = 1;
/// First byte of a forwarded reject.
pub(super) const REJECTED: u8 = 2;

/// The reject that a canister got for a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The reject code, 1 to 6.
    pub code: u64,
    /// The message.
    pub message: String,
}

/// Reads what the callbacks of a [`Call`] forward.
///
/// # Panics
/// When the bytes are nothing that they write.
pub fn forward(bytes: &[u8]) -> Result<Vec<u8>, Rejection> {
    match bytes.split_first() {
        Some((&REPLIED, reply)) => Ok(reply.to_vec()),
        Some((&REJECTED, rest)) => {
            let (code, message) = rest.split_first_chunk().expect("a reject code of 8 bytes");
            let message = String::from_utf8_lossy(message).into_owned();
            Err(Rejection { code: u64::from_le_bytes(*code), message })
        }
        _ => panic!("{bytes:?} was not forwarded"),
    }
}

/// A universal canister, as seen by one sender.
#[derive(Clone, Copy)]
pub struct Universal<'a> {
    /// The network.
    pub network: &'a PocketIc,
    /// The canister.
    pub id: Principal,
    /// Who sends all calls: the anonymous principal, which is also the controller.
    pub sender: Principal,
}

impl<'a> Universal<'a> {
    /// Makes a canister with 100 T cycles, controlled by the anonymous principal, and installs the module with only
    /// those hooks that every message needs.
    pub fn install(network: &'a PocketIc) -> Self {
        Self::install_module(network, &super::module(), Program::new())
    }

    /// Makes a canister and installs a module, which runs the program given.
    pub fn install_module(network: &'a PocketIc, module: &Module, program: Program) -> Self {
        let id = network.create_canister();
        network.install_canister(id, module.bytes(), program.into_bytes(), None);
        Self { network, id, sender: Principal::anonymous() }
    }

    /// Makes a canister on a subnet and installs the module.
    pub fn install_on(network: &'a PocketIc, subnet: Principal) -> Self {
        let id = network.create_canister_on_subnet(None, None, subnet);
        network.install_canister(id, super::module().bytes(), Vec::new(), None);
        Self { network, id, sender: Principal::anonymous() }
    }

    /// Returns the canister as another sender sees it.
    pub fn by(self, sender: Principal) -> Self {
        Self { sender, ..self }
    }

    /// Runs a program as an update.
    ///
    /// # Errors
    /// The reject.
    pub fn update(&self, program: Program) -> Result<Vec<u8>, RejectResponse> {
        self.network.update_call(self.id, self.sender, "update", program.into_bytes())
    }

    /// Runs a program as a query of one node.
    ///
    /// # Errors
    /// The reject.
    pub fn query(&self, program: Program) -> Result<Vec<u8>, RejectResponse> {
        self.network.query_call(self.id, self.sender, "query", program.into_bytes())
    }

    /// Runs a program as a query of all nodes.
    ///
    /// # Errors
    /// The reject.
    pub fn replicated_query(&self, program: Program) -> Result<Vec<u8>, RejectResponse> {
        self.network.update_call(self.id, self.sender, "query", program.into_bytes())
    }

    /// Runs a program as a composite query.
    ///
    /// # Errors
    /// The reject.
    pub fn composite_query(&self, program: Program) -> Result<Vec<u8>, RejectResponse> {
        self.network.query_call(self.id, self.sender, "composite_query", program.into_bytes())
    }

    /// Lets the canister make a call; the answer it got.
    ///
    /// # Errors
    /// The reject that it got.
    ///
    /// # Panics
    /// When the canister itself rejects.
    pub fn call(&self, call: Call) -> Result<Vec<u8>, Rejection> {
        let forwarded = self.update(Program::new().call(call)).expect("the canister forwards the answer");
        forward(&forwarded)
    }

    /// Lets the canister call the management canister with cycles.
    ///
    /// # Errors
    /// The reject that it got.
    ///
    /// # Panics
    /// When the canister itself rejects.
    pub fn manage(&self, method: &str, argument: &impl CandidType, cycles: u128) -> Result<Vec<u8>, Rejection> {
        let argument = candid::encode_one(argument).expect("arguments encode");
        let call = Call::new(Principal::management_canister(), method).argument(argument).cycles(cycles);
        self.call(call)
    }
}
