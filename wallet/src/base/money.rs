//! Money: whole minor units with a currency, checked arithmetic, rounding named at each division.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

/// A currency of ISO 4217. Its minor unit is a hundredth.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord, Serialize, Deserialize, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "UPPERCASE")]
#[serde(rename_all = "UPPERCASE")]
pub enum Currency {
    /// Renminbi (人民币). The one currency that orders, refunds and withdrawals take; the ledger keeps all.
    Cny,
    /// Hong Kong dollar (港币).
    Hkd,
    /// US dollar (美元).
    Usd,
}

impl Currency {
    /// The ISO 4217 letters.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cny => "CNY",
            Self::Hkd => "HKD",
            Self::Usd => "USD",
        }
    }
}

impl std::str::FromStr for Currency {
    type Err = MoneyError;
    fn from_str(s: &str) -> Result<Self, MoneyError> {
        match s {
            "CNY" => Ok(Self::Cny),
            "HKD" => Ok(Self::Hkd),
            "USD" => Ok(Self::Usd),
            _ => Err(MoneyError::UnknownCurrency),
        }
    }
}

/// An amount of money in minor units (分). Never a float.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Money {
    pub minor: i64,
    pub currency: Currency,
}

/// Largest amount one command may carry: ten billion yuan. Sums of a million of them still fit an `i64`.
pub const AMOUNT_MINOR_MAX: i64 = 1_000_000_000_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    #[error("the amount must be a decimal number with at most two places, such as 12.50")]
    NotAnAmount,
    #[error("the amount must be greater than zero")]
    NotPositive,
    #[error("the amount must not exceed 10,000,000,000.00")]
    TooLarge,
    #[error("the currency must be one of CNY, HKD, USD")]
    UnknownCurrency,
    #[error("the sum does not fit")]
    Overflow,
}

impl Money {
    /// Renminbi from fen.
    pub const fn cny(minor: i64) -> Self {
        Self { minor, currency: Currency::Cny }
    }

    /// Reads `12.5` or `12.50`: positive, at most two places, no sign, exponent or spaces.
    pub fn parse_positive(text: &str, currency: Currency) -> Result<Self, MoneyError> {
        if text.is_empty() || text.len() > 24 || !text.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
            return Err(MoneyError::NotAnAmount);
        }
        let decimal: Decimal = text.parse().map_err(|_| MoneyError::NotAnAmount)?;
        if decimal.scale() > 2 || text.ends_with('.') || text.starts_with('.') {
            return Err(MoneyError::NotAnAmount);
        }
        let minor = decimal.checked_mul(Decimal::ONE_HUNDRED).ok_or(MoneyError::TooLarge)?;
        let minor = i64::try_from(minor).map_err(|_| MoneyError::TooLarge)?;
        match minor {
            ..=0 => Err(MoneyError::NotPositive),
            1..=AMOUNT_MINOR_MAX => Ok(Self { minor, currency }),
            _ => Err(MoneyError::TooLarge),
        }
    }

    /// The amount as people write it, with two places: `1234.50`.
    pub fn decimal(self) -> String {
        Decimal::new(self.minor, 2).to_string()
    }

    /// The share of `bps` basis points, half a fen rounded up (四舍五入).
    pub fn share_bps_half_up(self, bps: i32) -> Self {
        let product = i128::from(self.minor) * i128::from(bps);
        let rounded = (product.abs() + 5_000) / 10_000 * product.signum();
        // |bps| <= 10,000 keeps the share within the amount
        Self { minor: i64::try_from(rounded).unwrap_or(self.minor), currency: self.currency }
    }

    pub fn checked_add(self, other: Self) -> Result<Self, MoneyError> {
        debug_assert_eq!(self.currency, other.currency);
        let minor = self.minor.checked_add(other.minor).ok_or(MoneyError::Overflow)?;
        Ok(Self { minor, currency: self.currency })
    }
}

impl std::fmt::Display for Money {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.decimal(), self.currency.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_exactly_or_refused() {
        let cases = [
            ("12.50", Ok(1250)),
            ("12.5", Ok(1250)),
            ("0.01", Ok(1)),
            ("10000000000.00", Ok(AMOUNT_MINOR_MAX)),
            ("10000000000.01", Err(MoneyError::TooLarge)),
            ("99999999999999999999999", Err(MoneyError::TooLarge)),
            ("0", Err(MoneyError::NotPositive)),
            ("0.00", Err(MoneyError::NotPositive)),
            ("0.001", Err(MoneyError::NotAnAmount)),
            ("-1", Err(MoneyError::NotAnAmount)),
            ("1e3", Err(MoneyError::NotAnAmount)),
            (" 1", Err(MoneyError::NotAnAmount)),
            ("1.", Err(MoneyError::NotAnAmount)),
            (".5", Err(MoneyError::NotAnAmount)),
            ("1.2.3", Err(MoneyError::NotAnAmount)),
            ("", Err(MoneyError::NotAnAmount)),
            ("１２", Err(MoneyError::NotAnAmount)),
        ];
        for (text, expected) in cases {
            assert_eq!(Money::parse_positive(text, Currency::Cny).map(|m| m.minor), expected, "{text:?}");
        }
    }

    #[test]
    fn shares_round_half_a_fen_up() {
        let cases = [(10_000, 38, 38), (100, 38, 0), (132, 38, 1), (131, 38, 0), (1_250, 60, 8), (1, 10_000, 1), (0, 60, 0)];
        for (minor, bps, expected) in cases {
            assert_eq!(Money::cny(minor).share_bps_half_up(bps).minor, expected, "{minor} at {bps} bps");
        }
    }

    #[test]
    fn amounts_are_written_with_two_places() {
        assert_eq!(Money::cny(123_450).decimal(), "1234.50");
        assert_eq!(Money::cny(-5).decimal(), "-0.05");
    }
}
