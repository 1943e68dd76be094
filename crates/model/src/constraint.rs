//! The language of `placement`: what a node must be (`node.labels.zone==eu`), and what must or must
//! not run beside a replica (`!containers/shop/db`). Reading only; the scheduler compares.
//!
//! ```text
//! constraint = attribute operator [ "~" ] value
//! operator   = "==" | "!=" | "=" | "<" | "<=" | ">" | ">="
//! affinity   = { "!" | "~" } ( "containers/" group "/" name | "label." key ( "==" | "!=" ) value )
//! value      = text, `*` standing for anything | "/" regular expression "/"
//! ```
//!
//! Blanks around the operator do not count. Texts are compared without regard to case, regular
//! expressions are found anywhere in the value unless anchored. A label that is absent is empty.
//! `~` makes a preference of a rule.

mod affinity;
mod attribute;
mod error;

use std::{fmt, net::IpAddr, str::FromStr};

pub use affinity::{Affinity, AffinityTarget};
pub use attribute::Attribute;
pub use error::ConstraintError;

use crate::quantity::{Bytes, Cpus};

/// What a node must be, or should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Constraint {
    /// What is looked at.
    pub attribute: Attribute,
    /// How it is compared.
    pub operator: Operator,
    /// With what.
    pub value: Value,
    /// Whether it is only a preference.
    pub soft: bool,
}

/// How two values are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operator {
    /// `==`, also written `=`.
    Equal,
    /// `!=`.
    NotEqual,
    /// `<`.
    Less,
    /// `<=`.
    LessOrEqual,
    /// `>`.
    Greater,
    /// `>=`.
    GreaterOrEqual,
}

impl Operator {
    /// The text form.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }

    /// Whether it asks for an order, not only for equality.
    pub fn is_ordered(self) -> bool {
        !matches!(self, Self::Equal | Self::NotEqual)
    }

    /// Whether two values in this order satisfy it.
    pub fn holds(self, order: std::cmp::Ordering) -> bool {
        match self {
            Self::Equal => order.is_eq(),
            Self::NotEqual => order.is_ne(),
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::GreaterOrEqual => order.is_ge(),
        }
    }
}

/// The right-hand side of a constraint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A text; `*` stands for any characters.
    Text(String),
    /// A regular expression, without its slashes; known to be well formed.
    Regex(String),
    /// A node id, thousandths of a processor, or bytes, by the attribute.
    Number(u64),
    /// An address and the number of leading bits that count.
    Network(IpAddr, u8),
}

impl FromStr for Constraint {
    type Err = ConstraintError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.trim().is_empty() {
            return Err(ConstraintError::Empty);
        }
        let (at, sign, operator) = find_operator(text)?;
        let attribute = Attribute::read(text, at)?;
        let rest = at + sign.len();
        let after = text[rest..].trim_start();
        let soft = after.starts_with('~');
        let after = after.strip_prefix('~').unwrap_or(after);
        let start = text.len() - after.len();
        let column = column(text, start);
        if operator.is_ordered() && !attribute.is_ordered() {
            return Err(ConstraintError::Operator {
                column: self::column(text, at),
                found: sign.to_owned(),
                allowed: format!("`{attribute}` can be compared by ==, !="),
            });
        }
        let value = read_value(after.trim(), column, &attribute, operator)?;
        Ok(Self { attribute, operator, value, soft })
    }
}

impl fmt::Display for Constraint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let soft = if self.soft { "~" } else { "" };
        write!(f, "{}{}{soft}", self.attribute, self.operator.as_str())?;
        match &self.value {
            Value::Number(n) if self.attribute == Attribute::Cpus => write!(f, "{}", Cpus(*n)),
            Value::Number(n) if self.attribute == Attribute::Memory => write!(f, "{}", Bytes(*n)),
            other => write!(f, "{other}"),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Regex(regex) => write!(f, "/{regex}/"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Network(address, bits) => {
                let all = if address.is_ipv4() { 32 } else { 128 };
                if *bits == all { write!(f, "{address}") } else { write!(f, "{address}/{bits}") }
            }
        }
    }
}

