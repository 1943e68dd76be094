//! Contiguous chunks of indexes (spec 5).

use std::ops::RangeInclusive;

/// The indexes 1 to `replicas` in one chunk for each of `targets`: contiguous, in order, the first
/// `replicas mod targets` chunks one longer. Empty chunks are empty ranges.
pub fn chunks(replicas: u32, targets: usize) -> Vec<RangeInclusive<u32>> {
    let Ok(count) = u32::try_from(targets) else { return Vec::new() };
    (0..count)
        .map(|position| {
            let (base, extra) = (replicas / count, replicas % count);
            let first = position * base + position.min(extra);
            first + 1..=first + base + u32::from(position < extra)
        })
        .collect()
}

/// Which of `targets` chunks has the index, from 0; `None` when the index lies beyond `replicas` or
/// there is no target.
pub fn chunk_of(index: u32, replicas: u32, targets: usize) -> Option<usize> {
    let count = u32::try_from(targets).ok().filter(|count| *count > 0)?;
    if index == 0 || index > replicas {
        return None;
    }
    let (base, extra) = (replicas / count, replicas % count);
    let long = extra * (base + 1);
    let position =
        if index <= long { (index - 1) / (base + 1) } else { extra + (index - 1 - long) / base };
    Some(position as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_follow_the_published_table() {
        let table = |replicas, targets| -> Vec<Vec<u32>> {
            chunks(replicas, targets).into_iter().map(Iterator::collect).collect()
        };
        assert_eq!(table(2, 2), [vec![1], vec![2]]);
        assert_eq!(table(3, 1), [vec![1, 2, 3]]);
        assert_eq!(table(3, 2), [vec![1, 2], vec![3]]);
        assert_eq!(table(2, 3), [vec![1], vec![2], vec![]]);
        assert_eq!(table(5, 2), [vec![1, 2, 3], vec![4, 5]]);
        assert_eq!(table(0, 2), [vec![], Vec::<u32>::new()]);
        assert!(table(3, 0).is_empty());
    }

    #[test]
    fn the_chunk_of_an_index_is_the_one_that_has_it() {
        for replicas in 0..40 {
            for targets in 0..12 {
                let chunks = chunks(replicas, targets);
                for index in 0..42 {
                    let expected = chunks.iter().position(|chunk| chunk.contains(&index));
                    let actual = chunk_of(index, replicas, targets);
                    assert_eq!(actual, expected, "{index} of {replicas} over {targets}");
                }
            }
        }
    }
}
