//! `exec`: a command in a container.

use std::io::{self, IsTerminal as _};

use bytes::Bytes;
use futures_util::StreamExt as _;
use smr_client::{ExecInput, ExecOutput, LogSource};
use smr_wire::ExecQuery;
use tokio::{
    io::AsyncReadExt as _,
    signal::unix::{SignalKind, signal},
};

use super::{Outcome, replica::with_replica};
use crate::{args::ExecArgs, error::Error, settings::Settings};

/// Runs a command; its exit code becomes ours.
pub(crate) async fn run(settings: &Settings, args: ExecArgs) -> Outcome {
    let command = words(&args)?;
    let Streams { input: with_input, tty } =
        streams(&args, io::stdin().is_terminal(), io::stdout().is_terminal())?;
    let size = tty.then(crossterm::terminal::size).and_then(Result::ok);
    let query = ExecQuery {
        command: serde_json::to_string(&command).expect("texts are JSON"),
        tty,
        stdin: with_input,
        user: args.user,
        width: size.map(|(width, _)| width),
        height: size.map(|(_, height)| height),
    };
    let exec = with_replica(settings, &args.replica.replica, async |client, group, replica| {
        client.exec(group, replica, &query).await
    })
    .await?;
    // Without input, keys are for us: an interrupt ends us.
    let raw = if tty && with_input { Some(RawMode::enter()?) } else { None };
    let (input, mut output) = exec.split();
    let sending = async {
        if with_input {
            send(input, tty).await?;
        } else {
            // Dropping the input would close the connection.
            let _input = input;
            std::future::pending::<()>().await;
        }
        std::future::pending::<()>().await;
        Ok::<_, Error>(())
    };
    let receiving = async {
        while let Some(item) = output.next().await {
            match item? {
                ExecOutput::Bytes(LogSource::Stdout, bytes) => settings.printer.bytes(&bytes)?,
                ExecOutput::Bytes(LogSource::Stderr, bytes) => settings.printer.error_bytes(&bytes),
                ExecOutput::Exit(code) => return Ok(exit_code(code)),
            }
        }
        unreachable!("the stream ends with an exit code or an error")
    };
    let result = tokio::select! {
        result = receiving => result,
        Err(err) = sending => Err(err),
    };
    drop(raw);
    result
}

/// Codes outside of a byte cannot be told; they mean failure.
fn exit_code(code: i64) -> u8 {
    u8::try_from(code).unwrap_or(255)
}

/// What the command gets.
#[derive(Debug, PartialEq, Eq)]
struct Streams {
    input: bool,
    tty: bool,
}

/// A shell that nobody gave a command to is for the one who sits at the terminal.
fn streams(args: &ExecArgs, stdin: bool, stdout: bool) -> Result<Streams, Error> {
    if args.tty && !stdin {
        return Err(Error::usage(
            "`-t` needs a terminal, and standard input is none",
            "leave out `-t`; `-i` alone passes standard input on",
        ));
    }
    let terminal = stdin && stdout;
    let shell = args.command.is_none() && args.words.is_empty();
    let input = args.interactive || (shell && terminal);
    Ok(Streams { input, tty: args.tty || (input && terminal) })
}

fn words(args: &ExecArgs) -> Result<Vec<String>, Error> {
    let Some(command) = &args.command else {
        if args.words.is_empty() {
            return Ok(vec!["/bin/sh".to_owned()]);
        }
        return Ok(args.words.clone());
    };
    match shell_words::split(command) {
        Ok(words) if !words.is_empty() => Ok(words),
        Ok(_) => {
            Err(Error::usage("the command is empty", "write `-c \"ls -l /\"` or `-- ls -l /`"))
        }
        Err(err) => Err(Error::usage(
            format!("`{command}` is not a command: {err}"),
            "close the quotes, or write the command after `--`",
        )),
    }
}

