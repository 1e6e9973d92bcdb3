//! Links between nodes of one process, and strangers that are no nodes.

use super::handshake::{self, Handshake, Side, VERSION};
use super::proto::from_caller::Message as Said;
use super::proto::from_server::Message as Heard;
use super::proto::peer_client::PeerClient;
use super::proto::peer_server::{Peer, PeerServer};
use super::proto::{self, FromCaller, FromServer};
use super::{Answer, Ask, CallError, Links, PeerKey, Serve, Server};
use crate::clock::Clock;
use domain::{OrderId, OrderStatus, ShardId, Timestamp};
use futures_util::StreamExt as _;
use futures_util::future::{join, join_all};
use futures_util::stream::{self, BoxStream};
use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tonic::{Request, Response, Status, Streaming};

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(20);

/// Answers how many of its calls it has begun, once it may.
#[derive(Clone)]
struct Shop {
    begun: Arc<AtomicUsize>,
    may_answer: Arc<Semaphore>,
}

impl Shop {
    fn open() -> Self {
        let may_answer = Arc::new(Semaphore::new(Semaphore::MAX_PERMITS));
        Self { begun: Arc::default(), may_answer }
    }

    fn shut() -> Self {
        Self { may_answer: Arc::new(Semaphore::new(0)), ..Self::open() }
    }

    async fn begun(&self, count: usize) {
        while self.begun.load(Ordering::Acquire) < count {
            tokio::task::yield_now().await;
        }
    }
}

impl Serve for Shop {
    async fn serve(&self, shard: ShardId, ask: Ask) -> Answer {
        self.begun.fetch_add(1, Ordering::AcqRel);
        let _permit = self.may_answer.acquire().await;
        let Ask::ReadOrder(order_id) = ask else { return Answer::Unknown };
        Answer::NotOwner(Some(format!("{shard} {order_id}")))
    }
}

fn key() -> PeerKey {
    PeerKey::of(b"the cluster's secret")
}

fn links(own: &str, key: PeerKey, calls_max: usize) -> Links {
    Links::new(own, key, calls_max, Clock::start(Timestamp(0)))
}

async fn listen(at: &str) -> (TcpListener, String) {
    let listener = TcpListener::bind(at).await.expect("a socket");
    let address = listener.local_addr().expect("an address").to_string();
    (listener, address)
}

/// Starts node `b`, and returns where it listens.
async fn serve(shop: &Shop, calls_max: usize) -> (JoinHandle<()>, String) {
    let (listener, address) = listen("127.0.0.1:0").await;
    let server = Server { own: "b".to_owned(), key: key(), calls_max, service: shop.clone() };
    (tokio::spawn(server.run(Arc::new(listener))), address)
}

async fn read(links: &Links, address: &str, order: u64) -> Result<Answer, CallError> {
    let (shard, ask) = (ShardId(3), Ask::ReadOrder(OrderId(order)));
    links.call(("b", address), shard, &ask, Instant::now() + LONG).await
}

fn told(order: u64) -> Result<Answer, CallError> {
    Ok(Answer::NotOwner(Some(format!("3 {order}"))))
}

#[tokio::test]
async fn every_call_gets_its_own_answer() {
    let (_server, address) = serve(&Shop::open(), 4_096).await;
    let links = links("a", key(), 4_096);
    let asked = (0..2_000).map(|order| read(&links, &address, order));
    let expected: Vec<_> = (0..2_000).map(told).collect();
    assert_eq!(join_all(asked).await, expected);
    assert_eq!((links.figures().open, links.figures().left_alone), (1, 0), "one link carries all");
    links.keep(|name| name != "b");
    assert_eq!(links.figures().open, 0);
}

#[tokio::test]
async fn those_who_wait_for_a_change_take_no_buyers_place() {
    let shop = Shop::shut();
    let (_server, address) = serve(&shop, 2).await;
    let links = links("a", key(), 2);
    let known = OrderStatus::Reserved;
    let watch = Ask::AwaitChange { order_id: OrderId(1), known, wait: LONG };
    let peer = ("b", address.as_str());
    let watching = (0..5).map(|_| links.call(peer, ShardId(3), &watch, Instant::now() + LONG));
    let buying = (0..2).map(|order| read(&links, &address, order));
    let mut asked = Box::pin(join(join_all(watching), join_all(buying)));
    tokio::select! {
        _ = &mut asked => panic!("nothing is answered yet"),
        () = shop.begun(7) => {}
    }
    assert_eq!(read(&links, &address, 9).await, Err(CallError::Busy));
    shop.may_answer.add_permits(7);
    let (watched, bought) = asked.await;
    assert_eq!(watched, [const { Ok(Answer::Unknown) }; 5]);
    assert_eq!(bought, [told(0), told(1)]);
    assert_eq!(read(&links, &address, 9).await, told(9), "their places are free again");
}

