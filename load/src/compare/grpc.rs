//! Purchases by gRPC in the closed loop: as many calls at a time as the generator has connections, and several of
//! them on one connection, as services call each other.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use proto::v1::BuyRequest;
use proto::v1::orders_client::OrdersClient;
use tokio::task::JoinSet;
use tonic::metadata::MetadataValue;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request};

use crate::drive::{Crowd, Record};
use crate::outcome::Outcome;
use crate::{Error, Result};

/// So many calls at a time share a connection.
const CALLS_PER_CONNECTION: u32 = 16;
/// A call without an answer ends after this time.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// What all connections share.
struct Calls {
    crowd: Arc<Crowd>,
    /// Purchases that were begun; each is of another user or another item.
    begun: AtomicU64,
    /// Tells the keys of this run from those of every other.
    run: u64,
    start: Instant,
    end: Instant,
}

/// Buys from `start` on for so long, or until every user has every item, with so many calls at a time.
///
/// # Errors
/// Returns [`Error::Server`] if nothing speaks gRPC at the address, or a purchase is refused other than for
/// a time.
pub async fn buy(
    address: SocketAddr,
    crowd: &Arc<Crowd>,
    calls_at_a_time: u32,
    start: Instant,
    lasts: Duration,
) -> Result<Record> {
    let begun = AtomicU64::new(0);
    let run = jiff::Timestamp::now().as_nanosecond() as u64;
    let crowd = Arc::clone(crowd);
    let calls = Arc::new(Calls { crowd, begun, run, start, end: start + lasts });
    let endpoint = Endpoint::from_shared(format!("http://{address}"))
        .map_err(|error| Error::Server(format!("{address} is no address: {error}")))?
        .timeout(CALL_TIMEOUT)
        .tcp_nodelay(true);
    let mut buying = JoinSet::new();
    for connection in 0..calls_at_a_time.div_ceil(CALLS_PER_CONNECTION) {
        let channel = endpoint.connect().await;
        let channel = channel.map_err(|error| Error::Server(format!("no gRPC there: {error}")))?;
        let left = calls_at_a_time - connection * CALLS_PER_CONNECTION;
        for _ in 0..left.min(CALLS_PER_CONNECTION) {
            buying.spawn(Arc::clone(&calls).buy_on(channel.clone()));
        }
    }
    let mut whole = Record::default();
    for record in buying.join_all().await {
        whole.merge(record?);
    }
    Ok(whole)
}

impl Calls {
    async fn buy_on(self: Arc<Self>, channel: Channel) -> Result<Record> {
        let mut orders = OrdersClient::new(channel);
        let mut record = Record::default();
        tokio::time::sleep_until(self.start.into()).await;
        while Instant::now() < self.end
            && let Some(request) = self.next()
        {
            let called = Instant::now();
            let outcome = match orders.buy(request).await {
                Ok(_) => Outcome::Reserved,
                Err(status) if status.code() == Code::Unavailable => Outcome::Overloaded,
                Err(status) => {
                    return Err(Error::Server(format!("a purchase by gRPC was refused: {status}")));
                }
            };
            let microseconds = u64::try_from(called.elapsed().as_micros()).unwrap_or(u64::MAX);
            record.offered += 1;
            record.outcomes[outcome.index()] += 1;
            record.latency.saturating_record(microseconds);
            record.last_answer_ns =
                u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        }
        Ok(record)
    }

    /// The next purchase, if somebody is left who has not bought.
    fn next(&self) -> Option<Request<BuyRequest>> {
        let items = self.crowd.item_ids();
        let number = self.begun.fetch_add(1, Ordering::Relaxed);
        let user = u32::try_from(number / items.len() as u64).ok();
        let user = user.filter(|user| *user < self.crowd.users())?;
        let item_id = items[(number % items.len() as u64) as usize];
        let mut request = Request::new(BuyRequest {
            item_id,
            quantity: 1,
            idempotency_key: format!("{:016x}-{number:012x}", self.run),
            buy_token: String::new(),
        });
        let token = format!("Bearer {}", self.crowd.token(user));
        let token = MetadataValue::try_from(token).expect("a token is text of a header");
        request.metadata_mut().insert("authorization", token);
        Some(request)
    }
}
