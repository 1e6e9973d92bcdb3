//! What one node asks of another, what it is answered, and how both travel.
//!
//! Numbers of phases, statuses, actions and admissions are the domain's own, which journals keep as well. What
//! does not mean anything here is a [`Malformed`] message, and never guessed at. Must not know how a message
//! is carried, nor who may ask.

mod keys;
mod refusal;
mod room;
#[cfg(test)]
mod tests;

use super::orders::{
    Malformed, currency, decode_asked, decode_notice, decode_order, decode_payment_id,
    decode_payment_outcome, encode_asked, encode_notice, encode_order, encode_payment_id,
    encode_payment_outcome, narrow, reference,
};
use super::proto;
use super::proto::{answer, call, outcome};
use crate::telemetry::traces::TraceContext;
use domain::stock::ItemState;
use domain::{
    Admission, Buckets, Buy, Command, Exchange, ItemAction, ItemCounters, ItemId, ItemPhase,
    ItemTerms, Operation, OperatorRequest, Order, OrderId, OrderStatus, Outcome, Peer, RequestId,
    SaleId, ShardId, Timestamp, Transfer, UnitsWanted, UserId,
};
pub use keys::KEYS_MAX;
use keys::{decode_keys, encode_keys};
use refusal::{decode_refusal, encode_refusal};
pub(super) use room::{Room, room};
use std::time::Duration;

/// What is asked of the node that serves a shard.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ask {
    /// Decides a purchase. The gate of the node that is asked is passed there.
    Buy {
        /// The purchase, of a buyer who was authenticated.
        buy: Buy,
        /// Where its request id comes from, as a number that both nodes agree on.
        origin: u8,
        /// The span of the node that asks, if the purchase is traced.
        trace: Option<TraceContext>,
    },
    /// Decides another command.
    Command(Command),
    /// Reads an order.
    ReadOrder(OrderId),
    /// Reads an order once it has another status than this, or after so long.
    AwaitChange {
        /// Which order is waited for.
        order_id: OrderId,
        /// The status that is known of it.
        known: OrderStatus,
        /// How long it is waited for at most.
        wait: Duration,
    },
    /// Reads the order that a request got, on any item of the shard.
    FindRequest(UserId, RequestId),
    /// Reads an item.
    ReadItem(ItemId),
    /// Reads the buckets of these items, at most [`READ_MAX`], in all shards that the node serves.
    ReadBuckets(Vec<ItemId>),
    /// Tells keys that got orders at this node, at most [`KEYS_MAX`]: by whom, and by which request.
    NoteKeys(Vec<(UserId, RequestId)>),
    /// Finds the order that a request got on another item, in all shards that the node serves.
    FindReuse {
        /// Whose request it is.
        user_id: UserId,
        /// The request's id.
        request_id: RequestId,
        /// The item that the order is not to be of.
        item_id: ItemId,
    },
    /// Reads the clock of the node's sales.
    ReadClock,
    /// Reads the newest orders of a buyer in all shards that the node serves.
    OrdersOf {
        /// Whose orders they are.
        user_id: UserId,
        /// The orders are to be older than this one.
        before: Option<OrderId>,
        /// How many there may be, at most 65,535.
        limit: u16,
    },
}

/// Items whose buckets are read at once: a message of them stays far below what a link takes.
pub const READ_MAX: usize = 16;

/// An item as its shard has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Item {
    /// The terms under which it was opened.
    pub terms: ItemTerms,
    /// What operators made of it since.
    pub phase: ItemPhase,
    /// Its units as of its last durable change.
    pub counters: ItemCounters,
    /// How it is guarded now.
    pub admission: Admission,
    /// Whether its orders are in the order store alone.
    pub is_settled: bool,
    /// The number of the last record that changed it.
    pub seq: u64,
    /// Of one of several buckets, what it has exchanged with the others.
    pub exchange: Option<Box<Exchange>>,
}

