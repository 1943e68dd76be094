//! Where things lie in the keyspace: keys built and taken apart in one place.
//!
//! Elements never contain `/` (definitions with such names are refused), except that the prefix of
//! an object is two elements, prefix and version.

use smr_model::{Kind, ObjectKey, ReplicaKey};

/// Every object.
pub const OBJECTS: &str = "/smr/object/";
/// Status of every replica.
pub const STATUSES: &str = "/smr/status/containers/";
/// Every node.
pub const NODES: &str = "/smr/node/";
/// Every restart token.
pub const RESTARTS: &str = "/smr/restart/";
/// Every assignment of a replica to a node.
pub const ASSIGNMENTS: &str = "/smr/replica/";
/// Former definitions of objects, by generation.
pub const HISTORY: &str = "/smr/history/";
/// Every rollout.
pub const ROLLOUTS: &str = "/smr/rollout/";
/// The leader's verdict on every node.
pub const HEALTH: &str = "/smr/health/";
/// What administrators say about nodes.
pub const NODE_SETTINGS: &str = "/smr/node-settings/";
/// Every member of the cluster.
pub const MEMBERS: &str = "/smr/member/";
/// Every member that was removed; the ids are never used again.
pub const REMOVED: &str = "/smr/removed/";
/// Every join token, by id.
pub const TOKENS: &str = "/smr/token/";
/// Every certificate that was issued, by serial.
pub const CERTIFICATES: &str = "/smr/certificate/";
/// Serials of revoked certificates.
pub const REVOKED: &str = "/smr/revoked/";
/// Which authorities nodes say they trust.
pub const TRUST: &str = "/smr/trust/";
/// Which run of its process registered a member last.
pub const INSTANCES: &str = "/smr/instance/";
/// The id of the cluster.
pub const CLUSTER_ID: &str = "/smr/cluster/id";
/// When a member went on alone, after a recovery or with a backup: written once, never removed.
pub const CLUSTER_RECOVERED: &str = "/smr/cluster/recovered";
/// The authorities of the cluster, keys sealed.
pub const AUTHORITIES: &str = "/smr/cluster/authorities";
/// Settings of the cluster.
pub const CLUSTER_SETTINGS: &str = "/smr/cluster/settings";
/// Every slot of every node's ring of events.
pub const EVENTS: &str = "/smr/event/";
/// Names on the engine, each with the key of the object that has it.
pub const NAMES: &str = "/smr/name/";
/// Number of slots in a node's ring of events; the oldest slot is written over.
pub const EVENT_SLOTS: u64 = 2048;

/// The key of an object.
pub fn object(key: &ObjectKey) -> String {
    format!("{OBJECTS}{}/{}/{}/{}", key.prefix, key.kind, key.group, key.name)
}

/// The object a key belongs to.
pub fn parse_object(key: &str) -> Option<ObjectKey> {
    let elements: [&str; 5] = elements(key.strip_prefix(OBJECTS)?)?;
    let [prefix, version, kind, group, name] = elements;
    let kind = Kind::ALL.into_iter().find(|k| k.as_str() == kind)?;
    Some(ObjectKey {
        prefix: format!("{prefix}/{version}"),
        kind,
        group: group.to_owned(),
        name: name.to_owned(),
    })
}

/// The longest common start of the keys of objects that may match; what is `None` matches all.
pub fn objects_prefix(prefix: Option<&str>, kind: Option<Kind>, group: Option<&str>) -> String {
    let mut text = OBJECTS.to_owned();
    let kind = kind.map(Kind::as_str);
    for element in [prefix, kind, group] {
        let Some(element) = element else { break };
        text.push_str(element);
        text.push('/');
    }
    text
}

/// The key of the status a node has of a replica. A replica that moves has one on each of the two nodes
/// for a while; the one of the node it is assigned to counts.
pub fn status(replica: &ReplicaKey, node: u64) -> String {
    format!("{STATUSES}{}/{node}", replica_path(replica))
}

