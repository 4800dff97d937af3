//! Asking a channel: the request, or what became of it, and what its word does to the lines.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::rules::{self, Verdict};
use super::{Call, CallKind, CallShare, CallStatus, repo};
use crate::base::db::retrying;
use crate::base::id::{BookId, OrderId, SplitLineId};
use crate::base::outbox;
use crate::channel::ChannelError;
use crate::channel::acquirer::TransferWord;
use crate::channel::divider::{Divider, DivisionWord, GiveBack, Share};
use crate::split::account::DISCONNECTED_PAUSE;
use crate::split::look::ABOVE_FAILED;
use crate::split::run::{lock_in_tx, restate_in_tx};
use crate::split::state::{LineStatus, with_those_below};
use crate::split::{self, Line, Split, SplitError, Splits, Upstream, bucket, line, line_event};

/// A request to be made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ToAsk {
    pub call: Call,
    /// It was stored a moment ago, by this very process: the channel cannot know it yet.
    pub fresh: bool,
    /// Of a return: the number of the division that gave the share.
    pub division_no: Option<String>,
}

impl Splits {
    /// Makes requests and stores what was said. How long to wait before going on; none: something changed.
    pub(in crate::split) async fn ask_all(&self, asks: &[ToAsk]) -> Result<Option<Duration>, SplitError> {
        let (mut changed, mut pause) = (false, None);
        for ask in asks {
            match self.ask(ask).await? {
                None => changed = true,
                Some(wait) => pause = Some(pause.map_or(wait, |pause: Duration| pause.min(wait))),
            }
        }
        Ok(if changed { None } else { pause })
    }

    /// Makes one request and stores what was said. How long to wait before it is asked about again; none: something changed.
    pub(in crate::split) async fn ask(&self, ask: &ToAsk) -> Result<Option<Duration>, SplitError> {
        let call = &ask.call;
        let Some(divider) = self.channels.divider(&call.channel) else {
            tracing::error!(call_id = %call.id, channel = call.channel, "a channel that divides is not connected any more");
            return Ok(Some(DISCONNECTED_PAUSE));
        };
        let verdict = match self.say(divider, ask).await {
            Ok(Said::Verdict(verdict)) => verdict,
            Ok(Said::Wait(wait)) => return Ok(Some(wait)),
            Err(SplitError::Channel(ChannelError::Refused { code })) => Verdict::Refused(code),
            Err(SplitError::Channel(error)) => {
                tracing::warn!(call_id = %call.id, error = &error as &dyn std::error::Error, "a request about a split has no answer yet");
                return Ok(Some(call.pause(self.clock.now())));
            }
            Err(other) => return Err(other),
        };
        let changed = retrying(SplitError::retryable, || self.record(call, &verdict)).await?;
        Ok(if changed { None } else { Some(call.pause(self.clock.now())) })
    }

    /// One or two exchanges: what was sent before is asked about first, and sent again where the channel does not know it.
    async fn say(&self, divider: &dyn Divider, ask: &ToAsk) -> Result<Said, SplitError> {
        let call = &ask.call;
        let requests = if ask.fresh { 1 } else { 2 };
        if let Some(wait) = bucket::take(&self.db, &call.channel, divider.payee_no(), divider.caps().calls_per_s, requests).await? {
            return Ok(Said::Wait(wait));
        }
        if call.kind == CallKind::Return {
            let (Some(share), Some(division_no)) = (call.shares.first(), ask.division_no.clone()) else { return Err(SplitError::Changed) };
            let share = Share { account: share.account.clone(), amount_minor: share.amount_minor };
            let back = GiveBack { asked: call.asked(), division_no, share };
            let known = if ask.fresh { None } else { divider.query_back(&back).await? };
            let word = match known {
                Some(word) => word,
                None => divider.give_back(&back).await?,
            };
            return Ok(Said::Verdict(returned(call, word)));
        }
        let known = if ask.fresh { None } else { divider.query_division(&call.asked()).await? };
        let word = match known {
            Some(word) => word,
            // it goes with its refund
            None if call.kind == CallKind::Refund => return Err(SplitError::Changed),
            None if call.kind == CallKind::Finish => divider.finish(&call.asked()).await?,
            None => divider.divide(&call.division()).await?,
        };
        judged(call, &word)
    }

    /// The request that brings a part of a return back, as it stands; a new one where there is none, or where the last was refused.
    pub(in crate::split) async fn recall(&self, book: BookId, order: OrderId, part: Uuid, line: SplitLineId) -> Result<ToAsk, SplitError> {
        retrying(SplitError::retryable, || async {
            let now = self.clock.now();
            let mut tx = self.db.begin().await?;
            let (split, lines) = lock_in_tx(&mut tx, book, order).await?;
            let calls = repo::of_order(&mut tx, book, order).await?;
            let line = lines.iter().find(|l| l.id == line).ok_or(SplitError::Changed)?;
            let division = calls.iter().find(|call| Some(call.id) == line.call).ok_or(SplitError::Changed)?;
            let division_no = Some(division.request_no());
            if let Some(call) = calls.iter().rfind(|call| call.part == Some(part) && call.status != CallStatus::Failed) {
                return Ok(ToAsk { call: call.clone(), fresh: false, division_no });
            }
            let amount_minor = repo::part_minor_in_tx(&mut tx, book, part).await?.ok_or(SplitError::Changed)?;
            let given = division.shares.iter().find(|share| share.line == line.id).ok_or(SplitError::Changed)?;
            let upstream = Upstream {
                channel: division.channel.clone(),
                transaction_id: division.transaction_id.clone(),
                divisible_minor: amount_minor,
            };
            let mut call = Call::new(&split, division.attempt, &upstream, CallKind::Return, now);
            call.part = Some(part);
            call.shares = vec![CallShare { amount_minor, outcome: None, error_code: None, ..given.clone() }];
            repo::insert_in_tx(&mut tx, std::slice::from_ref(&call)).await?;
            tx.commit().await?;
            Ok(ToAsk { call, fresh: true, division_no })
        })
        .await
    }

