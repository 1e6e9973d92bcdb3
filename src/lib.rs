//! seckill: a flash-sale engine.

pub mod actors;
pub mod clock;
pub mod crash;
pub mod domain;
pub mod store;
