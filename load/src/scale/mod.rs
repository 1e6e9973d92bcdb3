//! How much more several nodes sell than one, and what it costs to ask the wrong one.
//!
//! Nodes on one machine share its processors, so each is capped at a share of one (`cap`): what is left is for etcd, the
//! order store and the generator. A `shop` of one node and one of several, both on an etcd of three members, are
//! measured in turn in the same `rounds`, by buyers who ask the owner of what they want, another node, or any (`entry`).

mod arguments;
mod cap;
mod entry;
mod figures;
mod rounds;
mod shop;

pub use arguments::ScaleArguments;
pub use rounds::scale;
