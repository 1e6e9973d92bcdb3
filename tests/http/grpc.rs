//! The shop over gRPC, with a client of its own making and with raw requests.

use harness::http::Answer;
use http_body_util::{BodyExt as _, Full};
use hyper::Request as HttpRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use proto::v1::orders_client::OrdersClient;
use proto::v1::sales_client::SalesClient;
use proto::v1::users_client::UsersClient;
use proto::v1::{self, ItemState, OrderStatus, SaleStatus};
use seckill::http::{GrpcOptions, LimitOptions, Options};
use serde_json::json;
use std::time::Duration;
use support::{Ask, Shop, offer};
use tokio_stream::StreamExt as _;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_types::StatusExt as _;

fn options() -> Options {
    Options { grpc: Some(GrpcOptions { reflection: true }), ..Options::default() }
}

/// A shop, and a connection to it.
async fn open(options: Options) -> (Shop, Channel) {
    let shop = Shop::with(options).await;
    let address = format!("http://{}", shop.address);
    let channel = Endpoint::from_shared(address).expect("an address").connect().await;
    (shop, channel.expect("a connection"))
}

/// A call of the bearer of this token.
fn of<M>(token: &str, message: M) -> Request<M> {
    let mut request = Request::new(message);
    let bearer = format!("Bearer {token}").parse().expect("a token");
    request.metadata_mut().insert("authorization", bearer);
    request
}

fn purchase(item_id: u64, key: &str) -> v1::BuyRequest {
    v1::BuyRequest { item_id, idempotency_key: key.to_owned(), ..v1::BuyRequest::default() }
}

/// The status's code and the problem's.
fn told(status: &Status) -> (Code, String) {
    let info = status.get_details_error_info().expect("every refusal has its code");
    assert_eq!(info.domain, "seckill");
    (status.code(), info.reason)
}

fn refusal<T: std::fmt::Debug>(outcome: Result<T, Status>) -> (Code, String) {
    told(&outcome.expect_err("a refusal"))
}

#[tokio::test]
async fn a_buyer_goes_the_whole_way_over_grpc() {
    let (shop, channel) = open(options()).await;
    let item = shop.live_item(3).await;
    let credentials = ("ann".to_owned(), "long jing 1886".to_owned());
    let (user_name, password) = credentials.clone();
    let mut users = UsersClient::new(channel.clone());
    let user = users.register(v1::RegisterRequest { user_name, password }).await.expect("a user");
    assert_eq!(user.get_ref().user_name, "ann");
    let (user_name, password) = credentials;
    let session = users.log_in(v1::LogInRequest { user_name, password }).await.expect("a session");
    let token = session.into_inner().token;

    let mut sales = SalesClient::new(channel.clone());
    let listed = sales.list_sales(v1::ListSalesRequest::default()).await.expect("sales");
    let listed = listed.into_inner();
    let (sale, has_more) = (&listed.sales[0], listed.has_more);
    assert_eq!((sale.status(), has_more), (SaleStatus::Live, false));
    let shown = sales.get_sale(v1::GetSaleRequest { sale_id: sale.sale_id }).await.expect("a sale");
    assert_eq!(&shown.into_inner().items, &sale.items);
    let item_id = sale.items[0].item_id;
    assert_eq!(item_id.to_string(), item);
    let shown = sales.get_item(v1::GetItemRequest { item_id }).await.expect("an item");
    assert_eq!(shown.get_ref().state(), ItemState::Live);
    assert_eq!(shown.get_ref().counters.expect("units").available, 3);
    assert_eq!((shown.get_ref().price, shown.get_ref().currency.as_str()), (4_999, "EUR"));

    let mut orders = OrdersClient::new(channel);
    let bought = orders.buy(of(&token, purchase(item_id, "k"))).await.expect("an order");
    let v1::BuyResponse { order, replayed } = bought.into_inner();
    let order = order.expect("it has one");
    assert_eq!((replayed, order.status(), order.quantity), (false, OrderStatus::Reserved, 1));
    let again = orders.buy(of(&token, purchase(item_id, "k"))).await.expect("the same order");
    let again = again.into_inner();
    assert_eq!((again.replayed, again.order.as_ref()), (true, Some(&order)));
    let order_id = order.order_id;
    let path = format!("/api/v1/orders/{order_id}");
    let over_http = shop.get(&path, Some(&token)).await.json();
    assert_eq!(over_http["amount"], json!(order.amount));

    let watched = v1::WatchOrderRequest { order_id };
    let mut watched = orders.watch_order(of(&token, watched)).await.expect("a stream").into_inner();
    assert_eq!(watched.next().await.expect("it comes first").expect("an order"), order);
    let wish = v1::PayRequest { order_id, ..v1::PayRequest::default() };
    let paid = orders.pay(of(&token, wish)).await.expect("it is paid");
    assert_eq!(paid.get_ref().status(), OrderStatus::Paid);
    let change = watched.next().await.expect("a change").expect("an order");
    assert_eq!(change.status(), OrderStatus::Paid);
    assert!(watched.next().await.is_none(), "nothing more can come");

    let page = orders.list_orders(of(&token, v1::ListOrdersRequest::default())).await;
    let page = page.expect("a page").into_inner();
    assert_eq!((page.orders.len(), page.has_more, page.complete), (1, false, true));
    let found = orders.get_order(of(&token, v1::GetOrderRequest { order_id })).await;
    assert_eq!(found.expect("an order").get_ref(), &page.orders[0]);
    let cancelled = orders.cancel(of(&token, v1::CancelRequest { order_id })).await;
    assert_eq!(refusal(cancelled), (Code::FailedPrecondition, "order_closed".to_owned()));
    assert!(shop.shows("seckill_purchases_total{outcome=\"placed\"} 1").await);
    assert!(shop.shows("seckill_grpc_requests_total{code=\"failed_precondition\"} 1").await);
}

