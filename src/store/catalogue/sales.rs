//! Sales and their items: written as drafts, taken step by step to their end, and listed.
//!
//! Every change is a compare-and-set on the sale's revision, so two operators cannot overwrite one
//! another, and leaves an entry in the operators' log in the same transaction.

use super::change::{Change, earlier, note_request};
use super::content::Content;
use super::error::CatalogueError;
use super::handle::{Catalogue, InsertedKey as _, reading, writing};
use super::latest::mark_change;
use super::limits::{NAME_LENGTH_MAX, SALES_PAGE_MAX, check_text};
use super::log::{LogEntry, append};
use super::media::check_pictures;
use super::numbers::{number, signed};
use super::rows::{ItemRow, SaleRow, join};
use crate::store::database::StoreError;
use crate::store::database::statements::{SizedStatement, chunks, limit_of};
use domain::approval::{SALE_STATUSES, take_step};
use domain::catalogue::{Day, PUBLIC_STATUSES, PublicSale, Sale, SaleDraft, SaleList};
use domain::{ItemId, ItemTerms, SaleId, SaleStatus, SaleStep};
use serde_json::json;
use std::collections::HashMap;
use std::sync::LazyLock;

/// The longest note on a step, in characters.
const NOTE_LENGTH_MAX: usize = 500;

const SALE: &str = "SELECT sale_id, title, starts_at, ends_at, status, revision, created_by, \
                    created_at, edited_by, submitted_by, submitted_at, approved_by, approved_at, \
                    changed_at, edits FROM sales WHERE sale_id = ?";

static ITEMS: LazyLock<SizedStatement> = LazyLock::new(|| {
    SizedStatement::new(
        "SELECT item_id, sale_id, product_id, title, price, list_price, currency, allotted, \
         limit_per_user, payment_window_milliseconds, description, picture, admission, \
         buckets FROM sale_items WHERE sale_id IN (",
        "?",
        ") ORDER BY sale_id, position",
    )
});

static HELD_ITEMS: LazyLock<SizedStatement> = LazyLock::new(|| {
    let head = "SELECT item_id, sale_id, product_id FROM sale_items WHERE item_id IN (";
    SizedStatement::new(head, "?", ")")
});

const INSERT_ITEM: &str = "INSERT INTO sale_items (position, title, price, list_price, currency, \
                           allotted, limit_per_user, payment_window_milliseconds, description, \
                           picture, admission, buckets, product_id, sale_id) \
                           VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
const INSERT_ITEM_AS: &str = "INSERT INTO sale_items (position, title, price, list_price, \
                              currency, allotted, limit_per_user, payment_window_milliseconds, \
                              description, picture, admission, buckets, product_id, sale_id, \
                              item_id) \
                              VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
const UPDATE_ITEM: &str = "UPDATE sale_items SET position = ?, title = ?, price = ?, \
                           list_price = ?, currency = ?, allotted = ?, limit_per_user = ?, \
                           payment_window_milliseconds = ?, description = ?, picture = ?, \
                           admission = ?, buckets = ?, product_id = ? WHERE item_id = ?";

/// Writes an item's columns, in the order of [`INSERT_ITEM`] and [`UPDATE_ITEM`], then its keys.
macro_rules! write_item {
    ($connection:expr, $text:expr, $position:expr, $offer:expr $(, $key:expr)+) => {
        sqlx::query($text)
            .bind(i64::try_from($position).unwrap_or(i64::MAX))
            .bind($offer.title.as_str())
            .bind(signed($offer.price))
            .bind($offer.list_price.map(signed))
            .bind($offer.currency.as_str())
            .bind(i64::from($offer.allotted))
            .bind(i64::from($offer.limit_per_user))
            .bind(signed($offer.payment_window_milliseconds))
            .bind($offer.description.as_deref())
            .bind($offer.picture.as_ref().map(|picture| picture.0.as_slice()))
            .bind($offer.admission.number().cast_signed())
            .bind(i64::from($offer.buckets))
            .bind($offer.product_id.as_str())
            $(.bind($key))+
            .execute(&mut *$connection)
            .await
    };
}

