//! What nodes write to each other about the item that has a bucket in every shard.

use super::shop::{HOT, bucket_shard};
use domain::{Part, ShardId, Stock, Transfer, UnitsWanted};

/// What one node writes to another.
#[derive(Clone, Debug)]
pub enum Message {
    /// Asked at this instant: what does the bucket in this shard have?
    Look { of: ShardId, asked_at: u64 },
    /// It has this.
    Seen(Box<Part>),
    /// Units are wanted of the bucket in this shard.
    Send { of: ShardId, wanted: UnitsWanted },
    /// Units that were sent.
    Receive(Transfer),
    /// They have arrived.
    Settle(Transfer),
}

impl Message {
    /// What it is about, in a few words.
    pub fn title(&self) -> &'static str {
        match self {
            Self::Look { .. } | Self::Seen(_) => "bucket looked at",
            Self::Send { .. } => "units asked for",
            Self::Receive(_) => "units sent to a bucket",
            Self::Settle(_) => "transfer settled",
        }
    }

    /// The shard that it is for; none if it is for a node.
    pub fn shard(&self) -> Option<ShardId> {
        match self {
            Self::Look { of, .. } | Self::Send { of, .. } => Some(*of),
            Self::Seen(_) => None,
            Self::Receive(transfer) => Some(bucket_shard(transfer.to)),
            Self::Settle(transfer) => Some(bucket_shard(transfer.from)),
        }
    }
}

/// The item's bucket as the state has it.
pub fn part_of(stock: &Stock) -> Option<Part> {
    let item = stock.item(HOT)?;
    Some(Part {
        seq: item.last_seq,
        phase: item.phase,
        admission: item.admission,
        counters: item.counters,
        exchange: (**item.exchange.as_ref()?).clone(),
        is_settled: item.settled,
        seen_at: None,
    })
}
