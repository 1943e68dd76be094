//! Stories in which what happens is chosen, and chance has only the small things.

use crate::{Ms, Options, Report, report, user::Wish, world::World};

/// A leader is cut off, another one takes a write, and the old one, which does not know yet, is asked for what
/// was written. It must not answer.
pub fn stale_read(options: Options) -> Report {
    let mut world = World::new(Options { nodes: Some(3), steps: 0, ..options });
    let Some(old) = until(&mut world, 60_000, all_vote) else { return lost(world, "no voters") };
    world.user_wants(old, "/kv/a", Wish::Put(1));
    run(&mut world, 1000);
    for other in (1..=3).filter(|id| *id != old) {
        world.network.cut(old, other);
        world.network.cut(other, old);
    }
    let another = |world: &World| leader(world).filter(|id| *id != old);
    let Some(new) = until(&mut world, 4000, another) else { return lost(world, "no new leader") };
    world.user_wants(new, "/kv/a", Wish::Put(2));
    run(&mut world, 500);
    if !world.nodes[&old].raft.is_leader() {
        return lost(world, "the old leader knows");
    }
    world.user_wants(old, "/kv/a", Wish::Get);
    run(&mut world, 100);
    report(world)
}

/// The disks are slow, and the power of all nodes goes as soon as a write was acknowledged.
pub fn power_cut(options: Options) -> Report {
    let mut world = World::new(Options { nodes: Some(3), steps: 0, ..options });
    let Some(leader) = until(&mut world, 60_000, all_vote) else { return lost(world, "no voters") };
    run(&mut world, 5000);
    for id in 1..=3 {
        world.at(id, |node, _| node.raft.disk.slow = true);
    }
    run(&mut world, 1000);
    let before = world.judge.acknowledged;
    world.user_wants(leader, "/kv/a", Wish::Put(1));
    let stored = |world: &World| (world.judge.acknowledged > before).then_some(leader);
    if until(&mut world, 3000, stored).is_none() {
        return lost(world, "no answer");
    }
    for id in 1..=3 {
        world.crash(id, true, 1000);
    }
    run(&mut world, 10_000);
    report(world)
}

/// The leader, once all three nodes vote.
fn all_vote(world: &World) -> Option<u64> {
    leader(world).filter(|id| {
        let config = &world.nodes[id].raft.config;
        config.voters.len() == 3 && !config.is_joint()
    })
}

/// The leader of the newest term.
fn leader(world: &World) -> Option<u64> {
    let leaders = world.nodes.values().filter(|it| it.up && it.raft.is_leader());
    leaders.max_by_key(|it| it.raft.term).map(|it| it.id)
}

fn run(world: &mut World, long: Ms) {
    let end = world.now + long;
    while world.now < end && world.advance() {}
}

fn until(world: &mut World, long: Ms, mut found: impl FnMut(&World) -> Option<u64>) -> Option<u64> {
    let end = world.now + long;
    while world.now < end && world.advance() {
        if let Some(it) = found(world) {
            return Some(it);
        }
    }
    None
}

/// The story did not go as it should have.
fn lost(mut world: World, why: &str) -> Report {
    world.judge.fail(crate::Check::ClusterIsWhole, format!("the story ends early: {why}"));
    report(world)
}
