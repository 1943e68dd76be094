//! Removes what nobody needs any more: traces of removed nodes and deleted objects, old tokens.

use std::{collections::BTreeSet, time::Duration};

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use smr_control::keyspace;
use smr_model::ObjectKey;
use smr_store::{CmpOp, Compare, Error, KeyRange, Op, RangeQuery, Revision, Txn};
use tokio::time::MissedTickBehavior;

use crate::{nodes::Nodes, placement::Failure, term::Term};

/// How long an expired join token is still shown.
const KEPT: SignedDuration = SignedDuration::from_hours(24);
/// How long removals are gathered before what they left is searched for.
const GATHER: Duration = Duration::from_secs(1);
/// Operations of one transaction.
const OPS: usize = 500;

/// Something to remove, if what it was decided on still holds.
struct Removal {
    compare: Compare,
    op: Op,
}

/// What is looked at in a stored join token.
#[derive(Deserialize)]
struct Token {
    expires: Timestamp,
}

/// Runs until the term is over.
pub(crate) async fn run(term: Term) -> Result<(), Failure> {
    let Some(nodes) = term.first_nodes().await else { return Ok(()) };
    let mut tick = tokio::time::interval(term.options.settings.clean_every);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = term.clean.notified() => tokio::time::sleep(GATHER).await,
        }
        let known = nodes.borrow().clone();
        match clean(&term, &known).await {
            Ok(0) | Err(Error::Unknown { .. } | Error::NoQuorum) => {}
            Ok(count) => tracing::info!(count, "records that nobody needs were removed"),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Removes everything that may go; returns how much that was.
async fn clean(term: &Term, nodes: &Nodes) -> Result<usize, Error> {
    let mut removals = Vec::new();
    of_removed_nodes(term, nodes, &mut removals)?;
    of_deleted_objects(term, &mut removals)?;
    old_tokens(term, Timestamp::now(), &mut removals)?;
    let mut removed = 0;
    let mut rest = removals.into_iter().peekable();
    while rest.peek().is_some() {
        let mut txn = Txn::new();
        let mut count = 0;
        for removal in rest.by_ref().take(OPS) {
            txn = txn.when(removal.compare).then(removal.op);
            count += 1;
        }
        // What changed meanwhile is looked at again next time.
        if term.write(txn).await?.succeeded {
            removed += count;
        }
    }
    Ok(removed)
}

/// The keys under a prefix with their revisions.
fn keys(term: &Term, prefix: &str) -> Result<Vec<(String, Revision)>, Error> {
    let found = term.store().range(&RangeQuery::prefix(prefix).keys_only())?;
    Ok(found.kvs.into_iter().map(|kv| (kv.key, kv.mod_revision)).collect())
}

fn unchanged(key: &str, seen: Revision) -> Compare {
    Compare::mod_revision(key, CmpOp::Equal, seen)
}

fn of_removed_nodes(term: &Term, nodes: &Nodes, removals: &mut Vec<Removal>) -> Result<(), Error> {
    if nodes.removed.is_empty() {
        return Ok(());
    }
    let mut remove = |id: u64, key: String| {
        let compare = Compare::exists(keyspace::removed(id));
        removals.push(Removal { compare, op: Op::delete(key) });
    };
    let prefixes =
        [keyspace::HEALTH, keyspace::NODE_SETTINGS, keyspace::NODES, keyspace::INSTANCES];
    for prefix in prefixes {
        for (key, _) in keys(term, prefix)? {
            if let Some(id) = keyspace::parse_id(prefix, &key)
                && nodes.removed.contains(&id)
            {
                remove(id, key);
            }
        }
    }
    for (key, _) in keys(term, keyspace::STATUSES)? {
        if let Some((_, id)) = keyspace::parse_status(&key)
            && nodes.removed.contains(&id)
        {
            remove(id, key);
        }
    }
    Ok(())
}

fn of_deleted_objects(term: &Term, removals: &mut Vec<Removal>) -> Result<(), Error> {
    let store = term.store();
    let mut dead: BTreeSet<ObjectKey> = BTreeSet::new();
    let mut last: Option<(ObjectKey, bool)> = None;
    for (key, _) in keys(term, keyspace::HISTORY)? {
        let Some((object, _)) = keyspace::parse_history(&key) else { continue };
        let exists = match &last {
            Some((known, exists)) if *known == object => *exists,
            _ => store.get(&keyspace::object(&object))?.is_some(),
        };
        if !exists {
            dead.insert(object.clone());
        }
        last = Some((object, exists));
    }
    for object in dead {
        removals.push(Removal {
            compare: Compare::absent(keyspace::object(&object)),
            op: Op::delete_range(KeyRange::prefix(keyspace::history_of(&object))),
        });
    }
    // A token for a replica that is not wanted (any more).
    for (key, seen) in keys(term, keyspace::RESTARTS)? {
        let Some(replica) = keyspace::parse_restart(&key) else { continue };
        if store.get(&keyspace::object(&replica.object()))?.is_none()
            && store.get(&keyspace::assignment(&replica))?.is_none()
        {
            removals.push(Removal { compare: unchanged(&key, seen), op: Op::delete(key) });
        }
    }
    Ok(())
}

fn old_tokens(term: &Term, now: Timestamp, removals: &mut Vec<Removal>) -> Result<(), Error> {
    for kv in term.store().list(keyspace::TOKENS)?.kvs {
        let Ok(token) = serde_json::from_slice::<Token>(&kv.value) else { continue };
        if now.duration_since(token.expires) > KEPT {
            let compare = unchanged(&kv.key, kv.mod_revision);
            removals.push(Removal { compare, op: Op::delete(kv.key) });
        }
    }
    Ok(())
}
