//! Rules of `placement` made ready to be compared.

use std::{cmp::Ordering, collections::BTreeMap, net::IpAddr};

use regex::{Regex, RegexBuilder};
use smr_model::{
    NodeRole,
    constraint::{Affinity, AffinityTarget, Attribute, Constraint, Operator, Value},
    natural_cmp,
};

use crate::node::Node;

/// A text, text with `*`, or regular expression.
#[derive(Debug, Clone)]
enum Pattern {
    /// Lower case.
    Exact(String),
    /// The parts between the stars, lower case.
    Glob(Vec<String>),
    Regex(Regex),
    Never,
}

impl Pattern {
    fn new(value: &Value) -> Self {
        match value {
            Value::Text(text) if text.contains('*') => {
                Self::Glob(text.to_lowercase().split('*').map(str::to_owned).collect())
            }
            Value::Regex(text) => {
                let regex = RegexBuilder::new(text).size_limit(1 << 20).build();
                regex.map_or(Self::Never, Self::Regex)
            }
            other => Self::Exact(other.to_string().to_lowercase()),
        }
    }

    fn text(text: &str) -> Self {
        Self::new(&Value::Text(text.to_owned()))
    }

    fn matches(&self, text: &str) -> bool {
        match self {
            Self::Exact(exact) => text.to_lowercase() == *exact,
            Self::Glob(parts) => glob(parts, &text.to_lowercase()),
            Self::Regex(regex) => regex.is_match(text),
            Self::Never => false,
        }
    }
}

/// Whether `text` is the parts in order, with anything between them.
fn glob(parts: &[String], text: &str) -> bool {
    let [first, middle @ .., last] = parts else { return false };
    let Some(mut rest) = text.strip_prefix(first.as_str()) else { return false };
    for part in middle {
        let Some(at) = rest.find(part.as_str()) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last.as_str())
}

/// A constraint.
#[derive(Debug, Clone)]
pub(crate) struct NodeTest {
    /// As it is shown.
    pub(crate) text: String,
    pub(crate) soft: bool,
    constraint: Option<(Constraint, Pattern)>,
}

impl NodeTest {
    pub(crate) fn new(constraint: Constraint) -> Self {
        let pattern = match (&constraint.attribute, &constraint.value) {
            (Attribute::PlatformArch, Value::Text(arch)) => Pattern::text(platform_arch(arch)),
            (Attribute::Role, Value::Text(role)) if role.eq_ignore_ascii_case("manager") => {
                Pattern::text("voter")
            }
            (_, value) => Pattern::new(value),
        };
        let soft = constraint.soft;
        Self { text: constraint.to_string(), soft, constraint: Some((constraint, pattern)) }
    }

    /// A constraint nobody can read: no node satisfies it.
    pub(crate) fn never(text: &str) -> Self {
        Self { text: text.to_owned(), soft: false, constraint: None }
    }

