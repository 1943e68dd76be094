//! Which keys an operation or a watch concerns.

use serde::{Deserialize, Serialize};

/// A set of keys, contiguous in byte order.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum KeyRange {
    /// Exactly this key.
    Key(String),
    /// Every key that starts with this text; the empty text means every key.
    Prefix(String),
    /// Keys from `start` (included) to `end` (excluded).
    Range {
        /// First key of the range.
        start: String,
        /// First key after the range.
        end: String,
    },
    /// This key and every key after it.
    From(String),
    /// Every key.
    All,
}

impl KeyRange {
    /// Exactly `key`.
    pub fn key(key: impl Into<String>) -> Self {
        Self::Key(key.into())
    }

    /// Every key starting with `prefix`.
    pub fn prefix(prefix: impl Into<String>) -> Self {
        Self::Prefix(prefix.into())
    }

    /// Whether `key` lies in this range.
    pub fn contains(&self, key: &str) -> bool {
        match self {
            Self::Key(only) => only == key,
            Self::Prefix(prefix) => key.starts_with(prefix.as_str()),
            Self::Range { start, end } => key >= start.as_str() && key < end.as_str(),
            Self::From(start) => key >= start.as_str(),
            Self::All => true,
        }
    }

    /// Whether the range can hold no key at all.
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Range { start, end } if start >= end)
    }

    /// First key (included) and first key after the range (excluded; `None` is the end of all keys).
    pub fn bounds(&self) -> (Vec<u8>, Option<Vec<u8>>) {
        match self {
            Self::Key(key) => {
                let mut end = key.clone().into_bytes();
                end.push(0);
                (key.clone().into_bytes(), Some(end))
            }
            Self::Prefix(prefix) => (prefix.clone().into_bytes(), successor(prefix.as_bytes())),
            Self::Range { start, end } => {
                (start.clone().into_bytes(), Some(end.clone().into_bytes()))
            }
            Self::From(start) => (start.clone().into_bytes(), None),
            Self::All => (Vec::new(), None),
        }
    }

    /// Whether the two ranges share at least one possible key.
    pub fn overlaps(&self, other: &Self) -> bool {
        let (a_start, a_end) = self.bounds();
        let (b_start, b_end) = other.bounds();
        !self.is_empty()
            && !other.is_empty()
            && b_end.is_none_or(|end| a_start < end)
            && a_end.is_none_or(|end| b_start < end)
    }
}

/// The smallest byte string greater than every string that starts with `prefix`.
fn successor(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return Some(end);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_agree_with_contains() {
        let keys = ["/", "/a", "/a/", "/a/b", "/a/\u{10ffff}", "/a0", "/b", "a"];
        let ranges = [
            KeyRange::key("/a"),
            KeyRange::prefix("/a/"),
            KeyRange::prefix(""),
            KeyRange::Range { start: "/a".into(), end: "/b".into() },
            KeyRange::Range { start: "/b".into(), end: "/a".into() },
            KeyRange::From("/a/b".into()),
            KeyRange::All,
        ];
        for range in &ranges {
            let (start, end) = range.bounds();
            for key in keys {
                let bytes = key.as_bytes();
                let inside = bytes >= start.as_slice()
                    && end.as_ref().is_none_or(|end| bytes < end.as_slice());
                assert_eq!(inside, range.contains(key), "{range:?} {key}");
            }
        }
    }

    #[test]
    fn overlap_is_symmetric_and_ignores_empty_ranges() {
        let a = KeyRange::prefix("/a/");
        let b = KeyRange::key("/a/x");
        let empty = KeyRange::Range { start: "z".into(), end: "a".into() };
        assert!(a.overlaps(&b) && b.overlaps(&a));
        assert!(!a.overlaps(&KeyRange::key("/b")));
        assert!(!empty.overlaps(&KeyRange::All) && !KeyRange::All.overlaps(&empty));
    }
}
