//! Checkpoints in Redis.
//!
//! ```text
//! seckill::checkpoint::{shard-N}                    hash
//!     mark          epoch and seq, twenty digits each: what scripts compare
//!     journal       identity of the journal that it was made from; another journal's is not touched
//!     header        see format.rs
//!     item_count, chunk_count   how many i… and c… there must be
//!     i0, i1, …     items by position
//!     c0, c1, …     chunks of orders by number
//!     p41, …        the payments of order 41, and of each other that has some
//!     overlay       present while the next key holds fields that replace those here
//! seckill::checkpoint::{shard-N}::overlay           hash of i…, c… and p…; one that is empty takes
//!                                                   away what it stands above
//! seckill::checkpoint::{shard-N}::staging::NONCE    hash of i…, c… and p…, expires by itself
//! seckill::product::{product id}                    hash: a product's counters, for other programs
//! ```
//!
//! An increment of up to [`SCRIPT_BYTES_MAX`] is one script. A larger one, after a long outage, must
//! neither block Redis nor be seen in part: it is staged in commands of [`STAGE_BYTES_MAX`], made
//! current by one script of constant cost, which turns the staged hash into an overlay, and folded
//! into the main hash by scripts of [`FOLD_FIELDS`] fields each. Readers see the same state before,
//! during and after the folding; a fold that was interrupted is resumed by the next write.
//!
//! Each key of a shard has the same hash tag, the products have none, so one Redis (or a primary
//! with replicas) is needed, not a Redis Cluster. Eviction must be off; keys that vanish all the same
//! are noticed.

use super::error::CheckpointError;
use super::format::{self, CHUNK_LENGTH_MAX, Header, Malformed};
use super::mark::{Mark, Written, count, refusal};
use super::payments::{PAYMENT_LENGTH_MAX, decode_payments, encode_payments};
use super::scripts::{
    Answer, FOLD_SCRIPT, PRODUCTS_SCRIPT, PROMOTE_SCRIPT, WRITE_SCRIPT, mark_text, parse_mark,
};
use crate::store::journal::JournalId;
use crate::store::redis_connection::{RedisAddress, RedisConnection, RedisFailure};
use domain::stock::{Changes, ItemState, Snapshot};
use domain::{OrderId, OrderPayments, ShardId};
use redis::{ScriptInvocation, pipe};
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

/// How long a command may take. A slow Redis slows the checkpointer and nothing else.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(15);
/// The largest increment that is written by one script, in bytes.
pub const SCRIPT_BYTES_MAX: usize = 4 << 20;
/// The approximate size of a command that stages a part of a larger increment.
const STAGE_BYTES_MAX: usize = 1 << 20;
/// How long a staged hash stays if it is never made current.
const STAGE_LIFE_SECONDS: i64 = 3600;
/// Fields moved by one fold: about 650 kB of chunks.
const FOLD_FIELDS: usize = 256;
/// Fields read by one command.
const LOAD_FIELDS: u32 = 256;
/// Products written by one script if their counters are written apart from an increment.
const PRODUCTS_MAX: usize = 256;
/// How often a load that a write overtook starts again.
const LOAD_ATTEMPTS_MAX: usize = 12;
/// The most bytes that an item takes, its field's name included.
const ITEM_LENGTH_MAX: usize = 256;

/// A journal's checkpoints in a Redis. Clones share one connection.
#[derive(Clone, Debug)]
pub struct RedisCheckpoints {
    connection: RedisConnection,
    journal: JournalId,
}

/// A shard's main hash, without items and chunks.
struct Stored {
    mark: Mark,
    header: Vec<u8>,
    item_count: u32,
    chunk_count: u32,
    overlay: bool,
}

impl RedisCheckpoints {
    /// Prepares the connection, which the first command makes. Must be called within a Tokio runtime.
    ///
    /// # Errors
    /// Returns [`CheckpointError::Configuration`] if the address cannot be used.
    pub fn open(address: &RedisAddress, journal: JournalId) -> Result<Self, CheckpointError> {
        let connection = RedisConnection::prepare(address, RESPONSE_TIMEOUT)?;
        Ok(Self { connection, journal })
    }

