//! The stock of one shard: a state machine over its records.
//!
//! [`Stock::decide`] (in `decide.rs`) looks and proposes, [`Stock::apply`] (in `apply.rs`) is the
//! only thing that changes state, live and in recovery alike; so a recovered shard equals the one
//! that died (I9). Owns items, orders and buyers of the shard; knows no clock, no disk, no actor.

mod apply;
mod buyers;
mod decide;
mod from_order_store;
mod orders;

pub use apply::Violation;
pub use decide::Decision;
pub use orders::{CHUNK_ENTRIES, Chunk, Entry};

use crate::ids::{ItemId, OrderId, ShardId, Timestamp, UserId};
use crate::order::{Order, OrderStatus};
use crate::sale::{ItemCounters, ItemPhase, ItemTerms};
use buyers::BuyerIndex;
use orders::OrderTable;
use std::collections::HashMap;
use std::sync::Arc;

/// Orders beyond its limit that one buyer may place for one item, having cancelled the others:
/// bounds the chain of a buyer's orders, and with it the work of one purchase.
pub const SPARE_ATTEMPTS: u16 = 100;

/// The unsynchronised state of one shard. See the module.
#[derive(Debug)]
pub struct Stock {
    shard: ShardId,
    seq: u64,
    at: Timestamp,
    last_order_id: OrderId,
    items: Vec<ItemState>,
    positions: HashMap<ItemId, u32, foldhash::fast::RandomState>,
    orders: OrderTable,
    buyers: BuyerIndex,
    expiries: Vec<ExpiryCursor>,
    dirty_items: Vec<bool>,
}

/// An item as its shard keeps it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ItemState {
    /// What was agreed at the preheat.
    pub terms: ItemTerms,
    /// What operators made of it since.
    pub phase: ItemPhase,
    /// The three counters and their sum.
    pub counters: ItemCounters,
    /// Whether its orders were let go.
    pub settled: bool,
    /// The last record that concerned it.
    pub last_seq: u64,
}

/// All orders of the shard below `slot` that have this payment window are closed. Orders of equal
/// window expire in the order of their creation, so one number replaces a timer per order.
#[derive(Clone, Copy, Debug)]
struct ExpiryCursor {
    window_milliseconds: u64,
    slot: u32,
}

/// What changed since the last capture: a checkpoint's increment, cheap to take because chunks are
/// shared and copied only when written again.
#[derive(Clone, Debug)]
pub struct Changes {
    /// Whose.
    pub shard: ShardId,
    /// State as of this record.
    pub seq: u64,
    /// When that record was decided.
    pub at: Timestamp,
    /// The newest order's identity.
    pub last_order_id: OrderId,
    /// Changed items: position and state.
    pub items: Vec<(u32, ItemState)>,
    /// Changed chunks of orders: number and content, `None` where all its orders were let go.
    pub chunks: Vec<(u32, Option<Arc<Chunk>>)>,
}

/// A whole checkpoint, as a store gives it back.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// State as of this record.
    pub seq: u64,
    /// When that record was decided.
    pub at: Timestamp,
    /// The newest order's identity.
    pub last_order_id: OrderId,
    /// All items, by position from 0 without a gap.
    pub items: Vec<ItemState>,
    /// All chunks of orders, by number from 0; `None` where its orders were let go.
    pub chunks: Vec<Option<Arc<Chunk>>>,
}

impl Stock {
    /// An empty shard.
    pub fn new(shard: ShardId) -> Self {
        Self {
            shard,
            seq: 0,
            at: Timestamp::default(),
            last_order_id: OrderId(0),
            items: Vec::new(),
            positions: HashMap::default(),
            orders: OrderTable::default(),
            buyers: BuyerIndex::default(),
            expiries: Vec::new(),
            dirty_items: Vec::new(),
        }
    }

    /// The shard as of a checkpoint.
    ///
    /// # Errors
    /// Where the snapshot contradicts itself: it is not to be used.
    pub fn restore(shard: ShardId, snapshot: Snapshot) -> Result<Self, Violation> {
        let mut stock = Self::new(shard);
        stock.seq = snapshot.seq;
        stock.at = snapshot.at;
        stock.last_order_id = snapshot.last_order_id;
        for item in snapshot.items {
            stock.insert_item(item)?;
        }
        for cursor in &mut stock.expiries {
            cursor.slot = 0;
        }
        stock.orders = OrderTable::restore(snapshot.chunks);
        stock.rebuild_buyers()?;
        stock.dirty_items.fill(false);
        Ok(stock)
    }

    /// Whose stock this is.
    pub fn shard(&self) -> ShardId {
        self.shard
    }

    /// The number of the last applied record, 0 before the first.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// When the last applied record was decided.
    pub fn at(&self) -> Timestamp {
        self.at
    }

    /// The item's state.
    pub fn item(&self, item_id: ItemId) -> Option<&ItemState> {
        self.position(item_id).map(|position| &self.items[position as usize])
    }

    /// All items, in the order of their preheat.
    pub fn items(&self) -> &[ItemState] {
        &self.items
    }

