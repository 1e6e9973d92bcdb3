//! The seam between the journal's second reading and those who are told: [`EventSink`].

use super::cloud_event::CloudEvent;
use super::types::EventType;

/// One receiver of events, such as an exchange of RabbitMQ or an endpoint of webhooks.
///
/// Each sink has a reader of its own ([`EventReaders::add`](super::EventReaders::add)): a task that follows the journal
/// for the shards that are served here, makes the events that the sink [wants](Self::wants), hands them over in batches
/// and keeps, in the order store's database, up to where the sink has confirmed all.
///
/// - **At least once.** What was not confirmed is offered again: first in the next batch, or by another process after
///   a crash, a restart or a move of the shard. The same event is the same bytes each time.
/// - **In order.** The events of a shard come in the order of their `seq`, so those of an order or an item
///   ([`partition_key`](CloudEvent::partition_key)) do, too. Events of different shards have no order. A sink that
///   confirms one event before an earlier one of the same shard gets the earlier one alone again.
/// - **Bounded.** A batch has [`Self::BATCH_EVENTS`] at most, the unconfirmed of before included, and the next one comes
///   when `deliver` has returned: a sink that waits is the back-pressure.
/// - **Never in the way.** Readers run on the backends' thread, sit out a rush like the relay, and what they have not
///   told stays in the journal up to `events.retain_mib`; what is beyond is lost and told as lost.
pub trait EventSink: Send + 'static {
    /// What the reader's task is called in logs and in `seckill_task_restarts_total`; sinks of a kind share it.
    const TASK: &'static str;
    /// The most events of a batch.
    const BATCH_EVENTS: usize = 1_024;

    /// Whether the sink is to be given events of this type. Others are passed over, and count as confirmed.
    fn wants(&self, _kind: EventType) -> bool {
        true
    }

    /// Delivers events, oldest first and at least one, and says which of them arrived. Only what it says is certain
    /// may be confirmed: the position moves past it for good.
    ///
    /// Returns within half a minute or so also if nothing can be delivered, after a pause of the sink's own choice
    /// (its back-off): the reader looks after changes of its shards and after a replay in between. The future may be
    /// dropped at any point; what was under way is offered again then.
    fn deliver(&mut self, events: &[CloudEvent]) -> impl Future<Output = Confirmed> + Send;

    /// Told how far the reader is: when it begins, and about once a second while nothing is being delivered. Here a
    /// sink may look whether its receiver can be reached, and say how it is.
    fn look(&mut self, standing: ReaderStanding) -> impl Future<Output = ()> + Send {
        drop(standing);
        async {}
    }
}

/// Which events of a batch have arrived.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Confirmed(Vec<bool>);

/// How far a reader is.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct ReaderStanding {
    /// Records of the shards served here that are durable and behind the sink's confirmed position.
    pub lag_records: u64,
    /// The age of the oldest event that waits, in seconds; 0 if none does.
    pub lag_seconds: f64,
    /// Records that were deleted before the sink had confirmed what they tell, until it has confirmed something behind
    /// them in their shard. 0 normally.
    pub lost_records: u64,
    /// Why the positions cannot be read or kept, if so: nothing is told meanwhile.
    pub obstacle: Option<String>,
}

impl Confirmed {
    /// None of the events has arrived, as far as is known.
    pub const NONE: Self = Self(Vec::new());

    /// The first `count` events have arrived, and of no other one is it known.
    pub fn first(count: usize) -> Self {
        Self(vec![true; count])
    }

    /// Each event that has `true` in its place has arrived.
    pub fn each(arrived: Vec<bool>) -> Self {
        Self(arrived)
    }

    /// Whether the event at a place of the batch has arrived.
    pub fn has(&self, place: usize) -> bool {
        self.0.get(place).copied().unwrap_or(false)
    }

    /// Takes what has arrived out of the batch.
    pub(super) fn take_from(&self, batch: &mut Vec<CloudEvent>) {
        let mut places = 0..;
        batch.retain(|_| !places.next().is_some_and(|place| self.has(place)));
    }
}
