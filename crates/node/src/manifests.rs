//! `[bootstrap] manifests`: a directory of definitions applied at start and kept applied.
//!
//! A changed file is applied again, and an object of the directory that somebody changes or
//! removes is put back. Removing a file removes nothing: what to do with its objects is for the
//! operator to say (`smrctl remove`).

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use notify::{RecursiveMode, Watcher as _};
use smr_control::{Actor, Control, keyspace};
use smr_model::ObjectKey;
use smr_store::{KeyRange, Watch};
use tokio::sync::mpsc;

use crate::stop::Stop;

/// Editors write files in several steps; they are read when this much time has passed quietly.
const SETTLE: Duration = Duration::from_millis(200);
const RETRY: Duration = Duration::from_secs(2);

/// Applies the directory until `stop`. Trouble with one file is logged and concerns that file only.
pub(crate) async fn run(dir: PathBuf, control: Control, mut stop: Stop) {
    let (sender, mut changes) = mpsc::unbounded_channel();
    let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Our own reading is an event too, and would wake us for ever.
        if !event.is_ok_and(|event| event.kind.is_access()) {
            let _ = sender.send(());
        }
    })
    .and_then(|mut watcher| {
        watcher.watch(&dir, RecursiveMode::Recursive)?;
        Ok(watcher)
    });
    let watcher = watcher.inspect_err(|error| {
        tracing::error!(dir = %dir.display(), %error,
            "the manifests directory cannot be watched; changes are not seen until a restart");
    });
    let mut ours = BTreeSet::new();
    let mut objects = watch(&control);
    loop {
        let complete = apply_all(&dir, &control, &mut ours).await;
        loop {
            tokio::select! {
                () = stop.stopped() => return,
                Some(()) = changes.recv(), if watcher.is_ok() => break,
                () = tokio::time::sleep(RETRY), if !complete => break,
                batch = next(&mut objects) => match batch {
                    Some(keys) if keys.is_disjoint(&ours) => {}
                    Some(_) => break,
                    None => {
                        objects = watch(&control);
                        break;
                    }
                },
            }
        }
        tokio::time::sleep(SETTLE).await;
        while changes.try_recv().is_ok() {}
    }
}

fn watch(control: &Control) -> Option<Watch> {
    control.store().watch(KeyRange::prefix(keyspace::OBJECTS), None).ok()
}

/// Objects somebody changed; `None` when the watch is over.
async fn next(watch: &mut Option<Watch>) -> Option<BTreeSet<ObjectKey>> {
    let Some(watch) = watch.as_mut() else {
        tokio::time::sleep(RETRY).await;
        return None;
    };
    let batch = watch.next().await?.ok()?;
    Some(batch.events.iter().filter_map(|e| keyspace::parse_object(&e.kv.key)).collect())
}

/// Applies every file. Whether all of them could be applied (or are wrong for good).
async fn apply_all(dir: &Path, control: &Control, ours: &mut BTreeSet<ObjectKey>) -> bool {
    let files = match read(dir) {
        Ok(files) => files,
        Err(error) => {
            tracing::error!(dir = %dir.display(), error = format!("{error:#}"),
                "the manifests directory cannot be read");
            return false;
        }
    };
    ours.clear();
    let mut complete = true;
    let actor = Actor::node("manifests");
    for (path, text) in files {
        let shown = path.display().to_string();
        match control.apply(&text, &shown, false, &actor).await {
            Ok(done) => {
                let changed = done
                    .results
                    .iter()
                    .filter(|r| r.action != smr_wire::ApplyAction::Unchanged)
                    .count();
                if changed > 0 {
                    tracing::info!(file = %shown, objects = changed, "manifest applied");
                }
                ours.extend(done.results.into_iter().map(|result| result.key));
            }
            Err(error) => {
                complete &= !error.is_transient();
                let api = smr_wire::ApiError::from(&error);
                let details: Vec<_> = api.details.iter().map(|d| d.message.clone()).collect();
                tracing::error!(file = %shown, %error, details = details.join("; "),
                    "manifest cannot be applied");
            }
        }
    }
    complete
}

/// Definition files below `dir`, in order of their paths. Pack metadata is not a definition.
fn read(dir: &Path) -> anyhow::Result<BTreeMap<PathBuf, String>> {
    let mut files = BTreeMap::new();
    let mut open = vec![dir.to_owned()];
    while let Some(dir) = open.pop() {
        let entries = std::fs::read_dir(&dir)
            .with_context(|| format!("cannot read directory `{}`", dir.display()))?;
        for entry in entries {
            let path = entry?.path();
            if path.is_dir() {
                open.push(path);
                continue;
            }
            let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
            let known = ["yaml", "yml", "json"]
                .iter()
                .any(|e| path.extension().is_some_and(|extension| extension == *e));
            if !known || name.starts_with('.') || matches!(name, "Pack.yaml" | "variables.yaml") {
                continue;
            }
            let text = std::fs::read_to_string(&path)
                .with_context(|| format!("cannot read `{}`", path.display()))?;
            files.insert(path, text);
        }
    }
    Ok(files)
}
