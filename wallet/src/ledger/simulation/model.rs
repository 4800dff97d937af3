//! The naive model: a list of facts, folded from its beginning for every question. It shares no code with the rules.

use chrono::{DateTime, Days, NaiveDate, Utc};
use uuid::Uuid;

use crate::base::id::{BookId, HoldId, PostingId};
use crate::base::money::{Currency, Money};
use crate::ledger::account::AccountName;
use crate::ledger::command::{Command, Done, HoldState, Part, PlaceHold, Reverse, SetFloor};
use crate::ledger::error::Rejection;
use crate::ledger::posting::{Posted, Posting, PostingKind};

/// A signed movement of an account, by its line.
pub(super) type Line = (i16, AccountName, i64);

/// Something that was accepted.
#[derive(Clone, Debug)]
pub(super) enum Fact {
    /// A posting, with what it was asked to be, and the day it must have been booked on.
    Posted {
        book: BookId,
        id: PostingId,
        asked: Asked,
        lines: Vec<Line>,
        booked_on: NaiveDate,
    },
    Promised(PlaceHold),
    /// A hold gave up what was left of it.
    Ended {
        book: BookId,
        hold: HoldId,
        state: HoldState,
    },
    Floored(SetFloor),
    Closed {
        book: BookId,
        day: NaiveDate,
    },
}

/// What makes a posting the same as another under its name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Asked {
    Post(Posting),
    /// A reversal of the whole is the same as one of all lines: what counts is what it takes back.
    Reverse {
        of: PostingId,
        reference: Uuid,
        business_date: NaiveDate,
        metadata: Option<String>,
        lines: Vec<Line>,
    },
}

/// What a command must come to: accepted with this answer, or rejected for one of these reasons.
#[derive(Clone, Debug)]
pub(super) enum Verdict {
    Accept(Done, Vec<Fact>),
    Reject(Vec<Rejection>),
}

#[derive(Clone, Debug, Default)]
pub(super) struct Model {
    pub(super) books: Vec<BookId>,
    pub(super) facts: Vec<Fact>,
}

/// A hold as the facts leave it.
struct Promise<'a> {
    asked: &'a PlaceHold,
    captured: i128,
    state: HoldState,
}

impl Promise<'_> {
    fn left(&self) -> i128 {
        if self.state == HoldState::Held { i128::from(self.asked.amount_minor) - self.captured } else { 0 }
    }
}

impl Model {
    /// What the command must come to now. `day` and `now` are what its batch was given.
    pub(super) fn verdict(&self, command: &Command, day: NaiveDate, now: DateTime<Utc>) -> Verdict {
        match command {
            Command::Post(posting) => self.post(posting, day),
            Command::Reverse(reverse) => self.reverse(reverse, day),
            Command::Hold(place) => self.hold(place),
            Command::Void(resolve) => self.end(resolve.book, resolve.hold, HoldState::Voided, now),
            Command::Expire(resolve) => self.end(resolve.book, resolve.hold, HoldState::Expired, now),
            Command::SetFloor(set) => self.floor(set),
        }
    }

    fn post(&self, posting: &Posting, day: NaiveDate) -> Verdict {
        let (book, id) = (posting.book, posting.id());
        let asked = Asked::Post(posting.clone());
        if let Some(verdict) = self.posted_before(book, id, &asked) {
            return verdict;
        }
        let lines: Vec<Line> =
            (1..).zip(posting.legs.iter().map(|leg| (leg.name(), leg.amount.minor))).map(|(n, (a, m))| (n, a, m)).collect();
        let mut reasons = Vec::new();
        if lines.len() < 2 || lines.len() > 100 || lines.iter().any(|l| l.2 == 0) || !sums_to_zero(&lines) {
            reasons.push(Rejection::Unbalanced);
        }
        let mut freed = None;
        let mut ended = None;
        if let Some(capture) = posting.hold {
            match self.promise(book, capture.hold) {
                None => reasons.push(Rejection::HoldMissing),
                Some(hold) if hold.state != HoldState::Held => reasons.push(Rejection::HoldResolved),
                Some(hold) => {
                    let account = &hold.asked.account;
                    let taken: i128 = -lines.iter().filter(|l| l.1 == *account).map(|l| i128::from(l.2)).sum::<i128>() * side(account);
                    if taken < 1 || taken > hold.left() {
                        let left_minor = i64::try_from(hold.left()).expect("a hold fits");
                        reasons.push(Rejection::CaptureExceedsHold { left_minor });
                    } else {
                        freed = Some((account.clone(), if capture.last { hold.left() } else { taken }));
                        if capture.last || taken == hold.left() {
                            ended = Some(Fact::Ended { book, hold: capture.hold, state: HoldState::Captured });
                        }
                    }
                }
            }
        }
        if reasons.is_empty()
            && let Err(reason) = self.movable(book, &lines, freed)
        {
            reasons.push(reason);
        }
        if !reasons.is_empty() {
            return Verdict::Reject(reasons);
        }
        let mut facts = vec![Fact::Posted { book, id, asked, lines, booked_on: self.booking_day(book, day) }];
        facts.extend(ended);
        Verdict::Accept(Done::Posted(Posted { posting: id, replayed: false }), facts)
    }

