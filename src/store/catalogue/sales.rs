//! Sales and their items: written as drafts, taken step by step to their end, and listed.
//!
//! Every change is a compare-and-set on the sale's revision, so two operators cannot overwrite one
//! another, and leaves an entry in the operators' log in the same transaction.

use super::error::CatalogueError;
use super::handle::{Catalogue, InsertedKey as _, reading, writing};
use super::limits::{NAME_LENGTH_MAX, SALES_PAGE_MAX, check_text};
use super::log::{LogEntry, append};
use super::numbers::{number, signed};
use super::rows::{ItemRow, SaleRow, join};
use crate::store::database::statements::{SizedStatement, chunks, limit_of};
use domain::approval::{SALE_STATUSES, take_step};
use domain::catalogue::{Day, PUBLIC_STATUSES, Sale, SaleDraft, SalesOfDay};
use domain::{ItemId, SaleId, SaleStatus, SaleStep, Timestamp};
use serde_json::json;
use std::collections::HashMap;
use std::sync::LazyLock;

/// The longest note on a step, in characters.
const NOTE_LENGTH_MAX: usize = 500;

const SALE: &str = "SELECT sale_id, title, starts_at, ends_at, status, revision, created_by, \
                    created_at, edited_by, submitted_by, submitted_at, approved_by, approved_at, \
                    changed_at FROM sales WHERE sale_id = ?";

static ITEMS: LazyLock<SizedStatement> = LazyLock::new(|| {
    SizedStatement::new(
        "SELECT item_id, sale_id, product_id, title, price, list_price, currency, allotted, \
         limit_per_user, payment_window_milliseconds FROM sale_items WHERE sale_id IN (",
        "?",
        ") ORDER BY sale_id, position",
    )
});

const INSERT_ITEM: &str = "INSERT INTO sale_items (position, title, price, list_price, currency, \
                           allotted, limit_per_user, payment_window_milliseconds, product_id, \
                           sale_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
const UPDATE_ITEM: &str = "UPDATE sale_items SET position = ?, title = ?, price = ?, \
                           list_price = ?, currency = ?, allotted = ?, limit_per_user = ?, \
                           payment_window_milliseconds = ?, product_id = ? WHERE item_id = ?";

/// Writes an item's columns, in the order of [`INSERT_ITEM`] and [`UPDATE_ITEM`], then its key.
macro_rules! write_item {
    ($connection:expr, $text:expr, $position:expr, $offer:expr, $key:expr) => {
        sqlx::query($text)
            .bind(i64::try_from($position).unwrap_or(i64::MAX))
            .bind($offer.title.as_str())
            .bind(signed($offer.price))
            .bind($offer.list_price.map(signed))
            .bind($offer.currency.as_str())
            .bind(i64::from($offer.allotted))
            .bind(i64::from($offer.limit_per_user))
            .bind(signed($offer.payment_window_milliseconds))
            .bind($offer.product_id.as_str())
            .bind($key)
            .execute(&mut *$connection)
            .await
    };
}

/// Reads the items of the sales in `$rows` and joins them.
macro_rules! with_items {
    ($connection:expr, $rows:expr) => {{
        let rows: Vec<SaleRow> = $rows;
        let sale_ids: Vec<i64> = rows.iter().map(|row| row.0).collect();
        let mut items: Vec<ItemRow> = Vec::new();
        for sale_ids in chunks(&sale_ids) {
            let mut query = sqlx::query_as(ITEMS.of(sale_ids.len()));
            for sale_id in sale_ids {
                query = query.bind(*sale_id);
            }
            items.extend(query.fetch_all(&mut *$connection).await?);
        }
        join(rows, items)
    }};
}

/// Reads one sale in the open transaction; fails if there is none.
macro_rules! sale_of {
    ($connection:expr, $sale_id:expr) => {{
        let query = sqlx::query_as(SALE).bind(signed($sale_id.0));
        let row = query.fetch_optional(&mut *$connection).await?;
        with_items!($connection, Vec::from_iter(row))?.pop().ok_or(CatalogueError::SaleNotFound)?
    }};
}

