//! Simulates many seeds; `cargo xtask sim` runs it.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command talks on the terminal")]

use std::{process::ExitCode, time::Instant};

use smr_sim::{Bug, Options, run};

const HELP: &str = "\
smr-sim [--seeds N] [--steps M] [--seed S] [--nodes K] [--trace] [--calm] [--bug NAME]

Simulates seeds 0 to N-1 (or from S on) for M steps each; stops at the first failure and tells its story.
--trace tells the whole story of one seed. --bug makes a deliberate mistake.";

struct Arguments {
    first: u64,
    seeds: u64,
    options: Options,
}

fn parse() -> Option<Arguments> {
    let mut arguments =
        Arguments { first: 0, seeds: 0, options: Options { steps: 2000, ..Options::default() } };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--seeds" => arguments.seeds = words.next()?.parse().ok()?,
            "--steps" => arguments.options.steps = words.next()?.parse().ok()?,
            "--seed" => arguments.first = words.next()?.parse().ok()?,
            "--nodes" => arguments.options.nodes = Some(words.next()?.parse().ok()?),
            "--trace" => arguments.options.trace = true,
            "--calm" => arguments.options.calm = true,
            "--bug" => {
                let name = words.next()?;
                let all = Bug::ALL.into_iter();
                arguments.options.bug = Some(all.into_iter().find(|it| format!("{it:?}") == name)?);
            }
            _ => return None,
        }
    }
    arguments.seeds = arguments.seeds.max(1);
    Some(arguments)
}

fn main() -> ExitCode {
    let Some(Arguments { first, seeds, options }) = parse() else {
        eprintln!("{HELP}");
        return ExitCode::from(2);
    };
    let begin = Instant::now();
    let (mut events, mut millis, mut acknowledged, mut operations) = (0, 0, 0, 0);
    for (done, seed) in (1..).zip(first..first + seeds) {
        let report = run(Options { seed, ..options.clone() });
        events += report.events;
        millis += report.millis;
        acknowledged += report.acknowledged;
        operations += report.operations;
        if options.trace || report.failure.is_some() {
            println!("{}", report.story);
        }
        if let Some(failure) = report.failure {
            println!(
                "\nseed {seed} fails at step {}: {failure}\nagain: cargo xtask sim --seed {seed} --steps {} --trace",
                report.steps, options.steps
            );
            return ExitCode::FAILURE;
        }
        if done % 50 == 0 || done == seeds {
            let seconds = begin.elapsed().as_secs_f64();
            println!(
                "{done} of {seeds} seeds hold: {events} events, {:.0} h simulated in {seconds:.0} s, \
                 {acknowledged} acknowledged writes, {operations} reads and writes with an order",
                millis as f64 / 3_600_000.0
            );
        }
    }
    ExitCode::SUCCESS
}
