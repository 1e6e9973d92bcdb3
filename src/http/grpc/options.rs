//! What the configuration says of gRPC. Must not know how a call is answered.

/// How the shop is served over gRPC.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GrpcOptions {
    /// Whether the shop describes its services to those who ask.
    pub reflection: bool,
}
