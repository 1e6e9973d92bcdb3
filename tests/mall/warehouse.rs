//! The warehouse: told of all orders by webhooks, which it verifies with the library that the specification's authors
//! made. It packs what is paid.

use super::account::{Account, difference, number};
use super::ledger::Ledger;
use super::table::{Shared, lock, seen};
use crate::support::{Server, hooks};
use harness::{Hook, HookAnswer, HookReceiver};
use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};
use standardwebhooks::Webhook;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::watch;

/// The types of events that it wants.
const TYPES: &[&str] = &[
    "seckill.order.reserved",
    "seckill.order.paid",
    "seckill.order.cancelled",
    "seckill.order.expired",
    "seckill.order.refund_due",
];

/// A warehouse with its listener.
pub struct Warehouse {
    _listener: HookReceiver,
    kept: Shared<Table>,
}

#[derive(Default)]
struct Table {
    account: Account,
    /// What was packed: of which order, and what it is worth.
    parcels: BTreeMap<u64, u64>,
    /// Requests that were not believed.
    refused: usize,
    /// Of how many orders it has heard.
    heard: watch::Sender<usize>,
}

impl Warehouse {
    /// Opens one that the shop tells what happens from now on.
    pub async fn open(server: &Server, admin: &str) -> Self {
        let listener = HookReceiver::open().await;
        let (path, secret) = hooks::create(server, admin, &listener.url(), TYPES).await;
        let webhook = Webhook::new(&secret).expect("a secret");
        let kept = Shared::<Table>::default();
        let table = Arc::clone(&kept);
        listener.answers(move |hook| lock(&table).answer(hook, &webhook));
        hooks::enable(server, admin, &path).await;
        Self { _listener: listener, kept }
    }

    /// What it knows of the orders.
    pub fn account(&self) -> Account {
        seen(&self.kept, |table| &table.account)
    }

    /// Of how many orders it has heard.
    pub fn heard(&self) -> watch::Receiver<usize> {
        lock(&self.kept).heard.subscribe()
    }

    /// How many requests it did not believe.
    pub fn refused(&self) -> usize {
        lock(&self.kept).refused
    }

    /// What it has otherwise than the order store.
    pub fn differs(&self, ledger: &Ledger) -> Option<String> {
        let table = lock(&self.kept);
        difference("orders in the warehouse", &table.account.statuses(), &ledger.statuses())
            .or_else(|| difference("parcels", &table.parcels, &ledger.paid()))
    }
}

impl Table {
    fn answer(&mut self, hook: &Hook, webhook: &Webhook) -> HookAnswer {
        if webhook.verify(hook.body.as_bytes(), &headers(hook)).is_err() {
            self.refused += 1;
            return HookAnswer::Status(401);
        }
        let event = hook.event();
        if event["type"] != "seckill.webhook.ping"
            && self.account.take(&event)
            && event["type"] == "seckill.order.paid"
        {
            let amount = event["data"]["amount"].as_u64().expect("an amount");
            *self.parcels.entry(number(&event["partitionkey"])).or_default() += amount;
        }
        self.heard.send_replace(self.account.orders());
        HookAnswer::Status(204)
    }
}

/// The headers that are verified.
fn headers(hook: &Hook) -> HeaderMap {
    let names = ["webhook-id", "webhook-timestamp", "webhook-signature"];
    let found = names.into_iter().filter_map(|name| {
        let value = HeaderValue::from_str(hook.header(name)?).ok()?;
        Some((HeaderName::from_static(name), value))
    });
    found.collect()
}
