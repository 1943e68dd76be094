//! Everything there is: nodes, network, users, time.

use std::collections::BTreeMap;

use smr_model::ReplicaKey;

use crate::{
    Ms, Options,
    agent::json,
    check::Check,
    context::{Context, Out},
    disk::{Config, Disk, Record},
    engine::{Job, What},
    invariants::Judge,
    keyspace,
    log::{Entry, Message, Payload},
    network::Network,
    node::Node,
    random::Random,
    story::Story,
    user::Users,
};

/// Something that is going to happen.
#[derive(Debug)]
pub(crate) enum Event {
    Deliver { from: u64, to: u64, message: Message },
    Tick(u64, u64),
    Synced(u64, u64),
    Engine { node: u64, boot: u64, key: ReplicaKey, job: Job },
    Step,
    Repair(Repair),
}

/// The end of a fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Repair {
    Start(u64),
    Network,
    Disk(u64),
    Engine(u64),
}

/// Everything there is.
pub(crate) struct World {
    pub(crate) options: Options,
    pub(crate) now: Ms,
    pub(crate) random: Random,
    pub(crate) nodes: BTreeMap<u64, Node>,
    pub(crate) network: Network,
    pub(crate) users: Users,
    pub(crate) judge: Judge,
    pub(crate) story: Story,
    /// Steps that are left, and steps that were taken.
    pub(crate) steps: u64,
    pub(crate) taken: u64,
    /// Events so far.
    pub(crate) events: u64,
    queue: BTreeMap<(Ms, u64), Event>,
    numbers: u64,
}

impl World {
    pub(crate) fn new(options: Options) -> Self {
        let mut random = Random::new(options.seed);
        let count =
            options.nodes.unwrap_or_else(|| [1, 2, 3, 3, 3, 4, 5, 5, 7][random.below(9) as usize]);
        let mut world = Self {
            now: 0,
            random,
            nodes: BTreeMap::new(),
            network: Network::new(),
            users: Users::default(),
            judge: Judge::default(),
            story: Story::new(options.trace),
            steps: options.steps,
            taken: 0,
            events: 0,
            queue: BTreeMap::new(),
            numbers: 0,
            options,
        };
        for id in 1..=count {
            world.add_node(id, count);
        }
        if world.steps > 0 {
            world.schedule(1000, Event::Step);
        }
        world
    }

    /// The first node has the cluster on its disk, with all members; the others join.
    fn add_node(&mut self, id: u64, count: u64) {
        let mut disk = Disk::default();
        if id == 1 {
            let config = Config { voters: [1].into(), ..Config::default() };
            let payloads = [Payload::Config(config), Payload::Command(genesis(count))];
            for (index, payload) in (1..).zip(payloads) {
                let entry = Entry { term: 1, index, payload, origin: None };
                disk.write(Record::Append(entry.into()));
            }
            disk.write(Record::Vote { term: 1, vote: Some(1) });
            disk.sync_all();
        }
        let mut out = Vec::new();
        let node = Node::new(id, disk, &mut self.context(&mut out));
        self.nodes.insert(id, node);
        self.carry_out(out);
        self.schedule(id * 7, Event::Tick(id, 1));
    }

    fn context<'a>(&'a mut self, out: &'a mut Vec<Out>) -> Context<'a> {
        Context {
            now: self.now,
            random: &mut self.random,
            out,
            judge: &mut self.judge,
            story: &mut self.story,
            bug: self.options.bug,
        }
    }

    pub(crate) fn schedule(&mut self, wait: Ms, event: Event) {
        self.numbers += 1;
        self.queue.insert((self.now + wait, self.numbers), event);
    }

    pub(crate) fn tell(&mut self, line: impl FnOnce() -> String) {
        self.story.tell(self.now, 0, line);
    }

