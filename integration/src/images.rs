//! Container images without a registry: a few files out of Debian packages, with their libraries.
//!
//! An image is described by a [`Recipe`]; [`install`] brings it into an engine. What was built is
//! kept as a tar in the cache folder under a stamp of its recipe, and the image carries the stamp as a
//! label, so a second call only asks Docker one question. Needs `apt-get`, `dpkg-deb`, `tar` and
//! `readelf`; no root, no chroot.

mod build;
mod recipes;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::Docker;
pub use recipes::{RECIPES, Recipe};

/// Label with the stamp of the recipe an image was made from.
const STAMP_LABEL: &str = "smr.example.recipe";

/// What [`install`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Installed {
    /// The engine had it already.
    Present,
    /// Imported, perhaps after building it.
    Imported,
}

/// Full name of the image of a recipe, as definitions refer to it.
pub fn image_name(recipe: &str) -> String {
    format!("smr-examples/{recipe}:1")
}

/// Folder for downloaded packages and finished images: `$SMR_CACHE`, else `~/.cache/smr`.
pub fn cache_dir() -> PathBuf {
    std::env::var_os("SMR_CACHE").map_or_else(
        || {
            let home = std::env::var_os("HOME").unwrap_or_else(|| "/tmp".into());
            Path::new(&home).join(".cache/smr")
        },
        PathBuf::from,
    )
}

/// Brings the image of a recipe into an engine under [`image_name`]. `progress` is called before work
/// that takes longer than a second.
pub fn install(docker: &Docker, name: &str, progress: &dyn Fn(&str)) -> Result<Installed> {
    install_as(docker, name, &image_name(name), progress)
}

/// As [`install`], under a name of the caller's choice.
pub fn install_as(
    docker: &Docker,
    name: &str,
    image: &str,
    progress: &dyn Fn(&str),
) -> Result<Installed> {
    let recipe = find(name)?;
    let stamp = recipe.stamp();
    if docker.image_label(image, STAMP_LABEL).as_deref() == Some(&stamp) {
        return Ok(Installed::Present);
    }
    let tar = archive(recipe, &stamp, progress)?;
    let mut changes: Vec<String> = recipe.changes.iter().map(|line| (*line).to_owned()).collect();
    changes.push(format!("LABEL {STAMP_LABEL}={stamp}"));
    docker.import(image, &tar, &changes)?;
    Ok(Installed::Imported)
}

/// Builds the image of a recipe into the cache, if it is not there. Where there is no network afterwards, as
/// in a lab, [`install`] then needs none.
pub fn prepare(name: &str, progress: &dyn Fn(&str)) -> Result<()> {
    let recipe = find(name)?;
    archive(recipe, &recipe.stamp(), progress).map(drop)
}

fn find(name: &str) -> Result<&'static Recipe> {
    RECIPES
        .iter()
        .find(|recipe| recipe.name == name)
        .with_context(|| format!("no recipe for an image `{name}`"))
}

/// The finished root file system of a recipe, from the cache or built now.
fn archive(recipe: &Recipe, stamp: &str, progress: &dyn Fn(&str)) -> Result<PathBuf> {
    let cache = cache_dir();
    let images = cache.join("images");
    let tar = images.join(format!("{}-{stamp}.tar", recipe.name));
    if tar.exists() {
        return Ok(tar);
    }
    progress(&format!("building image {} from Debian packages", image_name(recipe.name)));
    fs::create_dir_all(&images).with_context(|| format!("create `{}`", images.display()))?;
    let unfinished = images.join(format!("{}.{}.part", recipe.name, std::process::id()));
    let built = build::build(recipe, &cache.join("packages"), &unfinished)
        .with_context(|| format!("build image `{}`", recipe.name));
    if built.is_err() {
        let _ = fs::remove_file(&unfinished);
    }
    built?;
    fs::rename(&unfinished, &tar)?;
    remove_older(&images, recipe.name, &tar);
    Ok(tar)
}

/// Archives of earlier versions of a recipe are of no use to anyone.
fn remove_older(images: &Path, name: &str, keep: &Path) {
    for entry in fs::read_dir(images).into_iter().flatten().flatten() {
        let path = entry.path();
        let file = entry.file_name().to_string_lossy().into_owned();
        let stamp = file.strip_prefix(name).and_then(|rest| rest.strip_prefix('-'));
        if path != keep && stamp.is_some_and(|it| !it.contains('-')) {
            // Another run may have removed it already.
            let _ = fs::remove_file(path);
        }
    }
}
