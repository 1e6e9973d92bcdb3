//! What the broker's two ends must keep to, on a real RabbitMQ that loses bindings and queues, runs
//! short of memory, closes connections, dies, freezes and forgets.

mod dead_letters;
mod delivery;
mod faults;

use domain::{ItemAction, ItemId, Record, ShardId, Timestamp};
use harness::RabbitMq;
use harness::certificates;
use lapin::{Connection, ConnectionProperties};
use seckill::store::broker::format::Batch;
use seckill::store::broker::{
    BrokerAddress, BrokerError, BrokerState, Delivery, Message, RabbitMqConsumer,
    RabbitMqPublisher, Verdict,
};
use secrecy::SecretString;
use std::collections::BTreeSet;
use std::sync::OnceLock;
use std::time::Duration;
use support::engine::operated;
use tokio::sync::RwLock;

const PREFETCH_MESSAGES: u16 = 32;
/// Calls that may fail before a test gives up.
const ATTEMPTS_MAX: usize = 50;
/// Far beyond what anything here takes.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// A virtual host of its own, so that tests share one server and nothing else.
struct VirtualHost {
    url: String,
}

impl VirtualHost {
    fn new(rabbitmq: &RabbitMq, name: &str) -> Self {
        println!("{name}");
        rabbitmq.ctl(&["add_vhost", name]).expect("a virtual host");
        rabbitmq.ctl(&["set_permissions", "-p", name, "guest", ".*", ".*", ".*"]).expect("rights");
        Self { url: rabbitmq.url().replace("%2f", name) }
    }

    fn address(&self) -> BrokerAddress {
        BrokerAddress::from(&SecretString::from(self.url.clone()))
    }

    /// A publisher that has declared the queue.
    async fn publisher(&self) -> RabbitMqPublisher {
        let mut publisher = RabbitMqPublisher::new(self.address());
        assert_eq!(publisher.publish(&[]).await, Ok(Vec::new()), "nothing to do is no connection");
        assert_eq!(publisher.publish(&[message(0)]).await, Err(BrokerError::QueueCreated));
        publisher
    }

    fn consumer(&self) -> RabbitMqConsumer {
        RabbitMqConsumer::new(self.address(), PREFETCH_MESSAGES)
    }

    /// A connection behind the back of both.
    async fn connection(&self) -> Connection {
        let properties = ConnectionProperties::default();
        Connection::connect(&self.url, properties).await.expect("connects")
    }
}

fn records(number: u64) -> Vec<Record> {
    let record = |seq| Record {
        shard: ShardId(1),
        seq,
        at: Timestamp(1_790_000_000_000 + seq),
        event: operated(ItemId(7), ItemAction::Restock(1)),
    };
    (number * 10 + 1..=number * 10 + 10).map(record).collect()
}

fn message(number: u64) -> Message {
    let mut batch = Batch::new();
    for record in records(number) {
        assert!(batch.push(&record), "it fits");
    }
    Message {
        message_id: format!("1-{number}"),
        records: batch.len(),
        body: batch.finish(),
        traces: Vec::new(),
    }
}

fn messages(numbers: std::ops::Range<u64>) -> Vec<Message> {
    numbers.map(message).collect()
}

fn confirmed(count: usize) -> Result<Vec<Verdict>, BrokerError> {
    Ok(vec![Verdict::Confirmed; count])
}

/// What the consumer brings next. One that brings neither messages nor an error has failed.
async fn next(
    consumer: &mut RabbitMqConsumer,
    messages_max: usize,
) -> Result<Vec<Delivery>, BrokerError> {
    let received = tokio::time::timeout(WAIT_MAX, consumer.receive(messages_max)).await;
    received.expect("the consumer waits in vain")
}

/// Receives until `count` messages are there, going on after errors.
async fn receive(consumer: &mut RabbitMqConsumer, count: usize) -> Vec<Delivery> {
    let mut received = Vec::new();
    for _ in 0..ATTEMPTS_MAX {
        match next(consumer, count - received.len()).await {
            Ok(deliveries) => received.extend(deliveries),
            Err(error) => println!("receiving: {error}"),
        }
        if received.len() == count {
            return received;
        }
    }
    panic!("received {:?} only", ids(&received));
}

/// Publishes until all is confirmed, as the relay does.
async fn publish(publisher: &mut RabbitMqPublisher, messages: &[Message]) {
    for _ in 0..ATTEMPTS_MAX {
        match publisher.publish(messages).await {
            Ok(verdicts) if verdicts.iter().all(|verdict| *verdict == Verdict::Confirmed) => return,
            other => println!("publishing: {other:?}"),
        }
    }
    panic!("not confirmed");
}

fn ids(deliveries: &[Delivery]) -> Vec<&str> {
    deliveries.iter().map(|delivery| delivery.message_id.as_str()).collect()
}

/// The server that the cases share.
static SERVER: OnceLock<Option<RabbitMq>> = OnceLock::new();
/// Held for writing by a case that keeps the whole server from taking messages for a while.
static SERVER_TAKES_MESSAGES: RwLock<()> = RwLock::const_new(());

/// Makes each case a test of its own.
macro_rules! cases {
    ($lock:ident: $($module:ident::$case:ident),* $(,)?) => {$(
        #[tokio::test]
        async fn $case() {
            let _lock = SERVER_TAKES_MESSAGES.$lock().await;
            let Some(rabbitmq) = SERVER.get_or_init(harness::rabbitmq) else { return };
            $module::$case(rabbitmq).await;
        }
    )*};
}