impl Item {
    /// The item as a shard's stock has it, without the operations that the shard remembers.
    pub fn into_state(self) -> ItemState {
        ItemState {
            terms: self.terms,
            phase: self.phase,
            counters: self.counters,
            admission: self.admission,
            settled: self.is_settled,
            exchange: self.exchange,
            last_seq: self.seq,
            operations: Vec::new(),
        }
    }
}

/// What a node answers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// The command was decided, and that is durable.
    Decided(Outcome),
    /// It was never decided, for the reason of this number.
    NotDelivered(u8),
    /// It may or may not have been decided.
    Unknown,
    /// The shard is not served there; the name of the node that serves it, if that is known.
    NotOwner(Option<String>),
    /// More is under way than the node takes from one peer; this was not looked at.
    Busy,
    /// The order, if there is one.
    Order(Option<Order>),
    /// The item, if there is one.
    Item(Option<Item>),
    /// Orders, newest first, and the shards that were asked for them.
    Orders(Vec<Order>, Vec<ShardId>),
    /// The buckets, each as its shard has it, by the items that were asked for.
    Buckets(Vec<Item>),
    /// What was told was taken in.
    Noted,
    /// What time it is there.
    Clock(Timestamp),
}

/// Puts what is asked into a message.
///
/// # Errors
/// Returns [`Malformed`] if no other node is ever asked that.
pub(super) fn encode_ask(ask: &Ask) -> Result<call::What, Malformed> {
    let of_order = |order: OrderId, user: UserId| proto::OfOrder { order: order.0, user: user.0 };
    Ok(match ask {
        Ask::Buy { buy, origin, trace } => call::What::Buy(proto::Buy {
            item: buy.item_id.0,
            user: buy.user_id.0,
            request: buy.request_id.0,
            quantity: u32::from(buy.quantity),
            origin: u32::from(*origin),
            traceparent: trace.map(|trace| trace.to_string()).unwrap_or_default(),
        }),
        Ask::Command(Command::Pay { order_id, user_id }) => {
            call::What::Pay(of_order(*order_id, *user_id))
        }
        Ask::Command(Command::Cancel { order_id, user_id }) => {
            call::What::Cancel(of_order(*order_id, *user_id))
        }
        Ask::Command(Command::StartPayment(asked)) => call::What::StartPayment(encode_asked(asked)),
        Ask::Command(Command::NotePayment(notice)) => {
            call::What::NotePayment(encode_notice(notice))
        }
        Ask::Command(Command::Refund { id, reference }) => call::What::Refund(proto::Refund {
            id: Some(encode_payment_id(*id)),
            reference: reference.to_string(),
        }),
        Ask::Command(Command::Open(terms)) => call::What::Open(encode_terms(terms)),
        Ask::Command(Command::Operate(operation)) => {
            call::What::Operate(encode_operation(operation))
        }
        Ask::Command(Command::SendUnits(UnitsWanted { item_id, to, units, .. })) => {
            let (item, to) = (item_id.0, u32::from(*to));
            call::What::SendUnits(proto::UnitsWanted { item, to, units: *units })
        }
        Ask::Command(Command::ReceiveUnits(transfer)) => {
            call::What::ReceiveUnits(encode_transfer(transfer))
        }
        Ask::Command(Command::SettleTransfer(transfer)) => {
            call::What::SettleTransfer(encode_transfer(transfer))
        }
        Ask::Command(Command::Buy(_) | Command::Expire { .. } | Command::Settle { .. }) => {
            return Err(Malformed("a command of the shard's own"));
        }
        Ask::AwaitChange { order_id, known, wait } => call::What::AwaitChange(proto::AwaitChange {
            order: order_id.0,
            status: *known as u32,
            wait_ms: u32::try_from(wait.as_millis()).unwrap_or(u32::MAX),
        }),
        Ask::ReadOrder(order_id) => call::What::ReadOrder(proto::ReadOrder { order: order_id.0 }),
        Ask::FindRequest(user, request) => {
            call::What::FindRequest(proto::FindRequest { user: user.0, request: request.0 })
        }
        Ask::ReadItem(item_id) => call::What::ReadItem(proto::ReadItem { item: item_id.0 }),
        Ask::ReadBuckets(items) => call::What::ReadBuckets(proto::ReadBuckets {
            items: items.iter().map(|item_id| item_id.0).collect(),
        }),
        Ask::NoteKeys(keys) => call::What::NoteKeys(encode_keys(keys)),
        Ask::ReadClock => call::What::ReadClock(proto::ReadClock {}),
        Ask::FindReuse { user_id, request_id, item_id } => {
            let (user, request, item) = (user_id.0, request_id.0, item_id.0);
            call::What::FindReuse(proto::FindReuse { user, request, item })
        }
        Ask::OrdersOf { user_id, before, limit } => call::What::OrdersOf(proto::OrdersOf {
            user: user_id.0,
            before: before.map_or(0, |before| before.0),
            limit: u32::from(*limit),
        }),
    })
}

