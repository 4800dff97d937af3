//! What may be asked of the ledger beside a plain posting: reversals, holds and floors.

use chrono::{DateTime, NaiveDate, Utc};
use uuid::Uuid;

use super::account::AccountName;
use super::posting::{Metadata, Posted, Posting, PostingKind, posting_id};
use crate::base::id::{AccountId, BookId, HoldId, PostingId};

/// One command. A batch of them is decided in its order and written in one transaction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Command {
    Post(Posting),
    Reverse(Reverse),
    Hold(PlaceHold),
    /// Gives up what is left of a hold.
    Void(ResolveHold),
    /// Gives up what is left of a hold whose time is over.
    Expire(ResolveHold),
    SetFloor(SetFloor),
}

impl Command {
    pub fn book(&self) -> BookId {
        match self {
            Self::Post(c) => c.book,
            Self::Reverse(c) => c.book,
            Self::Hold(c) => c.book,
            Self::Void(c) | Self::Expire(c) => c.book,
            Self::SetFloor(c) => c.book,
        }
    }
}

/// Takes a posting back (冲正), wholly or in part (L9). A reversal cannot be reversed: post what is right instead.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reverse {
    pub book: BookId,
    pub of: PostingId,
    /// The business object that caused the reversal; one causes one.
    pub reference: Uuid,
    pub part: Part,
    pub business_date: NaiveDate,
    pub metadata: Option<Metadata>,
}

impl Reverse {
    /// The id of the posting that the reversal becomes.
    pub fn id(&self) -> PostingId {
        posting_id(PostingKind::Reversal, self.reference)
    }
}

/// How much of a posting is taken back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Part {
    /// All of it: refused when some of it was taken back before.
    Full,
    /// By line number of the posting, each once and in their order: how much, in minor units and greater than zero.
    Lines(Vec<(i16, i64)>),
}

/// Promises money of an account (冻结): it stays there and is no longer available.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PlaceHold {
    pub book: BookId,
    pub hold: HoldId,
    pub account: AccountName,
    /// Minor units, greater than zero.
    pub amount_minor: i64,
    /// The business object it is for.
    pub reference: Uuid,
    pub expires_at: DateTime<Utc>,
}

/// Names a hold that ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ResolveHold {
    pub book: BookId,
    pub hold: HoldId,
}

/// Changes what must stay in an account, under the lock that every posting to it takes. Refused while less than that is available.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SetFloor {
    pub book: BookId,
    pub account: AccountName,
    /// Minor units on the account's own side; negative: a credit line; none: no limit.
    pub floor_minor: Option<i64>,
    /// The decision behind it; one causes one change.
    pub reference: Uuid,
}

/// What a command came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Done {
    Posted(Posted),
    /// The hold as it stands now.
    Hold(HoldState),
    FloorSet,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum HoldState {
    Held,
    /// Used up, or used in part and the rest given up with the last capture.
    Captured,
    Voided,
    Expired,
}

impl HoldState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Held => "HELD",
            Self::Captured => "CAPTURED",
            Self::Voided => "VOIDED",
            Self::Expired => "EXPIRED",
        }
    }
}

/// A hold as it is stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hold {
    pub book: BookId,
    pub id: HoldId,
    pub account: AccountId,
    pub amount_minor: i64,
    pub captured_minor: i64,
    pub state: HoldState,
    pub reference: Uuid,
    pub expires_at: DateTime<Utc>,
    pub resolved_at: Option<DateTime<Utc>>,
}

impl Hold {
    /// What is still promised.
    pub fn left_minor(&self) -> i64 {
        if self.state == HoldState::Held { self.amount_minor - self.captured_minor } else { 0 }
    }
}
