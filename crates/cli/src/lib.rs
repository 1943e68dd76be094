//! The command line of `smr`, `smrctl` and `smrmgr`: one program, three names.
//!
//! Start reading at [`main`]. `args` is what can be typed, `settings` what follows from flags and
//! environment, `commands` what is done, `output` what is printed. The node itself is not known
//! here; it comes in through [`Hooks`].
#![allow(clippy::match_bool, reason = "two outcomes side by side read better than `if` and `else`")]

mod args;
mod commands;
mod complete;
mod error;
mod hooks;
mod output;
mod running;
mod settings;
mod source;
mod wait;

use std::{ffi::OsStr, ffi::OsString, io::Write as _, panic::AssertUnwindSafe, process::ExitCode};

use clap::{Arg, Command, CommandFactory as _, FromArgMatches as _};
use clap_complete::CompleteEnv;

use self::{
    args::{NodeCommand, Smr, SmrCommand, Smrctl, Smrmgr},
    commands::Outcome,
    error::{Error, exit},
    settings::{Persona, Settings},
};
pub use self::{
    commands::generate::pages,
    error::Error as CliError,
    hooks::{BackupKeys, Failure, Hooks, RestoreWish, Survey, SurveyedMember},
};

/// Runs the command the arguments ask for; the first argument is the program's name.
pub fn main(arguments: impl IntoIterator<Item = OsString>, hooks: Hooks) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let run = AssertUnwindSafe(|| dispatch(&arguments, hooks));
    let code = std::panic::catch_unwind(run).unwrap_or_else(|_| {
        tell("hint: this is a mistake in the program; please report it with the lines above\n");
        exit::BUG
    });
    ExitCode::from(code)
}

fn dispatch(arguments: &[OsString], hooks: Hooks) -> u8 {
    let persona = arguments.first().map_or(Persona::Smr, |name| Persona::of(name));
    if std::env::var_os(complete::VARIABLE).is_some() {
        let current_dir = std::env::current_dir().ok();
        let completed = CompleteEnv::with_factory(move || command(persona))
            .var(complete::VARIABLE)
            .try_complete(arguments.to_vec(), current_dir.as_deref());
        match completed {
            Ok(true) => return exit::DONE,
            Ok(false) => {}
            Err(err) => {
                tell(&err.render().to_string());
                return exit::USAGE;
            }
        }
    }
    match parse_and_run(persona, arguments, hooks) {
        Ok(Ok(code)) => code,
        Ok(Err(err)) => {
            if !matches!(err, Error::BrokenPipe) {
                tell(&err.report());
            }
            err.exit_code()
        }
        Err(err) => usage(&err),
    }
}

/// The command line of a name.
fn command(persona: Persona) -> Command {
    without_empty_variables(match persona {
        Persona::Smr => Smr::command(),
        Persona::Smrctl => Smrctl::command(),
        Persona::Smrmgr => Smrmgr::command(),
    })
}

/// A variable that is empty counts as not set.
fn without_empty_variables(command: Command) -> Command {
    let is_empty = |name: &OsStr| std::env::var_os(name).is_some_and(|value| value.is_empty());
    let unset = |arg: Arg| match arg.get_env().is_some_and(is_empty) {
        true => arg.env(None),
        false => arg,
    };
    command.mut_args(unset).mut_subcommands(without_empty_variables)
}

fn parse_and_run(
    persona: Persona,
    arguments: &[OsString],
    hooks: Hooks,
) -> Result<Outcome, clap::Error> {
    // The name is what the user typed, not what a link is called.
    let matches = command(persona).try_get_matches_from(arguments)?;
    Ok(match persona {
        Persona::Smr => {
            let Smr { global, command } = Smr::from_arg_matches(&matches)?;
            let settings = Settings::new(persona, &global);
            match command {
                SmrCommand::Node(command) => node(&settings, command, hooks),
                SmrCommand::Client(command) => commands::client(&settings, command),
            }
        }
        Persona::Smrctl => {
            let Smrctl { global, command } = Smrctl::from_arg_matches(&matches)?;
            commands::client(&Settings::new(persona, &global), command)
        }
        Persona::Smrmgr => {
            let Smrmgr { global, command } = Smrmgr::from_arg_matches(&matches)?;
            commands::manager::run(&Settings::new(persona, &global), command)
        }
    })
}

fn node(settings: &Settings, command: NodeCommand, hooks: Hooks) -> Outcome {
    match command {
        NodeCommand::Start(args) => commands::node::start(settings, &args, hooks),
        NodeCommand::Stop(args) => commands::node::stop(settings, &args),
        NodeCommand::Status(args) => commands::node::status(settings, &args),
        NodeCommand::Agent(command) => commands::agent::run(settings, command),
        NodeCommand::Upgrade(args) => commands::upgrade::run(settings, &args),
        NodeCommand::Config(command) => commands::config::run(settings, command),
        NodeCommand::User(command) => commands::user::run(settings, command),
        NodeCommand::Backup(command) => commands::backup::run(settings, command, hooks),
        NodeCommand::Recover(args) => commands::backup::recover::run(settings, &args, hooks),
        NodeCommand::Generate(args) => commands::generate::run(settings, &args),
    }
}

/// Help goes to standard output, mistakes to standard error.
fn usage(err: &clap::Error) -> u8 {
    let rendered = err.render();
    if err.use_stderr() {
        tell(&rendered.to_string());
        return exit::USAGE;
    }
    let mut out = std::io::stdout().lock();
    let _ = write!(out, "{rendered}").and_then(|()| out.flush());
    exit::DONE
}

fn tell(text: &str) {
    let mut err = std::io::stderr().lock();
    let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_consistent() {
        for persona in [Persona::Smr, Persona::Smrctl, Persona::Smrmgr] {
            command(persona).debug_assert();
        }
    }
}
