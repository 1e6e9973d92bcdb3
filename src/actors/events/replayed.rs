//! What a replay tells of orders whose records the journal has no longer: each order's present state, as the order
//! store has it, before all that the journal still has of its shard.
//!
//! Read and told a page at a time, however many orders there are. `present` knows which orders these are. Must not know
//! where events go.

use super::cloud_event::CloudEvent;
use super::present::Present;
use super::reader::{Again, Place, Reader};
use super::sink::EventSink;
use super::types::EventType;
use crate::store::events::{Position, Reading};
use crate::store::orders::StoredOrder;
use domain::Timestamp;

impl<S: EventSink> Reader<S> {
    /// Tells the present state of each order that has changed since the replay's time and of which the journal has no
    /// record any more; nothing if this is no replay, or the journal has all. What was begun goes on where it was.
    ///
    /// # Errors
    /// Returns why it has to begin again.
    pub(super) async fn tell_present(&mut self, place: &mut Place) -> Result<(), Again> {
        if place.present.is_empty() || !self.sink.wants(EventType::OrderCurrent) {
            return Ok(());
        }
        self.present = std::mem::take(&mut place.present).going_on(&self.present);
        let Reading { generation, begins_at } = place.reading;
        loop {
            let page = self.ground.orders.scan(self.present.after(), S::BATCH_EVENTS).await?;
            let Some(last) = page.last().map(|row| row.order.order_id) else { break };
            let mut waiting = self.present_events(begins_at, &page).await?;
            loop {
                self.look_around(place).await?;
                if self.ending.is_cancelled() {
                    return Ok(());
                }
                if waiting.is_empty() {
                    break;
                }
                self.offer(&waiting).await.take_from(&mut waiting);
            }
            self.present.pass(last);
            tokio::task::yield_now().await;
        }
        self.keep_present(generation).await
    }

    /// Events of those orders of a page that are to be told.
    async fn present_events(
        &mut self,
        begins_at: Timestamp,
        page: &[StoredOrder],
    ) -> Result<Vec<CloudEvent>, Again> {
        let is_told =
            |row: &&StoredOrder| row.changed_at >= begins_at && self.present.has_lost(row);
        let told: Vec<&StoredOrder> = page.iter().filter(is_told).collect();
        let names = self.ground.buyers.names(told.iter().map(|row| row.order.user_id)).await?;
        let name = |row: &StoredOrder| names.get(&row.order.user_id)?.as_deref();
        let events = told.iter().filter_map(|row| self.ground.maker.make_current(row, name(row)));
        Ok(events.collect())
    }

    /// Keeps that all of this was told: a later beginning goes on behind it.
    async fn keep_present(&mut self, generation: u64) -> Result<(), Again> {
        let position = |(shard, seq)| Position { shard, seq, lost: (0, 0) };
        let positions: Vec<Position> = self.present.ends().map(position).collect();
        self.ground.positions.raise(&self.name, generation, &positions).await?;
        tracing::info!(
            sink = &*self.name,
            shards = positions.len(),
            "of orders that the journal has no longer the present state was told"
        );
        self.present = Present::default();
        Ok(())
    }
}
