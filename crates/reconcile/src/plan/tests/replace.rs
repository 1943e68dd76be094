//! The next container is ready before the one from before goes, whatever happens in between.

use super::*;

/// A wish whose replacement starts first.
pub(super) fn start_first(image: &str) -> Wanted {
    Wanted { order: UpdateOrder::StartFirst, ..wanted(rendered(image)) }
}

impl Story {
    /// A replica that runs, and whose definition has changed.
    fn changed() -> Self {
        let mut story = Self::new(rendered("a"));
        story.run();
        story.replica.wanted = Some(start_first("b"));
        story.passed.clear();
        story
    }

    /// smr ends in the middle of the next action, which had its effect or not, and the status of
    /// before was or was not stored.
    pub(super) fn crash(&mut self, effect: bool, stored: bool) {
        let before = self.replica.status.clone();
        if let Some(action) = self.plan().action
            && effect
        {
            let outcome = self.good_outcome(&action);
            self.settle(&action, outcome);
        }
        self.replica.busy = None;
        self.replica.memory = Memory::default();
        if !stored {
            self.replica.status = before;
        }
    }

    /// Carries out the next action. Whether there was one.
    fn step(&mut self) -> bool {
        let Some(action) = self.plan().action else { return false };
        let outcome = self.good_outcome(&action);
        self.settle(&action, outcome);
        true
    }

    fn runs(&self) -> bool {
        self.replica.runs()
    }

    #[track_caller]
    fn check_replaced(&self, hash: &str) {
        self.check(ReplicaState::Running);
        assert!(self.replica.status.ready && self.replica.status.reason.is_none());
        assert_eq!(self.replica.main.as_ref().unwrap().spec_hash, hash);
        assert!(self.replica.previous.is_none());
    }
}

#[test]
fn the_next_container_is_ready_before_the_one_from_before_goes() {
    let mut story = Story::changed();
    let mut kinds = Vec::new();
    while let Some(action) = story.plan().action {
        if kinds.len() > 1 {
            assert!(!story.replica.status.ready || action.kind() == ActionKind::Retire);
        }
        if !story.replica.status.ready {
            assert_eq!(story.replica.status.reason.as_ref().unwrap().code, "PreviousServes");
        }
        kinds.push(action.kind());
        let outcome = story.good_outcome(&action);
        story.settle(&action, outcome);
        assert!(story.runs());
    }
    let (create, start) = (ActionKind::Create(Role::Main), ActionKind::Start(Role::Main));
    assert_eq!(kinds, [ActionKind::SetAside, create, start, ActionKind::Retire]);
    assert_eq!(
        story.passed,
        [
            "created",
            "prepare",
            "depends_checking",
            "depends_solved",
            "start",
            "readiness_check",
            "readiness_ready",
            "running"
        ]
    );
    story.check_replaced("hash of b");
}

#[test]
fn what_is_not_ready_is_not_kept() {
    let mut with_probe = rendered("a");
    with_probe.readiness.push(probe());
    let mut story = Story::new(with_probe);
    assert!(story.step() && story.step());
    story.replica.wanted = Some(start_first("b"));
    assert_eq!(story.plan().action.unwrap().kind(), ActionKind::Remove);
}

#[test]
fn a_crash_of_smr_at_any_point_leaves_no_gap_and_ends_right() {
    for point in 0..8 {
        for (effect, stored) in [(true, true), (true, false), (false, true), (false, false)] {
            let mut story = Story::changed();
            for _ in 0..point {
                story.step();
            }
            story.crash(effect, stored);
            while story.step() {
                assert!(story.runs(), "point {point}, {effect}, {stored}");
            }
            story.check_replaced("hash of b");
            assert!(story.made <= 3);
        }
    }
}

#[test]
fn when_the_next_one_fails_the_one_from_before_serves_and_the_status_says_so() {
    let mut story = Story::changed();
    assert!(story.step() && story.step());
    for _ in 0..3 {
        assert!(story.step());
        let old = story.replica.previous.clone().expect("the one from before is there");
        story.die(1);
        story.plan();
        story.replica.busy = None;
        let status = &story.replica.status;
        assert!(!status.ready);
        let reason = status.reason.as_ref().unwrap();
        assert!(reason.message.ends_with("goes on until the new one is ready"), "{reason:?}");
        story.advance(Duration::from_secs(5));
        // Removed and made anew, the one from before untouched.
        assert!(story.step() && story.step());
        assert_eq!(story.replica.previous, Some(old));
    }
    story.run();
    story.check_replaced("hash of b");
}

