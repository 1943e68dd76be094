//! The physical limit: one thread that writes and syncs, and does nothing else.

use std::{
    fs::OpenOptions,
    io,
    os::unix::fs::FileExt,
    path::Path,
    time::{Duration, Instant},
};

use crate::load::{Figures, figures};

/// Appends `bytes` and calls `fdatasync`, one after the other, for `time`. The file grows, or is
/// overwritten where `allocated` says so.
pub fn append(path: &Path, bytes: usize, allocated: bool, time: Duration) -> io::Result<Figures> {
    let file = OpenOptions::new().create(true).truncate(true).write(true).open(path)?;
    let size: u64 = 8 * 1024 * 1024;
    if allocated {
        file.write_all_at(&vec![0; size as usize], 0)?;
        file.sync_all()?;
    }
    let data = vec![7; bytes];
    let mut latencies = Vec::new();
    let mut at = 0;
    let start = Instant::now();
    while start.elapsed() < time {
        let begin = Instant::now();
        file.write_all_at(&data, at)?;
        file.sync_data()?;
        latencies.push(begin.elapsed());
        at += bytes as u64;
        if allocated && at + bytes as u64 > size {
            at = 0;
        }
    }
    Ok(figures(latencies, start.elapsed()))
}
