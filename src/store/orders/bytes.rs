//! A record as the tables keep it: the journal's bytes.

use crate::store::database::StoreError;
use crate::store::journal::record;
use domain::{Record, ShardId};

pub(super) fn encode(record: &Record) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(record::RECORD_LENGTH_MAX);
    record::encode(record, &mut bytes);
    bytes
}

/// Decodes the record that `table` keeps in the row of this shard and `seq`.
///
/// # Errors
/// Returns [`StoreError::Corrupt`], which names the row, if the bytes are not this record's.
pub(super) fn decode(
    table: &str,
    shard: ShardId,
    seq: u64,
    mut bytes: &[u8],
) -> Result<Record, StoreError> {
    let corrupt =
        |why: &str| StoreError::corrupt(format!("{table}, shard {shard} record {seq}: {why}"));
    let record = record::decode(&mut bytes).map_err(|error| corrupt(&error.to_string()))?;
    if (record.shard, record.seq) != (shard, seq) {
        return Err(corrupt("holds another record"));
    }
    Ok(record)
}
