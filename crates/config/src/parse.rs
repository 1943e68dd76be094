//! From text to settings: syntax, then every key against the table of fields, then what must
//! hold between keys.

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use crate::{
    ConfigErrors, Override, Problem, check, cross, field,
    field::Kind,
    setting::{Origin, Settings},
    value::{bare_key, quote},
};

/// What the parser says about a key that is set twice.
const DUPLICATE: &str = "duplicate key";

/// Reads a file over `settings`.
pub(crate) fn file(text: &str, name: &str, settings: &mut Settings) -> Result<(), ConfigErrors> {
    let document = Document { text, name };
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut problems: Vec<Problem> = errors.iter().map(|err| document.syntax(err)).collect();
    // After any other error of syntax the rest may be read wrongly; say only what is certain.
    if errors.iter().any(|err| err.message() != DUPLICATE) {
        return ConfigErrors::check(problems);
    }
    walk(&document, table.get_ref(), "", settings, &mut problems);
    cross::check(settings, &mut problems);
    ConfigErrors::check(problems)
}

/// Sets single keys over `settings`.
pub(crate) fn overrides(
    overrides: &[Override],
    settings: &mut Settings,
) -> Result<(), ConfigErrors> {
    let mut problems = Vec::new();
    for item in overrides {
        let origin = Origin::Override(item.origin.clone());
        let Some(field) = field::find(&item.key) else {
            let known = field::FIELDS.iter().map(|field| field.key);
            let message = match nearest(&item.key, known) {
                Some(near) => format!("unknown key; did you mean {}?", quote(near)),
                None => "unknown key; `smr config show --defaults` lists all".to_owned(),
            };
            problems.push(origin.problem(item.key.clone(), message));
            continue;
        };
        let text = as_toml(field.kind, &item.value);
        let parsed = DeValue::parse(&text);
        let checked = match &parsed {
            Ok(value) => check::value(field.kind, value.get_ref(), &text, field.example),
            Err(_) => {
                let text = quote(&item.value);
                let value = DeValue::String(item.value.as_str().into());
                check::value(field.kind, &value, &text, field.example)
            }
        };
        match checked {
            Ok(value) => settings.set(field, value, origin),
            Err(faults) => problems.extend(faults.into_iter().map(|fault| {
                origin.problem(format!("{}{}", field.key, fault.inside), fault.message)
            })),
        }
    }
    cross::check(settings, &mut problems);
    ConfigErrors::check(problems)
}

struct Document<'a> {
    text: &'a str,
    name: &'a str,
}

impl Document<'_> {
    /// Line and column, in characters and from 1, of a byte offset.
    fn position(&self, offset: usize) -> (usize, usize) {
        let mut offset = offset.min(self.text.len());
        while !self.text.is_char_boundary(offset) {
            offset -= 1;
        }
        let before = &self.text[..offset];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }

    fn problem(&self, offset: usize, key: String, message: String) -> Problem {
        Problem {
            origin: self.name.to_owned(),
            position: Some(self.position(offset)),
            key: Some(key),
            message,
        }
    }

    fn syntax(&self, err: &toml::de::Error) -> Problem {
        let span = err.span().unwrap_or_default();
        let message = if err.message() == DUPLICATE {
            let key = self.text.get(span.clone()).unwrap_or_default();
            format!("`{}` is set twice; remove one of them", check::shorten(key))
        } else {
            format!("is not TOML: {}", err.message().replace('\n', "; "))
        };
        Problem { position: Some(self.position(span.start)), ..Problem::new(self.name, message) }
    }

    fn raw(&self, value: &Spanned<DeValue<'_>>) -> &str {
        self.text.get(value.span()).unwrap_or_default()
    }
}

