//! The audit of a shop that is selling.

use seckill::audit::{self, AuditOptions, Check, Report};
use seckill::store::data_dir::DataDir;
use std::time::Duration;
use support::Shop;

fn options(shop: &Shop, wait: Option<Duration>) -> AuditOptions {
    AuditOptions {
        data_dir: DataDir::look(shop.directory.path()),
        checkpoints: None,
        orders: Some(shop.orders.clone()),
        dead_letters: None,
        confirmations: None,
        wait,
    }
}

fn check<'a>(report: &'a Report, invariant: &str) -> &'a Check {
    let check = report.checks.iter().find(|check| check.invariant == invariant);
    check.expect("it was judged")
}

#[tokio::test]
async fn a_live_audit_waits_for_the_orders_that_are_on_record() {
    const BUYERS: u64 = 20;
    let shop = Shop::open().await;
    let item = shop.live_item(100).await;
    for buyer in 1..=BUYERS {
        assert_eq!(shop.buy(&item, buyer, "key").await.status, 201);
    }
    let report = audit::run(options(&shop, None)).await.expect("a verdict");
    let orders = check(&report, "I4");
    assert_eq!((orders.passed, orders.checked), (true, 0), "{orders:?}");
    assert_eq!(orders.detail.as_deref(), Some("20 orders wait in the journal for the order store"));

    let patient = tokio::spawn(audit::run(options(&shop, Some(Duration::from_secs(60)))));
    let backends = shop.start_backends().await;
    let report = patient.await.expect("it ends").expect("a verdict");
    let orders = check(&report, "I4");
    assert_eq!((orders.passed, orders.checked), (true, BUYERS), "{orders:?}");
    assert!(report.checks.iter().all(|check| check.passed), "{report:?}");
    backends.stop(&shop.engine, Duration::from_secs(10)).await;
}
