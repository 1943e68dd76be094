//! The published pages on joining, word for word on two hosts whose names resolve.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fs, process::Command, time::Duration};

use smr_integration::{Lab, Node, Output, Rig, smr_binary, wait};

const LIMIT: Duration = Duration::from_mins(1);

const NAMES: &str = "127.0.0.1 localhost
10.77.0.1 node-1.simplecontainer.io smr1.example.com
10.77.0.2 node-2.simplecontainer.io smr2.example.com
";

/// The published busybox, one replica on each of two nodes.
const BUSYBOX: &str = "prefix: simplecontainer.io/v1
kind: containers
meta:
  group: example
  name: busybox
spec:
  image: busybox
  tag: latest
  replicas: 2
  spread:
    spread: specific
    agents: [1, 2]
  args: [sleep, '3600']
  stopSignal: SIGKILL
";

/// A machine with the three programs, and nothing else but where its Docker is.
struct Machine<'rig> {
    lab: &'rig Lab,
    /// Never started by the harness.
    node: Node<'rig>,
}

fn machines(rig: &Rig) -> Vec<Machine<'_>> {
    let machine = |lab| {
        let node = Node::prepare(lab, &smr_binary().unwrap(), "").unwrap();
        node.file("hosts", NAMES).unwrap();
        Machine { lab, node }
    };
    rig.hosts().iter().map(|host| machine(&**host)).collect()
}

