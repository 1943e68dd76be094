//! How long certificates live and when they are renewed.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

const DAY: Duration = Duration::from_hours(24);

/// Certificates start this much in the past, so that a peer whose clock is a little behind
/// accepts a fresh one.
const CLOCK_SKEW: Duration = Duration::from_mins(5);

/// How long new certificates live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetimes {
    /// The cluster's authority; 10 years unless set.
    pub authority: Duration,
    /// Certificates of nodes; 90 days unless set.
    pub node: Duration,
    /// Certificates of users; 365 days unless set.
    pub user: Duration,
}

impl Default for Lifetimes {
    fn default() -> Self {
        Self { authority: DAY * 3650, node: DAY * 90, user: DAY * 365 }
    }
}

/// The period in which a certificate is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// First instant.
    pub not_before: Timestamp,
    /// Last instant.
    pub not_after: Timestamp,
}

impl Validity {
    /// A period from shortly before `now` (clocks differ) to `now + lifetime`.
    pub(crate) fn starting(now: Timestamp, lifetime: Duration) -> Self {
        // Of a very short life the head start is a part, so that it is not due at once.
        let skew = CLOCK_SKEW.min(lifetime / 10);
        Self {
            not_before: now.checked_sub(skew).unwrap_or(Timestamp::MIN),
            not_after: now.checked_add(lifetime).unwrap_or(Timestamp::MAX),
        }
    }

    /// Like [`Validity::starting`] for what is not renewed: however short its life, clocks may
    /// differ by as much as for others.
    pub(crate) fn never_renewed(now: Timestamp, lifetime: Duration) -> Self {
        let not_before = now.checked_sub(CLOCK_SKEW).unwrap_or(Timestamp::MIN);
        Self { not_before, ..Self::starting(now, lifetime) }
    }

    /// When a certificate with this validity is renewed, see [`renew_at`].
    pub fn renew_at(&self) -> Timestamp {
        renew_at(self.not_before, self.not_after)
    }

    /// Whether `now` lies in the period.
    pub fn contains(&self, now: Timestamp) -> bool {
        (self.not_before..=self.not_after).contains(&now)
    }
}

/// When a certificate is renewed: after two thirds of its life, so that a node that cannot renew
/// has the last third to be noticed in.
pub fn renew_at(not_before: Timestamp, not_after: Timestamp) -> Timestamp {
    let life = not_after.duration_since(not_before).max(SignedDuration::ZERO);
    let seconds = life.as_secs() / 3 * 2;
    not_before.checked_add(SignedDuration::from_secs(seconds)).unwrap_or(not_after)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_start_a_little_in_the_past_and_short_ones_are_not_due_at_once() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let long = Validity::starting(now, DAY);
        assert_eq!(long.not_before, now.checked_sub(CLOCK_SKEW).unwrap());
        let short = Validity::starting(now, Duration::from_secs(10));
        assert!(now < short.renew_at() && short.renew_at() < short.not_after);
    }

    #[test]
    fn renewal_is_at_two_thirds_of_life() {
        let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let end = start.checked_add(DAY * 90).unwrap();
        assert_eq!(renew_at(start, end), start.checked_add(DAY * 60).unwrap());
        assert_eq!(renew_at(end, start), end, "a period that ends before it starts is due at once");
    }
}
