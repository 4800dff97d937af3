//! Splits (分账): dividing what an order brought among several merchants.

pub mod rule;
