//! A few seeds hold, a seed replays, and each deliberate mistake is found. Thousands of seeds:
//! `cargo xtask sim --seeds 2000 --steps 2000`.

use smr_sim::{Bug, Options, run};

#[track_caller]
fn check(options: Options) {
    let report = run(options);
    if let Some(failure) = report.failure {
        panic!(
            "{}\n\nseed {} fails at step {}: {failure}",
            report.story, report.seed, report.steps
        );
    }
    assert!(report.acknowledged > 0 && report.operations > 0, "nothing happened: {report:?}");
}

/// How many seeds it takes to find the mistake.
#[track_caller]
fn finds(bug: Bug, seeds: u64, steps: u64) {
    let found = (0..seeds).find(|seed| {
        let options = Options { seed: *seed, steps, bug: Some(bug), ..Options::default() };
        run(options).failure.is_some()
    });
    assert!(found.is_some(), "{bug:?} is not found within {seeds} seeds");
}

#[test]
fn clusters_keep_their_promises() {
    for seed in 0..12 {
        check(Options { seed, steps: 300, ..Options::default() });
    }
}

#[test]
fn clusters_without_faults_do_what_users_say() {
    for seed in 100..106 {
        check(Options { seed, steps: 200, calm: true, ..Options::default() });
    }
}

#[test]
fn a_seed_replays_exactly() {
    let options = || Options { seed: 7, steps: 150, trace: true, ..Options::default() };
    let (one, other) = (run(options()), run(options()));
    assert_eq!((one.events, one.digest, one.millis), (other.events, other.digest, other.millis));
    assert_eq!(one.story, other.story);
}

#[test]
fn acknowledging_before_the_sync_is_found() {
    finds(Bug::SkipSync, 60, 400);
}

#[test]
fn deciding_on_a_stale_view_is_found() {
    finds(Bug::StaleView, 20, 400);
}

#[test]
fn writing_after_the_term_is_found() {
    finds(Bug::NoFence, 40, 400);
}

#[test]
fn running_what_is_assigned_elsewhere_is_found() {
    finds(Bug::IgnoreMove, 20, 300);
}

#[test]
fn missing_a_change_is_found() {
    finds(Bug::LostWatch, 20, 300);
}

#[test]
fn starting_before_the_other_stopped_is_found() {
    finds(Bug::NoWait, 20, 400);
}

#[test]
fn touching_what_others_made_is_found() {
    finds(Bug::ForgetOwnership, 5, 100);
}

#[test]
fn reading_without_a_majority_is_found() {
    finds(Bug::ReadWithoutQuorum, 150, 400);
}

#[test]
fn taking_entries_that_do_not_fit_is_found() {
    finds(Bug::NoLogMatching, 60, 400);
}
