//! Apply, patch, list, delete: what changes, what does not, and what is refused.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use serde_json::json;
use smr_control::Error;
use smr_model::{Kind, ObjectKey, Owner};
use smr_wire::{ApplyAction, Code, ObjectQuery};
use support::{Fixture, configuration, containers, control, kim, open, secret};

fn key(kind: Kind, name: &str) -> ObjectKey {
    ObjectKey::new(kind, "g", name)
}

#[tokio::test]
async fn apply_creates_then_leaves_alone_then_updates() {
    let it = control().await;
    let first = it.apply(&configuration("a", "one"), "a.yaml", false, &kim()).await.unwrap();
    assert_eq!(first.results[0].action, ApplyAction::Created);
    assert_eq!(first.results[0].generation, 1);

    let again = it.apply(&configuration("a", "one"), "a.yaml", false, &kim()).await.unwrap();
    assert_eq!(again.results[0].action, ApplyAction::Unchanged);
    assert_eq!(again.revision, first.revision, "what is the same is not written");

    let dry = it.apply(&configuration("a", "two"), "a.yaml", true, &kim()).await.unwrap();
    assert_eq!(dry.results[0].action, ApplyAction::Updated);
    assert_eq!(dry.revision, first.revision, "a dry run writes nothing");

    let second = it.apply(&configuration("a", "two"), "a.yaml", false, &kim()).await.unwrap();
    assert_eq!(second.results[0].generation, 2);
    let change = &second.results[0].changes[0];
    assert_eq!((change.op.as_str(), change.path.as_str()), ("replace", "spec.data.k"));
    assert_eq!((change.old.clone(), change.new.clone()), (Some(json!("one")), Some(json!("two"))));

    let object = it.get(&key(Kind::Configuration, "a"), false).await.unwrap();
    assert_eq!(object.revision, second.revision);
    assert!(object.updated >= object.created);
    let kinds: Vec<String> =
        it.events(&Default::default()).await.unwrap().items.into_iter().map(|e| e.kind).collect();
    assert_eq!(kinds, ["applied", "changed"]);
}

#[tokio::test]
async fn a_mistake_in_one_document_changes_nothing() {
    let it = control().await;
    let before = it.revision();
    let body =
        configuration("a", "x") + "kind: configuration\nmeta: {group: g}\nspec: {data: {}}\n";
    let error = it.apply(&body, "b.yaml", false, &kim()).await.unwrap_err();
    assert_eq!(error.code(), Code::Invalid);
    let Error::Invalid { details } = error else { panic!("{error}") };
    assert_eq!(details[0].file, "b.yaml");
    assert_eq!(details[0].document, 2);
    assert!(details[0].line > 0);

    let body = configuration("a", "x") + &configuration("a", "y");
    let message = it.apply(&body, "c.yaml", false, &kim()).await.unwrap_err().to_string();
    assert!(message.contains("`configuration/g/a` is defined twice"), "{message}");

    let empty = it.apply("---\n# nothing\n", "d.yaml", false, &kim()).await.unwrap_err();
    assert!(matches!(empty, Error::NoDocuments), "{empty}");
    assert_eq!(it.revision(), before);
}

#[tokio::test]
async fn warnings_are_told_beside_mistakes() {
    let it = control().await;
    let body =
        "kind: containers\nmeta: {group: g, name: web}\nspec:\n  imagee: web\n  replcas: 2\n";
    let error = it.apply(body, "w.yaml", false, &kim()).await.unwrap_err();
    assert_eq!(error.to_string(), "w.yaml:4:3: spec.image: is missing");
    let Error::Invalid { details } = error else { panic!() };
    let messages: Vec<_> = details.iter().map(|d| (d.line, d.message.as_str())).collect();
    let unknown = "warning: unknown field, ignored";
    assert_eq!(messages, [(4, unknown), (4, "is missing"), (5, unknown)]);
}

