//! Lists sealed modules.

use depot_types::{
    Hash,
    blob_store::{ListModulesArgs, ModulePage, ModuleSummary},
    limits::{DEFAULT_PAGE_ENTRIES, MAX_PAGE_ENTRIES},
};
use ic_stable_structures::Memory;

use crate::{
    limits::MAX_MODULES_EXAMINED,
    state::State,
    storable::{StoredHash, StoredModule},
};

impl<M: Memory> State<M> {
    /// Returns a page of the sealed modules that pass all filters given.
    pub fn list_modules(&self, args: &ListModulesArgs) -> ModulePage {
        let limit = args.limit.unwrap_or(DEFAULT_PAGE_ENTRIES).clamp(1, MAX_PAGE_ENTRIES) as usize;
        let mut page = ModulePage::default();
        let mut last = None;
        let modules = self.modules.behind(args.after.as_ref().map(Hash::as_bytes));
        for (examined, (module_hash, module)) in (0..).zip(modules) {
            if page.modules.len() == limit || examined == MAX_MODULES_EXAMINED {
                page.next = last;
                break;
            }
            let summary = self.summary(&module_hash, &module);
            last = Some(summary.module_hash);
            if passes(args, &summary) {
                page.modules.push(summary);
            }
        }
        page
    }

    fn summary(&self, module_hash: &StoredHash, module: &StoredModule) -> ModuleSummary {
        ModuleSummary {
            module_hash: Hash::new(*module_hash),
            size: module.size,
            raw_size: module.raw_size,
            encoding: module.encoding.into(),
            kind: module.kind.into(),
            deployable: module.obstacles.is_empty(),
            sealed_by: module.sealed_by,
            sealed_at_ns: module.sealed_at_ns,
            retention: self.retention_kind(module_hash),
        }
    }
}

fn passes(args: &ListModulesArgs, summary: &ModuleSummary) -> bool {
    let ListModulesArgs { after: _, limit: _, sealed_by, deployable, kind, retention } = args;
    sealed_by.is_none_or(|sealed_by| sealed_by == summary.sealed_by)
        && deployable.is_none_or(|deployable| deployable == summary.deployable)
        && kind.is_none_or(|kind| kind == summary.kind)
        && retention.is_none_or(|retention| retention == summary.retention)
}

#[cfg(test)]
mod tests {
    use depot_types::blob_store::{ModuleKind, RetentionKind};

    use super::*;
    use crate::test_fixtures::{ALICE, BOB, CATALOG, CONTROLLER, Module, TestState, new_state, seal};

    #[test]
    fn should_list_all_modules_page_by_page() {
        let mut state = new_state();
        let mut expected: Vec<Hash> =
            (0..5).map(|seed| seal(&mut state, ALICE, &Module::small(seed)).module_hash).collect();
        expected.sort_unstable();
        let mut listed = Vec::new();
        let mut after = None;
        loop {
            let page = state.list_modules(&ListModulesArgs { after, limit: Some(2), ..ListModulesArgs::default() });
            listed.extend(page.modules.iter().map(|module| module.module_hash));
            if page.next.is_none() {
                assert_eq!(page.modules.len(), 1);
                break;
            }
            assert_eq!((page.modules.len(), page.next), (2, listed.last().copied()));
            after = page.next;
        }
        assert_eq!(listed, expected);
        let all = state.list_modules(&ListModulesArgs::default());
        assert_eq!((all.modules.len(), all.next), (5, None));
        let exact = state.list_modules(&ListModulesArgs { limit: Some(5), ..ListModulesArgs::default() });
        assert_eq!((exact.modules.len(), exact.next), (5, None));
        let none = state.list_modules(&ListModulesArgs { limit: Some(0), ..ListModulesArgs::default() });
        assert_eq!(none.modules.len(), 1);
    }

    #[test]
    fn should_list_what_passes_the_filters() {
        let mut state = new_state();
        let by_alice = seal(&mut state, ALICE, &Module::small(1));
        let by_bob = seal(&mut state, BOB, &Module::small(2));
        let broken = seal(&mut state, BOB, &Module::with_unknown_import());
        state.add_holder(CONTROLLER, CATALOG).unwrap();
        state.retain(CATALOG, &[by_bob.module_hash]).unwrap();
        let list = |args: ListModulesArgs| {
            let mut hashes: Vec<Hash> =
                state.list_modules(&args).modules.iter().map(|module| module.module_hash).collect();
            hashes.sort_unstable();
            hashes
        };
        let sorted = |mut hashes: Vec<Hash>| {
            hashes.sort_unstable();
            hashes
        };
        let args = ListModulesArgs::default;
        assert_eq!(list(ListModulesArgs { sealed_by: Some(ALICE), ..args() }), [by_alice.module_hash]);
        assert_eq!(list(ListModulesArgs { deployable: Some(false), ..args() }), [broken.module_hash]);
        let deployable = sorted(vec![by_alice.module_hash, by_bob.module_hash]);
        assert_eq!(list(ListModulesArgs { deployable: Some(true), ..args() }), deployable);
        assert_eq!(list(ListModulesArgs { kind: Some(ModuleKind::Component), ..args() }), []);
        let retention = Some(RetentionKind::Retained);
        assert_eq!(list(ListModulesArgs { retention, ..args() }), [by_bob.module_hash]);
        let retention = Some(RetentionKind::Unretained);
        let unretained = sorted(vec![by_alice.module_hash, broken.module_hash]);
        assert_eq!(list(ListModulesArgs { retention, ..args() }), unretained);
        assert_eq!(list(ListModulesArgs { retention, sealed_by: Some(BOB), ..args() }), [broken.module_hash]);
    }

    /// A store with so many modules of Alice without chunks.
    fn state_with(count: u32) -> TestState {
        let mut state = new_state();
        for number in 0..count {
            let module = crate::test_fixtures::stored_module(ALICE);
            let hash = Hash::of(&number.to_le_bytes());
            state.modules.insert(&hash, module, vec![]);
        }
        state
    }

    #[test]
    fn should_list_so_many_modules_on_a_page_and_no_more() {
        let state = state_with(MAX_PAGE_ENTRIES + 1);
        let listed = |limit| {
            let page = state.list_modules(&ListModulesArgs { limit, ..ListModulesArgs::default() });
            (page.modules.len() as u32, page.next.is_some())
        };
        assert_eq!(listed(None), (DEFAULT_PAGE_ENTRIES, true));
        for limit in [MAX_PAGE_ENTRIES, MAX_PAGE_ENTRIES + 1, u32::MAX] {
            assert_eq!(listed(Some(limit)), (MAX_PAGE_ENTRIES, true));
        }
    }

    #[test]
    fn should_look_at_so_many_modules_and_no_more() {
        let state = state_with(MAX_MODULES_EXAMINED + 1);
        let filter = ListModulesArgs { sealed_by: Some(BOB), ..ListModulesArgs::default() };
        let first = state.list_modules(&filter);
        assert_eq!(first.modules, []);
        let rest = state.list_modules(&ListModulesArgs { after: first.next, ..filter });
        assert!(first.next.is_some() && rest == ModulePage::default());
    }
}
