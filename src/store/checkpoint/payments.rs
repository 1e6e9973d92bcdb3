//! The bytes of an order's payments in a checkpoint: the part that only some orders have.
//!
//! Must not know which store keeps the bytes.

use super::format::{Malformed, PART_PAYMENTS, open, seal};
use crate::store::journal::record::{
    MalformedRecord, encode_order, encode_payment, take_order, take_payment,
};
use domain::{OrderId, OrderPayments, ShardId};

/// An order and its first payment take no more bytes than this, and neither does each payment besides.
pub(super) const PAYMENT_LENGTH_MAX: usize = 256;

/// Encodes an order's payments.
pub(super) fn encode_payments(shard: ShardId, payments: &OrderPayments) -> Vec<u8> {
    // The place is in the bytes: the order's id.
    seal(shard, 0, PART_PAYMENTS, |bytes| {
        encode_order(&payments.order, bytes);
        for payment in &payments.payments {
            encode_payment(payment, bytes);
        }
    })
}

/// Decodes the payments of the order that the bytes were found under.
///
/// # Errors
/// Returns [`Malformed`] if the bytes are not what was written there.
pub(super) fn decode_payments(
    shard: ShardId,
    order_id: OrderId,
    bytes: &[u8],
) -> Result<OrderPayments, Malformed> {
    let malformed = |MalformedRecord(why)| Malformed(why);
    let (PART_PAYMENTS, mut body) = open(shard, 0, bytes)? else {
        return Err(Malformed("not payments"));
    };
    let order = take_order(&mut body).map_err(malformed)?;
    if order.order_id != order_id {
        return Err(Malformed("another order's payments"));
    }
    let mut payments = Vec::with_capacity(1);
    while !body.is_empty() {
        payments.push(take_payment(order_id, &mut body).map_err(malformed)?);
    }
    Ok(OrderPayments { order, payments })
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{
        Currency, ItemId, Order, OrderStatus, Payment, PaymentId, PaymentReference, PaymentState,
        ProviderName, RequestId, SaleId, Timestamp, UserId,
    };

    fn payments(count: u16) -> OrderPayments {
        let currency = Currency::parse("CNY").expect("a code");
        let order = Order {
            order_id: OrderId(7 << 12),
            item_id: ItemId(1),
            sale_id: SaleId(2),
            user_id: UserId(3),
            request_id: RequestId(4),
            attempt: 1,
            quantity: 1,
            amount: 990,
            currency,
            status: OrderStatus::Paid,
            expires_at: Timestamp(5),
        };
        let longest = PaymentReference::parse(&"x".repeat(PaymentReference::LENGTH_MAX));
        let payment = |number| Payment {
            id: PaymentId { order_id: order.order_id, number },
            request_id: RequestId(u64::from(number)),
            provider: ProviderName::parse(&"p".repeat(ProviderName::LENGTH_MAX)).expect("a name"),
            amount: 990,
            currency,
            state: PaymentState::Refunded,
            reference: longest.clone(),
            refund_reference: longest.clone().filter(|_| number.is_multiple_of(2)),
        };
        OrderPayments { order, payments: (1..=count).map(payment).collect() }
    }

    #[test]
    fn what_is_encoded_is_decoded_in_its_place_alone() {
        let shard = ShardId(3);
        for count in 0..4 {
            let payments = payments(count);
            let order_id = payments.order.order_id;
            let bytes = encode_payments(shard, &payments);
            assert!(bytes.len() <= usize::from(count.max(1)) * PAYMENT_LENGTH_MAX);
            assert_eq!(decode_payments(shard, order_id, &bytes), Ok(payments));
            assert!(decode_payments(ShardId(4), order_id, &bytes).is_err());
            assert!(decode_payments(shard, OrderId(8 << 12), &bytes).is_err());
            for length in 0..bytes.len() {
                assert!(decode_payments(shard, order_id, &bytes[..length]).is_err());
            }
        }
    }

    #[test]
    fn bytes_that_changed_are_recognised() {
        let (shard, payments) = (ShardId(3), payments(2));
        let bytes = encode_payments(shard, &payments);
        for place in 0..bytes.len() {
            let mut bytes = bytes.clone();
            bytes[place] ^= 1;
            assert!(decode_payments(shard, payments.order.order_id, &bytes).is_err());
        }
    }
}
