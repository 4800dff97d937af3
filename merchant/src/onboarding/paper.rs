//! Taking papers in: an uploaded image with what was typed, or corrected claims for the image that is there. Either is a new version,
//! which supersedes an open review task and, once the application was submitted, is judged anew.

use std::fmt;

use ai::document::DocumentKind;
use ai::image::ImageError;
use ai::review::Claims;
use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde_json::json;
use sqlx::PgConnection;
use wallet::base::actor::Actor;
use wallet::base::audit;
use wallet::base::id::{ApplicationId, DocumentId};
use wallet::base::job;

use super::repo::Version;
use super::rules::{self, ClaimInput, PAPERS, Settled};
use super::{
    Application, ApplicationStatus, Applications, Document, DocumentStatus, OnboardingError, VersionRow, claims_place, progress, repo,
    review_job,
};
use crate::files::FileStore;
use crate::merchants::rules::Reach;
use crate::review;

/// Hands a paper in. `Debug` shows neither claims nor image.
#[derive(Clone)]
pub struct Attach {
    pub application: ApplicationId,
    pub kind: DocumentKind,
    pub claims: Vec<ClaimInput>,
    /// The file as it was uploaded; the caller has bounded its size.
    pub image: Bytes,
}

impl fmt::Debug for Attach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Attach({} to {}, {} bytes)", self.kind, self.application, self.image.len())
    }
}

/// An uploaded image made safe to keep.
struct Cleaned {
    jpeg: Vec<u8>,
    sha256: Vec<u8>,
    width: i32,
    height: i32,
}

impl Applications {
    /// Checks all that can be checked before the image is there: caller, state, kind and claims. An upload ticket is given on this.
    pub async fn prepare_attach(
        &self,
        actor: &Actor,
        application: ApplicationId,
        kind: DocumentKind,
        claims: &[ClaimInput],
    ) -> Result<(), OnboardingError> {
        let reach = Reach::to_change(actor)?;
        asked_for(kind)?;
        rules::claims(kind, claims)?;
        let found = repo::applications(&self.db, reach.owner(), &[application]).await?.pop().ok_or(OnboardingError::NotFound)?;
        let documents = repo::documents_of_applications(&self.db, None, &[application]).await?;
        changeable(found.status, documents.iter().find(|d| d.kind == kind).map(|d| d.status))?;
        // a draft's papers wait only once it is handed in
        if found.status == ApplicationStatus::Draft { Ok(()) } else { self.require_room(&self.db).await }
    }

    /// Takes a paper in, as the first of its kind or in place of the earlier one. The image is decoded and encoded afresh, so that
    /// nothing hidden in it survives, and stored sealed before the row that names it.
    pub async fn attach(&self, actor: &Actor, command: Attach) -> Result<Document, OnboardingError> {
        let Attach { application: id, kind, claims, image } = command;
        self.prepare_attach(actor, id, kind, &claims).await?;
        let claims = rules::claims(kind, &claims)?;
        let cleaned = self.clean(image).await?;
        let object_key = FileStore::new_key()?;
        self.files.put(&object_key, &cleaned.jpeg).await?;

        let reach = Reach::to_change(actor)?;
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        let application = repo::lock_application_in_tx(&mut tx, reach.owner(), id).await?.ok_or(OnboardingError::NotFound)?;
        let documents = repo::documents_of_applications(&mut *tx, None, &[id]).await?;
        let earlier = documents.into_iter().find(|d| d.kind == kind);
        changeable(application.status, earlier.as_ref().map(|d| d.status))?;
        let document = Document {
            id: earlier.as_ref().map_or_else(DocumentId::new, |d| d.id),
            application: id,
            kind,
            status: rules::changed_document(application.status),
            version: earlier.as_ref().map_or(1, |d| d.version + 1),
            reasons: Vec::new(),
            uploaded_at: now,
            decided_at: None,
        };
        let claims_sealed = self.seal_claims(&document, &claims)?;
        let version = Version { object_key, sha256: cleaned.sha256, width: cleaned.width, height: cleaned.height, claims_sealed };
        renew_in_tx(&mut tx, actor, &application, &document, &version, now).await?;
        audit_in_tx(&mut tx, actor, "document.attached", &document, now).await?;
        tx.commit().await?;
        Ok(document)
    }

