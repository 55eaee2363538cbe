//! Certifies modules anew when answers about them got another form.
//!
//! What is certified about a module is kept as a hash, so that nothing has to be computed anew after an upgrade. But code
//! that answers with other headers needs other hashes. It begins with them in the upgrade and goes on in slices; a module
//! whose turn has not come is answered by updates, which need no certificate (`http.rs`).

use ic_stable_structures::Memory;

use crate::{limits::MAX_RENEWED_PER_SLICE, pages, state::State, storable::StoredRetention};

impl<M: Memory> State<M> {
    /// Certifies some modules anew, if any are to be. Returns how many, and whether that were all.
    pub(crate) fn renew_certificates(&mut self) -> (u32, bool) {
        let Some(mut renewed) = self.header.renewed() else { return (0, true) };
        let max = MAX_RENEWED_PER_SLICE as usize;
        let next: Vec<_> = self.modules.behind(Some(&renewed)).take(max + 1).collect();
        let mut count = 0;
        for (module_hash, module) in next.iter().take(max) {
            renewed = *module_hash;
            let certified = pages::certified(module_hash, module, None).digest();
            // A module of layout 1 that was not adopted yet will be, in this form.
            if let Some(record) = self.retentions.get(module_hash)
                && record.certified != certified
            {
                self.put_retention(module_hash, StoredRetention { certified, ..record });
                self.certificates.update(&self.retentions, module_hash);
                count += 1;
            }
        }
        let is_done = next.len() <= max;
        self.header.set_renewed((!is_done).then_some(renewed));
        (count, is_done)
    }
}

#[cfg(test)]
mod tests {
    use depot_types::Hash;

    use super::*;
    use crate::{
        lifecycle,
        storable::StoredHash,
        test_fixtures::{ALICE, Module, NOW, TestState, new_manager, new_state, open, seal, stored_module},
    };

    /// Makes all certificates those of an earlier form.
    fn age(state: &mut TestState) {
        for (module_hash, record) in state.retentions.records() {
            let certified: StoredHash = *Hash::of(&record.certified).as_bytes();
            state.put_retention(&module_hash, StoredRetention { certified, ..record });
            state.certificates.update(&state.retentions, &module_hash);
        }
        state.header.expect_form(pages::FORM - 1);
    }

    /// Seals modules without chunks, as many as asked for.
    fn fill(state: &mut TestState, count: u32) {
        for number in 0..count {
            let (hash, module) = (Hash::of(&number.to_le_bytes()), stored_module(ALICE));
            state.modules.insert(&hash, module.clone(), vec![]);
            state.begin_retention(hash.as_bytes(), &module, NOW);
        }
    }

    #[test]
    fn should_certify_all_modules_in_the_upgrade_to_another_form() {
        let manager = new_manager();
        let mut state = open(&manager);
        fill(&mut state, MAX_RENEWED_PER_SLICE);
        let root = state.certified_data();
        age(&mut state);
        assert_ne!(state.certified_data(), root);
        drop(state);
        let mut state = open(&manager);
        lifecycle::apply(&mut state, None).unwrap();
        assert_eq!((state.certified_data(), state.header.renewed()), (root, None));
        assert_eq!(state.collect(NOW).certificates_renewed, 0);
    }

    #[test]
    fn should_certify_the_rest_slice_by_slice() {
        let manager = new_manager();
        let mut state = open(&manager);
        lifecycle::apply(&mut state, Some(crate::test_fixtures::new_args())).unwrap();
        fill(&mut state, 2 * MAX_RENEWED_PER_SLICE + 1);
        age(&mut state);
        drop(state);
        let mut state = open(&manager);
        lifecycle::apply(&mut state, None).unwrap();
        // What is sealed meanwhile is certified in the new form at once, wherever it stands.
        for seed in 0..4 {
            seal(&mut state, ALICE, &Module::small(seed));
        }
        let report = state.collect(NOW);
        assert!(
            report.more && (MAX_RENEWED_PER_SLICE - 4..=MAX_RENEWED_PER_SLICE).contains(&report.certificates_renewed)
        );
        let report = state.collect(NOW);
        assert!(!report.more && report.certificates_renewed > 0);
        let mut fresh = new_state();
        fill(&mut fresh, 2 * MAX_RENEWED_PER_SLICE + 1);
        for seed in 0..4 {
            seal(&mut fresh, ALICE, &Module::small(seed));
        }
        assert_eq!(state.certified_data(), fresh.certified_data());
        assert_eq!(state.collect(NOW).certificates_renewed, 0);
    }

    #[test]
    fn should_begin_again_when_the_form_changes_on_the_way() {
        let mut state = new_state();
        fill(&mut state, MAX_RENEWED_PER_SLICE + 1);
        let root = state.certified_data();
        age(&mut state);
        state.header.expect_form(pages::FORM);
        assert_eq!(state.renew_certificates(), (MAX_RENEWED_PER_SLICE, false));
        age(&mut state);
        state.header.expect_form(pages::FORM);
        assert_eq!(state.renew_certificates(), (MAX_RENEWED_PER_SLICE, false));
        assert_eq!(state.renew_certificates(), (1, true));
        assert_eq!(state.certified_data(), root);
    }
}
