//! The application with its papers: what the merchant hands in and what became of it.

use ai::document::DocumentKind;
use ai::image::ImageError;
use ai::review::Reason;
use async_graphql::{Context, Enum, ID, InputObject, Object, SimpleObject};
use chrono::{DateTime, TimeDelta, Utc};
use merchant::onboarding::{
    Application, ApplicationStatus, ClaimInput, ClaimProblem, CreateApplication, Document, DocumentStatus, OnboardingError, Waiting,
};
use wallet::base::clock::Clock;

use super::error::{Rejection, UserError, forbidden, invalid, not_found, settle, visible};
use super::id::{self, GlobalId};
use super::loader::loaders;
use super::merchant::{MerchantNode, bad_line};
use super::{MUTATION_COST, actor, app};
use crate::http::upload::UPLOAD_BYTES_MAX;
use crate::ticket::UploadGrant;

/// How long an upload ticket lasts: a photograph taken now is sent now.
const UPLOAD_TICKET_MINUTES: i64 = 15;
/// Claims one ticket may carry; a paper has fewer fields.
const CLAIMS_MAX: usize = 32;

impl Rejection for OnboardingError {
    fn user_error(&self) -> Option<UserError> {
        Some(match self {
            Self::Forbidden(_) => UserError::new("PERM_DENIED", "您没有权限进行此操作"),
            Self::NotFound => not_found("applicationId", "进件申请或资料"),
            Self::Line(line) => bad_line(line),
            Self::SettlementAccountNumber => invalid("settlementAccountNumber", "结算账号须为 8 到 32 位数字"),
            Self::MerchantNameTaken => {
                UserError::new("STATE_NAME_TAKEN", "您已有同名商户，请换一个名称或继续原来的申请").at("merchantName")
            }
            Self::KindNotAsked { .. } => invalid("kind", "进件只需要身份证人像面、不动产权证书和营业执照"),
            Self::Claim(claim) => {
                let field = &claim.field;
                let message = match &claim.problem {
                    ClaimProblem::Unknown => format!("此资料没有名为 {field} 的栏目，请删除后重试"),
                    ClaimProblem::Missing => format!("请填写 {field}"),
                    ClaimProblem::Repeated => format!("{field} 重复填写，请只保留一个"),
                    ClaimProblem::Line(_) => format!("{field} 须为 1 到 256 个字，且不含控制字符"),
                };
                invalid(&format!("claims.{field}"), message)
            }
            Self::Image(error) => image(error),
            Self::AlreadySubmitted { status } => {
                UserError::new("STATE_ALREADY_SUBMITTED", format!("该申请已提交（当前状态 {}），请直接更正被退回的资料", status.as_str()))
            }
            Self::PapersMissing { kinds } => {
                let names: Vec<_> = kinds.iter().map(|kind| paper(*kind)).collect();
                UserError::new("STATE_PAPERS_MISSING", format!("还缺少{}，请上传后再提交", names.join("、")))
            }
            Self::ApplicationApproved => UserError::new("STATE_APPROVED", "申请已通过，不能再修改"),
            Self::DocumentApproved { .. } => UserError::new("STATE_APPROVED", "该资料已通过审核，不能再修改"),
            Self::QueueFull { retry_after } => {
                let minutes = retry_after.as_secs().div_ceil(60);
                let message = format!("等待核验的资料太多，已填写的内容会保留，请约 {minutes} 分钟后再提交");
                UserError::new("STATE_QUEUE_FULL", message).passing_after(*retry_after)
            }
            Self::Files(_) | Self::Vault(_) | Self::Interrupted(_) | Self::Book(_) | Self::Database(_) => return None,
        })
    }
}

/// An image that cannot be taken, in words. The upload endpoint answers with them.
pub fn image(error: &ImageError) -> UserError {
    let (code, message) = match error {
        ImageError::Empty => ("INPUT_EMPTY", "文件是空的，请重新选择图片"),
        ImageError::NotAnImage | ImageError::UnsupportedType { .. } => ("INPUT_IMAGE_TYPE", "仅支持 JPG 或 PNG 图片，请换一张后上传"),
        ImageError::TooLarge { .. } => ("INPUT_IMAGE_TOO_LARGE", "图片像素过大，请缩小到 5000 万像素以内再上传"),
        ImageError::TooSmall { .. } => ("INPUT_IMAGE_TOO_SMALL", "图片太小看不清，请上传长边不少于 1000 像素的图片"),
        ImageError::Truncated => ("INPUT_IMAGE_TRUNCATED", "图片不完整，请重新拍摄或导出后上传"),
        ImageError::Damaged(_) => ("INPUT_IMAGE_DAMAGED", "图片已损坏，请重新拍摄或导出后上传"),
    };
    UserError::new(code, message).at("image")
}

