//! Several order stores, each with the orders of its own shards: one of them dies during a sale, and they are named
//! in another order, or not all of them.

use super::ground::{caught_up, degraded, meaning};
use crate::support::{Crowd, Offer, OpenSale, Random, Server, Site, Witness, until};
use harness::MariaDb;
use std::sync::Arc;

const LASTING: Offer = Offer { allotted: 1_000_000, limit: 10_000, window_seconds: 600 };
const BUYERS: usize = 40;
/// Enough that each store has some of the shards with items.
const ITEMS: usize = 12;

fn two() -> Option<[MariaDb; 2]> {
    Some([harness::mariadb()?, harness::mariadb()?])
}

/// The stores' URLs, in the order of their places.
pub fn urls<'a>(stores: impl IntoIterator<Item = &'a MariaDb>) -> String {
    let urls: Vec<String> = stores.into_iter().map(|store| store.url()).collect();
    urls.join(" ")
}

/// How many orders the store has.
pub fn count(store: &MariaDb) -> usize {
    let count = store.execute("SELECT COUNT(*) FROM orders").expect("a count");
    count.parse().expect("a number")
}

/// Each of the two stores has orders of its own shards and no others, and together they have all.
pub fn must_be_divided(stores: &[&MariaDb; 2], confirmed: usize) {
    let counts = stores.map(count);
    assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
    assert_eq!(counts.iter().sum::<usize>(), confirmed, "each order is in one of them");
    for (place, store) in stores.iter().enumerate() {
        let strays =
            format!("SELECT COUNT(*) FROM orders WHERE (order_id >> 12) % 1024 % 2 <> {place}");
        assert_eq!(store.execute(&strays).expect("a count"), "0", "in store {place}");
    }
}

/// Ends a sale over two stores: every list is whole, whichever store an order is in, and all of it balances.
pub async fn close_over(
    stores: &[&MariaDb; 2],
    server: Server,
    site: &Site,
    shop: &OpenSale,
    witness: &Witness,
) {
    caught_up(&server).await;
    let confirmed: Vec<u64> = witness.orders().into_keys().collect();
    assert_eq!(listed(&server, &shop.operator).await, confirmed);
    server.stop().await;
    witness.audit(site);
    witness.close(site, shop).await;
    must_be_divided(stores, witness.confirmed());
}

