//! What the money core asks of an acquirer (收单渠道), and what an acquirer may say: the same words for every protocol.
//!
//! An adapter translates between these words and its wire, signs, verifies, and decides nothing. What it cannot prove is an error; only a
//! signed, definitive refusal is [`ChannelError::Refused`].

use std::fmt;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use serde::{Deserialize, Serialize};

use super::ChannelError;
use super::divider::{Divider, Share};
use super::payout::PayoutStatus;
use crate::base::money::Money;

/// How a customer pays at a channel (支付方式).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, sqlx::Type)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[sqlx(type_name = "text", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Method {
    /// A page on a computer.
    Page,
    /// A page on a phone.
    Wap,
    /// Inside the channel's own app: our page calls it with parameters (公众号、小程序).
    InApp,
    /// A code that the customer scans.
    Native,
    /// The customer's code, scanned at the counter.
    Barcode,
}

/// Whose app or bank the customer pays from (钱包). Which of them a code or page opens is the channel's affair.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, sqlx::Type)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[sqlx(type_name = "text", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Wallet {
    /// 微信支付
    Wechat,
    /// 支付宝
    Alipay,
    /// 云闪付
    Unionpay,
    /// 数字人民币
    Ecny,
    /// 网银
    Bank,
}

impl Wallet {
    pub const ALL: [Self; 5] = [Self::Wechat, Self::Alipay, Self::Unionpay, Self::Ecny, Self::Bank];

    /// The apps that one code is made for where nobody says which will scan it (聚合码). Who pays at a bank says so.
    pub const APPS: [Self; 4] = [Self::Wechat, Self::Alipay, Self::Unionpay, Self::Ecny];

    /// As it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Wechat => "WECHAT",
            Self::Alipay => "ALIPAY",
            Self::Unionpay => "UNIONPAY",
            Self::Ecny => "ECNY",
            Self::Bank => "BANK",
        }
    }
}

/// A payment to be asked for. The same number with the same content gives the same payment.
#[derive(Clone, Debug)]
pub struct PaymentOrder {
    /// Ours: 32 lower-case hexadecimal digits.
    pub request_no: String,
    pub amount: Money,
    pub description: String,
    pub method: Method,
    /// Who pays, by the channel's own id (openid), where the method needs it; the code that was scanned for [`Method::Barcode`].
    pub payer: Option<String>,
    /// Where the payer's page leads back to.
    pub return_url: Option<String>,
    /// From when nobody may pay any more.
    pub expires_at: DateTime<Utc>,
    /// Whether the money stays frozen at the channel until it is split (分账).
    pub split: bool,
}

/// What we asked before, as a channel needs it to find it again.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Asked {
    pub request_no: String,
    /// When it was first sent.
    pub sent_at: DateTime<Utc>,
}

/// How the customer is brought to pay.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Invitation {
    /// An address to go to.
    Url(String),
    /// The content of a code to show.
    Code(String),
    /// What our page hands to the channel's own app, as the JSON text it takes.
    Call(String),
    /// Nothing to show: the customer acts on a device of the channel.
    Wait,
}

impl Invitation {
    /// The address, where it is one.
    pub fn url(&self) -> Option<&str> {
        match self {
            Self::Url(url) => Some(url),
            Self::Code(_) | Self::Call(_) | Self::Wait => None,
        }
    }

    /// Whether it brings a customer to pay in this way: an address is nothing to scan.
    pub fn fits(&self, method: Method) -> bool {
        !matches!((self, method), (Self::Url(_), Method::Native))
    }

    /// Bytes of what is shown or handed on.
    #[expect(clippy::len_without_is_empty, reason = "a size, not a collection")]
    pub fn len(&self) -> usize {
        match self {
            Self::Url(content) | Self::Code(content) | Self::Call(content) => content.len(),
            Self::Wait => 0,
        }
    }
}

impl Method {
    pub const ALL: [Self; 5] = [Self::Page, Self::Wap, Self::InApp, Self::Native, Self::Barcode];

    /// As it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Page => "PAGE",
            Self::Wap => "WAP",
            Self::InApp => "IN_APP",
            Self::Native => "NATIVE",
            Self::Barcode => "BARCODE",
        }
    }
}

/// The channel's word on a payment.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "word", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum PaymentWord {
    /// The payer has not decided.
    Pending,
    /// Paid, with the amount and currency as the channel states them: they are compared, not assumed.
    Succeeded {
        transaction_id: String,
        amount_minor: i64,
        currency: String,
        at: DateTime<Utc>,
    },
    Failed {
        code: String,
    },
    /// Nobody can pay it any more, and nobody has.
    Closed,
}

