//! Checks one value against its field's kind.

use std::{
    collections::BTreeMap,
    fmt::Display,
    net::{IpAddr, SocketAddr},
    time::Duration,
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
    let written = Written { found, raw, example };
    match kind {
        Kind::Bool => {
            found.as_bool().map(Value::Bool).ok_or_else(|| written.wrong("true or false"))
        }
        Kind::Integer { min, max } => integer(written, min, max),
        Kind::Number { min, max } => number(written, min, max),
        Kind::Choice(words) => choice(written, words),
        Kind::Duration { min, max } => duration(written, min, max),
        Kind::Size { min, max } => size(written, min, max),
        Kind::Label => label(written),
        Kind::Path => {
            let text = written.text("an absolute path")?;
            path(text, text, example).map(|()| Value::Text(text.to_owned()))
        }
        Kind::Socket => socket(written),
        Kind::Addresses { empty } => addresses(written, empty),
        Kind::Peer => {
            let text = written.text("a name or address with a port")?;
            peer(text, example).map(Value::Text).map_err(whole)
        }
        Kind::Urls => list(written, "a list of addresses", url).map(Value::Texts),
        Kind::Domains => list(written, "a list of DNS names", domain).map(Value::Texts),
        Kind::Ips => list(written, "a list of IP addresses", ip).map(Value::Texts),
        Kind::Labels => {
            let what = "a table of names with text";
            let table = found.as_table().ok_or_else(|| written.wrong(what))?;
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

fn out_of_range(value: &str, min: impl Display, max: impl Display) -> Faults {
    whole(format!("{value} is out of range; allowed is {min} to {max}"))
}

fn whole(message: String) -> Faults {
    vec![Fault { inside: String::new(), span: None, message }]
}

/// A value as found in the document.
#[derive(Clone, Copy)]
struct Written<'a> {
    found: &'a DeValue<'a>,
    raw: &'a str,
    example: &'a str,
}

impl<'a> Written<'a> {
    fn wrong(self, what: &str) -> Faults {
        whole(wrong_type(self.found, self.raw, what, self.example))
    }

    fn text(self, what: &str) -> Result<&'a str, Faults> {
        self.found.as_str().ok_or_else(|| self.wrong(what))
    }
}

fn integer(written: Written<'_>, min: i64, max: i64) -> Result<Value, Faults> {
    let found = written.found.as_integer().ok_or_else(|| written.wrong("a whole number"))?;
    match i64::from_str_radix(found.as_str(), found.radix()) {
        Ok(number) if (min..=max).contains(&number) => Ok(Value::Integer(number)),
        _ if max == i64::MAX => {
            Err(whole(format!("{} is out of range; allowed is {min} or more", written.raw)))
        }
        _ => Err(out_of_range(written.raw, min, max)),
    }
}

fn number(written: Written<'_>, min: f64, max: f64) -> Result<Value, Faults> {
    let number = match written.found {
        DeValue::Integer(n) => i64::from_str_radix(n.as_str(), n.radix()).ok().map(|n| n as f64),
        DeValue::Float(n) => n.as_str().parse().ok(),
        _ => return Err(written.wrong("a number")),
    };
    match number {
        Some(number) if (min..=max).contains(&number) => Ok(Value::Number(number)),
        _ => Err(out_of_range(written.raw, min, max)),
    }
}

fn choice(written: Written<'_>, words: &[&str]) -> Result<Value, Faults> {
    let allowed = words.iter().map(|w| quote(w)).collect::<Vec<_>>().join(", ");
    let what = format!("one of {allowed}");
    let Some(text) = written.found.as_str() else {
        return Err(whole(wrong_type(written.found, written.raw, &what, "")));
    };
    if words.contains(&text) {
        return Ok(Value::Text(text.to_owned()));
    }
    Err(whole(format!("{} is not known; write {what}", quote(text))))
}

fn duration(written: Written<'_>, min: Duration, max: Duration) -> Result<Value, Faults> {
    let text = written.text("a duration with its unit")?;
    match parse_duration(text) {
        Some(duration) if (min..=max).contains(&duration) => Ok(Value::Duration(duration)),
        Some(_) => Err(out_of_range(&quote(text), format_duration(min), format_duration(max))),
        None => Err(whole(format!(
            "{} is not a duration; write a whole number and ms, s, m, h or d, e.g. {}",
            quote(text),
            written.example
        ))),
    }
}

fn size(written: Written<'_>, min: u64, max: u64) -> Result<Value, Faults> {
    let text = written.text("a size with its unit")?;
    match parse_size(text) {
        Some(size) if (min..=max).contains(&size) => Ok(Value::Size(size)),
        Some(_) => Err(out_of_range(&quote(text), format_size(min), format_size(max))),
        None => Err(whole(format!(
            "{} is not a size; write a whole number and B, KiB, MiB, GiB, kB, MB or GB, e.g. {}",
            quote(text),
            written.example
        ))),
    }
}

fn label(written: Written<'_>) -> Result<Value, Faults> {
    let text = written.text("a name")?;
    if is_label(text) {
        return Ok(Value::Text(text.to_owned()));
    }
    Err(whole(format!(
        "{} is not a node name; write 1 to 63 lower-case letters, digits and -, e.g. {}",
        quote(text),
        written.example
    )))
}

fn socket(written: Written<'_>) -> Result<Value, Faults> {
    let text = written.text("the address of a socket")?;
    let Some(socket) = text.strip_prefix("unix://") else {
        return Err(whole(format!(
            "{} is not a local socket; write unix:// and its path, e.g. {}",
            quote(text),
            written.example
        )));
    };
    path(socket, text, written.example).map(|()| Value::Text(text.to_owned()))
}

fn addresses(written: Written<'_>, empty: bool) -> Result<Value, Faults> {
    let what = "a list of addresses";
    let addresses = list(written, what, |text| {
        text.parse::<SocketAddr>().map_err(|_| {
            format!("{} is not an address with a port; write e.g. \"127.0.0.1:1443\"", quote(text))
        })
    })?;
    if addresses.is_empty() && !empty {
        return Err(whole(format!("is empty; write {what}, e.g. {}", written.example)));
    }
    Ok(Value::Addresses(addresses))
}

/// `host:port` of one machine, as it is dialled.
fn peer(text: &str, example: &str) -> Result<String, String> {
    match host_and_port(text) {
        Some((host, Some(port))) => Ok(joined(&host, port)),
        Some((_, None)) => Err(format!("{} has no port; write e.g. {example}", quote(text))),
        None => {
            Err(format!("{} is not the address of one machine; write e.g. {example}", quote(text)))
        }
    }
}

/// `https://host:port`, without a path.
fn url(text: &str) -> Result<String, String> {
    const PORT: u16 = 1443;
    let example = "\"https://node-1.example.com:1443\"";
    let Some(rest) = text.strip_prefix("https://") else {
        let more = if text.starts_with("http://") { " (the API speaks TLS only)" } else { "" };
        return Err(format!("{} is not an https address{more}; write e.g. {example}", quote(text)));
    };
    match host_and_port(rest.strip_suffix('/').unwrap_or(rest)) {
        Some((host, port)) => Ok(format!("https://{}", joined(&host, port.unwrap_or(PORT)))),
        None => Err(format!("{} names no host; write e.g. {example}", quote(text))),
    }
}

/// The host, in lower case and without brackets, and the port.
pub(crate) fn host_and_port(text: &str) -> Option<(String, Option<u16>)> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        return is_machine(ip).then(|| (ip.to_string(), None));
    }
    if let Some(ip) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        let ip = IpAddr::V6(ip.parse().ok()?);
        return is_machine(ip).then(|| (ip.to_string(), None));
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        let fits = is_machine(address.ip()) && address.port() != 0;
        return fits.then(|| (address.ip().to_string(), Some(address.port())));
    }
    let (name, port) = match text.split_once(':') {
        Some((name, port)) => (name, Some(port.parse().ok().filter(|port| *port != 0)?)),
        None => (text, None),
    };
    // What ends in a number was meant to be an address.
    let is_number = |label: &str| label.bytes().all(|byte| byte.is_ascii_digit());
    if name.contains('*') || name.rsplit('.').next().is_none_or(is_number) {
        return None;
    }
    Some((domain(name).ok()?, port))
}

