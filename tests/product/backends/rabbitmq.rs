//! The broker is down, forgets, refuses, and brings nonsense.

use super::ground::{self, Ground, ORDERS_QUEUE, caught_up, degraded};
use crate::support::{Server, until};
use lapin::BasicProperties;
use lapin::options::{BasicPublishOptions, QueueDeleteOptions};
use lapin::types::FieldTable;
use seckill::store::broker::{BrokerAddress, dead_letters};
use secrecy::SecretString;

const ROUTING_KEY: &str = "orders";

/// How often it was told that a queue is not there: messages that came back, and queues that were declared anew.
async fn times_told(ground: &Ground, server: &Server) -> u64 {
    let declared = "the broker's queue is gone and is declared anew";
    let declared = ground.site.log().matches(declared).count() as u64;
    server.figure("seckill_relay_returned_total").await + declared
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_that_is_deleted_is_made_again_and_filled_again() {
    let Some((mut ground, server)) = ground::open("queue deleted").await else { return };
    let servers = ground.servers;
    let (_connection, channel) = servers.channel().await;
    ground.trade(&server, 50).await;
    caught_up(&server).await;

    // With messages in it and some under way to the order store, and nothing more to send.
    servers.mariadb_proxy.cut();
    ground.trade(&server, 500).await;
    degraded(&server, "order_store").await;
    let queue = || ORDERS_QUEUE.into();
    channel.queue_delete(queue(), QueueDeleteOptions::default()).await.expect("deleted");
    servers.mariadb_proxy.restore();
    caught_up(&server).await;
    ground.trade(&server, 50).await;
    caught_up(&server).await;

    // While there is something to send: what is returned stays in the journal. A look at the queue that was under way may
    // find it gone before anything is returned.
    let before = times_told(&ground, &server).await;
    channel.queue_delete(queue(), QueueDeleteOptions::default()).await.expect("deleted");
    ground.trade(&server, 100).await;
    caught_up(&server).await;
    assert!(times_told(&ground, &server).await > before, "an alarm");

    let (exchange, none) = (ORDERS_QUEUE.into(), FieldTable::default());
    channel.queue_unbind(queue(), exchange, ROUTING_KEY.into(), none).await.expect("unbound");
    let returned = server.figure("seckill_relay_returned_total").await;
    ground.trade(&server, 100).await;
    caught_up(&server).await;
    assert!(server.figure("seckill_relay_returned_total").await > returned, "an alarm");
    ground.close(server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_dies_or_forgets_everything_delays_orders_and_loses_none() {
    let Some((mut ground, server)) = ground::open("rabbitmq").await else { return };
    let servers = ground.servers;
    ground.trade(&server, 50).await;
    caught_up(&server).await;

    servers.settle_broker();
    servers.rabbitmq.kill();
    ground.trade(&server, 300).await;
    degraded(&server, "broker").await;
    servers.rabbitmq.restart().expect("it comes back");
    caught_up(&server).await;

    servers.mariadb_proxy.cut();
    ground.trade(&server, 200).await;
    degraded(&server, "order_store").await;
    servers.rabbitmq.empty().expect("emptied");
    servers.mariadb_proxy.restore();
    ground.trade(&server, 100).await;
    ground.close(server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_takes_no_messages_is_told_and_what_it_cannot_read_is_set_aside() {
    let Some((mut ground, server)) = ground::open("blocked").await else { return };
    let servers = ground.servers;
    ground.trade(&server, 50).await;
    caught_up(&server).await;

    servers.rabbitmq.ctl(&["set_vm_memory_high_watermark", "0.000001"]).expect("an alarm");
    ground.trade(&server, 200).await;
    degraded(&server, "broker").await;
    servers.rabbitmq.ctl(&["set_vm_memory_high_watermark", "0.6"]).expect("relieved");
    caught_up(&server).await;

    servers.rabbitmq.ctl(&["close_all_connections", "a drill"]).expect("closed");
    ground.trade(&server, 100).await;

    let (_connection, channel) = servers.channel().await;
    let (exchange, key) = (ORDERS_QUEUE.into(), ROUTING_KEY.into());
    let (options, none) = (BasicPublishOptions::default(), BasicProperties::default());
    let poison = channel.basic_publish(exchange, key, options, b"no records", none).await;
    poison.expect("published");
    ground.trade(&server, 100).await;
    let address = BrokerAddress::from(&SecretString::from(servers.rabbitmq.url()));
    let letters = until("the nonsense to be set aside", async || {
        let letters = dead_letters::list(address.clone(), 10).await.expect("a list");
        (!letters.is_empty()).then_some(letters)
    })
    .await;
    assert!(matches!(&letters[..], [letter] if letter.records.is_err()), "{letters:?}");
    ground.close(server).await;
}
