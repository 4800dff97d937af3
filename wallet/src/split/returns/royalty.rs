//! Shares that a channel takes back with the refund alone (退分账), and not otherwise.
//!
//! Each receiver below such a share sets its own part aside; then the refund is funded by what the merchant gives and, for the rest, by what
//! the channel will take back; then it is sent with the shares in it, and asked which of them came back. Those move in the ledger, bottom-up,
//! to where the refund took them from. What the channel left with a receiver stays with all below it, and the merchant gives it: the channel
//! has taken it from the merchant's account there.
//!
//! | a process dies | what is left | who goes on |
//! |---|---|---|
//! | before a part is set aside, or HELD | a WAIT part, its posting made or not | the return's job sets it aside again, once |
//! | before the refund is funded | HELD parts | the refund's job |
//! | after it was funded | the request with its shares, under the refund's number | the refund's jobs send it; it says the same each time |
//! | after the refund succeeded, before its shares are learnt | an open request | the return's job asks |
//! | after its word was stored | HELD parts whose shares have their outcome | the return's job moves them, or gives them up |
//! | after a part was given up | a FAILED part of an open return | the return's job gives back what was set aside, and has the merchant give it |

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::{Giver, repo, return_event};
use crate::base::clock::business_day;
use crate::base::db::retrying;
use crate::base::id::{AttemptId, BookId, MerchantId, OrderId, RefundId, SplitLineId, SplitReturnId};
use crate::base::money::Money;
use crate::base::outbox;
use crate::book::collect::{self, Reach};
use crate::book::transfer;
use crate::channel::ChannelError;
use crate::channel::divider::{RefundAsked, Share, ShareOutcome, ShareWord};
use crate::ledger::{self, AccountKind, Rejection, recipe};
use crate::order::{self, Order};
use crate::split::account::DISCONNECTED_PAUSE;
use crate::split::call::rules::{Verdict, take_in};
use crate::split::line::repo::{lines_in_tx, update_lines_in_tx};
use crate::split::run::lock_in_tx;
use crate::split::state::{PartStatus, of_returns, root};
use crate::split::{
    Call, CallKind, CallShare, Line, Part, Return, ShareResult, Slice, SplitError, Splits, Upstream, bucket, call, line_event,
};

/// How long to wait while the refund is under way, and where the merchant has too little to give what was left with receivers.
pub(super) const REFUND_PAUSE: Duration = Duration::from_secs(1);
const SHORT_PAUSE: Duration = Duration::from_secs(30);

/// Kept with a part whose refund was refused or cancelled.
pub const REFUND_CAME_TO_NOTHING: &str = "REFUND_CAME_TO_NOTHING";
/// Kept with a part whose refund is paid by the bank.
pub const REFUND_LEFT_CHANNEL: &str = "REFUND_LEFT_CHANNEL";
/// Kept with a part whose refund did not wait for it.
pub const REFUND_WENT_AHEAD: &str = "REFUND_WENT_AHEAD";

/// The refund that takes shares back, as far as it matters to them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Taker {
    pub funded: bool,
    /// It goes another way than through the channel.
    pub left: bool,
    pub succeeded: bool,
}

/// What is to become of a part that has not moved.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fate {
    /// Its receiver sets it aside, or has done so.
    Hold,
    /// The refund has not ended, or has not been asked about.
    Stay,
    /// It is back at the channel.
    Come,
    /// Its receiver keeps it.
    GiveUp(String),
}

/// What becomes of a part, by its refund and the channel's word on its share. No taker: the refund came to nothing.
fn fate(taker: Option<Taker>, share: Option<&CallShare>) -> Fate {
    let give_up = |code: &str| Fate::GiveUp(code.to_owned());
    match (taker, share) {
        (_, Some(CallShare { outcome: Some(ShareResult::Succeeded), .. })) => Fate::Come,
        (None, _) => give_up(REFUND_CAME_TO_NOTHING),
        (Some(Taker { left: true, .. }), _) => give_up(REFUND_LEFT_CHANNEL),
        (Some(Taker { funded: false, .. }), _) => Fate::Hold,
        (_, None) => give_up(REFUND_WENT_AHEAD),
        (_, Some(CallShare { outcome: Some(ShareResult::Failed), error_code, .. })) => give_up(error_code.as_deref().unwrap_or_default()),
        (_, Some(CallShare { outcome: None, .. })) => Fate::Stay,
    }
}

