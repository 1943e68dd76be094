//! Waiting for a condition: the one place in the harness that pauses between two looks.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

/// Pause between two looks; short beside anything waited for, long beside the cost of a look.
const PAUSE: Duration = Duration::from_millis(20);

/// Looks until `look` gives a value. An `Err` from `look` says what was seen instead and is shown,
/// with `what`, when `limit` has passed.
pub fn wait<T>(
    what: &str,
    limit: Duration,
    mut look: impl FnMut() -> Result<T, String>,
) -> Result<T> {
    let deadline = Instant::now() + limit;
    loop {
        match look() {
            Ok(value) => return Ok(value),
            Err(seen) if Instant::now() >= deadline => {
                bail!("waited {} s for: {what}; last seen: {seen}", limit.as_secs_f32())
            }
            Err(_) => thread::sleep(PAUSE),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missed_deadline_tells_what_was_awaited_and_what_was_seen() {
        let missed: Result<()> = wait("two moons", Duration::ZERO, || Err("one moon".to_owned()));
        assert_eq!(
            missed.unwrap_err().to_string(),
            "waited 0 s for: two moons; last seen: one moon"
        );
    }

    #[test]
    fn looks_again_until_the_value_is_there() {
        let mut looks = 0;
        let found = wait("third look", Duration::from_secs(5), || {
            looks += 1;
            if looks == 3 { Ok(looks) } else { Err(format!("look {looks}")) }
        });
        assert_eq!(found.unwrap(), 3);
    }
}
