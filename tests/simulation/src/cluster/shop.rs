//! What is on sale in the simulation, to whom, and how long things take.

use domain::{Admission, Buckets, Buy, Currency, ItemId, ItemTerms, SaleId, ShardId, Timestamp};

pub const SHARDS: u16 = 3;
pub const ITEMS_OF_SHARD: u64 = 2;
/// The item that has a bucket in every shard.
pub const HOT: ItemId = ItemId(SHARDS as u64 * ITEMS_OF_SHARD + 1);
/// Its units, of which each bucket has one or two at first.
const HOT_ALLOTTED: u32 = 4;
pub const NODES: usize = 3;
pub const CLIENTS: usize = 6;
/// Fewer than clients: some are two devices of one buyer.
pub const USERS: u64 = 5;
/// Units of each item, few enough to be sold out again and again.
pub const ALLOTTED: u32 = 2;
/// How long a lease lasts without being renewed, in milliseconds of the simulation.
pub const LEASE: u64 = 3_000;
/// How much earlier than it ends a session without an answer is given up.
pub const LEASE_MARGIN: u64 = 600;
/// After which time a call is taken for unanswered.
pub const CALL_TIMEOUT: u64 = 1_000;
/// When a run begins: order ids tell times since 2024.
pub const BEGINNING: u64 = 1_790_000_000_000;

/// The items of a shard, and the one of all shards.
pub fn items_of(shard: ShardId) -> impl Iterator<Item = ItemId> {
    let first = u64::from(shard.0) * ITEMS_OF_SHARD;
    (first + 1..=first + ITEMS_OF_SHARD).map(ItemId).chain([HOT])
}

/// The shard that decides a purchase.
pub fn shard_of(buy: &Buy) -> ShardId {
    let own = ShardId(u16::try_from((buy.item_id.0 - 1) / ITEMS_OF_SHARD).unwrap_or(u16::MAX));
    buckets_of(buy.item_id).shard_of(buy.item_id, buy.user_id).unwrap_or(own)
}

/// The shards that have an item.
pub fn shards_of(item_id: ItemId) -> Vec<ShardId> {
    match buckets_of(item_id).shards() {
        [] => vec![ShardId(u16::try_from((item_id.0 - 1) / ITEMS_OF_SHARD).unwrap_or(u16::MAX))],
        shards => shards.to_vec(),
    }
}

/// The shard of a bucket of the item that has several.
pub fn bucket_shard(bucket: u8) -> ShardId {
    ShardId(bucket.into())
}

fn buckets_of(item_id: ItemId) -> Buckets {
    let shards = (0..SHARDS).filter(|_| item_id == HOT).map(ShardId);
    Buckets::over(shards.collect()).unwrap_or_default()
}

pub fn terms(item_id: ItemId) -> ItemTerms {
    ItemTerms {
        item_id,
        sale_id: SaleId(1),
        product_id: format!("product-{item_id}").into(),
        price: 100 + item_id.0,
        currency: Currency::CNY,
        allotted: if item_id == HOT { HOT_ALLOTTED } else { ALLOTTED },
        limit_per_user: 1,
        // One item of two is never paid for in time.
        payment_window_milliseconds: [600_000, 1_500][(item_id.0 % 2) as usize],
        starts_at: Timestamp(0),
        ends_at: Timestamp::MAX,
        admission: Admission::OPEN,
        buckets: buckets_of(item_id),
    }
}
