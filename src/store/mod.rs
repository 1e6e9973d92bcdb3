//! Ports to what outlives the process, and their implementations.
pub mod checkpoint;
pub mod journal;
pub mod redis_connection;
