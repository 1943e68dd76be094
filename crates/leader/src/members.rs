//! Makes the members of consensus follow the member records.

use std::{collections::BTreeSet, time::Duration};

use jiff::Timestamp;
use smr_membership::{Change, Electorate, voters};
use smr_store::{Error, Member, MemberStatus};
use tokio::time::MissedTickBehavior;

use crate::{nodes::Nodes, placement::Failure, term::Term};

/// Entries of the log a member may lack and still be given a vote.
const CLOSE: u64 = 1000;
/// Longest pause after a change that did not work.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Task {
    /// The address of a member is another one.
    Address(Member),
    Change(Change),
}

/// Runs until the term is over.
pub(crate) async fn run(term: Term) -> Result<(), Failure> {
    let Some(mut nodes) = term.first_nodes().await else { return Ok(()) };
    let every = term.options.settings.voters_every;
    let mut tick = tokio::time::interval(every);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // An earlier leader may have left a change half done; naming the voters again completes it.
    let status = term.store().status();
    if status.voters.len() > 1 {
        let known = term.store().set_voters(status.voters.into_iter().collect());
        if let Err(error) = known.await {
            tracing::debug!(%error, "the voters could not be confirmed");
        }
    }
    let mut pause = every;
    loop {
        tokio::select! {
            changed = nodes.changed() => {
                if changed.is_err() {
                    return Ok(());
                }
            }
            _ = tick.tick() => {}
        }
        loop {
            let known = nodes.borrow_and_update().clone();
            let Some(task) = next(&term, &known) else { break };
            match carry_out(&term, &task, &known).await {
                Ok(()) => pause = every,
                Err(Error::Stopped) => return Ok(()),
                Err(error) => {
                    tracing::warn!(?task, %error, "the members of consensus could not be changed");
                    // A change of the records is a reason to look again at once.
                    let _ = tokio::time::timeout(pause, nodes.changed()).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }
}

fn next(term: &Term, nodes: &Nodes) -> Option<Task> {
    let known = term.store().members_status();
    let is_other = |status: &&MemberStatus| {
        nodes
            .members
            .get(&status.id)
            .is_some_and(|member| !member.peer.is_empty() && member.peer != status.address)
    };
    if let Some(status) = known.iter().find(is_other) {
        let address = nodes.members[&status.id].peer.clone();
        return Some(Task::Address(Member { id: status.id, address }));
    }
    let mut it = Electorate {
        leader: term.control().node_id(),
        members: nodes.members.clone(),
        removed: nodes.removed.clone(),
        health: nodes.health.iter().map(|(id, (health, _))| (*id, health.clone())).collect(),
        ..Electorate::default()
    };
    // Before the founder has registered nothing is known of anybody.
    if !it.members.contains_key(&it.leader) && !it.removed.contains(&it.leader) {
        return None;
    }
    for status in known {
        if status.voter { &mut it.voters } else { &mut it.learners }.insert(status.id);
        if status.matched.is_some() && status.lag.is_some_and(|lag| lag <= CLOSE) {
            it.caught_up.insert(status.id);
        }
    }
    let settings = nodes.membership(&term.options.settings);
    voters(Timestamp::now(), &settings, &it).map(Task::Change)
}

async fn carry_out(term: &Term, task: &Task, nodes: &Nodes) -> Result<(), Error> {
    let store = term.store();
    match task {
        Task::Address(member) => store.set_address(member.clone()).await,
        Task::Change(Change::AddLearner(id)) => {
            let address = nodes.members.get(id).map(|it| it.peer.clone()).unwrap_or_default();
            tracing::info!(node.id = id, %address, "node gets a copy of the keyspace");
            store.begin_learner(Member { id: *id, address }).await
        }
        Task::Change(Change::SetVoters(voters)) => {
            tracing::info!(voters = ?voters, "the voters change");
            store.set_voters(voters.clone()).await?;
            told(term, voters).await;
            Ok(())
        }
        Task::Change(Change::Remove(id)) => {
            tracing::info!(node.id = id, "node gets nothing of the keyspace any more");
            store.remove_member(*id).await
        }
        Task::Change(Change::Transfer(id)) => {
            tracing::info!(
                node.id = id,
                "leadership is handed over, this node is to lose its vote"
            );
            store.transfer(*id).await
        }
    }
}

async fn told(term: &Term, voters: &BTreeSet<u64>) {
    let names: Vec<String> = voters.iter().map(|id| term.name_of(*id)).collect();
    let me = term.control().node_name().to_owned();
    term.tell("voters_changed", &me, format!("voters are {}", names.join(", "))).await;
}