fn walk(
    document: &Document<'_>,
    table: &DeTable<'_>,
    path: &str,
    settings: &mut Settings,
    problems: &mut Vec<Problem>,
) {
    for (key, value) in table {
        let name: &str = key.get_ref();
        let full =
            if path.is_empty() { bare_key(name) } else { format!("{path}.{}", bare_key(name)) };
        let raw = document.raw(value);
        if field::is_section(&full) {
            match value.get_ref() {
                DeValue::Table(inner) => walk(document, inner, &full, settings, problems),
                DeValue::Array(items)
                    if items.iter().all(|i| i.get_ref().is_table()) && !items.is_empty() =>
                {
                    let message = format!("is one table; write [{full}] once, not [[{full}]]");
                    problems.push(document.problem(key.span().start, full, message));
                }
                found => {
                    let what = format!("a table, [{full}] with its keys below");
                    let message = check::wrong_type(found, raw, &what, "");
                    problems.push(document.problem(value.span().start, full, message));
                }
            }
        } else if let Some(field) = field::find(&full) {
            let (line, column) = document.position(value.span().start);
            match check::value(field.kind, value.get_ref(), raw, field.example) {
                Ok(value) => {
                    let name = document.name.to_owned();
                    settings.set(field, value, Origin::File { name, line, column });
                }
                Err(faults) => problems.extend(faults.into_iter().map(|fault| {
                    let at = fault.span.map_or(value.span().start, |span| span.start);
                    document.problem(at, format!("{full}{}", fault.inside), fault.message)
                })),
            }
        } else {
            let message = unknown(path, name);
            problems.push(document.problem(key.span().start, full, message));
        }
    }
}

/// What to say about an unknown key: a name like it beside it, the table it belongs in, or what
/// there is.
fn unknown(table: &str, name: &str) -> String {
    let siblings = field::children(table);
    if let Some(near) = nearest(name, siblings.iter().copied()) {
        return format!("unknown key; did you mean {}?", quote(near));
    }
    let elsewhere: Vec<&str> =
        field::FIELDS.iter().filter(|f| f.split().1 == name).map(|f| f.key).collect();
    if !elsewhere.is_empty() {
        return format!("unknown key; there is {}", elsewhere.join(" and "));
    }
    let place = if table.is_empty() { "the file".to_owned() } else { format!("[{table}]") };
    format!("unknown key; {place} knows {}", siblings.join(", "))
}

fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= candidate.len().div_ceil(3))
        .min()
        .map(|(_, candidate)| candidate)
}

/// What the user typed for a flag, as TOML of the field's kind. Where it is none, the text itself
/// is checked and reported.
fn as_toml(kind: Kind, text: &str) -> String {
    let trimmed = text.trim();
    match kind {
        Kind::Integer { .. } | Kind::Number { .. } | Kind::Bool => trimmed.to_owned(),
        Kind::Addresses { .. } | Kind::Domains | Kind::Ips | Kind::Urls => {
            // `["a"]` is TOML, `[::1]:80` an address.
            let inside = trimmed.strip_prefix('[').map(str::trim_start);
            if inside.is_some_and(|inside| inside.starts_with(['"', '\'', ']'])) {
                return trimmed.to_owned();
            }
            let items: Vec<String> =
                trimmed.split(',').map(str::trim).filter(|i| !i.is_empty()).map(quote).collect();
            format!("[{}]", items.join(", "))
        }
        Kind::Labels if trimmed.starts_with('{') => trimmed.to_owned(),
        Kind::Labels => {
            let pairs: Option<Vec<String>> = trimmed
                .split(',')
                .filter(|pair| !pair.trim().is_empty())
                .map(|pair| {
                    let (name, value) = pair.split_once('=')?;
                    Some(format!("{} = {}", bare_key(name.trim()), quote(value.trim())))
                })
                .collect();
            match pairs {
                Some(pairs) => format!("{{ {} }}", pairs.join(", ")),
                None => quote(text),
            }
        }
        Kind::Label
        | Kind::Choice(_)
        | Kind::Duration { .. }
        | Kind::Size { .. }
        | Kind::Path
        | Kind::Peer
        | Kind::Socket => quote(text),
    }
}
