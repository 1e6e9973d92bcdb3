//! The shard's orders: fixed-size chunks in the order of their creation.
//!
//! Identities grow within a shard, so the table is sorted and needs no index of its own. A chunk is
//! shared with a checkpoint in flight and copied when it is written again, so that a checkpoint is
//! exact and costs the sale nothing but the copies of what changes meanwhile.

use crate::ids::{OrderId, RequestId, UserId};
use crate::order::OrderStatus;
use std::sync::Arc;

/// Orders in one chunk.
pub const CHUNK_ENTRIES: usize = 64;
/// The slot of an earlier order where this buyer has none.
pub(super) const NO_SLOT: u32 = u32::MAX;
/// An order as the shard holds it: 40 bytes. What item and identity already tell is left out.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Entry {
    /// The order's identity.
    pub order_id: OrderId,
    /// The buyer of the order.
    pub user_id: UserId,
    /// The request that placed it.
    pub request_id: RequestId,
    /// The item's position in the shard.
    pub item: u32,
    /// The slot of the same buyer's order of the same item before this one, or `u32::MAX`.
    pub previous: u32,
    /// Units bought, at least 1.
    pub quantity: u16,
    /// The how-many-eth of this buyer and item, from 1.
    pub attempt: u16,
    /// In a buyer's newest order: the units of all its live orders of the item. Stale in others.
    pub live_units: u16,
    /// The order's status; `None` if it was released.
    pub status: Option<OrderStatus>,
}

const _: () = assert!(size_of::<Entry>() == 40, "a million orders are to fit in 40 MB");

/// A run of [`CHUNK_ENTRIES`] slots.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Chunk {
    length: u16,
    held: u16,
    entries: [Entry; CHUNK_ENTRIES],
}

impl Chunk {
    /// A chunk of these entries, of which there are at most [`CHUNK_ENTRIES`].
    pub fn from_entries(entries: &[Entry]) -> Option<Self> {
        let mut chunk = Self::empty();
        chunk.entries.get_mut(..entries.len())?.copy_from_slice(entries);
        chunk.length = u16::try_from(entries.len()).ok()?;
        chunk.held = entries.iter().map(|entry| u16::from(entry.status.is_some())).sum();
        Some(chunk)
    }

    /// The entries in use, released ones included.
    pub fn entries(&self) -> &[Entry] {
        &self.entries[..usize::from(self.length)]
    }

    fn empty() -> Self {
        Self { length: 0, held: 0, entries: [Entry::default(); CHUNK_ENTRIES] }
    }
}

/// All orders of a shard. A slot is an order's number in the shard, from 0.
#[derive(Debug, Default)]
pub(super) struct OrderTable {
    chunks: Vec<Option<Arc<Chunk>>>,
    /// The first identity of each chunk: what a look-up searches.
    first_ids: Vec<OrderId>,
    dirty: Vec<bool>,
    dirty_chunks: Vec<u32>,
    length: u32,
    held: usize,
}

impl OrderTable {
    pub(super) fn restore(chunks: Vec<Option<Arc<Chunk>>>) -> Self {
        let mut table = Self { dirty: vec![false; chunks.len()], ..Self::default() };
        let mut behind = OrderId(0);
        for (number, chunk) in chunks.iter().enumerate() {
            let start = (number * CHUNK_ENTRIES) as u32;
            table.length = start + CHUNK_ENTRIES as u32;
            // A chunk that was released holds nothing to be found, and must not hide what is before it.
            let mut first_id = behind;
            if let Some(chunk) = chunk {
                table.length = start + u32::from(chunk.length);
                table.held += usize::from(chunk.held);
                first_id = chunk.entries[0].order_id;
                let last = chunk.entries().last().map_or(first_id, |last| last.order_id);
                behind = OrderId(last.0.saturating_add(1));
            }
            table.first_ids.push(first_id);
        }
        table.chunks = chunks;
        table
    }

    /// Slots in use, released ones included.
    pub(super) fn len(&self) -> u32 {
        self.length
    }

    pub(super) fn held(&self) -> usize {
        self.held
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let chunks = self.chunks.iter().flatten().count();
        chunks * (size_of::<Chunk>() + 2 * size_of::<usize>())
            + self.chunks.capacity() * size_of::<Option<Arc<Chunk>>>()
            + self.first_ids.capacity() * size_of::<OrderId>()
            + self.dirty.capacity()
            + self.dirty_chunks.capacity() * size_of::<u32>()
    }

    pub(super) fn get(&self, slot: u32) -> Option<&Entry> {
        let chunk = self.chunks.get(slot as usize / CHUNK_ENTRIES)?.as_ref()?;
        let entry = chunk.entries().get(slot as usize % CHUNK_ENTRIES)?;
        entry.status.is_some().then_some(entry)
    }

