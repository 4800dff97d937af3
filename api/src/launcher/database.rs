//! The database's address: says in one sentence what is wrong with it, and brings its schema up to date.
//!
//! No password is ever printed. Migrations run as the role of the URL (the owner), not as `haodian_app`, which may not create tables.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use sqlx::migrate::{Migrate, MigrateError, Migrator};
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection};

/// The schema, embedded.
static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

/// How long a server may take to answer.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// A database that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    #[error("DATABASE_URL is not a PostgreSQL address; write postgres://USER:PASSWORD@HOST:PORT/DATABASE")]
    NotAnAddress,
    #[error("PostgreSQL at {server} refused the connection; start it, or correct host and port in DATABASE_URL")]
    Refused { server: String },
    #[error("the host {host} in DATABASE_URL was not found")]
    UnknownHost { host: String },
    #[error("PostgreSQL at {server} did not answer within {} s; check host, port and firewall", CONNECT_LIMIT.as_secs())]
    Silent { server: String },
    #[error("PostgreSQL at {server} refused user {user}: wrong password or no right to log in; correct DATABASE_URL")]
    LoginRefused { server: String, user: String },
    #[error("PostgreSQL at {server} has no database {database}; create it with: createdb -O {user} {database}")]
    NoDatabase { server: String, user: String, database: String },
    #[error("PostgreSQL at {server} has version {version}; 15 to 18 are supported")]
    Version { server: String, version: u32 },
    #[error("user {user} of DATABASE_URL may not change the schema; it must own the database and have CREATEROLE")]
    MayNotMigrate { user: String },
    #[error("the schema was made by another version of 好店; use an empty database, or the version that made it")]
    OtherSchema(#[source] MigrateError),
    #[error("migration {version} failed and was rolled back")]
    MigrationFailed {
        version: i64,
        #[source]
        source: sqlx::Error,
    },
    #[error("the schema could not be brought up to date")]
    Migration(#[source] MigrateError),
    #[error("PostgreSQL at {server} could not be used")]
    Other {
        server: String,
        #[source]
        source: sqlx::Error,
    },
}

/// What a migration run did.
#[derive(Clone, Copy, Debug)]
pub struct Migrated {
    /// How many were applied now.
    pub applied: usize,
    /// How many there are.
    pub total: usize,
    pub took: Duration,
}

/// The version of the newest migration this program knows.
pub fn newest_migration() -> Option<i64> {
    MIGRATIONS.iter().map(|migration| migration.version).max()
}

/// `user@host:port/database` of an address, without its password.
pub fn masked(url: &str) -> String {
    match parse(url) {
        Ok(options) => format!("{}@{}/{}", options.get_username(), server(&options), database(&options)),
        Err(_) => "an address that cannot be read".to_owned(),
    }
}

/// Opens one connection as the role of the URL, or says what is wrong.
pub async fn open(url: &str) -> Result<PgConnection, DatabaseError> {
    let options = parse(url)?;
    resolve(&options).await?;
    let connecting = PgConnection::connect_with(&options);
    let connection = match tokio::time::timeout(CONNECT_LIMIT, connecting).await {
        Ok(connected) => connected.map_err(|e| classify(&options, e))?,
        Err(_) => return Err(DatabaseError::Silent { server: server(&options) }),
    };
    match connection.server_version_num().map(|number| number / 10_000) {
        Some(version) if !(15..=18).contains(&version) => Err(DatabaseError::Version { server: server(&options), version }),
        _ => Ok(connection),
    }
}

/// Applies the migrations that are missing. Several processes may do this at once: one applies, the others wait.
pub async fn migrate(url: &str) -> Result<Migrated, DatabaseError> {
    let started = Instant::now();
    let mut connection = open(url).await?;
    let user = parse(url)?.get_username().to_owned();
    let before = applied(&mut connection).await?;
    MIGRATIONS.run(&mut connection).await.map_err(|error| refused(error, &user))?;
    let after = applied(&mut connection).await?;
    let _ = connection.close().await;
    Ok(Migrated { applied: after.saturating_sub(before), total: MIGRATIONS.iter().count(), took: started.elapsed() })
}

/// How many migrations the database still lacks. Reads only.
pub async fn pending(url: &str) -> Result<usize, DatabaseError> {
    let mut connection = open(url).await?;
    let found = connection.list_applied_migrations(&MIGRATIONS.table_name).await;
    let _ = connection.close().await;
    match found {
        Ok(found) => Ok(MIGRATIONS.iter().count().saturating_sub(found.len())),
        // no table of migrations: an empty database
        Err(MigrateError::Execute(sqlx::Error::Database(error))) if error.code().as_deref() == Some("42P01") => {
            Ok(MIGRATIONS.iter().count())
        }
        Err(error) => Err(DatabaseError::Migration(error)),
    }
}

async fn applied(connection: &mut PgConnection) -> Result<usize, DatabaseError> {
    let table = &MIGRATIONS.table_name;
    match connection.list_applied_migrations(table).await {
        Ok(found) => Ok(found.len()),
        Err(MigrateError::Execute(sqlx::Error::Database(error))) if error.code().as_deref() == Some("42P01") => Ok(0),
        Err(error) => Err(DatabaseError::Migration(error)),
    }
}

fn refused(error: MigrateError, user: &str) -> DatabaseError {
    let may_not = |source: &sqlx::Error| matches!(source, sqlx::Error::Database(e) if e.code().as_deref() == Some("42501"));
    match error {
        MigrateError::Execute(source) | MigrateError::ExecuteMigration(source, _) if may_not(&source) => {
            DatabaseError::MayNotMigrate { user: user.to_owned() }
        }
        MigrateError::ExecuteMigration(source, version) => DatabaseError::MigrationFailed { version, source },
        MigrateError::VersionMissing(_) | MigrateError::VersionMismatch(_) => DatabaseError::OtherSchema(error),
        error => DatabaseError::Migration(error),
    }
}

fn parse(url: &str) -> Result<PgConnectOptions, DatabaseError> {
    if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
        return Err(DatabaseError::NotAnAddress);
    }
    url.parse().map_err(|_| DatabaseError::NotAnAddress)
}