/// Every order's identity, as the operators' file has it.
pub async fn listed(server: &Server, operator: &str) -> Vec<u64> {
    let mut client = server.client().await;
    let file = client.send("GET", "/api/v1/admin/orders?format=csv", operator, &[], "").await;
    let file = file.expect("an answer");
    assert_eq!(file.status, 200, "{}", file.text());
    let rows = file.text().lines().skip(1);
    let identity =
        |row: &str| -> u64 { row.split(',').next().expect("a field").parse().expect("a number") };
    let listed: Vec<u64> = rows.map(identity).collect();
    assert!(listed.is_sorted(), "by ascending identity");
    listed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_two_order_stores_dies_and_the_other_ones_orders_arrive() {
    let Some(stores) = two() else { return };
    let site = Site::new().with("ORDERS__MYSQL_URLS", &urls(&stores));
    let (server, shop) = site.open_shop(BUYERS, &[LASTING; ITEMS]).await;
    let (shop, witness) = (Arc::new(shop), Arc::new(Witness::default()));
    let mut random = Random::of("stores");
    let mut crowd = Crowd::enter(&server, &shop, &witness, &mut random);
    crowd.answers(200).await;
    until("orders in both", async || stores.iter().all(|store| count(store) > 0).then_some(()))
        .await;

    stores[1].kill();
    degraded(&server, "order_store_1").await;
    let before = count(&stores[0]);
    crowd.answers(200).await;
    until("orders in the one that lives", async || (count(&stores[0]) > before).then_some(()))
        .await;
    assert_eq!(crowd.unavailable(), 0, "a purchase was turned away\n{}", site.log());
    crowd.leave().await;
    until("nothing to wait for the one that lives", async || {
        let left = server.figure("seckill_order_store_backlog_records{store=\"0\"}").await;
        (left == 0).then_some(())
    })
    .await;
    let left = server.figure("seckill_order_store_backlog_records{store=\"1\"}").await;
    assert!(left > 0, "what the other one keeps waits");
    let said = meaning(&server, "order_store").await;
    assert!(said.contains("orders arrive"), "{said}");

    stores[1].restart().expect("it comes back");
    let mut crowd = Crowd::enter(&server, &shop, &witness, &mut random);
    crowd.answers(100).await;
    crowd.leave().await;
    close_over(&[&stores[0], &stores[1]], server, &site, &shop, &witness).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn order_stores_in_other_places_are_refused_by_name() {
    let Some(stores) = two() else { return };
    let mut site = Site::new().with("ORDERS__MYSQL_URLS", &urls(&stores));
    let (server, shop) = site.open_shop(4, &[LASTING; ITEMS]).await;
    let mut client = server.client().await;
    for item in &shop.items {
        shop.buy(&mut client, *item, 0, &format!("one-{item}")).await.expect("an answer");
    }
    caught_up(&server).await;
    server.stop().await;

    let [first, second] = &stores;
    let third = harness::mariadb().expect("the others are there");
    for (urls, said) in [
        (
            urls([second, first]),
            "named as order store 0 of 2, counted from 0, is order store 1 of 2",
        ),
        (urls([first]), "named as order store 0 of 1, counted from 0, is order store 0 of 2"),
        (
            urls([first, second, &third]),
            "named as order store 0 of 3, counted from 0, is order store 0 of 2",
        ),
    ] {
        site.set("ORDERS__MYSQL_URLS", &urls);
        let exit = site.fail_to_start().await;
        assert_eq!(exit.code(), Some(4), "{}", site.log());
        let log = site.log();
        assert!(log.contains(said) && log.contains("to do: name the databases"), "{said}: {log}");
        let audit = site.run(&["audit"]);
        assert_eq!(audit.status.code(), Some(4), "{audit:?}");
    }
    site.set("ORDERS__MYSQL_URLS", &urls(&stores));
    let server = site.start().await;
    caught_up(&server).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_orders_of_one_store_are_divided_among_two_while_the_shop_is_stopped() {
    let Some(stores) = two() else { return };
    let [first, second] = &stores;
    let mut site = Site::new().with("ORDERS__MYSQL_URL", &first.url());
    let (server, shop) = site.open_shop(BUYERS, &[LASTING; ITEMS]).await;
    let (shop, witness) = (Arc::new(shop), Arc::new(Witness::default()));
    let mut random = Random::of("divided");
    let mut crowd = Crowd::enter(&server, &shop, &witness, &mut random);
    crowd.answers(200).await;
    crowd.leave().await;
    caught_up(&server).await;
    server.stop().await;

    first.copy_to(second).expect("copied");
    for (place, store) in stores.iter().enumerate() {
        for statement in statements_of_the_manual() {
            let statement = statement.replace(":k", &place.to_string()).replace(":n", "2");
            store.execute(&statement).expect("divided");
        }
    }
    second.execute("DELETE FROM operator_log").expect("emptied");
    site.unset("ORDERS__MYSQL_URL");
    site.set("ORDERS__MYSQL_URLS", &urls(&stores));
    site.audit(witness.orders().into_keys()).must_balance();
    let server = site.start().await;
    let mut crowd = Crowd::enter(&server, &shop, &witness, &mut random);
    crowd.answers(100).await;
    crowd.leave().await;
    caught_up(&server).await;
    server.stop().await;
    witness.audit(&site);
    witness.close(&site, &shop).await;
    assert!(count(first) > 0 && count(second) > 0);
    assert_eq!(count(first) + count(second), witness.confirmed());
}

/// The statements of docs/backends.md, for store `:k` of `:n`.
fn statements_of_the_manual() -> Vec<&'static str> {
    let manual = include_str!("../../../docs/backends.md");
    let chapter = manual.split("### From one order store to several").nth(1).expect("a chapter");
    let block = chapter.split("```sql\n").nth(1).and_then(|rest| rest.split("```").next());
    let statements: Vec<&str> = block.expect("a block").lines().collect();
    assert_eq!(statements.len(), 7, "{statements:?}");
    statements
}