/// The engine was restarted, or it crashed: as long as nothing better is ready, it is started again.
#[test]
fn the_one_from_before_is_started_again_while_the_next_one_is_not_ready() {
    let mut story = Story::changed();
    assert!(story.step());
    let old = story.replica.previous.as_ref().unwrap().id.clone();
    let mut last = jiff::SignedDuration::ZERO;
    for death in 1..5 {
        story.replica.previous.as_mut().unwrap().state = EngineState::Exited;
        let revive = story.plan().action.unwrap();
        assert_eq!(revive.kind(), ActionKind::Revive, "death {death}");
        story.settle(&revive, Outcome::Started);
        assert_eq!(story.replica.previous.as_ref().unwrap().id, old);
        // At once it would be too soon, and the next one is not held up.
        story.replica.previous.as_mut().unwrap().state = EngineState::Exited;
        let plan = story.plan();
        assert_eq!(plan.action.unwrap().kind(), ActionKind::Create(Role::Main));
        story.replica.busy = None;
        let at = plan.wake_at.expect("time will tell");
        assert!(at.duration_since(story.now) > last);
        last = at.duration_since(story.now);
        story.now = at;
    }
    story.run();
    story.check_replaced("hash of b");
}

#[test]
fn one_from_before_that_does_not_start_again_is_removed() {
    let mut story = Story::changed();
    assert!(story.step());
    story.replica.previous.as_mut().unwrap().state = EngineState::Exited;
    let revive = story.plan().action.unwrap();
    let kind = ProblemKind::Refused;
    let problem = Problem { kind, code: "EngineFailed".into(), message: "no".into() };
    story.settle(&revive, Outcome::Failed(problem));
    assert_eq!(story.plan().action.unwrap().kind(), ActionKind::Retire);
    story.replica.busy = None;
    story.run();
    story.check_replaced("hash of b");
}

#[test]
fn a_refused_creation_leaves_the_one_from_before_alone() {
    let mut story = Story::changed();
    assert!(story.step());
    for _ in 0..3 {
        let create = story.plan().action.unwrap();
        assert_eq!(create.kind(), ActionKind::Create(Role::Main));
        let kind = ProblemKind::Refused;
        let problem = Problem { kind, code: "EngineRefused".into(), message: "no".into() };
        story.settle(&create, Outcome::Failed(problem));
        let plan = story.plan();
        story.check(ReplicaState::DaemonFailure);
        let again = story.plan();
        assert!(again.passed.is_empty() && again.action.is_none());
        let reason = story.replica.status.reason.clone().unwrap();
        assert!(reason.message.starts_with("no; the container from before"), "{reason:?}");
        story.now = plan.wake_at.unwrap();
    }
    story.run();
    story.check_replaced("hash of b");
}

#[test]
fn a_newer_target_replaces_the_new_one_and_never_the_old() {
    for steps in 1..4 {
        let mut story = Story::changed();
        for _ in 0..steps {
            assert!(story.step());
        }
        let old = story.replica.previous.as_ref().unwrap().id.clone();
        story.replica.wanted = Some(start_first("c"));
        let mut made = 0;
        while let Some(action) = story.plan().action {
            if let Action::Remove { ids, .. } = &action {
                assert!(!ids.contains(&old));
            }
            made += u32::from(action.kind() == ActionKind::Create(Role::Main));
            let outcome = story.good_outcome(&action);
            story.settle(&action, outcome);
            assert!(story.runs());
        }
        assert_eq!(made, 1);
        story.check_replaced("hash of c");
    }
}