    fn reverse(&self, reverse: &Reverse, day: NaiveDate) -> Verdict {
        let (book, id) = (reverse.book, PostingKind::Reversal.id_for(reverse.reference));
        let used = self.posting(book, id).is_some();
        let Some(original) = self.posting(book, reverse.of) else {
            // nothing is known of what it would take back, so it cannot be the same as what was made under its name
            let mut reasons = vec![Rejection::PostingMissing];
            reasons.extend(used.then_some(Rejection::ReferenceReused));
            return Verdict::Reject(reasons);
        };
        let mut reasons = Vec::new();
        let lines: Vec<Line> = match &reverse.part {
            Part::Full => {
                // the least number has no opposite
                reasons.extend(original.1.iter().any(|l| l.2 == i64::MIN).then_some(Rejection::Overflow));
                original.1.iter().map(|(n, account, minor)| (*n, account.clone(), minor.wrapping_neg())).collect()
            }
            Part::Lines(parts) => {
                if parts.len() < 2 || parts.windows(2).any(|two| two[0].0 >= two[1].0) {
                    reasons.push(Rejection::Unbalanced);
                }
                if parts.iter().any(|part| part.1 < 1) {
                    reasons.push(Rejection::NotPositive);
                }
                let of_line = |n: i16| original.1.iter().find(|l| l.0 == n);
                if parts.iter().any(|part| of_line(part.0).is_none()) {
                    reasons.push(Rejection::ReversalExceedsEntry);
                }
                let part =
                    |(n, minor): &(i16, i64)| of_line(*n).map(|l| (*n, l.1.clone(), if l.2 > 0 { minor.wrapping_neg() } else { *minor }));
                parts.iter().filter_map(part).collect()
            }
        };
        let metadata = reverse.metadata.as_ref().map(|m| m.as_str().to_owned());
        let asked = Asked::Reverse {
            of: reverse.of,
            reference: reverse.reference,
            business_date: reverse.business_date,
            metadata,
            lines: lines.clone(),
        };
        // what cannot be made is not the same as what was made
        if used && !reasons.is_empty() {
            return Verdict::Reject(vec![Rejection::ReferenceReused]);
        }
        if let Some(verdict) = self.posted_before(book, id, &asked) {
            return verdict;
        }
        if matches!(original.0, Asked::Reverse { .. }) {
            reasons.push(Rejection::ReversalOfReversal);
        }
        for line in &lines {
            let taken_back = self.taken_back(book, reverse.of, line.0);
            let whole = original.1.iter().find(|l| l.0 == line.0).map_or(0, |l| i128::from(l.2).abs());
            let all_or_nothing = reverse.part == Part::Full && taken_back != 0;
            if all_or_nothing || taken_back + i128::from(line.2).abs() > whole {
                reasons.push(Rejection::ReversalExceedsEntry);
            }
        }
        if !sums_to_zero(&lines) {
            reasons.push(Rejection::Unbalanced);
        }
        if reasons.is_empty()
            && let Err(reason) = self.movable(book, &lines, None)
        {
            reasons.push(reason);
        }
        if !reasons.is_empty() {
            return Verdict::Reject(reasons);
        }
        let fact = Fact::Posted { book, id, asked, lines, booked_on: self.booking_day(book, day) };
        Verdict::Accept(Done::Posted(Posted { posting: id, replayed: false }), vec![fact])
    }