/// Sends standard input until it ends, and the size of the terminal whenever it changes.
async fn send(mut input: ExecInput, tty: bool) -> Result<(), Error> {
    let mut stdin = tokio::io::stdin();
    let mut buffer = vec![0; 16 * 1024];
    let mut resized = signal(SignalKind::window_change())
        .map_err(|source| Error::Terminal { what: "signals", source })?;
    loop {
        tokio::select! {
            read = stdin.read(&mut buffer) => {
                let length = read
                    .map_err(|source| Error::Terminal { what: "standard input", source })?;
                if length == 0 {
                    input.end().await?;
                    // The connection stays open until the command has ended.
                    std::future::pending::<()>().await;
                }
                input.write(Bytes::copy_from_slice(&buffer[..length])).await?;
            }
            _ = resized.recv(), if tty => {
                if let Ok((width, height)) = crossterm::terminal::size() {
                    input.resize(width, height).await?;
                }
            }
        }
    }
}

/// The terminal passes every key on; back to normal when dropped.
struct RawMode;

impl RawMode {
    fn enter() -> Result<Self, Error> {
        crossterm::terminal::enable_raw_mode()
            .map_err(|source| Error::Terminal { what: "the terminal", source })?;
        Ok(Self)
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        let _ = crossterm::terminal::disable_raw_mode();
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::{ClientCommand, Smrctl};

    fn exec(line: &[&str]) -> ExecArgs {
        match Smrctl::parse_from([&["smrctl", "exec"], line].concat()).command {
            ClientCommand::Exec(args) => args,
            _ => unreachable!(),
        }
    }

    fn parsed(arguments: &[&str]) -> Result<Vec<String>, Error> {
        words(&exec(&[&["containers/a/a-b-1"], arguments].concat()))
    }

    #[test]
    fn input_and_terminal_as_docker_gives_them() {
        const REPLICA: &str = "containers/a/a-b-1";
        let given = |line: &[&str], stdin, stdout| {
            let Streams { input, tty } = streams(&exec(line), stdin, stdout).unwrap();
            (input, tty)
        };
        for both in [&["-it", REPLICA, "sh"][..], &[REPLICA, "-i", "-t", "--", "sh"]] {
            assert_eq!(given(both, true, true), (true, true), "{both:?}");
            let err = streams(&exec(both), false, true).unwrap_err();
            assert_eq!(err.to_string(), "`-t` needs a terminal, and standard input is none");
            assert_eq!(err.exit_code(), 2);
        }
        assert_eq!(given(&["-t", REPLICA, "ls"], true, false), (false, true));
        assert_eq!(given(&["-i", REPLICA, "cat"], false, true), (true, false));
        assert_eq!(given(&["--it", REPLICA, "cat"], true, true), (true, true));
        assert_eq!(given(&[REPLICA, "ls"], true, true), (false, false));
        assert_eq!(given(&[REPLICA], true, true), (true, true), "a shell at the terminal");
        assert_eq!(given(&[REPLICA], false, true), (false, false));
    }

    #[test]
    fn commands_in_every_spelling() {
        let words = |arguments: &[&str]| parsed(arguments).unwrap();
        assert_eq!(words(&[]), ["/bin/sh"]);
        assert_eq!(words(&["-i"]), ["/bin/sh"]);
        assert_eq!(words(&["--c", "ls -l 'a b'", "--it"]), ["ls", "-l", "a b"]);
        assert_eq!(words(&["--", "ls", "-l", "a b"]), ["ls", "-l", "a b"]);
        assert_eq!(words(&["-i", "ls", "-l", "-i"]), ["ls", "-l", "-i"]);
        let err = parsed(&["-c", "ls 'a"]).unwrap_err();
        assert_eq!(err.to_string(), "`ls 'a` is not a command: missing closing quote");
        assert_eq!(err.exit_code(), 2);
    }

    #[test]
    fn exit_codes_that_do_not_fit_mean_failure() {
        assert_eq!(
            (exit_code(0), exit_code(137), exit_code(256), exit_code(-1)),
            (0, 137, 255, 255)
        );
    }
}
