//! What the counterparties know and decide, whatever protocol they speak. Every change is one line of the journal, written before it counts.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;
use wallet::channel::sandbox::wire::{PaymentRequest, PaymentStatus, PayoutRequest, RefundRequest, TransferStatus, code};

use super::chaos::Chaos;
use super::chaos::profile::News;
use super::chaos::rules::Told;
use super::front::{About, Fronts};
use super::journal::Journal;
use super::lie::Lie;
use super::record::{Line, Notice, Payment, Payout, Refund};
use super::truth::Truth;
use super::{Party, alipay, wechat};

/// Payments, refunds and payouts each that are remembered, some hundred megabytes together.
pub const PAYMENTS_MAX: usize = 300_000;

/// Why a request is not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    NotFound,
    /// The number stands for other content.
    Reused,
    /// A field is missing, too long or out of range.
    Invalid(&'static str),
    /// The payment to be refunded is not there or not paid.
    NotPaid,
    /// More than what was paid.
    ExceedsPayment,
    /// The simulator holds no more.
    Full,
    /// The journal cannot be written.
    Unavailable,
}

impl Refused {
    /// HTTP status and code of the refusal.
    pub fn wire(self) -> (u16, &'static str) {
        match self {
            Self::NotFound => (404, code::NOT_FOUND),
            Self::Reused => (409, code::REQUEST_NO_REUSED),
            Self::Invalid(_) => (422, "REQUEST_INVALID"),
            Self::NotPaid => (422, "PAYMENT_NOT_PAID"),
            Self::ExceedsPayment => (422, "AMOUNT_EXCEEDS_PAYMENT"),
            Self::Full => (503, "SANDBOX_FULL"),
            Self::Unavailable => (503, "SANDBOX_UNAVAILABLE"),
        }
    }
}

/// What a restart has to take up.
#[derive(Debug)]
pub struct Unfinished {
    pub notices: Vec<Notice>,
    pub refunds: Vec<Key>,
    pub payouts: Vec<Key>,
    /// Payouts that will come back, and after how long.
    pub returning: Vec<(Key, Duration)>,
}

/// Who was asked, and under which number of ours.
pub type Key = (Party, String);

fn key(party: Party, request_no: &str) -> Key {
    (party, request_no.to_owned())
}

/// The memory of all counterparties.
#[derive(Debug)]
pub struct Book {
    payments: HashMap<Key, Payment>,
    number_of: HashMap<String, Key>,
    refunds: HashMap<Key, Refund>,
    /// What was taken of each payment for refunds that did not fail.
    refunded_minor: HashMap<Key, i64>,
    payouts: HashMap<Key, Payout>,
    notices: HashMap<String, Notice>,
    alipay_splits: alipay::split::Splits,
    wechat_splits: wechat::splits::Splits,
    offset_ms: i64,
    fronts: Arc<Fronts>,
    chaos: Arc<Chaos>,
    journal: Journal,
}

impl Book {
    /// From the lines of a journal; the last line of each thing wins.
    pub fn remember(lines: Vec<Line>, journal: Journal, fronts: Arc<Fronts>, chaos: Arc<Chaos>) -> Self {
        let mut book = Self {
            payments: HashMap::new(),
            number_of: HashMap::new(),
            refunds: HashMap::new(),
            refunded_minor: HashMap::new(),
            payouts: HashMap::new(),
            notices: HashMap::new(),
            alipay_splits: alipay::split::Splits::default(),
            wechat_splits: wechat::splits::Splits::default(),
            offset_ms: 0,
            fronts,
            chaos,
            journal,
        };
        for line in lines {
            book.keep(line);
        }
        book
    }

    fn keep(&mut self, line: Line) {
        match line {
            Line::Payment(p) => {
                let key = key(p.party, &p.request.request_no);
                self.number_of.insert(p.transaction_id.clone(), key.clone());
                self.payments.insert(key, p);
            }
            Line::Refund(r) => {
                let counts = |r: &Refund| if r.status == TransferStatus::Failed { 0 } else { r.request.amount_minor };
                let (payment, now) = (key(r.party, &r.request.payment_request_no), counts(&r));
                let before = self.refunds.insert(key(r.party, &r.request.request_no), r).as_ref().map_or(0, counts);
                *self.refunded_minor.entry(payment).or_default() += now - before;
            }
            Line::Payout(p) => _ = self.payouts.insert(key(p.party, &p.request_no), p),
            Line::Notice(n) => _ = self.notices.insert(n.notice_id.clone(), n),
            Line::Left { notice_id, left: 0 } => _ = self.notices.remove(&notice_id),
            Line::Left { notice_id, left } => {
                if let Some(notice) = self.notices.get_mut(&notice_id) {
                    notice.left = left;
                }
            }
            Line::Clock { offset_ms } => self.offset_ms = offset_ms,
            Line::AlipaySplit(split) => self.alipay_splits.keep(split),
            Line::WechatSplit(split) => self.wechat_splits.keep(split),
            Line::WechatReturn(back) => self.wechat_splits.keep_return(back),
            Line::WechatReceiver(receiver) => self.wechat_splits.keep_receiver(receiver),
        }
    }