/// What the channel's word on the accounts says of their shares. None: it is about others, or says too little, and proves nothing.
fn judge(shares: &[CallShare], words: &[ShareWord]) -> Option<Verdict> {
    let asked = by_account(shares.iter().map(|share| (share.account.as_str(), share.amount_minor)));
    let stated = by_account(words.iter().map(|word| (word.share.account.as_str(), word.share.amount_minor)));
    if asked != stated || words.len() != stated.len() {
        return None;
    }
    let (mut told, mut finished) = (Vec::new(), true);
    for share in shares {
        match &words.iter().find(|word| word.share.account == share.account)?.outcome {
            ShareOutcome::Pending => finished = false,
            ShareOutcome::Succeeded => told.push((share.line, Ok(()))),
            ShareOutcome::Failed { code } => told.push((share.line, Err(code.clone()))),
        }
    }
    Some(Verdict::Told { finished, shares: told })
}

fn by_account<'a>(amounts: impl Iterator<Item = (&'a str, i64)>) -> BTreeMap<&'a str, i64> {
    amounts.fold(BTreeMap::new(), |mut sums, (account, minor)| {
        *sums.entry(account).or_default() += minor;
        sums
    })
}

/// The parts of a return that a refund takes back, and what is to become of them.
#[derive(Debug)]
pub(super) struct Royalties {
    taker: Option<Taker>,
    call: Option<Call>,
    fates: Vec<(Uuid, Fate)>,
}

impl Royalties {
    /// None: the part comes back by itself.
    pub(super) fn of(&self, part: &Part) -> Option<&Fate> {
        self.fates.iter().find(|(id, _)| *id == part.id).map(|(_, fate)| fate)
    }

    /// The request whose outcome can be asked for.
    pub(super) fn unlearnt(&self) -> Option<&Call> {
        let over = self.taker.is_some_and(|taker| taker.succeeded && !taker.left);
        self.call.as_ref().filter(|call| over && call.status.open())
    }

    /// Gives up the parts that do not come back: their receivers' lines are as before, and what the refund takes is the merchant's own.
    pub(super) async fn give_up_in_tx(
        &self,
        tx: &mut PgConnection,
        (book, back): (BookId, SplitReturnId),
        lines: &mut [Line],
        parts: &mut [Part],
        now: DateTime<Utc>,
    ) -> Result<(), SplitError> {
        let (mut changed, mut given_up, mut own_minor) = (Vec::new(), Vec::new(), 0);
        for part in parts.iter_mut().filter(|part| matches!(part.status, PartStatus::Wait | PartStatus::Held)) {
            let Some(Fate::GiveUp(code)) = self.of(part) else { continue };
            let line = lines.iter_mut().find(|line| line.id == part.line).ok_or(SplitError::Changed)?;
            changed.push((line.id, line.status));
            line.returning_minor -= part.amount_minor;
            line.status = of_returns(line);
            if line.parent.is_none() {
                own_minor += part.amount_minor;
            }
            (part.status, part.error_code) = (PartStatus::Failed, Some(code.clone()));
            given_up.push(part.clone());
        }
        if given_up.is_empty() {
            return Ok(());
        }
        if let Some(call) = self.call.as_ref().filter(|call| call.status.open()) {
            // the refund came to nothing, or went another way
            let (mut call, from) = (call.clone(), call.status);
            let code = if self.taker.is_none() { REFUND_CAME_TO_NOTHING } else { REFUND_LEFT_CHANNEL };
            take_in(&mut call, &Verdict::Refused(code.to_owned()), now);
            if !call::repo::update_in_tx(tx, &call, from).await? {
                return Err(SplitError::Changed);
            }
        }
        let from = |line: &Line| changed.iter().find(|(id, _)| *id == line.id).map(|(_, from)| *from);
        let changed: Vec<_> = lines.iter().filter_map(|line| Some((line, from(line)?))).collect();
        let unchanged = update_lines_in_tx(tx, &changed).await?
            && repo::give_up_parts_in_tx(tx, book, &given_up).await?
            && repo::add_own_in_tx(tx, book, back, own_minor).await?;
        if !unchanged {
            return Err(SplitError::Changed);
        }
        let events: Vec<_> = changed.iter().map(|(line, _)| line_event("split.line_kept", line, now)).collect();
        outbox::append_in_tx(tx, &events).await?;
        Ok(())
    }
}

