//! Records as events of the CloudEvents specification, version 1.0, in its JSON format (<https://cloudevents.io>).
//!
//! Pure: the same record makes the same event, byte for byte, at every node and time. Names in `data` are those
//! of the REST API. Must not know where events go.

use super::types::EventType;
use crate::store::catalogue::ExternalName;
use crate::store::journal::JournalId;
use crate::store::orders::StoredOrder;
use bytes::Bytes;
use domain::{
    Event, ItemTerms, Operation, Order, Payment, Record, ShardId, Timestamp, UserId, rfc3339,
};
use serde::Serialize;

/// The media type of an event in JSON.
pub const CONTENT_TYPE: &str = "application/cloudevents+json";

/// An event, made and rendered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CloudEvent {
    /// `<journal>-<shard>-<seq>`: the same record has the same one for ever, and no other record has it.
    pub id: String,
    /// What has happened.
    pub kind: EventType,
    /// The shard in whose log it is,
    pub shard: ShardId,
    /// and its number there: later events of an order or an item have larger ones.
    pub seq: u64,
    /// When it happened.
    pub at: Timestamp,
    /// What it is about: events of one key concern each other, and come in their order. An order's id, or an
    /// item's.
    pub partition_key: u64,
    /// The whole event, in JSON.
    pub body: Bytes,
}

/// Makes events of one journal's records.
#[derive(Clone, Debug)]
pub struct EventMaker {
    journal: JournalId,
    source: Box<str>,
}

#[derive(Serialize)]
struct Attributes<'a, Data> {
    specversion: &'static str,
    id: &'a str,
    source: &'a str,
    r#type: &'static str,
    subject: String,
    time: String,
    datacontenttype: &'static str,
    partitionkey: String,
    sequence: String,
    data: Data,
}

/// What the attributes of an event say.
struct Head<'a> {
    id: &'a str,
    kind: EventType,
    subject: String,
    at: Timestamp,
    seq: u64,
}

#[derive(Serialize)]
struct OrderData<'a> {
    order_id: String,
    item_id: String,
    sale_id: String,
    quantity: u16,
    amount: u64,
    currency: &'a str,
    status: &'static str,
    created_at: String,
    expires_at: String,
    buyer: BuyerData<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payment: Option<PaymentData<'a>>,
}

#[derive(Serialize)]
struct BuyerData<'a> {
    user_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    issuer: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a str>,
}

#[derive(Serialize)]
struct PaymentData<'a> {
    payment_id: String,
    provider: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<&'a str>,
    amount: u64,
    currency: &'a str,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    refund_reference: Option<&'a str>,
}

#[derive(Serialize)]
struct TermsData<'a> {
    item_id: String,
    sale_id: String,
    product_id: &'a str,
    price: u64,
    currency: &'a str,
    allotted: u32,
    limit_per_user: u16,
    payment_window_seconds: u64,
    starts_at: String,
    ends_at: String,
}

#[derive(Serialize)]
struct ItemData<'a> {
    item_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    units: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    operator: Option<&'a str>,
}

impl EventMaker {
    /// A maker of events of this journal's records. `source` says to receivers which shop it is.
    pub fn new(journal: JournalId, source: &str) -> Self {
        Self { journal, source: source.into() }
    }

    /// A maker for examples and tests.
    pub fn example() -> Self {
        Self::new(JournalId(std::num::NonZeroU64::MIN), "/seckill")
    }

    /// The event's identity, whether the record is one or not.
    pub fn id(&self, shard: ShardId, seq: u64) -> String {
        format!("{}-{shard}-{seq}", self.journal)
    }

    /// The event that a record is; none if it is none ([`EventType::of`]). `buyer` is how the issuer of the order's
    /// buyer names him, if he has one.
    pub fn make(&self, record: &Record, buyer: Option<&ExternalName>) -> Option<CloudEvent> {
        let kind = EventType::of(record)?;
        let (subject, partition_key) = match record.event.order() {
            Some(order) => (format!("orders/{}", order.order_id), order.order_id.0),
            None => {
                let item_id = record.event.item_id();
                (format!("items/{item_id}"), item_id.0)
            }
        };
        let id = self.id(record.shard, record.seq);
        let Record { shard, seq, at, .. } = *record;
        let head = Head { id: &id, kind, subject, at, seq };
        let body = match &record.event {
            Event::Order(order) => self.render(head, order_data(order, buyer, None)),
            Event::Payment(paid) => {
                self.render(head, order_data(&paid.order, buyer, Some(&paid.payment)))
            }
            Event::ItemOpened(terms) => self.render(head, terms_data(terms)),
            Event::ItemOperated(operation) => self.render(head, operation_data(operation)),
            Event::ItemSettled(item_id) => {
                let data = ItemData { item_id: item_id.to_string(), units: None, operator: None };
                self.render(head, data)
            }
            Event::UnitsSent(_) | Event::UnitsReceived(_) | Event::TransferSettled(_) => None,
        }?;
        Some(CloudEvent { id, kind, shard, seq, at, partition_key, body })
    }

