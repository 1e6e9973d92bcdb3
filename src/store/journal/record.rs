//! A record's bytes: the one encoding of facts, used by the journal, by checkpoints and by the
//! messages to the broker.
//!
//! Little-endian, no padding:
//!
//! ```text
//! length u16   bytes after this field
//! kind   u8    which event; an unknown kind is refused, never skipped
//! shard  u16
//! seq    u64
//! at     u64   milliseconds since 1970
//! …            the event's own fields
//! ```
//!
//! Kind numbers and field orders are never reused; a new layout takes a new number. Must not know
//! where the bytes go.

use domain::order::{Order, OrderStatus};
use domain::{
    Admission, Buckets, Currency, Event, ItemAction, ItemId, ItemTerms, Operation, OperatorRequest,
    OrderId, Payment, PaymentId, PaymentRecord, PaymentReference, PaymentState, ProviderName,
    Record, RequestId, SaleId, ShardId, Timestamp, Transfer, UserId,
};

/// The longest encoded record in bytes, its length field included: a payment that was refunded, of which all
/// names are as long as they may be.
pub const RECORD_LENGTH_MAX: usize = 255;

const LENGTH_FIELD: usize = 2;

const KIND_ITEM_OPENED: u8 = 1;
const KIND_ITEM_RESTOCKED: u8 = 2;
const KIND_ITEM_PAUSED: u8 = 3;
const KIND_ITEM_RESUMED: u8 = 4;
const KIND_ITEM_ENDED: u8 = 5;
const KIND_ITEM_SETTLED: u8 = 6;
const KIND_ORDER: u8 = 7;
const KIND_ITEM_OPERATED: u8 = 8;
const KIND_ITEM_ADMISSION: u8 = 9;
const KIND_GUARDED_ITEM_OPENED: u8 = 10;
const KIND_PAYMENT: u8 = 20;
const KIND_UNITS_SENT: u8 = 40;
const KIND_UNITS_RECEIVED: u8 = 41;
const KIND_TRANSFER_SETTLED: u8 = 42;
const KIND_BUCKET_OPENED: u8 = 43;

/// The bytes are not a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("malformed record: {0}")]
pub struct MalformedRecord(pub &'static str);

/// Appends the record's bytes to `buffer`.
pub fn encode(record: &Record, buffer: &mut Vec<u8>) {
    let start = buffer.len();
    buffer.extend_from_slice(&[0; LENGTH_FIELD]);
    buffer.push(kind(&record.event));
    buffer.extend_from_slice(&record.shard.0.to_le_bytes());
    buffer.extend_from_slice(&record.seq.to_le_bytes());
    buffer.extend_from_slice(&record.at.0.to_le_bytes());
    match &record.event {
        Event::ItemOpened(terms) => {
            encode_terms(terms, buffer);
            let kind = kind_of_opening(terms);
            if kind != KIND_ITEM_OPENED {
                buffer.extend_from_slice(&terms.admission.number().to_le_bytes());
            }
            if kind == KIND_BUCKET_OPENED {
                encode_buckets(&terms.buckets, buffer);
            }
        }
        Event::UnitsSent(transfer)
        | Event::UnitsReceived(transfer)
        | Event::TransferSettled(transfer) => encode_transfer(transfer, buffer),
        Event::ItemOperated(operation) => encode_operation(operation, buffer),
        Event::ItemSettled(item_id) => buffer.extend_from_slice(&item_id.0.to_le_bytes()),
        Event::Order(order) => encode_order(order, buffer),
        Event::Payment(record) => {
            encode_order(&record.order, buffer);
            buffer.push(record.status_before as u8);
            encode_payment(&record.payment, buffer);
        }
    }
    // Product ids are bounded where they enter, so a record never comes near 64 kB.
    let length = (buffer.len() - start - LENGTH_FIELD) as u16;
    buffer[start..start + LENGTH_FIELD].copy_from_slice(&length.to_le_bytes());
}

/// The records of a batch, in their order. Ends behind the first one that is malformed.
pub fn each_record(bytes: &[u8]) -> impl Iterator<Item = Result<Record, MalformedRecord>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let decoded = decode(&mut rest);
        if decoded.is_err() {
            rest = &[];
        }
        Some(decoded)
    })
}

/// How many bytes the record at the front of `bytes` takes; none if they are cut short.
pub fn length(bytes: &[u8]) -> Option<usize> {
    let length = u16::from_le_bytes(*bytes.first_chunk()?);
    let length = LENGTH_FIELD + usize::from(length);
    (length <= bytes.len()).then_some(length)
}

