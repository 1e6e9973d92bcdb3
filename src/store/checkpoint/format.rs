//! A checkpoint's bytes: how a store keeps a shard's header, an item and a chunk of orders.
//!
//! ```text
//! version u8   1
//! part    u8   1 header, 2 item, 3 chunk, 4 chunk whose orders were all released, 5 item with
//!              its operations, 6 item that is or was guarded, with its operations, 20 payments
//!              of an order, 21 header of a shard with payments, 40 item of several buckets
//! …            the part's own fields, little-endian, no padding
//! crc     u32  CRC32C of shard u16, number u32 and all bytes before this field
//!
//! header  epoch u64, seq u64, at u64, last order id u64; of a shard with payments, then of how
//!         many orders it has some u64
//! item    terms as in a record, phase u8, allotted available reserved sold u32, settled u8,
//!         last seq u64; if with operations, as many as there are bytes for, each request id u64,
//!         action u8, units u32; if guarded, before them the admissions that it was opened with
//!         and that it has now u64 each, and an operation has its value u64 in place of units;
//!         if of several buckets, as if guarded, and before the operations its shards as in a
//!         record, units of the whole item u32, and as many other buckets as a u8 says, each
//!         number u8, last transfer to it, units of that which are open, last one from it u32
//! chunk   up to 64 entries of 40 bytes: order id, user, request u64; item, previous u32;
//!         quantity, attempt, live units u16; status u8, 0 if released; zero u8
//! payments  the order as in a record, then its payments as in records, as many as there are bytes for
//! ```
//!
//! The checksum covers the place as well, so that bytes found under another shard or number are
//! not taken for its own. Part numbers and layouts are never reused; a change takes a new version.
//! Must not know which store keeps the bytes.

use crate::store::journal::record::{encode_buckets, encode_terms, take_buckets, take_terms};
use domain::operation::RememberedOperation;
use domain::stock::{CHUNK_ENTRIES, Chunk, Entry, ItemState};
use domain::{
    Admission, Buckets, Exchange, ItemAction, ItemCounters, ItemPhase, ItemTerms, OrderId,
    OrderStatus, Peer, RequestId, ShardId, Timestamp, UserId,
};
use std::sync::Arc;

const VERSION: u8 = 1;
const PART_HEADER: u8 = 1;
const PART_ITEM: u8 = 2;
const PART_CHUNK: u8 = 3;
const PART_VACANT_CHUNK: u8 = 4;
const PART_OPERATED_ITEM: u8 = 5;
const PART_GUARDED_ITEM: u8 = 6;
pub(super) const PART_PAYMENTS: u8 = 20;
const PART_HEADER_WITH_PAYMENTS: u8 = 21;
const PART_BUCKET: u8 = 40;

/// The status byte of an order that was released; the statuses' own numbers begin at 1.
const STATUS_RELEASED: u8 = 0;

const ENTRY_LENGTH: usize = 40;
const PREFIX_LENGTH: usize = 2;
const CHECKSUM_LENGTH: usize = 4;
const HEADER_LENGTH: usize = 32;
const HEADER_WITH_PAYMENTS_LENGTH: usize = 40;
const ITEM_TAIL_LENGTH: usize = 26;
const OPERATION_LENGTH: usize = 13;
const ADMISSIONS_LENGTH: usize = 16;
const GUARDED_OPERATION_LENGTH: usize = 17;
const EXCHANGE_LENGTH: usize = 5;
const PEER_LENGTH: usize = 13;

/// The length in bytes of a full encoded chunk, from which the sizes of batches are estimated.
pub(super) const CHUNK_LENGTH_MAX: usize =
    PREFIX_LENGTH + CHUNK_ENTRIES * ENTRY_LENGTH + CHECKSUM_LENGTH;

/// The bytes are not what was written: what is wrong with them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Malformed(pub &'static str);

/// What a checkpoint holds of the shard as a whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Header {
    pub epoch: u64,
    pub seq: u64,
    pub at: Timestamp,
    pub last_order_id: OrderId,
    /// Of how many orders there are payments.
    pub payments: u64,
}

pub(super) fn encode_header(shard: ShardId, header: &Header) -> Vec<u8> {
    let Header { epoch, seq, at, last_order_id, payments } = *header;
    let fields = [epoch, seq, at.0, last_order_id.0, payments];
    // A shard without payments is kept as earlier versions kept it.
    let (part, fields) = match payments {
        0 => (PART_HEADER, &fields[..4]),
        _ => (PART_HEADER_WITH_PAYMENTS, &fields[..]),
    };
    seal(shard, 0, part, |bytes| {
        for field in fields {
            bytes.extend_from_slice(&field.to_le_bytes());
        }
    })
}

