//! Bounds on a share that was counted: Wilson's for running decisions, the exact ones (Clopper and Pearson) for what is published.
//!
//! Raw rates say nothing at small numbers: one failure of one is not "100 % fail". Shares and confidences are floats; no money is here.

/// Wilson's score interval for `hits` of `n`, `z` standard deviations wide; both may be fractions. Of nothing, nothing is known: 0 to 1.
///
/// E. B. Wilson, "Probable inference, the law of succession, and statistical inference", 1927.
pub(super) fn wilson(hits: f64, n: f64, z: f64) -> (f64, f64) {
    if n <= 0.0 {
        return (0.0, 1.0);
    }
    let share = (hits / n).clamp(0.0, 1.0);
    let z2 = z * z;
    let centre = share + z2 / (2.0 * n);
    let spread = z * (share * (1.0 - share) / n + z2 / (4.0 * n * n)).sqrt();
    let scale = 1.0 + z2 / n;
    (((centre - spread) / scale).max(0.0), ((centre + spread) / scale).min(1.0))
}

/// The exact two-sided interval for `hits` of `n` that leaves out `alpha / 2` on each side.
///
/// C. J. Clopper and E. S. Pearson, "The use of confidence or fiducial limits illustrated in the case of the binomial", 1934.
pub(super) fn clopper_pearson(hits: u64, n: u64, alpha: f64) -> (f64, f64) {
    (exact_low(hits, n, alpha / 2.0), exact_high(hits, n, alpha / 2.0))
}

/// The share below which `hits` or more of `n` would have happened with a probability of less than `tail`.
pub(super) fn exact_low(hits: u64, n: u64, tail: f64) -> f64 {
    if hits == 0 || n == 0 {
        return 0.0;
    }
    // P(at least `hits` | p) = I_p(hits, n - hits + 1), which grows with p
    share_where(tail, hits as f64, n.saturating_sub(hits) as f64 + 1.0)
}

/// The share above which `hits` or fewer of `n` would have happened with a probability of less than `tail`.
pub(super) fn exact_high(hits: u64, n: u64, tail: f64) -> f64 {
    if hits >= n {
        return 1.0;
    }
    // P(at most `hits` | p) = 1 - I_p(hits + 1, n - hits), which falls with p
    share_where(1.0 - tail, hits as f64 + 1.0, (n - hits) as f64)
}

/// The `x` for which I_x(a, b) is `p`, halved down to neighbouring floats.
fn share_where(p: f64, a: f64, b: f64) -> f64 {
    let (mut low, mut high) = (0.0_f64, 1.0_f64);
    loop {
        let middle = low + (high - low) / 2.0;
        if middle <= low || middle >= high || high - low < high * 1e-15 {
            return middle;
        }
        if incomplete_beta(middle, a, b) < p { low = middle } else { high = middle }
    }
}

/// The regularised incomplete beta function I_x(a, b), for a, b > 0 (NIST Digital Library of Mathematical Functions, 8.17).
pub(super) fn incomplete_beta(x: f64, a: f64, b: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    if x >= 1.0 {
        return 1.0;
    }
    let front = (ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b) + a * x.ln() + b * (-x).ln_1p()).exp();
    // the fraction converges fast on this side of the mean; on the other, I_x(a, b) = 1 - I_1-x(b, a)
    if x < (a + 1.0) / (a + b + 2.0) { front * beta_fraction(x, a, b) / a } else { 1.0 - front * beta_fraction(1.0 - x, b, a) / b }
}

/// The continued fraction of I_x(a, b) (DLMF 8.17.22), by Lentz's method. It takes about √max(a, b) steps.
fn beta_fraction(x: f64, a: f64, b: f64) -> f64 {
    /// In place of a zero denominator.
    const TINY: f64 = 1e-300;
    /// Enough for ten thousand million orders.
    const STEPS_MAX: u32 = 1_000_000;
    let apart = |v: f64| if v.abs() < TINY { TINY } else { v };
    let mut c = 1.0;
    let mut d = 1.0 / apart(1.0 - (a + b) * x / (a + 1.0));
    let mut fraction = d;
    for step in 1..=STEPS_MAX {
        let m = f64::from(step);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        d = 1.0 / apart(1.0 + even * d);
        c = apart(1.0 + even / c);
        fraction *= d * c;
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        d = 1.0 / apart(1.0 + odd * d);
        c = apart(1.0 + odd / c);
        fraction *= d * c;
        if (d * c - 1.0).abs() < 1e-15 {
            break;
        }
    }
    fraction
}

