//! The peers: what one would build instead, each as its own users would, with its best
//! known settings. All serve the same route for the same request bytes; each runs in a
//! process of its own, as the engine does, with the same runtime, allocator and socket
//! options.
//!
//! What a peer's answer promises stands at the head of its file.

mod answer;
mod floor;
mod mariadb;
mod redis;
pub mod token;

use std::net::SocketAddr;
use std::path::PathBuf;

use axum::Router;
use axum::serve::ListenerExt;
use clap::{Args, Subcommand};
use tokio::net::TcpListener;

use crate::{Error, Result};

/// Arguments of `load peer`.
#[derive(Debug, Args)]
pub struct PeerArguments {
    /// The peer to be.
    #[command(subcommand)]
    pub peer: Peer,
    /// Where to listen; port 0 picks a free one, which is printed.
    #[arg(long, global = true, default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
    /// The secret that signs the users' tokens; the floor needs none.
    #[arg(long, global = true, value_name = "FILE")]
    pub secret_file: Option<PathBuf>,
}

/// Which peer to be.
#[derive(Debug, Clone, Subcommand)]
pub enum Peer {
    /// Parses the request and answers a constant.
    Floor,
    /// One Lua script in Redis decides each purchase.
    Redis {
        /// Where Redis listens: `redis://HOST:PORT`.
        #[arg(long)]
        redis_url: String,
        /// Multiplexed connections to it.
        #[arg(long, default_value_t = 4)]
        connections: usize,
    },
    /// One transaction in MariaDB decides each purchase.
    Mariadb {
        /// Where MariaDB listens: `mysql://USER:PASSWORD@HOST:PORT/DATABASE`.
        #[arg(long)]
        mysql_url: String,
        /// Connections to it.
        #[arg(long, default_value_t = 32)]
        connections: u32,
    },
}

/// Serves until the process is ended.
///
/// # Errors
/// Returns [`Error::Server`] if the peer's backend cannot be used, [`Error::Io`] if it cannot
/// listen.
pub async fn serve(arguments: PeerArguments) -> Result<()> {
    let verifier = || {
        let path = arguments.secret_file.as_ref().ok_or_else(|| Error::Missing {
            what: "the tokens' secret".to_owned(),
            remedy: "this peer verifies tokens; give --secret-file".to_owned(),
        })?;
        token::Verifier::read(path)
    };
    let router: Router = match &arguments.peer {
        Peer::Floor => floor::router(),
        Peer::Redis { redis_url, connections } => {
            redis::router(redis_url, *connections, verifier()?).await?
        }
        Peer::Mariadb { mysql_url, connections } => {
            mariadb::router(mysql_url, *connections, verifier()?).await?
        }
    };
    let listener = TcpListener::bind(arguments.listen)
        .await
        .map_err(Error::io(format!("listening on {}", arguments.listen)))?;
    let address = listener.local_addr().map_err(Error::io("asking for the own address"))?;
    crate::output::print(&format!("listening on http://{address}\n"))?;
    let listener = listener.tap_io(|stream| {
        // Without it, small answers may wait for an acknowledgement; serving goes on.
        let _ = stream.set_nodelay(true);
    });
    axum::serve(listener, router).await.map_err(Error::io("serving"))
}
