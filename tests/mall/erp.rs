//! The ERP: writes an invoice for each order that is paid, when it is in the mood to. Some requests it fails, at some
//! it hangs, and one day it says that it is there no more.

use super::account::{Account, difference, number};
use super::ledger::Ledger;
use super::table::{Shared, lock, seen};
use crate::support::{Server, hooks};
use harness::{Hook, HookAnswer, HookReceiver};
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

/// The types of events that it wants.
const TYPES: &[&str] = &["seckill.order.reserved", PAID];
/// The one for which it writes an invoice.
const PAID: &str = "seckill.order.paid";
/// Of so many events the first attempt fails once,
const FAILS_ONCE_IN: usize = 40;
/// and of so many the shop waits in vain for an answer.
const HANGS_ONCE_IN: usize = 301;

/// An ERP with its listener.
pub struct Erp {
    _listener: HookReceiver,
    path: String,
    kept: Shared<Table>,
}

#[derive(Default)]
struct Table {
    account: Account,
    /// What each order was invoiced.
    invoices: BTreeMap<u64, u64>,
    /// The events that it was asked to take.
    asked: HashSet<String>,
    is_gone: bool,
}

impl Erp {
    /// Opens one that the shop tells what happens from now on.
    pub async fn open(server: &Server, admin: &str) -> Self {
        let listener = HookReceiver::open().await;
        let (path, _) = hooks::create(server, admin, &listener.url(), TYPES).await;
        let kept = Shared::<Table>::default();
        let table = Arc::clone(&kept);
        listener.answers(move |hook| lock(&table).answer(hook));
        hooks::enable(server, admin, &path).await;
        Self { _listener: listener, path, kept }
    }

    /// Where the shop has its endpoint.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Is there no more: answers 410 from now on.
    pub fn goes(&self) {
        lock(&self.kept).is_gone = true;
    }

    /// Is there again.
    pub fn is_mended(&self) {
        lock(&self.kept).is_gone = false;
    }

    /// What it knows of the orders.
    pub fn account(&self) -> Account {
        seen(&self.kept, |table| &table.account)
    }

    /// What it has otherwise than the order store.
    pub fn differs(&self, ledger: &Ledger) -> Option<String> {
        difference("invoices", &lock(&self.kept).invoices, &ledger.paid())
    }
}

impl Table {
    fn answer(&mut self, hook: &Hook) -> HookAnswer {
        if self.is_gone {
            return HookAnswer::Status(410);
        }
        let event = hook.event();
        if event["type"] == "seckill.webhook.ping" {
            return HookAnswer::Status(200);
        }
        let is_first = self.asked.insert(event["id"].as_str().expect("an identity").to_owned());
        match self.asked.len() {
            count if is_first && count % HANGS_ONCE_IN == 50 => return HookAnswer::Hang,
            count if is_first && count % FAILS_ONCE_IN == 7 => return HookAnswer::Status(500),
            _ => {}
        }
        if self.account.take(&event) && event["type"] == PAID {
            let amount = event["data"]["amount"].as_u64().expect("an amount");
            *self.invoices.entry(number(&event["partitionkey"])).or_default() += amount;
        }
        HookAnswer::Status(200)
    }
}
