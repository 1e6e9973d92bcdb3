//! The product from outside: the program with its command line, on real directories and beside real
//! servers that fail, and in a mall of those who are told what happens.
//!
//! Tests against real servers say so and pass where one is not installed, unless
//! `SECKILL_REQUIRE_SERVICES=1`.

mod backends;
mod command_line;
mod drills;
mod gateway;
#[path = "../mall/mod.rs"]
mod mall;
mod operations;
mod readme;
mod support;
