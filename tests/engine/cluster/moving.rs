//! Shards move between two engines while both sell: handed over, and lost to a lease that ended wrongly.
//! What any client was told holds, whichever engine told it (I1 to I3, I5 to I7, I10, I14, I15), the order
//! store has it all at the end (I4), and then a valid purchase succeeds (I16).

use super::crowd::{Crowd, Engines, check_at_rest, judge};
use super::node::{Node, Stores};
use crate::simulation::{Dice, Told, seeds};
use domain::ShardId;
use parking_lot::Mutex;
use seckill::store::journal::fenced::MemoryLogFault;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use support::engine::SHARDS;

const MOVES: u64 = 14;

/// Moves shards until enough have moved.
async fn moves(nodes: &[Arc<Node>; 2], homes: &mut [usize], dice: &mut Dice) {
    for _ in 0..MOVES {
        let shard = ShardId(dice.below(u64::from(SHARDS)) as u16);
        let from = homes[shard.index()];
        let (owner, next) = (&nodes[from], &nodes[1 - from]);
        if dice.once_in(2) {
            owner.hand_over(shard).await;
            next.take(shard).await;
        } else {
            owner.lose_lease_over(shard).await;
            next.take(shard).await;
            // It may have found out by itself: by the next record that it tried to append.
            for _ in 0..dice.below(200) {
                tokio::task::yield_now().await;
            }
            owner.let_go(shard).await;
        }
        homes[shard.index()] = 1 - from;
        for _ in 0..dice.below(300) {
            tokio::task::yield_now().await;
        }
    }
}

async fn run(seed: u64) {
    let _told = Told(seed);
    let mut dice = Dice::new(seed);
    let directory = tempfile::tempdir().expect("a directory");
    let stores = Stores::open(directory.path()).await;
    let is_calm = Arc::new(AtomicBool::new(false));
    // Rounds of checkpoints would trim the log that is judged; those that are asked for do not.
    let interval = Duration::from_secs(3_600);
    let mut start = async |name: &str| {
        let (fates, calm) = (Mutex::new(Dice::new(dice.any())), Arc::clone(&is_calm));
        let log = stores.log.seen_with_fate(move || fate(&mut fates.lock(), &calm));
        Arc::new(Node::start(name, &stores, log, interval).await)
    };
    let nodes = [start("a").await, start("b").await];
    let mut homes: Vec<usize> = (0..usize::from(SHARDS)).map(|shard| shard % 2).collect();
    for (shard, home) in homes.iter().enumerate() {
        nodes[*home].take(ShardId(shard as u16)).await;
    }
    let engines = Engines::default();
    nodes.iter().for_each(|node| engines.add(node.engine().clone()));
    engines.open_items().await;
    let watches = nodes.clone().map(|node| tokio::spawn(async move { node.watch().await }));
    let crowd = Crowd::start(&engines, &mut dice);
    moves(&nodes, &mut homes, &mut dice).await;
    let seen = crowd.stop().await;
    is_calm.store(true, Ordering::Release);
    watches.into_iter().for_each(|watch| watch.abort());
    for (shard, home) in homes.iter().enumerate() {
        for (index, node) in nodes.iter().enumerate() {
            let serves = node.engine().served_shards().contains(&ShardId(shard as u16));
            assert_eq!(serves, index == *home, "shard {shard} at node {index}");
        }
    }
    check_at_rest(&engines, &seen).await;
    drop(engines);
    for node in nodes {
        let Ok(node) = Arc::try_unwrap(node) else { panic!("a node is still used") };
        node.stop().await;
    }
    judge(&stores.log, &stores.orders, &seen).await;
}

/// What happens to an append on its way.
pub fn fate(dice: &mut Dice, is_calm: &AtomicBool) -> MemoryLogFault {
    if is_calm.load(Ordering::Acquire) {
        return MemoryLogFault::None;
    }
    match dice.below(20) {
        0 => MemoryLogFault::Lost,
        1 => MemoryLogFault::AnswerLost,
        2 => MemoryLogFault::Held,
        3 => MemoryLogFault::Doubled,
        _ => MemoryLogFault::None,
    }
}

#[test]
fn shards_move_while_they_sell() {
    let mut found = 0;
    for some in seeds(24).chunks(8) {
        // What a stopped node has left behind ends with its runtime.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let runs: Vec<_> = some.iter().map(|seed| tokio::spawn(run(*seed))).collect();
            for run in runs {
                found += usize::from(run.await.is_err());
            }
        });
    }
    assert_eq!(found, 0, "runs with a finding; their seeds are above");
}
