//! What must not start does not, at once, and says why.

use crate::support::{Attempt, Crowd, Offer, Random, Site, Witness, must_sell};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

const OFFER: Offer = Offer { allotted: 1_000, limit: 10, window_seconds: 600 };
const CONFIGURATION: i32 = 3;
const DATA: i32 = 4;
const ADDRESS: i32 = 5;

async fn check_refused(site: &Site, code: i32, words: &[&str]) {
    let status = site.fail_to_start().await;
    let log = site.log();
    assert_eq!(status.code(), Some(code), "{status}\n{log}");
    for word in words {
        assert!(log.contains(word), "{word:?} is not in\n{log}");
    }
}

#[tokio::test]
async fn a_bad_configuration_stops_it_at_once_naming_the_key() {
    for (key, value, words) in [
        ("ENGINE__SHARDS", "0", &["engine.shards = \"0\"", "from 1 to 1024"][..]),
        ("ENGINE__SHARDS", "many", &["engine.shards = \"many\""]),
        ("HTTP__LISTEN", "everywhere", &["http.listen = \"everywhere\""]),
        ("HTTP__ALLOWED_ORIGINS", "https://a.example b.example", &["http.allowed_origins"]),
        ("HTTP__ALLOWED_ORIGINS", "https://a.example/", &["http.allowed_origins"]),
        ("HTTP__ALLOWED_ORIGINS", "*", &["http.allowed_origins"]),
        ("OPERATIONS__LISTEN", "9090", &["operations.listen = \"9090\""]),
        ("HTTP__PORT", "80", &["http.port", "SECKILL__HTTP__PORT"]),
        ("SHOP__NAME", "x", &["SECKILL__SHOP__NAME"]),
        ("HTTP_LISTEN", "127.0.0.1:80", &["SECKILL__HTTP_LISTEN"]),
        ("ORDERS__MYSQL_URL", "postgres://user:hunter2@db/x", &["orders.mysql_url", "mysql://"]),
        ("ORDERS__MYSQL_URL", "mysql://user:hunter2@db", &["orders.mysql_url", "names a database"]),
        ("ORDERS__MYSQL_URL", "mysql://user:hunter2@db:port/x", &["orders.mysql_url", "mysql://"]),
        ("JOURNAL__SEGMENT_BYTES", "1000", &["journal.segment_bytes"]),
    ] {
        let site = Site::new().with(key, value);
        check_refused(&site, CONFIGURATION, words).await;
        assert!(!site.log().contains("hunter2"), "a secret in\n{}", site.log());
        assert!(!site.data().exists(), "{key} touched the disk");
    }
    for (file, words) in [
        ("[engine]\nshard = 4\n", &["engine.shard", "line 2"][..]),
        ("[engin]\nshards = 4\n", &["engin", "line 1"]),
        ("[checkpoint]\ninterval_ms = true\n", &["checkpoint.interval_ms"]),
        ("[engine\n", &["config.toml line 1"]),
    ] {
        let site = Site::new();
        std::fs::write(site.path("config.toml"), file).expect("written");
        check_refused(&site, CONFIGURATION, words).await;
    }
}

#[tokio::test]
async fn of_two_processes_on_one_directory_the_second_ends_at_once() {
    let site = Site::new();
    let first = site.start().await;
    let named = format!("is in use by another process, {}", first.pid().as_raw_nonzero());
    check_refused(&site, DATA, &[&named, "means: the process that has it sells on"]).await;
    assert!(!site.log().contains("nothing is sold"), "{}", site.log());
    for words in [&["migrate"][..], &["recover", "--from-orders"]] {
        let output = site.run(words);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(DATA), "{said}");
        assert!(said.contains(&named) && said.contains("sells on"), "{words:?}: {said}");
    }
    assert_eq!(first.get("/readyz").await.status, 200);
    first.kill().await;
    site.start().await.stop().await;
}

#[tokio::test]
async fn an_identity_that_was_lost_is_called_what_it_is() {
    let site = Site::new();
    site.start().await.stop().await;
    std::fs::write(site.data().join("identity"), "").expect("emptied");
    let bring_back = "to do: bring the file back from a copy of the data directory";
    check_refused(&site, DATA, &["is gone or holds no identity", bring_back, "echo"]).await;
    // Where nothing says what it was.
    std::fs::remove_file(site.data().join("orders.db")).expect("removed");
    let words = ["identity is empty: not a journal's identity", bring_back];
    check_refused(&site, DATA, &words).await;
    assert!(!site.log().contains("readable and writable"), "{}", site.log());
}