    pub(super) fn find(&self, order_id: OrderId) -> Option<u32> {
        let number = self.first_ids.partition_point(|first| *first <= order_id).checked_sub(1)?;
        let chunk = self.chunks[number].as_ref()?;
        let place = chunk.entries().binary_search_by_key(&order_id, |e| e.order_id).ok()?;
        chunk.entries[place].status.is_some().then_some((number * CHUNK_ENTRIES + place) as u32)
    }

    /// The entries of one buyer and item, newest first, from the slot `newest`.
    pub(super) fn chain(&self, newest: u32) -> impl Iterator<Item = &Entry> {
        std::iter::successors(self.get(newest), |entry| self.get(entry.previous))
    }

    /// The entry of this request among those of one buyer and item, of which `newest` is the slot
    /// of the newest.
    pub(super) fn of_request(&self, newest: u32, request_id: RequestId) -> Option<&Entry> {
        self.chain(newest).find(|entry| entry.request_id == request_id)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Entry> {
        (0..self.length).filter_map(|slot| self.get(slot))
    }

    /// The entries held whose identities are greater than this one, in the order of their identities.
    pub(super) fn iter_after(&self, after: OrderId) -> impl Iterator<Item = &Entry> {
        // The chunk before the first that begins behind it may end behind it.
        let begins_behind = self.first_ids.partition_point(|first| *first <= after);
        let chunks = &self.chunks[begins_behind.saturating_sub(1)..];
        let entries = chunks.iter().flatten().flat_map(|chunk| chunk.entries());
        entries.filter(move |entry| entry.status.is_some() && entry.order_id > after)
    }

    /// Appends an entry, whose identity is greater than all before, and returns its slot.
    pub(super) fn push(&mut self, entry: Entry) -> u32 {
        let slot = self.length;
        debug_assert!(
            entry.previous == NO_SLOT || entry.previous < slot,
            "a chain leads to older orders only, so that it ends",
        );
        debug_assert!(
            slot.checked_sub(1)
                .and_then(|last| self.get(last))
                .is_none_or(|last| last.order_id < entry.order_id),
            "identities grow with the slots: the table is searched by halves",
        );
        let number = slot as usize / CHUNK_ENTRIES;
        if number == self.chunks.len() {
            self.chunks.push(Some(Arc::new(Chunk::empty())));
            self.first_ids.push(entry.order_id);
            self.dirty.push(false);
        }
        let chunk = self.chunks[number].get_or_insert_with(|| Arc::new(Chunk::empty()));
        let chunk = Arc::make_mut(chunk);
        chunk.entries[slot as usize % CHUNK_ENTRIES] = entry;
        chunk.length = (slot as usize % CHUNK_ENTRIES) as u16 + 1;
        chunk.held += 1;
        self.length += 1;
        self.held += 1;
        self.mark_dirty(number as u32);
        slot
    }

    /// Changes the entry in `slot`, which is held.
    pub(super) fn update(&mut self, slot: u32, change: impl FnOnce(&mut Entry)) {
        debug_assert!(self.get(slot).is_some(), "a released order has no life to change");
        let number = slot as usize / CHUNK_ENTRIES;
        if let Some(chunk) = &mut self.chunks[number] {
            change(&mut Arc::make_mut(chunk).entries[slot as usize % CHUNK_ENTRIES]);
            self.mark_dirty(number as u32);
        }
    }

    /// Releases the entry in `slot`, which is held, and the chunk with its last entry.
    pub(super) fn vacate(&mut self, slot: u32) {
        debug_assert!(self.get(slot).is_some(), "what is held is counted: release it once");
        let number = slot as usize / CHUNK_ENTRIES;
        if let Some(shared) = &mut self.chunks[number] {
            let chunk = Arc::make_mut(shared);
            chunk.entries[slot as usize % CHUNK_ENTRIES].status = None;
            chunk.held -= 1;
            self.held -= 1;
            // The last chunk still takes entries, and its length is known by it alone.
            if chunk.held == 0 && usize::from(chunk.length) == CHUNK_ENTRIES {
                self.chunks[number] = None;
            }
            self.mark_dirty(number as u32);
        }
    }

    pub(super) fn mark_dirty(&mut self, chunk: u32) {
        if !std::mem::replace(&mut self.dirty[chunk as usize], true) {
            self.dirty_chunks.push(chunk);
        }
    }

    pub(super) fn take_dirty(&mut self) -> Vec<(u32, Option<Arc<Chunk>>)> {
        std::mem::take(&mut self.dirty_chunks)
            .into_iter()
            .map(|number| {
                self.dirty[number as usize] = false;
                (number, self.chunks[number as usize].clone())
            })
            .collect()
    }

    pub(super) fn chunks(&self) -> Vec<Option<Arc<Chunk>>> {
        self.chunks.clone()
    }
}
