//! A journal begun anew where the old one is lost: from what order store and checkpoints hold.
//!
//! Each shard begins behind the last record that the order store holds. Where its checkpoint is ahead,
//! what that knows besides is written down once more, as records with new numbers; so the order store
//! gets it from the new journal as it gets everything else. In the end every item that still sells is
//! paused: what was lost is for a person to judge. Must not know where the journal is written.

use super::recovery::{RecoveryError, from_checkpoint, from_orders};
use crate::store::checkpoint::{CheckpointError, CheckpointStore};
use crate::store::journal::JournalId;
use crate::store::orders::OrderStore;
use crate::store::orders::ownership;
use domain::stock::Violation;
use domain::{
    Event, ItemAction, ItemId, ItemPhase, Operation, Order, OrderPayments, OrderStatus, Payment,
    PaymentRecord, PaymentState, Record, ShardId, Stock, Timestamp,
};
use std::collections::HashSet;

/// The shards as they begin anew.
#[derive(Debug)]
pub struct Renewal {
    /// Each shard, by number.
    pub shards: Vec<RenewedShard>,
    /// The last owner that wrote a checkpoint; the new journal's owner is above it (I15).
    pub last_epoch: u64,
}

impl Renewal {
    /// How many items were selling and are paused now; one that is sold from several shards is one.
    pub fn paused_items(&self) -> usize {
        let pauses =
            self.shards.iter().flat_map(|shard| shard.records.iter().skip(shard.from_checkpoint));
        pauses.map(|record| record.event.item_id()).collect::<HashSet<_>>().len()
    }
}

/// A shard that begins anew.
#[derive(Debug)]
pub struct RenewedShard {
    /// Its state after the records.
    pub stock: Stock,
    /// The last record that the order store holds: the journal begins behind it.
    pub base_seq: u64,
    /// What the new journal begins with.
    pub records: Vec<Record>,
    /// How many of them the checkpoint alone knew.
    pub from_checkpoint: usize,
}

/// Makes the shards from the order store, and from the checkpoints that are ahead of it. Changes neither.
/// `now` is the wall clock's time.
///
/// # Errors
/// Returns [`RecoveryError`] if a store does not answer, is another journal's, or contradicts itself.
pub async fn renew(
    journal_id: JournalId,
    checkpoints: Option<&CheckpointStore>,
    orders: &OrderStore,
    shards: u16,
    now: Timestamp,
) -> Result<Renewal, RecoveryError> {
    ownership::check_owner(orders, journal_id).await?;
    let last_epoch = match checkpoints {
        None => 0,
        Some(checkpoints) => {
            let marks = checkpoints.marks(shards).await.map_err(refused)?;
            marks.iter().map(|(_, mark)| mark.epoch).max().unwrap_or(0)
        }
    };
    let all: Vec<ShardId> = (0..shards).map(ShardId).collect();
    let mut renewed = Vec::with_capacity(all.len());
    for stock in from_orders(orders, &all, &[]).await? {
        let newer = match checkpoints {
            None => None,
            Some(checkpoints) => newer_checkpoint(checkpoints, &stock).await?,
        };
        let shard = Writer::of(stock, now).finish(newer.as_ref());
        renewed.push(shard.map_err(RecoveryError::Sales)?);
    }
    Ok(Renewal { shards: renewed, last_epoch })
}

/// The shard as its checkpoint has it, if that is ahead of `stock`.
async fn newer_checkpoint(
    checkpoints: &CheckpointStore,
    stock: &Stock,
) -> Result<Option<Stock>, RecoveryError> {
    let shard = stock.shard();
    match from_checkpoint(checkpoints, shard).await {
        Ok(found) => Ok(found.map(|(newer, _)| newer).filter(|newer| newer.seq() > stock.seq())),
        Err(error @ CheckpointError::Corrupt(_)) => {
            tracing::warn!(%shard, %error, "beginning anew without the checkpoint");
            Ok(None)
        }
        Err(error) => Err(refused(error)),
    }
}

fn refused(error: CheckpointError) -> RecoveryError {
    match error {
        error @ CheckpointError::Foreign { .. } => RecoveryError::ForeignCheckpoint(error),
        error => RecoveryError::Checkpoints(error),
    }
}

/// Writes the records that lead a shard's state on.
struct Writer {
    stock: Stock,
    base_seq: u64,
    records: Vec<Record>,
    at: Timestamp,
}

impl Writer {
    fn of(stock: Stock, now: Timestamp) -> Self {
        let (base_seq, at) = (stock.seq(), now.max(stock.at()));
        Self { stock, base_seq, records: Vec::new(), at }
    }

