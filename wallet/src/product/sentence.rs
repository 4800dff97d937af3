//! What a product does, in sentences for people.

use super::ability::{Bearer, FeeOn, HoldUntil, Product, Rate, Settle, Stage, Until};
use crate::base::money::Money;
use crate::channel::acquirer::Method;
use crate::split::rule::{Part, Share};

/// One sentence for each ability it has.
pub fn sentences(product: &Product) -> Vec<String> {
    let mut told = vec![collect(product), fee(product)];
    told.extend(hold(product));
    told.extend(split(product));
    told.push(settle(product));
    if let Some(event) = &product.marketing {
        told.push(format!("营销：支付成功时发出事件 {event}"));
    }
    if let Some(programme) = &product.subsidy {
        told.push(format!("营销：补贴计划 {programme} 有效且预算充足时，代付款人承担其中一部分"));
    }
    told
}

fn yuan(minor: i64) -> String {
    format!("{} 元", Money::cny(minor).decimal())
}

/// Basis points as people write them: 38 is 0.38%.
fn percent(bps: i64) -> String {
    format!("{}%", Money::cny(bps).decimal())
}

fn collect(product: &Product) -> String {
    let c = &product.collect;
    let name = |method: &Method| match method {
        Method::Page => "网页",
        Method::Wap => "手机网页",
        Method::InApp => "公众号/小程序",
        Method::Native => "扫码",
        Method::Barcode => "付款码",
    };
    let methods: Vec<&str> = c.methods.iter().map(name).collect();
    format!("收：{} 至 {}，支持{}，{} 分钟内支付", yuan(c.amount_minor_min), yuan(c.amount_minor_max), methods.join("、"), c.pay_within_min)
}

fn fee(product: &Product) -> String {
    let fee = &product.fee;
    let rate = match fee.rate {
        Rate::Contract => "按签约费率".to_owned(),
        Rate::Bps(bps) => format!("按 {}", percent(bps.into())),
    };
    let least = if fee.minor_min > 0 { format!("，最低 {}", yuan(fee.minor_min)) } else { String::new() };
    let most = fee.minor_max.map(|max| format!("，最高 {}", yuan(max))).unwrap_or_default();
    let bearer = match fee.bearer {
        Bearer::Merchant => "商户",
        Bearer::Payer => "付款人",
    };
    let on = match fee.on {
        FeeOn::Payment => "支付时",
        FeeOn::Release => "放款时",
    };
    format!("费：{on}{rate}收取{least}{most}，由{bearer}承担")
}

fn hold(product: &Product) -> Option<String> {
    let hold = product.hold.as_ref()?;
    let days = |days: Option<u32>| days.unwrap_or(0);
    let stage = |s: &Stage| {
        let until = match s.until {
            Until::Merchant => "商户确认".to_owned(),
            Until::Both => "双方确认".to_owned(),
            Until::Date => format!("支付满 {} 天", days(s.days)),
        };
        format!("{} {}（{until}）", s.name, percent(s.share_bps.into()))
    };
    let until = match hold.until {
        HoldUntil::Merchant => "商户确认后放款".to_owned(),
        HoldUntil::Both => "商户与付款人都确认后放款".to_owned(),
        HoldUntil::Date => format!("支付满 {} 天自动放款", days(hold.days)),
        HoldUntil::Stages => format!("分阶段放款：{}", hold.stages.iter().map(stage).collect::<Vec<_>>().join("、")),
    };
    Some(format!("存：存入该订单的专用账户，{until}"))
}

fn split(product: &Product) -> Option<String> {
    if product.split.is_empty() { None } else { Some(format!("分：{}", tree(&product.split))) }
}

fn tree(shares: &[Share]) -> String {
    let one = |share: &Share| {
        let part = match share.part {
            Part::Bps(bps) => percent(bps.into()),
            Part::FixedMinor(minor) => yuan(minor),
        };
        let below = if share.shares.is_empty() { String::new() } else { format!("，其中再分给 {}", tree(&share.shares)) };
        format!("{} 得 {part}{below}", share.role)
    };
    shares.iter().map(one).collect::<Vec<_>>().join("；")
}

fn settle(product: &Product) -> String {
    match (product.settle, &product.hold) {
        (Settle::T0, _) => "付：T+0，支付成功即可用",
        (Settle::T1, None) => "付：T+1，支付次日可用",
        (Settle::T1, Some(_)) => "付：放款次日可用",
        (Settle::OnRelease, _) => "付：放款即可用",
    }
    .to_owned()
}
