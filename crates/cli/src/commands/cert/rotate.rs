//! `cert rotate-ca`: a new authority, step by step or in one go.

use std::time::Duration;

use smr_client::Client;
use smr_wire::{AuthoritiesInfo, RotateAction, RotateRequest, RotationState, TrustInfo};
use tokio::time::Instant;

use crate::{
    args::{Output, RotateArgs, RotateStep},
    commands::{DONE, Outcome, patiently},
    error::Error,
    output::{Paint, Table},
    settings::Settings,
};

/// How often nodes are looked at; nothing tells of a change.
const PAUSE: Duration = Duration::from_millis(500);

/// `cert rotate-ca`.
pub(super) async fn run(settings: &Settings, args: &RotateArgs) -> Outcome {
    let client = settings.client()?;
    let info = match args.step {
        None => all(settings, &client, args).await?,
        Some(RotateStep::Status) => client.authorities().await?,
        Some(RotateStep::Begin) => step(settings, &client, RotateAction::Begin, args.force).await?,
        Some(RotateStep::Switch) => {
            step(settings, &client, RotateAction::Switch, args.force).await?
        }
        Some(RotateStep::Finish) => {
            step(settings, &client, RotateAction::Finish, args.force).await?
        }
        Some(RotateStep::Cancel) => {
            step(settings, &client, RotateAction::Cancel, args.force).await?
        }
    };
    show(settings, &info, args.output.output)?;
    Ok(DONE)
}

async fn step(
    settings: &Settings,
    client: &Client,
    action: RotateAction,
    force: bool,
) -> Result<AuthoritiesInfo, Error> {
    let request = RotateRequest { action, force };
    Ok(patiently(settings, "changing the authorities", client.rotate(&request)).await?)
}

/// All steps from where it is, waiting for the nodes between them.
async fn all(
    settings: &Settings,
    client: &Client,
    args: &RotateArgs,
) -> Result<AuthoritiesInfo, Error> {
    let note = |text: &str| settings.printer.note(text);
    let mut info = client.authorities().await?;
    if info.state == RotationState::Stable {
        note("making a new authority");
        info = step(settings, client, RotateAction::Begin, args.force).await?;
    }
    if info.state == RotationState::Begun {
        note("waiting until every node trusts it");
        wait(settings, client, args, |node| node.current, "trusted by every node").await?;
        note("letting it sign");
        step(settings, client, RotateAction::Switch, args.force).await?;
    }
    note("waiting until every node has a certificate of it");
    let renewed = |node: &TrustInfo| node.renewed;
    info = wait(settings, client, args, renewed, "in use by every node").await?;
    if !info.old_users.is_empty() && !args.force {
        // The one who asks is among them: finishing would lock them out.
        return Err(Error::OldUsers { users: info.old_users });
    }
    note("trusting the old one no more");
    step(settings, client, RotateAction::Finish, args.force).await
}

/// Waits until `done` of every node; of those that do not answer only without `--force`.
async fn wait(
    settings: &Settings,
    client: &Client,
    args: &RotateArgs,
    done: impl Fn(&TrustInfo) -> bool,
    what: &str,
) -> Result<AuthoritiesInfo, Error> {
    let deadline = Instant::now() + args.timeout.0;
    let mut told = Vec::new();
    loop {
        let info = client.authorities().await?;
        let left = behind(&info, args.force, &done);
        if left.is_empty() {
            return Ok(info);
        }
        if Instant::now() + PAUSE >= deadline {
            return Err(Error::WaitTimeout {
                what: what.to_owned(),
                seconds: args.timeout.0.as_secs(),
                missing: left,
            });
        }
        if told != left {
            settings.printer.note(format_args!("waiting for {}", left.join(", ")));
            told = left;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Nodes that still are to do something.
fn behind(info: &AuthoritiesInfo, force: bool, done: impl Fn(&TrustInfo) -> bool) -> Vec<String> {
    let left = info.nodes.iter().filter(|node| !done(node) && (node.ready || !force));
    let named = left.map(|node| match node.ready {
        true => node.name.clone(),
        false => format!("{} (down)", node.name),
    });
    named.collect()
}

fn show(settings: &Settings, info: &AuthoritiesInfo, output: Output) -> Result<(), Error> {
    let printer = settings.printer;
    match output {
        Output::Json => printer.json(info),
        Output::Yaml => printer.yaml(info),
        Output::Name => printer.lines(info.authorities.iter().map(|found| &found.fingerprint)),
        Output::Table | Output::Wide => {
            printer.lines(summary(info))?;
            printer.line("")?;
            printer.table(&table(info))
        }
    }
}

fn summary(info: &AuthoritiesInfo) -> Vec<String> {
    let state = match info.state {
        RotationState::Stable => "there is one authority",
        RotationState::Begun => "begun: the old authority signs, both are trusted",
        RotationState::Switched => "switched: the new authority signs, both are trusted",
    };
    let mut lines = vec![state.to_owned()];
    for found in &info.authorities {
        let short: String = found.fingerprint.chars().take(16).collect();
        let ends = found.not_after.map(|end| format!(", until {end:.0}")).unwrap_or_default();
        let signs = if found.signs { "signs" } else { "is trusted" };
        lines.push(format!("authority {short} {signs}{ends}"));
    }
    if !info.old_users.is_empty() {
        let users = info.old_users.join(", ");
        lines.push(format!("users with certificates of another one: {users}"));
    }
    lines
}

fn table(info: &AuthoritiesInfo) -> Table {
    let mut table = Table::new(["NODE", "ID", "ANSWERS", "TRUSTS", "CERTIFICATE"]);
    let cell = |good: bool, yes: &str, no: &str| match good {
        true => (yes.to_owned(), Paint::Good),
        false => (no.to_owned(), Paint::Busy),
    };
    for node in &info.nodes {
        table.row([
            (node.name.clone(), Paint::Plain),
            (node.node.to_string(), Paint::Plain),
            cell(node.ready, "yes", "no"),
            cell(node.current, "all", "not yet"),
            cell(node.renewed, "renewed", "old"),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_down_is_left_behind_by_force_only() {
        let node = |name: &str, ready, renewed| TrustInfo {
            node: 1,
            name: name.to_owned(),
            ready,
            current: true,
            renewed,
        };
        let nodes = vec![node("a", true, true), node("b", true, false), node("c", false, false)];
        let info = AuthoritiesInfo { nodes, ..AuthoritiesInfo::default() };
        assert_eq!(behind(&info, false, |node| node.renewed), ["b", "c (down)"]);
        assert_eq!(behind(&info, true, |node| node.renewed), ["b"]);
        assert!(behind(&info, false, |node| node.current).is_empty());
        assert!(table(&info).render(false).contains("c     1   no       all     old"));
    }
}
