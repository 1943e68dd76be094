//! Joining, tokens, nodes, placement and stale reads, through the client over real TLS.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use smr_client::{Client, Error};
use smr_control::Actor;
use smr_model::{Availability, NodeRole};
use smr_pki::{JoinToken, NodeKey, Role, Subject};
use smr_wire::{
    ApplyQuery, CertificateRequest, ClusterSettingsPatch, Code, EventQuery, JoinRequest, NodePatch,
    ObjectQuery, ReplicaQuery, RolloutAction, RotateAction, RotateRequest, RotationState,
    TokenCreate, TokenState, TransferRequest,
};
use support::{Lab, lab, lab_over, lab_with};

const WEB: &str = "kind: containers\nmeta: {group: g, name: web}\nspec: {image: nginx, tag: '1', \
                   replicas: 1}\n";

/// A machine that wants to join.
struct Machine {
    key: NodeKey,
    request: JoinRequest,
}

fn machine(name: &str) -> Machine {
    let dir = tempfile::tempdir().unwrap();
    let key = NodeKey::load_or_create(&dir.path().join("node.key")).unwrap();
    let request = JoinRequest {
        name: Some(name.to_owned()),
        request: key.request(&Subject::node(name, &[], &[]).unwrap()).unwrap(),
        peer: "192.0.2.2:9212".to_owned(),
        domains: vec![name.to_owned()],
        ..JoinRequest::default()
    };
    Machine { key, request }
}

fn wanted(lab: &Lab) -> TokenCreate {
    TokenCreate { endpoints: vec![lab.url("")], role: NodeRole::Worker, ..TokenCreate::default() }
}

/// The client of whoever has the token.
fn holder(token: &JoinToken) -> Client {
    let options = smr_client::Options::default();
    Client::with_credentials(&token.apis()[0], token.credentials(), options).unwrap()
}

