//! Chooses the confidence from which on a page is trusted, on pages whose truth is known, for a risk that is stated beforehand.
//! The bound is exact (Clopper and Pearson 1934), so that few pages give a wide bound instead of a false certainty: with no
//! error 598 pages prove 0.5 % at 95 %, 59 pages 5 %.

use serde::{Deserialize, Serialize};

/// A chosen threshold with what it rests on.
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
pub struct Threshold {
    /// Lowest confidence at which the page is trusted, 0 to 1.
    pub confidence_min: f32,
    /// Pages of the calibration set at or above it, and how many of them were wrong.
    pub pages: u32,
    pub wrong: u32,
    /// The upper end of the one-sided 95 % interval for the share of wrong pages.
    pub bound: f64,
}

/// How sure the bound is.
pub const CONFIDENCE: f64 = 0.95;

/// The one-sided Clopper-Pearson upper bound for the share of wrong ones, `wrong` of `pages` having been seen.
pub fn upper_bound(wrong: u32, pages: u32, confidence: f64) -> f64 {
    if wrong >= pages {
        return 1.0;
    }
    // The share at which so few wrong ones are just unlikely enough: the distribution falls as the share grows.
    let (mut low, mut high) = (f64::from(wrong) / f64::from(pages), 1.0);
    for _ in 0..60 {
        let middle = (low + high) / 2.0;
        if at_most(wrong, pages, middle) > 1.0 - confidence { low = middle } else { high = middle }
    }
    high
}

/// The probability of at most `wrong` of `pages` at this share each.
fn at_most(wrong: u32, pages: u32, share: f64) -> f64 {
    let (p, q) = (share.ln(), (-share).ln_1p());
    let mut choose = 0.0;
    let mut total = 0.0;
    for k in 0..=wrong {
        total += (choose + f64::from(k) * p + f64::from(pages - k) * q).exp();
        choose += f64::from(pages - k).ln() - f64::from(k + 1).ln();
    }
    total.min(1.0)
}

/// The lowest confidence whose pages keep the bound under `risk`, going down from the surest page and stopping for good at the
/// first that does not, after the fewest pages that can prove it at all: so the choice does not spoil the bound. `None` when no
/// threshold keeps it.
pub fn threshold(pages: &[(f32, bool)], risk: f64) -> Option<Threshold> {
    let mut pages = pages.to_vec();
    pages.sort_by(|a, b| b.0.total_cmp(&a.0));
    let needed = (1..=pages.len() as u32).find(|&n| upper_bound(0, n, CONFIDENCE) <= risk)? as usize;
    let mut chosen = None;
    for end in needed..=pages.len() {
        // Pages of equal confidence stand or fall together.
        if pages.get(end).is_some_and(|next| next.0 == pages[end - 1].0) {
            continue;
        }
        let wrong = pages[..end].iter().filter(|(_, wrong)| *wrong).count() as u32;
        let bound = upper_bound(wrong, end as u32, CONFIDENCE);
        if bound > risk {
            break;
        }
        chosen = Some(Threshold { confidence_min: pages[end - 1].0, pages: end as u32, wrong, bound });
    }
    chosen
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn bounds_are_the_published_ones() {
        for (wrong, pages, bound) in
            [(0, 598, 0.005), (0, 998, 0.003), (0, 2995, 0.001), (0, 59, 0.0495), (1, 10, 0.3942), (5, 100, 0.1023), (3, 3, 1.0)]
        {
            assert!((upper_bound(wrong, pages, 0.95) - bound).abs() < 2e-4, "{wrong} of {pages}: {}", upper_bound(wrong, pages, 0.95));
        }
    }

    #[test]
    fn the_threshold_ends_where_the_bound_is_passed() {
        let mut pages: Vec<(f32, bool)> = (0..100).map(|at| (0.99 - at as f32 * 0.001, false)).collect();
        let all = threshold(&pages, 0.05).unwrap();
        assert_eq!((all.pages, all.wrong), (100, 0));
        pages.extend((0..20).map(|at| (0.5 - at as f32 * 0.001, true)));
        let some = threshold(&pages, 0.05).unwrap();
        assert!(some.bound <= 0.05 && some.confidence_min > 0.49, "{some:?}");
        assert_eq!(threshold(&pages[..50], 0.05), None, "too few to prove it");
        assert_eq!(threshold(&[(0.9, true); 200], 0.05), None);
    }

    proptest! {
        #[test]
        fn the_bound_grows_with_errors_and_shrinks_with_pages(wrong in 0u32..20, more in 1u32..500) {
            let pages = 20 + more;
            let bound = upper_bound(wrong, pages, 0.95);
            prop_assert!(bound > f64::from(wrong) / f64::from(pages));
            prop_assert!(upper_bound(wrong + 1, pages, 0.95) > bound);
            prop_assert!(upper_bound(wrong, pages + 1, 0.95) < bound);
        }
    }
}
