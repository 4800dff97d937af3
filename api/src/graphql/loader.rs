//! Loaders of one request: what many nodes ask for one by one is read in one statement each.
//!
//! They belong to the request and its caller; shared ones would hand one tenant's rows to another.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use async_graphql::Context;
use async_graphql::dataloader::{DataLoader, Loader};
use merchant::merchants::{Merchant, Store};
use merchant::onboarding::{Application, Document, Waiting};
use wallet::advance::Advance;
use wallet::base::actor::Actor;
use wallet::base::id::{ApplicationId, MerchantId, OrderId, RefundId, StoreId};
use wallet::order::release::{Confirmation, Release};
use wallet::payment::Attempt;
use wallet::refund::{Gathering, Manual, Payee, Refund, Route};
use wallet::split::Split;

use super::error::{internal, login_required};
use crate::app::App;

/// Keys gathered this long are read together; resolvers of one level run at once, so the shortest tick is enough.
const DELAY: Duration = Duration::from_micros(100);

/// The loaders of one request. Nobody's request has none.
pub struct Loaders(Option<DataLoader<Batch>>);

impl Loaders {
    /// Loaders that see what `actor` may see.
    pub fn new(app: &Arc<App>, actor: Option<Actor>) -> Self {
        Self(actor.map(|actor| DataLoader::new(Batch { app: app.clone(), actor }, tokio::spawn).delay(DELAY)))
    }

    async fn one<K>(&self, key: K) -> async_graphql::Result<Option<<Batch as Loader<K>>::Value>>
    where
        K: Send + Sync + Hash + Eq + Clone + 'static,
        Batch: Loader<K, Error = Failure>,
    {
        let loader = self.0.as_ref().ok_or_else(login_required)?;
        loader.load_one(key).await.map_err(|Failure(error)| internal(error.as_ref()))
    }

    pub async fn merchant(&self, id: MerchantId) -> async_graphql::Result<Option<Merchant>> {
        self.one(id).await
    }

    pub async fn store(&self, id: StoreId) -> async_graphql::Result<Option<Store>> {
        self.one(id).await
    }

    pub async fn stores_of_merchant(&self, id: MerchantId) -> async_graphql::Result<Vec<Store>> {
        Ok(self.one(StoresOf(id)).await?.unwrap_or_default())
    }

    pub async fn application_of_merchant(&self, id: MerchantId) -> async_graphql::Result<Option<Application>> {
        self.one(ApplicationOf(id)).await
    }

    pub async fn documents_of_application(&self, id: ApplicationId) -> async_graphql::Result<Vec<Document>> {
        Ok(self.one(DocumentsOf(id)).await?.unwrap_or_default())
    }

    pub async fn waiting_of_application(&self, id: ApplicationId) -> async_graphql::Result<Option<Waiting>> {
        self.one(WaitingOf(id)).await
    }

    pub async fn attempts_of_order(&self, merchant: MerchantId, order: OrderId) -> async_graphql::Result<Vec<Attempt>> {
        Ok(self.one(AttemptsOf(merchant, order)).await?.unwrap_or_default())
    }

    pub async fn releases_of_order(&self, merchant: MerchantId, order: OrderId) -> async_graphql::Result<Vec<Release>> {
        Ok(self.one(ReleasesOf(merchant, order)).await?.unwrap_or_default())
    }

    pub async fn confirmations_of_order(&self, merchant: MerchantId, order: OrderId) -> async_graphql::Result<Vec<Confirmation>> {
        Ok(self.one(ConfirmationsOf(merchant, order)).await?.unwrap_or_default())
    }

    pub async fn refunds_of_order(&self, merchant: MerchantId, order: OrderId) -> async_graphql::Result<Vec<Refund>> {
        Ok(self.one(RefundsOf(merchant, order)).await?.unwrap_or_default())
    }

    pub async fn refund_detail(&self, merchant: MerchantId, refund: RefundId) -> async_graphql::Result<RefundDetail> {
        Ok(self.one(DetailOf(merchant, refund)).await?.unwrap_or_default())
    }

    pub async fn split_of_order(&self, merchant: MerchantId, order: OrderId) -> async_graphql::Result<Option<Split>> {
        self.one(SplitOf(merchant, order)).await
    }
}

impl std::fmt::Debug for Loaders {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Loaders(..)")
    }
}

