//! What fails at once is not tried again at once, whatever it is.

use super::*;

fn problem(kind: ProblemKind) -> Outcome {
    Outcome::Failed(Problem { kind, code: "Code".into(), message: "no".into() })
}

/// Fails `action` and checks that the next one has to wait; gives the plan that waits.
#[track_caller]
fn waits_after(story: &mut Story, action: &Action, kind: ProblemKind) -> Plan {
    story.settle(action, problem(kind));
    let plan = story.plan();
    assert!(plan.action.is_none(), "tried again at once: {}", plan.action.unwrap());
    let at = plan.wake_at.expect("time will tell");
    assert!(at > story.now);
    plan
}

#[test]
fn a_stop_that_is_refused_is_tried_again_later() {
    let mut with_probe = rendered("a");
    with_probe.readiness.push(probe());
    let mut story = Story::new(with_probe);
    for _ in 0..2 {
        let action = story.plan().action.unwrap();
        let outcome = story.good_outcome(&action);
        story.settle(&action, outcome);
    }
    let check = story.plan().action.unwrap();
    story.settle(&check, problem(ProblemKind::CheckFailed));
    let stop = story.plan().action.unwrap();
    assert_eq!(stop.kind(), ActionKind::Stop);
    let plan = waits_after(&mut story, &stop, ProblemKind::Refused);
    story.now = plan.wake_at.unwrap();
    let again = story.plan().action.unwrap();
    assert_eq!(again.kind(), ActionKind::Stop);
    let outcome = story.good_outcome(&again);
    story.settle(&again, outcome);
    story.run();
    story.check(ReplicaState::Running);
}

#[test]
fn a_check_that_cannot_be_made_is_made_again_later() {
    let mut with_probe = rendered("a");
    with_probe.readiness.push(probe());
    for kind in [ProblemKind::NotFound, ProblemKind::Unavailable] {
        let mut story = Story::new(with_probe.clone());
        for _ in 0..2 {
            let action = story.plan().action.unwrap();
            let outcome = story.good_outcome(&action);
            story.settle(&action, outcome);
        }
        let check = story.plan().action.unwrap();
        let plan = waits_after(&mut story, &check, kind);
        story.check(ReplicaState::ReadinessCheck);
        story.now = plan.wake_at.unwrap();
        story.run();
        story.check(ReplicaState::Running);
    }
}

#[test]
fn a_container_that_is_gone_before_its_start_is_made_again_later() {
    let mut story = Story::new(rendered("a"));
    let create = story.plan().action.unwrap();
    let outcome = story.good_outcome(&create);
    story.settle(&create, outcome);
    let start = story.plan().action.unwrap();
    let plan = waits_after(&mut story, &start, ProblemKind::NotFound);
    assert!(story.replica.main.is_none());
    story.now = plan.wake_at.unwrap();
    story.run();
    story.check(ReplicaState::Running);
}

#[test]
fn whatever_fails_while_one_is_made_or_removed_waits() {
    let mut story = Story::new(rendered("a"));
    for kind in [ProblemKind::Refused, ProblemKind::Unavailable, ProblemKind::NotFound] {
        let create = story.plan().action.unwrap();
        assert_eq!(create.kind(), ActionKind::Create(Role::Main));
        let plan = waits_after(&mut story, &create, kind);
        story.now = plan.wake_at.unwrap();
    }
    story.run();
    story.check(ReplicaState::Running);
    story.replica.wanted = None;
    for kind in [ProblemKind::Refused, ProblemKind::Unavailable] {
        let remove = story.plan().action.unwrap();
        assert_eq!(remove.kind(), ActionKind::Remove);
        let plan = waits_after(&mut story, &remove, kind);
        story.now = plan.wake_at.unwrap();
    }
    assert!(story.run().gone);
}

/// The check of a container fails after that one has vanished: the next one is not to blame.
#[test]
fn a_failed_check_ends_no_other_container() {
    let mut with_probe = rendered("a");
    with_probe.readiness.push(probe());
    let mut story = Story::new(with_probe);
    for _ in 0..2 {
        let action = story.plan().action.unwrap();
        let outcome = story.good_outcome(&action);
        story.settle(&action, outcome);
    }
    let check = story.plan().action.unwrap();
    story.replica.main = None;
    story.settle(&check, problem(ProblemKind::CheckFailed));
    story.run();
    story.check(ReplicaState::Running);
    assert_eq!(story.made, 2);
}

