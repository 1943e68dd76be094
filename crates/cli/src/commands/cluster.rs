//! `cluster`: members, the lead, settings.

use std::time::Duration;

use jiff::Timestamp;
use smr_wire::{
    ClusterSettings, ClusterSettingsPatch, ClusterStatus, MemberInfo, Rebalance, TransferRequest,
};

use super::{DONE, Outcome, patiently};
use crate::{
    args::{ClusterCommand, Output, SettingsArgs, TransferArgs},
    error::Error,
    output::{Table, member_table},
    settings::{Seconds, Settings},
};

/// `cluster`.
pub(crate) async fn run(settings: &Settings, command: ClusterCommand) -> Outcome {
    match command {
        ClusterCommand::Status(output) => status(settings, output.output).await,
        ClusterCommand::Leader(output) => leader(settings, output.output).await,
        ClusterCommand::Transfer(args) => transfer(settings, &args).await,
        ClusterCommand::Settings(args) => change(settings, &args).await,
    }
}

async fn status(settings: &Settings, output: Output) -> Outcome {
    let client = settings.client()?;
    let status = client.cluster().await?;
    let printer = settings.printer;
    match output {
        Output::Json => printer.json(&status)?,
        Output::Yaml => printer.yaml(&status)?,
        Output::Name => printer.line(&status.id)?,
        Output::Table | Output::Wide => {
            printer.lines(summary(&status))?;
            printer.line("")?;
            printer.table(&member_table(&status.members, Timestamp::now()))?;
        }
    }
    settings.note_stale(&client, Some(status.revision));
    Ok(DONE)
}

/// What is to say about the whole.
fn summary(status: &ClusterStatus) -> Vec<String> {
    let leader = match (find_leader(status), status.leader) {
        (Some(leader), _) => named(leader),
        (None, Some(id)) => format!("node {id}"),
        (None, None) => "none known".to_owned(),
    };
    vec![
        format!("cluster:  {}", if status.id.is_empty() { "-" } else { &status.id }),
        format!("leader:   {leader}, term {}", status.term),
        format!(
            "voters:   {} of at most {}, {} have to agree",
            status.voters.len(),
            status.settings.voters,
            status.quorum
        ),
        format!("revision: {}", status.revision),
    ]
}

fn find_leader(status: &ClusterStatus) -> Option<&MemberInfo> {
    let marked = status.members.iter().find(|member| member.leader);
    marked.or_else(|| status.members.iter().find(|info| Some(info.member.id) == status.leader))
}

/// `node-1 (1)`.
fn named(info: &MemberInfo) -> String {
    format!("{} ({})", info.member.name, info.member.id)
}

async fn leader(settings: &Settings, output: Output) -> Outcome {
    let client = settings.client()?;
    let status = client.cluster().await?;
    let leader = find_leader(&status).ok_or(Error::NoLeader)?;
    match output {
        Output::Json => settings.printer.json(leader)?,
        Output::Yaml => settings.printer.yaml(leader)?,
        Output::Name => settings.printer.line(&leader.member.name)?,
        Output::Table | Output::Wide => settings.printer.line(named(leader))?,
    }
    settings.note_stale(&client, Some(status.revision));
    Ok(DONE)
}

async fn transfer(settings: &Settings, args: &TransferArgs) -> Outcome {
    let client = settings.client()?;
    let request = TransferRequest { to: args.node.clone() };
    let asked = client.transfer(&request);
    let status = patiently(settings, "handing the lead over", asked).await?;
    let leader = find_leader(&status).ok_or(Error::NoLeader)?;
    settings.printer.line(format_args!("{} leads", named(leader)))?;
    Ok(DONE)
}

