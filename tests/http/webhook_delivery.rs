//! Webhooks as receivers see them: in order, again until they are taken, and never in anybody's way.

use super::webhooks::{act, create, deliveries, open, shown};
use domain::{ShardId, Timestamp};
use harness::{Hook, HookAnswer, HookReceiver, until};
use seckill::store::webhooks::WebhookStore;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use support::{Setup, Shop};

const RESERVED: &str = "seckill.order.reserved";
const PAID: &str = "seckill.order.paid";

/// A live endpoint of this receiver: its path, and its secret.
async fn live(shop: &Shop, receiver: &HookReceiver, types: Value) -> (String, String) {
    let (path, secret) = create(shop, json!({ "url": receiver.url(), "types": types })).await;
    let enabled = act(shop, &path, "enable").await;
    assert_eq!(enabled.status, 200, "{}", enabled.text());
    (path, secret)
}

/// Buys one unit, and returns the order.
async fn buy(shop: &Shop, item: &str, user_id: u64) -> String {
    let bought = shop.buy(item, user_id, "one").await;
    assert_eq!(bought.status, 201, "{}", bought.text());
    bought.json()["order_id"].as_str().expect("an order").to_owned()
}

async fn pay(shop: &Shop, order: &str, user_id: u64) {
    let paid = shop.post(&format!("/api/v1/orders/{order}/pay"), &shop.buyer(user_id), None).await;
    assert_eq!(paid.status, 200, "{}", paid.text());
}

/// Waits until the receiver has taken so many different events.
async fn until_taken(receiver: &HookReceiver, count: usize) -> Vec<Hook> {
    until("events", async || {
        let taken = receiver.taken();
        let ids: BTreeSet<String> =
            taken.iter().filter_map(|hook| hook.header("webhook-id").map(str::to_owned)).collect();
        (ids.len() >= count).then_some(taken)
    })
    .await
}

async fn until_stands(shop: &Shop, path: &str, name: &str, expected: Value) {
    until(name, async || (shown(shop, path).await[name] == expected).then_some(())).await;
}

#[tokio::test]
async fn each_event_arrives_signed_and_in_its_orders_order() {
    let shop = open().await;
    let receiver = HookReceiver::open().await;
    let (_, secret) = live(&shop, &receiver, json!([])).await;
    let item = shop.live_item(100).await;
    for user_id in 1..=20 {
        let order = buy(&shop, &item, user_id).await;
        pay(&shop, &order, user_id).await;
    }
    // The item's opening, and of each order two.
    let taken = until_taken(&receiver, 41).await;
    assert!(taken.iter().all(|hook| hook.is_signed_by(&secret)));
    assert_eq!(receiver.disordered(), BTreeSet::new());
    let mut kinds: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for hook in &taken {
        assert_eq!(hook.header("webhook-id"), hook.event()["id"].as_str());
        kinds.entry(hook.key()).or_default().push(hook.kind());
    }
    assert_eq!(kinds.remove(&item), Some(vec!["seckill.item.opened".to_owned()]));
    assert_eq!(kinds.len(), 20);
    for (order, kinds) in kinds {
        assert_eq!(kinds, [RESERVED, PAID], "{order}");
    }
}

#[tokio::test]
async fn an_endpoint_is_told_what_it_wants_and_what_happens_from_now_on() {
    let shop = open().await;
    let receiver = HookReceiver::open().await;
    let item = shop.live_item(100).await;
    let before = buy(&shop, &item, 1).await;
    pay(&shop, &before, 1).await;
    let (path, _) = live(&shop, &receiver, json!([PAID])).await;
    let after = buy(&shop, &item, 2).await;
    pay(&shop, &after, 2).await;
    let taken = until_taken(&receiver, 1).await;
    assert_eq!((taken[0].kind(), taken[0].key()), (PAID.to_owned(), after.clone()));
    // What was before is told where an admin says so.
    let body = Some(json!({ "from": "2020-01-01T00:00:00Z" }));
    let replayed = shop.post(&format!("{path}/replay"), &shop.admin("ann"), body).await;
    assert_eq!(replayed.status, 202, "{}", replayed.text());
    let taken = until_taken(&receiver, 2).await;
    let keys: BTreeSet<String> = taken.iter().map(Hook::key).collect();
    assert_eq!(keys, BTreeSet::from([before, after]));
    assert!(taken.iter().all(|hook| hook.kind() == PAID));
}

