//! The order store is gone, for longer than the broker waits, loses a commit's
//! answer, prefers another transaction, contradicts what arrives.

use super::ground::{self, ORDERS_QUEUE, caught_up, degraded};
use crate::support::{Server, until};
use harness::http::Answer;
use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use seckill::store::broker::{BrokerAddress, dead_letters};
use secrecy::SecretString;
use sqlx::{Connection, Executor, MySqlConnection};

async fn list_of_orders(server: &Server, token: &str) -> Answer {
    let list = server.client().await.send("GET", "/api/v1/orders", token, &[], "").await;
    list.expect("an answer")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mariadb_fails_and_each_order_is_one_row() {
    let Some((mut ground, server)) = ground::open("mariadb").await else { return };
    let servers = ground.servers;
    ground.trade(&server, 50).await;
    caught_up(&server).await;

    servers.mariadb.kill();
    ground.trade(&server, 200).await;
    degraded(&server, "order_store").await;
    ground.buy(&server, "while-away").await;
    // Buyers see what the shards have of theirs, and who has nothing there is not told of a crowd.
    let list = list_of_orders(&server, &ground.shop.tokens[0]).await.json();
    assert!(list["complete"] == false && !list["data"][0].is_null(), "{list}");
    let newcomer = ground.site.mint_buyers(900_001, 1).remove(0);
    let list = list_of_orders(&server, &newcomer).await;
    assert_eq!(list.problem(), (503, "records_unavailable".to_owned()));
    servers.mariadb.restart().expect("it comes back");
    caught_up(&server).await;

    let lost = servers.mariadb_proxy.traps_sprung();
    servers.mariadb_proxy.lose_answer_to(b"COMMIT");
    ground.trade(&server, 100).await;
    servers.mariadb_proxy.wait_for_traps(lost + 1);
    caught_up(&server).await;
    ground.close(server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_without_mariadb_goes_on_with_the_settings_of_before() {
    let Some((mut ground, server)) = ground::open("settings").await else { return };
    server.stop().await;
    // What the environment says cannot be changed while the shop runs; what the file says can.
    ground.site.unset("LIMITS__USER_PER_S");
    let file = "[limits]\nuser_per_s = 0\n";
    std::fs::write(ground.site.path("config.toml"), file).expect("written");
    let server = ground.site.start().await;
    let servers = ground.servers;
    let operator = ground.shop.operator.clone();
    let buy = async |server: &Server, buyer: usize, key: &str| {
        let item = ground.shop.items[0];
        let bought = ground.shop.buy(&mut server.client().await, item, buyer, key).await;
        bought.expect("an answer").status
    };
    let admin = ground.site.mint("--admin", "ada");
    let limits = "/api/v1/admin/settings/limits";
    let body = r#"{"values":{"user_per_s":1,"user_burst":1},"reason":"a drill"}"#;
    let any = [("if-match", "*")];
    let mut client = server.client().await;
    let set = client.send("PUT", limits, &admin, &any, body).await.expect("an answer");
    assert_eq!(set.status, 200, "{}", set.text());
    let entries = "/api/v1/admin/risk/entries";
    let body = r#"{"entries":[{"list":"deny_user","value":"2"}]}"#;
    let added = client.send("POST", entries, &operator, &[], body).await.expect("an answer");
    assert_eq!(added.status, 201, "{}", added.text());
    let entry = added.json()["entry_ids"][0].as_str().expect("an identity").to_owned();
    server.stop().await;

    servers.mariadb.kill();
    let server = ground.site.start().await;
    assert_eq!(buy(&server, 1, "denied").await, 403);
    let mut statuses = Vec::new();
    for _ in 0..20 {
        statuses.push(buy(&server, 2, "limited").await);
    }
    assert!(statuses[0] == 201 && statuses.contains(&429), "{statuses:?}");

    servers.mariadb.restart().expect("it comes back");
    let path = format!("{entries}/{entry}");
    until("the entry to be removed", async || {
        let mut client = server.client().await;
        let removed = client.send("DELETE", &path, &operator, &[], "").await.expect("an answer");
        (removed.status == 204).then_some(())
    })
    .await;
    assert_eq!(buy(&server, 1, "admitted").await, 201);
    let back = r#"{"version":0,"reason":"the drill is over"}"#;
    let rollback = format!("{limits}/rollback");
    let mut client = server.client().await;
    let set = client.send("POST", &rollback, &admin, &any, back).await.expect("an answer");
    assert_eq!(set.status, 200, "{}", set.text());
    ground.trade(&server, 50).await;
    caught_up(&server).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_stored_with_other_content_is_told_and_set_aside() {
    let Some((mut ground, server)) = ground::open("contradiction").await else { return };
    let servers = ground.servers;
    ground.trade(&server, 50).await;
    caught_up(&server).await;
    servers.mariadb_proxy.cut();
    let order = ground.buy(&server, "contradicted").await;
    let planted = format!(
        "INSERT INTO orders (order_id, sale_id, item_id, user_id, request_id, attempt, quantity, \
         amount, currency, status, expires_at, changed_at, version) \
         SELECT {order}, sale_id, item_id, user_id + 1000000, request_id + 1, attempt, quantity, \
         amount + 1, currency, status, expires_at, changed_at, version FROM orders LIMIT 1"
    );
    servers.mariadb.execute(&planted).expect("planted");
    servers.mariadb_proxy.restore();
    until("an alarm", async || {
        let alarms = server.figure("seckill_order_store_conflicts_total").await;
        let letters = server.figure("seckill_dead_letters_total").await;
        (alarms > 0 && letters > 0).then_some(())
    })
    .await;
    // The rest flows on.
    ground.buy(&server, "another").await;
    caught_up(&server).await;
    let verdict = ground.site.audit(ground.witness.orders().into_keys());
    assert_eq!(verdict.broken(), ["I4"], "{:#}", verdict.report);

    // Mended by hand: the foreign row goes, the dead letter is sent once more.
    servers.mariadb.execute(&format!("DELETE FROM orders WHERE order_id = {order}")).expect("gone");
    let address = BrokerAddress::from(&SecretString::from(servers.rabbitmq.url()));
    until("the dead letter to be sent again", async || {
        let sent = dead_letters::replay(address.clone(), 10).await.expect("replayed");
        (sent > 0).then_some(())
    })
    .await;
    until("the row", async || {
        let text = format!("SELECT COUNT(*) FROM orders WHERE order_id = {order}");
        (servers.mariadb.execute(&text).expect("a count") == "1").then_some(())
    })
    .await;
    ground.close(server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_that_loses_a_deadlock_is_tried_again() {
    let Some((mut ground, server)) = ground::open("deadlock").await else { return };
    let servers = ground.servers;
    ground.trade(&server, 50).await;
    caught_up(&server).await;

    // The other transaction has changed much, so the consumer's is the cheaper one to give up.
    let mut other = MySqlConnection::connect(&servers.mariadb.url()).await.expect("connects");
    other.execute("CREATE TABLE ballast (id BIGINT PRIMARY KEY)").await.expect("a table");
    let mut other = other.begin().await.expect("begun");
    let heavy = "INSERT INTO ballast SELECT seq FROM seq_1_to_20000";
    other.execute(heavy).await.expect("heavy");
    other.execute("SELECT * FROM shard_progress FOR UPDATE").await.expect("locked");
    let failures = server.figure("seckill_order_store_failures_total").await;
    ground.trade(&server, 50).await;
    until("the consumer to wait for the lock", async || {
        // Not innodb_trx: who asks it more than ten times a second is shown old answers.
        const WAITING: &str = "SELECT VARIABLE_VALUE FROM information_schema.global_status \
                               WHERE VARIABLE_NAME = 'INNODB_ROW_LOCK_CURRENT_WAITS'";
        (servers.mariadb.execute(WAITING).expect("a count") != "0").then_some(())
    })
    .await;
    other.execute("SELECT * FROM orders FOR UPDATE").await.expect("the consumer gives way");
    until("the deadlock to be told", async || {
        let now = server.figure("seckill_order_store_failures_total").await;
        (now > failures).then_some(())
    })
    .await;
    other.rollback().await.expect("rolled back");
    caught_up(&server).await;
    // The deadlock, or on a slow machine a lock that was waited for too long before it.
    let told = ground.site.log().contains("another transaction was in the way");
    assert!(told, "{}", ground.site.log());
    ground.close(server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_loses_patience_meanwhile_delivers_again() {
    let Some((mut ground, server)) = ground::open("patience").await else { return };
    let servers = ground.servers;
    // Otherwise a channel looks once a minute whether its consumer is too slow.
    const TICK: &str = "application:set_env(rabbit, channel_tick_interval, 1000).";
    servers.rabbitmq.ctl(&["eval", TICK]).expect("set");
    servers.rabbitmq.ctl(&["close_all_connections", "for channels that know it"]).expect("closed");
    ground.trade(&server, 50).await;
    caught_up(&server).await;
    servers.mariadb_proxy.cut();
    ground.trade(&server, 200).await;
    until("the broker to cut its consumer off", async || {
        let (_connection, channel) = servers.channel().await;
        let passive = QueueDeclareOptions::durable().passive();
        let queue = channel.queue_declare(ORDERS_QUEUE.into(), passive, FieldTable::default());
        (queue.await.expect("it exists").consumer_count() == 0).then_some(())
    })
    .await;
    servers.mariadb_proxy.restore();
    ground.close(server).await;
}