/// Takes one record off the front of `bytes`, which stay as they are on an error.
///
/// # Errors
/// Returns [`MalformedRecord`] if the bytes are cut short, or hold an unknown kind or an impossible
/// value.
pub fn decode(bytes: &mut &[u8]) -> Result<Record, MalformedRecord> {
    let mut fields = Fields(bytes);
    let length = usize::from(fields.u16()?);
    let (body, rest) = fields.0.split_at_checked(length).ok_or(MalformedRecord("cut short"))?;
    let mut fields = Fields(body);
    let kind = fields.u8()?;
    let shard = ShardId(fields.u16()?);
    let seq = fields.u64()?;
    let at = Timestamp(fields.u64()?);
    let event = match kind {
        KIND_ITEM_OPENED => Event::ItemOpened(decode_terms(&mut fields)?),
        KIND_GUARDED_ITEM_OPENED => {
            let terms = decode_terms(&mut fields)?;
            let admission = fields.admission()?;
            if admission == Admission::OPEN {
                return Err(MalformedRecord("a guarded item without a guard"));
            }
            Event::ItemOpened(ItemTerms { admission, ..terms })
        }
        KIND_BUCKET_OPENED => {
            let terms = decode_terms(&mut fields)?;
            let (admission, buckets) = (fields.admission()?, fields.buckets()?);
            Event::ItemOpened(ItemTerms { admission, buckets, ..terms })
        }
        KIND_UNITS_SENT => Event::UnitsSent(decode_transfer(&mut fields)?),
        KIND_UNITS_RECEIVED => Event::UnitsReceived(decode_transfer(&mut fields)?),
        KIND_TRANSFER_SETTLED => Event::TransferSettled(decode_transfer(&mut fields)?),
        KIND_ITEM_OPERATED | KIND_ITEM_RESTOCKED | KIND_ITEM_PAUSED | KIND_ITEM_RESUMED
        | KIND_ITEM_ENDED | KIND_ITEM_ADMISSION => {
            Event::ItemOperated(decode_operation(kind, &mut fields)?)
        }
        KIND_ITEM_SETTLED => Event::ItemSettled(ItemId(fields.u64()?)),
        KIND_ORDER => Event::Order(decode_order(&mut fields)?),
        KIND_PAYMENT => {
            let order = decode_order(&mut fields)?;
            let status_before = fields.status()?;
            let payment = decode_payment(order.order_id, &mut fields)?;
            Event::Payment(Box::new(PaymentRecord { payment, order, status_before }))
        }
        _ => return Err(MalformedRecord("unknown kind")),
    };
    if !fields.0.is_empty() {
        return Err(MalformedRecord("bytes left over"));
    }
    *bytes = rest;
    Ok(Record { shard, seq, at, event })
}

fn kind(event: &Event) -> u8 {
    match event {
        Event::ItemOpened(terms) => kind_of_opening(terms),
        Event::ItemOperated(operation) => kind_of_operation(operation),
        Event::UnitsSent(_) => KIND_UNITS_SENT,
        Event::UnitsReceived(_) => KIND_UNITS_RECEIVED,
        Event::TransferSettled(_) => KIND_TRANSFER_SETTLED,
        Event::ItemSettled(_) => KIND_ITEM_SETTLED,
        Event::Order(_) => KIND_ORDER,
        Event::Payment(_) => KIND_PAYMENT,
    }
}

/// Items that nothing guards keep the kind, and with it the bytes, that version 0.1.0 gave them; so do items of
/// one bucket those of version 0.2.0.
fn kind_of_opening(terms: &ItemTerms) -> u8 {
    match terms.admission {
        _ if !terms.buckets.is_one() => KIND_BUCKET_OPENED,
        Admission::OPEN => KIND_ITEM_OPENED,
        _ => KIND_GUARDED_ITEM_OPENED,
    }
}

/// Operations without a request keep the kinds, and with them the bytes, that version 0.1.0 gave them.
fn kind_of_operation(operation: &Operation) -> u8 {
    match (operation.action, &operation.request) {
        (ItemAction::Restock(_), None) => KIND_ITEM_RESTOCKED,
        (ItemAction::Pause, None) => KIND_ITEM_PAUSED,
        (ItemAction::Resume, None) => KIND_ITEM_RESUMED,
        (ItemAction::End, None) => KIND_ITEM_ENDED,
        (ItemAction::Admit(_), _) => KIND_ITEM_ADMISSION,
        (ItemAction::Reduce(_), None) | (_, Some(_)) => KIND_ITEM_OPERATED,
    }
}

