//! Resource limits of processes: `nofile: 1024:4096`.

use std::collections::BTreeMap;

use crate::run::Ulimit;

/// The limits the engine knows.
const NAMES: [&str; 15] = [
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

/// Why a limit is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UlimitError {
    /// The engine does not know the name.
    #[error("unknown limit `{name}`; allowed: {}", NAMES.join(", "))]
    Name {
        /// The name as given.
        name: String,
    },
    /// Not numbers.
    #[error("`{text}` is not a limit; write `SOFT` or `SOFT:HARD`, -1 for unlimited")]
    Value {
        /// The text as given.
        text: String,
    },
    /// The soft limit is larger than the hard one.
    #[error("soft limit {soft} is larger than hard limit {hard}")]
    Order {
        /// Soft limit.
        soft: i64,
        /// Hard limit.
        hard: i64,
    },
}

impl Ulimit {
    /// Reads `soft` or `soft:hard`; `-1` and `unlimited` lift a limit.
    pub fn parse(name: &str, text: &str) -> Result<Self, UlimitError> {
        if !NAMES.contains(&name) {
            return Err(UlimitError::Name { name: name.to_owned() });
        }
        let number = |part: &str| match part.trim() {
            "unlimited" => Ok(-1),
            part => part
                .parse::<i64>()
                .ok()
                .filter(|n| *n >= -1)
                .ok_or(UlimitError::Value { text: text.to_owned() }),
        };
        let (soft, hard) = match text.split_once(':') {
            Some((soft, hard)) => (number(soft)?, number(hard)?),
            None => (number(text)?, number(text)?),
        };
        let too_large = hard != -1 && (soft == -1 || soft > hard);
        if too_large {
            return Err(UlimitError::Order { soft, hard });
        }
        Ok(Self { name: name.to_owned(), soft, hard })
    }
}

/// All limits of a specification, sorted by name.
pub fn ulimits(limits: &BTreeMap<String, String>) -> Result<Vec<Ulimit>, UlimitError> {
    limits.iter().map(|(name, text)| Ulimit::parse(name, text)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_one_or_two_numbers() {
        let limit = |soft, hard| Ok(Ulimit { name: "nofile".to_owned(), soft, hard });
        assert_eq!(Ulimit::parse("nofile", "1024"), limit(1024, 1024));
        assert_eq!(Ulimit::parse("nofile", "1024:4096"), limit(1024, 4096));
        assert_eq!(Ulimit::parse("nofile", "1024:unlimited"), limit(1024, -1));
        assert_eq!(Ulimit::parse("nofile", "-1"), limit(-1, -1));
        let message = |name, text| Ulimit::parse(name, text).unwrap_err().to_string();
        assert_eq!(message("nofile", "9:8"), "soft limit 9 is larger than hard limit 8");
        assert!(message("nofile", "many").starts_with("`many` is not a limit"));
        assert!(message("files", "1").starts_with("unknown limit `files`; allowed: core, "));
    }
}
