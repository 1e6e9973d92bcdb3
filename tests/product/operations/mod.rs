//! What an operator does beside a sale, with the real program and real servers: audit, dead letters,
//! the threshold on the backlog, and a new version on an older order store.
//!
//! Each test starts its own servers. Where one is not installed it says so and passes, unless
//! `SECKILL_REQUIRE_SERVICES=1`.

mod audit;
mod backlog;
mod dead_letters;
mod ground;
mod upgrade;
