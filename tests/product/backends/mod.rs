//! The running engine with a real Redis, RabbitMQ and MariaDB that fail, singly and together: drills
//! 17 to 29 and 46, an order store that loses what it had, and those who
//! are told what happens.
//!
//! The tests share one instance of each server and take turns. Where a server is not installed they
//! say so and pass, unless `SECKILL_REQUIRE_SERVICES=1`.

mod ground;

mod any_node;
pub mod cluster;
mod cluster_audit;
mod cluster_away;
mod cluster_begin;
mod cluster_keys;
mod cluster_pages;
mod cluster_replica;
mod cluster_settings;
mod cluster_steer;
mod cluster_stores;
mod cluster_traces;
mod cluster_webhooks;
mod events;
mod mariadb;
mod rabbitmq;
mod recover;
mod redis;
mod refill;
mod replicas;
mod sale;
mod stores;
mod stores_behind_broker;
mod two_shops;
