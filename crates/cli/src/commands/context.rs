//! `context`: clusters and credentials.

use std::{
    io::{self, BufRead as _, IsTerminal as _, Read as _},
    net::IpAddr,
    time::Duration,
};

use serde::Serialize;
use smr_client::{Client, Options};
use smr_pki::{Context, ContextError, ExportedContext};
use tokio::time::Instant;

use super::{DONE, Outcome, block};
use crate::{
    args::{ContextArgs, ContextCommand, ExportArgs, ImportArgs, Output},
    error::Error,
    output::{Paint, Table},
    settings::Settings,
};

/// How long an imported context may take to be accepted: nodes that just started need a moment.
const TEST: Duration = Duration::from_secs(10);
const TEST_PAUSE: Duration = Duration::from_millis(500);

/// `context`.
pub(crate) fn run(settings: &Settings, args: ContextArgs) -> Outcome {
    match args.command {
        None | Some(ContextCommand::Current) => current(settings),
        Some(ContextCommand::List(output)) => list(settings, output.output),
        Some(ContextCommand::Switch(args)) => switch(settings, args.name),
        Some(ContextCommand::Export(args)) => export(settings, &args),
        Some(ContextCommand::Import(args)) => import(settings, &args),
        Some(ContextCommand::Remove(args)) => {
            settings.contexts.remove(&args.name)?;
            settings.printer.line(format_args!("context removed: {}", args.name))?;
            Ok(DONE)
        }
    }
}

fn current(settings: &Settings) -> Outcome {
    settings.printer.line(settings.context()?.name())?;
    Ok(DONE)
}

#[derive(Serialize)]
struct Listed {
    name: String,
    active: bool,
    api: String,
    user: String,
    role: String,
    expires: String,
}

fn list(settings: &Settings, output: Output) -> Outcome {
    let active = settings.contexts.current_name()?;
    let mut listed = Vec::new();
    for name in settings.contexts.list()? {
        let context = settings.contexts.get(&name);
        let credentials = context.as_ref().ok().and_then(|context| context.credentials().ok());
        let identity = credentials.as_ref().map(|credentials| credentials.identity());
        listed.push(Listed {
            active: active.as_ref() == Some(&name),
            api: context.map(|context| context.api_url().to_owned()).unwrap_or_default(),
            user: identity.map(|identity| identity.name.clone()).unwrap_or_default(),
            role: identity.map(|identity| identity.role.to_string()).unwrap_or_default(),
            expires: credentials
                .as_ref()
                .map(|credentials| format!("{:.0}", credentials.validity().not_after))
                .unwrap_or_else(|| "unusable".to_owned()),
            name,
        });
    }
    let printer = settings.printer;
    match output {
        Output::Json => printer.json(&listed)?,
        Output::Yaml => printer.yaml(&listed)?,
        Output::Name => {
            for context in &listed {
                printer.line(&context.name)?;
            }
        }
        Output::Table | Output::Wide => {
            let mut table = Table::new(["ACTIVE", "CONTEXT", "API", "USER", "ROLE", "EXPIRES"]);
            for context in listed {
                let active = if context.active { "*" } else { "" };
                table.row([
                    (active.to_owned(), Paint::Good),
                    (context.name, Paint::Plain),
                    (context.api, Paint::Plain),
                    (context.user, Paint::Plain),
                    (context.role, Paint::Plain),
                    (context.expires, Paint::Plain),
                ]);
            }
            printer.table(&table)?;
        }
    }
    Ok(DONE)
}

fn switch(settings: &Settings, name: Option<String>) -> Outcome {
    let name = match name {
        Some(name) => name,
        None => pick(settings)?,
    };
    settings.contexts.switch(&name)?;
    settings.printer.line(format_args!("active context is {name}"))?;
    Ok(DONE)
}

/// Asks which context is meant.
fn pick(settings: &Settings) -> Result<String, Error> {
    let names = settings.contexts.list()?;
    if names.is_empty() {
        return Err(ContextError::NoActive.into());
    }
    if !io::stdin().is_terminal() {
        return Err(Error::usage(
            "which context?",
            format!("write `smrctl context switch NAME`; there are: {}", names.join(", ")),
        ));
    }
    for (index, name) in names.iter().enumerate() {
        settings.printer.note(format_args!("{:>3}  {name}", index + 1));
    }
    settings.printer.error_bytes(b"context: ");
    let answer = read_line()?;
    let by_number =
        answer.parse::<usize>().ok().and_then(|number| names.get(number.checked_sub(1)?));
    Ok(by_number.cloned().unwrap_or(answer))
}

