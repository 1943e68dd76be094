//! The physical limit: one thread that writes and syncs, and does nothing else.
//!
//! It runs as a process of its own with real-time priority (`chrt`) where that is allowed. On a machine
//! that has other work a lone thread that sleeps in `fdatasync` otherwise waits for the next tick of
//! the scheduler each time, 4 ms instead of 0.1 ms, and measures that instead of the disk.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::Path,
    process::{Command, Output},
    time::{Duration, Instant},
};

use crate::load::{Figures, figures};

/// First argument of the process that measures.
pub const CHILD: &str = "--raw-child";

/// Measures in a process of its own: this program, run again with [`CHILD`].
pub fn measure(path: &Path, writers: usize, bytes: usize, time: Duration) -> io::Result<Figures> {
    let program = std::env::current_exe()?;
    let run = |mut command: Command| -> io::Result<Output> {
        let numbers = [writers.to_string(), bytes.to_string(), time.as_secs_f64().to_string()];
        command.arg(CHILD).arg(path).args(numbers).output()
    };
    let mut urgent = Command::new("chrt");
    urgent.args(["--fifo", "1"]).arg(&program);
    let output = match run(urgent) {
        Ok(output) if output.status.success() => output,
        _ => run(Command::new(&program))?,
    };
    let text = String::from_utf8_lossy(&output.stdout);
    let numbers: Vec<f64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [per_second, p50, p99] = numbers[..] else {
        let problem = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(io::Error::other(format!("measuring the limit failed: {problem}")));
    };
    let (p50, p99) = (Duration::from_secs_f64(p50), Duration::from_secs_f64(p99));
    Ok(Figures { per_second, p50, p99 })
}

/// What the process does that [`measure`] starts; answers what it is to print.
pub fn child(arguments: &[String]) -> anyhow::Result<String> {
    let [path, writers, bytes, seconds] = arguments else {
        anyhow::bail!("`{CHILD}` takes a file, writers, bytes and seconds");
    };
    let time = Duration::from_secs_f64(seconds.parse()?);
    let figures = Raw::open(Path::new(path))?.run(writers.parse()?, bytes.parse()?, time)?;
    let (p50, p99) = (figures.p50.as_secs_f64(), figures.p99.as_secs_f64());
    Ok(format!("{} {p50} {p99}", figures.per_second))
}

/// As large as a log file of the store.
const SIZE: u64 = 8 * 1024 * 1024;

/// A file whose blocks are all written already: a sync of an overwrite moves data only, no metadata
/// of the file system. A file that grows, or one whose blocks are only reserved, costs a commit of the
/// file system's journal each time and is no limit.
#[derive(Debug)]
struct Raw {
    file: File,
    at: u64,
}

impl Raw {
    /// Writes the file in full and syncs it.
    fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
        let zeros = vec![0; 1024 * 1024];
        for at in (0..SIZE).step_by(zeros.len()) {
            file.write_all_at(&zeros, at)?;
        }
        file.sync_all()?;
        Ok(Self { file, at: 0 })
    }

    /// Writes `writers` values of `bytes` at once and calls `fdatasync`, again and again for `time`: what
    /// that many writers could have at best if each of them waits for each of its writes.
    fn run(&mut self, writers: usize, bytes: usize, time: Duration) -> io::Result<Figures> {
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
