//! A link that this node opened to another one: it carries calls there, many a message, and their answers back.
//!
//! Calls have numbers, so answers come in any order, and none waits for another. What is under way is bounded;
//! a link that breaks ends all of it at once, and its callers are told that it may have arrived. Must not know
//! what a call is about, nor whether it may be repeated.

use super::handshake::{self, Handshake, PeerKey, Side, VERSION};
use super::proto::from_caller::Message as Said;
use super::proto::from_server::Message as Heard;
use super::proto::peer_client::PeerClient;
use super::proto::{self, FromCaller, FromServer, call};
use super::wire::{self, Answer, Room};
use futures_util::{Stream, stream};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tonic::transport::{Channel, Endpoint};
use tonic::{Status, Streaming};

/// Calls of one message at most.
pub(super) const BATCH_MAX: usize = 256;
/// Calls of the nodes' own that a link has room for beside those of buyers.
pub(super) const UPKEEP_MAX: usize = 64;
/// Calls that wait for a change which a link has room for, beside all others.
pub(super) const WATCHES_MAX: usize = 4_096;
/// How much of a stream is sent before the other side has to say that it took it in, in bytes.
pub(super) const WINDOW_BYTES: u32 = 1 << 20;
/// How often a link is tried, and how long its answer may take: a node that is frozen or cut off keeps its
/// connections.
pub(super) const PING: Duration = Duration::from_secs(1);
/// How long connecting may take, and the handshake after it.
const CONNECT_MAX: Duration = Duration::from_millis(500);
pub(super) const HANDSHAKE_MAX: Duration = Duration::from_secs(1);

/// Why a call has no answer.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
pub enum CallError {
    /// As much is under way as may be. It was not sent.
    #[error("too many calls are under way")]
    Busy,
    /// It was not sent: the peer cannot be reached, or is left alone because it did not answer others.
    #[error("the peer cannot be reached")]
    NotSent,
    /// The link broke after it was sent: it may have arrived.
    #[error("the link broke")]
    Broken,
    /// There was no answer in time: it may have arrived.
    #[error("the peer did not answer in time")]
    Silent,
}

/// Why there is no link.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum LinkError {
    #[error("{0} is no address of a node")]
    Address(String),
    #[error("it cannot be reached: {0}")]
    Unreachable(String),
    #[error("it did not say who it is in time")]
    Silent,
    #[error("it does not have the cluster's secret, or is another node")]
    NotProven,
    #[error("it refuses this node: {0}")]
    Refused(String),
}

/// Who opens a link to whom.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ends<'a> {
    /// This node's name.
    pub(super) own: &'a str,
    /// The other one's.
    pub(super) peer: &'a str,
    /// Where that one listens, `host:port`.
    pub(super) address: &'a str,
}

/// An open link.
#[derive(Debug)]
pub(super) struct Link {
    calls: mpsc::Sender<proto::Call>,
    table: Arc<Table>,
    reader: JoinHandle<()>,
    /// Kept for as long as the link is.
    _channel: Channel,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// The calls under way, by number.
#[derive(Debug)]
struct Table {
    limit: usize,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    is_broken: bool,
    last: u64,
    calls: HashMap<u64, (oneshot::Sender<Answer>, Room)>,
    /// How many of the calls wait for a change.
    watches: usize,
}

/// A call's place in the table, given back when its caller has gone.
struct Place<'a> {
    table: &'a Table,
    number: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.table.waiting.lock().remove(self.number);
    }
}

impl Waiting {
    /// Takes a call out of those under way, if it is there still.
    fn remove(&mut self, number: u64) -> Option<oneshot::Sender<Answer>> {
        let (sender, room) = self.calls.remove(&number)?;
        self.watches -= usize::from(room == Room::Watches);
        Some(sender)
    }
}

impl Table {
    fn take_place(
        &self,
        sender: oneshot::Sender<Answer>,
        room: Room,
    ) -> Result<Place<'_>, CallError> {
        let mut waiting = self.waiting.lock();
        if waiting.is_broken {
            return Err(CallError::NotSent);
        }
        let others = waiting.calls.len() - waiting.watches;
        let (under_way, limit) = match room {
            Room::Buyers => (others, self.limit),
            Room::Upkeep => (others, self.limit + UPKEEP_MAX),
            Room::Watches => (waiting.watches, WATCHES_MAX),
        };
        if under_way >= limit {
            return Err(CallError::Busy);
        }
        waiting.watches += usize::from(room == Room::Watches);
        waiting.last += 1;
        let number = waiting.last;
        waiting.calls.insert(number, (sender, room));
        Ok(Place { table: self, number })
    }

    fn answer(&self, answer: proto::Answer) {
        let Some(sender) = self.waiting.lock().remove(answer.number) else { return };
        match wire::decode_answer(answer.what) {
            // A caller that has given up needs no answer.
            Ok(answer) => drop(sender.send(answer)),
            Err(error) => tracing::warn!(%error, "a peer's answer cannot be read"),
        }
    }

    fn end(&self) {
        let mut waiting = self.waiting.lock();
        waiting.is_broken = true;
        waiting.calls.clear();
        waiting.watches = 0;
    }
}

