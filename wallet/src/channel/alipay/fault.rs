//! Business codes: which are definitive refusals, which mean "ask again", and whose doing they are.
//!
//! From the tables of business codes (业务错误码) on the API pages of the methods in [`super::wire::method`]. A code that stands in no table
//! refuses nothing: what became of the request is then asked.

use crate::channel::acquirer::Fault;

/// An order that may not be asked for by this adapter: a way to pay that it does not offer. Never sent.
pub const METHOD_NOT_OFFERED: &str = "LOCAL.METHOD_NOT_OFFERED";
/// Another currency than renminbi. Never sent.
pub const CURRENCY_NOT_OFFERED: &str = "LOCAL.CURRENCY_NOT_OFFERED";
/// Open for longer than agreed. Never sent.
pub const OPEN_TOO_LONG: &str = "LOCAL.OPEN_TOO_LONG";
/// A payment whose division cannot be given back as it is asked. Never sent.
pub const SPLIT_NOT_OFFERED: &str = "LOCAL.SPLIT_NOT_OFFERED";

/// Refusals that prove that nothing was carried out, and who has to act.
const REFUSALS: [(&str, Fault); 33] = [
    // asking for a payment
    ("ACQ.ACCESS_FORBIDDEN", Fault::Ours),
    ("ACQ.EXIST_FORBIDDEN_WORD", Fault::Ours),
    ("ACQ.INVALID_PARAMETER", Fault::Ours),
    ("ACQ.PARTNER_ERROR", Fault::Ours),
    ("ACQ.PRODUCT_AMOUNT_LIMIT_ERROR", Fault::Ours),
    ("ACQ.TOTAL_FEE_EXCEED", Fault::Ours),
    ("ACQ.BEYOND_PER_RECEIPT_RESTRICTION", Fault::Ours),
    ("ACQ.BEYOND_PER_RECEIPT_DAY_RESTRICTION", Fault::Ours),
    ("ACQ.BUYER_SELLER_EQUAL", Fault::User),
    ("ACQ.BUYER_ENABLE_STATUS_FORBID", Fault::User),
    ("ACQ.BUYER_ERROR", Fault::User),
    ("ACQ.BUYER_NOT_EXIST", Fault::User),
    ("ACQ.BUYER_PAYMENT_AMOUNT_DAY_LIMIT_ERROR", Fault::User),
    ("ACQ.BUYER_PAYMENT_AMOUNT_MONTH_LIMIT_ERROR", Fault::User),
    // refunding
    ("ACQ.CURRENCY_NOT_SUPPORT", Fault::Ours),
    ("ACQ.CUSTOMER_VALIDATE_ERROR", Fault::User),
    ("ACQ.NOT_ALLOW_PARTIAL_REFUND", Fault::Ours),
    ("ACQ.ONLINE_TRADE_VOUCHER_NOT_ALLOW_REFUND", Fault::Ours),
    ("ACQ.REASON_TRADE_BEEN_FREEZEN", Fault::Channel),
    ("ACQ.REASON_TRADE_REFUND_FEE_ERR", Fault::Ours),
    ("ACQ.REASON_TRADE_STATUS_INVALID", Fault::Ours),
    ("ACQ.REFUND_AMT_NOT_EQUAL_TOTAL", Fault::Ours),
    ("ACQ.REFUND_FEE_ERROR", Fault::Ours),
    ("ACQ.SELLER_BALANCE_NOT_ENOUGH", Fault::Ours),
    ("ACQ.TRADE_HAS_FINISHED", Fault::Ours),
    ("ACQ.TRADE_NOT_ALLOW_REFUND", Fault::Ours),
    ("ACQ.TRADE_STATUS_ERROR", Fault::Ours),
    // splitting
    ("ACQ.ALLOC_AMOUNT_VALIDATE_ERROR", Fault::Ours),
    ("ACQ.ILLEGAL_SETTLE_STATE", Fault::Ours),
    ("ACQ.PRODUCT_UNSIGN", Fault::Ours),
    ("ACQ.ROYALTY_RECEIVER_INVALID", Fault::Ours),
    ("ACQ.TXN_RESULT_ACCOUNT_BALANCE_NOT_ENOUGH", Fault::Ours),
    ("ACQ.USER_NOT_EXIST", Fault::Ours),
];

/// Whether the code proves that the request was not carried out and will not be.
pub fn definitive(code: &str) -> bool {
    REFUSALS.iter().any(|(known, _)| *known == code)
}

/// Whether nothing goes back by Alipay any more: the buyer is gone or frozen, or the trade is past its time for refunds (交易已完结).
pub fn refund_closed(code: &str) -> bool {
    matches!(code, "ACQ.BUYER_NOT_EXIST" | "ACQ.BUYER_ENABLE_STATUS_FORBID" | "ACQ.TRADE_HAS_FINISHED")
}

/// Whether the code says that Alipay cannot tell now: what happened to the request is unknown. Some come with `aop.` before them.
pub fn unknown_for_now(code: &str) -> bool {
    code.starts_with("isp.") || code.ends_with("SYSTEM_ERROR") || code.ends_with("FREQUENCY_LIMIT") || code == "ACQ.TRADE_SETTLE_ERROR"
}

/// Whose doing a code is.
pub fn fault(code: &str) -> Fault {
    match REFUSALS.iter().find(|(known, _)| *known == code) {
        Some((_, fault)) => *fault,
        None if unknown_for_now(code) => Fault::Channel,
        None => Fault::Ours,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_that_no_table_names_refuses_nothing_and_is_ours() {
        let cases = [
            ("ACQ.SELLER_BALANCE_NOT_ENOUGH", true, false, Fault::Ours),
            ("ACQ.BUYER_ERROR", true, false, Fault::User),
            ("ACQ.REASON_TRADE_BEEN_FREEZEN", true, false, Fault::Channel),
            ("ACQ.SYSTEM_ERROR", false, true, Fault::Channel),
            ("aop.ACQ.SYSTEM_ERROR", false, true, Fault::Channel),
            ("AQC.SYSTEM_ERROR", false, true, Fault::Channel),
            ("isp.unknow-error", false, true, Fault::Channel),
            ("ACQ.TRADE_SETTLE_ERROR", false, true, Fault::Channel),
            ("FREQUENCY_LIMIT", false, true, Fault::Channel),
            ("ACQ.DISCORDANT_REPEAT_REQUEST", false, false, Fault::Ours),
            ("ACQ.CONTEXT_INCONSISTENT", false, false, Fault::Ours),
            ("ACQ.TRADE_NOT_EXIST", false, false, Fault::Ours),
            ("ACQ.TRADE_HAS_SUCCESS", false, false, Fault::Ours),
            ("ACQ.NEW_AND_UNHEARD_OF", false, false, Fault::Ours),
            ("isv.invalid-signature", false, false, Fault::Ours),
            (METHOD_NOT_OFFERED, false, false, Fault::Ours),
            ("", false, false, Fault::Ours),
        ];
        for (code, refuses, unknown, whose) in cases {
            assert_eq!((definitive(code), unknown_for_now(code), fault(code)), (refuses, unknown, whose), "{code}");
        }
    }

    #[test]
    fn no_code_both_refuses_and_leaves_open() {
        for (at, (code, _)) in REFUSALS.iter().enumerate() {
            assert!(!unknown_for_now(code), "{code}");
            assert!(REFUSALS[at + 1..].iter().all(|(other, _)| other != code), "{code} stands twice");
        }
    }
}
