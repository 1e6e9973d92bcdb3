//! gRPC through nginx: purchases, refusals and streams of a real shop, and what is said of nodes that die.

use super::grpc_node::GrpcNode;
use super::node::{Manner, ask};
use super::{folder, nginx, nginx_over, upstream};
use crate::support::{Offer, OpenSale, Server, Site};
use harness::{Nginx, until};
use proto::v1::orders_client::OrdersClient;
use proto::v1::sales_client::SalesClient;
use proto::v1::{self, OrderStatus};
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_types::StatusExt as _;

const OFFERS: &[Offer] = &[Offer { allotted: 1, limit: 1, window_seconds: 600 }; 2];
const FLOOD_MAX: usize = 20_000;

/// Calls by way of this address, on a connection that is opened again when it has ended.
pub fn channel(gateway: SocketAddr) -> Channel {
    Endpoint::from_shared(format!("http://{gateway}")).expect("an address").connect_lazy()
}

/// A call of this buyer, which names its item to the gateway.
pub fn of<M>(token: &str, item: u64, message: M) -> Request<M> {
    let mut request = Request::new(message);
    let bearer = format!("Bearer {token}").parse().expect("a token");
    request.metadata_mut().insert("authorization", bearer);
    request.metadata_mut().insert("seckill-item", item.into());
    request
}

/// The wish for an item.
pub fn purchase(item_id: u64, key: &str) -> v1::BuyRequest {
    v1::BuyRequest { item_id, idempotency_key: key.to_owned(), ..v1::BuyRequest::default() }
}

/// The status's code and the problem's.
fn told(status: &Status) -> (Code, String) {
    let info = status.get_details_error_info().unwrap_or_else(|| panic!("no code in {status:?}"));
    assert_eq!(info.domain, "seckill");
    (status.code(), info.reason)
}

