//! What a profile says: for each party and kind of request the shares, in basis points, of what goes wrong, and the times it takes.

use std::collections::HashMap;

use crate::sim::Party;

/// Longest of all times, in milliseconds: ten minutes.
pub const TIME_MAX_MS: u64 = 600_000;

/// A whole, in basis points.
pub const WHOLE_BPS: u32 = 10_000;

/// A kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    Pay,
    Query,
    Close,
    Refund,
    QueryRefund,
    Payout,
    QueryPayout,
    /// What only some protocols have: splits, receivers, certificates.
    Other,
}

impl Kind {
    /// As a profile calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pay => "pay",
            Self::Query => "query",
            Self::Close => "close",
            Self::Refund => "refund",
            Self::QueryRefund => "query_refund",
            Self::Payout => "payout",
            Self::QueryPayout => "query_payout",
            Self::Other => "other",
        }
    }
}

/// What a notice is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum News {
    Payment,
    Refund,
    Payout,
}

impl News {
    /// As a profile calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Payment => "payment",
            Self::Refund => "refund",
            Self::Payout => "payout",
        }
    }
}

/// A time somewhere between two, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    pub from_ms: u64,
    pub to_ms: u64,
}

/// How a party that is down behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outage {
    /// Every connection is reset as soon as something is asked.
    Reset,
    /// Nothing is ever answered: whoever asks waits until they give up.
    Silence,
    /// What stands before it answers 503, unsigned.
    Busy,
}

/// A time in which a party is down, counted from when the profile began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Down {
    /// None: all of them.
    pub party: Option<Party>,
    pub during: Span,
    pub how: Outage,
}

/// A field of a section, to be set.
#[derive(Debug)]
pub enum Field<'a> {
    /// Basis points.
    Share(&'a mut u32),
    Span(&'a mut Span),
    /// A number between two.
    Count(&'a mut u32, u32, u32),
}

/// A section of a profile: one kind of thing that happens, its fields by name.
pub trait Section: Clone + Default {
    /// What a profile calls it.
    const NAME: &'static str;
    /// What of it a profile may speak of on its own; one without a name where there is nothing to tell apart.
    const PARTS: &'static [&'static str];
    /// Shares of which at most one happens to one thing.
    const EITHER: &'static [&'static str];
    const OTHERS: &'static [&'static str];

    fn field(&mut self, name: &str) -> Option<Field<'_>>;
}

/// How requests are answered. At most one of the shares happens to one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answers {
    pub delay: Span,
    /// Not done, and the line is cut.
    pub drop_before: u32,
    /// Done, and the line is cut.
    pub drop_after: u32,
    /// Not done; 500, unsigned.
    pub fail_before: u32,
    /// Done; 500, unsigned.
    pub fail_after: u32,
    /// The body comes in drops, over `slow`.
    pub slow_body: u32,
    pub slow: Span,
    /// Bytes that mean nothing, under the right signature's headers.
    pub garbage: u32,
    pub wrong_key: u32,
    /// Signed with a clock that is `skew` wrong.
    pub stale: u32,
    pub skew: Span,
    /// A true answer, rightly signed, about something else.
    pub other_request: u32,
}

impl Section for Answers {
    const NAME: &'static str = "answer";
    const PARTS: &'static [&'static str] = &[
        Kind::Pay.name(),
        Kind::Query.name(),
        Kind::Close.name(),
        Kind::Refund.name(),
        Kind::QueryRefund.name(),
        Kind::Payout.name(),
        Kind::QueryPayout.name(),
        Kind::Other.name(),
    ];
    const EITHER: &'static [&'static str] =
        &["drop_before", "drop_after", "fail_before", "fail_after", "slow_body", "garbage", "wrong_key", "stale", "other_request"];
    const OTHERS: &'static [&'static str] = &["delay_ms", "slow_ms", "skew_ms"];

    fn field(&mut self, name: &str) -> Option<Field<'_>> {
        Some(match name {
            "delay_ms" => Field::Span(&mut self.delay),
            "drop_before" => Field::Share(&mut self.drop_before),
            "drop_after" => Field::Share(&mut self.drop_after),
            "fail_before" => Field::Share(&mut self.fail_before),
            "fail_after" => Field::Share(&mut self.fail_after),
            "slow_body" => Field::Share(&mut self.slow_body),
            "slow_ms" => Field::Span(&mut self.slow),
            "garbage" => Field::Share(&mut self.garbage),
            "wrong_key" => Field::Share(&mut self.wrong_key),
            "stale" => Field::Share(&mut self.stale),
            "skew_ms" => Field::Span(&mut self.skew),
            "other_request" => Field::Share(&mut self.other_request),
            _ => return None,
        })
    }
}

/// How results are told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notices {
    pub delay: Span,
    /// Never told: the platform has to ask.
    pub drop: u32,
    /// Told for another merchant, once, with the right key.
    pub wrong_merchant: u32,
    /// Told with another amount, with the right key.
    pub changed_amount: u32,
    /// Told in another currency, with the right key.
    pub changed_currency: u32,
    /// Delivered `times` instead of once.
    pub duplicate: u32,
    pub times: u32,
    /// Held back until `behind` others were delivered, for three seconds at most.
    pub reorder: u32,
    pub behind: u32,
    /// Delivered once more afterwards, signed with the time it had `age` ago.
    pub replay: u32,
    pub age: Span,
}

