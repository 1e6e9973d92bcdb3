//! The order store holds something else under an order's id. Drill 29.

use std::sync::Arc;

use crate::drills::evidence::{Evidence, wants};
use crate::drills::opening::Opening;
use crate::drills::setting::Setting;
use crate::drills::shop::Shop;
use crate::scenario::Backend;
use crate::stage::backend_error;
use crate::{Error, Result};

const CONFLICTS: &str = "seckill_order_store_conflicts_total";

/// 29: an order's id with other content.
pub async fn other_content(setting: &Setting) -> Result<Evidence> {
    let opening = Opening { backends: &[Backend::Mysql], ..Opening::default() };
    let mut shop = Shop::open(setting, opening).await?;
    shop.trade().await?;
    shop.caught_up().await;
    shop.backends().mariadb()?.proxy("mariadb")?.cut();
    let bought = shop.buy(shop.own_user(1), 0).await;
    let order = bought.order.ok_or_else(|| {
        Error::Server(format!("a purchase heard {} while MySQL was away", bought.outcome.name()))
    })?;
    let planted = format!(
        "INSERT INTO orders (order_id, sale_id, item_id, user_id, request_id, attempt, quantity, \
         amount, currency, status, expires_at, changed_at, version) \
         SELECT {order}, sale_id, item_id, user_id + 1000000, request_id + 1, attempt, quantity, \
         amount + 1, currency, status, expires_at, changed_at, version FROM orders LIMIT 1"
    );
    execute(&shop, planted).await?;
    shop.backends().mariadb()?.proxy("mariadb")?.restore();
    let told = shop.figure_above(CONFLICTS, 0).await;
    shop.trade().await?;
    let flows = shop.caught_up().await;
    let audit = shop.engine().options().call(&["audit", "--json"]).await?.0;
    let found = audit.contains(&order.to_string());

    // Mended by hand, as the runbook has it.
    execute(&shop, format!("DELETE FROM orders WHERE order_id = {order}")).await?;
    shop.engine().options().call_well(&["dead-letters", "replay"]).await?;
    shop.repaired();
    shop.trade().await?;
    let yes = |holds| if holds { "yes" } else { "no" };
    let own = vec![
        wants("an alarm", "yes", yes(told), told),
        wants("the audit names the order", "yes", yes(found), found),
        wants("the rest flows", "yes", yes(flows), flows),
    ];
    shop.close(own).await
}

async fn execute(shop: &Shop, statement: String) -> Result<String> {
    let backends = Arc::clone(shop.backends());
    let done = move || {
        let said = backends.mariadb()?.server.execute(&statement);
        said.map_err(|error| backend_error("mariadb", &error))
    };
    tokio::task::spawn_blocking(done)
        .await
        .map_err(|error| Error::Server(format!("telling MariaDB failed: {error}")))?
}
