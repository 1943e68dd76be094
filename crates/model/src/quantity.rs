//! Unit-typed values: durations, byte sizes, processor shares.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Why a text is not a quantity; the message says what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// Not a duration.
    #[error("`{text}` is not a duration; write for example `30s`, `1m30s` or `500ms`")]
    Duration {
        /// The text as given.
        text: String,
    },
    /// Not a byte size.
    #[error("`{text}` is not a size; write for example `512MiB`, `64m` or `1Gi`")]
    Bytes {
        /// The text as given.
        text: String,
    },
    /// Not a processor share.
    #[error("`{text}` is not a number of processors; write for example `0.5`, `2` or `500m`")]
    Cpus {
        /// The text as given.
        text: String,
    },
}

/// A duration in Go's text form (`1m30s`), which upstream's files use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct GoDuration(pub Duration);

impl GoDuration {
    /// A whole number of seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }
}

impl FromStr for GoDuration {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let err = || QuantityError::Duration { text: text.to_owned() };
        let mut rest = text.trim();
        if rest == "0" {
            return Ok(Self(Duration::ZERO));
        }
        if rest.is_empty() {
            return Err(err());
        }
        let mut total = 0f64;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(err)?;
            let number: f64 = rest[..digits].parse().map_err(|_| err())?;
            rest = &rest[digits..];
            let unit_len =
                rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
            let factor = match &rest[..unit_len] {
                "ns" => 1e-9,
                "us" | "µs" => 1e-6,
                "ms" => 1e-3,
                "s" => 1.0,
                "m" => 60.0,
                "h" => 3600.0,
                "d" => 86400.0,
                _ => return Err(err()),
            };
            total += number * factor;
            rest = &rest[unit_len..];
        }
        // Whole nanoseconds: 0.1 s must not become 100.000001 ms. Years are far below the limit.
        if !total.is_finite() || total > 1e10 {
            return Err(err());
        }
        Ok(Self(Duration::from_nanos((total * 1e9).round() as u64)))
    }
}

impl fmt::Display for GoDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, nanos) = (self.0.as_secs(), self.0.subsec_nanos());
        if seconds == 0 && nanos == 0 {
            return f.write_str("0s");
        }
        let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        if hours > 0 {
            write!(f, "{hours}h")?;
        }
        if minutes > 0 {
            write!(f, "{minutes}m")?;
        }
        if seconds > 0 {
            write!(f, "{seconds}s")?;
        }
        match nanos {
            0 => Ok(()),
            n if n % 1_000_000 == 0 => write!(f, "{}ms", n / 1_000_000),
            n if n % 1_000 == 0 => write!(f, "{}us", n / 1_000),
            n => write!(f, "{n}ns"),
        }
    }
}

/// A size in bytes. Suffixes: `k m g t` and `Ki Mi Gi Ti` (with or without `B`) are powers of
/// 1024, as in the docker command line; `kB MB GB TB` too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Bytes(pub u64);

impl FromStr for Bytes {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let err = || QuantityError::Bytes { text: text.to_owned() };
        let trimmed = text.trim();
        let split =
            trimmed.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(trimmed.len());
        let number: f64 = trimmed[..split].parse().map_err(|_| err())?;
        let shift = match trimmed[split..].trim().to_ascii_lowercase().as_str() {
            "" | "b" => 0,
            "k" | "kb" | "ki" | "kib" => 10,
            "m" | "mb" | "mi" | "mib" => 20,
            "g" | "gb" | "gi" | "gib" => 30,
            "t" | "tb" | "ti" | "tib" => 40,
            _ => return Err(err()),
        };
        // Whole numbers are exact, whatever their size.
        if let Ok(whole) = trimmed[..split].parse::<u64>()
            && let Some(bytes) = whole.checked_mul(1 << shift).filter(|b| i64::try_from(*b).is_ok())
        {
            return Ok(Self(bytes));
        }
        let bytes = number * (1u64 << shift) as f64;
        if !bytes.is_finite() || bytes >= i64::MAX as f64 {
            return Err(err());
        }
        Ok(Self(bytes.round() as u64))
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
        for (shift, unit) in units {
            if self.0 != 0 && self.0.is_multiple_of(1u64 << shift) {
                return write!(f, "{}{unit}", self.0 >> shift);
            }
        }
        write!(f, "{}", self.0)
    }
}

/// A share of processors, in thousandths: `0.5` and `500m` are both half a processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Cpus(pub u64);

impl FromStr for Cpus {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let err = || QuantityError::Cpus { text: text.to_owned() };
        let trimmed = text.trim();
        let (number, factor) = match trimmed.strip_suffix('m') {
            Some(milli) => (milli, 1.0),
            None => (trimmed, 1000.0),
        };
        if !number.chars().all(|c| c.is_ascii_digit() || c == '.') {
            return Err(err());
        }
        let value: f64 = number.parse().map_err(|_| err())?;
        let thousandths = (value * factor).round();
        if !thousandths.is_finite() || thousandths > 1e12 {
            return Err(err());
        }
        Ok(Self(thousandths as u64))
    }
}

impl fmt::Display for Cpus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_multiple_of(1000) {
            write!(f, "{}", self.0 / 1000)
        } else {
            write!(f, "{}m", self.0)
        }
    }
}

macro_rules! text_form {
    ($type:ty, $title:literal, $pattern:literal, $example:literal) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(de::Error::custom)
            }
        }

        impl schemars::JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                $title.into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({
                    "type": "string", "title": $title, "pattern": $pattern, "examples": [$example]
                })
            }
        }
    };
}

text_form!(GoDuration, "Duration", r"^(0|([0-9.]+(ns|us|µs|ms|s|m|h|d))+)$", "1m30s");
text_form!(Bytes, "Size", r"^[0-9.]+ ?([kKmMgGtT]?[iI]?[bB]?)$", "512MiB");
text_form!(Cpus, "Processors", r"^[0-9.]+m?$", "0.5");

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T: FromStr<Err = QuantityError> + fmt::Display>(text: &str, expected: &str) {
        let shown = text.parse::<T>().map_or_else(|e| e.to_string(), |value| value.to_string());
        assert_eq!(shown, expected, "{text}");
    }

    #[test]
    fn durations_are_gos() {
        let message = |text: &str| {
            format!("`{text}` is not a duration; write for example `30s`, `1m30s` or `500ms`")
        };
        check::<GoDuration>("90s", "1m30s");
        check::<GoDuration>("1.5h", "1h30m");
        check::<GoDuration>("0", "0s");
        check::<GoDuration>("0.1s", "100ms");
        check::<GoDuration>("1d", "24h");
        check::<GoDuration>("10", &message("10"));
        check::<GoDuration>("-1s", &message("-1s"));
        check::<GoDuration>("1.2.3s", &message("1.2.3s"));
        check::<GoDuration>("", &message(""));
    }

    #[test]
    fn sizes_are_powers_of_1024() {
        check::<Bytes>("512m", "512MiB");
        check::<Bytes>("1.5 Gi", "1536MiB");
        check::<Bytes>("1000", "1000");
        check::<Bytes>("9007199254740993", "9007199254740993");
        let message = "`9e9` is not a size; write for example `512MiB`, `64m` or `1Gi`";
        check::<Bytes>("9e9", message);
    }

    #[test]
    fn processors_are_thousandths() {
        check::<Cpus>("0.5", "500m");
        check::<Cpus>("500m", "500m");
        check::<Cpus>("2", "2");
        check::<Cpus>("1000000.1", "1000000100m");
        let message = "`-1` is not a number of processors; write for example `0.5`, `2` or `500m`";
        check::<Cpus>("-1", message);
    }
}