#[tokio::test]
async fn a_refusal_is_the_same_over_grpc_and_over_http() {
    let (shop, channel) = open(options()).await;
    let item: u64 = shop.live_item(1).await.parse().expect("a number");
    let mut orders = OrdersClient::new(channel.clone());
    let nobody = orders.buy(purchase(item, "k")).await;
    assert_eq!(refusal(nobody), (Code::Unauthenticated, "unauthenticated".to_owned()));
    let operator = orders.buy(of(&shop.operator("ann"), purchase(item, "k"))).await;
    assert_eq!(refusal(operator), (Code::PermissionDenied, "forbidden".to_owned()));
    let ann = shop.buyer(1);
    let unknown = orders.buy(of(&ann, purchase(404, "k"))).await;
    assert_eq!(refusal(unknown), (Code::NotFound, "item_not_found".to_owned()));
    let many = v1::BuyRequest { quantity: 70_000, ..purchase(item, "k") };
    let many = orders.buy(of(&ann, many)).await.expect_err("too many");
    assert_eq!(told(&many), (Code::InvalidArgument, "invalid_field".to_owned()));
    let details = many.get_details_bad_request().expect("the field");
    assert_eq!(details.field_violations[0].field, "quantity");
    let named = orders.buy(of(&ann, purchase(item, "a b"))).await;
    assert_eq!(refusal(named), (Code::InvalidArgument, "invalid_field".to_owned()));
    orders.buy(of(&ann, purchase(item, "k"))).await.expect("an order");
    let other = v1::BuyRequest { quantity: 2, ..purchase(item, "k") };
    let other = orders.buy(of(&ann, other)).await;
    assert_eq!(refusal(other), (Code::AlreadyExists, "idempotency_key_reused".to_owned()));
    let late = orders.buy(of(&shop.buyer(2), purchase(item, "k"))).await;
    assert_eq!(refusal(late), (Code::FailedPrecondition, "sold_out".to_owned()));
    let foreign = orders.get_order(of(&ann, v1::GetOrderRequest { order_id: 7 })).await;
    assert_eq!(refusal(foreign), (Code::NotFound, "order_not_found".to_owned()));
    let long = v1::ListOrdersRequest { limit: 101, starting_after: 0 };
    let long = orders.list_orders(of(&ann, long)).await;
    assert_eq!(refusal(long), (Code::InvalidArgument, "invalid_field".to_owned()));
    let mut sales = SalesClient::new(channel.clone());
    let day = v1::ListSalesRequest { date: "never".to_owned(), ..v1::ListSalesRequest::default() };
    let day = sales.list_sales(day).await;
    assert_eq!(refusal(day), (Code::InvalidArgument, "invalid_field".to_owned()));
    let sale = sales.get_sale(v1::GetSaleRequest { sale_id: 7 }).await;
    assert_eq!(refusal(sale), (Code::NotFound, "sale_not_found".to_owned()));
    let mut users = UsersClient::new(channel);
    let (user_name, password) = ("a".to_owned(), "short".to_owned());
    let wrong = users.register(v1::RegisterRequest { user_name, password }).await;
    assert_eq!(refusal(wrong), (Code::InvalidArgument, "invalid_field".to_owned()));
    // The edge counts what became of each, whichever way it came.
    assert!(shop.shows("seckill_purchases_total{outcome=\"sold_out\"} 1").await);
    assert!(shop.shows("seckill_http_problems_total{code=\"sale_not_found\"} 1").await);
}

