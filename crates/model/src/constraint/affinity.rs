//! What must, or must not, run on the same node.

use std::{fmt, str::FromStr};

use super::{ConstraintError, Value, column, text_or_regex};

/// What must, or must not, run on the same node as a replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Affinity {
    /// To what.
    pub target: AffinityTarget,
    /// Whether it must not be there, instead of must.
    pub anti: bool,
    /// Whether it is only a preference.
    pub soft: bool,
}

/// What an affinity looks for on a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AffinityTarget {
    /// Replicas of objects; `*` in group or name stands for anything.
    Object {
        /// Group of the objects.
        group: String,
        /// Name of the objects.
        name: String,
    },
    /// Replicas of objects with a label (of `meta.labels` or `labels`) of this value.
    Label {
        /// Name of the label.
        key: String,
        /// Text or regular expression; never another value.
        value: Value,
    },
}

const ALLOWED: &str = "allowed: `containers/GROUP/NAME`, `label.NAME==VALUE`";

impl FromStr for Affinity {
    type Err = ConstraintError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let rest = text.trim_start_matches(|c: char| c.is_whitespace() || "!~".contains(c));
        let start = text.len() - rest.len();
        let marks = &text[..start];
        let rest = rest.trim_end();
        let column = |position: usize| column(text, start + position);
        let target = |hint: &str| ConstraintError::Target {
            column: column(0),
            target: rest.to_owned(),
            hint: hint.to_owned(),
        };
        if rest.is_empty() || marks.matches('!').count() > 1 || marks.matches('~').count() > 1 {
            return Err(target(ALLOWED));
        }
        let soft = marks.contains('~');
        let anti = marks.contains('!');
        if let Some(label) = rest.strip_prefix("label.") {
            let before = rest.len() - label.len();
            let Some(at) = label.find("==").or_else(|| label.find("!=")) else {
                return Err(ConstraintError::Operator {
                    column: column(rest.len()),
                    found: String::new(),
                    allowed: "allowed: ==, !=".to_owned(),
                });
            };
            let key = label[..at].trim();
            if key.is_empty() {
                return Err(ConstraintError::NoLabel { column: column(before) });
            }
            let value = label[at + 2..].trim_start();
            let soft = soft || value.starts_with('~');
            let value = value.strip_prefix('~').unwrap_or(value).trim();
            let at_value = column(rest.len() - value.len());
            if value.is_empty() {
                return Err(ConstraintError::NoValue { column: at_value });
            }
            let anti = anti != label[at..].starts_with('!');
            let value = text_or_regex(value, at_value)?;
            let target = AffinityTarget::Label { key: key.to_owned(), value };
            return Ok(Self { target, anti, soft });
        }
        let part = |it: &str| !it.is_empty() && !it.contains(|c: char| c.is_whitespace());
        match rest.split('/').collect::<Vec<_>>().as_slice() {
            ["containers", group, name] if part(group) && part(name) => {
                let (group, name) = ((*group).to_owned(), (*name).to_owned());
                Ok(Self { target: AffinityTarget::Object { group, name }, anti, soft })
            }
            [group, name] if *group != "containers" && part(group) && part(name) => {
                Err(target(&format!("did you mean `containers/{group}/{name}`?")))
            }
            _ => Err(target(ALLOWED)),
        }
    }
}

impl fmt::Display for Affinity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let soft = if self.soft { "~" } else { "" };
        let anti = if self.anti { "!" } else { "" };
        write!(f, "{soft}{anti}{}", self.target)
    }
}

impl fmt::Display for AffinityTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Object { group, name } => write!(f, "containers/{group}/{name}"),
            Self::Label { key, value } => write!(f, "label.{key}=={value}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let actual = match text.parse::<Affinity>() {
            Ok(affinity) => affinity.to_string(),
            Err(error) => error.to_string(),
        };
        assert_eq!(actual, expected, "{text}");
    }

    #[test]
    fn affinities_are_read_and_written() {
        check("containers/shop/db", "containers/shop/db");
        check("!containers/shop/*", "!containers/shop/*");
        check("~ !containers/shop/db", "~!containers/shop/db");
        check("!~containers/shop/db", "~!containers/shop/db");
        check("label.tier==cache", "label.tier==cache");
        check("label.tier != cache", "!label.tier==cache");
        check("!label.tier!=cache", "label.tier==cache");
        check("label.a.b==~/x|y/", "~label.a.b==/x|y/");
    }

    #[test]
    fn mistakes_are_placed() {
        let allowed = "allowed: `containers/GROUP/NAME`, `label.NAME==VALUE`";
        check("", &format!("column 1: names nothing to be placed beside; {allowed}"));
        check("! db", &format!("column 3: nothing can be placed beside `db`; {allowed}"));
        check(
            "shop/db",
            "column 1: nothing can be placed beside `shop/db`; did you mean `containers/shop/db`?",
        );
        check("label.tier", "column 11: an operator is missing; allowed: ==, !=");
        check("label.==x", "column 7: the name of the label is missing");
        check("label.tier==", "column 13: a value is missing");
        check("label.tier==/(/", "column 13: `/(/`: it is not a regular expression (syntax RE2)");
    }
}