    /// Leads on to `newer`, if there is one, and pauses what still sells; what has several buckets, it ends.
    fn finish(mut self, newer: Option<&Stock>) -> Result<RenewedShard, Violation> {
        if let Some(newer) = newer {
            self.at = self.at.max(newer.at());
            self.open_items(newer)?;
            for order in newer.orders() {
                self.grant(&order)?;
            }
            for payments in newer.payments() {
                self.follow_payments(payments)?;
            }
            for order in newer.orders() {
                self.follow(&order)?;
            }
            self.follow_phases(newer)?;
        }
        let from_checkpoint = self.records.len();
        let selling = self.stock.items().to_vec();
        for item in selling {
            let item_id = item.terms.item_id;
            match item.phase {
                _ if item.settled => {}
                ItemPhase::Ended => {}
                // Of units that were between its buckets each shard may know something else.
                _ if item.exchange.is_some() => self.operate(item_id, ItemAction::End)?,
                ItemPhase::Open => self.operate(item_id, ItemAction::Pause)?,
                ItemPhase::Paused => {}
            }
        }
        let Self { stock, base_seq, records, .. } = self;
        Ok(RenewedShard { stock, base_seq, records, from_checkpoint })
    }

    fn open_items(&mut self, newer: &Stock) -> Result<(), Violation> {
        for item in newer.items() {
            let item_id = item.terms.item_id;
            if self.stock.item(item_id).is_none() {
                self.write(Event::ItemOpened(item.terms.clone()))?;
            }
            let allotted = self.stock.item(item_id).map_or(0, |item| item.counters.allotted);
            let units = item.counters.allotted.saturating_sub(allotted);
            if units > 0 {
                self.operate(item_id, ItemAction::Restock(units))?;
            }
        }
        Ok(())
    }

    fn grant(&mut self, order: &Order) -> Result<(), Violation> {
        if self.stock.order(order.order_id).is_none() {
            self.write_order(order, OrderStatus::Reserved)?;
        }
        Ok(())
    }

    /// Leads an order's payments on to their newer states. The one that pays it does so in its record.
    fn follow_payments(&mut self, newer: &OrderPayments) -> Result<(), Violation> {
        let order_id = newer.order.order_id;
        for payment in &newer.payments {
            let known =
                self.stock.payments_of(order_id).iter().find(|known| known.id == payment.id);
            let known = known.map(|known| known.state);
            let first = match (payment.state, known) {
                (PaymentState::Failed, None) => Some(PaymentState::Started),
                (PaymentState::Refunded, Some(PaymentState::RefundDue)) => None,
                (PaymentState::Refunded, known) if known != Some(PaymentState::Refunded) => {
                    Some(PaymentState::RefundDue)
                }
                _ => None,
            };
            let last = Some(payment.state).filter(|state| known != Some(*state));
            for state in first.into_iter().chain(last) {
                let refund_reference =
                    payment.refund_reference.clone().filter(|_| state == PaymentState::Refunded);
                let payment = Payment { state, refund_reference, ..payment.clone() };
                self.write_payment(payment, &newer.order)?;
            }
        }
        Ok(())
    }

    /// Writes a payment of an order that is as given, unless the shard still has it.
    fn write_payment(&mut self, payment: Payment, released: &Order) -> Result<(), Violation> {
        let mut order = self.stock.order(released.order_id).unwrap_or(*released);
        let status_before = order.status;
        if payment.state == PaymentState::Captured {
            order.status = OrderStatus::Paid;
        }
        self.write(Event::Payment(Box::new(PaymentRecord { payment, order, status_before })))
    }

    /// Leads an order on to its newer state, by the steps that a record has each.
    fn follow(&mut self, order: &Order) -> Result<(), Violation> {
        let known = self.stock.order(order.order_id).map(|order| order.status);
        if known == Some(OrderStatus::Reserved) && order.status == OrderStatus::RefundDue {
            self.write_order(order, OrderStatus::Expired)?;
        }
        if known != Some(order.status) {
            self.write_order(order, order.status)?;
        }
        Ok(())
    }

    /// Takes back, guards, ends and settles what the newer state has so. A pause comes anyway.
    fn follow_phases(&mut self, newer: &Stock) -> Result<(), Violation> {
        for item in newer.items() {
            let item_id = item.terms.item_id;
            let Some(own) = self.stock.item(item_id).cloned() else { continue };
            let units = own.counters.allotted.saturating_sub(item.counters.allotted);
            if units > 0 {
                self.operate(item_id, ItemAction::Reduce(units))?;
            }
            if item.admission != own.admission {
                self.operate(item_id, ItemAction::Admit(item.admission))?;
            }
            if item.phase == ItemPhase::Ended && own.phase != ItemPhase::Ended {
                self.operate(item_id, ItemAction::End)?;
            }
            if item.settled && !own.settled {
                self.write(Event::ItemSettled(item_id))?;
            }
        }
        Ok(())
    }

    fn operate(&mut self, item_id: ItemId, action: ItemAction) -> Result<(), Violation> {
        self.write(Event::ItemOperated(Operation::unattributed(item_id, action)))
    }

    fn write_order(&mut self, order: &Order, status: OrderStatus) -> Result<(), Violation> {
        self.write(Event::Order(Order { status, ..*order }))
    }

