//! A row of the table of payments: its columns, how they are bound and decoded, and when two of them cannot both be
//! true. As in `row.rs`, the macros take what the dialect makes of a number.

use domain::{
    Event, ItemId, Order, OrderStatus, Payment, PaymentRecord, Record, SaleId, Timestamp, UserId,
};

/// A row: a payment as of the last record about it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredPayment {
    /// The payment as it is stored.
    pub payment: Payment,
    /// The sale of its order.
    pub sale_id: SaleId,
    /// The item of its order.
    pub item_id: ItemId,
    /// The buyer of its order.
    pub user_id: UserId,
    /// The time of the first record about it.
    pub created_at: Timestamp,
    /// The time of the last one.
    pub changed_at: Timestamp,
    /// The `seq` of the last one in the log of its shard.
    pub version: u64,
}

/// A row that is to be stored, with the order as its record has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct PaymentRow {
    pub(super) stored: StoredPayment,
    order: Order,
    status_before: OrderStatus,
}

impl StoredPayment {
    /// Whether no payment can be both: what never changes of it differs, or the money that came, or what one record
    /// made of it.
    pub(super) fn contradicts(&self, other: &Self) -> bool {
        let whose = |row: &Self| (row.sale_id, row.item_id, row.user_id, row.payment.request_id);
        let money =
            |payment: &Payment| (payment.amount, payment.currency, payment.reference.clone());
        let (left, right) = (&self.payment, &other.payment);
        let both_have_money = left.state.has_money() && right.state.has_money();
        whose(self) != whose(other)
            || left.provider != right.provider
            || (both_have_money && money(left) != money(right))
            || (self.version == other.version && left != right)
    }
}

impl PaymentRow {
    /// The row of a payment's record.
    pub(super) fn of(record: &Record, paid: &PaymentRecord) -> Self {
        let PaymentRecord { payment, order, status_before } = paid;
        let stored = StoredPayment {
            payment: payment.clone(),
            sale_id: order.sale_id,
            item_id: order.item_id,
            user_id: order.user_id,
            created_at: record.at,
            changed_at: record.at,
            version: record.seq,
        };
        Self { stored, order: *order, status_before: *status_before }
    }

    /// The record that the row was made of.
    pub(super) fn record(&self) -> Record {
        let Self { stored, order, status_before } = self;
        let payment = stored.payment.clone();
        let paid = PaymentRecord { payment, order: *order, status_before: *status_before };
        Record {
            shard: order.order_id.shard(),
            seq: stored.version,
            at: stored.changed_at,
            event: Event::Payment(Box::new(paid)),
        }
    }

    /// Whether this is its order as its record has it.
    pub(super) fn has_order(&self, seq: u64, order: &Order) -> bool {
        (self.stored.version, &self.order) == (seq, order)
    }
}

/// The columns of a row, in the order in which [`bind_payment`] and [`decode_payment`] take them.
macro_rules! payment_columns {
    () => {
        "order_id, number, sale_id, item_id, user_id, request_id, provider, amount, currency, state, \
         reference, refund_reference, created_at, changed_at, version"
    };
}

/// Binds a [`StoredPayment`] to a query. `$kept` makes of a `u64` what the dialect keeps.
macro_rules! bind_payment {
    ($query:expr, $row:expr, $kept:expr) => {{
        let (row, kept): (&StoredPayment, fn(u64) -> _) = ($row, $kept);
        let payment = &row.payment;
        let reference = payment.reference.as_ref().map(domain::PaymentReference::as_str);
        let refund = payment.refund_reference.as_ref().map(domain::PaymentReference::as_str);
        $query
            .bind(kept(payment.id.order_id.0))
            .bind(payment.id.number)
            .bind(kept(row.sale_id.0))
            .bind(kept(row.item_id.0))
            .bind(kept(row.user_id.0))
            .bind(kept(payment.request_id.0))
            .bind(payment.provider.as_str())
            .bind(kept(payment.amount))
            .bind(payment.currency.as_str())
            .bind(payment.state as u8)
            .bind(reference)
            .bind(refund)
            .bind(kept(row.created_at.0))
            .bind(kept(row.changed_at.0))
            .bind(kept(row.version))
    }};
}

/// Decodes a row to a [`StoredPayment`]. `$read` makes a `u64` of what the dialect keeps.
macro_rules! decode_payment {
    ($row:expr, $read:expr) => {{
        use $crate::store::orders::payment_row::StoredPayment;
        use $crate::store::orders::row::RowError;
        let (row, read) = ($row, $read);
        let order_id = domain::OrderId(read(row.try_get(0)?));
        let id = domain::PaymentId { order_id, number: row.try_get(1)? };
        let reference = |column: usize| -> Result<Option<domain::PaymentReference>, RowError> {
            let Some(text) = row.try_get::<Option<&str>, _>(column)? else { return Ok(None) };
            let reference = domain::PaymentReference::parse(text);
            reference.map(Some).ok_or_else(|| RowError::Reference(text.to_owned()))
        };
        let decode = || -> Result<StoredPayment, RowError> {
            let (provider, currency): (&str, &str) = (row.try_get(6)?, row.try_get(8)?);
            let state: u8 = row.try_get(9)?;
            let payment = domain::Payment {
                id,
                request_id: domain::RequestId(read(row.try_get(5)?)),
                provider: domain::ProviderName::parse(provider)
                    .ok_or_else(|| RowError::Provider(provider.to_owned()))?,
                amount: read(row.try_get(7)?),
                currency: domain::Currency::parse(currency)
                    .ok_or_else(|| RowError::Currency(currency.to_owned()))?,
                state: domain::PaymentState::from_number(state).ok_or(RowError::State(state))?,
                reference: reference(10)?,
                refund_reference: reference(11)?,
            };
            Ok(StoredPayment {
                payment,
                sale_id: domain::SaleId(read(row.try_get(2)?)),
                item_id: domain::ItemId(read(row.try_get(3)?)),
                user_id: domain::UserId(read(row.try_get(4)?)),
                created_at: domain::Timestamp(read(row.try_get(12)?)),
                changed_at: domain::Timestamp(read(row.try_get(13)?)),
                version: read(row.try_get(14)?),
            })
        };
        decode().map_err(|error| error.of_payment(id))
    }};
}

pub(super) use {bind_payment, decode_payment, payment_columns};
