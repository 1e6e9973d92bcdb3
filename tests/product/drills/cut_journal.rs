//! A data directory whose journal has deleted its oldest segment.
//!
//! Filling a segment through HTTP would take minutes, so its records are decided and written here; the
//! program does the rest. That is done once for all tests.

use super::journal_writer::{ITEM, JournalWriter, terms};
use crate::support::Site;
use domain::{Buy, Command, Event, RequestId, UserId};
use std::path::Path;
use tokio::sync::OnceCell;

static TEMPLATE: OnceCell<Site> = OnceCell::const_new();

/// How many orders there are.
pub const ORDERS: u64 = 240_000;

/// Makes `directory` a copy of it.
pub async fn copy_to(directory: &Path) {
    let template = TEMPLATE.get_or_init(make).await;
    let status = std::process::Command::new("cp")
        .args(["-a", "--sparse=always"])
        .args([template.data(), directory])
        .status()
        .expect("it runs");
    assert!(status.success(), "{status}");
}

async fn make() -> Site {
    let site = Site::new();
    write(&site.data().join("journal"));
    let server = site.start().await;
    site.logged("old parts of the journal deleted").await;
    server.stop().await;
    site
}

/// Writes a journal of one item and its orders: every third is paid, every fifth cancelled.
pub fn write(directory: &Path) {
    let mut writer = JournalWriter::create(directory);
    writer.take(&Command::Open(terms()));
    for number in 1..=ORDERS {
        let user_id = UserId(1 + number % 50_000);
        let buy = Buy { item_id: ITEM, user_id, request_id: RequestId(number), quantity: 1 };
        let Event::Order(order) = writer.take(&Command::Buy(buy)) else {
            unreachable!("a purchase is an order")
        };
        let order_id = order.order_id;
        if number.is_multiple_of(3) {
            writer.take(&Command::Pay { order_id, user_id });
        } else if number.is_multiple_of(5) {
            writer.take(&Command::Cancel { order_id, user_id });
        }
    }
    writer.close();
}