    fn write(&mut self, event: Event) -> Result<(), Violation> {
        let seq = self.stock.seq() + 1;
        let record = Record { shard: self.stock.shard(), seq, at: self.at, event };
        self.stock.apply(&record)?;
        self.records.push(record);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::invariants::Ledger;
    use domain::{
        Admission, Buckets, Buy, Command, Currency, ItemTerms, OrderId, PaymentAsked, PaymentId,
        PaymentNotice, PaymentReference, PaymentResult, ProviderName, RequestId, SaleId, UserId,
    };

    const NOW: Timestamp = Timestamp(1_790_000_000_000);

    /// A shard's records, and the state that they lead to.
    struct Shard(Stock, Vec<Record>);

    impl Shard {
        fn take(&mut self, now: Timestamp, command: &Command) -> Option<Order> {
            let event = self.0.decide(now, command).event?;
            let (shard, seq) = (self.0.shard(), self.0.seq() + 1);
            let record = Record { shard, seq, at: now, event };
            self.0.apply(&record).expect("its own decision");
            self.1.push(record);
            self.1.last()?.event.order().copied()
        }

        fn buy(&mut self, user: u64) -> Order {
            let (item_id, user_id, request_id) = (ItemId(1), UserId(user), RequestId(user));
            let buy = Command::Buy(Buy { item_id, user_id, request_id, quantity: 1 });
            self.take(NOW, &buy).expect("stock is left")
        }

        fn start(&mut self, order: &Order) {
            let Order { order_id, user_id, .. } = *order;
            let (request_id, provider) = (RequestId(7), ProviderName::sandbox());
            let asked = PaymentAsked { order_id, user_id, request_id, provider };
            self.take(NOW, &Command::StartPayment(Box::new(asked)));
        }

        fn note(&mut self, now: Timestamp, order: &Order, name: &str, result: PaymentResult) {
            let notice = PaymentNotice {
                id: PaymentId { order_id: order.order_id, number: 1 },
                provider: ProviderName::sandbox(),
                reference: PaymentReference::parse(name).expect("a name"),
                result,
                stored: None,
            };
            self.take(now, &Command::NotePayment(Box::new(notice)));
        }
    }

    fn price(order: &Order) -> PaymentResult {
        PaymentResult::Captured { amount: order.amount, currency: order.currency }
    }

    /// One order that is paid, with money besides that went back; one of which a payment failed before it was
    /// paid by the sandbox; one that is paid late; and one of which a payment has begun.
    fn shard() -> Shard {
        let mut shard = Shard(Stock::new(ShardId(1)), Vec::new());
        let terms = ItemTerms {
            item_id: ItemId(1),
            sale_id: SaleId(1),
            product_id: "product".into(),
            price: 990,
            currency: Currency::CNY,
            allotted: 9,
            limit_per_user: 1,
            payment_window_milliseconds: 1_000,
            starts_at: Timestamp(0),
            ends_at: Timestamp::MAX,
            admission: Admission::OPEN,
            buckets: Buckets::ONE,
        };
        shard.take(NOW, &Command::Open(terms));
        let [paid, failed, late, begun] = [1, 2, 3, 4].map(|user| shard.buy(user));
        for order in [&paid, &failed, &late, &begun] {
            shard.start(order);
        }
        shard.note(NOW, &paid, "P1", price(&paid));
        shard.note(NOW, &paid, "P2", price(&paid));
        let id = PaymentId { order_id: paid.order_id, number: 2 };
        let reference = PaymentReference::parse("R1").expect("a name");
        shard.take(NOW, &Command::Refund { id, reference });
        shard.note(NOW, &failed, "P3", PaymentResult::Failed);
        let Order { order_id, user_id, .. } = failed;
        shard.take(NOW, &Command::Pay { order_id, user_id });
        shard.note(late.expires_at, &late, "P4", price(&late));
        shard
    }

    #[test]
    fn payments_come_from_a_checkpoint_that_is_ahead() {
        let Shard(newer, records) = shard();
        let item_opened = 1;
        for stored in item_opened..=records.len() {
            let (mut older, mut ledger) = (Stock::new(newer.shard()), Ledger::default());
            for record in &records[..stored] {
                older.apply(record).expect("sound");
                ledger.record(record);
            }
            let renewed = Writer::of(older, newer.at()).finish(Some(&newer)).expect("sound");
            for record in &renewed.records {
                ledger.record(record);
            }
            ledger.judge_money();
            for (rule, finding) in ledger.findings() {
                assert_eq!(finding.first, None, "{rule} behind record {stored}");
            }
            let ids: Vec<OrderId> = newer.orders().map(|order| order.order_id).collect();
            for order_id in ids {
                assert_eq!(renewed.stock.order(order_id), newer.order(order_id));
                let payments = renewed.stock.payments_of(order_id);
                assert_eq!(payments, newer.payments_of(order_id), "behind record {stored}");
            }
        }
    }
}