/// A payment as the channel knows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PaymentState {
    /// None where the answer carries none, such as a query's.
    pub invitation: Option<Invitation>,
    pub word: PaymentWord,
}

/// A refund to be asked for.
#[derive(Clone, Debug)]
pub struct RefundOrder {
    pub request_no: String,
    pub payment: Asked,
    /// The channel's own id of the payment.
    pub transaction_id: String,
    pub paid: Money,
    pub amount: Money,
    pub reason: String,
    /// What the channel takes back with it from receivers of a payment that it divided; no account stands in it twice.
    pub shares: Vec<Share>,
}

/// The channel's word on a refund or a payout.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "word", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TransferWord {
    /// Taken in, result to come. Not a success.
    Accepted,
    Succeeded {
        at: DateTime<Utc>,
    },
    Failed {
        code: String,
    },
}

/// What a channel tells by itself, or what it says of several things at once.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "about", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Spoken {
    Payment {
        request_no: String,
        #[serde(flatten)]
        word: PaymentWord,
    },
    Refund {
        request_no: String,
        amount_minor: i64,
        currency: String,
        #[serde(flatten)]
        word: TransferWord,
    },
    Payout {
        request_no: String,
        amount_minor: i64,
        currency: String,
        bank_reference: String,
        #[serde(flatten)]
        word: PayoutStatus,
    },
    /// Signed and ours, but nothing that we act on.
    Other { kind: String },
}

/// A notice that was verified.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Heard {
    /// The channel's own id of it, the same for each delivery: 1 to 64 characters without NUL.
    pub notice_id: String,
    /// What of it counts. Of two deliveries of one notice this is equal, however they were encrypted.
    pub spoken: Spoken,
}

/// Why a notice is not taken. The channel is told nothing but that it was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum HearError {
    /// Signature, key, time or certificate.
    #[error("the notice is not signed as agreed")]
    Signature,
    /// Signed, and not about us: another merchant, application or seller.
    #[error("the notice is about somebody else")]
    Foreign,
    #[error("the notice's content is not as agreed")]
    Malformed,
}

/// What a channel hears when its notice was stored, or not.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub content_type: &'static str,
    pub body: String,
}

/// Whose doing a failure is (P9). What no table names is ours.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Fault {
    /// The customer's or their bank's: no money, declined, gave up.
    User,
    Channel,
    Ours,
}

/// An acquirer as the money core sees it. Every call is one signed exchange with a time limit; none is made inside a transaction.
#[async_trait]
pub trait Acquirer: fmt::Debug + Send + Sync {
    /// Stable: in attempts, in the inbox, and as subject of its clearing account. Upper-case letters and underscores.
    fn name(&self) -> &'static str;

    /// The ways to pay that it offers.
    fn methods(&self) -> &'static [Method];

    /// Asks for a payment. Safe to repeat.
    async fn pay(&self, order: &PaymentOrder) -> Result<PaymentState, ChannelError>;

    /// Asks where a payment stands. None: the channel does not know the number, which proves nothing while a request may be on its way.
    async fn query(&self, payment: &Asked) -> Result<Option<PaymentState>, ChannelError>;

    /// Closes a payment that nobody has paid. Gives where it stands now, which is `Succeeded` when the payer was faster.
    async fn close(&self, payment: &Asked) -> Result<PaymentState, ChannelError>;

    /// Asks for a refund. Safe to repeat. A success of another amount is [`ChannelError::Conflicted`].
    async fn refund(&self, order: &RefundOrder) -> Result<TransferWord, ChannelError>;

    /// Asks where a refund of `amount` stands. None: the channel does not know the number. Another amount, as for [`Self::refund`].
    async fn query_refund(&self, refund: &Asked, payment: &Asked, amount: Money) -> Result<Option<TransferWord>, ChannelError>;

    /// Whether a refusal of a refund with this code says that nothing goes back to this payer by this channel any more, so that the money
    /// must go another way.
    fn refund_closed(&self, code: &str) -> bool;

    /// Whether its notices name the sum of a payment's refunds so far in place of the one they tell of.
    fn tells_sums_of_refunds(&self) -> bool {
        false
    }

    /// Checks a notice on its raw bytes and reads it. Touches no database.
    fn hear(&self, headers: &HeaderMap, body: &[u8], now: DateTime<Utc>) -> Result<Heard, HearError>;

    /// What the channel expects to hear: that the notice was stored, or that it is to send it again.
    fn reply(&self, stored: bool) -> Reply;

    /// Whose doing a code of [`PaymentWord::Failed`] or [`ChannelError::Refused`] is.
    fn fault(&self, code: &str) -> Fault;

    /// Where it divides payments itself.
    fn divider(&self) -> Option<&dyn Divider> {
        None
    }
}