#[tokio::test]
async fn what_is_under_way_is_bounded_on_both_sides() {
    let shop = Shop::shut();
    let (_server, address) = serve(&shop, 2).await;
    let (few, many) = (links("a", key(), 2), links("c", key(), 64));
    let (first, second) = (read(&few, &address, 1), read(&few, &address, 2));
    let rest = async {
        shop.begun(2).await;
        assert_eq!(read(&few, &address, 3).await, Err(CallError::Busy), "the caller's bound");
        let (third, fourth) = (read(&many, &address, 3), read(&many, &address, 4));
        let more = async {
            shop.begun(4).await;
            assert_eq!(read(&many, &address, 5).await, Ok(Answer::Busy), "the server's bound");
            shop.may_answer.add_permits(Semaphore::MAX_PERMITS >> 1);
        };
        let (third, fourth, ()) = tokio::join!(third, fourth, more);
        assert_eq!((third, fourth), (told(3), told(4)));
    };
    let (first, second, ()) = tokio::join!(first, second, rest);
    assert_eq!((first, second), (told(1), told(2)));
    assert_eq!(read(&few, &address, 6).await, told(6), "there is room again");
}

#[tokio::test]
async fn a_link_that_breaks_says_that_calls_may_have_arrived_and_is_opened_again() {
    let shop = Shop::shut();
    let (server, address) = serve(&shop, 16).await;
    let links = links("a", key(), 16);
    let breaks = async {
        shop.begun(1).await;
        server.abort();
    };
    let (asked, ()) = tokio::join!(read(&links, &address, 1), breaks);
    assert_eq!(asked, Err(CallError::Broken));
    assert_eq!(read(&links, &address, 2).await, Err(CallError::NotSent), "nobody listens");
    let (listener, _) = listen(&address).await;
    let service = Shop::open();
    let server = Server { own: "b".to_owned(), key: key(), calls_max: 16, service };
    let _server = tokio::spawn(server.run(Arc::new(listener)));
    let answered = async {
        while read(&links, &address, 3).await != told(3) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LONG, answered).await.expect("it is opened again");
}

#[tokio::test]
async fn a_caller_that_has_waited_long_enough_leaves_room() {
    let shop = Shop::shut();
    let (_server, address) = serve(&shop, 64).await;
    let links = links("a", key(), 1);
    let (shard, ask) = (ShardId(0), Ask::ReadOrder(OrderId(1)));
    for _ in 0..3 {
        let deadline = Instant::now() + Duration::from_millis(200);
        let asked = links.call(("b", &address), shard, &ask, deadline).await;
        assert!(matches!(asked, Err(CallError::Silent) | Ok(Answer::Unknown)), "{asked:?}");
    }
}

#[tokio::test]
async fn a_node_without_the_secret_is_asked_nothing_and_asks_nothing() {
    let shop = Shop::open();
    let (_server, address) = serve(&shop, 16).await;
    let other = PeerKey::of(b"another secret");
    assert_eq!(read(&links("a", other, 16), &address, 1).await, Err(CallError::NotSent));
    let refused = links("a", key(), 16);
    let (shard, ask) = (ShardId(0), Ask::ReadOrder(OrderId(1)));
    let asked = refused.call(("c", &address), shard, &ask, Instant::now() + LONG).await;
    assert_eq!(asked, Err(CallError::NotSent), "it is b, and c was meant");
    assert_eq!(
        read(&links("b", key(), 16), &address, 1).await,
        Err(CallError::NotSent),
        "its own name"
    );
    assert_eq!(shop.begun.load(Ordering::Acquire), 0);
    assert_eq!(read(&links("a", key(), 16), &address, 1).await, told(1));
}

/// Somebody that speaks the protocol by hand.
struct Stranger {
    said: mpsc::Sender<FromCaller>,
    heard: Streaming<FromServer>,
}

impl Stranger {
    async fn connect(address: &str) -> Self {
        let mut client = PeerClient::connect_to(address).await;
        let (said, mut saying) = mpsc::channel(4);
        let said_stream = stream::poll_fn(move |context| saying.poll_recv(context));
        let heard = client.link(said_stream).await.expect("a stream").into_inner();
        Self { said, heard }
    }

    async fn say(&self, message: Said) {
        self.said.send(FromCaller { message: Some(message) }).await.expect("it listens");
    }

