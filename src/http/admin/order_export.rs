//! Orders as a file: CSV, oldest first, read and sent piece by piece, so that a million rows take no more
//! memory than five hundred.
//!
//! A file that breaks off must not look complete: if the order store stops answering, the connection is
//! cut. What people wrote stands in quotes and is no formula to a spreadsheet.

use super::csv;
use crate::http::api::order_view;
use crate::http::problem::Problem;
use crate::http::state::Edge;
use crate::http::timestamp;
use crate::sales::{OrderFilter, OrderNames};
use axum::response::Response;
use bytes::Bytes;
use domain::order::Cursor;
use domain::{Order, OrderId};
use futures_util::stream;
use std::collections::HashSet;
use std::fmt::{Display, Write as _};
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;

/// Orders that an export reads at a time.
const ROWS: usize = 500;
/// The first line.
pub const CSV_HEAD: &str = "order_id,item_id,sale_id,user_id,attempt,quantity,amount,currency,\
                            status,created_at,expires_at,product_id,item_title,sale_title,\
                            user_name\r\n";

/// Answers with all orders that the filter takes as a file called `name`. The first rows are read before
/// the answer begins, so that a database that does not answer still leads to a problem.
///
/// # Errors
/// Returns an `overloaded` problem if as many exports run as may, and a `records_unavailable` one if the
/// order store does not answer.
pub async fn export(
    edge: Arc<Edge>,
    filter: OrderFilter,
    for_excel: bool,
    name: &str,
) -> Result<Response, Problem> {
    let place = csv::place(&edge)?;
    let first = read(&edge, &filter, OrderId(0)).await?;
    let export =
        Export { edge, filter, for_excel, piece: Some(first), is_begun: false, _place: place };
    let pieces = stream::try_unfold(export, |mut export| async move {
        let next = export.next().await;
        next.map(|piece| piece.map(|piece| (piece, export)))
    });
    Ok(csv::file(name, pieces))
}

/// An export under way.
struct Export {
    edge: Arc<Edge>,
    filter: OrderFilter,
    for_excel: bool,
    /// What is to be sent next.
    piece: Option<Piece>,
    is_begun: bool,
    /// Given back when the answer has left, or its client went away.
    _place: OwnedSemaphorePermit,
}

/// Some orders, with what they are called.
struct Piece {
    orders: Vec<Order>,
    refunded: HashSet<OrderId>,
    names: OrderNames,
    next: Option<OrderId>,
}

impl Export {
    async fn next(&mut self) -> Result<Option<Bytes>, std::io::Error> {
        let Some(piece) = self.piece.take() else { return Ok(None) };
        let mut text = String::with_capacity(CSV_HEAD.len() + piece.orders.len() * 256);
        if !self.is_begun {
            self.is_begun = true;
            text.push_str(if self.for_excel { csv::BYTE_ORDER_MARK } else { "" });
            text.push_str(CSV_HEAD);
        }
        for order in &piece.orders {
            let is_refunded = piece.refunded.contains(&order.order_id);
            let status = order_view::status_name(order, is_refunded);
            push_row(order, status, &piece.names, self.for_excel, &mut text);
        }
        if let Some(after) = piece.next {
            let next = read(&self.edge, &self.filter, after).await;
            let next =
                next.map_err(|_| std::io::Error::other("the order store does not answer"))?;
            self.piece = Some(next);
        }
        Ok(Some(Bytes::from(text)))
    }
}

async fn read(edge: &Edge, filter: &OrderFilter, after: OrderId) -> Result<Piece, Problem> {
    let found = edge.sales.search_orders(filter, Cursor::After(after), ROWS).await?;
    let names = edge.sales.names(&found.orders).await?;
    Ok(Piece { orders: found.orders, refunded: found.refunded, names, next: found.next })
}

fn push_row(order: &Order, status: &str, names: &OrderNames, for_excel: bool, text: &mut String) {
    for number in [
        &order.order_id as &dyn Display,
        &order.item_id as &dyn Display,
        &order.sale_id as &dyn Display,
        &order.user_id as &dyn Display,
    ] {
        csv::push_identity(number, for_excel, text);
    }
    // Writing to a string cannot fail.
    let _ = write!(
        text,
        "{},{},{},{},{},{},{}",
        order.attempt,
        order.quantity,
        order.amount,
        order.currency,
        status,
        timestamp::to_string(order.created_at()),
        timestamp::to_string(order.expires_at),
    );
    let item = names.items.get(&order.item_id);
    for written in [
        item.map(|item| item.product_id.as_str()),
        item.map(|item| item.title.as_str()),
        item.map(|item| item.sale_title.as_str()),
        names.users.get(&order.user_id).map(String::as_str),
    ] {
        text.push(',');
        csv::push_text(written.unwrap_or_default(), text);
    }
    text.push_str("\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sales::ItemNames;
    use domain::{Currency, ItemId, OrderStatus, RequestId, SaleId, Timestamp, UserId};

    #[test]
    fn a_row_names_what_is_known_and_keeps_every_digit() {
        let order = Order {
            order_id: OrderId(908_143_992_242_188_288),
            item_id: ItemId(21),
            sale_id: SaleId(7),
            user_id: UserId(1_001),
            request_id: RequestId(5),
            attempt: 1,
            quantity: 2,
            amount: 1_980,
            currency: Currency::CNY,
            status: OrderStatus::Paid,
            expires_at: Timestamp(1_920_586_200_250),
        };
        let item = ItemNames {
            product_id: "tea".to_owned(),
            title: "=龙井".to_owned(),
            sale_title: "双十一".to_owned(),
        };
        let names = OrderNames { items: [(ItemId(21), item)].into(), users: [].into() };
        let row = |names: &OrderNames, for_excel| {
            let mut text = String::new();
            push_row(&order, order.status.name(), names, for_excel, &mut text);
            text
        };
        let created = timestamp::to_string(order.created_at());
        let middle = format!("1,2,1980,CNY,paid,{created},2030-11-11T00:10:00.250Z");
        assert_eq!(
            row(&names, false),
            format!("908143992242188288,21,7,1001,{middle},\"tea\",\"'=龙井\",\"双十一\",\"\"\r\n")
        );
        assert_eq!(
            row(&OrderNames::default(), true),
            format!(
                "\"=\"\"908143992242188288\"\"\",\"=\"\"21\"\"\",\"=\"\"7\"\"\",\"=\"\"1001\"\"\",\
                 {middle},\"\",\"\",\"\",\"\"\r\n"
            )
        );
    }
}
