//! A peer as a child process: this same program, serving.

use std::net::SocketAddr;
use std::process::Stdio;

use tokio::process::{Child, Command};

use super::engine::{LISTENING, announced};
use crate::{Error, Result};

/// A running peer. Dropping it ends it.
#[derive(Debug)]
pub struct Peer {
    child: Child,
    address: SocketAddr,
}

impl Peer {
    /// Starts `load peer` with these arguments and waits until it listens.
    ///
    /// # Errors
    /// Returns [`Error::Server`] if it does not come up; what it said is on standard error.
    pub async fn start(arguments: &[String]) -> Result<Self> {
        let program = std::env::current_exe().map_err(Error::io("finding this program"))?;
        let mut child = Command::new(program)
            .arg("peer")
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(Error::io("starting a peer"))?;
        let stdout = child.stdout.take().expect("standard output is a pipe");
        let announced = announced(stdout, [LISTENING]).await;
        let kind = arguments.first().map_or("", String::as_str);
        let address =
            announced.ok_or_else(|| Error::Server(format!("the {kind} peer did not come up")))?[0];
        Ok(Self { child, address })
    }

    /// The address on which it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process id; 0 if it has ended.
    #[must_use]
    pub fn process(&self) -> u32 {
        self.child.id().unwrap_or(0)
    }
}
