//! What only a build with failpoints can do: to die between any two steps of a purchase, and to panic on one
//! item for ever. Drills 1 to 9 and 44.

use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use crate::Result;
use crate::drills::evidence::{Evidence, wants};
use crate::drills::load::Load;
use crate::drills::opening::Opening;
use crate::drills::setting::Setting;
use crate::drills::shop::Shop;
use crate::outcome::Outcome;
use crate::random::{Random, scramble};

const FAILPOINTS: &str = "FAILPOINTS";
const SIGKILL: i32 = 9;
const END_WAIT_MAX: Duration = Duration::from_secs(20);
/// Within how many passes of its point a process dies.
const PASSES: u64 = 12;
/// From a death until the process listens again.
const START_WAIT_MAX: Duration = Duration::from_secs(10);

/// 1 to 9: the process dies at these points, again and again.
pub async fn dies_at(setting: &Setting, points: &[&str]) -> Result<Evidence> {
    let binary = Some(setting.failpoints()?);
    let mut shop = Shop::open(setting, Opening { binary, ..Opening::default() }).await?;
    let named = points.iter().flat_map(|point| point.bytes());
    let seed = named.fold(setting.seed, |seed, byte| scramble(seed ^ u64::from(byte)));
    let mut random = Random::new(seed);
    let rounds = setting.of(1, 3) * points.len();
    let (mut deaths, mut slowest) = (0, Duration::ZERO);
    for round in 0..rounds {
        let point = points[round % points.len()];
        let survived = random.below(PASSES);
        shop.engine().stop().await?;
        shop.engine().set(FAILPOINTS, Some(&format!("{point}={survived}*off->return")));
        // Some points are passed before it listens.
        let listens = shop.engine().start_again().await.is_ok();
        let batch = shop.enter(Load::of(setting.of(60.0, 300.0), 2.0))?;
        let status = if listens { shop.engine().ended(END_WAIT_MAX).await? } else { None };
        let killed = status.is_some_and(|status| status.signal() == Some(SIGKILL));
        deaths += usize::from(!listens || killed);
        if listens && status.is_none() {
            shop.engine().kill().await?;
        }
        shop.engine().set(FAILPOINTS, None);
        shop.repaired();
        slowest = slowest.max(shop.engine().start_again().await?);
        shop.leave(batch).await?;
    }
    let own = vec![
        wants("deaths at the point", rounds.to_string(), deaths, deaths == rounds),
        wants(
            "listens again",
            format!("≤ {} s", START_WAIT_MAX.as_secs()),
            format!("{:.2} s", slowest.as_secs_f64()),
            slowest <= START_WAIT_MAX,
        ),
    ];
    shop.close(own).await
}

/// 44: an item that panics for ever; its neighbours sell.
pub async fn a_poisoned_item(setting: &Setting) -> Result<Evidence> {
    const ROUNDS: usize = 10;
    let opening = Opening {
        binary: Some(setting.failpoints()?),
        environment: &[("ENGINE__SHARDS", "1")],
        ..Opening::default()
    };
    let mut shop = Shop::open(setting, opening).await?;
    shop.expects_panics();
    shop.trade().await?;
    shop.engine().stop().await?;
    let poison = format!("shard-decide=return({})", shop.items()[0]);
    shop.engine().set(FAILPOINTS, Some(&poison));
    shop.engine().start_again().await?;
    let (mut aside, mut sold) = (0, 0);
    let user = shop.own_user(0);
    for _ in 0..ROUNDS {
        let heard = shop.buy(user, 0).await;
        aside += usize::from(heard.outcome == Outcome::ItemQuarantined && heard.status == 503);
        sold += usize::from(shop.buy(user, 1).await.outcome == Outcome::Reserved);
    }
    shop.engine().stop().await?;
    shop.engine().set(FAILPOINTS, None);
    shop.repaired();
    shop.engine().start_again().await?;
    let cured = shop.buy(user, 0).await;
    let is_cured = cured.outcome == Outcome::Reserved;
    let rounds = ROUNDS.to_string();
    let own = vec![
        wants("purchases of it, set aside with 503", rounds.clone(), aside, aside == ROUNDS),
        wants("purchases of its neighbour", rounds, sold, sold == ROUNDS),
        wants("a purchase of it after the cure", "201", cured.status, is_cured),
    ];
    shop.close(own).await
}
