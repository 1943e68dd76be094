//! Founding, joining and registering, on a real store.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use smr_control::{Control, Options, RegistrationRefused};
use smr_control::{Registration, keyspace};
use smr_model::NodeRole;
use smr_pki::{DataKey, Role};
use smr_wire::{ApiError, Code, JoinRequest, TokenCreate, TokenState};
use support::{
    cluster::{
        DAY, admin, at, credentials, facts, found, founded, identity, join, joiner, machine, now,
        registered, token,
    },
    control, kim,
};

fn refused(registration: Registration) -> RegistrationRefused {
    match registration {
        Registration::Registered(member) => panic!("{member:?}"),
        Registration::Refused(why) => why,
    }
}

#[tokio::test]
async fn the_first_node_founds_the_cluster_once() {
    let it = control().await;
    assert_eq!(it.cluster_id().unwrap(), None);
    let member = found(&it).await;
    assert_eq!((member.id, member.epoch, member.role), (1, 1, NodeRole::Voter));
    let id = it.cluster_id().unwrap().unwrap();
    assert_eq!(id.len(), 32);
    let again = it.register_founder(&facts(2, "second"), now()).await.unwrap();
    assert_eq!(registered(again).epoch, 2);
    assert_eq!(it.cluster_id().unwrap().unwrap(), id);

    let status = it.cluster_status().await.unwrap();
    assert_eq!((status.id, status.leader, status.quorum), (id, Some(1), 1));
    assert_eq!((status.voters, status.learners), (vec![1], vec![]));
    assert!(status.members[0].leader);
    let events = it.events(&Default::default()).await.unwrap().items;
    let kinds: Vec<_> = events.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(kinds, ["cluster_created", "node_started"]);
    assert_eq!(events[0].object.to_string(), "custom/node/node-1");
}

#[tokio::test]
async fn a_copy_of_the_data_directory_is_told_apart_from_the_original() {
    let it = founded().await;
    // A lost answer can be asked for again by the same process, and by no other.
    registered(it.register_self(&facts(1, "first")).await.unwrap());
    let copy = refused(it.register_self(&facts(1, "other")).await.unwrap());
    assert_eq!(copy, RegistrationRefused::Copy { id: 1, mine: 1, seen: 1 });

    registered(it.register_self(&facts(5, "fifth")).await.unwrap());
    let old = refused(it.register_self(&facts(4, "restored")).await.unwrap());
    assert_eq!(
        old.to_string(),
        "the data directory of node `1` is a copy: it was opened `4` times, the cluster has seen \
         `5`; run the original, or empty this directory and join as a new node"
    );
    // The copy was faster: the original learns it from its record.
    registered(it.register_self(&facts(6, "copy")).await.unwrap());
    assert!(it.still_registered(&facts(6, "copy")).unwrap().is_none());
    assert!(it.still_registered(&facts(5, "fifth")).unwrap().is_some());

    let mut stranger = facts(9, "x");
    stranger.key_id = "another".to_owned();
    let why = refused(it.register_self(&stranger).await.unwrap());
    assert!(matches!(why, RegistrationRefused::OtherKey { id: 1, .. }), "{why}");
}

#[tokio::test]
async fn two_processes_with_one_epoch_are_never_both_taken() {
    let it = founded().await;
    let (one, two) = (facts(2, "one"), facts(2, "two"));
    let (one, two) = tokio::join!(it.register_self(&one), it.register_self(&two));
    let taken = [one.unwrap(), two.unwrap()]
        .into_iter()
        .filter(|registration| matches!(registration, Registration::Registered(_)));
    assert_eq!(taken.count(), 1);
}

#[tokio::test]
async fn a_node_from_the_time_without_members_becomes_the_first_one() {
    let it = control().await;
    it.store().put(keyspace::CLUSTER_ID, "old").await.unwrap();
    let member = registered(it.register_founder(&facts(1, "first"), now()).await.unwrap());
    assert_eq!((member.id, member.epoch, member.role), (1, 1, NodeRole::Voter));
    assert_eq!(it.cluster_id().unwrap().unwrap(), "old", "its containers are of this cluster");
    let again = it.register_founder(&facts(2, "second"), now()).await.unwrap();
    assert_eq!(registered(again).epoch, 2);
}