/// Host and port in one text; IPv6 addresses in brackets.
pub(crate) fn joined(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

fn is_machine(ip: IpAddr) -> bool {
    !ip.is_unspecified() && !ip.is_multicast()
}

fn domain(text: &str) -> Result<String, String> {
    let bare = text.strip_prefix("*.").unwrap_or(text).to_ascii_lowercase();
    let is_ip = text.parse::<IpAddr>().is_ok();
    if !is_ip && text.len() <= 253 && bare.split('.').all(is_label) {
        return Ok(text.to_ascii_lowercase());
    }
    let more = if is_ip { " (addresses belong in node.ips)" } else { "" };
    Err(format!("{} is not a DNS name{more}; write e.g. \"node-1.example.com\"", quote(text)))
}

fn ip(text: &str) -> Result<String, String> {
    match text.parse::<IpAddr>() {
        Ok(ip) if !is_machine(ip) => Err(format!(
            "{} is not the address of one machine; write e.g. \"192.0.2.10\"",
            quote(text)
        )),
        Ok(ip) => Ok(ip.to_string()),
        Err(_) => Err(format!(
            "{} is not an IP address; write e.g. \"192.0.2.10\" or \"2001:db8::10\"",
            quote(text)
        )),
    }
}

fn list<T>(
    written: Written<'_>,
    what: &str,
    check: impl Fn(&str) -> Result<T, String>,
) -> Result<Vec<T>, Faults> {
    let array = written.found.as_array().ok_or_else(|| written.wrong(what))?;
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
            None => format!("only strings belong in this list, e.g. {}", written.example),
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