/// Position, text and meaning of the first operator.
fn find_operator(text: &str) -> Result<(usize, &'static str, Operator), ConstraintError> {
    const SIGNS: &[(&str, Operator)] = &[
        ("==", Operator::Equal),
        ("!=", Operator::NotEqual),
        ("<=", Operator::LessOrEqual),
        (">=", Operator::GreaterOrEqual),
        ("=", Operator::Equal),
        ("<", Operator::Less),
        (">", Operator::Greater),
    ];
    let allowed = "allowed: ==, !=, <, <=, >, >=".to_owned();
    let Some(at) = text.find(['=', '!', '<', '>']) else {
        let end = text.trim_end().len();
        return Err(ConstraintError::Operator {
            column: column(text, end),
            found: String::new(),
            allowed,
        });
    };
    // All of it: `=>` is not `=` and a value that begins with `>`.
    let found = &text[at..];
    let end = found.find(|c: char| !"=!<>".contains(c)).unwrap_or(found.len());
    let found = &found[..end];
    SIGNS
        .iter()
        .find(|(sign, _)| found == *sign)
        .map(|&(sign, operator)| (at, sign, operator))
        .ok_or_else(|| ConstraintError::Operator {
            column: column(text, at),
            found: found.to_owned(),
            allowed: match found {
                "=>" => "did you mean `>=`?".to_owned(),
                "=<" => "did you mean `<=`?".to_owned(),
                "<>" | "=!" | "!==" => "did you mean `!=`?".to_owned(),
                "===" => "did you mean `==`?".to_owned(),
                _ => allowed,
            },
        })
}

/// Reads `text`, which begins at `column`.
fn read_value(
    text: &str,
    column: usize,
    attribute: &Attribute,
    operator: Operator,
) -> Result<Value, ConstraintError> {
    let bad = |allowed: &str| ConstraintError::Value {
        column,
        value: text.to_owned(),
        allowed: allowed.to_owned(),
    };
    if text.is_empty() && (!attribute.is_label() || operator.is_ordered()) {
        return Err(ConstraintError::NoValue { column });
    }
    match attribute {
        Attribute::Cpus => {
            let cpus: Cpus =
                text.parse().map_err(|_| bad("write for example `0.5`, `2`, `500m`"))?;
            return Ok(Value::Number(cpus.0));
        }
        Attribute::Memory => {
            let bytes: Bytes =
                text.parse().map_err(|_| bad("write for example `512MiB`, `64g`"))?;
            return Ok(Value::Number(bytes.0));
        }
        Attribute::Id if operator.is_ordered() => {
            return text.parse().map(Value::Number).map_err(|_| bad("a node id is a number"));
        }
        Attribute::Ip => {
            return network(text).ok_or_else(|| bad("write `10.0.0.1` or `10.0.0.0/8`"));
        }
        _ => {}
    }
    let value = text_or_regex(text, column)?;
    match (&value, attribute) {
        (Value::Regex(_), _) if operator.is_ordered() => Err(bad("order needs a plain value")),
        (Value::Text(role), Attribute::Role)
            if !role.contains('*')
                && !["voter", "worker", "manager"].contains(&role.to_lowercase().as_str()) =>
        {
            Err(bad("allowed: voter (also `manager`), worker"))
        }
        (Value::Text(id), Attribute::Id) if !id.contains('*') && id.parse::<u64>().is_err() => {
            Err(bad("a node id is a number; names are `node.name`"))
        }
        _ => Ok(value),
    }
}

/// A text, or a regular expression between slashes.
fn text_or_regex(text: &str, column: usize) -> Result<Value, ConstraintError> {
    let Some(rest) = text.strip_prefix('/') else { return Ok(Value::Text(text.to_owned())) };
    let Some(pattern) = rest.strip_suffix('/') else {
        let allowed = "a regular expression ends with `/`".to_owned();
        return Err(ConstraintError::Value { column, value: text.to_owned(), allowed });
    };
    match regex::RegexBuilder::new(pattern).size_limit(1 << 20).build() {
        Ok(_) => Ok(Value::Regex(pattern.to_owned())),
        Err(_) => Err(ConstraintError::Value {
            column,
            value: text.to_owned(),
            allowed: "it is not a regular expression (syntax RE2)".to_owned(),
        }),
    }
}

fn network(text: &str) -> Option<Value> {
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address.parse::<IpAddr>().ok()?, Some(bits.parse::<u8>().ok()?)),
        None => (text.parse::<IpAddr>().ok()?, None),
    };
    let most = if address.is_ipv4() { 32 } else { 128 };
    let bits = bits.unwrap_or(most);
    (bits <= most).then_some(Value::Network(address, bits))
}

