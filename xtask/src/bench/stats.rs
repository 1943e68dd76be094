//! Medians, percentiles and one kind of table.

use std::time::Duration;

/// Value below which a share of the sorted samples lies; nearest rank.
pub(super) fn percentile(samples: &[Duration], share: f64) -> Duration {
    let mut sorted = samples.to_vec();
    sorted.sort_unstable();
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(rank.clamp(1, sorted.len().max(1)) - 1).copied().unwrap_or_default()
}

pub(super) fn median(samples: &[Duration]) -> Duration {
    percentile(samples, 0.5)
}

/// One duration divided by another; infinite when the other is zero.
pub(super) fn ratio(ours: Duration, peer: Duration) -> f64 {
    ours.as_secs_f64() / peer.as_secs_f64()
}

/// Milliseconds with one decimal.
pub(super) fn ms(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1e3)
}

/// Seconds with two decimals.
pub(super) fn s(duration: Duration) -> String {
    format!("{:.2} s", duration.as_secs_f64())
}

/// Whether a figure keeps what was promised.
pub(super) fn verdict(value: f64, limit: f64) -> String {
    let word = if value <= limit { "kept" } else { "MISSED" };
    format!("{value:.2} (limit {limit:.2}: {word})")
}

/// Prints rows as a Markdown table, for `docs/benchmarks.md`.
pub(super) fn table(header: &[&str], rows: &[Vec<String>]) {
    let line = |cells: &[String]| println!("| {} |", cells.join(" | "));
    line(&header.iter().map(|cell| (*cell).to_owned()).collect::<Vec<_>>());
    line(&header.iter().map(|_| "---".to_owned()).collect::<Vec<_>>());
    for row in rows {
        line(row);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_samples() {
        let samples: Vec<Duration> = (1..=100).map(Duration::from_millis).collect();
        assert_eq!(percentile(&samples, 0.99), Duration::from_millis(99));
        assert_eq!(median(&samples), Duration::from_millis(50));
        assert_eq!(median(&[Duration::from_secs(3)]), Duration::from_secs(3));
    }

    #[test]
    fn a_missed_promise_is_said_loudly() {
        assert_eq!(verdict(1.2, 1.1), "1.20 (limit 1.10: MISSED)");
    }
}
