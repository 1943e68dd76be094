//! Nodes, certificates, authorities and settings, on a real store.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use smr_control::{Control, Options, Registration, RegistrationRefused, keyspace};
use smr_model::{Availability, Health, NodeHealth, NodeRole};
use smr_pki::{DataKey, Role};
use smr_wire::{
    ApiError, CertificateRequest, ClusterSettings, ClusterSettingsPatch, Code, NodePatch, RaftRole,
    Rebalance, RevokeRequest, RotateAction, RotateRequest, RotationState, UserCreate,
};
use support::{
    Fixture,
    cluster::{DAY, Machine, admin, at, credentials, facts, founded, identity, join, machine, now},
    containers, kim,
};

/// A second member that has started.
async fn second(it: &Fixture) -> (Control, Machine) {
    let two = machine(Some("two"), "192.0.2.2");
    join(it, &two, &admin()).await.unwrap();
    let options = Options { node_id: 2, node_name: "two".to_owned() };
    let second = Control::new(it.store().clone(), DataKey::from_bytes(&[7; 32]), options);
    let mut own = facts(1, "two");
    own.key_id = two.key.id();
    own.peer = two.request.peer.clone();
    let registration = second.register_self(&own).await.unwrap();
    assert!(matches!(registration, Registration::Registered(_)));
    (second, two)
}

async fn say(it: &Control, id: u64, state: Health) {
    let health = NodeHealth { state, since: now(), message: String::new() };
    it.store().put(keyspace::health(id), serde_json::to_vec(&health).unwrap()).await.unwrap();
}

#[tokio::test]
async fn nodes_are_shown_with_what_the_cluster_says() {
    let it = founded().await;
    let (_, _) = second(&it).await;
    let nodes = it.nodes().await.unwrap().items;
    assert_eq!(nodes.len(), 2);
    assert_eq!((nodes[0].raft, nodes[0].leader), (Some(RaftRole::Voter), true));
    assert_eq!((nodes[1].raft, nodes[1].leader), (None, false));
    assert_eq!(nodes[1].status.engine_message, "the node has not started yet");

    let patch = NodePatch {
        availability: Some(Availability::Drain),
        labels: [("zone".to_owned(), "b".to_owned())].into(),
        role: Some(NodeRole::Worker),
        ..NodePatch::default()
    };
    let view = it.patch_node("two", &patch, &kim()).await.unwrap();
    assert_eq!(view.availability, Availability::Drain);
    assert_eq!(view.effective_labels["zone"], "b");
    assert_eq!(view.member.as_ref().unwrap().role, NodeRole::Worker);
    let revision = it.revision();
    assert_eq!(it.patch_node("2", &patch, &kim()).await.unwrap(), view);
    assert_eq!(it.revision(), revision, "what is so already is not written");
    let patch = NodePatch { remove_labels: vec!["zone".to_owned()], ..NodePatch::default() };
    assert!(it.patch_node("two", &patch, &kim()).await.unwrap().effective_labels.is_empty());

    let worker = NodePatch { role: Some(NodeRole::Worker), ..NodePatch::default() };
    let error = it.patch_node("node-1", &worker, &kim()).await.unwrap_err();
    assert_eq!(error.code(), Code::Conflict, "{error}");
    let bad = NodePatch { labels: [("a b".into(), String::new())].into(), ..worker };
    assert_eq!(it.patch_node("two", &bad, &kim()).await.unwrap_err().code(), Code::BadRequest);
    let error = ApiError::from(it.node("three").await.unwrap_err());
    assert_eq!(error.message, "node `three` does not exist");
    assert_eq!(error.hint.unwrap(), "there are node-1, two");
}

