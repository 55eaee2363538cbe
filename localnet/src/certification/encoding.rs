//! How values are written at the leaves of the state tree.

use candid::Principal;
use ciborium::Value;

use crate::message::Cycles;

/// The tag 55799, which says that CBOR follows.
const SELF_DESCRIPTION: [u8; 3] = [0xd9, 0xd9, 0xf7];

/// Encodes a value as CBOR.
pub(super) fn cbor(value: &impl serde::Serialize) -> Vec<u8> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes).expect("memory can be written to, and no value here fails to serialize");
    bytes
}

/// Encodes a value as CBOR that says it is CBOR.
pub(super) fn self_described_cbor(value: &impl serde::Serialize) -> Vec<u8> {
    let mut bytes = SELF_DESCRIPTION.to_vec();
    bytes.extend(cbor(value));
    bytes
}

fn principal(id: &Principal) -> Value {
    Value::Bytes(id.as_slice().to_vec())
}

/// Encodes a number as unsigned LEB128.
pub(super) fn leb128(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

/// Encodes the controllers of a canister: self-described CBOR, an array of byte strings.
pub(super) fn controllers(controllers: &[Principal]) -> Vec<u8> {
    self_described_cbor(&Value::Array(controllers.iter().map(principal).collect()))
}

/// Encodes ranges of canister ids: self-described CBOR, an array of pairs of first and last id.
pub(super) fn ranges(ranges: &[(Principal, Principal)]) -> Vec<u8> {
    let pair = |(first, last): &(Principal, Principal)| Value::Array(vec![principal(first), principal(last)]);
    self_described_cbor(&Value::Array(ranges.iter().map(pair).collect()))
}

/// Figures of a subnet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Metrics {
    /// Canisters on the subnet.
    pub(super) canisters: u64,
    /// Bytes that the canisters take.
    pub(super) state_bytes: u64,
    /// Cycles that were paid or burned.
    pub(super) consumed: Cycles,
    /// Messages executed by all nodes.
    pub(super) transactions: u64,
}

impl Metrics {
    /// Encodes the figures: CBOR, a map with numbers for the names of the fields. The cycles are a map of low and, unless
    /// it is 0, high half.
    pub(super) fn encode(&self) -> Vec<u8> {
        let field = |number: u64, value: Value| (Value::from(number), value);
        let (low, high) = (self.consumed as u64, (self.consumed >> 64) as u64);
        let mut consumed = vec![field(0, low.into())];
        if high != 0 {
            consumed.push(field(1, high.into()));
        }
        cbor(&Value::Map(vec![
            field(0, self.canisters.into()),
            field(1, self.state_bytes.into()),
            field(2, Value::Map(consumed)),
            field(3, self.transactions.into()),
        ]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn should_encode_numbers_as_leb128() {
        assert_eq!(leb128(0), [0]);
        assert_eq!(leb128(127), [0x7f]);
        assert_eq!(leb128(128), [0x80, 0x01]);
        assert_eq!(leb128(624_485), [0xe5, 0x8e, 0x26]);
        assert_eq!(leb128(u64::MAX), [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]);
    }

    #[test]
    fn should_encode_controllers_and_ranges_as_self_described_arrays() {
        assert_eq!(controllers(&[]), [0xd9, 0xd9, 0xf7, 0x80]);
        let (a, b) = (Principal::from_slice(&[4]), Principal::from_slice(&[1, 2]));
        assert_eq!(controllers(&[a, b]), [0xd9, 0xd9, 0xf7, 0x82, 0x41, 4, 0x42, 1, 2]);
        assert_eq!(ranges(&[(a, b)]), [0xd9, 0xd9, 0xf7, 0x81, 0x82, 0x41, 4, 0x42, 1, 2]);
    }

    #[test]
    fn should_encode_metrics_as_the_client_reads_them() {
        for consumed in [0, 7, u128::from(u64::MAX) + 1, u128::MAX] {
            let metrics = Metrics { canisters: 3, state_bytes: 1 << 40, consumed, transactions: 5 };
            let bytes = metrics.encode();
            let read: ciborium::Value = ciborium::from_reader(bytes.as_slice()).unwrap();
            let fields = read.as_map().unwrap();
            let number = |value: &Value| u128::try_from(value.as_integer().unwrap()).unwrap();
            assert_eq!(fields.iter().map(|(name, _)| number(name)).collect::<Vec<_>>(), [0, 1, 2, 3]);
            let halves = fields[2].1.as_map().unwrap();
            assert_eq!(halves.len(), if consumed >> 64 == 0 { 1 } else { 2 });
            let high = halves.get(1).map_or(0, |(_, high)| number(high));
            assert_eq!(number(&halves[0].1) + (high << 64), consumed);
            assert_eq!((number(&fields[0].1), number(&fields[3].1)), (3, 5));
        }
    }
}
