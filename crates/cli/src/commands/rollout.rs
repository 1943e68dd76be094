//! `rollout`: a change on its way to the replicas.

use std::time::Duration;

use jiff::Timestamp;
use smr_client::Client;
use smr_model::{Kind, ObjectKey, ObjectRef, RolloutState};
use smr_wire::{RolloutAction, RolloutView};
use tokio::time::Instant;

use super::{DONE, Outcome, object_key, patiently};
use crate::{
    args::{Output, RolloutCommand, RolloutStatusArgs, RolloutViewArgs},
    error::{Error, count},
    output::{age, history_table, rollout_table},
    settings::Settings,
};

/// How often a rollout is looked at; watches do not tell of it.
const PAUSE: Duration = Duration::from_millis(500);

/// `rollout`.
pub(crate) async fn run(settings: &Settings, command: RolloutCommand) -> Outcome {
    match command {
        RolloutCommand::Status(args) => status(settings, &args).await,
        RolloutCommand::History(args) => history(settings, &args).await,
        RolloutCommand::Pause(args) => {
            change(settings, &args.resource, RolloutAction::Pause, None).await
        }
        RolloutCommand::Resume(args) => {
            change(settings, &args.resource, RolloutAction::Resume, None).await
        }
        RolloutCommand::Promote(args) => {
            change(settings, &args.resource, RolloutAction::Promote, None).await
        }
        RolloutCommand::Undo(args) => {
            change(settings, &args.resource.resource, RolloutAction::Undo, args.to).await
        }
    }
}

/// The object a rollout is of.
fn containers(settings: &Settings, resource: &ObjectRef) -> Result<ObjectKey, Error> {
    let key = object_key(settings, resource)?;
    match key.kind {
        Kind::Containers => Ok(key),
        _ => Err(Error::usage(
            format!("`{key}` has no replicas"),
            "name a `containers` object: `containers/GROUP/NAME`",
        )),
    }
}

async fn status(settings: &Settings, args: &RolloutStatusArgs) -> Outcome {
    let key = containers(settings, &args.resource.resource)?;
    let client = settings.client()?;
    let view = match args.wait {
        false => client.rollout(&key.group, &key.name).await?,
        true => wait(settings, &client, &key, args.timeout.0).await?,
    };
    let printer = settings.printer;
    match args.output.output {
        Output::Json => printer.json(&view)?,
        Output::Yaml => printer.yaml(&view)?,
        Output::Name => printer.line(state(&view))?,
        Output::Table | Output::Wide => {
            printer.lines(summary(&view, Timestamp::now()))?;
            printer.line("")?;
            printer.table(&rollout_table(&view))?;
        }
    }
    settings.note_stale(&client, Some(view.revision));
    match args.wait.then(|| stopped(&view, view.generation)).flatten() {
        Some(err) => Err(err),
        None => Ok(DONE),
    }
}

