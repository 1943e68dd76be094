//! Whether what users saw of a key could have happened one after the other: Wing and Gong's search, with a
//! memory of where it was already.

use std::collections::{BTreeMap, BTreeSet, HashSet};

/// What was done to a key, and what came of it. Values are written once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Did {
    /// Wrote a value.
    Wrote(u64),
    /// Wrote the second value because the first (none when absent) was there.
    Swapped(Option<u64>, u64),
    /// Saw this value.
    Saw(Option<u64>),
}

/// One operation. Moments are numbers that only grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operation {
    /// What.
    pub did: Did,
    /// When it was asked for.
    pub called: u64,
    /// When it was answered; `None` if nobody knows whether it was done.
    pub returned: Option<u64>,
}

/// What users did to keys.
#[derive(Debug, Default)]
pub struct History {
    keys: BTreeMap<String, Vec<Operation>>,
}

impl History {
    /// Adds an operation.
    pub fn add(&mut self, key: &str, operation: Operation) {
        self.keys.entry(key.to_owned()).or_default().push(operation);
    }

    /// Number of operations.
    pub fn len(&self) -> usize {
        self.keys.values().map(Vec::len).sum()
    }

    /// Whether nothing was done.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// A key whose operations cannot have happened one after the other, with them.
    pub fn violation(&self) -> Option<String> {
        let (key, operations) = self.keys.iter().find(|(_, it)| !is_linearizable(it))?;
        let mut sorted = operations.clone();
        sorted.sort_by_key(|it| it.called);
        let lines: Vec<String> = sorted
            .iter()
            .map(|it| {
                let returned = it.returned.map_or("?".to_owned(), |at| at.to_string());
                format!("  {}-{returned} {:?}", it.called, it.did)
            })
            .collect();
        Some(format!("operations on {key} have no order:\n{}", lines.join("\n")))
    }
}

/// Whether there is an order in which each operation takes effect between its call and its answer.
pub fn is_linearizable(operations: &[Operation]) -> bool {
    let seen: BTreeSet<u64> = operations
        .iter()
        .filter_map(|it| match it.did {
            Did::Saw(value) => value,
            Did::Swapped(value, _) => value,
            Did::Wrote(_) => None,
        })
        .collect();
    // What perhaps happened and nobody saw can as well not have happened.
    let counts = |it: &&Operation| {
        it.returned.is_some()
            || match it.did {
                Did::Wrote(value) | Did::Swapped(_, value) => seen.contains(&value),
                Did::Saw(_) => false,
            }
    };
    let mut all: Vec<Operation> = operations.iter().filter(counts).copied().collect();
    all.sort_by_key(|it| it.called);
    let mut search = Search { done: vec![false; all.len()], been: HashSet::new(), all: &all };
    search.from(0, None)
}

struct Search<'a> {
    all: &'a [Operation],
    done: Vec<bool>,
    been: HashSet<(Vec<bool>, usize, Option<u64>)>,
}

impl Search<'_> {
    /// Whether the rest can follow when the key has this value. Everything before `first` is done.
    fn from(&mut self, first: usize, value: Option<u64>) -> bool {
        let mut first = first;
        while self.done.get(first).is_some_and(|done| *done) {
            first += 1;
        }
        let open = || (first..self.all.len()).filter(|at| !self.done[*at]);
        // The first answer among those that are left: what was called after it comes later.
        let Some(limit) = open().filter_map(|at| self.all[at].returned).min() else { return true };
        let window: Vec<usize> = open().filter(|at| self.all[*at].called < limit).collect();
        let last = window.last().map_or(first, |at| at + 1);
        if !self.been.insert((self.done[first..last].to_vec(), first, value)) {
            return false;
        }
        for at in window {
            let next = match self.all[at].did {
                Did::Wrote(new) => Some(new),
                Did::Swapped(old, new) if old == value => Some(new),
                Did::Saw(seen) if seen == value => value,
                Did::Swapped(..) | Did::Saw(_) => continue,
            };
            self.done[at] = true;
            if self.from(first, next) {
                return true;
            }
            self.done[at] = false;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(operations: &[(Did, u64, Option<u64>)], expected: bool) {
        let operation = |&(did, called, returned)| Operation { did, called, returned };
        let all: Vec<Operation> = operations.iter().map(operation).collect();
        assert_eq!(is_linearizable(&all), expected, "{all:?}");
    }

    #[test]
    fn orders_are_found_where_there_are_some() {
        use Did::{Saw, Swapped, Wrote};
        check(&[], true);
        check(&[(Wrote(1), 1, Some(2)), (Saw(Some(1)), 3, Some(4))], true);
        check(&[(Wrote(1), 1, Some(4)), (Saw(None), 2, Some(3))], true);
        check(&[(Wrote(1), 1, Some(2)), (Saw(None), 3, Some(4))], false);
        check(&[(Wrote(1), 1, None), (Saw(Some(1)), 9, Some(10))], true);
        check(&[(Wrote(1), 1, None), (Saw(None), 9, Some(10))], true);
        let both = [(Wrote(1), 1, None), (Saw(Some(1)), 3, Some(4)), (Saw(None), 5, Some(6))];
        check(&both, false);
        check(&[(Swapped(None, 1), 1, Some(9)), (Swapped(None, 2), 2, Some(8))], false);
        check(&[(Swapped(Some(2), 1), 1, Some(9)), (Swapped(None, 2), 2, Some(8))], true);
    }
}
