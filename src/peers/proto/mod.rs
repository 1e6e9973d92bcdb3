//! What the messages between nodes look like. The code beside this file is generated from `peer.proto`.

#![expect(clippy::allow_attributes, clippy::pedantic, reason = "generated code")]

include!("peer.rs");
