//! Backups, and catalogs that they are read into.

use std::collections::BTreeSet;

use depot_types::catalog::{
    BackupItem, EventKind, ExportArgs, ExportError, ImportArgs, ImportStatus, RetainModulesArgs,
};

use super::{Both, pages};
use crate::{
    blob_store::retain_modules,
    events::Actor,
    import::import,
    state::State,
    test_fixtures::{CONTROLLER, Fixture, block_on},
};

impl Both {
    /// Reads a backup into an empty catalog, which takes the place of this one.
    pub(super) fn move_elsewhere(&mut self) {
        let export = |after| self.fixture.state.borrow().export(&ExportArgs { after });
        if self.is_collecting {
            assert_eq!(export(None), Err(ExportError::Interrupted));
            return;
        }
        let items: Vec<BackupItem> = pages(|after| {
            let page = export(after).unwrap();
            (page.items, page.next)
        });
        let other = Fixture::new();
        other.runtime.set_now_ns(self.now_ns);
        let mut position = 0;
        for part in items.chunks(5) {
            let args = ImportArgs { position, items: part.to_vec() };
            let status = import(&mut other.state.borrow_mut(), &other.runtime, CONTROLLER, args).unwrap();
            position += part.len() as u64;
            assert_eq!(status, ImportStatus { position, finished: position as usize == items.len() });
        }
        loop {
            let args = RetainModulesArgs::default();
            let status = block_on(retain_modules(&other.state, &other.runtime, CONTROLLER, args)).unwrap();
            assert_eq!(status.missing, []);
            if status.finished {
                break;
            }
        }
        let (old, new) = (self.fixture.state.borrow(), other.state.borrow());
        let ids = |state: &State<_>| state.objects.keys().collect::<BTreeSet<_>>();
        assert_eq!(ids(&old), ids(&new));
        let commits = |state: &State<_>| state.stats(0, vec![]).commits;
        let count = commits(&new);
        assert_eq!(commits(&old), count);
        assert_eq!(old.certified_data(), new.certified_data());
        let named: BTreeSet<_> = new.modules.keys().map(depot_types::Hash::new).collect();
        assert_eq!(other.runtime.retained(), named);
        drop((old, new));
        self.fixture = other;
        let actor = Actor { caller: CONTROLLER, now_ns: self.now_ns };
        self.model.log(actor, EventKind::Imported { commits: count });
    }
}
