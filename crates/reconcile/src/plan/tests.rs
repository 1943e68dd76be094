//! Stories of single replicas, and the properties every plan owes us.

use std::time::Duration;

use proptest::prelude::*;
use smr_model::{ContainerSpec, ImageState, ReplicaKey};

mod delays;
mod replace;

use super::*;
use crate::render::{Probe, ProbeCheck, Rendered};

use smr_model::spec::{PullPolicy, RestartPolicy};

/// A replica and an engine that does what it is told.
struct Story {
    replica: Replica,
    now: Timestamp,
    made: u32,
    passed: Vec<&'static str>,
}

fn rendered(image: &str) -> Rendered {
    Rendered {
        main: ContainerSpec { image: image.to_owned(), ..ContainerSpec::default() },
        init: None,
        auth: None,
        init_auth: None,
        pull: PullPolicy::IfNotPresent,
        init_pull: PullPolicy::IfNotPresent,
        readiness: Vec::new(),
        liveness: Vec::new(),
        restart: RestartPolicy::Always,
        stop_timeout: Duration::from_secs(10),
        ports: Vec::new(),
        needs: std::collections::BTreeSet::new(),
    }
}

fn wanted(rendered: Rendered) -> Wanted {
    let main_hash = format!("hash of {}", rendered.main.image);
    let init_hash = rendered.init.as_ref().map_or_else(String::new, |i| i.image.clone());
    Wanted {
        generation: 1,
        target: Ok(Arc::new(Target { rendered, main_hash, init_hash })),
        transfer: None,
        missing: None,
        order: UpdateOrder::StopFirst,
        restart_token: String::new(),
        dependencies: DependencyState::Solved,
        dependency_names: Vec::new(),
    }
}

fn probe() -> Probe {
    Probe {
        name: "tcp".to_owned(),
        check: ProbeCheck::Tcp(80),
        timeout: Duration::from_secs(5),
        interval: Duration::from_secs(10),
        failures: 2,
    }
}

impl Story {
    fn new(rendered: Rendered) -> Self {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let key = ReplicaKey::new("shop", "web", 1);
        let replica = Replica {
            wanted: Some(wanted(rendered)),
            main: None,
            init: None,
            previous: None,
            status: ReplicaStatus::new(key.clone(), "node", 1, now),
            memory: Memory::default(),
            busy: None,
            engine_down: None,
            last_stop_timeout: None,
        };
        Self { replica, now, made: 0, passed: Vec::new() }
    }

    fn plan(&mut self) -> Plan {
        let plan = plan(self.now, &mut self.replica);
        self.passed.extend(plan.passed.iter().map(|(state, _)| state.as_str()));
        plan
    }

    fn seen(&mut self, hash: &str) -> Seen {
        self.made += 1;
        Seen {
            id: format!("id{}", self.made),
            state: EngineState::Created,
            exit_code: None,
            oom_killed: false,
            started_at: None,
            finished_at: None,
            spec_hash: hash.to_owned(),
        }
    }

    fn good_outcome(&mut self, action: &Action) -> Outcome {
        match action {
            Action::Create { hash, .. } => Outcome::Created(self.seen(&hash.clone())),
            Action::Start { .. } | Action::Revive { .. } => Outcome::Started,
            Action::Stop { .. } => {
                let mut seen = self.replica.main.clone().unwrap();
                seen.state = EngineState::Exited;
                seen.exit_code = Some(137);
                seen.finished_at = Some(self.now);
                Outcome::Stopped(Some(seen))
            }
            Action::Remove { ids, .. } => Outcome::Removed(ids.clone()),
            Action::Retire { id, .. } => Outcome::Removed(vec![id.clone()]),
            Action::SetAside { .. }
            | Action::TakeBack { .. }
            | Action::Pull { .. }
            | Action::Readiness { .. }
            | Action::Liveness { .. } => Outcome::Done,
        }
    }

    fn settle(&mut self, action: &Action, outcome: Outcome) {
        settle(self.now, &mut self.replica, action.kind(), outcome);
    }