    async fn hear(&mut self) -> Result<Option<Heard>, Status> {
        Ok(self.heard.message().await?.and_then(|message| message.message))
    }

    async fn greet(&mut self, caller: &str, server: &str, nonce: [u8; 32]) -> proto::Challenge {
        let (caller, server, nonce) = (caller.to_owned(), server.to_owned(), nonce.to_vec());
        self.say(Said::Hello(proto::Hello { version: VERSION, caller, server, nonce })).await;
        match self.hear().await {
            Ok(Some(Heard::Challenge(challenge))) => challenge,
            other => panic!("no challenge: {other:?}"),
        }
    }

    /// Whether it is let in with this proof, and then answered.
    async fn gets_in(mut self, proof: &[u8]) -> bool {
        self.say(Said::Proof(proto::Proof { proof: proof.to_vec() })).await;
        matches!(self.hear().await, Ok(Some(Heard::Welcome(_))))
    }
}

impl PeerClient<tonic::transport::Channel> {
    async fn connect_to(address: &str) -> Self {
        let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{address}"));
        Self::new(endpoint.expect("an address").connect().await.expect("a connection"))
    }
}

#[tokio::test]
async fn a_proof_that_was_overheard_or_is_sent_back_opens_nothing() {
    let shop = Shop::open();
    let (_server, address) = serve(&shop, 16).await;
    let nonce = [7; 32];
    let mut honest = Stranger::connect(&address).await;
    let challenge = honest.greet("a", "b", nonce).await;
    let handshake = Handshake {
        caller: "a".to_owned(),
        server: "b".to_owned(),
        caller_nonce: nonce,
        server_nonce: handshake::nonce(&challenge.nonce).expect("a nonce"),
    };
    assert!(handshake.is_proven(&key(), Side::Server, &challenge.proof));
    let proof = handshake.prove(&key(), Side::Caller);
    assert!(honest.gets_in(&proof).await);

    let mut overheard = Stranger::connect(&address).await;
    overheard.greet("a", "b", nonce).await;
    assert!(!overheard.gets_in(&proof).await, "the proof of another handshake");
    let mut reflecting = Stranger::connect(&address).await;
    let challenge = reflecting.greet("a", "b", nonce).await;
    assert!(!reflecting.gets_in(&challenge.proof).await, "the server's own proof");
    let mut silent = Stranger::connect(&address).await;
    silent.greet("a", "b", nonce).await;
    silent.say(Said::Calls(proto::Calls { calls: vec![proto::Call::default()] })).await;
    assert!(silent.hear().await.is_err(), "calls without a proof");
    assert_eq!(shop.begun.load(Ordering::Acquire), 0);
}

/// A node without the secret, to which others are led: it has `victim` make its proof, and welcomes everybody.
#[derive(Clone)]
struct Impostor {
    victim: String,
}

#[tonic::async_trait]
impl Peer for Impostor {
    type LinkStream = BoxStream<'static, Result<FromServer, Status>>;

    async fn link(
        &self,
        request: Request<Streaming<FromCaller>>,
    ) -> Result<Response<Self::LinkStream>, Status> {
        let victim = self.victim.clone();
        let mut incoming = request.into_inner();
        let challenge = async move {
            let first = incoming.message().await?.and_then(|message| message.message);
            let Some(Said::Hello(hello)) = first else { panic!("no greeting") };
            let nonce = handshake::nonce(&hello.nonce).expect("a nonce");
            let mut stranger = Stranger::connect(&victim).await;
            let challenge = stranger.greet("b", "a", nonce).await;
            Ok(FromServer { message: Some(Heard::Challenge(challenge)) })
        };
        let welcome = FromServer { message: Some(Heard::Welcome(proto::Welcome {})) };
        let told = stream::once(challenge).chain(stream::iter([Ok(welcome)]));
        Ok(Response::new(Box::pin(told.chain(stream::pending()))))
    }
}

#[tokio::test]
async fn a_challenge_that_is_reflected_proves_nothing() {
    let (listener, victim) = listen("127.0.0.1:0").await;
    let shop = Shop::open();
    let server = Server { own: "a".to_owned(), key: key(), calls_max: 16, service: shop };
    let _victim = tokio::spawn(server.run(Arc::new(listener)));
    let (listener, address) = listen("127.0.0.1:0").await;
    let _impostor = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("a connection");
        let service = TowerToHyperService::new(PeerServer::new(Impostor { victim }));
        let http = http2::Builder::new(TokioExecutor::new());
        let _ = http.serve_connection(TokioIo::new(stream), service).await;
    });
    assert_eq!(read(&links("a", key(), 16), &address, 1).await, Err(CallError::NotSent));
}
