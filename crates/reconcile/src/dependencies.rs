//! Whether the replicas that a replica depends on are ready.

use std::time::Duration;

use smr_model::{ReplicaKey, ReplicaState, spec::Dependency};

use crate::handover::Sighting;

/// What is known of other replicas.
pub trait Peers {
    /// Replicas that should exist in `group`, wherever they run, each with what the node it is
    /// assigned to says of it, where that says something yet.
    fn group(&self, group: &str) -> Vec<(ReplicaKey, Option<Sighting>)>;
}

/// Whether a replica may start, as far as dependencies go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DependencyState {
    /// Every dependency is ready.
    Solved,
    /// Some are not.
    Waiting {
        /// What is waited for, for people.
        message: String,
        /// How long before the waiting is called a failure.
        timeout: Duration,
    },
}

/// So many replicas that are waited for are named; the message is in the status of every waiting one.
const NAMED: usize = 3;
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// Checks the dependencies of `this` in their order; the first one that is not ready is reported.
///
/// `*` means every replica of the group, a generated name that replica, any other name every
/// replica of that object. Nothing to be found keeps waiting, since it may still be applied.
pub fn dependencies(
    this: &ReplicaKey,
    wanted: &[Dependency],
    peers: &dyn Peers,
) -> DependencyState {
    for dependency in wanted {
        let matching: Vec<_> = peers
            .group(&dependency.group)
            .into_iter()
            .filter(|(key, _)| {
                dependency.name == "*"
                    || key.generated_name() == dependency.name
                    || key.name == dependency.name
            })
            // `*` in one's own group means the others: nobody waits for itself.
            .filter(|(key, _)| (&key.group, &key.name) != (&this.group, &this.name))
            .collect();
        let mut unready = matching.iter().filter(|(_, sighting)| !sighting.is_some_and(is_ready));
        let mut waiting_for: Vec<String> = unready
            .by_ref()
            .take(NAMED)
            .map(|(key, sighting)| {
                let state = sighting.map_or(ReplicaState::Created, |s| s.state);
                format!("{} ({state})", key.generated_name())
            })
            .collect();
        match unready.count() {
            0 => {}
            more => waiting_for.push(format!("{more} more")),
        }
        let shown = format!("{}/{}", dependency.group, dependency.name);
        let message = if matching.is_empty() {
            format!("waits for `{shown}`, which does not exist yet")
        } else if !waiting_for.is_empty() {
            format!("waits for `{shown}`: {}", waiting_for.join(", "))
        } else {
            continue;
        };
        let timeout = dependency.timeout.map_or(DEFAULT_TIMEOUT, |t| t.0);
        return DependencyState::Waiting { message, timeout };
    }
    DependencyState::Solved
}

/// A run-once replica that ended well has done what others wait for.
fn is_ready(sighting: Sighting) -> bool {
    sighting.ready || sighting.state == ReplicaState::Completed
}

#[cfg(test)]
mod tests {
    use smr_model::ReplicaStatus;

    use super::*;

    struct World(Vec<ReplicaStatus>);

    impl Peers for World {
        fn group(&self, group: &str) -> Vec<(ReplicaKey, Option<Sighting>)> {
            let of_group = self.0.iter().filter(|s| s.key.group == group);
            of_group.map(|s| (s.key.clone(), Some(Sighting::of(s)))).collect()
        }
    }

    fn world(replicas: &[(&str, u32, bool)]) -> World {
        let status = |&(name, index, ready): &(&str, u32, bool)| {
            let mut status = ReplicaStatus::new(
                ReplicaKey::new("shop", name, index),
                "n",
                1,
                jiff::Timestamp::UNIX_EPOCH,
            );
            status.ready = ready;
            status
        };
        World(replicas.iter().map(status).collect())
    }

    #[track_caller]
    fn check(name: &str, replicas: &[(&str, u32, bool)], expected: Option<&str>) {
        let dependency =
            Dependency { group: "shop".into(), name: name.into(), ..Dependency::default() };
        let this = ReplicaKey::new("shop", "web", 1);
        let got = dependencies(&this, &[dependency], &world(replicas));
        match (got, expected) {
            (DependencyState::Solved, None) => {}
            (DependencyState::Waiting { message, .. }, Some(text)) => assert_eq!(message, text),
            (got, _) => panic!("{got:?}"),
        }
    }

    #[test]
    fn wildcard_means_all_others_of_the_group() {
        check("*", &[("db", 1, true), ("cache", 1, true), ("web", 1, false)], None);
        check(
            "*",
            &[("db", 1, false), ("cache", 1, true)],
            Some("waits for `shop/*`: shop-db-1 (created)"),
        );
    }

    #[test]
    fn a_message_does_not_grow_with_the_group() {
        let replicas: Vec<_> = (1..=20).map(|index| ("db", index, false)).collect();
        let three = "shop-db-1 (created), shop-db-2 (created), shop-db-3 (created)";
        check("db", &replicas, Some(&format!("waits for `shop/db`: {three}, 17 more")));
    }

    #[test]
    fn an_object_name_means_all_its_replicas_and_a_generated_name_one() {
        let replicas = [("db", 1, true), ("db", 2, false)];
        check("db", &replicas, Some("waits for `shop/db`: shop-db-2 (created)"));
        check("shop-db-1", &replicas, None);
    }

    #[test]
    fn what_does_not_exist_is_waited_for() {
        check("db", &[], Some("waits for `shop/db`, which does not exist yet"));
    }
}
