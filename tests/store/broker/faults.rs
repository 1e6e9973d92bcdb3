//! What a server may do to its clients without dying.

use super::{VirtualHost, confirmed, ids, message, messages, next, publish, receive};
use harness::RabbitMq;
use lapin::options::{QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::FieldTable;
use seckill::store::broker::{BrokerAddress, BrokerError, BrokerState, RabbitMqPublisher, Verdict};
use secrecy::SecretString;

const QUEUE: &str = "seckill.orders";

pub async fn a_deleted_binding_returns_everything(rabbitmq: &RabbitMq) {
    let shop = VirtualHost::new(rabbitmq, "binding");
    let mut publisher = shop.publisher().await;
    assert_eq!(publisher.publish(&messages(0..2)).await, confirmed(2));
    let connection = shop.connection().await;
    let channel = connection.create_channel().await.expect("a channel");
    let none = FieldTable::default();
    channel.queue_unbind(QUEUE.into(), QUEUE.into(), "orders".into(), none).await.expect("unbound");
    let verdicts = publisher.publish(&messages(2..30)).await.expect("verdicts");
    assert_eq!(verdicts.len(), 28);
    for verdict in verdicts {
        assert_eq!(verdict, Verdict::Returned("312 NO_ROUTE".to_owned()));
    }
    assert!(matches!(*publisher.state().borrow(), BrokerState::Failed(_)));
    // Declared again; nothing was lost, so nothing older has to be published again.
    assert_eq!(publisher.publish(&messages(2..30)).await, confirmed(28));
    let mut consumer = shop.consumer();
    let deliveries = receive(&mut consumer, 30).await;
    assert_eq!(ids(&deliveries)[1..3], ["1-1", "1-2"]);
}

pub async fn a_deleted_queue_is_reported_before_anything_is_published(rabbitmq: &RabbitMq) {
    let shop = VirtualHost::new(rabbitmq, "queue");
    let mut publisher = shop.publisher().await;
    let mut consumer = shop.consumer();
    assert_eq!(publisher.publish(&messages(0..2)).await, confirmed(2));
    let _unacknowledged = receive(&mut consumer, 1).await;
    let connection = shop.connection().await;
    let channel = connection.create_channel().await.expect("a channel");
    let delete = || channel.queue_delete(QUEUE.into(), QueueDeleteOptions::default());
    delete().await.expect("deleted");
    let verdicts = publisher.publish(&[message(2)]).await.expect("verdicts");
    assert_eq!(verdicts, [Verdict::Returned("312 NO_ROUTE".to_owned())]);
    assert_eq!(publisher.publish(&[message(2)]).await, Err(BrokerError::QueueCreated));
    assert_eq!(publisher.publish(&messages(0..3)).await, confirmed(3));
    // The news that the subscription is over came behind the other message, and is told after it.
    assert_eq!(ids(&next(&mut consumer, 16).await.expect("a message")), ["1-1"]);
    assert_eq!(next(&mut consumer, 1).await.err(), Some(BrokerError::QueueMissing), "cancelled");
    let deliveries = receive(&mut consumer, 3).await;
    consumer.ack(&deliveries).await.expect("acknowledged");

    // Asking for the depth notices as well, and a fresh publisher does at once.
    delete().await.expect("deleted");
    assert_eq!(publisher.depth().await, Err(BrokerError::QueueMissing));
    assert_eq!(publisher.depth().await, Err(BrokerError::QueueCreated));
    assert_eq!(publisher.depth().await.map(|depth| depth.messages), Ok(0));
}

pub async fn a_full_queue_rejects(rabbitmq: &RabbitMq) {
    let shop = VirtualHost::new(rabbitmq, "full");
    let mut publisher = shop.publisher().await;
    let set = ["set_policy", "-p", "full", "--apply-to", "queues", "full", ".*"];
    rabbitmq.ctl(&[&set[..], &["{\"max-length\":3}"]].concat()).expect("a policy");
    let verdicts = loop {
        // The policy takes effect a moment after the command.
        let verdicts = publisher.publish(&messages(0..20)).await.expect("verdicts");
        if verdicts.contains(&Verdict::Rejected) {
            break verdicts;
        }
    };
    println!("{verdicts:?}");
    rabbitmq.ctl(&["clear_policy", "-p", "full", "full"]).expect("cleared");
    publish(&mut publisher, &messages(0..20)).await;
}

pub async fn a_closed_connection_is_made_again(rabbitmq: &RabbitMq) {
    let shop = VirtualHost::new(rabbitmq, "closed");
    let mut publisher = shop.publisher().await;
    let mut consumer = shop.consumer();
    for round in 0..5 {
        publish(&mut publisher, &messages(round * 10..round * 10 + 10)).await;
        let mut seen = std::collections::BTreeSet::new();
        while seen.len() < 10 {
            let deliveries = receive(&mut consumer, 1).await;
            seen.extend(ids(&deliveries).into_iter().map(str::to_owned));
            if round == 2 && seen.len() == 5 {
                let close = ["close_all_connections", "--vhost", "closed", "a drill"];
                rabbitmq.ctl(&close).expect("closed");
            }
            if let Err(error) = consumer.ack(&deliveries).await {
                assert!(matches!(error, BrokerError::Unavailable(_)), "{error}");
            }
        }
        // A redelivery of what was handled is harmless, and the only thing that may be left over.
        assert!(seen.iter().all(|id| id.starts_with("1-")));
    }
}

pub async fn a_dropped_call_leaves_nothing_behind(rabbitmq: &RabbitMq) {
    let shop = VirtualHost::new(rabbitmq, "dropped");
    let mut publisher = shop.publisher().await;
    for round in 0..20 {
        let batch = messages(round * 50..round * 50 + 50);
        tokio::select! {
            biased;
            _ = publisher.publish(&batch) => {}
            // Some rounds into the call, wherever it is then.
            () = yields(round) => {}
        }
    }
    assert_eq!(publisher.publish(&messages(0..1_000)).await, confirmed(1_000));

    // Dropped wherever it was when it found the queue gone, the next one says so.
    let connection = shop.connection().await;
    let channel = connection.create_channel().await.expect("a channel");
    channel.queue_delete(QUEUE.into(), QueueDeleteOptions::default()).await.expect("deleted");
    let mut publisher = RabbitMqPublisher::new(shop.address());
    let batch = [message(0)];
    for round in (4..).map(|round| 1 << round) {
        let created = tokio::select! {
            biased;
            published = publisher.publish(&batch) => Some(published),
            () = yields(round) => None,
        };
        if let Some(published) = created {
            assert_eq!(published, Err(BrokerError::QueueCreated));
            break;
        }
    }
}

async fn yields(count: u64) {
    for _ in 0..count {
        tokio::task::yield_now().await;
    }
}

pub async fn another_queue_of_that_name_is_refused(rabbitmq: &RabbitMq) {
    let shop = VirtualHost::new(rabbitmq, "other");
    let connection = shop.connection().await;
    let channel = connection.create_channel().await.expect("a channel");
    let durable = QueueDeclareOptions::durable();
    channel.queue_declare(QUEUE.into(), durable, FieldTable::default()).await.expect("declared");
    let mut publisher = RabbitMqPublisher::new(shop.address());
    let error = publisher.publish(&[message(0)]).await.expect_err("a classic queue");
    assert!(matches!(error, BrokerError::Refused(_)), "{error}");
}

pub async fn credentials_are_checked_and_never_shown(rabbitmq: &RabbitMq) {
    for url in ["http://guest:hunter2@host", "amqp://guest:hunter2@host:port"] {
        let address = BrokerAddress::from(&SecretString::from(url));
        let mut publisher = RabbitMqPublisher::new(address.clone());
        let error = publisher.publish(&[message(0)]).await.expect_err(url);
        assert!(matches!(error, BrokerError::Configuration(_)), "{error}");
        assert!(!format!("{error:?} {address:?} {publisher:?}").contains("hunter2"), "{error:?}");
    }
    let url = rabbitmq.url().replace("guest:guest", "guest:hunter2");
    let mut publisher = RabbitMqPublisher::new(&SecretString::from(url));
    let error = publisher.publish(&[message(0)]).await.expect_err("the wrong password");
    assert!(matches!(error, BrokerError::Refused(_)), "{error}");
    assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    let url = rabbitmq.url().replace("%2f", "nowhere");
    let mut publisher = RabbitMqPublisher::new(&SecretString::from(url));
    let error = publisher.publish(&[message(0)]).await.expect_err("no such virtual host");
    assert!(matches!(error, BrokerError::Refused(_)), "{error}");
}

pub async fn a_server_short_of_memory_is_waited_for(rabbitmq: &RabbitMq) {
    let shop = VirtualHost::new(rabbitmq, "short");
    let mut publisher = shop.publisher().await;
    let mut consumer = shop.consumer();
    assert_eq!(publisher.publish(&messages(0..2)).await, confirmed(2));
    let deliveries = receive(&mut consumer, 2).await;
    rabbitmq.ctl(&["set_vm_memory_high_watermark", "0.000001"]).expect("an alarm");
    let mut state = publisher.state();
    let batch = messages(2..12);
    let relieve = async {
        let blocked = |state: &BrokerState| matches!(state, BrokerState::Blocked(_));
        state.wait_for(blocked).await.expect("the publisher lives");
        // Consuming goes on meanwhile.
        consumer.ack(&deliveries).await.expect("acknowledged");
        rabbitmq.ctl(&["set_vm_memory_high_watermark", "0.6"]).expect("relieved");
    };
    let (verdicts, ()) = tokio::join!(publisher.publish(&batch), relieve);
    assert_eq!(verdicts, confirmed(10));
    assert_eq!(*publisher.state().borrow(), BrokerState::Connected);
    let deliveries = receive(&mut consumer, 10).await;
    assert_eq!(ids(&deliveries)[0], "1-2");
}
