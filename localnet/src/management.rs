//! The management canister: what it does to a subnet and its canisters at the wish of controllers.
//!
//! Each method is one step: it tests everything, then changes the state, so that a call that fails changes nothing but
//! what it was charged. Arguments are decoded in `arguments`, the reasons to fail are in `refusal`.

use std::sync::Arc;

use candid::{CandidType, Principal};

use self::{
    arguments::{Arguments, NO_ARGUMENTS},
    authorization::check_open_to_users,
    lifecycle::{Released, Stop},
    memory::Bill,
    refusal::Refusal,
};
use crate::{
    canister::{ChangeOrigin, StopRequest},
    error::UserResult,
    message::{Answer, CallOrigin, Cycles},
    network::{Call, Disposition, ManagementCall, Subnet},
};

mod arguments;
mod authorization;
mod chunks;
mod create;
mod cycles;
mod info;
mod install;
mod lifecycle;
mod memory;
mod randomness;
mod refusal;
mod settings;
mod snapshots;
mod status;
#[cfg(test)]
mod test_fixtures;

pub(crate) use lifecycle::uninstall;

/// What a management call takes of the time of its subnet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// Instructions of the round in which it began.
    pub instructions: u64,
    /// Rounds that it takes besides.
    pub further_rounds: u64,
}

/// What a management call may see of the network besides its subnet.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    /// Block time in ns.
    pub now: u64,
    /// DER-encoded public key of the root subnet.
    pub root_key: Arc<Vec<u8>>,
}

/// What a management method acts on, for routing: read from the argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// The canister named in the argument.
    Canister(Principal),
    /// A canister that the argument asks to be created with this id.
    NewCanister(Principal),
    /// The subnet that the caller is on (or, for ingress, the effective principal's).
    CallersSubnet,
}

/// Methods that administrators of a subnet call as users. No subnet here has administrators.
const FOR_ADMINISTRATORS: [&str; 2] = ["canister_metrics", "list_canisters"];

/// Executes a management call on the subnet it was routed to.
///
/// The second value is what it takes of the round; what that and the call cost is taken from the canister that the call
/// acts on in here.
pub(crate) fn execute(subnet: &mut Subnet, context: &Context, call: ManagementCall) -> (Disposition, Usage) {
    let mut bill = Bill::default();
    let attached = call.cycles;
    let disposition = match dispatch(subnet, context, call, &mut bill) {
        Ok(Success::Answered { reply, refund, released }) if released.is_empty() => {
            Disposition::Done(Ok(reply), refund)
        }
        Ok(Success::Answered { reply, refund, released }) => Disposition::DoneWithStops(Ok(reply), refund, released),
        Ok(Success::Waiting) => Disposition::Waiting,
        Err(refusal) => Disposition::Done(Err(refusal.into()), attached),
    };
    subnet.consumed = subnet.consumed.saturating_add(bill.cycles);
    (disposition, Usage { instructions: bill.instructions, further_rounds: bill.further_rounds })
}

/// Answers a `raw_rand` call that was postponed to this round.
pub(crate) fn answer_raw_rand(subnet: &mut Subnet, _call: &ManagementCall) -> Answer {
    let bytes = serde_bytes::ByteBuf::from(randomness::next(subnet));
    match encode(&bytes) {
        Ok(reply) => Answer::Reply(reply),
        Err(refusal) => Answer::from(crate::error::UserError::from(refusal)),
    }
}

/// Decides whether an ingress message to the management canister is let in (before it is charged).
///
/// # Errors
/// What the sender is told: the method does not exist or is for canisters only, the canister does not exist, or the
/// sender does not control it.
pub(crate) fn accept_ingress(subnet: &Subnet, call: &Call) -> UserResult<()> {
    let arguments = Arguments::decode(&call.method, &call.payload).map_err(|refusal| match refusal {
        // Whether the network has them or not, they are for canisters.
        Refusal::UnsupportedMethod { method } if !FOR_ADMINISTRATORS.contains(&method) => {
            Refusal::OnlyCanisters { method }
        }
        refusal => refusal,
    })?;
    Ok(authorization::accept_ingress(subnet, &call.sender, &arguments)?)
}

