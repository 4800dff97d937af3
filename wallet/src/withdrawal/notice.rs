//! The bank's notices: verified and stored by the inbox, processed from there by the worker.

use std::collections::HashMap;

use reqwest::header::HeaderMap;
use sqlx::PgConnection;

use super::outcome::{Applied, BankResult, apply_in_tx};
use super::{WithdrawalError, Withdrawals, repo};
use crate::base::clock::Clock;
use crate::base::db;
use crate::base::id::WithdrawalId;
use crate::channel::acquirer::{Heard, Spoken};
use crate::channel::inbox::{self, Arrived, Delivery, NoticeError, NoticeKey, Waiting};
use crate::channel::payout::PayoutState;
use crate::channel::repo::resolve_in_tx;
use crate::refund::{self, PayoutOutcome, PayoutVerdict};

/// Outcome of a notice that decided a withdrawal.
const APPLIED: &str = "APPLIED";
/// Outcome of a notice about what was known.
const DUPLICATE: &str = "DUPLICATE";
/// Outcome of a notice that contradicts the withdrawal's final state.
const CONTRADICTED: &str = "CONTRADICTED";
/// Outcome of a notice with another amount or currency than the withdrawal's.
const AMOUNT_DIFFERS: &str = "AMOUNT_DIFFERS";

impl Withdrawals {
    /// Takes a notice of a bank in: checks its signature on the raw bytes and stores it. An answer of 2xx may follow.
    pub async fn accept_notice(&self, bank: &str, headers: &HeaderMap, body: &[u8]) -> Result<Delivery, NoticeError> {
        let bank = self.rails.get(bank).ok_or(NoticeError::UnknownChannel)?;
        if body.len() > inbox::BODY_MAX {
            return Err(NoticeError::TooLarge);
        }
        let now = self.clock.now();
        let Heard { notice_id, spoken } = bank.hear(headers, body, Clock::wall())?;
        let content = serde_json::to_vec(&spoken).expect("what is said is plain data and serialises");
        let arrived = Arrived::new(bank.name(), notice_id, body, content, now)?;
        inbox::accept(&self.db, &arrived).await
    }

    /// Processes at most `limit` waiting notices in one transaction and returns how many.
    ///
    /// Where one cannot be applied, each is processed alone, so that it does not keep its neighbours waiting.
    pub async fn process_notices(&self, limit: i64) -> Result<usize, WithdrawalError> {
        match db::retrying(WithdrawalError::retryable, || self.try_process(None, limit)).await {
            Err(WithdrawalError::Refused(_) | WithdrawalError::Incomplete | WithdrawalError::Refund(_)) => {
                self.process_one_by_one(limit).await
            }
            done => done,
        }
    }

    async fn process_one_by_one(&self, limit: i64) -> Result<usize, WithdrawalError> {
        let mut tx = self.db.begin().await?;
        let waiting = inbox::lock_waiting_in_tx(&mut tx, &self.rails.names(), None, limit).await?;
        tx.rollback().await?;
        let mut done = 0;
        for key in waiting.into_iter().map(|w| w.key) {
            match db::retrying(WithdrawalError::retryable, || self.try_process(Some(&key), 1)).await {
                Ok(processed) => done += processed,
                Err(error) => {
                    tracing::error!(
                        notice_id = key.notice_id,
                        error = &error as &dyn std::error::Error,
                        "a notice of the bank cannot be applied"
                    );
                    inbox::count_failure(&self.db, &key).await?;
                }
            }
        }
        Ok(done)
    }

    async fn try_process(&self, only: Option<&NoticeKey>, limit: i64) -> Result<usize, WithdrawalError> {
        let mut tx = self.db.begin().await?;
        let mut waiting = inbox::lock_waiting_in_tx(&mut tx, &self.rails.names(), only, limit).await?;
        if waiting.is_empty() {
            return Ok(0);
        }
        // What the bank paid for refunds comes in a transaction of its own: those lock orders, which come before all that withdrawals lock.
        let refunds = refunds_in_tx(&mut tx, &waiting).await?;
        if !refunds.is_empty() {
            waiting.retain(|w| refunds.iter().any(|(key, _)| *key == w.key));
        }
        let words = if refunds.is_empty() {
            self.apply_notices_in_tx(&mut tx, &waiting).await?
        } else {
            self.apply_refunds_in_tx(&mut tx, refunds).await?
        };
        let outcomes: Vec<_> = waiting.iter().zip(words).map(|(w, word)| (w.key.clone(), word)).collect();
        inbox::finish_in_tx(&mut tx, &outcomes, self.clock.now()).await?;
        tx.commit().await?;
        Ok(outcomes.len())
    }