    /// Carries plans out until one asks for nothing; init containers end well.
    fn run(&mut self) -> Plan {
        for _ in 0..50 {
            if let Some(init) = self.replica.init.as_mut().filter(|i| i.runs()) {
                init.state = EngineState::Exited;
                init.exit_code = Some(0);
            }
            let plan = self.plan();
            let Some(action) = &plan.action else { return plan };
            let outcome = self.good_outcome(action);
            self.settle(action, outcome);
        }
        panic!("does not settle, state {}", self.replica.status.state);
    }

    fn die(&mut self, code: i64) {
        let main = self.replica.main.as_mut().expect("only a container that is there dies");
        main.state = EngineState::Exited;
        main.exit_code = Some(code);
        main.finished_at = Some(self.now);
    }

    fn advance(&mut self, by: Duration) {
        self.now += span(by);
    }

    #[track_caller]
    fn check(&self, state: ReplicaState) {
        assert_eq!(self.replica.status.state, state, "passed {:?}", self.passed);
    }
}

#[test]
fn a_new_replica_goes_through_the_known_states() {
    let mut story = Story::new(rendered("a"));
    story.run();
    assert_eq!(
        story.passed,
        [
            "prepare",
            "depends_checking",
            "depends_solved",
            "start",
            "readiness_check",
            "readiness_ready",
            "running"
        ]
    );
    assert!(story.replica.status.ready);
}

#[test]
fn planning_again_changes_nothing() {
    let mut story = Story::new(rendered("a"));
    story.run();
    let before = story.replica.status.clone();
    let again = story.plan();
    assert!(again.action.is_none() && again.passed.is_empty());
    assert_eq!(story.replica.status, before);
}

#[test]
fn a_matching_running_container_is_adopted_untouched() {
    let mut story = Story::new(rendered("a"));
    story.run();
    // A restart of smr: status from the store, memory lost, container listed anew.
    story.replica.memory = Memory::default();
    let plan = story.plan();
    assert!(plan.action.is_none() && plan.passed.is_empty());
}

#[test]
fn another_specification_replaces_the_container() {
    let mut story = Story::new(rendered("a"));
    story.run();
    story.replica.wanted = Some(wanted(rendered("b")));
    story.passed.clear();
    story.run();
    assert_eq!(story.passed[..3], ["created", "clean", "prepare"]);
    assert_eq!(story.replica.main.as_ref().unwrap().id, "id2");
    story.check(ReplicaState::Running);
}

#[test]
fn scale_and_probe_changes_touch_no_container() {
    let mut story = Story::new(rendered("a"));
    story.run();
    let mut changed = rendered("a");
    changed.readiness.push(probe());
    story.replica.wanted = Some(Wanted { generation: 2, ..wanted(changed) });
    assert!(story.plan().action.is_none());
    assert_eq!(story.replica.status.generation, 2);
}

#[test]
fn a_missing_image_is_pulled_and_the_creation_tried_again() {
    let mut story = Story::new(rendered("a"));
    let create = story.plan().action.unwrap();
    let problem = Problem {
        kind: ProblemKind::ImageMissing,
        code: "ImageMissing".into(),
        message: "no image".into(),
    };
    story.settle(&create, Outcome::Failed(problem));
    assert!(matches!(story.plan().action, Some(Action::Pull { .. })));
    assert_eq!(story.replica.status.image_state, ImageState::Pulling);
    story.replica.busy = None;
    settle(story.now, &mut story.replica, ActionKind::Pull(Role::Main), Outcome::Done);
    story.run();
    story.check(ReplicaState::Running);
}

#[test]
fn a_failed_pull_backs_off_and_a_corrected_definition_does_not_wait() {
    let mut story = Story::new(rendered("a"));
    story.replica.memory.image_missing = true;
    let pull = story.plan().action.unwrap();
    let problem = Problem {
        kind: ProblemKind::PullFailed,
        code: "ImagePullFailed".into(),
        message: "registry says no".into(),
    };
    story.settle(&pull, Outcome::Failed(problem));
    let plan = story.plan();
    assert!(plan.action.is_none() && plan.wake_at.is_some());
    story.check(ReplicaState::DaemonFailure);
    assert_eq!(story.replica.status.image_state, ImageState::Failed);
    story.replica.wanted = Some(wanted(rendered("b")));
    assert!(story.plan().action.is_some());
}

