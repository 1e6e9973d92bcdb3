//! The contracts of the stores, each run on every implementation and on real servers: broker,
//! checkpoints, orders and catalogue.

mod broker;
mod certificates;
mod checkpoint;
mod orders;
