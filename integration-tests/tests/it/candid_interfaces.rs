//! The built modules carry the interfaces that the repository shows.

use depot_types::wasm::inspect;
use integration_tests::wasms;

#[test]
fn should_embed_interface_and_version_in_every_module() {
    for name in ["blob_store", "catalog", "factory"] {
        let module = wasms::load(name).unwrap();
        let inspection = inspect(&module).unwrap();
        let path = format!("{}/../candid/{name}.did", env!("CARGO_MANIFEST_DIR"));
        let file = std::fs::read(&path).unwrap();
        assert_eq!(inspection.metadata("candid:service"), Some(file.as_slice()), "{name}");
        assert_eq!(inspection.metadata("depot:version"), Some(env!("CARGO_PKG_VERSION").as_bytes()), "{name}");
        assert_eq!(inspection.obstacles, [], "{name}");
    }
}
