//! `seckill audit` across journal, Redis, RabbitMQ and MariaDB: what it judges, what it finds, and
//! what it says while the shop is selling.

use super::ground::{Ground, Servers, caught_up};
use crate::support::Verdict;
use std::path::Path;

fn must_be_broken(verdict: &Verdict, invariant: &str, words: &str) {
    assert_eq!(verdict.broken(), [invariant], "{:#}", verdict.report);
    assert_eq!(verdict.code, Some(1));
    let detail = verdict.check(invariant)["detail"].as_str().unwrap_or_default();
    assert!(detail.contains(words), "{words:?} is not in {detail:?}");
}

fn must_be_judged(verdict: &Verdict) {
    for invariant in ["I1", "I2", "I3", "I4", "I5", "I6", "I7", "I9", "I10", "I11", "I12", "I13"] {
        let check = verdict.check(invariant);
        assert!(check["checked"].as_u64() > Some(0), "{invariant} was not judged: {check}");
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).expect("made");
    for entry in std::fs::read_dir(from).expect("listed") {
        let path = entry.expect("an entry").path();
        let to = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            copy(&path, &to);
        } else {
            std::fs::copy(&path, to).expect("copied");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_contradicts_the_journal_is_found_in_every_store() {
    let Some(servers) = Servers::start() else { return };
    let (mut ground, server) = Ground::open("audit", servers.site()).await;
    ground.trade(&server, 200).await;
    caught_up(&server).await;
    server.checkpointed().await;
    server.stop().await;
    let verdict = ground.audit();
    verdict.must_balance();
    must_be_judged(&verdict);
    assert_eq!(verdict.report["dead_letters"], 0);

    servers.keep();
    let order = ground.witness.orders().into_keys().last().expect("an order");
    for (statement, words) in [
        (format!("DELETE FROM orders WHERE order_id = {order}"), "is not in the order store"),
        (
            format!("UPDATE orders SET amount = amount + 1 WHERE order_id = {order}"),
            "has other content in the order store",
        ),
        (
            format!("UPDATE orders SET status = 5 WHERE order_id = {order}"),
            "and refund_due in the order store",
        ),
    ] {
        servers.sql(&statement);
        must_be_broken(&ground.audit(), "I4", words);
        servers.restore();
    }
    servers.plant(order + 1);
    must_be_broken(&ground.audit(), "I4", "is in the order store alone");
    servers.restore();
    servers.sql("UPDATE shard_progress SET applied_seq = applied_seq + 1 LIMIT 1");
    must_be_broken(&ground.audit(), "I12", "the journal at");
    servers.sql("UPDATE shard_progress SET applied_seq = applied_seq - 1 LIMIT 1");
    servers.sql("CREATE TABLE kept_items AS SELECT * FROM item_events");
    for (statement, words) in [
        ("DELETE FROM item_events LIMIT 1", "has passed this record and does not hold it"),
        (
            "UPDATE item_events a, (SELECT MAX(record) AS record FROM item_events) b \
             SET a.record = b.record WHERE a.record <> b.record",
            "",
        ),
    ] {
        servers.sql(statement);
        must_be_broken(&ground.audit(), "I12", words);
        servers.sql("DELETE FROM item_events");
        servers.sql("INSERT INTO item_events SELECT * FROM kept_items");
    }
    ground.audit().must_balance();

    // An older copy of the journal beside the Redis of today.
    let newer = ground.site.path("newer");
    copy(&ground.site.data().join("journal"), &newer);
    let server = ground.site.start().await;
    ground.trade(&server, 100).await;
    caught_up(&server).await;
    server.checkpointed().await;
    server.stop().await;
    let journal = ground.site.data().join("journal");
    std::fs::remove_dir_all(&journal).expect("gone");
    std::fs::rename(&newer, &journal).expect("put back");
    let verdict = ground.audit();
    let broken = verdict.broken();
    assert!(broken.contains(&"I11") && broken.contains(&"I12"), "{:#}", verdict.report);
    let detail = verdict.check("I11")["detail"].as_str().expect("a reason");
    assert!(detail.contains("durable up to"), "{detail}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_checkpoint_that_contradicts_the_journal_is_found() {
    let Some(servers) = Servers::start() else { return };
    let (mut ground, server) = Ground::open("checkpoint", servers.site()).await;
    ground.trade(&server, 100).await;
    server.checkpointed().await;
    server.stop().await;
    ground.audit().must_balance();
    // An item's state that lost its end.
    let script = "for _, key in ipairs(redis.call('KEYS', 'seckill::checkpoint::*')) do \
                  local item = redis.call('HGET', key, 'i0') \
                  if item then redis.call('HSET', key, 'i0', string.sub(item, 1, -2)) end end";
    servers.redis.cli(&["eval", script, "0"]).expect("tampered");
    must_be_broken(&ground.audit(), "I9", "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shop_can_be_audited_while_it_sells() {
    let Some(servers) = Servers::start() else { return };
    let (mut ground, server) = Ground::open("live", servers.site()).await;
    ground.trade(&server, 100).await;
    caught_up(&server).await;
    server.checkpointed().await;
    let mut crowd = ground.enter(&server);
    for _ in 0..5 {
        crowd.answers(50).await;
        let verdict = ground.audit();
        verdict.must_balance();
        must_be_judged(&verdict);
    }
    // A row that is changed while the rest goes on: of an order that nobody changes any more.
    let mut orders = ground.witness.orders().into_iter();
    let (order, _) = orders.find(|(_, seen)| seen.status == "paid").expect("a paid order");
    servers.sql(&format!("UPDATE orders SET amount = amount + 1 WHERE order_id = {order}"));
    must_be_broken(&ground.audit(), "I4", "has other content in the order store");
    servers.sql(&format!("UPDATE orders SET amount = amount - 1 WHERE order_id = {order}"));
    crowd.leave().await;
    caught_up(&server).await;
    ground.audit().must_balance();
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_server_the_others_are_judged_and_what_is_open_is_named() {
    const UNASKED: i32 = 4;
    let Some(servers) = Servers::start() else { return };
    let (mut ground, server) = Ground::open("away", servers.site()).await;
    ground.trade(&server, 100).await;
    caught_up(&server).await;
    server.checkpointed().await;
    server.stop().await;
    ground.audit().must_balance();
    let holds = |verdict: &Verdict, invariants: &[&str]| {
        for invariant in invariants {
            assert_eq!(verdict.check(invariant)["verdict"], "holds", "{:#}", verdict.report);
        }
    };
    let unasked = |store: &str| {
        let verdict = ground.audit();
        assert_eq!(verdict.code, Some(UNASKED), "{verdict:?}");
        assert_eq!(verdict.broken(), Vec::<&str>::new());
        assert_eq!(verdict.report["unasked"][0]["store"], store, "{:#}", verdict.report);
        verdict
    };
    servers.rabbitmq.kill();
    holds(&unasked("broker"), &["I1", "I3", "I4", "I5", "I9", "I11", "I12", "I13"]);
    servers.rabbitmq.restart().expect("it comes back");
    ground.audit().must_balance();

    servers.redis.kill();
    holds(&unasked("checkpoints"), &["I1", "I3", "I4", "I5", "I12", "I13"]);
    servers.redis.restart().expect("it comes back");
    servers.mariadb.kill();
    let verdict = unasked("order_store");
    holds(&verdict, &["I1", "I3", "I5"]);
    assert_eq!(verdict.check("I4")["detail"], "the order store: could not be asked");
}
