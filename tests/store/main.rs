//! The contracts of the stores, each run on every implementation and on real servers: broker,
//! checkpoints, orders, catalogue and the log of a cluster.

mod broker;
mod checkpoint;
mod fenced;
mod guarded;
mod orders;
mod outbound;
mod settings_contract;
