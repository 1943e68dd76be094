//! Files for a container, packed the way the upload call takes them.

use std::{
    io,
    time::{SystemTime, UNIX_EPOCH},
};

use smr_model::ContainerFile;

/// One archive with all files, relative to the root. Missing directories are made by the engine
/// (root's, 0755); writing them here would change owner and mode of those that exist.
pub(super) fn archive(files: &[ContainerFile]) -> io::Result<Vec<u8>> {
    // Caches compare times of change, so a new container's files must not look old.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let mut builder = tar::Builder::new(Vec::new());
    for file in files {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Regular);
        header.set_size(file.content.len() as u64);
        header.set_mode(file.mode);
        header.set_uid(u64::from(file.uid));
        header.set_gid(u64::from(file.gid));
        header.set_mtime(now);
        let path = file.path.trim_start_matches('/');
        builder.append_data(&mut header, path, file.content.as_bytes())?;
    }
    builder.into_inner()
}

/// What is wrong with a file's path, if anything.
pub(super) fn path_error(file: &ContainerFile) -> Option<String> {
    let path = file.path.as_str();
    let Some(inner) = path.strip_prefix('/') else {
        return Some(format!("`{path}` is not an absolute path"));
    };
    if inner.is_empty() || inner.ends_with('/') {
        return Some(format!("`{path}` is not the path of a file"));
    }
    inner
        .split('/')
        .any(|part| part == ".." || part.contains('\0'))
        .then(|| format!("`{path}` leaves its directory"))
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn owner_mode_and_long_paths_survive_and_no_directories_are_written() {
        let long = format!("/etc/{}/app.conf", "d".repeat(180));
        let file = ContainerFile {
            path: long.clone(),
            content: "port=1".into(),
            uid: 100,
            gid: 101,
            mode: 0o640,
        };
        let bytes = archive(&[file]).unwrap();
        let mut tar = tar::Archive::new(bytes.as_slice());
        let mut entries = tar.entries().unwrap();
        let mut entry = entries.next().unwrap().unwrap();
        assert_eq!(format!("/{}", entry.path().unwrap().display()), long);
        let header = entry.header();
        assert_eq!(
            (header.uid().unwrap(), header.gid().unwrap(), header.mode().unwrap()),
            (100, 101, 0o640)
        );
        let mut content = String::new();
        entry.read_to_string(&mut content).unwrap();
        assert_eq!(content, "port=1");
        assert!(entries.next().is_none());
    }
}