async fn change(settings: &Settings, args: &SettingsArgs) -> Outcome {
    let patch = parse(&args.changes)?;
    let client = settings.client()?;
    let now = match args.changes.is_empty() {
        true => client.settings().await?,
        false => {
            patiently(settings, "changing the settings", client.patch_settings(&patch)).await?
        }
    };
    let printer = settings.printer;
    match args.output.output {
        Output::Json => printer.json(&now)?,
        Output::Yaml => printer.yaml(&now)?,
        Output::Name => printer.lines(rows(&now).map(|[name, _]| name))?,
        Output::Table | Output::Wide => {
            let mut table = Table::new(["SETTING", "VALUE"]);
            for row in rows(&now) {
                table.plain_row(row);
            }
            printer.table(&table)?;
        }
    }
    if args.changes.is_empty() {
        settings.note_stale(&client, None);
    }
    Ok(DONE)
}

fn rows(settings: &ClusterSettings) -> [[String; 2]; 4] {
    let down_after = match settings.down_after_millis {
        None => "default".to_owned(),
        Some(millis) => {
            let length = jiff::SignedDuration::from_millis(millis.cast_signed());
            format!("{length:#}").replace(' ', "")
        }
    };
    [
        ["voters".to_owned(), settings.voters.to_string()],
        ["rebalance".to_owned(), settings.rebalance.as_str().to_owned()],
        ["moves_per_minute".to_owned(), settings.moves_per_minute.to_string()],
        ["down_after".to_owned(), down_after],
    ]
}

/// `KEY=VALUE` words as a change. Ranges are the cluster's business.
fn parse(changes: &[String]) -> Result<ClusterSettingsPatch, Error> {
    let mut patch = ClusterSettingsPatch::default();
    for change in changes {
        let (key, value) = change.split_once('=').ok_or_else(|| {
            Error::usage(format!("`{change}` is not an assignment"), "write `KEY=VALUE`")
        })?;
        let bad = |allowed: &str| {
            Error::usage(format!("`{value}` is no value of `{key}`"), format!("use {allowed}"))
        };
        let number = || value.parse::<u32>();
        match key.replace('-', "_").as_str() {
            "voters" => {
                patch.voters = Some(number().map_err(|_| bad("an odd number from 1 to 9"))?);
            }
            "rebalance" => {
                patch.rebalance = Some(match value {
                    "off" => Rebalance::Off,
                    "on-join" => Rebalance::OnJoin,
                    "continuous" => Rebalance::Continuous,
                    _ => return Err(bad("`off`, `on-join` or `continuous`")),
                });
            }
            "moves_per_minute" | "movesPerMinute" => {
                patch.moves_per_minute =
                    Some(number().map_err(|_| bad("a number from 1 to 1000"))?);
            }
            "down_after" | "downAfter" => {
                let duration = match value {
                    "default" => Duration::ZERO,
                    _ => {
                        let seconds: Seconds =
                            value.parse().map_err(|_| bad("`5s`, up to `10m`, or `default`"))?;
                        seconds.0
                    }
                };
                let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
                patch.down_after_millis = Some(millis);
            }
            _ => {
                return Err(Error::usage(
                    format!("there is no setting `{key}`"),
                    "there is voters, rebalance, moves_per_minute and down_after",
                ));
            }
        }
    }
    Ok(patch)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Result<ClusterSettingsPatch, Error> {
        parse(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn settings_are_read_as_they_are_shown() {
        let patch =
            words(&["voters=3", "rebalance=on-join", "down-after=1m", "moves_per_minute=5"]);
        let patch = patch.unwrap();
        assert_eq!((patch.voters, patch.rebalance), (Some(3), Some(Rebalance::OnJoin)));
        assert_eq!((patch.moves_per_minute, patch.down_after_millis), (Some(5), Some(60_000)));
        assert_eq!(words(&["down_after=default"]).unwrap().down_after_millis, Some(0));
        let shown = ClusterSettings { down_after_millis: Some(90_000), ..Default::default() };
        let shown = rows(&shown).map(|row| row.join("="));
        assert_eq!(shown, ["voters=5", "rebalance=off", "moves_per_minute=10", "down_after=1m30s"]);
        for wrong in ["voters", "voters=x", "rebalance=yes", "down_after=soon", "color=red"] {
            assert_eq!(words(&[wrong]).unwrap_err().exit_code(), 2, "{wrong}");
        }
    }
}
