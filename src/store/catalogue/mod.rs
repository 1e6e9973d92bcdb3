//! The catalogue: sales with their items, registered buyers, the accounts of operators, and their log.
//!
//! Kept in the order store's database. People write it, some rows a minute, so each function is one
//! short transaction and the statements are plain enough for both SQLite and MySQL: they are written
//! once, and a macro compiles them for either driver. Nothing here is read on the buy path: what a
//! shard must know of an item reaches it as a journalled record.
//!
//! Must not know HTTP, tokens or shards. `domain::approval` decides who may take which step.

mod change;
mod content;
pub(in crate::store) mod error;
mod external_users;
pub(in crate::store) mod handle;
mod latest;
mod limits;
pub(in crate::store) mod log;
mod media;
mod names;
pub(in crate::store) mod numbers;
mod operators;
mod rows;
mod sales;
mod sketch;
mod users;
mod visits;

pub use change::{Base, Change};
pub use error::CatalogueError;
pub use external_users::ExternalName;
pub use handle::Catalogue;
pub use latest::LatestChange;
pub use limits::{LOG_PAGE_MAX, NAME_LENGTH_MAX, SALES_PAGE_MAX};
pub use log::{LogEntry, LogPlace, LoggedEntry};
pub use media::{PICTURE_BYTES_MAX, PICTURES_MAX};
pub use names::ItemNames;
pub use operators::{Acceptance, OPERATORS_MAX, OperatorAccount};
pub use sales::{Changed, KnownIds};
pub use sketch::Sketch;
pub use visits::Tally;
