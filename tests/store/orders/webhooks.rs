//! Endpoints of webhooks, and what waits for them.

use domain::{ShardId, Timestamp};
use seckill::store::catalogue::Catalogue;
use seckill::store::database::Database;
use seckill::store::webhooks::{
    Changed, DELIVERIES_KEPT_MAX, Delivery, EndpointState, KnownWaiting, NewEndpoint, Previous,
    SealKey, Settled, Standing, WaitingEvent, WaitingKey, WebhookError, WebhookStore,
};
use serde_json::json;

const NOW: Timestamp = Timestamp(1_790_000_000_000);
const ENDPOINT: u64 = 1 << 62;
const MAX: usize = 2;

fn changed(action: &'static str) -> Changed<'static> {
    Changed { actor: "安", at: NOW, action }
}

fn said(url: &str) -> NewEndpoint {
    NewEndpoint {
        url: url.to_owned(),
        types: vec!["seckill.order.paid".to_owned(), "seckill.item.opened".to_owned()],
        description: "仓库".to_owned(),
    }
}

async fn endpoint(store: &WebhookStore, endpoint_id: u64) -> Result<(), WebhookError> {
    let key = SealKey::new(&[7; 32], None);
    let secret = key.make_secret().expect("random bytes");
    let sealed = key.seal(endpoint_id, &secret).expect("random bytes");
    let said = said("https://erp.example/");
    store.create_endpoint(endpoint_id, &said, &sealed, MAX, changed("webhook.create")).await
}

fn key(order: u64) -> WaitingKey {
    WaitingKey { shard: ShardId(3), partition_key: order }
}

fn event(order: u64, seq: u64, next_at: u64) -> WaitingEvent {
    WaitingEvent {
        key: key(order),
        seq,
        event_id: format!("a-3-{seq}"),
        event_type: "seckill.order.paid".to_owned(),
        event_at: NOW,
        body: format!("{{\"名\":{seq}}}").into_bytes(),
        attempts: 1,
        first_failed_at: NOW,
        next_at: Timestamp(next_at),
        is_parked: false,
    }
}

/// An endpoint is made, read, replaced under its revision, and deleted; each is in the operators' log.
pub async fn an_endpoint_is_made_changed_and_deleted(database: Database) {
    let store = WebhookStore::new(database.clone());
    assert_eq!(store.endpoints().await, Ok(vec![]));
    endpoint(&store, ENDPOINT).await.expect("made");
    endpoint(&store, 7).await.expect("another one");
    assert_eq!(endpoint(&store, 8).await, Err(WebhookError::TooMany { max: MAX }));
    let ids: Vec<u64> =
        store.endpoints().await.expect("read").iter().map(|one| one.endpoint_id).collect();
    assert_eq!(ids, [7, ENDPOINT]);
    let mut one = store.endpoint(ENDPOINT).await.expect("read");
    assert_eq!(
        (one.state, one.revision, &one.said),
        (EndpointState::New, 1, &said("https://erp.example/"))
    );
    one.state = EndpointState::Live;
    one.said.types.clear();
    one.previous = Some(Previous { secret: one.secret.clone(), until: NOW });
    store
        .replace_endpoint(&one, json!({ "a": 1 }), changed("webhook.enable"))
        .await
        .expect("replaced");
    let late = store.replace_endpoint(&one, json!({}), changed("webhook.change")).await;
    assert_eq!(late, Err(WebhookError::ChangedMeanwhile));
    let read = store.endpoint(ENDPOINT).await.expect("read");
    one.revision = 2;
    assert_eq!(read, one);
    // Since when it fails is the earliest that anybody noted, until something arrives.
    let later = Timestamp(NOW.0 + 5);
    for (since, expected) in
        [(Some(NOW), Some(NOW)), (Some(later), Some(NOW)), (None, None), (Some(later), Some(later))]
    {
        assert_eq!(store.note_failing(ENDPOINT, since).await, Ok(expected));
    }
    assert_eq!(store.endpoint(ENDPOINT).await.expect("read").failing_since, Some(later));
    let settled = Settled { waiting: vec![event(1, 1, NOW.0)], ..Settled::default() };
    store.settle(ENDPOINT, &settled).await.expect("kept");
    store.delete_endpoint(ENDPOINT, changed("webhook.delete")).await.expect("deleted");
    let again = store.delete_endpoint(ENDPOINT, changed("webhook.delete")).await;
    assert_eq!(again, Err(WebhookError::NotFound));
    assert_eq!(store.endpoint(ENDPOINT).await, Err(WebhookError::NotFound));
    assert_eq!(store.standings().await, Ok(vec![]), "nothing waits for nobody");
    let log = Catalogue::new(database).log(None, 10).await.expect("the log");
    let actions: Vec<&str> = log.iter().map(|logged| logged.entry.action.as_str()).collect();
    assert_eq!(actions, ["webhook.delete", "webhook.enable", "webhook.create", "webhook.create"]);
    assert_eq!(log[0].entry.subject, format!("webhook:{ENDPOINT}"));
    assert_eq!(log[1].entry.detail, json!({ "a": 1 }));
}

/// Only the first event of an order is due, and what is parked is not until it is resumed.
pub async fn what_waits_is_due_in_its_orders_order(database: Database) {
    let store = WebhookStore::new(database);
    let at = NOW.0;
    let first = event(1, 10, at + 50);
    let waiting =
        vec![first.clone(), event(1, 12, at), event(2, 11, at + 1), event(4, 9, at + 900)];
    let settled = Settled { waiting, ..Settled::default() };
    store.settle(ENDPOINT, &settled).await.expect("kept");
    store.settle(ENDPOINT, &settled).await.expect("a repeat changes nothing");
    let due = |now: u64, shards: &'static [ShardId], limit| {
        let store = store.clone();
        async move {
            let due = store.due(ENDPOINT, shards, Timestamp(now), limit).await.expect("read");
            due.into_iter().map(|event| event.seq).collect::<Vec<_>>()
        }
    };
    const SERVED: &[ShardId] = &[ShardId(2), ShardId(3)];
    assert_eq!(due(at, SERVED, 9).await, [] as [u64; 0], "the later one waits for the first");
    assert_eq!(due(at + 60, SERVED, 9).await, [11, 10]);
    assert_eq!(due(at + 60, SERVED, 1).await, [11]);
    assert_eq!(due(at + 60, &[ShardId(2)], 9).await, [] as [u64; 0], "another node's");
    assert_eq!(due(at + 60, &[], 9).await, [] as [u64; 0]);
    let read = store.due(ENDPOINT, SERVED, Timestamp(at + 60), 9).await.expect("read");
    assert_eq!(read[1], first);
    // It fails again, another one arrives, and one is parked with what is behind it.
    let settled = Settled {
        arrived: vec![(ShardId(3), 11)],
        tried: vec![(ShardId(3), 10, 5, Timestamp(at + 70))],
        parked: vec![key(1)],
        ..Settled::default()
    };
    store.settle(ENDPOINT, &settled).await.expect("kept");
    assert_eq!(due(at + 800, SERVED, 9).await, [] as [u64; 0]);
    let mut known = store.waiting_keys(ENDPOINT).await.expect("read");
    known.sort_by_key(|known| known.key);
    let expected = [(1, true, 2), (4, false, 1)].map(|(order, is_parked, events)| KnownWaiting {
        key: key(order),
        is_parked,
        events,
    });
    assert_eq!(known, expected);
    assert_eq!(store.standings().await, Ok(vec![(ENDPOINT, Standing { waiting: 1, parked: 2 })]));
    // The receiver is back: what waits is due at once, and what is parked is not.
    store.hasten(ENDPOINT, Timestamp(at + 5)).await.expect("hastened");
    assert_eq!(due(at + 5, SERVED, 9).await, [9]);
    // An operator has the order sent again, by its later event.
    assert_eq!(store.resume(ENDPOINT, Some("a-3-99"), NOW).await, Ok(0));
    assert_eq!(store.resume(ENDPOINT, Some("a-3-12"), NOW).await, Ok(2));
    let read = store.due(ENDPOINT, SERVED, NOW, 9).await.expect("read");
    assert_eq!(read.iter().map(|event| (event.seq, event.attempts)).collect::<Vec<_>>(), [(10, 0)]);
    assert_eq!(store.resume(ENDPOINT, None, NOW).await, Ok(3));
    assert_eq!(store.resume(ENDPOINT + 1, None, NOW).await, Ok(0));
}

