//! Open uploads: found by principal and module, and in the order in which they expire.

use candid::Principal;
use ic_stable_structures::{Memory, StableBTreeMap};

use crate::storable::{StoredUpload, UploadKey};

/// The open uploads, among them some that have expired and were not removed yet.
pub(crate) struct Sessions<M: Memory> {
    uploads: StableBTreeMap<UploadKey, StoredUpload, M>,
    expiries: StableBTreeMap<(u64, UploadKey), (), M>,
}

impl<M: Memory> Sessions<M> {
    pub(crate) fn open(uploads: M, expiries: M) -> Self {
        Self { uploads: StableBTreeMap::init(uploads), expiries: StableBTreeMap::init(expiries) }
    }

    pub(crate) fn len(&self) -> u64 {
        self.uploads.len()
    }

    /// Returns an upload unless it has expired.
    pub(crate) fn get(&self, key: &UploadKey, now_ns: u64) -> Option<StoredUpload> {
        self.uploads.get(key).filter(|upload| upload.expires_at_ns > now_ns)
    }

    /// Puts an upload in the place of what was there.
    pub(crate) fn put(&mut self, key: UploadKey, upload: StoredUpload) {
        let expires_at_ns = upload.expires_at_ns;
        let replaced = self.uploads.insert(key, upload).map(|replaced| replaced.expires_at_ns);
        if replaced == Some(expires_at_ns) {
            return;
        }
        if let Some(replaced) = replaced {
            self.expiries.remove(&(replaced, key));
        }
        self.expiries.insert((expires_at_ns, key), ());
    }

    /// Removes and returns an upload, expired or not.
    pub(crate) fn remove(&mut self, key: &UploadKey) -> Option<StoredUpload> {
        let upload = self.uploads.remove(key)?;
        self.expiries.remove(&(upload.expires_at_ns, *key));
        Some(upload)
    }

    /// Returns the upload that expired first, if any has.
    pub(crate) fn first_expired(&self, now_ns: u64) -> Option<UploadKey> {
        let ((expires_at_ns, key), ()) = self.expiries.first_key_value()?;
        (expires_at_ns <= now_ns).then_some(key)
    }

    /// Returns all uploads of a principal, expired or not.
    pub(crate) fn keys_of(&self, principal: &Principal) -> Vec<UploadKey> {
        let (first, last) = UploadKey::range_of(principal);
        self.uploads.keys_range(first..=last).collect()
    }

    /// Returns all uploads.
    #[cfg(test)]
    pub(crate) fn records(&self) -> Vec<(UploadKey, StoredUpload)> {
        assert_eq!(self.expiries.len(), self.uploads.len());
        for entry in self.expiries.iter() {
            let (expires_at_ns, key) = *entry.key();
            assert_eq!(self.uploads.get(&key).unwrap().expires_at_ns, expires_at_ns);
        }
        self.uploads.iter().map(|entry| (*entry.key(), entry.value())).collect()
    }
}
