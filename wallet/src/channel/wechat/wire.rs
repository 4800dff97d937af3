//! Messages of WeChat Pay APIv3 as they travel: with the signatures, the one thing that the adapter and the simulator share.
//!
//! Amounts are whole fen (分), times RFC 3339 in +08:00. Unknown fields are passed over, a field given twice is an error. Openids, names
//! and accounts of persons never show in `Debug`. Each type names the page of the merchant documents (pay.weixin.qq.com) it follows.

use std::fmt;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

use crate::base::clock::shanghai;

/// Largest body either side reads, in bytes.
pub const BODY_MAX: usize = 64 * 1024;

/// A moment as requests carry it, to the second below.
pub fn time(at: DateTime<Utc>) -> String {
    at.with_timezone(&shanghai()).to_rfc3339_opts(SecondsFormat::Secs, false)
}

/// A text that names a person or a person's account. Never shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Personal(pub String);

impl fmt::Debug for Personal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Personal")
    }
}

/// Something sealed with the API v3 key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    pub algorithm: String,
    pub nonce: String,
    #[serde(default)]
    pub associated_data: String,
    pub ciphertext: String,
}

/// "下载平台证书".
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Certificates {
    pub data: Vec<SealedCertificate>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SealedCertificate {
    pub serial_no: String,
    pub effective_time: DateTime<Utc>,
    pub expire_time: DateTime<Utc>,
    pub encrypt_certificate: Sealed,
}

/// "JSAPI/小程序下单" and "Native 下单": the one has a payer, the other has none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prepay {
    pub appid: String,
    pub mchid: String,
    pub description: String,
    pub out_trade_no: String,
    pub time_expire: String,
    pub notify_url: String,
    pub settle_info: SettleInfo,
    pub amount: Amount,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payer: Option<Payer>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettleInfo {
    pub profit_sharing: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amount {
    pub total: i64,
    pub currency: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payer {
    pub openid: Personal,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PrepayId {
    pub prepay_id: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CodeUrl {
    pub code_url: String,
}

/// "JSAPI 调起支付": what our page hands to WeChat's app.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Call {
    pub app_id: String,
    pub time_stamp: String,
    pub nonce_str: String,
    pub package: String,
    pub sign_type: String,
    pub pay_sign: String,
}

/// Where a payment stands (trade_state).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum TradeState {
    Success,
    /// Paid, and refunded in part or whole.
    Refund,
    NotPay,
    Closed,
    Revoked,
    UserPaying,
    /// A deduction that was taken in and waits.
    Accept,
    PayError,
}

/// "微信支付订单号查询订单", and what a payment notice holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transaction {
    pub appid: String,
    pub mchid: String,
    pub out_trade_no: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transaction_id: Option<String>,
    pub trade_state: TradeState,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub success_time: Option<DateTime<Utc>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<Amount>,
}

/// The body of "关闭订单".
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Close {
    pub mchid: String,
}

/// "申请退款".
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refund {
    pub transaction_id: String,
    pub out_refund_no: String,
    pub reason: String,
    pub notify_url: String,
    pub amount: RefundAmount,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefundAmount {
    pub refund: i64,
    /// What was paid, of which the refund is a part.
    pub total: i64,
    pub currency: String,
}

/// Where a refund stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum RefundStatus {
    Success,
    Closed,
    Processing,
    /// The payer's card or account takes nothing: the money must go another way.
    Abnormal,
}

/// "查询单笔退款", and the answer to "申请退款".
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefundAnswer {
    pub refund_id: String,
    pub out_refund_no: String,
    pub transaction_id: String,
    pub out_trade_no: String,
    pub status: RefundStatus,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub success_time: Option<DateTime<Utc>>,
    pub amount: RefundAmount,
}

/// What a refund notice ("退款结果通知") holds. It names no currency.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefundNotice {
    pub mchid: String,
    pub out_trade_no: String,
    pub transaction_id: String,
    pub out_refund_no: String,
    pub refund_id: String,
    pub refund_status: RefundStatus,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub success_time: Option<DateTime<Utc>>,
    pub amount: RefundNoticeAmount,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefundNoticeAmount {
    pub total: i64,
    pub refund: i64,
}

/// A notice before its content is opened ("支付成功回调通知").
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Notice {
    pub id: String,
    pub create_time: DateTime<Utc>,
    pub event_type: String,
    pub resource_type: String,
    pub resource: Sealed,
}

/// Kinds of a [`Notice`] that are read.
pub mod event {
    pub const PAID: &str = "TRANSACTION.SUCCESS";
    pub const REFUNDED: &str = "REFUND.SUCCESS";
    pub const REFUND_ABNORMAL: &str = "REFUND.ABNORMAL";
    pub const REFUND_CLOSED: &str = "REFUND.CLOSED";
}

/// A refusal, and what a notice that was not stored is answered with.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Refusal {
    pub code: String,
    #[serde(default)]
    pub message: String,
}

/// What a receiver of a split is (分账接收方类型).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ReceiverType {
    MerchantId,
    PersonalOpenid,
}