    pub(crate) fn holds(&self, node: &Node) -> bool {
        let Some((constraint, pattern)) = &self.constraint else { return false };
        let operator = constraint.operator;
        let text = |text: &str| match (operator, &constraint.value) {
            (Operator::Equal, _) => pattern.matches(text),
            (Operator::NotEqual, _) => !pattern.matches(text),
            // A label that is absent has no place in an order.
            (_, Value::Text(value)) => !text.is_empty() && operator.holds(natural_cmp(text, value)),
            _ => false,
        };
        let number = |number: u64| match constraint.value {
            Value::Number(value) => operator.holds(number.cmp(&value)),
            _ => text(&number.to_string()),
        };
        let any = |mut any: Box<dyn FnMut(&Pattern) -> bool + '_>| match operator {
            Operator::NotEqual => !any(pattern),
            _ => any(pattern),
        };
        let label = |labels: &BTreeMap<String, String>, key: &str| {
            text(labels.get(key).map_or("", String::as_str))
        };
        match &constraint.attribute {
            Attribute::Node => {
                let id = node.id.to_string();
                any(Box::new(|it| it.matches(&node.name) || it.matches(&id)))
            }
            Attribute::Id => number(node.id),
            Attribute::Name => text(&node.name),
            Attribute::Ip => {
                let Value::Network(network, bits) = constraint.value else { return false };
                let inside = node.addresses.iter().filter_map(|it| address(it));
                let inside = inside.into_iter().any(|it| contains(network, bits, it));
                inside == (operator == Operator::Equal)
            }
            Attribute::Role => text(match node.role {
                NodeRole::Voter => "voter",
                NodeRole::Worker => "worker",
            }),
            Attribute::PlatformOs => text(platform_os(&node.os)),
            Attribute::PlatformArch => text(platform_arch(&node.arch)),
            Attribute::NodeLabel(key) => label(&node.labels, key),
            Attribute::EngineLabel(key) => label(&node.engine_labels, key),
            Attribute::EngineVersion => version(operator, &node.engine_version, constraint, text),
            Attribute::Kernel => version(operator, &node.kernel, constraint, text),
            Attribute::Cpus => number(node.cpu_millis),
            Attribute::Memory => number(node.memory),
            Attribute::Driver => text(&node.driver),
            Attribute::OperatingSystem => text(&node.os),
        }
    }
}

/// Compares versions by as many parts as the constraint names: `20.10.24` is not greater than `20`.
fn version(
    operator: Operator,
    version: &str,
    constraint: &Constraint,
    text: impl Fn(&str) -> bool,
) -> bool {
    let Value::Text(wanted) = &constraint.value else { return text(version) };
    if !operator.is_ordered() {
        return text(version);
    }
    if version.is_empty() {
        return false;
    }
    let split =
        |text: &str| -> Vec<String> { text.split(['.', '-', '+']).map(str::to_owned).collect() };
    let (have, wanted) = (split(version), split(wanted));
    for (position, part) in wanted.iter().enumerate() {
        let order = natural_cmp(have.get(position).map_or("", String::as_str), part);
        if order != Ordering::Equal {
            return operator.holds(order);
        }
    }
    operator.holds(Ordering::Equal)
}

/// The value of an attribute for `spreadOver`; empty for a label that is absent.
pub(crate) fn attribute(node: &Node, attribute: &Attribute) -> String {
    match attribute {
        Attribute::Node | Attribute::Name => node.name.clone(),
        Attribute::Id => node.id.to_string(),
        Attribute::Ip => node.addresses.first().cloned().unwrap_or_default(),
        Attribute::Role => node.role.as_str().to_owned(),
        Attribute::PlatformOs => platform_os(&node.os).to_owned(),
        Attribute::PlatformArch => platform_arch(&node.arch).to_owned(),
        Attribute::NodeLabel(key) => node.labels.get(key).cloned().unwrap_or_default(),
        Attribute::EngineLabel(key) => node.engine_labels.get(key).cloned().unwrap_or_default(),
        Attribute::EngineVersion => node.engine_version.clone(),
        Attribute::Cpus => node.cpu_millis.to_string(),
        Attribute::Memory => node.memory.to_string(),
        Attribute::Kernel => node.kernel.clone(),
        Attribute::Driver => node.driver.clone(),
        Attribute::OperatingSystem => node.os.clone(),
    }
}

/// Whether an image for `platform` (`linux/amd64`, `linux/arm/v7`, `arm64`) runs on the node.
pub(crate) fn runs_on(node: &Node, platform: &str) -> bool {
    let mut parts = platform.split('/');
    let (first, second) = (parts.next().unwrap_or_default(), parts.next());
    let (os, arch) = match second {
        Some(arch) => (first, arch),
        None if ["linux", "windows"].contains(&first) => (first, ""),
        None => ("", first),
    };
    let same = |wanted: &str, have: &str| wanted.is_empty() || wanted.eq_ignore_ascii_case(have);
    same(os, platform_os(&node.os)) && same(platform_arch(arch), platform_arch(&node.arch))
}

