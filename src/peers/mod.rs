//! How the nodes of a shop ask each other: one stream for each pair and direction, many calls a message.
//!
//! `handshake` makes sure of the other side, `link` carries calls there and answers back, `server` is the
//! other end of it, `links` opens one link to each peer and leaves a peer alone that does not answer
//! (`breaker`), and `wire` says what is asked, with `orders` for the parts of it that orders and payments are. The code below `proto` is generated from `proto/peer.proto` and
//! committed. A stream of our own, and not a request for each call, because a purchase is small: what a
//! request of HTTP/2 costs would be more than what it carries.
//!
//! Must not know who serves which shard, nor what becomes of an answer.

mod breaker;
mod handshake;
mod link;
mod links;
mod orders;
mod proto;
mod server;
#[cfg(test)]
mod tests;
mod wire;

pub use handshake::PeerKey;
pub use link::CallError;
pub use links::{LinkFigures, Links};
pub use server::{Serve, Server};
pub use wire::{Answer, Ask, Item, KEYS_MAX, READ_MAX};
