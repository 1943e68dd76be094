//! Checks one value against its field's kind.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

use toml::de::{DeTable, DeValue};

use crate::{
    field::Kind,
    units::{format_duration, format_size, parse_duration, parse_size},
    value::{Value, bare_key, quote},
};

/// What is wrong with a value: where inside it (`[0]`, `.zone`), the byte range inside the
/// document if it is not the whole value, and what to write.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) inside: String,
    pub(crate) span: Option<std::ops::Range<usize>>,
    pub(crate) message: String,
}

type Faults = Vec<Fault>;

/// The checked value. `raw` is the value as written, for messages about the whole of it.
pub(crate) fn value(
    kind: Kind,
    found: &DeValue<'_>,
    raw: &str,
    example: &str,
) -> Result<Value, Faults> {
    let wrong = |what: &str| whole(wrong_type(found, raw, what, example));
    match kind {
        Kind::Bool => found.as_bool().map(Value::Bool).ok_or_else(|| wrong("true or false")),
        Kind::Integer { min, max } => {
            let found = found.as_integer().ok_or_else(|| wrong("a whole number"))?;
            let number = i64::from_str_radix(found.as_str(), found.radix());
            match number {
                Ok(number) if (min..=max).contains(&number) => Ok(Value::Integer(number)),
                _ if max == i64::MAX => {
                    Err(whole(format!("{raw} is out of range; allowed is {min} or more")))
                }
                _ => Err(whole(format!("{raw} is out of range; allowed is {min} to {max}"))),
            }
        }
        Kind::Number { min, max } => {
            let number = match found {
                DeValue::Integer(n) => {
                    i64::from_str_radix(n.as_str(), n.radix()).ok().map(|n| n as f64)
                }
                DeValue::Float(n) => n.as_str().parse().ok(),
                _ => return Err(wrong("a number")),
            };
            match number {
                Some(number) if (min..=max).contains(&number) => Ok(Value::Number(number)),
                _ => Err(whole(format!("{raw} is out of range; allowed is {min} to {max}"))),
            }
        }
        Kind::Choice(words) => {
            let allowed = words.iter().map(|w| quote(w)).collect::<Vec<_>>().join(", ");
            let text = found
                .as_str()
                .ok_or_else(|| whole(wrong_type(found, raw, &format!("one of {allowed}"), "")))?;
            if words.contains(&text) {
                Ok(Value::Text(text.to_owned()))
            } else {
                Err(whole(format!("{} is not known; write one of {allowed}", quote(text))))
            }
        }
        Kind::Duration { min, max } => {
            let text = found.as_str().ok_or_else(|| wrong("a duration with its unit"))?;
            let duration = parse_duration(text).ok_or_else(|| {
                whole(format!(
                    "{} is not a duration; write a whole number and ms, s, m, h or d, e.g. {example}",
                    quote(text)
                ))
            })?;
            if (min..=max).contains(&duration) {
                return Ok(Value::Duration(duration));
            }
            let (min, max) = (format_duration(min), format_duration(max));
            Err(whole(format!("{} is out of range; allowed is {min} to {max}", quote(text))))
        }
        Kind::Size { min, max } => {
            let text = found.as_str().ok_or_else(|| wrong("a size with its unit"))?;
            let size = parse_size(text).ok_or_else(|| {
                whole(format!(
                    "{} is not a size; write a whole number and B, KiB, MiB, GiB, kB, MB or GB, \
                     e.g. {example}",
                    quote(text)
                ))
            })?;
            if (min..=max).contains(&size) {
                return Ok(Value::Size(size));
            }
            let (min, max) = (format_size(min), format_size(max));
            Err(whole(format!("{} is out of range; allowed is {min} to {max}", quote(text))))
        }
        Kind::Label => {
            let text = found.as_str().ok_or_else(|| wrong("a name"))?;
            if is_label(text) {
                return Ok(Value::Text(text.to_owned()));
            }
            Err(whole(format!(
                "{} is not a node name; write 1 to 63 lower-case letters, digits and -, e.g. {example}",
                quote(text)
            )))
        }
        Kind::Path => {
            let text = found.as_str().ok_or_else(|| wrong("an absolute path"))?;
            path(text, text, example).map(|()| Value::Text(text.to_owned()))
        }
        Kind::Socket => {
            let text = found.as_str().ok_or_else(|| wrong("the address of a socket"))?;
            let Some(socket) = text.strip_prefix("unix://") else {
                return Err(whole(format!(
                    "{} is not a local socket; write unix:// and its path, e.g. {example}",
                    quote(text)
                )));
            };
            path(socket, text, example).map(|()| Value::Text(text.to_owned()))
        }
        Kind::Addresses { empty } => {
            let what = "a list of addresses";
            let addresses = list(found, raw, what, example, |text| {
                text.parse::<SocketAddr>().map_err(|_| {
                    format!(
                        "{} is not an address with a port; write e.g. \"127.0.0.1:1443\"",
                        quote(text)
                    )
                })
            })?;
            if addresses.is_empty() && !empty {
                return Err(whole(format!("is empty; write {what}, e.g. {example}")));
            }
            Ok(Value::Addresses(addresses))
        }
        Kind::Domains => list(found, raw, "a list of DNS names", example, |text| {
            let bare = text.strip_prefix("*.").unwrap_or(text);
            let is_ip = text.parse::<IpAddr>().is_ok();
            if !is_ip && text.len() <= 253 && bare.split('.').all(|l| is_label(&l.to_lowercase())) {
                Ok(text.to_ascii_lowercase())
            } else {
                let more = if is_ip { " (addresses belong in node.ips)" } else { "" };
                Err(format!(
                    "{} is not a DNS name{more}; write e.g. \"node-1.example.com\"",
                    quote(text)
                ))
            }
        })
        .map(Value::Texts),
        Kind::Ips => list(found, raw, "a list of IP addresses", example, |text| {
            let ip = text.parse::<IpAddr>().map_err(|_| {
                format!(
                    "{} is not an IP address; write e.g. \"192.0.2.10\" or \"2001:db8::10\"",
                    quote(text)
                )
            })?;
            if ip.is_unspecified() || ip.is_multicast() {
                return Err(format!(
                    "{} is not the address of one machine; write e.g. \"192.0.2.10\"",
                    quote(text)
                ));
            }
            Ok(ip.to_string())
        })
        .map(Value::Texts),
        Kind::Labels => {
            let table = found.as_table().ok_or_else(|| wrong("a table of names with text"))?;
            labels(table, example).map(Value::Map)
        }
    }
}

