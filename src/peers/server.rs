//! The links that other nodes open to this one: who they are is proven first, then their calls are answered.
//!
//! Each call is answered by a task of its own, so that none waits for another; a link has so many under way
//! and no more. A caller that has gone is not waited for, and what it asked for is done all the same. Must not
//! know what a call means.

use super::handshake::{self, Handshake, PeerKey, Side, VERSION};
use super::link::{BATCH_MAX, HANDSHAKE_MAX, PING, UPKEEP_MAX, WATCHES_MAX, WINDOW_BYTES};
use super::orders::{Malformed, narrow};
use super::proto::from_caller::Message as Heard;
use super::proto::from_server::Message as Said;
use super::proto::peer_server::{Peer, PeerServer};
use super::proto::{self, FromCaller, FromServer};
use super::wire::{self, Answer, Ask, Room};
use crate::telemetry::metrics::PEER_CALLS_SERVED_TOTAL;
use domain::ShardId;
use futures_util::stream::{self, BoxStream};
use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tonic::{Request, Response, Status, Streaming};

/// Connections at most: each peer has one, and some may be strangers'.
const CONNECTIONS_MAX: usize = 256;
/// How long nothing is accepted after the operating system could not.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Answers what peers ask.
pub trait Serve: Clone + Send + Sync + 'static {
    /// Answers one call about a shard. It is dropped if it takes longer than the caller waits.
    fn serve(&self, shard: ShardId, ask: Ask) -> impl Future<Output = Answer> + Send;
}

/// This node, as its peers find it.
#[derive(Clone, Debug)]
pub struct Server<S> {
    /// The node's name.
    pub own: String,
    /// What its peers have to have.
    pub key: PeerKey,
    /// Calls that may be under way on one link.
    pub calls_max: usize,
    /// What answers them.
    pub service: S,
}

impl<S: Serve> Server<S> {
    /// Accepts and answers for as long as it is polled. Links end with it.
    pub async fn run(self, listener: Arc<TcpListener>) {
        let server = Arc::new(self);
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let mut connections = JoinSet::new();
        loop {
            while connections.try_join_next().is_some() {}
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "no peer can be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                tracing::debug!("too many peers are connected");
                continue;
            };
            let server = Arc::clone(&server);
            connections.spawn(async move {
                connection(server, stream).await;
                drop(place);
            });
        }
    }
}

/// One connection, until it ends.
async fn connection<S: Serve>(server: Arc<Server<S>>, stream: TcpStream) {
    // Not so much is lost without it that a peer had to be refused.
    let _ = stream.set_nodelay(true);
    let service = TowerToHyperService::new(PeerServer::new(Links(server)));
    let mut http = http2::Builder::new(TokioExecutor::new());
    http.timer(TokioTimer::new())
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .max_concurrent_streams(2)
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING);
    if let Err(error) = http.serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(%error, "a peer's connection ended");
    }
}

/// The service of links.
struct Links<S>(Arc<Server<S>>);

#[tonic::async_trait]
impl<S: Serve> Peer for Links<S> {
    type LinkStream = BoxStream<'static, Result<FromServer, Status>>;

    async fn link(
        &self,
        request: Request<Streaming<FromCaller>>,
    ) -> Result<Response<Self::LinkStream>, Status> {
        let (first, handshake) = mpsc::channel(2);
        let (sender, answers) = mpsc::channel(self.0.calls_max + UPKEEP_MAX);
        let server = Arc::clone(&self.0);
        tokio::spawn(async move {
            let mut incoming = request.into_inner();
            let met = tokio::time::timeout(HANDSHAKE_MAX, server.meet(&mut incoming, &first)).await;
            let met =
                met.unwrap_or_else(|_| Err(Status::deadline_exceeded("no handshake in time")));
            match met {
                Ok(caller) => {
                    drop(first);
                    tracing::debug!(caller, "a peer has opened a link");
                    server.answer(incoming, &sender).await;
                }
                Err(status) => {
                    tracing::warn!(reason = status.message(), "a link to this node is refused");
                    // Who has gone need not be told.
                    let _ = first.send(Err(status)).await;
                }
            }
        });
        Ok(Response::new(outgoing(handshake, answers)))
    }
}

/// What a link is told.
type Told = Result<FromServer, Status>;

