//! Former definitions of objects: written with the object, read by agents, rollouts and people.

use smr_model::{Kind, ObjectKey};
use smr_state::{KeyRange, KeyValue, Op, RangeQuery};
use smr_wire::HistoryEntry;

use crate::{Control, Error, StoredObject, decode_assignment, diff, keyspace};

/// Generations that are kept of an object, the present one included; more while replicas run older ones.
pub const GENERATIONS: u64 = 10;
/// Changed fields that the summary of a change names.
const FIELDS: usize = 5;

impl Control {
    /// The object as it was at a generation, confidential values open, from the local copy. `None`
    /// when that generation is not kept any more.
    pub async fn object_at(
        &self,
        key: &ObjectKey,
        generation: u64,
    ) -> Result<Option<StoredObject>, Error> {
        if let Some(kv) = self.inner.store.get(&keyspace::history(key, generation))? {
            return self.decode_history(&kv).map(Some);
        }
        // Records of single nodes of old have no history.
        Ok(self.object(key).await?.filter(|object| object.generation == generation))
    }

    /// Every definition of an object that is kept, oldest first, the present one last; confidential
    /// values open. From the local copy.
    pub async fn history(&self, key: &ObjectKey) -> Result<Vec<StoredObject>, Error> {
        let found = self.scan(RangeQuery::prefix(keyspace::history_of(key)))?;
        let mut kept: Vec<StoredObject> =
            found.kvs.iter().map(|kv| self.decode_history(kv)).collect::<Result<_, _>>()?;
        if let Some(object) = self.object(key).await?
            && kept.last().is_none_or(|last| last.generation != object.generation)
        {
            kept.push(object);
        }
        Ok(kept)
    }

    /// Reads a former definition from the key a watch of [`keyspace::HISTORY`] reported,
    /// confidential values open.
    pub fn decode_history(&self, kv: &KeyValue) -> Result<StoredObject, Error> {
        let Some((object, _)) = keyspace::parse_history(&kv.key) else { return self.decode(kv) };
        // Sealed for the key of the object, as the same record there is.
        let kv = KeyValue { key: keyspace::object(&object), ..kv.clone() };
        self.decode(&kv)
    }

    /// What a change of an object writes beside it: `value`, the record of `generation`, and what
    /// follows from it. `before` is the record that is replaced.
    pub(crate) fn history_ops(
        &self,
        key: &ObjectKey,
        generation: u64,
        value: &[u8],
        before: Option<&KeyValue>,
    ) -> Result<Vec<Op>, Error> {
        if key.kind != Kind::Containers {
            return Ok(Vec::new());
        }
        let mut ops = vec![Op::put(keyspace::history(key, generation), value)];
        let former = keyspace::history(key, generation.saturating_sub(1));
        if let Some(before) = before
            && self.inner.store.get(&former)?.is_none()
        {
            ops.push(Op::put(former, before.value.clone()));
        }
        if generation > GENERATIONS {
            // What replicas still run, as long as a rollout that was paused leaves them there, is needed
            // to run them again.
            let oldest = generation - GENERATIONS + 1;
            let oldest = self.oldest_assigned(key)?.map_or(oldest, |it| it.min(oldest));
            ops.push(Op::delete_range(KeyRange::Range {
                start: keyspace::history_of(key),
                end: keyspace::history(key, oldest),
            }));
        }
        Ok(ops)
    }

    /// The oldest generation that a replica of an object is assigned.
    fn oldest_assigned(&self, key: &ObjectKey) -> Result<Option<u64>, Error> {
        let prefix = format!("{}{}/{}/", keyspace::ASSIGNMENTS, key.group, key.name);
        let found = self.scan(RangeQuery::prefix(prefix))?;
        // What cannot be read holds nothing up; whoever reads assignments complains about it.
        let assigned = found.kvs.iter().filter_map(|kv| decode_assignment(kv).ok().flatten());
        Ok(assigned.map(|(_, assignment)| assignment.generation).min())
    }
}

/// What there is to say about kept definitions, newest first. `kept` is oldest first.
pub(crate) fn entries(kept: &[StoredObject]) -> Vec<HistoryEntry> {
    let message = |index: usize| match index.checked_sub(1) {
        Some(before) => summary(&kept[before], &kept[index]),
        None if kept[index].generation == 1 => "created".to_owned(),
        None => String::new(),
    };
    let entry = |(index, object): (usize, &StoredObject)| HistoryEntry {
        generation: object.generation,
        time: object.updated,
        by: object.by.clone(),
        message: message(index),
        current: index + 1 == kept.len(),
    };
    let mut entries: Vec<HistoryEntry> = kept.iter().enumerate().map(entry).collect();
    entries.reverse();
    entries
}

fn summary(before: &StoredObject, after: &StoredObject) -> String {
    let mut fields: Vec<String> = diff::changes(&before.definition, &after.definition)
        .into_iter()
        .map(|change| change.path)
        .collect();
    fields.dedup();
    let more = fields.len().saturating_sub(FIELDS);
    fields.truncate(FIELDS);
    let mut text = fields.join(", ");
    if more > 0 {
        text.push_str(&format!(" and {more} more"));
    }
    text
}