fn refusal<T: std::fmt::Debug>(answer: Result<T, Error>) -> (Code, String) {
    match answer.unwrap_err() {
        Error::Api(error) => (error.code, error.message),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_machine_joins_with_a_token_and_nothing_else() {
    let life = Duration::from_hours(48);
    let lab = lab_with(|config| config.node_lifetime = life).await;
    let admin = lab.api(Role::Admin);
    let made = admin.create_token(&wanted(&lab)).await.unwrap();
    let token = JoinToken::parse(made.token.expose(), Timestamp::now()).unwrap();
    let joiner = holder(&token);
    assert_eq!(joiner.cluster().await.unwrap_err().code(), Some(Code::Forbidden));

    let two = machine("two");
    let answer = joiner.join(&two.request).await.unwrap();
    assert_eq!((answer.id, answer.name.as_str(), answer.members.len()), (2, "two", 2));
    assert_eq!(answer.members[1].role, NodeRole::Worker);
    let credentials = two.key.complete(&answer.certificate, &answer.authorities).unwrap();
    let identity = credentials.identity();
    assert_eq!((identity.node_id, identity.role), (Some(2), Role::Node));
    let left = identity.not_after.duration_since(Timestamp::now());
    assert!(left <= SignedDuration::try_from(life).unwrap(), "{left}");

    // The new node is let in, and renews its certificate by itself.
    let node = lab.api_with(&credentials);
    assert_eq!(node.cluster().await.unwrap().members.len(), 2);
    let request = CertificateRequest {
        request: two.request.request.clone(),
        ..CertificateRequest::default()
    };
    let renewed = node.renew(&request).await.unwrap();
    let renewed = two.key.complete(&renewed.certificate, &renewed.authorities).unwrap();
    assert_ne!(renewed.identity().serial, identity.serial);

    // The same machine may ask again, another one may not.
    assert_eq!(joiner.join(&two.request).await.unwrap().id, 2);
    let (code, message) = refusal(joiner.join(&machine("three").request).await);
    assert_eq!(code, Code::Forbidden);
    assert_eq!(
        message,
        format!("join token `{}` was used 1 times, which is as often as it may", token.id())
    );
    let tokens = admin.tokens().await.unwrap().items;
    assert_eq!((tokens[0].state, tokens[0].joined.as_slice()), (TokenState::UsedUp, &[2][..]));
    assert_eq!(lab.control.members().unwrap().len(), 2);
}

#[tokio::test]
async fn tokens_that_ended_or_were_deleted_let_nobody_in() {
    let lab = lab().await;
    let admin = lab.api(Role::Admin);
    let actor = Actor { name: "kim".to_owned(), role: Role::Admin };
    let wanted = TokenCreate { uses: 5, ttl_seconds: 60, ..wanted(&lab) };
    // Three seconds are left of it.
    let past = Timestamp::now() - SignedDuration::from_secs(57);
    let ending = lab.control.create_token(&wanted, &actor, past).await.unwrap();
    let ending = JoinToken::parse(ending.token.expose(), Timestamp::now()).unwrap();
    let joiner = holder(&ending);
    joiner.join(&machine("two").request).await.unwrap();
    let end = ending.credentials().identity().not_after;
    let left = Duration::try_from(end.duration_since(Timestamp::now())).unwrap_or_default();
    // Nothing happens at that moment that could be waited for.
    let over = tokio::time::Instant::now() + left + Duration::from_millis(10);
    tokio::time::sleep_until(over).await;
    let (code, message) = refusal(joiner.join(&machine("three").request).await);
    assert_eq!(code, Code::Unauthenticated);
    assert!(message.ends_with("expired meanwhile"), "{message}");
    assert_eq!(admin.tokens().await.unwrap().items[0].state, TokenState::Expired);

    let made = admin.create_token(&wanted).await.unwrap();
    let token = JoinToken::parse(made.token.expose(), Timestamp::now()).unwrap();
    let joiner = holder(&token);
    joiner.join(&machine("three").request).await.unwrap();
    assert_eq!(admin.delete_token(token.id()).await.unwrap().id, token.id());
    // Before anybody has read the list of revoked certificates,
    let (code, message) = refusal(joiner.join(&machine("four").request).await);
    assert_eq!(code, Code::Forbidden, "{message}");
    // afterwards on the open connection, and on new ones.
    lab.follow_revocations();
    let (code, message) = refusal(joiner.join(&machine("four").request).await);
    assert_eq!(code, Code::Unauthenticated);
    assert!(message.contains("is revoked"), "{message}");
    assert!(holder(&token).join(&machine("four").request).await.unwrap_err().is_unreachable());
    assert_eq!(lab.control.members().unwrap().len(), 3);
    let missing = admin.delete_token(token.id()).await;
    assert_eq!(missing.unwrap_err().code(), Some(Code::NotFound));
}

#[tokio::test]
async fn administrators_rule_nodes_and_settings() {
    let lab = lab().await;
    let admin = lab.api(Role::Admin);
    admin.join(&machine("two").request).await.unwrap();
    let patch = NodePatch {
        availability: Some(Availability::Drain),
        labels: [("disk".to_owned(), "ssd".to_owned())].into(),
        ..NodePatch::default()
    };
    let node = admin.patch_node("two", &patch).await.unwrap();
    assert_eq!((node.status.id, node.availability), (2, Availability::Drain));
    assert_eq!(admin.node("2").await.unwrap(), node);
    assert_eq!(admin.nodes().await.unwrap().items.len(), 2);
    let removed = admin.remove_node("two", false).await.unwrap();
    assert_eq!((removed.status.id, removed.status.name.as_str()), (2, "two"));
    assert_eq!(admin.node("two").await.unwrap_err().code(), Some(Code::NotFound));
    let last = admin.remove_node("node-1", true).await;
    assert_eq!(last.unwrap_err().code(), Some(Code::Conflict));

    let patch = ClusterSettingsPatch { voters: Some(3), ..ClusterSettingsPatch::default() };
    assert_eq!(admin.patch_settings(&patch).await.unwrap().voters, 3);
    assert_eq!(admin.settings().await.unwrap().voters, 3);
    assert_eq!(admin.cluster().await.unwrap().settings.voters, 3);
    let patch = ClusterSettingsPatch { voters: Some(2), ..ClusterSettingsPatch::default() };
    assert_eq!(admin.patch_settings(&patch).await.unwrap_err().code(), Some(Code::BadRequest));
}

#[tokio::test]
async fn the_lead_goes_to_whom_it_is_given() {
    let lab = lab().await;
    let admin = lab.api(Role::Admin);
    let to = |to: &str| TransferRequest { to: Some(to.to_owned()) };
    let status = admin.transfer(&to("node-1")).await.unwrap();
    assert_eq!(status.leader, Some(1));
    admin.transfer(&TransferRequest::default()).await.unwrap();
    lab.api(Role::Node).transfer(&to("1")).await.unwrap();
    assert_eq!(*lab.runtime.transfers.lock().unwrap(), [Some(1), None, Some(1)]);
    assert_eq!(refusal(admin.transfer(&to("nobody")).await).0, Code::NotFound);
}

#[tokio::test]
async fn certificates_are_listed_and_the_authority_is_replaced() {
    let lab = lab_with(|config| config.authority_lifetime = Duration::from_hours(24 * 30)).await;
    let admin = lab.api(Role::Admin);
    admin.join(&machine("two").request).await.unwrap();
    let listed = admin.certificates().await.unwrap().items;
    assert_eq!(listed.len(), 1);
    assert_eq!((listed[0].name.as_str(), listed[0].node), ("two", Some(2)));
    let revoked = admin.revoke("two", &smr_wire::RevokeRequest::default()).await.unwrap().revoked;
    assert_eq!(revoked[0].serial, listed[0].serial);
    let nobody = admin.revoke("no/body", &smr_wire::RevokeRequest::default()).await;
    assert_eq!(nobody.unwrap_err().code(), Some(Code::NotFound));

    assert_eq!(admin.authorities().await.unwrap().state, RotationState::Stable);
    let step = |action| RotateRequest { action, force: false };
    let begun = admin.rotate(&step(RotateAction::Begin)).await.unwrap();
    assert_eq!((begun.state, begun.authorities.len()), (RotationState::Begun, 2));
    let end = begun.authorities.iter().find(|authority| !authority.signs).unwrap().not_after;
    let month = SignedDuration::from_hours(24 * 30);
    assert!(end.unwrap().duration_since(Timestamp::now()) <= month);
    let early = admin.rotate(&step(RotateAction::Switch)).await;
    assert_eq!(early.unwrap_err().code(), Some(Code::Conflict));
}

#[tokio::test]
async fn placement_is_explained_and_planned_and_rollouts_are_told() {
    let lab = lab().await;
    let operator = lab.api(Role::Operator);
    let query = ApplyQuery::default();
    let plan = operator.plan(&query, WEB.to_owned()).await.unwrap();
    assert_eq!(plan.replicas[0].name, "g-web-1");
    assert!(!plan.stale);
    assert!(operator.reading(true).plan(&query, WEB.to_owned()).await.unwrap().stale);
    assert!(operator.objects(&ObjectQuery::default()).await.unwrap().items.is_empty());

    operator.apply(&query, WEB.to_owned()).await.unwrap();
    let explained = lab.api(Role::Viewer).explain("g", "web").await.unwrap();
    assert_eq!((explained.about.as_str(), explained.nodes.len()), ("g-web-1", 1));
    let view = operator.rollout("g", "web").await.unwrap();
    assert_eq!((view.generation, view.rollout), (1, None));
    let paused = operator.change_rollout("g", "web", RolloutAction::Pause, None).await;
    assert!(matches!(refusal(paused).0, Code::NotFound | Code::Conflict));
    let wrong = operator.change_rollout("g", "web", RolloutAction::Pause, Some(1)).await;
    assert_eq!(refusal(wrong).0, Code::BadRequest);
    operator.apply(&query, WEB.replace("'1'", "'2'")).await.unwrap();
    let undone = operator.change_rollout("g", "web", RolloutAction::Undo, None).await.unwrap();
    assert_eq!(undone.generation, 3);
}

#[tokio::test]
async fn bodies_are_read_strictly() {
    let lab = lab().await;
    let admin = lab.client(Role::Admin);
    let (token, large) = ("/api/v1/tokens", "x".repeat(2 * 1024 * 1024));
    for (path, body, code) in [
        (token, r#"{"usses": 2}"#, Code::BadRequest),
        (token, "role: worker", Code::BadRequest),
        (token, large.as_str(), Code::TooLarge),
        ("/api/v1/cluster/authorities", "", Code::BadRequest),
        ("/api/v1/cluster/join", "{}", Code::BadRequest),
        ("/api/v1/rollouts/g/web/explode", "", Code::NotFound),
    ] {
        let response = admin.post(lab.url(path)).body(body.to_owned()).send().await.unwrap();
        assert_eq!(response.status().as_u16(), code.status(), "{path}");
        let error = response.json::<smr_wire::ErrorBody>().await.unwrap().error;
        assert_eq!(error.code, code, "{path}: {}", error.message);
    }
}

#[tokio::test]
async fn without_a_leader_only_the_own_copy_can_be_read() {
    let lab = lab_over(false, |_| ()).await;
    let admin = lab.api(Role::Admin);
    let (code, _) = refusal(admin.replicas(&ReplicaQuery::default()).await);
    assert_eq!(code, Code::NoQuorum);
    let (code, _) = refusal(admin.create_token(&wanted(&lab)).await);
    assert!(matches!(code, Code::NoQuorum | Code::NoLeader), "{code:?}");

    let stale = admin.reading(true);
    assert!(stale.replicas(&ReplicaQuery::default()).await.unwrap().stale);
    assert!(stale.objects(&ObjectQuery::default()).await.unwrap().stale);
    assert!(stale.images().await.unwrap().stale);
    assert_eq!(stale.cluster().await.unwrap().leader, None);
    stale.nodes().await.unwrap();
    stale.settings().await.unwrap();
    stale.tokens().await.unwrap();
    stale.certificates().await.unwrap();
    stale.events(&EventQuery::default()).await.unwrap();
    // What nobody asked for fresh is not refused.
    stale.version().await.unwrap();
    let unknown = lab.client(Role::Admin).get(lab.url("/api/v1/version?stale=true"));
    assert_eq!(unknown.send().await.unwrap().status(), 400);
}