#[tokio::test]
async fn a_node_that_is_no_member_is_told_so() {
    let it = founded().await;
    let options = Options { node_id: 9, node_name: "nine".to_owned() };
    let nine = Control::new(it.store().clone(), DataKey::from_bytes(&[7; 32]), options);
    let why = refused(nine.register_founder(&facts(1, "x"), now()).await.unwrap());
    assert!(matches!(why, RegistrationRefused::NotAMember { id: 9, .. }), "{why}");
}

#[tokio::test]
async fn an_administrator_admits_nodes_with_small_ids() {
    let it = founded().await;
    let two = machine(None, "192.0.2.2");
    let answer = join(&it, &two, &admin()).await.unwrap();
    assert_eq!((answer.id, answer.name.as_str()), (2, "node-2"));
    assert_eq!(answer.members.len(), 2);
    assert_eq!(answer.cluster, it.cluster_id().unwrap().unwrap());
    let theirs = DataKey::from_join(answer.data_key.expose()).unwrap();
    let ours = DataKey::from_bytes(&[7; 32]);
    assert_eq!(theirs.fingerprint("a", b"b"), ours.fingerprint("a", b"b"));
    assert!(!format!("{answer:?}").contains(answer.data_key.expose()));

    let credentials = credentials(&two, &answer);
    let identity = credentials.identity();
    assert_eq!((identity.node_id, identity.role), (Some(2), Role::Node));
    let member = it.member(2).unwrap().unwrap();
    assert_eq!((member.key_id.clone(), member.epoch), (two.key.id(), 0));
    assert_eq!(it.find_member("node-2").unwrap(), member);
    assert_eq!(it.find_member("2").unwrap(), member);

    // The answer got lost: the same key asks again, and is the same node.
    let again = join(&it, &two, &admin()).await.unwrap();
    assert_eq!((again.id, again.members.len()), (2, 2));
    // Another machine is another node.
    let three = join(&it, &machine(Some("web"), "192.0.2.3"), &admin()).await.unwrap();
    assert_eq!((three.id, three.name.as_str()), (3, "web"));

    // Who has started has a history, and a lost history must not come back as the same node.
    let options = Options { node_id: 2, node_name: "node-2".to_owned() };
    let second = Control::new(it.store().clone(), DataKey::from_bytes(&[7; 32]), options);
    let mut own = facts(1, "two");
    own.key_id = two.key.id();
    registered(second.register_self(&own).await.unwrap());
    let error = ApiError::from(join(&it, &two, &admin()).await.unwrap_err());
    assert_eq!(error.code, Code::Conflict);
    assert_eq!(
        error.message,
        "this machine's key is that of node `2` (`node-2`), which has joined and started"
    );
}

#[tokio::test]
async fn a_name_belongs_to_one_node() {
    let it = founded().await;
    let error = join(&it, &machine(Some("node-1"), "192.0.2.2"), &admin()).await.unwrap_err();
    let error = ApiError::from(error);
    assert_eq!(error.code, Code::Conflict);
    assert_eq!(
        error.message,
        "the name `node-1` belongs to node `1` of the cluster, reached at `192.0.2.1:9212`"
    );
    assert!(error.hint.unwrap().contains("`smrctl node rm node-1` frees its name"));

    // Of two at once, one gets the name.
    let (a, b) = (machine(Some("web"), "192.0.2.2"), machine(Some("web"), "192.0.2.3"));
    let caller = admin();
    let (a, b) = tokio::join!(join(&it, &a, &caller), join(&it, &b, &caller));
    assert_eq!([a.is_ok(), b.is_ok()].iter().filter(|ok| **ok).count(), 1);
    // A default name does not take one that somebody chose.
    join(&it, &machine(Some("node-4"), "192.0.2.4"), &admin()).await.unwrap();
    let four = join(&it, &machine(None, "192.0.2.5"), &admin()).await.unwrap();
    assert_eq!((four.id, four.name.as_str()), (4, "node-4-x"));
}