/// Answers a query of the management canister.
///
/// # Errors
/// `CanisterMethodNotFound` for methods that are not queries; otherwise what the method refuses.
pub(crate) fn query(subnet: &Subnet, _context: &Context, call: &Call) -> UserResult<Vec<u8>> {
    if !["canister_status", "fetch_canister_logs"].contains(&call.method.as_str()) {
        return Err(Refusal::UnknownQueryMethod { method: call.method.clone() }.into());
    }
    let reply = match Arguments::decode(&call.method, &call.payload)? {
        Arguments::CanisterStatus(args) => encode(&status::status(subnet, &call.sender, &args)?),
        Arguments::FetchLogs(args) => encode(&info::logs(subnet, &call.sender, &args)?),
        other => Err(Refusal::UnknownQueryMethod { method: other.method().to_string() }),
    };
    Ok(reply?)
}

/// Reads from the argument of a management method what it acts on.
///
/// # Errors
/// `InvalidManagementPayload` when the argument cannot be decoded; `CanisterMethodNotFound` for an unknown method.
pub(crate) fn target(method: &str, payload: &[u8]) -> UserResult<Target> {
    Ok(Arguments::decode(method, payload)?.target())
}

/// Tests the version that a canister claims to have in a management call that it makes.
///
/// # Errors
/// `CanisterContractViolation` when it is not the actual one; `InvalidManagementPayload` or `CanisterMethodNotFound` when
/// the call cannot be understood.
pub(crate) fn check_sender_version(method: &str, payload: &[u8], actual: u64) -> UserResult<()> {
    match Arguments::decode(method, payload)?.sender_canister_version() {
        Some(claimed) if claimed != actual => Err(Refusal::SenderVersionMismatch { claimed, actual }.into()),
        _ => Ok(()),
    }
}

/// How a call that was not refused ends.
enum Success {
    Answered { reply: Vec<u8>, refund: Cycles, released: Vec<Released> },
    Waiting,
}

