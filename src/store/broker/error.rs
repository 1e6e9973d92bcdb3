//! What can go wrong with the broker, and what an error of the client library means.
//!
//! A URL carries the password, so no error made here repeats it.

use lapin::ErrorKind;

const ACCESS_REFUSED: u16 = 403;
const NOT_FOUND: u16 = 404;
const PRECONDITION_FAILED: u16 = 406;
const NOT_ALLOWED: u16 = 530;

/// Why the broker did not do what it was asked. None of these errors stops a sale.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BrokerError {
    /// It cannot be reached, the connection was lost, or it does not answer in time. What was under
    /// way may have happened. The next call connects again, after a pause that grows with each
    /// failure.
    #[error("broker is not available: {0}")]
    Unavailable(String),
    /// It has accepted no messages for too long, because it is short of memory or disk.
    #[error("broker takes no messages: {0}")]
    Blocked(String),
    /// It refused: wrong credentials, missing rights, a queue that is declared differently.
    #[error("broker refused: {0}")]
    Refused(String),
    /// The queue did not exist and was declared now. All that was published before and is not in
    /// the order store has to be published again; then publishing goes on.
    #[error("the queue was gone and is empty now")]
    QueueCreated,
    /// The queue does not exist (yet): its publisher has not connected since it vanished.
    #[error("the queue does not exist")]
    QueueMissing,
    /// The address cannot be used.
    #[error("broker cannot be used as configured: {0}")]
    Configuration(String),
}

impl From<lapin::Error> for BrokerError {
    fn from(error: lapin::Error) -> Self {
        match error.kind() {
            ErrorKind::ProtocolError(protocol)
                if [ACCESS_REFUSED, PRECONDITION_FAILED, NOT_ALLOWED]
                    .contains(&protocol.get_id()) =>
            {
                Self::Refused(protocol.to_string())
            }
            _ => Self::Unavailable(error.to_string()),
        }
    }
}

/// Whether the broker answered that a queue or an exchange does not exist.
pub(super) fn is_not_found(error: &lapin::Error) -> bool {
    matches!(error.kind(), ErrorKind::ProtocolError(error) if error.get_id() == NOT_FOUND)
}