/// The latest attempts are kept, and no more.
pub async fn the_log_of_deliveries_is_bounded(database: Database) {
    let store = WebhookStore::new(database);
    let delivery = |number: usize| Delivery {
        at: NOW,
        event_id: format!("a-3-{number}"),
        event_type: "seckill.order.paid".to_owned(),
        attempt: 2,
        status: number.is_multiple_of(2).then_some(503),
        error: "长".repeat(if number == 0 { 900 } else { 1 }),
        duration_ms: 15_000,
    };
    let log = async |from: usize, to: usize| {
        let deliveries = (from..to).map(delivery).collect();
        let settled = Settled { deliveries, ..Settled::default() };
        store.settle(ENDPOINT, &settled).await.expect("kept");
    };
    log(0, 3).await;
    store.log_delivery(ENDPOINT + 1, &delivery(7)).await.expect("kept");
    let read = store.deliveries(ENDPOINT, None, 2).await.expect("read");
    let shown: Vec<&Delivery> = read.iter().map(|listed| &listed.delivery).collect();
    assert_eq!(shown, [&delivery(2), &delivery(1)]);
    let older = store.deliveries(ENDPOINT, Some(read[1].delivery_id), 2).await.expect("read");
    assert_eq!((older.len(), older[0].delivery.error.chars().count()), (1, 200));
    for part in 0..3 {
        log(part * 600, (part + 1) * 600).await;
    }
    let all = store.deliveries(ENDPOINT, None, usize::MAX).await.expect("read");
    assert_eq!(all.len(), DELIVERIES_KEPT_MAX);
    assert_eq!(all[0].delivery.event_id, "a-3-1799");
    log(0, 2 * DELIVERIES_KEPT_MAX).await;
    let all = store.deliveries(ENDPOINT, None, usize::MAX).await.expect("read");
    assert_eq!(all.len(), DELIVERIES_KEPT_MAX);
    assert_eq!(store.deliveries(ENDPOINT + 1, None, 9).await.expect("read").len(), 1);
    // None of them has arrived. One does, and counts from before it on.
    let before = Timestamp(NOW.0 - 1);
    let arrived = Delivery { error: String::new(), ..delivery(8) };
    let has_arrived = |since, besides| store.has_arrived(ENDPOINT, since, besides);
    assert_eq!(has_arrived(before, "a ping").await, Ok(false));
    store.log_delivery(ENDPOINT, &arrived).await.expect("kept");
    assert_eq!(has_arrived(before, "a ping").await, Ok(true));
    assert_eq!(has_arrived(before, &arrived.event_type).await, Ok(false));
    assert_eq!(has_arrived(NOW, "a ping").await, Ok(false));
    assert_eq!(store.has_arrived(ENDPOINT + 1, before, "a ping").await, Ok(false));
}
