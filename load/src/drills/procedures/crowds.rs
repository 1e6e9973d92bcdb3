//! Crowds: of buyers, of items, of repeats, and of clients who lose patience. Drills 35 to 38.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::drills::evidence::{Evidence, wants};
use crate::drills::load::Load;
use crate::drills::opening::Opening;
use crate::drills::setting::Setting;
use crate::drills::shop::Shop;
use crate::outcome::Outcome;
use crate::report::Judged;
use crate::stage::Sampler;
use crate::{Error, Result};

/// What a crowd may cost in memory while it is there.
const GROWN_MIB_MAX: f64 = 96.0;
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// 35: a million buyers for a hundred units of one item.
pub async fn a_million_buyers(setting: &Setting) -> Result<Evidence> {
    let buyers = setting.of(5_000, 1_000_000);
    let opening =
        Opening { items: 1, allotted: 100, limit: 1, users: buyers, ..Opening::default() };
    let mut shop = Shop::open(setting, opening).await?;
    let mut sampler = Sampler::new(vec![shop.engine().process()]);
    let before = sampler.sample(0.0).resident_mib;
    let load = Load { distinct: true, keep: true, ..Load::full(128, setting.of(60.0, 300.0)) };
    let batch = shop.enter(load)?;
    let mut most = before;
    while !batch.is_finished() {
        most = most.max(sampler.sample(0.0).resident_mib);
        tokio::time::sleep(LOOK_EVERY).await;
    }
    let record = shop.leave(batch).await?;
    let orders: BTreeSet<u64> =
        record.confirmations.iter().map(|confirmation| confirmation.order).collect();
    let came = record.offered - record.repeats;
    let own = vec![
        wants("buyers who came", buyers.to_string(), came, came == u64::from(buyers)),
        wants("orders", "100", orders.len(), orders.len() == 100),
        sold_out(&shop).await?,
        grown(before, most),
    ];
    shop.close(own).await
}

/// 36: ten thousand items at once.
pub async fn ten_thousand_items(setting: &Setting) -> Result<Evidence> {
    let items = setting.of(100, 9_999);
    let opening =
        Opening { items, allotted: 50, users: setting.of(2_000, 100_000), ..Opening::default() };
    let mut shop = Shop::open(setting, opening).await?;
    let load = setting.of(Load::of(150.0, 3.0), Load::of(4_000.0, 12.0));
    let record = shop.carry(load).await?;
    let mut sold: BTreeMap<u32, u64> = BTreeMap::new();
    for confirmation in &record.confirmations {
        *sold.entry(confirmation.item).or_default() += 1;
    }
    let least = u64::from(items) * 9 / 10;
    let standings = shop.standings().await?;
    let unbalanced = standings
        .iter()
        .filter(|item| item.allotted != item.available + item.reserved + item.sold)
        .count();
    let own = vec![
        wants("items sold", format!("≥ {least}"), sold.len(), sold.len() as u64 >= least),
        wants("items whose counters do not add up", "0", unbalanced, unbalanced == 0),
    ];
    shop.close(own).await
}

/// 37: ten thousand repeats of one request.
pub async fn ten_thousand_repeats(setting: &Setting) -> Result<Evidence> {
    let mut shop = Shop::open(setting, Opening::default()).await?;
    let times = setting.of(2_000, 10_000);
    let heard = shop.repeat(times, 64).await;
    let orders: BTreeSet<u64> = heard.iter().filter_map(|heard| heard.order).collect();
    let fresh = heard.iter().filter(|heard| heard.outcome == Outcome::Reserved).count();
    let other = heard.iter().filter(|heard| heard.order.is_none()).count();
    let own = vec![
        wants("orders", "1", orders.len(), orders.len() == 1),
        wants("told that it is new", "1", fresh, fresh == 1),
        wants("other answers", "0", other, other == 0),
    ];
    shop.close(own).await
}

/// 38: clients who repeat five times when there is no answer.
pub async fn impatient_clients(setting: &Setting) -> Result<Evidence> {
    const REPEATS: u8 = 5;
    let mut shop = Shop::open(setting, Opening::default()).await?;
    let load = Load {
        timeout: Duration::from_millis(300),
        repeats: REPEATS,
        connections: 64,
        ..Load::of(setting.of(60.0, 400.0), 4.0)
    };
    let batch = shop.enter(load)?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    shop.engine().freeze()?;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    shop.engine().thaw()?;
    shop.repaired();
    let record = shop.leave(batch).await?;
    let lost = record.count(Outcome::TimedOut);
    let firsts = record.offered - record.repeats;
    let most = firsts * u64::from(REPEATS);
    let own = vec![
        wants("requests without an answer", "some", lost, lost > 0),
        wants("repeats", format!("≤ {most}"), record.repeats, record.repeats <= most),
        wants("clients that gave up", "0", record.given_up, record.given_up == 0),
    ];
    shop.close(own).await
}

/// Exactly as many units as there are stand as sold or reserved on the item.
async fn sold_out(shop: &Shop) -> Result<Judged> {
    let standings = shop.standings().await?;
    let hot = standings.first().ok_or_else(|| Error::Server("there is no item".to_owned()))?;
    let (taken, allotted) = (hot.taken(), hot.allotted);
    Ok(wants("units sold", allotted.to_string(), taken, taken == allotted && hot.available == 0))
}

fn grown(before: f64, most: f64) -> Judged {
    let grown = most - before;
    let found = format!("{grown:.0} MiB more");
    wants("memory", format!("≤ {GROWN_MIB_MAX:.0} MiB more"), found, grown <= GROWN_MIB_MAX)
}
