//! Processes by pid: signals, and everything that belongs to a directory.

use std::{fs, path::Path, process::Command, time::Duration};

use anyhow::{Result, bail};

use crate::wait;

/// Whether a process with this pid exists and is not a zombie.
pub fn alive(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !matches!(state(&stat), Some('Z' | 'X') | None))
}

/// Sends a signal by name (`TERM`, `KILL`, `HUP`). A process that is gone is not an error.
pub fn signal(pid: u32, name: &str) -> Result<()> {
    // The shell's own `kill`: there is no procps on a small Debian.
    let sent = Command::new("sh").args(["-c", &format!("kill -{name} {pid} 2>&1")]).output()?;
    if !sent.status.success() && alive(pid) {
        bail!("cannot send {name} to {pid}: {}", String::from_utf8_lossy(&sent.stdout).trim());
    }
    Ok(())
}

/// Asks a process to end and kills it when it has not after `patience`.
pub fn stop(pid: u32, patience: Duration) -> Result<()> {
    signal(pid, "TERM")?;
    let gone = || if alive(pid) { Err(format!("process {pid} runs")) } else { Ok(()) };
    if wait("process to end", patience, gone).is_err() {
        signal(pid, "KILL")?;
        wait("killed process to go", Duration::from_secs(10), gone)?;
    }
    Ok(())
}

/// Kills every process whose command line names `dir`, and all their descendants: what is left of
/// an engine after its daemon was killed (shims, and the containers below them).
pub fn kill_all_of(dir: &Path) -> Result<()> {
    let needle = dir.to_string_lossy().into_owned();
    let own = std::process::id();
    let table = processes();
    let mut doomed: Vec<u32> = table
        .iter()
        .filter(|process| process.pid != own && process.command.contains(&needle))
        .map(|process| process.pid)
        .collect();
    let mut next = 0;
    while let Some(&parent) = doomed.get(next) {
        for process in &table {
            if process.parent == parent && !doomed.contains(&process.pid) {
                doomed.push(process.pid);
            }
        }
        next += 1;
    }
    for pid in doomed {
        signal(pid, "KILL")?;
    }
    Ok(())
}

struct Process {
    pid: u32,
    parent: u32,
    command: String,
}

fn processes() -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter_map(|pid| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?;
            let command = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
            let command = String::from_utf8_lossy(&command).replace('\0', " ");
            Some(Process { pid, parent, command })
        })
        .collect()
}

/// The state letter of a `/proc/<pid>/stat` line.
fn state(stat: &str) -> Option<char> {
    stat.rsplit_once(')')?.1.trim_start().chars().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_alive_and_an_impossible_one_is_not() {
        assert!(alive(std::process::id()));
        assert!(!alive(u32::MAX));
    }

    #[test]
    fn the_state_is_read_behind_a_name_with_brackets() {
        assert_eq!(state("17 (a) b) S 1 17"), Some('S'));
    }
}
