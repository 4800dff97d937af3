//! WeChat Pay's codes: which refusals are definitive, which mean "not now", and whose doing each is.
//!
//! Sources: "公共错误码" and the tables of error codes of each page. What no table here names decides nothing and is ours.

use crate::channel::acquirer::Fault;

/// Refusals that prove that the request was not carried out and, being repeated, would not be. `INVALID_REQUEST`, `RULE_LIMIT`,
/// `OUT_TRADE_NO_USED`, `ORDERPAID` and `ORDER_CLOSED` are deliberately not among them: the first two stand for many things, and all
/// may answer the repetition of a request that was carried out.
const DEFINITIVE: &[(&str, Fault)] = &[
    ("ACCOUNT_ERROR", Fault::User),
    ("APPID_MCHID_NOT_MATCH", Fault::Ours),
    ("MCH_NOT_EXISTS", Fault::Ours),
    ("NO_AUTH", Fault::Ours),
    // our balance at WeChat does not suffice
    ("NOT_ENOUGH", Fault::Ours),
    ("PARAM_ERROR", Fault::Ours),
    ("TRADE_ERROR", Fault::User),
    ("USER_ACCOUNT_ABNORMAL", Fault::User),
    // told by this adapter before anything is sent
    (METHOD_NOT_OFFERED, Fault::Ours),
    (TOO_MANY_RECEIVERS, Fault::Ours),
];

/// Codes that mean "ask again".
const NOT_NOW: &[&str] =
    &["BANK_ERROR", "FREQUENCY_LIMITED", "FREQUENCY_LIMIT_EXCEED", "RATELIMIT_EXCEED", "RATELIMIT_EXCEEDED", "SYSTEM_ERROR", "SYSTEMERROR"];

/// Codes that a query answers about a number that is not known.
const NOT_FOUND: &[&str] = &["NOT_FOUND", "ORDER_NOT_EXIST", "ORDERNOTEXIST", "RESOURCE_NOT_EXISTS"];

/// Why something ended badly, where that is not ours.
const ENDED: &[(&str, Fault)] = &[
    (PAY_ERROR, Fault::User),
    (ABNORMAL, Fault::User),
    (REFUND_CLOSED, Fault::Channel),
    // splits and their returns ("分账失败原因")
    ("ACCOUNT_ABNORMAL", Fault::User),
    ("BALANCE_NOT_ENOUGH", Fault::User),
    ("RECEIVER_HIGH_RISK", Fault::User),
    ("RECEIVER_REAL_NAME_NOT_VERIFIED", Fault::User),
    ("RECEIVER_RECEIPT_LIMIT", Fault::User),
    ("TIME_OUT_CLOSED", Fault::Channel),
    // transfers ("商家转账失败原因")
    ("ACCOUNT_FROZEN", Fault::User),
    ("ACCOUNT_NOT_EXIST", Fault::User),
    ("DAY_RECEIVED_COUNT_EXCEED", Fault::User),
    ("DAY_RECEIVED_QUOTA_EXCEED", Fault::User),
    ("ID_CARD_NOT_CORRECT", Fault::User),
    ("NAME_NOT_CORRECT", Fault::User),
    ("OVERDUE_CLOSE", Fault::User),
    ("PAYEE_ACCOUNT_ABNORMAL", Fault::User),
    ("REAL_NAME_CHECK_FAIL", Fault::User),
    ("RECEIVE_ACCOUNT_NOT_CONFIGURE", Fault::User),
    ("TRANSFER_QUOTA_EXCEED", Fault::User),
    ("TRANSFER_REMARK_SET_FAIL", Fault::Ours),
    ("TRANSFER_RISK", Fault::Channel),
];

/// A payment whose state is PAYERROR.
pub const PAY_ERROR: &str = "PAYERROR";
/// A refund whose state is ABNORMAL: the payer's card or account takes nothing, the money must go another way.
pub const ABNORMAL: &str = "ABNORMAL";
/// A refund whose state is CLOSED: nothing went back.
pub const REFUND_CLOSED: &str = "CLOSED";
/// A way to pay that this channel lacks, or that lacks its payer.
pub const METHOD_NOT_OFFERED: &str = "METHOD_NOT_OFFERED";
/// More receivers in one split than one call takes.
pub const TOO_MANY_RECEIVERS: &str = "TOO_MANY_RECEIVERS";
/// Our signature was refused. Says nothing about the same request sent before.
pub const SIGN_ERROR: &str = "SIGN_ERROR";
/// What a closed payment is answered with when it is closed again.
pub const ORDER_CLOSED: &[&str] = &["ORDER_CLOSED", "ORDERCLOSED"];
/// What a query of a number that is not known is answered with by the simulator.
pub const ORDER_NOT_EXIST: &str = "ORDER_NOT_EXIST";

/// Whether nothing goes back to the payer of a refund with this code: what is abnormal, and a user who is gone ("用户账户异常、注销").
pub fn refund_closed(code: &str) -> bool {
    code == ABNORMAL || code == "USER_ACCOUNT_ABNORMAL"
}

/// Whether a refusal with this code is the channel's last word on a request.
pub fn definitive(code: &str) -> bool {
    DEFINITIVE.iter().any(|(known, _)| *known == code)
}

pub fn not_now(code: &str) -> bool {
    NOT_NOW.contains(&code)
}

pub fn not_found(code: &str) -> bool {
    NOT_FOUND.contains(&code)
}

/// Whose doing a code is.
pub fn fault(code: &str) -> Fault {
    let named = DEFINITIVE.iter().chain(ENDED).find(|(known, _)| *known == code).map(|(_, fault)| *fault);
    named.unwrap_or(if not_now(code) { Fault::Channel } else { Fault::Ours })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_has_one_meaning() {
        let mut all: Vec<&str> = DEFINITIVE.iter().chain(ENDED).map(|(code, _)| *code).chain(NOT_NOW.iter().copied()).collect();
        all.extend(NOT_FOUND);
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
    }

    #[test]
    fn what_no_table_names_decides_nothing_and_is_ours() {
        for code in ["INVALID_REQUEST", "RULE_LIMIT", "OUT_TRADE_NO_USED", "ORDERPAID", "ORDER_CLOSED", SIGN_ERROR, "", "param_error"] {
            assert!(!definitive(code), "{code}");
            assert_eq!(fault(code), Fault::Ours, "{code}");
        }
        let cases = [("TRADE_ERROR", Fault::User), ("SYSTEM_ERROR", Fault::Channel), ("NOT_ENOUGH", Fault::Ours), (ABNORMAL, Fault::User)];
        for (code, expected) in cases {
            assert_eq!(fault(code), expected, "{code}");
        }
    }
}