/// Item, and units where they are restocked; of `ItemOperated`: item, action u8, units u32, request id
/// u64 (0 if it has none), length u8 and name of the operator (0 if it is not known); `ItemAdmission` has
/// the admission's number u64 in place of action and units.
fn encode_operation(operation: &Operation, buffer: &mut Vec<u8>) {
    let Operation { item_id, action, request } = operation;
    buffer.extend_from_slice(&item_id.0.to_le_bytes());
    match kind_of_operation(operation) {
        kind @ (KIND_ITEM_OPERATED | KIND_ITEM_ADMISSION) => {
            let (request_id, operator) = request
                .as_ref()
                .map_or((None, ""), |request| (request.request_id, &request.operator));
            if kind == KIND_ITEM_ADMISSION {
                buffer.extend_from_slice(&action.value().to_le_bytes());
            } else {
                buffer.push(action.number());
                buffer.extend_from_slice(&action.units().to_le_bytes());
            }
            buffer.extend_from_slice(&request_id.unwrap_or_default().0.to_le_bytes());
            // Bounded by OPERATOR_LENGTH_MAX where it enters.
            buffer.push(operator.len() as u8);
            buffer.extend_from_slice(operator.as_bytes());
        }
        KIND_ITEM_RESTOCKED => buffer.extend_from_slice(&action.units().to_le_bytes()),
        _ => {}
    }
}

fn decode_operation(kind: u8, fields: &mut Fields<'_>) -> Result<Operation, MalformedRecord> {
    let item_id = ItemId(fields.u64()?);
    let action = match kind {
        KIND_ITEM_RESTOCKED => ItemAction::Restock(fields.u32()?),
        KIND_ITEM_PAUSED => ItemAction::Pause,
        KIND_ITEM_RESUMED => ItemAction::Resume,
        KIND_ITEM_ENDED => ItemAction::End,
        KIND_ITEM_ADMISSION => ItemAction::Admit(fields.admission()?),
        _ => ItemAction::from_number(fields.u8()?, fields.u32()?.into())
            .filter(|action| !matches!(action, ItemAction::Admit(_)))
            .ok_or(MalformedRecord("unknown operation"))?,
    };
    let mut request = None;
    if matches!(kind, KIND_ITEM_OPERATED | KIND_ITEM_ADMISSION) {
        let request_id = Some(RequestId(fields.u64()?)).filter(|id| *id != RequestId(0));
        let length = usize::from(fields.u8()?);
        let operator = std::str::from_utf8(fields.take(length)?)
            .map_err(|_| MalformedRecord("operator is not UTF-8"))?;
        if !operator.is_empty() {
            request = Some(OperatorRequest { operator: operator.into(), request_id });
        }
    }
    Ok(Operation { item_id, action, request })
}

/// Appends the shards of several buckets: how many, then for each four of them the low byte of each number, and
/// one byte with the two bits above of each, because they have ten.
pub fn encode_buckets(buckets: &Buckets, buffer: &mut Vec<u8>) {
    buffer.push(buckets.count());
    for four in buckets.shards().chunks(4) {
        let mut high = 0;
        for (place, shard) in four.iter().enumerate() {
            let [low, above] = shard.0.to_le_bytes();
            buffer.push(low);
            high |= above << (2 * place);
        }
        buffer.push(high);
    }
}

/// Takes the shards of several buckets off the front of `bytes`.
///
/// # Errors
/// Returns [`MalformedRecord`] if they are cut short, or not several.
pub fn take_buckets(bytes: &mut &[u8]) -> Result<Buckets, MalformedRecord> {
    let mut fields = Fields(bytes);
    let buckets = fields.buckets()?;
    *bytes = fields.0;
    Ok(buckets)
}

/// Item u64, giving and getting bucket u8 each, number and units u32 each.
fn encode_transfer(transfer: &Transfer, buffer: &mut Vec<u8>) {
    let Transfer { item_id, from, to, number, units } = transfer;
    buffer.extend_from_slice(&item_id.0.to_le_bytes());
    buffer.extend_from_slice(&[*from, *to]);
    buffer.extend_from_slice(&number.to_le_bytes());
    buffer.extend_from_slice(&units.to_le_bytes());
}

fn decode_transfer(fields: &mut Fields<'_>) -> Result<Transfer, MalformedRecord> {
    Ok(Transfer {
        item_id: ItemId(fields.u64()?),
        from: fields.u8()?,
        to: fields.u8()?,
        number: fields.u32()?,
        units: fields.u32()?,
    })
}

