//! Offline: what a data directory knows, and how the last one standing goes on alone.

use std::{collections::BTreeMap, io, path::Path};

use openraft::{BasicNode, EntryPayload, Membership};
use smr_state::Revision;

use crate::{
    Member, NodeId, OpenError, Options,
    batch::{Entry, LogId, StoredMembership, Vote},
    dir::DataDir,
    open::{Disk, durably, open_disk},
    snapshots::newest_meta,
    wal::{ClosedLog, Wal},
};

/// What a data directory knows, without opening it for use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// The member it belongs to.
    pub node_id: NodeId,
    /// Term of its vote: the newest it took part in.
    pub term: u64,
    /// Index of its last log entry. Of several survivors the one with the higher
    /// [`last_log_term`](Self::last_log_term), then the higher index, has the most.
    pub last_log_index: u64,
    /// Term of its last log entry.
    pub last_log_term: u64,
    /// Last entry it knows to be committed; later ones may or may not have been acknowledged.
    pub committed_index: u64,
    /// All members as of its last log entry.
    pub members: Vec<Member>,
    /// Those of them with a vote.
    pub voters: Vec<NodeId>,
}

/// What [`recover`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecoverInfo {
    /// What the directory knew before.
    pub before: Inspection,
    /// Entries kept beyond those known to be committed: writes that may never have been acknowledged.
    pub kept_uncommitted: u64,
    /// Revision of the applied state; what is in the log behind it is applied at the next start.
    pub revision: Revision,
}

/// Reads what the data directory `dir` of a stopped node knows. Changes nothing in it.
///
/// # Errors
///
/// [`OpenError::Locked`] while a node runs on it, and what is wrong with its files.
pub fn inspect(dir: &Path) -> Result<Inspection, OpenError> {
    let node_id = DataDir::peek(dir)?;
    let log = ClosedLog::read(&dir.join("wal"))?;
    let snapshot = newest_meta(&dir.join("snapshots"))?;
    let from =
        snapshot.as_ref().map_or(StoredMembership::default(), |meta| meta.last_membership.clone());
    let end = snapshot.and_then(|meta| meta.last_log_id);
    let entries = log
        .entries(log.index.first_index().unwrap_or(0)..)
        .map_err(|source| OpenError::Io { file: dir.join("wal"), source })?;
    let membership = last_membership(from.membership().clone(), &entries);
    let last = log.index.last().max(end);
    Ok(Inspection {
        node_id,
        term: log.index.vote.map_or(0, |vote| vote.leader_id().term),
        last_log_index: last.map_or(0, |id| id.index),
        last_log_term: last.map_or(0, |id| id.leader_id.term),
        committed_index: log.index.committed.max(end).map_or(0, |id| id.index),
        members: members(&membership),
        voters: membership.voter_ids().collect(),
    })
}

/// Makes `survivor`, whose data directory is `dir`, the only voter and only member of the cluster. For
/// a cluster that lost its quorum for good; the others have to join again as new members.
///
/// Everything in its applied state and its log is kept, also the end of the log that may never have
/// been agreed on. What can be lost: writes that were acknowledged by a quorum this member was not
/// part of, that is the newest ones if it lagged. Choose the survivor with the highest last log term,
/// then index ([`inspect`]). Never run it on two members: that makes two clusters of the same name. A
/// former member that starts again must not be let in with its old data.
///
/// Repeating it is harmless. The node must be stopped; after a failure it is as it was.
///
/// # Errors
///
/// Those of opening the store, among them [`OpenError::Locked`] and [`OpenError::OtherNode`].
pub fn recover(dir: &Path, survivor: &Member) -> Result<RecoverInfo, OpenError> {
    let before = inspect(dir)?;
    let mut options = Options::new(dir);
    options.node_id = survivor.id;
    let disk = open_disk(&options)?;
    let result =
        take_over(&disk, survivor).map_err(|source| OpenError::Io { file: disk.dir.wal(), source });
    let revision = disk.applied.head().meta.revision;
    let applied = disk.applied.head().marker.last_applied.map_or(0, |id| id.index);
    disk.snapshots.close();
    disk.wal.close();
    disk.applied.close();
    disk.dir.unlock();
    result?;
    let known = before.committed_index.max(applied);
    let kept_uncommitted = before.last_log_index.saturating_sub(known);
    Ok(RecoverInfo { before, kept_uncommitted, revision })
}

/// Appends a membership of one, in a term of its own.
fn take_over(disk: &Disk, survivor: &Member) -> io::Result<()> {
    let wal: &Wal = &disk.wal;
    let last = wal.ends().1.max(disk.applied.head().marker.last_applied);
    let voted = wal.vote().map_or(0, |vote| vote.leader_id().term);
    let term = voted.max(last.map_or(0, |id| id.leader_id.term)) + 1;
    let vote = Vote::new(term, survivor.id);
    let node = BasicNode { addr: survivor.address.clone() };
    let membership =
        Membership::new(vec![[survivor.id].into()], BTreeMap::from([(survivor.id, node)]));
    let entry = Entry {
        log_id: LogId::new(*vote.leader_id(), last.map_or(0, |id| id.index + 1)),
        payload: EntryPayload::Membership(membership),
    };
    durably(|done| wal.save_vote(vote, done))?;
    durably(|done| wal.append([entry], done))
}

fn last_membership(
    before: Membership<u64, BasicNode>,
    entries: &[Entry],
) -> Membership<u64, BasicNode> {
    let newest = entries.iter().rev().find_map(|entry| match &entry.payload {
        EntryPayload::Membership(membership) => Some(membership.clone()),
        EntryPayload::Blank | EntryPayload::Normal(_) => None,
    });
    newest.unwrap_or(before)
}

fn members(membership: &Membership<u64, BasicNode>) -> Vec<Member> {
    let nodes = membership.nodes();
    nodes.map(|(id, node)| Member { id: *id, address: node.addr.clone() }).collect()
}
