//! Three members: what cannot be asked of them, and what one of them alone refuses.

use std::{
    fs,
    time::{Duration, Instant},
};

use smr_integration::{Cluster, Node, Rig, wait};

use crate::{
    GOOD, Told,
    joining::{ATTEMPT, Attempt, Joiner},
};

/// How long a refusal for lack of a majority may take on a busy machine.
const SOON: Duration = Duration::from_secs(20);

fn try_all(told: &mut Told, node: &Node<'_>, cases: &[(&str, &[&str])]) {
    for (name, arguments) in cases {
        let output = node.program("smrctl").args(*arguments).output().unwrap();
        told.take(node, name, &format!("smrctl {}", arguments.join(" ")), "", &output);
    }
}

/// What users stored, from the copy of the node.
fn objects(node: &Node<'_>) -> String {
    ["configuration", "secret", "containers"]
        .map(|kind| node.ok(&["list", kind, "--stale", "--output", "name"]).unwrap())
        .concat()
}

/// Waits until the first node says so of the second one.
fn wait_health(cluster: &Cluster<'_>, wanted: &str) {
    wait(&format!("n2 to be {wanted}"), Duration::from_secs(60), || {
        let nodes = cluster.node_list(1).map_err(|error| format!("{error:#}"))?;
        let second = nodes.iter().find(|node| node["name"] == "n2").ok_or("no n2")?;
        let health = second["health"]["state"].to_string();
        if health.contains(wanted) { Ok(()) } else { Err(health) }
    })
    .unwrap();
}

/// Waits until the first node leads, whose copy is then asked for the others.
fn wait_lead(cluster: &Cluster<'_>) {
    wait("n1 to lead", Duration::from_secs(60), || match cluster.leader(1) {
        Ok(1) => Ok(()),
        other => {
            let _ = cluster[1].smrctl(&["cluster", "transfer", "n1"]);
            Err(format!("{other:?}"))
        }
    })
    .unwrap();
}

