//! Points: a point for each cent that a buyer has paid, from a queue of RabbitMQ.

use super::account::{Account, difference, number};
use super::ledger::Ledger;
use super::table::{Shared, lock, seen};
use crate::support::Subscriber;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A loyalty service with its queue.
pub struct Points {
    _subscriber: Subscriber,
    kept: Shared<Table>,
}

#[derive(Default)]
struct Table {
    account: Account,
    /// The points of each buyer.
    points: BTreeMap<u64, u64>,
}

impl Points {
    /// Opens one that has its queue before anything is announced.
    pub async fn open(amqp_url: &str) -> Self {
        let kept = Shared::<Table>::default();
        let table = Arc::clone(&kept);
        let take = move |message: crate::support::Message| lock(&table).take(&message.body);
        let subscriber = Subscriber::listen(amqp_url, ("points", "order.*"), take).await;
        Self { _subscriber: subscriber, kept }
    }

    /// What it knows of the orders.
    pub fn account(&self) -> Account {
        seen(&self.kept, |table| &table.account)
    }

    /// What it has otherwise than the order store.
    pub fn differs(&self, ledger: &Ledger) -> Option<String> {
        let table = lock(&self.kept);
        difference("orders with points", &table.account.statuses(), &ledger.statuses())
            .or_else(|| difference("points", &table.points, &ledger.spent()))
    }
}

impl Table {
    fn take(&mut self, event: &serde_json::Value) {
        if self.account.take(event) && event["type"] == "seckill.order.paid" {
            let user = number(&event["data"]["buyer"]["user_id"]);
            let amount = event["data"]["amount"].as_u64().expect("an amount");
            *self.points.entry(user).or_default() += amount;
        }
    }
}
