//! The stock of one shard: a state machine over its records.
//!
//! [`Stock::decide`] (in `decide.rs`) looks and proposes, [`Stock::apply`] (in `apply.rs`) is the
//! only thing that changes state, live and in recovery alike; so a recovered shard equals the one
//! that died (I9). `state.rs` holds what there is and shows it, `transfer.rs` moves
//! units between the buckets of an item, `payments.rs` takes money in and gives it back, `snapshot.rs` takes it to a
//! checkpoint and back, `from_order_store.rs` makes it anew from rows.
//!
//! Owns items, orders and buyers of the shard; knows no clock, no disk, no actor.

mod apply;
mod buyers;
mod decide;
mod from_order_store;
mod orders;
mod payment_table;
mod payments;
mod snapshot;
mod state;
mod transfer;
mod violation;

pub use decide::Decision;
pub use orders::{CHUNK_ENTRIES, Chunk, Entry};
pub use snapshot::{Changes, Snapshot};
pub use state::{ItemState, Stock};
pub use violation::Violation;
