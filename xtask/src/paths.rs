//! Where things are.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::run::{cargo, output};

/// The checkout.
pub(crate) fn root() -> PathBuf {
    let own = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    own.parent().map(Path::to_path_buf).unwrap_or(own)
}

/// Folder of the development node; ignored by git.
pub(crate) fn dev() -> PathBuf {
    root().join(".smr-dev")
}

/// What cargo knows about the workspace, without dependencies.
pub(crate) fn metadata() -> Result<serde_json::Value> {
    let text = output(cargo().args(["metadata", "--format-version", "1", "--no-deps"]))?;
    serde_json::from_str(&text).context("output of `cargo metadata`")
}

/// Folder that cargo builds into.
pub(crate) fn target() -> Result<PathBuf> {
    let metadata = metadata()?;
    metadata["target_directory"].as_str().map(PathBuf::from).context("no target_directory")
}
