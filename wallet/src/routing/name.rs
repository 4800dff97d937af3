//! The names that routing compares: each a type of its own, shared instead of copied, and free of characters that a text would need to escape.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Longest name.
const LENGTH_MAX: usize = 64;

/// Why a text is no name.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a name has 1 to 64 letters, digits, dashes and underscores")]
pub struct BadName;

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            pub fn try_new(text: &str) -> Result<Self, BadName> {
                let known = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
                let fits = (1..=LENGTH_MAX).contains(&text.len()) && text.bytes().all(known);
                if fits { Ok(Self(text.into())) } else { Err(BadName) }
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = BadName;
            fn try_from(text: String) -> Result<Self, BadName> {
                Self::try_new(&text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0.as_ref().to_owned()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }
    )+};
}

names! {
    /// One line of the table: a merchant number of ours at a channel (渠道商户号). Quotas belong to it.
    CandidateName,
    /// A channel (支付渠道), as [`Acquirer::name`](crate::channel::acquirer::Acquirer::name) says it. Health belongs to it.
    ChannelName,
    /// What is paid for, as a channel's contract names it (产品编码).
    ProductCode,
    /// The legal entity that receives the money (收款主体).
    PayeeEntity,
    /// The account at the custody bank that the money reaches (监管账户).
    CustodyAccount,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_short_and_plain() {
        let longest = "a".repeat(64);
        for good in ["A", "WECHAT_PAY", "mch-1900000109", longest.as_str()] {
            assert_eq!(ChannelName::try_new(good).map(|n| n.to_string()).as_deref(), Ok(good));
        }
        let too_long = "a".repeat(65);
        for bad in ["", "A B", "微信", "a\"b", "a\0", too_long.as_str()] {
            assert_eq!(ChannelName::try_new(bad), Err(BadName), "{bad:?}");
            assert!(serde_json::from_value::<ChannelName>(bad.into()).is_err(), "{bad:?}");
        }
    }
}
