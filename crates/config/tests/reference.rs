//! The committed reference page is the generated one. `SMR_REGENERATE=1` writes it.

use std::path::Path;

#[test]
fn the_reference_page_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/smr-toml.md");
    let page = smr_config::reference_markdown();
    if std::env::var_os("SMR_REGENERATE").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &page).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == page,
        "docs/smr-toml.md is stale; run SMR_REGENERATE=1 cargo test -p smr-config --test reference"
    );
}