#[tokio::test]
async fn what_is_asked_for_on_a_node_is_summed_up() {
    let it = founded().await;
    let text = containers("g", "web")
        .replace("image: web", "image: web, cpuReservation: 500m, memoryReservation: 64MiB");
    it.apply(&text, "x.yaml", false, &kim()).await.unwrap();
    for index in [1, 2] {
        let assignment = serde_json::json!({
            "node": 1, "uid": "u", "generation": 1, "since": "2026-01-01T00:00:00Z",
        });
        let key = keyspace::assignment(&smr_model::ReplicaKey::new("g", "web", index));
        it.store().put(key, assignment.to_string()).await.unwrap();
    }
    let view = it.node("1").await.unwrap();
    assert_eq!((view.replicas, view.requested_cpu_millis), (2, 1000));
    assert_eq!(view.requested_memory, 128 << 20);
}

#[tokio::test]
async fn a_removed_node_is_gone_for_good() {
    let it = founded().await;
    let (second, two) = second(&it).await;
    let error = ApiError::from(it.remove_node("two", false, &kim(), now()).await.unwrap_err());
    assert_eq!(error.code, Code::Conflict);
    assert_eq!(error.hint.unwrap(), "`smrctl node drain two` and stop it first, or use `--force`");

    say(&it, 2, Health::Down).await;
    let removed = it.remove_node("two", false, &kim(), now()).await.unwrap();
    assert_eq!((removed.id, removed.by.as_str()), (2, "kim"));
    assert_eq!(it.removed(2).unwrap().unwrap(), removed);
    assert_eq!(it.nodes().await.unwrap().items.len(), 1);
    assert!(it.store().get(&keyspace::health(2)).unwrap().is_none());
    assert_eq!(it.revoked_serials().unwrap().len(), 1);

    let mut own = facts(7, "again");
    own.key_id = two.key.id();
    let Registration::Refused(why) = second.register_self(&own).await.unwrap() else { panic!() };
    assert!(matches!(why, RegistrationRefused::Removed { id: 2, .. }), "{why}");
    // Its id is not used again, its name may be.
    let answer = join(&it, &machine(Some("two"), "192.0.2.9"), &admin()).await.unwrap();
    assert_eq!((answer.id, answer.name.as_str()), (3, "two"));
    assert_eq!(it.remove_node("x", true, &kim(), now()).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn the_last_voter_stays() {
    let it = founded().await;
    let error = it.remove_node("1", true, &kim(), now()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "node `node-1` is the last one with a vote: without it there is no cluster"
    );
    // Another member that may vote but does not yet is not enough.
    second(&it).await;
    assert!(it.remove_node("1", true, &kim(), now()).await.is_err());
    // A node that never started has nothing to lose.
    join(&it, &machine(Some("three"), "192.0.2.3"), &admin()).await.unwrap();
    it.remove_node("three", false, &kim(), now()).await.unwrap();
}

#[tokio::test]
async fn a_survivor_goes_on_alone() {
    let it = founded().await;
    let (second, two) = second(&it).await;
    let id = it.cluster_id().unwrap();
    let mut own = facts(1, "restored");
    own.peer = "198.51.100.1:9212".to_owned();
    own.key_id = "new key".to_owned();
    let member = it.refound(&own, &kim(), now()).await.unwrap();
    assert_eq!((member.id, member.peer.as_str(), member.epoch), (1, "198.51.100.1:9212", 1));
    assert_eq!(it.members().unwrap(), [member]);
    assert_eq!(it.cluster_id().unwrap(), id);
    assert!(it.still_registered(&own).unwrap().is_none());
    let mut lost = facts(3, "two");
    lost.key_id = two.key.id();
    let Registration::Refused(why) = second.register_self(&lost).await.unwrap() else { panic!() };
    assert!(matches!(why, RegistrationRefused::Removed { id: 2, .. }), "{why}");
    assert_eq!(it.revoked_serials().unwrap().len(), 1);

    // A backup of node 1 that is restored as node 5.
    let options = Options { node_id: 5, node_name: "five".to_owned() };
    let five = Control::new(it.store().clone(), DataKey::from_bytes(&[7; 32]), options);
    let mut own = facts(1, "five");
    own.name = "five".to_owned();
    assert_eq!(five.refound(&own, &kim(), now()).await.unwrap().name, "five");
    assert_eq!(five.members().unwrap().len(), 1);
    assert_eq!(join(&it, &machine(None, "192.0.2.6"), &admin()).await.unwrap().id, 6);
}

#[tokio::test]
async fn certificates_are_listed_and_revoked() {
    let it = founded().await;
    let user = it.issue_user("ann", Role::Operator, DAY * 30, &kim(), now()).await.unwrap();
    it.issue_user("ann", Role::Operator, DAY, &kim(), now()).await.unwrap();
    let list = it.certificates(at(12)).await.unwrap().items;
    let left: Vec<_> = list.iter().map(|c| (c.name.as_str(), c.days_left)).collect();
    assert_eq!(left, [("ann", 0), ("ann", 29)]);
    assert_eq!(it.certificates(at(25)).await.unwrap().items[0].days_left, -1);

    let why = RevokeRequest { reason: "left".to_owned() };
    let serial = user.identity().serial.clone();
    let gone = it.revoke(&serial.to_uppercase(), &why, &kim(), now()).await.unwrap().revoked;
    assert_eq!((gone.len(), gone[0].reason.as_str()), (1, "left (by kim)"));
    assert_eq!(it.revoked_serials().unwrap(), [serial.clone()].into());
    assert!(it.revoke(&serial, &why, &kim(), now()).await.unwrap().revoked.is_empty());
    // By name: the other one.
    assert_eq!(it.revoke("ann", &why, &kim(), now()).await.unwrap().revoked.len(), 1);
    let error = it.revoke("bob", &why, &kim(), now()).await.unwrap_err();
    assert_eq!(error.code(), Code::NotFound);
    let unknown = "ab".repeat(16);
    it.revoke(&unknown, &why, &kim(), now()).await.unwrap();
    assert_eq!(it.revoked_serials().unwrap().len(), 3);

    // What has ended is forgotten a day later; the unknown one is kept.
    assert_eq!(it.forget_ended(at(24)).await.unwrap(), 0);
    assert_eq!(it.forget_ended(at(24 * 40)).await.unwrap(), 4);
    assert_eq!(it.revoked_serials().unwrap(), [unknown].into());
    let wanted = UserCreate { name: "bob".into(), role: "viewer".into(), ttl_seconds: Some(60) };
    let made = it.create_user(&wanted, DAY, &kim(), now()).await.unwrap();
    assert_eq!((made.certificate.role.as_str(), made.certificate.days_left), ("viewer", 0));
    assert!(made.bundle.expose().contains("PRIVATE KEY"));
    assert!(!format!("{made:?}").contains("PRIVATE KEY"));
    for bad in [
        UserCreate { role: "root".into(), ..wanted.clone() },
        UserCreate { ttl_seconds: Some(1), ..wanted },
    ] {
        let error = it.create_user(&bad, DAY, &kim(), now()).await.unwrap_err();
        assert_eq!(error.code(), Code::BadRequest, "{error}");
    }
    for (name, role) in [("a b", Role::Viewer), ("x", Role::Node), ("x", Role::Join)] {
        let error = it.issue_user(name, role, DAY, &kim(), now()).await.unwrap_err();
        assert_eq!(error.code(), Code::BadRequest, "{error}");
    }
}

#[tokio::test]
async fn a_member_renews_its_certificate_and_nobody_else_does() {
    let it = founded().await;
    let two = machine(Some("two"), "192.0.2.2");
    let answer = join(&it, &two, &admin()).await.unwrap();
    let old = credentials(&two, &answer).identity().clone();
    let request = CertificateRequest {
        request: two.request.request.clone(),
        ..CertificateRequest::default()
    };
    // Long after its end: the key is what counts.
    let renewed = it.renew(&request, &old, DAY * 90, at(24 * 400)).await.unwrap();
    let new = two.key.complete(&renewed.certificate, &renewed.authorities).unwrap();
    assert_eq!((new.identity().node_id, &new.identity().key_id), (Some(2), &old.key_id));
    assert_ne!(new.identity().serial, old.serial);

    let stranger = machine(None, "192.0.2.3").request.request;
    let another = CertificateRequest { request: stranger, ..CertificateRequest::default() };
    assert!(it.renew(&another, &old, DAY, now()).await.is_err(), "another key");
    let mut other = old.clone();
    other.key_id = "another".to_owned();
    assert_eq!(it.renew(&request, &other, DAY, now()).await.unwrap_err().code(), Code::Forbidden);
    let user = identity("kim", Role::Admin);
    assert!(it.renew(&request, &user, DAY, now()).await.is_err());
    it.revoke(&old.serial, &RevokeRequest::default(), &kim(), now()).await.unwrap();
    assert!(it.renew(&request, &old, DAY, now()).await.is_err(), "revoked");
    say(&it, 2, Health::Down).await;
    it.remove_node("two", true, &kim(), now()).await.unwrap();
    assert!(it.renew(&request, new.identity(), DAY, now()).await.is_err(), "removed");
}

#[tokio::test]
async fn a_revoked_node_does_not_come_back_when_its_certificate_has_ended() {
    let it = founded().await;
    let two = machine(Some("two"), "192.0.2.2");
    let first = join(&it, &two, &admin()).await.unwrap();
    let first = credentials(&two, &first).identity().clone();
    let request = CertificateRequest {
        request: two.request.request.clone(),
        ..CertificateRequest::default()
    };
    // Renewed in time; the first one ends, then the second one is revoked.
    let second = it.renew(&request, &first, DAY * 90, at(24 * 80)).await.unwrap();
    let second = two.key.complete(&second.certificate, &second.authorities).unwrap();
    it.revoke("two", &RevokeRequest::default(), &kim(), at(24 * 100)).await.unwrap();
    for hours in [24 * 101, 24 * 400] {
        it.forget_ended(at(hours)).await.unwrap();
        for caller in [&first, second.identity()] {
            let error = it.renew(&request, caller, DAY * 90, at(hours)).await.unwrap_err();
            assert_eq!(error.code(), Code::Forbidden, "{error}");
        }
    }
    // Who is no member any more is refused by that.
    it.remove_node("two", true, &kim(), at(24 * 400)).await.unwrap();
    it.forget_ended(at(24 * 500)).await.unwrap();
    assert!(it.revoked_serials().unwrap().is_empty());
}

fn step(action: RotateAction) -> RotateRequest {
    RotateRequest { action, force: false }
}

#[tokio::test]
async fn the_authority_is_replaced_in_steps_that_wait_for_everybody() {
    use RotateAction::{Begin, Cancel, Finish, Switch};
    let it = founded().await;
    let (second, two) = second(&it).await;
    let rotate = |request| it.rotate(request, DAY * 3650, &KIM, now());
    let old = it.authorities().unwrap();
    let error = rotate(step(Switch)).await.unwrap_err();
    assert_eq!(error.code(), Code::Conflict, "{error}");

    assert_eq!(rotate(step(Begin)).await.unwrap().state, RotationState::Begun);
    assert!(rotate(step(Begin)).await.is_err());
    assert_eq!(rotate(step(Cancel)).await.unwrap().state, RotationState::Stable);
    let info = rotate(step(Begin)).await.unwrap();
    assert_eq!(info.authorities.len(), 2);
    assert!(info.authorities[0].signs && info.nodes.iter().all(|node| !node.current));

    let both = it.trusted_authorities().unwrap().unwrap();
    it.report_trust(&both, "x").await.unwrap();
    let revision = it.revision();
    it.report_trust(&both, "x").await.unwrap();
    assert_eq!(it.revision(), revision);
    let error = rotate(step(Switch)).await.unwrap_err();
    assert_eq!(error.to_string(), "node `two` does not trust the new authority yet");
    // By force only past nodes that are down.
    let force = RotateRequest { action: Switch, force: true };
    assert!(rotate(force).await.is_err());
    second.report_trust(&both, "y").await.unwrap();
    it.issue_user("ann", Role::Viewer, DAY * 30, &KIM, now()).await.unwrap();
    assert_eq!(rotate(step(Switch)).await.unwrap().state, RotationState::Switched);
    assert_ne!(it.authorities().unwrap().active().hash(), old.active().hash());

    let error = rotate(step(Finish)).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "nodes `node-1`, `two` still present a certificate; users `ann` still have certificates of \
         the old authority"
    );
    // Both nodes renew theirs; ann is cut off.
    let founder = machine(None, "192.0.2.1");
    let mut first = identity("node-1", Role::Node);
    first.node_id = Some(1);
    let mut member = it.member(1).unwrap().unwrap();
    member.key_id = founder.key.id();
    let member = serde_json::to_vec(&member).unwrap();
    it.store().put(keyspace::member(1), member).await.unwrap();
    first.key_id = founder.key.id();
    for (node, control, mut caller) in
        [(&founder, &*it, first.clone()), (&two, &second, identity("two", Role::Node))]
    {
        if caller.node_id.is_none() {
            (caller.node_id, caller.key_id) = (Some(2), two.key.id());
        }
        let request = CertificateRequest {
            request: node.request.request.clone(),
            ..CertificateRequest::default()
        };
        let answer = control.renew(&request, &caller, DAY, now()).await.unwrap();
        let new = node.key.complete(&answer.certificate, &answer.authorities).unwrap();
        let trust = control.trusted_authorities().unwrap().unwrap();
        control.report_trust(&trust, &new.identity().serial).await.unwrap();
    }
    let error = rotate(step(Finish)).await.unwrap_err().to_string();
    assert_eq!(error, "users `ann` still have certificates of the old authority");
    let info = rotate(RotateRequest { action: Finish, force: true }).await.unwrap();
    assert_eq!((info.state, info.authorities.len()), (RotationState::Stable, 1));
}

static KIM: std::sync::LazyLock<smr_control::Actor> = std::sync::LazyLock::new(kim);

#[tokio::test]
async fn settings_are_checked_and_patched() {
    let it = founded().await;
    assert_eq!(it.settings().unwrap(), ClusterSettings::default());
    let patch = ClusterSettingsPatch {
        rebalance: Some(Rebalance::OnJoin),
        down_after_millis: Some(8000),
        ..ClusterSettingsPatch::default()
    };
    let settings = it.patch_settings(&patch, &kim()).await.unwrap();
    assert_eq!((settings.voters, settings.down_after_millis), (5, Some(8000)));
    assert_eq!(it.cluster_status().await.unwrap().settings, settings);
    let reset =
        ClusterSettingsPatch { down_after_millis: Some(0), ..ClusterSettingsPatch::default() };
    let settings = it.patch_settings(&reset, &kim()).await.unwrap();
    assert_eq!((settings.rebalance, settings.down_after_millis), (Rebalance::OnJoin, None));
    for patch in [
        ClusterSettingsPatch { voters: Some(4), ..ClusterSettingsPatch::default() },
        ClusterSettingsPatch { voters: Some(11), ..ClusterSettingsPatch::default() },
        ClusterSettingsPatch { moves_per_minute: Some(0), ..ClusterSettingsPatch::default() },
        ClusterSettingsPatch { down_after_millis: Some(10), ..ClusterSettingsPatch::default() },
    ] {
        let error = ApiError::from(it.patch_settings(&patch, &kim()).await.unwrap_err());
        assert_eq!(error.code, Code::BadRequest);
        assert!(error.hint.unwrap().starts_with("use "), "{}", error.message);
    }
}
