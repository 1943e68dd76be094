//! What a constraint can look at.

use std::fmt;

use super::{ConstraintError, column};
use crate::suggest::nearest;

/// What a constraint looks at.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Attribute {
    /// `node`: id or name.
    Node,
    /// `node.id`.
    Id,
    /// `node.name`, also `node.hostname`.
    Name,
    /// `node.ip`: any of its addresses.
    Ip,
    /// `node.role`: `voter` (also `manager`) or `worker`.
    Role,
    /// `node.platform.os`: kind of system images are made for, `linux`.
    PlatformOs,
    /// `node.platform.arch`: `amd64`, `arm64`.
    PlatformArch,
    /// `node.labels.NAME`.
    NodeLabel(String),
    /// `engine.labels.NAME`.
    EngineLabel(String),
    /// `engine.version`.
    EngineVersion,
    /// `node.cpus`: processors of the machine.
    Cpus,
    /// `node.memory`: memory of the machine.
    Memory,
    /// `node.kernel`: version of the kernel.
    Kernel,
    /// `node.driver`: storage driver of the engine.
    Driver,
    /// `node.os`: name of the operating system, `Debian GNU/Linux 12`.
    OperatingSystem,
}

/// Names, canonical ones first, with those of the older schedulers behind.
const NAMES: &[(&str, Attribute)] = &[
    ("node.id", Attribute::Id),
    ("node.name", Attribute::Name),
    ("node.hostname", Attribute::Name),
    ("node.ip", Attribute::Ip),
    ("node.role", Attribute::Role),
    ("node.platform.os", Attribute::PlatformOs),
    ("node.platform.arch", Attribute::PlatformArch),
    ("node.kernel", Attribute::Kernel),
    ("node.driver", Attribute::Driver),
    ("node.cpus", Attribute::Cpus),
    ("node.memory", Attribute::Memory),
    ("node.os", Attribute::OperatingSystem),
    ("engine.version", Attribute::EngineVersion),
    ("node", Attribute::Node),
    ("storagedriver", Attribute::Driver),
    ("driver", Attribute::Driver),
    ("operatingsystem", Attribute::OperatingSystem),
    ("kernelversion", Attribute::Kernel),
    ("ostype", Attribute::PlatformOs),
];

/// How many of [`NAMES`] are advertised.
const CANONICAL: usize = 13;
const LABELS: &[&str] = &["node.labels", "engine.labels"];

impl Attribute {
    /// Reads an attribute alone, as in `spreadOver`.
    pub fn parse(text: &str) -> Result<Self, ConstraintError> {
        Self::read(text, text.len())
    }

    /// Reads what stands before the operator at byte `end`.
    pub(super) fn read(text: &str, end: usize) -> Result<Self, ConstraintError> {
        let start = end - text[..end].trim_start().len();
        let name = text[..end].trim();
        if name.is_empty() {
            return Err(ConstraintError::NoAttribute { column: column(text, start) });
        }
        let lower = name.to_ascii_lowercase();
        for (prefix, label) in [
            ("node.labels.", Self::NodeLabel as fn(String) -> Self),
            ("engine.labels.", Self::EngineLabel),
        ] {
            if lower.starts_with(prefix) {
                // Names of labels keep their case.
                return match &name[prefix.len()..] {
                    "" => {
                        Err(ConstraintError::NoLabel { column: column(text, start + name.len()) })
                    }
                    key => Ok(label(key.to_owned())),
                };
            }
        }
        let known = NAMES.iter().find(|(it, _)| *it == lower);
        known.map(|(_, attribute)| attribute.clone()).ok_or_else(|| ConstraintError::Attribute {
            column: column(text, start),
            name: name.to_owned(),
            hint: hint(name),
        })
    }

    /// Whether `<` and `>` apply.
    pub fn is_ordered(&self) -> bool {
        matches!(
            self,
            Self::Id
                | Self::Cpus
                | Self::Memory
                | Self::Kernel
                | Self::EngineVersion
                | Self::NodeLabel(_)
                | Self::EngineLabel(_)
        )
    }

    /// Whether it is a label, which may be absent.
    pub fn is_label(&self) -> bool {
        matches!(self, Self::NodeLabel(_) | Self::EngineLabel(_))
    }
}

/// What was probably meant, or everything that is allowed.
fn hint(name: &str) -> String {
    let canonical = || NAMES[..CANONICAL].iter().map(|(name, _)| *name);
    let nearest_to = |name: &str| {
        // The first part is the same for many, so it must not make them near.
        let (first, rest) = name.split_once('.')?;
        let rests = canonical().filter_map(|it| it.split_once('.')).filter(|it| it.0 == first);
        nearest(rest, rests.map(|it| it.1)).map(|rest| format!("{first}.{rest}"))
    };
    if let Some(meant) = nearest_to(name) {
        return format!("did you mean `{meant}`?");
    }
    let mut parts = name.splitn(3, '.');
    if let (Some(first), Some(second), Some(label)) = (parts.next(), parts.next(), parts.next())
        && let Some(meant) = nearest(&format!("{first}.{second}"), LABELS.iter().copied())
    {
        return format!("did you mean `{meant}.{label}`?");
    }
    let label = name.strip_prefix("node.").unwrap_or(name);
    if !label.contains('.') {
        return format!("for a label write `node.labels.{label}`");
    }
    let names: Vec<&str> = canonical().collect();
    format!("allowed: {}, node.labels.NAME, engine.labels.NAME", names.join(", "))
}

impl fmt::Display for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NodeLabel(key) => write!(f, "node.labels.{key}"),
            Self::EngineLabel(key) => write!(f, "engine.labels.{key}"),
            other => {
                let name = NAMES.iter().find(|(_, attribute)| attribute == other);
                f.write_str(name.map_or("", |(name, _)| name))
            }
        }
    }
}
