//! Money outside: a decimal string and a currency. Never an Int or a Float.

use async_graphql::{Enum, InputValueError, InputValueResult, Scalar, ScalarType, SimpleObject, Value};
use wallet::base::money::{Currency, Money, MoneyError};

use super::error::{UserError, invalid};

/// A decimal number in a string, such as "12.50". Exact; never a float.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decimal(pub String);

#[Scalar]
impl ScalarType for Decimal {
    fn parse(value: Value) -> InputValueResult<Self> {
        match value {
            // what it must look like is said per field, with the field's name
            Value::String(text) if text.len() <= 40 => Ok(Self(text)),
            Value::Number(_) => Err(InputValueError::custom("send the amount as a string, such as \"12.50\"")),
            other => Err(InputValueError::expected_type(other)),
        }
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.clone())
    }
}

/// A currency of ISO 4217.
#[derive(Enum, Clone, Copy, PartialEq, Eq, Debug)]
#[graphql(name = "Currency")]
pub enum CurrencyCode {
    /// Renminbi (人民币). The one currency that a command takes.
    Cny,
    /// Hong Kong dollar (港币).
    Hkd,
    /// US dollar (美元).
    Usd,
}

impl From<Currency> for CurrencyCode {
    fn from(currency: Currency) -> Self {
        match currency {
            Currency::Cny => Self::Cny,
            Currency::Hkd => Self::Hkd,
            Currency::Usd => Self::Usd,
        }
    }
}

impl From<CurrencyCode> for Currency {
    fn from(currency: CurrencyCode) -> Self {
        match currency {
            CurrencyCode::Cny => Self::Cny,
            CurrencyCode::Hkd => Self::Hkd,
            CurrencyCode::Usd => Self::Usd,
        }
    }
}

/// An amount of money.
#[derive(SimpleObject, Clone, Debug)]
#[graphql(name = "Money")]
pub struct MoneyNode {
    /// With two decimal places, such as "1234.50".
    amount: Decimal,
    currency: CurrencyCode,
}

impl From<Money> for MoneyNode {
    fn from(money: Money) -> Self {
        Self { amount: Decimal(money.decimal()), currency: money.currency.into() }
    }
}

/// Reads an amount with its field's name.
pub fn amount(field: &str, text: &Decimal, currency: CurrencyCode) -> Result<Money, UserError> {
    if currency != CurrencyCode::Cny {
        return Err(invalid("currency", "目前只支持人民币 (CNY)"));
    }
    Money::parse_positive(&text.0, currency.into()).map_err(|error| {
        let message = match error {
            MoneyError::NotPositive => "金额须大于 0",
            MoneyError::TooLarge => "金额不能超过 100 亿元",
            _ => "金额须为最多两位小数的数字，例如 12.50",
        };
        invalid(field, message)
    })
}

/// The same where zero says something, too.
pub fn amount_or_zero(field: &str, text: &Decimal, currency: CurrencyCode) -> Result<Money, UserError> {
    match Money::parse_positive(&text.0, currency.into()) {
        // without a sign, what is not positive is zero
        Err(MoneyError::NotPositive) if currency == CurrencyCode::Cny => Ok(Money { minor: 0, currency: currency.into() }),
        _ => amount(field, text, currency),
    }
}

/// A rate in basis points as a percentage: 38 becomes "0.38".
pub fn percent_of_bps(bps: i64) -> Decimal {
    Decimal(Money::cny(bps).decimal())
}