fn server(options: &PgConnectOptions) -> String {
    format!("{}:{}", options.get_host(), options.get_port())
}

fn database(options: &PgConnectOptions) -> &str {
    options.get_database().unwrap_or_else(|| options.get_username())
}

/// Looks the host up first: a name that is not found and a server that is not there are different mistakes.
async fn resolve(options: &PgConnectOptions) -> Result<(), DatabaseError> {
    let host = options.get_host();
    // a folder of sockets
    if host.starts_with('/') || host.starts_with('@') {
        return Ok(());
    }
    let found = tokio::time::timeout(CONNECT_LIMIT, tokio::net::lookup_host((host, options.get_port()))).await;
    if matches!(found, Ok(Ok(_))) { Ok(()) } else { Err(DatabaseError::UnknownHost { host: host.to_owned() }) }
}

/// Turns the driver's error into the sentence that helps.
fn classify(options: &PgConnectOptions, error: sqlx::Error) -> DatabaseError {
    let user = options.get_username().to_owned();
    match &error {
        sqlx::Error::Io(cause) => match cause.kind() {
            ErrorKind::ConnectionRefused => return DatabaseError::Refused { server: server(options) },
            ErrorKind::TimedOut | ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => {
                return DatabaseError::Silent { server: server(options) };
            }
            _ => {}
        },
        sqlx::Error::Database(refusal) => match refusal.code().as_deref() {
            Some("28P01" | "28000") => return DatabaseError::LoginRefused { server: server(options), user },
            Some("3D000") => {
                return DatabaseError::NoDatabase { server: server(options), user, database: database(options).to_owned() };
            }
            _ => {}
        },
        _ => {}
    }
    DatabaseError::Other { server: server(options), source: error }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_masked_address_has_no_password() {
        assert_eq!(masked("postgres://shop:secret@db.example:5433/haodian"), "shop@db.example:5433/haodian");
        assert_eq!(masked("postgres://shop:secret@db.example/"), "shop@db.example:5432/shop");
        assert_eq!(masked("mysql://shop:secret@db.example/"), "an address that cannot be read");
    }

    #[tokio::test]
    async fn each_wrong_address_has_its_sentence() {
        let cases = [
            ("nonsense", "DATABASE_URL is not a PostgreSQL address"),
            ("http://127.0.0.1/", "DATABASE_URL is not a PostgreSQL address"),
            ("postgres://u:secret@127.0.0.1:1/d", "PostgreSQL at 127.0.0.1:1 refused the connection"),
            ("postgres://u:secret@nowhere.invalid/d", "the host nowhere.invalid in DATABASE_URL was not found"),
        ];
        for (url, expected) in cases {
            let error = open(url).await.unwrap_err().to_string();
            assert!(error.starts_with(expected), "{url}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn migrations_are_numbered_from_one_without_gaps() {
        let versions: Vec<i64> = MIGRATIONS.iter().map(|migration| migration.version).collect();
        assert_eq!(versions, (1..=i64::try_from(versions.len()).unwrap()).collect::<Vec<_>>());
    }
}