impl Machine<'_> {
    /// A line for the shell, as it is published.
    fn command(&self, line: &str) -> Command {
        let dir = self.node.dir();
        let bin = dir.join("bin");
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default());
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "sh", "-c", "mount --bind \"$0\" /etc/hosts && exec bash -c \"$1\""])
            .arg(dir.join("hosts"))
            .arg(line)
            .env("PATH", path)
            .env("HOME", dir.join("home"))
            .env("SMR_CONFIG", dir.join("smr.toml"))
            .env("NO_COLOR", "1")
            .env_remove("SUDO_USER")
            .env_remove("SMR_CONTEXT")
            .env_remove("SMR_HOME")
            .current_dir(dir);
        self.lab.wrap(&command)
    }

    fn run(&self, line: &str) -> Output {
        let output = self.command(line).output().unwrap();
        Output {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    fn ok(&self, line: &str) -> String {
        let output = self.run(line);
        let log = fs::read_to_string(self.node.data_dir().join("smr.log")).unwrap_or_default();
        assert_eq!(output.code, 0, "{line}\n{}{}\n{log}", output.stdout, output.stderr);
        output.stdout
    }
}

/// Waits until `smrctl ps` on both prints the same table, with all of these; returns it.
fn same_table(machines: &[Machine<'_>], shown: &[&str]) -> String {
    wait("the same table on both", LIMIT, || {
        let tables: Vec<String> = machines.iter().map(|it| it.ok("smrctl ps")).collect();
        let all = shown.iter().all(|text| tables[0].contains(text));
        let one = tables.iter().all(|table| *table == tables[0]);
        if all && one { Ok(tables[0].clone()) } else { Err(tables.join("\n")) }
    })
    .unwrap()
}

fn apply_busybox(machine: &Machine<'_>) {
    machine.node.file("Containers.yaml", BUSYBOX).unwrap();
    machine.ok("smrctl apply Containers.yaml");
    machine.ok("smrctl events --wait readiness_ready --resource \
         simplecontainer.io/v1/kind/containers/example/example-busybox-2");
}

#[test]
fn the_page_on_joining_holds_word_for_word() {
    let Some(rig) = Rig::require(2) else { return };
    let machines = machines(&rig);
    let [one, two] = &machines[..] else { panic!("two machines") };
    one.ok("smrmgr start -d node-1.simplecontainer.io");
    let exported = one.ok("smrctl context export --api node-1.simplecontainer.io:1443");
    assert_eq!(exported.split_whitespace().count(), 2, "context and key");
    two.ok(&format!("smr agent import {exported}"));
    two.ok("smrmgr start -d node-2.simplecontainer.io -j");
    two.ok("smr agent events --wait cluster_started");
    apply_busybox(two);
    let table = same_table(&machines, &["example-busybox-1", "example-busybox-2"]);
    assert!(table.contains("node-1") && table.contains("node-2"), "{table}");

    // The cluster is restarted: the leader first, then the other one is drained.
    let said = one.ok("smr agent restart");
    assert!(said.contains("controls batch applied"), "{said}");
    one.ok("smr agent events --wait cluster_started");
    let object = two.ok("smrctl get containers/example/busybox");
    assert!(object.contains("busybox"), "{object}");
    two.ok("smr agent drain");
    two.ok("smr agent events --wait drain_success");
    let left = two.node.containers("example-").unwrap();
    assert!(left.is_empty(), "{left:?}");
    for machine in &machines {
        machine.ok("smrmgr stop --now");
    }
}

#[test]
fn the_older_page_with_names_and_a_peer_holds_too() {
    let Some(rig) = Rig::require(2) else { return };
    let machines = machines(&rig);
    let [one, two] = &machines[..] else { panic!("two machines") };
    one.ok("smrmgr start -n smr-node-1 -d node-1.simplecontainer.io");
    let exported = one.ok("smrctl context export --api node-1.simplecontainer.io:1443");
    let exported = exported.trim();
    two.ok(&format!("smr agent import {exported} --node smr-node-2 -y"));
    two.ok("smrmgr start -n smr-node-2 -d node-2.simplecontainer.io -j \
         -p https://node-1.simplecontainer.io:1443");
    two.ok("smr agent events --wait cluster_started --node smr-node-2");
    two.ok("smrctl context import $(smr agent export --node smr-node-2) -y");
    apply_busybox(one);
    let table = same_table(&machines, &["example-busybox-1", "example-busybox-2"]);
    assert!(table.contains("smr-node-1") && table.contains("smr-node-2"), "{table}");
    for machine in &machines {
        machine.ok("smrmgr stop --now");
    }
}

#[test]
fn the_first_page_holds_in_its_old_words() {
    let Some(rig) = Rig::require(2) else { return };
    let machines = machines(&rig);
    let [one, two] = &machines[..] else { panic!("two machines") };
    one.ok("smrmgr start -a smr-agent-1 -d smr1.example.com");
    let exported = one.ok("smrmgr export https://smr1.example.com:1443");
    let (context, key) = exported.trim().split_once(' ').unwrap();
    two.ok(&format!("smrmgr import {context} <<< {key}"));
    two.ok("smrmgr start -a smr-agent-2 -d smr2.example.com -j smr1.example.com:1443");
    two.ok("smrmgr wait");
    apply_busybox(two);
    let table = same_table(&machines, &["example-busybox-1", "example-busybox-2"]);
    assert!(table.contains("smr-agent-1") && table.contains("smr-agent-2"), "{table}");
    two.ok("smrmgr restart -a smr-agent-2 -d smr2.example.com");
    same_table(&machines, &["example-busybox-1", "example-busybox-2"]);
    // Stopping moves everything away first.
    let stop = "spread:\n    spread: specific\n    agents: [1, 2]";
    two.node.file("Containers.yaml", &BUSYBOX.replace(stop, "spread: {spread: uniform}")).unwrap();
    two.ok("smrctl apply Containers.yaml --wait");
    two.ok("smrmgr stop");
    assert!(two.node.containers("example-").unwrap().is_empty());
    one.ok("smrctl ps");
    one.ok("smrmgr stop --now");
}

#[test]
fn addresses_do_where_there_are_no_names() {
    let Some(rig) = Rig::require(2) else { return };
    let machines = machines(&rig);
    let [one, two] = &machines[..] else { panic!("two machines") };
    // Two machines of the same host name: the second one is named by the cluster.
    one.ok("smrmgr start -a 10.77.0.1");
    let exported = one.ok("smrctl context export --api 10.77.0.1:1443");
    two.ok(&format!("smr agent import {exported}"));
    two.ok("smrmgr start -a 10.77.0.2 -j");
    apply_busybox(one);
    same_table(&machines, &["example-busybox-1", "example-busybox-2"]);
    for machine in &machines {
        machine.ok("smrmgr stop --now");
    }
}
