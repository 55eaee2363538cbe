//! What is kept in stable memory: types of their own, so that the wire can change without the layout and the other way
//! round.
//!
//! Records are CBOR maps by field name. A field added later needs `#[serde(default)]`; any other change needs a new
//! layout version.

use std::borrow::Cow;

use candid::Principal;
use ic_stable_structures::{Storable, storable::Bound};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// Bytes of a hash.
pub(crate) type StoredHash = [u8; 32];

/// A record in CBOR.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record<T>(pub(crate) T);

impl<T: Serialize + DeserializeOwned> Storable for Record<T> {
    const BOUND: Bound = Bound::Unbounded;

    fn to_bytes(&self) -> Cow<'_, [u8]> {
        let mut bytes = Vec::new();
        ciborium::into_writer(&self.0, &mut bytes).expect("BUG: a record of plain fields cannot be encoded");
        Cow::Owned(bytes)
    }

    fn into_bytes(self) -> Vec<u8> {
        self.to_bytes().into_owned()
    }

    fn from_bytes(bytes: Cow<'_, [u8]>) -> Self {
        Self(ciborium::from_reader(bytes.as_ref()).expect("BUG: a stored record has another layout"))
    }
}

/// What the controllers chose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum StoredConfig {
    /// Nothing yet: the canister is being installed.
    Uninitialized,
    /// The canister is installed.
    Installed {
        /// The blob store whose modules the catalog names.
        blob_store: Principal,
    },
}

/// A branch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredBranch {
    /// The commit it is at, if anything was committed yet.
    #[serde(with = "serde_bytes")]
    pub(crate) head: Option<StoredHash>,
}

/// A package.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredPackage {
    /// How many versions it has.
    pub(crate) versions: u32,
}

/// A release; package and order of the version are in its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredRelease {
    pub(crate) version: String,
    #[serde(with = "serde_bytes")]
    pub(crate) module_hash: StoredHash,
    pub(crate) description: String,
    pub(crate) source: Option<String>,
    pub(crate) publisher: Principal,
    pub(crate) published_at_ns: u64,
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use super::*;
    use crate::test_fixtures::{hex, unhex};

    /// Bytes written by a released version must be read for ever.
    #[track_caller]
    fn check<T: Serialize + DeserializeOwned + Debug + Clone + PartialEq>(record: T, golden: &str) {
        assert_eq!(hex(&Record(record.clone()).to_bytes()), golden);
        assert_eq!(Record::<T>::from_bytes(Cow::Owned(unhex(golden))), Record(record));
    }

    #[test]
    fn should_keep_the_bytes_of_each_record() {
        check(StoredConfig::Uninitialized, "6d556e696e697469616c697a6564");
        check(
            StoredConfig::Installed { blob_store: Principal::from_slice(&[1, 2]) },
            "a169496e7374616c6c6564a16a626c6f625f73746f7265420102",
        );
        check(StoredBranch { head: None }, "a16468656164f6");
        check(
            StoredBranch { head: Some([0x11; 32]) },
            "a1646865616458201111111111111111111111111111111111111111111111111111111111111111",
        );
        check(StoredPackage { versions: 300 }, "a16876657273696f6e7319012c");
        check(
            StoredRelease {
                version: "1.0.0".to_string(),
                module_hash: [0x22; 32],
                description: "d".to_string(),
                source: None,
                publisher: Principal::anonymous(),
                published_at_ns: 1,
            },
            "a66776657273696f6e65312e302e306b6d6f64756c655f68617368582022222222222222222222222222222222222222222222222222222222222222226b6465736372697074696f6e616466736f75726365f6697075626c697368657241046f7075626c69736865645f61745f6e7301",
        );
    }
}
