//! A record as the tables keep it: the journal's bytes.

use super::StoreError;
use crate::store::journal::record;
use domain::Record;

pub(super) fn encode(record: &Record) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(record::RECORD_LENGTH_MAX);
    record::encode(record, &mut bytes);
    bytes
}

pub(super) fn decode(mut bytes: &[u8]) -> Result<Record, StoreError> {
    record::decode(&mut bytes).map_err(|error| StoreError::corrupt(error.to_string()))
}
