//! The shard's state machine against a plain model of the books, step by step; and for each
//! invariant a record that breaks it.

mod machine;
mod planted;
mod round_trips;
mod shop;