/// Takes into a refund that is about to be funded what receivers have set aside for it, and stores the request that goes with it: the shares
/// whose receivers, and all below them, have theirs ready. Gives their sum. The order is locked.
pub async fn open_royalties_in_tx(
    tx: &mut PgConnection,
    order: &Order,
    (refund, attempt): (RefundId, AttemptId),
    now: DateTime<Utc>,
) -> Result<Money, SplitError> {
    let book = order.merchant.book();
    let none = Money { minor: 0, ..order.amount };
    let Some(split) = crate::split::repo::lock_in_tx(tx, book, order.id).await? else { return Ok(none) };
    let returns = repo::returns_of(&mut *tx, book, order.id).await?;
    let Some(back) = returns.iter().find(|back| back.reference == refund.0) else { return Ok(none) };
    let parts = repo::parts_in_tx(tx, book, back.id).await?;
    if parts.iter().all(|part| part.status != PartStatus::Held) {
        return Ok(none);
    }
    let lines = lines_in_tx(tx, book, order.id).await?;
    let calls = call::repo::of_order(tx, book, order.id).await?;
    let slices = crate::split::repo::slices_in_tx(tx, book, order.id).await?;
    let slice = slices.iter().find(|slice| slice.attempt == attempt).and_then(|slice| slice.upstream.as_ref());
    let upstream: &Upstream = slice.ok_or(SplitError::Changed)?;
    let below = |top: SplitLineId| parts.iter().filter(|p| root(p.line, &lines).is_some_and(|line| line.id == top)).collect::<Vec<_>>();
    let mut shares = Vec::new();
    for line in lines.iter().filter(|line| line.parent.is_none() && line.attempt == attempt) {
        let Some(part) = parts.iter().find(|part| part.line == line.id) else { continue };
        if below(line.id).iter().any(|part| part.status != PartStatus::Held) {
            continue;
        }
        let division = calls.iter().find(|call| Some(call.id) == line.call).ok_or(SplitError::Changed)?;
        let given = division.shares.iter().find(|share| share.line == line.id).ok_or(SplitError::Changed)?;
        shares.push(CallShare { amount_minor: part.amount_minor, outcome: None, error_code: None, ..given.clone() });
    }
    let sum = Money { minor: shares.iter().map(|share| share.amount_minor).sum(), ..order.amount };
    if sum.minor > 0 {
        let id = crate::base::id::SplitCallId(refund.0);
        let call = Call { id, part: Some(back.id.0), shares, ..Call::new(&split, attempt, upstream, CallKind::Refund, now) };
        call::repo::insert_in_tx(tx, std::slice::from_ref(&call)).await?;
    }
    Ok(sum)
}

/// What goes with a refund: the shares it takes back, one per account, the same each time.
pub async fn royalties_of_refund(db: &PgPool, merchant: MerchantId, refund: RefundId) -> sqlx::Result<Vec<Share>> {
    repo::shares_of_refund(db, merchant.book(), refund).await
}

