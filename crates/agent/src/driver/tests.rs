//! What the driver makes of news, without an engine or a loop around it.

use smr_engine::{MemoryEngine, Owner};
use smr_pki::{DataKey, Role};
use smr_store::Store;

use super::*;

#[path = "../../tests/suite/assign.rs"]
mod assign;

struct Lab {
    driver: Driver,
    control: Control,
    _dir: tempfile::TempDir,
    _news: mpsc::UnboundedReceiver<Item>,
}

async fn lab(definition: &str) -> Lab {
    let dir = tempfile::TempDir::new().unwrap();
    let store = Store::open(smr_store::Options::new(dir.path())).await.unwrap();
    let options = smr_control::Options { node_id: 1, node_name: "one".to_owned() };
    let control = Control::new(store, DataKey::from_bytes(&[7; 32]), options);
    apply(&control, definition).await;
    let engine = MemoryEngine::new(Owner { cluster: "c".into(), node: "one".into() });
    let (reports, news) = mpsc::unbounded_channel();
    let driver = Driver::new(
        World::load(&control).await.unwrap(),
        control.clone(),
        Arc::new(engine),
        1,
        mpsc::unbounded_channel().0,
        reports,
        watch::channel(Desired::default()).0,
        watch::channel(EngineStatus::Unknown).0,
        DebugLog::default(),
    );
    Lab { driver, control, _dir: dir, _news: news }
}

fn actor() -> smr_control::Actor {
    smr_control::Actor { name: "kim".to_owned(), role: Role::Admin }
}

async fn apply(control: &Control, definition: &str) {
    control.apply(definition, "test.yaml", false, &actor()).await.unwrap();
    assign::assign(control, |_| 1).await;
}

fn web(tag: &str) -> String {
    format!("kind: containers\nmeta: {{group: g, name: web}}\nspec: {{image: i, tag: '{tag}'}}\n")
}

impl Lab {
    /// Takes in the next `count` changes.
    async fn take(&mut self, changes: &mut Option<Watch>, count: usize) {
        for _ in 0..count {
            let news = next(changes).await.unwrap();
            self.driver.changed(&news);
        }
    }

    /// Visits what is to be visited; the digest the first replica should have.
    fn hash(&mut self) -> String {
        for key in std::mem::take(&mut self.driver.dirty) {
            self.driver.visit(&key);
        }
        let slot = &self.driver.world.slots[&ReplicaKey::new("g", "web", 1)];
        let wanted = slot.replica.wanted.as_ref().expect("wanted");
        wanted.target.as_ref().expect("rendered").main_hash.clone()
    }
}

/// The watch falls behind and everything is read anew: news from before must not bring back what has
/// been overtaken.
#[tokio::test]
async fn news_from_before_a_full_read_are_dropped() {
    let mut lab = lab(&web("1")).await;
    let first = lab.hash();
    let mut changes = lab.driver.watch();
    apply(&lab.control, &web("2")).await;
    lab.control.restart("g", "web", &actor()).await.unwrap();
    lab.control.restart("g", "web", &actor()).await.unwrap();
    let _ = lab.driver.catch_up().await;
    let second = lab.hash();
    assert_ne!(first, second);
    let token = lab.driver.world.tokens.clone();
    assert_eq!(token.len(), 1);
    while changes.as_ref().unwrap().next_revision() <= lab.driver.world.loaded {
        let old = next(&mut changes).await.unwrap();
        assert!(old.revision <= lab.driver.world.loaded);
        lab.driver.changed(&old);
    }
    assert!(lab.driver.dirty.is_empty());
    assert_eq!(lab.driver.world.tokens, token);

    // What is new is taken.
    apply(&lab.control, &web("3")).await;
    lab.take(&mut changes, 2).await;
    assert!(![first, second].contains(&lab.hash()));
}