pub(super) fn decode_header(shard: ShardId, bytes: &[u8]) -> Result<Header, Malformed> {
    let (part, body) = open(shard, 0, bytes)?;
    let length = match part {
        PART_HEADER => HEADER_LENGTH,
        PART_HEADER_WITH_PAYMENTS => HEADER_WITH_PAYMENTS_LENGTH,
        _ => return Err(Malformed("not a header")),
    };
    if body.len() != length {
        return Err(Malformed("header's length"));
    }
    let mut padded = [0; HEADER_WITH_PAYMENTS_LENGTH];
    padded[..length].copy_from_slice(body);
    let body = &padded;
    Ok(Header {
        epoch: u64_at(body, 0),
        seq: u64_at(body, 8),
        at: Timestamp(u64_at(body, 16)),
        last_order_id: OrderId(u64_at(body, 24)),
        payments: u64_at(body, 32),
    })
}

pub(super) fn encode_item(shard: ShardId, position: u32, item: &ItemState) -> Vec<u8> {
    let part = part_of(item);
    let has_admissions = matches!(part, PART_GUARDED_ITEM | PART_BUCKET);
    seal(shard, position, part, |bytes| {
        encode_terms(&item.terms, bytes);
        bytes.push(item.phase as u8);
        let ItemCounters { allotted, available, reserved, sold } = item.counters;
        for counter in [allotted, available, reserved, sold] {
            bytes.extend_from_slice(&counter.to_le_bytes());
        }
        bytes.push(u8::from(item.settled));
        bytes.extend_from_slice(&item.last_seq.to_le_bytes());
        if has_admissions {
            bytes.extend_from_slice(&item.terms.admission.number().to_le_bytes());
            bytes.extend_from_slice(&item.admission.number().to_le_bytes());
        }
        if let Some(exchange) = &item.exchange {
            encode_exchange(&item.terms.buckets, exchange, bytes);
        }
        for RememberedOperation { request_id, action } in &item.operations {
            bytes.extend_from_slice(&request_id.0.to_le_bytes());
            bytes.push(action.number());
            if has_admissions {
                bytes.extend_from_slice(&action.value().to_le_bytes());
            } else {
                bytes.extend_from_slice(&action.units().to_le_bytes());
            }
        }
    })
}

/// The part that an item is kept as. Earlier versions knew no operations, then no admission: an item
/// without them is kept as they kept it.
fn part_of(item: &ItemState) -> u8 {
    let was_admitted =
        item.operations.iter().any(|done| matches!(done.action, ItemAction::Admit(_)));
    let is_guarded = [item.terms.admission, item.admission] != [Admission::OPEN; 2];
    match () {
        () if item.exchange.is_some() => PART_BUCKET,
        () if is_guarded || was_admitted => PART_GUARDED_ITEM,
        () if item.operations.is_empty() => PART_ITEM,
        () => PART_OPERATED_ITEM,
    }
}

pub(super) fn decode_item(
    shard: ShardId,
    position: u32,
    bytes: &[u8],
) -> Result<ItemState, Malformed> {
    let (part, mut body) = open(shard, position, bytes)?;
    if !matches!(part, PART_ITEM | PART_OPERATED_ITEM | PART_GUARDED_ITEM | PART_BUCKET) {
        return Err(Malformed("not an item"));
    }
    let terms = take_terms(&mut body).map_err(|malformed| Malformed(malformed.0))?;
    let (tail, mut rest) =
        body.split_first_chunk::<ITEM_TAIL_LENGTH>().ok_or(Malformed("item's length"))?;
    let mut admissions = [Admission::OPEN; 2];
    if matches!(part, PART_GUARDED_ITEM | PART_BUCKET) {
        let (numbers, behind) =
            rest.split_first_chunk::<ADMISSIONS_LENGTH>().ok_or(Malformed("item's length"))?;
        admissions = [admission_at(numbers, 0)?, admission_at(numbers, 8)?];
        rest = behind;
    }
    let (mut buckets, mut exchange) = (Buckets::ONE, None);
    if part == PART_BUCKET {
        let decoded;
        (buckets, decoded) = take_exchange(shard, &mut rest)?;
        exchange = Some(Box::new(decoded));
    }
    let operations = decode_operations(part, rest)?;
    Ok(ItemState {
        terms: ItemTerms { admission: admissions[0], buckets, ..terms },
        admission: admissions[1],
        phase: ItemPhase::from_number(tail[0]).ok_or(Malformed("unknown phase"))?,
        counters: ItemCounters {
            allotted: u32_at(tail, 1),
            available: u32_at(tail, 5),
            reserved: u32_at(tail, 9),
            sold: u32_at(tail, 13),
        },
        settled: match tail[17] {
            0 => false,
            1 => true,
            _ => return Err(Malformed("neither settled nor not")),
        },
        exchange,
        last_seq: u64_at(tail, 18),
        operations,
    })
}

