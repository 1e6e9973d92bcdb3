//! The audit of a shop that is selling.

use domain::invariants::Invariant;
use seckill::audit::{self, AuditOptions, LogSource};
use seckill::store::data_dir::DataDir;
use std::time::Duration;
use support::Shop;

fn options(shop: &Shop, wait: Option<Duration>) -> AuditOptions {
    AuditOptions {
        log: LogSource::Directory(DataDir::look(shop.directory.path())),
        checkpoints: None,
        orders: Some(shop.orders.clone()),
        dead_letters: None,
        unasked: Vec::new(),
        confirmations: None,
        wait,
    }
}

#[tokio::test]
async fn a_live_audit_waits_for_the_orders_that_are_on_record() {
    const BUYERS: u64 = 20;
    let shop = Shop::open().await;
    let item = shop.live_item(100).await;
    for buyer in 1..=BUYERS {
        assert_eq!(shop.buy(&item, buyer, "key").await.status, 201);
    }
    let findings = audit::run(options(&shop, None)).await.expect("a verdict");
    let orders = findings.of(Invariant::I4).expect("it was judged");
    assert_eq!((orders.broken, orders.checked), (0, 0), "{orders:?}");
    assert_eq!(orders.detail.as_deref(), Some("20 orders wait in the journal for the order store"));

    let patient = tokio::spawn(audit::run(options(&shop, Some(Duration::from_secs(60)))));
    let backends = shop.start_backends().await;
    let findings = patient.await.expect("it ends").expect("a verdict");
    let orders = findings.of(Invariant::I4).expect("it was judged");
    assert_eq!((orders.broken, orders.checked), (0, BUYERS), "{orders:?}");
    assert!(findings.judged.iter().all(|judged| judged.broken == 0), "{findings:?}");
    backends.stop(&shop.engine, Duration::from_secs(10)).await;
}
