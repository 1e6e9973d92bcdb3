//! An item whose buckets are at three nodes: each node dies at each step of a transfer between them, another one
//! takes over and goes on, and in the end the last unit of all buckets sells.

use crate::backends::cluster::{Servers, settled};
use crate::support::{Attempt, Crowd, Offer, OpenSale, Random, Server, Site, Witness, until};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

/// Little stock that comes back after a second, for nobody pays: buckets are dry, and get units of each other,
/// all the time. The last item's stock stays where it was bought.
const OFFERS: &[Offer] = &[
    Offer { allotted: 9, limit: 2, window_seconds: 1 },
    Offer { allotted: 14, limit: 1, window_seconds: 1 },
    Offer { allotted: 120, limit: 1, window_seconds: 86_400 },
];
/// As many as there are shards.
const BUCKETS: u8 = 4;
const BUYERS: usize = 320;

/// Where to die: the units are on record as sent and not as received; as received and not as settled; as
/// settled, before anybody else knows.
const STEPS: &[&str] =
    &["transfer-after-sent", "transfer-after-received", "transfer-after-settled"];
/// Longer than the nodes take to look at each other's buckets.
const LOOK: Duration = Duration::from_millis(300);
/// Transfers that a step is survived at most before it kills.
const SURVIVED_MAX: u64 = 4;

struct Nodes {
    sites: [Site; 3],
    running: [Option<Server>; 3],
}

impl Nodes {
    fn running(&self) -> Vec<&Server> {
        self.running.iter().flatten().collect()
    }

    fn node(&self, number: usize) -> &Server {
        self.running[number % 3].as_ref().expect("it runs")
    }

