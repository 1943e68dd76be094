//! No acknowledged write is ever lost: not when any one of three nodes is killed at any moment, not when all
//! are.
//!
//! `SMR_WRITES` says how many writes, `SMR_SEED` repeats the choice of victims and moments.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime},
};

use smr_client::Client as Api;
use smr_integration::{Client, Cluster, Rig, wait};
use smr_wire::{ApplyQuery, ObjectQuery};

#[path = "support/api.rs"]
mod api;

use api::within;

const LIMIT: Duration = Duration::from_mins(1);
/// Writers at each node.
const WRITERS: usize = 4;
/// Pause of a writer whom no node serves, before it tries the next one.
const PAUSE: Duration = Duration::from_millis(20);
/// Nodes that are killed one by one, at least.
const KILLS: usize = 8;
const GROUP: &str = "stream";

/// Numbers that look random and come again with the same seed (xorshift).
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

fn number(variable: &str) -> Option<usize> {
    Some(std::env::var(variable).ok()?.parse().unwrap())
}

/// What the writers share.
#[derive(Default)]
struct Stream {
    next: AtomicUsize,
    /// Name and content of every object whose write was acknowledged.
    acknowledged: Mutex<BTreeMap<String, String>>,
    ended: AtomicBool,
}

impl Stream {
    fn count(&self) -> usize {
        self.acknowledged.lock().unwrap().len()
    }

    /// Waits until so many more writes are acknowledged.
    fn more(&self, count: usize) {
        let wanted = self.count() + count;
        wait("acknowledged writes", LIMIT, || match self.count() {
            enough if enough >= wanted => Ok(()),
            count => Err(format!("{count} of {wanted}")),
        })
        .unwrap();
    }

    /// Writes one object after the other through one node.
    async fn write(&self, api: &Api) {
        while !self.ended.load(Ordering::Relaxed) {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let (name, content) = (format!("c{number}"), format!("{number}-{number}"));
            let yaml = format!(
                "prefix: simplecontainer.io/v1\nkind: configuration\n\
                 meta: {{group: {GROUP}, name: {name}}}\nspec: {{data: {{content: '{content}'}}}}\n"
            );
            if api.apply(&ApplyQuery::default(), yaml).await.is_ok() {
                self.acknowledged.lock().unwrap().insert(name, content);
            } else {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// Every acknowledged write is in the copy of this node.
    fn assert_stored(&self, client: &Client) {
        let query = ObjectQuery {
            kind: Some("configuration".to_owned()),
            group: Some(GROUP.to_owned()),
            ..ObjectQuery::default()
        };
        let list = within(client, async |api: Api| api.objects(&query).await.unwrap());
        let stored: BTreeMap<String, String> = list
            .items
            .into_iter()
            .map(|it| {
                let content = it.definition["spec"]["data"]["content"].as_str().unwrap_or_default();
                (it.key.name, content.to_owned())
            })
            .collect();
        let acknowledged = self.acknowledged.lock().unwrap();
        let lost: Vec<_> = acknowledged
            .iter()
            .filter(|(name, content)| stored.get(*name) != Some(*content))
            .collect();
        assert!(lost.is_empty(), "{} of {} lost: {lost:?}", lost.len(), acknowledged.len());
    }
}

#[test]
fn no_acknowledged_write_is_lost_when_nodes_are_killed_at_any_moment() {
    let Some(rig) = Rig::require(3) else { return };
    let writes = number("SMR_WRITES").unwrap_or(1000);
    let seed = number("SMR_SEED").map_or_else(
        || SystemTime::UNIX_EPOCH.elapsed().unwrap().as_micros() as u64,
        |seed| seed as u64,
    );
    eprintln!("SMR_WRITES={writes} SMR_SEED={seed}");
    let mut dice = Dice(seed | 1);
    let mut cluster = Cluster::form(&rig, "").unwrap();
    cluster.wait_voters(3).unwrap();
    let clients: Vec<Client> = cluster.nodes().iter().map(|node| (**node).clone()).collect();
    let stream = Stream::default();
    let begun = Instant::now();
    thread::scope(|scope| {
        for client in &clients {
            scope.spawn(|| {
                within(client, async |api: Api| {
                    let writers = (0..WRITERS).map(|_| stream.write(&api));
                    futures_util::future::join_all(writers).await;
                });
            });
        }
        // Also when something here fails, the writers come to their end.
        let end = End(&stream.ended);
        let mut kills = 0;
        while kills < KILLS || stream.count() < writes {
            stream.more(dice.below(40) as usize + 1);
            let victim = dice.below(3) as u32 + 1;
            cluster.node(victim).kill().unwrap();
            kills += 1;
            stream.more(dice.below(40) as usize + 1);
            cluster.node(victim).restart().unwrap();
            cluster.wait_ready_of(&[victim], &[1, 2, 3]).unwrap();
        }
        let rate = stream.count() as f64 / begun.elapsed().as_secs_f64();
        eprintln!("{} writes acknowledged, {kills} kills, {rate:.0} writes/s", stream.count());

        for number in 1..=3 {
            cluster.node(number).kill().unwrap();
        }
        for number in 1..=3 {
            cluster.node(number).spawn().unwrap();
        }
        for number in 1..=3 {
            cluster.node(number).wait_ready().unwrap();
        }
        stream.more(20);
        drop(end);
    });
    for client in &clients {
        stream.assert_stored(client);
    }
    // And once more from what is on the disks alone.
    for number in 1..=3 {
        cluster.node(number).kill().unwrap();
    }
    for number in 1..=3 {
        cluster.node(number).spawn().unwrap();
    }
    for number in 1..=3 {
        cluster.node(number).wait_ready().unwrap();
    }
    for client in &clients {
        stream.assert_stored(client);
    }
}

/// Ends the writers when it goes.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