fn refusal<T: std::fmt::Debug>(outcome: Result<T, Status>) -> (Code, String) {
    told(&outcome.expect_err("a refusal"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_is_placed_watched_and_paid_and_the_next_one_is_refused() {
    let site = Site::new().with("GRPC__ENABLED", "true");
    let (server, shop) = site.open_shop(2, OFFERS).await;
    let upstream = upstream(&site.path(""), &[server.address().to_string()]);
    let Some(nginx) = nginx(&upstream, &site.path("pages")) else { return };
    let mut sales = SalesClient::new(channel(nginx.second_address()));
    let item = shop.items[0];
    let shown = sales.get_item(v1::GetItemRequest { item_id: item }).await.expect("an item");
    assert_eq!(shown.get_ref().counters.expect("units").available, 1);

    let mut orders = OrdersClient::new(channel(nginx.second_address()));
    let [first, second] = [0, 1].map(|buyer| shop.tokens[buyer].as_str());
    let bought = orders.buy(of(first, item, purchase(item, "one"))).await.expect("an order");
    let order = bought.into_inner().order.expect("it has one");
    let order_id = order.order_id;
    let watched = v1::WatchOrderRequest { order_id };
    let watched = orders.watch_order(of(first, item, watched)).await.expect("a stream");
    let mut watched = watched.into_inner();
    assert_eq!(watched.message().await.expect("it goes on"), Some(order));

    let sold_out = orders.buy(of(second, item, purchase(item, "two"))).await;
    assert_eq!(refusal(sold_out), (Code::FailedPrecondition, "sold_out".to_owned()));
    let nobody = orders.buy(purchase(shop.items[1], "three")).await;
    assert_eq!(refusal(nobody), (Code::Unauthenticated, "unauthenticated".to_owned()));

    // An event comes while the stream is open, and its end after the last one.
    let wish = v1::PayRequest { order_id, ..v1::PayRequest::default() };
    let paid = orders.pay(of(first, item, wish)).await.expect("it is paid");
    assert_eq!(paid.get_ref().status(), OrderStatus::Paid);
    let change = watched.message().await.expect("it goes on").expect("a change");
    assert_eq!(change.status(), OrderStatus::Paid);
    assert_eq!(watched.message().await.expect("a good end"), None);

    let listed = orders.list_orders(of(first, item, v1::ListOrdersRequest::default())).await;
    assert_eq!(listed.expect("a page").get_ref().orders.len(), 1);
    server.stop().await;
    site.audit([order_id]).must_balance();
}

/// The file for gRPC with this ordinary time for a silent node, and the streams' own as it is.
fn impatient(site: &Site, seconds: u8) -> PathBuf {
    const ORDINARY: &str = "grpc_read_timeout 35s;";
    let text = std::fs::read_to_string(folder().join("grpc.conf")).expect("the file");
    assert_eq!(text.matches(ORDINARY).count(), 1);
    let file = site.path("grpc.conf");
    let text = text.replace(ORDINARY, &format!("grpc_read_timeout {seconds}s;"));
    std::fs::write(&file, text).expect("written");
    file
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_is_watched_for_longer_than_a_silent_node_is_waited_for() {
    let site = Site::new().with("GRPC__ENABLED", "true").with("GRPC__REFLECTION", "true");
    let (server, shop) = site.open_shop(1, OFFERS).await;
    let upstream = upstream(&site.path(""), &[server.address().to_string()]);
    let grpc = impatient(&site, 1);
    let Some(nginx) = nginx_over(&upstream, &site.path("pages"), &[], &grpc) else { return };
    let mut orders = OrdersClient::new(channel(nginx.second_address()));
    let (token, item) = (shop.tokens[0].as_str(), shop.items[0]);
    let bought = orders.buy(of(token, item, purchase(item, "one"))).await.expect("an order");
    let order = bought.into_inner().order.expect("it has one");
    let order_id = order.order_id;
    let watched = orders.watch_order(of(token, item, v1::WatchOrderRequest { order_id })).await;
    let mut watched = watched.expect("a stream").into_inner();
    assert_eq!(watched.message().await.expect("it goes on"), Some(order));

    // A call that nothing comes of begins after the stream fell silent, and ends when its node has been silent for
    // too long.
    let mut reflection = ServerReflectionClient::new(channel(nginx.second_address()));
    let silent = reflection.server_reflection_info(futures_util::stream::pending()).await;
    let ended = match silent {
        Ok(answers) => harness::patiently("its end", answers.into_inner().message()).await,
        Err(status) => Err(status),
    };
    assert!(ended.is_err(), "the node was waited for: {ended:?}");

    let wish = v1::PayRequest { order_id, ..v1::PayRequest::default() };
    orders.pay(of(token, item, wish)).await.expect("it is paid");
    let change = watched.message().await.expect("it goes on").expect("a change");
    assert_eq!(change.status(), OrderStatus::Paid);
    assert_eq!(watched.message().await.expect("a good end"), None);
    server.stop().await;
    site.audit([order_id]).must_balance();
}

/// A server that dies when it has a purchase on record and has not answered: some pass that point before they listen.
async fn dying_before_an_answer(site: &Site) -> Server {
    for passes in 0..16 {
        let server = site.launch(&match passes {
            0 => "journal-after-sync=return".to_owned(),
            _ => format!("journal-after-sync={passes}*off->return"),
        });
        if server.listens().await.is_ok() {
            return server;
        }
    }
    panic!("that point is passed too often before it listens");
}

async fn buy(nginx: &Nginx, shop: &OpenSale) -> Result<v1::BuyResponse, Status> {
    let mut orders = OrdersClient::new(channel(nginx.second_address()));
    let wish = of(&shop.tokens[0], shop.items[0], purchase(shop.items[0], "one"));
    orders.buy(wish).await.map(tonic::Response::into_inner)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_dead_node_may_have_done_is_not_known_and_its_repeat_finds_the_one_order() {
    let site = Site::new().with("GRPC__ENABLED", "true");
    let (server, shop) = site.open_shop(1, OFFERS).await;
    server.stop().await;
    let server = dying_before_an_answer(&site).await;
    let folder = site.path("");
    let file = upstream(&folder, &[server.address().to_string()]);
    let Some(nginx) = nginx(&file, &site.path("pages")) else { return };
    let unknown = buy(&nginx, &shop).await;
    assert_eq!(refusal(unknown), (Code::Unknown, "outcome_unknown".to_owned()));
    assert_eq!(server.ended().await.signal(), Some(9));
    // Nobody listens any more, so that nothing can have been done.
    let nothing = buy(&nginx, &shop).await;
    assert_eq!(refusal(nothing), (Code::Unavailable, "owner_unavailable".to_owned()));

    let server = site.start().await;
    upstream(&folder, &[server.address().to_string()]);
    nginx.reload();
    let found = until("the new node to be asked", async || match buy(&nginx, &shop).await {
        Ok(found) => Some(found),
        Err(status) => {
            // A connection to a worker of before may end before its call is answered.
            if let Some(info) = status.get_details_error_info() {
                assert_eq!(info.reason, "owner_unavailable");
            }
            None
        }
    })
    .await;
    assert!(found.replayed, "{found:?}");
    let order = found.order.expect("it has one").order_id;
    let mut client = server.client().await;
    assert_eq!(shop.counters(&mut client, shop.items[0]).await, [1, 0, 1, 0]);
    server.stop().await;
    site.audit([order]).must_balance();
}

async fn behind(nodes: usize, manner: Manner) -> Option<(Nginx, Vec<GrpcNode>, tempfile::TempDir)> {
    let folder = tempfile::tempdir().expect("a directory");
    let mut started = Vec::new();
    for number in 0..nodes {
        started.push(GrpcNode::start(number, manner).await);
    }
    let addresses: Vec<String> = started.iter().map(GrpcNode::address).collect();
    let nginx = nginx(&upstream(folder.path(), &addresses), folder.path())?;
    Some((nginx, started, folder))
}

#[tokio::test]
async fn a_call_that_a_node_has_read_is_sent_to_no_other() {
    let Some((nginx, nodes, _folder)) = behind(2, Manner::Dies).await else { return };
    let called = || nodes.iter().map(|node| node.called().len()).sum::<usize>();
    let mut orders = OrdersClient::new(channel(nginx.second_address()));
    let bought = orders.buy(of("token", 7, purchase(7, "one"))).await;
    assert_eq!(refusal(bought), (Code::Unknown, "outcome_unknown".to_owned()));
    assert_eq!(called(), 1, "a purchase");
    // A look changes nothing, so that it can be said to have done nothing.
    let looked = orders.get_order(of("token", 7, v1::GetOrderRequest { order_id: 1 })).await;
    assert_eq!(refusal(looked), (Code::Unavailable, "owner_unavailable".to_owned()));
    assert_eq!(called(), 2, "a look");
}

#[tokio::test]
async fn a_call_goes_where_its_item_is_and_one_that_names_none_to_any_node() {
    const ITEMS: u64 = 40;
    let Some((nginx, mut nodes, _folder)) = behind(3, Manner::Answers).await else { return };
    let mut orders = OrdersClient::new(channel(nginx.second_address()));
    let mut places = Vec::new();
    for item in 0..ITEMS {
        let answer = orders.buy(of("token", item, purchase(item, "one"))).await;
        let place = answer.expect_err("a number").message().to_owned();
        let path = format!("/api/v1/items/{item}");
        let over_http = ask(nginx.address(), "GET", &path).await;
        assert_eq!(place, over_http.text(), "item {item}");
        places.push(place);
    }
    let unnamed = async || {
        let mut sales = SalesClient::new(channel(nginx.second_address()));
        let answer = sales.list_sales(v1::ListSalesRequest::default()).await;
        answer.expect_err("a number").message().to_owned()
    };
    let mut others = std::collections::BTreeSet::new();
    until("each node to be called without an item", async || {
        others.insert(unnamed().await);
        (others.len() == nodes.len()).then_some(())
    })
    .await;
    // What a node that is away had goes to the others, and nothing else moves.
    nodes.truncate(2);
    for (item, before) in (0..).zip(places) {
        let answer = orders.buy(of("token", item, purchase(item, "two"))).await;
        let after = answer.expect_err("a number").message().to_owned();
        assert!(after != "2" && (before == "2" || before == after), "{item}: {before}, {after}");
    }
}

/// Buys until something else than the node's number is the answer.
async fn flooded(orders: &mut OrdersClient<Channel>) -> Status {
    for _ in 0..FLOOD_MAX {
        let answer = orders.buy(of("token", 7, purchase(7, "one"))).await;
        let status = answer.expect_err("a number or a refusal");
        if status.code() != Code::FailedPrecondition {
            return status;
        }
    }
    panic!("none of {FLOOD_MAX} was refused");
}

#[tokio::test]
async fn what_nginx_refuses_itself_is_said_in_the_shops_words() {
    let Some((nginx, nodes, _folder)) = behind(1, Manner::Answers).await else { return };
    let mut orders = OrdersClient::new(channel(nginx.second_address()));
    let large = v1::BuyRequest { buy_token: "t".repeat(5_000), ..purchase(7, "one") };
    let large = orders.buy(of("token", 7, large)).await;
    assert_eq!(refusal(large), (Code::InvalidArgument, "body_too_large".to_owned()));
    assert_eq!(nodes[0].called(), Vec::<String>::new());
    let status = flooded(&mut orders).await;
    assert_eq!(told(&status), (Code::ResourceExhausted, "rate_limited".to_owned()));
    assert!(status.get_details_retry_info().is_some(), "{status:?}");
    let from = "/seckill.v1.Orders/Buy from 127.0.0.1";
    assert_eq!(nodes[0].called().first().map(String::as_str), Some(from));
    // What the shop has no service for is answered by nginx, as a status too.
    let mut other = tonic::client::Grpc::new(channel(nginx.second_address()));
    other.ready().await.expect("a connection");
    let path = "/seckill.v1.admin.Sales/Approve".parse().expect("a path");
    let codec = tonic_prost::ProstCodec::<v1::GetSaleRequest, v1::Sale>::default();
    let nothing = other.unary(Request::new(v1::GetSaleRequest { sale_id: 1 }), path, codec).await;
    assert_eq!(nothing.expect_err("a refusal").code(), Code::Unimplemented);
}