/// Appends an item's terms, in the layout of `ItemOpened`: without admission and buckets, which stand elsewhere.
pub fn encode_terms(terms: &ItemTerms, buffer: &mut Vec<u8>) {
    buffer.extend_from_slice(&terms.item_id.0.to_le_bytes());
    buffer.extend_from_slice(&terms.sale_id.0.to_le_bytes());
    buffer.extend_from_slice(&terms.price.to_le_bytes());
    buffer.extend_from_slice(terms.currency.as_str().as_bytes());
    buffer.extend_from_slice(&terms.allotted.to_le_bytes());
    buffer.extend_from_slice(&terms.limit_per_user.to_le_bytes());
    buffer.extend_from_slice(&terms.payment_window_milliseconds.to_le_bytes());
    buffer.extend_from_slice(&terms.starts_at.0.to_le_bytes());
    buffer.extend_from_slice(&terms.ends_at.0.to_le_bytes());
    // Bounded by PRODUCT_ID_LENGTH_MAX where it enters.
    buffer.push(terms.product_id.len() as u8);
    buffer.extend_from_slice(terms.product_id.as_bytes());
}

fn decode_terms(fields: &mut Fields<'_>) -> Result<ItemTerms, MalformedRecord> {
    let item_id = ItemId(fields.u64()?);
    let sale_id = SaleId(fields.u64()?);
    let price = fields.u64()?;
    let currency = fields.currency()?;
    let allotted = fields.u32()?;
    let limit_per_user = fields.u16()?;
    let payment_window_milliseconds = fields.u64()?;
    let starts_at = Timestamp(fields.u64()?);
    let ends_at = Timestamp(fields.u64()?);
    let length = usize::from(fields.u8()?);
    let product_id = std::str::from_utf8(fields.take(length)?)
        .map_err(|_| MalformedRecord("product id is not UTF-8"))?;
    Ok(ItemTerms {
        item_id,
        sale_id,
        product_id: product_id.into(),
        price,
        currency,
        allotted,
        limit_per_user,
        payment_window_milliseconds,
        starts_at,
        ends_at,
        admission: Admission::OPEN,
        buckets: Buckets::ONE,
    })
}

/// Takes an item's terms off the front of `bytes`; admission and buckets are not among them.
///
/// # Errors
/// Returns [`MalformedRecord`] if they are cut short or hold an impossible value.
pub fn take_terms(bytes: &mut &[u8]) -> Result<ItemTerms, MalformedRecord> {
    let mut fields = Fields(bytes);
    let terms = decode_terms(&mut fields)?;
    *bytes = fields.0;
    Ok(terms)
}

/// Appends an order's fields.
pub fn encode_order(order: &Order, buffer: &mut Vec<u8>) {
    let mut fields = [0_u8; 64];
    fields[0..8].copy_from_slice(&order.order_id.0.to_le_bytes());
    fields[8..16].copy_from_slice(&order.item_id.0.to_le_bytes());
    fields[16..24].copy_from_slice(&order.sale_id.0.to_le_bytes());
    fields[24..32].copy_from_slice(&order.user_id.0.to_le_bytes());
    fields[32..40].copy_from_slice(&order.request_id.0.to_le_bytes());
    fields[40..42].copy_from_slice(&order.attempt.to_le_bytes());
    fields[42..44].copy_from_slice(&order.quantity.to_le_bytes());
    fields[44..52].copy_from_slice(&order.amount.to_le_bytes());
    fields[52..55].copy_from_slice(order.currency.as_str().as_bytes());
    fields[55] = order.status as u8;
    fields[56..64].copy_from_slice(&order.expires_at.0.to_le_bytes());
    buffer.extend_from_slice(&fields);
}

fn decode_order(fields: &mut Fields<'_>) -> Result<Order, MalformedRecord> {
    Ok(Order {
        order_id: OrderId(fields.u64()?),
        item_id: ItemId(fields.u64()?),
        sale_id: SaleId(fields.u64()?),
        user_id: UserId(fields.u64()?),
        request_id: RequestId(fields.u64()?),
        attempt: fields.u16()?,
        quantity: fields.u16()?,
        amount: fields.u64()?,
        currency: fields.currency()?,
        status: fields.status()?,
        expires_at: Timestamp(fields.u64()?),
    })
}

/// Takes an order off the front of `bytes`.
///
/// # Errors
/// Returns [`MalformedRecord`] if it is cut short or holds an impossible value.
pub fn take_order(bytes: &mut &[u8]) -> Result<Order, MalformedRecord> {
    let mut fields = Fields(bytes);
    let order = decode_order(&mut fields)?;
    *bytes = fields.0;
    Ok(order)
}

