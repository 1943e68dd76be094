//! Two of three nodes are lost for good: the third shows what it has, goes on alone when told so, and is
//! joined again.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fs, process::Output, time::Duration};

use smr_integration::{Cluster, Node, Rig, wait};

const OBJECTS: &str = "
kind: secret
meta: {group: keep, name: key}
spec: {data: {value: a2VwdA==}}
---
kind: containers
meta: {group: keep, name: box}
spec:
  image: smr-examples/busybox
  tag: '1'
  entrypoint: [sleep, '3600']
  stopTimeout: 1s
  replicas: 3
  spread: {spread: uniform}
---
kind: containers
meta: {group: keep, name: home}
spec: {image: smr-examples/busybox, tag: '1', entrypoint: [sleep, '3600'], stopTimeout: 1s}
---
kind: containers
meta: {group: keep, name: bound}
spec:
  image: smr-examples/busybox
  tag: '1'
  entrypoint: [sleep, '3600']
  stopTimeout: 1s
  spread: {spread: specific, agents: [2]}
";

/// `box` on every node, `home` on the one it was applied to, `bound` on the second.
fn form(rig: &Rig) -> Cluster<'_> {
    for host in rig.hosts() {
        host.image("busybox").unwrap();
    }
    let cluster = Cluster::form(rig, "").unwrap();
    cluster[1].apply(OBJECTS).unwrap();
    let everywhere = |found: &[(String, u32)]| found.len() == 5;
    cluster
        .wait_running("five running containers", "keep-", Duration::from_secs(60), everywhere)
        .unwrap();
    cluster
}

/// The node has all that can run without the others, and says why the rest does not.
fn has_everything(node: &Node) {
    let revealed = node.ok(&["get", "secret/keep/key", "--reveal"]).unwrap();
    assert!(revealed.contains("a2VwdA=="), "{revealed}");
    let found = wait("box and home to run here", Duration::from_secs(60), || {
        let found = node.containers("keep-").map_err(|error| format!("{error:#}"))?;
        let running = |name: &str| {
            found.iter().filter(|it| it.name.starts_with(name) && it.state == "running").count()
        };
        match (running("keep-box"), running("keep-home")) {
            (3, 1) => Ok(found),
            counts => Err(format!("{counts:?}: {found:?}")),
        }
    });
    let found = found.unwrap_or_else(|error| panic!("{error:#}\n{}", node.log()));
    assert!(!found.iter().any(|it| it.name.starts_with("keep-bound")), "{found:?}");
    let pending = node.ok(&["ps"]).unwrap();
    assert!(pending.lines().any(|it| it.contains("bound") && it.contains("pending")), "{pending}");
    node.apply("kind: configuration\nmeta: {group: keep, name: new}\nspec: {data: {a: b}}\n")
        .unwrap();
}

fn container(node: &Node, prefix: &str) -> Vec<String> {
    let found = node.containers(prefix).unwrap();
    found.into_iter().map(|it| it.id).collect()
}

fn recover(node: &Node, more: &[&str]) -> Output {
    let config = node.dir().join("smr.toml").to_string_lossy().into_owned();
    let mut command = node.program("smr");
    command.args(["recover", "--survivor", "--config", &config]).args(more);
    command.output().unwrap()
}

fn shown(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

#[test]
fn one_survivor_of_three_goes_on_with_everything() {
    let Some(rig) = Rig::require(3) else { return };
    let mut cluster = form(&rig);

    // While it runs, and while it could go on, it is left alone.
    let runs = recover(&cluster[3], &["--yes"]);
    assert!(!runs.status.success(), "{}", shown(&runs));
    assert!(shown(&runs).contains("a node runs in"), "{}", shown(&runs));
    cluster.node(3).stop().unwrap();
    let needless = recover(&cluster[3], &["--yes"]);
    assert!(!needless.status.success(), "{}", shown(&needless));
    assert!(shown(&needless).contains("the quorum is not lost"), "{}", shown(&needless));
    cluster.node(3).restart().unwrap();
    cluster.wait_ready().unwrap();

    cluster.node(1).kill().unwrap();
    cluster.node(2).kill().unwrap();
    cluster.node(3).stop().unwrap();
    let own = container(&cluster[3], "keep-");
    let before = fs::read(cluster[3].data_dir().join("node.json")).unwrap();
    let asked = recover(&cluster[3], &[]);
    let text = shown(&asked);
    assert_eq!(asked.status.code(), Some(2), "nobody is there to say yes: {text}");
    assert_eq!(text.matches("cannot be asked").count(), 2, "{text}");
    assert!(text.contains("Can be lost") && text.contains("--yes"), "{text}");
    assert_eq!(fs::read(cluster[3].data_dir().join("node.json")).unwrap(), before);

    let done = recover(&cluster[3], &["--yes"]);
    assert!(done.status.success(), "{}", shown(&done));
    cluster.node(3).restart().unwrap();
    let three = &cluster[3];
    has_everything(three);
    for id in own {
        assert!(container(three, "keep-").contains(&id), "what ran here goes on");
    }
    let nodes = three.ok(&["node", "ls"]).unwrap();
    assert!(nodes.contains("n3") && !nodes.contains("n1") && !nodes.contains("n2"), "{nodes}");

    // The others join as new members, when their directories are empty.
    let token = three.ok(&["token", "create", "--quiet"]).unwrap();
    fs::write(cluster[2].dir().parent().unwrap().join("token"), token).unwrap();
    let two = cluster.node(2);
    fs::remove_dir_all(two.data_dir()).unwrap();
    let config = two.dir().join("smr.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace(&rig[1].address(), &rig[3].address())).unwrap();
    two.restart().unwrap();
    cluster.wait_ready_of(&[2, 3], &[2, 3]).unwrap();
}

#[test]
fn a_backup_of_three_nodes_becomes_one_node() {
    let Some(rig) = Rig::require(3) else { return };
    let mut cluster = form(&rig);
    let phrase = rig[1].dir().join("phrase");
    fs::write(&phrase, "correct horse battery").unwrap();
    let phrase = phrase.to_string_lossy().into_owned();
    let file = rig[1].dir().join("cluster.backup").to_string_lossy().into_owned();
    // Any node makes it, whoever leads.
    let mut create = cluster[2].program("smr");
    let created = create.args(["backup", "create", &file, "--passphrase-file", &phrase]).output();
    let created = created.unwrap();
    assert!(created.status.success(), "{}", shown(&created));
    cluster[1].ok(&["remove", "secret/keep/key"]).unwrap();
    for number in 1..=3 {
        cluster.node(number).kill().unwrap();
    }

    let own = container(&cluster[1], "keep-");
    let config = cluster[1].dir().join("smr.toml").to_string_lossy().into_owned();
    let mut restore = cluster[1].program("smr");
    restore.args(["backup", "restore", &file, "--config", &config, "--force"]);
    let restored = restore.args(["--passphrase-file", &phrase]).output().unwrap();
    assert!(restored.status.success(), "{}", shown(&restored));
    cluster.node(1).restart().unwrap();
    let one = &cluster[1];
    has_everything(one);
    for id in own {
        assert!(container(one, "keep-").contains(&id), "what ran here goes on");
    }
    let nodes = one.ok(&["node", "ls"]).unwrap();
    assert!(nodes.contains("n1") && !nodes.contains("n2") && !nodes.contains("n3"), "{nodes}");
}
