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
    Installed(StoredSettings),
}

/// What holds for an installed canister.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredSettings {
    /// The blob store whose modules the catalog names.
    pub(crate) blob_store: Principal,
    /// The branch that is meant when none is named; `main` when absent.
    #[serde(default)]
    pub(crate) default_branch: Option<String>,
    /// From this module on, it is not known that the blob store retains those of the catalog.
    #[serde(default, with = "serde_bytes")]
    pub(crate) retain_from: Option<StoredHash>,
    /// How many collections of garbage have ended.
    #[serde(default)]
    pub(crate) collections: u64,
}

/// The tops of the folders that are certified.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredCertified {
    /// Branches and the commits that they are at.
    #[serde(with = "serde_bytes")]
    pub(crate) heads: Option<StoredHash>,
    /// Packages, and in each its versions.
    #[serde(with = "serde_bytes")]
    pub(crate) releases: Option<StoredHash>,
}

/// A branch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredBranch {
    /// The commit it is at, if anything was committed yet.
    #[serde(with = "serde_bytes")]
    pub(crate) head: Option<StoredHash>,
    /// Whether only controllers move it, and only forward.
    #[serde(default)]
    pub(crate) protected: bool,
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

    /// Bytes that layout 1 wrote, before there were some of the fields.
    #[track_caller]
    fn check_old<T: Serialize + DeserializeOwned + Debug + PartialEq>(record: T, golden: &str) {
        assert_eq!(Record::<T>::from_bytes(Cow::Owned(unhex(golden))), Record(record));
    }

    fn settings() -> StoredSettings {
        StoredSettings {
            blob_store: Principal::from_slice(&[1, 2]),
            default_branch: None,
            retain_from: None,
            collections: 0,
        }
    }

    #[test]
    fn should_read_the_bytes_of_layout_1() {
        check_old(StoredConfig::Installed(settings()), "a169496e7374616c6c6564a16a626c6f625f73746f7265420102");
        check_old(StoredBranch { head: None, protected: false }, "a16468656164f6");
        check_old(
            StoredBranch { head: Some([0x11; 32]), protected: false },
            "a1646865616458201111111111111111111111111111111111111111111111111111111111111111",
        );
    }

    #[test]
    fn should_keep_the_bytes_of_each_record() {
        check(StoredConfig::Uninitialized, "6d556e696e697469616c697a6564");
        check(
            StoredConfig::Installed(StoredSettings {
                default_branch: Some("dev".to_string()),
                retain_from: Some([0x11; 32]),
                ..settings()
            }),
            "a169496e7374616c6c6564a46a626c6f625f73746f72654201026e64656661756c745f6272616e6368636465766b72657461696e5f66726f6d582011111111111111111111111111111111111111111111111111111111111111116b636f6c6c656374696f6e7300",
        );
        check(StoredBranch { head: None, protected: true }, "a26468656164f66970726f746563746564f5");
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
