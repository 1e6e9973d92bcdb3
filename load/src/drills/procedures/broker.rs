//! RabbitMQ between the journal and the order store: it loses what it has, is brought nonsense, and loses
//! patience. Drills 22, 23, 26 and 27.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::drills::evidence::{Evidence, wants};
use crate::drills::opening::Opening;
use crate::drills::setting::Setting;
use crate::drills::shop::Shop;
use crate::report::Judged;
use crate::scenario::Backend;
use crate::stage::{Backends, backend_error};
use crate::{Error, Result};

const BEHIND: [Backend; 2] = [Backend::Rabbitmq, Backend::Mysql];
const RETURNED: &str = "seckill_relay_returned_total";
const DEAD_LETTERS: &str = "seckill_dead_letters_total";
/// Fewer records a message, so that there are more messages to lose.
const SETTINGS: [(&str, &str); 1] = [("BROKER__BATCH_RECORDS", "4")];
/// Takes the queue of orders from its exchange.
const UNBIND: &str = "rabbit_binding:remove({binding, {resource, <<\"/\">>, exchange, \
                      <<\"seckill.orders\">>}, <<\"orders\">>, {resource, <<\"/\">>, queue, \
                      <<\"seckill.orders\">>}, []}, <<\"drill\">>).";
/// Sends what is no record to the queue of orders.
const PUBLISH: &str = "rabbit_basic:publish({resource, <<\"/\">>, exchange, <<\"seckill.orders\">>}, \
                       <<\"orders\">>, [], <<\"no records\">>).";
/// Otherwise a channel looks once a minute whether its consumer is too slow.
const TICK: &str = "application:set_env(rabbit, channel_tick_interval, 1000).";
/// A consumer that does not thank the broker for this long is cut off; by default it is half an hour.
const IMPATIENT: &str = "consumer_timeout = 5000";
const LOOK_EVERY: Duration = Duration::from_millis(500);
const PATIENCE: Duration = Duration::from_secs(60);

/// 22: the queue deleted, and its binding.
pub async fn a_queue_deleted(setting: &Setting) -> Result<Evidence> {
    let mut shop = open(setting, "").await?;
    shop.trade().await?;
    shop.caught_up().await;
    control(&shop, &["delete_queue", "seckill.orders"]).await?;
    shop.trade().await?;
    let made_again = shop.caught_up().await;
    let before = shop.figure(RETURNED).await.unwrap_or(0);
    control(&shop, &["eval", UNBIND]).await?;
    shop.repaired();
    shop.trade().await?;
    let alarm = shop.figure_above(RETURNED, before).await;
    let drained = shop.caught_up().await;
    let own = vec![
        wants("the queue is made again", "yes", yes(made_again), made_again),
        wants("what comes back is told", "yes", yes(alarm), alarm),
        drains(drained),
    ];
    shop.close(own).await
}

/// 23: all that RabbitMQ holds wiped, with messages in it.
pub async fn a_broker_wiped(setting: &Setting) -> Result<Evidence> {
    let mut shop = open(setting, "").await?;
    shop.trade().await?;
    shop.caught_up().await;
    shop.backends().mariadb()?.proxy("mariadb")?.cut();
    shop.trade().await?;
    obey(&shop, |backends| {
        backends.rabbitmq()?.server.empty().map_err(|error| backend_error("rabbitmq", &error))
    })
    .await?;
    shop.backends().mariadb()?.proxy("mariadb")?.restore();
    shop.repaired();
    shop.trade().await?;
    let drained = shop.caught_up().await;
    shop.close(vec![drains(drained)]).await
}

/// 26: a message that cannot be read.
pub async fn a_poisoned_message(setting: &Setting) -> Result<Evidence> {
    let mut shop = open(setting, "").await?;
    shop.trade().await?;
    shop.caught_up().await;
    let before = shop.figure(DEAD_LETTERS).await.unwrap_or(0);
    control(&shop, &["eval", PUBLISH]).await?;
    shop.repaired();
    let aside = shop.figure_above(DEAD_LETTERS, before).await;
    shop.trade().await?;
    let drained = shop.caught_up().await;
    let listed = shop.engine().options().call_well(&["dead-letters", "list"]).await?;
    let shown = listed.lines().last().unwrap_or_default().to_owned();
    let own = vec![
        wants("it is set aside", "yes", yes(aside), aside),
        wants("`seckill dead-letters list`", "1 dead letters", &shown, shown == "1 dead letters"),
        drains(drained),
    ];
    shop.close(own).await
}

/// 27: MySQL away for longer than RabbitMQ waits for its consumer.
pub async fn a_store_away_for_long(setting: &Setting) -> Result<Evidence> {
    let mut shop = open(setting, IMPATIENT).await?;
    control(&shop, &["eval", TICK]).await?;
    control(&shop, &["close_all_connections", "for channels that know it"]).await?;
    shop.trade().await?;
    shop.caught_up().await;
    shop.backends().mariadb()?.proxy("mariadb")?.cut();
    let away = shop.trade().await?;
    let turned_away = away.of_class(crate::outcome::Class::Unavailable);
    let cut_off = is_cut_off(&shop).await?;
    shop.backends().mariadb()?.proxy("mariadb")?.restore();
    shop.repaired();
    let drained = shop.caught_up().await;
    shop.trade().await?;
    let own = vec![
        wants("purchases turned away meanwhile", "0", turned_away, turned_away == 0),
        wants("the broker loses patience", "yes", yes(cut_off), cut_off),
        drains(drained),
    ];
    shop.close(own).await
}

async fn open(setting: &Setting, broker_settings: &str) -> Result<Shop> {
    let opening = Opening {
        backends: &BEHIND,
        broker_settings,
        environment: &SETTINGS,
        ..Opening::default()
    };
    Shop::open(setting, opening).await
}

/// Whether the broker has cut its consumer off.
async fn is_cut_off(shop: &Shop) -> Result<bool> {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        let queues = control(shop, &["list_queues", "name", "consumers"]).await?;
        if queues.lines().any(|line| line.trim() == "seckill.orders\t0") {
            return Ok(true);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(false)
}

/// Runs rabbitmqctl.
async fn control(shop: &Shop, words: &[&str]) -> Result<String> {
    let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    obey(shop, move |backends| {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let said = backends.rabbitmq()?.server.ctl(&words);
        said.map_err(|error| backend_error("rabbitmq", &error))
    })
    .await
}

/// What servers are told to do blocks.
async fn obey<T: Send + 'static>(
    shop: &Shop,
    order: impl FnOnce(&Backends) -> Result<T> + Send + 'static,
) -> Result<T> {
    let backends = Arc::clone(shop.backends());
    tokio::task::spawn_blocking(move || order(&backends))
        .await
        .map_err(|error| Error::Server(format!("telling a server failed: {error}")))?
}

fn drains(drained: bool) -> Judged {
    wants(
        "what waits for the order store",
        "drains",
        if drained { "drains" } else { "stays" },
        drained,
    )
}

fn yes(holds: bool) -> &'static str {
    if holds { "yes" } else { "no" }
}
