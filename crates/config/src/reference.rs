//! The reference page, `docs/smr-toml.md`.

use crate::{
    field::{Default, Field, Kind, SECTIONS},
    render::fields_of,
    units::{format_duration, format_size},
};

/// The reference page as Markdown.
pub fn reference_markdown() -> String {
    let mut page = String::from(
        "# smr.toml\n\n\
         <!-- Generated from the fields in crates/config/src/field.rs. To write it anew:\n     \
         SMR_REGENERATE=1 cargo test -p smr-config --test reference -->\n\n\
         The configuration of a node: `/etc/smr/smr.toml`, or the file given with `--config` or\n\
         `SMR_CONFIG`. Every key has a default; an empty file is a node that is reachable from its own\n\
         machine only. Unknown keys are errors.\n\n\
         - `smr config init` writes a file to start from.\n\
         - `smr config check` reports every mistake with line, key, value and what is allowed.\n\
         - `smr config show --defaults` prints the configuration in effect.\n\
         - `smr config schema` prints a JSON Schema for editors.\n",
    );
    for section in SECTIONS {
        page.push_str(&format!("\n## [{}]\n\n{}\n", section.key, section.doc));
        for field in fields_of(section.key) {
            page.push_str(&format!(
                "\n### {}\n\n{}\n\n- Type: {}\n- Default: {}\n- Example: `{} = {}`\n",
                field.key,
                field.doc,
                type_of(field.kind),
                default_of(field),
                field.split().1,
                field.example
            ));
        }
    }
    page
}

fn default_of(field: &Field) -> String {
    match field.default {
        Default::Is(text) => format!("`{text}`"),
        Default::Unset => "not set".to_owned(),
        Default::Hostname => "the first label of the machine's host name".to_owned(),
        Default::ContextsDir => {
            "`.smrctl/contexts` in the home directory of the user running".to_owned()
        }
    }
}

/// A kind in words.
pub(crate) fn type_of(kind: Kind) -> String {
    match kind {
        Kind::Label => "name: 1 to 63 lower-case letters, digits and `-`".to_owned(),
        Kind::Integer { min, max: i64::MAX } => format!("whole number, {min} or more"),
        Kind::Integer { min, max } => format!("whole number, {min} to {max}"),
        Kind::Number { min, max } => format!("number, {min} to {max}"),
        Kind::Bool => "`true` or `false`".to_owned(),
        Kind::Choice(words) => {
            let words: Vec<String> = words.iter().map(|word| format!("`\"{word}\"`")).collect();
            format!("one of {}", words.join(", "))
        }
        Kind::Duration { min, max } => format!(
            "duration (`ms`, `s`, `m`, `h`, `d`, `w`), {} to {}",
            format_duration(min),
            format_duration(max)
        ),
        Kind::Size { min, max } => format!(
            "size (`B`, `KiB`, `MiB`, `GiB`, `TiB`, `kB`, `MB`, `GB`, `TB`), {} to {}",
            format_size(min),
            format_size(max)
        ),
        Kind::Path => "absolute path".to_owned(),
        Kind::Socket => "`unix://` and the absolute path of a socket".to_owned(),
        Kind::Addresses { empty: true } => "list of IP addresses with a port".to_owned(),
        Kind::Addresses { empty: false } => {
            "list of IP addresses with a port, at least one".to_owned()
        }
        Kind::Peer => "DNS name or IP address, with a port".to_owned(),
        Kind::Urls => "list of `https://` addresses".to_owned(),
        Kind::Domains => "list of DNS names, `*.` allowed in front".to_owned(),
        Kind::Ips => "list of IP addresses".to_owned(),
        Kind::Labels => "table of names with text".to_owned(),
    }
}
