//! Who gets how much: a rule and an amount become lines, parents before their children. Pure.
//!
//! Siblings take from their parent's amount: fixed amounts first, all of them less in proportion where there is not enough, then basis
//! points of the parent's whole amount, at most what is left. Fractions go by largest remainder, so nothing is lost and the order in which
//! a rule lists its receivers changes nothing (S4). What a parent does not pass on is its own.

use std::collections::{BTreeMap, BTreeSet};

use super::apportion::{apportion, in_proportion};
use super::rule::{LEVELS_MAX, Part, RECEIVERS_MAX, Share};
use crate::base::id::{AttemptId, MerchantId};

/// Basis points of a whole.
const WHOLE_BPS: i128 = 10_000;

/// Which merchant stands for a role.
pub type Parties = BTreeMap<String, MerchantId>;

/// What is wrong with a rule or with the merchants it names.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Mistake {
    #[error("the rule names no receiver")]
    Empty,
    #[error("the rule has {count} receivers; {RECEIVERS_MAX} are the most")]
    TooManyReceivers { count: usize },
    #[error("{role} is deeper than {LEVELS_MAX} levels below the merchant")]
    TooDeep { role: String },
    #[error("the role {role:?} must have 1 to 32 upper-case letters, digits and underscores")]
    RoleInvalid { role: String },
    #[error("the role {role} stands in the rule twice")]
    RoleTwice { role: String },
    #[error("the part of {role} must be 1 to 10,000 basis points or a fixed amount greater than zero")]
    PartInvalid { role: String },
    #[error("the receivers below {parent} have more than 10,000 basis points together")]
    PartsExceedWhole { parent: String },
    #[error("no merchant stands for the role {role}")]
    RoleUnbound { role: String },
    #[error("{role} would be paid by itself")]
    PaysItself { role: String },
}

/// Everything that is wrong with a rule; nothing: it can be used with any amount.
pub fn check(rule: &[Share]) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    if rule.is_empty() {
        mistakes.push(Mistake::Empty);
    }
    let mut seen = BTreeSet::new();
    let count = check_level(rule, "the merchant", 1, &mut seen, &mut mistakes);
    if count > RECEIVERS_MAX {
        mistakes.push(Mistake::TooManyReceivers { count });
    }
    mistakes
}

/// Checks siblings and what hangs on them. How many receivers there are. A rule that is far too deep is not followed to its end.
fn check_level<'r>(shares: &'r [Share], parent: &str, level: usize, seen: &mut BTreeSet<&'r str>, mistakes: &mut Vec<Mistake>) -> usize {
    let mut count = shares.len();
    let together: i64 = shares.iter().map(|share| if let Part::Bps(bps) = share.part { i64::from(bps) } else { 0 }).sum();
    if i128::from(together) > WHOLE_BPS {
        mistakes.push(Mistake::PartsExceedWhole { parent: parent.to_owned() });
    }
    for share in shares {
        let role = share.role.clone();
        let named = (1..=32).contains(&role.len()) && role.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
        if !named {
            mistakes.push(Mistake::RoleInvalid { role: role.clone() });
        }
        if !seen.insert(&share.role) {
            mistakes.push(Mistake::RoleTwice { role: role.clone() });
        }
        let possible = match share.part {
            Part::Bps(bps) => (1..=10_000).contains(&bps),
            Part::FixedMinor(minor) => minor > 0,
        };
        if !possible {
            mistakes.push(Mistake::PartInvalid { role: role.clone() });
        }
        if level > LEVELS_MAX {
            mistakes.push(Mistake::TooDeep { role });
        } else {
            count += check_level(&share.shares, &share.role, level + 1, seen, mistakes);
        }
    }
    count
}

/// Everything that is wrong with the merchants that stand for a rule's roles. `payer` was paid.
pub fn check_parties(rule: &[Share], payer: MerchantId, parties: &Parties) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    for share in rule {
        match parties.get(&share.role) {
            None => mistakes.push(Mistake::RoleUnbound { role: share.role.clone() }),
            Some(&party) if party == payer => mistakes.push(Mistake::PaysItself { role: share.role.clone() }),
            Some(&party) => mistakes.extend(check_parties(&share.shares, party, parties)),
        }
    }
    mistakes
}

