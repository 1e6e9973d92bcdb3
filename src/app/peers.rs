//! How this node and its peers reach each other: where it listens, what they prove, what is under way at most.
//!
//! Must not know what they ask.

use crate::actors::{Engine, Serving};
use crate::config::Config;
use crate::peers::{Links, PeerKey, Server};
use secrecy::ExposeSecret;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// What part of the permits one link may take: a node that hangs must not keep buyers from the others.
const SHARE_OF_PERMITS: usize = 4;

/// The address for peers cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cluster.listen = {address}: {source}")]
pub struct CannotListen {
    address: SocketAddr,
    source: io::Error,
}

/// The place where peers reach this node, before anybody is answered.
pub(super) struct Listening {
    listener: Arc<TcpListener>,
    advertised: String,
}

impl Listening {
    /// Listens, if the configuration names an address.
    ///
    /// # Errors
    /// Returns [`CannotListen`] if it cannot be had.
    pub(super) async fn begin(config: &Config) -> Result<Option<Self>, CannotListen> {
        let Some(address) = config.cluster.listen else { return Ok(None) };
        let refused = |source| CannotListen { address, source };
        let listener = TcpListener::bind(address).await.map_err(refused)?;
        let advertised = match config.cluster.advertise.as_str() {
            "" => listener.local_addr().map_err(refused)?.to_string(),
            advertise => advertise.to_owned(),
        };
        tracing::info!(listen = %address, advertised, "peers reach this node");
        Ok(Some(Self { listener: Arc::new(listener), advertised }))
    }

    /// Where others reach it.
    pub(super) fn advertised(&self) -> &str {
        &self.advertised
    }

    /// Answers peers from now on, for as long as the engine runs.
    pub(super) fn answer(self, config: &Config, engine: &Engine) -> JoinHandle<()> {
        let server = Server {
            own: config.cluster.node.clone(),
            key: key(config),
            calls_max: calls_max(config),
            service: Serving::new(engine.clone()),
        };
        let listener = self.listener;
        engine.tasks().keep_running("peers", move || server.clone().run(Arc::clone(&listener)))
    }
}

/// The links to the others, none of which is open yet.
pub(super) fn links(config: &Config, engine: &Engine) -> Links {
    Links::new(&config.cluster.node, key(config), calls_max(config), engine.clock())
}

fn calls_max(config: &Config) -> usize {
    (config.engine.permits as usize / SHARE_OF_PERMITS).max(1)
}

/// The cluster's secret, or else the one that signs tokens: who has that one may do anything already, so that
/// nothing is lost by letting it open links.
fn key(config: &Config) -> PeerKey {
    let secret = config.cluster.secret.as_ref().or(config.tokens.secret.as_ref());
    let digits = secret.map(|secret| secret.secret().expose_secret().to_ascii_lowercase());
    PeerKey::of(digits.unwrap_or_default().as_bytes())
}