#[tokio::test]
async fn a_guarded_item_needs_its_token_here_too() {
    let (shop, channel) = open(options()).await;
    let (sale, items) = shop.sale(shop.draft(&[offer("pear", 5)])).await;
    let path = format!("/api/v1/admin/sales/{sale}/items/{}/admission", items[0]);
    let ann = shop.operator("ann");
    let guard = json!({ "buy_token": true, "challenge": "proof" });
    let ask = Ask { token: Some(&ann), body: Some(guard), ..Ask::default() };
    let guarded: Answer = shop.ask("PUT", &path, ask).await;
    assert_eq!(guarded.status, 200, "{}", guarded.text());
    let item_id: u64 = items[0].parse().expect("a number");
    let buyer = shop.buyer(1);
    let mut orders = OrdersClient::new(channel);
    let plain = orders.buy(of(&buyer, purchase(item_id, "k"))).await;
    assert_eq!(refusal(plain), (Code::PermissionDenied, "buy_token_required".to_owned()));
    let bare = v1::GetBuyTokenRequest { item_id, ..v1::GetBuyTokenRequest::default() };
    let bare = orders.get_buy_token(of(&buyer, bare)).await;
    assert_eq!(refusal(bare), (Code::PermissionDenied, "challenge_required".to_owned()));
    let given = orders.get_challenge(of(&buyer, v1::GetChallengeRequest { item_id })).await;
    let given = given.expect("a challenge").into_inner().challenge;
    let solved = harness::proof::solve(&serde_json::from_str(&given).expect("JSON"));
    let asked =
        v1::GetBuyTokenRequest { item_id, challenge: solved, ..v1::GetBuyTokenRequest::default() };
    let token = orders.get_buy_token(of(&buyer, asked)).await.expect("a token").into_inner().token;
    let with =
        |token: &str| v1::BuyRequest { buy_token: token.to_owned(), ..purchase(item_id, "") };
    let forged = orders.buy(of(&shop.buyer(2), with(&token))).await;
    assert_eq!(refusal(forged), (Code::PermissionDenied, "buy_token_invalid".to_owned()));
    let bought = orders.buy(of(&buyer, with(&token))).await.expect("an order").into_inner();
    let again = orders.buy(of(&buyer, with(&token))).await.expect("the order").into_inner();
    assert_eq!((bought.replayed, again.replayed), (false, true));
    assert_eq!(bought.order, again.order);
}

#[tokio::test]
async fn who_asks_too_often_is_told_when_to_come_back() {
    let limits = LimitOptions { user_per_second: 1, user_burst: 5, ..LimitOptions::NONE };
    let (shop, channel) = open(Options { limits, ..options() }).await;
    let item: u64 = shop.live_item(10).await.parse().expect("a number");
    let mut orders = OrdersClient::new(channel);
    let buyer = shop.buyer(1);
    let mut refused = None;
    for _ in 0..200 {
        if let Err(status) = orders.buy(of(&buyer, purchase(item, "k"))).await {
            refused = Some(status);
            break;
        }
    }
    let status = refused.expect("it has an end");
    assert_eq!(told(&status), (Code::ResourceExhausted, "rate_limited".to_owned()));
    let retry = status.get_details_retry_info().expect("when to come back");
    assert_eq!(retry.retry_delay.map(|delay| delay.as_secs()), Some(1));
    assert!(status.metadata().get("ratelimit").is_some(), "{status:?}");
}

