//! What tests and the demo may tell the simulator. Not signed: the simulator listens on this machine only, and in development only.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

use super::Sim;

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
