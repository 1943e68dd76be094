//! How the main process of a container is started, and what it may use.

use super::{Problems, is_template, mounts::absolute};
use crate::{parser::field_path, run::Ulimit, spec::ContainersSpec};

/// Least memory the engine accepts as a limit.
const LEAST_MEMORY: u64 = 6 << 20;

pub(super) fn all(spec: &ContainersSpec, root: &str, problems: &mut Problems) {
    for (index, env) in spec.envs.iter().enumerate() {
        let key = env.split('=').next().unwrap_or_default();
        if !env.contains('=') || key.is_empty() || key.contains(char::is_whitespace) {
            // What follows `=` may be a secret.
            let path = format!("{root}.envs[{index}]");
            problems.error(path, format!("`{key}` is not `KEY=VALUE`"), "");
        }
    }
    if !spec.working_dir.is_empty() {
        absolute(&spec.working_dir, format!("{root}.workingDir"), problems);
    }
    for (index, name) in spec.capabilities.iter().enumerate() {
        if !capability(name) {
            let path = format!("{root}.capabilities[{index}]");
            let message = format!("`{name}` is not a capability");
            problems.error(path, message, "write for example `NET_ADMIN`, or `ALL`");
        }
    }
    if !spec.stop_signal.is_empty() && !signal(&spec.stop_signal) {
        let message = format!("`{}` is not a signal", spec.stop_signal);
        let hint = "write for example `SIGTERM` or `15`";
        problems.error(format!("{root}.stopSignal"), message, hint);
    }
    if spec.user.contains(char::is_whitespace) || spec.user.matches(':').count() > 1 {
        let message = format!("`{}` is not a user", spec.user);
        let hint = "write `name`, `uid` or `uid:gid`";
        problems.error(format!("{root}.user"), message, hint);
    }
}

fn capability(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    let name = name.strip_prefix("CAP_").unwrap_or(&name);
    name == "ALL" || CAPABILITIES.split(' ').any(|known| known == name)
}

/// The capabilities of Linux 6, without `CAP_`.
const CAPABILITIES: &str = "\
    AUDIT_CONTROL AUDIT_READ AUDIT_WRITE BLOCK_SUSPEND BPF CHECKPOINT_RESTORE CHOWN \
    DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID IPC_LOCK IPC_OWNER KILL LEASE \
    LINUX_IMMUTABLE MAC_ADMIN MAC_OVERRIDE MKNOD NET_ADMIN NET_BIND_SERVICE \
    NET_BROADCAST NET_RAW PERFMON SETFCAP SETGID SETPCAP SETUID SYS_ADMIN SYS_BOOT \
    SYS_CHROOT SYS_MODULE SYS_NICE SYS_PACCT SYS_PTRACE SYS_RAWIO SYS_RESOURCE SYS_TIME \
    SYS_TTY_CONFIG SYSLOG WAKE_ALARM";

fn signal(text: &str) -> bool {
    if let Ok(number) = text.parse::<u8>() {
        return (1..=64).contains(&number);
    }
    let name = text.to_ascii_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    let real_time = |prefix| {
        name.strip_prefix(prefix).is_some_and(|rest: &str| {
            rest.is_empty() || rest[1..].parse::<u8>().is_ok_and(|n| n <= 15)
        })
    };
    SIGNALS.split(' ').any(|known| known == name) || real_time("RTMIN") || real_time("RTMAX")
}

const SIGNALS: &str = "\
    ABRT ALRM BUS CHLD CLD CONT FPE HUP ILL INT IO IOT KILL PIPE POLL PROF PWR QUIT SEGV \
    STKFLT STOP SYS TERM TRAP TSTP TTIN TTOU URG USR1 USR2 VTALRM WINCH XCPU XFSZ";

pub(super) fn limits(spec: &ContainersSpec, root: &str, problems: &mut Problems) {
    if spec.cpus.is_some_and(|c| c.0 < 10) {
        problems.error(format!("{root}.cpus"), "is too little", "at least `10m` is needed");
    }
    if let Some(memory) = spec.memory.filter(|m| m.0 < LEAST_MEMORY) {
        let message = format!("`{memory}` is too little");
        problems.error(format!("{root}.memory"), message, "the engine needs at least `6MiB`");
    }
    if let (Some(limit), Some(promised)) = (spec.memory, spec.memory_reservation)
        && promised > limit
    {
        let message = format!("`{promised}` is more than `memory`, which is `{limit}`");
        problems.error(format!("{root}.memoryReservation"), message, "");
    }
    for (name, text) in &spec.ulimits {
        if let Err(error) = Ulimit::parse(name, text) {
            problems.error(field_path(&format!("{root}.ulimits"), name), error.to_string(), "");
        }
    }
    for name in spec.sysctls.keys() {
        let known = ["net.", "fs.mqueue.", "kernel.msg", "kernel.sem", "kernel.shm"];
        let well_formed = name.chars().all(|c| {
            c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-' | '/')
        });
        let path = field_path(&format!("{root}.sysctls"), name);
        if !well_formed || !known.iter().any(|prefix| name.starts_with(prefix)) {
            let message = format!("`{name}` is not a parameter a container has of its own");
            let hint =
                "allowed: `net.*`, `fs.mqueue.*`, `kernel.msg*`, `kernel.sem`, `kernel.shm*`";
            problems.error(path, message, hint);
        } else if name.starts_with("net.") && spec.network_mode == "host" {
            let message = format!("`{name}` cannot be set with `network_mode: host`");
            problems.error(path, message, "");
        }
    }
    if spec.logging.as_ref().is_some_and(|l| l.driver.is_empty()) {
        let hint = "name a log driver, for example `json-file`";
        problems.error(format!("{root}.logging.driver"), "is missing", hint);
    }
    if !spec.registry_auth.is_empty() && !is_template(&spec.registry_auth) {
        // The value is a password, so it is not shown.
        if !is_user_and_password(&spec.registry_auth) {
            let hint = "write base64 of `user:password`";
            problems.error(format!("{root}.registryAuth"), "cannot be read", hint);
        }
    }
}

fn is_user_and_password(text: &str) -> bool {
    use base64::{Engine, engine::general_purpose::STANDARD};
    STANDARD.decode(text.trim()).is_ok_and(|bytes| bytes.contains(&b':'))
}
