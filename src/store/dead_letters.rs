//! What the order store could not take, wherever it is: with a broker in its queue, without one in the
//! order store itself. Both are looked at, so that nothing is out of sight because a shop was given a
//! broker, or lost it.

use super::broker::dead_letters::{self, DeadLetter};
use super::broker::{BrokerAddress, BrokerError};
use super::database::StoreError;
use super::journal::record;
use super::orders::{OrderStore, SetAside};
use domain::{Event, ItemAction, Operation, Transfer};

/// A handle to the dead letters of a broker and of an order store, as far as there are any.
#[derive(Clone, Debug)]
pub struct DeadLetters {
    /// The broker, if there is one.
    pub broker: Option<BrokerAddress>,
    /// The order store, if there is one.
    pub orders: Option<OrderStore>,
}

/// Why dead letters cannot be reached.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DeadLettersError {
    /// The broker does not answer.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// The order store does not answer.
    #[error(transparent)]
    Orders(#[from] StoreError),
}

impl DeadLetters {
    /// Returns the dead letters, at most `limit`; all stay where they are.
    ///
    /// # Errors
    /// Returns [`DeadLettersError`] if one of the two places does not answer.
    pub async fn list(&self, limit: usize) -> Result<Vec<DeadLetter>, DeadLettersError> {
        let mut letters = match &self.broker {
            Some(address) => dead_letters::list(address.clone(), limit).await?,
            None => Vec::new(),
        };
        if let Some(orders) = &self.orders {
            let set_aside = orders.set_aside(limit - letters.len()).await?;
            letters.extend(set_aside.into_iter().map(DeadLetter::from));
        }
        Ok(letters)
    }

    /// Sends dead letters to the order store again, at most `limit`, and returns how many. What it still
    /// cannot take comes back as a dead letter.
    ///
    /// # Errors
    /// Returns [`DeadLettersError`] if one of the two places does not answer: what was not sent is still a
    /// dead letter.
    pub async fn replay(&self, limit: usize) -> Result<usize, DeadLettersError> {
        let mut replayed = match &self.broker {
            Some(address) => dead_letters::replay(address.clone(), limit).await?,
            None => 0,
        };
        if let Some(orders) = &self.orders {
            replayed += orders.replay(limit - replayed).await?;
        }
        Ok(replayed)
    }
}

impl From<SetAside> for DeadLetter {
    fn from(SetAside { record, reason }: SetAside) -> Self {
        let mut bytes = Vec::with_capacity(record::RECORD_LENGTH_MAX);
        record::encode(&record, &mut bytes);
        Self {
            message_id: format!("{}-{}", record.shard, record.seq),
            reason,
            length: bytes.len(),
            records: Ok(vec![record]),
        }
    }
}

/// What an event is about, in words.
pub fn subject(event: &Event) -> String {
    match event {
        Event::Order(order) => format!("order {} {}", order.order_id, order.status.name()),
        Event::Payment(paid) => {
            let (payment, order) = (&paid.payment, &paid.order);
            format!(
                "payment {} {}, order {}",
                payment.id,
                payment.state.name(),
                order.status.name()
            )
        }
        Event::ItemOpened(terms) => format!("item {} opened", terms.item_id),
        Event::ItemOperated(Operation { item_id, action, .. }) => match action {
            ItemAction::Restock(units) => format!("item {item_id} restocked by {units}"),
            ItemAction::Reduce(units) => format!("item {item_id} reduced by {units}"),
            ItemAction::Pause => format!("item {item_id} paused"),
            ItemAction::Resume => format!("item {item_id} resumed"),
            ItemAction::End => format!("item {item_id} ended"),
            ItemAction::Admit(_) => format!("item {item_id} guarded otherwise"),
        },
        Event::UnitsSent(transfer) => moved(transfer, "sent"),
        Event::UnitsReceived(transfer) => moved(transfer, "received"),
        Event::TransferSettled(transfer) => moved(transfer, "settled"),
        Event::ItemSettled(item_id) => format!("item {item_id} settled"),
    }
}

fn moved(transfer: &Transfer, what: &str) -> String {
    let Transfer { item_id, from, to, number, units } = transfer;
    format!("item {item_id}: transfer {number} of {units} from bucket {from} to {to} {what}")
}