    /// The event that tells an order's present state as the order store has it: as of its newest record, whose
    /// `sequence` it has, too, so that who has heard of that one leaves it out.
    pub fn make_current(
        &self,
        row: &StoredOrder,
        buyer: Option<&ExternalName>,
    ) -> Option<CloudEvent> {
        let kind = EventType::OrderCurrent;
        let (order, seq, at) = (&row.order, row.version, row.changed_at);
        let shard = order.order_id.shard();
        // Not the record's own: the same identity would have to be the same content.
        let id = format!("{}-current", self.id(shard, seq));
        let subject = format!("orders/{}", order.order_id);
        let head = Head { id: &id, kind, subject, at, seq };
        let body = self.render(head, order_data(order, buyer, None))?;
        Some(CloudEvent { id, kind, shard, seq, at, partition_key: order.order_id.0, body })
    }

    fn render(&self, head: Head<'_>, data: impl Serialize) -> Option<Bytes> {
        let Head { id, kind, subject, at, seq } = head;
        let partitionkey = subject.split_once('/').map_or(subject.as_str(), |(_, key)| key);
        let attributes = Attributes {
            specversion: "1.0",
            id,
            source: &self.source,
            r#type: kind.name(),
            time: rfc3339::to_string(at),
            datacontenttype: "application/json",
            partitionkey: partitionkey.to_owned(),
            subject,
            // As wide as the largest number, so that texts compare as numbers do.
            sequence: format!("{seq:020}"),
            data,
        };
        // Plain structs of texts and numbers: nothing in them can be refused.
        serde_json::to_vec(&attributes).ok().map(Bytes::from)
    }
}

/// The buyer whose name an event of this record holds, if it is one of an order.
pub(super) fn buyer(record: &Record) -> Option<UserId> {
    record.event.order().map(|order| order.user_id)
}

fn order_data<'a>(
    order: &'a Order,
    buyer: Option<&'a ExternalName>,
    payment: Option<&'a Payment>,
) -> OrderData<'a> {
    OrderData {
        order_id: order.order_id.to_string(),
        item_id: order.item_id.to_string(),
        sale_id: order.sale_id.to_string(),
        quantity: order.quantity,
        amount: order.amount,
        currency: order.currency.as_str(),
        status: order.status.name(),
        created_at: rfc3339::to_string(order.created_at()),
        expires_at: rfc3339::to_string(order.expires_at),
        buyer: BuyerData {
            user_id: order.user_id.to_string(),
            issuer: buyer.map(|name| name.issuer.as_str()),
            subject: buyer.map(|name| name.subject.as_str()),
        },
        payment: payment.map(|payment| PaymentData {
            payment_id: payment.id.to_string(),
            provider: payment.provider.as_str(),
            reference: payment.reference.as_ref().map(|name| name.as_str()),
            amount: payment.amount,
            currency: payment.currency.as_str(),
            state: payment.state.name(),
            refund_reference: payment.refund_reference.as_ref().map(|name| name.as_str()),
        }),
    }
}

fn terms_data(terms: &ItemTerms) -> TermsData<'_> {
    TermsData {
        item_id: terms.item_id.to_string(),
        sale_id: terms.sale_id.to_string(),
        product_id: &terms.product_id,
        price: terms.price,
        currency: terms.currency.as_str(),
        allotted: terms.allotted,
        limit_per_user: terms.limit_per_user,
        payment_window_seconds: terms.payment_window_milliseconds / 1_000,
        starts_at: rfc3339::to_string(terms.starts_at),
        ends_at: rfc3339::to_string(terms.ends_at),
    }
}

fn operation_data(operation: &Operation) -> ItemData<'_> {
    let units = operation.action.units();
    ItemData {
        item_id: operation.item_id.to_string(),
        units: (units > 0).then_some(units),
        operator: operation.request.as_ref().map(|request| &*request.operator),
    }
}

#[cfg(test)]
mod tests;
