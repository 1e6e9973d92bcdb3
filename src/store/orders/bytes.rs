//! A record as the tables keep it: the journal's bytes.

use crate::store::database::StoreError;
use crate::store::journal::record;
use domain::{Record, ShardId};

pub(super) fn encode(record: &Record) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(record::RECORD_LENGTH_MAX);
    record::encode(record, &mut bytes);
    bytes
}

/// Decodes the record that `table` keeps in the row of this shard and `seq`. Whether it is the
/// journal's record of that number is for the audit to judge.
///
/// # Errors
/// Returns [`StoreError::Corrupt`], which names the row, if the bytes are no record.
pub(super) fn decode(
    table: &str,
    shard: ShardId,
    seq: u64,
    mut bytes: &[u8],
) -> Result<Record, StoreError> {
    record::decode(&mut bytes).map_err(|error| {
        StoreError::corrupt(format!("{table}, shard {shard} record {seq}: {error}"))
    })
}
