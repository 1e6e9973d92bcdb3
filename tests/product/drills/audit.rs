//! The checker is checked: each planted fault turns its invariant red, and the exit code with it.

use crate::support::{Crowd, Offer, Random, Site, Verdict, Witness};
use sqlx::{Connection, SqliteConnection};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

const OFFER: Offer = Offer { allotted: 1_000_000, limit: 10_000, window_seconds: 600 };
const BROKEN: i32 = 1;

/// A directory with a few hundred orders, stopped in good order, and what its buyers saw.
async fn sold() -> (Site, Arc<Witness>) {
    let mut random = Random::of("audit");
    let site = Site::new();
    let (server, shop) = site.open_shop(160, &[OFFER, OFFER]).await;
    let (shop, witness) = (Arc::new(shop), Arc::new(Witness::default()));
    let mut crowd = Crowd::enter(&server, &shop, &witness, &mut random);
    crowd.answers(400).await;
    crowd.leave().await;
    server.stop().await;
    witness.audit(&site);
    (site, witness)
}

async fn tamper(site: &Site, statement: &str) {
    let url = format!("sqlite://{}", site.data().join("orders.db").display());
    let mut orders = SqliteConnection::connect(&url).await.expect("the order store");
    let done = sqlx::query(statement).execute(&mut orders).await.expect(statement);
    assert_eq!(done.rows_affected(), 1, "{statement}");
    orders.close().await.expect("closed");
}

fn must_be_broken(verdict: &Verdict, invariants: &[&str], words: &str) {
    assert_eq!(verdict.code, Some(BROKEN), "{verdict:?}");
    assert_eq!(verdict.broken(), invariants, "{:#}", verdict.report);
    let detail = verdict.check(invariants[0])["detail"].as_str().unwrap_or_default();
    assert!(detail.contains(words), "{words:?} is not in {detail:?}");
    assert_eq!(verdict.report["passed"], false);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_is_missing_changed_or_foreign_is_found() {
    let (site, witness) = sold().await;
    let confirmed = || witness.orders().into_keys();
    let order = confirmed().last().expect("an order");
    // What was stored last may still be in the database's own log.
    let files = ["orders.db", "orders.db-wal"].map(|name| site.data().join(name));
    let untouched = files.each_ref().map(|path| std::fs::read(path).ok());
    for (statement, words) in [
        (format!("DELETE FROM orders WHERE order_id = {order}"), "is not in the order store"),
        (
            format!("UPDATE orders SET amount = amount + 1 WHERE order_id = {order}"),
            "has other content in the order store",
        ),
        (
            format!("UPDATE orders SET status = 5 WHERE order_id = {order}"),
            "and refund_due in the order store",
        ),
        (
            format!(
                "INSERT INTO orders SELECT order_id + 1, sale_id, item_id, user_id + 1000000, \
                 request_id + 1, attempt, quantity, amount, currency, status, expires_at, \
                 changed_at, version FROM orders WHERE order_id = {order}"
            ),
            "is in the order store alone",
        ),
    ] {
        tamper(&site, &statement).await;
        must_be_broken(&site.audit(confirmed()), &["I4"], words);
        let _ = std::fs::remove_file(site.data().join("orders.db-shm"));
        for (path, bytes) in files.iter().zip(&untouched) {
            match bytes {
                Some(bytes) => std::fs::write(path, bytes).expect("restored"),
                None => drop(std::fs::remove_file(path)),
            }
        }
    }
    site.audit(confirmed()).must_balance();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_confirmation_without_a_record_is_found() {
    let (site, witness) = sold().await;
    let order = *witness.orders().keys().last().expect("an order");
    let orders = witness.orders().into_keys().chain([order + 1]);
    must_be_broken(&site.audit(orders), &["I3"], &(order + 1).to_string());
    let unreadable = site.path("nonsense");
    std::fs::write(&unreadable, "12\nno order\n").expect("written");
    let output = site.run(&["audit", "--confirmations", unreadable.to_str().expect("UTF-8")]);
    assert_eq!(output.status.code(), Some(6));
    assert!(String::from_utf8_lossy(&output.stderr).contains("line 2"), "{output:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_byte_in_the_journal_is_found_where_it_is_and_nothing_starts() {
    let (site, witness) = sold().await;
    let names = std::fs::read_dir(site.data().join("journal")).expect("the journal");
    let mut segments: Vec<_> = names.map(|entry| entry.expect("an entry").path()).collect();
    segments.sort();
    let segment = segments.first().expect("a segment");
    let file = std::fs::OpenOptions::new().read(true).write(true).open(segment).expect("opened");
    // Behind the header and within one of the first frames.
    const PLACE: u64 = 600;
    let mut byte = [0];
    file.read_exact_at(&mut byte, PLACE).expect("a byte");
    file.write_all_at(&[byte[0] ^ 0x10], PLACE).expect("flipped");
    let verdict = site.audit(witness.orders().into_keys());
    assert_eq!(verdict.code, Some(BROKEN), "{verdict:?}");
    assert!(verdict.broken().contains(&"I5"), "{:#}", verdict.report);
    let detail = verdict.check("I5")["detail"].as_str().unwrap_or_default().to_owned();
    let name = segment.file_name().and_then(|name| name.to_str()).expect("a name");
    assert!(detail.contains(name) || detail.contains("segment 1"), "{detail}");
    let status = site.fail_to_start().await;
    assert_eq!(status.code(), Some(4), "{}", site.log());
    assert!(site.log().contains(&detail), "{detail:?} is not in\n{}", site.log());

    file.write_all_at(&byte, PLACE).expect("flipped back");
    witness.audit(&site);
    site.start().await.stop().await;
}
