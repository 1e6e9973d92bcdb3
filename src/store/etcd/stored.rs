//! A key with its value, as etcd gives it back.

use super::proto::KeyValue;

/// A key as etcd holds it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stored {
    /// The key itself.
    pub key: Vec<u8>,
    /// The key's value.
    pub value: Vec<u8>,
    /// The revision of its last change.
    pub changed_at: i64,
    /// The lease that it ends with; 0 for none.
    pub lease: i64,
}

impl From<KeyValue> for Stored {
    fn from(found: KeyValue) -> Self {
        Self {
            key: found.key,
            value: found.value,
            changed_at: found.mod_revision,
            lease: found.lease,
        }
    }
}