fn export(settings: &Settings, args: &ExportArgs) -> Outcome {
    // `export active [NAME]` is the original's way to say what is the default here.
    let name = match args.names.as_slice() {
        [] => None,
        [active] if active == "active" && !settings.contexts.contains(active) => None,
        [name] => Some(name),
        [active, name] if active == "active" => Some(name),
        [..] => {
            return Err(Error::usage("only one context can be exported", "name one context"));
        }
    };
    let name = match name {
        Some(name) => name.clone(),
        None => settings.context()?.name().to_owned(),
    };
    print_exported(settings, &name, args.api.as_deref())
}

/// Prints a context for another machine; warns if its address is of no use there.
pub(crate) fn print_exported(settings: &Settings, name: &str, api: Option<&str>) -> Outcome {
    let exported = settings.contexts.export(name, api)?;
    let context = settings.contexts.get(name)?;
    let context = api.map_or(Ok(context.clone()), |api| context.with_api(api))?;
    settings.printer.line(&exported)?;
    if is_loopback(context.host()) {
        settings.printer.note(format_args!(
            "warning: `{}` reaches the cluster on this machine only; for other machines name an \
             address of the node: `smrctl context export --api HOST:PORT`",
            context.api_url()
        ));
    }
    Ok(DONE)
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

/// Imports a context: what arguments do not say is read from standard input.
pub(crate) fn import(settings: &Settings, args: &ImportArgs) -> Outcome {
    let words = |text: &str| text.split_whitespace().count();
    let mut parts: Vec<String> = args.parts.clone();
    if parts.iter().map(|part| words(part)).sum::<usize>() < 2 {
        if io::stdin().is_terminal() {
            settings.printer.error_bytes(if parts.is_empty() {
                b"exported context: "
            } else {
                b"key: "
            });
            parts.push(read_line()?);
        } else {
            parts.push(read_input()?);
        }
    }
    let exported = ExportedContext::from_parts(parts.iter().map(String::as_str))?;
    let context = settings.contexts.import(&exported, args.name.as_deref())?;
    let name = context.name().to_owned();
    if settings.contexts.contains(&name) && !args.yes {
        overwrite(settings, &name)?;
    }
    if !args.offline {
        block(test(settings, &context))?;
    }
    settings.contexts.save(&context)?;
    settings.contexts.switch(&name)?;
    settings
        .printer
        .line(format_args!("context '{name}' successfully imported and set as active"))?;
    Ok(DONE)
}

fn overwrite(settings: &Settings, name: &str) -> Result<(), Error> {
    if !io::stdin().is_terminal() {
        return Err(Error::ContextExists { name: name.to_owned() });
    }
    settings.printer.error_bytes(
        format!(
            "Context with the same name: {name} already exists. Do you want to overwrite it? [y/n] "
        )
        .as_bytes(),
    );
    match read_line()?.to_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Error::Aborted),
    }
}

/// Whether the cluster accepts the context.
async fn test(settings: &Settings, context: &Context) -> Result<(), Error> {
    let client = Client::new(context, Options::default())?;
    let deadline = Instant::now() + TEST;
    let mut told = false;
    loop {
        match client.connect().await {
            Err(err) if err.is_unreachable() && Instant::now() + TEST_PAUSE < deadline => {
                if !told {
                    let url = client.url();
                    settings.printer.note(format_args!("note: waiting for an answer of {url}"));
                    told = true;
                }
                tokio::time::sleep(TEST_PAUSE).await;
            }
            result => return Ok(result?),
        }
    }
}

fn read_line() -> Result<String, Error> {
    let mut line = String::new();
    io::stdin()
        .lock()
        .read_line(&mut line)
        .map_err(|source| Error::Terminal { what: "standard input", source })?;
    Ok(line.trim().to_owned())
}

pub(crate) fn read_input() -> Result<String, Error> {
    let mut text = String::new();
    io::stdin()
        .lock()
        .take(1 << 20)
        .read_to_string(&mut text)
        .map_err(|source| Error::Terminal { what: "standard input", source })?;
    Ok(text)
}
