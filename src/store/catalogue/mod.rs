//! The catalogue: sales with their items, registered buyers, and the operators' log.
//!
//! Kept in the order store's database. People write it, some rows a minute, so each function is one
//! short transaction and the statements are plain enough for both SQLite and MySQL: they are written
//! once, and a macro compiles them for either driver. Nothing here is read on the buy path: what a
//! shard must know of an item reaches it as a journalled record.
//!
//! Must not know HTTP, tokens or shards. `domain::approval` decides who may take which step.

mod change;
mod error;
mod handle;
mod limits;
mod log;
mod numbers;
mod rows;
mod sales;
mod users;

pub use change::{Base, Change};
pub use error::CatalogueError;
pub use handle::Catalogue;
pub use limits::{LOG_PAGE_MAX, NAME_LENGTH_MAX, SALES_PAGE_MAX};
pub use log::{LogEntry, LoggedEntry};
pub use sales::{Changed, KnownIds};