impl Catalogue {
    /// Creates a sale as a draft.
    ///
    /// # Errors
    /// Returns [`CatalogueError::Invalid`] with all of [`SaleDraft::problems`] if there are any.
    pub async fn create_sale(
        &self,
        draft: &SaleDraft,
        actor: &str,
        now: Timestamp,
    ) -> Result<Sale, CatalogueError> {
        check_draft(draft, actor)?;
        writing!(&self.database, |connection| {
            let text = "INSERT INTO sales (title, starts_at, ends_at, status, revision, \
                        created_by, created_at, edited_by, changed_at) \
                        VALUES (?, ?, ?, ?, 1, ?, ?, ?, ?)";
            let inserted = sqlx::query(text)
                .bind(draft.title.as_str())
                .bind(signed(draft.starts_at.0))
                .bind(signed(draft.ends_at.0))
                .bind(SaleStatus::Draft as i64)
                .bind(actor)
                .bind(signed(now.0))
                .bind(actor)
                .bind(signed(now.0))
                .execute(&mut *connection)
                .await?;
            let sale_id = SaleId(number("sales.sale_id", inserted.inserted_key())?);
            for (position, offer) in draft.items.iter().enumerate() {
                write_item!(connection, INSERT_ITEM, position, offer, signed(sale_id.0))?;
            }
            append!(connection, entry("create", sale_id, actor, now, None))?;
            Ok(sale_of!(connection, sale_id))
        })
    }

    /// Replaces a draft's content. An item whose product stays keeps its number. If `revision` is
    /// given, the sale must still be at that one.
    ///
    /// # Errors
    /// Returns [`CatalogueError::Frozen`] if the sale is not a draft any more,
    /// [`CatalogueError::ChangedMeanwhile`] if it is at another revision,
    /// [`CatalogueError::Invalid`] with all of [`SaleDraft::problems`] if there are any.
    pub async fn replace_sale(
        &self,
        sale_id: SaleId,
        draft: &SaleDraft,
        revision: Option<u64>,
        actor: &str,
        now: Timestamp,
    ) -> Result<Sale, CatalogueError> {
        check_draft(draft, actor)?;
        writing!(&self.database, |connection| {
            let sale = sale_of!(connection, sale_id);
            check_editable(&sale, revision)?;
            let text = "UPDATE sales SET title = ?, starts_at = ?, ends_at = ?, edited_by = ?, \
                        changed_at = ?, revision = revision + 1 \
                        WHERE sale_id = ? AND revision = ?";
            let updated = sqlx::query(text)
                .bind(draft.title.as_str())
                .bind(signed(draft.starts_at.0))
                .bind(signed(draft.ends_at.0))
                .bind(actor)
                .bind(signed(now.0))
                .bind(signed(sale_id.0))
                .bind(signed(sale.revision))
                .execute(&mut *connection)
                .await?;
            check_hit(updated.rows_affected())?;
            let mut former: HashMap<String, ItemId> =
                sale.items.into_iter().map(|item| (item.offer.product_id, item.item_id)).collect();
            for (position, offer) in draft.items.iter().enumerate() {
                match former.remove(&offer.product_id) {
                    Some(item_id) => {
                        write_item!(connection, UPDATE_ITEM, position, offer, signed(item_id.0))?
                    }
                    None => {
                        write_item!(connection, INSERT_ITEM, position, offer, signed(sale_id.0))?
                    }
                };
            }
            for item_id in former.values() {
                sqlx::query("DELETE FROM sale_items WHERE item_id = ?")
                    .bind(signed(item_id.0))
                    .execute(&mut *connection)
                    .await?;
            }
            append!(connection, entry("edit", sale_id, actor, now, None))?;
            Ok(sale_of!(connection, sale_id))
        })
    }

    /// Deletes a draft. Its numbers are not used again.
    ///
    /// # Errors
    /// Returns [`CatalogueError::Frozen`] if the sale is not a draft any more.
    pub async fn delete_sale(
        &self,
        sale_id: SaleId,
        actor: &str,
        now: Timestamp,
    ) -> Result<(), CatalogueError> {
        check_text("actor", actor, NAME_LENGTH_MAX)?;
        writing!(&self.database, |connection| {
            let sale = sale_of!(connection, sale_id);
            check_editable(&sale, None)?;
            // The revision comes first: it locks the sale against a submission at the same moment.
            let text =
                "UPDATE sales SET revision = revision + 1 WHERE sale_id = ? AND revision = ?";
            let updated = sqlx::query(text)
                .bind(signed(sale_id.0))
                .bind(signed(sale.revision))
                .execute(&mut *connection)
                .await?;
            check_hit(updated.rows_affected())?;
            for text in
                ["DELETE FROM sale_items WHERE sale_id = ?", "DELETE FROM sales WHERE sale_id = ?"]
            {
                sqlx::query(text).bind(signed(sale_id.0)).execute(&mut *connection).await?;
            }
            append!(connection, entry("delete", sale_id, actor, now, None))?;
            Ok(())
        })
    }

