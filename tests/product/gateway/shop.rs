//! A real shop behind nginx: its pages as files, its events, and purchases while nginx is reloaded.

use super::grpc::{channel, of, purchase};
use super::{nginx, nginx_with, upstream};
use crate::support::{Attempt, Offer, OpenSale, Site, Witness};
use harness::http::{Answer, Client, Connection};
use proto::v1::orders_client::OrdersClient;
use std::error::Error as _;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

const OFFERS: &[Offer] = &[Offer { allotted: 1_000, limit: 10, window_seconds: 600 }; 2];
/// How often a buyer buys while nginx is reloaded: as often as he may, over both items.
const PURCHASES: usize = 20;
/// What tells the client what a file is, what may run in it and who may keep it.
const HEADERS: &[&str] = &[
    "content-type",
    "content-security-policy",
    "referrer-policy",
    "cross-origin-opener-policy",
    "x-content-type-options",
    "cache-control",
];

fn files(folder: &Path, below: &str, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder.join(below)).expect("a folder") {
        let entry = entry.expect("an entry");
        let name = entry.file_name().into_string().expect("UTF-8");
        let path = if below.is_empty() { name } else { format!("{below}/{name}") };
        match entry.file_type().expect("a type").is_dir() {
            true => files(folder, &path, found),
            false if path.ends_with(".gz") || path == "manifest.json" => {}
            false => found.push(path),
        }
    }
}

/// Asserts that everybody may read the folder and all that is in it: nginx is another user.
fn check_readable(folder: &Path) {
    let mode =
        |path: &Path| std::fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    assert_eq!(mode(folder), 0o755, "{}", folder.display());
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        match path.is_dir() {
            true => check_readable(&path),
            false => assert_eq!(mode(&path), 0o644, "{}", path.display()),
        }
    }
}