/// Reads what is asked.
///
/// # Errors
/// Returns [`Malformed`] if it means nothing here.
pub(super) fn decode_ask(what: Option<call::What>) -> Result<Ask, Malformed> {
    Ok(match what.ok_or(Malformed("an unknown call"))? {
        call::What::Buy(buy) => Ask::Buy {
            buy: Buy {
                item_id: ItemId(buy.item),
                user_id: UserId(buy.user),
                request_id: RequestId(buy.request),
                quantity: narrow(buy.quantity, "quantity")?,
            },
            origin: narrow(buy.origin, "origin")?,
            // One that is not sound says nothing, and is no reason to refuse a purchase.
            trace: TraceContext::parse(buy.traceparent.as_bytes()),
        },
        call::What::Pay(proto::OfOrder { order, user }) => {
            Ask::Command(Command::Pay { order_id: OrderId(order), user_id: UserId(user) })
        }
        call::What::Cancel(proto::OfOrder { order, user }) => {
            Ask::Command(Command::Cancel { order_id: OrderId(order), user_id: UserId(user) })
        }
        call::What::StartPayment(asked) => {
            Ask::Command(Command::StartPayment(Box::new(decode_asked(&asked)?)))
        }
        call::What::NotePayment(notice) => {
            Ask::Command(Command::NotePayment(Box::new(decode_notice(notice)?)))
        }
        call::What::Refund(proto::Refund { id, reference: text }) => {
            let (id, reference) = (decode_payment_id(id)?, reference(&text)?);
            Ask::Command(Command::Refund { id, reference })
        }
        call::What::Open(terms) => Ask::Command(Command::Open(decode_terms(terms)?)),
        call::What::Operate(operation) => {
            Ask::Command(Command::Operate(decode_operation(operation)?))
        }
        call::What::SendUnits(proto::UnitsWanted { item, to, units }) => {
            let (item_id, to) = (ItemId(item), narrow(to, "bucket")?);
            let wanted = UnitsWanted { item_id, to, units, buyers_wait: false };
            Ask::Command(Command::SendUnits(wanted))
        }
        call::What::ReceiveUnits(transfer) => {
            Ask::Command(Command::ReceiveUnits(decode_transfer(transfer)?))
        }
        call::What::SettleTransfer(transfer) => {
            Ask::Command(Command::SettleTransfer(decode_transfer(transfer)?))
        }
        call::What::AwaitChange(proto::AwaitChange { order, status, wait_ms }) => {
            let known = OrderStatus::from_number(narrow(status, "status")?);
            Ask::AwaitChange {
                order_id: OrderId(order),
                known: known.ok_or(Malformed("status"))?,
                wait: Duration::from_millis(u64::from(wait_ms)),
            }
        }
        call::What::ReadOrder(proto::ReadOrder { order }) => Ask::ReadOrder(OrderId(order)),
        call::What::FindRequest(proto::FindRequest { user, request }) => {
            Ask::FindRequest(UserId(user), RequestId(request))
        }
        call::What::ReadItem(proto::ReadItem { item }) => Ask::ReadItem(ItemId(item)),
        call::What::ReadBuckets(proto::ReadBuckets { items }) if items.len() <= READ_MAX => {
            Ask::ReadBuckets(items.into_iter().map(ItemId).collect())
        }
        call::What::ReadBuckets(_) => return Err(Malformed("too many items")),
        call::What::NoteKeys(keys) => Ask::NoteKeys(decode_keys(&keys)?),
        call::What::FindReuse(asked) => decode_reuse(asked),
        call::What::ReadClock(proto::ReadClock {}) => Ask::ReadClock,
        call::What::OrdersOf(proto::OrdersOf { user, before, limit }) => Ask::OrdersOf {
            user_id: UserId(user),
            before: (before != 0).then_some(OrderId(before)),
            limit: narrow(limit, "limit")?,
        },
    })
}