/// The loaders of the running request.
pub(super) fn loaders<'a>(ctx: &Context<'a>) -> &'a Loaders {
    ctx.data_unchecked::<Loaders>()
}

struct Batch {
    app: Arc<App>,
    actor: Actor,
}

/// A failed batch, shared by all who waited for it.
#[derive(Clone)]
struct Failure(Arc<dyn std::error::Error + Send + Sync>);

fn failure(error: impl std::error::Error + Send + Sync + 'static) -> Failure {
    Failure(Arc::new(error))
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct StoresOf(MerchantId);
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct ApplicationOf(MerchantId);
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct DocumentsOf(ApplicationId);
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct WaitingOf(ApplicationId);
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct AttemptsOf(MerchantId, OrderId);
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct RefundsOf(MerchantId, OrderId);
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct ReleasesOf(MerchantId, OrderId);
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct ConfirmationsOf(MerchantId, OrderId);
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct DetailOf(MerchantId, RefundId);
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct SplitOf(MerchantId, OrderId);

impl Loader<MerchantId> for Batch {
    type Value = Merchant;
    type Error = Failure;

    async fn load(&self, keys: &[MerchantId]) -> Result<HashMap<MerchantId, Merchant>, Failure> {
        self.app.merchants.merchants_by_ids(&self.actor, keys).await.map_err(failure)
    }
}

impl Loader<StoreId> for Batch {
    type Value = Store;
    type Error = Failure;

    async fn load(&self, keys: &[StoreId]) -> Result<HashMap<StoreId, Store>, Failure> {
        self.app.merchants.stores_by_ids(&self.actor, keys).await.map_err(failure)
    }
}

impl Loader<StoresOf> for Batch {
    type Value = Vec<Store>;
    type Error = Failure;

    async fn load(&self, keys: &[StoresOf]) -> Result<HashMap<StoresOf, Vec<Store>>, Failure> {
        let ids: Vec<_> = keys.iter().map(|k| k.0).collect();
        let found = self.app.merchants.stores_of_merchants(&self.actor, &ids).await.map_err(failure)?;
        Ok(found.into_iter().map(|(id, stores)| (StoresOf(id), stores)).collect())
    }
}

impl Loader<ApplicationOf> for Batch {
    type Value = Application;
    type Error = Failure;

    async fn load(&self, keys: &[ApplicationOf]) -> Result<HashMap<ApplicationOf, Application>, Failure> {
        let ids: Vec<_> = keys.iter().map(|k| k.0).collect();
        let found = self.app.applications.applications_of_merchants(&self.actor, &ids).await.map_err(failure)?;
        Ok(found.into_iter().map(|(id, application)| (ApplicationOf(id), application)).collect())
    }
}

impl Loader<DocumentsOf> for Batch {
    type Value = Vec<Document>;
    type Error = Failure;

    async fn load(&self, keys: &[DocumentsOf]) -> Result<HashMap<DocumentsOf, Vec<Document>>, Failure> {
        let ids: Vec<_> = keys.iter().map(|k| k.0).collect();
        let found = self.app.applications.documents_of_applications(&self.actor, &ids).await.map_err(failure)?;
        Ok(found.into_iter().map(|(id, documents)| (DocumentsOf(id), documents)).collect())
    }
}

impl Loader<WaitingOf> for Batch {
    type Value = Waiting;
    type Error = Failure;

    async fn load(&self, keys: &[WaitingOf]) -> Result<HashMap<WaitingOf, Waiting>, Failure> {
        let ids: Vec<_> = keys.iter().map(|k| k.0).collect();
        let found = self.app.applications.waiting(&ids).await.map_err(failure)?;
        Ok(found.into_iter().map(|(id, waiting)| (WaitingOf(id), waiting)).collect())
    }
}

impl Loader<AttemptsOf> for Batch {
    type Value = Vec<Attempt>;
    type Error = Failure;

    async fn load(&self, keys: &[AttemptsOf]) -> Result<HashMap<AttemptsOf, Vec<Attempt>>, Failure> {
        let ids: Vec<_> = keys.iter().map(|k| (k.0, k.1)).collect();
        let mut found: HashMap<_, Vec<_>> = HashMap::new();
        for attempt in self.app.payments.of_orders(&ids).await.map_err(failure)? {
            found.entry(AttemptsOf(attempt.merchant, attempt.order)).or_default().push(attempt);
        }
        Ok(found)
    }
}

impl Loader<RefundsOf> for Batch {
    type Value = Vec<Refund>;
    type Error = Failure;

    async fn load(&self, keys: &[RefundsOf]) -> Result<HashMap<RefundsOf, Vec<Refund>>, Failure> {
        let ids: Vec<_> = keys.iter().map(|k| (k.0, k.1)).collect();
        let mut found: HashMap<_, Vec<_>> = HashMap::new();
        for refund in self.app.refunds.of_orders(&ids).await.map_err(failure)? {
            found.entry(RefundsOf(refund.merchant, refund.order)).or_default().push(refund);
        }
        Ok(found)
    }
}

impl Loader<ReleasesOf> for Batch {
    type Value = Vec<Release>;
    type Error = Failure;

    async fn load(&self, keys: &[ReleasesOf]) -> Result<HashMap<ReleasesOf, Vec<Release>>, Failure> {
        let ids: Vec<_> = keys.iter().map(|k| (k.0, k.1)).collect();
        let mut found: HashMap<_, Vec<_>> = HashMap::new();
        for release in self.app.orders.releases_of(&ids).await.map_err(failure)? {
            found.entry(ReleasesOf(release.merchant, release.order)).or_default().push(release);
        }
        Ok(found)
    }
}

impl Loader<ConfirmationsOf> for Batch {
    type Value = Vec<Confirmation>;
    type Error = Failure;

    async fn load(&self, keys: &[ConfirmationsOf]) -> Result<HashMap<ConfirmationsOf, Vec<Confirmation>>, Failure> {
        let ids: Vec<_> = keys.iter().map(|k| (k.0, k.1)).collect();
        let mut found: HashMap<_, Vec<_>> = HashMap::new();
        for confirmation in self.app.orders.confirmations_of(&ids).await.map_err(failure)? {
            found.entry(ConfirmationsOf(confirmation.merchant, confirmation.order)).or_default().push(confirmation);
        }
        Ok(found)
    }
}

/// What lies beside a refund: its tries, whom it is paid to, how far what it waits for has come, what was said of its payment outside, and what
/// the platform gave for it.
#[derive(Clone, Debug, Default)]
pub struct RefundDetail {
    pub routes: Vec<Route>,
    pub payee: Option<Payee>,
    pub gathering: Option<Gathering>,
    pub manual: Option<Manual>,
    pub advance: Option<Advance>,
}

impl Loader<DetailOf> for Batch {
    type Value = RefundDetail;
    type Error = Failure;

    async fn load(&self, keys: &[DetailOf]) -> Result<HashMap<DetailOf, RefundDetail>, Failure> {
        let ids: Vec<_> = keys.iter().map(|k| (k.0, k.1)).collect();
        let mut found: HashMap<_, RefundDetail> = keys.iter().map(|key| (*key, RefundDetail::default())).collect();
        for route in self.app.refunds.routes(&ids).await.map_err(failure)? {
            found.entry(DetailOf(route.merchant, route.refund)).or_default().routes.push(route);
        }
        // the latest is the one that counts
        for payee in self.app.refunds.payees(&ids).await.map_err(failure)? {
            let key = DetailOf(payee.merchant, payee.refund);
            found.entry(key).or_default().payee = Some(payee);
        }
        for (refund, gathering) in self.app.refunds.gatherings(&ids).await.map_err(failure)? {
            if let Some(key) = keys.iter().find(|key| key.1 == refund) {
                found.entry(*key).or_default().gathering = Some(gathering);
            }
        }
        for manual in self.app.refunds.manuals(&ids).await.map_err(failure)? {
            let key = DetailOf(manual.merchant, manual.refund);
            found.entry(key).or_default().manual = Some(manual);
        }
        for advance in self.app.advances.of_refunds(&ids).await.map_err(failure)? {
            let key = DetailOf(advance.merchant, advance.refund);
            found.entry(key).or_default().advance = Some(advance);
        }
        Ok(found)
    }
}

impl Loader<SplitOf> for Batch {
    type Value = Split;
    type Error = Failure;

    async fn load(&self, keys: &[SplitOf]) -> Result<HashMap<SplitOf, Split>, Failure> {
        let ids: Vec<_> = keys.iter().map(|k| (k.0, k.1)).collect();
        let found = self.app.splits.of_orders(&ids).await.map_err(failure)?;
        Ok(found.into_iter().map(|split| (SplitOf(split.merchant, split.order), split)).collect())
    }
}