fn paper(kind: DocumentKind) -> &'static str {
    match kind {
        DocumentKind::IdFront => "身份证人像面",
        DocumentKind::DeedNew => "不动产权证书",
        DocumentKind::BusinessLicence => "营业执照",
        DocumentKind::Other => "其他资料",
        kind => kind.title(),
    }
}

/// The papers an application asks for.
#[derive(Enum, Clone, Copy, PartialEq, Eq, Debug)]
#[graphql(name = "DocumentKind")]
pub enum PaperKind {
    /// Resident identity card, portrait side (身份证人像面).
    IdFront,
    /// Property deed of 2015 and later (不动产权证书).
    DeedNew,
    /// Business licence (营业执照).
    BusinessLicence,
}

impl From<PaperKind> for DocumentKind {
    fn from(kind: PaperKind) -> Self {
        match kind {
            PaperKind::IdFront => Self::IdFront,
            PaperKind::DeedNew => Self::DeedNew,
            PaperKind::BusinessLicence => Self::BusinessLicence,
        }
    }
}

impl PaperKind {
    /// Applications hold these three kinds only; the table's CHECK says so too.
    pub(super) fn of(kind: DocumentKind) -> Option<Self> {
        match kind {
            DocumentKind::IdFront => Some(Self::IdFront),
            DocumentKind::DeedNew => Some(Self::DeedNew),
            DocumentKind::BusinessLicence => Some(Self::BusinessLicence),
            _ => None,
        }
    }
}

#[derive(Enum, Clone, Copy, PartialEq, Eq, Debug)]
#[graphql(name = "ApplicationStatus", remote = "ApplicationStatus")]
pub enum ApplicationStatusName {
    Draft,
    Checking,
    InReview,
    NeedsCorrection,
    Approved,
}

#[derive(Enum, Clone, Copy, PartialEq, Eq, Debug)]
#[graphql(name = "DocumentStatus", remote = "DocumentStatus")]
pub enum DocumentStatusName {
    Uploaded,
    Checking,
    InReview,
    Reupload,
    Rejected,
    Approved,
}

/// Why a paper is not approved.
#[derive(SimpleObject, Clone, Debug)]
#[graphql(name = "Reason")]
pub struct ReasonNode {
    /// Stable code, such as `ID_NUMBER_DIFFERS`.
    code: String,
    /// The field of the paper it is about.
    field: Option<String>,
    /// One sentence with the remedy.
    message: String,
}

impl From<Reason> for ReasonNode {
    fn from(reason: Reason) -> Self {
        Self { code: reason.code, field: reason.field, message: reason.message }
    }
}

/// A merchant's application (进件申请).
#[derive(Debug)]
pub struct ApplicationNode(pub Application);

#[Object(name = "Application")]
impl ApplicationNode {
    pub async fn id(&self) -> ID {
        GlobalId::Application(self.0.id).encode()
    }

    async fn status(&self) -> ApplicationStatusName {
        self.0.status.into()
    }

    async fn merchant(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<MerchantNode>> {
        Ok(loaders(ctx).merchant(self.0.merchant).await?.map(MerchantNode))
    }

    /// One paper of each kind handed in so far.
    #[graphql(complexity = "5 + 3 * child_complexity")]
    async fn documents(&self, ctx: &Context<'_>) -> async_graphql::Result<Vec<DocumentNode>> {
        let documents = loaders(ctx).documents_of_application(self.0.id).await?;
        Ok(documents.into_iter().map(DocumentNode).collect())
    }

    /// How long its papers wait to be read. Null where none waits.
    async fn waiting(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<WaitingNode>> {
        Ok(loaders(ctx).waiting_of_application(self.0.id).await?.map(WaitingNode::from))
    }

    async fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }

    async fn submitted_at(&self) -> Option<DateTime<Utc>> {
        self.0.submitted_at
    }

    async fn decided_at(&self) -> Option<DateTime<Utc>> {
        self.0.decided_at
    }
}

/// How long papers wait to be read (排队情况).
#[derive(SimpleObject, Clone, Copy, Debug)]
#[graphql(name = "Waiting")]
pub struct WaitingNode {
    /// Papers of others that are read before.
    ahead: u32,
    /// Expected until the last paper is read. An estimate from what the last papers took; longer where reading stands still.
    expected_seconds: u32,
}

impl From<Waiting> for WaitingNode {
    fn from(waiting: Waiting) -> Self {
        let expected_seconds = waiting.expected.as_millis().div_ceil(1_000);
        Self { ahead: waiting.ahead, expected_seconds: u32::try_from(expected_seconds).unwrap_or(u32::MAX) }
    }
}

/// A paper of an application (影像资料).
#[derive(Debug)]
pub struct DocumentNode(pub Document);

#[Object(name = "Document")]
impl DocumentNode {
    pub async fn id(&self) -> ID {
        GlobalId::Document(self.0.id).encode()
    }