/// A line to be written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PlannedLine {
    /// Its parent's place among the lines, always an earlier one. None: it is paid from the order's money.
    pub parent: Option<usize>,
    pub role: String,
    pub receiver: MerchantId,
    /// The payment whose money it is.
    pub attempt: AttemptId,
    /// With what its receiver passes on.
    pub amount_minor: i64,
    pub passes_on: bool,
}

/// A receiver of the tree, before it is known from which payment its money comes.
struct Node<'r> {
    parent: Option<usize>,
    role: &'r str,
    receiver: MerchantId,
    own_minor: i64,
}

/// Applies a rule to an amount. `slices` say how much of each payment may still be divided, at least `amount_minor` together.
///
/// None: the slices have not enough, or a role is unbound.
pub fn plan(amount_minor: i64, rule: &[Share], parties: &Parties, slices: &[(AttemptId, i64)]) -> Option<Vec<PlannedLine>> {
    let mut nodes = Vec::new();
    grow(amount_minor, rule, parties, None, &mut nodes)?;
    let mut left: Vec<i64> = slices.iter().map(|(_, minor)| *minor).collect();
    // what each receiver keeps, by payment: payments are used up one after another, in their order
    let mut parts = vec![vec![0_i64; slices.len()]; nodes.len()];
    for (node, part) in nodes.iter().zip(&mut parts) {
        let mut wanted = node.own_minor;
        for (take, left) in part.iter_mut().zip(&mut left) {
            *take = wanted.min(*left).max(0);
            (wanted, *left) = (wanted - *take, *left - *take);
        }
        if wanted > 0 {
            return None;
        }
    }
    let mut passes_on = vec![vec![false; slices.len()]; nodes.len()];
    for place in (0..nodes.len()).rev() {
        let Some(parent) = nodes[place].parent else { continue };
        for slice in 0..slices.len() {
            let minor = parts[place][slice];
            parts[parent][slice] += minor;
            passes_on[parent][slice] |= minor > 0;
        }
    }
    let mut lines = Vec::new();
    for (slice, (attempt, _)) in slices.iter().enumerate() {
        let mut places = vec![None; nodes.len()];
        for (place, node) in nodes.iter().enumerate().filter(|(place, _)| parts[*place][slice] > 0) {
            places[place] = Some(lines.len());
            lines.push(PlannedLine {
                parent: node.parent.and_then(|parent| places[parent]),
                role: node.role.to_owned(),
                receiver: node.receiver,
                attempt: *attempt,
                amount_minor: parts[place][slice],
                passes_on: passes_on[place][slice],
            });
        }
    }
    Some(lines)
}

/// What a rule gives to the first level of an amount: what a channel that divides is asked for.
pub fn first_level_minor(amount_minor: i64, rule: &[Share]) -> i64 {
    divide(amount_minor, rule).iter().sum()
}

/// Adds the receivers of an amount, each before those it passes on to, in the order of their roles.
fn grow<'r>(amount_minor: i64, rule: &'r [Share], parties: &Parties, parent: Option<usize>, nodes: &mut Vec<Node<'r>>) -> Option<i64> {
    let amounts = divide(amount_minor, rule);
    let mut siblings: Vec<(&Share, i64)> = rule.iter().zip(amounts).filter(|(_, minor)| *minor > 0).collect();
    siblings.sort_by(|a, b| a.0.role.cmp(&b.0.role));
    let mut passed_on = 0;
    for (share, minor) in siblings {
        let place = nodes.len();
        nodes.push(Node { parent, role: &share.role, receiver: *parties.get(&share.role)?, own_minor: 0 });
        nodes[place].own_minor = minor - grow(minor, &share.shares, parties, Some(place), nodes)?;
        passed_on += minor;
    }
    Some(passed_on)
}

