//! Orders, sales and items as messages.

use crate::http::api::items::{ItemStateView, SeenItem};
use domain::catalogue::{PublicItem, PublicSale};
use domain::{
    Admission, Challenge, ItemCounters, Order, OrderStatus, SaleStage, SaleStatus, Timestamp,
};
use proto::v1;

/// Returns a time.
pub fn time(time: Timestamp) -> prost_types::Timestamp {
    let Timestamp(milliseconds) = time;
    prost_types::Timestamp {
        seconds: i64::try_from(milliseconds / 1000).unwrap_or(i64::MAX),
        // Below a thousand million.
        nanos: (milliseconds % 1000) as i32 * 1_000_000,
    }
}

/// Returns an order.
pub fn order(order: &Order) -> v1::Order {
    v1::Order {
        order_id: order.order_id.0,
        item_id: order.item_id.0,
        sale_id: order.sale_id.0,
        quantity: order.quantity.into(),
        amount: order.amount,
        currency: order.currency.to_string(),
        status: order_status(order.status).into(),
        created_at: Some(time(order.created_at())),
        expires_at: Some(time(order.expires_at)),
        payment_url: None,
    }
}

fn order_status(status: OrderStatus) -> v1::OrderStatus {
    match status {
        OrderStatus::Reserved => v1::OrderStatus::Reserved,
        OrderStatus::Paid => v1::OrderStatus::Paid,
        OrderStatus::Cancelled => v1::OrderStatus::Cancelled,
        OrderStatus::Expired => v1::OrderStatus::Expired,
        OrderStatus::RefundDue => v1::OrderStatus::RefundDue,
    }
}

/// Returns a sale with these items, as it is at `now`.
pub fn sale(sale: &PublicSale, items: Vec<v1::Item>, now: Timestamp) -> v1::Sale {
    let status = match sale.status.stage(now, sale.starts_at, sale.ends_at) {
        SaleStage::Live => v1::SaleStatus::Live,
        SaleStage::Status(SaleStatus::Approved) => v1::SaleStatus::Approved,
        SaleStage::Status(SaleStatus::Preheated) => v1::SaleStatus::Preheated,
        SaleStage::Status(SaleStatus::Ended) => v1::SaleStatus::Ended,
        SaleStage::Status(SaleStatus::Settled) => v1::SaleStatus::Settled,
        // Nobody sees such a sale but operators.
        SaleStage::Status(_) => v1::SaleStatus::Unspecified,
    };
    v1::Sale {
        sale_id: sale.sale_id.0,
        title: sale.title.clone(),
        status: status.into(),
        starts_at: Some(time(sale.starts_at)),
        ends_at: Some(time(sale.ends_at)),
        items,
    }
}

/// Returns an item, without what only the catalogue knows.
pub fn item(seen: &SeenItem) -> v1::Item {
    let SeenItem { terms, admission, state, counters } = seen;
    v1::Item {
        item_id: terms.item_id.0,
        sale_id: terms.sale_id.0,
        product_id: terms.product_id.to_string(),
        title: None,
        description: None,
        picture: None,
        list_price: None,
        price: terms.price,
        currency: terms.currency.to_string(),
        limit_per_user: terms.limit_per_user.into(),
        payment_window_seconds: terms.payment_window_milliseconds / 1000,
        starts_at: Some(time(terms.starts_at)),
        ends_at: Some(time(terms.ends_at)),
        state: item_state(*state).into(),
        counters: Some(units(*counters)),
        admission: guard(*admission, terms.starts_at),
    }
}

/// Returns an item of a sale, with what the catalogue says of it.
pub fn item_of_sale(seen: &SeenItem, known: &PublicItem) -> v1::Item {
    v1::Item {
        title: Some(known.title.clone()),
        description: known.description.clone(),
        picture: known.picture.map(|picture| picture.to_string()),
        list_price: known.list_price,
        ..item(seen)
    }
}

fn item_state(state: ItemStateView) -> v1::ItemState {
    match state {
        ItemStateView::Upcoming => v1::ItemState::Upcoming,
        ItemStateView::Live => v1::ItemState::Live,
        ItemStateView::SoldOut => v1::ItemState::SoldOut,
        ItemStateView::Paused => v1::ItemState::Paused,
        ItemStateView::Ended => v1::ItemState::Ended,
    }
}

fn units(counters: ItemCounters) -> v1::Counters {
    let ItemCounters { allotted, available, reserved, sold } = counters;
    v1::Counters { allotted, available, reserved, sold }
}

fn guard(admission: Admission, starts_at: Timestamp) -> Option<v1::Admission> {
    let challenge = match admission.challenge {
        Challenge::None => v1::ChallengeKind::None,
        Challenge::Proof => v1::ChallengeKind::Proof,
        Challenge::External => v1::ChallengeKind::External,
    };
    (admission != Admission::OPEN).then(|| v1::Admission {
        buy_token: admission.buy_token,
        challenge: challenge.into(),
        tokens_from: Some(time(admission.opens_at(starts_at))),
        spread_ms: admission.spread_milliseconds,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_its_milliseconds() {
        let shown = time(Timestamp(1_790_000_000_123));
        assert_eq!((shown.seconds, shown.nanos), (1_790_000_000, 123_000_000));
    }
}