/// The replica and the node a status key belongs to.
pub fn parse_status(key: &str) -> Option<(ReplicaKey, u64)> {
    let (replica, node) = key.strip_prefix(STATUSES)?.rsplit_once('/')?;
    Some((parse_replica(replica)?, node.parse().ok()?))
}

/// The start of the keys of the statuses of a replica.
pub fn statuses_of(replica: &ReplicaKey) -> String {
    format!("{STATUSES}{}/", replica_path(replica))
}

/// The key of a replica's assignment.
pub fn assignment(replica: &ReplicaKey) -> String {
    format!("{ASSIGNMENTS}{}", replica_path(replica))
}

/// The replica an assignment key belongs to.
pub fn parse_assignment(key: &str) -> Option<ReplicaKey> {
    parse_replica(key.strip_prefix(ASSIGNMENTS)?)
}

/// The start of the keys of the former definitions of an object.
pub fn history_of(key: &ObjectKey) -> String {
    format!("{HISTORY}{}/{}/{}/{}/", key.prefix, key.kind, key.group, key.name)
}

/// The key of the definition an object had at a generation.
pub fn history(key: &ObjectKey, generation: u64) -> String {
    format!("{}{generation:010}", history_of(key))
}

/// The object and the generation a key of a former definition belongs to.
pub fn parse_history(key: &str) -> Option<(ObjectKey, u64)> {
    let (object, generation) = key.strip_prefix(HISTORY)?.rsplit_once('/')?;
    Some((parse_object(&format!("{OBJECTS}{object}"))?, generation.parse().ok()?))
}

/// The key of the rollout of a `containers` object.
pub fn rollout(group: &str, name: &str) -> String {
    format!("{ROLLOUTS}{group}/{name}")
}

/// Group and name of the `containers` object a rollout key belongs to.
pub fn parse_rollout(key: &str) -> Option<(String, String)> {
    let [group, name] = elements(key.strip_prefix(ROLLOUTS)?)?;
    Some((group.to_owned(), name.to_owned()))
}

/// The key of a node's health.
pub fn health(id: u64) -> String {
    format!("{HEALTH}{id}")
}

/// The key of a node's settings.
pub fn node_settings(id: u64) -> String {
    format!("{NODE_SETTINGS}{id}")
}

/// The key of a member.
pub fn member(id: u64) -> String {
    format!("{MEMBERS}{id}")
}

/// The key that tells that a member was removed.
pub fn removed(id: u64) -> String {
    format!("{REMOVED}{id}")
}

/// The node at the end of a key of [`HEALTH`], [`NODE_SETTINGS`], [`MEMBERS`] or [`REMOVED`].
pub fn parse_id(prefix: &str, key: &str) -> Option<u64> {
    key.strip_prefix(prefix)?.parse().ok()
}

/// The key that reserves a name on the engine for one object of a kind.
pub fn engine_name(kind: Kind, name: &str) -> String {
    format!("{NAMES}{kind}/{name}")
}

/// The key of what a node says it trusts.
pub fn trust(id: u64) -> String {
    format!("{TRUST}{id}")
}

/// The key of the run of its process that registered a member last.
pub fn instance(id: u64) -> String {
    format!("{INSTANCES}{id}")
}

/// The key of a join token.
pub fn token(id: &str) -> String {
    format!("{TOKENS}{id}")
}

/// The key of an issued certificate; the serial is hexadecimal.
pub fn certificate(serial: &str) -> String {
    format!("{CERTIFICATES}{serial}")
}

/// The key that tells that a certificate is revoked; the serial is hexadecimal.
pub fn revoked(serial: &str) -> String {
    format!("{REVOKED}{serial}")
}

/// The key of a replica's restart token.
pub fn restart(replica: &ReplicaKey) -> String {
    format!("{RESTARTS}{}", replica_path(replica))
}

/// The start of the keys of the restart tokens of an object's replicas.
pub fn restarts_of(group: &str, name: &str) -> String {
    format!("{RESTARTS}{group}/{name}/")
}

/// The replica a restart key belongs to.
pub fn parse_restart(key: &str) -> Option<ReplicaKey> {
    parse_replica(key.strip_prefix(RESTARTS)?)
}

