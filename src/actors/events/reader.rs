//! One sink's reader: follows the journal for the shards that are served here, and hands over what it tells.
//!
//! It begins behind the positions in the database, as often as shards come or go, a replay is asked for or something
//! cannot be read; what is told twice by that is the same event. A position is raised only after the sink has
//! confirmed everything up to it. Must not know where events go.

use super::buyers::Buyers;
use super::cloud_event::{CloudEvent, EventMaker, buyer};
use super::cursor::{Cursor, Gap};
use super::present::Present;
use super::sink::{Confirmed, EventSink};
use super::standing::Standing;
use super::types::EventType;
use crate::actors::engine::Engine;
use crate::actors::pipeline::gather;
use crate::crash::crash_point;
use crate::store::catalogue::CatalogueError;
use crate::store::database::StoreError;
use crate::store::events::{EventPositions, Position, Reading};
use crate::store::journal::{Follower, JournalError};
use crate::store::orders::OrderStore;
use crate::store::orders::ownership::OwnershipError;
use crate::telemetry::metrics::{EVENTS_LOST_TOTAL, EVENTS_TOLD_TOTAL};
use domain::{Record, ShardId, Timestamp};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How long positions may be confirmed before they are kept.
const KEEP: Duration = Duration::from_millis(250);
/// How long a reader waits for a notice that more is durable.
const IDLE: Duration = Duration::from_millis(200);
/// The time between two looks whether a replay was asked for.
const LOOK: Duration = Duration::from_secs(1);
/// The pause after something that could not be read.
const RETRY: Duration = Duration::from_millis(500);
/// The pause after a batch of which nothing arrived, beside the sink's own.
const PAUSE: Duration = Duration::from_millis(50);
/// Records that are read for one batch at most: many may be no events.
const SCAN_RECORDS: usize = 16_384;

/// What all readers stand on.
#[derive(Clone)]
pub(super) struct Ground {
    pub(super) engine: Engine,
    pub(super) orders: OrderStore,
    pub(super) positions: EventPositions,
    pub(super) buyers: Buyers,
    pub(super) maker: EventMaker,
    /// Records that a rush may leave behind before they are told all the same.
    pub(super) rush_records_max: u64,
}

/// A sink's reader.
pub(super) struct Reader<S> {
    pub(super) ground: Ground,
    pub(super) name: Arc<str>,
    /// From when on a sink is told that is new.
    pub(super) first: Timestamp,
    pub(super) sink: S,
    /// How far the latest replay is with what the journal has no longer.
    pub(super) present: Present,
    pub(super) standing: Arc<Standing>,
    /// Cancelled when the reader is to come to an end.
    pub(super) ending: CancellationToken,
    /// Cancelled by the reader once it has.
    pub(super) ended: CancellationToken,
}

/// Where a reader is, from one beginning to the next.
pub(super) struct Place {
    pub(super) reading: Reading,
    /// What is to be told before the journal is read.
    pub(super) present: Present,
    /// Who owned each shard when it began; it reads those that have an owner here.
    owners: Vec<Option<u64>>,
    follower: Follower,
    /// What was read from the journal and not looked at yet.
    records: VecDeque<Record>,
    cursor: Cursor,
    /// What is kept of each shard.
    kept: HashMap<ShardId, Position>,
    kept_at: Instant,
    looked_at: Instant,
    /// When the last record was decided that was looked at.
    reached_at: Timestamp,
}

