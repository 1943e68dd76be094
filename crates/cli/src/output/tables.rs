//! The tables of commands, as functions of data and time.

use std::collections::BTreeSet;

use jiff::Timestamp;
use smr_model::{ObjectKey, ReplicaState, ReplicaStatus, natural_cmp};
use smr_wire::Image;

use super::{Paint, Table, age};

/// Natural order: group, name, then index as a number.
pub(crate) fn sort_replicas(replicas: &mut [ReplicaStatus]) {
    replicas.sort_by(|a, b| {
        natural_cmp(&a.key.group, &b.key.group)
            .then_with(|| natural_cmp(&a.key.name, &b.key.name))
            .then_with(|| a.key.index.cmp(&b.key.index))
    });
}

/// `ps`: one row per replica.
pub(crate) fn replica_table(replicas: &[ReplicaStatus], wide: bool, now: Timestamp) -> Table {
    let mut header = vec!["NODE", "RESOURCE", "PORTS", "IMAGE STATE", "ENGINE STATE", "SMR STATE"];
    if wide {
        header.extend(["DEPS", "RESTARTS", "IP", "IMAGE", "REASON"]);
    }
    let mut table = Table::new(header);
    for replica in replicas {
        let engine = replica.engine_state.map(|state| format!("{} (docker)", state.as_str()));
        let mut cells = vec![
            (replica.node.clone(), Paint::Plain),
            (replica.key.to_string(), Paint::Plain),
            (ports(replica), Paint::Plain),
            (replica.image_state.as_str().to_owned(), Paint::Plain),
            (engine.unwrap_or_else(|| "-".to_owned()), Paint::Plain),
            (format!("{} ({})", replica.state, age(replica.since, now)), paint(replica.state)),
        ];
        if wide {
            cells.extend([
                (or_dash(replica.dependencies.join(" ")), Paint::Plain),
                (replica.restarts.to_string(), Paint::Plain),
                (or_dash(addresses(replica)), Paint::Plain),
                (or_dash(replica.image.clone()), Paint::Plain),
                (or_dash(reason(replica)), Paint::Plain),
            ]);
        }
        table.row(cells);
    }
    table
}

/// One line for each replica that waits or is in trouble and says why.
pub(crate) fn reason_lines(replicas: &[ReplicaStatus]) -> Vec<String> {
    let waiting = replicas.iter().filter(|r| {
        r.state.is_trouble() || matches!(r.state, ReplicaState::Pending | ReplicaState::Dead)
    });
    let with_reason = waiting.filter_map(|r| {
        let reason = r.reason.as_ref()?;
        Some(format!("{}: {}: {}", r.key, r.state, one_line(&reason.message)))
    });
    with_reason.collect()
}

/// One line for each node whose engine does not answer, so that old states are not taken for new.
pub(crate) fn silent_engines(replicas: &[ReplicaStatus]) -> Vec<String> {
    let silent = |r: &&ReplicaStatus| {
        r.reason.as_ref().is_some_and(|reason| reason.code == "EngineUnavailable")
    };
    let nodes: BTreeSet<_> = replicas.iter().filter(silent).map(|r| &r.node).collect();
    let line = |node| {
        format!("note: the engine of node {node} does not answer; states are the last known")
    };
    nodes.into_iter().map(line).collect()
}

/// `images`.
pub(crate) fn image_table(images: &[Image]) -> Table {
    let mut table = Table::new(["CONTAINER", "IMAGE", "IMAGE STATE"]);
    for image in images {
        table.plain_row([
            image.container.clone(),
            image.image.clone(),
            image.state.as_str().to_owned(),
        ]);
    }
    table
}

/// `list`.
pub(crate) fn object_table<'a>(keys: impl IntoIterator<Item = &'a ObjectKey>) -> Table {
    let mut table = Table::new(["RESOURCE"]);
    for key in keys {
        table.plain_row([key.to_string()]);
    }
    table
}

/// Colour of a state.
fn paint(state: ReplicaState) -> Paint {
    match state {
        _ if state.is_done() => Paint::Good,
        _ if state.is_trouble() => Paint::Bad,
        ReplicaState::Dead => Paint::Bad,
        _ => Paint::Busy,
    }
}

fn ports(replica: &ReplicaStatus) -> String {
    let ports = replica.ports.iter().map(|port| match port.host.as_str() {
        "" => port.container.clone(),
        host => format!("{host}:{}", port.container),
    });
    or_dash(ports.collect::<Vec<_>>().join(", "))
}

fn addresses(replica: &ReplicaStatus) -> String {
    replica.addresses.values().cloned().collect::<Vec<_>>().join(", ")
}

fn reason(replica: &ReplicaStatus) -> String {
    replica.reason.as_ref().map(|reason| one_line(&reason.message)).unwrap_or_default()
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

pub(super) fn or_dash(text: String) -> String {
    if text.is_empty() { "-".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use smr_model::{EngineState, ImageState, PortMapping, Reason, ReplicaKey};

    use super::*;

    fn now() -> Timestamp {
        "2026-01-31T10:00:00Z".parse().unwrap()
    }

    fn replica(name: &str, index: u32, state: ReplicaState, ago: i64) -> ReplicaStatus {
        ReplicaStatus {
            state,
            generation: 1,
            image: "nginx:1.27".into(),
            image_state: ImageState::Pulled,
            ..ReplicaStatus::new(
                ReplicaKey::new("nginx", name, index),
                "smr-agent-1",
                1,
                now() - jiff::SignedDuration::from_secs(ago),
            )
        }
    }

    #[test]
    fn replicas_as_the_documentation_shows_them() {
        let mut web = replica("web", 2, ReplicaState::Running, 75);
        web.engine_state = Some(EngineState::Running);
        web.ports = vec![
            PortMapping { container: "80".into(), host: "8080".into() },
            PortMapping { container: "443".into(), host: String::new() },
        ];
        let mut waits = replica("web", 10, ReplicaState::DependsChecking, 1);
        waits.image_state = ImageState::Idle;
        waits.dependencies = vec!["mysql.*".into()];
        let mut list = [waits, web];
        sort_replicas(&mut list);
        insta::assert_snapshot!(replica_table(&list, false, now()).render(false));
    }

    #[test]
    fn wide_shows_reasons() {
        let mut pending = replica("web", 1, ReplicaState::Pending, 3);
        pending.reason = Some(Reason::new("MissingObject", "secret/db/root\ndoes not exist"));
        pending.addresses.insert("bridge".into(), "172.17.0.2".into());
        insta::assert_snapshot!(replica_table(&[pending.clone()], true, now()).render(false));
        assert_eq!(
            reason_lines(&[pending]),
            ["containers/nginx/nginx-web-1: pending: secret/db/root does not exist"]
        );
    }

    #[test]
    fn a_silent_engine_is_told_once_per_node() {
        let mut list = [1, 2, 3].map(|index| replica("web", index, ReplicaState::Running, 3));
        assert_eq!(silent_engines(&list), [""; 0]);
        list[2].reason = Some(Reason::new("Other", "x"));
        for silent in &mut list[..2] {
            silent.reason = Some(Reason::new("EngineUnavailable", "no answer"));
        }
        assert_eq!(
            silent_engines(&list),
            ["note: the engine of node smr-agent-1 does not answer; states are the last known"]
        );
    }

    #[test]
    fn nobody_is_coloured_without_being_asked() {
        let list = [replica("web", 1, ReplicaState::Failed, 0)];
        assert!(!replica_table(&list, false, now()).render(false).contains('\u{1b}'));
        assert!(replica_table(&list, false, now()).render(true).contains("\u{1b}[38;5;9m"));
    }
}
