//! How far those who are told the shop's events have confirmed them: beside the orders, in their database.
//!
//! A position is a promise: everything up to it was confirmed, or is no event for this receiver, or is lost and noted
//! as lost. It only goes up while a receiver's generation stays the same, so that a node which has lost a shard
//! without knowing it takes nothing back. A replay is the next generation, whose positions begin anew. Must not know
//! what an event is, nor who the receivers are.

mod positions;

pub use positions::{EventPositions, Position, Reading, SINK_NAME_LENGTH_MAX};
