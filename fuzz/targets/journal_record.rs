//! The records of a batch: what is read is written again as it was.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    use seckill::store::journal::record;
    let mut rest = bytes;
    while let Ok(read) = record::decode(&mut rest) {
        let mut written = Vec::new();
        record::encode(&read, &mut written);
        let again = record::decode(&mut written.as_slice()).expect("it was written here");
        assert_eq!(again, read);
    }
    let _ = record::each_record(bytes).count();
});
