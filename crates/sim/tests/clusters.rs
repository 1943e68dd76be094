//! A few seeds hold, a seed replays, and each deliberate mistake is found by the check that is there for it.
//! Thousands of seeds: `cargo xtask sim --seeds 2000 --steps 2000`.

use smr_sim::{Bug, Check, Options, Report, power_cut, run, stale_read};

#[track_caller]
fn holds(report: Report) {
    if let Some(failure) = report.failure {
        panic!("{}\n\nseed {}, step {}: {failure}", report.story, report.seed, report.steps);
    }
    assert!(report.acknowledged > 0 && report.operations > 0, "nothing happened: {report:?}");
}

/// One of these seeds is found wrong, by this check.
#[track_caller]
fn finds(bug: Bug, check: Check, options: &Options, seeds: u64) {
    let of = |seed| {
        let report = run(Options { seed, bug: Some(bug), ..options.clone() });
        report.failure.map(|failure| failure.check)
    };
    let mut found = Vec::new();
    for seed in 0..seeds {
        found.push(of(seed));
        if found.last() == Some(&Some(check)) {
            return;
        }
    }
    panic!("{bug:?} is not found by {check:?}: {found:?}");
}

fn trouble(nodes: u64, steps: u64) -> Options {
    Options { nodes: Some(nodes), steps, ..Options::default() }
}

fn calm(nodes: u64, steps: u64) -> Options {
    Options { calm: true, ..trouble(nodes, steps) }
}

#[test]
fn clusters_keep_their_promises() {
    for seed in 0..20 {
        holds(run(Options { seed, steps: 300, ..Options::default() }));
    }
}

#[test]
fn clusters_without_faults_do_what_users_say() {
    for seed in 100..106 {
        holds(run(Options { seed, steps: 200, calm: true, ..Options::default() }));
    }
}

#[test]
fn a_seed_replays_exactly() {
    let options = || Options { seed: 7, steps: 150, trace: true, ..Options::default() };
    let (one, other) = (run(options()), run(options()));
    assert_eq!((one.events, one.digest, one.millis), (other.events, other.digest, other.millis));
    assert_eq!(one.story, other.story);
}

/// How much of what was not synced is lost is a matter of chance.
#[test]
fn acknowledging_before_the_sync_is_found() {
    let of = |seed, bug| power_cut(Options { seed, bug, ..Options::default() });
    (0..4).for_each(|seed| holds(of(seed, None)));
    let found = (0..20).any(|seed| {
        let failure = of(seed, Some(Bug::SkipSync)).failure;
        failure.is_some_and(|failure| failure.check == Check::LeaderHasAll)
    });
    assert!(found, "no committed entry is missed");
}

#[test]
fn taking_entries_that_do_not_fit_is_found() {
    finds(Bug::NoLogMatching, Check::CommittedStays, &trouble(3, 300), 60);
}

/// The same story holds without the mistake.
#[test]
fn reading_without_a_majority_is_found() {
    holds(stale_read(Options::default()));
    let wrong = stale_read(Options { bug: Some(Bug::ReadWithoutQuorum), ..Options::default() });
    assert_eq!(wrong.failure.map(|it| it.check), Some(Check::UsersSeeOneOrder), "{}", wrong.story);
}

#[test]
fn writing_after_the_term_is_found() {
    finds(Bug::NoFence, Check::LeaderAssigns, &trouble(3, 300), 40);
}

#[test]
fn deciding_on_a_stale_view_is_found() {
    finds(Bug::StaleView, Check::FitNodesOnly, &trouble(3, 300), 20);
}

#[test]
fn running_what_is_assigned_elsewhere_is_found() {
    finds(Bug::IgnoreMove, Check::NothingElseRuns, &calm(3, 150), 20);
}

#[test]
fn missing_a_change_is_found() {
    finds(Bug::LostWatch, Check::WantedRuns, &calm(3, 150), 20);
}

#[test]
fn starting_before_the_other_stopped_is_found() {
    finds(Bug::NoWait, Check::StopFirst, &calm(3, 200), 20);
}

#[test]
fn touching_what_others_made_is_found() {
    finds(Bug::ForgetOwnership, Check::OthersAreLeftAlone, &calm(2, 50), 5);
}
