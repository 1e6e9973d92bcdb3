//! Purchases of every interface are picked, because all of them go through one function.

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use parking_lot::Mutex;
use prost::Message as _;
use proto::v1;
use proto::v1::orders_client::OrdersClient;
use seckill::clock::Clock;
use seckill::http::{CompatOptions, GrpcOptions, LimitOptions, Options, Settle};
use seckill::telemetry::traces::{Collector, Tracer, TracerOptions};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};
use support::{Ask, Setup, Shop};
use tonic::Request;
use tonic::transport::Endpoint;

/// A collector in the process.
#[derive(Clone, Debug, Default)]
struct Kept(Arc<Mutex<Vec<Span>>>);

impl Collector for Kept {
    async fn post(&self, body: Bytes) -> Result<Bytes, String> {
        let request = ExportTraceServiceRequest::decode(body).expect("a request of OTLP");
        let scopes = request.resource_spans.into_iter().flat_map(|sent| sent.scope_spans);
        self.0.lock().extend(scopes.flat_map(|scope| scope.spans));
        Ok(Bytes::new())
    }
}

impl Kept {
    /// Opens a shop with these limits at its edge, of whose purchases one in so many is traced.
    async fn open(&self, http: Options, sample_one_in: u32) -> Shop {
        let collector = self.clone();
        let tracer = move |clock: Clock| {
            let options =
                TracerOptions { sample_one_in, trusts_traceparent: false, attributes: Vec::new() };
            Tracer::start(options, collector, move || UNIX_EPOCH + clock.elapsed())
        };
        Setup { http, tracer: Some(Box::new(tracer)), ..Setup::default() }.open().await
    }

    /// All spans, once all were sent.
    fn spans(&self, shop: &Shop) -> Vec<Span> {
        shop.engine.tracer().shut_down(Duration::from_secs(60));
        std::mem::take(&mut *self.0.lock())
    }
}

/// What an attribute of a span says.
fn said<'a>(span: &'a Span, key: &str) -> &'a str {
    let attribute = span.attributes.iter().find(|attribute| attribute.key == key);
    match attribute.and_then(|attribute| attribute.value.as_ref()?.value.as_ref()) {
        Some(Value::StringValue(text)) => text,
        other => panic!("{key}: {other:?} in {span:?}"),
    }
}

#[tokio::test]
async fn purchases_of_every_interface_are_picked() {
    let compat = CompatOptions {
        item_id: domain::ItemId(1),
        users: BTreeMap::from([("zhangsan".to_owned(), domain::UserId(4))]),
        trusts_user_names: true,
        settle: Settle::Reserved,
    };
    let grpc = Some(GrpcOptions { reflection: false });
    let limits = LimitOptions::NONE;
    let options = Options { compat: Some(compat), grpc, limits, ..Options::default() };
    let kept = Kept::default();
    let shop = kept.open(options, 1).await;
    let item = shop.live_item(4).await;
    assert_eq!(shop.buy(&item, 1, "by-http").await.status, 201);
    let address = format!("http://{}", shop.address);
    let channel = Endpoint::from_shared(address).expect("an address").connect().await;
    let mut orders = OrdersClient::new(channel.expect("a connection"));
    let message = v1::BuyRequest { item_id: 1, ..v1::BuyRequest::default() };
    let mut request = Request::new(message);
    let bearer = format!("Bearer {}", shop.buyer(2)).parse().expect("a token");
    request.metadata_mut().insert("authorization", bearer);
    orders.buy(request).await.expect("an order");
    let cookie = format!("seckill={}", shop.buyer(3));
    let headers = [("accept", "text/html"), ("cookie", cookie.as_str()), ("origin", "http://shop")];
    let path = format!("/en/items/{item}/buy");
    let bought = shop.submit(&path, "quantity=1&key=by-page", &headers).await;
    assert_eq!(bought.status, 303, "{}", bought.text());
    let headers = [("userToken", "zhangsan")];
    let body = Some(serde_json::json!({ "userName": "zhangsan" }));
    let ask = Ask { headers: &headers, body, ..Ask::default() };
    assert_eq!(shop.ask("POST", "/orderservice/order/pay", ask).await.status, 200);
    // One that the gate refuses is a span alone.
    assert_eq!(shop.buy(&item, 5, "in-vain").await.code(), "sold_out");
    let spans = kept.spans(&shop);
    let mut requests: Vec<&Span> = spans.iter().filter(|span| span.name == "buy").collect();
    requests.sort_by_key(|span| span.start_time_unix_nano);
    let told: Vec<_> = requests
        .iter()
        .map(|span| (said(span, "seckill.interface"), said(span, "seckill.outcome")))
        .collect();
    assert_eq!(
        told,
        [
            ("http", "placed"),
            ("grpc", "placed"),
            ("page", "placed"),
            ("compat", "placed"),
            ("http", "sold_out")
        ]
    );
    for request in &requests {
        let own = spans.iter().filter(|span| span.parent_span_id == request.span_id);
        let mut hops: Vec<&str> = own.map(|span| span.name.as_str()).collect();
        hops.sort_unstable();
        let expected: &[&str] = match said(request, "seckill.outcome") {
            "placed" => &["decide", "journal sync", "mailbox"],
            _ => &[],
        };
        assert_eq!(hops, expected);
    }
}

#[tokio::test]
async fn about_one_in_so_many_purchases_is_picked() {
    let kept = Kept::default();
    let options = Options { limits: LimitOptions::NONE, ..Options::default() };
    let shop = kept.open(options, 8).await;
    let item = shop.live_item(1).await;
    assert_eq!(shop.buy(&item, 1, "the-last-one").await.status, 201);
    for number in 0..400 {
        assert_eq!(shop.buy(&item, 2, &format!("{number}")).await.code(), "sold_out");
    }
    let spans = kept.spans(&shop);
    let picked = spans.iter().filter(|span| span.name == "buy").count();
    // 50 are expected, and fewer than 10 or more than 110 of them never.
    assert!((10..110).contains(&picked), "{picked} of 401");
}
