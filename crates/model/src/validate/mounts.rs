//! What is mounted into a container, and devices.

use std::collections::BTreeSet;

use super::Problems;
use crate::{
    parser::field_path,
    spec::{ContainersSpec, Volume, VolumeType},
};

pub(super) fn all(spec: &ContainersSpec, root: &str, problems: &mut Problems) {
    let mut points = BTreeSet::new();
    let mut unique = |point: &str, path: &str, problems: &mut Problems| {
        if !points.insert(clean(point)) {
            problems.error(path, format!("mountpoints need to be unique: {point}"), "");
        }
    };
    for (index, volume) in spec.volumes.iter().enumerate() {
        let path = format!("{root}.volumes[{index}]");
        source(volume, &path, problems);
        let path = format!("{path}.mountPoint");
        if mount_point(&volume.mount_point, &path, problems) {
            unique(&volume.mount_point, &path, problems);
        }
    }
    for (index, resource) in spec.resources.iter().enumerate() {
        let path = format!("{root}.resources[{index}].mountPoint");
        if mount_point(&resource.mount_point, &path, problems) {
            unique(&resource.mount_point, &path, problems);
        }
    }
    for point in spec.tmpfs.keys() {
        let path = field_path(&format!("{root}.tmpfs"), point);
        if mount_point(point, &path, problems) {
            unique(point, &path, problems);
        }
    }
    for (index, device) in spec.devices.iter().enumerate() {
        let path = format!("{root}.devices[{index}]");
        absolute(&device.host, format!("{path}.host"), problems);
        if !device.container.is_empty() {
            absolute(&device.container, format!("{path}.container"), problems);
        }
        if device.permissions.chars().any(|c| !matches!(c, 'r' | 'w' | 'm')) {
            let message = format!("`{}` is not an access", device.permissions);
            problems.error(format!("{path}.permissions"), message, "allowed: any of `r`, `w`, `m`");
        }
    }
}

fn source(volume: &Volume, path: &str, problems: &mut Problems) {
    match volume.kind {
        VolumeType::Bind => {
            let path = format!("{path}.hostPath");
            if volume.host_path.is_empty() {
                let hint = "name a path on the host, or use `type: volume`";
                problems.error(path, "is missing", hint);
            } else {
                absolute(&volume.host_path, path, problems);
            }
        }
        VolumeType::Volume => {
            let name = &volume.name;
            if name.is_empty() {
                problems.error(format!("{path}.name"), "is missing", "name a volume");
            } else if !engine_name(name) {
                let message = format!("`{name}` is not the name of a volume");
                problems.error(format!("{path}.name"), message, "");
            }
        }
        VolumeType::Tmpfs => {
            if !volume.host_path.is_empty() {
                problems.warning(format!("{path}.hostPath"), "has no effect on `tmpfs`", "");
            }
        }
    }
}

/// Whether the engine takes it as the name of a network or volume.
pub(super) fn engine_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'))
}

/// Whether the path can be mounted on.
fn mount_point(point: &str, path: &str, problems: &mut Problems) -> bool {
    if point.is_empty() {
        problems.error(path, "is missing", "name an absolute path in the container");
        return false;
    }
    if clean(point) == "/" {
        problems.error(path, "the root of the container cannot be replaced", "");
        return false;
    }
    absolute(point, path.to_owned(), problems)
}

pub(super) fn absolute(text: &str, path: String, problems: &mut Problems) -> bool {
    let valid = text.starts_with('/')
        && !text.contains(|c: char| c.is_control())
        && text.split('/').all(|part| part != "..");
    if !valid {
        problems.error(
            path,
            format!("`{text}` is not an absolute path"),
            "begin with `/`, without `..`",
        );
    }
    valid
}

/// A path without doubled and trailing slashes, for comparing.
fn clean(path: &str) -> String {
    let parts: Vec<&str> = path.split('/').filter(|p| !p.is_empty() && *p != ".").collect();
    format!("/{}", parts.join("/"))
}
