//! How payments come: at a constant rate whatever becomes of the earlier ones (open loop), or each caller's next after its last (closed).
//!
//! In an open loop a payment's time counts from when it was due, so a system that stalls pays for everybody who had to wait.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use tokio::task::JoinSet;

use super::customer::{STEPS, Shop, Trace};

/// Payments under way at the most: beyond it a due one is not begun, and counts as an error.
const UNDER_WAY_MAX: usize = 4_096;

/// How payments come.
#[derive(Clone, Copy, Debug)]
pub(super) enum Pace {
    /// So many a second.
    Open(u32),
    /// So many callers.
    Closed(usize),
}

/// A payment with the time from which it counts.
#[derive(Debug)]
pub(super) struct Played {
    pub due: Instant,
    pub trace: Trace,
}

impl Played {
    /// How long it took until the cashier showed it paid.
    pub(super) fn took(&self) -> Option<Duration> {
        self.trace.paid.then(|| self.trace.ended[STEPS.len() - 1].map(|end| end - self.due)).flatten()
    }

    /// How long each step took; the first from when the payment was due.
    pub(super) fn step(&self, step: usize) -> Option<Duration> {
        let begun = if step == 0 { Some(self.due) } else { self.trace.ended[step - 1] };
        Some(self.trace.ended[step]? - begun?)
    }
}

/// A phase of the load.
#[derive(Debug, Default)]
pub(super) struct Phase {
    pub payments: Vec<Played>,
    /// Due and not begun.
    pub refused: usize,
    pub elapsed: Duration,
}

impl Phase {
    /// Takes out the payments that were due before `lead` was over, and its time.
    pub(super) fn split_off(&mut self, lead: Duration) -> Vec<Played> {
        let Some(begun) = self.payments.iter().map(|played| played.due).min() else { return Vec::new() };
        let (lead_in, measured) = std::mem::take(&mut self.payments).into_iter().partition(|played| played.due - begun < lead);
        self.payments = measured;
        self.elapsed = self.elapsed.saturating_sub(lead);
        lead_in
    }
}

/// Plays payments for `length`, numbered from `first` on, and waits for those under way.
pub(super) async fn play(shop: &Arc<Shop>, pace: Pace, length: Duration, first: usize) -> Result<Phase> {
    match pace {
        Pace::Open(rate) => open(shop, rate, length, first).await,
        Pace::Closed(callers) => closed(shop, callers, length, first).await,
    }
}

async fn open(shop: &Arc<Shop>, rate: u32, length: Duration, first: usize) -> Result<Phase> {
    let lines = Arc::new(shop.lines()?);
    let (started, every) = (Instant::now(), Duration::from_secs(1) / rate);
    let total = (length.as_secs_f64() * f64::from(rate)).round() as u32;
    let (mut tasks, mut phase) = (JoinSet::new(), Phase::default());
    for place in 0..total {
        let due = started + every * place;
        tokio::time::sleep_until(due.into()).await;
        while let Some(played) = tasks.try_join_next() {
            phase.payments.push(played.context("a customer's task")?);
        }
        if tasks.len() >= UNDER_WAY_MAX {
            phase.refused += 1;
            continue;
        }
        let (shop, lines, number) = (Arc::clone(shop), Arc::clone(&lines), first + place as usize);
        tasks.spawn(async move { Played { due, trace: shop.pay(&lines, number).await } });
    }
    while let Some(played) = tasks.join_next().await {
        phase.payments.push(played.context("a customer's task")?);
    }
    phase.elapsed = started.elapsed();
    Ok(phase)
}

async fn closed(shop: &Arc<Shop>, callers: usize, length: Duration, first: usize) -> Result<Phase> {
    let lines = Arc::new(shop.lines()?);
    let started = Instant::now();
    let mut tasks = JoinSet::new();
    for caller in 0..callers {
        let (shop, lines) = (Arc::clone(shop), Arc::clone(&lines));
        tasks.spawn(async move {
            let (mut played, mut number) = (Vec::new(), first + caller);
            while started.elapsed() < length {
                let due = Instant::now();
                played.push(Played { due, trace: shop.pay(&lines, number).await });
                number += callers;
            }
            played
        });
    }
    let mut phase = Phase::default();
    while let Some(played) = tasks.join_next().await {
        phase.payments.extend(played.context("a caller's task")?);
    }
    phase.elapsed = started.elapsed();
    Ok(phase)
}
