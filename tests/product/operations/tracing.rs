//! Traces: where a purchase was for how long, as a collector shows it, and that no purchase minds what the
//! collector does.

use super::ground::{Servers, caught_up};
use crate::support::collector::{Collector, Found, Manner, kind};
use crate::support::{Offer, OpenSale, Server, Site, Tree, until};

const LASTING: Offer = Offer { allotted: 1_000_000, limit: 10_000, window_seconds: 600 };
const DROPPED: [&str; 4] = ["queue_full", "not_taken", "rejected", "not_remembered"];

/// A site whose purchases are all traced.
fn traced(site: Site, collector: &Collector) -> Site {
    site.with("TRACES__OTLP_ENDPOINT", &collector.url()).with("TRACES__SAMPLE_ONE_IN", "1")
}

/// One purchase. Returns its order.
async fn bought(server: &Server, shop: &OpenSale, key: &str, headers: &[(&str, &str)]) -> String {
    let path = format!("/api/v1/items/{}/buy", shop.items[0]);
    let mut all = vec![("idempotency-key", key)];
    all.extend(headers);
    let mut client = server.client().await;
    let answer = client.send("POST", &path, &shop.tokens[0], &all, "").await.expect("it answers");
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.json()["order_id"].as_str().expect("an id").to_owned()
}

/// Waits until no record of a trace is on its way any more.
async fn nothing_underway(server: &Server) {
    until("all traced records to be stored", async || {
        (server.figure("seckill_trace_records_underway").await == 0).then_some(())
    })
    .await;
}

