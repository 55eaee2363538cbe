//! The subnet's random numbers: a chain of hashes over the seed, the same in every run.

use sha2::{Digest, Sha256};

use crate::network::Subnet;

/// Takes the next 32 random bytes.
pub(super) fn next(subnet: &mut Subnet) -> [u8; 32] {
    let output = derive(b"output", &subnet.randomness);
    subnet.randomness = derive(b"state", &subnet.randomness);
    output
}

/// Hashes the state for a purpose, so that what is handed out does not tell what comes next.
fn derive(purpose: &[u8], state: &[u8; 32]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update([purpose.len() as u8]);
    hash.update(purpose);
    hash.update(state);
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        error::ErrorCode,
        management::{
            answer_raw_rand,
            test_fixtures::{World, code, from_canister, user},
        },
        message::Answer,
        network::{Disposition, ManagementCall},
    };

    #[test]
    fn should_answer_fresh_bytes_in_the_round_after_the_call() {
        let mut world = World::new();
        let id = world.create(user(1));
        let call = ManagementCall {
            origin: from_canister(id),
            method: "raw_rand".to_string(),
            payload: b"DIDL\0\0".to_vec(),
            cycles: 3,
        };
        let (disposition, _) = crate::management::execute(&mut world.subnet, &world.context, call);
        assert!(matches!(disposition, Disposition::Waiting));
        let call = world.subnet.postponed_raw_rand.pop().expect("the call is postponed");
        assert_eq!(call.cycles, 3);
        let mut answers = Vec::new();
        for _ in 0..2 {
            let Answer::Reply(reply) = answer_raw_rand(&mut world.subnet, &call) else { panic!("it must reply") };
            let bytes: Vec<u8> = candid::decode_one(&reply).expect("a blob");
            assert_eq!(bytes.len(), 32);
            answers.push(bytes);
        }
        assert_ne!(answers[0], answers[1]);
        assert_ne!(answers[1], world.subnet.randomness, "the state is not handed out");
    }

    #[test]
    fn should_be_the_same_in_every_run_and_differ_between_subnets() {
        let (mut one, mut same) = (World::new(), World::new());
        let mut other = World::new();
        other.subnet.randomness[0] ^= 1;
        let first = next(&mut one.subnet);
        assert_eq!(first, next(&mut same.subnet));
        assert_ne!(first, next(&mut other.subnet));
    }

    #[test]
    fn should_not_answer_users() {
        let mut world = World::new();
        assert_eq!(code(world.as_user(user(1), "raw_rand", &())), ErrorCode::CanisterRejectedMessage);
        assert_eq!(code(world.accepts(user(1), "raw_rand", &())), ErrorCode::CanisterRejectedMessage);
    }
}
