//! Tamper evidence (防篡改证明): the sealed head of each day, and proof files that `haodian verify` checks without us.

use async_graphql::{Context, Enum, ID, Object, SimpleObject};
use chrono::{DateTime, NaiveDate, Utc};
use uuid::Uuid;
use wallet::proof::{Answer, Proof, ProofError, SEAL_AFTER, Seal};

use super::date::Date;
use super::error::{Rejection, UserError, input, required, visible};
use super::page::{Nodes, Window, connection};
use super::wallet::{BillLineKind, WalletAccount};
use super::{actor, app, id};
use crate::http::problem::chain;

impl Rejection for ProofError {
    fn user_error(&self) -> Option<UserError> {
        match self {
            Self::Forbidden(_) => Some(UserError::new("PERM_DENIED", "您没有权限查看该证明")),
            Self::Altered(_) | Self::MarkAhead | Self::Database(_) => None,
        }
    }
}

/// Whether there is a proof by now.
#[derive(Enum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProofState {
    /// `file` is the proof.
    Sealed,
    /// The head it will be in is sealed after the close of the day; ask again then.
    NotSealedYet,
    /// The books or the log were changed after the entry was logged. Operators have been alarmed.
    Altered,
}

/// A proof, or when to expect one.
#[derive(SimpleObject, Debug)]
#[graphql(name = "Proof")]
pub struct ProofNode {
    state: ProofState,
    /// What that means, for people.
    message: String,
    /// The day of the head that the proof leads to, or of the one to wait for.
    day: Option<Date>,
    /// The seal of that head, to compare with the one noted on its day.
    seal: Option<String>,
    /// The text of the proof file: save it and check it with `haodian verify FILE --seal SEAL`.
    file: Option<String>,
}

impl ProofNode {
    fn of(answer: Result<Answer, ProofError>) -> Result<Self, ProofError> {
        let without = |state, message, day: Option<NaiveDate>| Self { state, message, day: day.map(Date), seal: None, file: None };
        Ok(match answer {
            Ok(Answer::Proven(proof)) => {
                let head = match &proof {
                    Proof::Entry { head, .. } => head,
                    Proof::Consistency { to, .. } => to,
                };
                Self {
                    state: ProofState::Sealed,
                    message: format!("已封存在 {} 的日封中，可用 haodian verify 离线验证", head.day),
                    day: Some(Date(head.day)),
                    seal: Some(hex::encode(head.seal())),
                    file: Some(proof.to_json()),
                }
            }
            Ok(Answer::NotSealedYet { day }) => {
                let message = format!("{day} 尚未封存：当日结账后（次日 0 点过 {} 分起）封存，之后即可取得证明", SEAL_AFTER.num_minutes());
                without(ProofState::NotSealedYet, message, Some(day))
            }
            Err(error @ ProofError::Altered(_)) => {
                tracing::error!(error = %chain(&error), "tampering: a proof could not be given");
                without(ProofState::Altered, "该记录与防篡改日志不一致，平台已收到告警，请联系客服".to_owned(), None)
            }
            Err(error) => return Err(error),
        })
    }
}

/// The sealed head of a day (日封): whoever notes the seal can hold every proof of the day, and every later head, against it.
#[derive(Debug)]
pub struct DaySeal(Seal);

#[Object]
impl DaySeal {
    async fn day(&self) -> Date {
        Date(self.0.head.day)
    }

    /// Entries of all books that the head holds, with each of this day or an earlier one among them.
    async fn size(&self) -> String {
        self.0.head.size.to_string()
    }

    /// The RFC 6962 root over them, in hexadecimal digits.
    async fn root(&self) -> String {
        hex::encode(self.0.head.root)
    }

    /// SHA-256 over day, size and root: the one value to note.
    async fn seal(&self) -> String {
        hex::encode(self.0.head.seal())
    }

    async fn sealed_at(&self) -> DateTime<Utc> {
        self.0.sealed_at
    }
}

#[derive(Default, Debug)]
pub struct ProofQuery;

#[Object]
impl ProofQuery {
    /// The proof that a bill line was booked as it is: the line is named by its `kind` and `referenceId`. One proof for each line they name, which
    /// is nearly always one; none where there is no such line. For whoever may read the bill.
    #[graphql(complexity = "50 + child_complexity")]
    async fn entry_proofs(
        &self,
        ctx: &Context<'_>,
        merchant_id: ID,
        account: WalletAccount,
        kind: BillLineKind,
        reference_id: Uuid,
    ) -> async_graphql::Result<Option<Vec<ProofNode>>> {
        let actor = actor(ctx)?;
        let Some(merchant) = id::merchant(&merchant_id) else { return Ok(None) };
        let answers = app(ctx).proofs.entries(actor, merchant, account.into(), kind.into(), reference_id).await;
        let nodes = match answers {
            Ok(answers) => answers.into_iter().map(|answer| ProofNode::of(Ok(answer))).collect(),
            Err(error) => ProofNode::of(Err(error)).map(|node| vec![node]),
        };
        visible(nodes)
    }

    /// The sealed heads, newest first. For everybody with a login.
    #[graphql(complexity = "10 + first as usize * child_complexity")]
    async fn day_seals(&self, ctx: &Context<'_>, first: i32, after: Option<String>) -> async_graphql::Result<Nodes<DaySeal>> {
        let window = Window::<NaiveDate>::read(first, after)?;
        let page = required(app(ctx).proofs.seals(actor(ctx)?, window.after, window.first).await)?;
        Ok(connection(page, window.after.is_some(), |seal| seal.head.day, DaySeal))
    }

    /// The proof that the log of one sealed day is the unchanged beginning of a later one's. For everybody with a login.
    #[graphql(complexity = "50 + child_complexity")]
    async fn consistency_proof(&self, ctx: &Context<'_>, from: Date, to: Date) -> async_graphql::Result<ProofNode> {
        if from.0 > to.0 {
            return Err(input("from", "from 不得晚于 to"));
        }
        required(ProofNode::of(app(ctx).proofs.consistency(actor(ctx)?, from.0, to.0).await))
    }
}