fn decode_reuse(asked: proto::FindReuse) -> Ask {
    let proto::FindReuse { user, request, item } = asked;
    let (user_id, request_id, item_id) = (UserId(user), RequestId(request), ItemId(item));
    Ask::FindReuse { user_id, request_id, item_id }
}

/// Puts an answer into a message.
pub(super) fn encode_answer(answer: Answer) -> answer::What {
    match answer {
        Answer::Decided(outcome) => answer::What::Decided(encode_outcome(outcome)),
        Answer::NotDelivered(reason) => answer::What::NotDelivered(u32::from(reason)),
        Answer::Unknown => answer::What::Unknown(proto::Unknown {}),
        Answer::NotOwner(node) => {
            answer::What::NotOwner(proto::NotOwner { node: node.unwrap_or_default() })
        }
        Answer::Busy => answer::What::Busy(proto::Busy {}),
        Answer::Order(order) => {
            answer::What::Order(proto::FoundOrder { order: order.as_ref().map(encode_order) })
        }
        Answer::Item(item) => {
            answer::What::Item(proto::FoundItem { item: item.as_ref().map(encode_item) })
        }
        Answer::Orders(orders, shards) => answer::What::Orders(proto::FoundOrders {
            orders: orders.iter().map(encode_order).collect(),
            shards: shards.iter().map(|shard| u32::from(shard.0)).collect(),
        }),
        Answer::Buckets(items) => answer::What::Buckets(proto::FoundBuckets {
            items: items.iter().map(encode_item).collect(),
        }),
        Answer::Noted => answer::What::Noted(proto::Noted {}),
        Answer::Clock(now) => answer::What::Clock(proto::Clock { now: now.0 }),
    }
}

/// Reads an answer.
///
/// # Errors
/// Returns [`Malformed`] if it means nothing here.
pub(super) fn decode_answer(what: Option<answer::What>) -> Result<Answer, Malformed> {
    Ok(match what.ok_or(Malformed("an unknown answer"))? {
        answer::What::Decided(outcome) => Answer::Decided(decode_outcome(outcome)?),
        answer::What::NotDelivered(reason) => Answer::NotDelivered(narrow(reason, "reason")?),
        answer::What::Unknown(proto::Unknown {}) => Answer::Unknown,
        answer::What::NotOwner(proto::NotOwner { node }) => {
            Answer::NotOwner((!node.is_empty()).then_some(node))
        }
        answer::What::Busy(proto::Busy {}) => Answer::Busy,
        answer::What::Order(proto::FoundOrder { order }) => {
            Answer::Order(order.map(decode_order).transpose()?)
        }
        answer::What::Item(proto::FoundItem { item }) => {
            Answer::Item(item.map(decode_item).transpose()?)
        }
        answer::What::Orders(proto::FoundOrders { orders, shards }) => {
            let orders: Result<_, _> = orders.into_iter().map(decode_order).collect();
            let shards = shards.into_iter().map(|shard| Ok(ShardId(narrow(shard, "shard")?)));
            Answer::Orders(orders?, shards.collect::<Result<_, _>>()?)
        }
        answer::What::Buckets(proto::FoundBuckets { items }) => {
            Answer::Buckets(items.into_iter().map(decode_item).collect::<Result<_, _>>()?)
        }
        answer::What::Noted(proto::Noted {}) => Answer::Noted,
        answer::What::Clock(proto::Clock { now }) => Answer::Clock(Timestamp(now)),
    })
}