impl Splits {
    /// What is to become of the parts of a return that a refund takes back. None: a channel is not connected, so nobody knows which those are.
    pub(super) async fn royalties_in_tx(
        &self,
        tx: &mut PgConnection,
        (book, order, back): (BookId, OrderId, SplitReturnId),
        slices: &[Slice],
        lines: &[Line],
        parts: &[Part],
    ) -> Result<Option<Royalties>, SplitError> {
        let mut royal = Vec::new();
        for part in parts {
            let Some(top) = root(part.line, lines).filter(|top| top.call.is_some()) else { continue };
            let slice = slices.iter().find(|slice| slice.attempt == top.attempt);
            let Some(upstream) = slice.and_then(|slice| slice.upstream.as_ref()) else { continue };
            match self.channels.divider(&upstream.channel) {
                Some(divider) if divider.caps().returns => {}
                Some(_) => royal.push((part.id, top.id)),
                None if part.status.ended() => {}
                None => return Ok(None),
            }
        }
        if royal.is_empty() {
            return Ok(Some(Royalties { taker: None, call: None, fates: Vec::new() }));
        }
        let taker = repo::taker_in_tx(tx, book, back).await?;
        let calls = call::repo::of_order(tx, book, order).await?;
        let call = calls.into_iter().find(|call| call.kind == CallKind::Refund && call.part == Some(back.0));
        let share = |top: SplitLineId| call.as_ref().and_then(|call| call.shares.iter().find(|share| share.line == top));
        let fates = royal.into_iter().map(|(part, top)| (part, fate(taker, share(top)))).collect();
        Ok(Some(Royalties { taker, call, fates }))
    }

    /// Marks parts whose receivers have set them aside. What was given up meanwhile is given back to them.
    pub(super) async fn mark_held(&self, book: BookId, order: OrderId, back: SplitReturnId, held: &[&Giver]) -> Result<(), SplitError> {
        if held.is_empty() {
            return Ok(());
        }
        let late: Vec<Uuid> = retrying(SplitError::retryable, || async {
            let now = self.clock.now();
            let mut tx = self.db.begin().await?;
            lock_in_tx(&mut tx, book, order).await?;
            let parts = repo::parts_in_tx(&mut tx, book, back).await?;
            let of = |status| {
                let is = |part: &&Part| part.status == status && held.iter().any(|giver| giver.part == part.id);
                parts.iter().filter(is).map(|part| part.id).collect::<Vec<_>>()
            };
            if !repo::move_parts_in_tx(&mut tx, book, &of(PartStatus::Wait), (PartStatus::Wait, PartStatus::Held), now).await? {
                return Err(SplitError::Changed);
            }
            tx.commit().await?;
            Ok(of(PartStatus::Failed))
        })
        .await?;
        for giver in held.iter().filter(|giver| late.contains(&giver.part)) {
            retrying(SplitError::retryable, || self.ungather(giver)).await?;
        }
        Ok(())
    }

    /// Asks the channel what a refund took back, and stores it. None: something changed. Else how long to wait.
    pub(super) async fn learn(&self, call: &Call) -> Result<Option<Duration>, SplitError> {
        let Some(divider) = self.channels.divider(&call.channel) else { return Ok(Some(DISCONNECTED_PAUSE)) };
        if let Some(wait) = bucket::take(&self.db, &call.channel, divider.payee_no(), divider.caps().calls_per_s, 1).await? {
            return Ok(Some(wait));
        }
        let asked = RefundAsked { request_no: call.request_no(), payment_no: call.attempt.simple() };
        let word = match divider.query_refunded(&asked).await {
            Ok(Some(words)) => {
                judge(&call.shares, &words).ok_or(ChannelError::BadAnswer("its shares are not those that went with the refund"))
            }
            Ok(None) => Err(ChannelError::BadAnswer("it does not know a refund that succeeded")),
            Err(error) => Err(error),
        };
        match word {
            Ok(verdict) => {
                let changed = retrying(SplitError::retryable, || self.record(call, &verdict)).await?;
                Ok(if changed { None } else { Some(call.pause(self.clock.now())) })
            }
            Err(error) => {
                tracing::warn!(call_id = %call.id, error = &error as &dyn std::error::Error, "what a refund took back is not known yet");
                Ok(Some(call.pause(self.clock.now())))
            }
        }
    }

