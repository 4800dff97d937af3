//! Who a caller is: a login gives an opaque token, a token gives an [`Actor`]. Of a token only its SHA-256 is stored.
//!
//! Sessions run on real time: a sandbox day that is moved forward must not log everybody out.

mod error;
mod repo;

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use sqlx::PgPool;
use wallet::base::actor::{Actor, Role};
use wallet::base::audit;
use wallet::base::clock::Clock;
use wallet::base::id::UserId;
use wallet::base::reads::Reads;

pub use error::IdentityError;

/// How long a session lasts.
pub const SESSION_HOURS: i64 = 12;
/// Random bytes in a token.
const TOKEN_LEN: usize = 32;

/// Whether the code login of development exists in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DevelopmentLogin {
    Allowed,
    Off,
}

/// A person who logs in (用户).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    pub id: UserId,
    pub role: Role,
    pub display_name: String,
}

/// A session's secret, shown once to its owner. `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// The text to be sent as a bearer token.
    pub fn expose(&self) -> &str {
        &self.0
    }

    fn random() -> Result<Self, IdentityError> {
        let mut bytes = [0; TOKEN_LEN];
        rand::fill(&mut bytes).map_err(|_| IdentityError::Random)?;
        Ok(Self(URL_SAFE_NO_PAD.encode(bytes)))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// A session just opened.
#[derive(Clone, Debug)]
pub struct Login {
    pub token: Token,
    pub expires_at: DateTime<Utc>,
    pub user: User,
}

/// Opens, checks and ends sessions.
#[derive(Clone, Debug)]
pub struct Identity {
    db: PgPool,
    clock: Clock,
    development: DevelopmentLogin,
    reading: Reads<Vec<u8>, Actor, IdentityError>,
}

/// The code login of development (`dev:owner:alice`): it can only be had where it is allowed.
#[derive(Clone, Copy, Debug)]
pub struct DevelopmentCodes<'a>(&'a Identity);

impl Identity {
    pub fn new(db: PgPool, clock: Clock, development: DevelopmentLogin) -> Self {
        let stored = db.clone();
        let reading = Reads::new("session_read", move |hashes: Vec<Vec<u8>>| {
            let db = stored.clone();
            async move { Ok(repo::find_actors(&db, &hashes, Clock::wall()).await?) }
        });
        Self { db, clock, development, reading }
    }

    /// The development login, where it is allowed.
    pub fn development(&self) -> Option<DevelopmentCodes<'_>> {
        (self.development == DevelopmentLogin::Allowed).then_some(DevelopmentCodes(self))
    }

    /// Logs in by a development code; `LoginOff` where that is not allowed.
    pub async fn login_development(&self, code: &str) -> Result<Login, IdentityError> {
        self.development().ok_or(IdentityError::LoginOff)?.login(code).await
    }

    /// The person behind a token, with the merchants they own; none when the session is unknown, expired or ended. One query, shared with whoever asks at the same time.
    pub async fn authenticate(&self, token: &str) -> Result<Option<Actor>, IdentityError> {
        if !plausible(token) {
            return Ok(None);
        }
        Ok(self.reading.get(hash(token)).await?)
    }

    /// Ends the session of a token. `NoSession` when it was not live.
    pub async fn logout(&self, token: &str) -> Result<(), IdentityError> {
        if plausible(token) && repo::revoke(&self.db, &hash(token), Clock::wall()).await? {
            return Ok(());
        }
        Err(IdentityError::NoSession)
    }

    /// The person of a handle, for commands that are run beside the keys of the system. They own nothing here: no command needs it.
    pub async fn person(&self, handle: &str) -> Result<Option<Actor>, IdentityError> {
        let found = repo::by_handle(&self.db, handle).await?;
        Ok(found.map(|(id, role)| Actor::Person { id, role, merchants: Vec::new() }))
    }

    /// The caller's own account; none for a customer and the platform itself.
    pub async fn viewer(&self, actor: &Actor) -> Result<Option<User>, IdentityError> {
        match actor.user() {
            Some(id) => Ok(repo::find_user(&self.db, id).await?),
            None => Ok(None),
        }
    }
}

impl DevelopmentCodes<'_> {
    /// Logs in by `dev:<role>:<handle>`. The first login of a handle creates the person and fixes their role.
    pub async fn login(&self, code: &str) -> Result<Login, IdentityError> {
        let Identity { db, clock, .. } = self.0;
        let (role, handle) = parse_code(code)?;
        let token = Token::random()?;
        let at = Clock::wall();
        let expires_at = at + TimeDelta::hours(SESSION_HOURS);

        let mut tx = db.begin().await?;
        let user = repo::ensure_user_in_tx(&mut tx, UserId::new(), &format!("dev:{handle}"), role, handle, clock.now()).await?;
        if user.role != role {
            return Err(IdentityError::RoleFixed { role: user.role });
        }
        repo::insert_session_in_tx(&mut tx, &hash(token.expose()), user.id, at, expires_at).await?;
        let actor = Actor::Person { id: user.id, role, merchants: Vec::new() };
        audit::record_in_tx(&mut tx, &actor, "session.opened", user.id.0, json!({ "method": "development" }), clock.now()).await?;
        tx.commit().await?;
        Ok(Login { token, expires_at, user })
    }
}

fn hash(token: &str) -> Vec<u8> {
    digest(&SHA256, token.as_bytes()).as_ref().to_vec()
}

/// Whether the text has the shape of a token of ours; anything else needs no query.
fn plausible(token: &str) -> bool {
    token.len() == TOKEN_LEN.div_ceil(3) * 4 - 1 && token.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// Reads `dev:<role>:<handle>`.
fn parse_code(code: &str) -> Result<(Role, &str), IdentityError> {
    let (role, handle) = code.strip_prefix("dev:").and_then(|rest| rest.split_once(':')).ok_or(IdentityError::MalformedCode)?;
    let role = match role {
        "owner" => Role::Owner,
        "agent" => Role::Agent,
        "reviewer" => Role::Reviewer,
        "operator" => Role::Operator,
        _ => return Err(IdentityError::MalformedCode),
    };
    let fits = (2..=32).contains(&handle.len()) && handle.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if fits { Ok((role, handle)) } else { Err(IdentityError::MalformedCode) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_name_a_role_and_a_handle() {
        let long = format!("dev:owner:{}", "a".repeat(33));
        let cases = [
            ("dev:owner:alice", Some((Role::Owner, "alice"))),
            ("dev:reviewer:rui-2", Some((Role::Reviewer, "rui-2"))),
            ("dev:operator:ops", Some((Role::Operator, "ops"))),
            ("dev:agent:gu", Some((Role::Agent, "gu"))),
            ("dev:owner:a", None),
            (&long, None),
            ("dev:owner:Alice", None),
            ("dev:owner:爱丽丝", None),
            ("dev:owner:a:b", None),
            ("dev:system:root", None),
            ("dev:owner", None),
            ("owner:alice", None),
            ("", None),
        ];
        for (code, expected) in cases {
            assert_eq!(parse_code(code).ok(), expected, "{code}");
        }
    }

    #[test]
    fn tokens_are_random_plausible_and_never_printed() {
        let (one, two) = (Token::random().unwrap(), Token::random().unwrap());
        assert_ne!(one, two);
        assert!(plausible(one.expose()) && plausible(two.expose()));
        assert_eq!(format!("{one:?}"), "Token(..)");
        for text in ["", "short", &"=".repeat(43), &"a".repeat(44)] {
            assert!(!plausible(text), "{text}");
        }
    }
}