fn encode_terms(terms: &ItemTerms) -> proto::Terms {
    proto::Terms {
        item: terms.item_id.0,
        sale: terms.sale_id.0,
        product: terms.product_id.to_string(),
        price: terms.price,
        currency: terms.currency.to_string(),
        allotted: terms.allotted,
        limit_per_user: u32::from(terms.limit_per_user),
        payment_window_ms: terms.payment_window_milliseconds,
        starts_at: terms.starts_at.0,
        ends_at: terms.ends_at.0,
        admission: terms.admission.number(),
        buckets: terms.buckets.shards().iter().map(|shard| u32::from(shard.0)).collect(),
    }
}

fn decode_terms(terms: proto::Terms) -> Result<ItemTerms, Malformed> {
    let shards = terms.buckets.into_iter().map(|shard| Ok(ShardId(narrow(shard, "shard")?)));
    let buckets = Buckets::over(shards.collect::<Result<_, _>>()?).ok_or(Malformed("buckets"))?;
    Ok(ItemTerms {
        item_id: ItemId(terms.item),
        sale_id: SaleId(terms.sale),
        product_id: terms.product.into_boxed_str(),
        price: terms.price,
        currency: currency(&terms.currency)?,
        allotted: terms.allotted,
        limit_per_user: narrow(terms.limit_per_user, "limit")?,
        payment_window_milliseconds: terms.payment_window_ms,
        starts_at: Timestamp(terms.starts_at),
        ends_at: Timestamp(terms.ends_at),
        admission: admission(terms.admission)?,
        buckets,
    })
}

fn encode_transfer(transfer: &Transfer) -> proto::Transfer {
    let Transfer { item_id, from, to, number, units } = *transfer;
    proto::Transfer { item: item_id.0, from: from.into(), to: to.into(), number, units }
}

fn decode_transfer(transfer: proto::Transfer) -> Result<Transfer, Malformed> {
    let proto::Transfer { item, from, to, number, units } = transfer;
    let (from, to) = (narrow(from, "bucket")?, narrow(to, "bucket")?);
    Ok(Transfer { item_id: ItemId(item), from, to, number, units })
}

fn encode_exchange(exchange: &Exchange) -> proto::Exchange {
    let others = exchange.peers.iter().map(|peer| {
        let Peer { bucket, sent, open_units, received } = *peer;
        proto::Exchanged { bucket: bucket.into(), sent, open_units, received }
    });
    proto::Exchange {
        bucket: exchange.bucket.into(),
        allotted: exchange.allotted,
        others: others.collect(),
    }
}

fn decode_exchange(exchange: proto::Exchange) -> Result<Exchange, Malformed> {
    let peers = exchange.others.into_iter().map(|other| {
        let proto::Exchanged { bucket, sent, open_units, received } = other;
        Ok(Peer { bucket: narrow(bucket, "bucket")?, sent, open_units, received })
    });
    let peers: Vec<Peer> = peers.collect::<Result<_, _>>()?;
    if !peers.is_sorted_by(|one, next| one.bucket < next.bucket) {
        return Err(Malformed("buckets out of place"));
    }
    let bucket = narrow(exchange.bucket, "bucket")?;
    Ok(Exchange { bucket, allotted: exchange.allotted, peers })
}

fn encode_operation(operation: &Operation) -> proto::Operation {
    let request = operation.request.as_ref();
    proto::Operation {
        item: operation.item_id.0,
        action: u32::from(operation.action.number()),
        value: operation.action.value(),
        operator: request.map(|request| request.operator.to_string()).unwrap_or_default(),
        request: request.and_then(|request| request.request_id).map_or(0, |id| id.0),
    }
}

