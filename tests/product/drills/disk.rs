//! A disk that fails, and one that is full.

use crate::support::{
    Attempt, Crowd, Offer, Random, Site, Witness, must_be_unavailable, must_sell, until,
};
use std::path::PathBuf;
use std::process::Command;
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

/// A disk in memory, so small that it can be filled.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount(size: &str) -> Option<Self> {
        let directory = tempfile::tempdir().expect("a directory");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(directory.path())
            .output();
        mounted.is_ok_and(|output| output.status.success()).then_some(Self(directory))
    }

    fn path(&self) -> PathBuf {
        self.0.path().to_owned()
    }

    fn grow(&self, size: &str) {
        let status = Command::new("mount")
            .args(["-o", &format!("remount,size={size}")])
            .arg(self.0.path())
            .status();
        assert!(status.expect("it runs").success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: the process that uses it may be about to die.
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}