impl<S: Serve> Server<S> {
    /// The server's side of the handshake. Returns the caller's name.
    async fn meet(
        &self,
        incoming: &mut Streaming<FromCaller>,
        first: &mpsc::Sender<Told>,
    ) -> Result<String, Status> {
        let refused = |reason: &'static str| Status::unauthenticated(reason);
        let Some(Heard::Hello(hello)) = hear(incoming).await? else {
            return Err(refused("no greeting came"));
        };
        if hello.version != VERSION {
            return Err(Status::failed_precondition("the nodes are of different versions"));
        }
        if hello.server != self.own {
            return Err(Status::failed_precondition("another node was meant"));
        }
        if hello.caller == self.own {
            return Err(refused("the caller goes by this node's own name"));
        }
        let Some(caller_nonce) = handshake::nonce(&hello.nonce) else {
            return Err(refused("the greeting has no nonce"));
        };
        let server_nonce: handshake::Nonce = rand::random();
        let handshake = Handshake {
            caller: hello.caller,
            server: self.own.clone(),
            caller_nonce,
            server_nonce,
        };
        let proof = handshake.prove(&self.key, Side::Server);
        say(first, Said::Challenge(proto::Challenge { nonce: server_nonce.to_vec(), proof })).await;
        match hear(incoming).await? {
            Some(Heard::Proof(proto::Proof { proof }))
                if handshake.is_proven(&self.key, Side::Caller, &proof) => {}
            _ => return Err(refused("the caller does not have the cluster's secret")),
        }
        say(first, Said::Welcome(proto::Welcome {})).await;
        Ok(handshake.caller)
    }

    /// Answers calls until the link ends.
    async fn answer(
        &self,
        mut incoming: Streaming<FromCaller>,
        answers: &mpsc::Sender<proto::Answer>,
    ) {
        let places = Arc::new(Semaphore::new(self.calls_max));
        let upkeep = Arc::new(Semaphore::new(UPKEEP_MAX));
        let watches = Arc::new(Semaphore::new(WATCHES_MAX));
        while let Ok(Some(Heard::Calls(batch))) = hear(&mut incoming).await {
            metrics::counter!(PEER_CALLS_SERVED_TOTAL).increment(batch.calls.len() as u64);
            for call in batch.calls {
                let room = call.what.as_ref().map_or(Room::Buyers, wire::room);
                let own = if room == Room::Watches { &watches } else { &places };
                let mut place = Arc::clone(own).try_acquire_owned();
                if place.is_err() && room == Room::Upkeep {
                    place = Arc::clone(&upkeep).try_acquire_owned();
                }
                let Ok(place) = place else {
                    let what = Some(wire::encode_answer(Answer::Busy));
                    // It waits here for a peer that asks and does not listen.
                    if answers.send(proto::Answer { number: call.number, what }).await.is_err() {
                        return;
                    }
                    continue;
                };
                let (service, answers) = (self.service.clone(), answers.clone());
                tokio::spawn(async move {
                    let number = call.number;
                    let what = Some(wire::encode_answer(one(&service, call).await));
                    // Who has gone finds out otherwise.
                    let _ = answers.send(proto::Answer { number, what }).await;
                    drop(place);
                });
            }
        }
    }
}

/// Answers one call.
async fn one<S: Serve>(service: &S, call: proto::Call) -> Answer {
    let read = || Ok((ShardId(narrow(call.shard, "shard")?), wire::decode_ask(call.what)?));
    let (shard, ask) = match read() {
        Ok(read) => read,
        Err(error @ Malformed(_)) => {
            tracing::warn!(%error, "a peer's call cannot be read");
            return Answer::Unknown;
        }
    };
    let budget = Duration::from_millis(u64::from(call.budget_ms));
    tokio::time::timeout(budget, service.serve(shard, ask)).await.unwrap_or(Answer::Unknown)
}

async fn hear(incoming: &mut Streaming<FromCaller>) -> Result<Option<Heard>, Status> {
    Ok(incoming.message().await?.and_then(|message| message.message))
}

async fn say(first: &mpsc::Sender<Told>, message: Said) {
    // Who has gone is noticed when it is listened to.
    let _ = first.send(Ok(FromServer { message: Some(message) })).await;
}

/// What is sent: the handshake, and once its sender is gone, answers, as many at once as there are.
fn outgoing(
    handshake: mpsc::Receiver<Told>,
    answers: mpsc::Receiver<proto::Answer>,
) -> BoxStream<'static, Told> {
    Box::pin(stream::unfold((Some(handshake), answers), async |(handshake, mut answers)| {
        if let Some(mut first) = handshake
            && let Some(message) = first.recv().await
        {
            return Some((message, (Some(first), answers)));
        }
        let mut batch = Vec::new();
        if answers.recv_many(&mut batch, BATCH_MAX).await == 0 {
            return None;
        }
        let message = Some(Said::Answers(proto::Answers { answers: batch }));
        Some((Ok(FromServer { message }), (None, answers)))
    }))
}
