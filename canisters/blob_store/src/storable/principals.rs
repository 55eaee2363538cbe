//! What is kept about principals.

use std::borrow::Cow;

use ic_stable_structures::{Storable, storable::Bound};

use super::number_at;

/// A principal that retains modules.
///
/// | bytes | what |
/// |---|---|
/// | 0 | 1 when it was removed and its references are being dropped, else 0 |
/// | 1..9 | modules that it retains |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct StoredHolder {
    pub(crate) leaving: bool,
    pub(crate) references: u64,
}

impl Storable for StoredHolder {
    const BOUND: Bound = Bound::Bounded { max_size: 9, is_fixed_size: true };

    fn to_bytes(&self) -> Cow<'_, [u8]> {
        let mut bytes = vec![u8::from(self.leaving)];
        bytes.extend(self.references.to_le_bytes());
        Cow::Owned(bytes)
    }

    fn into_bytes(self) -> Vec<u8> {
        self.to_bytes().into_owned()
    }

    fn from_bytes(bytes: Cow<'_, [u8]>) -> Self {
        Self { leaving: bytes[0] == 1, references: number_at!(u64, &bytes, 1) }
    }
}

/// What a principal has in the store.
///
/// | bytes | what |
/// |---|---|
/// | 0..8 | bytes of the modules that it sealed |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct StoredAccount {
    pub(crate) stored_bytes: u64,
}

impl Storable for StoredAccount {
    const BOUND: Bound = Bound::Bounded { max_size: 8, is_fixed_size: true };

    fn to_bytes(&self) -> Cow<'_, [u8]> {
        Cow::Owned(self.stored_bytes.to_le_bytes().to_vec())
    }

    fn into_bytes(self) -> Vec<u8> {
        self.to_bytes().into_owned()
    }

    fn from_bytes(bytes: Cow<'_, [u8]>) -> Self {
        Self { stored_bytes: number_at!(u64, &bytes, 0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn should_keep_their_encodings() {
        let holder = StoredHolder { leaving: true, references: 2 };
        assert_eq!(holder.to_bytes().as_ref(), [1, 2, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(StoredHolder::from_bytes(holder.to_bytes()), holder);
        let account = StoredAccount { stored_bytes: 3 };
        assert_eq!(account.to_bytes().as_ref(), [3, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(StoredAccount::from_bytes(account.to_bytes()), account);
    }
}
