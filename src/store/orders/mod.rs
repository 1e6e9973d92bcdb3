//! The order store: every confirmed order and its payments as rows, for lists, for audit and for recovery.
//!
//! Filled from the journal's records, in batches, some time after the buyer was answered. Records
//! may be delivered again, late and out of order; the rows come out the same, because a record's
//! `seq` is its order's version and a later version never loses to an earlier one. A record that
//! contradicts a row is never dropped silently: it is a [`Conflict`], which is left out and returned,
//! while the rest of the batch commits. If the caller has no durable place for it, the table of dead
//! letters is one: see [`Conflicts`].
//!
//! The tables are filled from one journal, their owner, which is the first that was assigned to them:
//! a `seq` of another journal says nothing about them. `ownership.rs` compares it before anything in
//! the tables is believed or changed.
//!
//! The progress of a shard's log in the tables is raised only from where the tables themselves say they
//! are (`progress.rs`), so tables that lost rows are never believed to hold them; and what was stored is
//! sealed (`seal.rs`), so rows that are lost or changed by hand are found.
//!
//! A shop may have several order stores: `store.rs` sends what is asked to the one that has it, by `place.rs`,
//! and `lists.rs` puts pages of all of them together, which it reads from their replicas where `replica.rs` has
//! some that are near enough. `tables.rs` is one of them.
//!
//! `batch.rs` folds a batch, `apply.rs` brings it into the tables, `sqlite.rs` and `mysql.rs` hold
//! the statements behind `session.rs`, `row.rs` how an order is kept, `items.rs` the state of items, `search.rs` how
//! orders are looked for, `payment_apply.rs`, `payment_row.rs` and `payment_list.rs` the same for their payments,
//! `sealing.rs` how tables of an older version are sealed, `bytes.rs` how a record is kept. Must not know where records come from, nor retry:
//! `StoreError::is_transient` tells the caller whether it should.

mod apply;
mod batch;
mod bytes;
mod conflict;
mod items;
mod lists;
mod mysql;
mod mysql_moment;
mod mysql_session;
pub mod ownership;
mod payment_apply;
mod payment_list;
mod payment_row;
mod place;
mod progress;
mod progress_rows;
mod replica;
mod row;
mod seal;
mod sealing;
mod search;
mod session;
mod sqlite;
mod store;
mod tables;
mod units;

pub use apply::{Applied, ApplyError};
pub use conflict::{Conflict, ConflictReason, Conflicts, SetAside};
pub use items::StoredItem;
pub use payment_list::PaymentFilter;
pub use payment_row::StoredPayment;
pub use place::{Owner, STORES_MAX, StorePlace};
pub use progress::{Gap, Sealed, ShardProgress};
pub use progress_rows::Census;
pub use replica::{ReplicaLook, ReplicaReads};
pub use row::StoredOrder;
pub use seal::Seal;
pub use search::{EXAMINED_ROWS_MAX, OrderFilter, Search};
pub use store::OrderStore;
pub use tables::{PAGE_ROWS_MAX, SCAN_ROWS_MAX};
