//! Bad cases (错例回流): what the pipeline read wrong, labelled by the reviewer who looked, kept sealed beside the page, and exported as a set that
//! trains and tests the next version of the models.

mod export;
mod repo;
mod rules;

use ai::document::DocumentKind;
use ai::pipeline::Findings;
use ai::review::{Claims, Comparison};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::PgPool;
use uuid::Uuid;
use wallet::base::actor::{Actor, Forbidden, Role};
use wallet::base::audit;
use wallet::base::clock::Clock;
use wallet::base::id::{TaskId, UserId};
use wallet::base::idempotency::{self, Claim, IdempotencyError, Scope};
use wallet::base::page::{FIRST_MAX, Page};

use crate::files::{FileError, FileStore};
use crate::line::BadLine;
use crate::onboarding::{VersionRow, comparison_place, findings_place};
use crate::review::{self, ReviewError};
use crate::vault::{Place, Vault, VaultError};

pub use export::Exported;

/// One value as a reviewer reads it off the paper.
#[derive(Clone, Serialize)]
pub struct TrueValue {
    pub field: String,
    /// Empty: the paper has no such value.
    pub value: String,
}

/// Says what truly stands on a page.
#[derive(Clone, Serialize)]
pub struct Correct {
    pub task: TaskId,
    /// What the page truly is; none where the pipeline took it for the right kind.
    pub kind: Option<DocumentKind>,
    pub values: Vec<TrueValue>,
    #[serde(skip)]
    pub idempotency_key: Uuid,
}

impl std::fmt::Debug for Correct {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Correct({}, {:?}, {} values)", self.task, self.kind, self.values.len())
    }
}

/// A labelled case without its values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BadCase {
    pub id: Uuid,
    /// What the page truly is.
    pub kind: DocumentKind,
    /// What the pipeline took it for; none: it could not be read.
    pub said_kind: Option<DocumentKind>,
    /// Names of the fields that were corrected.
    pub fields: Vec<String>,
    pub corrected_by: UserId,
    pub corrected_at: DateTime<Utc>,
}

#[derive(Debug, thiserror::Error)]
pub enum BadCaseError {
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    /// The task cannot be corrected by this person now.
    #[error(transparent)]
    Task(#[from] ReviewError),
    /// Neither another kind nor a value that was read otherwise.
    #[error("nothing differs from what the pipeline read")]
    NothingCorrected,
    /// No field of that kind, or one named twice, or too many.
    #[error("there is no such field on this kind of document")]
    UnknownField,
    #[error(transparent)]
    Line(#[from] BadLine),
    #[error(transparent)]
    Idempotency(#[from] IdempotencyError),
    #[error("a sealed value failed")]
    Vault(#[from] VaultError),
    #[error("the file store failed")]
    Files(#[from] FileError),
    #[error("the set could not be written")]
    Write(#[from] std::io::Error),
    /// The folder that should receive the set is there already.
    #[error("the folder is there already; name one that is not")]
    FolderTaken,
    #[error("could not reach the database")]
    Database(#[from] sqlx::Error),
}

/// Takes corrections in and gives labelled sets out.
#[derive(Clone, Debug)]
pub struct BadCases {
    db: PgPool,
    clock: Clock,
    vault: Vault,
    files: FileStore,
}

fn truth_place(case: Uuid) -> Place<'static, Uuid> {
    Place { table: "bad_cases", column: "truth", row: case }
}

fn said_place(case: Uuid) -> Place<'static, Uuid> {
    Place { table: "bad_cases", column: "said", row: case }
}

impl BadCases {
    pub fn new(db: PgPool, clock: Clock, vault: Vault, files: FileStore) -> Self {
        Self { db, clock, vault, files }
    }

    /// Keeps what truly stands on the page of a task that the caller holds. The task itself is decided apart from it. Reviewers only.
    pub async fn correct(&self, actor: &Actor, command: Correct) -> Result<BadCase, BadCaseError> {
        let Actor::Person { id: by, role: Role::Reviewer, .. } = *actor else { return Err(Forbidden.into()) };
        let now = self.clock.now();
        let scope = Scope { tenant: by.0, operation: "reviewCorrect", key: command.idempotency_key };
        let id = Uuid::now_v7();
        let mut tx = self.db.begin().await?;
        let task = review::repo::lock_in_tx(&mut tx, command.task).await?.ok_or(ReviewError::NotFound)?;
        if let Claim::Seen { response: Some(told), .. } = idempotency::claim_in_tx(&mut tx, scope, &command, id, now).await? {
            return Ok(told);
        }
        review::rules::may_decide(&task, by, Clock::wall())?;
        let row = VersionRow(task.document, task.version);
        let said = repo::said_in_tx(&mut tx, task.document, task.version).await?.ok_or(ReviewError::NotFound)?;
        let findings: Option<Findings> = said.findings_sealed.map(|f| self.vault.open_json(&findings_place(row), &f)).transpose()?;
        let comparisons: Vec<Comparison> = self.vault.open_json(&comparison_place(row), &said.comparison_sealed)?;
        let labelled = rules::label(task.kind, findings.as_ref(), &comparisons, command.kind, &command.values)?;
        let case = BadCase {
            id,
            kind: labelled.kind,
            said_kind: findings.as_ref().map(|f| f.kind),
            fields: labelled.corrected,
            corrected_by: by,
            corrected_at: now,
        };
        let sealed = repo::Sealed {
            truth: self.vault.seal_json(&truth_place(id), &Claims(labelled.truth))?,
            said: self.vault.seal_json(&said_place(id), &Claims(labelled.said))?,
        };
        repo::insert_in_tx(&mut tx, &case, &task, &sealed, &said.models).await?;
        let detail = json!({
            "document_id": task.document,
            "version": task.version,
            "case_id": id,
            "kind": case.kind.as_str(),
            "fields": case.fields,
        });
        audit::record_in_tx(&mut tx, actor, "review.corrected", task.id.0, detail, now).await?;
        idempotency::complete_in_tx(&mut tx, scope, &case).await?;
        tx.commit().await?;
        Ok(case)
    }

    /// Labelled cases without their values, the newest first. Operators only.
    pub async fn list(&self, actor: &Actor, before: Option<Uuid>, first: i64) -> Result<Page<BadCase>, BadCaseError> {
        operator(actor)?;
        let first = first.clamp(1, FIRST_MAX);
        Ok(Page::from_rows(repo::page(&self.db, before, first + 1).await?, first))
    }
}

/// The person, if an operator: a set of people's papers leaves with a name on it.
fn operator(actor: &Actor) -> Result<UserId, Forbidden> {
    match actor {
        Actor::Person { id, role: Role::Operator, .. } => Ok(*id),
        _ => Err(Forbidden),
    }
}
