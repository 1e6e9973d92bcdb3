//! Nodes that look whether the others answer.

use super::linked::Linked;
use domain::ShardId;
use harness::until;
use seckill::actors::Engine;

/// The nodes that answer this one.
async fn who_answers(engine: &Engine) -> Vec<String> {
    let seen = engine.look_at_peers().await;
    seen.into_iter().filter(|peer| peer.answers).map(|peer| peer.name).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn owners_that_do_not_answer_are_no_owners_that_are_reached() {
    let linked = Linked::open().await;
    let engine = linked.engine(0);
    until("all to answer", async || (who_answers(engine).await == ["b", "c"]).then_some(())).await;
    for peer in engine.look_at_peers().await {
        let ahead = peer.clock_ahead.expect("it says what time it is there");
        assert!(
            peer.is_owner && ahead.abs() < 1_000,
            "all nodes have one machine's clock: {peer:?}"
        );
    }
    // A node without shards sells what others have,
    let own: Vec<ShardId> = engine.served_shards();
    linked.move_to(own.into_iter().map(|shard| (shard, 1)).collect()).await;
    assert!(engine.has_something_to_sell());
    linked.nodes[2].shut_ears();
    until("one to fall silent", async || (who_answers(engine).await == ["b"]).then_some(())).await;
    assert!(engine.has_something_to_sell(), "one of them is left");
    // and nothing if it reaches none of them, however alive they are.
    linked.nodes[1].shut_ears();
    until("both to fall silent", async || who_answers(engine).await.is_empty().then_some(())).await;
    assert!(!engine.has_something_to_sell());
    assert!(linked.engine(1).has_something_to_sell(), "it serves shards itself");
    linked.close().await;
}
