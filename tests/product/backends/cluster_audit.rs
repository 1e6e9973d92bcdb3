//! `seckill audit` of a cluster: beside nodes that sell, when one of them has died, and what it finds in etcd,
//! Redis and MariaDB.

use super::cluster::{LASTING, PREFIX, Servers, decided, settled, verify};
use crate::support::{Attempt, Crowd, Random, Site, Verdict, Witness, until};
use domain::ShardId;
use seckill::store::etcd::{self, Operation, Stored, Transaction, prefix_end};
use seckill::store::journal::fenced::{EtcdLog, FencedLog, Head};
use std::sync::Arc;

const BUYERS: usize = 64;

/// What a node's audit says: nothing is broken in any, and these invariants are judged in the one that is
/// returned. Beside a crowd the order store may be behind for a while, which leaves one of them open.
async fn must_balance(site: &Site, witness: &Witness, judged: &[&str]) -> Verdict {
    until("an audit that leaves nothing open", async || {
        let verdict = site.audit(witness.orders().into_keys());
        verdict.must_balance();
        assert_eq!(verdict.report["cluster"]["prefix"], PREFIX);
        let is_judged = |invariant: &&str| verdict.check(invariant)["checked"].as_u64() > Some(0);
        judged.iter().all(is_judged).then_some(verdict)
    })
    .await
}

fn must_be_broken(verdict: &Verdict, invariant: &str, words: &str) {
    assert_eq!(verdict.code, Some(1), "{verdict:?}");
    let check = verdict.check(invariant);
    assert_eq!(check["verdict"], "broken", "{:#}", verdict.report);
    let detail = check["detail"].as_str().unwrap_or_default();
    assert!(detail.contains(words), "{words:?} is not in {detail:?}");
    assert!(check["to_do"].as_str().is_some(), "{check}");
}

/// The keys of a cluster in etcd, which a test may change.
struct Keys {
    etcd: etcd::Etcd,
}

impl Keys {
    async fn under(&self, rest: &str) -> Vec<Stored> {
        let start = format!("{PREFIX}{rest}").into_bytes();
        let page = self.etcd.range(&start, &prefix_end(&start), 10_000, 0).await;
        page.expect("keys").keys
    }

    async fn change(&self, then: Vec<Operation>) {
        let transaction = Transaction { then, ..Transaction::default() };
        self.etcd.commit(transaction).await.expect("changed");
    }

