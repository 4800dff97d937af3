//! Why nobody was let in.

use wallet::base::actor::Role;

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
    #[error("could not reach the database")]
    Database(#[from] sqlx::Error),
}
