//! Orders, sales and users as the edge reads and writes them: a thin handle over the order store and
//! the catalogue, with the read cache in front of public sales.
//!
//! Must not decide anything about stock, which the shards own.

pub mod completeness;
mod expected;
mod found;
pub mod lifecycle;
mod log;
pub mod operators;
mod pages;
mod payments;
pub mod preheat;
mod refunds;
mod steering;
pub mod upcoming;

use crate::actors::{Engine, Gate};
use crate::store::broker::BrokerAddress;
use crate::store::catalogue::{Catalogue, KnownIds};
use crate::store::database::StoreError;
use crate::store::dead_letters::{DeadLetters, DeadLettersError};
use crate::store::orders::ownership::OwnershipError;
use crate::store::orders::{OrderStore, StoredOrder};
use crate::store::read_cache::ReadCache;
use domain::catalogue::{Day, PictureId, PublicSale, Sale, SaleDraft, SaleList};
use domain::order::Cursor;
use domain::{
    ItemId, OperatorRoles, Order, OrderId, RequestId, SaleId, SaleStep, Timestamp, UserId,
};
use expected::Expected;
use operators::{Acceptance, Found, KnownOperators, OperatorAccount};
use std::fmt;
use std::sync::Arc;
use upcoming::Upcoming;

pub use crate::store::broker::dead_letters::DeadLetter;
pub use crate::store::catalogue::{
    Base, CatalogueError, Change, Changed, ItemNames, LogEntry, LoggedEntry, Tally,
};
pub use crate::store::dead_letters::subject as dead_letter_subject;
pub use crate::store::orders::{OrderFilter, PaymentFilter, StoredPayment};
pub use crate::store::read_cache::ReadError;
pub use found::{FoundOrders, OrderNames};
pub use refunds::RefundMade;

/// A handle to the order store and the catalogue, with the read cache in front of public sales. Cheap
/// to clone. Every change of a sale goes through here, so that the cache begins a new generation.
#[derive(Clone, Debug)]
pub struct Sales {
    orders: OrderStore,
    catalogue: Catalogue,
    read_cache: ReadCache,
    operators: KnownOperators,
    dead_letters: DeadLetters,
    upcoming: Upcoming,
    expected: Expected,
}

/// The order store, or the catalogue beside it, did not answer; the reason is in the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the shop's records cannot be read at the moment; none of them is lost")]
pub struct RecordsUnavailable;

impl Sales {
    /// Creates a handle to the order store and the catalogue beside it, read through the cache.
    pub fn new(orders: OrderStore, read_cache: ReadCache) -> Self {
        let catalogue = Catalogue::new(orders.database());
        let operators = KnownOperators::new(catalogue.clone());
        let dead_letters = DeadLetters { broker: None, orders: Some(orders.clone()) };
        let (upcoming, expected) = (Upcoming::default(), Expected::default());
        Self { orders, catalogue, read_cache, operators, dead_letters, upcoming, expected }
    }

    /// The same, with the broker in whose queue dead letters are.
    #[must_use]
    pub fn with_broker(self, broker: Option<BrokerAddress>) -> Self {
        Self { dead_letters: DeadLetters { broker, ..self.dead_letters }, ..self }
    }

    /// The sales that were approved and had not begun when the catalogue was last looked at.
    pub fn upcoming(&self) -> &Upcoming {
        &self.upcoming
    }

    /// Whether a sale has this item that was approved and is not over, so that some shard has it or is to have it.
    pub async fn expects(&self, item_id: ItemId, now: Timestamp) -> bool {
        self.expected.has(item_id, &self.catalogue, now).await
    }

    /// Checks that the order store that has the catalogue was filled from the engine's journal.
    ///
    /// # Errors
    /// Returns [`OwnershipError`] if it was another one, or the order store does not answer.
    pub(super) async fn check_owner(&self, engine: &Engine) -> Result<(), OwnershipError> {
        engine.stored_progress(&self.orders.first()).await.map(drop)
    }