cases!(
    read:
    delivery::records_travel_in_order,
    delivery::what_was_not_acknowledged_comes_again,
    dead_letters::a_poisoned_message_is_set_aside_and_the_rest_flow,
    dead_letters::what_the_broker_gives_up_is_a_dead_letter_too,
    faults::a_deleted_binding_returns_everything,
    faults::a_deleted_queue_is_reported_before_anything_is_published,
    faults::a_full_queue_rejects,
    faults::a_closed_connection_is_made_again,
    faults::a_dropped_call_leaves_nothing_behind,
    faults::another_queue_of_that_name_is_refused,
    faults::credentials_are_checked_and_never_shown,
);
cases!(write: faults::a_server_short_of_memory_is_waited_for);

#[tokio::test]
async fn survives_a_server_that_dies_freezes_and_forgets() {
    let Some(rabbitmq) = harness::rabbitmq() else { return };
    let shop = VirtualHost { url: rabbitmq.url() };
    let impatient = BrokerAddress { confirm_timeout: Duration::from_secs(2), ..shop.address() };
    let mut publisher = RabbitMqPublisher::new(impatient.clone());
    assert_eq!(publisher.publish(&[message(0)]).await, Err(BrokerError::QueueCreated));
    // RabbitMQ 3.10 writes the register of its quorum queues down every three minutes and when it
    // stops; killed before that, it comes back with a queue that never has a leader.
    rabbitmq.restart().expect("restarts");
    let mut consumer = shop.consumer();
    publish(&mut publisher, &messages(0..10)).await;
    let deliveries = receive(&mut consumer, 10).await;
    consumer.ack(&deliveries[..5]).await.expect("acknowledged");
    println!("killed");
    rabbitmq.kill();
    let error = publisher.publish(&messages(10..20)).await.expect_err("it is dead");
    assert!(matches!(error, BrokerError::Unavailable(_)), "{error}");
    assert!(matches!(*publisher.state().borrow(), BrokerState::Failed(_)));
    rabbitmq.restart().expect("restarts");
    println!("restarted");
    publish(&mut publisher, &messages(10..20)).await;
    println!("published");
    // What was acknowledged just before may come again: the broker had not noted it yet.
    receive_each(&mut consumer, 5..20).await;

    println!("frozen");
    rabbitmq.freeze();
    // It stops when the system next looks at it, and may confirm something until then.
    let error = loop {
        if let Err(error) = publisher.publish(&messages(20..22)).await {
            break error;
        }
    };
    assert!(matches!(error, BrokerError::Unavailable(_)), "{error}");
    rabbitmq.thaw();
    publish(&mut publisher, &messages(20..22)).await;

    println!("emptied");
    rabbitmq.empty().expect("emptied");
    loop {
        match publisher.publish(&messages(22..23)).await {
            Err(BrokerError::QueueCreated) => break,
            Err(error) => println!("publishing: {error}"),
            Ok(verdicts) => panic!("published where there was no queue: {verdicts:?}"),
        }
    }
    publish(&mut publisher, &messages(0..23)).await;
    // The messages before the wipe that the consumer held already may come first.
    receive_each(&mut consumer, 0..23).await;
}

/// Receives and acknowledges until each of these messages was there.
async fn receive_each(consumer: &mut RabbitMqConsumer, numbers: std::ops::Range<u64>) {
    let mut missing: BTreeSet<String> = numbers.map(|number| format!("1-{number}")).collect();
    while !missing.is_empty() {
        // Far less than it takes to connect: the attempt goes on between the calls.
        const PATIENCE: Duration = Duration::from_millis(5);
        let deliveries = match tokio::time::timeout(PATIENCE, consumer.receive(1)).await {
            Ok(Ok(deliveries)) => deliveries,
            Ok(Err(error)) => {
                println!("receiving: {error}");
                continue;
            }
            Err(_) => continue,
        };
        missing.remove(&deliveries[0].message_id);
        if let Err(error) = consumer.ack(&deliveries).await {
            println!("acknowledging: {error}");
        }
    }
}

#[tokio::test]
async fn tls_needs_a_certificate_that_is_trusted() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = |name: &str| directory.path().join(name).to_str().expect("UTF-8").to_owned();
    let (authority, key, certificate) = (path("ca.pem"), path("key.pem"), path("leaf.pem"));
    if !certificates::make(&path("ca-key.pem"), &authority, &key, &certificate) {
        println!("skipped: openssl is not installed");
        return;
    }
    // Free as soon as the listener is dropped, at the end of the statement.
    let address = std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
    let port = address.expect("a free port").port();
    let configuration = format!(
        "listeners.ssl.default = 127.0.0.1:{port}
         ssl_options.cacertfile = {authority}
         ssl_options.certfile = {certificate}
         ssl_options.keyfile = {key}
         ssl_options.verify = verify_none"
    );
    let Some(_rabbitmq) = harness::required(RabbitMq::start_with(&configuration)) else { return };
    let url = SecretString::from(format!("amqps://guest:guest@127.0.0.1:{port}/%2f"));
    let distrusting = BrokerAddress::from(&url);
    let root_certificate = std::fs::read_to_string(&authority).ok();
    let trusting = BrokerAddress { root_certificate, ..distrusting.clone() };
    let mut publisher = RabbitMqPublisher::new(trusting);
    assert_eq!(publisher.publish(&messages(0..2)).await, Err(BrokerError::QueueCreated));
    assert_eq!(publisher.publish(&messages(0..2)).await, confirmed(2));
    let mut publisher = RabbitMqPublisher::new(distrusting);
    let error = publisher.publish(&messages(0..2)).await.expect_err("nobody vouches for it");
    assert!(matches!(error, BrokerError::Unavailable(_)), "{error}");
}
