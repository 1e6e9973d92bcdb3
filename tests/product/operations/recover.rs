//! The way back when the journal is lost and the order store lives.

use crate::support::{Attempt, Offer, OpenSale, Server, Site, Witness, must_sell, until};

const OFFERS: &[Offer] = &[Offer { allotted: 12, limit: 12, window_seconds: 600 }; 2];
const DATA: i32 = 4;

fn attempt(item: u64, key: &str) -> Attempt {
    Attempt { item, buyer: 0, key: key.to_owned() }
}

/// Sells some, pays one and cancels one.
async fn trade(server: &Server, shop: &OpenSale, witness: &Witness, round: &str) {
    let mut client = server.client().await;
    for (number, item) in [0, 0, 1, 1].into_iter().enumerate() {
        let attempt = attempt(shop.items[item], &format!("{round}-{number}"));
        must_sell(server, shop, witness, attempt).await;
    }
    let orders: Vec<u64> = witness.orders().into_keys().collect();
    for (order, step) in orders.iter().rev().zip(["pay", "cancel"]) {
        let answer = shop.step(&mut client, *order, 0, step).await.expect("it answers");
        assert_eq!(answer.status, 200, "{}", answer.text());
        witness.looked(*order, &witness.orders()[order].attempt, &answer);
    }
}

async fn caught_up(server: &Server) {
    until("the order store to catch up", async || {
        (server.figure("seckill_backlog_records").await == 0).then_some(())
    })
    .await;
}

/// What the command says, which must succeed.
fn recover(site: &Site) -> String {
    let output = site.run(&["recover", "--from-orders"]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout).expect("text")
}

/// All items are paused; resumes them.
async fn resume(server: &Server, shop: &OpenSale) {
    let mut client = server.client().await;
    let refused = shop.buy(&mut client, shop.items[0], 0, "paused").await.expect("an answer");
    assert_eq!(refused.code(), "sale_paused", "{}", refused.text());
    let path = "/api/v1/admin/sales/1/resume";
    let resumed = client.send("POST", path, &shop.operator, &[], "").await.expect("an answer");
    assert_eq!(resumed.status, 200, "{}", resumed.text());
}

/// Sells all that is left, and not a unit more.
async fn sell_out(server: &Server, shop: &OpenSale, witness: &Witness) {
    let mut client = server.client().await;
    for item in &shop.items {
        for number in 0..=OFFERS[0].allotted {
            let attempt = attempt(*item, &format!("rest-{item}-{number}"));
            let answer = shop.buy(&mut client, *item, 0, &attempt.key).await.expect("an answer");
            assert!(witness.bought(&attempt, &answer), "{}", answer.text());
        }
        let [allotted, available, reserved, sold] = shop.counters(&mut client, *item).await;
        assert_eq!((allotted, available), (reserved + sold, 0));
    }
    witness.verify(server, shop).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_journal_a_shop_sells_on_from_its_order_store() {
    let site = Site::new();
    let (server, shop) = site.open_shop(1, OFFERS).await;
    let witness = Witness::default();
    trade(&server, &shop, &witness, "before").await;
    caught_up(&server).await;
    server.stop().await;
    let refused = site.run(&["recover", "--from-orders"]);
    assert_eq!(refused.status.code(), Some(DATA));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("has segments of a journal"), "{said}");

    let identity = std::fs::read_to_string(site.data().join("identity")).expect("an identity");
    std::fs::remove_dir_all(site.data().join("journal")).expect("lost");
    assert_eq!(site.fail_to_start().await.code(), Some(DATA), "{}", site.log());
    let way_back = "`seckill recover --from-orders`";
    site.logged(way_back).await;
    drop(std::fs::remove_dir_all(site.data().join("journal")));
    let audited = site.run(&["audit"]);
    let said = String::from_utf8_lossy(&audited.stderr).into_owned();
    assert!(audited.status.code() == Some(DATA) && said.contains(way_back), "{said}");
    let said = recover(&site);
    for words in [identity.trim(), "4 orders are held again", "2 items are paused", "is gone"] {
        assert!(said.contains(words), "{words} is not in\n{said}");
    }

    let server = site.start().await;
    witness.verify(&server, &shop).await;
    resume(&server, &shop).await;
    sell_out(&server, &shop, &witness).await;
    server.kill().await;
    let server = site.start().await;
    witness.verify(&server, &shop).await;
    caught_up(&server).await;
    server.stop().await;
    let verdict = site.audit(witness.orders().into_keys());
    verdict.must_balance();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_only_the_checkpoints_know_comes_back_too() {
    let site = Site::new();
    let (server, shop) = site.open_shop(1, OFFERS).await;
    let witness = Witness::default();
    trade(&server, &shop, &witness, "first").await;
    caught_up(&server).await;
    server.stop().await;
    let older = ["orders.db", "orders.db-wal"].map(|name| {
        let path = site.data().join(name);
        (std::fs::read(&path).ok(), path)
    });
    let server = site.start().await;
    trade(&server, &shop, &witness, "second").await;
    caught_up(&server).await;
    server.checkpointed().await;
    server.stop().await;
    // An older copy of the order store is all there is, and the checkpoints.
    for (bytes, path) in older {
        match bytes {
            Some(bytes) => std::fs::write(path, bytes).expect("written"),
            None => drop(std::fs::remove_file(path)),
        }
    }
    drop(std::fs::remove_file(site.data().join("orders.db-shm")));
    std::fs::remove_dir_all(site.data().join("journal")).expect("lost");

    let said = recover(&site);
    assert!(said.contains("8 orders are held again"), "{said}");
    assert!(said.contains("records came from the checkpoints"), "{said}");
    let server = site.start().await;
    witness.verify(&server, &shop).await;
    resume(&server, &shop).await;
    sell_out(&server, &shop, &witness).await;
    caught_up(&server).await;
    server.stop().await;
    site.audit(witness.orders().into_keys()).must_balance();
}
