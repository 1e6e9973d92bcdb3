//! What goes on beside the purchases of an engine: traces are taken, others are told of each order, people look
//! at pages or at the live figures.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::told::{Listeners, Told};
use crate::drive::{self, Crowd, Entrances, Running, Work};
use crate::outcome::{Class, Outcome};
use crate::scenario::{Generator, LoopKind, Mix, People};
use crate::schedule::{Phase, Schedule};
use crate::stage::TraceCollector;
use crate::{Error, Result};

/// As many as may watch the live figures of a shop.
const VIEWERS: usize = 32;
/// Connections of those who read pages.
const READERS_CONNECTIONS: u32 = 64;
/// Readers look until the purchases have ended, and no longer than this.
const READING_SECONDS_MAX: f64 = 700.0;
/// An answer to a viewer begins within this time.
const FIRST_LOOK_WAIT_MAX: Duration = Duration::from_secs(10);
/// How much of a stream is read at once, in bytes.
const READ_BYTES: usize = 1 << 16;
/// How much of a refusal an error shows, in bytes.
const SHOWN_BYTES: usize = 400;

/// What goes on beside an engine's purchases.
pub enum Beside {
    /// Nothing does.
    Nothing,
    /// A collector takes traces.
    Traces { _collector: TraceCollector },
    /// A broker and a receiver of webhooks are told of each order.
    Listeners(Box<Listeners>),
    /// The live figures are watched, while there are viewers.
    Viewers(Option<Viewers>),
    /// Pages are read so often a second, while there are readers.
    Readers { rate: f64, reading: Option<Running> },
}

/// What was found beside a round's purchases.
#[derive(Debug, Default)]
pub struct Found {
    /// How those were told who are, by their name.
    pub told: BTreeMap<String, Told>,
    /// How pages were read.
    pub views: Option<Views>,
}

/// How pages were read beside a round's purchases.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Views {
    /// Looks that were answered, a second.
    pub rate: f64,
    /// Their 99th percentile in milliseconds, from the moment at which each was due.
    pub p99_ms: f64,
    /// Looks that were not answered, or not as they should be.
    pub failed: u64,
}

/// The engine beside whose purchases it goes on.
pub struct Place<'a> {
    /// Where buyers and readers ask.
    pub address: SocketAddr,
    /// Where its figures are.
    pub operations: SocketAddr,
    /// A token of one who may see the console.
    pub operator: &'a str,
}

impl Beside {
    /// Begins what a round has beside its purchases, whose clock starts then.
    ///
    /// # Errors
    /// Returns an error if the engine shows neither figures nor pages.
    pub async fn begin(
        &mut self,
        place: &Place<'_>,
        crowd: &Arc<Crowd>,
        start: Instant,
    ) -> Result<()> {
        match self {
            Self::Nothing | Self::Traces { .. } => {}
            Self::Listeners(listeners) => listeners.begin(place.operations).await?,
            Self::Viewers(viewers) => *viewers = Some(Viewers::open(place).await?),
            Self::Readers { rate, reading } => {
                *reading = Some(read(place.address, Arc::clone(crowd), *rate, start)?);
            }
        }
        Ok(())
    }

    /// Ends it after a round that sold so many, in a load that began and ended then.
    ///
    /// # Errors
    /// Returns an error if the engine tells nobody, or a viewer saw nothing.
    pub async fn end(
        &mut self,
        place: &Place<'_>,
        orders: u64,
        load: (Instant, Instant),
    ) -> Result<Found> {
        let mut found = Found::default();
        match self {
            Self::Nothing | Self::Traces { .. } => {}
            Self::Listeners(listeners) => {
                found.told = listeners.told(place.operations, orders, load).await?;
            }
            Self::Viewers(viewers) => {
                if viewers.take().is_some_and(|viewers| !viewers.have_seen()) {
                    let reason = "a viewer of the live figures saw nothing";
                    return Err(Error::Server(reason.to_owned()));
                }
            }
            Self::Readers { reading, .. } => {
                if let Some(reading) = reading.take() {
                    found.views = Some(read_until_now(reading).await?);
                }
            }
        }
        Ok(found)
    }
}