    fn hold(&self, place: &PlaceHold) -> Verdict {
        if let Some(made) = self.promise(place.book, place.hold) {
            return if made.asked == place {
                Verdict::Accept(Done::Hold(made.state), Vec::new())
            } else {
                Verdict::Reject(vec![Rejection::ReferenceReused])
            };
        }
        let mut reasons = Vec::new();
        if place.amount_minor < 1 {
            reasons.push(Rejection::NotPositive);
        }
        if !self.books.contains(&place.book) {
            reasons.push(Rejection::AccountMissing);
        } else {
            let free = self.available(place.book, &place.account, 0, 0);
            if free.is_some_and(|free| free < i128::from(place.amount_minor)) {
                reasons.push(Rejection::AmountExceedsBalance { account: place.account.kind, available: shown(free, &place.account) });
            }
            if i64::try_from(self.held(place.book, &place.account) + i128::from(place.amount_minor)).is_err() {
                reasons.push(Rejection::Overflow);
            }
        }
        if reasons.is_empty() {
            Verdict::Accept(Done::Hold(HoldState::Held), vec![Fact::Promised(place.clone())])
        } else {
            Verdict::Reject(reasons)
        }
    }

    fn end(&self, book: BookId, hold: HoldId, state: HoldState, now: DateTime<Utc>) -> Verdict {
        match self.promise(book, hold) {
            None => Verdict::Reject(vec![Rejection::HoldMissing]),
            Some(made) if made.state == state => Verdict::Accept(Done::Hold(state), Vec::new()),
            Some(made) if made.state != HoldState::Held => Verdict::Reject(vec![Rejection::HoldResolved]),
            Some(made) if state == HoldState::Expired && made.asked.expires_at > now => Verdict::Reject(vec![Rejection::HoldNotDue]),
            Some(_) => Verdict::Accept(Done::Hold(state), vec![Fact::Ended { book, hold, state }]),
        }
    }

    fn floor(&self, set: &SetFloor) -> Verdict {
        for fact in &self.facts {
            if let Fact::Floored(made) = fact
                && (made.book, made.reference) == (set.book, set.reference)
            {
                return if made == set {
                    Verdict::Accept(Done::FloorSet, Vec::new())
                } else {
                    Verdict::Reject(vec![Rejection::ReferenceReused])
                };
            }
        }
        let mut reasons = Vec::new();
        if set.floor_minor.is_some_and(|floor| i128::from(floor).abs() > i128::from(i64::MAX / 4)) {
            reasons.push(Rejection::Overflow);
        }
        if !self.books.contains(&set.book) {
            reasons.push(Rejection::AccountMissing);
        } else if let Some(floor) = set.floor_minor {
            let free = self.balance(set.book, &set.account) * side(&set.account) - self.held(set.book, &set.account);
            if free < i128::from(floor) {
                reasons.push(Rejection::FloorAboveAvailable { available: shown(Some(free), &set.account) });
            }
        }
        if reasons.is_empty() { Verdict::Accept(Done::FloorSet, vec![Fact::Floored(set.clone())]) } else { Verdict::Reject(reasons) }
    }

    /// Whether the lines may move one after the other, `freed` being no longer promised.
    fn movable(&self, book: BookId, lines: &[Line], freed: Option<(AccountName, i128)>) -> Result<(), Rejection> {
        if !self.books.contains(&book) {
            return Err(Rejection::AccountMissing);
        }
        for (at, (_, account, minor)) in lines.iter().enumerate() {
            let earlier: i128 = lines[..at].iter().filter(|l| l.1 == *account).map(|l| i128::from(l.2)).sum();
            let after = self.balance(book, account) + earlier + i128::from(*minor);
            if after > i128::from(i64::MAX) || after <= i128::from(i64::MIN) {
                return Err(Rejection::Overflow);
            }
            let freed = freed.as_ref().filter(|freed| freed.0 == *account).map_or(0, |freed| freed.1);
            let takes = -i128::from(*minor) * side(account);
            let free = self.available(book, account, earlier, freed);
            if takes > 0 && free.is_some_and(|free| takes > free) {
                return Err(Rejection::AmountExceedsBalance { account: account.kind, available: shown(free, account) });
            }
        }
        Ok(())
    }

    fn posted_before(&self, book: BookId, id: PostingId, asked: &Asked) -> Option<Verdict> {
        let (made, _) = self.posting(book, id)?;
        Some(Verdict::Reject(vec![if made == asked { Rejection::AlreadyPosted } else { Rejection::ReferenceReused }]))
    }