/// What each sibling gets of its parent's amount, in the order of the rule.
fn divide(amount_minor: i64, shares: &[Share]) -> Vec<i64> {
    let keys: Vec<&str> = shares.iter().map(|share| share.role.as_str()).collect();
    let fixed: Vec<i64> = shares.iter().map(|share| if let Part::FixedMinor(minor) = share.part { minor.max(0) } else { 0 }).collect();
    let bps: Vec<i64> = shares.iter().map(|share| if let Part::Bps(bps) = share.part { i64::from(bps) } else { 0 }).collect();
    let wanted = fixed.iter().map(|&minor| i128::from(minor)).sum::<i128>();
    let fixed = if wanted > i128::from(amount_minor) { in_proportion(amount_minor, &fixed, &keys) } else { fixed };
    let left = amount_minor - fixed.iter().sum::<i64>();
    let quotas: Vec<i128> = bps.iter().map(|&bps| i128::from(amount_minor) * i128::from(bps)).collect();
    // the whole of their quotas, rounded down, is at most the amount
    let due = i64::try_from(quotas.iter().sum::<i128>() / WHOLE_BPS).unwrap_or(amount_minor);
    let by_bps = if due <= left { apportion(due, &quotas, WHOLE_BPS, &keys) } else { in_proportion(left, &bps, &keys) };
    fixed.into_iter().zip(by_bps).map(|(fixed, bps)| fixed + bps).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bps(role: &str, bps: u16, shares: Vec<Share>) -> Share {
        Share { role: role.to_owned(), part: Part::Bps(bps), shares }
    }

    fn fixed(role: &str, minor: i64) -> Share {
        Share { role: role.to_owned(), part: Part::FixedMinor(minor), shares: vec![] }
    }

    /// A merchant for each role there is.
    fn parties(rule: &[Share]) -> Parties {
        fn add(rule: &[Share], parties: &mut Parties) {
            for share in rule {
                parties.insert(share.role.clone(), MerchantId::new());
                add(&share.shares, parties);
            }
        }
        let mut all = Parties::new();
        add(rule, &mut all);
        all
    }

    /// Role and amount of each line of one payment.
    fn amounts(minor: i64, rule: &[Share]) -> Vec<(String, i64)> {
        let lines = plan(minor, rule, &parties(rule), &[(AttemptId::new(), minor)]).unwrap();
        lines.into_iter().map(|line| (line.role, line.amount_minor)).collect()
    }

    #[test]
    fn a_rule_says_who_gets_how_much() {
        /// What, the amount, the rule, and the lines.
        type Case<'c> = (&'c str, i64, Vec<Share>, &'c [(&'c str, i64)]);
        let cases: [Case; 9] = [
            ("a tenth", 10_000, vec![bps("A", 1_000, vec![])], &[("A", 1_000)]),
            (
                "thirds of a fen more",
                100,
                vec![bps("C", 3_333, vec![]), bps("B", 3_333, vec![]), bps("A", 3_334, vec![])],
                &[("A", 34), ("B", 33), ("C", 33)],
            ),
            ("an agent who passes half on", 999, vec![bps("A", 5_000, vec![bps("B", 5_000, vec![])])], &[("A", 499), ("B", 249)]),
            ("an agent who passes all on", 100, vec![bps("A", 1_000, vec![bps("B", 10_000, vec![])])], &[("A", 10), ("B", 10)]),
            ("fixed before basis points", 100, vec![bps("A", 5_000, vec![]), fixed("B", 70)], &[("A", 30), ("B", 70)]),
            ("fixed amounts that are too much", 100, vec![fixed("A", 100), fixed("B", 200)], &[("A", 33), ("B", 67)]),
            ("nothing left for basis points", 100, vec![fixed("B", 300), bps("A", 5_000, vec![])], &[("B", 100)]),
            ("less than a fen", 9, vec![bps("A", 1_000, vec![])], &[]),
            ("all to one", 7, vec![bps("A", 10_000, vec![])], &[("A", 7)]),
        ];
        for (what, minor, rule, expected) in cases {
            assert_eq!(check(&rule), [], "{what}");
            let expected: Vec<_> = expected.iter().map(|(role, minor)| ((*role).to_owned(), *minor)).collect();
            assert_eq!(amounts(minor, &rule), expected, "{what}");
        }
    }

    #[test]
    fn every_mistake_of_a_rule_is_told() {
        let deep = |levels: usize| (0..levels).rev().fold(vec![], |below, n| vec![bps(&format!("L{n}"), 5_000, below)]);
        let many = |n: usize| (0..n).map(|n| bps(&format!("R{n}"), 1, vec![])).collect::<Vec<_>>();
        let role = |role: &str| role.to_owned();
        let cases = [
            (vec![], vec![Mistake::Empty]),
            (deep(LEVELS_MAX), vec![]),
            (deep(LEVELS_MAX + 1), vec![Mistake::TooDeep { role: role("L4") }]),
            (many(RECEIVERS_MAX), vec![]),
            (many(RECEIVERS_MAX + 1), vec![Mistake::TooManyReceivers { count: RECEIVERS_MAX + 1 }]),
            (vec![bps("agent", 1, vec![])], vec![Mistake::RoleInvalid { role: role("agent") }]),
            (vec![bps("", 1, vec![])], vec![Mistake::RoleInvalid { role: role("") }]),
            (vec![bps(&"A".repeat(33), 1, vec![])], vec![Mistake::RoleInvalid { role: "A".repeat(33) }]),
            (vec![bps("A", 0, vec![])], vec![Mistake::PartInvalid { role: role("A") }]),
            (vec![fixed("A", 0)], vec![Mistake::PartInvalid { role: role("A") }]),
            (vec![bps("A", 5_000, vec![]), bps("B", 5_001, vec![])], vec![Mistake::PartsExceedWhole { parent: role("the merchant") }]),
            (
                vec![bps("A", 10_001, vec![bps("A", 9_000, vec![]), bps("B", 1_001, vec![]), fixed("c", -1)])],
                vec![
                    Mistake::PartsExceedWhole { parent: role("the merchant") },
                    Mistake::PartInvalid { role: role("A") },
                    Mistake::PartsExceedWhole { parent: role("A") },
                    Mistake::RoleTwice { role: role("A") },
                    Mistake::RoleInvalid { role: role("c") },
                    Mistake::PartInvalid { role: role("c") },
                ],
            ),
        ];
        for (rule, expected) in cases {
            assert_eq!(check(&rule), expected, "{rule:?}");
        }
    }

    #[test]
    fn every_role_is_another_merchant_than_the_one_that_pays_it() {
        let rule = vec![bps("A", 5_000, vec![bps("B", 5_000, vec![])]), bps("C", 100, vec![])];
        let (payer, a, b) = (MerchantId::new(), MerchantId::new(), MerchantId::new());
        let bind = |bound: &[(&str, MerchantId)]| -> Parties { bound.iter().map(|(role, of)| ((*role).to_owned(), *of)).collect() };
        let role = |role: &str| role.to_owned();
        assert_eq!(check_parties(&rule, payer, &bind(&[("A", a), ("B", b), ("C", b)])), []);
        // money that comes back to whoever paid first is passed on like any other
        assert_eq!(check_parties(&rule, payer, &bind(&[("A", a), ("B", payer), ("C", b)])), []);
        assert_eq!(
            check_parties(&rule, payer, &bind(&[("A", a), ("B", a), ("C", payer)])),
            [Mistake::PaysItself { role: role("B") }, Mistake::PaysItself { role: role("C") }]
        );
        assert_eq!(
            check_parties(&rule, payer, &bind(&[("A", a)])),
            [Mistake::RoleUnbound { role: role("B") }, Mistake::RoleUnbound { role: role("C") }]
        );
    }

    /// Rules without a mistake, of up to three levels.
    fn rules() -> impl Strategy<Value = Vec<Share>> {
        let part = prop_oneof![(1_u16..=2_500).prop_map(Part::Bps), (1_i64..100_000).prop_map(Part::FixedMinor)];
        let leaf = part.clone().prop_map(|part| Share { role: String::new(), part, shares: vec![] });
        let tree = leaf.prop_recursive(2, 12, 4, move |below| {
            (part.clone(), prop::collection::vec(below, 0..4)).prop_map(|(part, shares)| Share { role: String::new(), part, shares })
        });
        prop::collection::vec(tree, 1..4).prop_map(|mut rule| {
            fn name(rule: &mut [Share], next: &mut usize) {
                for share in rule {
                    share.role = format!("R{next}");
                    *next += 1;
                    name(&mut share.shares, next);
                }
            }
            name(&mut rule, &mut 0);
            rule
        })
    }

    fn turned(rule: &[Share]) -> Vec<Share> {
        rule.iter().rev().map(|share| Share { shares: turned(&share.shares), ..share.clone() }).collect()
    }

    proptest! {
        #[test]
        fn whatever_the_rule_nothing_is_lost_and_its_order_does_not_matter(
            rule in rules(), slices in prop::collection::vec(1_i64..1_000_000_000, 1..4), of_bps in 0_i64..=10_000,
        ) {
            prop_assert_eq!(check(&rule), []);
            let (parties, whole) = (parties(&rule), slices.iter().sum::<i64>());
            let amount = i64::try_from(i128::from(whole) * i128::from(of_bps) / 10_000).unwrap();
            let slices: Vec<_> = slices.into_iter().map(|minor| (AttemptId::new(), minor)).collect();
            let lines = plan(amount, &rule, &parties, &slices).unwrap();
            let below = |place: Option<usize>| lines.iter().filter(|l| l.parent == place).map(|l| l.amount_minor).sum::<i64>();
            prop_assert!(below(None) <= amount, "no more than there is");
            for (place, line) in lines.iter().enumerate() {
                prop_assert!(line.amount_minor > 0 && below(Some(place)) <= line.amount_minor);
                prop_assert_eq!(line.passes_on, below(Some(place)) > 0);
                prop_assert!(line.parent.is_none_or(|parent| parent < place && lines[parent].attempt == line.attempt));
            }
            for (attempt, minor) in &slices {
                let of_slice: i64 = lines.iter().filter(|l| l.parent.is_none() && l.attempt == *attempt).map(|l| l.amount_minor).sum();
                prop_assert!(of_slice <= *minor, "each payment divides only its own money");
            }
            prop_assert_eq!(&plan(amount, &turned(&rule), &parties, &slices).unwrap(), &lines);
            // over several payments each gets what it gets of one
            let of_role = |lines: &[PlannedLine], role: &str| lines.iter().filter(|l| l.role == role).map(|l| l.amount_minor).sum::<i64>();
            let one = plan(amount, &rule, &parties, &[(AttemptId::new(), amount)]).unwrap();
            for role in parties.keys() {
                prop_assert_eq!(of_role(&lines, role), of_role(&one, role));
            }
        }

        #[test]
        fn basis_points_are_right_to_the_fen(minor in 0_i64..1_000_000_000_000, parts in prop::collection::vec(1_u16..=200, 1..50)) {
            let rule: Vec<_> = parts.iter().enumerate().map(|(n, part)| bps(&format!("R{n}"), *part, vec![])).collect();
            let due = i64::try_from(i128::from(minor) * parts.iter().map(|p| i128::from(*p)).sum::<i128>() / 10_000).unwrap();
            let divided = divide(minor, &rule);
            prop_assert_eq!(divided.iter().sum::<i64>(), due);
            for (part, got) in parts.iter().zip(divided) {
                let exact = i128::from(minor) * i128::from(*part);
                prop_assert!((exact / 10_000..=exact / 10_000 + 1).contains(&i128::from(got)));
            }
        }

        #[test]
        fn fixed_amounts_are_capped_by_what_is_there(minor in 0_i64..10_000, parts in prop::collection::vec(1_i64..10_000, 1..20)) {
            let rule: Vec<_> = parts.iter().enumerate().map(|(n, part)| fixed(&format!("R{n}"), *part)).collect();
            let divided = divide(minor, &rule);
            prop_assert_eq!(divided.iter().sum::<i64>(), minor.min(parts.iter().sum()));
            prop_assert!(divided.iter().zip(&parts).all(|(got, part)| got <= part));
        }
    }
}