#[tokio::test]
async fn a_mistake_in_a_template_is_told_with_its_place() {
    let it = control().await;
    let web = "kind: containers\nmeta: {group: g, name: web}\nspec:\n  image: web\n  envs:\n  - A=b\n  \
               - B=(( nope ))\n  readiness:\n  - command: [ls, '(( x']\n";
    let data = "kind: configuration\nmeta: {group: g, name: c}\nspec:\n  data:\n    \
                a.conf: (( nope ))\n";
    let body = configuration("a", "x") + web + "---\n" + data;
    let Err(Error::Invalid { details }) = it.apply(&body, "t.yaml", false, &kim()).await else {
        panic!()
    };
    let places: Vec<_> = details.iter().map(|d| (d.line, d.column, d.path.as_str())).collect();
    assert_eq!(
        places,
        [
            (11, 5, "spec.envs[1]"),
            (13, 19, "spec.readiness[0].command[1]"),
            (19, 13, "spec.data[\"a.conf\"]"),
        ]
    );
}

#[tokio::test]
async fn many_documents_are_one_transaction() {
    let it = control().await;
    let before = it.revision();
    let body: String = (0..450).map(|n| configuration(&format!("c{n}"), "x")).collect();
    let applied = it.apply(&body, "many.yaml", false, &kim()).await.unwrap();
    assert_eq!(applied.results.len(), 450);
    assert_eq!(applied.revision, before + 1);

    let body: String = (0..2500).map(|n| configuration(&format!("c{n}"), "y")).collect();
    let applied = it.apply(&body, "more.yaml", false, &kim()).await.unwrap();
    assert_eq!(applied.results.len(), 2500);
    assert_eq!(applied.revision, before + 4);
    let updated = applied.results.iter().filter(|r| r.action == ApplyAction::Updated);
    assert_eq!(updated.count(), 450);
}

#[tokio::test]
async fn secrets_are_sealed_masked_and_revealed_on_request() {
    let Fixture { control: it, dir } = control().await;
    let s = key(Kind::Secret, "s");
    it.apply(&secret("hunter2"), "s.yaml", false, &kim()).await.unwrap();
    let raw = it.store().list("/smr/").unwrap();
    for kv in raw.kvs {
        assert!(!String::from_utf8_lossy(&kv.value).contains("hunter2"), "{} has it", kv.key);
    }
    let masked = it.get(&s, false).await.unwrap();
    assert_eq!(masked.definition["spec"]["data"], json!({"password": "******", "user": "******"}));
    assert_eq!(it.get(&s, true).await.unwrap().definition["spec"]["data"]["password"], "hunter2");

    let again = it.apply(&secret("hunter2"), "s.yaml", false, &kim()).await.unwrap();
    assert_eq!(again.results[0].action, ApplyAction::Unchanged, "compared by value, not as sealed");
    let changed = it.apply(&secret("hunter3"), "s.yaml", false, &kim()).await.unwrap();
    let text = serde_json::to_string(&changed).unwrap();
    assert!(text.contains("spec.data.password") && !text.contains("hunter"), "{text}");

    // The agent sees the value, also after a restart.
    let objects = it.objects().await.unwrap().objects;
    let smr_model::Spec::Secret(spec) = &objects[0].definition.spec else { panic!() };
    assert_eq!(spec.data["password"], "hunter3");
    it.store().shutdown().await;
    drop(it);
    let it = open(&dir).await;
    assert_eq!(it.get(&s, true).await.unwrap().definition["spec"]["data"]["password"], "hunter3");
}

#[tokio::test]
async fn a_patch_cannot_read_a_secret_as_another_kind() {
    let it = control().await;
    // As a template this would be refused with words of the value.
    let body = "kind: secret\nmeta: {group: g, name: s}\nspec: {data: {k: '((hunter2 ))'}}\n";
    it.apply(body, "s.yaml", false, &kim()).await.unwrap();
    for patch in [json!({"kind": "configuration"}), json!({"kind": null}), json!({"kind": 1})] {
        let error = it.patch(&key(Kind::Secret, "s"), &patch, true, &kim()).await.unwrap_err();
        assert_eq!(error.code(), Code::Invalid);
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    }
}