    /// Ends a return of which parts were given up: their receivers have back what they had set aside, and the merchant gives what the refund
    /// took for it. None: it has ended. Else how long to wait.
    pub(super) async fn close(
        &self,
        book: BookId,
        order: OrderId,
        back: SplitReturnId,
        kept: &[Giver],
    ) -> Result<Option<Duration>, SplitError> {
        for giver in kept {
            retrying(SplitError::retryable, || self.ungather(giver)).await?;
        }
        retrying(SplitError::retryable, || self.try_close(book, order, back)).await
    }

    async fn try_close(&self, book: BookId, order: OrderId, back: SplitReturnId) -> Result<Option<Duration>, SplitError> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        let locked = order::repo::lock_in_tx(&mut tx, &[(book, order)]).await?.pop().ok_or(SplitError::NotFound)?;
        crate::split::repo::lock_in_tx(&mut tx, book, order).await?.ok_or(SplitError::NotFound)?;
        let returns = repo::returns_of(&mut *tx, book, order).await?;
        let known: &Return = returns.iter().find(|known| known.id == back).ok_or(SplitError::NotFound)?;
        if known.done_at.is_some() {
            return Ok(None);
        }
        let calls = call::repo::of_order(&mut tx, book, order).await?;
        let taken = calls.iter().filter(|call| call.kind == CallKind::Refund && call.part == Some(back.0)).flat_map(|call| &call.shares);
        let left: i64 = taken.filter(|share| share.outcome == Some(ShareResult::Failed)).map(|share| share.amount_minor).sum();
        // of a refund that came to nothing, what it took was given back
        let taker = repo::taker_in_tx(&mut tx, book, back).await?.filter(|_| left > 0);
        if let Some(taker) = taker {
            if !taker.succeeded {
                return Ok(Some(REFUND_PAUSE));
            }
            if !bear_in_tx(&mut tx, &locked, back, Money { minor: left, ..known.amount }, now).await? {
                tracing::warn!(order_id = %order, left, "a merchant has too little to give what its channel left with receivers; it is tried again");
                return Ok(Some(SHORT_PAUSE));
            }
        }
        if repo::finish_return_in_tx(&mut tx, book, back, now).await? {
            let done = Return { done_at: Some(now), ..known.clone() };
            outbox::append_in_tx(&mut tx, &[return_event("split.returned", &done, now)]).await?;
        }
        tx.commit().await?;
        Ok(None)
    }

    /// Gives a receiver back what it had set aside of a part, from where it came. Once.
    async fn ungather(&self, giver: &Giver) -> Result<(), SplitError> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        let of = |minor| Money { minor, ..giver.own };
        let (pending, available) = repo::gathered_in_tx(&mut tx, giver.from, giver.part).await?;
        if pending + available == 0 {
            return Ok(());
        }
        let posting = recipe::split_ungather(giver.from, giver.part, of(pending), of(available), giver.day);
        for outcome in ledger::post_in_tx(&mut tx, &[posting], business_day(now), now).await? {
            match outcome {
                // given back before, on another day
                Ok(_) | Err(Rejection::AlreadyPosted | Rejection::ReferenceReused) => {}
                Err(rejection) => return Err(SplitError::Posting(rejection)),
            }
        }
        tx.commit().await?;
        Ok(())
    }
}

