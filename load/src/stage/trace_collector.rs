//! A collector of traces that takes everything and keeps nothing.

use std::net::SocketAddr;

use axum::Router;
use axum::body::Bytes;
use axum::routing::post;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::{Error, Result};

/// A collector that runs until it is dropped.
pub struct TraceCollector {
    address: SocketAddr,
    server: JoinHandle<()>,
}

impl TraceCollector {
    /// Opens one on a port of its own.
    ///
    /// # Errors
    /// Returns [`Error`] if there is no free port.
    pub async fn open() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.map_err(Error::io("opening the collector"))?;
        let address = listener.local_addr().map_err(Error::io("opening the collector"))?;
        let router = Router::new().route("/v1/traces", post(async |_: Bytes| ()));
        let server = tokio::spawn(async move {
            // It ends when it is dropped.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { address, server })
    }

    /// Where it listens.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for TraceCollector {
    fn drop(&mut self) {
        self.server.abort();
    }
}