fn encode_exchange(buckets: &Buckets, exchange: &Exchange, bytes: &mut Vec<u8>) {
    encode_buckets(buckets, bytes);
    bytes.extend_from_slice(&exchange.allotted.to_le_bytes());
    // One for each other bucket at most.
    bytes.push(exchange.peers.len() as u8);
    for Peer { bucket, sent, open_units, received } in &exchange.peers {
        bytes.push(*bucket);
        for number in [sent, open_units, received] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
    }
}

/// Takes the item's buckets, and what the one in this shard has exchanged, off the front of `bytes`.
fn take_exchange(shard: ShardId, bytes: &mut &[u8]) -> Result<(Buckets, Exchange), Malformed> {
    let buckets = take_buckets(bytes).map_err(|malformed| Malformed(malformed.0))?;
    let bucket = buckets.number_in(shard).ok_or(Malformed("no bucket is in the shard"))?;
    let (head, rest) =
        bytes.split_first_chunk::<EXCHANGE_LENGTH>().ok_or(Malformed("item's length"))?;
    let (peers, rest) = rest
        .split_at_checked(usize::from(head[4]) * PEER_LENGTH)
        .ok_or(Malformed("item's length"))?;
    let peers: Vec<Peer> = peers
        .as_chunks::<PEER_LENGTH>()
        .0
        .iter()
        .map(|peer| Peer {
            bucket: peer[0],
            sent: u32_at(peer, 1),
            open_units: u32_at(peer, 5),
            received: u32_at(peer, 9),
        })
        .collect();
    // They are looked for by their numbers.
    if !peers.is_sorted_by(|one, next| one.bucket < next.bucket) {
        return Err(Malformed("buckets out of place"));
    }
    *bytes = rest;
    Ok((buckets, Exchange { bucket, allotted: u32_at(head, 0), peers }))
}

fn decode_operations(part: u8, bytes: &[u8]) -> Result<Vec<RememberedOperation>, Malformed> {
    if matches!(part, PART_GUARDED_ITEM | PART_BUCKET) {
        let (operations, rest) = bytes.as_chunks::<GUARDED_OPERATION_LENGTH>();
        let decoded = operations.iter().map(|one| operation(one, u64_at(one, 9)));
        return whole(rest).and_then(|()| decoded.collect());
    }
    let (operations, rest) = bytes.as_chunks::<OPERATION_LENGTH>();
    if part == PART_ITEM && !operations.is_empty() {
        return Err(Malformed("item's length"));
    }
    let decoded = operations.iter().map(|one| operation(one, u32_at(one, 9).into()));
    whole(rest).and_then(|()| decoded.collect())
}

fn whole(rest: &[u8]) -> Result<(), Malformed> {
    if rest.is_empty() { Ok(()) } else { Err(Malformed("item's length")) }
}

/// An operation: request and action of its bytes, and its value.
fn operation<const LENGTH: usize>(
    bytes: &[u8; LENGTH],
    value: u64,
) -> Result<RememberedOperation, Malformed> {
    Ok(RememberedOperation {
        request_id: RequestId(u64_at(bytes, 0)),
        action: ItemAction::from_number(bytes[8], value).ok_or(Malformed("unknown operation"))?,
    })
}

fn admission_at(bytes: &[u8; ADMISSIONS_LENGTH], offset: usize) -> Result<Admission, Malformed> {
    Admission::from_number(u64_at(bytes, offset)).ok_or(Malformed("not an admission"))
}

/// Encodes a chunk. One whose orders were all released leaves a few bytes, so that it can be told from
/// one that the store has lost.
pub(super) fn encode_chunk(shard: ShardId, number: u32, chunk: Option<&Chunk>) -> Vec<u8> {
    let Some(chunk) = chunk else { return seal(shard, number, PART_VACANT_CHUNK, |_| ()) };
    seal(shard, number, PART_CHUNK, |bytes| {
        for entry in chunk.entries() {
            bytes.extend_from_slice(&encode_entry(entry));
        }
    })
}

