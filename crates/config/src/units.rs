//! Durations and sizes with their units.

use std::time::Duration;

const DURATION_UNITS: [(&str, u64); 6] = [
    ("w", 7 * 24 * 3_600_000),
    ("d", 24 * 3_600_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];

const SIZE_UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1000),
    ("B", 1),
];

/// `30s`, `1h30m`, `90d`; `None` for anything else, and for more than fits.
pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total: u64 = 0;
    let mut last = u64::MAX;
    while !rest.is_empty() {
        let (number, after) = split_number(rest)?;
        let end = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        let factor = factor_of(unit, &DURATION_UNITS)?;
        // From large to small, each unit once.
        if factor >= last {
            return None;
        }
        last = factor;
        total = total.checked_add(number.checked_mul(factor)?)?;
        rest = after;
    }
    (last != u64::MAX).then(|| Duration::from_millis(total))
}

/// The largest unit that needs no fraction: `90d`, `36h`, `1500ms`.
pub(crate) fn format_duration(duration: Duration) -> String {
    let millis = duration.as_millis() as u64;
    if millis == 0 {
        return "0s".to_owned();
    }
    // Weeks are read but not written: 365 days are no number of weeks, 364 should not look odd.
    let (unit, factor) = DURATION_UNITS[1..]
        .iter()
        .find(|(_, factor)| millis.is_multiple_of(*factor))
        .expect("milliseconds divide everything");
    format!("{}{unit}", millis / factor)
}

/// `512MiB`, `10MB`, `0B`; `None` for anything else, and for more than fits.
pub(crate) fn parse_size(text: &str) -> Option<u64> {
    let (number, unit) = split_number(text)?;
    number.checked_mul(factor_of(unit, &SIZE_UNITS)?)
}

/// The largest binary unit that needs no fraction.
pub(crate) fn format_size(bytes: u64) -> String {
    let fits = |factor: &u64| bytes != 0 && bytes.is_multiple_of(*factor);
    let (unit, factor) = SIZE_UNITS[..4]
        .iter()
        .find(|(_, factor)| fits(factor))
        .or_else(|| SIZE_UNITS[4..].iter().find(|(_, factor)| fits(factor)))
        .unwrap_or(&("B", 1));
    format!("{}{unit}", bytes / factor)
}

fn split_number(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, rest) = text.split_at(end);
    Some((number.parse().ok()?, rest))
}

fn factor_of(unit: &str, units: &[(&str, u64)]) -> Option<u64> {
    units.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_round_trip() {
        for text in ["0s", "30s", "1500ms", "2m", "36h", "90d", "3650d"] {
            assert_eq!(format_duration(parse_duration(text).unwrap()), text);
        }
        assert_eq!(parse_duration("1h30m"), Some(Duration::from_mins(90)));
        assert_eq!(parse_duration("2w"), parse_duration("14d"));
        for bad in
            ["", "30", "s", "30 s", "-1s", "1.5h", "30m1h", "1s1s", "1y", "99999999999999999w"]
        {
            assert_eq!(parse_duration(bad), None, "{bad}");
        }
    }

    #[test]
    fn sizes_round_trip() {
        for text in ["0B", "17B", "512MiB", "16MiB", "1GiB", "10MB"] {
            assert_eq!(format_size(parse_size(text).unwrap()), text);
        }
        for bad in ["", "512", "MiB", "1 MiB", "1mib", "1.5GiB", "99999999999999999TiB"] {
            assert_eq!(parse_size(bad), None, "{bad}");
        }
    }
}
