//! Rows of sales and their items, and how they are decoded.

use super::numbers::number;
use crate::store::database::StoreError;
use domain::catalogue::{Offer, PictureId, Sale, SaleItem};
use domain::{Admission, Currency, ItemId, SaleId, SaleStatus, Timestamp};
use std::collections::HashMap;

/// A row of `sales`, in the order in which its columns are selected.
pub(super) type SaleRow = (
    i64,
    String,
    i64,
    i64,
    i64,
    i64,
    String,
    i64,
    String,
    Option<String>,
    Option<i64>,
    Option<String>,
    Option<i64>,
    i64,
    i64,
);

/// A row of `sale_items`, in the order in which its columns are selected.
pub(super) type ItemRow = (
    i64,
    i64,
    String,
    String,
    i64,
    Option<i64>,
    String,
    i64,
    i64,
    i64,
    Option<String>,
    Option<Vec<u8>>,
    i64,
    i64,
);

/// Decodes sales in the order of their rows, each with its items in the order of theirs.
///
/// # Errors
/// Returns [`StoreError::Corrupt`], which names the row, if a column holds an impossible value.
pub(super) fn join(rows: Vec<SaleRow>, items: Vec<ItemRow>) -> Result<Vec<Sale>, StoreError> {
    let mut items_of: HashMap<i64, Vec<SaleItem>> = HashMap::with_capacity(rows.len());
    for row in items {
        items_of.entry(row.1).or_default().push(read_item(row)?);
    }
    rows.into_iter()
        .map(|row| {
            let items = items_of.remove(&row.0).unwrap_or_default();
            read_sale(row, items)
        })
        .collect()
}

fn read_sale(row: SaleRow, items: Vec<SaleItem>) -> Result<Sale, StoreError> {
    let sale_id = row.0;
    let unsigned = |column: &str, kept: i64| number(format_args!("sale {sale_id}, {column}"), kept);
    let instant = |column: &str, kept: i64| unsigned(column, kept).map(Timestamp);
    let signature = |column: &str, name: Option<String>, at: Option<i64>| match (name, at) {
        (Some(name), Some(at)) => Ok(Some((name, instant(column, at)?))),
        (None, None) => Ok(None),
        _ => Err(StoreError::corrupt(format!("sale {sale_id}, {column}: a name or a time alone"))),
    };
    let status = u8::try_from(row.4).ok().and_then(SaleStatus::from_number);
    let status = status.ok_or_else(|| {
        StoreError::corrupt(format!("sale {sale_id}: there is no status {}", row.4))
    })?;
    Ok(Sale {
        sale_id: SaleId(unsigned("sale_id", sale_id)?),
        title: row.1,
        starts_at: instant("starts_at", row.2)?,
        ends_at: instant("ends_at", row.3)?,
        status,
        revision: unsigned("revision", row.5)?,
        created_by: row.6,
        created_at: instant("created_at", row.7)?,
        edited_by: row.8,
        submitted: signature("submitted", row.9, row.10)?,
        approved: signature("approved", row.11, row.12)?,
        changed_at: instant("changed_at", row.13)?,
        edits: unsigned("edits", row.14)?,
        items,
    })
}

fn read_item(row: ItemRow) -> Result<SaleItem, StoreError> {
    let (item_id, _, product_id, title, price, list_price, currency, allotted, limit, window, ..) =
        row;
    let (description, picture, admission, buckets) = (row.10, row.11, row.12, row.13);
    let place = |column: &'static str| format!("item {item_id}, {column}");
    let offer = Offer {
        product_id,
        title,
        price: number(place("price"), price)?,
        list_price: list_price.map(|price| number(place("list_price"), price)).transpose()?,
        currency: Currency::parse(&currency).ok_or_else(|| {
            StoreError::corrupt(format!("{}: {currency:?} is not a code", place("currency")))
        })?,
        allotted: number(place("allotted"), allotted)?,
        limit_per_user: number(place("limit_per_user"), limit)?,
        payment_window_milliseconds: number(place("payment_window_milliseconds"), window)?,
        description,
        picture: picture.map(|name| picture_id(place("picture"), &name)).transpose()?,
        admission: Admission::from_number(admission.cast_unsigned()).ok_or_else(|| {
            StoreError::corrupt(format!("{}: there is no {admission}", place("admission")))
        })?,
        buckets: number(place("buckets"), buckets)?,
    };
    Ok(SaleItem { item_id: ItemId(number(place("item_id"), item_id)?), offer })
}

fn picture_id(place: String, name: &[u8]) -> Result<PictureId, StoreError> {
    let name = name.try_into().map_err(|_| {
        StoreError::corrupt(format!("{place}: {} bytes are no picture's name", name.len()))
    })?;
    Ok(PictureId(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_with_an_impossible_value_is_an_error_that_names_it() {
        let check = |status: i64, submitted: (Option<&str>, Option<i64>), expected: &str| {
            let (name, at) = submitted;
            let text = |text: &str| text.to_owned();
            let row: SaleRow = (
                7,
                text("noon"),
                1,
                2,
                status,
                1,
                text("ann"),
                1,
                text("ann"),
                name.map(text),
                at,
                None,
                None,
                1,
                0,
            );
            let error = join(vec![row], Vec::new()).expect_err(expected);
            assert_eq!(error, StoreError::corrupt(expected));
        };
        check(0, (None, None), "sale 7: there is no status 0");
        check(300, (None, None), "sale 7: there is no status 300");
        check(1, (Some("bob"), None), "sale 7, submitted: a name or a time alone");
        check(1, (Some("bob"), Some(-1)), "sale 7, submitted: -1 is out of range");
    }
}
