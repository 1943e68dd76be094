//! Which replica indexes a node runs (spec section 5).

use smr_model::spec::{ContainersSpec, SpreadKind};

/// The indexes of `spec` that the node with id `node` runs, ascending. `nodes` are the ids of all
/// nodes, ascending; `home` is the node that runs everything when there is no `spread`.
///
/// Contiguous chunks: the first `replicas mod targets` targets get one more.
pub fn local_indexes(spec: &ContainersSpec, node: u64, nodes: &[u64], home: u64) -> Vec<u32> {
    let mut targets: Vec<u64> = match &spec.spread {
        None => vec![home],
        Some(spread) => match spread.spread {
            SpreadKind::Specific if spread.agents.is_empty() => vec![home],
            SpreadKind::Specific => spread.agents.clone(),
            SpreadKind::Uniform => nodes.to_vec(),
        },
    };
    targets.sort_unstable();
    targets.dedup();
    let Some(position) = targets.iter().position(|&target| target == node) else {
        return Vec::new();
    };
    let (count, targets) = (spec.replica_count() as usize, targets.len());
    let (base, extra) = (count / targets, count % targets);
    let first = position * base + position.min(extra);
    let len = base + usize::from(position < extra);
    (first + 1..=first + len).map(|index| index as u32).collect()
}

#[cfg(test)]
mod tests {
    use smr_model::spec::Spread;

    use super::*;

    #[track_caller]
    fn check(
        replicas: u32,
        spread: Option<(SpreadKind, &[u64])>,
        nodes: &[u64],
        expected: &[&[u32]],
    ) {
        let spread = spread.map(|(spread, agents)| Spread { spread, agents: agents.to_vec() });
        let spec = ContainersSpec { replicas: Some(replicas), spread, ..Default::default() };
        let got: Vec<_> = nodes.iter().map(|&n| local_indexes(&spec, n, nodes, 2)).collect();
        assert_eq!(got, expected);
    }

    /// The table of published examples.
    #[test]
    fn published_examples_hold() {
        use SpreadKind::{Specific, Uniform};
        check(2, Some((Specific, &[1, 2])), &[1, 2], &[&[1], &[2]]);
        check(2, Some((Specific, &[1])), &[1, 2], &[&[1, 2], &[]]);
        check(2, Some((Specific, &[2])), &[1, 2], &[&[], &[1, 2]]);
        check(3, Some((Uniform, &[])), &[1], &[&[1, 2, 3]]);
        check(3, Some((Uniform, &[])), &[1, 2], &[&[1, 2], &[3]]);
        check(3, Some((Uniform, &[])), &[1, 2, 3], &[&[1], &[2], &[3]]);
        check(2, Some((Uniform, &[])), &[1, 2, 3], &[&[1], &[2], &[]]);
        check(5, Some((Uniform, &[])), &[1, 2], &[&[1, 2, 3], &[4, 5]]);
        check(2, None, &[1, 2], &[&[], &[1, 2]]);
    }

    #[test]
    fn gaps_in_node_ids_do_not_matter() {
        check(4, Some((SpreadKind::Uniform, &[])), &[3, 7], &[&[1, 2], &[3, 4]]);
    }
}
