//! Why a call to etcd has no result, sorted by what the caller can do.

use tonic::{Code, Status};

/// Why a call has no result.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum EtcdError {
    /// No endpoint was reached, there was no answer in time, or the member that was asked cannot reach
    /// the others. A change may have happened.
    #[error("no answer from etcd: {0}")]
    Unknown(String),
    /// The database has reached its quota: etcd refuses every change until it is compacted,
    /// defragmented and its alarm taken back. Nothing happened.
    #[error("etcd's database is full")]
    NoSpace,
    /// The revision that was asked for is compacted away. Nothing happened.
    #[error("etcd has compacted the revision that was asked for")]
    Compacted,
    /// The lease ended or never was. Nothing happened.
    #[error("the lease has ended")]
    LeaseEnded,
    /// etcd refuses user, password or permission. Nothing happened.
    #[error("etcd refuses this user: {0}")]
    Denied(String),
    /// etcd refuses the request itself. Nothing happened.
    #[error("etcd refuses the request: {0}")]
    Refused(String),
    /// etcd answered with something that the call cannot be answered with.
    #[error("etcd answered with something unexpected: {0}")]
    Unexpected(&'static str),
}

impl EtcdError {
    /// Whether the change that was asked for may have happened.
    pub fn may_have_happened(&self) -> bool {
        matches!(self, Self::Unknown(_) | Self::Unexpected(_))
    }
}

/// What a status of gRPC means. etcd names the cause in the message only.
impl From<Status> for EtcdError {
    fn from(status: Status) -> Self {
        let message = status.message();
        match status.code() {
            Code::ResourceExhausted if message.contains("space exceeded") => Self::NoSpace,
            Code::OutOfRange if message.contains("compacted") => Self::Compacted,
            Code::NotFound if message.contains("lease not found") => Self::LeaseEnded,
            Code::Unauthenticated | Code::PermissionDenied => Self::Denied(message.to_owned()),
            Code::InvalidArgument if message.contains("authentication failed") => {
                Self::Denied(message.to_owned())
            }
            Code::InvalidArgument
            | Code::FailedPrecondition
            | Code::NotFound
            | Code::OutOfRange
            | Code::AlreadyExists
            | Code::Unimplemented => Self::Refused(message.to_owned()),
            // Among them those that a member sends while it has no leader, and "too many requests",
            // which it also sends for what it has already proposed.
            _ => Self::Unknown(describe(&status)),
        }
    }
}

/// The status in words, with the innermost cause: what the transport says itself is "transport error".
fn describe(status: &Status) -> String {
    let mut text = status.message().to_owned();
    let mut cause = std::error::Error::source(status);
    while let Some(error) = cause {
        let inner = error.to_string();
        if !inner.is_empty() && !text.ends_with(&inner) {
            text = inner;
        }
        cause = error.source();
    }
    if text.is_empty() { status.code().description().to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::EtcdError;
    use tonic::{Code, Status};

    #[test]
    fn a_cause_is_told_by_code_and_message() {
        let cases = [
            (Code::ResourceExhausted, "etcdserver: mvcc: database space exceeded", false),
            (Code::OutOfRange, "etcdserver: mvcc: required revision has been compacted", false),
            (Code::NotFound, "etcdserver: requested lease not found", false),
            (
                Code::InvalidArgument,
                "etcdserver: authentication failed, invalid user ID or password",
                false,
            ),
            (Code::InvalidArgument, "etcdserver: too many operations in txn request", false),
            (Code::Unavailable, "etcdserver: leader changed", true),
            (Code::Unavailable, "etcdserver: request timed out", true),
            (Code::ResourceExhausted, "etcdserver: too many requests", true),
            (Code::Cancelled, "", true),
            (Code::Unknown, "transport error", true),
        ];
        for (code, message, may_have_happened) in cases {
            let error = EtcdError::from(Status::new(code, message));
            assert_eq!(error.may_have_happened(), may_have_happened, "{message}: {error:?}");
        }
    }
}