/// Appends a payment, without its order's id: number u16, request u64, amount u64, currency, state u8, then
/// provider, reference and reference of the refund, each length u8 and text, of which 0 means that there is none.
pub fn encode_payment(payment: &Payment, buffer: &mut Vec<u8>) {
    buffer.extend_from_slice(&payment.id.number.to_le_bytes());
    buffer.extend_from_slice(&payment.request_id.0.to_le_bytes());
    buffer.extend_from_slice(&payment.amount.to_le_bytes());
    buffer.extend_from_slice(payment.currency.as_str().as_bytes());
    buffer.push(payment.state as u8);
    let [reference, refund] = [&payment.reference, &payment.refund_reference]
        .map(|reference| reference.as_ref().map_or("", PaymentReference::as_str));
    for text in [payment.provider.as_str(), reference, refund] {
        // Bounded by its type.
        buffer.push(text.len() as u8);
        buffer.extend_from_slice(text.as_bytes());
    }
}

/// Takes a payment of an order off the front of `bytes`.
///
/// # Errors
/// Returns [`MalformedRecord`] if it is cut short or holds an impossible value.
pub fn take_payment(order_id: OrderId, bytes: &mut &[u8]) -> Result<Payment, MalformedRecord> {
    let mut fields = Fields(bytes);
    let payment = decode_payment(order_id, &mut fields)?;
    *bytes = fields.0;
    Ok(payment)
}

fn decode_payment(order_id: OrderId, fields: &mut Fields<'_>) -> Result<Payment, MalformedRecord> {
    Ok(Payment {
        id: PaymentId { order_id, number: fields.u16()? },
        request_id: RequestId(fields.u64()?),
        amount: fields.u64()?,
        currency: fields.currency()?,
        state: PaymentState::from_number(fields.u8()?)
            .ok_or(MalformedRecord("unknown payment state"))?,
        provider: fields.text(ProviderName::parse)?.ok_or(MalformedRecord("no provider"))?,
        reference: fields.text(PaymentReference::parse)?,
        refund_reference: fields.text(PaymentReference::parse)?,
    })
}

/// Fields still to be read.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], MalformedRecord> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(MalformedRecord("cut short"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const LENGTH: usize>(&mut self) -> Result<[u8; LENGTH], MalformedRecord> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(MalformedRecord("cut short"))?;
        self.0 = rest;
        Ok(*taken)
    }

    fn u8(&mut self) -> Result<u8, MalformedRecord> {
        self.array().map(u8::from_le_bytes)
    }

    fn u16(&mut self) -> Result<u16, MalformedRecord> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32, MalformedRecord> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, MalformedRecord> {
        self.array().map(u64::from_le_bytes)
    }

    fn admission(&mut self) -> Result<Admission, MalformedRecord> {
        Admission::from_number(self.u64()?).ok_or(MalformedRecord("not an admission"))
    }

    fn buckets(&mut self) -> Result<Buckets, MalformedRecord> {
        let mut left = usize::from(self.u8()?);
        let mut shards = Vec::with_capacity(left);
        while left > 0 {
            let four = self.take(left.min(4))?;
            let mut high = self.u8()?;
            for low in four {
                shards.push(ShardId(u16::from_le_bytes([*low, high & 3])));
                high >>= 2;
            }
            left -= four.len();
        }
        Buckets::over(shards)
            .filter(|buckets| !buckets.is_one())
            .ok_or(MalformedRecord("not the shards of several buckets"))
    }

    fn status(&mut self) -> Result<OrderStatus, MalformedRecord> {
        OrderStatus::from_number(self.u8()?).ok_or(MalformedRecord("unknown order status"))
    }

    /// A short text, if there is one.
    fn text<T>(&mut self, parse: fn(&str) -> Option<T>) -> Result<Option<T>, MalformedRecord> {
        let length = usize::from(self.u8()?);
        if length == 0 {
            return Ok(None);
        }
        let text = std::str::from_utf8(self.take(length)?).ok().and_then(parse);
        text.map(Some).ok_or(MalformedRecord("not a name of a payment"))
    }

    fn currency(&mut self) -> Result<Currency, MalformedRecord> {
        let code = std::str::from_utf8(self.take(3)?).ok().and_then(Currency::parse);
        code.ok_or(MalformedRecord("not a currency code"))
    }
}

#[cfg(test)]
mod tests;