#[tokio::test]
async fn many_nodes_join_at_once_with_different_ids() {
    let it = founded().await;
    let machines: Vec<_> = (2..12).map(|n| machine(None, &format!("192.0.2.{n}"))).collect();
    let caller = admin();
    let joins = machines.iter().map(|machine| join(&it, machine, &caller));
    let answers = futures_util::future::join_all(joins).await;
    let mut ids: Vec<u64> = answers.into_iter().map(|answer| answer.unwrap().id).collect();
    ids.sort_unstable();
    assert_eq!(ids, (2..12).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_single_use_token_admits_one_of_two_at_once() {
    let it = founded().await;
    let made = token(&it, TokenCreate { role: NodeRole::Worker, ..TokenCreate::default() }).await;
    assert_eq!(made.info.state, TokenState::Valid);
    let caller = joiner(&made);
    let (a, b) = (machine(None, "192.0.2.2"), machine(None, "192.0.2.3"));
    let (first, second) = tokio::join!(join(&it, &a, &caller), join(&it, &b, &caller));
    let (winner, answer, error) = match (first, second) {
        (Ok(answer), Err(error)) => (a, answer, error),
        (Err(error), Ok(answer)) => (b, answer, error),
        (a, b) => panic!("{:?} {:?}", a.is_ok(), b.is_ok()),
    };
    assert_eq!(error.code(), Code::Forbidden);
    let id = &made.info.id;
    assert_eq!(
        error.to_string(),
        format!("join token `{id}` was used 1 times, which is as often as it may")
    );
    assert_eq!(it.members().unwrap().len(), 2);
    // The token says what the node is, whatever it asks for.
    assert_eq!(it.member(answer.id).unwrap().unwrap().role, NodeRole::Worker);
    // The winner may ask again.
    assert_eq!(join(&it, &winner, &caller).await.unwrap().id, answer.id);
    let tokens = it.tokens(now()).await.unwrap().items;
    assert_eq!((tokens[0].state, &tokens[0].joined), (TokenState::UsedUp, &vec![answer.id]));
}

#[tokio::test]
async fn a_token_ends_and_can_be_deleted() {
    let it = founded().await;
    let caller = joiner(&token(&it, TokenCreate { uses: 2, ..TokenCreate::default() }).await);
    let new = machine(None, "192.0.2.2");
    let error = it.join(&new.request, &caller, DAY, at(2)).await.unwrap_err();
    assert_eq!(error.code(), Code::Forbidden);
    assert!(error.to_string().ends_with("expired at 2026-01-01T01:00:00Z"), "{error}");
    assert_eq!(error.hint().unwrap(), "`smrctl token create` makes a new one");
    assert_eq!(it.tokens(at(2)).await.unwrap().items[0].state, TokenState::Expired);

    let id = caller.token_id().unwrap();
    it.delete_token(id, &kim(), now()).await.unwrap();
    let error = join(&it, &new, &caller).await.unwrap_err().to_string();
    assert!(error.contains("is not known to this cluster"), "{error}");
    assert!(it.revoked_serials().unwrap().contains(&caller.serial));
    let error = it.delete_token(id, &kim(), now()).await.unwrap_err();
    assert_eq!(error.code(), Code::NotFound);
}

#[tokio::test]
async fn a_token_of_another_cluster_or_another_serial_lets_nobody_in() {
    let (it, other) = (founded().await, founded().await);
    let new = machine(None, "192.0.2.2");
    let stranger = joiner(&token(&other, TokenCreate::default()).await);
    let error = join(&it, &new, &stranger).await.unwrap_err();
    assert_eq!(error.code(), Code::Forbidden);
    assert!(error.to_string().contains("it is of another cluster, or was deleted"), "{error}");

    let mut forged = joiner(&token(&it, TokenCreate::default()).await);
    forged.serial = stranger.serial.clone();
    assert!(join(&it, &new, &forged).await.is_err());
    let nobody = identity("join-", Role::Join);
    assert!(join(&it, &new, &nobody).await.is_err());
    for role in [Role::Viewer, Role::Operator, Role::Node] {
        let error = join(&it, &new, &identity("kim", role)).await.unwrap_err();
        assert_eq!(error.code(), Code::Forbidden, "{error}");
    }
    assert_eq!(it.members().unwrap().len(), 1);
}

#[tokio::test]
async fn requests_that_cannot_be_a_node_are_refused() {
    let it = founded().await;
    let good = machine(Some("web"), "192.0.2.2").request;
    let tampered = good.request.replacen('M', "N", 3);
    for (request, message) in [
        (JoinRequest { name: Some("Web 1".to_owned()), ..good.clone() }, "parameter `name`"),
        (JoinRequest { peer: "192.0.2.2".to_owned(), ..good.clone() }, "parameter `peer`"),
        (JoinRequest { api: "http://a:1".to_owned(), ..good.clone() }, "parameter `api`"),
        (JoinRequest { name: Some("2".to_owned()), ..good.clone() }, "parameter `name`"),
        (JoinRequest { peer: "a\u{1b}[2J:9212".to_owned(), ..good.clone() }, "parameter `peer`"),
        (JoinRequest { peer: "192.0.2.2:0".to_owned(), ..good.clone() }, "parameter `peer`"),
        (JoinRequest { api: "https://\u{1b}[2J".to_owned(), ..good.clone() }, "parameter `api`"),
        (JoinRequest { api: "https://a@b:1".to_owned(), ..good.clone() }, "parameter `api`"),
        (JoinRequest { api: "https://a:1/x:1".to_owned(), ..good.clone() }, "parameter `api`"),
        (JoinRequest { api: "https://::1:1".to_owned(), ..good.clone() }, "parameter `api`"),
        (JoinRequest { domains: vec!["a.b".to_owned(); 65], ..good.clone() }, "65 entries"),
        (JoinRequest { request: "nonsense".to_owned(), ..good.clone() }, "request"),
        (JoinRequest { request: tampered, ..good.clone() }, "request"),
        (JoinRequest { domains: vec!["a b".to_owned()], ..good }, "`a b`"),
    ] {
        let error = it.join(&request, &admin(), DAY, now()).await.unwrap_err();
        assert_eq!(error.code(), Code::BadRequest, "{error}");
        assert!(error.to_string().contains(message), "{error}");
    }
    assert_eq!(it.members().unwrap().len(), 1);
}

#[tokio::test]
async fn one_bad_address_does_not_keep_others_from_joining() {
    let it = founded().await;
    let mut odd = facts(2, "odd");
    odd.api = "https://\u{1b}]0;x\u{7}".to_owned();
    registered(it.register_self(&odd).await.unwrap());
    join(&it, &machine(Some("two"), "192.0.2.2"), &admin()).await.unwrap();
    let made = token(&it, TokenCreate::default()).await;
    let token = smr_pki::JoinToken::parse(made.token.expose(), now()).unwrap();
    assert_eq!(token.apis(), ["https://192.0.2.2:1443"]);
}

#[tokio::test]
async fn nodes_that_cannot_reach_each_other_do_not_join() {
    let it = founded().await;
    let error = join(&it, &machine(None, "127.0.0.1"), &admin()).await.unwrap_err();
    assert_eq!(error.to_string(), "parameter `peer` cannot be `127.0.0.1:9212`");
    assert!(error.hint().unwrap().contains("`cluster.address` of the new node"));

    let mut hidden = facts(2, "hidden");
    hidden.peer = "[::1]:9212".to_owned();
    registered(it.register_self(&hidden).await.unwrap());
    join(&it, &machine(None, "127.0.0.1"), &admin()).await.unwrap();
    let error = join(&it, &machine(None, "192.0.2.3"), &admin()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "node `node-1` is reached at `[::1]:9212` only, which is no address for other machines"
    );
    assert_eq!(error.code(), Code::Conflict);
}

#[tokio::test]
async fn without_authorities_nobody_joins() {
    let it = control().await;
    let error = join(&it, &machine(None, "192.0.2.2"), &admin()).await.unwrap_err();
    assert_eq!((error.code(), error.is_transient()), (Code::Unavailable, true));
    assert!(it.store().list(keyspace::MEMBERS).unwrap().kvs.is_empty());
}

#[tokio::test]
async fn tokens_have_limits() {
    let it = founded().await;
    for wanted in [
        TokenCreate { uses: 0, ..TokenCreate::default() },
        TokenCreate { uses: 1001, ..TokenCreate::default() },
        TokenCreate { ttl_seconds: 59, ..TokenCreate::default() },
        TokenCreate { ttl_seconds: 31 * 24 * 3600, ..TokenCreate::default() },
        TokenCreate { endpoints: vec!["nowhere://x".to_owned()], ..TokenCreate::default() },
    ] {
        let error = it.create_token(&wanted, &kim(), now()).await.unwrap_err();
        assert_eq!(error.code(), Code::BadRequest, "{error}");
    }
    let alone = control().await;
    let error = alone.create_token(&TokenCreate::default(), &kim(), now()).await.unwrap_err();
    assert_eq!(error.to_string(), "no member says where other machines reach its control API");
}
