//! Applies the payments of a batch, after its orders and in their transaction: one algorithm for both databases.
//!
//! Rows are looked up first, because most records change a payment that is stored. Only rows that were found and do
//! not contradict are updated; the others are inserted, so that a row that another session has stored meanwhile is
//! met and compared. Must not know SQL, nor commit.

use super::conflict::{Conflict, ConflictReason};
use super::payment_row::{PaymentRow, StoredPayment};
use super::session::{Insertion, Session};
use crate::store::database::StoreError;
use crate::store::database::statements::chunks;
use domain::{OrderId, PaymentId};
use hashbrown::HashMap;

/// What became of a batch's payments.
#[derive(Debug, Default)]
pub(super) struct Written {
    /// How many rows were made or changed.
    pub(super) rows: usize,
    /// Records that were left out because they contradict what is stored.
    pub(super) conflicts: Vec<Conflict>,
}

/// Applies payments, one row of each and by their identity; after them the contested ones, each against what is stored
/// then.
pub(super) async fn apply(
    session: &mut impl Session,
    rows: &[PaymentRow],
    contested: &[PaymentRow],
) -> Result<Written, StoreError> {
    let mut written = Written::default();
    merge(session, rows, &mut written).await?;
    for row in contested {
        merge(session, std::slice::from_ref(row), &mut written).await?;
    }
    Ok(written)
}

async fn merge(
    session: &mut impl Session,
    rows: &[PaymentRow],
    written: &mut Written,
) -> Result<(), StoreError> {
    let stored = stored(session, rows).await?;
    let (mut missing, mut changed) = (Vec::new(), Vec::new());
    for row in rows {
        match stored.get(&row.stored.payment.id) {
            None => missing.push(row),
            Some(stored) => match judge(stored, row) {
                Ok(update) => changed.extend(update),
                Err(reason) => written.conflicts.push(Conflict { record: row.record(), reason }),
            },
        }
    }
    for rows in chunks(&changed) {
        session.update_payments(rows).await?;
        written.rows += rows.len();
    }
    for rows in chunks(&missing) {
        let inserted: Vec<&StoredPayment> = rows.iter().map(|row| &row.stored).collect();
        match session.insert_payments(&inserted).await? {
            Insertion::Done => written.rows += rows.len(),
            Insertion::KeyTaken => {
                for row in rows {
                    merge_one(session, row, written).await?;
                }
            }
        }
    }
    Ok(())
}

/// Applies a row that another session may have stored a moment ago.
async fn merge_one(
    session: &mut impl Session,
    row: &PaymentRow,
    written: &mut Written,
) -> Result<(), StoreError> {
    if session.insert_payments(&[&row.stored]).await? == Insertion::Done {
        written.rows += 1;
        return Ok(());
    }
    let stored = stored(session, std::slice::from_ref(row)).await?;
    let Some(stored) = stored.get(&row.stored.payment.id) else {
        return Err(StoreError::corrupt(format!(
            "payment {}: it is stored and cannot be read",
            row.stored.payment.id
        )));
    };
    match judge(stored, row) {
        Ok(None) => {}
        Ok(Some(update)) => {
            session.update_payments(&[update]).await?;
            written.rows += 1;
        }
        Err(reason) => written.conflicts.push(Conflict { record: row.record(), reason }),
    }
    Ok(())
}

/// The payments that are stored of these rows' orders.
async fn stored(
    session: &mut impl Session,
    rows: &[PaymentRow],
) -> Result<HashMap<PaymentId, StoredPayment>, StoreError> {
    let mut orders: Vec<OrderId> = rows.iter().map(|row| row.stored.payment.id.order_id).collect();
    orders.dedup();
    let mut stored = HashMap::new();
    for orders in chunks(&orders) {
        let found = session.stored_payments(orders).await?;
        stored.extend(found.into_iter().map(|row| (row.payment.id, row)));
    }
    Ok(stored)
}

/// What the stored row has to become, if it has to change: as of the later record, and from the time of the first.
fn judge(
    stored: &StoredPayment,
    row: &PaymentRow,
) -> Result<Option<StoredPayment>, ConflictReason> {
    let came = &row.stored;
    if stored.contradicts(came) {
        return Err(ConflictReason::OtherPayment);
    }
    let created_at = stored.created_at.min(came.created_at);
    let later = if came.version > stored.version { came } else { stored };
    let becomes = StoredPayment { created_at, ..later.clone() };
    Ok((becomes != *stored).then_some(becomes))
}
