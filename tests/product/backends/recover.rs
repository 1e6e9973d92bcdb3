//! The journal's disk is lost while records wait in the queue; MariaDB and Redis live.

use super::ground::{self, caught_up, degraded};
use crate::support::until;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_journal_is_begun_anew_and_what_waits_in_the_queue_is_not_of_it() {
    let Some((mut ground, server)) = ground::open("recover").await else { return };
    ground.trade(&server, 200).await;
    caught_up(&server).await;
    ground.servers.mariadb_proxy.cut();
    ground.trade(&server, 200).await;
    degraded(&server, "order_store").await;
    // Into the queue, and into the checkpoints.
    until("messages in the queue", async || {
        (server.figure("seckill_relay_messages_total").await > 0
            && server.figure("seckill_backlog_records").await > 0)
            .then_some(())
    })
    .await;
    server.checkpointed().await;
    server.kill().await;
    ground.servers.mariadb_proxy.restore();
    std::fs::remove_dir_all(ground.site.data().join("journal")).expect("lost");
    assert_eq!(ground.site.fail_to_start().await.code(), Some(4), "{}", ground.site.log());

    let output = ground.site.run(&["recover", "--from-orders"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("records came from the checkpoints"), "{said}");
    let server = ground.site.start().await;
    ground.witness.verify(&server, &ground.shop).await;
    let mut client = server.client().await;
    let path = "/api/v1/admin/sales/1/resume";
    let resumed = client.send("POST", path, &ground.shop.operator, &[], "").await;
    assert_eq!(resumed.expect("an answer").status, 200);
    ground.trade(&server, 200).await;
    caught_up(&server).await;
    server.stop().await;
    ground.site.audit(ground.witness.orders().into_keys()).must_balance();
    let rows = ground.servers.mariadb.execute("SELECT COUNT(*) FROM orders").expect("a count");
    assert_eq!(rows, ground.witness.confirmed().to_string(), "orders in MariaDB");
    let letters = ground.site.run(&["dead-letters", "list"]);
    assert_eq!(String::from_utf8_lossy(&letters.stdout), "0 dead letters\n");
}
