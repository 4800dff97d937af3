//! A runtime that is made to fail on purpose, so that taking over can be drilled with the real models.

use std::sync::{Condvar, Mutex, PoisonError};

use crate::error::Cause;

/// What is wrong with a runtime in a drill.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Broken {
    #[default]
    No,
    /// Every run fails.
    Fails,
    /// Every run hangs until the drill ends.
    Hangs,
}

#[derive(Debug, Default)]
pub(super) struct Fault {
    now: Mutex<Broken>,
    changed: Condvar,
}

impl Fault {
    pub(super) fn set(&self, broken: Broken) {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) = broken;
        self.changed.notify_all();
    }

    /// Does to a run what the drill wants.
    pub(super) fn strike(&self) -> Result<(), Cause> {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        while *now == Broken::Hangs {
            now = self.changed.wait(now).unwrap_or_else(PoisonError::into_inner);
        }
        if *now == Broken::Fails { Err(Cause::Drill) } else { Ok(()) }
    }
}
