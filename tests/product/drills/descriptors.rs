//! More connections than the process may have open: they are refused, and the sale goes on.

use crate::support::{Attempt, Client, Offer, Server, Site, Witness, must_sell, until};
use harness::http::Connection;
use rustix::process::{Resource, Rlimit, getrlimit, prlimit};

const OFFERS: &[Offer] = &[Offer { allotted: 1_000, limit: 1_000, window_seconds: 600 }];
const REFUSED: &str = "seckill_http_connections_refused_total";

/// Opens connections that say nothing; those that are refused are told so.
async fn crowd_of(server: &Server, count: usize) -> Vec<Connection> {
    let mut crowd = Vec::new();
    for _ in 0..count {
        crowd.push(Connection::open(server.address()).await);
    }
    crowd
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_leave_open_files_for_the_rest() {
    let site = Site::new().with_open_files(256);
    let (server, shop) = site.open_shop(1, OFFERS).await;
    let log = site.log();
    assert!(log.contains("the limit of open files leaves room for fewer connections"), "{log}");
    let mut client = server.client().await;
    let witness = Witness::default();
    let mut crowd = crowd_of(&server, 300).await;
    let last = crowd.last_mut().expect("a connection");
    assert_eq!(last.answer().await.problem(), (503, "overloaded".to_owned()));
    let too_many = format!("{REFUSED}{{reason=\"too_many\"}}");
    until("refusals", async || (server.figure(&too_many).await >= 100).then_some(())).await;
    assert_eq!(server.figure(&format!("{REFUSED}{{reason=\"no_descriptors\"}}")).await, 0);
    let attempt = Attempt { item: shop.items[0], buyer: 0, key: "in-the-crowd".to_owned() };
    let answer = shop.buy(&mut client, attempt.item, 0, &attempt.key).await.expect("an answer");
    assert!(witness.bought(&attempt, &answer), "{answer:?}");
    drop(crowd);
    server.stop().await;
    witness.close(&site, &shop).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_descriptor_left_connections_are_refused_and_logged_once() {
    let site = Site::new();
    let (server, shop) = site.open_shop(1, OFFERS).await;
    let mut looking = Client::open(server.operations()).await.expect("it listens");
    let pid = server.pid();
    let open = std::fs::read_dir(format!("/proc/{}/fd", pid.as_raw_nonzero())).expect("its files");
    let few = Some(open.count() as u64 + 4);
    // Its hard limit is the test's own.
    let maximum = getrlimit(Resource::Nofile).maximum;
    let before = prlimit(Some(pid), Resource::Nofile, Rlimit { current: few, maximum })
        .expect("its limit may be lowered");
    let mut crowd = crowd_of(&server, 40).await;
    let last = crowd.last_mut().expect("a connection");
    assert_eq!(last.answer().await.problem(), (503, "overloaded".to_owned()));
    let metrics = looking.send("GET", "/metrics", "", &[], "").await.expect("an answer");
    let reason = format!("{REFUSED}{{reason=\"no_descriptors\"}} ");
    assert!(!metrics.text().contains(&format!("{reason}0")), "{}", metrics.text());
    drop(crowd);
    prlimit(Some(pid), Resource::Nofile, before).expect("its limit may be raised");
    let witness = Witness::default();
    let attempt = Attempt { item: shop.items[0], buyer: 0, key: "afterwards".to_owned() };
    must_sell(&server, &shop, &witness, attempt).await;
    assert_eq!(site.log().matches("connections cannot be accepted").count(), 1, "{}", site.log());
    server.stop().await;
    witness.close(&site, &shop).await;
}

#[tokio::test]
async fn too_few_open_files_are_called_that_before_anything_is_touched() {
    const FAULT: i32 = 6;
    for limit in [12, 30] {
        let site = Site::new().with_open_files(limit);
        assert_eq!(site.fail_to_start().await.code(), Some(FAULT), "{}", site.log());
        let log = site.log();
        let what = format!("may have {limit} files and sockets open, and needs 128 at least");
        assert!(log.contains(&what) && log.contains("ulimit -n"), "{log}");
        assert!(!site.data().exists(), "{log}");
    }
    let site = Site::new().with_open_files(128);
    site.start().await.stop().await;
}
