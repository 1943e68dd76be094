//! `template`: what a pack renders to.

use jiff::Timestamp;
use smr_model::{SourceName, parse, to_yaml};

use super::{DONE, Outcome};
use crate::{
    args::TemplateArgs,
    error::Error,
    settings::Settings,
    source::{self, Source},
};

/// Prints each definition as YAML with sorted keys, followed by `---`.
pub(crate) async fn run(settings: &Settings, args: TemplateArgs) -> Outcome {
    let mut text = String::new();
    let mut issues = Vec::new();
    let mut found = false;
    for name in &args.source.sources {
        let pieces = match source::read(name, &args.source.set, Timestamp::now()).await? {
            Source::Pieces(pieces) => pieces,
            Source::NotAPath => {
                return Err(Error::NoSuchSource { source_name: name.clone() });
            }
        };
        for piece in pieces {
            let parsed = parse(&piece.text, &SourceName::new(&piece.file));
            for warning in parsed.warnings() {
                settings.printer.note(format_args!("warning: {warning}"));
            }
            issues.extend(parsed.errors().map(ToString::to_string));
            for document in parsed.documents {
                found = true;
                text.push_str(&to_yaml(&document.definition));
                text.push_str("---\n");
            }
        }
    }
    if !issues.is_empty() {
        return Err(Error::Definitions { issues });
    }
    if !found {
        return Err(source::no_definitions(&args.source.sources));
    }
    settings.printer.text(&text)?;
    Ok(DONE)
}