#[tokio::test]
async fn a_masked_value_applied_again_keeps_the_stored_one() {
    let it = control().await;
    let s = key(Kind::Secret, "s");
    let new = it.apply(&secret("'******'"), "s.yaml", false, &kim()).await.unwrap_err();
    assert!(new.to_string().contains("is the mask, not a value"), "{new}");
    it.apply(&secret("hunter2"), "s.yaml", false, &kim()).await.unwrap();
    let edited = secret("'******'").replace("root", "admin");
    it.apply(&edited, "s.yaml", false, &kim()).await.unwrap();
    let data = it.get(&s, true).await.unwrap().definition["spec"]["data"].clone();
    assert_eq!(data, json!({"password": "hunter2", "user": "admin"}));
}

#[tokio::test]
async fn registry_credentials_are_sealed_too() {
    let it = control().await;
    let body =
        containers("g", "web").replace("image: web", "registryAuth: a2ltOnNlY3JldA==, image: web");
    it.apply(&body, "c.yaml", false, &kim()).await.unwrap();
    for kv in it.store().list("/smr/").unwrap().kvs {
        assert!(
            !String::from_utf8_lossy(&kv.value).contains("a2ltOnNlY3JldA=="),
            "{} has it",
            kv.key
        );
    }
    let shown = it.get(&key(Kind::Containers, "web"), false).await.unwrap().definition;
    assert_eq!(shown["spec"]["registryAuth"], "******");
    let again = it.apply(&body, "c.yaml", false, &kim()).await.unwrap();
    assert_eq!(again.results[0].action, ApplyAction::Unchanged);
}

#[tokio::test]
async fn patch_goes_through_the_same_checks() {
    let it = control().await;
    let web = key(Kind::Containers, "web");
    it.apply(&containers("g", "web"), "c.yaml", false, &kim()).await.unwrap();
    let patched = it.patch(&web, &json!({"spec": {"replicas": 5}}), false, &kim()).await.unwrap();
    assert_eq!(patched.results[0].changes[0].path, "spec.replicas");
    for bad in [json!({"spec": {"image": null}}), json!({"meta": {"name": "other"}}), json!([1])] {
        let error = it.patch(&web, &bad, false, &kim()).await.unwrap_err();
        assert_eq!(error.code(), Code::Invalid, "{bad}: {error}");
    }
    let missing = it.patch(&key(Kind::Containers, "nope"), &json!({}), false, &kim()).await;
    assert_eq!(missing.unwrap_err().to_string(), "object `containers/g/nope` does not exist");
}

#[tokio::test]
async fn owned_objects_are_changed_by_their_owner_only() {
    let it = control().await;
    let owner = Owner { kind: Kind::Gitops, group: "g".to_owned(), name: "repo".to_owned() };
    let parsed = smr_model::parse(&configuration("a", "x"), &"a.yaml".into());
    let definitions = vec![parsed.documents[0].definition.clone()];
    it.apply_definitions(definitions.clone(), Some(&owner), false, &kim()).await.unwrap();

    let error = it.apply(&configuration("a", "y"), "a.yaml", false, &kim()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "object has owner - direct modification not allowed \
         (`configuration/g/a` belongs to `gitops/g/repo`)"
    );
    let a = key(Kind::Configuration, "a");
    assert_eq!(it.delete(&a, None, &kim()).await.unwrap_err().code(), Code::Conflict);
    let same = it.apply_definitions(definitions, Some(&owner), false, &kim()).await.unwrap();
    assert_eq!(same.results[0].action, ApplyAction::Unchanged);
    it.delete(&a, Some(&owner), &kim()).await.unwrap();
}

