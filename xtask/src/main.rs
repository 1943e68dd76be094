//! Developer commands. `cargo xtask help` lists them.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command talks on the terminal")]

mod apt;
mod bench;
mod down;
mod generate;
mod host;
mod image;
mod paths;
mod run;
mod sim;
mod suite;
mod tidy;
mod up;

use std::process::ExitCode;

const HELP: &str = "\
Developer commands; run as `cargo xtask COMMAND`.

  up [--images shop]   start a node on this machine with examples/hello; again: changes nothing
  down [--purge]       stop it; --purge removes its data and the examples' containers too
  test                 everything CI runs: fmt, clippy, tidy, all tests, with a real Docker engine
  tidy                 crate arrows, purity, file sizes, documented invariants
  generate             write generated files (API document, reference pages, man pages) anew
  image                static release binary, and image `smr:dev` with nothing else in it
  sim [--seeds N] [--steps M] [--seed S] [--trace]
                       whole clusters on simulated time; docs/simulation.md
  bench NAME           deploy, restart, api, idle, store, raft, schedule, failover, spread or
                       idle-cluster: ratios against a peer, or bounds, in one run

`up` and `test` install missing Debian packages (Docker among them), which needs root.
Environment: SMR_TARGET_DIR (build folder for `test`), SMR_CACHE (images and packages, ~/.cache/smr).";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["up"] => up::up(&[]),
        ["up", "--images", set] => up::up(&[set]),
        ["down"] => down::down(false),
        ["down", "--purge"] => down::down(true),
        ["test"] => suite::test(),
        ["tidy"] => tidy::tidy(),
        ["generate"] => generate::generate(),
        ["image"] => image::image(),
        ["sim", rest @ ..] => sim::sim(rest),
        ["bench", name, rest @ ..] => bench::bench(name, rest),
        ["help" | "--help" | "-h"] | [] => {
            println!("{HELP}");
            return ExitCode::SUCCESS;
        }
        other => {
            eprintln!("no command `{}`\n\n{HELP}", other.join(" "));
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            for cause in error.chain().skip(1) {
                eprintln!("  caused by: {cause}");
            }
            ExitCode::FAILURE
        }
    }
}
