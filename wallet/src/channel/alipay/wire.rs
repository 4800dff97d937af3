//! Alipay's messages as they travel (Alipay open platform, API pages of the methods in [`method`]): what adapter and simulator share.
//!
//! Amounts are yuan with two decimals, times Beijing time, both as text. Only fields that count are read; personal ones are not among them.

use chrono::{DateTime, NaiveDateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::base::clock::shanghai;
use crate::base::money::{Currency, Money};

/// Largest body either side reads, in bytes.
pub const BODY_MAX: usize = 64 * 1024;

/// Names of the methods.
pub mod method {
    pub const PAGE_PAY: &str = "alipay.trade.page.pay";
    pub const WAP_PAY: &str = "alipay.trade.wap.pay";
    pub const PRECREATE: &str = "alipay.trade.precreate";
    pub const QUERY: &str = "alipay.trade.query";
    pub const CLOSE: &str = "alipay.trade.close";
    pub const REFUND: &str = "alipay.trade.refund";
    pub const REFUND_QUERY: &str = "alipay.trade.fastpay.refund.query";
    pub const SETTLE: &str = "alipay.trade.order.settle";
    pub const SETTLE_QUERY: &str = "alipay.trade.order.settle.query";
    pub const RELATION_BIND: &str = "alipay.trade.royalty.relation.bind";
}

/// Answer codes (公共错误码) and business codes (业务错误码) that are told apart by name.
pub mod code {
    pub const SUCCESS: &str = "10000";
    pub const UNAVAILABLE: &str = "20000";
    pub const INVALID: &str = "40002";
    pub const BUSINESS: &str = "40004";
    /// Too many calls.
    pub const LIMITED: &str = "40005";
    pub const TRADE_NOT_EXIST: &str = "ACQ.TRADE_NOT_EXIST";
    pub const TRADE_HAS_SUCCESS: &str = "ACQ.TRADE_HAS_SUCCESS";
    pub const TRADE_HAS_CLOSE: &str = "ACQ.TRADE_HAS_CLOSE";
    pub const TRADE_STATUS_ERROR: &str = "ACQ.TRADE_STATUS_ERROR";
    pub const REASON_TRADE_STATUS_INVALID: &str = "ACQ.REASON_TRADE_STATUS_INVALID";
    pub const CONTEXT_INCONSISTENT: &str = "ACQ.CONTEXT_INCONSISTENT";
    pub const DISCORDANT_REPEAT_REQUEST: &str = "ACQ.DISCORDANT_REPEAT_REQUEST";
    pub const REASON_TRADE_REFUND_FEE_ERR: &str = "ACQ.REASON_TRADE_REFUND_FEE_ERR";
    pub const ALLOC_AMOUNT_VALIDATE_ERROR: &str = "ACQ.ALLOC_AMOUNT_VALIDATE_ERROR";
}

/// Where a trade stands (交易状态).
pub mod status {
    pub const WAIT_BUYER_PAY: &str = "WAIT_BUYER_PAY";
    pub const TRADE_SUCCESS: &str = "TRADE_SUCCESS";
    /// Succeeded, and too old to be refunded.
    pub const TRADE_FINISHED: &str = "TRADE_FINISHED";
    /// Never paid and closed, or paid and refunded in full.
    pub const TRADE_CLOSED: &str = "TRADE_CLOSED";
    pub const REFUND_SUCCESS: &str = "REFUND_SUCCESS";
}

/// A moment as Alipay writes it: `2026-11-20 09:30:00`, Beijing time.
pub fn time_text(at: DateTime<Utc>) -> String {
    at.with_timezone(&shanghai()).format("%Y-%m-%d %H:%M:%S").to_string()
}

/// Reads a moment, with or without a fraction of a second.
pub fn read_time(text: &str) -> Option<DateTime<Utc>> {
    if !(19..=23).contains(&text.len()) {
        return None;
    }
    let naive = NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f").ok()?;
    Some(naive.and_local_timezone(shanghai()).single()?.with_timezone(&Utc))
}

/// Fen from yuan, exactly: positive, at most two decimals, no sign, no exponent.
pub fn read_yuan(text: &str) -> Option<i64> {
    Money::parse_positive(text, Currency::Cny).ok().map(|money| money.minor)
}

/// Fen as yuan with two decimals.
pub fn yuan_text(minor: i64) -> String {
    Money::cny(minor).decimal()
}

/// Asks for a payment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PayContent {
    pub out_trade_no: String,
    pub total_amount: String,
    pub subject: String,
    pub product_code: String,
    /// From when nobody may pay any more.
    pub time_expire: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extend_params: Option<PayExtend>,
}

/// More about a payment (业务扩展参数).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PayExtend {
    /// `true`: the money stays frozen until it is split.
    pub royalty_freeze: String,
}

/// Names a trade.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TradeContent {
    pub out_trade_no: String,
}

/// Asks for a refund.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefundContent {
    pub out_trade_no: String,
    pub out_request_no: String,
    pub refund_amount: String,
    pub refund_reason: String,
    /// What comes back from payees of a trade that was split (退分账明细信息).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refund_royalty_parameters: Vec<RefundRoyalty>,
}

/// What one payee gives back with a refund. Payees never show in `Debug`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefundRoyalty {
    pub royalty_type: String,
    /// The payee of the split, who gives it back.
    pub trans_out: String,
    pub trans_out_type: String,
    /// The account that was paid.
    pub trans_in: String,
    pub trans_in_type: String,
    pub amount: String,
    pub desc: String,
}

impl std::fmt::Debug for RefundRoyalty {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RefundRoyalty").field("amount", &self.amount).finish_non_exhaustive()
    }
}