    async fn apply_refunds_in_tx(
        &self,
        tx: &mut PgConnection,
        refunds: Vec<(NoticeKey, PayoutOutcome)>,
    ) -> Result<Vec<&'static str>, WithdrawalError> {
        let (outcomes, now) = (refunds.into_iter().map(|(_, outcome)| outcome).collect::<Vec<_>>(), self.clock.now());
        let (verdicts, booking) =
            refund::apply_payouts_in_tx(tx, &outcomes, now).await.map_err(|e| WithdrawalError::Refund(Box::new(e)))?;
        booking.write_in_tx(tx, now).await?.map_err(WithdrawalError::Refused)?;
        Ok(verdicts
            .into_iter()
            .map(|verdict| match verdict {
                None => inbox::UNKNOWN_REQUEST,
                Some(PayoutVerdict::Changed) => APPLIED,
                Some(PayoutVerdict::Known) => DUPLICATE,
                Some(PayoutVerdict::Contradiction) => CONTRADICTED,
                Some(PayoutVerdict::AmountDiffers) => AMOUNT_DIFFERS,
            })
            .collect())
    }

    async fn apply_notices_in_tx(&self, tx: &mut PgConnection, waiting: &[Waiting]) -> Result<Vec<&'static str>, WithdrawalError> {
        let said: Vec<_> = waiting.iter().map(|w| Said::read(&w.content)).collect();
        let numbers: Vec<String> = said.iter().flatten().map(|s| s.request_no.clone()).collect();
        let known = resolve_in_tx(tx, "WITHDRAWAL", &numbers).await?;
        let ids: Vec<_> = known.iter().map(|(_, n)| (n.book, WithdrawalId(n.subject))).collect();
        let withdrawals = repo::lock_in_tx(tx, &ids).await?;
        let mut results = Vec::new();
        // What is decided without the books stands at once; the rest waits for its place among the results.
        let mut words: Vec<Result<usize, &'static str>> = Vec::with_capacity(waiting.len());
        for (said, NoticeKey { channel, notice_id }) in said.into_iter().zip(waiting.iter().map(|w| &w.key)) {
            words.push(match said {
                None => Err(inbox::MALFORMED),
                Some(said) => match withdrawals.iter().find(|w| w.id.simple() == said.request_no && w.bank == *channel) {
                    None => Err(inbox::UNKNOWN_REQUEST),
                    Some(w) if (said.amount_minor, said.currency.as_str()) != (w.amount.minor, w.amount.currency.as_str()) => {
                        tracing::error!(withdrawal = %w.id, notice_id, "a notice of the bank names another amount");
                        Err(AMOUNT_DIFFERS)
                    }
                    Some(w) => {
                        results.push(BankResult { book: w.merchant.book(), id: w.id, state: said.state });
                        Ok(results.len() - 1)
                    }
                },
            });
        }
        let applied = apply_in_tx(tx, &results, self.clock.today(), self.clock.now()).await?;
        Ok(words
            .into_iter()
            .map(|decided| match decided {
                Err(word) => word,
                Ok(place) => match applied[place] {
                    Applied::Changed => APPLIED,
                    Applied::Known => DUPLICATE,
                    Applied::Conflict => CONTRADICTED,
                    Applied::Missing => inbox::UNKNOWN_REQUEST,
                },
            })
            .collect())
    }
}

/// What a notice says about a payout.
struct Said {
    request_no: String,
    amount_minor: i64,
    currency: String,
    state: PayoutState,
}

impl Said {
    /// None: it is not about one, or says what cannot be.
    fn read(content: &[u8]) -> Option<Self> {
        match serde_json::from_slice(content).ok()? {
            Spoken::Payout { request_no, amount_minor, currency, bank_reference, word } => {
                Some(Self { request_no, amount_minor, currency, state: PayoutState { status: word, bank_reference: Some(bank_reference) } })
            }
            Spoken::Payment { .. } | Spoken::Refund { .. } | Spoken::Other { .. } => None,
        }
    }
}

/// The notices about refunds, with what each says, in their order.
async fn refunds_in_tx(tx: &mut PgConnection, waiting: &[Waiting]) -> Result<Vec<(NoticeKey, PayoutOutcome)>, WithdrawalError> {
    let said: Vec<_> = waiting.iter().filter_map(|w| Some((&w.key, Said::read(&w.content)?))).collect();
    let numbers: Vec<String> = said.iter().map(|(_, said)| said.request_no.clone()).collect();
    let known: HashMap<_, _> = resolve_in_tx(tx, "REFUND_PAYOUT", &numbers).await?.into_iter().collect();
    let about = |(key, said): (&NoticeKey, Said)| {
        let numbered = known.get(&said.request_no)?;
        let (bank, stated) = (key.channel.clone(), Some((said.amount_minor, said.currency)));
        Some((key.clone(), PayoutOutcome { bank, book: numbered.book, route: numbered.subject, state: said.state, stated }))
    };
    Ok(said.into_iter().filter_map(about).collect())
}
