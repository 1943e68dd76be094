//! The tables about the cluster, as functions of data and time.

use jiff::Timestamp;
use smr_model::{Availability, Health};
use smr_wire::{
    CertificateInfo, HistoryEntry, MemberInfo, NodeView, RaftRole, RolloutView, TokenInfo,
    TokenState,
};

use super::{Paint, Table, age, tables::or_dash};
use crate::commands::pairs;

type Cell = (String, Paint);

/// `node ls`.
pub(crate) fn node_table(nodes: &[NodeView], wide: bool, now: Timestamp) -> Table {
    let mut header = vec![
        "NODE",
        "ID",
        "ROLE",
        "HEALTH",
        "AVAILABILITY",
        "REPLICAS",
        "VERSION",
        "ENGINE",
        "ADDRESS",
        "UP",
    ];
    if wide {
        header.extend(["CPUS", "MEMORY", "LAG", "OS", "KERNEL", "ARCH", "LABELS"]);
    }
    let mut table = Table::new(header);
    for view in nodes {
        let node = &view.status;
        let is_down = view.health.as_ref().is_some_and(|health| health.state == Health::Down);
        let up = match node.version.is_empty() || is_down {
            true => "-".to_owned(),
            false => age(node.started_at, now),
        };
        let mut cells = vec![
            (node.name.clone(), Paint::Plain),
            (node.id.to_string(), Paint::Plain),
            (role(view.raft, view.leader), Paint::Plain),
            health(view, wide, now),
            availability(view.availability),
            (view.replicas.to_string(), Paint::Plain),
            (or_dash(node.version.clone()), Paint::Plain),
            (or_dash(node.engine.clone()), Paint::Plain),
            (or_dash(address(view)), Paint::Plain),
            (up, Paint::Plain),
        ];
        if wide {
            let plain = [
                format!("{}/{}", cpus(view.requested_cpu_millis), node.cpus),
                format!("{}/{} MiB", view.requested_memory >> 20, node.memory >> 20),
                lag(view.lag),
                or_dash(node.os.clone()),
                or_dash(node.kernel.clone()),
                or_dash(node.arch.clone()),
                or_dash(pairs(&view.effective_labels)),
            ];
            cells.extend(plain.map(|text| (text, Paint::Plain)));
        }
        table.row(cells);
    }
    table
}

/// `cluster status`.
pub(crate) fn member_table(members: &[MemberInfo], now: Timestamp) -> Table {
    let mut table =
        Table::new(["NODE", "ID", "ROLE", "MAY VOTE", "HEALTH", "LAG", "PEER", "API", "JOINED"]);
    for info in members {
        let member = &info.member;
        let health = match info.health {
            None => ("-".to_owned(), Paint::Plain),
            Some(Health::Ready) => ("ready".to_owned(), Paint::Good),
            Some(Health::Down) => ("down".to_owned(), Paint::Bad),
        };
        table.row([
            (member.name.clone(), Paint::Plain),
            (member.id.to_string(), Paint::Plain),
            (role(info.raft, info.leader), Paint::Plain),
            (yes(member.role == smr_model::NodeRole::Voter), Paint::Plain),
            health,
            (lag(info.lag), Paint::Plain),
            (or_dash(member.peer.clone()), Paint::Plain),
            (or_dash(member.api.clone()), Paint::Plain),
            (age(member.joined, now), Paint::Plain),
        ]);
    }
    table
}

/// `token ls`.
pub(crate) fn token_table(tokens: &[TokenInfo], now: Timestamp) -> Table {
    let mut table =
        Table::new(["ID", "STATE", "ROLE", "USED", "ENDS IN", "CREATED BY", "DESCRIPTION"]);
    for token in tokens {
        let paint = if token.state == TokenState::Valid { Paint::Good } else { Paint::Plain };
        table.row([
            (token.id.clone(), Paint::Plain),
            (token.state.as_str().to_owned(), paint),
            (token.role.as_str().to_owned(), Paint::Plain),
            (format!("{}/{}", token.joined.len(), token.uses), Paint::Plain),
            (until(token.expires, now), Paint::Plain),
            (or_dash(token.created_by.clone()), Paint::Plain),
            (or_dash(token.description.clone()), Paint::Plain),
        ]);
    }
    table
}

