//! The shard's state machine against a plain ledger of its records, step by step; and for each rule
//! a record that breaks it.

mod buckets;
mod machine;
mod operations;
mod payments;
mod planted;
mod round_trips;
mod shard;