    /// Writes `changes` on top of `base`, or everything if there is no base, atomically for readers.
    ///
    /// # Errors
    /// Returns [`CheckpointError`] if Redis cannot be reached or refuses, or holds another journal's
    /// checkpoint.
    pub async fn write(
        &self,
        epoch: u64,
        base: Option<Mark>,
        changes: &Changes,
    ) -> Result<Written, CheckpointError> {
        let bytes_at_most = changes.chunks.len() * CHUNK_LENGTH_MAX
            + changes.items.len() * ITEM_LENGTH_MAX
            + payments_length_max(changes);
        let mark = Mark { epoch, seq: changes.seq };
        let keys = Keys::of(changes.shard);
        loop {
            let answer = if bytes_at_most <= SCRIPT_BYTES_MAX {
                self.write_at_once(&keys, mark, base, changes).await?
            } else {
                self.write_in_steps(&keys, mark, base, changes).await?
            };
            match answer {
                Answer::Stored => return Ok(Written::Stored(mark)),
                Answer::Stale { stored } => return Ok(Written::Stale { stored }),
                Answer::BaseMissing { stored } => return Ok(Written::BaseMissing { stored }),
                // A fold was interrupted: finish it, or, if its fields are lost, write everything.
                Answer::Unfolded { stored } => {
                    if !self.fold(&keys).await? {
                        return Ok(Written::BaseMissing { stored });
                    }
                }
                Answer::Foreign { owner } => return Err(self.foreign(changes.shard, owner)),
            }
        }
    }

    async fn write_at_once(
        &self,
        keys: &Keys,
        mark: Mark,
        base: Option<Mark>,
        changes: &Changes,
    ) -> Result<Answer, CheckpointError> {
        let mut invocation = WRITE_SCRIPT.key(&keys.shard);
        invocation.key(&keys.overlay);
        self.add_marks(&mut invocation, mark, base, changes);
        invocation.arg(field_count(changes));
        for (name, content) in fields(changes) {
            invocation.arg(name).arg(content);
        }
        add_products(&mut invocation, products(changes).into_iter());
        Answer::parse(self.connection.invoke(&invocation).await?)
    }

    async fn write_in_steps(
        &self,
        keys: &Keys,
        mark: Mark,
        base: Option<Mark>,
        changes: &Changes,
    ) -> Result<Answer, CheckpointError> {
        // Only to save the staging: the script that makes it current looks again.
        let stored = match self.stored(changes.shard, keys).await {
            Err(CheckpointError::Corrupt(_)) => None,
            stored => stored?,
        };
        let has_overlay = stored.as_ref().is_some_and(|stored| stored.overlay);
        let stored = stored.map(|stored| stored.mark);
        match refusal(stored, base, mark) {
            Some(Written::Stale { stored }) => return Ok(Answer::Stale { stored }),
            Some(_) => return Ok(Answer::BaseMissing { stored }),
            None if base.is_some() && has_overlay => return Ok(Answer::Unfolded { stored }),
            None => {}
        }
        let staging = format!("{}::staging::{:016x}", keys.shard, rand::random::<u64>());
        let promoted = match self.stage(&staging, changes).await {
            Ok(()) => {
                let mut invocation = PROMOTE_SCRIPT.key(&keys.shard);
                invocation.key(&keys.overlay).key(&staging);
                self.add_marks(&mut invocation, mark, base, changes);
                invocation.arg(field_count(changes));
                let answer = self.connection.invoke(&invocation).await;
                answer.map_err(CheckpointError::from).and_then(Answer::parse)
            }
            Err(failure) => Err(failure.into()),
        };
        if promoted == Ok(Answer::Stored) {
            // This only tidies up: if it fails, the next write goes on with it.
            let _ = self.fold(keys).await;
            let _ = self.write_products(changes).await;
        } else {
            // The staged hash expires by itself as well, so nothing is lost if this fails.
            drop(self.connection.run::<()>(pipe().unlink(&staging)).await);
        }
        promoted
    }

    async fn stage(&self, staging: &str, changes: &Changes) -> Result<(), RedisFailure> {
        let mut batch: Vec<(String, Vec<u8>)> = Vec::new();
        let mut batch_bytes = 0;
        let mut fields = fields(changes).peekable();
        while let Some((name, content)) = fields.next() {
            batch_bytes += content.len();
            batch.push((name, content));
            if batch_bytes >= STAGE_BYTES_MAX || fields.peek().is_none() {
                let mut pipeline = pipe();
                pipeline.hset_multiple(staging, &batch).ignore();
                pipeline.expire(staging, STAGE_LIFE_SECONDS).ignore();
                self.connection.run::<()>(&pipeline).await?;
                batch.clear();
                batch_bytes = 0;
            }
        }
        Ok(())
    }