/// `cert ls`.
pub(crate) fn certificate_table(certificates: &[CertificateInfo], now: Timestamp) -> Table {
    let mut table = Table::new(["SERIAL", "NAME", "ROLE", "NODE", "STATE", "ENDS IN", "REASON"]);
    for certificate in certificates {
        let state = match certificate.revoked {
            Some(_) => ("revoked", Paint::Bad),
            None if certificate.not_after <= now => ("ended", Paint::Plain),
            None => ("valid", Paint::Good),
        };
        table.row([
            (certificate.serial.clone(), Paint::Plain),
            (certificate.name.clone(), Paint::Plain),
            (certificate.role.clone(), Paint::Plain),
            (certificate.node.map_or_else(|| "-".to_owned(), |id| id.to_string()), Paint::Plain),
            (state.0.to_owned(), state.1),
            (until(certificate.not_after, now), Paint::Plain),
            (or_dash(certificate.reason.clone()), Paint::Plain),
        ]);
    }
    table
}

/// `rollout status`.
pub(crate) fn rollout_table(view: &RolloutView) -> Table {
    let mut table = Table::new(["REPLICA", "NODE", "GENERATION", "SMR STATE", "READY"]);
    for replica in &view.replicas {
        let generation = match (replica.generation, replica.wanted) {
            (is, wanted) if is == wanted => is.to_string(),
            (0, wanted) => format!("-> {wanted}"),
            (is, wanted) => format!("{is} -> {wanted}"),
        };
        let ready = if replica.ready { Paint::Good } else { Paint::Busy };
        table.row([
            (replica.name.clone(), Paint::Plain),
            (or_dash(replica.node.clone()), Paint::Plain),
            (generation, Paint::Plain),
            (replica.state.to_string(), Paint::Plain),
            (yes(replica.ready), ready),
        ]);
    }
    table
}

/// `rollout history`.
pub(crate) fn history_table(entries: &[HistoryEntry], now: Timestamp) -> Table {
    let mut table = Table::new(["GENERATION", "AGE", "BY", "CHANGED"]);
    for entry in entries {
        let current = if entry.current { " *" } else { "" };
        table.plain_row([
            format!("{}{current}", entry.generation),
            age(entry.time, now),
            or_dash(entry.by.clone()),
            or_dash(entry.message.clone()),
        ]);
    }
    table
}

/// What it has in consensus; the leader is marked.
fn role(raft: Option<RaftRole>, leader: bool) -> String {
    let role = raft.map_or("-", RaftRole::as_str);
    if leader { format!("{role} *") } else { role.to_owned() }
}

/// With what the engine says only where there is room.
fn health(view: &NodeView, wide: bool, now: Timestamp) -> Cell {
    let node = &view.status;
    match &view.health {
        Some(health) if health.state == Health::Down => {
            (format!("down ({})", age(health.since, now)), Paint::Bad)
        }
        _ if node.version.is_empty() => ("not started".to_owned(), Paint::Busy),
        _ if !node.engine_ready && (node.engine_message.is_empty() || !wide) => {
            ("engine not ready".to_owned(), Paint::Bad)
        }
        _ if !node.engine_ready => {
            (format!("engine not ready: {}", node.engine_message), Paint::Bad)
        }
        _ => ("ready".to_owned(), Paint::Good),
    }
}

fn availability(availability: Availability) -> Cell {
    let paint = if availability == Availability::Active { Paint::Plain } else { Paint::Busy };
    (availability.as_str().to_owned(), paint)
}

/// Where its control API is reached.
fn address(view: &NodeView) -> String {
    match view.member.as_ref().map(|member| member.api.trim_start_matches("https://")) {
        Some(api) if !api.is_empty() => api.to_owned(),
        _ => view.status.addresses.join(", "),
    }
}