/// "请求分账".
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Split {
    pub appid: String,
    pub transaction_id: String,
    pub out_order_no: String,
    pub receivers: Vec<Receiver>,
    pub unfreeze_unsplit: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receiver {
    #[serde(rename = "type")]
    pub kind: ReceiverType,
    pub account: Personal,
    pub amount: i64,
    pub description: String,
}

/// "解冻剩余资金".
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unfreeze {
    pub transaction_id: String,
    pub out_order_no: String,
    pub description: String,
}

/// Where a split order stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum SplitState {
    Processing,
    Finished,
}

/// Where one share stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ShareResult {
    Pending,
    Success,
    /// It did not reach the receiver and went back to the payment.
    Closed,
}

/// "查询分账结果", and the answer to "请求分账" and "解冻剩余资金".
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SplitAnswer {
    pub transaction_id: String,
    pub out_order_no: String,
    pub order_id: String,
    pub state: SplitState,
    #[serde(default)]
    pub receivers: Vec<Share>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    #[serde(rename = "type")]
    pub kind: ReceiverType,
    pub account: Personal,
    pub amount: i64,
    pub result: ShareResult,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fail_reason: Option<String>,
}

/// "请求分账回退": a share comes back, only from a merchant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Return {
    pub out_order_no: String,
    pub out_return_no: String,
    pub return_mchid: String,
    pub amount: i64,
    pub description: String,
}

/// Where a return stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ReturnResult {
    Processing,
    Success,
    Failed,
}

/// "查询分账回退结果", and the answer to "请求分账回退".
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReturnAnswer {
    pub out_order_no: String,
    pub out_return_no: String,
    pub return_mchid: String,
    pub amount: i64,
    pub result: ReturnResult,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fail_reason: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finish_time: Option<DateTime<Utc>>,
}

/// "添加分账接收方". The name is sealed for the platform's key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddReceiver {
    pub appid: String,
    #[serde(rename = "type")]
    pub kind: ReceiverType,
    pub account: Personal,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    pub relation_type: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddReceiverAnswer {
    #[serde(rename = "type")]
    pub kind: ReceiverType,
    pub account: Personal,
}

/// "发起转账" to a person's WeChat balance (商家转账). The name is sealed for the platform's key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transfer {
    pub appid: String,
    pub out_bill_no: String,
    pub transfer_scene_id: String,
    pub openid: Personal,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_name: Option<String>,
    pub transfer_amount: i64,
    pub transfer_remark: String,
    pub notify_url: String,
    pub transfer_scene_report_infos: Vec<SceneReport>,
}

/// What a scene of transfers must be explained with ("转账场景报备信息").
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SceneReport {
    pub info_type: String,
    pub info_content: String,
}

/// Where a transfer stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TransferState {
    Accepted,
    Processing,
    /// The payee has to accept it in WeChat, within 24 hours.
    WaitUserConfirm,
    /// Spelt as WeChat spells it.
    Transfering,
    Success,
    Fail,
    Canceling,
    Cancelled,
}

/// The answer to "发起转账".
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransferAnswer {
    pub out_bill_no: String,
    pub transfer_bill_no: String,
    pub state: TransferState,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fail_reason: Option<String>,
    /// What our page hands to WeChat's app so that the payee can accept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package_info: Option<String>,
}

/// "商户单号查询转账单".
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransferBill {
    pub mch_id: String,
    pub appid: String,
    pub out_bill_no: String,
    pub transfer_bill_no: String,
    pub state: TransferState,
    pub transfer_amount: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fail_reason: Option<String>,
    pub update_time: DateTime<Utc>,
}
