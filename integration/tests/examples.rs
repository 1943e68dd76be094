//! The examples as text: every definition is valid, without a warning, and uses an image that we build.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    path::{Path, PathBuf},
};

use smr_integration::images::{RECIPES, image_name};
use smr_model::{SourceName, Spec};

#[test]
fn every_definition_is_valid_and_every_image_can_be_built() {
    let images: Vec<String> = RECIPES.iter().map(|recipe| image_name(recipe.name)).collect();
    let files = definitions();
    assert!(files.len() >= 6, "{files:?}");
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let parsed = smr_model::parse(&text, &SourceName::new(file.display().to_string()));
        let (definitions, warnings) = parsed.into_result().unwrap();
        assert!(warnings.is_empty(), "{warnings:?}");
        for definition in definitions {
            if let Spec::Containers(spec, _) = &definition.spec {
                let image = spec.image_reference();
                assert!(images.contains(&image), "{}: `{image}`", file.display());
            }
        }
    }
}

fn definitions() -> Vec<PathBuf> {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let mut files: Vec<PathBuf> = fs::read_dir(examples)
        .unwrap()
        .flatten()
        .filter_map(|pack| fs::read_dir(pack.path().join("definitions")).ok())
        .flat_map(|entries| entries.flatten().map(|entry| entry.path()))
        .collect();
    files.sort();
    files
}