    /// Moves the overlay's fields into the main hash. Returns false if they are lost.
    async fn fold(&self, keys: &Keys) -> Result<bool, CheckpointError> {
        let mut cursor = "0".to_owned();
        loop {
            let mut invocation = FOLD_SCRIPT.key(&keys.shard);
            invocation.key(&keys.overlay).arg(&cursor).arg(FOLD_FIELDS);
            let next: Option<String> = self.connection.invoke(&invocation).await?;
            match next {
                None => return Ok(false),
                Some(next) if next == "0" => return Ok(true),
                Some(next) => cursor = next,
            }
        }
    }

    async fn write_products(&self, changes: &Changes) -> Result<(), CheckpointError> {
        let products: Vec<_> = products(changes);
        for batch in products.chunks(PRODUCTS_MAX) {
            let mut invocation = PRODUCTS_SCRIPT.prepare_invoke();
            add_products(&mut invocation, batch.iter().copied());
            let _: String = self.connection.invoke(&invocation).await?;
        }
        Ok(())
    }

    /// Returns the shard's checkpoint, if there is one.
    ///
    /// # Errors
    /// Returns [`CheckpointError`] if Redis cannot be reached or refuses, or does not hold what this
    /// journal wrote.
    pub async fn load(&self, shard: ShardId) -> Result<Option<(Mark, Snapshot)>, CheckpointError> {
        let keys = Keys::of(shard);
        for _ in 0..LOAD_ATTEMPTS_MAX {
            let Some(stored) = self.stored(shard, &keys).await? else { return Ok(None) };
            let loaded = self.load_stored(shard, &keys, &stored).await;
            // Reading takes many commands; a write between them shows in the mark.
            let mark_after = self.stored(shard, &keys).await?.map(|stored| stored.mark);
            if mark_after == Some(stored.mark) {
                return loaded.map(|snapshot| Some((stored.mark, snapshot)));
            }
        }
        Err(CheckpointError::Unavailable(format!("shard {shard} is being written")))
    }

    async fn load_stored(
        &self,
        shard: ShardId,
        keys: &Keys,
        stored: &Stored,
    ) -> Result<Snapshot, CheckpointError> {
        let header = format::decode_header(shard, &stored.header)
            .map_err(|Malformed(why)| corrupt(shard, "header", why))?;
        if (Mark { epoch: header.epoch, seq: header.seq }) != stored.mark {
            return Err(corrupt(shard, "header", "another mark"));
        }
        let items = self
            .load_fields(shard, keys, stored, "i", stored.item_count, |number, bytes| {
                format::decode_item(shard, number, bytes)
            })
            .await?;
        let chunks = self
            .load_fields(shard, keys, stored, "c", stored.chunk_count, |number, bytes| {
                format::decode_chunk(shard, number, bytes)
            })
            .await?;
        let payments = self.load_payments(shard, keys, stored, header.payments).await?;
        Ok(Snapshot {
            seq: header.seq,
            at: header.at,
            last_order_id: header.last_order_id,
            items,
            chunks,
            payments,
        })
    }

    /// Reads the payments of the shard's orders, of which there must be `count`, by ascending order.
    async fn load_payments(
        &self,
        shard: ShardId,
        keys: &Keys,
        stored: &Stored,
        count: u64,
    ) -> Result<Vec<OrderPayments>, CheckpointError> {
        if count == 0 {
            return Ok(Vec::new());
        }
        let mut found: BTreeMap<OrderId, Vec<u8>> = BTreeMap::new();
        // The overlay is read first, as by `load_fields`.
        let hashes = [Some(&keys.overlay).filter(|_| stored.overlay), Some(&keys.shard)];
        for key in hashes.into_iter().flatten() {
            let mut cursor = 0;
            loop {
                type Page = (u64, Vec<(String, Vec<u8>)>);
                let mut pipeline = pipe();
                let command = pipeline.cmd("HSCAN").arg(key).arg(cursor);
                command.arg("MATCH").arg("p*").arg("COUNT").arg(LOAD_FIELDS);
                let ((next, fields),): (Page,) = self.connection.run(&pipeline).await?;
                for (name, content) in fields {
                    let order_id = name.strip_prefix('p').and_then(|id| id.parse().ok());
                    let order_id = order_id.ok_or_else(|| corrupt(shard, &name, "not an order"))?;
                    found.entry(order_id).or_insert(content);
                }
                cursor = next;
                if cursor == 0 {
                    break;
                }
            }
        }
        let kept = found.into_iter().filter(|(_, content)| !content.is_empty());
        let decoded = kept.map(|(order_id, content)| {
            decode_payments(shard, order_id, &content)
                .map_err(|Malformed(why)| corrupt(shard, &format!("p{order_id}"), why))
        });
        let payments: Vec<OrderPayments> = decoded.collect::<Result<_, _>>()?;
        if payments.len() as u64 == count {
            Ok(payments)
        } else {
            Err(corrupt(shard, "payments", "not as many"))
        }
    }

