//! What happens to one request, notice, payment or payout. Pure: the same seed, party, kind, number and turn give the same, in whatever order
//! and beside whatever else they come.

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};

use super::profile::{Kind, News, Profile, Span, WHOLE_BPS};
use crate::sim::Party;

/// What happens to one answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    DropBefore,
    DropAfter,
    FailBefore,
    FailAfter,
    SlowBody(Duration),
    Garbage,
    WrongKey,
    Stale(Duration),
    OtherRequest,
}

/// How one request is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnswerPlan {
    pub delay: Duration,
    pub fault: Option<Fault>,
}

/// What one notice says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    Truth,
    Nothing,
    OtherMerchant,
    OtherAmount,
    OtherCurrency,
}

/// How one result is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoticePlan {
    pub told: Told,
    pub delay: Duration,
    pub deliveries: u32,
    /// How many others go first.
    pub behind: u32,
    /// Delivered once more with a signature so old.
    pub replayed: Option<Duration>,
}

/// What becomes of one payment, refund or payout, whatever is said about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fate {
    /// The payer's yes comes to nothing, for this reason.
    pub declined: Option<&'static str>,
    /// Paid all the same, so long after it was closed.
    pub late_success: Option<Duration>,
    /// Paid all the same, so long after it was declined.
    pub success_after_decline: Option<Duration>,
    pub refund_fails: bool,
    /// A refund finds the payer's account closed.
    pub refund_closed: bool,
    /// Comes back so long after it was paid out.
    pub payout_returns: Option<Duration>,
}

/// Reasons of the payer's, and of the channel's, as the sandbox calls them.
const USER_CODES: [&str; 3] = ["PAYER_DECLINED", "BALANCE_TOO_LOW", "DECLINED"];
const CHANNEL_CODES: [&str; 2] = ["SANDBOX_UNAVAILABLE", "SANDBOX_FULL"];

/// Decides how a request is answered. `turn`: how often the same was asked before.
pub fn answer(profile: &Profile, party: Party, kind: Kind, number: &str, turn: u32) -> AnswerPlan {
    let mix = profile.answers(party, kind);
    let mut dice = Dice::cast(profile.seed, party, kind.name(), number, turn);
    let (delay, slow, skew) = (dice.within(mix.delay), dice.within(mix.slow), dice.within(mix.skew));
    let fault = dice.either([
        (mix.drop_before, Fault::DropBefore),
        (mix.drop_after, Fault::DropAfter),
        (mix.fail_before, Fault::FailBefore),
        (mix.fail_after, Fault::FailAfter),
        (mix.slow_body, Fault::SlowBody(slow)),
        (mix.garbage, Fault::Garbage),
        (mix.wrong_key, Fault::WrongKey),
        (mix.stale, Fault::Stale(skew)),
        (mix.other_request, Fault::OtherRequest),
    ]);
    AnswerPlan { delay, fault }
}

/// Decides how a result is told. `turn`: how many notices there were about the same before.
pub fn notice(profile: &Profile, party: Party, news: News, number: &str, turn: u32) -> NoticePlan {
    let mix = profile.notices(party, news);
    let mut dice = Dice::cast(profile.seed, party, news.name(), number, turn);
    let told = dice.either([
        (mix.drop, Told::Nothing),
        (mix.wrong_merchant, Told::OtherMerchant),
        (mix.changed_amount, Told::OtherAmount),
        (mix.changed_currency, Told::OtherCurrency),
    ]);
    let (delay, age) = (dice.within(mix.delay), dice.within(mix.age));
    NoticePlan {
        told: told.unwrap_or(Told::Truth),
        delay,
        deliveries: if dice.share(mix.duplicate) { mix.times.max(2) } else { 1 },
        behind: if dice.share(mix.reorder) { mix.behind.max(1) } else { 0 },
        replayed: dice.share(mix.replay).then_some(age),
    }
}

/// Decides what becomes of the payment, refund or payout with this number.
pub fn fate(profile: &Profile, party: Party, number: &str) -> Fate {
    let mix = profile.business(party);
    let mut dice = Dice::cast(profile.seed, party, "business", number, 0);
    let codes = dice.either([(mix.decline_user, &USER_CODES[..]), (mix.decline_channel, &CHANNEL_CODES[..])]);
    let after = dice.within(mix.after);
    let mut sometimes = |share| dice.share(share).then_some(after);
    let (late_success, success_after_decline) = (sometimes(mix.late_success), sometimes(mix.success_after_decline));
    let (payout_returns, refund_fails) = (sometimes(mix.payout_return), dice.share(mix.refund_fail));
    let declined = codes.map(|codes| codes[dice.below(codes.len() as u64) as usize]);
    let refund_closed = dice.share(mix.refund_closed);
    Fate { declined, late_success, success_after_decline, refund_fails, refund_closed, payout_returns }
}

/// Whether a share of a split reaches its receiver.
pub fn share_arrives(profile: &Profile, party: Party, number: &str, receiver: &str) -> bool {
    !Dice::cast(profile.seed, party, receiver, number, 0).share(profile.business(party).split_part)
}

/// Whether a receiver of a split has enough to give its share back with the refund of this number.
pub fn share_comes_back(profile: &Profile, party: Party, number: &str, receiver: &str) -> bool {
    !Dice::cast(profile.seed, party, receiver, number, 1).share(profile.business(party).share_back)
}

/// Whether the finish of a split with this number is refused.
pub fn finish_refused(profile: &Profile, party: Party, number: &str) -> bool {
    Dice::cast(profile.seed, party, "finish", number, 0).share(profile.business(party).finish_refused)
}

/// Numbers from a name: SHA-256 of the name and a counter.
struct Dice {
    name: Vec<u8>,
    rolls: u64,
}

impl Dice {
    /// Each part of the name is led by its length, so that no two names are alike.
    fn cast(seed: u64, party: Party, what: &str, number: &str, turn: u32) -> Self {
        let mut name = Vec::with_capacity(96);
        name.extend_from_slice(&seed.to_be_bytes());
        name.extend_from_slice(&turn.to_be_bytes());
        for part in [party.name(), what, number] {
            name.extend_from_slice(&(part.len() as u64).to_be_bytes());
            name.extend_from_slice(part.as_bytes());
        }
        Self { name, rolls: 0 }
    }

    fn roll(&mut self) -> u64 {
        let bytes = [self.name.as_slice(), &self.rolls.to_be_bytes()].concat();
        self.rolls += 1;
        digest(&SHA256, &bytes).as_ref().iter().take(8).fold(0, |n, byte| (n << 8) | u64::from(*byte))
    }

    /// A number below `end`, which is far below 2^64, so that the small ones are favoured by nothing that counts.
    fn below(&mut self, end: u64) -> u64 {
        self.roll() % end.max(1)
    }

    fn share(&mut self, bps: u32) -> bool {
        self.below(WHOLE_BPS.into()) < u64::from(bps)
    }

    fn within(&mut self, span: Span) -> Duration {
        Duration::from_millis(span.from_ms + self.below(span.to_ms - span.from_ms + 1))
    }

    /// At most one of these, each with its share.
    fn either<const N: usize, T>(&mut self, choices: [(u32, T); N]) -> Option<T> {
        let mut left = self.below(WHOLE_BPS.into());
        for (bps, choice) in choices {
            match left.checked_sub(bps.into()) {
                None => return Some(choice),
                Some(rest) => left = rest,
            }
        }
        None
    }
}
