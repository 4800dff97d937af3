//! What comes back from whom (分账回退): in proportion to what each receiver kept, to the fen, and up through those who passed it on. Pure.

use super::apportion::in_proportion;
use crate::base::id::SplitLineId;

/// A line as it stands, its parent before it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Standing {
    pub line: SplitLineId,
    /// The place of the line it was paid from.
    pub parent: Option<usize>,
    /// What its receiver had, less what came back or is on its way back.
    pub standing_minor: i64,
}

/// A line's part in a return, with what its receiver gets from the lines below it and hands up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Back {
    pub line: SplitLineId,
    pub amount_minor: i64,
}

/// What all receivers together could give back.
pub fn returnable_minor(lines: &[Standing]) -> i64 {
    lines.iter().filter(|line| line.parent.is_none()).map(|line| line.standing_minor).sum()
}

/// Who gives how much back. The same lines give the same parts, in whatever order they come (R5). None: they have not so much (S2).
pub fn plan_return(amount_minor: i64, lines: &[Standing]) -> Option<Vec<Back>> {
    if amount_minor < 0 || amount_minor > returnable_minor(lines) {
        return None;
    }
    let mut kept: Vec<i64> = lines.iter().map(|line| line.standing_minor).collect();
    for line in lines {
        if let Some(parent) = line.parent {
            kept[parent] -= line.standing_minor;
        }
    }
    if kept.iter().any(|minor| *minor < 0) {
        return None;
    }
    let ids: Vec<SplitLineId> = lines.iter().map(|line| line.line).collect();
    let mut amounts = in_proportion(amount_minor, &kept, &ids);
    for place in (0..lines.len()).rev() {
        if let Some(parent) = lines[place].parent {
            amounts[parent] += amounts[place];
        }
    }
    let backs = lines.iter().zip(amounts).map(|(line, amount_minor)| Back { line: line.line, amount_minor });
    Some(backs.filter(|back| back.amount_minor > 0).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn line(n: u128, parent: Option<usize>, standing_minor: i64) -> Standing {
        Standing { line: SplitLineId(Uuid::from_u128(n)), parent, standing_minor }
    }

    #[test]
    fn what_was_passed_on_comes_up_the_way_it_went_down() {
        // 1 had 100 and passed 60 to 2, who passed 20 to 3; 4 had 50
        let lines = [line(1, None, 100), line(2, Some(0), 60), line(3, Some(1), 20), line(4, None, 50)];
        let cases: [(i64, Option<&[i64]>); 5] =
            [(150, Some(&[100, 60, 20, 50])), (15, Some(&[10, 6, 2, 5])), (1, Some(&[0, 0, 0, 1])), (0, Some(&[0, 0, 0, 0])), (151, None)];
        for (amount, expected) in cases {
            let backs = plan_return(amount, &lines);
            let of = |n: u128| backs.iter().flatten().find(|b| b.line.0 == Uuid::from_u128(n)).map_or(0, |b| b.amount_minor);
            assert_eq!(backs.as_ref().map(|_| [of(1), of(2), of(3), of(4)]), expected.map(|e| [e[0], e[1], e[2], e[3]]), "{amount}");
        }
    }

    /// Trees whose lines pass on at most what they have.
    fn trees() -> impl Strategy<Value = Vec<Standing>> {
        prop::collection::vec((any::<prop::sample::Index>(), any::<bool>(), 0_i64..1_000_000), 1..30).prop_map(|drawn| {
            let mut lines: Vec<Standing> = Vec::new();
            let mut kept: Vec<i64> = Vec::new();
            for (n, (parent, top, minor)) in (0_u128..).zip(drawn) {
                let parent = (!top && !lines.is_empty()).then(|| parent.index(lines.len()));
                let minor = parent.map_or(minor, |parent| minor.min(kept[parent]));
                if let Some(parent) = parent {
                    kept[parent] -= minor;
                }
                lines.push(line(n, parent, minor));
                kept.push(minor);
            }
            lines
        })
    }

    proptest! {
        #[test]
        fn no_line_gives_back_more_than_it_had_and_all_of_it_can_come_back_in_parts(
            mut lines in trees(), parts in prop::collection::vec(0_i64..=10_000, 0..6),
        ) {
            for part in parts.into_iter().chain([10_000]) {
                let whole = returnable_minor(&lines);
                let amount = i64::try_from(i128::from(whole) * i128::from(part) / 10_000).unwrap();
                let backs = plan_return(amount, &lines).unwrap();
                let of = |line: &Standing| backs.iter().find(|b| b.line == line.line).map_or(0, |b| b.amount_minor);
                let top: i64 = lines.iter().filter(|l| l.parent.is_none()).map(of).sum();
                prop_assert_eq!(top, amount, "all of it reaches the merchant");
                let below = |place: usize| lines.iter().filter(|l| l.parent == Some(place)).map(of).sum::<i64>();
                let stays = |place: usize| lines.iter().filter(|l| l.parent == Some(place)).map(|l| l.standing_minor - of(l)).sum::<i64>();
                for (place, line) in lines.iter().enumerate() {
                    prop_assert!((below(place)..=line.standing_minor).contains(&of(line)));
                    prop_assert!(line.standing_minor - of(line) >= stays(place), "it still covers what stays below it");
                }
                lines = lines.iter().map(|line| Standing { standing_minor: line.standing_minor - of(line), ..*line }).collect();
            }
            prop_assert!(lines.iter().all(|line| line.standing_minor == 0));
            prop_assert_eq!(plan_return(1, &lines), None);
        }
    }
}
