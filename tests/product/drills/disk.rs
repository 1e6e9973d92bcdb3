//! A disk that fails, and one that is full.

use crate::support::{
    Attempt, Crowd, Offer, Random, Site, Witness, must_be_unavailable, must_sell, until,
};
use harness::SmallDisk;
use std::sync::Arc;

const OFFERS: &[Offer] = &[Offer { allotted: 1_000_000, limit: 10_000, window_seconds: 600 }];
/// EX_IOERR of sysexits.h.
const JOURNAL_FAILED: i32 = 74;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_failed_sync_nobody_is_answered_and_the_process_stops() {
    let mut random = Random::of("failed sync");
    let site = Site::new();
    let (server, shop) = site.open_shop(160, OFFERS).await;
    let (shop, witness) = (Arc::new(shop), Arc::new(Witness::default()));
    server.stop().await;
    // The first sync fails, so a buyer with a confirmation got it without one. It takes long enough
    // for such an answer to arrive; later syncs would not fail.
    let failing =
        site.start_with("journal-after-write=sleep(300);journal-sync=1*return->off").await;
    let crowd = Crowd::enter(&failing, &shop, &witness, &mut random);
    assert_eq!(failing.ended().await.code(), Some(JOURNAL_FAILED), "{}", site.log());
    crowd.gone().await;
    assert_eq!(witness.confirmed(), 0, "confirmed without a sync");
    assert!(witness.unknown() > 0);
    for _ in 0..3 {
        let syncs = 1 + random.below(60);
        let failing = site.start_with(&format!("journal-sync={syncs}*off->1*return->off")).await;
        let crowd = Crowd::enter(&failing, &shop, &witness, &mut random);
        assert_eq!(failing.ended().await.code(), Some(JOURNAL_FAILED), "{}", site.log());
        crowd.gone().await;
        site.audit(witness.orders().into_keys()).must_balance();
    }
    witness.close(&site, &shop).await;
    assert!(witness.confirmed() > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_before_it_is_full_and_sells_again_with_room() {
    let Some(disk) = SmallDisk::mount("24m") else {
        println!("skipped: a small disk can only be mounted by root");
        return;
    };
    let site = Site::new().with_data(disk.path().join("data"));
    let (server, shop) = site.open_shop(16, OFFERS).await;
    let witness = Witness::default();
    let mut client = server.client().await;
    let attempt =
        |number: u64| Attempt { item: shop.items[0], buyer: 0, key: format!("full-{number}") };
    let mut number = 0;
    until("a refusal for want of room", async || {
        number += 1;
        let attempt = attempt(number);
        let answer = shop.buy(&mut client, attempt.item, 0, &attempt.key).await.expect("an answer");
        if witness.bought(&attempt, &answer) {
            return None;
        }
        must_be_unavailable(&answer);
        assert!(answer.text().contains("the journal has no room"), "{}", answer.text());
        Some(())
    })
    .await;
    let ready = server.look("/readyz?verbose").await;
    assert_eq!(ready.status, 503, "{}", ready.text());
    assert!(ready.text().contains("purchases are refused"), "{}", ready.text());
    // What was confirmed can still be read.
    for (order, seen) in witness.orders() {
        let answer = shop.order(&mut client, order, seen.attempt.buyer).await.expect("an answer");
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    server.kill().await;
    site.audit(witness.orders().into_keys()).must_balance();
    disk.grow("200m");
    let server = site.start().await;
    must_sell(&server, &shop, &witness, attempt(number + 1)).await;
    server.stop().await;
    witness.close(&site, &shop).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_full_disk_orders_checkpoints_and_registrations_go_on_by_themselves() {
    let Some(disk) = SmallDisk::mount("64m") else {
        println!("skipped: a small disk can only be mounted by root");
        return;
    };
    let mut random = Random::of("full stores");
    let site = Site::new().with_data(disk.path().join("data"));
    let (server, shop) = site.open_shop(160, OFFERS).await;
    let (shop, witness) = (Arc::new(shop), Arc::new(Witness::default()));
    let mut client = server.client().await;
    let mut people = 0;
    let mut register = async || {
        people += 1;
        let body = format!(r#"{{"user_name":"person-{people}","password":"correct horse"}}"#);
        let answer = client.send("POST", "/api/v1/users", "", &[], &body).await;
        answer.expect("it answers").status
    };
    for _ in 0..2 {
        let mut crowd = Crowd::enter(&server, &shop, &witness, &mut random);
        crowd.answers(100).await;
        let ballast = disk.fill();
        for dependency in ["order_store", "checkpoint"] {
            until(dependency, async || {
                crowd.answers(10).await;
                let ready = server.look("/readyz?verbose").await.json();
                let mut found = ready["dependencies"].as_array().expect("a list").iter();
                let found = found.find(|found| found["name"] == dependency).expect("it is there");
                (found["healthy"] == false).then_some(())
            })
            .await;
        }
        assert_eq!(crowd.unavailable(), 0, "a purchase was turned away\n{}", site.log());
        crowd.leave().await;
        // What is free within the files may take a few.
        until("nobody to be registered", async || (register().await == 503).then_some(())).await;
        std::fs::remove_file(ballast).expect("room again");
        until("all to go on", async || {
            let ready = server.look("/readyz?verbose").await.json();
            (ready["status"] == "ready" && ready["backlog_records"] == 0).then_some(())
        })
        .await;
        assert_eq!(register().await, 201);
    }
    server.stop().await;
    witness.close(&site, &shop).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_told_at_the_start_and_a_disk_to_read_can_be_audited() {
    let Some(disk) = SmallDisk::mount("64m") else {
        println!("skipped: a small disk can only be mounted by root");
        return;
    };
    let mut random = Random::of("a disk to read");
    let site = Site::new().with_data(disk.path().join("data"));
    let ballast = disk.fill();
    site.fail_to_start().await;
    let told = site.log();
    assert!(told.contains("make room on the disk"), "{told}");
    assert!(!told.contains("moved away"), "{told}");
    std::fs::remove_file(ballast).expect("room again");

    let (server, shop) = site.open_shop(160, OFFERS).await;
    let (shop, witness) = (Arc::new(shop), Arc::new(Witness::default()));
    let mut crowd = Crowd::enter(&server, &shop, &witness, &mut random);
    crowd.answers(100).await;
    crowd.leave().await;
    server.stop().await;
    disk.remount("ro");
    witness.audit(&site);
    disk.remount("rw");
    let ballast = disk.fill();
    std::fs::remove_file(site.data().join("checkpoints.db")).expect("room for little");
    let before = site.log().len();
    let _ = disk.fill();
    site.fail_to_start().await;
    let told = site.log().split_off(before);
    assert!(told.contains("make room on the disk"), "{told}");
    assert!(!told.contains("moved away"), "{told}");
    std::fs::remove_file(ballast).expect("room again");
    witness.close(&site, &shop).await;
}
