//! The shop's gRPC interface, for the server and for clients in Rust.
//!
//! The code is generated from `proto/seckill/v1/shop.proto` and committed, so that a build needs no generator; a
//! test generates it anew and compares.

/// Version 1 of the interface.
pub mod v1 {
    #![expect(missing_docs, clippy::allow_attributes, clippy::pedantic, reason = "generated code")]

    include!("seckill.v1.rs");

    /// What describes the interface to those who ask the server for it: an encoded
    /// `google.protobuf.FileDescriptorSet`, with what it imports.
    pub const DESCRIPTORS: &[u8] = include_bytes!("seckill.v1.bin");
}
