//! Dead letters.

use super::{VirtualHost, confirmed, ids, message, messages, receive, records};
use harness::RabbitMq;
use lapin::options::{BasicGetOptions, BasicRejectOptions};
use seckill::store::broker::format::MalformedMessage;
use seckill::store::broker::{BrokerError, Message, dead_letters};

pub async fn a_poisoned_message_is_set_aside_and_the_rest_flow(rabbitmq: &RabbitMq) {
    let shop = VirtualHost::new(rabbitmq, "poison");
    assert_eq!(dead_letters::list(shop.address(), 10).await, Err(BrokerError::QueueMissing));
    let mut publisher = shop.publisher().await;
    let mut consumer = shop.consumer();
    let mut damaged = message(1);
    damaged.body[20] ^= 1;
    let foreign = Message {
        message_id: "2-9".to_owned(),
        body: b"{\"order\":1}".to_vec(),
        records: 1,
        traces: Vec::new(),
    };
    let sent = [message(0), damaged.clone(), foreign.clone(), message(3)];
    assert_eq!(publisher.publish(&sent).await, confirmed(4));
    let deliveries = receive(&mut consumer, 4).await;
    assert_eq!(ids(&deliveries), ["1-0", "1-1", "2-9", "1-3"]);
    for delivery in &deliveries {
        match &delivery.records {
            Ok(_) => consumer.ack(std::slice::from_ref(delivery)).await.expect("acknowledged"),
            Err(error) => {
                consumer.dead_letter(delivery, &error.to_string()).await.expect("set aside");
            }
        }
    }
    assert_eq!(publisher.depth().await.map(|depth| depth.messages), Ok(0));

    // Looking at them, twice, takes none away. It may change their order.
    for _ in 0..2 {
        let mut letters = dead_letters::list(shop.address(), 10).await.expect("a list");
        letters.sort_by(|one, other| one.message_id.cmp(&other.message_id));
        let [first, second] = &letters[..] else { panic!("{letters:?}") };
        assert_eq!((&*first.message_id, first.length), ("1-1", damaged.body.len()));
        assert_eq!(first.reason, "malformed message: checksum differs");
        assert_eq!(first.records, Err(MalformedMessage("checksum differs")));
        assert_eq!((&*second.message_id, second.length), ("2-9", foreign.body.len()));
    }
    assert_eq!(dead_letters::list(shop.address(), 1).await.map(|letters| letters.len()), Ok(1));

    // Replayed, they come again, unchanged, and may be set aside again without going in circles.
    assert_eq!(dead_letters::replay(shop.address(), 1).await, Ok(1));
    let deliveries = receive(&mut consumer, 1).await;
    let reason = match ids(&deliveries)[0] {
        "1-1" => "checksum differs",
        _ => "not one of ours",
    };
    assert_eq!(deliveries[0].records, Err(MalformedMessage(reason)));
    consumer.dead_letter(&deliveries[0], "still damaged").await.expect("set aside");
    assert_eq!(dead_letters::replay(shop.address(), usize::MAX).await, Ok(2));
    let deliveries = receive(&mut consumer, 2).await;
    consumer.ack(&deliveries).await.expect("acknowledged");
    assert_eq!(dead_letters::list(shop.address(), 10).await, Ok(Vec::new()));
    assert_eq!(dead_letters::replay(shop.address(), 10).await, Ok(0));
}

pub async fn what_the_broker_gives_up_is_a_dead_letter_too(rabbitmq: &RabbitMq) {
    let shop = VirtualHost::new(rabbitmq, "given-up");
    let mut publisher = shop.publisher().await;
    assert_eq!(publisher.publish(&messages(0..1)).await, confirmed(1));
    let connection = shop.connection().await;
    let channel = connection.create_channel().await.expect("a channel");
    let options = BasicGetOptions::default();
    let got = channel.basic_get("seckill.orders".into(), options).await.expect("asked");
    let got = got.expect("a message");
    got.acker.reject(BasicRejectOptions { requeue: false }).await.expect("rejected");
    // The broker moves it when the other queue has confirmed it, which nobody can await.
    let letters = loop {
        let letters = dead_letters::list(shop.address(), 10).await.expect("a list");
        if !letters.is_empty() {
            break letters;
        }
    };
    assert_eq!(letters[0].reason, "rejected");
    assert_eq!(letters[0].message_id, "1-0");
    assert_eq!(letters[0].records, Ok(records(0)));
    assert_eq!(dead_letters::replay(shop.address(), 10).await, Ok(1));
    let mut consumer = shop.consumer();
    let deliveries = receive(&mut consumer, 1).await;
    assert_eq!(deliveries[0].records, Ok(records(0)));
}