    /// Writes and then remembers.
    fn change(&mut self, lines: Vec<Line>) -> Result<(), Refused> {
        self.journal.append(&lines).map_err(|error| {
            tracing::error!(error = &error as &dyn std::error::Error, "the simulator's journal cannot be written");
            Refused::Unavailable
        })?;
        for line in lines {
            self.keep(line);
        }
        Ok(())
    }

    pub fn offset_ms(&self) -> i64 {
        self.offset_ms
    }

    pub fn alipay_splits(&self) -> &alipay::split::Splits {
        &self.alipay_splits
    }

    pub fn wechat_splits(&self) -> &wechat::splits::Splits {
        &self.wechat_splits
    }

    /// Remembers a split as it stands now, or what belongs to one.
    pub fn keep_split(&mut self, line: Line) -> Result<(), Refused> {
        self.change(vec![line])
    }

    /// Refunds of a payment that were not refused.
    pub fn refunds_of(&self, party: Party, payment_request_no: &str) -> impl Iterator<Item = &Refund> {
        let of = move |r: &&Refund| r.party == party && r.request.payment_request_no == payment_request_no;
        self.refunds.values().filter(of).filter(|r| r.status != TransferStatus::Failed)
    }

    pub fn set_offset_ms(&mut self, offset_ms: i64) -> Result<(), Refused> {
        self.change(vec![Line::Clock { offset_ms }])
    }

    pub fn payment(&self, party: Party, request_no: &str) -> Option<&Payment> {
        self.payments.get(&key(party, request_no))
    }

    /// The payment behind a payer's page, or behind a number of the counterparty's own.
    pub fn payment_of(&self, transaction_id: &str) -> Option<&Payment> {
        self.number_of.get(transaction_id).and_then(|number| self.payments.get(number))
    }

    pub fn refund(&self, party: Party, request_no: &str) -> Option<&Refund> {
        self.refunds.get(&key(party, request_no))
    }

    /// What was taken of a payment for refunds so far.
    pub fn refunded_minor(&self, party: Party, payment_request_no: &str) -> i64 {
        self.refunded_minor.get(&key(party, payment_request_no)).copied().unwrap_or_default()
    }

    pub fn payout(&self, party: Party, request_no: &str) -> Option<&Payout> {
        self.payouts.get(&key(party, request_no))
    }

    /// Takes in a payment, or gives the one the number stands for. `extra`: what the protocol needs again of the request.
    pub fn pay(
        &mut self,
        party: Party,
        request: PaymentRequest,
        expires_at: Option<DateTime<Utc>>,
        extra: Value,
    ) -> Result<Payment, Refused> {
        if let Some(known) = self.payment(party, &request.request_no) {
            return if known.barred || known.same_content(&request) { Ok(known.clone()) } else { Err(Refused::Reused) };
        }
        check(&request.request_no, request.amount_minor, &request.currency)?;
        if !(1..=128).contains(&request.description.chars().count()) {
            return Err(Refused::Invalid("description must have 1 to 128 characters"));
        }
        web(&request.notify_url)?;
        request.return_url.as_deref().map(web).transpose()?;
        self.room(self.payments.len())?;
        let payment = Payment {
            party,
            request,
            expires_at,
            extra,
            transaction_id: reference("T"),
            status: PaymentStatus::UserPending,
            success_time: None,
            error_code: None,
            barred: false,
            silent_until_asked: false,
        };
        self.change(vec![Line::Payment(payment.clone())])?;
        Ok(payment)
    }

