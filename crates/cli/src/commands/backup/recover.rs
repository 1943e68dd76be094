//! `recover`: one node goes on alone after the others were lost.

mod ask;

use std::io::{self, BufRead as _, IsTerminal as _};

use smr_config::Config;

use self::ask::{Answer, Asked};
use super::super::{DONE, Outcome, block, node};
use crate::{
    args::RecoverArgs,
    error::{Error, count},
    hooks::{Failure, Hooks, Survey},
    output::Table,
    running::Held,
    settings::Settings,
};

/// `recover --survivor`.
pub(crate) fn run(settings: &Settings, args: &RecoverArgs, hooks: Hooks) -> Outcome {
    let config = node::load_with_data(settings, &args.config, args.data_dir.as_deref())?;
    let dir = &config.data.dir;
    let failed = |source: Failure| Error::NotRecovered { dir: dir.clone(), source };
    // Nobody starts the node while its disk is looked at and changed.
    let _held = match dir.exists() {
        true => Some(Held::hold(dir)?),
        false => None,
    };
    let survey = (hooks.survey)(&config).map_err(failed)?;
    let asked = block(ask::everybody(settings, &config, &survey, &args.ask))?;
    let printer = settings.printer;
    printer.table(&table(&survey, &asked))?;
    printer.line("")?;
    let verdict = verdict(&survey, &asked);
    printer.lines(&verdict.lines)?;
    if let Some(reason) = verdict.refusal
        && !args.force
    {
        return Err(failed(reason.into()));
    }
    if !args.yes {
        confirm(settings, &config, &survey)?;
    }
    let kept = (hooks.recover)(&config).map_err(failed)?;
    printer.line(format_args!("{} is the only member of its cluster now", survey.name))?;
    printer.line(format_args!("what its log was is kept in {}", kept.display()))?;
    printer.note(
        "start it with `smr start`; the other members are removed then, and join again with empty \
         data directories",
    );
    Ok(DONE)
}

fn confirm(settings: &Settings, config: &Config, survey: &Survey) -> Result<(), Error> {
    if !io::stdin().is_terminal() {
        return Err(Error::usage(
            format!("nothing was changed in `{}`", config.data.dir.display()),
            "to go on with this node alone, add `--yes`",
        ));
    }
    let question =
        format!("Go on with {} alone, without the others, for good? [y/n] ", survey.name);
    settings.printer.error_bytes(question.as_bytes());
    let mut line = String::new();
    let read = io::stdin().lock().read_line(&mut line);
    read.map_err(|source| Error::Terminal { what: "standard input", source })?;
    match line.trim().to_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Error::Aborted),
    }
}

/// What every member has, as far as it is known.
fn table(survey: &Survey, asked: &[Asked]) -> Table {
    let mut table =
        Table::new(["ID", "NAME", "VOTE", "ADDRESS", "STATE", "TERM", "LOG", "REVISION"]);
    let vote = |id| if survey.voters.contains(&id) { "yes" } else { "no" }.to_owned();
    let own = survey.members.iter().find(|member| member.id == survey.id);
    table.plain_row([
        survey.id.to_string(),
        survey.name.clone(),
        vote(survey.id),
        own.map(|own| own.address.clone()).filter(|it| !it.is_empty()).unwrap_or("-".to_owned()),
        format!("stopped, this node, started {} times", survey.epoch),
        survey.last_log_term.to_string(),
        survey.last_log_index.to_string(),
        "-".to_owned(),
    ]);
    for member in asked {
        let id = member.id.map_or("?".to_owned(), |id| id.to_string());
        let vote = member.id.map_or("?".to_owned(), vote);
        let none = || "-".to_owned();
        table.plain_row(match &member.answer {
            Answer::Has { name, term, applied, revision, .. } => [
                id,
                name.clone(),
                vote,
                member.address.clone(),
                if member.is_of(&survey.cluster) { "runs" } else { "of another cluster" }
                    .to_owned(),
                term.to_string(),
                format!("{applied} or more"),
                revision.to_string(),
            ],
            Answer::Silent(why) => [
                id,
                none(),
                vote,
                member.address.clone(),
                format!("cannot be asked: {why}"),
                none(),
                none(),
                none(),
            ],
        });
    }
    table
}

struct Verdict {
    lines: Vec<String>,
    /// Why the node should not go on alone.
    refusal: Option<String>,
}

fn verdict(survey: &Survey, asked: &[Asked]) -> Verdict {
    let votes = |id: u64| survey.voters.contains(&id);
    let answering: Vec<&Asked> =
        asked.iter().filter(|it| it.is_of(&survey.cluster) && it.id.is_some_and(votes)).collect();
    let silent: Vec<String> = survey
        .voters
        .iter()
        .filter(|id| **id != survey.id && !answering.iter().any(|it| it.id == Some(**id)))
        .map(u64::to_string)
        .collect();
    let majority = survey.voters.len() / 2 + 1;
    let best = answering
        .iter()
        .filter(|it| it.applied() > survey.last_log_index)
        .max_by_key(|it| it.applied());
    let mut lines = vec![format!(
        "{} voters, {majority} have to agree; {} besides this node.",
        survey.voters.len(),
        match answering.len() {
            0 => "none answers".to_owned(),
            1 => "1 answers".to_owned(),
            number => format!("{number} answer"),
        }
    )];
    lines.push(match best {
        Some(best) => format!(
            "Best choice of those that are known: {}, which has entry {}; this node ends at {}.",
            best.name(),
            best.applied(),
            survey.last_log_index
        ),
        None => "Best choice of those that are known: this node.".to_owned(),
    });
    if !silent.is_empty() {
        lines.push(format!(
            "Can be lost: writes after entry {} that were agreed on without this node, if {} had them. \
             Should one of these still have its disk, run `smr recover --survivor` there too, and \
             choose the node with the highest term and log.",
            survey.last_log_index,
            silent.join(", ")
        ));
        lines.push(format!(
            "Make sure that {} neither run nor start again with their data: there would be two \
             clusters of one name.",
            silent.join(", ")
        ));
    }
    let doubtful = survey.last_log_index.saturating_sub(survey.committed_index);
    if doubtful > 0 {
        lines.push(format!(
            "Kept, although perhaps never acknowledged: {} after entry {}.",
            match doubtful {
                1 => "1 entry".to_owned(),
                more => format!("{more} entries"),
            },
            survey.committed_index
        ));
    }
    let refusal = if answering.len() >= majority {
        Some(format!(
            "{} of {} voters answer, the quorum is not lost; start this node with `smr start`, or \
             remove it with `smrctl node rm {}`",
            answering.len(),
            survey.voters.len(),
            survey.id
        ))
    } else if votes(survey.id) && answering.len() + 1 >= majority {
        Some(match answering.len() {
            0 => "it is the only voter of its cluster; start it with `smr start`".to_owned(),
            number => format!(
                "with {} that {}, it is a majority; start it with `smr start`",
                count(number, "voter"),
                if number == 1 { "answers" } else { "answer" }
            ),
        })
    } else {
        best.map(|best| {
            format!(
                "{} has more than this node; stop it and run `smr recover --survivor` there, or lose \
                 what this node lacks with `--force`",
                best.name()
            )
        })
    };
    Verdict { lines, refusal }
}

#[cfg(test)]
mod tests;
