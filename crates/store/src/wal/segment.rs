//! Log files: allocated in full before use, so that an append never needs space.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use super::frame::{HEADER_BYTES, Header, header_bytes};
use crate::dir::{create_file, rename_durably};

/// The file appended to.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) file: File,
    pub(crate) header: Header,
    /// Where the next frame goes.
    pub(crate) offset: u64,
    /// Bytes allocated.
    pub(crate) size: u64,
}

/// Path of the log file `sequence`.
pub(crate) fn segment_path(dir: &Path, sequence: u64) -> PathBuf {
    dir.join(format!("{sequence:020}.wal"))
}

/// A file that is allocated but not a log file yet.
#[derive(Debug)]
pub(crate) struct Allocated {
    pub(crate) path: PathBuf,
    pub(crate) file: File,
}

/// Path of a file allocated ahead.
pub(crate) fn spare_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:020}.spare"))
}

/// Removes files that were allocated ahead and never used.
pub(crate) fn remove_spares(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "spare") {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// Log files of a directory by sequence number.
pub(crate) fn list_segments(dir: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if let Some(sequence) = name.strip_suffix(".wal").and_then(|digits| digits.parse().ok()) {
            found.push((sequence, path));
        }
    }
    found.sort();
    Ok(found)
}

/// Allocates the spare file by writing it in full: later appends overwrite blocks that exist, which
/// needs neither space nor a change of metadata to become durable.
pub(crate) fn allocate_spare(path: PathBuf, size: u64) -> io::Result<Allocated> {
    let file = create_file(&path, true)?;
    let result = fill(&file, size);
    if result.is_err() {
        let _ = fs::remove_file(&path);
    }
    result.map(|()| Allocated { path, file })
}

fn fill(file: &File, size: u64) -> io::Result<()> {
    let zeros = vec![0; 256 * 1024];
    let mut at = 0;
    while at < size {
        let length = (size - at).min(zeros.len() as u64);
        file.write_all_at(&zeros[..length as usize], at)?;
        at += length;
    }
    file.sync_all()
}

/// Turns the spare file into log file `header.sequence`, starting with the given sealed frame.
pub(crate) fn start_segment(
    dir: &Path,
    allocated: Allocated,
    size: u64,
    header: Header,
    first_frame: &[u8],
) -> io::Result<Segment> {
    let Allocated { path, file } = allocated;
    let mut start = header_bytes(header).to_vec();
    start.extend_from_slice(first_frame);
    file.write_all_at(&start, 0)?;
    file.sync_data()?;
    rename_durably(&path, &segment_path(dir, header.sequence))?;
    Ok(Segment { file, header, offset: HEADER_BYTES + first_frame.len() as u64, size })
}