    /// Closes a payment nobody has paid, or bars a number that was never asked for. Gives it as it stands now.
    pub fn close(&mut self, party: Party, merchant_no: &str, request_no: &str) -> Result<Payment, Refused> {
        let closed = match self.payment(party, request_no) {
            Some(known) if known.status != PaymentStatus::UserPending => return Ok(known.clone()),
            Some(known) => Payment { status: PaymentStatus::Closed, ..known.clone() },
            None => {
                check(request_no, 1, "CNY")?;
                self.room(self.payments.len())?;
                Payment {
                    party,
                    expires_at: None,
                    extra: Value::Null,
                    request: PaymentRequest {
                        merchant_no: merchant_no.to_owned(),
                        request_no: request_no.to_owned(),
                        amount_minor: 0,
                        currency: "CNY".to_owned(),
                        description: String::new(),
                        notify_url: String::new(),
                        return_url: None,
                    },
                    transaction_id: reference("T"),
                    status: PaymentStatus::Closed,
                    success_time: None,
                    error_code: None,
                    barred: true,
                    silent_until_asked: false,
                }
            }
        };
        self.change(vec![Line::Payment(closed.clone())])?;
        Ok(closed)
    }

    /// The payer says yes. Gives the notice to be delivered `deliveries` times; none when it waits for a question, or was said before.
    pub fn confirm(&mut self, transaction_id: &str, deliveries: u32, now: DateTime<Utc>) -> Result<Option<Notice>, Refused> {
        let payment = self.payment_of(transaction_id).ok_or(Refused::NotFound)?.clone();
        if payment.status != PaymentStatus::UserPending || payment.expires_at.is_some_and(|end| now > end) {
            return Ok(None);
        }
        let silent_until_asked = deliveries == 0;
        let paid = Payment { status: PaymentStatus::Succeeded, success_time: Some(now), silent_until_asked, ..payment };
        self.conclude_payment(paid, deliveries, now)
    }

    /// The payer says no.
    pub fn decline(&mut self, transaction_id: &str, error_code: &str, now: DateTime<Utc>) -> Result<Option<Notice>, Refused> {
        let payment = self.payment_of(transaction_id).ok_or(Refused::NotFound)?.clone();
        if payment.status != PaymentStatus::UserPending {
            return Ok(None);
        }
        self.conclude_payment(Payment { status: PaymentStatus::Failed, error_code: Some(error_code.to_owned()), ..payment }, 1, now)
    }

    /// A payment that was closed or declined is paid all the same, as the payer's bank found out later.
    pub fn pay_after_all(&mut self, party: Party, request_no: &str, now: DateTime<Utc>) -> Result<Option<Notice>, Refused> {
        let payment = self.payment(party, request_no).ok_or(Refused::NotFound)?.clone();
        if payment.barred || !matches!(payment.status, PaymentStatus::Closed | PaymentStatus::Failed) {
            return Ok(None);
        }
        let paid = Payment { status: PaymentStatus::Succeeded, success_time: Some(now), error_code: None, ..payment };
        self.conclude_payment(paid, 1, now)
    }

    /// The platform has asked: a notice that was held back may come, late.
    pub fn asked(&mut self, party: Party, request_no: &str, now: DateTime<Utc>) -> Result<Option<Notice>, Refused> {
        match self.payment(party, request_no) {
            Some(payment) if payment.silent_until_asked => {
                let payment = Payment { silent_until_asked: false, ..payment.clone() };
                self.conclude_payment(payment, 1, now)
            }
            _ => Ok(None),
        }
    }

    fn conclude_payment(&mut self, payment: Payment, deliveries: u32, now: DateTime<Utc>) -> Result<Option<Notice>, Refused> {
        let notice = if deliveries > 0 {
            self.notice(payment.party, &payment.request.notify_url, About::Payment(&payment), deliveries, now)
        } else {
            None
        };
        let mut lines = vec![Line::Payment(payment)];
        lines.extend(notice.clone().map(Line::Notice));
        self.change(lines)?;
        Ok(notice)
    }

    /// Takes in a refund, or gives the one the number stands for. `extra`: what the protocol needs again of the request.
    pub fn take_refund(&mut self, party: Party, request: RefundRequest, extra: Value) -> Result<Refund, Refused> {
        if let Some(known) = self.refund(party, &request.request_no) {
            return if known.same_content(&request) { Ok(known.clone()) } else { Err(Refused::Reused) };
        }
        check(&request.request_no, request.amount_minor, &request.currency)?;
        web(&request.notify_url)?;
        let payment = self.payment(party, &request.payment_request_no).filter(|p| p.status == PaymentStatus::Succeeded);
        let payment = payment.ok_or(Refused::NotPaid)?;
        let refunded = self.refunded_minor(party, &request.payment_request_no);
        if request.currency != payment.request.currency || request.amount_minor > payment.request.amount_minor - refunded {
            return Err(Refused::ExceedsPayment);
        }
        self.room(self.refunds.len())?;
        let refund = Refund {
            party,
            request,
            extra,
            transaction_id: reference("R"),
            status: TransferStatus::Accepted,
            success_time: None,
            error_code: None,
        };
        self.change(vec![Line::Refund(refund.clone())])?;
        Ok(refund)
    }