impl Section for Notices {
    const NAME: &'static str = "notice";
    const PARTS: &'static [&'static str] = &[News::Payment.name(), News::Refund.name(), News::Payout.name()];
    const EITHER: &'static [&'static str] = &["drop", "wrong_merchant", "changed_amount", "changed_currency"];
    const OTHERS: &'static [&'static str] = &["delay_ms", "duplicate", "times", "reorder", "behind", "replay", "age_ms"];

    fn field(&mut self, name: &str) -> Option<Field<'_>> {
        Some(match name {
            "delay_ms" => Field::Span(&mut self.delay),
            "drop" => Field::Share(&mut self.drop),
            "wrong_merchant" => Field::Share(&mut self.wrong_merchant),
            "changed_amount" => Field::Share(&mut self.changed_amount),
            "changed_currency" => Field::Share(&mut self.changed_currency),
            "duplicate" => Field::Share(&mut self.duplicate),
            "times" => Field::Count(&mut self.times, 2, 20),
            "reorder" => Field::Share(&mut self.reorder),
            "behind" => Field::Count(&mut self.behind, 1, 50),
            "replay" => Field::Share(&mut self.replay),
            "age_ms" => Field::Span(&mut self.age),
            _ => return None,
        })
    }
}

/// What becomes of payments, refunds and payouts themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Business {
    /// Payments that fail for a reason of the payer's.
    pub decline_user: u32,
    /// Payments that fail for a reason of the channel's.
    pub decline_channel: u32,
    /// Of the payments closed, those that the payer has paid all the same; told `after`.
    pub late_success: u32,
    /// Of the payments declined, those that succeed all the same; told `after`.
    pub success_after_decline: u32,
    /// Refunds that fail after they were accepted.
    pub refund_fail: u32,
    /// Refunds that find the payer's account closed.
    pub refund_closed: u32,
    /// Payouts that come back after they had succeeded (退票); told `after`.
    pub payout_return: u32,
    /// Receivers of a split that their share does not reach.
    pub split_part: u32,
    /// Receivers of a split that have too little to give their share back with a refund.
    pub share_back: u32,
    /// Finishes of splits that are refused.
    pub finish_refused: u32,
    pub after: Span,
}

impl Section for Business {
    const NAME: &'static str = "business";
    const PARTS: &'static [&'static str] = &[""];
    const EITHER: &'static [&'static str] = &["decline_user", "decline_channel"];
    const OTHERS: &'static [&'static str] = &[
        "late_success",
        "success_after_decline",
        "refund_fail",
        "refund_closed",
        "payout_return",
        "split_part",
        "share_back",
        "finish_refused",
        "after_ms",
    ];

    fn field(&mut self, name: &str) -> Option<Field<'_>> {
        Some(match name {
            "decline_user" => Field::Share(&mut self.decline_user),
            "decline_channel" => Field::Share(&mut self.decline_channel),
            "late_success" => Field::Share(&mut self.late_success),
            "success_after_decline" => Field::Share(&mut self.success_after_decline),
            "refund_fail" => Field::Share(&mut self.refund_fail),
            "refund_closed" => Field::Share(&mut self.refund_closed),
            "payout_return" => Field::Share(&mut self.payout_return),
            "split_part" => Field::Share(&mut self.split_part),
            "share_back" => Field::Share(&mut self.share_back),
            "finish_refused" => Field::Share(&mut self.finish_refused),
            "after_ms" => Field::Span(&mut self.after),
            _ => return None,
        })
    }
}

/// A section as it holds for each party and part. One that nothing was said about is calm.
pub type Resolved<S> = HashMap<(Party, &'static str), S>;

/// A profile that was read and holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    /// What it is for, in a sentence.
    pub about: String,
    pub seed: u64,
    pub answers: Resolved<Answers>,
    pub notices: Resolved<Notices>,
    pub business: Resolved<Business>,
    pub down: Vec<Down>,
}

impl Profile {
    pub fn answers(&self, party: Party, kind: Kind) -> Answers {
        self.answers.get(&(party, kind.name())).cloned().unwrap_or_default()
    }

    pub fn notices(&self, party: Party, news: News) -> Notices {
        self.notices.get(&(party, news.name())).cloned().unwrap_or_default()
    }

    pub fn business(&self, party: Party) -> Business {
        self.business.get(&(party, "")).cloned().unwrap_or_default()
    }

    /// Whether a party is down so long after the profile began, and how.
    pub fn down(&self, party: Party, after_ms: u64) -> Option<Outage> {
        let now = |down: &&Down| (down.during.from_ms..down.during.to_ms).contains(&after_ms);
        self.down.iter().filter(now).find(|down| down.party.is_none_or(|p| p == party)).map(|down| down.how)
    }
}
