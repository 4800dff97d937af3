//! The demo (演示): a merchant applies, signs, sells, refunds, is settled and withdraws, through the public API only.
//!
//! It is also the main job on real input: it fails, and the process with it, when the daily board and the totals recomputed from
//! entries differ by a cent, or when any step does not come about in its time.

pub(crate) mod application;
mod board;
pub(crate) mod client;
pub(crate) mod papers;
pub(crate) mod report;
pub(crate) mod trade;

use std::time::Duration;

use anyhow::{Context, Result};
use chrono::{DateTime, TimeDelta};
use serde_json::json;
use uuid::Uuid;
use wallet::base::clock::{Clock, shanghai};

use crate::config::Config;
use client::Client;
use report::{Steps, seconds};

/// Hour of the Shanghai day that the demo plays: no run straddles midnight.
const HOUR: u32 = 10;

/// Runs the scenario against a running system at `base_url`, printing each step with its time. Each run is a new merchant; returns the
/// login code of its owner.
pub async fn run(config: &Config, base_url: &str) -> Result<String> {
    println!("演示 Demo: 一家商户从进件到提现 — one merchant from application to withdrawal");
    let mut steps = Steps::start();
    let anonymous = Client::anonymous(base_url)?;
    // Handles of its own for each run, so that a second demo meets nothing of the first.
    let run: String = Uuid::new_v4().simple().to_string().chars().take(8).collect();

    let operator = anonymous.login("dev:operator:ops").await.context("the operator's login")?;
    let day = yesterday_at(HOUR)?;
    play(config, &operator, day.offset_ms).await?;
    steps.done(&format!("沙箱时钟回到昨天 sandbox clock set to yesterday, {}", day.text));

    let owner_code = format!("dev:owner:demo-{run}");
    let owner = anonymous.login(&owner_code).await.context("the owner's login")?;
    let reviewer = anonymous.login("dev:reviewer:rui").await.context("the reviewer's login")?;
    let papers = papers::make(config).await?;
    steps.done(&format!("样本证件 {} 张 specimen papers drawn", papers.len()));
    let merchant = application::sign(&owner, &reviewer, &papers, &run, &mut steps).await?;

    let stores = trade::open_stores(&owner, &merchant).await?;
    steps.done("开店两家 two stores opened: 城西店, 城东店");
    let mut sales = trade::sell(&anonymous, &owner, &stores, config.channel.query_after_ms, &mut steps).await?;
    trade::refund_part(&owner, &mut sales, &mut steps).await?;

    play(config, &operator, 0).await?;
    // A session is bound to the day it was opened on.
    let operator = anonymous.login("dev:operator:ops").await?;
    let owner = anonymous.login(&owner_code).await?;
    trade::settle(&operator, &owner, &merchant, &mut steps).await?;
    trade::withdraw(&owner, &merchant, &mut steps).await?;

    sales.late_notice(&mut steps).await;
    board::compare(&owner, &merchant, &day.text, &sales, &mut steps).await?;
    println!("演示完成 demo done in {}", seconds(steps.total()));
    Ok(owner_code)
}

/// A day of the sandbox: how far business time is shifted, and its date.
struct Day {
    offset_ms: i64,
    text: String,
}

/// Yesterday in Shanghai, at the given hour.
fn yesterday_at(hour: u32) -> Result<Day> {
    let now = Clock::wall();
    let date = (now.with_timezone(&shanghai()) - TimeDelta::days(1)).date_naive();
    let at = date
        .and_hms_opt(hour, 0, 0)
        .context("an hour of the day")?
        .and_local_timezone(shanghai())
        .single()
        .context("Shanghai has no gaps")?;
    Ok(Day { offset_ms: (DateTime::<chrono::Utc>::from(at) - now).num_milliseconds(), text: date.to_string() })
}

/// Shifts business time at the server, whose worker follows, and at the simulator.
async fn play(config: &Config, operator: &Client, offset_ms: i64) -> Result<()> {
    let expected = offset_ms.to_string();
    operator.mutate("sandboxClockSet", json!({ "offsetMs": expected }), "sandbox { today offsetMs }").await?;
    operator.sandbox(&format!("{}/control/clock", config.channel.sandbox_url), &json!({ "offset_ms": offset_ms })).await?;
    client::until(Duration::from_secs(10), "the server plays the day", || async {
        let shown = operator.query("sandbox", "{ sandbox { offsetMs } }", json!({})).await?;
        Ok((shown["offsetMs"].as_str() == Some(&*expected)).then_some(()))
    })
    .await
}
