//! seckill: a flash-sale engine.

pub mod actors;
pub mod app;
pub mod audit;
pub mod cli;
pub mod clock;
pub mod config;
pub mod crash;
pub mod demo;
pub mod descriptors;
pub mod http;
pub mod listening;
pub mod opening;
pub mod peers;
pub mod plain_file;
pub mod sales;
pub mod secrets;
pub mod service_manager;
pub mod store;
pub mod telemetry;