    /// A command that has a node serve a shard.
    fn give(&self, shard: usize, to: usize) -> Command {
        let (shard, to) = (shard.to_string(), ["a", "b", "c"][to % 3]);
        let mut command = self.sites[0].command(&["cluster", "move", &shard, to]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    async fn spread(&self) {
        for shard in 0..usize::from(BUCKETS) {
            let mut command = self.give(shard, shard);
            let moved = tokio::task::spawn_blocking(move || command.status());
            assert!(moved.await.expect("no panic").expect("it runs").success(), "shard {shard}");
        }
        settled(&self.running()).await;
        for node in self.running() {
            assert!(node.figure("seckill_shards").await > 0, "each node has a bucket of each item");
        }
    }

    /// Waits until all nodes show the same units of an item, twice, and returns them.
    async fn see_the_same(&self, shop: &OpenSale, item: u64) -> [u64; 4] {
        let mut last = None;
        until("all nodes to show the same units", async || {
            let mut shown = Vec::new();
            for node in self.running() {
                shown.push(shop.counters(&mut node.client().await, item).await);
            }
            tokio::time::sleep(LOOK).await;
            let is_same = shown.iter().all(|units| *units == shown[0]);
            let before = last.replace(shown[0]);
            (is_same && before == Some(shown[0])).then_some(shown[0])
        })
        .await
    }

    async fn nothing_is_under_way(&self) {
        until("no units between buckets", async || {
            for node in self.running() {
                let figures = ["seckill_bucket_units_under_way", "seckill_buckets_away"];
                for figure in figures {
                    if node.figure(figure).await > 0 {
                        return None;
                    }
                }
            }
            Some(())
        })
        .await;
    }
}

/// Orders that are given back before the last unit is sold.
const CANCELLED: usize = 13;

/// Takes what is left of the item, unit by unit, at one node after the other, until all say that it is sold out.
async fn the_last_unit_sells(nodes: &Nodes, shop: &OpenSale, witness: &Witness, item: usize) {
    let item = shop.items[item];
    let own = witness.orders().into_iter().filter(|(_, seen)| seen.attempt.item == item);
    for (order, seen) in own.filter(|(_, seen)| seen.status == "reserved").take(CANCELLED) {
        let mut client = nodes.node(seen.attempt.buyer).client().await;
        let answer = shop.step(&mut client, order, seen.attempt.buyer, "cancel").await;
        let answer = answer.expect("it answers");
        assert_eq!(answer.status, 200, "{}", answer.text());
        witness.looked(order, &seen.attempt, &answer);
    }
    nodes.see_the_same(shop, item).await;
    let [allotted, available, ..] = shop.counters(&mut nodes.node(0).client().await, item).await;
    assert_eq!(allotted, u64::from(OFFERS[2].allotted));
    let (mut sold, mut refused_in_turn) = (0, 0);
    for buyer in 0..BUYERS {
        let mut client = nodes.node(buyer).client().await;
        let attempt = Attempt { item, buyer, key: format!("last-{buyer}") };
        let answer = until("it is decided", async || {
            let answer = shop.buy(&mut client, item, buyer, &attempt.key).await;
            let answer = answer.expect("it answers");
            witness.bought(&attempt, &answer).then_some(answer)
        })
        .await;
        sold += u64::from(answer.status == 201);
        if answer.status == 409 && answer.code() == "sold_out" {
            assert_eq!(sold, available, "it is said to be sold out and is not");
            refused_in_turn += 1;
        }
        if refused_in_turn == 6 {
            break;
        }
    }
    assert_eq!((sold, refused_in_turn), (available, 6));
    println!("{available} of {allotted} units were left, and sold");
    assert_eq!(nodes.see_the_same(shop, item).await, [allotted, 0, allotted, 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn owners_that_die_at_any_step_of_a_transfer_move_its_units_once() {
    let mut random = Random::of("buckets of three nodes");
    let Some(servers) = Servers::start() else { return };
    let sites = ["a", "b", "c"].map(|node| {
        servers
            .linked_site(node)
            .with("CLUSTER__LEASE_TTL_MS", "5000")
            // The order store gives way to all else on a busy machine, and is to have every order in the end.
            .with("ENGINE__DRAIN_TIMEOUT_MS", "60000")
    });
    let mut nodes = Nodes { sites, running: [None, None, None] };
    for number in 0..3 {
        nodes.running[number] = Some(nodes.sites[number].start().await);
        settled(&nodes.running()).await;
    }
    nodes.spread().await;
    let shop = nodes.sites[0].open_sale_of_buckets(nodes.node(1), BUYERS, OFFERS, BUCKETS).await;
    let (shop, witness) = (Arc::new(shop), Arc::new(Witness::default()));
    for (victim, step) in STEPS.iter().enumerate() {
        let failpoints = match random.below(SURVIVED_MAX) {
            0 => format!("{step}=return"),
            survived => format!("{step}={survived}*off->return"),
        };
        nodes.node(victim).stop().await;
        nodes.running[victim] = Some(nodes.sites[victim].launch(&failpoints));
        let crowd =
            Crowd::enter_without_money(nodes.node(victim + 1), &shop, &witness, &mut random);
        // It is a node once it listens; it has nothing to die of before it has a shard.
        nodes.node(victim).listens().await.expect("it has no shard yet");
        let mut asked = nodes.give(victim, victim).spawn().expect("it runs");
        let status = nodes.node(victim).ended().await;
        assert_eq!(status.signal(), Some(9), "{failpoints}: {status}");
        nodes.running[victim] = None;
        // The others sell what they have meanwhile, and take over what it had.
        settled(&nodes.running()).await;
        crowd.leave().await;
        // It may wait for the dead node still.
        let _ = asked.kill();
        asked.wait().expect("it has ended");
        nodes.nothing_is_under_way().await;
        witness.verify(nodes.node(victim + 2), &shop).await;
        // Between two steps or after all of them, the log contradicts nothing.
        let verdict = nodes.sites[victim].audit(witness.orders().into_keys());
        assert_eq!(verdict.code, Some(0), "{step}: {:#}{}", verdict.report, verdict.errors);
        println!("node {victim} died of {failpoints}; {} confirmed orders", witness.confirmed());
        nodes.running[victim] = Some(nodes.sites[victim].start().await);
        settled(&nodes.running()).await;
        nodes.spread().await;
    }
    the_last_unit_sells(&nodes, &shop, &witness, 2).await;
    for number in 0..3 {
        nodes.node(number).stop().await;
        nodes.running[number] = None;
        if number < 2 {
            // What the last node brings to the order store it has to have first.
            settled(&nodes.running()).await;
        }
    }
    witness.audit(&nodes.sites[0]);
    for site in &nodes.sites {
        assert!(!site.log().contains("panicked at"), "{}", site.log());
    }
}