    /// Replaces what was typed for a paper; the image stays.
    pub async fn correct_claims(&self, actor: &Actor, id: DocumentId, claims: &[ClaimInput]) -> Result<Document, OnboardingError> {
        let reach = Reach::to_change(actor)?;
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        let application = repo::lock_application_of_document_in_tx(&mut tx, reach.owner(), id).await?.ok_or(OnboardingError::NotFound)?;
        let documents = repo::documents_of_applications(&mut *tx, None, &[application.id]).await?;
        let earlier = documents.into_iter().find(|d| d.id == id).ok_or(OnboardingError::NotFound)?;
        changeable(application.status, Some(earlier.status))?;
        if application.status != ApplicationStatus::Draft {
            self.require_room(&mut *tx).await?;
        }
        let claims = rules::claims(earlier.kind, claims)?;
        let handed_in = repo::version(&mut *tx, id, earlier.version).await?;
        let document = Document {
            status: rules::changed_document(application.status),
            version: earlier.version + 1,
            reasons: Vec::new(),
            decided_at: None,
            ..earlier
        };
        let version = Version { claims_sealed: self.seal_claims(&document, &claims)?, ..handed_in };
        renew_in_tx(&mut tx, actor, &application, &document, &version, now).await?;
        audit_in_tx(&mut tx, actor, "document.claims_corrected", &document, now).await?;
        tx.commit().await?;
        Ok(document)
    }

    fn seal_claims(&self, document: &Document, claims: &Claims) -> Result<Vec<u8>, OnboardingError> {
        Ok(self.vault.seal_json(&claims_place(VersionRow(document.id, document.version)), claims)?)
    }

    /// Decodes and encodes on the blocking pool, a few images at a time: an image is 150 MB of pixels at worst.
    async fn clean(&self, image: Bytes) -> Result<Cleaned, OnboardingError> {
        let _permit = self.images.acquire().await.expect("the semaphore is never closed");
        Ok(tokio::task::spawn_blocking(move || clean(&image)).await??)
    }
}

fn clean(image: &[u8]) -> Result<Cleaned, ImageError> {
    let sha256 = digest(&SHA256, image).as_ref().to_vec();
    let jpeg = ai::image::reencode(image)?;
    // the stored image is turned as its EXIF data asked, so its own size counts
    let facts = ai::image::inspect(&jpeg)?;
    let pixels = |side: u32| i32::try_from(side).expect("inspect bounds the sides");
    Ok(Cleaned { sha256, width: pixels(facts.width), height: pixels(facts.height), jpeg })
}

fn asked_for(kind: DocumentKind) -> Result<(), OnboardingError> {
    if PAPERS.contains(&kind) { Ok(()) } else { Err(OnboardingError::KindNotAsked { kind }) }
}

fn changeable(application: ApplicationStatus, document: Option<DocumentStatus>) -> Result<(), OnboardingError> {
    rules::may_change(application, document).map_err(|settled| match settled {
        Settled::Application => OnboardingError::ApplicationApproved,
        Settled::Document => OnboardingError::DocumentApproved,
    })
}

/// Writes the new version of a document, drops the review task of the earlier one, and has it judged if the application is under way.
async fn renew_in_tx(
    tx: &mut PgConnection,
    actor: &Actor,
    application: &Application,
    document: &Document,
    version: &Version,
    now: DateTime<Utc>,
) -> Result<(), OnboardingError> {
    repo::save_document_in_tx(tx, document).await?;
    repo::insert_version_in_tx(tx, document.id, document.version, version, now).await?;
    review::repo::supersede_in_tx(tx, document.id, document.version).await?;
    if document.status == DocumentStatus::Checking {
        job::enqueue_in_tx(tx, &[review_job(application.merchant, document.id)]).await?;
        progress::settle_in_tx(tx, actor, application, now).await?;
    }
    Ok(())
}

async fn audit_in_tx(tx: &mut PgConnection, actor: &Actor, action: &str, document: &Document, now: DateTime<Utc>) -> sqlx::Result<()> {
    let detail = json!({ "kind": document.kind.as_str(), "version": document.version });
    audit::record_in_tx(tx, actor, action, document.id.0, detail, now).await
}
