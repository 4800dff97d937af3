//! Makes up commands: few books and accounts, so that they meet, and now and then something unsound, repeated or enormous.

use chrono::{DateTime, Duration, Utc};

use super::random::Random;
use crate::base::id::{BookId, HoldId, PostingId, StoreId};
use crate::base::money::{Currency, Money};
use crate::ledger::account::{AccountKind, AccountName};
use crate::ledger::command::{Command, Part, PlaceHold, ResolveHold, Reverse, SetFloor};
use crate::ledger::posting::{Capture, Leg, Metadata, Posting, PostingKind};

/// How far back commands are repeated.
const REMEMBERED: usize = 120;

/// The accounts of a book that plain postings move.
const ACCOUNTS: [(AccountKind, &str); 8] = [
    (AccountKind::MerchantPending, ""),
    (AccountKind::MerchantAvailable, ""),
    (AccountKind::RefundPayable, ""),
    (AccountKind::ChannelReceivable, "WECHAT"),
    (AccountKind::ChannelReceivable, "ALIPAY"),
    (AccountKind::BankCash, "ICBC"),
    (AccountKind::FeeIncome, ""),
    (AccountKind::PayoutTransit, ""),
];

#[derive(Debug)]
pub(super) struct Generator {
    books: Vec<BookId>,
    /// What was asked lately, accepted or not.
    asked: Vec<Command>,
    postings: Vec<Posting>,
    holds: Vec<PlaceHold>,
}

impl Generator {
    /// The last of the books is not open.
    pub(super) fn new(books: Vec<BookId>) -> Self {
        Self { books, asked: Vec::new(), postings: Vec::new(), holds: Vec::new() }
    }

    pub(super) fn command(&mut self, random: &mut Random, now: DateTime<Utc>) -> Command {
        let command = match random.below(100) {
            0..30 => Command::Post(self.posting(random, now)),
            30..36 => Command::Post(self.enormous(random, now)),
            36..46 => Command::Hold(self.hold(random, now)),
            46..56 => self.capture(random, now),
            56..61 => self.resolve(random, Command::Void),
            61..65 => self.resolve(random, Command::Expire),
            65..76 => self.reverse(random, now),
            76..82 => self.floor(random),
            82..90 => Command::Post(self.transfer_out(random, now)),
            90..95 => self.again(random).unwrap_or_else(|| Command::Post(self.posting(random, now))),
            _ => self.changed(random).unwrap_or_else(|| Command::Post(self.posting(random, now))),
        };
        self.remember(&command);
        command
    }

    /// The second leg of a transfer: the same amount and reference in the other book.
    pub(super) fn transfer_in(out: &Posting, books: &[BookId]) -> Posting {
        let open = &books[..books.len() - 1];
        let from = open.iter().position(|book| *book == out.book).unwrap_or(0);
        let mut arriving = out.clone();
        arriving.book = open[(from + 1) % open.len()];
        arriving.kind = PostingKind::TransferIn;
        for leg in &mut arriving.legs {
            leg.amount.minor = -leg.amount.minor;
        }
        arriving
    }

    fn remember(&mut self, command: &Command) {
        match command {
            // a transfer is never taken back: another one brings the money home
            Command::Post(posting) if posting.kind != PostingKind::TransferOut => self.postings.push(posting.clone()),
            Command::Hold(place) => self.holds.push(place.clone()),
            _ => {}
        }
        self.asked.push(command.clone());
        // the oldest fall out, so that what is repeated is often still under way
        self.asked.drain(..self.asked.len().saturating_sub(REMEMBERED));
        self.postings.drain(..self.postings.len().saturating_sub(REMEMBERED));
        self.holds.drain(..self.holds.len().saturating_sub(REMEMBERED));
    }

    fn book(&self, random: &mut Random) -> BookId {
        // the one that is not open comes seldom
        let open = self.books.len() - 1;
        self.books[if random.chance(2) { open } else { random.place(open) }]
    }

    fn posting(&self, random: &mut Random, now: DateTime<Utc>) -> Posting {
        let mut legs = Vec::new();
        group(random, &mut legs, Currency::Cny);
        if random.chance(15) {
            group(random, &mut legs, Currency::Usd);
        }
        if random.chance(6) {
            spoil(random, &mut legs);
        }
        let kinds = [PostingKind::Payment, PostingKind::Refund, PostingKind::SettlementRelease, PostingKind::WithdrawalHold];
        self.with_legs(random, now, *random.clone().pick(&kinds), legs)
    }