/// Why a reader begins again.
#[derive(Debug, thiserror::Error)]
pub(super) enum Again {
    #[error("other shards are served here")]
    Shards,
    #[error("a replay was asked for")]
    Replay,
    #[error("records are missing in the journal")]
    Gap,
    #[error(transparent)]
    Ownership(#[from] OwnershipError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
    #[error(transparent)]
    Journal(#[from] JournalError),
}

impl From<Gap> for Again {
    fn from(_: Gap) -> Self {
        Self::Gap
    }
}

impl<S: EventSink> Reader<S> {
    /// Reads until it is to end, and then waits to be dropped.
    pub(super) async fn run(mut self) {
        let (engine, name) = (self.ground.engine.clone(), Arc::clone(&self.name));
        let standing = Arc::clone(&self.standing);
        tokio::select! {
            () = self.read_on() => {}
            () = standing.show(&engine, &name) => {}
        }
        self.ended.cancel();
        std::future::pending::<()>().await;
    }

    async fn read_on(&mut self) {
        while !self.ending.is_cancelled() {
            let again = match self.begin().await {
                Err(again) => again,
                Ok(mut place) => match self.follow(&mut place).await {
                    Ok(()) => break,
                    Err(again) => again,
                },
            };
            match again {
                Again::Shards | Again::Replay => {
                    tracing::info!(sink = &*self.name, why = %again, "events are read from their positions again");
                }
                Again::Gap => {
                    tracing::warn!(
                        sink = &*self.name,
                        "records that were to be told are gone from the journal"
                    );
                    tokio::time::sleep(RETRY).await;
                }
                _ => {
                    self.standing.set_obstacle(&self.name, Some(again.to_string()));
                    self.sink.look(self.standing.now(&self.ground.engine)).await;
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }

    /// Begins behind the kept positions of the shards that are served here.
    async fn begin(&mut self) -> Result<Place, Again> {
        let Ground { engine, orders, positions, .. } = &self.ground;
        let journal = &engine.context().journal;
        // Another shop's positions say nothing of this journal. They are beside the first order store.
        engine.stored_progress(&orders.first()).await?;
        // Before anything is read: what comes or goes meanwhile is seen as a change.
        let owners = owners(engine);
        let reading = positions.reading(&self.name, self.first).await?;
        let known = positions.positions(&self.name, reading.generation).await?;
        let mut kept: HashMap<ShardId, Position> =
            known.into_iter().map(|position| (position.shard, position)).collect();
        let (mut after, mut missed) = (Vec::with_capacity(owners.len()), Vec::new());
        let mut cut = Vec::new();
        for ((shard, owner), base) in (0..).map(ShardId).zip(&owners).zip(journal.base_seqs()) {
            if owner.is_none() {
                after.push(None);
                continue;
            }
            if base > 0 && !kept.contains_key(&shard) {
                cut.push((shard, base));
            }
            let position = kept.entry(shard).or_insert(Position { shard, seq: base, lost: (0, 0) });
            if position.seq < base {
                self.miss(position, base);
                missed.push(*position);
            }
            after.push(Some(position.seq));
            self.standing.hold.set(shard, position.seq);
        }
        positions.raise(&self.name, reading.generation, &missed).await?;
        self.standing.set_lost(lost(&kept, &owners));
        let wanted: Vec<u64> = after.iter().map(|seq| seq.unwrap_or(u64::MAX)).collect();
        let now = Instant::now();
        Ok(Place {
            present: Present::of(reading.generation, cut.into_iter()),
            reading,
            owners,
            follower: journal.follow(&wanted),
            records: VecDeque::new(),
            cursor: Cursor::behind(after),
            kept,
            kept_at: now,
            looked_at: now,
            reached_at: Timestamp::default(),
        })
    }

    /// Takes note of what was deleted behind a shard's position, which is behind it from now on.
    fn miss(&self, position: &mut Position, base: u64) {
        let (shard, lost) = (position.shard, (position.seq + 1, base));
        metrics::counter!(EVENTS_LOST_TOTAL, "sink" => self.name.to_string())
            .increment(base - position.seq);
        tracing::error!(
            sink = &*self.name, %shard, lost_from = lost.0, lost_to = lost.1,
            "the journal's records up to lost_to were deleted before this receiver had confirmed them: it was too \
             far behind; bring it up to date from the orders themselves"
        );
        (position.seq, position.lost) = (base, lost);
    }

    /// Tells what is read, until the reader is to end.
    async fn follow(&mut self, place: &mut Place) -> Result<(), Again> {
        let engine = self.ground.engine.clone();
        self.look(place).await?;
        self.tell_present(place).await?;
        loop {
            // Made before the journal is read, so that no notice falls in between.
            let told = engine.durable_told().notified();
            self.look_around(place).await?;
            let is_level = self.fill(place).await?;
            let waits = !place.cursor.waiting().is_empty();
            if waits {
                self.deliver(place).await;
            }
            let is_idle = is_level && !waits;
            let ends = self.ending.is_cancelled();
            if is_idle || ends || place.kept_at.elapsed() >= KEEP {
                self.keep(place).await?;
            }
            // It has got as far as to keep what was confirmed.
            self.standing.set_obstacle(&self.name, None);
            if ends {
                return Ok(());
            }
            if is_idle {
                self.standing.waits_since(engine.now());
                tokio::select! {
                    _ = tokio::time::timeout(IDLE, told) => {}
                    () = self.ending.cancelled() => continue,
                }
                gather(&engine, self.ground.rush_records_max).await;
            } else {
                tokio::task::yield_now().await;
            }
        }
    }

    /// Looks whether it serves the same shards and, now and then, whether it is to go on at all.
    pub(super) async fn look_around(&mut self, place: &mut Place) -> Result<(), Again> {
        if owners(&self.ground.engine) != place.owners {
            self.keep(place).await?;
            return Err(Again::Shards);
        }
        if place.looked_at.elapsed() >= LOOK { self.look(place).await } else { Ok(()) }
    }

    /// Looks whether a replay was asked for, and whether what is to be read is there still.
    async fn look(&mut self, place: &mut Place) -> Result<(), Again> {
        place.looked_at = Instant::now();
        self.sink.look(self.standing.now(&self.ground.engine)).await;
        let reading = self.ground.positions.reading(&self.name, self.first).await?;
        if reading != place.reading {
            return Err(Again::Replay);
        }
        // Told at once, not when the sink is back: by then more is gone.
        let base = self.ground.engine.context().journal.base_seqs();
        if place.cursor.lacks(&base) { Err(Again::Gap) } else { Ok(()) }
    }

    /// Reads until a batch is full. Returns whether all that is durable was read.
    async fn fill(&mut self, place: &mut Place) -> Result<bool, Again> {
        let mut scanned = 0;
        let mut is_level = false;
        while place.cursor.waiting().len() < S::BATCH_EVENTS && scanned < SCAN_RECORDS && !is_level
        {
            if place.records.is_empty() {
                let mut read = Vec::new();
                is_level = !place.follower.next(&mut read).await?;
                place.records = read.into();
            }
            let room = S::BATCH_EVENTS - place.cursor.waiting().len();
            let records: Vec<Record> =
                place.records.drain(..room.min(place.records.len())).collect();
            scanned += records.len();
            self.take(place, &records).await?;
        }
        if let Some(oldest) = place.cursor.oldest() {
            self.standing.waits_since(oldest);
        } else if !is_level {
            self.standing.waits_since(place.reached_at);
        }
        Ok(is_level)
    }

    /// Makes events of records, as far as the sink is to have them.
    async fn take(&mut self, place: &mut Place, records: &[Record]) -> Result<(), Again> {
        let begins_at = place.reading.begins_at;
        let is_told = |record: &Record| {
            record.at >= begins_at
                && EventType::of(record).is_some_and(|kind| self.sink.wants(kind))
        };
        // Asked before anything is awaited, because a sink is one task's.
        let told: Vec<bool> = records.iter().map(is_told).collect();
        let users = records.iter().zip(&told).filter(|(_, is_told)| **is_told);
        let users = users.filter_map(|(record, _)| buyer(record));
        let names = self.ground.buyers.names(users).await?;
        for (record, is_told) in records.iter().zip(told) {
            let name = buyer(record).and_then(|user_id| names.get(&user_id)?.as_deref());
            let event = if is_told { self.ground.maker.make(record, name) } else { None };
            place.cursor.read(record.shard, record.seq, event)?;
            place.reached_at = record.at;
        }
        Ok(())
    }

    async fn deliver(&mut self, place: &mut Place) {
        let confirmed = self.offer(place.cursor.waiting()).await;
        place.cursor.confirm(&confirmed);
    }

    /// Offers events, at least one, and counts what has arrived.
    pub(super) async fn offer(&mut self, events: &[CloudEvent]) -> Confirmed {
        crash_point("events-before-deliver");
        let confirmed = self.sink.deliver(events).await;
        let count = (0..events.len()).filter(|place| confirmed.has(*place)).count();
        crash_point("events-after-deliver");
        if count == 0 {
            tokio::time::sleep(PAUSE).await;
        }
        metrics::counter!(EVENTS_TOLD_TOTAL, "sink" => self.name.to_string())
            .increment(count as u64);
        confirmed
    }

    /// Keeps what is confirmed. Only then may the journal delete it.
    async fn keep(&mut self, place: &mut Place) -> Result<(), Again> {
        place.kept_at = Instant::now();
        let mut raised = Vec::new();
        for (shard, seq) in place.cursor.positions() {
            let Some(kept) = place.kept.get(&shard) else { continue };
            if kept.seq < seq {
                raised.push(Position { seq, ..*kept });
            }
        }
        if raised.is_empty() {
            return Ok(());
        }
        let Ground { positions, .. } = &self.ground;
        positions.raise(&self.name, place.reading.generation, &raised).await?;
        crash_point("events-after-position");
        for position in raised {
            self.standing.hold.set(position.shard, position.seq);
            place.kept.insert(position.shard, position);
        }
        self.standing.set_lost(lost(&place.kept, &place.owners));
        Ok(())
    }
}

/// How many records the sink has lost and confirmed nothing behind them, of the shards that are served here.
fn lost(kept: &HashMap<ShardId, Position>, owners: &[Option<u64>]) -> u64 {
    let is_served = |shard: ShardId| owners.get(shard.index()).is_some_and(Option::is_some);
    let lost = kept.values().filter(|kept| is_served(kept.shard)).map(|kept| match kept.lost {
        (from, to) if to > 0 && kept.seq <= to => to + 1 - from,
        _ => 0,
    });
    lost.sum()
}

/// Who owns each shard that is served here.
fn owners(engine: &Engine) -> Vec<Option<u64>> {
    let context = engine.context();
    context.router.shards().map(|shard| context.journal.owner(shard)).collect()
}