    /// Puts another value in the place of this one, or none, while `look` is taken.
    async fn with(&self, stored: &Stored, value: Option<Vec<u8>>, look: impl AsyncFnOnce()) {
        let key = stored.key.clone();
        self.change(vec![match value {
            Some(value) => Operation::put(key.clone(), value),
            None => Operation::Delete(key.clone()),
        }])
        .await;
        look().await;
        self.change(vec![Operation::put(key, stored.value.clone())]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_is_audited_while_it_sells_and_what_contradicts_its_log_is_found() {
    let judged_beside_a_sale =
        ["I1", "I2", "I3", "I4", "I5", "I6", "I7", "I10", "I12", "I13", "I15"];
    let Some(servers) = Servers::start() else { return };
    let sites = ["a", "b", "c"].map(|node| servers.site(node));
    let [site, others @ ..] = &sites;
    let first = site.start().await;
    settled(&[&first]).await;
    let shop = Arc::new(site.open_sale(&first, BUYERS, &[LASTING; 3]).await);
    let (second, third) = (others[0].start().await, others[1].start().await);
    settled(&[&first, &second, &third]).await;
    let witness = Arc::new(Witness::default());
    let mut random = Random::of("a cluster is audited");
    let mut crowd = Crowd::enter(&first, &shop, &witness, &mut random);
    for _ in 0..4 {
        crowd.answers(200).await;
        must_balance(&others[0], &witness, &judged_beside_a_sale).await;
    }
    // A row that is changed while the rest goes on.
    let order = *witness.orders().keys().next().expect("an order");
    until("the order's row", async || {
        let count = format!("SELECT COUNT(*) FROM orders WHERE order_id = {order}");
        (servers.mariadb.execute(&count).expect("a count") == "1").then_some(())
    })
    .await;
    let change = |by: &str| {
        let change = format!("UPDATE orders SET amount = amount {by} WHERE order_id = {order}");
        servers.mariadb.execute(&change).expect("changed");
    };
    change("+ 1");
    let verdict = others[0].audit(witness.orders().into_keys());
    must_be_broken(&verdict, "I4", "has other content in the order store");
    assert_eq!(verdict.broken(), ["I4"]);
    change("- 1");

    first.kill().await;
    crowd.gone().await;
    // Nobody owns the shards, and the log is what it was.
    must_balance(&others[0], &witness, &judged_beside_a_sale).await;
    settled(&[&second, &third]).await;
    verify(&[&second, &third], &shop, &witness, "after-a-death").await;
    second.stop().await;
    settled(&[&third]).await;
    third.stop().await;
    let output = others[1].run(&["audit", "--live"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("etcd under /seckill/shop/ at revision "),
        "{text}"
    );
    let verdict = must_balance(site, &witness, &judged_beside_a_sale).await;
    assert_eq!(verdict.orders(), witness.confirmed() as u64, "{:#}", verdict.report);
    for invariant in ["I9", "I11"] {
        assert_eq!(verdict.check(invariant)["verdict"], "holds", "{:#}", verdict.report);
    }
    what_is_planted_is_found(&servers, site, &witness, order).await;
    what_is_away_is_named(&servers, site).await;
}

/// Damage of each kind, which the audit names, and which is taken back.
async fn what_is_planted_is_found(servers: &Servers, site: &Site, witness: &Witness, order: u64) {
    let keys = Keys { etcd: servers.client() };
    let audit = || site.audit(witness.orders().into_keys());
    let shard = domain::OrderId(order).shard();
    let batches = keys.under(&format!("log/{}/", shard.0)).await;
    assert!(batches.len() > 2, "{} batches", batches.len());
    let middle = &batches[batches.len() / 2];
    let place =
        format!("shard {shard}: batch {}: the next batch does not follow it", batches.len() / 2);
    keys.with(middle, None, async || must_be_broken(&audit(), "I5", &place)).await;
    let flipped = middle.value.iter().enumerate();
    let flipped = flipped.map(|(index, byte)| if index == 90 { byte ^ 4 } else { *byte }).collect();
    let words = "a batch whose checksum differs";
    keys.with(middle, Some(flipped), async || must_be_broken(&audit(), "I5", words)).await;
    let last = batches.last().expect("a batch");
    let words = format!("shard {shard}: its head names batch {}", batches.len());
    keys.with(last, None, async || must_be_broken(&audit(), "I5", &words)).await;
    // An older owner's batch behind a newer one's: the first with the epoch of the last.
    let log = EtcdLog::new(keys.etcd.clone(), PREFIX);
    let head = log.head(shard).await.expect("a head").expect("it is owned");
    let stored = keys.under(&format!("head/{}", shard.0)).await.remove(0);
    for (head, words) in [
        (Head { batch: head.batch - 1, ..head }, "and the log ends with batch"),
        (Head { chain: head.chain ^ 1, ..head }, "of another chain"),
        (Head { epoch: head.epoch + 1, ..head }, "its last claim is of epoch"),
    ] {
        let look = async || {
            let verdict = audit();
            must_be_broken(&verdict, "I5", words);
            assert_eq!(verdict.broken(), ["I5"], "{:#}", verdict.report);
        };
        keys.with(&stored, Some(head.encode()), look).await;
    }
    // A shard whose log is gone as a whole, with all that says so.
    let mut kept = Vec::new();
    for kind in ["log/", "head/", "base/", "epoch/"] {
        let slash = if kind == "log/" { "/" } else { "" };
        kept.extend(keys.under(&format!("{kind}{}{slash}", shard.0)).await);
    }
    for some in kept.chunks(100) {
        keys.change(some.iter().map(|stored| Operation::Delete(stored.key.clone())).collect())
            .await;
    }
    let verdict = audit();
    must_be_broken(&verdict, "I11", "durable up to");
    must_be_broken(&verdict, "I12", "is in the order store alone");
    must_be_broken(&verdict, "I3", "");
    for some in kept.chunks(100) {
        let put = |stored: &Stored| Operation::put(stored.key.clone(), stored.value.clone());
        keys.change(some.iter().map(put).collect()).await;
    }
    servers.mariadb.execute(&format!("DELETE FROM orders WHERE order_id = {order}")).expect("gone");
    must_be_broken(&audit(), "I4", "is not in the order store");
}

/// What cannot be asked, in the audit's words and code.
async fn what_is_away_is_named(servers: &Servers, site: &Site) {
    const DATA: i32 = 4;
    let refused = |site: &Site, words: &str| {
        let output = site.run(&["audit"]);
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(DATA), "{text}");
        assert!(text.contains(words) && text.contains("there is no verdict"), "{text}");
    };
    let elsewhere = servers.site("a").with("CLUSTER__PREFIX", "/seckill/other/");
    refused(&elsewhere, "etcd holds no shop under /seckill/other/");
    servers.redis.kill();
    let verdict = site.audit([]);
    assert_eq!(verdict.report["unasked"][0]["store"], "checkpoints", "{verdict:?}");
    servers.etcd.members()[0].kill();
    refused(site, "no answer from etcd");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_trimmed_is_audited_against_what_was_stored() {
    let Some(servers) = Servers::start() else { return };
    // Rounds that follow each other at once trim all the time.
    let sites = ["a", "b"].map(|node| servers.site(node).with("CHECKPOINT__INTERVAL_MS", "50"));
    let first = sites[0].start().await;
    settled(&[&first]).await;
    let shop = Arc::new(sites[0].open_sale(&first, BUYERS, &[LASTING; 2]).await);
    let second = sites[1].start().await;
    settled(&[&first, &second]).await;
    let witness = Arc::new(Witness::default());
    let attempt = Attempt { item: shop.items[0], buyer: 0, key: "first".to_owned() };
    decided(&[&first], &shop, &witness, &attempt).await;
    let mut random = Random::of("what was trimmed");
    let mut crowd = Crowd::enter(&first, &shop, &witness, &mut random);
    let keys = Keys { etcd: servers.client() };
    for _ in 0..6 {
        crowd.answers(150).await;
        must_balance(&sites[1], &witness, &["I1", "I4", "I5", "I11", "I13"]).await;
        // etcd forgets what is old beside it, as its keepers do.
        let newest = keys.etcd.status().await.expect("a status").revision;
        keys.etcd.compact(newest).await.expect("compacted");
    }
    let order = *witness.orders().keys().next().expect("an order");
    let log = EtcdLog::new(keys.etcd.clone(), PREFIX);
    let shard = domain::OrderId(order).shard();
    until("the first batch to be trimmed", async || {
        let oldest = log.read(ShardId(shard.0), 0, 1).await.ok()?;
        oldest.first().is_none_or(|oldest| oldest.batch > 1).then_some(())
    })
    .await;
    crowd.leave().await;
    first.stop().await;
    settled(&[&second]).await;
    must_balance(&sites[0], &witness, &["I4"]).await;
    second.stop().await;
    let verdict = must_balance(&sites[0], &witness, &["I4", "I5", "I11", "I13"]).await;
    assert_eq!(verdict.orders(), witness.confirmed() as u64, "{:#}", verdict.report);
    servers.mariadb.execute("UPDATE orders SET amount = amount + 1 LIMIT 1").expect("changed");
    let verdict = sites[0].audit(witness.orders().into_keys());
    must_be_broken(&verdict, "I4", "");
}