/// The three hops to the shard and back, one after another within the request.
fn has_hops(tree: &Tree, request: &str) {
    let [mailbox, decide, sync] =
        ["mailbox", "decide", "journal sync"].map(|hop| format!("{request} > {hop}"));
    for hop in [&mailbox, &decide, &sync] {
        tree.is_within_parent(hop);
        assert_eq!(tree.at(hop).kind, kind::INTERNAL);
        assert!(!tree.at(hop).has_failed);
    }
    tree.is_before(&mailbox, &decide);
    tree.is_before(&decide, &sync);
    let record = &tree.at(&sync).attributes;
    assert!(record["seckill.seq"].parse::<u64>().is_ok_and(|seq| seq > 0), "{record:?}");
    assert!(record["seckill.shard"].parse::<u16>().is_ok_and(|shard| shard < 4), "{record:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_purchase_is_one_tree_from_its_head_to_its_row() {
    let Some(servers) = Servers::start() else { return };
    let collector = Collector::open().await;
    let site = traced(servers.site(), &collector);
    let (server, shop) = site.open_shop(1, &[LASTING]).await;
    let order = bought(&server, &shop, "traced", &[("x-request-id", "request-7")]).await;
    caught_up(&server).await;
    nothing_underway(&server).await;
    // What waits is sent when it stops.
    server.stop().await;
    let spans = collector.spans();
    let tree = Tree::of(&spans);
    let publish = "buy > publish seckill.orders";
    let process = "buy > publish seckill.orders > process seckill.orders";
    let insert = "buy > publish seckill.orders > process seckill.orders > INSERT orders";
    assert_eq!(
        tree.ways(),
        ["buy", "buy > decide", "buy > journal sync", "buy > mailbox", publish, process, insert]
    );
    let kinds = ["buy", publish, process, insert].map(|way| tree.at(way).kind);
    assert_eq!(kinds, [kind::SERVER, kind::PRODUCER, kind::CONSUMER, kind::CLIENT]);
    has_hops(&tree, "buy");
    tree.is_before("buy > decide", publish);
    assert!(tree.at(publish).started_at <= tree.at(process).started_at);
    tree.is_within_parent(insert);
    let buy = &tree.at("buy").attributes;
    for (key, value) in [
        ("seckill.interface", "http"),
        ("seckill.request_id", "request-7"),
        ("seckill.item_id", &shop.items[0].to_string()),
        ("seckill.order_id", &order),
        ("seckill.outcome", "placed"),
    ] {
        assert_eq!(buy[key], value, "{buy:?}");
    }
    let message = &tree.at(publish).attributes;
    assert_eq!(message["messaging.destination.name"], "seckill.orders");
    assert_eq!(message["messaging.system"], "rabbitmq");
    assert_eq!(tree.at(insert).attributes["db.system.name"], "mysql");
    assert!(spans.iter().all(|span| !span.has_failed), "{spans:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_broker_the_tree_ends_with_the_row() {
    let collector = Collector::open().await;
    let site = traced(Site::new(), &collector);
    let (server, shop) = site.open_shop(1, &[LASTING]).await;
    bought(&server, &shop, "traced", &[]).await;
    caught_up(&server).await;
    nothing_underway(&server).await;
    // A repeat has no record of its own, and leads to no row.
    let again = shop.buy(&mut server.client().await, shop.items[0], 0, "traced").await;
    assert_eq!(again.expect("it answers").status, 200);
    server.stop().await;
    let spans = collector.spans();
    let (first, second): (Vec<Found>, Vec<Found>) =
        spans.iter().cloned().partition(|span| span.trace_id == spans[0].trace_id);
    let tree = Tree::of(&first);
    let insert = "buy > INSERT orders";
    assert_eq!(tree.ways(), ["buy", insert, "buy > decide", "buy > journal sync", "buy > mailbox"]);
    has_hops(&tree, "buy");
    tree.is_before("buy > decide", insert);
    assert_eq!(tree.at(insert).attributes["db.system.name"], "sqlite");
    let repeat = Tree::of(&second);
    assert_eq!(repeat.ways(), ["buy", "buy > decide", "buy > journal sync", "buy > mailbox"]);
    assert_eq!(repeat.at("buy").attributes["seckill.outcome"], "replayed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_traceparent_is_obeyed_only_where_it_is_trusted() {
    const ASKS: (&str, &str) =
        ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    const DECLINES: (&str, &str) =
        ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00");
    for trusts in ["true", "false"] {
        let collector = Collector::open().await;
        let site = traced(Site::new(), &collector)
            .with("TRACES__SAMPLE_ONE_IN", "1073741824")
            .with("TRACES__TRUST_TRACEPARENT", trusts);
        let (server, shop) = site.open_shop(1, &[LASTING]).await;
        let asked = bought(&server, &shop, "asks", &[ASKS]).await;
        bought(&server, &shop, "declines", &[DECLINES]).await;
        bought(&server, &shop, "asks-in-two-ways", &[ASKS, ASKS]).await;
        bought(&server, &shop, "says-nothing", &[]).await;
        caught_up(&server).await;
        server.stop().await;
        let spans = collector.spans();
        if trusts == "false" {
            assert!(spans.is_empty(), "{spans:#?}");
            continue;
        }
        let tree = Tree::of(&spans);
        assert_eq!(tree.ways().len(), 5);
        let buy = tree.at("buy");
        assert_eq!(buy.attributes["seckill.order_id"], asked);
        assert_eq!(buy.trace_id, 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736_u128.to_be_bytes());
        assert_eq!(buy.parent_id, 0x00f0_67aa_0ba9_02b7_u64.to_be_bytes());
    }
}

/// So many purchases, by a few buyers at once, of which each must get its order.
async fn sell(server: &Server, shop: &OpenSale, round: u32, purchases: u32) {
    const BUYERS: u32 = 8;
    let buyers = (0..BUYERS).map(async |buyer| {
        let mut client = server.client().await;
        for number in 0..purchases / BUYERS {
            let key = format!("{round}-{number}");
            let answer = shop.buy(&mut client, shop.items[0], buyer as usize, &key).await;
            let answer = answer.expect("it answers");
            assert_eq!(answer.status, 201, "{}", answer.text());
        }
    });
    futures_util::future::join_all(buyers).await;
}

/// Spans dropped for this reason.
async fn dropped(server: &Server, reason: &str) -> u64 {
    let name = format!("seckill_trace_spans_dropped_total{{reason=\"{reason}\"}}");
    server.figure(&name).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_the_collector_does_purchases_go_on_and_memory_stays() {
    const MEGABYTE: u64 = 1 << 20;
    let collector = Collector::open().await;
    let site = traced(Site::new(), &collector);
    let (server, shop) = site.open_shop(8, &[LASTING]).await;
    for reason in DROPPED {
        let line = format!("seckill_trace_spans_dropped_total{{reason=\"{reason}\"}} 0");
        let metrics = server.look("/metrics").await;
        assert!(metrics.text().lines().any(|found| found == line), "{line} from the start");
    }
    // Those that cannot be told from a collector that is slow cost the most: the queue fills up.
    collector.behaves(Manner::Freezes);
    sell(&server, &shop, 0, 2_000).await;
    until("spans beyond the queue to be dropped", async || {
        (dropped(&server, "queue_full").await > 0).then_some(())
    })
    .await;
    let before = server.memory_bytes();
    sell(&server, &shop, 1, 16_000).await;
    let grown = server.memory_bytes().saturating_sub(before);
    println!("{} KiB more after 16,000 purchases, 80,000 spans", grown / 1024);
    // Orders take some, and what the allocator keeps comes and goes; 80,000 spans would take more.
    assert!(grown < 32 * MEGABYTE, "{grown} bytes");
    until("a request to be given up", async || {
        (dropped(&server, "not_taken").await > 0).then_some(())
    })
    .await;
    site.logged("the collector takes no traces").await;
    for (round, manner) in
        [Manner::Refuses(500), Manner::Refuses(503), Manner::Raves].into_iter().enumerate()
    {
        collector.behaves(manner);
        let before = dropped(&server, "not_taken").await;
        sell(&server, &shop, 10 + u32::try_from(round).expect("few"), 80).await;
        until("spans that were not taken", async || {
            (dropped(&server, "not_taken").await > before).then_some(())
        })
        .await;
    }
    collector.behaves(Manner::Rejects);
    until("spans that were rejected", async || {
        bought_any(&server, &shop).await;
        (dropped(&server, "rejected").await > 0).then_some(())
    })
    .await;
    collector.behaves(Manner::Takes);
    until("a span that is taken", async || {
        bought_any(&server, &shop).await;
        (!collector.spans().is_empty()).then_some(())
    })
    .await;
    drop(collector);
    sell(&server, &shop, 30, 400).await;
    caught_up(&server).await;
    nothing_underway(&server).await;
    server.stop().await;
    site.audit([]).must_balance();
    assert!(!site.log().contains("panicked at"), "{}", site.log());
}

/// One more purchase, whatever its key.
async fn bought_any(server: &Server, shop: &OpenSale) {
    let mut client = server.client().await;
    let key = format!("{:032x}", rand::random::<u128>());
    let answer = shop.buy(&mut client, shop.items[0], 0, &key).await.expect("it answers");
    assert_eq!(answer.status, 201, "{}", answer.text());
}