    /// The payer has the money back, or the refund failed after all.
    pub fn settle_refund(&mut self, party: Party, request_no: &str, now: DateTime<Utc>) -> Result<Option<Notice>, Refused> {
        let refund = self.refund(party, request_no).ok_or(Refused::NotFound)?.clone();
        if refund.status != TransferStatus::Accepted {
            return Ok(None);
        }
        let fate = self.chaos.fate(party, request_no);
        let refused = if fate.refund_closed { Some(code::PAYER_ACCOUNT_CLOSED) } else { fate.refund_fails.then_some(code::ACCOUNT_CLOSED) };
        let refund = if let Some(refused) = refused {
            Refund { status: TransferStatus::Failed, error_code: Some(refused.to_owned()), ..refund }
        } else {
            Refund { status: TransferStatus::Succeeded, success_time: Some(now), ..refund }
        };
        let payment = self.payment(party, &refund.request.payment_request_no).ok_or(Refused::NotFound)?;
        let notice = self.notice(party, &refund.request.notify_url, About::Refund(&refund, payment), 1, now);
        let mut lines = vec![Line::Refund(refund)];
        lines.extend(notice.clone().map(Line::Notice));
        self.change(lines)?;
        Ok(notice)
    }

    /// Takes in a payout, or gives the one the number stands for.
    pub fn pay_out(&mut self, party: Party, request: &PayoutRequest) -> Result<Payout, Refused> {
        let payee = fingerprint(request);
        if let Some(known) = self.payout(party, &request.request_no) {
            let same = known.payee == payee
                && known.merchant_no == request.merchant_no
                && known.amount_minor == request.amount_minor
                && known.currency == request.currency;
            return if same { Ok(known.clone()) } else { Err(Refused::Reused) };
        }
        check(&request.request_no, request.amount_minor, &request.currency)?;
        web(&request.notify_url)?;
        if request.payee_name.is_empty() || !(4..=32).contains(&request.payee_account.len()) {
            return Err(Refused::Invalid("payee_name and payee_account must be given"));
        }
        self.room(self.payouts.len())?;
        let payout = Payout {
            party,
            merchant_no: request.merchant_no.clone(),
            request_no: request.request_no.clone(),
            amount_minor: request.amount_minor,
            currency: request.currency.clone(),
            notify_url: request.notify_url.clone(),
            payee,
            account_closed: request.payee_account.ends_with("0001"),
            returns_after_ms: None,
            bank_reference: reference("B"),
            status: TransferStatus::Accepted,
            success_time: None,
            error_code: None,
        };
        self.change(vec![Line::Payout(payout.clone())])?;
        Ok(payout)
    }

