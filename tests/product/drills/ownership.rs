//! One data directory has one shop, whatever hands have done to its files.

use crate::support::{Attempt, Offer, Server, Site, Witness, must_sell, until};
use std::process::Command;

const OFFERS: &[Offer] = &[Offer { allotted: 20, limit: 20, window_seconds: 600 }];
const DATA: i32 = 4;
/// EX_IOERR of sysexits.h.
const JOURNAL_FAILED: i32 = 74;

fn attempt(item: u64, key: &str) -> Attempt {
    Attempt { item, buyer: 0, key: key.to_owned() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_lock_file_the_directory_still_has_one_shop() {
    let site = Site::new();
    let (server, shop) = site.open_shop(1, OFFERS).await;
    let witness = Witness::default();
    must_sell(&server, &shop, &witness, attempt(shop.items[0], "first")).await;
    std::fs::remove_file(site.data().join("LOCK")).expect("removed");
    let status = site.fail_to_start().await;
    assert_eq!(status.code(), Some(DATA), "{}", site.log());
    site.logged("is in use by another process").await;
    must_sell(&server, &shop, &witness, attempt(shop.items[0], "second")).await;
    server.stop().await;
    witness.close(&site, &shop).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_put_in_the_directorys_place_ends_the_shop_of_the_first() {
    let site = Site::new();
    let (first, shop) = site.open_shop(1, OFFERS).await;
    let witness = Witness::default();
    must_sell(&first, &shop, &witness, attempt(shop.items[0], "first")).await;
    // A file that is being made would be gone while it is copied.
    until("the next segment to be ready", async || {
        site.data().join("journal/000000000002.segment").exists().then_some(())
    })
    .await;
    let away = site.path("away");
    std::fs::rename(site.data(), &away).expect("moved away");
    let copied = Command::new("cp").arg("-a").arg(&away).arg(site.data()).status();
    assert!(copied.expect("cp runs").success());
    let second = site.start().await;

    let mut client = first.client().await;
    let refused = shop.buy(&mut client, shop.items[0], 0, "lost").await;
    assert!(refused.is_err(), "confirmed by a shop that is none any more: {refused:?}");
    assert_eq!(first.ended().await.code(), Some(JOURNAL_FAILED), "{}", site.log());
    site.logged("the journal is not this process's any more").await;

    sell_out(&second, &shop.items, &shop, &witness).await;
    second.stop().await;
    witness.close(&site, &shop).await;
}

/// Sells all that is left, and no more.
async fn sell_out(
    server: &Server,
    items: &[u64],
    shop: &crate::support::OpenSale,
    witness: &Witness,
) {
    let mut client = server.client().await;
    for number in 0..=OFFERS[0].allotted {
        let attempt = attempt(items[0], &format!("all-{number}"));
        let answer = shop.buy(&mut client, attempt.item, 0, &attempt.key).await.expect("an answer");
        assert!(witness.bought(&attempt, &answer), "{}", answer.text());
    }
    assert_eq!(witness.confirmed(), OFFERS[0].allotted as usize);
}