pub(super) fn decode_chunk(
    shard: ShardId,
    number: u32,
    bytes: &[u8],
) -> Result<Option<Arc<Chunk>>, Malformed> {
    match open(shard, number, bytes)? {
        (PART_VACANT_CHUNK, []) => Ok(None),
        (PART_CHUNK, body) => {
            let (entries, rest) = body.as_chunks::<ENTRY_LENGTH>();
            if !rest.is_empty() || entries.is_empty() {
                return Err(Malformed("chunk's length"));
            }
            let entries: Vec<Entry> = entries.iter().map(decode_entry).collect::<Result<_, _>>()?;
            let chunk = Chunk::from_entries(&entries).ok_or(Malformed("chunk's length"))?;
            Ok(Some(Arc::new(chunk)))
        }
        _ => Err(Malformed("not a chunk")),
    }
}

fn encode_entry(entry: &Entry) -> [u8; ENTRY_LENGTH] {
    let mut bytes = [0; ENTRY_LENGTH];
    bytes[0..8].copy_from_slice(&entry.order_id.0.to_le_bytes());
    bytes[8..16].copy_from_slice(&entry.user_id.0.to_le_bytes());
    bytes[16..24].copy_from_slice(&entry.request_id.0.to_le_bytes());
    bytes[24..28].copy_from_slice(&entry.item.to_le_bytes());
    bytes[28..32].copy_from_slice(&entry.previous.to_le_bytes());
    bytes[32..34].copy_from_slice(&entry.quantity.to_le_bytes());
    bytes[34..36].copy_from_slice(&entry.attempt.to_le_bytes());
    bytes[36..38].copy_from_slice(&entry.live_units.to_le_bytes());
    bytes[38] = entry.status.map_or(STATUS_RELEASED, |status| status as u8);
    bytes
}

fn decode_entry(bytes: &[u8; ENTRY_LENGTH]) -> Result<Entry, Malformed> {
    let status = match bytes[38] {
        STATUS_RELEASED => None,
        number => Some(OrderStatus::from_number(number).ok_or(Malformed("unknown status"))?),
    };
    Ok(Entry {
        order_id: OrderId(u64_at(bytes, 0)),
        user_id: UserId(u64_at(bytes, 8)),
        request_id: RequestId(u64_at(bytes, 16)),
        item: u32_at(bytes, 24),
        previous: u32_at(bytes, 28),
        quantity: u16_at(bytes, 32),
        attempt: u16_at(bytes, 34),
        live_units: u16_at(bytes, 36),
        status,
    })
}

pub(super) fn seal(
    shard: ShardId,
    number: u32,
    part: u8,
    body: impl FnOnce(&mut Vec<u8>),
) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(if part == PART_CHUNK { CHUNK_LENGTH_MAX } else { 192 });
    bytes.extend_from_slice(&[VERSION, part]);
    body(&mut bytes);
    let checksum = checksum(shard, number, &bytes);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    bytes
}

/// Returns the part and its fields if these are the bytes that were written at this place.
pub(super) fn open(shard: ShardId, number: u32, bytes: &[u8]) -> Result<(u8, &[u8]), Malformed> {
    let (content, stored) =
        bytes.split_last_chunk::<CHECKSUM_LENGTH>().ok_or(Malformed("cut short"))?;
    let [version, part, body @ ..] = content else { return Err(Malformed("cut short")) };
    if u32::from_le_bytes(*stored) != checksum(shard, number, content) {
        return Err(Malformed("checksum differs"));
    }
    if *version != VERSION {
        return Err(Malformed("unknown version"));
    }
    Ok((*part, body))
}

fn checksum(shard: ShardId, number: u32, content: &[u8]) -> u32 {
    let mut place = [0; 6];
    place[..2].copy_from_slice(&shard.0.to_le_bytes());
    place[2..].copy_from_slice(&number.to_le_bytes());
    crc32c::crc32c_append(crc32c::crc32c(&place), content)
}

fn u16_at<const LENGTH: usize>(bytes: &[u8; LENGTH], offset: usize) -> u16 {
    u16::from_le_bytes(field(bytes, offset))
}

fn u32_at<const LENGTH: usize>(bytes: &[u8; LENGTH], offset: usize) -> u32 {
    u32::from_le_bytes(field(bytes, offset))
}

fn u64_at<const LENGTH: usize>(bytes: &[u8; LENGTH], offset: usize) -> u64 {
    u64::from_le_bytes(field(bytes, offset))
}

fn field<const LENGTH: usize, const WIDTH: usize>(
    bytes: &[u8; LENGTH],
    offset: usize,
) -> [u8; WIDTH] {
    let mut field = [0; WIDTH];
    field.copy_from_slice(&bytes[offset..offset + WIDTH]);
    field
}

#[cfg(test)]
mod tests;
