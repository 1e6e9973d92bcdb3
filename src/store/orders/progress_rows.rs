//! The rows of progress and seals: how they are bound and decoded, and how the tables are counted.
//!
//! The texts are those that both dialects share; the macros take what the dialect makes of a number,
//! as in `row.rs`.

use std::ops::AddAssign;

/// The table of the seals.
pub(super) const SEALS: &str = "shard_seals";

/// How many rows the tables hold, and how many were stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Census {
    /// Orders in the table.
    pub orders: u64,
    /// Records of items in the table.
    pub item_records: u64,
    /// Orders that were stored, by the seals.
    pub sealed_orders: u64,
    /// Records of items that were stored, by the seals.
    pub sealed_item_records: u64,
    /// Records that contradicted a row, so that they may lack theirs.
    pub conflicts: u64,
}

impl Census {
    /// How many rows are gone that were stored.
    pub fn missing(&self) -> u64 {
        let orders = self.sealed_orders.saturating_sub(self.orders);
        let item_records = self.sealed_item_records.saturating_sub(self.item_records);
        (orders + item_records).saturating_sub(self.conflicts)
    }
}

impl AddAssign for Census {
    fn add_assign(&mut self, other: Self) {
        self.orders += other.orders;
        self.item_records += other.item_records;
        self.sealed_orders += other.sealed_orders;
        self.sealed_item_records += other.sealed_item_records;
        self.conflicts += other.conflicts;
    }
}

/// All of one statement, which sees the tables at one moment.
pub(super) const CENSUS: &str = "SELECT (SELECT COUNT(*) FROM orders), \
     (SELECT COUNT(*) FROM item_events), \
     (SELECT CAST(COALESCE(SUM(orders), 0) AS SIGNED) FROM shard_seals), \
     (SELECT CAST(COALESCE(SUM(item_records), 0) AS SIGNED) FROM shard_seals), \
     (SELECT CAST(COALESCE(SUM(conflicts), 0) AS SIGNED) FROM shard_seals)";

pub(super) const PROGRESS: &str = "SELECT p.shard, p.applied_seq, s.seq, s.orders, \
     s.item_records, s.digest, s.conflicts FROM shard_progress p \
     LEFT JOIN shard_seals s ON s.shard = p.shard ORDER BY p.shard";

/// The same for tables that an older version made, which has no seals; for those who only read.
pub(super) const PROGRESS_UNSEALED: &str = "SELECT shard, applied_seq, NULL FROM shard_progress \
     ORDER BY shard";

/// The columns of a seal, in the order in which [`bind_seals`] takes them.
macro_rules! seal_columns {
    () => {
        "shard, seq, orders, item_records, digest, conflicts"
    };
}

/// Binds the seals of shards, each of which has one. `$kept` makes of a `u64` what the dialect keeps.
macro_rules! bind_seals {
    ($query:expr, $progress:expr, $kept:expr) => {{
        let (mut query, kept): (_, fn(u64) -> _) = ($query, $kept);
        for progress in $progress {
            let sealed = progress.sealed.unwrap_or_default();
            query = query
                .bind(progress.shard.0)
                .bind(kept(sealed.seq))
                .bind(kept(sealed.seal.orders))
                .bind(kept(sealed.seal.item_records))
                .bind(kept(sealed.seal.digest))
                .bind(kept(sealed.conflicts));
        }
        query
    }};
}

/// Decodes a row of [`PROGRESS`]. `$read` makes a `u64` of what the dialect keeps.
macro_rules! decode_progress {
    ($row:expr, $read:expr) => {{
        let (row, read) = ($row, $read);
        let decode = || -> Result<$crate::store::orders::progress::ShardProgress, sqlx::Error> {
            let sealed = match row.try_get::<Option<_>, _>(2)?.map(read) {
                None => None,
                Some(seq) => Some($crate::store::orders::progress::Sealed {
                    seq,
                    seal: $crate::store::orders::seal::Seal {
                        orders: read(row.try_get(3)?),
                        item_records: read(row.try_get(4)?),
                        digest: read(row.try_get(5)?),
                    },
                    conflicts: read(row.try_get(6)?),
                }),
            };
            let shard = domain::ShardId(row.try_get(0)?);
            let applied_seq = read(row.try_get(1)?);
            Ok($crate::store::orders::progress::ShardProgress { shard, applied_seq, sealed })
        };
        decode().map_err(StoreError::from)
    }};
}

/// Decodes the row of [`CENSUS`]. `$read` makes a `u64` of what the dialect counts with.
macro_rules! decode_census {
    ($row:expr, $read:expr) => {{
        let (row, read) = ($row, $read);
        Ok(Census {
            orders: read(row.try_get(0)?),
            item_records: read(row.try_get(1)?),
            sealed_orders: read(row.try_get(2)?),
            sealed_item_records: read(row.try_get(3)?),
            conflicts: read(row.try_get(4)?),
        })
    }};
}

pub(super) use {bind_seals, decode_census, decode_progress, seal_columns};