#[tokio::test]
async fn what_is_not_taken_is_tried_again_and_keeps_its_orders_later_events_behind_it() {
    let shop = open().await;
    let receiver = HookReceiver::open().await;
    let mut tries: BTreeMap<String, usize> = BTreeMap::new();
    // Each event fails twice, in three ways.
    receiver.answers(move |hook| {
        if hook.kind() == "seckill.webhook.ping" {
            return HookAnswer::Status(200);
        }
        let tried =
            tries.entry(hook.header("webhook-id").unwrap_or_default().to_owned()).or_default();
        *tried += 1;
        match *tried {
            1 => HookAnswer::Status(500),
            2 => HookAnswer::With(302, "location: http://127.0.0.1:1/\r\n".to_owned()),
            _ => HookAnswer::Status(200),
        }
    });
    live(&shop, &receiver, json!([RESERVED, PAID])).await;
    let item = shop.live_item(100).await;
    for user_id in 1..=10 {
        let order = buy(&shop, &item, user_id).await;
        pay(&shop, &order, user_id).await;
    }
    until_taken(&receiver, 20).await;
    assert_eq!(receiver.disordered(), BTreeSet::new());
}

/// Lets the receiver fail whatever says that an order was placed.
fn fail_reservations(receiver: &HookReceiver) {
    let status = |hook: &Hook| if hook.kind() == RESERVED { 500 } else { 200 };
    receiver.answers(move |hook| HookAnswer::Status(status(hook)));
}

/// Waits until both events of an order wait, of which the receiver must never be asked to take the later one; then lets
/// it take them.
async fn both_wait_and_arrive(shop: &Shop, path: &str, receiver: &HookReceiver, order: &str) {
    let of_order = |hooks: Vec<Hook>| {
        let own = hooks.into_iter().filter(|hook| hook.key() == order);
        own.map(|hook| hook.kind()).collect::<Vec<_>>()
    };
    until("both events to wait", async || {
        let asked = of_order(receiver.asked());
        assert!(asked.iter().all(|kind| kind == RESERVED), "overtaken: {asked:?}");
        (shown(shop, path).await["waiting"] == 2).then_some(())
    })
    .await;
    receiver.answers(|_| HookAnswer::Status(200));
    until_stands(shop, path, "waiting", json!(0)).await;
    assert_eq!(of_order(receiver.taken()), [RESERVED, PAID]);
    assert_eq!(receiver.disordered(), BTreeSet::new());
}

#[tokio::test]
async fn a_later_event_of_an_order_does_not_overtake_one_that_fails_beside_it() {
    let shop = open().await;
    let receiver = HookReceiver::open().await;
    let item = shop.live_item(100).await;
    let order = buy(&shop, &item, 1).await;
    pay(&shop, &order, 1).await;
    let (path, _) = live(&shop, &receiver, json!([RESERVED, PAID])).await;
    fail_reservations(&receiver);
    // Both have happened, so that they are read, and sent, together.
    let body = Some(json!({ "from": "2020-01-01T00:00:00Z" }));
    let replayed = shop.post(&format!("{path}/replay"), &shop.admin("ann"), body).await;
    assert_eq!(replayed.status, 202, "{}", replayed.text());
    both_wait_and_arrive(&shop, &path, &receiver, &order).await;
}

