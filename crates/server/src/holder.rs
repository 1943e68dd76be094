//! Which process listens on a port, for a better message; Linux only, best effort.

use std::{fs, path::Path};

/// State of listening sockets in the kernel's tables.
const LISTEN: &str = "0A";

/// The process that listens on a TCP port, as ``process 123 (`nginx`)``.
pub(crate) fn holder(port: u16) -> Option<String> {
    let inodes: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .flat_map(|table| listening(&table, port))
        .collect();
    if inodes.is_empty() {
        return None;
    }
    let processes = fs::read_dir("/proc").ok()?.filter_map(Result::ok);
    let process = processes
        .filter(|entry| entry.file_name().to_string_lossy().bytes().all(|b| b.is_ascii_digit()))
        .find(|entry| has_socket(&entry.path(), &inodes))?;
    let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
    Some(format!("process {} (`{}`)", process.file_name().to_string_lossy(), name.trim()))
}

/// Inodes of the sockets that listen on a port, from a kernel table.
fn listening(table: &str, port: u16) -> Vec<String> {
    let wanted = format!(":{port:04X}");
    let inode = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (local, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
        (local.ends_with(&wanted) && *state == LISTEN).then(|| (*inode).to_owned())
    };
    table.lines().skip(1).filter_map(inode).collect()
}

fn has_socket(process: &Path, inodes: &[String]) -> bool {
    let Ok(files) = fs::read_dir(process.join("fd")) else { return false };
    files.filter_map(Result::ok).any(|file| {
        fs::read_link(file.path()).is_ok_and(|target| {
            let target = target.to_string_lossy();
            let inode = target.strip_prefix("socket:[").and_then(|rest| rest.strip_suffix(']'));
            inode.is_some_and(|inode| inodes.iter().any(|wanted| wanted == inode))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listening_sockets_of_the_port_count() {
        let table = "  sl  local_address rem_address   st tx_queue:rx_queue tr:tm->when retrnsmt uid timeout inode\n\
            0: 00000000:05A3 00000000:0000 0A 0:0 00:0 0 0 0 4711 1 0\n\
            1: 0100007F:05A3 0100007F:9999 01 0:0 00:0 0 0 0 4712 1 0\n\
            2: 0100007F:0016 00000000:0000 0A 0:0 00:0 0 0 0 4713 1 0\n";
        assert_eq!(listening(table, 1443), ["4711"]);
    }
}