fn decode_operation(operation: proto::Operation) -> Result<Operation, Malformed> {
    let action = ItemAction::from_number(narrow(operation.action, "action")?, operation.value);
    let request = (!operation.operator.is_empty()).then(|| OperatorRequest {
        operator: operation.operator.into_boxed_str(),
        request_id: (operation.request != 0).then_some(RequestId(operation.request)),
    });
    let (item_id, action) = (ItemId(operation.item), action.ok_or(Malformed("action"))?);
    Ok(Operation { item_id, action, request })
}

fn encode_item(item: &Item) -> proto::Item {
    proto::Item {
        terms: Some(encode_terms(&item.terms)),
        phase: item.phase as u32,
        counters: Some(encode_counters(item.counters)),
        admission: item.admission.number(),
        settled: item.is_settled,
        seq: item.seq,
        exchange: item.exchange.as_deref().map(encode_exchange),
    }
}

fn decode_item(item: proto::Item) -> Result<Item, Malformed> {
    let phase = ItemPhase::from_number(narrow(item.phase, "phase")?);
    Ok(Item {
        terms: decode_terms(item.terms.ok_or(Malformed("terms"))?)?,
        phase: phase.ok_or(Malformed("phase"))?,
        counters: decode_counters(item.counters.ok_or(Malformed("counters"))?),
        admission: admission(item.admission)?,
        is_settled: item.settled,
        seq: item.seq,
        exchange: item.exchange.map(decode_exchange).transpose()?.map(Box::new),
    })
}

fn encode_counters(counters: ItemCounters) -> proto::Counters {
    let ItemCounters { allotted, available, reserved, sold } = counters;
    proto::Counters { allotted, available, reserved, sold }
}

fn decode_counters(counters: proto::Counters) -> ItemCounters {
    let proto::Counters { allotted, available, reserved, sold } = counters;
    ItemCounters { allotted, available, reserved, sold }
}

fn encode_outcome(outcome: Outcome) -> proto::Outcome {
    let what = match outcome {
        Outcome::Placed(order) => outcome::What::Placed(encode_order(&order)),
        Outcome::Replayed(order) => outcome::What::Replayed(encode_order(&order)),
        Outcome::Order(order) => outcome::What::Order(encode_order(&order)),
        Outcome::Payment(paid) => outcome::What::Payment(encode_payment_outcome(&paid)),
        Outcome::Item(counters) => outcome::What::Item(encode_counters(counters)),
        Outcome::ItemReplayed(counters) => outcome::What::ItemReplayed(encode_counters(counters)),
        Outcome::Transferred(transfer) => outcome::What::Transferred(encode_transfer(&transfer)),
        Outcome::Refused(refusal) => outcome::What::Refused(encode_refusal(refusal)),
    };
    proto::Outcome { what: Some(what) }
}

fn decode_outcome(outcome: proto::Outcome) -> Result<Outcome, Malformed> {
    Ok(match outcome.what.ok_or(Malformed("an unknown outcome"))? {
        outcome::What::Placed(order) => Outcome::Placed(decode_order(order)?),
        outcome::What::Replayed(order) => Outcome::Replayed(decode_order(order)?),
        outcome::What::Order(order) => Outcome::Order(decode_order(order)?),
        outcome::What::Payment(paid) => Outcome::Payment(decode_payment_outcome(paid)?),
        outcome::What::Item(counters) => Outcome::Item(decode_counters(counters)),
        outcome::What::ItemReplayed(counters) => Outcome::ItemReplayed(decode_counters(counters)),
        outcome::What::Transferred(transfer) => Outcome::Transferred(decode_transfer(transfer)?),
        outcome::What::Refused(refusal) => Outcome::Refused(decode_refusal(refusal)?),
    })
}

fn admission(number: u64) -> Result<Admission, Malformed> {
    Admission::from_number(number).ok_or(Malformed("admission"))
}
