//! How every server is started.

use crate::Error;

/// A server that can be started with its defaults; what [`require`](crate::require()) asks for.
pub trait Start: Sized {
    /// Starts a private instance and waits until it answers.
    ///
    /// # Errors
    ///
    /// [`Error::Missing`] where the server is not installed, [`Error::Failed`] with the end of its
    /// log where it did not come up.
    fn start() -> Result<Self, Error>;
}
