//! Units that dry buckets want of the others: told by the shards, taken by what moves units.
//!
//! A bucket has one wish at a time, so that they are bounded by the buckets. Must not know how units are moved.

use domain::ItemId;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::Notify;

/// A bucket: its item, and its number there.
pub(in crate::actors) type BucketId = (ItemId, u8);

/// The wishes of all buckets. Clones share them.
#[derive(Clone, Default)]
pub(in crate::actors) struct Wishes(Arc<Inner>);

#[derive(Default)]
struct Inner {
    wanted: Mutex<BTreeMap<BucketId, u32>>,
    told: Notify,
}

impl Wishes {
    /// Wishes for so many units, in place of what the bucket wanted before.
    pub(in crate::actors) fn tell(&self, bucket: BucketId, units: u32) {
        self.0.wanted.lock().insert(bucket, units);
        self.0.told.notify_one();
    }

    /// Takes out all wishes, once there are some.
    pub(in crate::actors) async fn take(&self) -> BTreeMap<BucketId, u32> {
        loop {
            let wanted = std::mem::take(&mut *self.0.wanted.lock());
            if !wanted.is_empty() {
                return wanted;
            }
            self.0.told.notified().await;
        }
    }
}