/// ln Γ(x) for x > 0: Stirling's series (DLMF 5.11.1), after Γ(x + 1) = x Γ(x) has brought x to where it is exact.
fn ln_gamma(x: f64) -> f64 {
    let (mut x, mut product) = (x, 1.0_f64);
    while x < 15.0 {
        product *= x;
        x += 1.0;
    }
    let r = 1.0 / (x * x);
    let series =
        (1.0 / 12.0 - r * (1.0 / 360.0 - r * (1.0 / 1_260.0 - r * (1.0 / 1_680.0 - r * (1.0 / 1_188.0 - r * 691.0 / 360_360.0))))) / x;
    let half_ln_tau = 0.5 * std::f64::consts::TAU.ln();
    (x - 0.5) * x.ln() - x + half_ln_tau + series - product.ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(got: f64, expected: f64, within: f64) -> bool {
        (got - expected).abs() <= within
    }

    #[test]
    fn ln_gamma_is_that_of_the_factorials_and_of_one_half() {
        let mut factorial = 1.0_f64;
        for n in 1..=25_u32 {
            assert!(close(ln_gamma(f64::from(n)), factorial.ln(), 1e-13 * factorial.ln().max(1.0)), "{n}");
            factorial *= f64::from(n);
        }
        assert!(close(ln_gamma(0.5), std::f64::consts::PI.sqrt().ln(), 1e-14));
        // Γ(5/2) = 3 √π / 4
        assert!(close(ln_gamma(2.5), (0.75 * std::f64::consts::PI.sqrt()).ln(), 1e-14));
    }

    /// The same by the sum of the binomial terms.
    fn at_least(hits: u64, n: u64, p: f64) -> f64 {
        let mut term = (1.0 - p).powi(i32::try_from(n).unwrap());
        let mut below = 0.0;
        for k in 0..hits {
            below += term;
            term *= (n - k) as f64 / (k + 1) as f64 * p / (1.0 - p);
        }
        1.0 - below
    }

    #[test]
    fn the_incomplete_beta_function_is_the_tail_of_the_binomial() {
        for n in [1_u64, 2, 7, 20, 60, 200] {
            for hits in [1, n / 3 + 1, n / 2 + 1, n] {
                for p in [0.001, 0.05, 0.3, 0.5, 0.9] {
                    let (got, sum) = (incomplete_beta(p, hits as f64, (n - hits) as f64 + 1.0), at_least(hits, n, p));
                    assert!(close(got, sum, 1e-11), "{hits} of {n} at {p}: {got}, by the sum {sum}");
                }
            }
        }
        assert_eq!((incomplete_beta(0.0, 2.0, 3.0), incomplete_beta(1.0, 2.0, 3.0)), (0.0, 1.0));
        // closed forms: I_x(1, b) = 1 - (1-x)^b, I_x(a, 1) = x^a, I_1/2(a, a) = 1/2
        assert!(close(incomplete_beta(0.3, 1.0, 4.0), 1.0 - 0.7_f64.powi(4), 1e-15));
        assert!(close(incomplete_beta(0.3, 4.0, 1.0), 0.3_f64.powi(4), 1e-15));
        assert!(close(incomplete_beta(0.5, 1e6, 1e6), 0.5, 1e-8));
    }

    /// Newcombe, "Two-sided confidence intervals for the single proportion", Statistics in Medicine 17 (1998), table I: methods 3 and 5.
    #[test]
    fn intervals_are_those_that_newcombe_published() {
        let cases = [
            (81, 263, (0.2553, 0.3662), (0.2527, 0.3676)),
            (15, 148, (0.0624, 0.1605), (0.0578, 0.1617)),
            (0, 20, (0.0000, 0.1611), (0.0000, 0.1684)),
            (1, 29, (0.0061, 0.1718), (0.0009, 0.1776)),
        ];
        for (hits, n, by_wilson, exact) in cases {
            let (low, high) = wilson(hits as f64, n as f64, 1.959_964);
            assert!(close(low, by_wilson.0, 5e-5) && close(high, by_wilson.1, 5e-5), "Wilson {hits}/{n}: {low} {high}");
            let (low, high) = clopper_pearson(hits, n, 0.05);
            assert!(close(low, exact.0, 5e-5) && close(high, exact.1, 5e-5), "exact {hits}/{n}: {low} {high}");
        }
    }

    #[test]
    fn the_exact_bounds_of_none_and_all_are_those_of_the_formula() {
        for n in [1_u64, 10, 1_000, 60_000, 3_000_000] {
            let high = 1.0 - 0.025_f64.powf(1.0 / n as f64);
            let (low, got) = clopper_pearson(0, n, 0.05);
            assert!(low == 0.0 && close(got, high, high * 1e-8), "{n}: {got} for {high}");
            let (low, got) = clopper_pearson(n, n, 0.05);
            assert!(got == 1.0 && close(low, 1.0 - high, high * 1e-8 + 1e-15), "{n}");
        }
        assert_eq!(clopper_pearson(0, 0, 0.05), (0.0, 1.0));
        assert_eq!(wilson(0.0, 0.0, 1.96), (0.0, 1.0));
    }

    #[test]
    fn an_exact_bound_leaves_out_just_its_tail() {
        for (hits, n) in [(1, 10), (3, 50), (5, 100_000), (49_990, 100_000)] {
            let (low, high) = clopper_pearson(hits, n, 0.05);
            let above = incomplete_beta(low, hits as f64, (n - hits) as f64 + 1.0);
            let below = 1.0 - incomplete_beta(high, hits as f64 + 1.0, (n - hits) as f64);
            assert!(close(above, 0.025, 1e-9) && close(below, 0.025, 1e-9), "{hits} of {n}: {above} {below}");
        }
    }
}
