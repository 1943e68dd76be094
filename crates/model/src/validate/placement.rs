//! Where replicas may go, when they may leave, and how a change reaches them.

use std::collections::{BTreeMap, BTreeSet};

use super::Problems;
use crate::{
    constraint::{Affinity, Attribute, Constraint, Operator, Value},
    spec::{ContainersSpec, Placement, Reschedule, SpreadKind, Strategy, UpdatePolicy},
};

/// Most levels of `spreadOver`.
const MOST_LEVELS: usize = 4;
/// Most entries of each of the other lists: every one is compared with every other here, and made
/// ready anew whenever places are looked for.
const MOST_RULES: usize = 64;

pub(super) fn all(spec: &ContainersSpec, root: &str, problems: &mut Problems) {
    spread(spec, root, problems);
    if let Some(placement) = &spec.placement {
        let path = format!("{root}.placement");
        let lists = [
            ("constraints", &placement.constraints),
            ("affinity", &placement.affinity),
            ("platforms", &placement.platforms),
        ];
        for (name, list) in lists {
            if list.len() > MOST_RULES {
                let message = format!("has {} entries", list.len());
                problems.error(format!("{path}.{name}"), message, "at most 64");
            }
        }
        constraints(placement, &path, problems);
        affinity(placement, &path, problems);
        spread_over(placement, &path, problems);
        platforms(placement, &path, problems);
        if placement.max_per_node == Some(0) {
            let hint = "leave it out for no limit";
            problems.error(format!("{path}.maxPerNode"), "must be at least 1", hint);
        }
        strategy(spec, placement, root, problems);
    }
    if spec.reschedule == Reschedule::Never && spec.reschedule_grace.is_some() {
        let message = "has no effect with `reschedule: never`";
        problems.warning(format!("{root}.rescheduleGrace"), message, "");
    }
    if let Some(policy) = &spec.update {
        update(spec, policy, &format!("{root}.update"), problems);
    }
}

fn spread(spec: &ContainersSpec, root: &str, problems: &mut Problems) {
    let Some(spread) = &spec.spread else { return };
    let path = format!("{root}.spread.agents");
    match spread.spread {
        SpreadKind::Specific if spread.agents.is_empty() => {
            problems.error(path, "is missing", "`specific` needs node ids; or use `uniform`");
        }
        SpreadKind::Uniform if !spread.agents.is_empty() => {
            problems.warning(path, "has no effect with `uniform`", "");
        }
        _ => {}
    }
    let mut seen = BTreeSet::new();
    for (index, agent) in spread.agents.iter().enumerate() {
        let path = format!("{root}.spread.agents[{index}]");
        if *agent == 0 {
            problems.error(path, "`0` is not a node id", "node ids begin at 1");
        } else if !seen.insert(agent) {
            problems.error(path, format!("node {agent} is listed twice"), "");
        }
    }
}

fn constraints(placement: &Placement, root: &str, problems: &mut Problems) {
    let mut read: Vec<(usize, Constraint)> = Vec::new();
    for (index, text) in placement.constraints.iter().enumerate().take(MOST_RULES) {
        let path = format!("{root}.constraints[{index}]");
        match text.parse::<Constraint>() {
            Err(error) => problems.error(path, error.to_string(), ""),
            Ok(constraint) => {
                let other = read.iter().find(|(_, other)| excludes(&constraint, other));
                if let Some((other, _)) = other {
                    let message = format!("can never hold together with `constraints[{other}]`");
                    problems.error(path, message, "");
                }
                read.push((index, constraint));
            }
        }
    }
}

/// Whether no node can satisfy both. Only what is certain.
fn excludes(one: &Constraint, other: &Constraint) -> bool {
    if one.soft || other.soft || one.attribute != other.attribute {
        return false;
    }
    let numbers = |c: &Constraint| match c.value {
        Value::Number(number) => Some((c.operator, number)),
        _ => None,
    };
    if let (Some((one, x)), Some((other, y))) = (numbers(one), numbers(other)) {
        // If two bounds leave a number, then one at, beside, or far from the bounds.
        let candidates = [
            0,
            x,
            y,
            x.saturating_add(1),
            y.saturating_add(1),
            x.saturating_sub(1),
            y.saturating_sub(1),
        ];
        return !candidates.iter().any(|n| one.holds(n.cmp(&x)) && other.holds(n.cmp(&y)));
    }
    let plain = |c: &Constraint| match &c.value {
        Value::Text(text) if !text.contains('*') => Some((c.operator, text.to_lowercase())),
        _ => None,
    };
    // `node` is an id or a name, so two different values may be the same node.
    if one.attribute == Attribute::Node {
        return false;
    }
    match (plain(one), plain(other)) {
        (Some((Operator::Equal, one)), Some((Operator::Equal, other))) => one != other,
        (Some((Operator::Equal, one)), Some((Operator::NotEqual, other)))
        | (Some((Operator::NotEqual, one)), Some((Operator::Equal, other))) => one == other,
        _ => false,
    }
}