async fn get(address: SocketAddr, path: &str) -> Answer {
    let mut client = Client::open(address).await.expect("it listens");
    client.send("GET", path, "", &[], "").await.expect("it answers")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exported_pages_are_what_the_shop_serves_with_the_same_headers() {
    let site = Site::new();
    let (server, _) = site.open_shop(1, OFFERS).await;
    let pages = site.path("pages");
    let exported = site.run(&["export", pages.to_str().expect("UTF-8")]);
    assert!(exported.status.success(), "{}", String::from_utf8_lossy(&exported.stderr));
    check_readable(&pages);
    let upstream = upstream(&site.path(""), &[server.address().to_string()]);
    let Some(nginx) = nginx(&upstream, &pages) else { return };
    let mut found = Vec::new();
    files(&pages, "", &mut found);
    assert!(found.iter().any(|file| file == "en/items/1.html"), "{found:?}");
    for file in found {
        let page = file.strip_suffix("index.html").or_else(|| file.strip_suffix(".html"));
        let path = format!("/{}", page.unwrap_or(&file));
        let (own, gateway) =
            (get(server.address(), &path).await, get(nginx.address(), &path).await);
        assert_eq!((own.status, gateway.status), (200, 200), "{path}");
        assert!(own.body == gateway.body, "{path} is another one");
        for header in HEADERS {
            let words = |answer: &Answer| answer.header(header).map(str::to_lowercase);
            assert_eq!(words(&gateway), words(&own), "{header} of {path}");
        }
        // nginx says it of what has a compressed form. The shop compresses no pictures.
        if pages.join(format!("{file}.gz")).exists() && !file.starts_with("media/") {
            for answer in [&own, &gateway] {
                let vary = answer.header("vary").map(str::to_lowercase);
                assert_eq!(vary.as_deref(), Some("accept-encoding"), "{path}");
            }
        }
    }
    // What is not a file, the shop answers; what no longer is, too.
    assert_eq!(get(nginx.address(), "/en/login").await.status, 200);
    let sales = get(nginx.address(), "/api/v1/sales").await;
    assert_eq!(sales.json(), get(server.address(), "/api/v1/sales").await.json());
    server.stop().await;
    assert_eq!(get(nginx.address(), "/en/items/1").await.status, 200, "a page without its shop");
    let unanswered = get(nginx.address(), "/api/v1/items/1").await;
    assert_eq!(unanswered.problem(), (503, "owner_unavailable".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_comes_through_while_the_stream_is_open() {
    let site = Site::new();
    let (server, shop) = site.open_shop(1, OFFERS).await;
    let upstream = upstream(&site.path(""), &[server.address().to_string()]);
    let Some(nginx) = nginx(&upstream, &site.path("pages")) else { return };
    let mut client = Client::open(nginx.address()).await.expect("it listens");
    let bought = shop.buy(&mut client, shop.items[0], 0, "one").await.expect("it answers");
    let order = bought.id("order_id");
    let mut stream = TcpStream::connect(nginx.address()).await.expect("it listens");
    let request = format!(
        "GET /api/v1/orders/{order}/events HTTP/1.1\r\nhost: shop\r\nauthorization: Bearer {}\r\n\r\n",
        shop.tokens[0]
    );
    stream.write_all(request.as_bytes()).await.expect("it reads");
    let mut heard = Vec::new();
    let mut hear = async |word: &str| {
        while !String::from_utf8_lossy(&heard).contains(word) {
            let read = harness::patiently(word, stream.read_buf(&mut heard)).await;
            assert_ne!(read.expect("it goes on"), 0, "{}", String::from_utf8_lossy(&heard));
        }
    };
    hear("reserved").await;
    // nginx is reloaded, as is seen by a connection that waits: the stream's worker of before goes on with it alone.
    let mut idle = Connection::open(nginx.address()).await;
    idle.send(b"GET /api/v1/sales HTTP/1.1\r\nhost: shop\r\n\r\n").await;
    assert_eq!(idle.answer().await.status, 200);
    nginx.reload();
    idle.closed().await;
    let mut client = Client::open(nginx.address()).await.expect("it listens");
    let cancelled = shop.step(&mut client, order, 0, "cancel").await.expect("it answers");
    assert_eq!(cancelled.status, 200, "{}", cancelled.text());
    hear("cancelled").await;
    server.stop().await;
}

/// Buyers who share a client's connection, or have one for each purchase.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Connections {
    Kept,
    New,
}
use Connections::{Kept, New};

/// Has these buyers buy as often as they may. A kept connection may be closed by nginx while it is idle, just before
/// a request comes: nothing was done then, so that the request on a new one is the first.
async fn buy_all(
    shop: Arc<OpenSale>,
    witness: Arc<Witness>,
    (gateway, buyers, connections): (SocketAddr, Vec<usize>, Connections),
    done: Arc<Semaphore>,
) {
    let mut client = Client::open(gateway).await.expect("it listens");
    let purchases = buyers.iter().flat_map(|buyer| (0..PURCHASES).map(|count| (*buyer, count)));
    for (buyer, count) in purchases {
        let item = shop.items[count % shop.items.len()];
        let attempt = Attempt { item, buyer, key: format!("reload-{buyer}-{count}") };
        let (path, from) = (format!("/api/v1/items/{item}/buy"), format!("10.0.0.{buyer}"));
        let headers =
            [("idempotency-key", attempt.key.as_str()), ("x-forwarded-for", from.as_str())];
        let mut answer = client.send("POST", &path, &shop.tokens[buyer], &headers, "").await;
        if answer.is_err() && connections == Kept {
            client = Client::open(gateway).await.expect("it listens");
            answer = client.send("POST", &path, &shop.tokens[buyer], &headers, "").await;
        }
        let answer = answer.expect("it answers");
        assert_eq!(answer.status, 201, "buyer {buyer}: {}", answer.text());
        assert!(witness.bought(&attempt, &answer));
        if connections == New {
            client = Client::open(gateway).await.expect("it listens");
        }
        done.add_permits(1);
    }
}

/// The same by gRPC. A call that comes just when nginx ends its connection is refused before it is handed on, and is
/// repeated. What was bought is asked for once more over HTTP.
async fn buy_all_by_grpc(
    shop: Arc<OpenSale>,
    witness: Arc<Witness>,
    (gateway, for_http, buyers): (SocketAddr, SocketAddr, Vec<usize>),
    done: Arc<Semaphore>,
) {
    let mut orders = OrdersClient::new(channel(gateway));
    let purchases = buyers.iter().flat_map(|buyer| (0..PURCHASES).map(|count| (*buyer, count)));
    for (buyer, count) in purchases {
        let item = shop.items[count % shop.items.len()];
        let attempt = Attempt { item, buyer, key: format!("reload-{buyer}-{count}") };
        let from = format!("10.0.0.{buyer}");
        let bought = loop {
            let mut request = of(&shop.tokens[buyer], item, purchase(item, &attempt.key));
            request.metadata_mut().insert("x-forwarded-for", from.parse().expect("ASCII"));
            match orders.buy(request).await {
                Ok(bought) => break bought.into_inner(),
                // What has a source is the client's own word, of a call that met the connection's end.
                Err(status) => assert!(status.source().is_some(), "{status:?}"),
            }
        };
        assert!(!bought.replayed, "what was refused had been done: {bought:?}");
        let mut client = Client::open(for_http).await.expect("it listens");
        let path = format!("/api/v1/items/{item}/buy");
        let headers =
            [("idempotency-key", attempt.key.as_str()), ("x-forwarded-for", from.as_str())];
        let again = client.send("POST", &path, &shop.tokens[buyer], &headers, "").await;
        let again = again.expect("it answers");
        assert_eq!(again.status, 200, "buyer {buyer}: {}", again.text());
        assert_eq!(again.id("order_id"), bought.order.expect("it has one").order_id);
        assert!(witness.bought(&attempt, &again));
        done.add_permits(1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_purchase_is_answered_while_it_is_reloaded_and_the_shop_balances() {
    const BUYERS: usize = 64;
    const CLIENTS: usize = 8;
    const RELOADS: usize = 20;
    let mut site = Site::new();
    site.set("HTTP__CLIENT_ADDRESS", "x-forwarded-for");
    site.set("HTTP__TRUSTED_PROXIES", "127.0.0.1");
    site.set("GRPC__ENABLED", "true");
    let (server, shop) = site.open_shop(BUYERS, OFFERS).await;
    let upstream = upstream(&site.path(""), &[server.address().to_string()]);
    // Each buyer has an address of his own, by the word of a balancer in front.
    let behind_another = [
        ("    # set_real_ip_from 10.0.0.0/8;", "    set_real_ip_from 127.0.0.1;"),
        ("    # real_ip_header X-Forwarded-For;", "    real_ip_header X-Forwarded-For;"),
    ];
    let Some(nginx) = nginx_with(&upstream, &site.path("pages"), &behind_another) else { return };
    let (shop, witness) = (Arc::new(shop), Arc::new(Witness::default()));
    let mut clients = tokio::task::JoinSet::new();
    let done = Arc::new(Semaphore::new(0));
    for number in 0..CLIENTS {
        let buyers = (number..BUYERS).step_by(CLIENTS).collect();
        let (shop, witness, done) = (Arc::clone(&shop), Arc::clone(&witness), Arc::clone(&done));
        let address = nginx.address();
        match number % 4 {
            0 | 2 => clients.spawn(buy_all(shop, witness, (address, buyers, Kept), done)),
            1 => clients.spawn(buy_all(shop, witness, (address, buyers, New), done)),
            _ => {
                let way = (nginx.second_address(), address, buyers);
                clients.spawn(buy_all_by_grpc(shop, witness, way, done))
            }
        };
    }
    for _ in 0..RELOADS {
        let share = u32::try_from(BUYERS * PURCHASES / RELOADS).expect("a count");
        harness::patiently("purchases", done.acquire_many(share)).await.expect("open").forget();
        nginx.reload();
    }
    while let Some(client) = clients.join_next().await {
        client.expect("each purchase is answered");
    }
    assert_eq!(witness.confirmed(), BUYERS * PURCHASES);
    witness.verify(&server, &shop).await;
    server.stop().await;
    witness.audit(&site);
}