fn dispatch(subnet: &mut Subnet, context: &Context, call: ManagementCall, bill: &mut Bill) -> Result<Success, Refusal> {
    let arguments = Arguments::decode(&call.method, &call.payload)?;
    if matches!(call.origin, CallOrigin::Ingress { .. }) {
        check_open_to_users(&arguments)?;
    }
    let now = context.now;
    let caller = call.origin.caller();
    let claimed_version = arguments.sender_canister_version();
    check_claimed_version(subnet, &call.origin, claimed_version)?;
    let origin = match &call.origin {
        CallOrigin::Canister { sender, .. } => ChangeOrigin::Canister(*sender, claimed_version),
        CallOrigin::Ingress { .. } | CallOrigin::Task => ChangeOrigin::User(caller),
    };

    let mut refund = call.cycles;
    let mut released = Vec::new();
    let reply = match arguments {
        Arguments::CreateCanister(args) => {
            let record = create::create(subnet, now, caller, origin, args, call.cycles, bill)?;
            refund = 0;
            encode(&record)
        }
        Arguments::ProvisionalCreateCanister(args) => {
            encode(&create::provisional_create(subnet, now, caller, origin, args)?)
        }
        Arguments::ProvisionalTopUpCanister(args) => cycles::provisional_top_up(subnet, &args).map(nothing),
        Arguments::DepositCycles(args) => {
            cycles::deposit(subnet, &args, call.cycles)?;
            refund = 0;
            Ok(nothing(()))
        }
        Arguments::UpdateSettings(args) => settings::update(subnet, now, &caller, origin, args).map(nothing),
        Arguments::InstallCode(args) => install::install_code(subnet, context, caller, origin, args, bill).map(nothing),
        Arguments::InstallChunkedCode(args) => {
            install::install_chunked_code(subnet, context, caller, origin, args, bill).map(nothing)
        }
        Arguments::UploadChunk(args) => encode(&chunks::upload(subnet, &caller, args, bill)?),
        Arguments::StoredChunks(args) => encode(&chunks::stored(subnet, &caller, &args)?),
        Arguments::ClearChunkStore(args) => chunks::clear(subnet, &caller, &args).map(nothing),
        Arguments::UninstallCode(args) => {
            released = lifecycle::uninstall_code(subnet, now, &caller, origin, &args)?;
            Ok(nothing(()))
        }
        Arguments::StartCanister(args) => {
            released = lifecycle::start(subnet, &caller, &args)?;
            Ok(nothing(()))
        }
        Arguments::StopCanister(args) => {
            let request = StopRequest { origin: call.origin, cycles: call.cycles, since: now };
            match lifecycle::stop(subnet, &caller, &args, request)? {
                Stop::Stopped => Ok(nothing(())),
                Stop::Waiting => return Ok(Success::Waiting),
            }
        }
        Arguments::DeleteCanister(args) => lifecycle::delete(subnet, &caller, &args, bill).map(nothing),
        Arguments::CanisterStatus(args) => encode(&status::status(subnet, &caller, &args)?),
        Arguments::CanisterInfo(args) => encode(&info::info(subnet, &args)?),
        Arguments::CanisterMetadata(args) => encode(&info::metadata(subnet, &caller, &args)?),
        Arguments::RawRand => {
            subnet.postponed_raw_rand.push(call);
            return Ok(Success::Waiting);
        }
        Arguments::TakeSnapshot(args) => {
            let (snapshot, uninstalled) = snapshots::take(subnet, now, &caller, origin, &args, bill)?;
            released = uninstalled;
            encode(&snapshot)
        }
        Arguments::LoadSnapshot(args) => snapshots::load(subnet, now, &caller, origin, &args, bill).map(nothing),
        Arguments::ListSnapshots(args) => encode(&snapshots::list(subnet, &caller, &args)?),
        Arguments::DeleteSnapshot(args) => snapshots::delete(subnet, &caller, &args).map(nothing),
        Arguments::ReadSnapshotMetadata(args) => encode(&snapshots::read::metadata(subnet, &caller, &args)?),
        Arguments::ReadSnapshotData(args) => encode(&snapshots::read::data(subnet, &caller, &args, bill)?),
        Arguments::UploadSnapshotMetadata(args) => {
            encode(&snapshots::upload::metadata(subnet, now, &caller, args, bill)?)
        }
        Arguments::UploadSnapshotData(args) => snapshots::upload::data(subnet, &caller, args, bill).map(nothing),
        Arguments::FetchLogs(_) => Err(Refusal::OnlyAsQuery),
    }?;
    Ok(Success::Answered { reply, refund, released })
}

/// Tests the version that a calling canister says it has.
///
/// The canister gives the version that it had while it made the call; the call runs later, so that the canister may
/// have moved on, but it can never be behind.
fn check_claimed_version(subnet: &Subnet, origin: &CallOrigin, claimed: Option<u64>) -> Result<(), Refusal> {
    let CallOrigin::Canister { sender, .. } = origin else {
        return Ok(());
    };
    match (claimed, subnet.canisters.get(sender)) {
        (Some(claimed), Some(sender)) if claimed > sender.version => {
            Err(Refusal::SenderVersionMismatch { claimed, actual: sender.version })
        }
        _ => Ok(()),
    }
}

/// Returns the reply of methods that answer nothing.
fn nothing((): ()) -> Vec<u8> {
    NO_ARGUMENTS.to_vec()
}

fn encode<T: CandidType>(reply: &T) -> Result<Vec<u8>, Refusal> {
    candid::encode_one(reply).map_err(|error| Refusal::Unencodable { reason: error.to_string() })
}