#[test]
fn the_sixth_quick_death_is_a_crash_loop_and_a_restart_revives_it() {
    let mut story = Story::new(rendered("a"));
    for death in 1..=6 {
        story.run();
        story.check(ReplicaState::Running);
        story.die(1);
        let plan = story.plan();
        if death == 1 {
            let action = plan.action.expect("the first death costs no time");
            let outcome = story.good_outcome(&action);
            story.settle(&action, outcome);
        } else if death < 6 {
            story.check(ReplicaState::Dead);
            story.advance(Duration::from_secs(5));
        }
    }
    story.check(ReplicaState::Backoff);
    assert!(story.plan().action.is_none());
    if let Some(wanted) = &mut story.replica.wanted {
        wanted.restart_token = "again".into();
    }
    story.run();
    story.check(ReplicaState::Running);
    assert_eq!(story.replica.status.quick_deaths, 0);
}

#[test]
fn run_once_rests_when_done_and_fails_when_not() {
    for (code, state) in [(0, ReplicaState::Completed), (3, ReplicaState::Failed)] {
        let mut once = rendered("a");
        once.restart = RestartPolicy::Never;
        let mut story = Story::new(once);
        story.run();
        story.die(code);
        assert!(story.run().wake_at.is_none());
        story.check(state);
        // The container may be pruned; the result stays.
        story.replica.main = None;
        story.run();
        story.check(state);
    }
}

#[test]
fn failed_readiness_kills_and_counts_as_a_death() {
    let mut unready = rendered("a");
    unready.readiness.push(probe());
    let mut story = Story::new(unready);
    for _ in 0..3 {
        let plan = story.plan();
        let action = plan.action.unwrap();
        let outcome = match &action {
            Action::Readiness { .. } => Outcome::Failed(Problem {
                kind: ProblemKind::CheckFailed,
                code: "ReadinessFailed".into(),
                message: "refused".into(),
            }),
            other => story.good_outcome(other),
        };
        story.settle(&action, outcome);
    }
    let stop = story.plan().action.unwrap();
    assert!(matches!(stop, Action::Stop { .. }));
    let outcome = story.good_outcome(&stop);
    story.settle(&stop, outcome);
    story.plan();
    assert_eq!(story.passed[5..], ["readiness_failed", "kill", "dead"]);
    assert_eq!(story.replica.status.quick_deaths, 1);
}

#[test]
fn dependencies_that_come_late_are_failed_first_and_solved_then() {
    let mut story = Story::new(rendered("a"));
    let waiting = DependencyState::Waiting {
        message: "waits for db".into(),
        timeout: Duration::from_secs(30),
    };
    story.replica.wanted.as_mut().unwrap().dependencies = waiting;
    let plan = story.run();
    story.check(ReplicaState::DependsChecking);
    assert_eq!(plan.wake_at, Some(story.now + span(Duration::from_secs(30))));
    story.advance(Duration::from_secs(31));
    story.run();
    story.check(ReplicaState::DependsFailed);
    story.replica.wanted.as_mut().unwrap().dependencies = DependencyState::Solved;
    story.run();
    story.check(ReplicaState::Running);
}

#[test]
fn what_cannot_be_rendered_waits_and_a_running_container_is_kept() {
    let missing = || Err(Reason::new("MissingObject", "no secret"));
    let mut story = Story::new(rendered("a"));
    let target = story.replica.wanted.as_ref().unwrap().target.clone();
    story.replica.wanted.as_mut().unwrap().target = missing();
    story.run();
    story.check(ReplicaState::Pending);
    story.replica.wanted.as_mut().unwrap().target = target;
    story.run();
    story.check(ReplicaState::Running);
    story.replica.wanted.as_mut().unwrap().target = missing();
    assert!(story.plan().action.is_none());
    story.check(ReplicaState::Running);
    assert_eq!(story.replica.status.reason.as_ref().unwrap().code, "MissingObject");
}

