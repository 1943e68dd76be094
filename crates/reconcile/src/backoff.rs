//! Delays between attempts: exponential, bounded, with a spread that needs no randomness.

use std::time::Duration;

const CAP: Duration = Duration::from_secs(300);

/// Delay before a replica is started again after its `deaths`-th quick death in a row.
///
/// The first death costs nothing, then 100 ms doubling up to 5 min. `salt` (the replica's name)
/// moves the delay by up to a tenth, so replicas that die together do not come back together.
pub fn crash_delay(deaths: u32, salt: &str) -> Duration {
    match deaths {
        0 | 1 => Duration::ZERO,
        n => spread(exponential(Duration::from_millis(100), n - 2), n, salt),
    }
}

/// Delay before a failed step (pull, create, init container) is tried again; `failures` counts
/// from 1. Begins at 500 ms, doubles up to 5 min.
pub fn retry_delay(failures: u32, salt: &str) -> Duration {
    spread(exponential(Duration::from_millis(500), failures.saturating_sub(1)), failures, salt)
}

fn exponential(first: Duration, doublings: u32) -> Duration {
    first.saturating_mul(1u32.checked_shl(doublings.min(20)).unwrap_or(u32::MAX)).min(CAP)
}

/// Shortens `delay` by up to a tenth, by a hash of salt and attempt (FNV-1a).
fn spread(delay: Duration, attempt: u32, salt: &str) -> Duration {
    let hash = salt
        .bytes()
        .chain(attempt.to_le_bytes())
        .fold(0xcbf2_9ce4_8422_2325u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    delay - delay.mul_f64((hash % 1000) as f64 / 10_000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_death_is_free_and_the_tenth_is_bounded() {
        assert_eq!(crash_delay(1, "a"), Duration::ZERO);
        let second = crash_delay(2, "a");
        assert!(second <= Duration::from_millis(100) && second >= Duration::from_millis(90));
        assert!(crash_delay(100, "a") <= CAP);
        assert!(crash_delay(100, "a") >= CAP.mul_f64(0.9));
    }

    #[test]
    fn replicas_do_not_come_back_together() {
        assert_ne!(crash_delay(6, "web-1"), crash_delay(6, "web-2"));
        assert_eq!(crash_delay(6, "web-1"), crash_delay(6, "web-1"));
    }
}
