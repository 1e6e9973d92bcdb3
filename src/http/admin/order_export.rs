//! Orders as a file: CSV, oldest first, read and sent piece by piece, so that a million rows take no more
//! memory than five hundred.
//!
//! A file that breaks off must not look complete: if the order store stops answering, the connection is
//! cut. What people wrote stands in quotes and is no formula to a spreadsheet.

use crate::http::options::EXPORTS_MAX;
use crate::http::problem::{Code, Problem};
use crate::http::state::Edge;
use crate::http::timestamp;
use crate::sales::{OrderFilter, OrderNames};
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use domain::order::Cursor;
use domain::{Order, OrderId};
use futures_util::stream;
use hyper::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use std::fmt::{Display, Write as _};
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;

/// Orders that an export reads at a time.
const ROWS: usize = 500;
/// The first line.
pub const CSV_HEAD: &str = "order_id,item_id,sale_id,user_id,attempt,quantity,amount,currency,\
                            status,created_at,expires_at,product_id,item_title,sale_title,\
                            user_name\r\n";
/// By which Excel knows that a file is UTF-8.
const BYTE_ORDER_MARK: &str = "\u{FEFF}";

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
    let place = Arc::clone(&edge.exports).try_acquire_owned().map_err(|_| {
        Problem::new(Code::Overloaded, format!("{EXPORTS_MAX} exports are running: try again"))
    })?;
    let first = read(&edge, &filter, OrderId(0)).await?;
    let export =
        Export { edge, filter, for_excel, piece: Some(first), is_begun: false, _place: place };
    let pieces = stream::try_unfold(export, |mut export| async move {
        let next = export.next().await;
        next.map(|piece| piece.map(|piece| (piece, export)))
    });
    let headers = [
        (CONTENT_TYPE, "text/csv; charset=utf-8; header=present".to_owned()),
        (CONTENT_DISPOSITION, format!("attachment; filename=\"{name}.csv\"")),
    ];
    Ok((headers, Body::from_stream(pieces)).into_response())
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
    names: OrderNames,
    next: Option<OrderId>,
}

impl Export {
    async fn next(&mut self) -> Result<Option<Bytes>, std::io::Error> {
        let Some(piece) = self.piece.take() else { return Ok(None) };
        let mut text = String::with_capacity(CSV_HEAD.len() + piece.orders.len() * 256);
        if !self.is_begun {
            self.is_begun = true;
            text.push_str(if self.for_excel { BYTE_ORDER_MARK } else { "" });
            text.push_str(CSV_HEAD);
        }
        for order in &piece.orders {
            push_row(order, &piece.names, self.for_excel, &mut text);
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
    Ok(Piece { orders: found.orders, names, next: found.next })
}

fn push_row(order: &Order, names: &OrderNames, for_excel: bool, text: &mut String) {
    for number in [
        &order.order_id as &dyn Display,
        &order.item_id as &dyn Display,
        &order.sale_id as &dyn Display,
        &order.user_id as &dyn Display,
    ] {
        // Writing to a string cannot fail. A formula whose value is a text is the one way to keep Excel
        // from rounding eighteen digits.
        let _ = if for_excel {
            write!(text, "\"=\"\"{number}\"\"\",")
        } else {
            write!(text, "{number},")
        };
    }
    let _ = write!(
        text,
        "{},{},{},{},{},{},{}",
        order.attempt,
        order.quantity,
        order.amount,
        order.currency,
        order.status.name(),
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
        push_text(written.unwrap_or_default(), text);
    }
    text.push_str("\r\n");
}

/// Appends what somebody wrote: in quotes, and with an apostrophe before what a spreadsheet would take for
/// the beginning of a formula, in its wide forms as well.
fn push_text(written: &str, text: &mut String) {
    const BEGINNINGS: [char; 11] = ['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠'];
    text.push('"');
    if written.starts_with(BEGINNINGS) {
        text.push('\'');
    }
    for character in written.chars() {
        if character == '"' {
            text.push('"');
        }
        text.push(character);
    }
    text.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sales::ItemNames;
    use domain::{Currency, ItemId, OrderStatus, RequestId, SaleId, Timestamp, UserId};

    #[test]
    fn what_people_wrote_is_no_formula() {
        for (written, expected) in [
            ("Pear", "\"Pear\""),
            ("", "\"\""),
            ("a,b \"c\"", "\"a,b \"\"c\"\"\""),
            ("=1+1", "\"'=1+1\""),
            ("+1", "\"'+1\""),
            ("-1", "\"'-1\""),
            ("@SUM(A1)", "\"'@SUM(A1)\""),
            ("\tx", "\"'\tx\""),
            ("\rx", "\"'\rx\""),
            ("\nx", "\"'\nx\""),
            ("＝1", "\"'＝1\""),
            ("＋1", "\"'＋1\""),
            ("－1", "\"'－1\""),
            ("＠x", "\"'＠x\""),
            ("1=1", "\"1=1\""),
        ] {
            let mut text = String::new();
            push_text(written, &mut text);
            assert_eq!(text, expected, "{written:?}");
        }
    }

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
            push_row(&order, names, for_excel, &mut text);
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