#[test]
fn an_init_container_runs_first_and_its_failure_backs_off() {
    let mut with_init = rendered("a");
    with_init.init = Some(ContainerSpec { image: "i".into(), ..ContainerSpec::default() });
    let mut story = Story::new(with_init);
    for _ in 0..2 {
        let action = story.plan().action.unwrap();
        let outcome = story.good_outcome(&action);
        story.settle(&action, outcome);
    }
    let init = story.replica.init.as_mut().unwrap();
    init.state = EngineState::Exited;
    init.exit_code = Some(1);
    assert!(story.plan().wake_at.is_some());
    story.check(ReplicaState::InitFailed);
    story.advance(Duration::from_secs(1));
    story.run();
    story.check(ReplicaState::Running);
}

#[test]
fn an_unwanted_replica_is_stopped_removed_and_forgotten() {
    let mut story = Story::new(rendered("a"));
    story.run();
    story.replica.wanted = None;
    let plan = story.run();
    assert!(plan.gone);
    story.check(ReplicaState::Delete);
}

#[test]
fn without_an_engine_nothing_is_done_and_deaths_by_its_restart_are_forgiven() {
    let mut story = Story::new(rendered("a"));
    story.run();
    story.replica.engine_down = Some("docker does not answer".into());
    assert!(story.plan().action.is_none());
    assert_eq!(story.replica.status.reason.as_ref().unwrap().code, "EngineUnavailable");
    story.replica.engine_down = None;
    story.replica.memory.forgive();
    story.die(137);
    story.run();
    story.check(ReplicaState::Running);
    assert_eq!(story.replica.status.quick_deaths, 0);
}

#[test]
fn liveness_failures_in_a_row_restart_the_replica() {
    let mut alive = rendered("a");
    alive.liveness.push(probe());
    let mut story = Story::new(alive);
    let mut plan = story.run();
    for _ in 0..2 {
        story.now = plan.wake_at.expect("the next check is planned");
        let action = story.plan().action.unwrap();
        let problem = Problem {
            kind: ProblemKind::CheckFailed,
            code: "LivenessFailed".into(),
            message: "refused".into(),
        };
        story.settle(&action, Outcome::Failed(problem));
        plan = story.plan();
    }
    assert!(matches!(plan.action, Some(Action::Stop { .. })));
}

/// Waiting is one transition, however often it is looked at.
#[test]
fn waiting_replicas_do_not_tell_the_same_again() {
    let still = |story: &mut Story, state| {
        story.plan();
        story.check(state);
        let since = story.replica.status.since;
        story.advance(Duration::from_secs(1));
        let again = story.plan();
        assert!(again.passed.is_empty() && again.action.is_none(), "{:?}", again.passed);
        assert_eq!(story.replica.status.since, since);
    };
    let mut story = Story::new(rendered("a"));
    let wanted = story.replica.wanted.as_mut().unwrap();
    let target = std::mem::replace(&mut wanted.target, Err(Reason::new("MissingObject", "no")));
    still(&mut story, ReplicaState::Pending);
    let wanted = story.replica.wanted.as_mut().unwrap();
    wanted.target = target;
    wanted.missing = Some(Reason::new("MissingObject", "network `a` is being made"));
    still(&mut story, ReplicaState::Pending);
    let wanted = story.replica.wanted.as_mut().unwrap();
    wanted.missing = None;
    let timeout = Duration::from_secs(30);
    wanted.dependencies = DependencyState::Waiting { message: "waits".into(), timeout };
    still(&mut story, ReplicaState::DependsChecking);
    story.advance(timeout);
    still(&mut story, ReplicaState::DependsFailed);
}

