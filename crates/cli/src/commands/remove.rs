//! `remove`.

use jiff::Timestamp;
use smr_model::{Kind, ObjectRef};
use smr_wire::{DeleteQuery, DeleteResponse};

use super::{DONE, Outcome, object_key, waiting};
use crate::{
    args::RemoveArgs,
    error::Error,
    settings::{Persona, Settings},
    source::{self, Body, Source},
    wait::Gone,
};

/// `remove`: each source is a resource, or something that `apply` takes.
pub(crate) async fn run(settings: &Settings, args: RemoveArgs) -> Outcome {
    let mut pieces = Vec::new();
    let mut keys = Vec::new();
    for name in &args.sources {
        match source::read(name, &args.set, Timestamp::now()).await? {
            Source::Pieces(more) => pieces.extend(more),
            Source::NotAPath => match name.parse::<ObjectRef>() {
                Ok(resource) => keys.push(object_key(settings, &resource)?),
                Err(_) if name.contains('.') && !name.contains("/kind/") => {
                    return Err(Error::NoSuchSource { source_name: name.clone() });
                }
                Err(err) => {
                    return Err(Error::usage(
                        format!("`{name}` is neither a path nor a resource: {err}"),
                        "name a file, directory, URL, `-`, or a resource such as KIND/GROUP/NAME",
                    ));
                }
            },
        }
    }
    // Containers before what they use, which cannot go while they are there.
    keys.sort_by_key(|key| matches!(key.kind, Kind::Network | Kind::Volume));
    let client = settings.client()?;
    let printer = settings.printer;
    let mut deleted = Vec::new();
    if !pieces.is_empty() {
        let body = Body::new(pieces);
        if body.is_empty() {
            return Err(source::no_definitions(&args.sources));
        }
        let query = DeleteQuery { prefix: None, source: Some(body.source.clone()) };
        let response = client.remove(&query, body.text.clone()).await.map_err(|err| match err {
            smr_client::Error::Api(err) => Error::from(body.localize(*err)),
            err => err.into(),
        })?;
        for key in &response.deleted {
            printer.line(match settings.persona {
                Persona::Smr => format!("object removed: {}", key.kind),
                _ => format!("object proposed for deleting: {}", key.kind),
            })?;
        }
        note_missing(settings, &response);
        deleted.extend(response.deleted);
    }
    for key in keys {
        let response = client.delete(&key).await.map_err(Error::from);
        let response = response.map_err(|err| match err.is_not_found() {
            true => Error::ResourceNotFound { resource: key.to_string(), hint: err.hint() },
            false => err,
        })?;
        printer.line(match settings.persona {
            Persona::Smr => format!("object removed: {}", key.kind),
            _ => "object proposed for deleting".to_owned(),
        })?;
        deleted.extend(response.deleted);
    }
    if args.wait {
        waiting::gone(settings, &client, Gone::new(deleted), args.timeout.0).await?;
    }
    Ok(DONE)
}

fn note_missing(settings: &Settings, response: &DeleteResponse) {
    for key in &response.missing {
        settings.printer.note(format_args!("note: `{key}` does not exist"));
    }
}
