//! Generated pages are as they would be generated.

use std::{fs, path::Path};

#[test]
fn the_command_reference_and_man_pages_are_not_stale() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    let pages = smr_cli::pages().unwrap();
    for (name, text) in &pages {
        let found = fs::read_to_string(docs.join(name)).unwrap_or_default();
        assert_eq!(&found, text, "{} is stale; run `smr generate docs`", name.display());
    }
    for entry in fs::read_dir(docs.join("man")).unwrap() {
        let name = Path::new("man").join(entry.unwrap().file_name());
        assert!(pages.contains_key(&name), "{} is of no command; remove it", name.display());
    }
}