/// "x is a string; write ...".
pub(crate) fn wrong_type(found: &DeValue<'_>, raw: &str, what: &str, example: &str) -> String {
    let kind = match found {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    };
    let shown = match found {
        DeValue::Table(_) => "this".to_owned(),
        _ => shorten(raw),
    };
    let example = if example.is_empty() { String::new() } else { format!(", e.g. {example}") };
    format!("{shown} is {kind}; write {what}{example}")
}

/// A value as written, on one line and not long.
pub(crate) fn shorten(raw: &str) -> String {
    const MOST: usize = 60;
    let line: String = raw.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= MOST {
        return line;
    }
    line.chars().take(MOST).chain(" ...".chars()).collect()
}

fn whole(message: String) -> Faults {
    vec![Fault { inside: String::new(), span: None, message }]
}

fn list<T>(
    found: &DeValue<'_>,
    raw: &str,
    what: &str,
    example: &str,
    check: impl Fn(&str) -> Result<T, String>,
) -> Result<Vec<T>, Faults> {
    let Some(array) = found.as_array() else {
        return Err(whole(wrong_type(found, raw, what, example)));
    };
    let mut good = Vec::new();
    let mut faults = Faults::new();
    for (index, item) in array.iter().enumerate() {
        let message = match item.get_ref().as_str() {
            Some(text) => match check(text) {
                Ok(value) => {
                    good.push(value);
                    continue;
                }
                Err(message) => message,
            },
            None => format!("only strings belong in this list, e.g. {example}"),
        };
        faults.push(Fault { inside: format!("[{index}]"), span: Some(item.span()), message });
    }
    if faults.is_empty() { Ok(good) } else { Err(faults) }
}

fn labels(table: &DeTable<'_>, example: &str) -> Result<BTreeMap<String, String>, Faults> {
    let mut good = BTreeMap::new();
    let mut faults = Faults::new();
    for (key, item) in table {
        let name: &str = key.get_ref();
        let fault = |message: String| Fault {
            inside: format!(".{}", bare_key(name)),
            span: Some(item.span()),
            message,
        };
        let fits = (1..=63).contains(&name.len())
            && name.starts_with(|c: char| c.is_ascii_alphanumeric())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-/".contains(c));
        match item.get_ref().as_str() {
            _ if !fits => faults.push(fault(
                "is not a label name; write 1 to 63 letters, digits, ., _, - or /, starting with \
                 a letter or digit"
                    .to_owned(),
            )),
            Some(text) if text.len() <= 253 => {
                good.insert(name.to_owned(), text.to_owned());
            }
            Some(_) => faults.push(fault("is longer than 253 characters".to_owned())),
            None => faults.push(fault(format!("must be a string, e.g. {example}"))),
        }
    }
    if faults.is_empty() { Ok(good) } else { Err(faults) }
}

fn path(path: &str, shown: &str, example: &str) -> Result<(), Faults> {
    if path.contains('\0') {
        return Err(whole(format!("{} holds a zero character", quote(shown))));
    }
    if path.starts_with('/') {
        return Ok(());
    }
    Err(whole(format!("{} is not an absolute path; write e.g. {example}", quote(shown))))
}

fn is_label(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && !text.starts_with('-')
        && !text.ends_with('-')
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}