/// People who look at pages so often a second, each at its moment.
fn read(address: SocketAddr, crowd: Arc<Crowd>, rate: f64, start: Instant) -> Result<Running> {
    let phase = Phase::Constant { rate, seconds: READING_SECONDS_MAX };
    let mix = Mix { buyer: 0.0, reader: 1.0, ..Mix::default() };
    let work = Work {
        entrances: Entrances::at(vec![address]),
        people: People { mix, ..People::who_buy(crowd.users()) },
        crowd,
        generator: Generator {
            kind: LoopKind::Open,
            connections: READERS_CONNECTIONS,
            drain_ms_max: 1_000,
            ..Generator::default()
        },
        schedule: Schedule::new(&[phase]).map_err(Error::Server)?,
        seed: 2,
        deciders: None,
        distinct_only: false,
        payment_window: Duration::from_secs(600),
        threads: 1,
    };
    drive::start(work, start)
}

async fn read_until_now(reading: Running) -> Result<Views> {
    reading.stop();
    let record = tokio::task::spawn_blocking(move || reading.finish())
        .await
        .map_err(|error| Error::Server(format!("the readers failed: {error}")))??;
    let ended: u64 = record.outcomes.iter().sum();
    let of = |outcome: &Outcome| record.count(*outcome);
    let seen: u64 =
        Outcome::ALL.iter().filter(|outcome| outcome.class() == Class::Granted).map(of).sum();
    let seconds = record.last_answer_ns as f64 / 1e9;
    Ok(Views {
        rate: seen as f64 / seconds.max(1e-9),
        p99_ms: record.latency_views.value_at_quantile(0.99) as f64 / 1e3,
        failed: ended - seen,
    })
}

/// Those who watch the live figures, until this is dropped.
pub struct Viewers {
    _watching: JoinSet<()>,
    /// How many bytes each was sent.
    sent: Arc<[AtomicU64]>,
}

impl Viewers {
    /// Opens all their streams.
    async fn open(place: &Place<'_>) -> Result<Self> {
        let sent: Arc<[AtomicU64]> = (0..VIEWERS).map(|_| AtomicU64::new(0)).collect();
        let mut watching = JoinSet::new();
        for viewer in 0..VIEWERS {
            let stream = open_stream(place).await?;
            watching.spawn(watch(stream, Arc::clone(&sent), viewer));
        }
        Ok(Self { _watching: watching, sent })
    }

    /// Whether each was sent something since its stream began.
    fn have_seen(&self) -> bool {
        self.sent.iter().all(|sent| sent.load(Ordering::Relaxed) > 0)
    }
}

/// A stream of the live figures whose answer has begun.
async fn open_stream(place: &Place<'_>) -> Result<TcpStream> {
    let what = || Error::io("watching the live figures");
    let mut stream = TcpStream::connect(place.address).await.map_err(what())?;
    let request = format!(
        "GET /console/live HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\n\r\n",
        place.address, place.operator,
    );
    stream.write_all(request.as_bytes()).await.map_err(what())?;
    let mut head = vec![0; READ_BYTES];
    let first = tokio::time::timeout(FIRST_LOOK_WAIT_MAX, stream.read(&mut head)).await;
    let read = first.ok().and_then(std::result::Result::ok).unwrap_or(0);
    if !head[..read].starts_with(b"HTTP/1.1 200 ") {
        let said = String::from_utf8_lossy(&head[..read.min(SHOWN_BYTES)]).into_owned();
        return Err(Error::Server(format!("the live figures cannot be watched: {said}")));
    }
    Ok(stream)
}

/// Reads a stream to its end, and counts what comes.
async fn watch(mut stream: TcpStream, sent: Arc<[AtomicU64]>, viewer: usize) {
    let mut buffer = vec![0; READ_BYTES];
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        sent[viewer].fetch_add(read as u64, Ordering::Relaxed);
    }
}
