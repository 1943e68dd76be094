//! Durations as tables show them.

use jiff::Timestamp;

/// How long ago `then` was: `9s`, `1m15s`, `2m`, `3h`, `4d`.
pub(crate) fn age(then: Timestamp, now: Timestamp) -> String {
    let seconds = (now.as_second() - then.as_second()).max(0);
    let (minutes, rest) = (seconds / 60, seconds % 60);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 if rest == 0 => format!("{minutes}m"),
        60..3600 => format!("{minutes}m{rest}s"),
        3600..86400 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_get_coarser() {
        let now: Timestamp = "2026-01-31T10:00:00Z".parse().unwrap();
        let ago = |seconds| age(now - jiff::SignedDuration::from_secs(seconds), now);
        let ages = [-5, 0, 9, 60, 75, 120, 3599, 3600, 10_800, 86_399, 86_400, 345_600].map(ago);
        assert_eq!(
            ages,
            ["0s", "0s", "9s", "1m", "1m15s", "2m", "59m59s", "1h", "3h", "23h", "1d", "4d"]
        );
    }
}
