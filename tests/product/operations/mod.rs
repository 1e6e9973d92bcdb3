//! What an operator does beside a sale, with the real program and real servers: audit, dead letters,
//! the threshold on the backlog, metrics, and a new version on what an older one wrote.
//!
//! Each test starts its own servers. Where one is not installed it says so and passes, unless
//! `SECKILL_REQUIRE_SERVICES=1`.

mod absent;
mod ages;
mod audit;
mod backlog;
mod backup;
mod compat;
mod dead_letters;
mod demo;
mod deployment;
mod examples;
mod ground;
mod grpc;
mod metrics;
mod monitoring;
mod oidc;
mod recover;
mod service;
mod settings;
mod tables;
mod tls;
mod tracing;
mod upgrade;
mod version_before;
mod webhooks;
