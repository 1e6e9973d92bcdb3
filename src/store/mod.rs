//! The stores, which outlive the process: each a port with its implementations.

pub mod broker;
pub mod catalogue;
pub mod checkpoint;
pub mod data_dir;
pub mod database;
pub mod journal;
pub mod orders;
pub mod private_files;
pub mod read_cache;
pub mod redis_connection;
mod sqlite_file;