/// Waits until nothing more happens by itself.
async fn wait(
    settings: &Settings,
    client: &Client,
    key: &ObjectKey,
    timeout: Duration,
) -> Result<RolloutView, Error> {
    let deadline = Instant::now() + timeout;
    let mut told = String::new();
    loop {
        let view = client.rollout(&key.group, &key.name).await?;
        if is_at_rest(&view) {
            return Ok(view);
        }
        let progress = progress(&view);
        if told != progress {
            settings.printer.note(&progress);
            told = progress;
        }
        if Instant::now() + PAUSE >= deadline {
            return Err(Error::WaitTimeout {
                what: "rolled out".to_owned(),
                seconds: timeout.as_secs(),
                missing: vec![told],
            });
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Whether waiting longer changes nothing.
fn is_at_rest(view: &RolloutView) -> bool {
    match &view.rollout {
        // The leader has not begun yet, or there is nothing to roll out.
        Some(rollout) if rollout.to != view.generation && rollout.state.is_over() => has_all(view),
        Some(rollout) => {
            rollout.state.is_over()
                || matches!(rollout.state, RolloutState::Paused | RolloutState::Canary)
        }
        None => has_all(view),
    }
}

/// Whether every replica is ready with what it is to run, and that is the stored definition.
fn has_all(view: &RolloutView) -> bool {
    view.replicas.iter().all(|replica| {
        replica.wanted == view.generation && replica.generation == view.generation && replica.ready
    })
}

fn state(view: &RolloutView) -> &'static str {
    view.rollout.as_ref().map_or("none", |rollout| rollout.state.as_str())
}

/// What is to say about the whole.
fn summary(view: &RolloutView, now: Timestamp) -> Vec<String> {
    let mut lines = vec![match &view.rollout {
        None => format!("{}: generation {}, no rollout yet", view.key, view.generation),
        Some(rollout) => format!(
            "{}: generation {}, {} ({} to {}, for {})",
            view.key,
            view.generation,
            rollout.state.as_str().replace('_', " "),
            rollout.from,
            rollout.to,
            age(rollout.since, now)
        ),
    }];
    let message = view.rollout.as_ref().map(|rollout| rollout.message.clone());
    lines.extend(message.filter(|message| !message.is_empty()));
    lines.push(progress(view));
    lines
}

/// `2 of 5 replicas are ready with generation 7`.
fn progress(view: &RolloutView) -> String {
    let ready = |replica: &&smr_wire::RolloutReplica| {
        replica.generation == view.generation && replica.ready
    };
    let done = view.replicas.iter().filter(ready).count();
    let all = count(view.replicas.len(), "replica");
    format!("{done} of {all} ready with generation {}", view.generation)
}

/// Why the rollout to this generation or a later one will not go on by itself, if it will not. A
/// canary that is ready is no failure.
pub(super) fn stopped(view: &RolloutView, generation: u64) -> Option<Error> {
    let rollout = view.rollout.as_ref().filter(|rollout| rollout.to >= generation)?;
    match rollout.state {
        RolloutState::Paused | RolloutState::RollingBack | RolloutState::RolledBack => {
            Some(Error::RolloutStopped {
                key: view.key.to_string(),
                state: rollout.state.as_str().replace('_', " "),
                message: rollout.message.clone(),
                is_paused: rollout.state == RolloutState::Paused,
            })
        }
        _ => None,
    }
}

/// Whether the replicas changed first wait for a person's word.
pub(super) fn is_canary(view: &RolloutView, generation: u64) -> bool {
    let rollout = view.rollout.as_ref().filter(|rollout| rollout.to >= generation);
    rollout.is_some_and(|rollout| rollout.state == RolloutState::Canary)
}

async fn history(settings: &Settings, args: &RolloutViewArgs) -> Outcome {
    let key = containers(settings, &args.resource.resource)?;
    let client = settings.client()?;
    let view = client.rollout(&key.group, &key.name).await?;
    let printer = settings.printer;
    match args.output.output {
        Output::Json => printer.json(&view.history)?,
        Output::Yaml => printer.yaml(&view.history)?,
        Output::Name => printer.lines(view.history.iter().map(|entry| entry.generation))?,
        Output::Table | Output::Wide => {
            printer.table(&history_table(&view.history, Timestamp::now()))?;
        }
    }
    settings.note_stale(&client, Some(view.revision));
    Ok(DONE)
}

async fn change(
    settings: &Settings,
    resource: &ObjectRef,
    action: RolloutAction,
    to: Option<u64>,
) -> Outcome {
    let key = containers(settings, resource)?;
    let client = settings.client()?;
    let asked = client.change_rollout(&key.group, &key.name, action, to);
    let done = patiently(settings, "changing the rollout", asked).await?;
    settings.printer.line(match action {
        RolloutAction::Pause => format!("{key}: rollout paused"),
        RolloutAction::Resume => format!("{key}: rollout goes on"),
        RolloutAction::Promote => format!("{key}: rollout goes on to all replicas"),
        RolloutAction::Undo => format!("{key}: goes back, as generation {}", done.generation),
    })?;
    Ok(DONE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(state: Option<&str>, to: u64, ready: &[bool]) -> RolloutView {
        let time = "2026-01-31T10:00:00Z";
        let replicas: Vec<_> = ready
            .iter()
            .enumerate()
            .map(|(i, ready)| {
                serde_json::json!({
                    "name": format!("shop-web-{}", i + 1), "index": i + 1, "node": "n1",
                    "wanted": 3, "generation": 3, "state": "running", "ready": ready,
                })
            })
            .collect();
        let rollout = state.map(|state| {
            serde_json::json!({
                "uid": "u", "from": to - 1, "to": to, "state": state,
                "message": "2 replicas failed", "started": time, "since": time,
            })
        });
        serde_json::from_value(serde_json::json!({
            "revision": 9,
            "key": ObjectKey::new(Kind::Containers, "shop", "web"),
            "generation": 3, "rollout": rollout, "replicas": replicas, "history": [],
        }))
        .unwrap()
    }

    #[test]
    fn a_wait_ends_when_nothing_more_happens_by_itself() {
        let ends = |state, to, ready: &[bool]| is_at_rest(&view(state, to, ready));
        assert!(ends(Some("completed"), 3, &[true]));
        assert!(ends(Some("paused"), 3, &[false]) && ends(Some("canary"), 3, &[false]));
        assert!(!ends(Some("updating"), 3, &[true]));
        assert!(!ends(Some("rolling_back"), 3, &[true]));
        assert!(!ends(Some("completed"), 2, &[true, false]), "not begun yet");
        assert!(ends(Some("completed"), 2, &[true]), "a change of the count alone");
        assert!(ends(None, 3, &[true]) && !ends(None, 3, &[false]));
    }

    #[test]
    fn what_stopped_is_told_with_its_message() {
        let err = stopped(&view(Some("paused"), 3, &[]), 3).unwrap();
        assert_eq!(
            err.report(),
            "error: the rollout of `containers/shop/web` is paused: 2 replicas failed\n\
             hint: `smrctl rollout resume containers/shop/web` goes on, `smrctl rollout undo \
             containers/shop/web` goes back\n"
        );
        assert!(stopped(&view(Some("rolled_back"), 3, &[]), 3).is_some());
        assert!(stopped(&view(Some("rolled_back"), 2, &[]), 3).is_none(), "another one");
        assert!(stopped(&view(Some("canary"), 3, &[]), 3).is_none());
        assert!(is_canary(&view(Some("canary"), 3, &[]), 3));
        let now = "2026-01-31T10:01:00Z".parse().unwrap();
        assert_eq!(
            summary(&view(Some("rolling_back"), 3, &[true, false]), now),
            [
                "containers/shop/web: generation 3, rolling back (2 to 3, for 1m)",
                "2 replicas failed",
                "1 of 2 replicas ready with generation 3"
            ]
        );
    }
}