    async fn kind(&self) -> Option<PaperKind> {
        PaperKind::of(self.0.kind)
    }

    async fn status(&self) -> DocumentStatusName {
        self.0.status.into()
    }

    /// Why it is not approved, the gravest first.
    async fn reasons(&self) -> Vec<ReasonNode> {
        self.0.reasons.iter().cloned().map(ReasonNode::from).collect()
    }

    /// Rises with every upload and correction.
    async fn version(&self) -> i32 {
        self.0.version
    }

    async fn uploaded_at(&self) -> DateTime<Utc> {
        self.0.uploaded_at
    }

    async fn decided_at(&self) -> Option<DateTime<Utc>> {
        self.0.decided_at
    }
}

#[derive(Default, Debug)]
pub struct OnboardingQuery;

#[Object]
impl OnboardingQuery {
    /// One application, for its owner and operators.
    async fn application(&self, ctx: &Context<'_>, id: ID) -> async_graphql::Result<Option<ApplicationNode>> {
        let actor = actor(ctx)?;
        let Some(id) = id::application(&id) else { return Ok(None) };
        Ok(visible(app(ctx).applications.get(actor, id).await)?.map(ApplicationNode))
    }
}

#[derive(InputObject)]
pub struct ApplicationCreateInput {
    /// 2 to 64 characters.
    merchant_name: String,
    /// Whose account it is, 2 to 64 characters.
    #[graphql(secret)]
    settlement_account_name: String,
    /// 8 to 32 digits.
    #[graphql(secret)]
    settlement_account_number: String,
}

#[derive(InputObject)]
#[graphql(name = "ClaimInput")]
pub struct ClaimItem {
    /// A field of the paper, such as `id_number`.
    name: String,
    /// As typed.
    #[graphql(secret)]
    value: String,
}

fn claims(items: Vec<ClaimItem>) -> Result<Vec<ClaimInput>, UserError> {
    if items.len() > CLAIMS_MAX {
        return Err(invalid("claims", format!("claims 最多 {CLAIMS_MAX} 项")));
    }
    Ok(items.into_iter().map(|item| ClaimInput { name: item.name, value: item.value }).collect())
}

#[derive(InputObject)]
pub struct UploadTicketCreateInput {
    application_id: ID,
    kind: PaperKind,
    /// What the merchant typed for this paper.
    claims: Vec<ClaimItem>,
}

#[derive(InputObject)]
pub struct DocumentClaimsCorrectInput {
    document_id: ID,
    claims: Vec<ClaimItem>,
}

#[derive(InputObject, Debug)]
pub struct ApplicationSubmitInput {
    application_id: ID,
}

/// Permits one upload: `POST url` with the image as body, `Authorization` as here and the token in `X-Upload-Ticket`.
#[derive(SimpleObject)]
pub struct UploadTicket {
    url: String,
    token: String,
    expires_at: DateTime<Utc>,
    /// Largest body taken.
    max_bytes: i32,
}

#[derive(SimpleObject)]
pub struct UploadTicketCreatePayload {
    ticket: Option<UploadTicket>,
    user_errors: Vec<UserError>,
}

#[derive(SimpleObject, Debug)]
pub struct ApplicationCreatePayload {
    application: Option<ApplicationNode>,
    user_errors: Vec<UserError>,
}

#[derive(SimpleObject, Debug)]
pub struct ApplicationSubmitPayload {
    application: Option<ApplicationNode>,
    user_errors: Vec<UserError>,
}

#[derive(SimpleObject, Debug)]
pub struct DocumentClaimsCorrectPayload {
    document: Option<DocumentNode>,
    user_errors: Vec<UserError>,
}

#[derive(Default, Debug)]
pub struct OnboardingMutation;

#[Object]
impl OnboardingMutation {
    /// Begins an application. Owners.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn application_create(
        &self,
        ctx: &Context<'_>,
        input: ApplicationCreateInput,
    ) -> async_graphql::Result<ApplicationCreatePayload> {
        let command = CreateApplication {
            merchant_name: input.merchant_name,
            settlement_account_name: input.settlement_account_name,
            settlement_account_number: input.settlement_account_number,
        };
        Ok(match settle(app(ctx).applications.create(actor(ctx)?, command).await)? {
            Ok(application) => ApplicationCreatePayload { application: Some(ApplicationNode(application)), user_errors: Vec::new() },
            Err(user_errors) => ApplicationCreatePayload { application: None, user_errors },
        })
    }