    /// How many orders are held in memory.
    pub fn order_count(&self) -> usize {
        self.orders.held()
    }

    /// Bytes of heap held for orders and buyers.
    pub fn memory_bytes(&self) -> usize {
        self.orders.memory_bytes() + self.buyers.memory_bytes()
    }

    /// The order, if the shard still holds it.
    pub fn order(&self, order_id: OrderId) -> Option<Order> {
        let slot = self.orders.find(order_id)?;
        Some(self.view(self.orders.get(slot)?))
    }

    /// The order that this buyer got for this request on any item of the shard: the slow look-up
    /// behind a key that may have been used for another item.
    pub fn order_of_request(
        &self,
        user_id: UserId,
        request_id: crate::ids::RequestId,
    ) -> Option<Order> {
        (0..self.items.len()).find_map(|position| {
            let head = self.buyers.find(&self.orders, position as u32, user_id)?;
            self.orders
                .chain(head)
                .find(|entry| entry.request_id == request_id)
                .map(|entry| self.view(entry))
        })
    }

    /// The buyer's orders of all items of the shard, newest first: at most `limit`, placed before
    /// `before` if given.
    pub fn orders_of(&self, user_id: UserId, before: Option<OrderId>, limit: usize) -> Vec<Order> {
        let mut orders: Vec<Order> = (0..self.items.len())
            .filter_map(|position| self.buyers.find(&self.orders, position as u32, user_id))
            .flat_map(|newest| self.orders.chain(newest))
            .filter(|entry| before.is_none_or(|before| entry.order_id < before))
            .map(|entry| self.view(entry))
            .collect();
        orders.sort_unstable_by_key(|order| std::cmp::Reverse(order.order_id));
        orders.truncate(limit);
        orders
    }

    /// Each order held, oldest first.
    pub fn orders(&self) -> impl Iterator<Item = Order> + '_ {
        self.orders.iter().map(|entry| self.view(entry))
    }

    /// Up to `limit` reserved orders whose payment window is over at `now`.
    ///
    /// Moves the cursors past closed orders, so the work is spread over the calls and each order is
    /// passed once per payment window in use.
    pub fn due(&mut self, now: Timestamp, limit: usize) -> Vec<OrderId> {
        const SCAN_MAX: usize = 1 << 16;
        let mut due = Vec::new();
        for cursor in &mut self.expiries {
            let mut slot = cursor.slot;
            let mut closed_so_far = true;
            for _ in 0..SCAN_MAX {
                if slot >= self.orders.len() || due.len() >= limit {
                    break;
                }
                if let Some(entry) = self.orders.get(slot) {
                    let terms = &self.items[entry.item as usize].terms;
                    let window = terms.payment_window_milliseconds;
                    let pending = entry.status == OrderStatus::Reserved as u8
                        && window == cursor.window_milliseconds;
                    if pending {
                        if entry.order_id.created_at().plus_milliseconds(window) > now {
                            break;
                        }
                        closed_so_far = false;
                        due.push(entry.order_id);
                    }
                }
                slot += 1;
                if closed_so_far {
                    cursor.slot = slot;
                }
            }
        }
        due
    }

    /// What changed since the last call: the next checkpoint's increment.
    pub fn take_changes(&mut self) -> Changes {
        let mut items = Vec::new();
        for (position, dirty) in self.dirty_items.iter_mut().enumerate() {
            if std::mem::take(dirty) {
                items.push((position as u32, self.items[position].clone()));
            }
        }
        Changes {
            shard: self.shard,
            seq: self.seq,
            at: self.at,
            last_order_id: self.last_order_id,
            items,
            chunks: self.orders.take_dirty(),
        }
    }

    /// Marks changes as not yet kept by any checkpoint: their write failed.
    pub fn put_back(&mut self, changes: &Changes) {
        for (position, _) in &changes.items {
            self.dirty_items[*position as usize] = true;
        }
        for (chunk, _) in &changes.chunks {
            self.orders.mark_dirty(*chunk);
        }
    }

    /// Everything, for a first checkpoint or a comparison (I9).
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            seq: self.seq,
            at: self.at,
            last_order_id: self.last_order_id,
            items: self.items.clone(),
            chunks: self.orders.chunks(),
        }
    }

    fn position(&self, item_id: ItemId) -> Option<u32> {
        self.positions.get(&item_id).copied()
    }

    fn view(&self, entry: &Entry) -> Order {
        let terms = &self.items[entry.item as usize].terms;
        Order {
            order_id: entry.order_id,
            item_id: terms.item_id,
            sale_id: terms.sale_id,
            user_id: entry.user_id,
            request_id: entry.request_id,
            attempt: entry.attempt,
            quantity: entry.quantity,
            amount: terms.price * u64::from(entry.quantity),
            currency: terms.currency,
            status: OrderStatus::from_number(entry.status).unwrap_or(OrderStatus::Reserved),
            expires_at: entry
                .order_id
                .created_at()
                .plus_milliseconds(terms.payment_window_milliseconds),
        }
    }
}