/// What the server answers to a raw call: its status, and the header of gRPC's.
async fn raw(shop: &Shop, headers: &[(&str, &str)], message: &[u8]) -> (u16, Option<String>) {
    let stream = tokio::net::TcpStream::connect(shop.address).await.expect("a connection");
    let executor = TokioExecutor::new();
    let handshake = hyper::client::conn::http2::handshake(executor, TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.expect("a connection");
    let connection = tokio::spawn(connection);
    let mut framed = vec![0];
    framed.extend_from_slice(&u32::try_from(message.len()).expect("a length").to_be_bytes());
    framed.extend_from_slice(message);
    let mut request = HttpRequest::post("http://shop/seckill.v1.Orders/Buy")
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(bytes::Bytes::from(framed))).expect("a request");
    let response = sender.send_request(request).await.expect("an answer");
    let status = response.status().as_u16();
    let code = |headers: &hyper::HeaderMap| {
        headers.get("grpc-status").map(|code| code.to_str().expect("a number").to_owned())
    };
    let found = code(response.headers());
    let end = response.into_body().collect().await.expect("an end");
    connection.abort();
    (status, found.or_else(|| end.trailers().and_then(code)))
}

#[tokio::test]
async fn a_call_is_given_up_when_its_caller_no_longer_waits() {
    let (shop, _) = open(options()).await;
    let item: u64 = shop.live_item(1).await.parse().expect("a number");
    let bearer = format!("Bearer {}", shop.buyer(1));
    let message = prost::Message::encode_to_vec(&purchase(item, "k"));
    let authorization = ("authorization", bearer.as_str());
    let late = raw(&shop, &[authorization, ("grpc-timeout", "1n")], &message).await;
    assert_eq!(late, (200, Some("4".to_owned())), "DEADLINE_EXCEEDED");
    assert!(shop.shows("seckill_http_problems_total{code=\"outcome_unknown\"} 1").await);
    let unread = raw(&shop, &[authorization, ("grpc-timeout", "soon")], &message).await;
    assert_eq!(unread, (200, Some("3".to_owned())), "INVALID_ARGUMENT");
    let patient = raw(&shop, &[authorization, ("grpc-timeout", "1M")], &message).await;
    assert_eq!(
        patient,
        (200, Some("0".to_owned())),
        "the same purchase, whether or not it was done"
    );
}

#[tokio::test]
async fn a_message_has_a_bound() {
    let (shop, channel) = open(options()).await;
    let mut orders = OrdersClient::new(channel);
    let message = v1::BuyRequest { buy_token: "x".repeat(65 << 10), ..purchase(1, "k") };
    let refused = orders.buy(of(&shop.buyer(1), message)).await.expect_err("it is too long");
    assert_eq!(told(&refused), (Code::InvalidArgument, "body_too_large".to_owned()));
    let (_, malformed) = raw(&shop, &[], &[0xff; 9]).await;
    assert_eq!(malformed.as_deref(), Some("3"), "INVALID_ARGUMENT: it is the client's fault");
}

#[tokio::test]
async fn the_shop_says_how_it_does_and_what_it_offers() {
    let (shop, channel) = open(options()).await;
    shop.live_item(1).await;
    let mut health = HealthClient::new(channel.clone());
    for service in ["", "seckill.v1.Orders"] {
        let asked = HealthCheckRequest { service: service.to_owned() };
        let found = health.check(asked).await.expect("it is known").into_inner();
        assert_eq!(found.status(), ServingStatus::Serving);
    }
    let unknown = HealthCheckRequest { service: "nothing".to_owned() };
    assert_eq!(health.check(unknown).await.expect_err("no such").code(), Code::NotFound);

    let mut reflection = ServerReflectionClient::new(channel);
    let ask =
        |message| ServerReflectionRequest { host: String::new(), message_request: Some(message) };
    let asked = vec![
        ask(MessageRequest::ListServices(String::new())),
        ask(MessageRequest::FileContainingSymbol("seckill.v1.Orders".to_owned())),
    ];
    let answers = reflection.server_reflection_info(tokio_stream::iter(asked)).await;
    let mut answers = answers.expect("answers").into_inner();
    let mut next = async || answers.next().await.expect("one more").expect("an answer");
    let Some(MessageResponse::ListServicesResponse(list)) = next().await.message_response else {
        panic!("the services");
    };
    let names: Vec<&str> = list.service.iter().map(|service| service.name.as_str()).collect();
    for expected in ["seckill.v1.Orders", "seckill.v1.Sales", "seckill.v1.Users"] {
        assert!(names.contains(&expected), "{names:?}");
    }
    let Some(MessageResponse::FileDescriptorResponse(found)) = next().await.message_response else {
        panic!("the file");
    };
    assert_eq!(found.file_descriptor_proto.len(), 1);
}