    /// Checks what was typed for a paper and permits the upload of its image, the first or a better one.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn upload_ticket_create(
        &self,
        ctx: &Context<'_>,
        input: UploadTicketCreateInput,
    ) -> async_graphql::Result<UploadTicketCreatePayload> {
        let actor = actor(ctx)?;
        let app = app(ctx);
        let refuse = |user_errors| Ok(UploadTicketCreatePayload { ticket: None, user_errors });
        let Some(user) = actor.user() else { return Err(forbidden()) };
        let Some(application) = id::application(&input.application_id) else {
            return refuse(vec![not_found("applicationId", "进件申请")]);
        };
        let claims = match claims(input.claims) {
            Ok(claims) => claims,
            Err(error) => return refuse(vec![error]),
        };
        let kind = input.kind.into();
        if let Err(user_errors) = settle(app.applications.prepare_attach(actor, application, kind, &claims).await)? {
            return refuse(user_errors);
        }
        let expires = Clock::wall() + TimeDelta::minutes(UPLOAD_TICKET_MINUTES);
        let claims = claims.into_iter().map(|claim| (claim.name, claim.value)).collect();
        let token = app.tickets.upload(&UploadGrant { user, application, kind, claims, expires });
        let max_bytes = i32::try_from(UPLOAD_BYTES_MAX).unwrap_or(i32::MAX);
        let ticket = UploadTicket { url: format!("{}/uploads", app.config.http.public_url), token, expires_at: expires, max_bytes };
        Ok(UploadTicketCreatePayload { ticket: Some(ticket), user_errors: Vec::new() })
    }

    /// Replaces what was typed for a paper and has it judged anew. Owners.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn document_claims_correct(
        &self,
        ctx: &Context<'_>,
        input: DocumentClaimsCorrectInput,
    ) -> async_graphql::Result<DocumentClaimsCorrectPayload> {
        let actor = actor(ctx)?;
        let refuse = |error| Ok(DocumentClaimsCorrectPayload { document: None, user_errors: vec![error] });
        let Some(document) = id::document(&input.document_id) else { return refuse(not_found("documentId", "资料")) };
        let claims = match claims(input.claims) {
            Ok(claims) => claims,
            Err(error) => return refuse(error),
        };
        Ok(match settle(app(ctx).applications.correct_claims(actor, document, &claims).await)? {
            Ok(document) => DocumentClaimsCorrectPayload { document: Some(DocumentNode(document)), user_errors: Vec::new() },
            Err(user_errors) => DocumentClaimsCorrectPayload { document: None, user_errors },
        })
    }

    /// Hands the papers in for checking. Owners.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn application_submit(
        &self,
        ctx: &Context<'_>,
        input: ApplicationSubmitInput,
    ) -> async_graphql::Result<ApplicationSubmitPayload> {
        let actor = actor(ctx)?;
        let Some(application) = id::application(&input.application_id) else {
            return Ok(ApplicationSubmitPayload { application: None, user_errors: vec![not_found("applicationId", "进件申请")] });
        };
        Ok(match settle(app(ctx).applications.submit(actor, application).await)? {
            Ok(application) => ApplicationSubmitPayload { application: Some(ApplicationNode(application)), user_errors: Vec::new() },
            Err(user_errors) => ApplicationSubmitPayload { application: None, user_errors },
        })
    }
}
