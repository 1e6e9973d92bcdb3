//! The outcome of publishing one message.

/// The broker's answer to one published message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// The message is in the queue, on disk. Only this lets the relay's cursor pass it (I12).
    Confirmed,
    /// The message was routed to no queue, whatever else the broker said of it: the reason.
    Returned(String),
    /// The broker did not accept the message.
    Rejected,
}