/// A wrong image name leaves nothing behind that the right one would stumble over.
#[test]
fn what_is_known_of_an_image_is_not_said_of_another() {
    let mut story = Story::new(rendered("wrong"));
    let create = story.plan().action.unwrap();
    story.settle(&create, problem(ProblemKind::ImageMissing));
    let pull = story.plan().action.unwrap();
    assert_eq!(pull.kind(), ActionKind::Pull(Role::Main));
    story.replica.wanted = Some(wanted(rendered("right")));
    assert!(story.plan().cancel);
    story.settle(&pull, problem(ProblemKind::Cancelled));
    let create = story.plan().action.unwrap();
    assert_eq!(create.kind(), ActionKind::Create(Role::Main));
    // And an image that could not be pulled may have come some other way.
    story.settle(&create, problem(ProblemKind::ImageMissing));
    let pull = story.plan().action.unwrap();
    let plan = waits_after(&mut story, &pull, ProblemKind::PullFailed);
    story.now = plan.wake_at.unwrap();
    assert_eq!(story.plan().action.unwrap().kind(), ActionKind::Create(Role::Main));
}

/// The engine may keep something of a start that was cut short: the same container would fail for ever.
#[test]
fn a_container_whose_start_failed_is_made_anew_after_a_delay() {
    for kind in [ProblemKind::Refused, ProblemKind::Unavailable] {
        let mut story = Story::new(rendered("a"));
        let mut last = jiff::SignedDuration::ZERO;
        for attempt in 1..=4 {
            let create = story.plan().action.unwrap();
            assert_eq!(create.kind(), ActionKind::Create(Role::Main), "attempt {attempt}");
            let outcome = story.good_outcome(&create);
            story.settle(&create, outcome);
            let start = story.plan().action.unwrap();
            assert_eq!(start.kind(), ActionKind::Start(Role::Main));
            let plan = waits_after(&mut story, &start, kind);
            story.check(ReplicaState::DaemonFailure);
            let at = plan.wake_at.unwrap();
            assert!(at.duration_since(story.now) > last, "each delay is longer");
            last = at.duration_since(story.now);
            story.now = at;
            let remove = story.plan().action.unwrap();
            assert_eq!(remove.kind(), ActionKind::Remove);
            let outcome = story.good_outcome(&remove);
            story.settle(&remove, outcome);
        }
        story.run();
        story.check(ReplicaState::Running);
    }
}

#[test]
fn an_init_container_whose_start_failed_is_made_anew_after_a_delay() {
    let mut with_init = rendered("a");
    with_init.init = Some(ContainerSpec { image: "i".into(), ..ContainerSpec::default() });
    let mut story = Story::new(with_init);
    let create = story.plan().action.unwrap();
    let outcome = story.good_outcome(&create);
    story.settle(&create, outcome);
    let start = story.plan().action.unwrap();
    let plan = waits_after(&mut story, &start, ProblemKind::Refused);
    story.now = plan.wake_at.unwrap();
    assert_eq!(story.plan().action.unwrap().kind(), ActionKind::Remove);
    assert_eq!(story.replica.init.as_ref().unwrap().id, "id1");
}

/// One that was made before smr was restarted, and a start that did succeed in spite of its answer.
#[test]
fn a_made_container_is_started_and_a_running_one_kept_whatever_its_start_answered() {
    let mut story = Story::new(rendered("a"));
    let create = story.plan().action.unwrap();
    let outcome = story.good_outcome(&create);
    story.settle(&create, outcome);
    story.replica.memory = Memory::default();
    let start = story.plan().action.unwrap();
    assert_eq!(start.kind(), ActionKind::Start(Role::Main));
    story.settle(&start, problem(ProblemKind::Unavailable));
    story.replica.main.as_mut().unwrap().state = EngineState::Running;
    story.advance(Duration::from_secs(1));
    story.run();
    story.check(ReplicaState::Running);
    assert_eq!(story.made, 1);
}