/// What was removed while nobody watched is not used any more.
#[tokio::test]
async fn a_full_read_forgets_what_is_gone() {
    let uses = "kind: secret\nmeta: {group: g, name: s}\nspec: {data: {k: v}}\n---\n\
                kind: containers\nmeta: {group: g, name: web}\n\
                spec: {image: i, tag: '1', envs: ['K=(( lookup \"secret/g/s:k\" ))']}\n";
    let mut lab = lab(uses).await;
    lab.hash();
    let secret = ObjectKey::new(Kind::Secret, "g", "s");
    lab.control.delete_all(vec![secret], None, &actor()).await.unwrap();
    let _ = lab.driver.catch_up().await;
    for key in std::mem::take(&mut lab.driver.dirty) {
        lab.driver.visit(&key);
    }
    let slot = &lab.driver.world.slots[&ReplicaKey::new("g", "web", 1)];
    let reason = slot.replica.wanted.as_ref().unwrap().target.as_ref().err().unwrap();
    assert_eq!(reason.code, "MissingObject");
}

/// Neither credentials nor pull policy change the container; who corrects them waits for nothing all the same.
#[tokio::test]
async fn corrected_credentials_do_not_sit_out_the_delay_of_the_wrong_ones() {
    for correction in ["registryAuth: dXNlcjpwYXNzd29yZA==", "pullPolicy: Always"] {
        let mut lab = lab(&web("1")).await;
        let first = lab.hash();
        let mut changes = lab.driver.watch();
        let key = ReplicaKey::new("g", "web", 1);
        let far = Timestamp::now() + jiff::SignedDuration::from_mins(5);
        let status = |lab: &mut Lab| {
            let slot = lab.driver.world.slots.get_mut(&key).unwrap();
            slot.replica.status.state = ReplicaState::DaemonFailure;
            slot.replica.status.retry_at = Some(far);
        };
        status(&mut lab);
        lab.driver.dirty.insert(key.clone());
        lab.hash();
        let waits = |lab: &Lab| lab.driver.world.slots[&key].replica.status.retry_at;
        assert_eq!(waits(&lab), Some(far), "nothing changed");

        let corrected = web("1").replace("image: i", &format!("image: i, {correction}"));
        apply(&lab.control, &corrected).await;
        lab.take(&mut changes, 2).await;
        assert_eq!(lab.hash(), first, "the same container");
        assert_eq!(waits(&lab), None, "{correction}");
    }
}

/// Being told again and again that the engine is away is no work.
#[tokio::test]
async fn an_engine_that_stays_away_wakes_nobody() {
    let mut lab = lab(&web("1")).await;
    lab.hash();
    lab.driver.engine_lost("refused".to_owned());
    assert_eq!(lab.driver.dirty.len(), 1);
    lab.driver.dirty.clear();
    lab.driver.engine_lost("refused".to_owned());
    assert!(lab.driver.dirty.is_empty());
    lab.driver.engine_lost("no such socket".to_owned());
    assert_eq!(lab.driver.dirty.len(), 1);
}

/// A node that starts waits for the present state of the cluster, but not for ever.
#[tokio::test]
async fn without_quorum_the_node_goes_on_with_what_it_knows() {
    let mut lab = lab(&web("1")).await;
    let revision = present(lab.control.store().clone()).await.expect("this one answers");
    assert!(revision >= lab.driver.world.loaded && lab.driver.behind);
    lab.control.store().shutdown().await;
    let begun = tokio::time::Instant::now();
    assert_eq!(present(lab.control.store().clone()).await, None);
    assert!(begun.elapsed() >= CATCH_UP);
    lab.driver.begin(None, None).await;
    assert!(!lab.driver.behind);
}

/// What the cluster decided while this node was away counts from the start.
#[tokio::test]
async fn a_node_that_starts_begins_with_the_present_state() {
    let mut lab = lab(&web("1")).await;
    let first = lab.hash();
    let changes = lab.driver.watch();
    apply(&lab.control, &web("2")).await;
    let revision = present(lab.control.store().clone()).await;
    lab.driver.begin(revision, changes).await;
    assert!(!lab.driver.dirty.is_empty());
    assert_ne!(lab.hash(), first);
}

/// What is older than what is known is not taken in, whoever tells it.
#[tokio::test]
async fn the_world_never_goes_back() {
    let mut lab = lab(&web("1")).await;
    apply(&lab.control, &web("2")).await;
    let known = lab.driver.world.loaded + 1000;
    lab.driver.world.loaded = known;
    lab.driver.world.objects.clear();
    lab.driver.world.reload(&lab.control).await.unwrap();
    assert!(lab.driver.world.objects.is_empty() && lab.driver.world.loaded == known);
}
