//! What tests and the demo may tell the simulator. Not signed: the simulator listens on this machine only, and in development only.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

use super::chaos::profile::Outage;
use super::chaos::{self, Active};
use super::truth::Truth;
use super::{Party, Sim};

/// The day the simulator plays, as a shift against real time.
#[derive(Debug, Serialize, Deserialize)]
pub struct Offset {
    pub offset_ms: i64,
}

/// Most the day may be shifted, either way: ten years.
const OFFSET_MAX_MS: u64 = 10 * 366 * 86_400_000;

pub async fn clock(State(sim): State<Arc<Sim>>, Json(offset): Json<Offset>) -> Result<Json<Offset>, StatusCode> {
    if offset.offset_ms.unsigned_abs() > OFFSET_MAX_MS {
        return Err(StatusCode::UNPROCESSABLE_ENTITY);
    }
    sim.book().set_offset_ms(offset.offset_ms).map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    sim.clock.set_offset_ms(offset.offset_ms);
    Ok(Json(offset))
}

/// What goes wrong, as it is told.
#[derive(Debug, Serialize)]
pub struct Shown {
    pub name: String,
    pub about: String,
    pub seed: u64,
    /// As it was written.
    pub text: String,
}

impl From<&Active> for Shown {
    fn from(active: &Active) -> Self {
        let Active { name, text, profile, .. } = active;
        Self { name: name.clone(), about: profile.about.clone(), seed: profile.seed, text: text.clone() }
    }
}

/// `GET /control/profile`.
pub async fn profile(State(sim): State<Arc<Sim>>) -> Json<Shown> {
    Json(Shown::from(sim.chaos.active().as_ref()))
}

/// `POST /control/profile`: the name of a shipped profile, or a whole one. What is wrong with it is answered in sentences, one a line.
pub async fn change_profile(State(sim): State<Arc<Sim>>, text: String) -> Result<Json<Shown>, (StatusCode, String)> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let active = if !text.is_empty() && text.chars().all(plain) {
        chaos::named(&text).ok_or_else(|| format!("there is no profile {text}; send a whole one, or one of {}", chaos::NAMES.join(", ")))
    } else {
        Active::read("custom", &text).map_err(|mistakes| mistakes.to_string())
    };
    let active = active.map_err(|sentences| (StatusCode::UNPROCESSABLE_ENTITY, sentences))?;
    let shown = Shown::from(&active);
    sim.chaos.change(active);
    Ok(Json(shown))
}

/// Switches a party off, or on again with `null`.
#[derive(Debug, Deserialize)]
pub struct Switch {
    party: Party,
    how: Option<Outage>,
}

/// `POST /control/down`. Answers who is off now, and how.
pub async fn down(State(sim): State<Arc<Sim>>, Json(switch): Json<Switch>) -> Json<HashMap<Party, Outage>> {
    Json(sim.chaos.switch(switch.party, switch.how))
}

/// `GET /control/truth`: what really happened, whatever was said about it.
pub async fn truth(State(sim): State<Arc<Sim>>) -> Json<Vec<Truth>> {
    Json(sim.book().truth())
}
