//! What a bucket of an item has given to the others and got from them.
//!
//! ```text
//! donor:    UnitsSent n ───────────────────────────▶ TransferSettled n
//!                │                                       ▲
//!                ▼                                       │
//! receiver:      UnitsReceived n (a second time: nothing)
//! ```
//!
//! Between two buckets transfers are numbered, and the donor begins the next one when the last one is settled:
//! so one number tells the receiver whether it has had the units. What was sent and not received is in no bucket;
//! the donor's record says that it is under way, and its owner repeats it until it is answered. Must not know
//! orders, nor how buckets reach each other.

use crate::buckets::{Transfer, UnitsWanted};
use crate::ids::ItemId;

/// What a bucket has exchanged with the item's other buckets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Exchange {
    /// The bucket's own number.
    pub bucket: u8,
    /// Units of the whole item that were put on sale. Bucket 0 alone keeps it up to date, because it alone is
    /// restocked and reduced.
    pub allotted: u32,
    /// The buckets that it has exchanged units with, by ascending number.
    pub peers: Vec<Peer>,
}

/// What a bucket has exchanged with one other bucket.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Peer {
    /// The other bucket's number.
    pub bucket: u8,
    /// The number of the last transfer to it.
    pub sent: u32,
    /// The units of that transfer while it is not settled; 0 once it is.
    pub open_units: u32,
    /// The number of the last transfer from it.
    pub received: u32,
}

impl Exchange {
    /// Of a bucket that has exchanged nothing, of an item of `allotted` units.
    pub fn new(bucket: u8, allotted: u32) -> Self {
        Self { bucket, allotted, peers: Vec::new() }
    }

    /// What was exchanged with a bucket.
    pub fn peer(&self, bucket: u8) -> Peer {
        let found = self.peers.binary_search_by_key(&bucket, |peer| peer.bucket);
        found.map_or(Peer { bucket, ..Peer::default() }, |place| self.peers[place])
    }

    /// The transfers that are not settled, of an item of this number.
    pub fn open(&self, item_id: ItemId) -> impl Iterator<Item = Transfer> + '_ {
        let open = self.peers.iter().filter(|peer| peer.open_units > 0);
        open.map(move |peer| Transfer {
            item_id,
            from: self.bucket,
            to: peer.bucket,
            number: peer.sent,
            units: peer.open_units,
        })
    }

    /// Whether a transfer is not settled.
    pub fn has_open(&self) -> bool {
        self.peers.iter().any(|peer| peer.open_units > 0)
    }

    /// What is given to a bucket that asks for units, of `available` ones: at least half of them, so that it need
    /// not come again soon. A bucket at which buyers wait gives to lower numbers only: two cannot take units from
    /// each other for ever.
    pub fn offer(&self, wanted: UnitsWanted, available: u32) -> Option<Transfer> {
        if available == 0 || (wanted.buyers_wait && wanted.to > self.bucket) {
            return None;
        }
        Some(Transfer {
            item_id: wanted.item_id,
            from: self.bucket,
            to: wanted.to,
            number: self.peer(wanted.to).sent.checked_add(1)?,
            units: available.min(wanted.units.max(available.div_ceil(2))),
        })
    }

    /// Notes that units were sent.
    ///
    /// # Errors
    /// Returns in words why they cannot have been.
    pub fn send(&mut self, transfer: &Transfer) -> Result<(), &'static str> {
        let peer = self.peer(transfer.to);
        if transfer.from != self.bucket || transfer.to == self.bucket || transfer.units == 0 {
            return Err("the transfer is another bucket's, or of nothing");
        }
        if peer.open_units > 0 || peer.sent.checked_add(1) != Some(transfer.number) {
            return Err("the transfer does not follow the last one");
        }
        self.set(Peer { sent: transfer.number, open_units: transfer.units, ..peer });
        Ok(())
    }

    /// Notes that units were received.
    ///
    /// # Errors
    /// Returns in words why they cannot have been.
    pub fn receive(&mut self, transfer: &Transfer) -> Result<(), &'static str> {
        let peer = self.peer(transfer.from);
        if transfer.to != self.bucket || transfer.from == self.bucket || transfer.units == 0 {
            return Err("the transfer is another bucket's, or of nothing");
        }
        if peer.received.checked_add(1) != Some(transfer.number) {
            return Err("the transfer does not follow the last one received");
        }
        self.set(Peer { received: transfer.number, ..peer });
        Ok(())
    }

    /// Notes that a transfer is settled: its units have arrived.
    ///
    /// # Errors
    /// Returns in words why it cannot be.
    pub fn settle(&mut self, transfer: &Transfer) -> Result<(), &'static str> {
        let peer = self.peer(transfer.to);
        let is_open = (peer.sent, peer.open_units) == (transfer.number, transfer.units);
        if transfer.from != self.bucket || transfer.units == 0 || !is_open {
            return Err("the transfer is not open");
        }
        self.set(Peer { open_units: 0, ..peer });
        Ok(())
    }

    fn set(&mut self, peer: Peer) {
        match self.peers.binary_search_by_key(&peer.bucket, |known| known.bucket) {
            Ok(place) => self.peers[place] = peer,
            Err(place) => self.peers.insert(place, peer),
        }
    }
}