/// What images call the system the engine names.
pub(crate) fn platform_os(os: &str) -> &'static str {
    if os.to_ascii_lowercase().contains("windows") { "windows" } else { "linux" }
}

/// What images call an architecture.
pub(crate) fn platform_arch(arch: &str) -> &str {
    match arch {
        "x86_64" | "x86-64" => "amd64",
        "aarch64" | "armv8" => "arm64",
        "armv7l" | "armv6l" | "armhf" => "arm",
        "i386" | "i686" => "386",
        other => other,
    }
}

/// The address in `10.0.0.1`, `10.0.0.1:9212`, `[::1]:9212` or `https://10.0.0.1:1443`.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.split_once("://").map_or(text, |(_, rest)| rest);
    let text = text.split('/').next().unwrap_or_default();
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    let host = text.rsplit_once(':').map_or(text, |(host, _)| host);
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

fn contains(network: IpAddr, bits: u8, address: IpAddr) -> bool {
    let bits = u32::from(bits);
    match (network, address) {
        (IpAddr::V4(network), IpAddr::V4(address)) => {
            let differ = u32::from(network) ^ u32::from(address);
            differ.checked_shr(32 - bits).unwrap_or(0) == 0
        }
        (IpAddr::V6(network), IpAddr::V6(address)) => {
            let differ = u128::from(network) ^ u128::from(address);
            differ.checked_shr(128 - bits).unwrap_or(0) == 0
        }
        _ => false,
    }
}

/// An affinity.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// As it is shown, without its marks.
    pub(crate) text: String,
    pub(crate) anti: bool,
    pub(crate) soft: bool,
    what: What,
}

#[derive(Debug, Clone)]
enum What {
    /// Group and name without stars.
    Object(String, String),
    Objects(Pattern, Pattern),
    Label(String, Pattern),
    Never,
}

/// How the objects a target may mean are found without looking at all.
pub(crate) enum Lookup<'a> {
    /// Only this one.
    Object(&'a str, &'a str),
    /// Only objects with this label.
    Label(&'a str),
    /// Any.
    All,
    /// None.
    Nothing,
}

impl Target {
    pub(crate) fn new(affinity: Affinity) -> Self {
        let text = affinity.target.to_string();
        let what = match affinity.target {
            AffinityTarget::Object { group, name } if group.contains('*') || name.contains('*') => {
                What::Objects(Pattern::text(&group), Pattern::text(&name))
            }
            AffinityTarget::Object { group, name } => What::Object(group, name),
            AffinityTarget::Label { key, value } => What::Label(key, Pattern::new(&value)),
        };
        Self { text, anti: affinity.anti, soft: affinity.soft, what }
    }

    /// An affinity nobody can read: nothing satisfies it.
    pub(crate) fn never(text: &str) -> Self {
        Self { text: text.to_owned(), anti: false, soft: false, what: What::Never }
    }

