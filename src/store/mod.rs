//! The stores, which outlive the process: each a port with its implementations.

pub mod broker;
pub mod catalogue;
pub mod checkpoint;
pub mod data_dir;
pub mod database;
pub mod dead_letters;
pub mod etcd;
pub mod events;
pub mod journal;
mod lent;
pub mod orders;
pub mod outbound;
pub mod private_files;
pub mod public_files;
pub mod read_cache;
pub mod redis_connection;
pub mod registry;
pub mod settings;
pub mod sqlite_file;
pub mod webhooks;
