//! Messages between publisher and consumer.

use super::{VirtualHost, confirmed, ids, message, messages, next, receive, records};
use harness::RabbitMq;
use seckill::store::broker::{BrokerError, BrokerState, Depth, RabbitMqPublisher};

pub async fn records_travel_in_order(rabbitmq: &RabbitMq) {
    let shop = VirtualHost::new(rabbitmq, "order");
    let mut publisher = shop.publisher().await;
    let mut consumer = shop.consumer();
    let count = 2_500;
    assert_eq!(publisher.publish(&messages(0..count)).await, confirmed(count as usize));
    assert_eq!(*publisher.state().borrow(), BrokerState::Connected);
    let depth = publisher.depth().await;
    assert_eq!(depth, Ok(Depth { messages: count as u32, consumers: 0 }));
    let mut number = 0;
    while number < count {
        let deliveries = next(&mut consumer, 16).await.expect("messages");
        assert!(deliveries.len() <= 16);
        for delivery in &deliveries {
            assert_eq!(delivery.message_id, format!("1-{number}"));
            assert_eq!(delivery.records, Ok(records(number)));
            assert!(!delivery.redelivered);
            number += 1;
        }
        consumer.ack(&deliveries).await.expect("acknowledged");
    }
    assert_eq!(publisher.depth().await, Ok(Depth { messages: 0, consumers: 1 }));
    // A second process connects to what is there.
    let mut second = RabbitMqPublisher::new(shop.address());
    assert_eq!(second.publish(&[message(1)]).await, confirmed(1));
}

pub async fn what_was_not_acknowledged_comes_again(rabbitmq: &RabbitMq) {
    let shop = VirtualHost::new(rabbitmq, "again");
    let mut consumer = shop.consumer();
    assert_eq!(next(&mut consumer, 1).await.err(), Some(BrokerError::QueueMissing));
    let mut publisher = shop.publisher().await;
    assert_eq!(publisher.publish(&messages(0..3)).await, confirmed(3));
    let deliveries = receive(&mut consumer, 3).await;
    consumer.ack(&deliveries[..1]).await.expect("acknowledged");
    drop(consumer);
    let mut consumer = shop.consumer();
    let again = receive(&mut consumer, 2).await;
    assert_eq!(ids(&again), ["1-1", "1-2"]);
    assert!(again.iter().all(|delivery| delivery.redelivered));
    consumer.ack(&again).await.expect("acknowledged");
    // What came by the connection that is gone cannot be acknowledged on the new one.
    let error = consumer.ack(&deliveries[1..]).await.expect_err("its connection is gone");
    assert!(matches!(error, BrokerError::Unavailable(_)), "{error}");
}
