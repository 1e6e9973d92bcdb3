//! Refunds as a file: CSV, by ascending payment, read and sent piece by piece.
//!
//! A file that breaks off must not look complete: if the order store stops answering, the connection is cut.

use super::csv;
use crate::http::problem::Problem;
use crate::http::state::Edge;
use crate::http::timestamp;
use crate::sales::{PaymentFilter, StoredPayment};
use axum::response::Response;
use bytes::Bytes;
use domain::PaymentId;
use futures_util::stream;
use std::fmt::Write as _;
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;

/// Payments that an export reads at a time.
const ROWS: usize = 500;
/// The first line.
pub const CSV_HEAD: &str = "payment_id,order_id,item_id,sale_id,user_id,amount,currency,state,created_at,changed_at,\
                            provider,reference,refund_reference\r\n";

/// Answers with all payments that the filter takes as a file. The first rows are read before the answer begins, so
/// that a database that does not answer still leads to a problem.
///
/// # Errors
/// Returns an `overloaded` problem if as many exports run as may, and a `records_unavailable` one if the order store
/// does not answer.
pub async fn export(
    edge: Arc<Edge>,
    filter: PaymentFilter,
    for_excel: bool,
) -> Result<Response, Problem> {
    let place = csv::place(&edge)?;
    let first = edge.sales.payments(&filter, None, ROWS).await?;
    let export =
        Export { edge, filter, for_excel, rows: Some(first), is_begun: false, _place: place };
    let pieces = stream::try_unfold(export, |mut export| async move {
        let next = export.next().await;
        next.map(|piece| piece.map(|piece| (piece, export)))
    });
    Ok(csv::file("refunds", pieces))
}

/// An export under way.
struct Export {
    edge: Arc<Edge>,
    filter: PaymentFilter,
    for_excel: bool,
    /// What is to be sent next.
    rows: Option<Vec<StoredPayment>>,
    is_begun: bool,
    /// Given back when the answer has left, or its client went away.
    _place: OwnedSemaphorePermit,
}

impl Export {
    async fn next(&mut self) -> Result<Option<Bytes>, std::io::Error> {
        let Some(rows) = self.rows.take() else { return Ok(None) };
        let mut text = String::with_capacity(CSV_HEAD.len() + rows.len() * 256);
        if !self.is_begun {
            self.is_begun = true;
            text.push_str(if self.for_excel { csv::BYTE_ORDER_MARK } else { "" });
            text.push_str(CSV_HEAD);
        }
        for row in &rows {
            push_row(row, self.for_excel, &mut text);
        }
        let last: Option<PaymentId> = rows.last().map(|row| row.payment.id);
        if rows.len() == ROWS {
            let next = self.edge.sales.payments(&self.filter, last, ROWS).await;
            let next =
                next.map_err(|_| std::io::Error::other("the order store does not answer"))?;
            self.rows = Some(next);
        }
        Ok(Some(Bytes::from(text)))
    }
}

fn push_row(row: &StoredPayment, for_excel: bool, text: &mut String) {
    let payment = &row.payment;
    csv::push_identity(&payment.id, for_excel, text);
    csv::push_identity(&payment.id.order_id, for_excel, text);
    csv::push_identity(&row.item_id, for_excel, text);
    csv::push_identity(&row.sale_id, for_excel, text);
    csv::push_identity(&row.user_id, for_excel, text);
    // Writing to a string cannot fail.
    let _ = write!(
        text,
        "{},{},{},{},{},{}",
        payment.amount,
        payment.currency,
        payment.state.name(),
        timestamp::to_string(row.created_at),
        timestamp::to_string(row.changed_at),
        payment.provider,
    );
    for reference in [&payment.reference, &payment.refund_reference] {
        text.push(',');
        csv::push_text(reference.as_ref().map_or("", |reference| reference.as_str()), text);
    }
    text.push_str("\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{
        Currency, ItemId, OrderId, Payment, PaymentReference, PaymentState, ProviderName,
        RequestId, SaleId, Timestamp, UserId,
    };

    #[test]
    fn a_row_keeps_every_digit_and_a_reference_is_no_formula() {
        let order_id = OrderId(908_143_992_242_188_288);
        let row = StoredPayment {
            payment: Payment {
                id: PaymentId { order_id, number: 2 },
                request_id: RequestId(0),
                provider: ProviderName::sandbox(),
                amount: 990,
                currency: Currency::CNY,
                state: PaymentState::Refunded,
                reference: PaymentReference::parse("=1+1"),
                refund_reference: PaymentReference::parse("re_1,\"x\""),
            },
            sale_id: SaleId(7),
            item_id: ItemId(21),
            user_id: UserId(1_001),
            created_at: Timestamp(1_920_585_600_250),
            changed_at: Timestamp(1_920_586_200_250),
            version: 9,
        };
        let written = |for_excel| {
            let mut text = String::new();
            push_row(&row, for_excel, &mut text);
            text
        };
        let rest = "990,CNY,refunded,2030-11-11T00:00:00.250Z,2030-11-11T00:10:00.250Z,sandbox,\
                    \"'=1+1\",\"re_1,\"\"x\"\"\"\r\n";
        assert_eq!(
            written(false),
            format!("908143992242188288-2,908143992242188288,21,7,1001,{rest}")
        );
        assert!(
            written(true)
                .starts_with("\"=\"\"908143992242188288-2\"\"\",\"=\"\"908143992242188288\"\"\",")
        );
        assert_eq!(CSV_HEAD.matches(',').count(), 12);
    }
}