    /// Takes a sale one step on, by the rules of `domain::approval`, and logs who did it with their
    /// `note`, if any.
    ///
    /// # Errors
    /// Returns [`CatalogueError::Refused`] if the rules forbid it,
    /// [`CatalogueError::ChangedMeanwhile`] if another operator changed the sale at the same time.
    pub async fn take_step(
        &self,
        sale_id: SaleId,
        step: SaleStep,
        actor: &str,
        note: Option<&str>,
        now: Timestamp,
    ) -> Result<Sale, CatalogueError> {
        check_text("actor", actor, NAME_LENGTH_MAX)?;
        if let Some(note) = note {
            check_text("note", note, NOTE_LENGTH_MAX)?;
        }
        writing!(&self.database, |connection| {
            let mut sale = sale_of!(connection, sale_id);
            let revision = sale.revision;
            sale.status = take_step(sale.status, step, actor, sale.makers())?;
            sale.revision += 1;
            sale.changed_at = now;
            match step {
                SaleStep::Submit => sale.submitted = Some((actor.to_owned(), now)),
                SaleStep::Withdraw | SaleStep::Revise => sale.submitted = None,
                SaleStep::Approve => sale.approved = Some((actor.to_owned(), now)),
                SaleStep::Reject | SaleStep::Preheat | SaleStep::End | SaleStep::Settle => {}
            }
            let text = "UPDATE sales SET status = ?, revision = ?, submitted_by = ?, \
                        submitted_at = ?, approved_by = ?, approved_at = ?, changed_at = ? \
                        WHERE sale_id = ? AND revision = ?";
            let updated = sqlx::query(text)
                .bind(sale.status as i64)
                .bind(signed(sale.revision))
                .bind(sale.submitted.as_ref().map(|(name, _)| name.as_str()))
                .bind(sale.submitted.as_ref().map(|(_, at)| signed(at.0)))
                .bind(sale.approved.as_ref().map(|(name, _)| name.as_str()))
                .bind(sale.approved.as_ref().map(|(_, at)| signed(at.0)))
                .bind(signed(now.0))
                .bind(signed(sale_id.0))
                .bind(signed(revision))
                .execute(&mut *connection)
                .await?;
            check_hit(updated.rows_affected())?;
            append!(connection, entry(step.name(), sale_id, actor, now, note))?;
            Ok(sale)
        })
    }

    /// Returns the sale, if there is one.
    ///
    /// # Errors
    /// Returns [`CatalogueError::Store`] if the database does not answer.
    pub async fn sale(&self, sale_id: SaleId) -> Result<Option<Sale>, CatalogueError> {
        let sales: Result<Vec<Sale>, CatalogueError> = reading!(&self.database, |connection| {
            let query = sqlx::query_as(SALE).bind(signed(sale_id.0));
            let row = query.fetch_optional(&mut *connection).await?;
            Ok(with_items!(connection, Vec::from_iter(row))?)
        });
        Ok(sales?.pop())
    }

    /// Returns the sale that the item belongs to, if there is one.
    ///
    /// # Errors
    /// Returns [`CatalogueError::Store`] if the database does not answer.
    pub async fn sale_of_item(&self, item_id: ItemId) -> Result<Option<Sale>, CatalogueError> {
        let row: Result<Option<(i64,)>, CatalogueError> = reading!(&self.database, |connection| {
            let query = sqlx::query_as("SELECT sale_id FROM sale_items WHERE item_id = ?");
            Ok(query.bind(signed(item_id.0)).fetch_optional(connection).await?)
        });
        let Some((sale_id,)) = row? else { return Ok(None) };
        self.sale(SaleId(number(format_args!("item {item_id}, sale_id"), sale_id)?)).await
    }

