//! A backup that is made beside a selling shop: it holds all that was confirmed before it began, balances, and sells
//! on where it is restored.

use crate::support::{Attempt, Crowd, Offer, Site, Witness, must_sell};
use harness::Random;
use std::path::Path;
use std::process::Output;
use std::sync::Arc;

const OFFERS: &[Offer] = &[Offer { allotted: 60_000, limit: 10_000, window_seconds: 600 }; 3];
const COMMAND_LINE: i32 = 2;

async fn backup(site: &Arc<Site>, words: Vec<String>) -> Output {
    let site = Arc::clone(site);
    let run = move || {
        let words: Vec<&str> =
            ["backup"].into_iter().chain(words.iter().map(String::as_str)).collect();
        site.run(&words)
    };
    tokio::task::spawn_blocking(run).await.expect("it ends")
}

fn said(output: &Output) -> String {
    let (out, errors) = (&output.stdout, &output.stderr);
    format!("{}{}", String::from_utf8_lossy(out), String::from_utf8_lossy(errors))
}

fn name(path: &Path) -> Vec<String> {
    vec![path.to_str().expect("UTF-8").to_owned()]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_beside_a_crowd_balances_and_sells_on() {
    let site = Arc::new(Site::new());
    let (server, shop) = site.open_shop(16, OFFERS).await;
    let (shop, witness) = (Arc::new(shop), Arc::new(Witness::default()));
    let elsewhere = tempfile::tempdir_in("/dev/shm").expect("a directory in memory");
    let mut random = Random::new(17);
    let mut crowd = Crowd::enter(&server, &shop, &witness, &mut random);
    for round in 0..4 {
        crowd.answers(500).await;
        let confirmed: Vec<u64> = witness.orders().into_keys().collect();
        // The first ones onto a file system to which nothing can be linked, on most machines.
        let folder = match round {
            0 | 1 => elsewhere.path().join(format!("backup-{round}")),
            _ => site.path(&format!("backup-{round}")),
        };
        let unfinished = folder.with_extension("unfinished");
        let made = backup(&site, name(&folder)).await;
        assert!(made.status.success(), "{}", said(&made));
        assert!(said(&made).contains("the audit of it found nothing broken"), "{}", said(&made));
        assert!(!unfinished.exists());
        let restored = Site::new().with_data(folder);
        let verdict = restored.audit(confirmed.iter().copied());
        verdict.must_balance();
        assert_eq!(verdict.check("I3")["checked"], confirmed.len());
    }
    crowd.leave().await;
    server.kill().await;

    let restored = Site::new().with_data(site.path("backup-3"));
    let server = restored.start().await;
    let attempt = Attempt { item: shop.items[0], buyer: 0, key: "restored".to_owned() };
    must_sell(&server, &shop, &Witness::default(), attempt).await;
    server.stop().await;
    restored.audit([]).must_balance();
    // The shop's own journal did not notice.
    site.audit(witness.orders().into_keys()).must_balance();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_a_backup_is_refused_by_name() {
    let mut site = Site::new();
    let folder = site.path("backup");
    let nothing = site.run(&["backup", &name(&folder)[0]]);
    assert!(said(&nothing).contains("is no shop's data directory"), "{}", said(&nothing));
    site.start().await.stop().await;
    std::fs::create_dir(&folder).expect("made");
    let there = site.run(&["backup", &name(&folder)[0]]);
    assert_eq!(there.status.code(), Some(COMMAND_LINE), "{}", said(&there));
    assert!(said(&there).contains("backup exists"), "{}", said(&there));
    let other = &name(&site.path("other"))[0];
    let dumped = site.run(&["backup", other, "--dump", "true"]);
    assert!(said(&dumped).contains("orders.mysql_url names none"), "{}", said(&dumped));
    site.set("ORDERS__MYSQL_URL", "mysql://shop@127.0.0.1:1/shop");
    let undumped = site.run(&["backup", other]);
    assert!(said(&undumped).contains("add --dump"), "{}", said(&undumped));
    let failed = site.run(&["backup", other, "--dump", "exit 3"]);
    assert!(said(&failed).contains("the order store was not dumped"), "{}", said(&failed));
    std::fs::remove_dir_all(site.path("other.unfinished")).expect("what is left");
    let dump = r#"echo orders > "$SECKILL_BACKUP_DIR/orders.sql""#;
    let dumped = site.run(&["backup", &format!("{other}/"), "--dump", dump]);
    assert!(dumped.status.success(), "{}", said(&dumped));
    let text = std::fs::read_to_string(site.path("other/orders.sql")).expect("dumped");
    assert_eq!(text, "orders\n");
    assert!(said(&dumped).contains("the dump of the order store was not looked at"));
}