#[tokio::test]
async fn a_later_event_of_an_order_does_not_overtake_one_that_failed_before() {
    let shop = open().await;
    let receiver = HookReceiver::open().await;
    let (path, _) = live(&shop, &receiver, json!([RESERVED, PAID])).await;
    let item = shop.live_item(100).await;
    fail_reservations(&receiver);
    let order = buy(&shop, &item, 1).await;
    until_stands(&shop, &path, "waiting", json!(1)).await;
    pay(&shop, &order, 1).await;
    both_wait_and_arrive(&shop, &path, &receiver, &order).await;
}

/// An order of user 1 of which the receiver takes nothing more than that it was placed.
async fn poison(shop: &Shop, receiver: &HookReceiver, item: &str) -> String {
    let order = buy(shop, item, 1).await;
    until_taken(receiver, 1).await;
    let refused = order.clone();
    receiver.answers(move |hook| HookAnswer::Status(if hook.key() == refused { 500 } else { 200 }));
    pay(shop, &order, 1).await;
    order
}

#[tokio::test]
async fn an_order_that_is_never_taken_is_parked_and_others_pass() {
    let shop = open().await;
    let receiver = HookReceiver::open().await;
    let (path, _) = live(&shop, &receiver, json!([RESERVED, PAID])).await;
    let item = shop.live_item(100_000).await;
    let poison = poison(&shop, &receiver, &item).await;
    let mut user_id = 2;
    // The fifth attempt is a while away, and others arrive meanwhile.
    until("it is parked", async || {
        buy(&shop, &item, user_id).await;
        user_id += 1;
        (shown(&shop, &path).await["parked"] == 1).then_some(())
    })
    .await;
    until_taken(&receiver, usize::try_from(user_id).expect("few") - 1).await;
    let tried = receiver.asked().iter().filter(|hook| hook.status == 500).count();
    assert_eq!(tried, 5);
    assert!(receiver.taken().iter().all(|hook| hook.key() != poison || hook.kind() != PAID));
    // Once the receiver is mended, an admin has it sent.
    receiver.answers(|_| HookAnswer::Status(200));
    let asked = receiver.asked();
    let parked = asked.iter().find(|hook| hook.status == 500).expect("one").header("webhook-id");
    let body = Some(json!({ "event_id": parked }));
    let replayed = shop.post(&format!("{path}/replay"), &shop.admin("ann"), body).await;
    assert_eq!(replayed.status, 202, "{}", replayed.text());
    until_stands(&shop, &path, "parked", json!(0)).await;
    until("it is taken", async || {
        receiver
            .taken()
            .iter()
            .any(|hook| hook.key() == poison && hook.kind() == PAID)
            .then_some(())
    })
    .await;
    assert_eq!(receiver.disordered(), BTreeSet::new());
}