    async fn load_fields<T>(
        &self,
        shard: ShardId,
        keys: &Keys,
        stored: &Stored,
        prefix: &str,
        count: u32,
        decode: impl Fn(u32, &[u8]) -> Result<T, Malformed>,
    ) -> Result<Vec<T>, CheckpointError> {
        type Contents = Vec<Option<Vec<u8>>>;
        let mut decoded = Vec::new();
        for first in (0..count).step_by(LOAD_FIELDS as usize) {
            let numbers = first..count.min(first + LOAD_FIELDS);
            let names: Vec<String> =
                numbers.clone().map(|number| format!("{prefix}{number}")).collect();
            // The overlay is read first: a field that is folded meanwhile is then found in one of
            // the two.
            let mut pipeline = pipe();
            pipeline.cmd("HMGET").arg(&keys.overlay).arg(&names);
            pipeline.cmd("HMGET").arg(&keys.shard).arg(&names);
            let (above, below): (Contents, Contents) = if stored.overlay {
                self.connection.run(&pipeline).await?
            } else {
                let mut pipeline = pipe();
                pipeline.cmd("HMGET").arg(&keys.shard).arg(&names);
                let (below,): (Contents,) = self.connection.run(&pipeline).await?;
                (vec![None; below.len()], below)
            };
            for ((number, above), below) in numbers.zip(above).zip(below) {
                let what = || format!("{prefix}{number}");
                let bytes = above.or(below).ok_or_else(|| corrupt(shard, &what(), "missing"))?;
                let value = decode(number, &bytes)
                    .map_err(|Malformed(why)| corrupt(shard, &what(), why))?;
                decoded.push(value);
            }
        }
        Ok(decoded)
    }

    async fn stored(&self, shard: ShardId, keys: &Keys) -> Result<Option<Stored>, CheckpointError> {
        type Text = Option<String>;
        type Fields = (Text, Text, Option<Vec<u8>>, Option<u32>, Option<u32>, Text);
        let mut pipeline = pipe();
        pipeline.cmd("HMGET").arg(&keys.shard).arg(&[
            "mark",
            "journal",
            "header",
            "item_count",
            "chunk_count",
            "overlay",
        ]);
        pipeline.exists(&keys.overlay);
        let (fields, overlay_exists): (Fields, bool) =
            self.connection.run(&pipeline).await.map_err(|failure| match failure {
                RedisFailure::Unexpected(why) => {
                    CheckpointError::from(RedisFailure::Unexpected(format!("shard {shard}: {why}")))
                }
                failure => failure.into(),
            })?;
        let (mark, journal, header, item_count, chunk_count, overlay) = fields;
        let is_own = self.is_own(shard, journal.as_deref())?;
        let Some(mark) = mark else { return Ok(None) };
        let (true, Some(mark), Some(header), Some(item_count), Some(chunk_count)) =
            (is_own, parse_mark(&mark), header, item_count, chunk_count)
        else {
            return Err(corrupt(shard, "mark", "incomplete"));
        };
        if overlay.is_some() && !overlay_exists {
            return Err(corrupt(shard, "overlay", "missing"));
        }
        Ok(Some(Stored { mark, header, item_count, chunk_count, overlay: overlay.is_some() }))
    }

    /// Returns the marks of all shards that have a checkpoint, ascending by shard.
    ///
    /// # Errors
    /// Returns [`CheckpointError`] if Redis cannot be reached or refuses, or holds another journal's
    /// checkpoint.
    pub async fn marks(&self, shards: u16) -> Result<Vec<(ShardId, Mark)>, CheckpointError> {
        let mut pipeline = pipe();
        for shard in 0..shards {
            pipeline.cmd("HMGET").arg(Keys::of(ShardId(shard)).shard).arg(&["mark", "journal"]);
        }
        if shards == 0 {
            return Ok(Vec::new());
        }
        let hashes: Vec<(Option<String>, Option<String>)> = self.connection.run(&pipeline).await?;
        let mut marks = Vec::new();
        for (shard, (mark, journal)) in (0..).map(ShardId).zip(hashes) {
            let is_own = self.is_own(shard, journal.as_deref())?;
            let mark = mark.filter(|_| is_own).as_deref().and_then(parse_mark);
            marks.extend(mark.map(|mark| (shard, mark)));
        }
        Ok(marks)
    }