    /// The bank has paid, or found the account closed.
    pub fn settle_payout(&mut self, party: Party, request_no: &str, now: DateTime<Utc>) -> Result<Option<Notice>, Refused> {
        let payout = self.payout(party, request_no).ok_or(Refused::NotFound)?.clone();
        if payout.status != TransferStatus::Accepted {
            return Ok(None);
        }
        let status = if payout.account_closed { TransferStatus::Failed } else { TransferStatus::Succeeded };
        let returns = self.chaos.fate(party, request_no).payout_returns.filter(|_| !payout.account_closed);
        let payout = Payout {
            status,
            returns_after_ms: returns.map(|after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX)),
            success_time: (!payout.account_closed).then_some(now),
            error_code: payout.account_closed.then(|| code::ACCOUNT_CLOSED.to_owned()),
            ..payout
        };
        let notice = self.notice(party, &payout.notify_url, About::Payout(&payout), 1, now);
        let mut lines = vec![Line::Payout(payout)];
        lines.extend(notice.clone().map(Line::Notice));
        self.change(lines)?;
        Ok(notice)
    }

    /// What the bank paid has come back to it (退票).
    pub fn return_payout(&mut self, party: Party, request_no: &str, now: DateTime<Utc>) -> Result<Option<Notice>, Refused> {
        let payout = self.payout(party, request_no).ok_or(Refused::NotFound)?.clone();
        if payout.status != TransferStatus::Succeeded {
            return Ok(None);
        }
        let payout = Payout { status: TransferStatus::Returned, error_code: Some(code::ACCOUNT_CLOSED.to_owned()), ..payout };
        let notice = self.notice(party, &payout.notify_url, About::Payout(&payout), 1, now);
        let mut lines = vec![Line::Payout(payout)];
        lines.extend(notice.clone().map(Line::Notice));
        self.change(lines)?;
        Ok(notice)
    }

    /// Writes a notice, to be delivered at least so often, and says of it what the profile wants. None where nobody is to be told.
    fn notice(&self, party: Party, url: &str, about: About<'_>, deliveries: u32, now: DateTime<Utc>) -> Option<Notice> {
        let front = self.fronts.get(&party).filter(|_| !url.is_empty())?;
        let notice_id = reference("N");
        let (news, number) = match about {
            About::Payment(p) => (News::Payment, &p.request.request_no),
            About::Refund(r, _) => (News::Refund, &r.request.request_no),
            About::Payout(p) => (News::Payout, &p.request_no),
        };
        let plan = self.chaos.notice(party, news, number);
        let body = match plan.told {
            Told::Nothing => return None,
            Told::Truth => front.notice(&notice_id, about, now),
            lie => Lie::about(about, lie).told(front.as_ref(), &notice_id, now),
        };
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Some(Notice {
            notice_id,
            party,
            url: url.to_owned(),
            body,
            left: deliveries.max(plan.deliveries),
            delay_ms: ms(plan.delay),
            behind: plan.behind,
            once: plan.told != Told::Truth,
            replay_ms: plan.replayed.map(ms),
        })
    }

    /// What really happened, whatever was said about it: every payment, refund and payout, in the order of their numbers, and what splits did.
    pub fn truth(&self) -> Vec<Truth> {
        let payments = self.payments.values().filter(|p| !p.barred).map(Truth::of_payment);
        let refunds = self.refunds.values().map(Truth::of_refund);
        let mut truth: Vec<_> = payments.chain(refunds).chain(self.payouts.values().map(Truth::of_payout)).collect();
        truth.sort_by(|a, b| a.request_no.cmp(&b.request_no));
        truth.extend(self.wechat_splits.truth());
        truth.extend(alipay::split::truth(&self.alipay_splits, self.refunds.values()));
        truth
    }

    /// A notice was delivered, or is given up with `left` of zero.
    pub fn delivered(&mut self, notice_id: &str, left: u32) -> Result<(), Refused> {
        self.change(vec![Line::Left { notice_id: notice_id.to_owned(), left }])
    }

    /// A payout that was paid and will come back, and after how long.
    pub fn returning(payout: &Payout) -> Option<(Key, Duration)> {
        let after = payout.returns_after_ms.filter(|_| payout.status == TransferStatus::Succeeded)?;
        Some((key(payout.party, &payout.request_no), Duration::from_millis(after)))
    }

    /// What a restart has to take up: notices under way, the refunds and payouts without a result, and the payouts that will come back.
    pub fn unfinished(&self) -> Unfinished {
        let open = |status: TransferStatus| status == TransferStatus::Accepted;
        Unfinished {
            notices: self.notices.values().cloned().collect(),
            refunds: self.refunds.iter().filter(|(_, r)| open(r.status)).map(|(key, _)| key.clone()).collect(),
            payouts: self.payouts.iter().filter(|(_, p)| open(p.status)).map(|(key, _)| key.clone()).collect(),
            returning: self.payouts.values().filter_map(Self::returning).collect(),
        }
    }

    fn room(&self, taken: usize) -> Result<(), Refused> {
        if taken < PAYMENTS_MAX { Ok(()) } else { Err(Refused::Full) }
    }
}

fn check(request_no: &str, amount_minor: i64, currency: &str) -> Result<(), Refused> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if !(8..=64).contains(&request_no.len()) || !request_no.bytes().all(plain) {
        return Err(Refused::Invalid("request_no must have 8 to 64 letters, digits, dashes or underscores"));
    }
    if !(1..=wallet::base::money::AMOUNT_MINOR_MAX).contains(&amount_minor) {
        return Err(Refused::Invalid("amount_minor is out of range"));
    }
    if currency != "CNY" {
        return Err(Refused::Invalid("currency must be CNY"));
    }
    Ok(())
}

fn web(url: &str) -> Result<(), Refused> {
    if url.len() <= 1_024 && (url.starts_with("http://") || url.starts_with("https://")) && !url.chars().any(char::is_control) {
        Ok(())
    } else {
        Err(Refused::Invalid("addresses must begin with http:// or https://"))
    }
}

fn reference(prefix: &str) -> String {
    format!("{prefix}{}", Uuid::now_v7().simple())
}

fn fingerprint(request: &PayoutRequest) -> String {
    use aws_lc_rs::digest::{SHA256, digest};
    hex::encode(digest(&SHA256, format!("{}\n{}", request.payee_name, request.payee_account).as_bytes()))
}
