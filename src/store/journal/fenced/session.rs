//! A node of the cluster, for as long as it is one.

/// The longest name of a node, in bytes: letters, digits, `-`, `_` and `.`.
pub const NODE_NAME_LENGTH_MAX: usize = 63;

/// A node of the cluster while it is one: what its claims end with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Session {
    /// The node's name, the same over its restarts.
    pub node: String,
    /// Which run of the node: drawn at random at each start.
    pub incarnation: u64,
    /// The lease that the session lasts for.
    pub lease: i64,
}
