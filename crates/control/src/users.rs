//! Who uses a network or a volume: what containers need is not deleted under them.

use std::collections::{BTreeMap, BTreeSet};

use smr_model::{
    Definition, Kind, ObjectKey, Spec,
    spec::{ContainersSpec, VolumeType},
};
use smr_state::{CmpOp, Compare, KeyRange, RangeQuery, Target};

use crate::{Control, Error, keyspace, record::Record};

impl Control {
    /// Refuses to delete networks and volumes that containers use which stay. The condition that
    /// comes back holds as long as nobody changes an object after this look; none when nothing
    /// of the kind is to be deleted.
    pub(crate) fn check_unused(&self, going: &[ObjectKey]) -> Result<Option<Compare>, Error> {
        let is_needed = |key: &&ObjectKey| matches!(key.kind, Kind::Network | Kind::Volume);
        let mut users: BTreeMap<&ObjectKey, Vec<ObjectKey>> =
            going.iter().filter(is_needed).map(|key| (key, Vec::new())).collect();
        if users.is_empty() {
            return Ok(None);
        }
        let found = self.scan(RangeQuery::prefix(keyspace::OBJECTS))?;
        let stored: BTreeSet<ObjectKey> =
            found.kvs.iter().filter_map(|kv| keyspace::parse_object(&kv.key)).collect();
        for kv in &found.kvs {
            let Some(key) = keyspace::parse_object(&kv.key) else { continue };
            if key.kind != Kind::Containers || going.contains(&key) {
                continue;
            }
            // The agent leaves alone what cannot be read.
            let Ok(record) = Record::decode(kv) else { continue };
            let Ok(definition) = serde_json::from_value(record.definition) else { continue };
            for (wanted, users) in &mut users {
                if uses(&definition, wanted, |key| stored.contains(key)) {
                    users.push(key.clone());
                }
            }
        }
        let used: Vec<(ObjectKey, Vec<ObjectKey>)> = users
            .into_iter()
            .filter(|(_, users)| !users.is_empty())
            .map(|(key, users)| (key.clone(), users))
            .collect();
        if !used.is_empty() {
            return Err(Error::InUse { used });
        }
        let range = KeyRange::prefix(keyspace::OBJECTS);
        let target = Target::ModRevision(found.revision + 1);
        Ok(Some(Compare { range, op: CmpOp::Less, target }))
    }
}

/// Whether containers of the definition are made with the network or volume, by the rules they
/// are rendered by. `exists` tells which objects there are.
fn uses(definition: &Definition, wanted: &ObjectKey, exists: impl Fn(&ObjectKey) -> bool) -> bool {
    let Spec::Containers(spec, init) = &definition.spec else { return false };
    let group = &definition.meta.group;
    [Some(spec), init.as_ref()].into_iter().flatten().any(|spec| match wanted.kind {
        Kind::Volume => mounts(spec, group, wanted, &exists),
        _ => joins(spec, wanted),
    })
}

fn mounts(
    spec: &ContainersSpec,
    group: &str,
    wanted: &ObjectKey,
    exists: impl Fn(&ObjectKey) -> bool,
) -> bool {
    spec.volumes.iter().filter(|volume| volume.kind == VolumeType::Volume).any(|volume| {
        let bare = volume.name.strip_prefix(&format!("{group}-")).unwrap_or(&volume.name);
        let object = [volume.name.as_str(), bare]
            .into_iter()
            .map(|name| ObjectKey::new(Kind::Volume, group, name))
            .find(&exists);
        match object {
            Some(object) => object == *wanted,
            // The engine's own name for it, from any group.
            None => volume.name == format!("{}-{}", wanted.group, wanted.name),
        }
    })
}

fn joins(spec: &ContainersSpec, wanted: &ObjectKey) -> bool {
    !matches!(spec.network_mode.as_str(), "host" | "none")
        && spec
            .networks
            .iter()
            .filter(|network| network.name != "bridge")
            .any(|network| ObjectKey::new(Kind::Network, &network.group, &network.name) == *wanted)
}