#[test]
fn the_one_from_before_is_taken_back_when_it_is_wanted_again() {
    for steps in 1..4 {
        let mut story = Story::changed();
        for _ in 0..steps {
            assert!(story.step());
        }
        let old = story.replica.previous.as_ref().unwrap().id.clone();
        // Whatever order the definition from before has.
        story.replica.wanted = Some(wanted(rendered("a")));
        while story.step() {
            assert!(story.runs());
        }
        story.check_replaced("hash of a");
        assert_eq!(story.replica.main.as_ref().unwrap().id, old);
    }
    // Before anything was done there is nothing to take back.
    let mut story = Story::changed();
    story.plan();
    story.replica.busy = None;
    story.replica.wanted = Some(wanted(rendered("a")));
    assert!(!story.step());
    story.check_replaced("hash of a");
}

#[test]
fn an_image_that_is_missing_is_pulled_before_anything_is_moved() {
    let mut story = Story::changed();
    let aside = story.plan().action.unwrap();
    let kind = ProblemKind::ImageMissing;
    let problem = Problem { kind, code: "ImageMissing".into(), message: "no".into() };
    story.settle(&aside, Outcome::Failed(problem));
    let pull = story.plan().action.unwrap();
    assert_eq!(pull.kind(), ActionKind::Pull(Role::Main));
    assert!(story.replica.main.as_ref().unwrap().runs());
    story.settle(&pull, Outcome::Done);
    story.run();
    story.check_replaced("hash of b");
}

#[test]
fn one_that_cannot_be_removed_does_not_disturb_the_next() {
    let mut story = Story::changed();
    assert!(story.step() && story.step() && story.step());
    for _ in 0..3 {
        let retire = story.plan().action.unwrap();
        assert_eq!(retire.kind(), ActionKind::Retire);
        let kind = ProblemKind::Refused;
        let problem = Problem { kind, code: "EngineFailed".into(), message: "no".into() };
        story.settle(&retire, Outcome::Failed(problem));
        let plan = story.plan();
        assert!(plan.action.is_none() && plan.passed.is_empty());
        story.check(ReplicaState::Running);
        story.now = plan.wake_at.expect("tried again later");
    }
    story.run();
    story.check_replaced("hash of b");
}

/// The removal of the one from before takes its time; another change in it is told at once.
#[test]
fn what_runs_is_not_taken_for_what_is_wanted_while_the_one_from_before_is_removed() {
    let mut story = Story::changed();
    assert!(story.step() && story.step() && story.step());
    let retire = story.plan().action.unwrap();
    story.check(ReplicaState::Running);
    story.replica.wanted = Some(start_first("c"));
    assert!(story.plan().action.is_none());
    story.check(ReplicaState::Created);
    assert!(story.plan().passed.is_empty());
    let outcome = story.good_outcome(&retire);
    story.settle(&retire, outcome);
    story.run();
    story.check_replaced("hash of c");
}

#[test]
fn an_unwanted_replica_leaves_nothing_from_before() {
    let mut story = Story::changed();
    assert!(story.step() && story.step() && story.step());
    story.replica.wanted = None;
    assert!(story.run().gone);
    assert!(story.replica.previous.is_none() && story.replica.main.is_none());
}

/// What has to stop first does so, also when something was set aside by a definition in between.
#[test]
fn a_target_that_stops_first_does_not_start_beside_another() {
    let mut story = Story::changed();
    assert!(story.step());
    story.replica.wanted = Some(wanted(rendered("c")));
    while let Some(action) = story.plan().action {
        if action.kind() == ActionKind::Create(Role::Main) {
            assert!(!story.runs());
        }
        let outcome = story.good_outcome(&action);
        story.settle(&action, outcome);
    }
    story.check_replaced("hash of c");
}

#[test]
fn a_replica_that_moves_here_waits_for_the_other_node_by_name() {
    let mut story = Story::new(rendered("a"));
    let reason = Reason::new("Transfering", "waits until node `two` has stopped it");
    story.replica.wanted.as_mut().unwrap().transfer = Some(reason.clone());
    assert!(story.plan().action.is_none());
    story.check(ReplicaState::Transfering);
    assert_eq!(story.replica.status.reason, Some(reason));
    let again = story.plan();
    assert!(again.action.is_none() && again.passed.is_empty());
    story.replica.wanted.as_mut().unwrap().transfer = None;
    story.run();
    story.check(ReplicaState::Running);
}