/// Inserts a sale's row, with this number if there is one, and returns its number.
macro_rules! insert_sale {
    ($connection:expr, $draft:expr, $change:expr, $sale_id:expr) => {{
        let text = "INSERT INTO sales (sale_id, title, starts_at, ends_at, status, revision, \
                    created_by, created_at, edited_by, changed_at) \
                    VALUES (?, ?, ?, ?, ?, 1, ?, ?, ?, ?)";
        let inserted = sqlx::query(text)
            .bind($sale_id)
            .bind($draft.title.as_str())
            .bind(signed($draft.starts_at.0))
            .bind(signed($draft.ends_at.0))
            .bind(SaleStatus::Draft as i64)
            .bind($change.operator)
            .bind(signed($change.at.0))
            .bind($change.operator)
            .bind(signed($change.at.0))
            .execute(&mut *$connection)
            .await?;
        let kept = $sale_id.unwrap_or_else(|| inserted.inserted_key());
        SaleId(number("sales.sale_id", kept)?)
    }};
}

/// Inserts an item's row, with a number above `$known`.
macro_rules! insert_item {
    ($connection:expr, $position:expr, $offer:expr, $sale_id:expr, $known:expr) => {{
        let key = signed($sale_id.0);
        let inserted = write_item!($connection, INSERT_ITEM, $position, $offer, key)?;
        let item_id = inserted.inserted_key();
        if item_id <= signed($known.0) {
            sqlx::query("DELETE FROM sale_items WHERE item_id = ?")
                .bind(item_id)
                .execute(&mut *$connection)
                .await?;
            let next = signed($known.0 + 1);
            let text = INSERT_ITEM_AS;
            write_item!($connection, text, $position, $offer, key, next)?;
        }
    }};
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
    /// Creates a sale as a draft, with numbers of its own above those of `known`: the numbers that
    /// journals have seen, which a lost or older catalogue does not know.
    ///
    /// # Errors
    /// Returns [`CatalogueError::Invalid`] with all of [`SaleDraft::problems`] if there are any,
    /// [`CatalogueError::KeyReused`] if the request id belongs to another request.
    pub async fn create_sale(
        &self,
        draft: &SaleDraft,
        known: KnownIds,
        change: Change<'_>,
    ) -> Result<Changed, CatalogueError> {
        check_draft(draft, change.operator)?;
        let content = Content::of(draft);
        writing!(&self.database, |connection| {
            if let Some(earlier) = earlier!(connection, change) {
                earlier.check("sale.create", None, content)?;
                let sale_id = sale_in(&earlier.subject)?;
                return Ok(Changed { sale: sale_of!(connection, sale_id), is_repeat: true });
            }
            check_pictures!(connection, draft);
            let mut sale_id = insert_sale!(connection, draft, change, None::<i64>);
            if sale_id <= known.sale_id {
                sqlx::query("DELETE FROM sales WHERE sale_id = ?")
                    .bind(signed(sale_id.0))
                    .execute(&mut *connection)
                    .await?;
                let next = signed(known.sale_id.0 + 1);
                sale_id = insert_sale!(connection, draft, change, Some(next));
            }
            for (position, offer) in draft.items.iter().enumerate() {
                insert_item!(connection, position, offer, sale_id, known.item_id);
            }
            let entry = entry("create", sale_id, change, None);
            note_request!(connection, change, "sale.create", entry.subject.as_str(), content);
            append!(connection, entry)?;
            mark_change!(connection)?;
            Ok(Changed { sale: sale_of!(connection, sale_id), is_repeat: false })
        })
    }

    /// Replaces a draft's content. An item whose product stays keeps its number.
    ///
    /// # Errors
    /// Returns [`CatalogueError::Frozen`] if the sale is not a draft any more,
    /// [`CatalogueError::OtherRevision`] or [`CatalogueError::RevisionUnsaid`] if the change was made
    /// from another revision, [`CatalogueError::Invalid`] with all of [`SaleDraft::problems`] if there
    /// are any, [`CatalogueError::KeyReused`] if the request id belongs to another request.
    pub async fn replace_sale(
        &self,
        sale_id: SaleId,
        draft: &SaleDraft,
        known: KnownIds,
        change: Change<'_>,
    ) -> Result<Changed, CatalogueError> {
        check_draft(draft, change.operator)?;
        let (content, entry) = (Content::of(draft), entry("edit", sale_id, change, None));
        writing!(&self.database, |connection| {
            let sale = sale_of!(connection, sale_id);
            if let Some(earlier) = earlier!(connection, change) {
                earlier.check("sale.edit", Some(&entry.subject), content)?;
                return Ok(Changed { sale, is_repeat: true });
            }
            check_editable(&sale, change)?;
            check_pictures!(connection, draft);
            let text = "UPDATE sales SET title = ?, starts_at = ?, ends_at = ?, edited_by = ?, \
                        changed_at = ?, revision = revision + 1, edits = edits + 1 \
                        WHERE sale_id = ? AND revision = ?";
            let updated = sqlx::query(text)
                .bind(draft.title.as_str())
                .bind(signed(draft.starts_at.0))
                .bind(signed(draft.ends_at.0))
                .bind(change.operator)
                .bind(signed(change.at.0))
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
                        write_item!(connection, UPDATE_ITEM, position, offer, signed(item_id.0))?;
                    }
                    None => insert_item!(connection, position, offer, sale_id, known.item_id),
                }
            }
            for item_id in former.values() {
                sqlx::query("DELETE FROM sale_items WHERE item_id = ?")
                    .bind(signed(item_id.0))
                    .execute(&mut *connection)
                    .await?;
            }
            note_request!(connection, change, "sale.edit", entry.subject.as_str(), content);
            append!(connection, entry)?;
            mark_change!(connection)?;
            Ok(Changed { sale: sale_of!(connection, sale_id), is_repeat: false })
        })
    }

    /// Deletes a draft. Its numbers are not used again.
    ///
    /// # Errors
    /// Returns [`CatalogueError::Frozen`] if the sale is not a draft any more,
    /// [`CatalogueError::OtherRevision`] or [`CatalogueError::RevisionUnsaid`] if the change was made
    /// from another revision, [`CatalogueError::KeyReused`] if the request id belongs to another
    /// request.
    pub async fn delete_sale(
        &self,
        sale_id: SaleId,
        change: Change<'_>,
    ) -> Result<(), CatalogueError> {
        check_text("actor", change.operator, NAME_LENGTH_MAX)?;
        let entry = entry("delete", sale_id, change, None);
        writing!(&self.database, |connection| {
            if let Some(earlier) = earlier!(connection, change) {
                return earlier.check("sale.delete", Some(&entry.subject), Content::NONE);
            }
            let sale = sale_of!(connection, sale_id);
            check_editable(&sale, change)?;
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
            note_request!(connection, change, "sale.delete", entry.subject.as_str(), Content::NONE);
            append!(connection, entry)?;
            mark_change!(connection)?;
            Ok(())
        })
    }

    /// Takes a sale one step on, by the rules of `domain::approval`, and logs who did it with their
    /// `note`, if any.
    ///
    /// # Errors
    /// Returns [`CatalogueError::Refused`] if the rules forbid it,
    /// [`CatalogueError::OtherRevision`] or [`CatalogueError::RevisionUnsaid`] if the change was made
    /// from another revision, [`CatalogueError::ChangedMeanwhile`] if another operator changed the sale
    /// at the same time, [`CatalogueError::KeyReused`] if the request id belongs to another request.
    pub async fn take_step(
        &self,
        sale_id: SaleId,
        step: SaleStep,
        note: Option<&str>,
        change: Change<'_>,
    ) -> Result<Changed, CatalogueError> {
        let Change { operator, at, .. } = change;
        check_text("actor", operator, NAME_LENGTH_MAX)?;
        if let Some(note) = note {
            check_text("note", note, NOTE_LENGTH_MAX)?;
        }
        let entry = entry(step.name(), sale_id, change, note);
        writing!(&self.database, |connection| {
            let mut sale = sale_of!(connection, sale_id);
            if let Some(earlier) = earlier!(connection, change) {
                earlier.check(&entry.action, Some(&entry.subject), Content::NONE)?;
                return Ok(Changed { sale, is_repeat: true });
            }
            change.check_base(&sale)?;
            let revision = sale.revision;
            sale.status = take_step(sale.status, step, operator, sale.makers())?;
            sale.revision += 1;
            sale.changed_at = at;
            match step {
                SaleStep::Submit => sale.submitted = Some((operator.to_owned(), at)),
                SaleStep::Withdraw | SaleStep::Revise => sale.submitted = None,
                SaleStep::Approve => sale.approved = Some((operator.to_owned(), at)),
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
                .bind(signed(at.0))
                .bind(signed(sale_id.0))
                .bind(signed(revision))
                .execute(&mut *connection)
                .await?;
            check_hit(updated.rows_affected())?;
            let action = entry.action.as_str();
            note_request!(connection, change, action, entry.subject.as_str(), Content::NONE);
            append!(connection, entry)?;
            mark_change!(connection)?;
            Ok(Changed { sale, is_repeat: false })
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
        let sale_id = number(format_args!("item {item_id}, sale_id"), sale_id)?;
        self.sale(SaleId(sale_id)).await
    }

    /// Returns those of the items that the catalogue does not hold as these terms have them: with this
    /// sale and product.
    ///
    /// # Errors
    /// Returns [`StoreError`] if the database does not answer.
    pub async fn missing_items<'a>(
        &self,
        terms: impl IntoIterator<Item = &'a ItemTerms>,
    ) -> Result<Vec<ItemId>, StoreError> {
        let mut wanted: HashMap<i64, (i64, &str)> = terms
            .into_iter()
            .map(|terms| {
                let key = signed(terms.item_id.0);
                (key, (signed(terms.sale_id.0), &*terms.product_id))
            })
            .collect();
        let item_ids: Vec<i64> = wanted.keys().copied().collect();
        for item_ids in chunks(&item_ids) {
            let rows: Result<Vec<(i64, i64, String)>, StoreError> =
                reading!(&self.database, |connection| {
                    let mut query = sqlx::query_as(HELD_ITEMS.of(item_ids.len()));
                    for item_id in item_ids {
                        query = query.bind(*item_id);
                    }
                    Ok(query.fetch_all(connection).await?)
                });
            for (item_id, sale_id, product_id) in rows? {
                if wanted.get(&item_id) == Some(&(sale_id, product_id.as_str())) {
                    wanted.remove(&item_id);
                }
            }
        }
        let mut missing: Vec<ItemId> =
            wanted.keys().map(|key| ItemId(key.cast_unsigned())).collect();
        missing.sort_unstable();
        Ok(missing)
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
                        approved_at, changed_at, edits FROM sales \
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
    pub async fn sales_of_day(&self, day: Day) -> Result<SaleList, CatalogueError> {
        let window = day.window();
        let sales: Result<Vec<Sale>, CatalogueError> = reading!(&self.database, |connection| {
            let text = "SELECT sale_id, title, starts_at, ends_at, status, revision, created_by, \
                        created_at, edited_by, submitted_by, submitted_at, approved_by, \
                        approved_at, changed_at, edits FROM sales \
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
        Ok(SaleList {
            has_more: sales.len() > SALES_PAGE_MAX,
            sales: sales
                .iter()
                .take(SALES_PAGE_MAX)
                .filter_map(|sale| sale.public().map(PublicSale::listed))
                .collect(),
        })
    }
}

/// A sale after a change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Changed {
    /// The sale as it is now.
    pub sale: Sale,
    /// Whether the request had made the change before.
    pub is_repeat: bool,
}

/// The highest numbers of a sale and an item that any journal has seen.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct KnownIds {
    /// The highest number of a sale.
    pub sale_id: SaleId,
    /// The highest number of an item.
    pub item_id: ItemId,
}

fn check_editable(sale: &Sale, change: Change<'_>) -> Result<(), CatalogueError> {
    change.check_base(sale)?;
    if sale.status == SaleStatus::Draft { Ok(()) } else { Err(CatalogueError::Frozen) }
}

/// The sale that a request's subject names.
fn sale_in(subject: &str) -> Result<SaleId, StoreError> {
    let sale_id = subject.strip_prefix("sale:").and_then(|sale_id| sale_id.parse().ok());
    sale_id.ok_or_else(|| StoreError::corrupt(format!("{subject:?} is no subject of a request")))
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
fn entry(action: &str, sale_id: SaleId, change: Change<'_>, note: Option<&str>) -> LogEntry {
    LogEntry {
        at: change.at,
        actor: change.operator.to_owned(),
        action: format!("sale.{action}"),
        subject: format!("sale:{sale_id}"),
        detail: note.map_or_else(|| json!({}), |note| json!({ "note": note })),
    }
}
