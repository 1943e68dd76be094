//! Metrics in the Prometheus text format, computed when they are asked for.

use std::{collections::BTreeMap, fmt::Write as _, sync::Arc};

use futures_util::FutureExt as _;
use metrics_exporter_prometheus::PrometheusBuilder;
use smr_control::Control;
use smr_server::RenderMetrics;

/// A function that writes all metrics: what parts count themselves, and facts of the keyspace.
pub(crate) fn renderer(control: Control) -> RenderMetrics {
    // Only the first recorder of a process counts; another node in it (tests) has facts only.
    let recorder = PrometheusBuilder::new().install_recorder().ok();
    Arc::new(move || {
        let mut text = recorder.as_ref().map(|handle| handle.render()).unwrap_or_default();
        facts(&control, &mut text);
        text
    })
}

fn facts(control: &Control, text: &mut String) {
    let version = env!("CARGO_PKG_VERSION");
    let _ = writeln!(text, "# TYPE smr_version gauge\nsmr_version{{smr_version=\"{version}\"}} 1");
    let status = control.store().status();
    for (name, value) in [
        ("smr_store_revision", status.revision),
        ("smr_store_applied_index", status.applied_index),
        ("smr_store_syncs_total", status.syncs),
        ("smr_store_watches", status.watches as u64),
    ] {
        let kind = if name.ends_with("_total") { "counter" } else { "gauge" };
        let _ = writeln!(text, "# TYPE {name} {kind}\n{name} {value}");
    }
    // Local reads are ready at once.
    let Some(Ok((_, statuses))) = control.statuses().now_or_never() else { return };
    let mut states: BTreeMap<&str, u64> = BTreeMap::new();
    let _ = writeln!(text, "# TYPE containers gauge");
    for status in &statuses {
        *states.entry(status.state.as_str()).or_default() += 1;
        let name = status.key.generated_name();
        let _ = writeln!(text, "containers{{container=\"{name}\",status=\"{}\"}} 1", status.state);
    }
    let _ = writeln!(text, "# TYPE smr_replicas gauge");
    for (state, count) in states {
        let _ = writeln!(text, "smr_replicas{{state=\"{state}\"}} {count}");
    }
}
