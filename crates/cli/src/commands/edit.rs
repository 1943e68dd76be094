//! `edit`: an object in an editor.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    process::Command,
};

use smr_model::{ObjectKey, ObjectRef};
use smr_wire::ApplyQuery;

use super::{DONE, Outcome, inspect::fetch, object_key};
use crate::{error::Error, settings::Settings};

/// Opens the definition as YAML, applies what was made of it and prints the new one.
pub(crate) async fn run(settings: &Settings, resource: &ObjectRef) -> Outcome {
    let key = object_key(settings, resource)?;
    let client = settings.client()?;
    // Masked values would be stored as masks, so they have to be shown to be edited.
    let object = fetch(&client, &key, key.kind.is_confidential()).await?;
    let before = smr_model::value_to_yaml(&object.definition);
    let file = write_temporary(&format!("{}-{}-{}", key.kind, key.group, key.name), &before)?;
    let after = match edit(&file) {
        Ok(after) if after.trim() == before.trim() => {
            discard(&file);
            return Err(Error::NothingChanged);
        }
        Ok(after) => after,
        Err(err) => {
            discard(&file);
            return Err(err);
        }
    };
    if let Err(err) = same_object(&key, &after) {
        return Err(Error::Edited { path: file, source: Box::new(err) });
    }
    let query = ApplyQuery { source: Some(file.display().to_string()), ..ApplyQuery::default() };
    match client.apply(&query, after).await {
        Ok(response) => {
            for warning in response.warnings {
                settings.printer.note(format_args!("warning: {}", warning.message));
            }
            discard(&file);
        }
        Err(err) => return Err(Error::Edited { path: file, source: Box::new(err.into()) }),
    }
    let object = fetch(&client, &key, false).await?;
    settings.printer.json(&object.definition)?;
    Ok(DONE)
}

/// Applying under another name would make a second object and leave the first as it was. What
/// cannot be read is the cluster's to refuse.
fn same_object(key: &ObjectKey, text: &str) -> Result<(), Error> {
    let parsed = smr_model::parse(text, &"edited".into());
    let keys = parsed.documents.iter().map(|document| document.definition.key());
    match keys.into_iter().find(|other| other != key) {
        Some(other) => Err(Error::IdentityChanged { was: key.to_string(), is: other.to_string() }),
        None => Ok(()),
    }
}

/// A file that only its owner can read, in a directory of its own.
fn write_temporary(name: &str, text: &str) -> Result<PathBuf, Error> {
    let stamp = jiff::Timestamp::now().as_nanosecond();
    let dir = std::env::temp_dir().join(format!("smr-edit-{}-{stamp}", std::process::id()));
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| Error::Write { path, source }
    };
    fs::DirBuilder::new().mode(0o700).create(&dir).map_err(failed(&dir))?;
    let path = dir.join(format!("{}.yaml", name.replace(['/', '\\'], "-")));
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(failed(&path))?;
    Ok(path)
}

/// Removes the file's own directory, with the copies editors leave beside a file.
fn discard(file: &Path) {
    if let Some(dir) = file.parent() {
        let _ = fs::remove_dir_all(dir);
    }
}

fn edit(file: &Path) -> Result<String, Error> {
    let editor = std::env::var("EDITOR").ok().filter(|editor| !editor.trim().is_empty());
    let editor = editor.unwrap_or_else(|| "vi".to_owned());
    // Editors come with arguments, such as `code --wait`.
    let status = Command::new("sh")
        .args(["-c", &format!("{editor} \"$1\""), "sh"])
        .arg(file)
        .status()
        .map_err(|source| Error::Editor { editor: editor.clone(), source })?;
    if !status.success() {
        let source = std::io::Error::other(format!("it ended with {status}"));
        return Err(Error::Editor { editor, source });
    }
    fs::read_to_string(file).map_err(|source| Error::Read { path: file.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn an_object_stays_itself() {
        const TEXT: &str = "prefix: simplecontainer.io/v1\nkind: custom\nmeta: {group: a, \
                            name: b}\nspec: {k: v}\n";
        let key = "custom/a/b".parse::<ObjectRef>().unwrap().key("default").unwrap();
        assert!(!smr_model::parse(TEXT, &"edited".into()).has_errors());
        same_object(&key, TEXT).unwrap();
        same_object(&key, "kind: [").unwrap();
        for changed in [
            TEXT.replace("name: b", "name: c"),
            TEXT.replace("group: a", "group: c"),
            TEXT.replace("kind: custom", "kind: configuration")
                .replace("spec: {", "spec: {data: {")
                .replace("v}", "v}}"),
            format!("{TEXT}---\n{}", TEXT.replace("name: b", "name: c")),
        ] {
            let err = same_object(&key, &changed).unwrap_err();
            assert!(err.to_string().starts_with("the definition of `custom/a/b` became"), "{err}");
            let kept = Error::Edited { path: "kept".into(), source: Box::new(err) };
            assert_eq!(kept.exit_code(), 1);
        }
    }

    #[test]
    fn others_cannot_read_it_and_no_copy_of_an_editor_stays() {
        let file = write_temporary("secret-g-n", "k: v").unwrap();
        let dir = file.parent().unwrap();
        for (path, mode) in [(dir, 0o700), (file.as_path(), 0o600)] {
            assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, mode);
        }
        fs::write(dir.join("secret-g-n.yaml~"), "k: v").unwrap();
        discard(&file);
        assert!(!dir.exists());
    }
}