/// Thousandths of a processor as a number of them: `1.5`.
fn cpus(millis: u64) -> String {
    let text = format!("{}.{:03}", millis / 1000, millis % 1000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn lag(lag: Option<u64>) -> String {
    lag.map_or_else(|| "-".to_owned(), |lag| lag.to_string())
}

fn yes(is: bool) -> String {
    if is { "yes" } else { "no" }.to_owned()
}

/// How long until then; `-` when it is over.
fn until(then: Timestamp, now: Timestamp) -> String {
    if then <= now { "-".to_owned() } else { age(now, then) }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use smr_model::{Member, NodeHealth, NodeRole, NodeStatus};

    use super::*;

    fn now() -> Timestamp {
        "2026-01-31T10:00:00Z".parse().unwrap()
    }

    fn ago(seconds: i64) -> Timestamp {
        now() - SignedDuration::from_secs(seconds)
    }

    fn member(id: u64) -> Member {
        Member {
            id,
            name: format!("node-{id}"),
            peer: format!("node-{id}.example.com:9212"),
            api: format!("https://node-{id}.example.com:1443"),
            role: NodeRole::Voter,
            key_id: String::new(),
            epoch: 1,
            joined: ago(90_000),
        }
    }

    fn node(id: u64, version: &str) -> NodeView {
        let json = serde_json::json!({
            "id": id, "name": format!("node-{id}"), "addresses": ["192.0.2.1"],
            "version": version, "engine": "docker 28.0", "engineReady": true, "os": "linux",
            "kernel": "6.12", "arch": "x86_64", "cpus": 8, "memory": 16_u64 << 30,
            "labels": {"disk": "ssd"}, "startedAt": ago(3700),
        });
        let status: NodeStatus = serde_json::from_value(json).unwrap();
        NodeView { member: Some(member(id)), raft: Some(RaftRole::Voter), ..NodeView::new(status) }
    }

    #[test]
    fn nodes_with_what_is_wrong_with_them() {
        let mut leads = node(1, "0.1.0");
        (leads.leader, leads.replicas, leads.lag) = (true, 12, Some(0));
        (leads.requested_cpu_millis, leads.requested_memory) = (2500, 3 << 30);
        let mut down = node(2, "0.1.0");
        down.health =
            Some(NodeHealth { state: Health::Down, since: ago(75), message: String::new() });
        down.availability = Availability::Drain;
        let mut new = node(3, "");
        new.raft = Some(RaftRole::Learner);
        let mut alone = node(4, "0.1.0");
        (alone.member, alone.raft, alone.status.engine_ready) = (None, None, false);
        let list = [leads, down, new, alone];
        insta::assert_snapshot!(format!(
            "{}\n{}",
            node_table(&list, false, now()).render(false),
            node_table(&list[..2], true, now()).render(false)
        ));
    }

    #[test]
    fn members_and_tokens() {
        let info = |id, raft, leader, health, lag| MemberInfo {
            member: member(id),
            raft,
            leader,
            health,
            lag,
        };
        let members = [
            info(1, Some(RaftRole::Voter), true, Some(Health::Ready), Some(0)),
            info(2, Some(RaftRole::Learner), false, Some(Health::Down), Some(120)),
            info(3, None, false, None, None),
        ];
        let token = |state, joined: &[u64], expires| TokenInfo {
            id: "k3v9".to_owned(),
            state,
            role: NodeRole::Worker,
            uses: 2,
            joined: joined.to_vec(),
            created_by: "admin".to_owned(),
            created: ago(60),
            expires,
            description: "rack 4".to_owned(),
        };
        let tokens = [
            token(TokenState::Valid, &[2], now() + SignedDuration::from_secs(3540)),
            token(TokenState::Expired, &[], ago(1)),
        ];
        insta::assert_snapshot!(format!(
            "{}\n{}",
            member_table(&members, now()).render(false),
            token_table(&tokens, now()).render(false)
        ));
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!([0, 250, 1000, 2500].map(cpus), ["0", "0.25", "1", "2.5"]);
    }
}
