//! Several real nodes form a cluster, place replicas and answer for each other.

use std::time::Duration;

use smr_integration::{Cluster, Rig, wait};

const LIMIT: Duration = Duration::from_mins(1);

/// The published examples of placement (the busybox of `minimal-cluster-*`).
fn busybox(replicas: u32, spread: &str) -> String {
    format!(
        "prefix: simplecontainer.io/v1\nkind: containers\n\
         meta: {{group: example, name: busybox}}\n\
         spec:\n  image: busybox\n  tag: latest\n  replicas: {replicas}\n  {spread}\n  \
         args: [sleep, '3600']\n  stopSignal: SIGKILL\n"
    )
}

/// Replicas, `spread`, and the host of each index.
type Case = (u32, &'static str, &'static [(u32, u32)]);

fn placed(expected: &[(u32, u32)]) -> Vec<(String, u32)> {
    expected.iter().map(|(index, host)| (format!("example-busybox-{index}"), *host)).collect()
}

#[test]
fn five_nodes_join_at_once_and_agree() {
    let Some(rig) = Rig::require(5) else { return };
    let cluster = Cluster::form_at_once(&rig, "").unwrap();
    let mut tables: Vec<String> = Vec::new();
    for node in cluster.nodes() {
        tables.push(node.ok(&["cluster", "status", "--output", "json"]).unwrap());
    }
    for table in tables {
        let status: serde_json::Value = serde_json::from_str(&table).unwrap();
        assert_eq!(status["members"].as_array().unwrap().len(), 5, "{table}");
    }
    wait("five voters", LIMIT, || {
        let text = cluster[2].ok(&["cluster", "status", "--output", "json"]);
        let text = text.map_err(|error| format!("{error:#}"))?;
        let status: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        let voters = status["voters"].as_array().map_or(0, Vec::len);
        if voters == 5 { Ok(()) } else { Err(text) }
    })
    .unwrap();
}

#[test]
fn replicas_go_where_the_published_examples_put_them() {
    let Some(rig) = Rig::require(2) else { return };
    let cluster = Cluster::form(&rig, "").unwrap();
    let cases: [Case; 5] = [
        (2, "spread: {spread: specific, agents: [1, 2]}", &[(1, 1), (2, 2)]),
        (2, "spread: {spread: specific, agents: [1]}", &[(1, 1), (2, 1)]),
        (2, "spread: {spread: specific, agents: [2]}", &[(1, 2), (2, 2)]),
        (3, "spread: {spread: uniform}", &[(1, 1), (2, 1), (3, 2)]),
        (5, "spread: {spread: uniform}", &[(1, 1), (2, 1), (3, 1), (4, 2), (5, 2)]),
    ];
    for (replicas, spread, expected) in cases {
        cluster[1].apply(&busybox(replicas, spread)).unwrap();
        let what = format!("{replicas} replicas with {spread} at {expected:?}");
        let expected = placed(expected);
        cluster.wait_running(&what, "example-", LIMIT, |found| found == expected).unwrap();
    }
    // The same table, whichever node is asked.
    let states = |number: u32| {
        let text = cluster[number].ok(&["ps", "--output", "json"]).unwrap();
        let list: serde_json::Value = serde_json::from_str(&text).unwrap();
        let rows = list["items"].as_array().or_else(|| list.as_array()).unwrap().clone();
        rows.iter().map(|row| (row["key"].clone(), row["node"].clone())).collect::<Vec<_>>()
    };
    assert_eq!(states(1), states(2));
    // Logs and commands reach replicas wherever they are.
    let said = cluster[1]
        .ok(&["exec", "containers/example/example-busybox-5", "-c", "echo from afar"])
        .unwrap();
    assert_eq!(said.trim(), "from afar");
    // Without `spread` replicas go to the node that is asked.
    cluster[2].ok(&["remove", "containers/example/busybox", "--wait"]).unwrap();
    cluster[2].apply(&busybox(2, "")).unwrap();
    let expected = placed(&[(1, 2), (2, 2)]);
    cluster.wait_running("both at host 2", "example-", LIMIT, |found| found == expected).unwrap();
}

#[test]
fn a_drained_node_is_evacuated_and_a_removed_one_is_refused() {
    let Some(rig) = Rig::require(3) else { return };
    let mut cluster = Cluster::form(&rig, "").unwrap();
    cluster[1].apply(&busybox(6, "spread: {spread: uniform}")).unwrap();
    cluster.wait_running("six", "example-", LIMIT, |found| found.len() == 6).unwrap();

    cluster[1].ok(&["node", "drain", "n3", "--wait"]).unwrap();
    let left = cluster[3].containers("example-").unwrap();
    assert!(left.is_empty(), "drained: {left:?}");
    let six =
        |found: &[(String, u32)]| found.len() == 6 && found.iter().all(|(_, host)| *host != 3);
    cluster.wait_running("six on hosts 1 and 2", "example-", LIMIT, six).unwrap();

    cluster.node(3).stop().unwrap();
    cluster[1].ok(&["node", "rm", "n3", "--force"]).unwrap();
    let outcome = cluster.node(3).restart();
    let said = format!("{:#}", outcome.unwrap_err());
    assert!(said.contains("removed from the cluster"), "{said}");
}
