//! Processor time and memory of processes, read from `/proc` and from a control group.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};

/// Clock ticks per second in `/proc/<pid>/stat`; 100 on every Linux that Rust's std supports.
const TICKS: u64 = 100;

/// Processor time a process has used itself, without its children. Resolution 10 ms.
pub fn of_process(pid: u32) -> Result<Duration> {
    Ok(ticks(&stat_fields(&format!("/proc/{pid}/stat"))?, 11))
}

/// Processor time of all children of this process that have ended and were waited for.
pub fn of_ended_children() -> Result<Duration> {
    Ok(ticks(&stat_fields("/proc/self/stat")?, 13))
}

/// Resident memory of a process in bytes.
pub fn resident_bytes(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))
        .with_context(|| format!("process {pid} is gone"))?;
    let kib = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|number| number.parse::<u64>().ok())
        .context("no VmRSS in the process status")?;
    Ok(kib * 1024)
}

/// A control group (version 2) that counts the processor time of all it has ever held.
#[derive(Debug)]
pub struct Group {
    path: PathBuf,
}

impl Group {
    /// Makes a group, or gives `None` where control groups cannot be written.
    pub fn create(name: &str) -> Option<Self> {
        let root = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"]
            .into_iter()
            .map(Path::new)
            .find(|root| root.join("cgroup.controllers").exists())?;
        let path = root.join(name);
        fs::create_dir_all(&path).ok()?;
        path.join("cgroup.procs").exists().then_some(Self { path })
    }

    /// The file that takes the pid of a process to move in.
    pub fn procs(&self) -> PathBuf {
        self.path.join("cgroup.procs")
    }

    /// Kills everything in the group at once.
    pub fn kill(&self) -> Result<()> {
        let file = self.path.join("cgroup.kill");
        fs::write(&file, "1").with_context(|| format!("write `{}`", file.display()))
    }

    /// Processor time used by everything that is or was in the group.
    pub fn used(&self) -> Result<Duration> {
        let stat = fs::read_to_string(self.path.join("cpu.stat"))?;
        let micros = stat
            .lines()
            .find_map(|line| line.strip_prefix("usage_usec "))
            .and_then(|number| number.trim().parse().ok())
            .context("no usage_usec in cpu.stat")?;
        Ok(Duration::from_micros(micros))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Fails while processes are still in it; the next run with the same name reuses it.
        let _ = fs::remove_dir(&self.path);
    }
}

fn stat_fields(path: &str) -> Result<Vec<u64>> {
    let stat = fs::read_to_string(path).with_context(|| format!("read `{path}`"))?;
    let fields = stat.rsplit_once(')').context("stat line without a name")?.1;
    Ok(fields.split_whitespace().map(|field| field.parse().unwrap_or(0)).collect())
}

/// Sum of two neighbouring counters (user and system time) as a duration.
fn ticks(fields: &[u64], first: usize) -> Duration {
    let sum: u64 = fields.iter().skip(first).take(2).sum();
    Duration::from_millis(sum * 1000 / TICKS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_memory_and_time_can_be_read() {
        assert!(resident_bytes(std::process::id()).unwrap() > 100_000);
        assert!(of_process(std::process::id()).unwrap() < Duration::from_hours(1));
    }
}