    /// Returns sales in one of these statuses (in any, if none is given), newest first, created before
    /// `before` if given; at most `limit` and [`SALES_PAGE_MAX`].
    ///
    /// # Errors
    /// Returns [`CatalogueError::Store`] if the database does not answer.
    pub async fn sales(
        &self,
        statuses: &[SaleStatus],
        before: Option<SaleId>,
        limit: usize,
    ) -> Result<Vec<Sale>, CatalogueError> {
        reading!(&self.database, |connection| {
            let text = "SELECT sale_id, title, starts_at, ends_at, status, revision, created_by, \
                        created_at, edited_by, submitted_by, submitted_at, approved_by, \
                        approved_at, changed_at FROM sales \
                        WHERE sale_id < ? AND status IN (?, ?, ?, ?, ?, ?, ?) \
                        ORDER BY sale_id DESC LIMIT ?";
            let mut query =
                sqlx::query_as(text).bind(before.map_or(i64::MAX, |sale_id| signed(sale_id.0)));
            for status in SALE_STATUSES {
                // No status has the number 0.
                let is_wanted = statuses.is_empty() || statuses.contains(&status);
                query = query.bind(if is_wanted { status as i64 } else { 0 });
            }
            let query = query.bind(limit_of(limit.min(SALES_PAGE_MAX)));
            let rows = query.fetch_all(&mut *connection).await?;
            Ok(with_items!(connection, rows)?)
        })
    }

    /// Returns the public sales whose window touches the day, by their start.
    ///
    /// # Errors
    /// Returns [`CatalogueError::Store`] if the database does not answer.
    pub async fn sales_of_day(&self, day: Day) -> Result<SalesOfDay, CatalogueError> {
        let window = day.window();
        let sales: Result<Vec<Sale>, CatalogueError> = reading!(&self.database, |connection| {
            let text = "SELECT sale_id, title, starts_at, ends_at, status, revision, created_by, \
                        created_at, edited_by, submitted_by, submitted_at, approved_by, \
                        approved_at, changed_at FROM sales \
                        WHERE starts_at < ? AND ends_at > ? AND status IN (?, ?, ?, ?) \
                        ORDER BY starts_at, sale_id LIMIT ?";
            let mut query =
                sqlx::query_as(text).bind(signed(window.end.0)).bind(signed(window.start.0));
            for status in PUBLIC_STATUSES {
                query = query.bind(status as i64);
            }
            // One more than is returned, to know whether there are more.
            let query = query.bind(limit_of(SALES_PAGE_MAX + 1));
            let rows = query.fetch_all(&mut *connection).await?;
            Ok(with_items!(connection, rows)?)
        });
        let sales = sales?;
        Ok(SalesOfDay {
            has_more: sales.len() > SALES_PAGE_MAX,
            sales: sales.iter().take(SALES_PAGE_MAX).filter_map(Sale::public).collect(),
        })
    }
}

fn check_editable(sale: &Sale, revision: Option<u64>) -> Result<(), CatalogueError> {
    if sale.status != SaleStatus::Draft {
        return Err(CatalogueError::Frozen);
    }
    if revision.is_some_and(|revision| revision != sale.revision) {
        return Err(CatalogueError::ChangedMeanwhile);
    }
    Ok(())
}

fn check_draft(draft: &SaleDraft, actor: &str) -> Result<(), CatalogueError> {
    check_text("actor", actor, NAME_LENGTH_MAX)?;
    let problems = draft.problems();
    if problems.is_empty() { Ok(()) } else { Err(CatalogueError::Invalid(problems)) }
}

/// Checks that a compare-and-set changed its row.
fn check_hit(rows: u64) -> Result<(), CatalogueError> {
    if rows == 1 { Ok(()) } else { Err(CatalogueError::ChangedMeanwhile) }
}

/// The entry of the operators' log for a change of a sale.
fn entry(
    action: &str,
    sale_id: SaleId,
    actor: &str,
    now: Timestamp,
    note: Option<&str>,
) -> LogEntry {
    LogEntry {
        at: now,
        actor: actor.to_owned(),
        action: format!("sale.{action}"),
        subject: format!("sale:{sale_id}"),
        detail: note.map_or_else(|| json!({}), |note| json!({ "note": note })),
    }
}
