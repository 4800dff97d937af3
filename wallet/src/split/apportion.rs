//! Whole minor units in proportion, by largest remainder (最大余数法): no unit is lost, none made, and the order of those who share does
//! not matter (S4). Pure.

/// Divides `total` among quotas `numerators[i] / denominator`: each gets its quota rounded down, and the units that are left go one each to
/// the largest remainders, the smaller key first where two are equal.
///
/// `total` must lie between the sum of the quotas rounded down and that sum with one unit more for each.
pub(super) fn apportion<K: Ord>(total: i64, numerators: &[i128], denominator: i128, keys: &[K]) -> Vec<i64> {
    debug_assert_eq!(numerators.len(), keys.len());
    if denominator == 0 {
        return vec![0; numerators.len()];
    }
    let mut parts: Vec<i64> = numerators.iter().map(|n| i64::try_from(n / denominator).unwrap_or(i64::MAX)).collect();
    let left = usize::try_from(total - parts.iter().sum::<i64>()).unwrap_or(0);
    let mut order: Vec<usize> = (0..parts.len()).collect();
    order.sort_by(|&a, &b| (numerators[b] % denominator).cmp(&(numerators[a] % denominator)).then_with(|| keys[a].cmp(&keys[b])));
    for place in order.into_iter().take(left) {
        parts[place] += 1;
    }
    parts
}

/// Divides `total` in proportion to `weights`. Nobody gets more than its weight where `total` is no more than all weights together.
pub(super) fn in_proportion<K: Ord>(total: i64, weights: &[i64], keys: &[K]) -> Vec<i64> {
    let numerators: Vec<i128> = weights.iter().map(|&weight| i128::from(total) * i128::from(weight)).collect();
    apportion(total, &numerators, weights.iter().copied().map(i128::from).sum(), keys)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_largest_remainders_get_what_is_left() {
        let cases: [(i64, &[i64], &[i64]); 6] = [
            (100, &[1, 1, 1], &[34, 33, 33]),
            (101, &[1, 1, 1], &[34, 34, 33]),
            (10, &[50, 30, 20], &[5, 3, 2]),
            (1, &[1, 2, 1], &[0, 1, 0]),
            (0, &[3, 4], &[0, 0]),
            (7, &[0, 7], &[0, 7]),
        ];
        for (total, weights, expected) in cases {
            let keys: Vec<usize> = (0..weights.len()).collect();
            assert_eq!(in_proportion(total, weights, &keys), expected, "{total} by {weights:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_nobody_gets_more_than_its_weight(
            weights in prop::collection::vec(0_i64..1_000_000_000_000, 1..50), part in 0_i64..=10_000, turn in 0_usize..50,
        ) {
            let sum: i64 = weights.iter().sum();
            let total = i64::try_from(i128::from(sum) * i128::from(part) / 10_000).unwrap();
            let keys: Vec<usize> = (0..weights.len()).collect();
            let parts = in_proportion(total, &weights, &keys);
            prop_assert_eq!(parts.iter().sum::<i64>(), if sum == 0 { 0 } else { total });
            prop_assert!(parts.iter().zip(&weights).all(|(part, weight)| (0..=*weight).contains(part)));
            // in another order each still gets the same
            let mut turned: Vec<(i64, usize)> = weights.into_iter().zip(keys).collect();
            let by = turn % turned.len();
            turned.rotate_left(by);
            let (weights, keys): (Vec<_>, Vec<_>) = turned.into_iter().unzip();
            let again = in_proportion(total, &weights, &keys);
            prop_assert!(keys.iter().zip(again).all(|(&key, part)| parts[key] == part));
        }
    }
}
