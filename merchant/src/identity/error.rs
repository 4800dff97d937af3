//! Why nobody was let in.

use std::time::Duration;

use wallet::base::actor::Role;
use wallet::base::batcher::SubmitError;
use wallet::base::db;

#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// Development login is off: this process has no code login at all.
    #[error("the development login is off")]
    LoginOff,
    /// The code is not `dev:<role>:<handle>`, with a role of ours and 2 to 32 of `a-z 0-9 -`.
    #[error("the login code is malformed")]
    MalformedCode,
    /// The handle logged in before with another role; a person's role never changes by logging in.
    #[error("this person has another role")]
    RoleFixed { role: Role },
    #[error("there is no such session")]
    NoSession,
    #[error("the machine gave no random bytes")]
    Random,
    /// Too many ask at once: come back a little later.
    #[error("too many callers ask who they are")]
    Busy { retry_after: Duration },
    #[error("the question was cut short")]
    CutShort,
    #[error("could not reach the database")]
    Database(#[from] sqlx::Error),
}

impl From<SubmitError<Self>> for IdentityError {
    fn from(error: SubmitError<Self>) -> Self {
        match error {
            SubmitError::Busy { retry_after } => Self::Busy { retry_after },
            SubmitError::Stopped => Self::CutShort,
            SubmitError::Failed(Self::Database(error)) if db::busy(&error) => Self::Busy { retry_after: db::RETRY_AFTER },
            SubmitError::Failed(error) => error,
        }
    }
}