/// The key of a node.
pub fn node(id: u64) -> String {
    format!("{NODES}{id}")
}

/// The node a key belongs to.
pub fn parse_node(key: &str) -> Option<u64> {
    key.strip_prefix(NODES)?.parse().ok()
}

/// The start of the keys of a node's ring of events.
pub fn events_of(node: u64) -> String {
    format!("{EVENTS}{node}/")
}

/// The key of a slot in a node's ring of events.
pub fn event(node: u64, slot: u64) -> String {
    format!("{EVENTS}{node}/{:05}", slot % EVENT_SLOTS)
}

/// Node and slot of a key in a ring of events.
pub fn parse_event(key: &str) -> Option<(u64, u64)> {
    let [node, slot] = elements(key.strip_prefix(EVENTS)?)?;
    Some((node.parse().ok()?, slot.parse().ok()?))
}

fn replica_path(replica: &ReplicaKey) -> String {
    format!("{}/{}/{}", replica.group, replica.name, replica.index)
}

fn parse_replica(path: &str) -> Option<ReplicaKey> {
    let [group, name, index] = elements(path)?;
    Some(ReplicaKey::new(group, name, index.parse().ok()?))
}

fn elements<const N: usize>(path: &str) -> Option<[&str; N]> {
    let mut parts = path.split('/');
    let mut found = [""; N];
    for element in &mut found {
        *element = parts.next().filter(|part| !part.is_empty())?;
    }
    parts.next().is_none().then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_back_as_what_they_were_built_from() {
        let mut key = ObjectKey::new(Kind::Secret, "shop", "db");
        assert_eq!(object(&key), "/smr/object/simplecontainer.io/v1/secret/shop/db");
        assert_eq!(parse_object(&object(&key)).unwrap(), key);
        key.prefix = "traefik.io/v1".to_owned();
        assert_eq!(parse_object(&object(&key)).unwrap(), key);

        let replica = ReplicaKey::new("a-b", "c", 12);
        assert_eq!(status(&replica, 3), "/smr/status/containers/a-b/c/12/3");
        assert_eq!(parse_status(&status(&replica, 3)).unwrap(), (replica.clone(), 3));
        assert_eq!(parse_assignment(&assignment(&replica)).unwrap(), replica);
        assert_eq!(parse_history(&history(&key, 7)).unwrap(), (key.clone(), 7));
        assert_eq!(parse_rollout(&rollout("g", "n")).unwrap(), ("g".to_owned(), "n".to_owned()));
        assert_eq!(parse_id(MEMBERS, &member(3)), Some(3));
        assert_eq!(parse_id(TRUST, &trust(3)), Some(3));
        assert_eq!(parse_id(INSTANCES, &instance(3)), Some(3));
        assert_eq!(parse_restart(&restart(&replica)).unwrap(), replica);
        assert!(restart(&replica).starts_with(&restarts_of("a-b", "c")));

        assert_eq!(parse_node(&node(7)), Some(7));
        assert_eq!(event(7, 3), "/smr/event/7/00003");
        assert_eq!(parse_event(&event(7, EVENT_SLOTS + 3)), Some((7, 3)));
    }

    #[test]
    fn what_is_no_such_key_is_none() {
        for key in
            ["/smr/object/a/b/secret/g", "/smr/object/a/b/nope/g/n", "/smr/object/a/b/secret//n"]
        {
            assert_eq!(parse_object(key), None, "{key}");
        }
        assert_eq!(parse_status("/smr/status/containers/g/n/x"), None);
        assert_eq!(parse_event("/smr/event/1"), None);
    }

    #[test]
    fn list_prefixes_stop_at_the_first_unknown_element() {
        let all = |p, k, g| objects_prefix(p, k, g);
        assert_eq!(all(None, Some(Kind::Secret), Some("g")), OBJECTS);
        assert_eq!(all(Some("p/v"), None, Some("g")), "/smr/object/p/v/");
        assert_eq!(all(Some("p/v"), Some(Kind::Secret), Some("g")), "/smr/object/p/v/secret/g/");
    }
}