    pub(super) fn posting(&self, book: BookId, id: PostingId) -> Option<(&Asked, &[Line])> {
        self.facts.iter().find_map(|fact| match fact {
            Fact::Posted { book: b, id: i, asked, lines, .. } if (*b, *i) == (book, id) => Some((asked, lines.as_slice())),
            _ => None,
        })
    }

    pub(super) fn knows_hold(&self, book: BookId, hold: HoldId) -> bool {
        self.promise(book, hold).is_some()
    }

    fn promise(&self, book: BookId, hold: HoldId) -> Option<Promise<'_>> {
        let mut found: Option<Promise<'_>> = None;
        for fact in &self.facts {
            match (fact, &mut found) {
                (Fact::Promised(asked), None) if (asked.book, asked.hold) == (book, hold) => {
                    found = Some(Promise { asked, captured: 0, state: HoldState::Held });
                }
                (Fact::Posted { book: b, asked: Asked::Post(posting), lines, .. }, Some(promise))
                    if *b == book && posting.hold.is_some_and(|capture| capture.hold == hold) =>
                {
                    let account = &promise.asked.account;
                    promise.captured -= lines.iter().filter(|l| l.1 == *account).map(|l| i128::from(l.2)).sum::<i128>() * side(account);
                }
                (Fact::Ended { book: b, hold: h, state }, Some(promise)) if (*b, *h) == (book, hold) => promise.state = *state,
                _ => {}
            }
        }
        found
    }

    pub(super) fn balance(&self, book: BookId, account: &AccountName) -> i128 {
        let mut sum = 0;
        for fact in &self.facts {
            if let Fact::Posted { book: b, lines, .. } = fact
                && *b == book
            {
                sum += lines.iter().filter(|l| l.1 == *account).map(|l| i128::from(l.2)).sum::<i128>();
            }
        }
        sum
    }

    pub(super) fn held(&self, book: BookId, account: &AccountName) -> i128 {
        let promised = self.facts.iter().filter_map(|fact| match fact {
            Fact::Promised(asked) if asked.book == book && asked.account == *account => self.promise(book, asked.hold),
            _ => None,
        });
        promised.map(|promise| promise.left()).sum()
    }

    pub(super) fn floor_of(&self, book: BookId, account: &AccountName) -> Option<i64> {
        let set = self.facts.iter().rev().find_map(|fact| match fact {
            Fact::Floored(set) if set.book == book && set.account == *account => Some(set.floor_minor),
            _ => None,
        });
        set.unwrap_or_else(|| account.kind.floor())
    }

    /// What may still be taken; none: any amount.
    fn available(&self, book: BookId, account: &AccountName, moved: i128, freed: i128) -> Option<i128> {
        let floor = i128::from(self.floor_of(book, account)?);
        Some((self.balance(book, account) + moved) * side(account) - (self.held(book, account) - freed) - floor)
    }

    /// How much of a line was taken back, without its sign.
    fn taken_back(&self, book: BookId, of: PostingId, line: i16) -> i128 {
        let mut sum = 0;
        for fact in &self.facts {
            if let Fact::Posted { book: b, asked: Asked::Reverse { of: o, .. }, lines, .. } = fact
                && (*b, *o) == (book, of)
            {
                sum += lines.iter().filter(|l| l.0 == line).map(|l| i128::from(l.2).abs()).sum::<i128>();
            }
        }
        sum
    }

    pub(super) fn closed_day(&self, book: BookId) -> Option<NaiveDate> {
        let closed = self.facts.iter().filter_map(|fact| match fact {
            Fact::Closed { book: b, day } if *b == book => Some(*day),
            _ => None,
        });
        closed.max()
    }

    fn booking_day(&self, book: BookId, day: NaiveDate) -> NaiveDate {
        match self.closed_day(book) {
            Some(closed) if closed >= day => closed + Days::new(1),
            _ => day,
        }
    }
}

fn side(account: &AccountName) -> i128 {
    i128::from(account.kind.side())
}

fn sums_to_zero(lines: &[Line]) -> bool {
    let sum = |currency: Currency| lines.iter().filter(|l| l.1.currency == currency).map(|l| i128::from(l.2)).sum::<i128>();
    [Currency::Cny, Currency::Hkd, Currency::Usd].into_iter().all(|currency| sum(currency) == 0)
}

/// What people are told of an amount that may not fit.
fn shown(free: Option<i128>, account: &AccountName) -> Money {
    let free = free.unwrap_or(i128::MAX).max(0);
    Money { minor: i64::try_from(free).unwrap_or(i64::MAX), currency: account.currency }
}
