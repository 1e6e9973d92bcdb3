//! A journal that changes on its disk beneath a running shop, and one that a newer version wrote.

use crate::support::{Attempt, Offer, OpenSale, Server, Site, Witness, must_sell, until};
use seckill::store::journal::file::disk::RealDisk;
use seckill::store::journal::file::frame::{self, FRAME_HEADER_LENGTH};
use seckill::store::journal::file::{self, Position};
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

const OFFERS: &[Offer] = &[Offer { allotted: 1_000, limit: 1_000, window_seconds: 600 }];
const DATA: i32 = 4;

fn attempt(item: u64, key: &str) -> Attempt {
    Attempt { item, buyer: 0, key: key.to_owned() }
}

fn segment(site: &Site) -> PathBuf {
    site.data().join("journal/000000000001.segment")
}

/// Where the journal's last frame starts.
fn last_frame(site: &Site) -> u64 {
    let disk = RealDisk::open(&site.data().join("journal")).expect("a journal");
    let mut last = Position::default();
    file::scan(&disk, |position, _, _| {
        last = position;
        Ok(())
    })
    .expect("readable");
    last.offset
}

/// Buys until the shop refuses, and checks that it says why and where.
async fn must_notice(server: &Server, shop: &OpenSale, offset: u64) {
    let place = format!("000000000001.segment is damaged at byte {offset}");
    let ready = until("the damage to be noticed", async || {
        let ready = server.look("/readyz?verbose").await;
        (ready.status == 503).then_some(ready)
    })
    .await;
    assert!(ready.text().contains(&place), "{place} is not in {}", ready.text());
    let mut client = server.client().await;
    let refused = shop.buy(&mut client, shop.items[0], 0, "too-late").await.expect("an answer");
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert_eq!(refused.code(), "journal_damaged", "{}", refused.text());
    assert!(refused.text().contains("the shop has stopped selling"), "{}", refused.text());
}

/// What a start says of this journal: refused, with the place.
async fn must_be_refused(site: &Site, offset: u64) {
    let status = site.fail_to_start().await;
    assert_eq!(status.code(), Some(DATA), "{}", site.log());
    let place = format!("damaged at byte {offset}");
    for words in [&place, "A damaged journal", "seckill recover --from-orders"] {
        site.logged(words).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_byte_that_flips_behind_the_writer_is_noticed_and_the_state_is_kept() {
    // Checkpoints come at the start and then only when they are called for.
    let site = Site::new()
        .with("JOURNAL__CHECK_INTERVAL_MS", "20")
        .with("CHECKPOINT__INTERVAL_MS", "3600000");
    let (server, shop) = site.open_shop(1, OFFERS).await;
    let witness = Witness::default();
    must_sell(&server, &shop, &witness, attempt(shop.items[0], "first")).await;
    let offset = last_frame(&site);
    must_sell(&server, &shop, &witness, attempt(shop.items[0], "second")).await;
    let file = OpenOptions::new().read(true).write(true).open(segment(&site)).expect("a segment");
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset + 40).expect("read");
    file.write_all_at(&[byte[0] ^ 1], offset + 40).expect("written");

    must_notice(&server, &shop, offset).await;
    site.logged("the checkpoints hold all that was confirmed").await;
    // What was confirmed can still be read.
    let mut client = server.client().await;
    for order in witness.orders().into_keys() {
        let answer = shop.order(&mut client, order, 0).await.expect("an answer");
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    server.stop().await;
    must_be_refused(&site, offset).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_the_disk_swallowed_is_noticed() {
    let site = Site::new().with("JOURNAL__CHECK_INTERVAL_MS", "20");
    let (server, shop) = site.open_shop(1, OFFERS).await;
    let witness = Witness::default();
    must_sell(&server, &shop, &witness, attempt(shop.items[0], "first")).await;
    let offset = last_frame(&site);
    let file = OpenOptions::new().write(true).open(segment(&site)).expect("a segment");
    file.write_all_at(&[0; 64], offset).expect("written");
    must_notice(&server, &shop, offset).await;
    server.stop().await;
    must_be_refused(&site, offset).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_that_is_whole_and_holds_no_record_is_noticed_with_its_place() {
    let site = Site::new().with("JOURNAL__CHECK_INTERVAL_MS", "20");
    let (server, shop) = site.open_shop(1, OFFERS).await;
    must_sell(&server, &shop, &Witness::default(), attempt(shop.items[0], "first")).await;
    let offset = last_frame(&site);
    let bytes = std::fs::read(segment(&site)).expect("read");
    let found = frame::parse(&bytes[offset as usize..]).expect("a frame");
    let mut forged = vec![0; FRAME_HEADER_LENGTH];
    forged.extend_from_slice(found.payload);
    // The first record's kind.
    forged[FRAME_HEADER_LENGTH + 2] = 99;
    frame::seal(&mut forged, found.link.number, found.link.epoch, found.chain);
    let file = OpenOptions::new().write(true).open(segment(&site)).expect("a segment");
    file.write_all_at(&forged, offset).expect("written");

    must_notice(&server, &shop, offset).await;
    server.stop().await;
    must_be_refused(&site, offset).await;
    site.logged("its records cannot be decoded").await;
    let verdict = site.audit([]);
    let told =
        format!("damaged at byte {offset}: a frame is whole, but its records cannot be decoded");
    assert!(verdict.report.to_string().contains(&told), "{:#}", verdict.report);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_segment_of_a_newer_version_is_refused_and_left_as_it_is() {
    let site = Site::new();
    let (server, shop) = site.open_shop(1, OFFERS).await;
    must_sell(&server, &shop, &Witness::default(), attempt(shop.items[0], "first")).await;
    server.stop().await;
    let file = OpenOptions::new().read(true).write(true).open(segment(&site)).expect("a segment");
    let header_end = {
        let disk = RealDisk::open(&site.data().join("journal")).expect("a journal");
        let mut first = None;
        file::scan(&disk, |position, _, _| {
            first.get_or_insert(position);
            Ok(())
        })
        .expect("readable");
        first.expect("a frame").offset
    };
    // Another version, another checksum, and frames that this program cannot read.
    file.write_all_at(&2_u32.to_le_bytes(), 8).expect("written");
    file.write_all_at(&[7; 4], 60).expect("written");
    file.write_all_at(&[9; 4_096], header_end).expect("written");
    let before = std::fs::read(segment(&site)).expect("read");

    let status = site.fail_to_start().await;
    assert_eq!(status.code(), Some(DATA), "{}", site.log());
    let log = site.log();
    assert!(log.contains("000000000001.segment has version 2"), "{log}");
    assert!(log.contains("start the version of seckill that wrote it"), "{log}");
    assert!(!log.contains("torn tail"), "{log}");
    assert_eq!(std::fs::read(segment(&site)).expect("read"), before, "it was changed");
}
