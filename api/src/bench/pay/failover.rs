//! The failover drill (通道切换演练): payments by WeChat at a constant rate, its line cut in the second quarter and put back after the third.
//! Tells when calls failed there, what the customers noticed, and that no order was lost and nobody paid twice.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use chrono::{DateTime, Utc};
use serde_json::json;
use wallet::base::clock::Clock;
use wallet::channel::wechat::WECHAT_PAY;

use super::books::{Comparison, Try, compare};
use super::customer::Way;
use super::load::{self, Pace};
use super::{Bench, WARM_UP, open_shop, recorded, run_on_its_own};
use crate::bench::Record;
use crate::config::Config;

#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    /// How long to pay, after a warm-up: a quarter before the line is cut, half of it cut, a quarter after
    #[arg(long, default_value_t = 40)]
    seconds: u64,
    /// Payments begun per second
    #[arg(long, default_value_t = 50)]
    rate: u32,
    /// How WeChat is down: reset (connections are cut), silence (nothing is ever answered) or busy (503)
    #[arg(long, default_value = "reset", value_parser = ["reset", "silence", "busy"])]
    how: String,
    /// One JSON object instead of words
    #[arg(long)]
    json: bool,
}

/// Runs the drill on a system of its own.
pub async fn run(config: &Config, options: Options) -> Result<()> {
    ensure!((8..=3600).contains(&options.seconds), "--seconds takes 8 to 3600");
    ensure!((1..=20_000).contains(&options.rate), "--rate takes 1 to 20000");
    run_on_its_own(config, options.json, async |bench: &mut Bench| drill(bench, config, &options).await).await
}

async fn drill(bench: &mut Bench, config: &Config, options: &Options) -> Result<(Record, Comparison)> {
    let (owner, merchant, shop) = open_shop(&bench.system, config, 0, Way::WechatCode).await?;
    let (shop, pace, since) = (Arc::new(shop), Pace::Open(options.rate), Clock::wall());
    let warm = load::play(&shop, pace, WARM_UP, 0).await?;
    let length = Duration::from_secs(options.seconds);
    let cut = async {
        tokio::time::sleep(length / 4).await;
        let cut = switch(&shop.sim_url, Some(&options.how)).await?;
        tokio::time::sleep(length / 2).await;
        anyhow::Ok((cut, switch(&shop.sim_url, None).await?))
    };
    let (phase, times) = tokio::join!(load::play(&shop, pace, length, warm.payments.len()), cut);
    let (phase, (cut, restored)) = (phase?, times?);
    let mut record = recorded("failover", &phase, Some(options.rate), 0);

    let mut played = warm.payments;
    played.extend(phase.payments);
    let compared = compare(&owner, &merchant, since, &played).await?;
    let after = |at: DateTime<Utc>| (at - cut).num_milliseconds();
    let paid = |t: &&Try| t.status == "SUCCEEDED";
    let (there, elsewhere): (Vec<&Try>, Vec<&Try>) = compared.tries.iter().partition(|t| t.channel == WECHAT_PAY);
    // a call that was under way when the line was cut was sent a moment before
    let failed: Vec<_> = there.iter().filter(|t| !paid(t)).map(|t| t.sent_at).collect();
    let elsewhere = elsewhere.into_iter().filter(|t| paid(t)).count();
    let back = there.iter().filter(|t| paid(t)).map(|t| t.sent_at).filter(|at| *at > restored).min();
    let more = [
        ("how", json!(options.how)),
        ("cut_for_ms", json!((restored - cut).num_milliseconds())),
        ("failed_calls", json!(failed.len())),
        ("first_failed_call_ms_after_cut", json!(failed.iter().min().map(|at| after(*at)))),
        ("last_failed_call_ms_after_cut", json!(failed.iter().max().map(|at| after(*at)))),
        ("paid_elsewhere", json!(elsewhere)),
        ("first_success_ms_after_restored", json!(back.map(|at| (at - restored).num_milliseconds()))),
        ("orders_lost", json!(compared.missing + compared.unpaid)),
        ("paid_twice", json!(compared.paid_twice)),
        ("compared", json!(compared)),
    ];
    record.more.extend(more.map(|(name, value)| (name.to_owned(), value)));
    Ok((record, compared))
}

/// Cuts the line to WeChat, or puts it back. When it was done.
async fn switch(sim_url: &str, how: Option<&str>) -> Result<DateTime<Utc>> {
    let told = reqwest::Client::new().post(format!("{sim_url}/control/down")).json(&json!({ "party": "wechat", "how": how })).send().await;
    let status = told.context("the simulator's control did not answer")?.status();
    ensure!(status.is_success(), "the simulator's control answered {status}");
    Ok(Clock::wall())
}
