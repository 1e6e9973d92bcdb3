//! Behind the sale: what moves durable records to the order store, and state to the checkpoints.
//!
//! In the order of a record: `relay` reads it from the journal, `sink` and `source` are the two ends
//! of the transport in between, `consumer` writes it into the order store, `completeness` watches that
//! it stays there, `replica_watch` that it gets to the replica. `checkpointer` keeps the shards' state; `journal_check` looks whether what is durable
//! can still be read, `backends` starts and stops all, `message` is what keeps them going, and `rush` keeps them waiting.
//! `traced` has the spans of records that belong to a trace.

mod backends;
mod checkpointer;
mod completeness;
mod consumer;
mod journal_check;
mod message;
mod relay;
mod replica_watch;
mod rush;
mod sink;
mod source;
mod traced;

pub use backends::{BackendOptions, Backends};
pub(in crate::actors) use rush::gather;
pub(in crate::actors) use sink::{RABBITMQ, telling_while_blocked};
