//! A database per test, copied from one migrated template, on the cluster that `HAODIAN_TEST_DATABASE_URL` names.
//!
//! The template's name carries a hash of the migrations, so that a second run finds it ready; an advisory lock lets one process build it.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest::{Context, SHA256};
use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, PgConnection};
use tokio::sync::OnceCell;

/// The variable with the owner's URL of the cluster that tests may create databases on.
pub const URL_VARIABLE: &str = "HAODIAN_TEST_DATABASE_URL";

/// Connections of each pool of a test.
const POOL_MAX: u32 = 8;

/// A left-over database of a run that was killed goes after this many seconds.
const LEFTOVER_S: u64 = 3_600;

/// Any number; the same in every process that builds a template.
const TEMPLATE_LOCK: i64 = 0x6861_6f64_6961_6e01;

/// A database of one test's own. Dropped with the value.
#[derive(Debug)]
pub struct TestDatabase {
    name: String,
    admin_url: String,
    url: String,
    pool: PgPool,
    owner: PgPool,
}

/// Copies the migrated template into a fresh database.
///
/// # Panics
/// With one sentence when the cluster cannot be used.
pub async fn database() -> TestDatabase {
    let admin_url = admin_url();
    static TEMPLATE: OnceCell<String> = OnceCell::const_new();
    let template = TEMPLATE.get_or_init(|| build_template(&admin_url)).await;
    TestDatabase::copied(&admin_url, template).await
}

/// The same on a cluster of the test's own, which it may kill.
pub async fn database_on(admin_url: &str) -> TestDatabase {
    let template = build_template(admin_url).await;
    TestDatabase::copied(admin_url, &template).await
}

impl TestDatabase {
    async fn copied(admin_url: &str, template: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("haodian_test_{}_{}_{}", now_s(), std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let mut admin = connect_admin(admin_url).await;
        run(&mut admin, format!("CREATE DATABASE {name} TEMPLATE {template}")).await;
        // by its owner, where the checker reads it: on a server that forces nothing to the disk, durability (L10) is then not judged
        run(&mut admin, format!("COMMENT ON DATABASE {name} IS '{}'", wallet::check::THROW_AWAY)).await;
        let _ = admin.close().await;
        let options = options(admin_url).database(&name);
        let url = options.to_url_lossy().to_string();
        let pool = wallet::base::db::connect(&url, POOL_MAX).await.expect("the fresh database takes connections");
        let owner = PgPoolOptions::new().max_connections(POOL_MAX).connect_with(options).await.expect("the owner may connect");
        Self { name, admin_url: admin_url.to_owned(), url, pool, owner }
    }

    /// A copy with everything in it. Whoever is connected to this one is thrown out for it; pools come back by themselves.
    pub async fn copy(&self) -> Self {
        let mut admin = connect_admin(&self.admin_url).await;
        sqlx::query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1")
            .bind(&self.name)
            .execute(&mut admin)
            .await
            .expect("the owner may end connections");
        let _ = admin.close().await;
        Self::copied(&self.admin_url, &self.name).await
    }

    /// The application's own rights: `haodian_app`.
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// The owner's rights: may break what the application may not.
    pub fn owner_pool(&self) -> &PgPool {
        &self.owner
    }

    /// What `DATABASE_URL` of a process should be.
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let (name, admin_url) = (self.name.clone(), self.admin_url.clone());
        // A test's runtime may be gone already, so the statement gets one of its own. Best effort: the next run sweeps.
        let dropped = std::thread::spawn(move || {
            let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
            runtime.block_on(async {
                if let Ok(mut admin) = options(&admin_url).connect().await {
                    let _ = admin.execute(AssertSqlSafe(format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"))).await;
                }
            });
        });
        let _ = dropped.join();
    }
}

/// Builds the template unless a run before did, and sweeps what killed runs left behind.
async fn build_template(admin_url: &str) -> String {
    let folder = crate::repository().join("api/migrations");
    let migrator = Migrator::new(folder).await.expect("api/migrations can be read");
    let mut hash = Context::new(&SHA256);
    for migration in migrator.iter() {
        hash.update(&migration.checksum);
    }
    let template = format!("haodian_template_{}", &hex::encode(hash.finish())[..16]);
    let mut admin = connect_admin(admin_url).await;
    sqlx::query("SELECT pg_advisory_lock($1)").bind(TEMPLATE_LOCK).execute(&mut admin).await.expect("an advisory lock can be taken");
    let names: Vec<String> = sqlx::query_scalar("SELECT datname::text FROM pg_database WHERE datname LIKE 'haodian\\_%'")
        .fetch_all(&mut admin)
        .await
        .expect("databases can be listed");
    for name in names.iter().filter(|n| left_over(n)) {
        let _ = admin.execute(AssertSqlSafe(format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"))).await;
    }
    if !names.contains(&template) {
        // Built under another name and renamed: a half-migrated template is never used.
        let building = format!("{template}_building");
        run(&mut admin, format!("DROP DATABASE IF EXISTS {building} WITH (FORCE)")).await;
        run(&mut admin, format!("CREATE DATABASE {building}")).await;
        let mut fresh = options(admin_url).database(&building).connect().await.expect("the template takes connections");
        migrator.run(&mut fresh).await.expect("the migrations run on an empty database");
        fresh.close().await.expect("the template is let go");
        run(&mut admin, format!("ALTER DATABASE {building} RENAME TO {template}")).await;
    }
    let _ = admin.close().await;
    template
}

/// Whether a name is a test's database from long ago.
fn left_over(name: &str) -> bool {
    name.strip_prefix("haodian_test_")
        .and_then(|rest| rest.split('_').next())
        .and_then(|born| born.parse::<u64>().ok())
        .is_some_and(|born| now_s().saturating_sub(born) > LEFTOVER_S)
}

fn admin_url() -> String {
    match std::env::var(URL_VARIABLE) {
        Ok(url) if !url.is_empty() => url,
        _ => panic!(
            "{URL_VARIABLE} is not set; run `make test`, or `haodian services -- cargo test -p tests`, which start PostgreSQL and Redis"
        ),
    }
}

fn options(url: &str) -> PgConnectOptions {
    let options: PgConnectOptions = url.parse().unwrap_or_else(|e| panic!("{URL_VARIABLE} is not a PostgreSQL URL: {e}"));
    options.application_name("haodian tests")
}

async fn connect_admin(url: &str) -> PgConnection {
    options(url)
        .connect()
        .await
        .unwrap_or_else(|e| panic!("the cluster of {URL_VARIABLE} cannot be reached ({e}); run `make test`, which starts one"))
}

async fn run(admin: &mut PgConnection, sql: String) {
    admin.execute(AssertSqlSafe(sql.as_str())).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}