    /// Amounts near the end of what fits, on accounts that may go either way.
    fn enormous(&self, random: &mut Random, now: DateTime<Utc>) -> Posting {
        let amounts = [i64::MAX, i64::MAX - 1, i64::MAX / 2, i64::MAX / 3, i64::MIN + 1, i64::MIN / 2, i64::MIN];
        let minor = *random.pick(&amounts);
        let kinds = [(AccountKind::BankCash, "EDGE"), (AccountKind::FeeIncome, ""), (AccountKind::ChannelReceivable, "EDGE")];
        let first = random.place(kinds.len());
        let leg = |(account, subject): (AccountKind, &str), minor| leg(account, subject, Currency::Usd, minor);
        let mut legs = vec![leg(kinds[first], minor), leg(kinds[(first + 1) % kinds.len()], minor.wrapping_neg())];
        if minor == i64::MIN {
            // it has no opposite, so the rest is on two legs
            legs[1].amount.minor = i64::MAX;
            legs.push(leg(kinds[(first + 2) % kinds.len()], 1));
        }
        self.with_legs(random, now, PostingKind::Payment, legs)
    }

    fn transfer_out(&self, random: &mut Random, now: DateTime<Utc>) -> Posting {
        let minor = random.between(1, 400);
        let legs = vec![
            leg(AccountKind::MerchantAvailable, "", Currency::Cny, minor),
            leg(AccountKind::BooksInTransit, "", Currency::Cny, -minor),
        ];
        self.with_legs(random, now, PostingKind::TransferOut, legs)
    }

    fn with_legs(&self, random: &mut Random, now: DateTime<Utc>, kind: PostingKind, legs: Vec<Leg>) -> Posting {
        let book = self.book(random);
        let store = random.chance(50).then(|| StoreId(random.uuid()));
        let business_date = (now - Duration::days(random.between(0, 3))).date_naive();
        Posting { book, kind, reference: random.uuid(), store, business_date, legs, hold: None, metadata: metadata(random) }
    }

    fn hold(&self, random: &mut Random, now: DateTime<Utc>) -> PlaceHold {
        let (kind, subject) = *random.pick(&ACCOUNTS[..4]);
        let amount_minor = match random.below(20) {
            0 => random.between(-1, 0),
            1 => *random.pick(&[i64::MAX, i64::MAX / 2]),
            _ => random.between(1, 300),
        };
        let account = AccountName { kind, subject: subject.to_owned(), currency: Currency::Cny };
        let expires_at = now + Duration::hours(random.between(0, 60));
        PlaceHold { book: self.book(random), hold: HoldId(random.uuid()), account, amount_minor, reference: random.uuid(), expires_at }
    }

    fn capture(&self, random: &mut Random, now: DateTime<Utc>) -> Command {
        if self.holds.is_empty() {
            return Command::Hold(self.hold(random, now));
        }
        let held = random.pick(&self.holds).clone();
        let part = if random.chance(40) { held.amount_minor } else { random.between(1, held.amount_minor.clamp(1, 400)) };
        let part = if random.chance(8) { part.saturating_add(random.between(1, 50)) } else { part };
        let minor = part.saturating_mul(-i64::from(held.account.kind.side()));
        let mut legs = vec![
            leg(held.account.kind, &held.account.subject, held.account.currency, minor),
            leg(AccountKind::BankCash, "ICBC", held.account.currency, minor.wrapping_neg()),
        ];
        if random.chance(5) {
            // takes nothing from the held account
            legs[0] = leg(AccountKind::FeeIncome, "", held.account.currency, minor);
        }
        let mut posting = self.with_legs(random, now, PostingKind::WithdrawalPaid, legs);
        posting.book = held.book;
        posting.hold = Some(Capture { hold: if random.chance(4) { HoldId(random.uuid()) } else { held.hold }, last: random.chance(30) });
        Command::Post(posting)
    }

    fn resolve(&self, random: &mut Random, as_: fn(ResolveHold) -> Command) -> Command {
        let unknown = (self.book(random), HoldId(random.uuid()));
        let (book, hold) = match self.holds.is_empty() || random.chance(5) {
            true => unknown,
            false => {
                let held = random.pick(&self.holds);
                (held.book, held.hold)
            }
        };
        as_(ResolveHold { book, hold })
    }

    fn reverse(&self, random: &mut Random, now: DateTime<Utc>) -> Command {
        let (reference, metadata) = (random.uuid(), metadata(random));
        let business_date = now.date_naive();
        let reversal = |of: &Command| match of {
            Command::Reverse(reverse) => Some((reverse.book, reverse.id())),
            _ => None,
        };
        // now and then what is no posting at all, or is a reversal itself
        let other = match random.below(30) {
            0 => Some((self.book(random), PostingId(random.uuid()))),
            1 => self.asked.iter().rev().find_map(reversal),
            _ => None,
        };
        let of = (!self.postings.is_empty()).then(|| random.pick(&self.postings).clone());
        let (book, of, legs) = match (other, of) {
            (None, Some(posting)) => (posting.book, posting.id(), posting.legs),
            (other, _) => {
                let (book, of) = other.unwrap_or((self.books[0], PostingId(random.uuid())));
                (book, of, Vec::new())
            }
        };
        let part = if legs.len() < 2 || random.chance(40) { Part::Full } else { parts(random, &legs) };
        Command::Reverse(Reverse { book, of, reference, part, business_date, metadata })
    }

