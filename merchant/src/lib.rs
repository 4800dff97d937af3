//! Merchants (商户), their stores (门店) and people, the application with its papers (进件), and the human review of what the
//! pipeline would not decide alone. Uses `wallet` for money and `ai` for its types and pure rules; it never runs a model.

pub mod badcase;
pub mod files;
pub mod identity;
pub mod line;
pub mod mask;
pub mod merchants;
pub mod models;
pub mod onboarding;
pub mod review;
pub mod vault;