/// The column, counted in characters from 1, of a byte position.
fn column(text: &str, position: usize) -> usize {
    text[..position].chars().count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let actual = match text.parse::<Constraint>() {
            Ok(constraint) => constraint.to_string(),
            Err(error) => error.to_string(),
        };
        assert_eq!(actual, expected, "{text}");
    }

    #[test]
    fn constraints_are_read_and_written() {
        check("node.labels.zone==eu", "node.labels.zone==eu");
        check(" node.labels.Zone = eu ", "node.labels.Zone==eu");
        check("node.labels.disk==/ssd|nvme/", "node.labels.disk==/ssd|nvme/");
        check("node.labels.disk==~ssd", "node.labels.disk==~ssd");
        check("node.labels.disk!=~/^hdd/", "node.labels.disk!=~/^hdd/");
        check("node.labels.gone==", "node.labels.gone==");
        check("engine.labels.x.y!=a b", "engine.labels.x.y!=a b");
        check("NODE.Hostname==web*", "node.name==web*");
        check("node.id==3", "node.id==3");
        check("node.id>=3", "node.id>=3");
        check("node.cpus>4", "node.cpus>4");
        check("node.memory >= 8GiB", "node.memory>=8GiB");
        check("node.ip==10.0.0.0/8", "node.ip==10.0.0.0/8");
        check("node.ip!=::1", "node.ip!=::1");
        check("node.role==manager", "node.role==manager");
        check("node.platform.arch!=arm64", "node.platform.arch!=arm64");
        check("engine.version>=24", "engine.version>=24");
        check("kernelversion>5.10", "node.kernel>5.10");
        check("storagedriver==overlay2", "node.driver==overlay2");
        check("node==web1", "node==web1");
    }

    #[test]
    fn mistakes_name_column_and_what_is_allowed() {
        check("  ", "is empty; write for example `node.labels.zone==eu`");
        let operators = "allowed: ==, !=, <, <=, >, >=";
        check("node.name", &format!("column 10: an operator is missing; {operators}"));
        check("node.id ! 3", &format!("column 9: `!` is not an operator; {operators}"));
        check("node.labels.x=>1", "column 14: `=>` is not an operator; did you mean `>=`?");
        check("node.id <> 3", "column 9: `<>` is not an operator; did you mean `!=`?");
        check("node.id<!3", &format!("column 8: `<!` is not an operator; {operators}"));
        check(
            "node.lables.zone==eu",
            "column 1: `node.lables.zone` is not an attribute; did you mean `node.labels.zone`?",
        );
        check("node.cpu>3", "column 1: `node.cpu` is not an attribute; did you mean `node.cpus`?");
        check(
            " disk==ssd",
            "column 2: `disk` is not an attribute; for a label write `node.labels.disk`",
        );
        check(
            "node.colour==red",
            "column 1: `node.colour` is not an attribute; for a label write `node.labels.colour`",
        );
        check(
            "engine.colour.x==red",
            "column 1: `engine.colour.x` is not an attribute; allowed: node.id, node.name, node.hostname, \
             node.ip, node.role, node.platform.os, node.platform.arch, node.kernel, node.driver, \
             node.cpus, node.memory, node.os, engine.version, node.labels.NAME, engine.labels.NAME",
        );
        check("node.labels.==x", "column 13: the name of the label is missing");
        check("==x", "column 1: an attribute is missing; write for example `node.labels.zone==eu`");
        check("node.name==", "column 12: a value is missing");
        check("node.name == ~", "column 15: a value is missing");
        check("node.cpus>many", "column 11: `many`: write for example `0.5`, `2`, `500m`");
        check("node.memory<1X", "column 13: `1X`: write for example `512MiB`, `64g`");
        check("node.ip==10.0.0.0/40", "column 10: `10.0.0.0/40`: write `10.0.0.1` or `10.0.0.0/8`");
        check("node.id==web", "column 10: `web`: a node id is a number; names are `node.name`");
        check("node.role==boss", "column 12: `boss`: allowed: voter (also `manager`), worker");
        check("node.name==/web", "column 12: `/web`: a regular expression ends with `/`");
        check("node.name==/(/", "column 12: `/(/`: it is not a regular expression (syntax RE2)");
        check("node.labels.a>/1/", "column 15: `/1/`: order needs a plain value");
        check(
            "node.name<b",
            "column 10: `<` is not possible here; `node.name` can be compared by ==, !=",
        );
    }
}
