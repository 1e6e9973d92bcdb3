//! A small mall around the shop: points on a queue of RabbitMQ, a warehouse that is told by webhooks, and an ERP that
//! fails, hangs and goes away. The shop is killed again and again, the broker once; in the end each of them has
//! exactly what the order store has.
//!
//! `buyers` are who buys, `ledger` is what the order store says in the end, `account` is what every receiver does
//! with an event, and the other files are one receiver each.

mod account;
mod buyers;
mod erp;
mod ledger;
mod points;
mod table;
mod warehouse;

use crate::support::{Offer, OpenSale, Random, Server, Site, hooks, until};
use buyers::Buyers;
use erp::Erp;
use ledger::Ledger;
use points::Points;
use std::os::unix::process::ExitStatusExt;
use std::sync::Arc;
use warehouse::Warehouse;

/// Orders that are placed in all.
const ORDERS: usize = 5_000;
/// How many people place them.
const PEOPLE: usize = 400;
/// An item whose orders expire soon, and some whose orders last.
const OFFERS: &[Offer] = &[
    Offer { allotted: 1_000_000, limit: 10_000, window_seconds: 2 },
    Offer { allotted: 1_000_000, limit: 10_000, window_seconds: 3_600 },
    Offer { allotted: 1_000_000, limit: 10_000, window_seconds: 3_600 },
    Offer { allotted: 1_000_000, limit: 10_000, window_seconds: 3_600 },
];
/// Orders between two of the things that happen to shop and broker.
const BETWEEN: u32 = 900;
/// Dies behind so many batches of events, each of which has arrived and is not kept as told.
const DIES_UNKEPT: &str = "events-after-deliver=20*off->return";

/// A shop that tells both the broker and webhooks on this machine.
fn site(amqp_url: &str) -> Site {
    Site::new()
        .with("EVENTS__AMQP", "true")
        .with("EVENTS__AMQP_URL", amqp_url)
        .with("EVENTS__SOURCE", "https://shop.example")
        .with("WEBHOOKS__ALLOW_PRIVATE", "127.0.0.1")
        .with("WEBHOOKS__TIMEOUT_MS", "1000")
}

/// Sells all orders, while the shop dies three times, the broker once, and the ERP goes for good. Returns the shop that
/// serves in the end.
async fn evening(
    (site, shop, server): (&Site, &Arc<OpenSale>, Server),
    (rabbitmq, warehouse, erp): (&harness::RabbitMq, &Warehouse, &Erp),
    random: &mut Random,
) -> Server {
    let near = (server.address(), &warehouse.heard());
    let mut buyers = Buyers::enter(near, shop, (ORDERS, PEOPLE), random);
    buyers.bought(BETWEEN).await;
    server.kill().await;
    let server = site.start_with(DIES_UNKEPT).await;
    buyers.go_to(server.address());
    assert_eq!(server.ended().await.signal(), Some(9), "{}", site.log());
    let server = site.start().await;
    buyers.go_to(server.address());
    buyers.bought(BETWEEN).await;
    rabbitmq.kill();
    buyers.bought(BETWEEN).await;
    rabbitmq.restart().expect("it comes back");
    erp.goes();
    buyers.bought(BETWEEN).await;
    server.kill().await;
    let server = site.start().await;
    buyers.go_to(server.address());
    buyers.have_all().await;
    server
}

/// Waits until the ERP's endpoint is disabled, which the operators' log names; then mends it.
async fn the_erp_comes_back(site: &Site, server: &Server, erp: &Erp, shop: &OpenSale) {
    site.logged("a webhook's endpoint is disabled").await;
    let shown = hooks::ask(server, "GET", erp.path(), &shop.operator, "").await.json();
    assert_eq!(shown["state"], "disabled", "{shown}");
    assert!(shown["reason"].as_str().is_some_and(|why| why.contains("410")), "{shown}");
    let log = hooks::ask(server, "GET", "/api/v1/admin/audit-log", &shop.operator, "").await.json();
    let told = log["data"].as_array().expect("a list").iter();
    let told = told.filter(|entry| entry["action"] == "webhook.disable").collect::<Vec<_>>();
    assert_eq!(told.len(), 1, "{log}");
    assert_eq!(told[0]["actor"], "seckill", "{log}");
    erp.is_mended();
    hooks::enable(server, &site.mint("--admin", "ada"), erp.path()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mall_has_what_the_order_store_has_whatever_dies() {
    let Some(rabbitmq) = harness::rabbitmq() else { return };
    let mut random = Random::of("a mall");
    let points = Points::open(&rabbitmq.url()).await;
    // Its queue is on the disk for good, so that it outlives a kill.
    rabbitmq.restart().expect("it comes back");
    let site = site(&rabbitmq.url());
    let (server, shop) = site.open_shop(PEOPLE, OFFERS).await;
    let (shop, admin) = (Arc::new(shop), site.mint("--admin", "ada"));
    let warehouse = Warehouse::open(&server, &admin).await;
    let erp = Erp::open(&server, &admin).await;

    let evening = evening((&site, &shop, server), (&rabbitmq, &warehouse, &erp), &mut random);
    let server = evening.await;
    the_erp_comes_back(&site, &server, &erp, &shop).await;
    let ledger = until("each order to be stored as it ends", async || {
        let ledger = Ledger::read(&server, &shop.operator).await?;
        (ledger.len() == ORDERS && !ledger.is_reserved(shop.items[0])).then_some(ledger)
    })
    .await;
    until_level(|| [points.differs(&ledger), warehouse.differs(&ledger), erp.differs(&ledger)])
        .await;
    let accounts = [points.account(), warehouse.account(), erp.account()];
    for (name, account) in ["points", "warehouse", "erp"].into_iter().zip(&accounts) {
        println!("{name}: {} events, {} repeats", account.events(), account.repeats());
        assert_eq!(account.backwards(), Vec::<String>::new(), "{name}");
    }
    let repeats: usize = accounts.iter().map(account::Account::repeats).sum();
    assert!(repeats > 0, "the shop died before it had kept what was told, and nothing came twice");
    assert_eq!(warehouse.refused(), 0, "a request whose signature the library does not verify");
    let orders = ledger.orders();
    server.stop().await;
    let verdict = site.audit(orders);
    verdict.must_balance();
    assert_eq!(verdict.orders(), u64::try_from(ORDERS).expect("a few"));
    assert!(!site.log().contains("panicked at"), "{}", site.log());
}

/// Waits until nothing differs, saying now and then what does.
async fn until_level(differ: impl Fn() -> [Option<String>; 3]) {
    let mut said = [None, None, None];
    until("no difference", async || {
        let found = differ();
        if found.iter().all(Option::is_none) {
            return Some(());
        }
        if found != said {
            println!("{found:?}");
            said = found;
        }
        None
    })
    .await;
}