    /// Asks the catalogue, with the order store that has it, for a sign of life.
    ///
    /// # Errors
    /// Returns [`StoreError`] if they give none.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.orders.first().ping().await
    }

    /// Looks at the catalogue's latest change, so that what was read of sales before it counts no longer, whichever
    /// process has made it.
    ///
    /// # Errors
    /// Returns [`CatalogueError`] if the catalogue does not answer.
    pub async fn look_for_changes(&self) -> Result<(), CatalogueError> {
        self.read_cache.catch_up(self.catalogue.latest_change()).await
    }

    /// Returns the order, if it has reached the order store.
    ///
    /// # Errors
    /// Returns [`RecordsUnavailable`] if the order store does not answer.
    pub async fn order(&self, order_id: OrderId) -> Result<Option<Order>, RecordsUnavailable> {
        let stored = self.orders.order(order_id).await.map_err(unavailable)?;
        Ok(stored.map(|stored| stored.order))
    }

    /// Returns the order that this request got of the gate's item, if it has reached the order store.
    ///
    /// # Errors
    /// Returns [`RecordsUnavailable`] if the order store does not answer.
    pub async fn order_of_request(
        &self,
        gate: &Gate,
        user_id: UserId,
        request_id: RequestId,
    ) -> Result<Option<Order>, RecordsUnavailable> {
        let item = (gate.terms().sale_id, gate.terms().item_id);
        let orders = self.orders.holding(gate.shards());
        let stored = orders.order_of_request(item, user_id, request_id).await;
        Ok(stored.map_err(unavailable)?.map(|stored| stored.order))
    }

    /// Returns a buyer's orders that have reached the order store, newest first, placed before `before`
    /// if given; at most `limit`.
    ///
    /// # Errors
    /// Returns [`RecordsUnavailable`] if the order store does not answer.
    pub async fn orders_of(
        &self,
        user_id: UserId,
        before: Option<OrderId>,
        limit: usize,
    ) -> Result<Vec<Order>, RecordsUnavailable> {
        let stored = self.orders.orders_of(user_id, before, limit).await.map_err(unavailable)?;
        Ok(orders(stored))
    }

    /// Returns the orders that the filter takes and that have reached the order store, from the cursor on;
    /// at most `limit`.
    ///
    /// # Errors
    /// Returns [`RecordsUnavailable`] if the order store does not answer.
    pub async fn search_orders(
        &self,
        filter: &OrderFilter,
        cursor: Cursor,
        limit: usize,
    ) -> Result<FoundOrders, RecordsUnavailable> {
        let found = self.orders.search(filter, cursor, limit).await.map_err(unavailable)?;
        let (mut orders, next) = (orders(found.rows), found.next);
        let refunded = self.refunded_of(&orders).await?;
        if let Some(wanted) = filter.refunded {
            orders.retain(|order| refunded.contains(&order.order_id) == wanted);
        }
        Ok(FoundOrders { orders, refunded, next })
    }

    /// Returns what the items and the buyers of these orders are called, as far as that is known.
    ///
    /// # Errors
    /// Returns [`CatalogueError`] if the catalogue does not answer.
    pub async fn names(&self, orders: &[Order]) -> Result<OrderNames, CatalogueError> {
        let (mut items, mut users): (Vec<ItemId>, Vec<UserId>) =
            orders.iter().map(|order| (order.item_id, order.user_id)).unzip();
        items.sort_unstable();
        items.dedup();
        users.sort_unstable();
        users.dedup();
        Ok(OrderNames {
            items: self.catalogue.item_names(&items).await?,
            users: self.catalogue.user_names(&users).await?,
        })
    }

    /// Returns dead letters, at most `limit`.
    ///
    /// # Errors
    /// Returns [`RecordsUnavailable`] if broker or order store do not answer.
    pub async fn dead_letters(&self, limit: usize) -> Result<Vec<DeadLetter>, RecordsUnavailable> {
        self.dead_letters.list(limit).await.map_err(unavailable)
    }

    /// Sends all dead letters to the order store again, at most `limit`, and logs who asked for it.
    /// Returns how many were sent.
    ///
    /// # Errors
    /// Returns [`CatalogueError::Store`] if broker, order store or log do not answer; what was not sent is
    /// still a dead letter.
    pub async fn replay_dead_letters(
        &self,
        limit: usize,
        actor: &str,
        now: Timestamp,
    ) -> Result<usize, CatalogueError> {
        let replayed = self.dead_letters.replay(limit).await.map_err(|error| match error {
            DeadLettersError::Orders(error) => CatalogueError::Store(error),
            DeadLettersError::Broker(error) => {
                CatalogueError::Store(StoreError::Unavailable(error.to_string()))
            }
        })?;
        self.catalogue.note_replay(replayed, actor, now).await?;
        Ok(replayed)
    }

    /// Creates a sale as a draft, whose numbers the engine's journal has not seen.
    ///
    /// # Errors
    /// Returns [`CatalogueError`] if [`Catalogue::create_sale`] does.
    pub async fn create_sale(
        &self,
        engine: &Engine,
        draft: &SaleDraft,
        change: Change<'_>,
    ) -> Result<Changed, CatalogueError> {
        let _changing = self.read_cache.changing();
        self.catalogue.create_sale(draft, known_ids(engine), change).await
    }

    /// Replaces a draft's content.
    ///
    /// # Errors
    /// Returns [`CatalogueError`] if [`Catalogue::replace_sale`] does.
    pub async fn replace_sale(
        &self,
        engine: &Engine,
        sale_id: SaleId,
        draft: &SaleDraft,
        change: Change<'_>,
    ) -> Result<Changed, CatalogueError> {
        let _changing = self.read_cache.changing();
        self.catalogue.replace_sale(sale_id, draft, known_ids(engine), change).await
    }

    /// Deletes a draft.
    ///
    /// # Errors
    /// Returns [`CatalogueError`] if [`Catalogue::delete_sale`] does.
    pub async fn delete_sale(
        &self,
        sale_id: SaleId,
        change: Change<'_>,
    ) -> Result<(), CatalogueError> {
        let _changing = self.read_cache.changing();
        self.catalogue.delete_sale(sale_id, change).await
    }

    /// Takes a sale one step on.
    ///
    /// # Errors
    /// Returns [`CatalogueError`] if [`Catalogue::take_step`] does.
    pub async fn take_step(
        &self,
        sale_id: SaleId,
        step: SaleStep,
        note: Option<&str>,
        change: Change<'_>,
    ) -> Result<Changed, CatalogueError> {
        let _changing = self.read_cache.changing();
        self.catalogue.take_step(sale_id, step, note, change).await
    }

    /// The number of the span of time between two changes of sales: what was read of sales in one is no
    /// longer true in the next. Read it before the sales.
    pub fn generation(&self) -> u64 {
        self.read_cache.generation()
    }

    /// Returns the sale as everybody may see it; none if there is no such sale, or it is not public.
    ///
    /// # Errors
    /// Returns [`ReadError`] if neither cache nor catalogue answers.
    pub async fn public_sale(&self, sale_id: SaleId) -> Result<Option<Arc<PublicSale>>, ReadError> {
        let load = async || {
            let sale = self.catalogue.sale(sale_id).await?;
            Ok(sale.as_ref().and_then(Sale::public))
        };
        self.read_cache.sale(sale_id, load).await
    }

    /// Returns the day's sales that everybody may see, by their start.
    ///
    /// # Errors
    /// Returns [`ReadError`] if neither cache nor catalogue answers.
    pub async fn of_day(&self, day: Day) -> Result<Arc<SaleList>, ReadError> {
        self.read_cache.day(day, || self.catalogue.sales_of_day(day)).await
    }

    /// Returns the sale as operators see it.
    ///
    /// # Errors
    /// Returns [`CatalogueError::SaleNotFound`] if there is none, [`CatalogueError::Store`] if the
    /// catalogue does not answer.
    pub async fn sale(&self, sale_id: SaleId) -> Result<Sale, CatalogueError> {
        self.catalogue.sale(sale_id).await?.ok_or(CatalogueError::SaleNotFound)
    }

    /// Returns the account of this name, as the catalogue has it or, if it does not answer within a
    /// second, as it was last known.
    pub async fn operator(&self, name: &str, now: Timestamp) -> Found {
        self.operators.find(name, now).await
    }

    /// Returns all accounts of operators, by name.
    ///
    /// # Errors
    /// Returns [`CatalogueError`] if the catalogue does not answer.
    pub async fn operators(&self) -> Result<Vec<OperatorAccount>, CatalogueError> {
        self.catalogue.operators().await
    }

    /// Gives the account of a link its password and roles.
    ///
    /// # Errors
    /// Returns [`CatalogueError`] if [`Catalogue::accept_operator`] does.
    pub async fn accept_operator(
        &self,
        acceptance: Acceptance<'_>,
    ) -> Result<OperatorAccount, CatalogueError> {
        self.catalogue.accept_operator(acceptance).await
    }

    /// Disables an account or lets it be used again.
    ///
    /// # Errors
    /// Returns [`CatalogueError::OwnAccount`] if `actor` would disable their own, and what
    /// [`Catalogue::disable_operator`] does.
    pub async fn disable_operator(
        &self,
        name: &str,
        is_disabled: bool,
        actor: &str,
        now: Timestamp,
    ) -> Result<OperatorAccount, CatalogueError> {
        if is_disabled && name.to_lowercase() == actor.to_lowercase() {
            return Err(CatalogueError::OwnAccount);
        }
        let changed = self.catalogue.disable_operator(name, is_disabled, actor, now).await;
        if let Ok(account) = &changed {
            self.operators.note(name, &Ok(Some(account.clone())), now);
        }
        changed
    }

    /// Notes in the operators' log that `actor` made a link.
    ///
    /// # Errors
    /// Returns [`CatalogueError`] if the catalogue does not answer.
    pub async fn note_operator_link(
        &self,
        name: &str,
        roles: OperatorRoles,
        actor: &str,
        now: Timestamp,
    ) -> Result<(), CatalogueError> {
        self.catalogue.note_operator_link(name, roles, actor, now).await
    }

    /// Registers a buyer.
    ///
    /// # Errors
    /// Returns [`CatalogueError`] if [`Catalogue::create_user`] does.
    pub async fn create_user(
        &self,
        name: &str,
        password_hash: &str,
        now: Timestamp,
    ) -> Result<UserId, CatalogueError> {
        self.catalogue.create_user(name, password_hash, now).await
    }

    /// Returns the buyer of this name and the hash of the password, if there is one.
    ///
    /// # Errors
    /// Returns [`CatalogueError`] if the catalogue does not answer.
    pub async fn user_by_name(
        &self,
        name: &str,
    ) -> Result<Option<(UserId, String)>, CatalogueError> {
        self.catalogue.user_by_name(name).await
    }

    /// Keeps a picture under its name. Returns whether it is a new one.
    ///
    /// # Errors
    /// Returns [`CatalogueError`] if [`Catalogue::keep_picture`] does.
    pub async fn keep_picture(
        &self,
        picture: PictureId,
        bytes: &[u8],
        change: Change<'_>,
    ) -> Result<bool, CatalogueError> {
        self.catalogue.keep_picture(picture, bytes, change).await
    }

    /// Returns the bytes of a picture, a JPEG, if it is kept.
    ///
    /// # Errors
    /// Returns [`CatalogueError`] if the catalogue does not answer.
    pub async fn picture(&self, picture: PictureId) -> Result<Option<Vec<u8>>, CatalogueError> {
        self.catalogue.picture(picture).await
    }

    /// Adds to what is stored of the visits of a subject, and returns what is stored then.
    ///
    /// # Errors
    /// Returns [`CatalogueError`] if [`Catalogue::add_visits`] does.
    pub async fn add_visits(
        &self,
        subject: &str,
        tally: &Tally,
        now: Timestamp,
    ) -> Result<Tally, CatalogueError> {
        self.catalogue.add_visits(subject, tally, now).await
    }

    /// Whether visitors are counted in Redis too.
    pub fn counts_in_redis(&self) -> bool {
        self.read_cache.counts_in_redis()
    }

    /// Tells Redis of visitors of a subject, and returns how many it knows; none without Redis.
    pub async fn count_visitors(&self, subject: &str, visitors: &[u64]) -> Option<u64> {
        self.read_cache.count_visitors(subject, visitors).await
    }

    /// Counts the units that the stored orders of a sale hold, by item: reserved and sold.
    ///
    /// # Errors
    /// Returns [`RecordsUnavailable`] if the order store does not answer.
    pub async fn units_of_sale(
        &self,
        sale_id: SaleId,
    ) -> Result<Vec<(ItemId, (u64, u64))>, RecordsUnavailable> {
        self.orders.units_of_sale(sale_id).await.map_err(unavailable)
    }

    /// Returns the number of a user of another issuer, who gets one at the first time.
    ///
    /// # Errors
    /// Returns [`CatalogueError`] if [`Catalogue::external_user`] does.
    pub async fn external_user(
        &self,
        issuer: &str,
        subject: &str,
        now: Timestamp,
    ) -> Result<UserId, CatalogueError> {
        self.catalogue.external_user(issuer, subject, now).await
    }

    /// Returns the name and the password's hash of the buyer with this number, if there is one.
    ///
    /// # Errors
    /// Returns [`CatalogueError`] if the catalogue does not answer.
    pub async fn user(&self, user_id: UserId) -> Result<Option<(String, String)>, CatalogueError> {
        self.catalogue.user(user_id).await
    }

    /// Gives the buyer another password, if it still is the one of this hash, and ends earlier sessions;
    /// returns whether it was.
    ///
    /// # Errors
    /// Returns [`CatalogueError`] if [`Catalogue::change_password`] does.
    pub async fn change_password(
        &self,
        user_id: UserId,
        from: &str,
        to: &str,
        good_from_seconds: u64,
    ) -> Result<bool, CatalogueError> {
        self.catalogue.change_password(user_id, from, to, good_from_seconds).await
    }

    /// Returns the buyers whose earlier sessions were ended since, and from when on tokens are good.
    ///
    /// # Errors
    /// Returns [`CatalogueError`] if the catalogue does not answer.
    pub async fn sessions_ended(
        &self,
        since_seconds: u64,
    ) -> Result<Vec<(UserId, u64)>, CatalogueError> {
        self.catalogue.sessions_ended(since_seconds).await
    }

    /// Returns the sale that the item belongs to, as everybody may see it; none if there is no such item,
    /// or its sale is not public.
    ///
    /// # Errors
    /// Returns [`CatalogueError`] if the catalogue does not answer.
    pub async fn public_sale_of_item(
        &self,
        item_id: ItemId,
    ) -> Result<Option<PublicSale>, CatalogueError> {
        Ok(self.catalogue.sale_of_item(item_id).await?.as_ref().and_then(Sale::public))
    }
}

fn orders(stored: Vec<StoredOrder>) -> Vec<Order> {
    stored.into_iter().map(|stored| stored.order).collect()
}

/// The highest numbers of a sale and an item that the engine's shards have seen.
fn known_ids(engine: &Engine) -> KnownIds {
    let gates = engine.gates();
    let terms = || gates.iter().map(|gate| gate.terms());
    KnownIds {
        sale_id: terms().map(|terms| terms.sale_id).max().unwrap_or_default(),
        item_id: terms().map(|terms| terms.item_id).max().unwrap_or_default(),
    }
}

fn unavailable(error: impl fmt::Display) -> RecordsUnavailable {
    tracing::warn!(%error, "the order store did not answer");
    RecordsUnavailable
}
