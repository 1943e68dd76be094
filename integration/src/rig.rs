//! Several Docker hosts on one switch, and what can happen to the cables between them.
//!
//! The switch is a bridge in a network namespace of its own, so that no firewall rule of this machine sees
//! the traffic. Faults are made at the switch: a host never cooperates, and never notices.

use std::{
    fs,
    ops::{Deref, Index},
    path::{Path, PathBuf},
    process::{Child, Command},
    sync::atomic::{AtomicU32, Ordering},
};

use anyhow::{Context as _, Result, bail};

use crate::{
    Lab,
    lab::{ROOT, in_namespace, remove, start_namespace},
};

/// First three octets of the hosts' addresses; every rig is a world of its own, so they never collide.
const NET: &str = "10.77.0";

/// Programs a rig needs beyond those of a lab.
const PROGRAMS: &[&str] = &["nft"];

/// Rules of the switch: ports in `off` are dead, `pairs` and `loss` hold what faults add. The priority is
/// ahead of `br_netfilter`, which takes IP frames away at 0.
const RULES: &str = "table bridge rig {
  set off { typeof iifname; }
  chain pairs { }
  chain loss { }
  chain forward {
    type filter hook forward priority -200;
    iifname @off drop; oifname @off drop
    jump pairs
    jump loss
  }
}
";

/// Hosts `1..=n` with one engine each. Dropping it stops and removes everything.
pub struct Rig {
    hosts: Vec<Host>,
    switch: Switch,
}

/// One host of a rig.
pub struct Host {
    number: u32,
    lab: Lab,
}

impl Deref for Host {
    type Target = Lab;

    fn deref(&self) -> &Lab {
        &self.lab
    }
}

impl Host {
    /// Its number, from 1.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Its address on the switch.
    pub fn address(&self) -> String {
        format!("{NET}.{}", self.number)
    }
}

impl Index<u32> for Rig {
    type Output = Host;

    /// The host with this number, from 1.
    fn index(&self, number: u32) -> &Host {
        &self.hosts[number as usize - 1]
    }
}

impl Rig {
    /// A rig for a test, or `None` on a machine that cannot have one; see [`Lab::require`].
    ///
    /// # Panics
    /// When it cannot be started although the machine has what it needs.
    pub fn require(hosts: u32) -> Option<Self> {
        if !Lab::possible(PROGRAMS) {
            return None;
        }
        Some(Self::start(hosts).unwrap_or_else(|error| panic!("cannot start a rig: {error:#}")))
    }

    /// Starts so many hosts.
    pub fn start(hosts: u32) -> Result<Self> {
        let switch = Switch::start()?;
        // In this thread: what it starts lives as long as the thread does.
        let host = |number| {
            let lab = Lab::start_with(|holder| switch.plug(number, holder))?;
            Ok(Host { number, lab })
        };
        Ok(Self { hosts: (1..=hosts).map(host).collect::<Result<_>>()?, switch })
    }

    /// The hosts, by number.
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// Drops silently all that the host sends and gets.
    pub fn cut(&self, host: u32) -> Result<()> {
        self.switch.nft(&format!("add element bridge rig off {{ p{host} }}"))
    }

    /// Undoes [`cut`](Self::cut).
    pub fn join(&self, host: u32) -> Result<()> {
        self.switch.nft(&format!("delete element bridge rig off {{ p{host} }}"))
    }

    /// Drops silently all that goes from one host to another; the way back stays open.
    pub fn cut_one_way(&self, from: u32, to: u32) -> Result<()> {
        let rule = format!("add rule bridge rig pairs iifname p{from} oifname p{to} drop");
        self.switch.nft(&rule)
    }

    /// Drops silently all that goes between two hosts.
    pub fn cut_pair(&self, a: u32, b: u32) -> Result<()> {
        self.cut_one_way(a, b)?;
        self.cut_one_way(b, a)
    }

    /// Drops so many per cent of what the host sends.
    pub fn lose(&self, host: u32, percent: u32) -> Result<()> {
        let rule = format!(
            "add rule bridge rig loss iifname p{host} numgen random mod 100 < {percent} drop"
        );
        self.switch.nft(&rule)
    }

    /// Undoes [`cut_pair`](Self::cut_pair), [`cut_one_way`](Self::cut_one_way) and [`lose`](Self::lose).
    pub fn heal(&self) -> Result<()> {
        self.switch.nft("flush chain bridge rig pairs")?;
        self.switch.nft("flush chain bridge rig loss")
    }
}

struct Switch {
    dir: PathBuf,
    holder: Child,
}

impl Switch {
    fn start() -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir = Path::new(ROOT).join(format!("{}-switch{number}", std::process::id()));
        fs::create_dir_all(&dir).with_context(|| format!("create `{}`", dir.display()))?;
        let switch = Self { holder: start_namespace(&dir)?, dir };
        // Several switches in a row: the kernel names and addresses of one never meet another's.
        switch.ip(&["link", "add", "br0", "type", "bridge"])?;
        switch.ip(&["link", "set", "br0", "up"])?;
        let rules = switch.dir.join("rules.nft");
        fs::write(&rules, RULES)?;
        run(in_namespace(switch.holder.id(), "nft").arg("-f").arg(&rules))?;
        Ok(switch)
    }

    /// Lays a cable between port `p<number>` and `eth0` of the namespace held by `holder`.
    fn plug(&self, number: u32, holder: u32) -> Result<()> {
        let (port, holder_text) = (format!("p{number}"), holder.to_string());
        let cable =
            ["link", "add", &port, "type", "veth", "peer", "name", "eth0", "netns", &holder_text];
        self.ip(&cable)?;
        self.ip(&["link", "set", &port, "master", "br0", "up"])?;
        let address = format!("{NET}.{number}/24");
        run(in_namespace(holder, "ip").args(["addr", "add", &address, "dev", "eth0"]))?;
        run(in_namespace(holder, "ip").args(["link", "set", "eth0", "up"]))
    }

    fn ip(&self, arguments: &[&str]) -> Result<()> {
        run(in_namespace(self.holder.id(), "ip").args(arguments))
    }

    fn nft(&self, rule: &str) -> Result<()> {
        run(in_namespace(self.holder.id(), "nft").arg(rule))
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
        remove(&self.dir);
    }
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("cannot run {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
