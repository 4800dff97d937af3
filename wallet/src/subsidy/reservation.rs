//! What orders reserve of a budget (补贴预占): a hold on the programme's account under the order's own id, placed with the order, captured with
//! its payment, given up when it closes. It has no time of its own: an order's end is what ends it.

use std::collections::{BTreeSet, HashMap, HashSet};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;

use super::{Programme, repo};
use crate::base::clock::business_day;
use crate::base::id::{BookId, HoldId, OrderId, ProgrammeId};
use crate::base::money::Money;
use crate::ledger::{self, AccountName, Command, LedgerError, PlaceHold, ResolveHold};

/// A hold wants a time; this one is beyond every order's.
const BEYOND_EVERY_ORDER: TimeDelta = TimeDelta::days(36_500);

/// What a programme pays of an order (补贴). Frozen on it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Subsidy {
    pub programme: ProgrammeId,
    pub minor: i64,
}

/// A new order's part of a budget.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reserve {
    pub order: OrderId,
    pub programme: ProgrammeId,
    pub amount: Money,
}

/// The programmes that products name by these codes. One statement, none without codes.
///
/// A programme that is ended at this moment may still be given to an order: its money is there, since nothing is taken back of what is held.
pub(crate) async fn named_in_tx(tx: &mut PgConnection, codes: &BTreeSet<&str>) -> sqlx::Result<HashMap<String, Programme>> {
    if codes.is_empty() {
        return Ok(HashMap::new());
    }
    let codes: Vec<String> = codes.iter().map(|&code| code.to_owned()).collect();
    Ok(repo::by_codes_in_tx(tx, &codes).await?.into_iter().map(|programme| (programme.code.clone(), programme)).collect())
}

/// Reserves in the order given, under the locks of the budgets. Gives the orders for which too little is left.
pub(crate) async fn reserve_in_tx(tx: &mut PgConnection, wanted: &[Reserve], now: DateTime<Utc>) -> Result<HashSet<OrderId>, LedgerError> {
    let hold = |reserve: &Reserve| {
        Command::Hold(PlaceHold {
            book: BookId::PLATFORM,
            hold: HoldId(reserve.order.0),
            account: AccountName::subsidy(reserve.programme, reserve.amount.currency),
            amount_minor: reserve.amount.minor,
            reference: reserve.order.0,
            expires_at: now + BEYOND_EVERY_ORDER,
        })
    };
    let commands: Vec<Command> = wanted.iter().map(hold).collect();
    let outcomes = ledger::execute_in_tx(tx, &commands, business_day(now), now).await?;
    Ok(wanted.iter().zip(outcomes).filter(|(_, outcome)| outcome.is_err()).map(|(reserve, _)| reserve.order).collect())
}

/// Gives up what an order reserved.
pub(crate) fn freed(order: OrderId) -> ResolveHold {
    ResolveHold { book: BookId::PLATFORM, hold: HoldId(order.0) }
}