/// Takes from the merchant, of all its stripes, what its channel left with receivers. False: it has too little.
async fn bear_in_tx(
    tx: &mut PgConnection,
    order: &Order,
    back: SplitReturnId,
    amount: Money,
    now: DateTime<Utc>,
) -> Result<bool, SplitError> {
    let (own, today) = (order.money_book(), business_day(now));
    let kinds = [AccountKind::MerchantPending, AccountKind::MerchantAvailable];
    let locked =
        collect::lock_in_tx(tx, (order.merchant, own), Reach::AllStripes, (&kinds, &[AccountKind::SharesDue]), amount.currency, now);
    let (books, locked) = locked.await?;
    let shares = kinds.map(|kind| collect::shares(&locked, &books, kind));
    let pending = Money { minor: amount.minor.min(collect::sum_minor(&shares[0])), ..amount };
    let available = Money { minor: amount.minor - pending.minor, ..amount };
    let plan = |place: usize, minor| collect::plan(&shares[place], own, kinds[place], minor, today);
    let Some((mut collected, more)) = plan(0, pending).zip(plan(1, available)) else { return Ok(false) };
    collected.extend(more);
    let mut postings = transfer::legs(&collected);
    postings.push(recipe::split_bear(own, back.0, pending, available, today));
    for outcome in ledger::post_in_tx(tx, &postings, today, now).await? {
        outcome.map_err(SplitError::Posting)?;
    }
    transfer::record_arrived_in_tx(tx, &collected).await?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(account: &str, amount_minor: i64, outcome: Option<ShareResult>) -> CallShare {
        let error_code = (outcome == Some(ShareResult::Failed)).then(|| "NO_MONEY".to_owned());
        CallShare { line: SplitLineId(Uuid::now_v7()), account: account.to_owned(), amount_minor, outcome, error_code }
    }

    #[test]
    fn a_part_waits_for_its_refund_and_then_does_what_the_channel_did() {
        let taker = |funded, left, succeeded| Some(Taker { funded, left, succeeded });
        let (gathering, sent, over, by_bank) =
            (taker(false, false, false), taker(true, false, false), taker(true, false, true), taker(true, true, true));
        let word = |outcome| Some(share("1", 1, outcome));
        let (open, back, kept) = (word(None), word(Some(ShareResult::Succeeded)), word(Some(ShareResult::Failed)));
        let give_up = |code: &str| Fate::GiveUp(code.to_owned());
        let cases = [
            (gathering, &None, Fate::Hold),
            (sent, &open, Fate::Stay),
            (over, &open, Fate::Stay),
            (over, &back, Fate::Come),
            (over, &kept, give_up("NO_MONEY")),
            (sent, &None, give_up(REFUND_WENT_AHEAD)),
            (by_bank, &open, give_up(REFUND_LEFT_CHANNEL)),
            (by_bank, &None, give_up(REFUND_LEFT_CHANNEL)),
            (None, &open, give_up(REFUND_CAME_TO_NOTHING)),
            (None, &None, give_up(REFUND_CAME_TO_NOTHING)),
        ];
        for (taker, share, expected) in cases {
            assert_eq!(fate(taker, share.as_ref()), expected, "{taker:?} {share:?}");
        }
    }

    #[test]
    fn a_word_counts_only_where_it_is_about_all_accounts_and_their_sums() {
        let shares = [share("A", 10, None), share("B", 5, None), share("A", 3, None)];
        let word = |account: &str, amount_minor, outcome| ShareWord { share: Share { account: account.to_owned(), amount_minor }, outcome };
        let failed = || ShareOutcome::Failed { code: "NO_MONEY".to_owned() };
        let told = |words: &[ShareWord]| match judge(&shares, words) {
            Some(Verdict::Told { finished, shares }) => Some((finished, shares.iter().map(|(_, word)| word.is_ok()).collect::<Vec<_>>())),
            _ => None,
        };
        let (a, b) = (word("A", 13, ShareOutcome::Succeeded), word("B", 5, failed()));
        assert_eq!(told(&[a.clone(), b.clone()]), Some((true, vec![true, false, true])));
        assert_eq!(told(&[a.clone(), word("B", 5, ShareOutcome::Pending)]), Some((false, vec![true, true])));
        for wrong in [vec![a.clone()], vec![a.clone(), word("B", 6, failed())], vec![a.clone(), b.clone(), word("C", 1, failed())], vec![]]
        {
            assert_eq!(told(&wrong), None, "{wrong:?}");
        }
        assert_eq!(told(&[word("A", 10, ShareOutcome::Succeeded), word("A", 3, failed()), b]), None, "nobody knows which of them");
    }
}
