//! Where log lines go: standard error, for people or as JSON.

use smr_config::{LogFormat, Telemetry};
use tracing_subscriber::{EnvFilter, layer::SubscriberExt as _, util::SubscriberInitExt as _};

/// Environment variable that overrides the configured level, in `tracing`'s filter syntax.
const LEVEL_VARIABLE: &str = "SMR_LOG";

/// Libraries that log what passes through them below `info`: environments, files, keystrokes. No
/// setting makes them do so.
const TALKATIVE: [&str; 8] =
    ["bollard", "tungstenite", "tokio_tungstenite", "h2", "hyper", "hyper_util", "rustls", "sled"];

/// Begins logging. Libraries are heard from `warn` on; openraft tells of every election it does
/// not take part in at that level, so it is heard from `error` on.
pub(crate) fn start(telemetry: &Telemetry) {
    let level = telemetry.log_level.as_str();
    let ours = ["agent", "control", "engine", "node", "pki", "server", "store"]
        .map(|part| format!("smr_{part}={level}"))
        .join(",");
    let mut filter = EnvFilter::try_from_env(LEVEL_VARIABLE)
        .unwrap_or_else(|_| EnvFilter::new(format!("warn,openraft=error,{ours}")));
    for library in TALKATIVE {
        let floor = format!("{library}=info");
        filter = filter.add_directive(floor.parse().expect("a constant directive is valid"));
    }
    let registry = tracing_subscriber::registry().with(filter);
    let writer = std::io::stderr;
    // A second start in one process (tests) keeps the first logger.
    let _ = match telemetry.log_format {
        LogFormat::Text => registry
            .with(
                tracing_subscriber::fmt::layer()
                    .with_writer(writer)
                    .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())),
            )
            .try_init(),
        LogFormat::Json => {
            registry.with(tracing_subscriber::fmt::layer().json().with_writer(writer)).try_init()
        }
    };
}