    /// A request as it stands now.
    pub(in crate::split) async fn recalled(&self, book: BookId, order: OrderId, ask: ToAsk) -> Result<ToAsk, SplitError> {
        let mut connection = self.db.acquire().await?;
        let call = repo::of_order(&mut connection, book, order).await?.into_iter().find(|call| call.id == ask.call.id);
        Ok(ToAsk { call: call.ok_or(SplitError::Changed)?, fresh: false, ..ask })
    }

    /// Stores the channel's word on a request, once. Whether it changed anything.
    pub(in crate::split) async fn record(&self, call: &Call, verdict: &Verdict) -> Result<bool, SplitError> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        let (mut split, mut lines) = lock_in_tx(&mut tx, call.merchant.book(), call.order).await?;
        let stored = repo::of_order(&mut tx, call.merchant.book(), call.order).await?.into_iter().find(|stored| stored.id == call.id);
        let Some(mut stored) = stored.filter(|stored| stored.status.open()) else {
            // another process was faster
            return Ok(true);
        };
        let from = stored.status;
        let told = rules::take_in(&mut stored, verdict, now);
        if from == stored.status && told.is_empty() {
            return Ok(false);
        }
        if !repo::update_in_tx(&mut tx, &stored, from).await? {
            return Err(SplitError::Changed);
        }
        match (stored.kind, verdict) {
            (CallKind::Divide, _) => tell_lines_in_tx(&mut tx, &mut split, &mut lines, &stored, &told, now).await?,
            (CallKind::Finish, Verdict::Refused(code)) => {
                // nothing is given up: the split stays open until a person has it tried again
                tracing::error!(call_id = %call.id, code, "a channel refuses to finish a split");
                split.finish_error = Some(code.clone());
                if !split::repo::update_in_tx(&mut tx, &split, split.status).await? {
                    return Err(SplitError::Changed);
                }
                let mut refused = outbox::Event { kind: "split.finish_refused", ..split::event(&split, now) };
                refused.payload["errorCode"] = code.as_str().into();
                outbox::append_in_tx(&mut tx, &[refused]).await?;
            }
            _ => {}
        }
        tx.commit().await?;
        Ok(true)
    }
}

/// What an exchange came to.
enum Said {
    Verdict(Verdict),
    /// The pace does not allow it yet.
    Wait(Duration),
}

fn judged(call: &Call, word: &DivisionWord) -> Result<Said, SplitError> {
    match rules::judge(call, word) {
        Some(verdict) => Ok(Said::Verdict(verdict)),
        None => Err(SplitError::Channel(ChannelError::BadAnswer("its shares are not those that were asked for"))),
    }
}

/// The word on a return, as that on the one share it has.
fn returned(call: &Call, word: TransferWord) -> Verdict {
    let shares = call.shares.iter();
    match word {
        TransferWord::Accepted => Verdict::Told { finished: false, shares: Vec::new() },
        TransferWord::Succeeded { .. } => Verdict::Told { finished: true, shares: shares.map(|s| (s.line, Ok(()))).collect() },
        TransferWord::Failed { code } => Verdict::Refused(code),
    }
}

/// Brings lines to where the word on their shares puts them: taken in, or failed with all below them. Those that succeeded are moved by the job.
async fn tell_lines_in_tx(
    tx: &mut PgConnection,
    split: &mut Split,
    lines: &mut [Line],
    call: &Call,
    told: &[(SplitLineId, Result<(), String>)],
    now: DateTime<Utc>,
) -> Result<(), SplitError> {
    let before: Vec<(SplitLineId, LineStatus)> = lines.iter().map(|line| (line.id, line.status)).collect();
    for line in lines.iter_mut().filter(|line| line.call == Some(call.id) && line.status == LineStatus::Sent) {
        line.status = LineStatus::Accepted;
    }
    for (failed, code) in told.iter().filter_map(|(line, word)| Some((*line, word.as_ref().err()?))) {
        let below = with_those_below(failed, lines);
        for line in lines.iter_mut().filter(|line| below.contains(&line.id) && line.status.open()) {
            let code = if line.id == failed { code.as_str() } else { ABOVE_FAILED };
            (line.status, line.error_code, line.resolved_at) = (LineStatus::Failed, Some(code.to_owned()), Some(now));
            if line.parent.is_none() {
                split.remainder.minor += line.amount.minor;
            }
        }
    }
    let from = |line: &Line| before.iter().find(|(id, _)| *id == line.id).map(|(_, from)| *from).filter(|from| *from != line.status);
    let changed: Vec<_> = lines.iter().filter_map(|line| Some((line, from(line)?))).collect();
    let kind = |line: &Line| if line.status == LineStatus::Failed { "split.line_failed" } else { "split.line_accepted" };
    let mut events: Vec<_> = changed.iter().map(|(line, _)| line_event(kind(line), line, now)).collect();
    let unchanged = line::repo::update_lines_in_tx(tx, &changed).await?;
    events.extend(restate_in_tx(tx, split, lines, now).await?);
    if !unchanged {
        return Err(SplitError::Changed);
    }
    outbox::append_in_tx(tx, &events).await?;
    Ok(())
}