#[test]
fn without_an_engine_nothing_is_called_gone_and_nothing_seen_is_forgotten() {
    let mut story = Story::new(rendered("a"));
    story.run();
    let (id, main) = (story.replica.status.container_id.clone(), story.replica.main.take());
    // As after a restart of the node: the status is known, the engine has not answered yet.
    story.replica.engine_down = Some("not yet".into());
    story.plan();
    assert!(story.replica.status.ready);
    assert_eq!(story.replica.status.container_id, id);
    let wanted = story.replica.wanted.take();
    let plan = story.plan();
    assert!(!plan.gone);
    story.check(ReplicaState::Delete);
    (story.replica.engine_down, story.replica.wanted) = (None, wanted);
    story.replica.main = main;
    let before = story.made;
    story.run();
    story.check(ReplicaState::Running);
    assert_eq!(story.made, before, "the container was adopted");
}

#[test]
fn a_death_during_a_check_ends_the_check() {
    let mut with_probe = rendered("a");
    with_probe.readiness.push(probe());
    let mut story = Story::new(with_probe);
    for _ in 0..2 {
        let action = story.plan().action.unwrap();
        let outcome = story.good_outcome(&action);
        story.settle(&action, outcome);
    }
    let check = story.plan().action.unwrap();
    assert_eq!(check.kind(), ActionKind::Readiness);
    assert!(!story.plan().cancel);
    story.die(1);
    assert!(story.plan().cancel);
    let kind = ProblemKind::Cancelled;
    let problem = Problem { kind, code: "Cancelled".into(), message: String::new() };
    story.settle(&check, Outcome::Failed(problem));
    story.run();
    story.check(ReplicaState::Running);
    assert_eq!(story.replica.status.quick_deaths, 1);
}

#[test]
fn something_missing_at_creation_is_waited_for_until_it_appears() {
    let mut story = Story::new(rendered("a"));
    let create = story.plan().action.unwrap();
    let missing = Problem {
        kind: ProblemKind::NotFound,
        code: "NotFound".into(),
        message: "network `x` does not exist".into(),
    };
    story.settle(&create, Outcome::Failed(missing));
    let plan = story.plan();
    assert!(plan.action.is_none() && plan.wake_at.is_some());
    story.check(ReplicaState::Pending);
    assert_eq!(story.replica.status.reason.as_ref().unwrap().code, "MissingObject");
    story.replica.try_again();
    story.run();
    story.check(ReplicaState::Running);
}

/// What may happen to a replica from outside.
#[derive(Debug, Clone)]
enum Shock {
    Missing(bool),
    Unrendered(bool),
    Depend(bool),
    Die(i64),
    Vanish,
    Want(Option<u8>),
    Restart(u8),
    EngineDown(bool),
    Pass(u16),
    Fail,
    Good,
    Crash(bool, bool),
    LoseFormer(bool),
}

fn shocks() -> impl Strategy<Value = Vec<Shock>> {
    let shock = prop_oneof![
        1 => (0..3i64).prop_map(Shock::Die),
        1 => Just(Shock::Vanish),
        1 => any::<bool>().prop_map(Shock::Missing),
        1 => any::<bool>().prop_map(Shock::Unrendered),
        1 => any::<bool>().prop_map(Shock::Depend),
        1 => proptest::option::of(0..3u8).prop_map(Shock::Want),
        1 => (0..3u8).prop_map(Shock::Restart),
        1 => any::<bool>().prop_map(Shock::EngineDown),
        1 => (0..400u16).prop_map(Shock::Pass),
        1 => Just(Shock::Fail),
        1 => any::<(bool, bool)>().prop_map(|(effect, stored)| Shock::Crash(effect, stored)),
        1 => any::<bool>().prop_map(Shock::LoseFormer),
        3 => Just(Shock::Good),
    ];
    proptest::collection::vec(shock, 0..40)
}