    /// Whether a hash that names `journal` is this journal's. One that names none was written by a
    /// version that did not name it, and is not to be relied on.
    fn is_own(&self, shard: ShardId, journal: Option<&str>) -> Result<bool, CheckpointError> {
        match journal.and_then(|text| text.parse().ok()) {
            Some(owner) if owner != self.journal => Err(self.foreign(shard, owner)),
            owner => Ok(owner.is_some()),
        }
    }

    fn foreign(&self, shard: ShardId, owner: JournalId) -> CheckpointError {
        CheckpointError::Foreign { shard, owner, ours: self.journal }
    }

    fn add_marks(
        &self,
        invocation: &mut ScriptInvocation<'_>,
        mark: Mark,
        base: Option<Mark>,
        changes: &Changes,
    ) {
        let header = Header {
            epoch: mark.epoch,
            seq: mark.seq,
            at: changes.at,
            last_order_id: changes.last_order_id,
            payments: changes.payment_count as u64,
        };
        invocation
            .arg(mark_text(mark))
            .arg(base.map_or_else(String::new, mark_text))
            .arg(self.journal.to_string())
            .arg(format::encode_header(changes.shard, &header))
            .arg(count(&changes.items))
            .arg(count(&changes.chunks));
    }
}

/// A shard's keys, apart from those of staged hashes.
struct Keys {
    shard: String,
    overlay: String,
}

impl Keys {
    fn of(shard: ShardId) -> Self {
        let shard = format!("seckill::checkpoint::{{shard-{shard}}}");
        let overlay = format!("{shard}::overlay");
        Self { shard, overlay }
    }
}

fn corrupt(shard: ShardId, what: &str, why: &str) -> CheckpointError {
    CheckpointError::Corrupt(format!("{what} of shard {shard}: {why}"))
}

fn fields(changes: &Changes) -> impl Iterator<Item = (String, Vec<u8>)> + '_ {
    let shard = changes.shard;
    let items = changes.items.iter().map(move |(position, item)| {
        (format!("i{position}"), format::encode_item(shard, *position, item))
    });
    let chunks = changes.chunks.iter().map(move |(number, chunk)| {
        (format!("c{number}"), format::encode_chunk(shard, *number, chunk.as_deref()))
    });
    // What was released has no content: a script takes it away.
    let payments = changes.payments.iter().map(move |(order_id, payments)| {
        let content = payments.as_ref().map(|payments| encode_payments(shard, payments));
        (format!("p{order_id}"), content.unwrap_or_default())
    });
    items.chain(chunks).chain(payments)
}

fn field_count(changes: &Changes) -> usize {
    changes.items.len() + changes.chunks.len() + changes.payments.len()
}

/// The most bytes that the changed payments take.
fn payments_length_max(changes: &Changes) -> usize {
    let of_order = |payments: &Option<OrderPayments>| {
        payments.as_ref().map_or(1, |payments| payments.payments.len().max(1)) * PAYMENT_LENGTH_MAX
    };
    changes.payments.iter().map(|(_, payments)| of_order(payments)).sum()
}

/// The changed items, one per product: the one that changed last.
fn products(changes: &Changes) -> Vec<&ItemState> {
    let mut latest: HashMap<&str, &ItemState> = HashMap::new();
    for (_, item) in &changes.items {
        let shown = latest.entry(&item.terms.product_id).or_insert(item);
        if item.last_seq >= shown.last_seq {
            *shown = item;
        }
    }
    latest.into_values().collect()
}

fn add_products<'a>(
    invocation: &mut ScriptInvocation<'_>,
    items: impl Iterator<Item = &'a ItemState>,
) {
    for item in items {
        invocation
            .key(format!("seckill::product::{}", item.terms.product_id))
            .arg(item.terms.item_id.0)
            .arg(item.terms.sale_id.0)
            .arg(item.counters.available)
            .arg(item.counters.reserved)
            .arg(item.counters.sold)
            .arg(item.last_seq);
    }
}