fn affinity(placement: &Placement, root: &str, problems: &mut Problems) {
    let mut read: BTreeMap<String, (usize, bool)> = BTreeMap::new();
    for (index, text) in placement.affinity.iter().enumerate().take(MOST_RULES) {
        let path = format!("{root}.affinity[{index}]");
        match text.parse::<Affinity>() {
            Err(error) => problems.error(path, error.to_string(), ""),
            Ok(affinity) if !affinity.soft => {
                let target = affinity.target.to_string();
                match read.get(&target) {
                    Some((other, anti)) if *anti != affinity.anti => {
                        let message = format!("can never hold together with `affinity[{other}]`");
                        problems.error(path, message, "");
                    }
                    _ => {
                        read.insert(target, (index, affinity.anti));
                    }
                }
            }
            Ok(_) => {}
        }
    }
}

fn spread_over(placement: &Placement, root: &str, problems: &mut Problems) {
    let mut seen = BTreeSet::new();
    for (index, text) in placement.spread_over.iter().enumerate() {
        let path = format!("{root}.spreadOver[{index}]");
        match Attribute::parse(text) {
            Err(error) => problems.error(path, error.to_string(), ""),
            Ok(_) if index == MOST_LEVELS => {
                problems.error(path, "is one too many", "at most 4 attributes");
            }
            Ok(attribute) if !seen.insert(attribute.clone()) => {
                problems.warning(path, format!("`{text}` is listed twice"), "");
            }
            Ok(_) => {}
        }
    }
}

fn platforms(placement: &Placement, root: &str, problems: &mut Problems) {
    let part = |it: &str| {
        !it.is_empty() && it.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
    };
    for (index, text) in placement.platforms.iter().enumerate().take(MOST_RULES) {
        let parts: Vec<&str> = text.split('/').collect();
        if parts.len() > 3 || !parts.iter().all(|it| part(it)) {
            let message = format!("`{text}` is not a platform");
            let hint = "allowed: `linux/amd64`, `linux/arm/v7`, `arm64`";
            problems.error(format!("{root}.platforms[{index}]"), message, hint);
        }
    }
}

fn strategy(spec: &ContainersSpec, placement: &Placement, root: &str, problems: &mut Problems) {
    let path = format!("{root}.placement.strategy");
    let global = placement.strategy == Some(Strategy::Global);
    match (&spec.spread, placement.strategy) {
        (Some(_), Some(Strategy::Global)) => {
            let message = "`global` and `spread` exclude each other";
            problems.error(path, message, "remove one of the two");
        }
        (Some(_), Some(_)) => {
            let message = "has no effect, for `spread` chooses the nodes";
            problems.warning(path, message, "remove one of the two");
        }
        _ => {}
    }
    if global && spec.replicas.is_some() {
        let message = "has no effect with `placement.strategy: global`";
        let hint = "there is one replica on every node that fits";
        problems.warning(format!("{root}.replicas"), message, hint);
    }
    if global && placement.max_per_node.is_some() {
        let message = "has no effect with `strategy: global`";
        problems.warning(format!("{root}.placement.maxPerNode"), message, "");
    }
}

fn update(spec: &ContainersSpec, policy: &UpdatePolicy, root: &str, problems: &mut Problems) {
    if let Some(ratio) = policy.max_failure_ratio
        && !(0.0..=1.0).contains(&ratio)
    {
        let message = format!("{ratio} is not a share");
        problems.error(format!("{root}.maxFailureRatio"), message, "allowed: 0 to 1");
    }
    let global = spec.placement.as_ref().and_then(|it| it.strategy) == Some(Strategy::Global);
    match policy.canary {
        Some(0) => {
            let hint = "leave it out to change all replicas";
            problems.error(format!("{root}.canary"), "must be at least 1", hint);
        }
        Some(canary) if canary > spec.replica_count() && !global => {
            let message =
                format!("{canary} is more than there are replicas ({})", spec.replica_count());
            problems.error(format!("{root}.canary"), message, "");
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lists_of_rules_are_refused_and_not_read() {
        let list = |count: usize| (0..count).map(|it| format!("node.id!={it}")).collect();
        let mut spec = ContainersSpec {
            placement: Some(Placement { constraints: list(64), ..Placement::default() }),
            ..ContainersSpec::default()
        };
        let mut problems = Problems::default();
        all(&spec, "spec", &mut problems);
        assert!(problems.0.is_empty(), "{:?}", problems.0);
        spec.placement = Some(Placement { constraints: list(100_000), ..Placement::default() });
        all(&spec, "spec", &mut problems);
        let told: Vec<String> = problems.0.iter().map(ToString::to_string).collect();
        assert_eq!(told, ["spec.placement.constraints: has 100000 entries; at most 64"]);
    }
}