    fn floor(&self, random: &mut Random) -> Command {
        let (kind, subject) = *random.pick(&ACCOUNTS);
        let account = AccountName { kind, subject: subject.to_owned(), currency: Currency::Cny };
        let floor_minor = match random.below(12) {
            0 | 1 => None,
            2 => Some(*random.pick(&[i64::MAX, i64::MIN, i64::MAX / 4, -(i64::MAX / 4) - 1])),
            3..6 => Some(random.between(-1, 1)),
            _ => Some(random.between(-500, 200)),
        };
        Command::SetFloor(SetFloor { book: self.book(random), account, floor_minor, reference: random.uuid() })
    }

    /// The same command again.
    fn again(&self, random: &mut Random) -> Option<Command> {
        (!self.asked.is_empty()).then(|| random.pick(&self.asked).clone())
    }

    /// Another command under the same name.
    fn changed(&self, random: &mut Random) -> Option<Command> {
        let mut command = self.again(random)?;
        match &mut command {
            Command::Post(posting) => match random.below(5) {
                0 => posting.store = Some(StoreId(random.uuid())),
                1 => posting.business_date = posting.business_date.succ_opt()?,
                2 => posting.metadata = Metadata::new(&serde_json::json!({ "changed": random.next() })).ok(),
                3 => posting.legs.iter_mut().for_each(|leg| leg.amount.minor = leg.amount.minor.wrapping_add(leg.amount.minor.signum())),
                _ => posting.legs.reverse(),
            },
            Command::Reverse(reverse) => match (random.below(3), &mut reverse.part) {
                (0, _) => reverse.business_date = reverse.business_date.succ_opt()?,
                (1, _) => reverse.of = self.postings.last()?.id(),
                (_, Part::Lines(lines)) => lines.iter_mut().for_each(|line| line.1 = line.1.wrapping_add(1)),
                (_, part @ Part::Full) => *part = Part::Lines(vec![(1, random.between(1, 9)), (2, random.between(1, 9))]),
            },
            Command::Hold(place) => match random.below(4) {
                0 => place.amount_minor = place.amount_minor.wrapping_add(1),
                1 => place.reference = random.uuid(),
                2 => place.expires_at += Duration::hours(1),
                _ => place.account.kind = ACCOUNTS[random.place(4)].0,
            },
            Command::SetFloor(set) => set.floor_minor = Some(random.between(-9, 9)),
            Command::Void(_) | Command::Expire(_) => {}
        }
        Some(command)
    }
}

fn leg(account: AccountKind, subject: &str, currency: Currency, minor: i64) -> Leg {
    Leg { account, subject: subject.to_owned(), amount: Money { minor, currency } }
}

/// Two to five legs of one currency that sum to zero.
fn group(random: &mut Random, legs: &mut Vec<Leg>, currency: Currency) {
    let mut sum = 0;
    for _ in 0..=random.below(3) {
        let (kind, subject) = *random.pick(&ACCOUNTS);
        // mostly filling what has a floor, so that there is something to take
        let fills = kind.floor().is_some() && random.chance(60);
        let minor = random.between(1, 500) * if fills || random.chance(40) { -1 } else { 1 };
        sum += minor;
        legs.push(leg(kind, subject, currency, minor));
    }
    let (kind, subject) = ACCOUNTS[3 + random.place(4)];
    legs.push(leg(kind, subject, currency, -sum));
}

/// Makes legs unsound.
fn spoil(random: &mut Random, legs: &mut Vec<Leg>) {
    let at = random.place(legs.len());
    match random.below(4) {
        0 => legs[at].amount.minor = legs[at].amount.minor.wrapping_add(1),
        1 => legs[at].amount.minor = 0,
        2 => legs.truncate(1),
        _ => *legs = (0..102).map(|n| leg(AccountKind::BankCash, "ICBC", Currency::Cny, if n % 2 == 0 { 1 } else { -1 })).collect(),
    }
}

/// Some lines of a posting in part: mostly two that cancel each other.
fn parts(random: &mut Random, legs: &[Leg]) -> Part {
    let lines: Vec<(i16, i64)> = (1..).zip(legs.iter().map(|leg| leg.amount.minor)).collect();
    let (first, opposite) = (lines[random.place(lines.len())], |of: i64| lines.iter().find(|line| line.1.signum() == -of.signum()));
    let Some(&second) = opposite(first.1) else { return Part::Full };
    let least = first.1.saturating_abs().min(second.1.saturating_abs()).max(1);
    let minor = if random.chance(30) { least } else { random.between(1, least) };
    let mut parts = vec![(first.0, minor), (second.0, minor)];
    parts.sort_unstable();
    match random.below(12) {
        0 => parts.reverse(),
        1 => parts[0].1 = random.between(-1, 0),
        2 => parts[1].0 += 7,
        3 => parts[0].1 = parts[0].1.saturating_add(1),
        4 => drop(parts.pop()),
        _ => {}
    }
    Part::Lines(parts)
}

fn metadata(random: &mut Random) -> Option<Metadata> {
    if random.chance(90) {
        return None;
    }
    Metadata::new(&serde_json::json!({ "note": random.below(1_000) })).ok()
}