fn suffer(story: &mut Story, shock: &Shock) {
    match shock {
        Shock::Die(code) if story.replica.main.as_ref().is_some_and(Seen::runs) => story.die(*code),
        Shock::Die(_) => {}
        Shock::Missing(missing) => {
            if let Some(wanted) = &mut story.replica.wanted {
                wanted.missing = missing.then(|| Reason::new("MissingObject", "no network"));
            }
        }
        Shock::Unrendered(unrendered) => {
            if let Some(wanted) = &mut story.replica.wanted {
                wanted.target = match unrendered {
                    true => Err(Reason::new("MissingObject", "no secret")),
                    false => self::wanted(rendered("0")).target,
                };
            }
        }
        Shock::Depend(waits) => {
            if let Some(wanted) = &mut story.replica.wanted {
                let timeout = Duration::from_secs(30);
                wanted.dependencies = match waits {
                    true => DependencyState::Waiting { message: "waits".into(), timeout },
                    false => DependencyState::Solved,
                };
            }
        }
        Shock::Vanish => {
            if story.replica.busy.is_none() {
                story.replica.main = None;
            }
        }
        Shock::Want(image) => {
            story.replica.wanted = image.map(|i| {
                let mut spec = rendered(&i.to_string());
                if i == 2 {
                    spec.init = Some(ContainerSpec { image: "i".into(), ..Default::default() });
                    spec.readiness.push(probe());
                }
                // The last one stops what is there before it starts.
                let order = match i {
                    0 | 1 => UpdateOrder::StartFirst,
                    _ => UpdateOrder::StopFirst,
                };
                Wanted { order, ..wanted(spec) }
            });
        }
        Shock::Crash(effect, stored) => story.crash(*effect, *stored),
        Shock::LoseFormer(dies) if story.replica.busy.is_none() => {
            match &mut story.replica.previous {
                Some(previous) if *dies => previous.state = EngineState::Exited,
                previous => *previous = None,
            }
        }
        Shock::LoseFormer(_) => {}
        Shock::Restart(token) => {
            if let Some(wanted) = &mut story.replica.wanted {
                wanted.restart_token = token.to_string();
            }
        }
        Shock::EngineDown(down) => {
            story.replica.engine_down = down.then(|| "away".to_owned());
        }
        Shock::Pass(seconds) => story.advance(Duration::from_secs((*seconds).into())),
        Shock::Fail | Shock::Good => {
            let Some(action) = story.plan().action else { return };
            let problem = Problem {
                kind: ProblemKind::Refused,
                code: "Refused".into(),
                message: "no".into(),
            };
            let outcome = match shock {
                Shock::Fail => Outcome::Failed(problem),
                _ => story.good_outcome(&action),
            };
            story.settle(&action, outcome);
        }
    }
}

proptest! {
    /// Whatever happened before: once the world is quiet, the replica settles where it is wanted,
    /// within a bounded number of steps, and planning again is empty.
    #[test]
    fn every_history_settles(shocks in shocks()) {
        let mut story = Story::new(rendered("0"));
        for shock in &shocks {
            suffer(&mut story, shock);
            if let Some(action) = story.plan().action {
                let outcome = story.good_outcome(&action);
                story.settle(&action, outcome);
            } else {
                let again = story.plan();
                prop_assert!(again.action.is_none() && again.passed.is_empty(), "{:?}", again.passed);
            }
        }
        for quiet in [Shock::EngineDown(false), Shock::Missing(false), Shock::Depend(false)] {
            suffer(&mut story, &quiet);
        }
        if let Some(wanted) = story.replica.wanted.as_mut().filter(|w| w.target.is_err()) {
            wanted.target = self::wanted(rendered("0")).target;
        }
        story.replica.busy = None;
        for _ in 0..4 {
            let plan = story.run();
            if let Some(at) = plan.wake_at {
                story.now = at;
            }
        }
        let plan = story.run();
        prop_assert!(plan.passed.is_empty());
        match &story.replica.wanted {
            None => prop_assert!(plan.gone && !story.replica.runs()),
            Some(wanted) => {
                story.check(ReplicaState::Running);
                let hash = &wanted.target.as_ref().unwrap().main_hash;
                prop_assert_eq!(&story.replica.main.as_ref().unwrap().spec_hash, hash);
                prop_assert!(story.replica.status.ready && story.replica.previous.is_none());
                prop_assert_eq!(&story.replica.status.restart_token, &wanted.restart_token);
            }
        }
    }
}