impl Link {
    /// Opens a link, on which `calls_max` calls may be under way.
    pub(super) async fn open(
        ends: Ends<'_>,
        key: &PeerKey,
        calls_max: usize,
    ) -> Result<Self, LinkError> {
        let channel = connect(ends.address).await?;
        let (calls, queued) = mpsc::channel(calls_max + UPKEEP_MAX);
        let (first, handshake) = mpsc::channel(2);
        let mut client = PeerClient::new(channel.clone());
        let shaken = async {
            let answers = client.link(outgoing(handshake, queued)).await.map_err(refused)?;
            let mut answers = answers.into_inner();
            greet(ends, key, &first, &mut answers).await?;
            Ok(answers)
        };
        let answers = tokio::time::timeout(HANDSHAKE_MAX, shaken).await;
        let answers = answers.map_err(|_| LinkError::Silent)??;
        let table = Arc::new(Table { limit: calls_max, waiting: Mutex::default() });
        let reader = tokio::spawn(read(answers, Arc::clone(&table)));
        Ok(Self { calls, table, reader, _channel: channel })
    }

    /// Whether it has broken.
    pub(super) fn is_broken(&self) -> bool {
        self.table.waiting.lock().is_broken
    }

    /// Asks, and waits for the answer until `deadline`.
    pub(super) async fn call(
        &self,
        shard: u16,
        what: call::What,
        deadline: Instant,
    ) -> Result<Answer, CallError> {
        let (sender, answered) = oneshot::channel();
        let place = self.table.take_place(sender, wire::room(&what))?;
        let budget = deadline.saturating_duration_since(Instant::now()).as_millis();
        let call = proto::Call {
            number: place.number,
            budget_ms: u32::try_from(budget).unwrap_or(u32::MAX),
            shard: u32::from(shard),
            what: Some(what),
        };
        match self.calls.try_send(call) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(_)) => return Err(CallError::Busy),
            Err(mpsc::error::TrySendError::Closed(_)) => return Err(CallError::NotSent),
        }
        match tokio::time::timeout_at(deadline, answered).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => Err(CallError::Broken),
            Err(_) => Err(CallError::Silent),
        }
    }
}

async fn connect(address: &str) -> Result<Channel, LinkError> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"));
    let endpoint = endpoint.map_err(|_| LinkError::Address(address.to_owned()))?;
    let endpoint = endpoint
        .tcp_nodelay(true)
        .connect_timeout(CONNECT_MAX)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .http2_keep_alive_interval(PING)
        .keep_alive_timeout(PING)
        .keep_alive_while_idle(true);
    endpoint.connect().await.map_err(|error| {
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        LinkError::Unreachable(cause.unwrap_or_else(|| error.to_string()))
    })
}

/// The caller's side of the handshake.
async fn greet(
    ends: Ends<'_>,
    key: &PeerKey,
    first: &mpsc::Sender<FromCaller>,
    answers: &mut Streaming<FromServer>,
) -> Result<(), LinkError> {
    let caller_nonce: handshake::Nonce = rand::random();
    say(
        first,
        Said::Hello(proto::Hello {
            version: VERSION,
            caller: ends.own.to_owned(),
            server: ends.peer.to_owned(),
            nonce: caller_nonce.to_vec(),
        }),
    )
    .await?;
    let Some(Heard::Challenge(challenge)) = hear(answers).await? else {
        return Err(LinkError::NotProven);
    };
    let handshake = Handshake {
        caller: ends.own.to_owned(),
        server: ends.peer.to_owned(),
        caller_nonce,
        server_nonce: handshake::nonce(&challenge.nonce).ok_or(LinkError::NotProven)?,
    };
    // Before anything is proven to it: who does not have the secret gets nothing made with it.
    if !handshake.is_proven(key, Side::Server, &challenge.proof) {
        return Err(LinkError::NotProven);
    }
    say(first, Said::Proof(proto::Proof { proof: handshake.prove(key, Side::Caller) })).await?;
    match hear(answers).await? {
        Some(Heard::Welcome(_)) => Ok(()),
        _ => Err(LinkError::NotProven),
    }
}

async fn say(first: &mpsc::Sender<FromCaller>, message: Said) -> Result<(), LinkError> {
    let sent = first.send(FromCaller { message: Some(message) }).await;
    sent.map_err(|_| LinkError::Unreachable("the stream ended".to_owned()))
}

async fn hear(answers: &mut Streaming<FromServer>) -> Result<Option<Heard>, LinkError> {
    let message = answers.message().await.map_err(refused)?;
    Ok(message.and_then(|message| message.message))
}

#[expect(clippy::needless_pass_by_value, reason = "it is what map_err passes")]
fn refused(status: Status) -> LinkError {
    LinkError::Refused(status.message().to_owned())
}

/// What is sent: the handshake, and once its sender is gone, what is queued, as much at once as waits.
fn outgoing(
    handshake: mpsc::Receiver<FromCaller>,
    queued: mpsc::Receiver<proto::Call>,
) -> impl Stream<Item = FromCaller> + Send {
    stream::unfold((Some(handshake), queued), async |(handshake, mut queued)| {
        if let Some(mut first) = handshake
            && let Some(message) = first.recv().await
        {
            return Some((message, (Some(first), queued)));
        }
        let mut calls = Vec::new();
        if queued.recv_many(&mut calls, BATCH_MAX).await == 0 {
            return None;
        }
        let message = Some(Said::Calls(proto::Calls { calls }));
        Some((FromCaller { message }, (None, queued)))
    })
}

/// Hands answers to their callers until the link breaks.
async fn read(mut answers: Streaming<FromServer>, table: Arc<Table>) {
    loop {
        match answers.message().await {
            Ok(Some(FromServer { message: Some(Heard::Answers(batch)) })) => {
                batch.answers.into_iter().for_each(|answer| table.answer(answer));
            }
            Ok(_) => break,
            Err(status) => {
                tracing::debug!(error = status.message(), "a link to a peer broke");
                break;
            }
        }
    }
    table.end();
}