/// Asks where a refund stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefundQueryContent {
    pub out_trade_no: String,
    pub out_request_no: String,
    /// What is to be told beside the status.
    pub query_options: Vec<String>,
}

/// Asks for a paid trade to be split (分账).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettleContent {
    pub out_request_no: String,
    pub trade_no: String,
    pub royalty_parameters: Vec<RoyaltyPart>,
    pub extend_params: SettleExtend,
    /// `async`: the results are asked for later.
    pub royalty_mode: String,
}

/// Whose share, and how much. Payees never show in `Debug`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoyaltyPart {
    pub royalty_type: String,
    pub trans_in_type: String,
    pub trans_in: String,
    pub amount: String,
    pub desc: String,
}

impl std::fmt::Debug for RoyaltyPart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RoyaltyPart").field("amount", &self.amount).finish_non_exhaustive()
    }
}

/// More about a split.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettleExtend {
    /// `true`: nothing more will be split, the rest is freed.
    pub royalty_finish: String,
}

/// Makes payees known (分账关系绑定).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BindContent {
    pub out_request_no: String,
    pub receiver_list: Vec<BoundPayee>,
}

/// Who is bound. Never shows in `Debug`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoundPayee {
    #[serde(rename = "type")]
    pub kind: String,
    pub account: String,
    pub name: String,
}

impl std::fmt::Debug for BoundPayee {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BoundPayee").finish_non_exhaustive()
    }
}

/// Asks where a split stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettleQueryContent {
    pub out_request_no: String,
    pub trade_no: String,
}

/// What every answer begins with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    pub code: String,
    #[serde(default)]
    pub msg: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sub_code: Option<String>,
}

/// A trade that was asked for: nothing but its code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrecreateAnswer {
    pub out_trade_no: String,
    pub qr_code: String,
}

/// A trade as it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TradeAnswer {
    pub out_trade_no: String,
    pub trade_no: String,
    pub trade_status: String,
    pub total_amount: String,
    /// When it was paid. Missing as long as it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub send_pay_date: Option<String>,
    /// The currency of `total_amount` where it is not renminbi.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trans_currency: Option<String>,
}

/// A trade that was closed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CloseAnswer {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub out_trade_no: Option<String>,
}

/// A refund that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefundAnswer {
    pub out_trade_no: String,
    pub trade_no: String,
    /// All that was refunded of this trade so far, this refund included.
    pub refund_fee: String,
    /// `Y`: this very call moved the money.
    pub fund_change: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gmt_refund_pay: Option<String>,
}

/// Where a refund stands. All missing: there is none of this number.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefundQueryAnswer {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub out_trade_no: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub out_request_no: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refund_status: Option<String>,
    /// Of this refund alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refund_amount: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gmt_refund_pay: Option<String>,
    /// What became of what payees were to give back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refund_royaltys: Vec<RefundRoyaltyResult>,
}

/// What became of what one payee was to give back (退分账结果). Payees never show in `Debug`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefundRoyaltyResult {
    pub refund_amount: String,
    #[serde(default)]
    pub royalty_type: String,
    /// `SUCCESS`, or why not.
    pub result_code: String,
    pub trans_out: String,
}

impl std::fmt::Debug for RefundRoyaltyResult {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { refund_amount, result_code, .. } = self;
        f.debug_struct("RefundRoyaltyResult")
            .field("refund_amount", refund_amount)
            .field("result_code", result_code)
            .finish_non_exhaustive()
    }
}

/// A split that was taken in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettleAnswer {
    pub trade_no: String,
    pub settle_no: String,
}

/// Whether payees are bound: `SUCCESS` or `FAIL`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BindAnswer {
    pub result_code: String,
}

/// A split with its parts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettleQueryAnswer {
    pub out_request_no: String,
    pub operation_dt: String,
    #[serde(default)]
    pub royalty_detail_list: Vec<RoyaltyDetail>,
}

/// One part of a split. Payees never show in `Debug`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoyaltyDetail {
    /// `transfer` for a share; anything else is another movement of the same split.
    pub operation_type: String,
    pub trans_in: String,
    pub amount: String,
    /// `PROCESSING`, `SUCCESS` or `FAIL`.
    pub state: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execute_dt: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_code: Option<String>,
}

impl std::fmt::Debug for RoyaltyDetail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RoyaltyDetail").field("amount", &self.amount).field("state", &self.state).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yuan_are_read_exactly_or_not_at_all() {
        let good = [("0.01", 1), ("1", 100), ("1.5", 150), ("88.88", 8_888), ("10000000000.00", 1_000_000_000_000)];
        for (text, minor) in good {
            assert_eq!(read_yuan(text), Some(minor), "{text}");
        }
        for text in ["", "0", "0.00", "-1.00", "+1.00", "1.001", "1.", ".5", "1e2", "1,000.00", " 1.00", "1.00 ", "0x10", "NaN", "１"] {
            assert_eq!(read_yuan(text), None, "{text}");
        }
        assert_eq!(yuan_text(1), "0.01");
        assert_eq!(yuan_text(123_450), "1234.50");
    }

    #[test]
    fn times_are_beijing_times() {
        let at: DateTime<Utc> = "2026-11-20T16:00:05Z".parse().unwrap();
        assert_eq!(time_text(at), "2026-11-21 00:00:05");
        assert_eq!(read_time("2026-11-21 00:00:05"), Some(at));
        assert_eq!(read_time("2026-11-21 00:00:05.320"), Some(at + chrono::TimeDelta::milliseconds(320)));
        for text in ["", "2026-11-21", "2026-11-21T00:00:05", "2026-13-21 00:00:05", "2026-11-21 00:00:05+0800", "2026-1-2 00:00:05"] {
            assert_eq!(read_time(text), None, "{text}");
        }
    }
}
