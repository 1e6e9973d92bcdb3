//! The message by which relay, consumer and checkpointer keep themselves going.

/// Take the next step. Each of the three actors sends it to itself, at once or after a pause; they
/// are sent nothing else.
pub(in crate::actors) struct Continue;
