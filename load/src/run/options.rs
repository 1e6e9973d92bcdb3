//! What a run is given beside its scenario.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// What the command line decides about a run.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// The engine's program; the workspace's release build if absent.
    pub binary: Option<PathBuf>,
    /// How many threads the generator has.
    pub threads: u32,
    /// Overrides the scenario: closed loop with so many connections.
    pub closed_loop: Option<u32>,
    /// How much longer than usual the sale may take to get ready: more than nothing for a program that is
    /// not a release build.
    pub patience: Duration,
    /// Keep data directory and log at this path instead of a temporary one.
    pub keep: Option<PathBuf>,
    /// Show progress (only ever on a terminal).
    pub progress: bool,
}

/// A server that runs already, and the people to use.
#[derive(Debug, Clone)]
pub struct Remote {
    /// The addresses on which it listens: of several nodes, one for each.
    pub addresses: Vec<SocketAddr>,
    /// The addresses on which it shows its figures.
    pub operations: Vec<SocketAddr>,
    /// Lines of `seckill mint`.
    pub minted: String,
    /// An operator's token.
    pub operator: String,
    /// Another operator's token, to approve.
    pub approver: String,
}
