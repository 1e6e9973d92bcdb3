//! Ports to what outlives the process, and their implementations.
pub mod broker;
pub mod checkpoint;
pub mod journal;
pub mod redis_connection;
