//! What the fuzzers of `fuzz/` give to the readers of checkpoints, which are private otherwise.

use super::format::{Malformed, decode_chunk, decode_header, decode_item, open, seal};
use super::payments::decode_payments;
use domain::{OrderId, ShardId};

/// The place that all parts are read from.
const SHARD: ShardId = ShardId(3);
const NUMBER: u32 = 5;

/// Reads bytes as every part of a checkpoint: as they are, and behind a checksum that is right.
pub fn read(bytes: &[u8]) {
    read_as_they_are(0, bytes);
    let Some((part, body)) = bytes.split_first() else { return };
    for number in [0, NUMBER] {
        let sealed = seal(SHARD, number, *part, |out| out.extend_from_slice(body));
        assert_eq!(open(SHARD, number, &sealed), Ok::<_, Malformed>((*part, body)));
        read_as_they_are(number, &sealed);
    }
}

fn read_as_they_are(number: u32, bytes: &[u8]) {
    let _ = decode_header(SHARD, bytes);
    let _ = decode_item(SHARD, number, bytes);
    let _ = decode_chunk(SHARD, number, bytes);
    let order_id = bytes.get(2..).and_then(<[u8]>::first_chunk);
    let order_id = OrderId(order_id.copied().map_or(0, u64::from_le_bytes));
    let _ = decode_payments(SHARD, order_id, bytes);
}