#[tokio::test]
async fn containers_of_two_objects_never_share_names() {
    let it = control().await;
    it.apply(&containers("a-b", "c"), "1.yaml", false, &kim()).await.unwrap();
    let error = it.apply(&containers("a", "b-c"), "2.yaml", false, &kim()).await.unwrap_err();
    assert!(matches!(error, Error::NameTaken { .. }), "{error}");
    let both = containers("x", "y-z") + &containers("x-y", "z");
    assert!(it.apply(&both, "3.yaml", false, &kim()).await.is_err());
}

#[tokio::test]
async fn networks_and_volumes_of_two_objects_are_never_one_of_the_engine() {
    let network = |group: &str, name: &str| {
        format!("kind: network\nmeta: {{group: {group}, name: {name}}}\n---\n")
    };
    let it = control().await;
    it.apply(&network("a", "front"), "1.yaml", false, &kim()).await.unwrap();
    let error = it.apply(&network("b", "front"), "2.yaml", false, &kim()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "`network/b/front` would be the same network of the engine as `network/a/front`"
    );
    let other_prefix = "prefix: traefik.io/v1\n".to_owned() + &network("a", "front");
    assert!(it.apply(&other_prefix, "3.yaml", false, &kim()).await.is_err());
    let both = network("a", "back") + &network("b", "back");
    assert!(it.apply(&both, "4.yaml", true, &kim()).await.is_err());
    it.apply(&network("a", "front"), "1.yaml", false, &kim()).await.unwrap();
    for name in ["bridge", "host", "none", "default"] {
        let error = it.apply(&network("a", name), "5.yaml", false, &kim()).await.unwrap_err();
        assert_eq!(error.code(), Code::Invalid, "{error}");
    }
    let volume = |group: &str, name: &str| network(group, name).replace("network", "volume");
    it.apply(&volume("a-b", "c"), "6.yaml", false, &kim()).await.unwrap();
    let error = it.apply(&volume("a", "b-c"), "7.yaml", false, &kim()).await.unwrap_err();
    assert!(matches!(error, Error::NameTaken { .. }), "{error}");
}

#[tokio::test]
async fn lists_select_by_kind_group_prefix_and_labels() {
    let it = control().await;
    let body = "kind: custom\nprefix: traefik.io/v1\nmeta: {group: g, name: t}\nspec: {a: 1}\n---\n"
        .to_owned()
        + &configuration("a", "x")
        + "kind: network\nmeta: {group: h, name: n, labels: {tier: front}}\nspec: {driver: bridge}\n";
    it.apply(&body, "l.yaml", false, &kim()).await.unwrap();
    let names = async |query: ObjectQuery| {
        let list = it.list(&query).await.unwrap();
        list.items.into_iter().map(|o| o.key.name).collect::<Vec<_>>()
    };
    let all = ObjectQuery::default();
    assert_eq!(names(all.clone()).await, ["a", "n", "t"]);
    assert_eq!(names(ObjectQuery { kind: Some("network".into()), ..all.clone() }).await, ["n"]);
    assert_eq!(names(ObjectQuery { group: Some("g".into()), ..all.clone() }).await, ["a", "t"]);
    let prefix = Some("traefik.io/v1".to_owned());
    assert_eq!(names(ObjectQuery { prefix, ..all.clone() }).await, ["t"]);
    let selector = Some("tier=front".to_owned());
    assert_eq!(names(ObjectQuery { selector, ..all.clone() }).await, ["n"]);
    let selector = Some("!tier".to_owned());
    assert_eq!(names(ObjectQuery { selector, names: true, ..all.clone() }).await, ["a", "t"]);
    let bad = it.list(&ObjectQuery { kind: Some("nope".into()), ..all }).await.unwrap_err();
    assert_eq!(bad.code(), Code::BadRequest);
}

