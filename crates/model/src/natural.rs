//! Sorting names as people do: `web-2` before `web-10`.

use std::cmp::Ordering;

/// Compares runs of digits by their value and everything else by code point. Texts that differ
/// only in leading zeros are told apart, so that equal means the same.
pub fn natural_cmp(one: &str, other: &str) -> Ordering {
    let (mut left, mut right) = (one, other);
    loop {
        let (Some(x), Some(y)) = (left.chars().next(), right.chars().next()) else {
            return left.len().cmp(&right.len()).then_with(|| one.cmp(other));
        };
        let order = if x.is_ascii_digit() && y.is_ascii_digit() {
            let (m, n) = (digits(left), digits(right));
            (left, right) = (&left[m.len()..], &right[n.len()..]);
            let (m, n) = (m.trim_start_matches('0'), n.trim_start_matches('0'));
            m.len().cmp(&n.len()).then_with(|| m.cmp(n))
        } else {
            (left, right) = (&left[x.len_utf8()..], &right[y.len_utf8()..]);
            x.cmp(&y)
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

fn digits(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_sort_by_value() {
        let mut names =
            ["web-10", "web-2", "web", "db-1", "web-1-init", "web-1", "web-02", "a1b10", "a1b9"];
        names.sort_by(|a, b| natural_cmp(a, b));
        let expected =
            ["a1b9", "a1b10", "db-1", "web", "web-1", "web-1-init", "web-02", "web-2", "web-10"];
        assert_eq!(names, expected);
    }
}
