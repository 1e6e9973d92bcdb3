//! The state of a connection to the broker, as readiness and metrics show it.

/// The state of a connection to the broker.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum BrokerState {
    /// No connection was tried yet.
    #[default]
    Idle,
    /// Connected and working.
    Connected,
    /// Connected, but the broker accepts no messages at the moment: its reason.
    Blocked(String),
    /// The last attempt failed: the reason.
    Failed(String),
}
