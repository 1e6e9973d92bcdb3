//! How orders are paid: by a provider of real money, or in the sandbox.
//!
//! `pay` begins a payment for every interface. `provider` is the port to who takes the money, with which calls and
//! callbacks are signed; `sandbox` is the provider in this process, for trying the shop out. `decisions` asks the
//! order's shard, which alone says what a payment does to its order.
//!
//! Must not decide what money does, and must not know a certain provider's own interface.

pub mod decisions;
pub mod pay;
pub mod provider;
pub mod sandbox;