    pub(crate) fn lookup(&self) -> Lookup<'_> {
        match &self.what {
            What::Object(group, name) => Lookup::Object(group, name),
            What::Label(key, _) => Lookup::Label(key),
            What::Objects(..) => Lookup::All,
            What::Never => Lookup::Nothing,
        }
    }

    pub(crate) fn matches(
        &self,
        group: &str,
        name: &str,
        labels: &BTreeMap<String, String>,
    ) -> bool {
        match &self.what {
            What::Object(g, n) => g == group && n == name,
            What::Objects(g, n) => g.matches(group) && n.matches(name),
            What::Label(key, value) => labels.get(key).is_some_and(|it| value.matches(it)),
            What::Never => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node() -> Node {
        let labels = [("zone", "EU-1"), ("rank", "10")];
        Node {
            id: 7,
            name: "web7".to_owned(),
            labels: labels.map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
            os: "Debian GNU/Linux 12".to_owned(),
            arch: "x86_64".to_owned(),
            kernel: "6.1.0-18-amd64".to_owned(),
            engine_version: "20.10.24".to_owned(),
            driver: "overlay2".to_owned(),
            addresses: vec!["10.1.2.3:9212".to_owned(), "https://[fd00::1]:1443".to_owned()],
            cpu_millis: 4000,
            memory: 8 << 30,
            role: NodeRole::Worker,
            ..Node::default()
        }
    }

    #[track_caller]
    fn check(text: &str, expected: bool) {
        let test = NodeTest::new(text.parse().unwrap());
        assert_eq!(test.holds(&node()), expected, "{text}");
    }

    #[test]
    fn texts_patterns_and_absent_labels() {
        check("node.labels.zone==eu-1", true);
        check("node.labels.zone==eu", false);
        check("node.labels.zone==eu*", true);
        check("node.labels.zone==*-*", true);
        check("node.labels.zone!=eu-1", false);
        check("node.labels.zone==/^EU-[0-9]$/", true);
        check("node.labels.zone==/eu/", false);
        check("node.labels.zone!=/(?i)eu/", false);
        check("node.labels.Zone==eu-1", false);
        check("node.labels.gone==", true);
        check("node.labels.gone!=x", true);
        check("node.labels.gone>1", false);
        check("node.labels.rank>9", true);
        check("node.labels.rank<=9", false);
        check("engine.labels.zone==eu-1", false);
    }

    #[test]
    fn facts_of_a_node() {
        check("node==web7", true);
        check("node==7", true);
        check("node!=7", false);
        check("node.id==7", true);
        check("node.id<7", false);
        check("node.hostname==WEB*", true);
        check("node.role==worker", true);
        check("node.role==manager", false);
        check("node.platform.os==linux", true);
        check("node.platform.arch==x86_64", true);
        check("node.platform.arch!=arm64", true);
        check("node.cpus>=4", true);
        check("node.cpus>4", false);
        check("node.memory>7GiB", true);
        check("node.memory<8g", false);
        check("node.kernel>=5.10", true);
        check("node.kernel>6.1", false);
        check("node.kernel>=6.1", true);
        check("engine.version<20.10.3", false);
        check("engine.version>=20", true);
        check("engine.version>20", false);
        check("engine.version==20.10.*", true);
        check("operatingsystem==debian*", true);
        check("storagedriver==overlay2", true);
    }

    #[test]
    fn addresses_and_networks() {
        check("node.ip==10.1.2.3", true);
        check("node.ip==10.1.2.4", false);
        check("node.ip!=10.1.2.4", true);
        check("node.ip==10.0.0.0/8", true);
        check("node.ip==10.1.0.0/15", true);
        check("node.ip==11.0.0.0/8", false);
        check("node.ip==0.0.0.0/0", true);
        check("node.ip==fd00::/8", true);
        check("node.ip==fe80::/10", false);
    }

    #[test]
    fn platforms_of_images() {
        let yes = ["linux/amd64", "linux", "amd64", "linux/x86_64", "LINUX/AMD64"];
        let no = ["linux/arm64", "windows/amd64", "linux/arm/v7", "arm64"];
        assert!(yes.iter().all(|it| runs_on(&node(), it)));
        assert!(no.iter().all(|it| !runs_on(&node(), it)));
    }

    #[test]
    fn targets_match_objects_and_labels() {
        let labels = [("tier".to_owned(), "cache".to_owned())].into();
        let check = |text: &str, expected: bool| {
            let target = Target::new(text.parse().unwrap());
            assert_eq!(target.matches("shop", "redis", &labels), expected, "{text}");
        };
        check("containers/shop/redis", true);
        check("containers/shop/redi", false);
        check("containers/*/red*", true);
        check("label.tier==cache", true);
        check("label.tier==/^c/", true);
        check("label.tear==cache", false);
        check("label.tear==*", false);
    }
}
