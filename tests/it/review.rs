//! Review by more than one pair of eyes: second persons, blind samples, known items, error rates; labelled cases and the models that come of them.

mod damage;
mod eyes;
mod journey;
mod labelled;
mod models;
mod sample;

use merchant::review::Task;
use wallet::base::actor::Actor;
use wallet::base::id::TaskId;

use crate::merchant_rules::{Office, approve, judgement, reject};

impl Office {
    /// Claims and approves or, with a reason, rejects.
    async fn say(&self, who: &Actor, task: TaskId, reason: Option<&str>) -> Task {
        self.reviews.claim(who, task).await.unwrap();
        let command = reason.map_or_else(|| approve(task), |code| reject(task, code));
        self.reviews.decide(who, command).await.unwrap()
    }

    async fn assert_sound(&self) {
        let report = wallet::check::run(self.db.owner_pool()).await.unwrap();
        let violations: Vec<_> = report.violations().filter(|(id, _)| id.starts_with('D') || id.starts_with('M')).collect();
        assert!(violations.is_empty(), "{violations:?}");
    }
}
