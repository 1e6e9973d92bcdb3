//! What a shard holds: its items, orders and buyers, and how they are looked at.
//!
//! Must not decide anything; only `apply.rs`, `snapshot.rs` and `from_order_store.rs` change it.

use super::buyers::BuyerIndex;
use super::orders::{Entry, OrderTable};
use super::payment_table::PaymentTable;
use crate::admission::Admission;
use crate::command::Command;
use crate::exchange::Exchange;
use crate::ids::{ItemId, OrderId, RequestId, ShardId, Timestamp, UserId};
use crate::operation::RememberedOperation;
use crate::order::{Order, OrderStatus};
use crate::sale::{ItemCounters, ItemPhase, ItemTerms};
use std::collections::HashMap;

/// The state of one shard, unsynchronised: its owner calls it from one thread.
#[derive(Debug)]
pub struct Stock {
    pub(super) shard: ShardId,
    pub(super) seq: u64,
    pub(super) at: Timestamp,
    pub(super) last_order_id: OrderId,
    pub(super) items: Vec<ItemState>,
    pub(super) positions: HashMap<ItemId, u32, foldhash::fast::RandomState>,
    pub(super) orders: OrderTable,
    pub(super) payments: PaymentTable,
    pub(super) buyers: BuyerIndex,
    pub(super) expiries: Vec<ExpiryCursor>,
    pub(super) dirty_items: Vec<bool>,
}

/// An item as its shard keeps it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ItemState {
    /// The terms under which it was opened at the preheat.
    pub terms: ItemTerms,
    /// What operators made of it since.
    pub phase: ItemPhase,
    /// The three counters and their sum.
    pub counters: ItemCounters,
    /// How it is guarded now.
    pub admission: Admission,
    /// Whether its orders were released from memory.
    pub settled: bool,
    /// What it has exchanged with the item's other buckets, if it has others.
    pub exchange: Option<Box<Exchange>>,
    /// The number of the last record that concerned it.
    pub last_seq: u64,
    /// The latest operations whose requests are known, oldest first: at most
    /// [`OPERATIONS_REMEMBERED`](crate::operation::OPERATIONS_REMEMBERED).
    pub operations: Vec<RememberedOperation>,
}

impl ItemState {
    /// The item as it is opened in a shard by record `seq`; none if it has several buckets, and none of them
    /// there.
    pub fn opened(terms: ItemTerms, shard: ShardId, seq: u64) -> Option<Self> {
        let counters = terms.counters_in(shard)?;
        let bucket = terms.buckets.number_in(shard);
        Some(Self {
            phase: ItemPhase::Open,
            counters,
            admission: terms.admission,
            settled: false,
            exchange: bucket.map(|bucket| Box::new(Exchange::new(bucket, terms.allotted))),
            last_seq: seq,
            operations: Vec::new(),
            terms,
        })
    }

    /// The remembered operation of this request, if there is one.
    pub fn operation_of(&self, request_id: RequestId) -> Option<&RememberedOperation> {
        self.operations.iter().find(|done| done.request_id == request_id)
    }
}

/// All orders of the shard below `slot` that have this payment window are closed. Orders of equal
/// window expire in the order of their creation, so one number replaces a timer per order.
#[derive(Clone, Copy, Debug)]
pub(super) struct ExpiryCursor {
    pub(super) window_milliseconds: u64,
    pub(super) slot: u32,
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
            payments: PaymentTable::default(),
            buyers: BuyerIndex::default(),
            expiries: Vec::new(),
            dirty_items: Vec::new(),
        }
    }

    /// The shard whose stock this is.
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

    /// Bytes of heap held for orders, buyers and payments.
    pub fn memory_bytes(&self) -> usize {
        self.orders.memory_bytes() + self.buyers.memory_bytes() + self.payments.memory_bytes()
    }

    /// The order, if the shard still holds it.
    pub fn order(&self, order_id: OrderId) -> Option<Order> {
        let slot = self.orders.find(order_id)?;
        self.view(self.orders.get(slot)?)
    }

    /// The order that this buyer got for this request on any item of the shard: the slow look-up
    /// behind a key that may have been used for another item.
    pub fn order_of_request(&self, user_id: UserId, request_id: RequestId) -> Option<Order> {
        (0..self.items.len()).find_map(|position| {
            let newest = self.buyers.find(&self.orders, position as u32, user_id)?;
            self.orders.of_request(newest, request_id).and_then(|entry| self.view(entry))
        })
    }

    /// The buyer's orders of all items of the shard, newest first: at most `limit`, placed before
    /// `before` if given.
    pub fn orders_of(&self, user_id: UserId, before: Option<OrderId>, limit: usize) -> Vec<Order> {
        let mut orders: Vec<Order> = (0..self.items.len())
            .filter_map(|position| self.buyers.find(&self.orders, position as u32, user_id))
            .flat_map(|newest| self.orders.chain(newest))
            .filter(|entry| before.is_none_or(|before| entry.order_id < before))
            .filter_map(|entry| self.view(entry))
            .collect();
        orders.sort_unstable_by_key(|order| std::cmp::Reverse(order.order_id));
        orders.truncate(limit);
        orders
    }

    /// Who placed the orders held that are younger than this one, and by which requests: oldest first, at most
    /// `limit`.
    pub fn requests_after(
        &self,
        after: OrderId,
        limit: usize,
    ) -> Vec<(OrderId, UserId, RequestId)> {
        let entries = self.orders.iter_after(after).take(limit);
        entries.map(|entry| (entry.order_id, entry.user_id, entry.request_id)).collect()
    }

    /// Each order held, oldest first.
    pub fn orders(&self) -> impl Iterator<Item = Order> + '_ {
        self.orders.iter().filter_map(|entry| self.view(entry))
    }

    /// Looks at what deciding the command will look at. Who does so for some commands before the first of them is
    /// decided waits for their memory once, and not for each of them. What is returned means nothing, but a
    /// caller must not let the compiler know that it is not used.
    pub fn warm(&self, command: &Command) -> u64 {
        let slot = match command {
            Command::Buy(buy) => self
                .position(buy.item_id)
                .and_then(|position| self.buyers.find(&self.orders, position, buy.user_id)),
            Command::Pay { order_id, .. } | Command::Cancel { order_id, .. } => {
                self.orders.find(*order_id)
            }
            _ => None,
        };
        slot.and_then(|slot| self.orders.get(slot)).map_or(0, |entry| entry.order_id.0)
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
                    let pending = entry.status == Some(OrderStatus::Reserved)
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

    /// Whether the buyer may have orders of the item here: in its other buckets nobody knows of them.
    pub(super) fn has_bucket_of(&self, item: &ItemState, user_id: UserId) -> bool {
        let terms = &item.terms;
        terms.buckets.shard_of(terms.item_id, user_id).is_none_or(|shard| shard == self.shard)
    }

    pub(super) fn position(&self, item_id: ItemId) -> Option<u32> {
        self.positions.get(&item_id).copied()
    }

    /// The order of an entry; `None` if it was released.
    pub(super) fn view(&self, entry: &Entry) -> Option<Order> {
        let terms = &self.items[entry.item as usize].terms;
        Some(Order {
            order_id: entry.order_id,
            item_id: terms.item_id,
            sale_id: terms.sale_id,
            user_id: entry.user_id,
            request_id: entry.request_id,
            attempt: entry.attempt,
            quantity: entry.quantity,
            amount: terms.price * u64::from(entry.quantity),
            currency: terms.currency,
            status: entry.status?,
            expires_at: entry
                .order_id
                .created_at()
                .plus_milliseconds(terms.payment_window_milliseconds),
        })
    }
}
