//! An order store of an older version, which is away when the new one starts.

use super::ground::{Ground, caught_up};
use crate::support::Site;
use harness::Proxy;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_order_store_that_comes_later_is_taken_over_without_a_restart() {
    let Some(mariadb) = harness::mariadb() else { return };
    let proxy = Proxy::to(mariadb.address());
    let site = Site::new().with("ORDERS__MYSQL_URL", &proxy.url_for(&mariadb.url()));
    let (ground, server) = Ground::open("upgrade", site).await;
    ground.buy(&server, "before").await;
    caught_up(&server).await;
    server.stop().await;

    // It did not say whose it is.
    mariadb.execute("DROP TABLE journal").expect("gone");
    mariadb.execute("DELETE FROM _sqlx_migrations WHERE version IN (4, 50)").expect("gone");
    proxy.cut();
    let server = ground.site.start().await;
    ground.buy(&server, "meanwhile").await;
    proxy.restore();
    caught_up(&server).await;
    let owner = mariadb.execute("SELECT identity FROM journal").expect("read");
    let identity = std::fs::read_to_string(ground.site.data().join("identity")).expect("read");
    assert_eq!(owner, identity.trim());
    server.stop().await;
    ground.audit().must_balance();
}
