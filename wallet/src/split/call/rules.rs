//! How lines are cut into requests, and what a channel's word comes to. Pure.

use chrono::{DateTime, Utc};

use super::{Call, CallKind, CallShare, CallStatus, ShareResult};
use crate::base::id::SplitLineId;
use crate::channel::divider::{DivisionWord, ShareOutcome};

/// A word on a request that can be taken in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::split) enum Verdict {
    /// Taken in. The shares of which more is known, with the code of those that failed.
    Told { finished: bool, shares: Vec<(SplitLineId, Result<(), String>)> },
    /// Not carried out, and never will be.
    Refused(String),
}

/// Cuts shares into requests of at most so many receivers, none of which stands in one request twice: by its account alone the channel
/// tells what became of a share.
pub(in crate::split) fn cut(shares: Vec<CallShare>, receivers_max: usize) -> Vec<Vec<CallShare>> {
    let mut calls: Vec<Vec<CallShare>> = Vec::new();
    for share in shares {
        let fits = |call: &&mut Vec<CallShare>| call.len() < receivers_max && call.iter().all(|other| other.account != share.account);
        match calls.iter_mut().find(fits) {
            Some(call) => call.push(share),
            None => calls.push(vec![share]),
        }
    }
    calls
}

/// What the channel's word on a division or a finish says. None: it is about something else, or says too little, and proves nothing.
pub(in crate::split) fn judge(call: &Call, word: &DivisionWord) -> Option<Verdict> {
    if call.kind == CallKind::Finish {
        return Some(Verdict::Told { finished: word.finished, shares: Vec::new() });
    }
    let mut shares = Vec::new();
    for share in &call.shares {
        let told = word.shares.iter().find(|told| told.share.account == share.account && told.share.amount_minor == share.amount_minor);
        match told.map(|told| &told.outcome) {
            Some(ShareOutcome::Succeeded) => shares.push((share.line, Ok(()))),
            Some(ShareOutcome::Failed { code }) => shares.push((share.line, Err(code.clone()))),
            // while it is under way shares may be left out, but then all of them
            None if !word.finished && word.shares.is_empty() => {}
            Some(ShareOutcome::Pending) if !word.finished => {}
            _ => return None,
        }
    }
    Some(Verdict::Told { finished: word.finished, shares })
}

