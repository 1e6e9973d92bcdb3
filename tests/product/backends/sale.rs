//! Restarts and kills of the engine with all three servers behind it, and all three away at once.

use super::ground::{self, caught_up, degraded};
use harness::Proxy;

const RESTARTS: u32 = 3;
const KILLS: u32 = 12;
const DEPENDENCIES: [&str; 3] = ["checkpoint", "broker", "order_store"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_three_go_down_and_come_back_and_no_purchase_fails() {
    let Some((mut ground, server)) = ground::open("all three").await else { return };
    let servers = ground.servers;
    ground.trade(&server, 50).await;
    caught_up(&server).await;

    servers.settle_broker();
    let mut crowd = ground.enter(&server);
    crowd.answers(100).await;
    servers.redis.kill();
    servers.mariadb.kill();
    // Nobody asks for it any more once the broker brings nothing.
    degraded(&server, "order_store").await;
    servers.rabbitmq.kill();
    crowd.answers(300).await;
    for dependency in DEPENDENCIES {
        degraded(&server, dependency).await;
    }
    assert_eq!(crowd.unavailable(), 0, "a purchase was turned away\n{}", ground.site.log());
    crowd.leave().await;

    servers.proxies().into_iter().for_each(Proxy::cut);
    for server in [&*servers.redis, &*servers.rabbitmq, &*servers.mariadb] {
        server.restart().expect("it comes back");
    }
    let mut crowd = ground.enter(&server);
    crowd.answers(100).await;
    servers.proxies().into_iter().for_each(Proxy::restore);
    crowd.answers(300).await;
    assert_eq!(crowd.unavailable(), 0, "a purchase was turned away\n{}", ground.site.log());
    crowd.leave().await;
    caught_up(&server).await;

    // A process that has never seen one of them sells as well.
    server.kill().await;
    servers.proxies().into_iter().for_each(Proxy::cut);
    let server = ground.site.start().await;
    ground.trade(&server, 300).await;
    for dependency in DEPENDENCIES {
        degraded(&server, dependency).await;
    }
    servers.proxies().into_iter().for_each(Proxy::restore);
    ground.trade(&server, 100).await;
    ground.close(server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sale_goes_on_after_each_restart_in_good_order() {
    let Some((mut ground, server)) = ground::open("restarts").await else { return };
    let mut server = server;
    for _ in 0..RESTARTS {
        let mut crowd = ground.enter(&server);
        crowd.answers(u32::try_from(ground.random.below(600)).expect("a few")).await;
        server.stop().await;
        crowd.gone().await;
        // Stopped in good order, so the order store has caught up: nothing waits.
        let verdict = ground.site.audit(ground.witness.orders().into_keys());
        verdict.must_balance();
        assert_eq!(verdict.check("I4")["checked"], verdict.orders(), "{:#}", verdict.report);
        server = ground.site.start().await;
    }
    ground.witness.verify(&server, &ground.shop).await;
    ground.close(server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dozen_kills_lose_nothing_and_double_nothing() {
    let Some((mut ground, server)) = ground::open("kills").await else { return };
    let mut server = server;
    for _ in 0..KILLS {
        let mut crowd = ground.enter(&server);
        crowd.answers(u32::try_from(ground.random.below(400)).expect("a few")).await;
        server.kill().await;
        crowd.gone().await;
        server = ground.site.start().await;
    }
    ground.witness.verify(&server, &ground.shop).await;
    ground.trade(&server, 50).await;
    ground.close(server).await;
}
