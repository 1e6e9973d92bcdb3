//! Files of the data directory that go beneath a running shop, and starts that are refused: they change
//! nothing.

use crate::support::{Attempt, Offer, Server, Site, Witness, must_sell, until};
use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

const OFFERS: &[Offer] = &[Offer { allotted: 1_000, limit: 1_000, window_seconds: 600 }];
const DATA: i32 = 4;
const MIA: &str = r#"{"user_name":"mia","password":"a long password"}"#;

fn attempt(item: u64, key: &str) -> Attempt {
    Attempt { item, buyer: 0, key: key.to_owned() }
}

fn segment(site: &Site, number: u64) -> PathBuf {
    site.data().join(format!("journal/{number:012}.segment"))
}

async fn post(server: &Server, path: &str, body: &str) -> u16 {
    let mut client = server.client().await;
    client.send("POST", path, "", &[], body).await.expect("an answer").status
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accounts_and_sales_outlive_a_log_that_is_deleted_and_a_kill() {
    for end in ["-wal", "-shm"] {
        let site = Site::new();
        let (server, shop) = site.open_shop(1, OFFERS).await;
        let witness = Witness::default();
        assert_eq!(post(&server, "/api/v1/users", MIA).await, 201);
        std::fs::remove_file(site.data().join(format!("orders.db{end}"))).expect("deleted");
        site.logged("all that it held is in its file now").await;
        must_sell(&server, &shop, &witness, attempt(shop.items[0], "first")).await;
        let other = MIA.replace("mia", "ben");
        assert_eq!(post(&server, "/api/v1/users", &other).await, 201);
        until("all to be well", async || server.is_whole().await.then_some(())).await;
        server.kill().await;
        let server = site.start().await;
        assert_eq!(post(&server, "/api/v1/login", MIA).await, 200, "{end}: {}", site.log());
        assert_eq!(post(&server, "/api/v1/login", &other).await, 200, "{end}: {}", site.log());
        let sales = server.get("/api/v1/sales").await;
        assert_eq!(sales.json()["data"].as_array().map(Vec::len), Some(1), "{}", sales.text());
        server.stop().await;
        witness.close(&site, &shop).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_adds_to_is_in_the_file_itself_soon() {
    let site = Site::new();
    let server = site.start().await;
    assert_eq!(post(&server, "/api/v1/users", MIA).await, 201);
    until("the account to be in the file itself", async || {
        let bytes = std::fs::read(site.data().join("orders.db")).expect("read");
        bytes.windows(3).any(|some| some == b"mia").then_some(())
    })
    .await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_spare_segment_that_goes_is_made_anew_and_is_not_missed_at_a_start() {
    let site = Site::new();
    let (server, shop) = site.open_shop(1, OFFERS).await;
    let witness = Witness::default();
    must_sell(&server, &shop, &witness, attempt(shop.items[0], "first")).await;
    let ready = async || {
        until("the next segment", async || segment(&site, 2).exists().then_some(())).await;
    };
    ready().await;
    std::fs::remove_file(segment(&site, 2)).expect("removed");
    ready().await;
    server.stop().await;

    // A spare behind another one, as a shop with more of them leaves, and the first of them gone.
    std::fs::rename(segment(&site, 2), segment(&site, 3)).expect("renamed");
    witness.audit(&site);
    let server = site.start().await;
    must_sell(&server, &shop, &witness, attempt(shop.items[0], "second")).await;
    ready().await;
    server.stop().await;
    // What was written is missed, however empty it is behind it.
    std::fs::rename(segment(&site, 1), site.path("away")).expect("moved");
    std::fs::copy(segment(&site, 2), segment(&site, 1)).expect("copied");
    let status = site.fail_to_start().await;
    assert_eq!(status.code(), Some(DATA), "{}", site.log());
    std::fs::rename(site.path("away"), segment(&site, 1)).expect("moved back");
    witness.close(&site, &shop).await;
}

/// All files below a directory, but those that only say that a process was there.
fn files(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(directory).expect("listed") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files.append(&mut self::files(&path));
        } else if !path.ends_with("LOCK") && !path.to_string_lossy().contains(".db") {
            files.insert(path.clone(), std::fs::read(&path).expect("read"));
        }
    }
    files
}

fn changed(before: &BTreeMap<PathBuf, Vec<u8>>, site: &Site) -> Vec<PathBuf> {
    let after = files(site.data());
    let paths = before.keys().chain(after.keys());
    let mut changed: Vec<PathBuf> =
        paths.filter(|path| before.get(*path) != after.get(*path)).cloned().collect();
    changed.dedup();
    changed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_that_is_refused_changes_nothing() {
    let mut site = Site::new();
    let (server, shop) = site.open_shop(1, OFFERS).await;
    let witness = Witness::default();
    must_sell(&server, &shop, &witness, attempt(shop.items[0], "first")).await;
    server.stop().await;
    let older = std::fs::read(segment(&site, 1)).expect("read");
    let server = site.start().await;
    must_sell(&server, &shop, &witness, attempt(shop.items[0], "second")).await;
    server.stop().await;
    let newest = std::fs::read(segment(&site, 1)).expect("read");

    // An older journal with a torn tail, beside checkpoints and orders of the newest.
    std::fs::write(segment(&site, 1), &older).expect("written");
    let end = older.iter().rposition(|byte| *byte != 0).expect("frames") as u64 + 1;
    let torn = OpenOptions::new().write(true).open(segment(&site, 1)).expect("a segment");
    torn.write_all_at(b"torn", end.next_multiple_of(8)).expect("written");
    for secret in [true, false] {
        if !secret {
            std::fs::remove_file(site.data().join("secrets/token.key")).expect("removed");
        }
        for checkpoints in [true, false] {
            if !checkpoints {
                std::fs::rename(site.data().join("checkpoints.db"), site.path("checkpoints.db"))
                    .expect("moved");
            }
            site.set("ENGINE__SHARDS", "8");
            let before = files(site.data());
            let status = site.fail_to_start().await;
            assert_eq!(status.code(), Some(DATA), "{}", site.log());
            site.logged("the journal ends at record").await;
            assert_eq!(changed(&before, &site), Vec::<PathBuf>::new(), "{}", site.log());
            if !checkpoints {
                std::fs::rename(site.path("checkpoints.db"), site.data().join("checkpoints.db"))
                    .expect("moved back");
            }
        }
    }
    std::fs::write(segment(&site, 1), &newest).expect("written");
    site.set("ENGINE__SHARDS", "4");
    site.start().await.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_identity_that_is_gone_is_not_replaced_and_the_advice_has_it() {
    let site = Site::new();
    let (server, shop) = site.open_shop(1, OFFERS).await;
    let witness = Witness::default();
    must_sell(&server, &shop, &witness, attempt(shop.items[0], "first")).await;
    server.stop().await;
    let path = site.data().join("identity");
    let identity = std::fs::read_to_string(&path).expect("an identity");
    std::fs::remove_file(&path).expect("removed");
    let before = files(site.data());
    let status = site.fail_to_start().await;
    assert_eq!(status.code(), Some(DATA), "{}", site.log());
    assert_eq!(changed(&before, &site), Vec::<PathBuf>::new(), "{}", site.log());
    let advice = format!("echo {} > {}", identity.trim(), path.display());
    site.logged(&advice).await;
    assert!(!site.log().contains("another shop keeps its orders there"), "{}", site.log());
    let told = site.run(&["audit"]);
    let said = String::from_utf8_lossy(&told.stderr).into_owned();
    assert_eq!(told.status.code(), Some(DATA), "{said}");
    assert!(said.contains(identity.trim()) && said.contains("bring that file back"), "{said}");
    // One that holds something else is told the same.
    for held in ["", "zebra"] {
        std::fs::write(&path, held).expect("written");
        site.fail_to_start().await;
        let said = site.log().matches(&advice).count();
        assert_eq!(said, if held.is_empty() { 2 } else { 3 }, "{}", site.log());
        assert_eq!(std::fs::read_to_string(&path).expect("read"), held);
    }
    std::fs::write(&path, identity).expect("written");
    let server = site.start().await;
    must_sell(&server, &shop, &witness, attempt(shop.items[0], "second")).await;
    server.stop().await;
    witness.close(&site, &shop).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_start_reads_is_put_back_beneath_a_running_shop() {
    let site = Site::new();
    let (server, shop) = site.open_shop(1, OFFERS).await;
    let witness = Witness::default();
    let names = ["identity", "shards", "secrets/token.key"];
    let read = || names.map(|name| std::fs::read(site.data().join(name)).ok());
    let before = read();
    assert!(before.iter().all(Option::is_some), "{before:?}");
    std::fs::remove_file(site.data().join("identity")).expect("removed");
    std::fs::write(site.data().join("shards"), "").expect("emptied");
    std::fs::remove_dir_all(site.data().join("secrets")).expect("removed");
    until("the files to be back", async || (read() == before).then_some(())).await;
    until("the log to say so", async || {
        (site.log().matches("was gone and is put back").count() == names.len()).then_some(())
    })
    .await;
    // Another journal's is not overwritten, and told.
    std::fs::write(site.data().join("identity"), "00000000000000aa").expect("written");
    until("the shop to tell", async || {
        let now = server.look("/readyz?verbose").await;
        (now.text().contains("not the identity of the journal")).then_some(())
    })
    .await;
    std::fs::remove_file(site.data().join("identity")).expect("removed");
    until("the files to be back", async || (read() == before).then_some(())).await;
    must_sell(&server, &shop, &witness, attempt(shop.items[0], "first")).await;
    server.stop().await;
    let server = site.start().await;
    must_sell(&server, &shop, &witness, attempt(shop.items[0], "second")).await;
    server.stop().await;
    witness.close(&site, &shop).await;
}