#[tokio::test]
async fn answers_without_an_end_are_bounded_and_end_with_the_server() {
    let (shop, channel) = open(options()).await;
    let mut health = HealthClient::new(channel);
    let mut open = Vec::new();
    let refused = loop {
        match health.watch(HealthCheckRequest::default()).await {
            Ok(answer) => open.push(answer.into_inner()),
            Err(status) => break status,
        }
        assert!(open.len() < 1_000, "there is no bound");
    };
    assert_eq!((refused.code(), open.len()), (Code::ResourceExhausted, 64));
    drop(open.split_off(1));
    let watched = &mut open[0];
    let first = watched.next().await.expect("it comes first").expect("a status");
    assert_eq!(first.status(), ServingStatus::Serving);
    shop.shut();
    let last = loop {
        match watched.next().await {
            // That it no longer sells may be told before.
            Some(Ok(_)) => {}
            Some(Err(status)) => break Some(status.code()),
            None => break None,
        }
    };
    assert_eq!(last, Some(Code::Unavailable));
    shop.close().await;
}

#[tokio::test]
async fn what_follows_an_order_ends_well_only_with_it() {
    let (shop, channel) = open(options()).await;
    let item: u64 = shop.live_item(1).await.parse().expect("a number");
    let mut orders = OrdersClient::new(channel);
    let bought = orders.buy(of(&shop.buyer(1), purchase(item, "k"))).await.expect("an order");
    let order_id = bought.into_inner().order.expect("it has one").order_id;
    let watch = || of(&shop.buyer(1), v1::WatchOrderRequest { order_id });

    let mut hurried = watch();
    hurried.set_timeout(Duration::from_secs(1));
    let mut hurried = orders.watch_order(hurried).await.expect("a stream").into_inner();
    hurried.next().await.expect("it comes first").expect("an order");
    let end = hurried.next().await.expect("an end").expect_err("its time is over");
    assert_eq!(end.code(), Code::DeadlineExceeded);
    assert!(hurried.next().await.is_none());

    let mut patient = orders.watch_order(watch()).await.expect("a stream").into_inner();
    patient.next().await.expect("it comes first").expect("an order");
    shop.shut();
    let end = patient.next().await.expect("an end").expect_err("the server stops");
    assert_eq!(told(&end), (Code::Unavailable, "shutting_down".to_owned()));
    shop.close().await;
}

#[tokio::test]
async fn where_it_is_not_switched_on_there_is_none() {
    let shop = Shop::open().await;
    assert_eq!(raw(&shop, &[], &[]).await, (404, None));
}

#[tokio::test]
async fn a_token_that_runs_out_ends_what_it_follows() {
    let (shop, channel) = open(options()).await;
    let item: u64 = shop.live_item(1).await.parse().expect("a number");
    let mut orders = OrdersClient::new(channel);
    let bought = orders.buy(of(&shop.buyer(1), purchase(item, "k"))).await.expect("an order");
    let order_id = bought.into_inner().order.expect("it has one").order_id;
    let short = shop.signer.mint("1", seckill::http::Role::Buyer, shop.engine.now(), 1);
    let watched = orders.watch_order(of(&short, v1::WatchOrderRequest { order_id })).await;
    let mut watched = watched.expect("a stream").into_inner();
    watched.next().await.expect("it comes first").expect("an order");
    let end = watched.next().await.expect("an end").expect_err("its token is over");
    assert_eq!(told(&end), (Code::Unauthenticated, "unauthenticated".to_owned()));
    assert!(watched.next().await.is_none());
}
