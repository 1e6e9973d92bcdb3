//! The values that nodes share in etcd: batches, heads and bases.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    use seckill::store::journal::fenced::{Base, Head, StoredBatch};
    let _ = StoredBatch::decode(bytes.to_vec());
    if let Ok(head) = Head::decode(bytes) {
        assert_eq!(head.encode(), bytes);
    }
    if let Ok(base) = Base::decode(bytes) {
        assert_eq!(base.encode(), bytes);
    }
});
