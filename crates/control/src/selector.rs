//! Label selectors: `a=b,c!=d,e,!f`.

use std::collections::BTreeMap;

use crate::Error;

/// Conditions on labels; all must hold. The empty selector holds for everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selector(Vec<Condition>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Condition {
    Equal(String, String),
    NotEqual(String, String),
    Exists(String),
    Absent(String),
}

impl Selector {
    /// Reads a selector. `a==b` is the same as `a=b`; `a!=b` also holds where there is no `a`.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a condition without a label.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let mut conditions = Vec::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            conditions.push(condition(part).ok_or_else(|| Error::Parameter {
                name: "selector",
                value: text.to_owned(),
                allowed: "conditions such as `a=b,c!=d,e,!f`".to_owned(),
            })?);
        }
        Ok(Self(conditions))
    }

    /// Whether every condition holds.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.0.iter().all(|condition| match condition {
            Condition::Equal(label, value) => labels.get(label) == Some(value),
            Condition::NotEqual(label, value) => labels.get(label) != Some(value),
            Condition::Exists(label) => labels.contains_key(label),
            Condition::Absent(label) => !labels.contains_key(label),
        })
    }

    /// Whether it holds for everything.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn condition(part: &str) -> Option<Condition> {
    let label = |text: &str| {
        let text = text.trim();
        let fits = !text.is_empty() && !text.contains(['=', '!', ' ']);
        fits.then(|| text.to_owned())
    };
    let value = |text: &str| text.trim().to_owned();
    if let Some((name, wanted)) = part.split_once("!=") {
        Some(Condition::NotEqual(label(name)?, value(wanted)))
    } else if let Some((name, wanted)) = part.split_once("==").or_else(|| part.split_once('=')) {
        Some(Condition::Equal(label(name)?, value(wanted)))
    } else if let Some(name) = part.strip_prefix('!') {
        Some(Condition::Absent(label(name)?))
    } else {
        Some(Condition::Exists(label(part)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_selects() {
        let labels: BTreeMap<String, String> =
            [("a", "b"), ("e", "")].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        let holds = |text: &str| Selector::parse(text).unwrap().matches(&labels);
        for yes in ["", "a=b", "a==b", " a = b , e", "c!=d", "!f", "a=b,c!=d,e,!f", "e="] {
            assert!(holds(yes), "{yes}");
        }
        for no in ["a=c", "a!=b", "f", "!a", "a=b,f"] {
            assert!(!holds(no), "{no}");
        }
    }

    #[test]
    fn a_condition_without_a_label_is_refused() {
        for bad in ["=b", "!", "!=x", "a b", "!!a"] {
            assert!(Selector::parse(bad).is_err(), "{bad}");
        }
    }
}
