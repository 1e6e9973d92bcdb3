//! The checker is checked: each planted fault turns its invariant red, and the exit code with it.

use crate::support::{Crowd, Offer, Random, Site, Verdict, Witness};
use sqlx::{Connection, SqliteConnection};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

const OFFER: Offer = Offer { allotted: 1_000_000, limit: 10_000, window_seconds: 600 };
const BROKEN: i32 = 1;
const UNASKED: i32 = 4;

/// A directory with a few hundred orders, stopped in good order, and what its buyers saw.
async fn sold() -> (Site, Arc<Witness>) {
    let mut random = Random::of("audit");
    let site = Site::new();
    let (server, shop) = site.open_shop(160, &[OFFER, OFFER]).await;
    let (shop, witness) = (Arc::new(shop), Arc::new(Witness::default()));
    let mut crowd = Crowd::enter(&server, &shop, &witness, &mut random);
    crowd.answers(400).await;
    crowd.leave().await;
    // So that there is something to judge I9 and I11 by.
    server.checkpointed().await;
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
    let paid = "WHERE (order_id, number) = (SELECT min(order_id), 1 FROM payments)";
    for (statement, invariant, words) in [
        (format!("DELETE FROM orders WHERE order_id = {order}"), "I4", "is not in the order store"),
        (
            format!("UPDATE orders SET amount = amount + 1 WHERE order_id = {order}"),
            "I4",
            "has other content in the order store",
        ),
        (
            format!("UPDATE orders SET status = 5 WHERE order_id = {order}"),
            "I4",
            "and refund_due in the order store",
        ),
        (
            format!(
                "INSERT INTO orders SELECT order_id + 1, sale_id, item_id, user_id + 1000000, \
                 request_id + 1, attempt, quantity, amount, currency, status, expires_at, \
                 changed_at, version FROM orders WHERE order_id = {order}"
            ),
            "I4",
            "is in the order store alone",
        ),
        (format!("DELETE FROM payments {paid}"), "I17", "is not in the order store"),
        (
            format!("UPDATE payments SET amount = amount + 1 {paid}"),
            "I17",
            "has other content in the order store",
        ),
        (
            format!("UPDATE payments SET state = 4 {paid}"),
            "I17",
            "is captured on record and refund_due in the order store",
        ),
        (format!("UPDATE payments SET version = version - 1 {paid}"), "I17", "although record"),
        (format!("UPDATE payments SET number = 2 {paid}"), "I17", "is not in the order store"),
    ] {
        tamper(&site, &statement).await;
        must_be_broken(&site.audit(confirmed()), &[invariant], words);
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
    site.logged(&detail).await;

    file.write_all_at(&byte, PLACE).expect("flipped back");
    witness.audit(&site);
    site.start().await.stop().await;
}

/// What could not be asked of these stores.
fn must_be_unasked(verdict: &Verdict, store: &str, why: &str) {
    assert_eq!(verdict.code, Some(UNASKED), "{verdict:?}");
    assert_eq!(verdict.broken(), Vec::<&str>::new());
    assert_eq!(verdict.report["passed"], false);
    let unasked = verdict.report["unasked"].as_array().expect("a list");
    let found = unasked.iter().find(|unasked| unasked["store"] == store);
    let told = found.and_then(|unasked| unasked["why"].as_str()).unwrap_or_default();
    assert!(told.contains(why), "{:#}", verdict.report);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_gone_or_garbage_fails_it_and_the_rest_is_judged() {
    let (site, witness) = sold().await;
    let confirmed = || witness.orders().into_keys();
    let away = site.path("away.db");
    std::fs::rename(site.data().join("checkpoints.db"), &away).expect("moved");
    let logs = ["checkpoints.db-wal", "checkpoints.db-shm"];
    logs.iter().for_each(|name| drop(std::fs::remove_file(site.data().join(name))));
    let verdict = site.audit(confirmed());
    must_be_unasked(&verdict, "checkpoints", "checkpoints.db does not exist");
    std::fs::write(site.data().join("checkpoints.db"), [7; 8_192]).expect("garbage");
    let verdict = site.audit(confirmed());
    must_be_unasked(&verdict, "checkpoints", "checkpoints.db: checkpoint is corrupt");
    assert_eq!(verdict.check("I4")["verdict"], "holds");
    for invariant in ["I9", "I11"] {
        let check = verdict.check(invariant);
        assert_eq!(check["verdict"], "not_judged", "{check}");
        assert_eq!(check["detail"], "the checkpoints: could not be asked");
    }
    std::fs::rename(&away, site.data().join("checkpoints.db")).expect("moved back");
    site.audit(confirmed()).must_balance();

    for name in ["orders.db", "orders.db-wal", "orders.db-shm"] {
        let _ = std::fs::remove_file(site.data().join(name));
    }
    let verdict = site.audit(confirmed());
    must_be_unasked(&verdict, "order_store", "orders.db does not exist");
    assert_eq!(verdict.check("I4")["verdict"], "not_judged");
    for invariant in ["I1", "I3", "I5", "I9", "I11"] {
        assert_eq!(verdict.check(invariant)["verdict"], "holds", "{invariant}");
    }
    let told = String::from_utf8(site.run(&["audit"]).stdout).expect("text");
    assert!(told.contains("the order store could not be asked"), "{told}");
    assert!(told.contains("means: left open is I4, I12, I13, I17"), "{told}");
}

/// As somebody else: nobody, if this is root, and otherwise its user without rights.
#[tokio::test]
async fn who_may_not_read_it_is_told_whose_it_is() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::os::unix::process::CommandExt;
    const NOBODY: u32 = 65_534;
    let site = Site::new();
    site.start().await.stop().await;
    let owner = std::fs::metadata(site.data()).expect("a directory").uid();
    let mut audit = site.command(&["audit"]);
    if owner == 0 {
        audit.uid(NOBODY).gid(NOBODY).current_dir("/");
    } else {
        let none = std::fs::Permissions::from_mode(0o000);
        std::fs::set_permissions(site.data().join("shards"), none).expect("taken");
    }
    let output = audit.output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(4), "{said}");
    assert!(said.contains("belongs to ") && said.contains("may not read it"), "{said}");
    if owner == 0 {
        assert!(said.contains("belongs to root, and ") && said.contains("sudo -u root"), "{said}");
    }
}