#[tokio::test]
async fn remove_reports_what_was_missing() {
    let it = control().await;
    it.apply(&configuration("a", "x"), "a.yaml", false, &kim()).await.unwrap();
    let body = configuration("a", "other") + &configuration("b", "x");
    let removed = it.remove(&body, "r.yaml", &kim()).await.unwrap();
    assert_eq!(removed.deleted, [key(Kind::Configuration, "a")]);
    assert_eq!(removed.missing, [key(Kind::Configuration, "b")]);
    let again = it.delete(&key(Kind::Configuration, "a"), None, &kim()).await.unwrap_err();
    assert_eq!(again.code(), Code::NotFound);
}

const STORAGE: &str = "kind: volume\nmeta: {group: g, name: dv}\nspec: {driver: local}\n---\n\
                       kind: network\nmeta: {group: g, name: net}\nspec: {driver: bridge}\n---\n";

fn user_of_storage(group: &str, volume: &str) -> String {
    format!(
        "kind: containers\nmeta: {{group: {group}, name: web}}\nspec:\n  image: web\n  volumes: \
         [{{type: volume, name: {volume}, mountPoint: /d}}]\n  networks: [{{group: g, name: net}}]\n"
    )
}

#[tokio::test]
async fn volumes_and_networks_stay_while_containers_use_them() {
    for (group, volume) in [("g", "dv"), ("g", "g-dv"), ("other", "g-dv")] {
        let it = control().await;
        let pack = STORAGE.to_owned() + &user_of_storage(group, volume);
        it.apply(&pack, "p.yaml", false, &kim()).await.unwrap();
        let before = it.revision();
        for (kind, name) in [(Kind::Volume, "dv"), (Kind::Network, "net")] {
            let error = it.delete(&key(kind, name), None, &kim()).await.unwrap_err();
            assert_eq!(error.code(), Code::Conflict);
            let user = format!("`{kind}/g/{name}` is used by `containers/{group}/web`");
            assert_eq!(error.to_string(), user);
        }
        let error = it.remove(STORAGE, "s.yaml", &kim()).await.unwrap_err().to_string();
        assert!(error.contains("volume/g/dv") && error.contains("network/g/net"), "{error}");
        assert_eq!(it.revision(), before, "nothing was deleted");
        // With its user, in whatever order.
        assert_eq!(it.remove(&pack, "p.yaml", &kim()).await.unwrap().deleted.len(), 3);
    }
}

#[tokio::test]
async fn what_only_looks_like_a_use_keeps_nothing() {
    let it = control().await;
    // An object of that very name comes before the engine's name of another one.
    let nearer = "kind: volume\nmeta: {group: g, name: g-dv}\n---\n";
    let user = user_of_storage("g", "g-dv");
    let bind = "---\n".to_owned()
        + &user_of_storage("h", "dv").replace("type: volume", "type: bind, hostPath: /dv");
    let users = (user + &bind).replace("name: net", "name: elsewhere");
    let body = STORAGE.to_owned() + nearer + &users;
    it.apply(&body, "p.yaml", false, &kim()).await.unwrap();
    it.remove(STORAGE, "s.yaml", &kim()).await.unwrap();
    let nearer = it.delete(&key(Kind::Volume, "g-dv"), None, &kim()).await.unwrap_err();
    assert_eq!(nearer.code(), Code::Conflict);
    it.delete(&key(Kind::Containers, "web"), None, &kim()).await.unwrap();
    it.delete(&key(Kind::Volume, "g-dv"), None, &kim()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn applies_at_the_same_time_all_arrive() {
    let it = control().await;
    let mut tasks = Vec::new();
    for n in 0..8 {
        let it = it.control.clone();
        tasks.push(tokio::spawn(async move {
            it.apply(&configuration("a", &format!("v{n}")), "a.yaml", false, &kim()).await
        }));
    }
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    assert_eq!(it.get(&key(Kind::Configuration, "a"), false).await.unwrap().generation, 8);
    assert_eq!(it.events(&Default::default()).await.unwrap().items.len(), 8);
}