/// Takes a word in. What of it is new: shares with their outcome. What was said before stands, whatever is said now.
pub(in crate::split) fn take_in(call: &mut Call, verdict: &Verdict, now: DateTime<Utc>) -> Vec<(SplitLineId, Result<(), String>)> {
    let all_refused;
    let (shares, end) = match verdict {
        Verdict::Told { finished, shares } => (shares, finished.then_some(CallStatus::Done)),
        Verdict::Refused(code) => {
            all_refused = call.shares.iter().map(|share| (share.line, Err(code.clone()))).collect();
            (&all_refused, Some(CallStatus::Failed))
        }
    };
    let mut new = Vec::new();
    for (line, word) in shares {
        let Some(share) = call.shares.iter_mut().find(|share| share.line == *line) else { continue };
        let outcome = if word.is_ok() { ShareResult::Succeeded } else { ShareResult::Failed };
        match share.outcome {
            None => {
                (share.outcome, share.error_code) = (Some(outcome), word.as_ref().err().cloned());
                new.push((*line, word.clone()));
            }
            Some(before) if before != outcome => {
                tracing::error!(call_id = %call.id, line_id = %line, "the channel contradicts what it said of a share");
            }
            Some(_) => {}
        }
    }
    let decided = !call.shares.is_empty() && call.shares.iter().all(|share| share.outcome.is_some());
    call.status = match end {
        Some(end) => end,
        None if decided => CallStatus::Done,
        None => CallStatus::Accepted,
    };
    if !call.status.open() {
        call.resolved_at = Some(now);
    }
    if let Verdict::Refused(code) = verdict {
        call.error_code = Some(code.clone());
    }
    new
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::base::id::{AttemptId, MerchantId, OrderId, SplitCallId};
    use crate::channel::divider::{Share, ShareWord};

    fn share(n: u128, account: &str, amount_minor: i64) -> CallShare {
        CallShare { line: SplitLineId(Uuid::from_u128(n)), account: account.to_owned(), amount_minor, outcome: None, error_code: None }
    }

    fn call(kind: CallKind, shares: Vec<CallShare>) -> Call {
        Call {
            id: SplitCallId::new(),
            merchant: MerchantId::new(),
            order: OrderId::new(),
            attempt: AttemptId::new(),
            channel: "WECHAT_PAY".to_owned(),
            transaction_id: "T1".to_owned(),
            kind,
            part: None,
            status: CallStatus::Sent,
            error_code: None,
            sent_at: DateTime::UNIX_EPOCH,
            resolved_at: None,
            shares,
        }
    }

    fn word(finished: bool, shares: &[(&str, i64, ShareOutcome)]) -> DivisionWord {
        let share = |(account, amount_minor, outcome): &(&str, i64, ShareOutcome)| ShareWord {
            share: Share { account: (*account).to_owned(), amount_minor: *amount_minor },
            outcome: outcome.clone(),
        };
        DivisionWord { finished, shares: shares.iter().map(share).collect() }
    }

    fn failed() -> ShareOutcome {
        ShareOutcome::Failed { code: "ACCOUNT_ABNORMAL".to_owned() }
    }

    proptest! {
        #[test]
        fn every_share_is_asked_for_once_and_no_request_has_too_many_receivers_or_one_twice(
            accounts in prop::collection::vec(0_u8..60, 0..300), receivers_max in 1_usize..60,
        ) {
            let all: Vec<_> = (0..).zip(&accounts).map(|(n, account)| share(n, &account.to_string(), 1)).collect();
            let calls = cut(all.clone(), receivers_max);
            for call in &calls {
                let mut named: Vec<_> = call.iter().map(|share| share.account.clone()).collect();
                prop_assert!(named.len() <= receivers_max);
                named.sort_unstable();
                named.dedup();
                prop_assert_eq!(named.len(), call.len());
            }
            let mut lines: Vec<_> = calls.concat().iter().map(|share| share.line).collect();
            lines.sort_unstable();
            prop_assert_eq!(lines, all.iter().map(|share| share.line).collect::<Vec<_>>());
        }
    }

    #[test]
    fn fifty_one_receivers_are_two_requests() {
        let shares = (0..51).map(|n| share(n, &n.to_string(), 1)).collect();
        assert_eq!(cut(shares, 50).iter().map(Vec::len).collect::<Vec<_>>(), [50, 1]);
    }

    #[test]
    fn only_a_word_on_the_shares_that_were_asked_for_is_one() {
        use ShareOutcome::{Pending, Succeeded};
        let asked = || call(CallKind::Divide, vec![share(1, "a", 70), share(2, "b", 30)]);
        let cases = [
            ("taken in, shares left out", word(false, &[]), Some((CallStatus::Accepted, 0))),
            ("taken in", word(false, &[("a", 70, Pending), ("b", 30, Pending)]), Some((CallStatus::Accepted, 0))),
            ("one of two", word(false, &[("a", 70, Succeeded), ("b", 30, Pending)]), Some((CallStatus::Accepted, 1))),
            ("one fails", word(true, &[("a", 70, Succeeded), ("b", 30, failed())]), Some((CallStatus::Done, 2))),
            (
                "with the payee's",
                word(true, &[("a", 70, Succeeded), ("b", 30, Succeeded), ("us", 9, Succeeded)]),
                Some((CallStatus::Done, 2)),
            ),
            ("decided before it is finished", word(false, &[("a", 70, Succeeded), ("b", 30, Succeeded)]), Some((CallStatus::Done, 2))),
            ("finished, and nothing is said", word(true, &[]), None),
            ("finished with something under way", word(true, &[("a", 70, Succeeded), ("b", 30, Pending)]), None),
            ("another amount", word(true, &[("a", 71, Succeeded), ("b", 30, Succeeded)]), None),
            ("another receiver", word(true, &[("a", 70, Succeeded), ("c", 30, Succeeded)]), None),
            ("one left out", word(false, &[("a", 70, Succeeded)]), None),
        ];
        for (what, word, expected) in cases {
            let mut call = asked();
            let verdict = judge(&call, &word);
            let told = verdict.map(|verdict| {
                let new = take_in(&mut call, &verdict, DateTime::UNIX_EPOCH);
                (call.status, new.len())
            });
            assert_eq!(told, expected, "{what}");
        }
    }

    #[test]
    fn what_was_said_of_a_share_stands() {
        let mut call = call(CallKind::Divide, vec![share(1, "a", 70), share(2, "b", 30)]);
        let first = judge(&call, &word(false, &[("a", 70, ShareOutcome::Succeeded), ("b", 30, ShareOutcome::Pending)])).unwrap();
        assert_eq!(take_in(&mut call, &first, DateTime::UNIX_EPOCH).len(), 1);
        assert_eq!(take_in(&mut call, &first, DateTime::UNIX_EPOCH), [], "a word heard twice is new once");
        let other = judge(&call, &word(true, &[("a", 70, failed()), ("b", 30, failed())])).unwrap();
        let new = take_in(&mut call, &other, DateTime::UNIX_EPOCH);
        assert_eq!(new, [(SplitLineId(Uuid::from_u128(2)), Err("ACCOUNT_ABNORMAL".to_owned()))]);
        assert_eq!(call.outcome(SplitLineId(Uuid::from_u128(1))), Some(ShareResult::Succeeded));
        let refused = &mut super::tests::call(CallKind::Divide, vec![share(1, "a", 70)]);
        assert_eq!(take_in(refused, &Verdict::Refused("NO_AUTH".to_owned()), DateTime::UNIX_EPOCH).len(), 1);
        assert_eq!((refused.status, refused.error_code.as_deref()), (CallStatus::Failed, Some("NO_AUTH")));
    }
}