/// A test has what waits tried at once, and does not forget that others have arrived.
#[tokio::test]
async fn tests_of_an_endpoint_keep_no_event_from_being_parked() {
    let shop = open().await;
    let receiver = HookReceiver::open().await;
    let (path, _) = live(&shop, &receiver, json!([RESERVED, PAID])).await;
    let item = shop.live_item(10).await;
    poison(&shop, &receiver, &item).await;
    until("it has failed", async || {
        receiver.asked().iter().any(|hook| hook.status == 500).then_some(())
    })
    .await;
    buy(&shop, &item, 2).await;
    until_taken(&receiver, 2).await;
    until("it is parked", async || {
        let tested = shop.post(&format!("{path}/test"), &shop.admin("ann"), None).await;
        assert_eq!(tested.status, 200, "{}", tested.text());
        (shown(&shop, &path).await["parked"] == 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_receiver_that_is_away_is_left_alone_and_told_all_when_it_is_back() {
    let shop = open().await;
    let receiver = HookReceiver::open().await;
    let (path, _) = live(&shop, &receiver, json!([RESERVED])).await;
    receiver.answers(|_| HookAnswer::Status(503));
    let item = shop.live_item(1_000).await;
    for user_id in 1..=300 {
        buy(&shop, &item, user_id).await;
    }
    until("it is seen to fail", async || {
        shown(&shop, &path).await["failing_since"].is_string().then_some(())
    })
    .await;
    let waiting = shown(&shop, &path).await["waiting"].as_u64().expect("a number");
    assert!(waiting < 300, "most of it stays in the journal: {waiting}");
    receiver.answers(|_| HookAnswer::Status(200));
    until_taken(&receiver, 300).await;
    until_stands(&shop, &path, "failing_since", Value::Null).await;
    until_stands(&shop, &path, "waiting", json!(0)).await;
    assert_eq!(receiver.disordered(), BTreeSet::new());
}

#[tokio::test]
async fn the_pause_after_an_attempt_begins_at_its_end() {
    let shop = open().await;
    let receiver = HookReceiver::open().await;
    let (path, _) = live(&shop, &receiver, json!([RESERVED])).await;
    receiver.answers(|_| HookAnswer::Hang);
    let item = shop.live_item(1).await;
    buy(&shop, &item, 1).await;
    let store = WebhookStore::new(shop.orders.database());
    let endpoint_id = path.rsplit('/').next().and_then(|id| id.parse().ok()).expect("a number");
    let shards: Vec<ShardId> = (0..shop.engine.shards()).map(ShardId).collect();
    let far = Timestamp(u64::MAX / 2);
    let waits = until("the event to wait", async || {
        store.due(endpoint_id, &shards, far, 1).await.expect("it answers").pop()
    })
    .await;
    let listed = store.deliveries(endpoint_id, None, 10).await.expect("it answers");
    let tried = listed.iter().map(|listed| &listed.delivery);
    let tried = tried.filter(|delivery| delivery.event_id == waits.event_id);
    let tried = tried.min_by_key(|delivery| delivery.attempt.abs_diff(waits.attempts));
    let tried = tried.expect("an attempt");
    // Five seconds of the schedule, which are milliseconds here, and a tenth less at most.
    let over = tried.at.0 + tried.duration_ms;
    assert!(waits.next_at.0 >= over + 4, "tried again at {}: {tried:?}", waits.next_at.0);
}

/// A shop that tries the next time hours later, and an endpoint that it leaves alone by now: its receiver has failed to
/// take what it was told of six orders, and is mended.
async fn left_alone() -> (Shop, HookReceiver, String) {
    let webhook_second = Some(Duration::from_secs(3_600));
    let setup = Setup { private_networks: "127.0.0.1", webhook_second, ..Setup::default() };
    let shop = setup.open().await;
    let receiver = HookReceiver::open().await;
    let (path, _) = live(&shop, &receiver, json!([RESERVED])).await;
    receiver.answers(|_| HookAnswer::Status(500));
    let item = shop.live_item(100).await;
    for user_id in 1..=6 {
        buy(&shop, &item, user_id).await;
    }
    until("five failures in a row", async || {
        shown(&shop, &path).await["waiting"].as_u64().filter(|waiting| *waiting >= 5)
    })
    .await;
    receiver.answers(|_| HookAnswer::Status(204));
    (shop, receiver, path)
}

#[tokio::test]
async fn a_replay_is_told_at_once_also_to_who_was_left_alone() {
    let (shop, receiver, path) = left_alone().await;
    let body = Some(json!({ "from": "2020-01-01T00:00:00Z" }));
    let replayed = shop.post(&format!("{path}/replay"), &shop.admin("ann"), body).await;
    assert_eq!(replayed.status, 202, "{}", replayed.text());
    until_taken(&receiver, 6).await;
    until_stands(&shop, &path, "waiting", json!(0)).await;
}

#[tokio::test]
async fn a_ping_that_is_taken_has_all_tried_that_waits() {
    let (shop, receiver, path) = left_alone().await;
    let tested = act(&shop, &path, "test").await;
    assert_eq!((tested.status, &tested.json()["arrived"]), (200, &json!(true)));
    until_taken(&receiver, 6).await;
    until_stands(&shop, &path, "waiting", json!(0)).await;
}

#[tokio::test]
async fn a_receiver_that_is_gone_is_disabled_and_goes_on_where_it_was() {
    let shop = open().await;
    let receiver = HookReceiver::open().await;
    let (path, _) = live(&shop, &receiver, json!([RESERVED])).await;
    let item = shop.live_item(1_000).await;
    buy(&shop, &item, 1).await;
    until_taken(&receiver, 1).await;
    receiver.answers(|_| HookAnswer::Status(410));
    let missed = buy(&shop, &item, 2).await;
    until_stands(&shop, &path, "state", json!("disabled")).await;
    assert!(shown(&shop, &path).await["reason"].as_str().is_some_and(|why| why.contains("410")));
    let log = shop.get("/api/v1/admin/audit-log?limit=1", Some(&shop.operator("bob"))).await.json();
    assert_eq!(
        (&log["data"][0]["action"], &log["data"][0]["actor"]),
        (&json!("webhook.disable"), &json!("seckill"))
    );
    // Also the attempt that ended it is there to be looked at.
    let listed = deliveries(&shop, &path).await;
    let statuses: Vec<&Value> = listed.iter().map(|delivery| &delivery["status"]).collect();
    assert_eq!(statuses, [&json!(410), &json!(204), &json!(204)]);
    let asked = receiver.asked().len();
    buy(&shop, &item, 3).await;
    receiver.answers(|_| HookAnswer::Status(200));
    assert_eq!(receiver.asked().len(), asked, "it is told nothing");
    let enabled = act(&shop, &path, "enable").await;
    assert_eq!(enabled.status, 200, "{}", enabled.text());
    let taken = until_taken(&receiver, 3).await;
    assert!(taken.iter().any(|hook| hook.key() == missed));
}

#[tokio::test]
async fn a_receiver_that_takes_nothing_for_too_long_is_disabled() {
    let disable_after = Some(std::time::Duration::from_millis(300));
    let setup =
        support::Setup { private_networks: "127.0.0.1", disable_after, ..Default::default() };
    let shop = setup.open().await;
    let receiver = HookReceiver::open().await;
    let (path, _) = live(&shop, &receiver, json!([RESERVED])).await;
    receiver.answers(|_| HookAnswer::Status(500));
    let item = shop.live_item(100).await;
    buy(&shop, &item, 1).await;
    until_stands(&shop, &path, "state", json!("disabled")).await;
    let why = shown(&shop, &path).await["reason"].as_str().unwrap_or_default().to_owned();
    assert_eq!(why, "for 0 h nothing has arrived: it answered with status 500");
    receiver.answers(|_| HookAnswer::Status(200));
    // The order store, where endpoints are kept, may be busy on a busy machine: 503 then.
    until("the endpoint to be enabled", async || {
        (act(&shop, &path, "enable").await.status == 200).then_some(())
    })
    .await;
    until_taken(&receiver, 1).await;
}

#[tokio::test]
async fn what_waits_outlives_the_process() {
    let shop = open().await;
    let receiver = HookReceiver::open().await;
    let (path, _) = live(&shop, &receiver, json!([RESERVED, PAID])).await;
    receiver.answers(|_| HookAnswer::Status(500));
    let item = shop.live_item(100).await;
    for user_id in 1..=5 {
        let order = buy(&shop, &item, user_id).await;
        pay(&shop, &order, user_id).await;
    }
    until("some wait", async || (shown(&shop, &path).await["waiting"] != 0).then_some(())).await;
    let directory = shop.close().await;
    receiver.answers(|_| HookAnswer::Status(200));
    let shop = support::Setup { private_networks: "127.0.0.1", ..Default::default() }
        .open_in(directory)
        .await;
    until_taken(&receiver, 10).await;
    until_stands(&shop, &path, "waiting", json!(0)).await;
    assert_eq!(receiver.disordered(), BTreeSet::new());
}