#[tokio::test]
async fn what_a_shop_keeps_is_its_users_alone_and_whole_after_a_stop() {
    let site = Site::new();
    site.start().await.stop().await;
    let opened = |path: &Path, mode| {
        std::fs::set_permissions(path, Permissions::from_mode(mode)).expect("opened to others");
    };
    opened(site.data(), 0o755);
    opened(&site.data().join("journal"), 0o777);
    opened(&site.data().join("orders.db"), 0o666);
    let server = site.start().await;
    must_be_private(site.data());
    server.stop().await;
    must_be_private(site.data());
    for log in ["orders.db-wal", "checkpoints.db-wal"] {
        let left = std::fs::metadata(site.data().join(log)).map_or(0, |log| log.len());
        assert_eq!(left, 0, "{log} is left");
    }
}

#[tokio::test]
async fn what_a_shop_makes_is_its_users_alone_whatever_the_umask_and_the_directory() {
    let site = Site::new().within("umask 000");
    std::fs::create_dir(site.data()).expect("a directory, as a volume is mounted");
    let opened = Permissions::from_mode(0o755);
    std::fs::set_permissions(site.data(), opened).expect("opened to others");
    let (server, shop) =
        site.open_shop(1, &[Offer { allotted: 1, limit: 1, window_seconds: 600 }]).await;
    let mut client = server.client().await;
    let bought = shop.buy(&mut client, shop.items[0], 0, "key").await.expect("an answer");
    assert_eq!(bought.status, 201, "{}", bought.text());
    for name in
        ["LOCK", "identity", "orders.db", "orders.db-wal", "checkpoints.db", "secrets/token.key"]
    {
        assert!(site.data().join(name).exists(), "{name} is not looked at");
    }
    must_be_private(site.data());
    server.stop().await;
    must_be_private(site.data());
}

/// Directories are 0700 and files 0600: nobody else can read them.
fn must_be_private(directory: &Path) {
    let mut paths = vec![directory.to_owned()];
    while let Some(path) = paths.pop() {
        let found = std::fs::metadata(&path).expect("it is there");
        let expected = if found.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(found.permissions().mode() & 0o777, expected, "{}", path.display());
        if found.is_dir() {
            let entries = std::fs::read_dir(&path).expect("listed");
            paths.extend(entries.map(|entry| entry.expect("an entry").path()));
        }
    }
}

#[tokio::test]
async fn a_taken_address_is_named() {
    let first = Site::new();
    let server = first.start().await;
    let address = server.address().to_string();
    let second = Site::new().with("HTTP__LISTEN", &address);
    check_refused(&second, ADDRESS, &[&address, "http.listen"]).await;
    assert!(!second.data().exists(), "a data directory was made for nothing");
}

/// As beside a Prometheus, whose port it is too.
#[tokio::test]
async fn a_shop_starts_where_the_default_of_operations_is_taken() {
    const DEFAULT: &str = "127.0.0.1:9090";
    // Taken by this test, or by something else on the machine.
    let _holder = std::net::TcpListener::bind(DEFAULT);
    let site = Site::new().with("OPERATIONS__LISTEN", DEFAULT);
    let server = site.start().await;
    assert_ne!(server.operations().port(), 9090);
    assert_eq!(server.look("/livez").await.status, 200);
    site.logged("the default of operations.listen is taken").await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shards_can_be_added_and_not_taken_away() {
    let mut random = Random::of("shards");
    let mut site = Site::new().with("ENGINE__SHARDS", "4");
    let (server, shop) = site.open_shop(160, &[OFFER; 6]).await;
    let (shop, witness) = (Arc::new(shop), Arc::new(Witness::default()));
    let mut crowd = Crowd::enter(&server, &shop, &witness, &mut random);
    crowd.answers(300).await;
    crowd.leave().await;
    server.stop().await;

    site.set("ENGINE__SHARDS", "3");
    check_refused(&site, DATA, &["holds the logs of 4 shards", "engine.shards is 3"]).await;

    for shards in ["7", "64"] {
        site.set("ENGINE__SHARDS", shards);
        let server = site.start().await;
        witness.verify(&server, &shop).await;
        let mut crowd = Crowd::enter(&server, &shop, &witness, &mut random);
        crowd.answers(300).await;
        crowd.leave().await;
        server.kill().await;
    }
    site.set("ENGINE__SHARDS", "8");
    check_refused(&site, DATA, &["holds the logs of 64 shards"]).await;
    site.set("ENGINE__SHARDS", "64");
    let server = site.start().await;
    let attempt = Attempt { item: shop.items[0], buyer: 1, key: "more-shards".to_owned() };
    must_sell(&server, &shop, &witness, attempt).await;
    server.stop().await;
    witness.close(&site, &shop).await;
}

#[tokio::test]
async fn an_order_store_that_is_no_database_is_named_with_what_it_means() {
    let site = Site::new();
    site.start().await.stop().await;
    std::fs::write(site.data().join("orders.db"), [7; 8_192]).expect("overwritten");
    let words = [
        "orders.db is not a database that can be read",
        "means: nothing listens and nothing is sold; confirmed orders are in the journal",
        "to do: make a copy of the data directory; then move that file",
    ];
    check_refused(&site, DATA, &words).await;
    let output = site.run(&["migrate"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains(words[0]) && said.contains(words[2]), "{said}");
}