    /// A number that only grows.
    pub(crate) fn moment(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    /// Has something happen to a node, and everything that follows from it.
    pub(crate) fn at<T>(
        &mut self,
        id: u64,
        what: impl FnOnce(&mut Node, &mut Context<'_>) -> T,
    ) -> Option<T> {
        let mut out = Vec::new();
        let mut node = self.nodes.remove(&id)?;
        let found = what(&mut node, &mut self.context(&mut out));
        let disk = &mut node.raft.disk;
        if node.up && disk.syncing.is_none() && disk.synced() < disk.written() {
            disk.syncing = Some(disk.written());
            let wait = self.random.between(1, 8) * if disk.slow { 40 } else { 1 };
            let boot = node.boot;
            self.schedule(wait, Event::Synced(id, boot));
        }
        self.nodes.insert(id, node);
        self.carry_out(out);
        Some(found)
    }

    fn carry_out(&mut self, out: Vec<Out>) {
        for it in out {
            match it {
                Out::Send { from, to, message } => {
                    let times =
                        self.network.route(self.now, (from, to), &message, &mut self.random);
                    for at in times {
                        let message = message.clone();
                        self.schedule(at - self.now, Event::Deliver { from, to, message });
                    }
                }
                Out::Engine { node, key, job } => self.begin(node, key, job),
                Out::User { node, request, answer } => self.user_answered(node, request, answer),
            }
        }
    }

    /// An engine begins with something.
    fn begin(&mut self, id: u64, key: ReplicaKey, job: Job) {
        if let What::Create { generation, .. } = &job.what {
            self.check_begin(id, &key, *generation);
        }
        let Some(node) = self.nodes.get(&id) else { return };
        let boot = node.boot;
        let wait = node.engine.duration(&job.what, &mut self.random);
        self.schedule(wait, Event::Engine { node: id, boot, key, job });
    }

    /// Lets the next event happen; `false` when there is none, or something is wrong.
    pub(crate) fn advance(&mut self) -> bool {
        let Some(((at, _), event)) = self.queue.pop_first() else { return false };
        self.now = at;
        self.events += 1;
        match event {
            Event::Deliver { from, to, message } => {
                if self.nodes.get(&to).is_some_and(|node| node.up) {
                    self.at(to, |node, cx| node.receive(from, message, cx));
                }
            }
            Event::Tick(id, boot) => {
                if self.nodes.get(&id).is_some_and(|node| node.up && node.boot == boot) {
                    self.at(id, |node, cx| node.tick(cx));
                    let wait = self.random.between(30, 70);
                    self.schedule(wait, Event::Tick(id, boot));
                }
            }
            Event::Synced(id, boot) => {
                if self.nodes.get(&id).is_some_and(|node| node.up && node.boot == boot) {
                    self.at(id, |node, cx| node.synced(cx));
                }
            }
            Event::Engine { node, boot, key, job } => self.engine_works(node, boot, &key, &job),
            Event::Step => self.step(),
            Event::Repair(repair) => self.repair(&repair),
        }
        self.judge.failure().is_none()
    }

    fn engine_works(&mut self, id: u64, boot: u64, key: &ReplicaKey, job: &Job) {
        self.at(id, |node, cx| {
            let clock = node.clock(cx.now);
            for id in job.what.containers() {
                if node.engine.containers.get(id).is_some_and(|it| it.labels.is_none()) {
                    let why = format!("n{} touches container {id} of somebody else", node.id);
                    cx.fail(Check::OthersAreLeftAlone, why);
                }
            }
            let outcome = node.engine.carry_out(clock, key, &job.what, cx.random);
            if node.up && node.boot == boot {
                node.agent.done(key, job, outcome, clock);
            }
        });
    }
}

/// The first entry: who is a member.
fn genesis(count: u64) -> smr_state::Command {
    let mut txn = smr_state::Txn::new();
    for id in 1..=count {
        let member = serde_json::json!({
            "id": id,
            "name": format!("n{id}"),
            "peer": format!("10.0.0.{id}:9212"),
            "joined": "2026-01-01T00:00:00Z",
        });
        txn = txn.then(smr_state::Op::put(keyspace::member(id), json(&member)));
    }
    smr_state::Command::Txn(txn)
}
