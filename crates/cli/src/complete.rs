//! Completion: scripts for shells, and candidates from the cluster while typing.

use std::{ffi::OsStr, time::Duration};

use clap_complete::{
    CompletionCandidate,
    engine::PathCompleter,
    engine::ValueCompleter as _,
    env::{Bash, EnvCompleter, Fish, Zsh},
};
use smr_client::{Client, Options};
use smr_model::Kind;
use smr_pki::ContextStore;
use smr_wire::{ObjectQuery, ReplicaQuery};

use crate::{
    args::Shell,
    commands::{DONE, Outcome, block},
    error::Error,
    settings::{Settings, home},
};

/// The variable by which shells ask for candidates.
pub(crate) const VARIABLE: &str = "COMPLETE";

/// Nobody waits longer for candidates.
const PATIENCE: Duration = Duration::from_secs(2);

/// Prints the script that makes a shell ask this program.
pub(crate) fn script(settings: &Settings, shell: Shell) -> Outcome {
    let name = settings.persona.name();
    let completer: &dyn EnvCompleter = match shell {
        Shell::Bash => &Bash,
        Shell::Zsh => &Zsh,
        Shell::Fish => &Fish,
    };
    let mut script = Vec::new();
    completer
        .write_registration(VARIABLE, name, name, name, &mut script)
        .map_err(|source| Error::Terminal { what: "memory", source })?;
    settings.printer.bytes(&script)?;
    Ok(DONE)
}

/// Names of contexts.
pub(crate) fn contexts(current: &OsStr) -> Vec<CompletionCandidate> {
    starting(current, store().list().unwrap_or_default())
}

/// Kinds.
pub(crate) fn kinds(current: &OsStr) -> Vec<CompletionCandidate> {
    starting(current, Kind::ALL.iter().map(|kind| kind.as_str().to_owned()))
}

/// Objects: kinds until there is a slash, then what the cluster has.
pub(crate) fn resources(current: &OsStr) -> Vec<CompletionCandidate> {
    let typed = current.to_string_lossy();
    let Some((kind, _)) = typed.split_once('/') else {
        return starting(current, Kind::ALL.iter().map(|kind| format!("{kind}/")));
    };
    let query = ObjectQuery { kind: Some(kind.to_owned()), names: true, ..ObjectQuery::default() };
    let objects = ask(|client| async move { client.objects(&query).await });
    let items = objects.map(|list| list.items).unwrap_or_default();
    starting(current, items.into_iter().map(|object| object.key.short()))
}

/// Replicas by their generated names.
pub(crate) fn replicas(current: &OsStr) -> Vec<CompletionCandidate> {
    let query = ReplicaQuery::default();
    let replicas = ask(|client| async move { client.replicas(&query).await });
    let items = replicas.map(|list| list.items).unwrap_or_default();
    starting(current, items.into_iter().map(|replica| replica.key.to_string()))
}

/// Kinds, and objects of kinds with replicas.
pub(crate) fn explained(current: &OsStr) -> Vec<CompletionCandidate> {
    match current.to_string_lossy().contains('/') {
        true => resources(current),
        false => kinds(current),
    }
}

/// Nodes by their names.
pub(crate) fn nodes(current: &OsStr) -> Vec<CompletionCandidate> {
    let nodes = ask(|client| async move { client.nodes().await });
    let items = nodes.map(|list| list.items).unwrap_or_default();
    starting(current, items.into_iter().map(|node| node.status.name))
}

/// Paths and objects.
pub(crate) fn sources(current: &OsStr) -> Vec<CompletionCandidate> {
    let mut candidates = PathCompleter::any().complete(current);
    candidates.extend(resources(current));
    candidates
}

fn starting(current: &OsStr, names: impl IntoIterator<Item = String>) -> Vec<CompletionCandidate> {
    let current = current.to_string_lossy();
    let names = names.into_iter().filter(|name| name.starts_with(&*current));
    names.map(CompletionCandidate::new).collect()
}

fn store() -> ContextStore {
    let named = std::env::var_os("SMR_HOME").filter(|home| !home.is_empty());
    let home = named.map_or_else(home, Into::into);
    ContextStore::open(home.join(".smrctl").join("contexts"))
}

/// Asks the active context's cluster; silence is no candidates.
fn ask<T, F>(question: impl FnOnce(Client) -> F) -> Option<T>
where
    F: Future<Output = Result<T, smr_client::Error>>,
{
    let store = store();
    let context = match std::env::var("SMR_CONTEXT") {
        Ok(name) if !name.is_empty() => store.get(&name).ok()?,
        _ => store.current().ok()?,
    };
    let options = Options { connect: PATIENCE, answer: PATIENCE, ..Options::default() };
    let client = Client::new(&context, options).ok()?;
    block(async { Ok(question(client).await?) }).ok()
}