#[test]
fn members_that_are_needed_down_copied_or_removed() {
    let Some(rig) = Rig::require(3) else { return };
    let mut cluster = Cluster::prepare(&rig, "").unwrap();
    cluster.found().unwrap();
    let token = cluster[1].ok(&["token", "create", "--quiet", "--uses", "2"]).unwrap();
    for number in [2, 3] {
        fs::write(rig[number].dir().join("token"), &token).unwrap();
        cluster.node(number).restart().unwrap();
    }
    cluster.wait_ready().unwrap();
    cluster.wait_voters(3).unwrap();
    cluster[1].apply(GOOD).unwrap();
    let mut told = Told::new("members.txt");

    // ---- all are there
    let before = objects(&cluster[1]);
    let again = Attempt { token: Some(&token), ip: "10.77.0.2", ..ATTEMPT };
    let output = Joiner::new(&rig[2], &cluster[2]).join(&again);
    told.take(&cluster[2], "token: used up", "smr start", "", &output);
    try_all(
        &mut told,
        &cluster[1],
        &[
            ("node: removal of one that is ready", &["node", "rm", "n2"]),
            ("cluster: the lead to nobody", &["cluster", "transfer", "n9"]),
            ("cluster: even number of voters", &["cluster", "settings", "voters=2"]),
        ],
    );

    // ---- one is gone; then two are, and with them the majority
    let copy = cluster[2].dir().join("copy");
    cluster.node(2).stop().unwrap();
    let copied = |from: &std::path::Path, to: &std::path::Path| {
        let _ = fs::remove_dir_all(to);
        let done = std::process::Command::new("cp").arg("-a").args([from, to]).status().unwrap();
        assert!(done.success());
    };
    wait_health(&cluster, "down");
    try_all(
        &mut told,
        &cluster[1],
        &[("cluster: the lead to one that is down", &["cluster", "transfer", "n2"])],
    );
    copied(&cluster[2].data_dir(), &copy);
    cluster.node(2).restart().unwrap();
    cluster.wait_ready().unwrap();
    let fresh = cluster[1].ok(&["token", "create", "--quiet"]).unwrap();
    wait_lead(&cluster);
    cluster.node(2).kill().unwrap();
    cluster.node(3).kill().unwrap();
    wait("the first node to see that it is alone", Duration::from_secs(60), || {
        let output = cluster[1].smrctl(&["node", "label", "n1", "a=b"]).unwrap();
        if output.code == 0 { Err("it writes".to_owned()) } else { Ok(()) }
    })
    .unwrap();
    cluster[1].file("other.yaml", &GOOD.replace("a: b}", "a: c}")).unwrap();
    let begun = Instant::now();
    let alone: &[(&str, &[&str])] = &[
        ("no majority: apply", &["apply", "other.yaml"]),
        ("no majority: remove", &["remove", "configuration/a/fine"]),
        ("no majority: ps", &["ps"]),
        ("no majority: get", &["get", "configuration/a/fine"]),
        ("no majority: label", &["node", "label", "n1", "zone=eu"]),
        ("no majority: drain", &["node", "drain", "n1"]),
        ("no majority: token", &["token", "create"]),
        ("no majority: settings", &["cluster", "settings", "voters=1"]),
        ("no majority: the lead", &["cluster", "transfer", "n2"]),
        ("no majority: rollout", &["rollout", "pause", "containers/a/b"]),
        ("no majority: revoke", &["cert", "revoke", "n2"]),
        ("no majority: removal", &["node", "rm", "n2", "--force"]),
    ];
    try_all(&mut told, &cluster[1], alone);
    let each = begun.elapsed() / u32::try_from(alone.len()).unwrap();
    assert!(each < SOON, "a refusal takes {each:?}");
    let attempt = Attempt { token: Some(&fresh), name: "n4", ip: "10.77.0.1", ..ATTEMPT };
    let output = Joiner::new(&rig[1], &cluster[1]).join(&attempt);
    told.take(&cluster[1], "no majority: join", "smr start", "", &output);
    assert_eq!(objects(&cluster[1]), before, "nothing was changed");

    // ---- a copy of the data directory, from before
    let original = cluster[2].dir().join("original");
    cluster.node(3).spawn().unwrap();
    cluster.node(2).restart().unwrap();
    cluster.node(3).wait_ready().unwrap();
    cluster.wait_ready().unwrap();
    cluster.node(2).stop().unwrap();
    copied(&cluster[2].data_dir(), &original);
    copied(&copy, &cluster[2].data_dir());
    let start = |cluster: &Cluster<'_>| {
        let mut command = rig[2].command("timeout");
        command.arg("60").arg(cluster[2].dir().join("bin/smr"));
        command.args(["start", "--config"]).arg(cluster[2].dir().join("smr.toml"));
        command.env("HOME", cluster[2].dir().join("home")).env("NO_COLOR", "1");
        command.output().unwrap()
    };
    told.take(&cluster[2], "a copy of a data directory", "smr start", "", &start(&cluster));
    copied(&original, &cluster[2].data_dir());
    fs::remove_file(cluster[2].data_dir().join("node.json")).unwrap();
    told.take(&cluster[2], "a joined node without its record", "smr start", "", &start(&cluster));
    copied(&original, &cluster[2].data_dir());
    cluster.node(2).restart().unwrap();
    cluster.wait_ready().unwrap();

    // ---- a member without a vote, and one that is down
    cluster[1].ok(&["node", "demote", "n2"]).unwrap();
    cluster.wait_voters(1).unwrap();
    wait_lead(&cluster);
    try_all(
        &mut told,
        &cluster[1],
        &[("cluster: the lead to one without a vote", &["cluster", "transfer", "n2"])],
    );
    cluster.node(2).stop().unwrap();
    wait_health(&cluster, "down");

    // ---- a member that was removed
    cluster[1].ok(&["node", "rm", "n2"]).unwrap();
    told.take(&cluster[2], "a member that was removed", "smr start", "", &start(&cluster));
    told.pinned();
}
