//! The physical limit: one thread that writes and syncs, and does nothing else.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::Path,
    time::{Duration, Instant},
};

use crate::load::{Figures, figures};

/// As large as a log file of the store.
const SIZE: u64 = 8 * 1024 * 1024;

/// A file whose blocks are all written already: a sync of an overwrite moves data only, no metadata
/// of the file system. A file that grows, or one whose blocks are only reserved, costs a commit of the
/// file system's journal each time and is no limit.
#[derive(Debug)]
pub struct Raw {
    file: File,
    at: u64,
}

impl Raw {
    /// Writes the file in full and syncs it.
    pub fn create(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().create_new(true).write(true).open(path)?;
        let zeros = vec![0; 1024 * 1024];
        for at in (0..SIZE).step_by(zeros.len()) {
            file.write_all_at(&zeros, at)?;
        }
        file.sync_all()?;
        Ok(Self { file, at: 0 })
    }

    /// Writes `writers` values of `bytes` at once and calls `fdatasync`, again and again for `time`: what
    /// that many writers could have at best if each of them waits for each of its writes.
    pub fn run(&mut self, writers: usize, bytes: usize, time: Duration) -> io::Result<Figures> {
        let data = vec![7; bytes * writers];
        let mut latencies = Vec::new();
        let start = Instant::now();
        while start.elapsed() < time {
            let begin = Instant::now();
            if self.at + data.len() as u64 > SIZE {
                self.at = 0;
            }
            self.file.write_all_at(&data, self.at)?;
            self.file.sync_data()?;
            self.at += data.len() as u64;
            latencies.push(begin.elapsed());
        }
        let mut figures = figures(latencies, start.elapsed());
        figures.per_second *= writers as f64;
        Ok(figures)
    }
}
