//! Steps: what users and bad luck do to the world, and how it is repaired.

use crate::{
    Ms,
    world::{Event, Repair, World},
};

impl World {
    /// One step: something a user does, or something that goes wrong.
    pub(crate) fn step(&mut self) {
        self.taken += 1;
        self.steps = self.steps.saturating_sub(1);
        match self.random.below(100) {
            0..55 => self.user_acts(),
            55..70 if !self.options.calm => self.fault(),
            70..74 => self.a_container_dies(),
            _ => {}
        }
        self.check_step();
        if self.steps > 0 {
            let wait = self.random.between(20, 400);
            self.schedule(wait, Event::Step);
        }
    }

    fn fault(&mut self) {
        let ids: Vec<u64> = self.nodes.keys().copied().collect();
        let Some(id) = self.random.pick(&ids).copied() else { return };
        let long: Ms = self.random.between(500, 15_000);
        match self.random.below(100) {
            0..18 => {
                let with_power = self.random.chance(500);
                self.crash(id, with_power, long);
            }
            // The power of the whole room.
            18..20 => ids.iter().for_each(|id| self.crash(*id, true, long)),
            20..45 => self.partition(&ids, long),
            45..60 => {
                self.network.loss = [20, 100, 300][self.random.below(3) as usize];
                self.network.twice = 50;
                self.network.delay = [20, 100, 400][self.random.below(3) as usize];
                let (loss, delay) = (self.network.loss, self.network.delay);
                self.tell(|| format!("the network loses {loss}/1000 and takes up to {delay} ms"));
                self.schedule(long, Event::Repair(Repair::Network));
            }
            60..68 => {
                let full = self.random.chance(400);
                self.tell(|| {
                    format!("the disk of n{id} is {}", if full { "full" } else { "slow" })
                });
                self.at(id, |node, _| {
                    let disk = &mut node.raft.disk;
                    (disk.full, disk.slow) = (disk.full || full, disk.slow || !full);
                });
                self.schedule(long, Event::Repair(Repair::Disk(id)));
            }
            68..88 => self.trouble_engine(id, long),
            _ => {
                let jump = self.random.between(0, 120_000) as i64 - 60_000;
                self.tell(|| format!("the clock of n{id} jumps by {jump} ms"));
                self.at(id, |node, _| node.skew += jump);
            }
        }
    }

    pub(crate) fn crash(&mut self, id: u64, with_power: bool, long: Ms) {
        if !self.nodes.get(&id).is_some_and(|node| node.up) {
            return;
        }
        self.at(id, |node, cx| node.crash(with_power, cx));
        self.users_lose(id);
        self.schedule(long, Event::Repair(Repair::Start(id)));
    }

    fn partition(&mut self, ids: &[u64], long: Ms) {
        let one_way = self.random.chance(300);
        let side: Vec<bool> = ids.iter().map(|_| self.random.chance(500)).collect();
        for (from, of) in ids.iter().zip(&side) {
            for (to, other) in ids.iter().zip(&side) {
                if of != other && (*of || !one_way) {
                    self.network.cut(*from, *to);
                }
            }
        }
        let one: Vec<u64> =
            ids.iter().zip(&side).filter(|(_, it)| **it).map(|(id, _)| *id).collect();
        let how = if one_way { "cannot send to" } else { "is cut from" };
        self.tell(|| format!("{one:?} {how} the others"));
        self.schedule(long, Event::Repair(Repair::Network));
    }

    fn trouble_engine(&mut self, id: u64, long: Ms) {
        let (what, ends) = (self.random.below(3), self.random.chance(500));
        self.at(id, |node, cx| match what {
            0 => node.engine.slow = true,
            1 => node.engine.failing = 300,
            _ => {
                node.engine.up = false;
                node.engine.news = true;
                if ends {
                    let clock = node.clock(cx.now);
                    node.engine.end_all(clock);
                }
            }
        });
        let how = ["slow", "failing", "away"][what as usize];
        self.tell(|| format!("the engine of n{id} is {how}"));
        self.schedule(long, Event::Repair(Repair::Engine(id)));
    }

    fn a_container_dies(&mut self) {
        let running: Vec<(u64, String)> = self
            .nodes
            .values()
            .flat_map(|node| {
                let ours = node.engine.containers.values();
                let ours = ours.filter(|it| it.labels.is_some() && it.seen.runs());
                ours.map(|it| (node.id, it.seen.id.clone()))
            })
            .collect();
        let Some((id, container)) = self.random.pick(&running).cloned() else { return };
        self.tell(|| format!("container {container} on n{id} dies"));
        self.at(id, |node, cx| {
            let clock = node.clock(cx.now);
            node.engine.end(clock, &container, 1);
        });
    }

    /// The end of a fault.
    pub(crate) fn repair(&mut self, repair: &Repair) {
        match *repair {
            Repair::Start(id) => {
                if self.nodes.get(&id).is_none_or(|node| node.up || node.retired) {
                    return;
                }
                self.at(id, |node, cx| {
                    node.engine.up = true;
                    node.engine.start_others();
                    node.start(cx);
                });
                let boot = self.nodes.get(&id).map_or(0, |node| node.boot);
                self.schedule(10, Event::Tick(id, boot));
            }
            Repair::Network => {
                self.network.join();
                (self.network.loss, self.network.twice, self.network.delay) = (0, 0, 5);
                self.tell(|| "the network is whole".to_owned());
            }
            Repair::Disk(id) => {
                self.at(id, |node, _| {
                    (node.raft.disk.full, node.raft.disk.slow) = (false, false);
                });
            }
            Repair::Engine(id) => {
                self.at(id, |node, _| {
                    let engine = &mut node.engine;
                    (engine.up, engine.slow, engine.failing, engine.news) = (true, false, 0, true);
                    engine.start_others();
                });
            }
        }
    }

    /// Nothing is wrong any more, except what users did.
    pub(crate) fn repair_all(&mut self) {
        self.tell(|| "everything is repaired".to_owned());
        self.repair(&Repair::Network);
        for id in self.nodes.keys().copied().collect::<Vec<_>>() {
            self.repair(&Repair::Disk(id));
            self.repair(&Repair::Start(id));
            self.repair(&Repair::Engine(id));
        }
    }
}
